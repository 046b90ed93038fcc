/*
 * The other end of the topic, as fast as librdkafka goes: for pipeline_bench.py.
 *
 *   feed produce BROKERS PREFIX PARTITIONS FORMAT FIRST COUNT TENANTS CLIENTS EVENTS_A_MS
 *   feed consume BROKERS PREFIX PARTITIONS
 *
 * produce   COUNT events from number FIRST on, three API calls to one sign-in (of which one of
 *           fifty fails), of tenants and their clients drawn at random. Same number, same event;
 *           event time goes on by a millisecond after EVENTS_A_MS events, from where the
 *           environment's FEED_START_MS says, or so that it ends at the last noon (UTC).
 * consume   the bare loop that everything is held against: all that is there, read_committed, in
 *           batches, with the properties that Weir sets, doing nothing with it.
 */
#include <inttypes.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/hash.h"
#include "codec/codec.h"
#include "support/event_mark.h"

enum {
    FAILURES_ONE_OF = 50,
    SIGN_INS_ONE_OF = 4,
    SERVE_EVENTS = 1000,
    BATCH = 4096,
    FLUSH_MS = 60000,
    DAY_MS = 86400000,
};

static const char *const inputs[] = {"api-calls", "auth-events"};
enum { INPUT_COUNT = 2 };

static void die(const char *doing, const char *why)
{
    fprintf(stderr, "feed: %s: %s\n", doing, why);
    exit(1);
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char error[256];

    if (rd_kafka_conf_set(conf, name, value, error, sizeof error) != RD_KAFKA_CONF_OK)
        die(name, error);
}

static rd_kafka_t *open_client(rd_kafka_type_t type, rd_kafka_conf_t *conf, const char *brokers)
{
    char error[256];
    rd_kafka_t *client;

    set(conf, "bootstrap.servers", brokers);
    client = rd_kafka_new(type, conf, error, sizeof error);
    if (client == NULL)
        die("rd_kafka_new", error);
    return client;
}

static double spent_s(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

static double now_s(void)
{
    return (double)clock_monotonic_ns(clock_system()) / 1e9;
}

/* ---- produce ---- */

struct crowd {
    uint64_t tenants, clients; /* clients of each tenant */
    uint64_t events_a_ms;
    int64_t start_ms;
};

static void make_event(const struct crowd *crowd, uint64_t number, struct arena *arena,
                       struct event *event)
{
    uint64_t random = hash_mix(11, number);
    unsigned tenant = (unsigned)(random % crowd->tenants);
    unsigned client = (unsigned)((random >> 32) % crowd->clients);

    *event = (struct event){.kind = number % SIGN_INS_ONE_OF == 0 ? EVENT_AUTH : EVENT_API_CALL};
    event->id = view_of(arena_print(arena, "e%" PRIu64, number));
    event->tenant_id = view_of(arena_print(arena, "tenant-%06u", tenant));
    event->event_time_ms = crowd->start_ms + (int64_t)(number / crowd->events_a_ms);
    struct view who = view_of(arena_print(arena, "client-%06u-%u", tenant, client));
    if (event->kind == EVENT_API_CALL) {
        event->api_call.client_id = who;
        event->api_call.method = VIEW_LITERAL("GET");
        event->api_call.path = VIEW_LITERAL("/v1/products/1234");
        event->api_call.status = 200;
    } else {
        event->auth.user_id = who;
        event->auth.outcome = (random >> 50) % FAILURES_ONE_OF == 0 ? AUTH_FAILURE : AUTH_SUCCESS;
        event->auth.ip =
            view_of(arena_print(arena, "10.%u.%u.%u", tenant >> 16, tenant >> 8 & 255, client));
    }
    event_mark(event);
}

static struct codec *open_codec(void)
{
    struct codec_options options;
    struct codec *codec;
    struct failure failure;

    option_preset(&codec_option_table, &options);
    if (codec_create(&options, &codec, &failure) != STATUS_OK)
        die("codec", failure.text);
    return codec;
}

static rd_kafka_t *open_producer(const char *brokers)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    set(conf, "linger.ms", "20");
    set(conf, "compression.type", "lz4");
    set(conf, "queue.buffering.max.messages", "500000");
    set(conf, "acks", "1");
    return open_client(RD_KAFKA_PRODUCER, conf, brokers);
}

