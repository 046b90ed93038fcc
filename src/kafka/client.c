#include "kafka/client.h"

#include <assert.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "base/log.h"

static const char room[] = "kafka";

/* 2.6.1 fixed the nonce that 2.0.2 sends twice; Kafka 4 refuses it, 3.9 let it pass. */
enum { VERSION_SCRAM_FIXED = 0x020601ff };

/* How long after an outage its ghosts appear. */
enum { CUT_OFF_MEMORY_MS = 60000 };

/* Of client_is_told: how long it holds, and how many are remembered. */
enum { TOLD_MS = 30000, TOLD_COUNT = 16 };

enum { WAIT_STEP_MS = 1000, WAIT_LOG_STEPS = 5, TOPIC_TRIES_MAX = 3 };

struct preset {
    const char *name;
    const char *value;
};

/* The user may say otherwise. */
static const struct preset presets[] = {
    /* Nagle is on until librdkafka 2.10 and costs a delayed ACK (40 ms) now and then. */
    {"socket.nagle.disable", "true"},     {"socket.keepalive.enable", "true"},
    {"log.connection.close", "false"},    {"reconnect.backoff.ms", "100"},
    {"reconnect.backoff.max.ms", "2000"},
};

static const struct preset consumer_presets[] = {
    /* A fetch that waits for data holds up a partition that was just added behind it. */
    {"fetch.wait.max.ms", "50"},
    /* Fetching stops while the queue is over its limits, and librdkafka before 2.2 looks again
     * only when something else wakes its thread, up to a second later. A queue that a second
     * does not drain keeps the records flowing: 1.8 instead of 0.5 million a second. */
    {"queued.min.messages", "1000000"},
    {"queued.max.messages.kbytes", "65536"},
};

static const struct preset producer_presets[] = {
    {"linger.ms", "5"},
    /* A transaction that follows its predecessor closely finds it still being ended at the
     * broker and is told to come again: 10 instead of 100 ms more for such a commit. */
    {"retry.backoff.ms", "10"},
    {"compression.type", "lz4"},
    /* topics.c gives the topics the same room. Batches stay under batch.size, which is below the
     * broker's limit. */
    {"message.max.bytes", MESSAGE_BYTES_MAX},
    {"queue.buffering.max.messages", "200000"},
};

/* Ours: the guarantees stand on them. */
static const struct preset consumer_fixed[] = {
    {"enable.auto.commit", "false"},
    {"enable.auto.offset.store", "false"},
    {"isolation.level", "read_committed"},
    {"allow.auto.create.topics", "false"},
    /* Cooperative assignment is avoided: librdkafka has had endless loops and hangs with it, and
     * only range keeps partition p of every input on one member. */
    {"partition.assignment.strategy", "range"},
    /* A position that the log does not have is told to us, not silently replaced. */
    {"auto.offset.reset", "error"},
};

static const struct preset producer_fixed[] = {
    {"enable.idempotence", "true"},
    /* The default (CRC32) disagrees with Kafka's Java client. */
    {"partitioner", "murmur2_random"},
};

void client_set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char error[256];
    rd_kafka_conf_res_t result = rd_kafka_conf_set(conf, name, value, error, sizeof error);

    assert(result == RD_KAFKA_CONF_OK);
    (void)result;
}

static void set_all(rd_kafka_conf_t *conf, const struct preset *list, size_t count)
{
    for (size_t index = 0; index < count; index++)
        client_set(conf, list[index].name, list[index].value);
}
#define SET_ALL(conf, list) set_all(conf, list, sizeof(list) / sizeof(list)[0])

static void set_given(rd_kafka_conf_t *conf, const char *name, const char *value,
                      struct complaints *complaints)
{
    char error[256];

    if (value != NULL &&
        rd_kafka_conf_set(conf, name, value, error, sizeof error) != RD_KAFKA_CONF_OK &&
        complaints != NULL)
        complain(complaints, NULL, "kafka.%s: %s", name, error);
}

/* Later librdkafkas know it, the oldest we support does not. */
static void set_if_known(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    (void)rd_kafka_conf_set(conf, name, value, NULL, 0);
}

rd_kafka_conf_t *client_configure(const struct kafka_options *options, enum client_kind kind,
                                  struct complaints *complaints)
{
    bool is_consumer = kind == CLIENT_MEMBER || kind == CLIENT_READER;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();

