#include "kafka/topics.h"

#include <assert.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "kafka/client.h"

enum { ADMIN_TIMEOUT_MS = 30000, VISIBLE_TRIES_MAX = 100, VISIBLE_WAIT_MS = 100 };

/* The library's batch.size: what it sends at once, which the broker takes for one message. */
enum { BATCH_BYTES_MAX = 1000000 };

struct admin {
    struct client client;
    const struct kafka_options *options;
    struct topic_report *reports;
};

int32_t topics_partitions(const struct kafka_options *options, enum topic topic)
{
    switch (topic_info(topic)->layout) {
    case LAYOUT_SINGLE:
        return 1;
    case LAYOUT_INPUT:
    case LAYOUT_RESULT:
        break;
    }
    return (int32_t)options->topics.partitions;
}

static enum status open_admin(struct admin *admin, const struct kafka_options *options,
                              struct topic_report *reports, struct failure *failure)
{
    static const struct kafka_setup setup = {.name = "topics", .wait_ms = 10000};
    rd_kafka_conf_t *conf = client_configure(options, CLIENT_ADMIN, NULL);
    enum status status;

    memset(admin, 0, sizeof *admin);
    admin->options = options;
    admin->reports = reports;
    status = client_open(&admin->client, options, CLIENT_ADMIN, conf, setup.name, NULL, failure);
    if (status == STATUS_OK)
        status = client_wait_ready(&admin->client, &setup, failure);
    for (int topic = 0; status == STATUS_OK && topic < TOPIC_COUNT; topic++) {
        struct topic_report *report = &reports[topic];
        *report = (struct topic_report){.topic = (enum topic)topic};
        snprintf(report->name, sizeof report->name, "%s", admin->client.names[topic]);
    }
    return status;
}

static struct topic_report *find_report(struct admin *admin, const char *name)
{
    enum topic topic = client_topic(&admin->client, name);

    return topic == TOPIC_COUNT ? NULL : &admin->reports[topic];
}

static void set_problem(struct topic_report *report, const char *problem)
{
    if (report->problem[0] == '\0')
        snprintf(report->problem, sizeof report->problem, "%s", problem);
}

/* ---- waiting for answers ---- */

typedef void request_fn(struct admin *admin, rd_kafka_AdminOptions_t *admin_options,
                        rd_kafka_queue_t *queue, void *context);
typedef void answer_fn(struct admin *admin, const rd_kafka_event_t *event);

static enum status ask(struct admin *admin, rd_kafka_admin_op_t kind, const char *doing,
                       request_fn *on_request, void *context, answer_fn *on_answer,
                       struct failure *failure)
{
    rd_kafka_queue_t *queue = rd_kafka_queue_new(admin->client.handle);
    rd_kafka_AdminOptions_t *admin_options = rd_kafka_AdminOptions_new(admin->client.handle, kind);
    enum status status = STATUS_OK;
    char error[128];

    rd_kafka_AdminOptions_set_request_timeout(admin_options, ADMIN_TIMEOUT_MS, error, sizeof error);
    on_request(admin, admin_options, queue, context);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, ADMIN_TIMEOUT_MS + REQUEST_TIMEOUT_MS);
    if (event == NULL)
        status = failure_set(failure, REMEDY_RETRY, "%s: no answer", doing);
    else if (rd_kafka_event_error(event) != RD_KAFKA_RESP_ERR_NO_ERROR)
        status = client_fail(&admin->client, rd_kafka_event_error(event), doing,
                             rd_kafka_event_error_string(event), failure);
    else
        on_answer(admin, event);
    if (event != NULL)
        rd_kafka_event_destroy(event);
    rd_kafka_AdminOptions_destroy(admin_options);
    rd_kafka_queue_destroy(queue);
    return status;
}

/* ---- what is there ---- */

static void look_at_partitions(struct topic_report *report, const rd_kafka_metadata_topic_t *found)
{
    if (found->err != RD_KAFKA_RESP_ERR_NO_ERROR || found->partition_cnt == 0) {
        /* One that was just created has no leader yet; wait_visible looks again. */
        if (found->err != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART &&
            report->state != TOPIC_STATE_CREATED)
            set_problem(report, rd_kafka_err2str(found->err));
        return;
    }
    if (report->state == TOPIC_STATE_MISSING)
        report->state = TOPIC_STATE_PRESENT;
    report->partitions = found->partition_cnt;
    report->replication_factor = found->partitions[0].replica_cnt;
}

/* Every topic is asked for by the list of all: asking by name could create it on a broker that
 * does so by itself. */