static void send_message(rd_kafka_t *client, rd_kafka_topic_t *topic, int32_t partition,
                         struct view key, struct view value)
{
    while (rd_kafka_produce(topic, partition, RD_KAFKA_MSG_F_COPY, (void *)(uintptr_t)value.data,
                            value.size, key.data, key.size, NULL) != 0) {
        if (rd_kafka_last_error() != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            die("produce", rd_kafka_err2str(rd_kafka_last_error()));
        rd_kafka_poll(client, 10);
    }
}

static void produce(const char *brokers, const char *prefix, int32_t partitions,
                    enum codec_format format, uint64_t first, uint64_t count,
                    const struct crowd *crowd)
{
    rd_kafka_t *client = open_producer(brokers);
    rd_kafka_topic_t *topics[INPUT_COUNT];
    struct codec *codec = open_codec();
    struct arena *arena = arena_create(4096);
    struct byte_writer bytes;
    struct failure failure;
    uint64_t total = 0;

    byte_writer_init(&bytes);
    for (int i = 0; i < INPUT_COUNT; i++)
        topics[i] = rd_kafka_topic_new(client, arena_print(arena, "%s%s", prefix, inputs[i]), NULL);
    for (uint64_t number = first; number < first + count; number++) {
        struct event event;

        arena_reset(arena);
        make_event(crowd, number, arena, &event);
        byte_writer_reset(&bytes);
        if (codec_encode_event(codec, format, &event, &bytes, &failure) != STATUS_OK)
            die("encode", failure.text);
        total += bytes.size;
        send_message(client, topics[event.kind == EVENT_AUTH],
                     hash_partition(event.tenant_id, partitions), event.tenant_id,
                     byte_writer_view(&bytes));
        if (number % SERVE_EVENTS == 0)
            rd_kafka_poll(client, 0);
    }
    if (rd_kafka_flush(client, FLUSH_MS) != RD_KAFKA_RESP_ERR_NO_ERROR)
        die("flush", "the broker does not take it all");
    printf("{\"events\":%" PRIu64 ",\"bytes\":%" PRIu64 ",\"start_ms\":%" PRId64 "}\n", count,
           total, crowd->start_ms);
    byte_writer_free(&bytes);
    arena_destroy(arena);
    codec_destroy(codec);
    for (int i = 0; i < INPUT_COUNT; i++)
        rd_kafka_topic_destroy(topics[i]);
    rd_kafka_destroy(client);
}

/* ---- consume ---- */

static rd_kafka_t *open_consumer(const char *brokers, const char *prefix, int32_t partitions)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    rd_kafka_topic_partition_list_t *list;
    rd_kafka_t *client;
    char name[128];

    set(conf, "group.id", "feed");
    set(conf, "enable.auto.commit", "false");
    set(conf, "enable.partition.eof", "true");
    set(conf, "isolation.level", "read_committed");
    set(conf, "fetch.wait.max.ms", "50");
    set(conf, "queued.min.messages", "1000000");
    client = open_client(RD_KAFKA_CONSUMER, conf, brokers);
    rd_kafka_poll_set_consumer(client);
    list = rd_kafka_topic_partition_list_new(INPUT_COUNT * partitions);
    for (int i = 0; i < INPUT_COUNT; i++) {
        snprintf(name, sizeof name, "%s%s", prefix, inputs[i]);
        for (int32_t partition = 0; partition < partitions; partition++)
            rd_kafka_topic_partition_list_add(list, name, partition)->offset =
                RD_KAFKA_OFFSET_BEGINNING;
    }
    if (rd_kafka_assign(client, list) != RD_KAFKA_RESP_ERR_NO_ERROR)
        die("assign", prefix);
    rd_kafka_topic_partition_list_destroy(list);
    return client;
}

static void consume(const char *brokers, const char *prefix, int32_t partitions)
{
    rd_kafka_t *client = open_consumer(brokers, prefix, partitions);
    rd_kafka_queue_t *queue = rd_kafka_queue_get_consumer(client);
    rd_kafka_message_t *messages[BATCH];
    int32_t left = INPUT_COUNT * partitions;
    uint64_t count = 0;
    double began_s = 0, spent_before_s = 0;

    while (left > 0) {
        ssize_t fetched = rd_kafka_consume_batch_queue(queue, 100, messages, BATCH);

        for (ssize_t i = 0; i < fetched; i++) {
            if (messages[i]->err == RD_KAFKA_RESP_ERR__PARTITION_EOF)
                left--;
            else if (messages[i]->err != RD_KAFKA_RESP_ERR_NO_ERROR)
                die("consume", rd_kafka_message_errstr(messages[i]));
            else if (count++ == 0) {
                began_s = now_s();
                spent_before_s = spent_s();
            }
            rd_kafka_message_destroy(messages[i]);
        }
    }
    printf("{\"events\":%" PRIu64 ",\"seconds\":%.4f,\"cpu_seconds\":%.4f}\n", count,
           now_s() - began_s, spent_s() - spent_before_s);
    rd_kafka_queue_destroy(queue);
    rd_kafka_consumer_close(client);
    rd_kafka_destroy(client);
}

static uint64_t number(const char *text)
{
    return strtoull(text, NULL, 10);
}

/* At any hour, the same load: of a night, every event is one of an unusual time. */
static int64_t last_noon_ms(void)
{
    int64_t now_ms = clock_wall_ms(clock_system());

    return now_ms - (now_ms + DAY_MS / 2) % DAY_MS;
}

int main(int argc, char **argv)
{
    if (argc == 11 && strcmp(argv[1], "produce") == 0) {
        const char *start = getenv("FEED_START_MS");
        uint64_t first = number(argv[6]), count = number(argv[7]);
        struct crowd crowd = {number(argv[8]), number(argv[9]), number(argv[10]), 0};

        crowd.start_ms = start != NULL
                             ? (int64_t)number(start)
                             : last_noon_ms() - (int64_t)((first + count) / crowd.events_a_ms);
        produce(argv[2], argv[3], (int32_t)number(argv[4]),
                strcmp(argv[5], "json") == 0 ? CODEC_JSON : CODEC_AVRO_SINGLE_OBJECT, first, count,
                &crowd);
        return 0;
    }
    if (argc == 5 && strcmp(argv[1], "consume") == 0) {
        consume(argv[2], argv[3], (int32_t)number(argv[4]));
        return 0;
    }
    fprintf(stderr, "usage: see the top of feed.c\n");
    return 2;
}