    SET_ALL(conf, presets);
    if (is_consumer) {
        SET_ALL(conf, consumer_presets);
        set_if_known(conf, "fetch.queue.backoff.ms", "50");
    } else if (kind == CLIENT_PRODUCER) {
        SET_ALL(conf, producer_presets);
    }
    set_given(conf, "bootstrap.servers", options->bootstrap_servers, complaints);
    for (uint32_t index = 0; index < options->property_count; index++) {
        const struct kafka_property *property = &options->properties[index];
        if (property->scope == KAFKA_EVERY || (property->scope == KAFKA_CONSUMER && is_consumer) ||
            (property->scope == KAFKA_PRODUCER && kind == CLIENT_PRODUCER))
            set_given(conf, property->name, property->value, complaints);
    }
    set_given(conf, "sasl.password", options->sasl_password, complaints);
    set_given(conf, "sasl.oauthbearer.client.secret", options->sasl_client_secret, complaints);
    set_given(conf, "ssl.key.password", options->ssl_key_password, complaints);
    set_given(conf, "ssl.key.pem", options->ssl_key_pem, complaints);
    set_given(conf, "ssl.keystore.password", options->ssl_keystore_password, complaints);
    if (is_consumer)
        SET_ALL(conf, consumer_fixed);
    else if (kind == CLIENT_PRODUCER)
        SET_ALL(conf, producer_fixed);
    if (kind == CLIENT_MEMBER)
        set_given(conf, "group.id", options->group_id, complaints);
    return conf;
}

/* ---- what the library tells ---- */

static enum log_level level_of(int syslog_level)
{
    /* The library calls "error" what it then retries for ever, such as a broker that is away:
     * for us that is a warning. What stops us comes as a failure. */
    if (syslog_level <= 4)
        return LOG_WARN;
    return syslog_level <= 6 ? LOG_INFO : LOG_DEBUG;
}

static void note_cut(struct client *client)
{
    if (client != NULL)
        atomic_store(&client->cut_off_ms, clock_monotonic_ms(clock_system()));
}

int64_t client_cut_off_ms(struct client *client)
{
    return atomic_load(&client->cut_off_ms);
}

bool client_was_cut_off(struct client *client)
{
    int64_t cut_off_ms = client_cut_off_ms(client);

    return cut_off_ms != 0 && clock_monotonic_ms(clock_system()) - cut_off_ms < CUT_OFF_MEMORY_MS;
}

static void refuse_clusters(struct client *client, const char *text)
{
    struct failure failure = {0};

    if (client == NULL)
        return;
    failure_set(&failure, REMEDY_STOP,
                "kafka.bootstrap.servers leads to brokers of different clusters; name those of "
                "one: %s",
                text);
    client_give_up(client, &failure);
}

bool client_is_told(struct view what)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    static struct {
        uint64_t what;
        int64_t until_ms;
    } told[TOLD_COUNT]; /* a ring */
    static uint32_t next;
    const int64_t now_ms = clock_monotonic_ms(clock_system());
    const uint64_t hash = hash_view(what, 0);
    bool answer = false;

    pthread_mutex_lock(&lock);
    for (uint32_t index = 0; index < TOLD_COUNT; index++)
        answer |= told[index].what == hash && now_ms < told[index].until_ms;
    if (!answer) {
        told[next].what = hash;
        told[next].until_ms = now_ms + TOLD_MS;
        next = (next + 1) % TOLD_COUNT;
    }
    pthread_mutex_unlock(&lock);
    return answer;
}

/* "thread: broker: Connect to ADDRESS failed: REASON (more)", of every client, again and again. */
static bool is_told_unreachable(const char *text)
{
    const char *what = strstr(text, "Connect to "), *end = what != NULL ? strchr(what, '(') : NULL;

    return end != NULL && client_is_told((struct view){what, (uint32_t)(end - what)});
}

