/*
 * What an event costs in a running machine: decoded, and decoded and applied, by the
 * number of tenants.
 *
 * Tenants are drawn evenly, so that nearly every group is cold in the cache, or skewed as in
 * production (Zipf: the n-th has 1/n of the first one's events, and as many more customers).
 * The default rules, without recommendations; one sign-in of fifty fails. The messages of
 * 100 seconds are decoded over and over, each round moved on in time, until the windows are
 * full; then rounds are measured.
 *
 * Processor time of one thread. Others on the machine still have a part in it, through the
 * cache and the memory that all share: compare figures of one run, or of a quiet machine.
 */
#include <assert.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/hash.h"
#include "cli/yaml.h"
#include "codec/codec.h"
#include "engine/engine.h"
#include "support/event_mark.h"

enum {
    ROUND_S = 100,
    WARM_ROUNDS = 8,           /* the windows of ten minutes, the lateness, and memory grown */
    EVENTS_MEASURED = 3000000, /* at least, in whole rounds */
    CUSTOMERS_A_TENANT = 16,
    FAILURES_ONE_OF = 50,
    BATCH = 1000,
    START_S = 1700000000,
};

struct stream {
    struct byte_writer bytes;
    struct view *messages;
    enum event_kind *kinds;
    uint32_t count;
};

static const enum event_kind mixed[] = {EVENT_API_CALL, EVENT_AUTH, EVENT_ORDER};

/* What a stream is made of. */
struct mixture {
    const char *name;
    const enum event_kind *kinds;
    uint32_t kind_count;
    uint32_t tenants;
    uint32_t events_a_s;
    enum codec_format format;
    bool is_skewed;
};

/* Somebody at some tenant. */
struct actor {
    uint32_t tenant, customer;
};

static struct actor draw_actor(const struct mixture *mixture, uint64_t random)
{
    struct actor actor = {(uint32_t)(random % mixture->tenants), 0};
    double customers = CUSTOMERS_A_TENANT;

    if (mixture->is_skewed) {
        double most = log(mixture->tenants);
        double rank = exp((double)(random >> 11) * 0x1p-53 * most);
        actor.tenant = (uint32_t)rank - 1;
        customers = 1 + CUSTOMERS_A_TENANT * mixture->tenants / (rank * most);
    }
    actor.customer = (uint32_t)(hash_mix(random, 1) % (uint64_t)customers);
    return actor;
}

static void fill(struct event *event, uint64_t number, const struct mixture *mixture,
                 struct arena *arena)
{
    uint64_t random = hash_mix(11, number);
    struct actor actor = draw_actor(mixture, random);
    uint32_t address = actor.tenant + actor.customer / CUSTOMERS_A_TENANT;

    *event = (struct event){.kind = mixture->kinds[number % mixture->kind_count]};
    event->id = view_of(arena_print(arena, "event-%010llu", (unsigned long long)number));
    event->tenant_id = view_of(arena_print(arena, "tenant-%06u", actor.tenant));
    event->event_time_ms = (int64_t)START_S * 1000 + (int64_t)(number * 1000 / mixture->events_a_s);
    struct view who = view_of(arena_print(arena, "who-%06u-%u", actor.tenant, actor.customer));
    struct view ip = view_of(
        arena_print(arena, "10.%u.%u.%u", address >> 16, address >> 8 & 255, address & 255));
    if (event->kind == EVENT_API_CALL) {
        event->api_call.client_id = who;
        event->api_call.method = VIEW_LITERAL("GET");
        event->api_call.path = VIEW_LITERAL("/v1/products/1234");
        event->api_call.status = 200;
    } else if (event->kind == EVENT_AUTH) {
        event->auth.user_id = who;
        event->auth.outcome = (random >> 50) % FAILURES_ONE_OF == 0 ? AUTH_FAILURE : AUTH_SUCCESS;
        event->auth.ip = ip;
    } else {
        event->order.order_id = event->id;
        event->order.customer_id = who;
        event->order.amount = 19.5;
        event->order.currency = VIEW_LITERAL("USD");
    }
    event_mark(event);
}