static enum status look(struct admin *admin, struct failure *failure)
{
    const struct rd_kafka_metadata *metadata = NULL;
    rd_kafka_resp_err_t code =
        rd_kafka_metadata(admin->client.handle, 1, NULL, &metadata, REQUEST_TIMEOUT_MS);

    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        return client_fail(&admin->client, code, "list of topics", NULL, failure);
    for (int index = 0; index < metadata->topic_cnt; index++) {
        struct topic_report *report = find_report(admin, metadata->topics[index].topic);
        if (report != NULL)
            look_at_partitions(report, &metadata->topics[index]);
    }
    rd_kafka_metadata_destroy(metadata);
    return STATUS_OK;
}

/* ---- settings of what is there ---- */

static bool is_there(const struct topic_report *report)
{
    return report->state == TOPIC_STATE_PRESENT || report->state == TOPIC_STATE_CREATED;
}

static void request_settings(struct admin *admin, rd_kafka_AdminOptions_t *admin_options,
                             rd_kafka_queue_t *queue, void *context)
{
    rd_kafka_ConfigResource_t *resources[TOPIC_COUNT];
    size_t count = 0;

    (void)context;
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        if (is_there(&admin->reports[topic]))
            resources[count++] =
                rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, admin->reports[topic].name);
    rd_kafka_DescribeConfigs(admin->client.handle, resources, count, admin_options, queue);
    rd_kafka_ConfigResource_destroy_array(resources, count);
}

static void read_settings(struct topic_report *report, const rd_kafka_ConfigResource_t *resource)
{
    size_t count;
    const rd_kafka_ConfigEntry_t **entries = rd_kafka_ConfigResource_configs(resource, &count);

    for (size_t index = 0; index < count; index++) {
        const char *name = rd_kafka_ConfigEntry_name(entries[index]);
        const char *value = rd_kafka_ConfigEntry_value(entries[index]);
        if (value == NULL)
            continue;
        if (strcmp(name, "retention.ms") == 0)
            report->retention_ms = strtoll(value, NULL, 10);
        else if (strcmp(name, "cleanup.policy") == 0)
            report->is_compacted = strstr(value, "compact") != NULL;
        else if (strcmp(name, "max.message.bytes") == 0)
            report->bytes_max = strtoll(value, NULL, 10);
    }
}

static void answer_settings(struct admin *admin, const rd_kafka_event_t *event)
{
    size_t count;
    const rd_kafka_DescribeConfigs_result_t *result =
        rd_kafka_event_DescribeConfigs_result((rd_kafka_event_t *)(uintptr_t)event);
    const rd_kafka_ConfigResource_t **resources =
        rd_kafka_DescribeConfigs_result_resources(result, &count);

    for (size_t index = 0; index < count; index++) {
        struct topic_report *report =
            find_report(admin, rd_kafka_ConfigResource_name(resources[index]));
        if (report != NULL &&
            rd_kafka_ConfigResource_error(resources[index]) == RD_KAFKA_RESP_ERR_NO_ERROR)
            read_settings(report, resources[index]);
    }
}

static enum status look_at_settings(struct admin *admin, struct failure *failure)
{
    bool is_any = false;

    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        is_any |= is_there(&admin->reports[topic]);
    if (!is_any)
        return STATUS_OK;
    return ask(admin, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS, "settings of topics", request_settings,
               NULL, answer_settings, failure);
}

/* ---- judgement ---- */

/* The largest message of our inputs; 0: not known. */
static int64_t largest_input(const struct topic_report *reports)
{
    int64_t bytes = 0;

    for (int topic = 0; topic < TOPIC_FORWARD; topic++)
        if (reports[topic].bytes_max > bytes)
            bytes = reports[topic].bytes_max;
    return bytes;
}

static void judge_size(const struct admin *admin, struct topic_report *report)
{
    const int64_t input = largest_input(admin->reports);
    const bool is_copy = report->topic == TOPIC_FORWARD || report->topic == TOPIC_DEAD_LETTER;
    char problem[TOPIC_PROBLEM_MAX];

    if (report->topic < TOPIC_FORWARD || report->topic == TOPIC_COMMANDS || report->bytes_max <= 0)
        return;
    if (report->bytes_max < BATCH_BYTES_MAX) {
        snprintf(problem, sizeof problem,
                 "takes no more than %lld bytes at once, and Weir writes up to %d: it will stop "
                 "when it must; set max.message.bytes to %s",
                 (long long)report->bytes_max, BATCH_BYTES_MAX, MESSAGE_BYTES_MAX);
        set_problem(report, problem);
    } else if (is_copy && report->bytes_max < input) {
        snprintf(problem, sizeof problem,
                 "takes messages of up to %lld bytes, an input of up to %lld: what is larger goes "
                 "to dead-letter without its value; set max.message.bytes to %lld or more",
                 (long long)report->bytes_max, (long long)input, (long long)input);
        set_problem(report, problem);
    }
}