static void on_log(const rd_kafka_t *handle, int level, const char *facility, const char *text)
{
    enum log_level ours = level_of(level);

    /* The session ended before a broker said so: the only word of it. */
    if (strcmp(facility, "SESSTMOUT") == 0)
        note_cut(rd_kafka_opaque(handle));
    /* Brokers of two clusters: their positions would be mixed up. */
    if (strcmp(facility, "CLUSTERID") == 0)
        refuse_clusters(rd_kafka_opaque(handle), text);
    /* "... is a consumer property and will be ignored by this producer instance": our doing, as
     * properties without a prefix are given to all clients. */
    if (strcmp(facility, "CONFWARN") == 0)
        ours = LOG_DEBUG;
    /* "Failed to acquire transactional PID ...: retrying": a predecessor's transaction is being
     * ended, or a coordinator loads. Every unclean restart says it. */
    if (strcmp(facility, "GETPID") == 0 && ours == LOG_WARN)
        ours = LOG_INFO;
    /* "allow.auto.create.topics=false not supported by broker": the embedded one, whose topics
     * are all there. */
    if (strcmp(facility, "AUTOCREATE") == 0)
        ours = LOG_DEBUG;
    if (ours == LOG_WARN && strcmp(facility, "FAIL") == 0 && is_told_unreachable(text))
        ours = LOG_DEBUG;
    log_write(ours, room, "%s: %s", facility, text);
}

static void on_error(rd_kafka_t *handle, int code, const char *reason, void *opaque)
{
    struct client *client = opaque;

    if (client == NULL)
        return;
    if (code == RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || code == RD_KAFKA_RESP_ERR__TRANSPORT ||
        code == RD_KAFKA_RESP_ERR__TIMED_OUT)
        note_cut(client);
    pthread_mutex_lock(&client->lock);
    /* "All brokers are down" follows the error that says why; keep that one. */
    if (code != RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN || client->error_code == 0) {
        client->error_code = code;
        snprintf(client->error_text, sizeof client->error_text, "%s", reason);
    }
    pthread_mutex_unlock(&client->lock);
    log_debug(room, "%s: %s: %s", rd_kafka_name(handle), rd_kafka_err2name(code), reason);
}

/* ---- failures ---- */

static bool uses_scram(const struct kafka_options *options)
{
    for (uint32_t index = 0; index < options->property_count; index++) {
        const struct kafka_property *property = &options->properties[index];
        if ((strcmp(property->name, "sasl.mechanisms") == 0 ||
             strcmp(property->name, "sasl.mechanism") == 0) &&
            strncasecmp(property->value, "SCRAM", 5) == 0)
            return true;
    }
    return false;
}

static enum status fail_login(struct client *client, const char *doing, const char *text,
                              struct failure *failure)
{
    if (uses_scram(client->options) && rd_kafka_version() < VERSION_SCRAM_FIXED)
        return failure_set(
            failure, REMEDY_STOP,
            "%s: login refused. If the broker is Kafka 4 or later, librdkafka %s cannot log in "
            "with SCRAM even with the right password (fixed in 2.6.1): use PLAIN over TLS, client "
            "certificates, OAUTHBEARER, or a newer librdkafka. The library said: %s",
            doing, rd_kafka_version_str(), text);
    return failure_set(failure, REMEDY_STOP,
                       "%s: login refused; check kafka.security.protocol, sasl.* and ssl.*: %s",
                       doing, text);
}

enum status client_fail(struct client *client, int code, const char *doing, const char *text,
                        struct failure *failure)
{
    const struct kafka_options *options = client->options;
    char reason[256];