static void make_stream(struct codec *codec, const struct mixture *mixture, struct stream *stream)
{
    struct arena *arena = arena_create(65536);
    uint32_t count = mixture->events_a_s * ROUND_S;
    size_t *starts = malloc((count + 1) * sizeof *starts);
    struct failure failure;
    struct event event;

    byte_writer_init(&stream->bytes);
    stream->messages = malloc(count * sizeof *stream->messages);
    stream->kinds = malloc(count * sizeof *stream->kinds);
    stream->count = count;
    assert(starts != NULL && stream->messages != NULL && stream->kinds != NULL);
    for (uint32_t i = 0; i < count; i++) {
        arena_reset(arena);
        fill(&event, i, mixture, arena);
        starts[i] = stream->bytes.size;
        stream->kinds[i] = event.kind;
        if (codec_encode_event(codec, mixture->format, &event, &stream->bytes, &failure) !=
            STATUS_OK) {
            fprintf(stderr, "%s\n", failure.text);
            exit(1);
        }
    }
    starts[count] = stream->bytes.size;
    for (uint32_t i = 0; i < count; i++)
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

/* Processor time: what others do on the machine is left out. */
static int64_t spent_ns(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return ((int64_t)usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1000000000 +
           ((int64_t)usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) * 1000;
}

/* Of the whole process. */
static double resident_bytes(void)
{
    FILE *file = fopen("/proc/self/statm", "r");
    unsigned long pages = 0;

    assert(file != NULL && fscanf(file, "%*u %lu", &pages) == 1);
    fclose(file);
    return (double)pages * (double)sysconf(_SC_PAGESIZE);
}

static void decode(struct codec *codec, const struct stream *stream, uint32_t index,
                   struct arena *arena, struct event *event)
{
    struct codec_reason reason;
    struct failure failure;

    if (codec_decode_event(codec, stream->kinds[index], stream->messages[index], arena, event,
                           &reason, &failure) == STATUS_OK)
        return;
    fprintf(stderr, "%s: %s\n", reason.field, reason.text);
    exit(1);
}

/* ns an event of one round; `engine` NULL: decoding only. */
static double measure(struct codec *codec, const struct stream *stream, int64_t round,
                      struct engine *engine, struct outbox *outbox)
{
    struct arena *arena = arena_create(65536);
    struct event events[ENGINE_EXPECT_MAX];
    int64_t started_ns = spent_ns();

    for (uint32_t start = 0; start < stream->count; start += ENGINE_EXPECT_MAX) {
        uint32_t left = stream->count - start;
        uint32_t count = left < ENGINE_EXPECT_MAX ? left : ENGINE_EXPECT_MAX;
        if (start % BATCH < ENGINE_EXPECT_MAX) {
            arena_reset(arena);
            outbox_reset(outbox);
        }
        for (uint32_t i = 0; i < count; i++) {
            if (start + i + CODEC_EXPECT_AHEAD < stream->count)
                codec_expect(stream->messages[start + i + CODEC_EXPECT_AHEAD]);
            decode(codec, stream, start + i, arena, &events[i]);
            events[i].event_time_ms += round * ROUND_S * 1000;
        }
        if (engine == NULL)
            continue;
        engine_expect(engine, events, count);
        for (uint32_t i = 0; i < count; i++)
            engine_apply(engine, &events[i], outbox);
    }
    double ns = (double)(spent_ns() - started_ns) / stream->count;
    arena_destroy(arena);
    return ns;
}

static void run(struct codec *codec, const struct engine_config *config,
                const struct mixture *mixture)
{
    struct outbox *outbox = outbox_create();
    struct engine *engine = engine_open(config, 0);
    double decode_ns = 0, both_ns = 0, resident;
    struct engine_stats stats;
    struct stream stream;
    int64_t round = 0;

    make_stream(codec, mixture, &stream);
    int rounds = (int)(EVENTS_MEASURED / stream.count);
    measure(codec, &stream, 0, NULL, outbox);
    for (int i = 0; i < rounds; i++)
        decode_ns += measure(codec, &stream, 0, NULL, outbox) / rounds;
    resident = resident_bytes();
    for (int i = 0; i < WARM_ROUNDS; i++)
        measure(codec, &stream, round++, engine, outbox);
    for (int i = 0; i < rounds; i++)
        both_ns += measure(codec, &stream, round++, engine, outbox) / rounds;
    resident = resident_bytes() - resident;
    engine_stats(engine, &stats);
    printf("%-5s %-11s %-5s %8u tenants %7u events/s %4.0f bytes  decode %4.0f ns  decode+apply "
           "%4.0f ns  %8llu keys, %4.0f bytes a key (resident %4.0f)  %llu evicted, %llu alerts\n",
           mixture->format == CODEC_JSON ? "json" : "avro", mixture->name,
           mixture->is_skewed ? "zipf" : "even", mixture->tenants, mixture->events_a_s,
           (double)stream.bytes.size / stream.count, decode_ns, both_ns,
           (unsigned long long)stats.keys, (double)stats.state_bytes / (double)stats.keys,
           resident / (double)stats.keys, (unsigned long long)stats.keys_evicted,
           (unsigned long long)(stats.alerts_opened[0] + stats.alerts_opened[1] +
                                stats.alerts_opened[2]));
    fflush(stdout);
    free_stream(&stream);
    engine_close(engine);
    outbox_destroy(outbox);
}

int main(int argument_count, char **arguments)
{
    static const struct mixture mixtures[] = {
        {"api-calls", &mixed[0], 1, 100000, 10000, CODEC_AVRO_SINGLE_OBJECT, false},
        {"auth-events", &mixed[1], 1, 100000, 10000, CODEC_AVRO_SINGLE_OBJECT, false},
        {"orders", &mixed[2], 1, 100000, 10000, CODEC_AVRO_SINGLE_OBJECT, false},
        {"all three", mixed, 3, 100000, 10000, CODEC_AVRO_SINGLE_OBJECT, false},
        {"all three", mixed, 3, 100000, 10000, CODEC_AVRO_SINGLE_OBJECT, true},
        {"all three", mixed, 3, 100000, 10000, CODEC_JSON, false},
        {"all three", mixed, 3, 10000, 10000, CODEC_AVRO_SINGLE_OBJECT, false},
        {"all three", mixed, 3, 1000000, 10000, CODEC_AVRO_SINGLE_OBJECT, false},
        /* Six events a minute of each tenant: the growth with the number of keys. */
        {"all three", mixed, 3, 100, 10, CODEC_AVRO_SINGLE_OBJECT, false},
        {"all three", mixed, 3, 1000, 100, CODEC_AVRO_SINGLE_OBJECT, false},
        {"all three", mixed, 3, 10000, 1000, CODEC_AVRO_SINGLE_OBJECT, false},
        {"all three", mixed, 3, 100000, 10000, CODEC_AVRO_SINGLE_OBJECT, false},
    };
    struct arena *arena = arena_create(65536);
    struct tree *root = NULL;
    struct codec_options options;
    struct complaints complaints;
    struct engine_config *config;
    struct codec *codec;
    struct failure failure;

    complaints_init(&complaints, arena);
    option_preset(&codec_option_table, &options);
    yaml_parse_text(VIEW_LITERAL("engine: {memory.bytes_max: 4GiB, rooms: anomaly}"), "bench",
                    arena, &root, &complaints);
    config = engine_config_create(root, NULL, yaml_parse_text, &complaints);
    if (config == NULL || codec_create(&options, &codec, &failure) != STATUS_OK) {
        fprintf(stderr, "%s\n", config == NULL ? complaints.first->text : failure.text);
        return 1;
    }
    for (size_t i = 0; i < sizeof mixtures / sizeof mixtures[0]; i++)
        if (argument_count < 2 || strtoul(arguments[1], NULL, 10) == i + 1)
            run(codec, config, &mixtures[i]);
    codec_destroy(codec);
    engine_config_destroy(config);
    arena_destroy(arena);
    return 0;
}