static void judge_topic(const struct admin *admin, struct topic_report *report, int32_t inputs)
{
    const struct topic_info *info = topic_info(report->topic);
    char problem[TOPIC_PROBLEM_MAX];

    if (report->state == TOPIC_STATE_MISSING) {
        set_problem(report, "does not exist; run `weir topics create`");
        return;
    }
    if (!is_there(report))
        return;
    if (info->layout == LAYOUT_INPUT && report->partitions != inputs) {
        snprintf(problem, sizeof problem,
                 "has %d partitions, %s has %d; all inputs and weir.* need the same number "
                 "(kafka-topics.sh --alter --partitions)",
                 (int)report->partitions, admin->client.names[TOPIC_ORDERS], (int)inputs);
        set_problem(report, problem);
    }
    if (info->layout == LAYOUT_SINGLE && report->partitions != 1) {
        snprintf(problem, sizeof problem, "has %d partitions and needs exactly 1; make it anew",
                 (int)report->partitions);
        set_problem(report, problem);
    }
    if (info->is_compacted && !report->is_compacted)
        set_problem(report, "is not compacted and will grow for ever; set cleanup.policy=compact");
    judge_size(admin, report);
}

static void judge_all(struct admin *admin)
{
    int32_t inputs = admin->reports[TOPIC_ORDERS].partitions;

    if (inputs == 0)
        inputs = (int32_t)admin->options->topics.partitions;
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        judge_topic(admin, &admin->reports[topic], inputs);
}

static enum status describe_all(struct admin *admin, struct failure *failure)
{
    enum status status = look(admin, failure);

    if (status == STATUS_OK)
        status = look_at_settings(admin, failure);
    if (status == STATUS_OK)
        judge_all(admin);
    return status;
}

/* ---- creation ---- */

static void set_settings(const struct admin *admin, rd_kafka_NewTopic_t *wanted, enum topic topic)
{
    char retention[32];

    snprintf(retention, sizeof retention, "%lld", (long long)admin->options->topics.retention_ms);
    if (topic_info(topic)->is_compacted)
        rd_kafka_NewTopic_set_config(wanted, "cleanup.policy", "compact");
    else
        rd_kafka_NewTopic_set_config(wanted, "retention.ms", retention);
    /* What a journal speaks of must be there for a replay: for longer than two snapshot
     * intervals of a day. */
    if (topic == TOPIC_POPULARITY)
        rd_kafka_NewTopic_set_config(wanted, "min.compaction.lag.ms", "259200000");
    if (topic == TOPIC_FORWARD || topic == TOPIC_DEAD_LETTER)
        rd_kafka_NewTopic_set_config(wanted, "max.message.bytes", MESSAGE_BYTES_MAX);
}

static void request_creation(struct admin *admin, rd_kafka_AdminOptions_t *admin_options,
                             rd_kafka_queue_t *queue, void *context)
{
    rd_kafka_NewTopic_t *wanted[TOPIC_COUNT];
    size_t count = 0;
    char error[256];
    int32_t inputs = admin->reports[TOPIC_ORDERS].partitions;

    (void)context;
    for (int topic = 0; topic < TOPIC_COUNT; topic++) {
        struct topic_report *report = &admin->reports[topic];
        int32_t partitions = topics_partitions(admin->options, (enum topic)topic);
        if (report->state != TOPIC_STATE_MISSING)
            continue;
        /* Beside inputs that are there already, ours must have as many. */
        if (topic_info((enum topic)topic)->layout == LAYOUT_INPUT && inputs > 0)
            partitions = inputs;
        rd_kafka_NewTopic_t *topic_wanted = rd_kafka_NewTopic_new(
            report->name, partitions, (int)admin->options->topics.replication_factor, error,
            sizeof error);
        if (topic_wanted == NULL) {
            report->state = TOPIC_STATE_FAILED;
            set_problem(report, error);
            continue;
        }
        set_settings(admin, topic_wanted, (enum topic)topic);
        wanted[count++] = topic_wanted;
    }
    rd_kafka_CreateTopics(admin->client.handle, wanted, count, admin_options, queue);
    rd_kafka_NewTopic_destroy_array(wanted, count);
}