    /* A fatal error hides its cause behind one code. */
    if (code == RD_KAFKA_RESP_ERR__FATAL && client->handle != NULL) {
        code = rd_kafka_fatal_error(client->handle, reason, sizeof reason);
        text = reason;
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
            code = RD_KAFKA_RESP_ERR__FATAL;
    }
    if (text == NULL || text[0] == '\0')
        text = rd_kafka_err2str(code);
    switch (code) {
    case RD_KAFKA_RESP_ERR__AUTHENTICATION:
    case RD_KAFKA_RESP_ERR_SASL_AUTHENTICATION_FAILED:
        return fail_login(client, doing, text, failure);
    case RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART:
    case RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC:
    case RD_KAFKA_RESP_ERR__UNKNOWN_PARTITION:
        return failure_set(failure, REMEDY_STOP,
                           "%s: the topic or partition does not exist; run `weir topics create`",
                           doing);
    case RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED:
        return failure_set(failure, REMEDY_STOP,
                           "%s: no right to the topic; grant Read on the inputs, Write on the "
                           "results and both on weir.* (%s)",
                           doing, text);
    case RD_KAFKA_RESP_ERR_GROUP_AUTHORIZATION_FAILED:
        return failure_set(failure, REMEDY_STOP,
                           "%s: no right to the group; grant Read on groups that begin with '%s'",
                           doing, options->group_id);
    case RD_KAFKA_RESP_ERR_TRANSACTIONAL_ID_AUTHORIZATION_FAILED:
        return failure_set(failure, REMEDY_STOP,
                           "%s: no right to the transactional id; grant Write and Describe on "
                           "transactional ids that begin with '%s'",
                           doing, options->transactional_id_prefix);
    case RD_KAFKA_RESP_ERR_CLUSTER_AUTHORIZATION_FAILED:
        return failure_set(failure, REMEDY_STOP,
                           "%s: no right to the cluster; grant IdempotentWrite (brokers before "
                           "3.0) or Create on the cluster",
                           doing);
    case RD_KAFKA_RESP_ERR__FENCED:
    case RD_KAFKA_RESP_ERR_PRODUCER_FENCED:
    case RD_KAFKA_RESP_ERR_INVALID_PRODUCER_EPOCH:
        return failure_set(failure, REMEDY_STOP,
                           "%s: another process has taken over this producer's id (%s); if two "
                           "processes share kafka.group.instance.id, give each its own",
                           doing, text);
    case RD_KAFKA_RESP_ERR_FENCED_INSTANCE_ID:
        return failure_set(failure, REMEDY_STOP,
                           "%s: another member has the same kafka.group.instance.id; give each "
                           "process its own",
                           doing);
    case RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE:
    case RD_KAFKA_RESP_ERR_INVALID_MSG_SIZE:
    case RD_KAFKA_RESP_ERR_INVALID_RECORD:
        return failure_set(failure, REMEDY_SET_ASIDE, "%s: %s", doing, text);
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR__RESOLVE:
        return failure_set(failure, REMEDY_RETRY, "%s: no answer from %s: %s", doing,
                           options->bootstrap_servers, text);
    default:
        return failure_set(failure, REMEDY_RETRY, "%s: %s (%s)", doing, text,
                           rd_kafka_err2name(code));
    }
}

void client_give_up(struct client *client, const struct failure *failure)
{
    pthread_mutex_lock(&client->lock);
    if (!client->is_hopeless)
        client->hopeless = *failure;
    client->is_hopeless = true;
    pthread_mutex_unlock(&client->lock);
}

bool client_is_hopeless(struct client *client, struct failure *failure)
{
    if (!atomic_load(&client->is_hopeless))
        return false;
    pthread_mutex_lock(&client->lock);
    if (failure != NULL)
        *failure = client->hopeless;
    pthread_mutex_unlock(&client->lock);
    return true;
}

/* ---- opening and closing ---- */

void client_name_topics(const struct kafka_options *options, char *names[TOPIC_COUNT])
{
    const char *prefix = options->topics.prefix;

    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        if (asprintf(&names[topic], "%s%s", prefix != NULL ? prefix : "",
                     topic_info((enum topic)topic)->name) < 0)
            abort();
}

enum topic client_topic(const struct client *client, const char *name)
{
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        if (strcmp(client->names[topic], name) == 0)
            return (enum topic)topic;
    return TOPIC_COUNT;
}

enum status client_open(struct client *client, const struct kafka_options *options,
                        enum client_kind kind, rd_kafka_conf_t *conf, const char *name, void *owner,
                        struct failure *failure)
{
    bool is_consumer = kind == CLIENT_MEMBER || kind == CLIENT_READER;
    char error[256], id[256];

    memset(client, 0, sizeof *client);
    client->options = options;
    client->kind = kind;
    client->owner = owner;
    pthread_mutex_init(&client->lock, NULL);
    client_name_topics(options, client->names);
    snprintf(id, sizeof id, "%s-%s", options->client_id, name);
    client_set(conf, "client.id", id);
    rd_kafka_conf_set_log_cb(conf, on_log);
    rd_kafka_conf_set_error_cb(conf, on_error);
    rd_kafka_conf_set_opaque(conf, client);
    client->handle = rd_kafka_new(is_consumer ? RD_KAFKA_CONSUMER : RD_KAFKA_PRODUCER, conf, error,
                                  sizeof error);
    if (client->handle == NULL) {
        rd_kafka_conf_destroy(conf);
        client_close(client);
        return failure_set(failure, REMEDY_STOP, "kafka: %s", error);
    }
    return STATUS_OK;
}

