/*
 * What an event costs: decoded, and decoded and applied, by the number of tenants.
 *
 * Events are of three topics in turn, of tenants drawn at random, ten a millisecond, so
 * that most groups are cold in the cache and few windows hold more than an event. That is
 * the dear case: a tenant that sends all the time stays warm.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "cli/yaml.h"
#include "codec/codec.h"
#include "engine/engine.h"

enum {
    EVENTS = 600000,
    EVENTS_A_MS = 10,
    CUSTOMERS_A_TENANT = 4,
    BATCH = 1000,
    START_S = 1700000000,
};

struct stream {
    struct byte_writer bytes;
    struct view *messages;
    enum event_kind *kinds;
    uint32_t count;
};

static const enum event_kind kinds[] = {EVENT_API_CALL, EVENT_AUTH, EVENT_ORDER};

static void mark(struct event *event)
{
    const struct shape *shape = event_shape(event->kind);

    event->present = 0;
    for (uint32_t i = 0; i < shape->field_count; i++) {
        const struct field *field = &shape->fields[i];
        const char *at = (const char *)event + field->offset;
        if ((field->flags & FIELD_REQUIRED) != 0 ||
            (field->type == FIELD_TEXT && !view_is_absent(*(const struct view *)(const void *)at)))
            shape_set_present(shape, event, i);
    }
}

static void fill(struct event *event, uint64_t number, uint32_t tenants, struct arena *arena)
{
    uint64_t random = hash_mix(11, number);
    uint32_t tenant = (uint32_t)(random % tenants);
    uint32_t customer = (uint32_t)((random >> 40) % CUSTOMERS_A_TENANT);

    *event = (struct event){.kind = kinds[number % 3]};
    event->id = view_of(arena_print(arena, "event-%010llu", (unsigned long long)number));
    event->tenant_id = view_of(arena_print(arena, "tenant-%06u", tenant));
    event->event_time_ms = (int64_t)START_S * 1000 + (int64_t)(number / EVENTS_A_MS);
    struct view who = view_of(arena_print(arena, "who-%06u-%u", tenant, customer));
    struct view ip =
        view_of(arena_print(arena, "10.%u.%u.%u", tenant >> 16, (tenant >> 8) & 255, tenant & 255));
    if (event->kind == EVENT_API_CALL) {
        event->api_call.client_id = who;
        event->api_call.method = VIEW_LITERAL("GET");
        event->api_call.path = VIEW_LITERAL("/v1/products/1234");
        event->api_call.status = 200;
    } else if (event->kind == EVENT_AUTH) {
        event->auth.user_id = who;
        event->auth.outcome = random >> 63 != 0 ? AUTH_FAILURE : AUTH_SUCCESS;
        event->auth.ip = ip;
    } else {
        event->order.order_id = event->id;
        event->order.customer_id = who;
        event->order.amount = 19.5;
        event->order.currency = VIEW_LITERAL("USD");
    }
    mark(event);
}

static void make_stream(struct codec *codec, enum codec_format format, uint32_t tenants,
                        struct stream *stream)
{
    struct arena *arena = arena_create(65536);
    size_t *starts = malloc((EVENTS + 1) * sizeof *starts);
    struct failure failure;
    struct event event;

    byte_writer_init(&stream->bytes);
    stream->messages = malloc(EVENTS * sizeof *stream->messages);
    stream->kinds = malloc(EVENTS * sizeof *stream->kinds);
    stream->count = EVENTS;
    assert(starts != NULL && stream->messages != NULL && stream->kinds != NULL);
    for (uint32_t i = 0; i < EVENTS; i++) {
        arena_reset(arena);
        fill(&event, i, tenants, arena);
        starts[i] = stream->bytes.size;
        stream->kinds[i] = event.kind;
        if (codec_encode_event(codec, format, &event, &stream->bytes, &failure) != STATUS_OK) {
            fprintf(stderr, "%s\n", failure.text);
            exit(1);
        }
    }
    starts[EVENTS] = stream->bytes.size;
    for (uint32_t i = 0; i < EVENTS; i++)
        stream->messages[i] =
            (struct view){stream->bytes.data + starts[i], (uint32_t)(starts[i + 1] - starts[i])};
    free(starts);
    arena_destroy(arena);
}

static void free_stream(struct stream *stream)
{
    byte_writer_free(&stream->bytes);
    free(stream->messages);
    free(stream->kinds);
}

/* ns an event; `engine` NULL: decoding only. */
static double measure(struct codec *codec, const struct stream *stream, struct engine *engine,
                      struct outbox *outbox)
{
    struct arena *arena = arena_create(65536);
    const struct clock *clock = clock_system();
    int64_t started_ns = clock_monotonic_ns(clock);
    struct codec_reason reason;
    struct failure failure;
    struct event event;

    for (uint32_t i = 0; i < stream->count; i++) {
        if (i % BATCH == 0) {
            arena_reset(arena);
            outbox_reset(outbox);
        }
        if (codec_decode_event(codec, stream->kinds[i], stream->messages[i], arena, &event, &reason,
                               &failure) != STATUS_OK) {
            fprintf(stderr, "%s: %s\n", reason.field, reason.text);
            exit(1);
        }
        if (engine != NULL)
            engine_apply(engine, &event, outbox);
    }
    double ns = (double)(clock_monotonic_ns(clock) - started_ns) / stream->count;
    arena_destroy(arena);
    return ns;
}

static void run(struct codec *codec, const struct engine_config *config, enum codec_format format,
                uint32_t tenants)
{
    struct outbox *outbox = outbox_create();
    struct engine *engine = engine_open(config, 0);
    struct engine_stats stats;
    struct stream stream;
    double decode_ns, both_ns;

    make_stream(codec, format, tenants, &stream);
    measure(codec, &stream, NULL, outbox);
    decode_ns = measure(codec, &stream, NULL, outbox);
    both_ns = measure(codec, &stream, engine, outbox);
    engine_stats(engine, &stats);
    printf("%-6s %8u tenants  %5.1f bytes  decode %6.1f ns  decode+apply %6.1f ns  "
           "%9llu keys  %6.1f bytes a key\n",
           format == CODEC_JSON ? "json" : "avro", tenants,
           (double)stream.bytes.size / stream.count, decode_ns, both_ns,
           (unsigned long long)stats.keys,
           stats.keys > 0 ? (double)stats.state_bytes / (double)stats.keys : 0.0);
    fflush(stdout);
    free_stream(&stream);
    engine_close(engine);
    outbox_destroy(outbox);
}

int main(void)
{
    static const uint32_t tenants[] = {1000, 10000, 100000, 1000000};
    struct arena *arena = arena_create(65536);
    struct codec_options options;
    struct complaints complaints;
    struct engine_config *config;
    struct codec *codec;
    struct failure failure;

    complaints_init(&complaints, arena);
    option_preset(&codec_option_table, &options);
    config = engine_config_create(NULL, NULL, yaml_parse_text, &complaints);
    if (config == NULL || codec_create(&options, &codec, &failure) != STATUS_OK) {
        fprintf(stderr, "%s\n", config == NULL ? complaints.first->text : failure.text);
        return 1;
    }
    for (size_t i = 0; i < sizeof tenants / sizeof tenants[0]; i++) {
        run(codec, config, CODEC_AVRO_SINGLE_OBJECT, tenants[i]);
        run(codec, config, CODEC_JSON, tenants[i]);
    }
    codec_destroy(codec);
    engine_config_destroy(config);
    arena_destroy(arena);
    return 0;
}