static void answer_creation(struct admin *admin, const rd_kafka_event_t *event)
{
    size_t count;
    const rd_kafka_CreateTopics_result_t *result =
        rd_kafka_event_CreateTopics_result((rd_kafka_event_t *)(uintptr_t)event);
    const rd_kafka_topic_result_t **topics = rd_kafka_CreateTopics_result_topics(result, &count);

    for (size_t index = 0; index < count; index++) {
        struct topic_report *report = find_report(admin, rd_kafka_topic_result_name(topics[index]));
        rd_kafka_resp_err_t code = rd_kafka_topic_result_error(topics[index]);
        const char *text = rd_kafka_topic_result_error_string(topics[index]);
        if (report == NULL)
            continue;
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR) {
            report->state = TOPIC_STATE_CREATED;
        } else if (code != RD_KAFKA_RESP_ERR_TOPIC_ALREADY_EXISTS) {
            report->state = TOPIC_STATE_FAILED;
            set_problem(report, text != NULL ? text : rd_kafka_err2str(code));
        }
    }
}

/* The controller has answered; the broker that we ask learns of it a little later. */
static enum status wait_visible(struct admin *admin, struct failure *failure)
{
    enum status status = STATUS_OK;
    bool is_visible = false;

    for (int attempt = 0; attempt < VISIBLE_TRIES_MAX && !is_visible; attempt++) {
        is_visible = true;
        if (attempt > 0)
            rd_kafka_poll(admin->client.handle, VISIBLE_WAIT_MS);
        status = look(admin, failure);
        if (status != STATUS_OK)
            return status;
        for (int topic = 0; topic < TOPIC_COUNT; topic++)
            is_visible &= admin->reports[topic].state != TOPIC_STATE_CREATED ||
                          admin->reports[topic].partitions > 0;
    }
    return status;
}

enum status topics_create(const struct kafka_options *options,
                          struct topic_report reports[TOPIC_COUNT], struct failure *failure)
{
    struct admin admin;
    bool is_any_missing = false;
    enum status status = open_admin(&admin, options, reports, failure);

    if (status == STATUS_OK)
        status = look(&admin, failure);
    for (int topic = 0; status == STATUS_OK && topic < TOPIC_COUNT; topic++)
        is_any_missing |= reports[topic].state == TOPIC_STATE_MISSING;
    if (status == STATUS_OK && is_any_missing) {
        status = ask(&admin, RD_KAFKA_ADMIN_OP_CREATETOPICS, "creating topics", request_creation,
                     NULL, answer_creation, failure);
        if (status == STATUS_OK)
            status = wait_visible(&admin, failure);
    }
    if (status == STATUS_OK)
        status = describe_all(&admin, failure);
    client_close(&admin.client);
    return status;
}

enum status topics_describe(const struct kafka_options *options,
                            struct topic_report reports[TOPIC_COUNT], struct failure *failure)
{
    struct admin admin;
    enum status status = open_admin(&admin, options, reports, failure);

    if (status == STATUS_OK)
        status = describe_all(&admin, failure);
    client_close(&admin.client);
    return status;
}

enum status topics_check(const struct kafka_options *options, int64_t least_ms,
                         struct failure *failure)
{
    struct topic_report reports[TOPIC_COUNT];
    struct failure unknown = {0};

    if (topics_describe(options, reports, &unknown) != STATUS_OK) {
        log_warn("kafka",
                 "how long the inputs are kept, and how large a message may be, is not "
                 "checked: %s",
                 unknown.text);
        return STATUS_OK;
    }
    for (int topic = 0; topic < TOPIC_COUNT; topic++) {
        const struct topic_report *report = &reports[topic];
        const struct topic_info *info = topic_info((enum topic)topic);
        if (is_there(report) && report->problem[0] != '\0')
            log_warn("kafka", "topic %s %s", report->name, report->problem);
        /* -1: for ever; 0: not told. */
        if (info->layout != LAYOUT_INPUT || info->is_compacted || report->is_compacted ||
            report->retention_ms <= 0 || report->retention_ms >= least_ms)
            continue;
        return failure_set(failure, REMEDY_STOP,
                           "%s keeps its records for %lld ms (retention.ms), but a snapshot is "
                           "taken every %lld ms (processing.snapshot.interval_ms): after a crash, "
                           "what is between could not be replayed. Set retention.ms of the topic "
                           "to %lld or more, better to days (kafka-configs.sh --alter), or take "
                           "snapshots more often",
                           report->name, (long long)report->retention_ms, (long long)least_ms,
                           2 * (long long)least_ms);
    }
    return STATUS_OK;
}