void client_close(struct client *client)
{
    if (client->options == NULL)
        return;
    if (client->handle != NULL)
        rd_kafka_destroy(client->handle);
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        free(client->names[topic]);
    pthread_mutex_destroy(&client->lock);
    memset(client, 0, sizeof *client);
}

static int last_error(struct client *client, char *text, size_t size)
{
    pthread_mutex_lock(&client->lock);
    int code = client->error_code;
    snprintf(text, size, "%s", client->error_text);
    pthread_mutex_unlock(&client->lock);
    return code;
}

enum status client_wait_ready(struct client *client, const struct kafka_setup *setup,
                              struct failure *failure)
{
    const char *address = client->options->bootstrap_servers;
    char text[CLIENT_TEXT_MAX];

    for (int64_t step = 0;; step++) {
        const struct rd_kafka_metadata *metadata = NULL;
        rd_kafka_resp_err_t code =
            rd_kafka_metadata(client->handle, 0, NULL, &metadata, WAIT_STEP_MS);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
            rd_kafka_metadata_destroy(metadata);
        if (client_is_hopeless(client, failure))
            return STATUS_BROKEN;
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
            return STATUS_OK;
        rd_kafka_poll(client->handle, 0); /* serves on_error */
        int reported = last_error(client, text, sizeof text);
        if (reported == 0)
            snprintf(text, sizeof text, "%s", rd_kafka_err2str(code));
        if (reported == RD_KAFKA_RESP_ERR__AUTHENTICATION)
            return client_fail(client, reported, address, text, failure);
        if (setup->is_stopping != NULL && atomic_load(setup->is_stopping))
            return STATUS_AGAIN;
        if (setup->wait_ms >= 0 && (step + 1) * WAIT_STEP_MS >= setup->wait_ms)
            return failure_set(failure, REMEDY_RETRY,
                               "no broker at %s; check kafka.bootstrap.servers and "
                               "kafka.security.protocol: %s",
                               address, text);
        if (step % WAIT_LOG_STEPS == 0)
            log_warn(room, "%s: waiting for a broker at %s (kafka.bootstrap.servers): %s",
                     setup->name, address, text);
    }
}

/* ---- questions ---- */

enum status client_partition_count(struct client *client, enum topic topic, int32_t *count,
                                   struct failure *failure)
{
    const char *name = client->names[topic];
    rd_kafka_topic_t *handle = rd_kafka_topic_new(client->handle, name, NULL);
    rd_kafka_resp_err_t code = RD_KAFKA_RESP_ERR__UNKNOWN_TOPIC;

    if (handle == NULL)
        return client_fail(client, rd_kafka_last_error(), name, NULL, failure);
    /* A topic that was just created is not known to every broker at once. */
    for (int attempt = 0; attempt < TOPIC_TRIES_MAX; attempt++) {
        const struct rd_kafka_metadata *metadata = NULL;
        code = rd_kafka_metadata(client->handle, 0, handle, &metadata, REQUEST_TIMEOUT_MS);
        if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
            break;
        code = metadata->topic_cnt == 1 ? metadata->topics[0].err
                                        : RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        *count = metadata->topic_cnt == 1 ? metadata->topics[0].partition_cnt : 0;
        rd_kafka_metadata_destroy(metadata);
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR && *count > 0)
            break;
        if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
            code = RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART;
        if (code != RD_KAFKA_RESP_ERR_UNKNOWN_TOPIC_OR_PART &&
            code != RD_KAFKA_RESP_ERR_LEADER_NOT_AVAILABLE)
            break;
    }
    rd_kafka_topic_destroy(handle);
    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return STATUS_OK;
    return client_fail(client, code, name, NULL, failure);
}

static int64_t read_message_bytes(const rd_kafka_DescribeConfigs_result_t *result)
{
    size_t count = 0, entry_count = 0;
    const rd_kafka_ConfigResource_t **resources =
        result != NULL ? rd_kafka_DescribeConfigs_result_resources(result, &count) : NULL;
    const rd_kafka_ConfigEntry_t **entries =
        count == 1 ? rd_kafka_ConfigResource_configs(resources[0], &entry_count) : NULL;

    for (size_t index = 0; index < entry_count; index++) {
        const char *value = rd_kafka_ConfigEntry_value(entries[index]);
        if (value != NULL &&
            strcmp(rd_kafka_ConfigEntry_name(entries[index]), "max.message.bytes") == 0)
            return strtoll(value, NULL, 10);
    }
    return 0;
}

