/*
 * What decoding costs: our programs and scanner beside avro-c's generic reader and
 * jansson's tree, on the same messages in the same run. One core; best of several rounds.
 */
#include <avro.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "codec/codec.h"
#include "codec/schema_text.h"

enum { MESSAGES = 2000, ROUNDS = 15, BATCH = 500 };

struct load {
    const char *name;
    enum event_kind kind;
    char *json[MESSAGES], *avro[MESSAGES]; /* avro: single-object */
    uint32_t json_bytes[MESSAGES], avro_bytes[MESSAGES];
    double json_mean, avro_mean;
};

static double now_ns(void)
{
    struct timespec time;

    clock_gettime(CLOCK_MONOTONIC, &time);
    return (double)time.tv_sec * 1e9 + (double)time.tv_nsec;
}

/* What a shop and its API write, as Python's and Java's JSON libraries would. */
static void print_message(enum event_kind kind, int i, struct byte_writer *out)
{
    if (kind == EVENT_API_CALL) {
        byte_print(
            out,
            "{\"event_id\":\"ac-%08d\",\"tenant_id\":\"tenant-%d\",\"client_id\":\"10.1.%d.%d\","
            "\"method\":\"GET\",\"path\":\"/v1/products/%d/reviews\",\"status\":%d,"
            "\"event_time\":%lld,\"latency_ms\":%d.%03d,\"bytes\":%d}",
            i, i % 997, i % 250, i % 17, i * 7 % 5000, i % 9 ? 200 : 404, 1763700000000LL + i * 37,
            i % 90, i * 31 % 1000, 800 + i * 13 % 90000);
        return;
    }
    byte_print(
        out,
        "{\"event_id\":\"or-%08d\",\"tenant_id\":\"tenant-%d\",\"order_id\":\"%d\","
        "\"customer_id\":\"c%d\",\"amount\":%d.%02d,\"currency\":\"EUR\",\"event_time\":%lld,"
        "\"items\":[",
        i, i % 997, 500000 + i, i * 17 % 9000, i % 400, i % 100, 1763700000000LL + i * 37);
    for (int item = 0; item <= i % 4; item++)
        byte_print(out, "%s{\"product_id\":\"%d\",\"quantity\":%d,\"unit_price\":%d.%02d}",
                   item > 0 ? "," : "", 20000 + i * 3 % 999, 1 + i % 6, i % 70, i * 3 % 100);
    byte_print(out, "],\"country\":\"DE\"}");
}

static char *copy(const struct byte_writer *from, uint32_t *bytes)
{
    char *data = malloc(from->size);

    if (data == NULL)
        abort();
    memcpy(data, from->data, from->size);
    *bytes = (uint32_t)from->size;
    return data;
}

static void make_load(struct codec *codec, struct load *load)
{
    struct arena *arena = arena_create(65536);
    struct byte_writer out;

    byte_writer_init(&out);
    for (int i = 0; i < MESSAGES; i++) {
        struct event event;
        struct failure failure;
        byte_writer_reset(&out);
        print_message(load->kind, i, &out);
        load->json[i] = copy(&out, &load->json_bytes[i]);
        load->json_mean += (double)out.size / MESSAGES;
        if (codec_decode_event(codec, load->kind, byte_writer_view(&out), arena, &event, NULL,
                               &failure) != STATUS_OK) {
            fprintf(stderr, "codec_bench: %s\n", failure.text);
            exit(1);
        }
        byte_writer_reset(&out);
        if (codec_encode_event(codec, CODEC_AVRO_SINGLE_OBJECT, &event, &out, &failure) !=
            STATUS_OK)
            exit(1);
        load->avro[i] = copy(&out, &load->avro_bytes[i]);
        load->avro_mean += (double)out.size / MESSAGES;
    }
    byte_writer_free(&out);
    arena_destroy(arena);
}

