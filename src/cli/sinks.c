#include "cli/sinks.h"

#include <stdlib.h>
#include <unistd.h>

#include "base/hash.h"
#include "base/json_writer.h"
#include "kafka/kafka.h"
#include "sink/notify.h"
#include "sink/postgres.h"
#include "sink/runner.h"

enum { DESTINATIONS_MAX = 8 };

/* ---- the destinations ---- */

struct destination {
    enum role role;
    const char *name;
    bool (*is_configured)(const struct settings *settings);
    /* `group` is the consumer group whose records it gets. */
    enum status (*create)(const struct host *host, const char *group, void **object,
                          struct failure *failure);
    struct delivery (*delivery)(void *object);
    void (*destroy)(void *object);
};

static uint64_t choose_seed(const struct host *host)
{
    return hash_mix((uint64_t)clock_wall_ms(host->clock), (uint64_t)getpid());
}

static bool has_postgres(const struct settings *settings)
{
    return postgres_is_configured(&settings->postgres);
}

_Static_assert((int)POSTGRES_CLUSTER_MAX == (int)KAFKA_CLUSTER_MAX, "one id of a cluster");

static void find_cluster(const void *kafka_options, char id[POSTGRES_CLUSTER_MAX])
{
    kafka_find_cluster(kafka_options, id);
}

static enum status create_postgres(const struct host *host, const char *group, void **object,
                                   struct failure *failure)
{
    struct postgres_setup setup = {
        .options = &host->settings->postgres,
        .group = group,
        .find_cluster = find_cluster,
        .context = &host->settings->kafka,
        .clock = host->clock,
        .metrics = host->metrics,
    };
    struct postgres *postgres = NULL;
    enum status status = postgres_create(&setup, &postgres, failure);

    *object = postgres;
    return status;
}

static struct delivery deliver_to_postgres(void *object)
{
    return postgres_delivery(object);
}

static void destroy_postgres(void *object)
{
    postgres_destroy(object);
}

static bool has_slack(const struct settings *settings)
{
    return notify_is_configured(&settings->notify, NOTIFY_SLACK);
}

static bool has_email(const struct settings *settings)
{
    return notify_is_configured(&settings->notify, NOTIFY_EMAIL);
}

static void *create_channel(const struct host *host, enum notify_channel channel)
{
    struct notify_setup setup = {
        .options = &host->settings->notify,
        .sink = &host->settings->sink,
        .channel = channel,
        .clock = host->clock,
        .metrics = host->metrics,
        .seed = choose_seed(host),
    };

    return notify_create(&setup);
}

static enum status create_slack(const struct host *host, const char *group, void **object,
                                struct failure *failure)
{
    (void)group;
    (void)failure;
    *object = create_channel(host, NOTIFY_SLACK);
    return STATUS_OK;
}

static enum status create_email(const struct host *host, const char *group, void **object,
                                struct failure *failure)
{
    (void)group;
    (void)failure;
    *object = create_channel(host, NOTIFY_EMAIL);
    return STATUS_OK;
}

static struct delivery deliver_to_channel(void *object)
{
    return notify_delivery(object);
}

static void destroy_channel(void *object)
{
    notify_destroy(object);
}

static const struct destination destinations[] = {
    {ROLE_POSTGRES, "postgres", has_postgres, create_postgres, deliver_to_postgres,
     destroy_postgres},
    {ROLE_NOTIFY, "notify-slack", has_slack, create_slack, deliver_to_channel, destroy_channel},
    {ROLE_NOTIFY, "notify-email", has_email, create_email, deliver_to_channel, destroy_channel},
};
enum { DESTINATION_COUNT = sizeof destinations / sizeof destinations[0] };

/* ---- one sink ---- */

struct sink {
    const struct destination *destination;
    void *object;
    struct codec *codec;
    struct transport transport; /* door NULL: not opened */
    struct sink_setup setup;
    struct sink_runner *runner;
};

struct sinks {
    const struct host *host;
    struct arena *arena;
    struct sink at[DESTINATIONS_MAX];
    uint32_t count;
};