int64_t client_message_bytes(struct client *client, enum topic topic)
{
    rd_kafka_ConfigResource_t *resource =
        rd_kafka_ConfigResource_new(RD_KAFKA_RESOURCE_TOPIC, client->names[topic]);
    rd_kafka_AdminOptions_t *options =
        rd_kafka_AdminOptions_new(client->handle, RD_KAFKA_ADMIN_OP_DESCRIBECONFIGS);
    rd_kafka_queue_t *queue = rd_kafka_queue_new(client->handle);
    int64_t bytes = 0;

    rd_kafka_AdminOptions_set_request_timeout(options, REQUEST_TIMEOUT_MS, NULL, 0);
    rd_kafka_DescribeConfigs(client->handle, &resource, 1, options, queue);
    rd_kafka_event_t *event = rd_kafka_queue_poll(queue, REQUEST_TIMEOUT_MS);
    if (event != NULL)
        bytes = read_message_bytes(rd_kafka_event_DescribeConfigs_result(event));
    rd_kafka_event_destroy(event);
    rd_kafka_queue_destroy(queue);
    rd_kafka_AdminOptions_destroy(options);
    rd_kafka_ConfigResource_destroy(resource);
    return bytes;
}

enum status client_bounds(struct client *client, enum topic topic, int32_t partition,
                          int64_t *first, int64_t *next, struct failure *failure)
{
    char doing[CLIENT_TEXT_MAX];
    rd_kafka_resp_err_t code = rd_kafka_query_watermark_offsets(
        client->handle, client->names[topic], partition, first, next, REQUEST_TIMEOUT_MS);

    if (code == RD_KAFKA_RESP_ERR_NO_ERROR)
        return STATUS_OK;
    /* Before 2.3 the library asks the leader that it once knew, for as long as it remembers
     * (metadata.max.age.ms): whoever asks again would be sent away again. */
    int32_t count;
    (void)client_partition_count(client, topic, &count, failure);
    snprintf(doing, sizeof doing, "offsets of %s[%d]", client->names[topic], (int)partition);
    return client_fail(client, code, doing, NULL, failure);
}

int client_committed(struct client *client, rd_kafka_topic_partition_list_t *list, int timeout_ms)
{
    rd_kafka_resp_err_t code = rd_kafka_committed(client->handle, list, timeout_ms);

    for (int index = 0; index < list->cnt && code == RD_KAFKA_RESP_ERR_NO_ERROR; index++)
        code = list->elems[index].err;
    return code;
}

enum topic client_topic_of(const struct client *client, rd_kafka_topic_t *const opened[TOPIC_COUNT],
                           rd_kafka_topic_t *handle)
{
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        if (opened[topic] == handle)
            return (enum topic)topic;
    return handle == NULL ? TOPIC_COUNT : client_topic(client, rd_kafka_topic_name(handle));
}

/* ---- producing ---- */

/* Headers and timestamps need producev. The list is given as a whole: with single headers a
 * failing call frees them twice (fixed in 2.12). */
int client_produce(struct client *client, rd_kafka_topic_t *topic, const struct outgoing *outgoing,
                   rd_kafka_headers_t *headers, void *opaque)
{
    rd_kafka_resp_err_t code = rd_kafka_producev(
        client->handle, RD_KAFKA_V_RKT(topic), RD_KAFKA_V_PARTITION(outgoing->partition),
        RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY),
        RD_KAFKA_V_KEY((void *)(uintptr_t)outgoing->key.data, outgoing->key.size),
        RD_KAFKA_V_VALUE((void *)(uintptr_t)outgoing->value.data, outgoing->value.size),
        RD_KAFKA_V_TIMESTAMP(outgoing->timestamp_ms), RD_KAFKA_V_HEADERS(headers),
        RD_KAFKA_V_OPAQUE(opaque), RD_KAFKA_V_END);

    if (code != RD_KAFKA_RESP_ERR_NO_ERROR)
        rd_kafka_headers_destroy(headers);
    return code;
}

const char *kafka_library_name(void)
{
    static char name[64];

    snprintf(name, sizeof name, "librdkafka %s", rd_kafka_version_str());
    return name;
}