/* Nanoseconds a message. */
static double time_ours(struct codec *codec, const struct load *load, bool is_json)
{
    struct arena *arena = arena_create(1 << 20);
    struct codec_reason reason;
    struct failure failure;
    struct event event;
    double best = 1e18;
    uint64_t sum = 0;

    for (int round = 0; round < ROUNDS; round++) {
        const double start = now_ns();
        for (int i = 0; i < MESSAGES; i++) {
            const struct view message = is_json ? (struct view){load->json[i], load->json_bytes[i]}
                                                : (struct view){load->avro[i], load->avro_bytes[i]};
            if (i % BATCH == 0)
                arena_reset(arena);
            if (codec_decode_event(codec, load->kind, message, arena, &event, &reason, &failure) !=
                STATUS_OK)
                exit(1);
            sum += (uint64_t)event.event_time_ms + event.id.size;
        }
        const double spent = (now_ns() - start) / MESSAGES;
        best = spent < best ? spent : best;
    }
    arena_destroy(arena);
    if (sum == 0)
        exit(1);
    return best;
}

static double time_jansson(const struct load *load)
{
    double best = 1e18;

    for (int round = 0; round < ROUNDS / 3; round++) {
        const double start = now_ns();
        for (int i = 0; i < MESSAGES; i++) {
            json_t *json = json_loadb(load->json[i], load->json_bytes[i], 0, NULL);
            if (json == NULL)
                exit(1);
            json_decref(json);
        }
        const double spent = (now_ns() - start) / MESSAGES;
        best = spent < best ? spent : best;
    }
    return best;
}

static const char *schema_of(const char *name)
{
    for (const struct schema_text *text = schema_texts; text->name != NULL; text++)
        if (strcmp(text->name, name) == 0)
            return text->text;
    exit(1);
}

static double time_avro_c(const struct load *load)
{
    const char *text = schema_of(event_kind_name(load->kind));
    avro_schema_t schema;
    avro_value_t value;
    double best = 1e18;

    if (avro_schema_from_json_length(text, strlen(text), &schema) != 0)
        exit(1);
    avro_value_iface_t *generic = avro_generic_class_from_schema(schema);
    avro_generic_value_new(generic, &value);
    for (int round = 0; round < ROUNDS / 3; round++) {
        const double start = now_ns();
        for (int i = 0; i < MESSAGES; i++) {
            avro_reader_t reader = avro_reader_memory(load->avro[i] + 10, load->avro_bytes[i] - 10);
            avro_value_reset(&value);
            if (avro_value_read(reader, &value) != 0)
                exit(1);
            avro_reader_free(reader);
        }
        const double spent = (now_ns() - start) / MESSAGES;
        best = spent < best ? spent : best;
    }
    avro_value_decref(&value);
    avro_value_iface_decref(generic);
    avro_schema_decref(schema);
    return best;
}

int main(void)
{
    static struct load loads[] = {
        {.name = "api-calls", .kind = EVENT_API_CALL},
        {.name = "orders", .kind = EVENT_ORDER},
    };
    struct codec_options options;
    struct codec *codec;
    struct failure failure;

    option_preset(&codec_option_table, &options);
    if (codec_create(&options, &codec, &failure) != STATUS_OK) {
        fprintf(stderr, "codec_bench: %s\n", failure.text);
        return 1;
    }
    for (size_t i = 0; i < sizeof loads / sizeof loads[0]; i++) {
        struct load *load = &loads[i];
        make_load(codec, load);
        const double avro = time_ours(codec, load, false), json = time_ours(codec, load, true);
        const double avro_c = time_avro_c(load), jansson = time_jansson(load);
        printf("%-10s Avro %4.0f bytes: %6.1f ns an event (avro-c generic %7.1f, %4.1f times)\n",
               load->name, load->avro_mean, avro, avro_c, avro_c / avro);
        printf("%-10s JSON %4.0f bytes: %6.1f ns an event, %.2f ns a byte (jansson %7.1f, %4.1f "
               "times)\n",
               load->name, load->json_mean, json, json / load->json_mean, jansson, jansson / json);
        for (int message = 0; message < MESSAGES; message++) {
            free(load->json[message]);
            free(load->avro[message]);
        }
    }
    codec_destroy(codec);
    return 0;
}