static void close_sink(struct sink *sink)
{
    if (sink->runner != NULL)
        sink_runner_stop(sink->runner);
    sink_runner_close(sink->runner);
    if (sink->transport.door != NULL)
        sink->transport.door->close(sink->transport.context);
    if (sink->object != NULL)
        sink->destination->destroy(sink->object);
    codec_destroy(sink->codec);
}

static enum status open_transport(const struct host *host, struct sink *sink,
                                  struct failure *failure)
{
    struct kafka_setup setup = {
        .options = &host->settings->kafka,
        .role = KAFKA_SINK,
        .name = sink->destination->name,
        .metrics = host->metrics,
        .is_stopping = host->is_stopping,
        .wait_ms = -1,
    };

    return kafka_open(&setup, &sink->transport, failure);
}

static enum status open_sink(struct sinks *sinks, struct sink *sink, struct failure *failure)
{
    const struct host *host = sinks->host;
    const struct kafka_options *kafka = &host->settings->kafka;
    const char *name = sink->destination->name;
    const char *prefix = kafka->topics.prefix != NULL ? kafka->topics.prefix : "";
    const char *group = arena_print(sinks->arena, "%s%s-%s", prefix, kafka->group_id, name);
    enum status status = codec_create(&host->settings->codec, &sink->codec, failure);

    if (status == STATUS_OK)
        status = sink->destination->create(host, group, &sink->object, failure);
    if (status == STATUS_OK)
        status = open_transport(host, sink, failure);
    if (status != STATUS_OK)
        return status;
    sink->setup = (struct sink_setup){
        .options = &host->settings->sink,
        .delivery = sink->destination->delivery(sink->object),
        .transport = sink->transport,
        .codec = sink->codec,
        .clock = host->clock,
        .metrics = host->metrics,
        .seed = choose_seed(host),
    };
    status = sink_runner_open(&sink->setup, &sink->runner, failure);
    if (status == STATUS_OK)
        status = sink_runner_start(sink->runner, failure);
    return status;
}

/* ---- all sinks ---- */

enum status sinks_open(const struct host *host, struct sinks **out, struct failure *failure)
{
    struct sinks *sinks = calloc(1, sizeof *sinks);
    enum status status = STATUS_OK;

    *out = NULL;
    if (sinks == NULL)
        abort();
    sinks->host = host;
    sinks->arena = arena_create(4096);
    for (size_t i = 0; i < DESTINATION_COUNT && status == STATUS_OK; i++) {
        if ((host->settings->roles & (uint32_t)destinations[i].role) == 0 ||
            !destinations[i].is_configured(host->settings))
            continue;
        struct sink *sink = &sinks->at[sinks->count++];
        sink->destination = &destinations[i];
        status = open_sink(sinks, sink, failure);
    }
    if (status == STATUS_OK)
        *out = sinks;
    else
        sinks_close(sinks);
    return status;
}

void sinks_close(struct sinks *sinks)
{
    if (sinks == NULL)
        return;
    for (uint32_t i = 0; i < sinks->count; i++)
        close_sink(&sinks->at[i]);
    arena_destroy(sinks->arena);
    free(sinks);
}

bool sinks_are_ready(const struct sinks *sinks)
{
    for (uint32_t i = 0; i < sinks->count; i++)
        if (!sink_runner_is_ready(sinks->at[i].runner))
            return false;
    return true;
}

bool sinks_have_failed(const struct sinks *sinks)
{
    for (uint32_t i = 0; i < sinks->count; i++)
        if (sink_runner_has_failed(sinks->at[i].runner))
            return true;
    return false;
}

int64_t sinks_last_turn_ms(const struct sinks *sinks)
{
    int64_t oldest_ms = INT64_MAX;

    for (uint32_t i = 0; i < sinks->count; i++) {
        int64_t turn_ms = sink_runner_last_turn_ms(sinks->at[i].runner);
        oldest_ms = turn_ms < oldest_ms ? turn_ms : oldest_ms;
    }
    return oldest_ms;
}

void sinks_status(const struct sinks *sinks, struct byte_writer *out)
{
    struct json_writer json = json_writer_on(out);

    json_begin_object(&json);
    for (uint32_t i = 0; i < sinks->count; i++) {
        json_name(&json, sinks->at[i].destination->name);
        sink_runner_status(sinks->at[i].runner, out);
        json.needs_comma = true;
    }
    json_end_object(&json);
}
