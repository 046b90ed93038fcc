/*
 * A key under `kafka:` is one of ours (the table), or a librdkafka property:
 *
 *   file ─ flatten ─┬─ known to the table ─► option_read
 *   environment ────┴─ other ──────────────► properties ─► a trial configuration,
 *                                            so that the library itself judges them
 */
#include <assert.h>
#include <ctype.h>
#include <librdkafka/rdkafka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kafka/client.h"
#include "kafka/kafka.h"

extern char **environ;

#define SLOT(field) offsetof(struct kafka_options, field)

static const struct option kafka_table[] = {
    {.name = "bootstrap.servers",
     .type = OPTION_TEXT,
     .offset = SLOT(bootstrap_servers),
     .preset = "127.0.0.1:9092",
     .is_list = true,
     .unit = "host:port, comma between",
     .purpose = "Brokers to begin with."},
    {.name = "group.id",
     .type = OPTION_TEXT,
     .offset = SLOT(group_id),
     .preset = "weir",
     .purpose = "Consumer group of the processor; sinks use it with their name at its end."},
    {.name = "group.instance.id",
     .type = OPTION_TEXT,
     .offset = SLOT(group_instance_id),
     .purpose = "Static membership: one of a kind in the group, the same after a restart (the "
                "name of the pod). A restart within the session timeout then moves nothing."},
    {.name = "client.id",
     .type = OPTION_TEXT,
     .offset = SLOT(client_id),
     .preset = "weir",
     .purpose = "Name in the broker's logs, quotas and metrics."},
    {.name = "transactional.id.prefix",
     .type = OPTION_TEXT,
     .offset = SLOT(transactional_id_prefix),
     .preset = "weir",
     .purpose = "Start of every transactional.id; grant Write and Describe on this prefix."},
    {.name = "transaction.timeout.ms",
     .type = OPTION_DURATION_MS,
     .offset = SLOT(transaction_timeout_ms),
     .preset = "10s",
     .least = 1000,
     .most = 900000,
     .purpose = "After this long the broker voids the transaction of a worker that stands "
                "still; until then its readers wait."},
    {.name = "sasl.password",
     .type = OPTION_SECRET,
     .offset = SLOT(sasl_password),
     .purpose = "For PLAIN and SCRAM."},
    {.name = "sasl.oauthbearer.client.secret",
     .type = OPTION_SECRET,
     .offset = SLOT(sasl_client_secret),
     .purpose = "For OAUTHBEARER with OIDC."},
    {.name = "ssl.key.password",
     .type = OPTION_SECRET,
     .offset = SLOT(ssl_key_password),
     .purpose = "Of the client's private key."},
    {.name = "ssl.key.pem",
     .type = OPTION_SECRET,
     .offset = SLOT(ssl_key_pem),
     .purpose = "The client's private key itself."},
    {.name = "ssl.keystore.password",
     .type = OPTION_SECRET,
     .offset = SLOT(ssl_keystore_password),
     .purpose = "Of a PKCS#12 keystore."},
};

const struct option_table kafka_option_table = {
    .section = "kafka",
    .options = kafka_table,
    .count = sizeof kafka_table / sizeof kafka_table[0],
    .bytes = sizeof(struct kafka_options),
};

#undef SLOT
#define SLOT(field) offsetof(struct kafka_topic_options, field)

static const struct option topic_table[] = {
    {.name = "prefix",
     .type = OPTION_TEXT,
     .offset = SLOT(prefix),
     .preset = "",
     .purpose = "Stands before every topic name."},
    {.name = "partitions",
     .type = OPTION_INT,
     .offset = SLOT(partitions),
     .preset = "8",
     .least = 1,
     .most = 10000,
     .purpose = "Of the topics that `weir topics create` makes; the most workers that can share "
                "the work. Cannot be changed later without moving tenants."},
    {.name = "replication.factor",
     .type = OPTION_INT,
     .offset = SLOT(replication_factor),
     .preset = "-1",
     .least = -1,
     .most = 100,
     .purpose = "Of the topics that `weir topics create` makes; -1: the broker's default."},
    {.name = "retention",
     .type = OPTION_DURATION_MS,
     .offset = SLOT(retention_ms),
     .preset = "7d",
     .least = 60000,
     .most = INT64_MAX,
     .purpose = "Of the topics that `weir topics create` makes. The journal is only as good as "
                "the inputs behind it, so both are kept for this long."},
};

const struct option_table kafka_topic_option_table = {
    .section = "topics",
    .options = topic_table,
    .count = sizeof topic_table / sizeof topic_table[0],
    .bytes = sizeof(struct kafka_topic_options),
};

/* What the guarantees stand on, and why the user may not say it. */
static const struct {
    const char *name;
    const char *why;
} reserved[] = {
    {"enable.auto.commit", "positions are Weir's own"},
    {"enable.auto.offset.store", "positions are Weir's own"},
    {"auto.offset.reset", "positions are Weir's own"},
    {"enable.partition.eof", "Weir needs it as it is"},
    {"isolation.level", "only committed records may be read"},
    {"partition.assignment.strategy", "co-partitioning needs the range assignor"},
    {"group.protocol", "co-partitioning needs the range assignor"},
    {"partitioner", "a tenant's partition is the one that Kafka's Java client computes"},
    {"partitioner_cb", "a tenant's partition is the one that Kafka's Java client computes"},
    {"transactional.id", "set transactional.id.prefix; every worker needs an id of its own"},
    {"enable.idempotence", "results may neither be lost nor swap places"},
    {"acks", "results may not be lost"},
    {"request.required.acks", "results may not be lost"},
    {"delivery.report.only.error", "Weir waits for every delivery"},
    {"message.timeout.ms", "deliveries end with the transaction, or never"},
    {"delivery.timeout.ms", "deliveries end with the transaction, or never"},
    {"sasl.oauthbearer.config", "it may hold a secret; use sasl.oauthbearer.method: oidc"},
};

struct reading {
    struct kafka_options *options;
    struct arena *arena;
    struct complaints *complaints;
    struct tree *ours; /* a map: the keys of the table, flat */
    struct tree **ours_end;
    uint32_t room; /* of options->properties */
    rd_kafka_conf_t *trial;
};

static bool is_ours(struct view name)
{
    for (size_t index = 0; index < kafka_option_table.count; index++) {
        const struct option *option = &kafka_option_table.options[index];
        struct view own = view_of(option->name);
        if (view_is_equal(name, own))
            return true;
        if (option->type == OPTION_SECRET && view_has_prefix(name, own) &&
            view_is_text((struct view){name.data + own.size, name.size - own.size}, "_file"))
            return true;
    }
    return false;
}

static void keep_property(struct reading *reading, struct kafka_property property)
{
    struct kafka_options *options = reading->options;

    if (options->property_count == reading->room) {
        uint32_t room = reading->room == 0 ? 16 : reading->room * 2;
        struct kafka_property *larger =
            arena_alloc(reading->arena, room * sizeof(struct kafka_property));
        if (options->property_count > 0)
            memcpy(larger, options->properties, options->property_count * sizeof property);
        options->properties = larger;
        reading->room = room;
    }
    options->properties[options->property_count++] = property;
}

/* `at` NULL: `what` is a variable of the environment. */
static void read_property(struct reading *reading, const struct tree *at, const char *what,
                          const char *name, const char *value)
{
    struct kafka_property property = {KAFKA_EVERY, name, value};
    char error[256];

    if (strncmp(name, "consumer.", 9) == 0) {
        property.scope = KAFKA_CONSUMER;
        property.name += 9;
    } else if (strncmp(name, "producer.", 9) == 0) {
        property.scope = KAFKA_PRODUCER;
        property.name += 9;
    }
    for (size_t index = 0; index < sizeof reserved / sizeof reserved[0]; index++)
        if (strcmp(property.name, reserved[index].name) == 0) {
            complain(reading->complaints, at, "%s: is not yours to set: %s", what,
                     reserved[index].why);
            return;
        }
    if (property.scope != KAFKA_EVERY && is_ours(view_of(property.name))) {
        complain(reading->complaints, at, "%s: say it once, as kafka.%s", what, property.name);
        return;
    }
    switch (rd_kafka_conf_set(reading->trial, property.name, value, error, sizeof error)) {
    case RD_KAFKA_CONF_OK:
        break;
    case RD_KAFKA_CONF_UNKNOWN:
        /* A variable may be somebody else's; kafka_has_variable tells those that are not ours. */
        if (at == NULL)
            return;
        /* fall through */
    case RD_KAFKA_CONF_INVALID:
        complain(reading->complaints, at, "%s: %s", what, error);
        return;
    }
    keep_property(reading, property);
}

static const char *join_list(struct reading *reading, const struct tree *list)
{
    const char *text = "";

    for (const struct tree *item = list->child; item != NULL; item = item->next)
        if (item->kind == TREE_SCALAR)
            text = arena_print(reading->arena, "%s%s%.*s", text, text[0] != '\0' ? "," : "",
                               VIEW_PRINT(item->value));
    return text;
}

/* As deep as the user nests; the parser bounds that. */
static void read_map(struct reading *reading, const struct tree *map, const char *prefix)
{
    for (const struct tree *node = map->child; node != NULL; node = node->next) {
        const char *name = arena_print(reading->arena, "%s%.*s", prefix, VIEW_PRINT(node->name));
        if (is_ours(view_of(name))) {
            struct tree *copy = arena_alloc(reading->arena, sizeof *copy);
            *copy = *node;
            copy->name = view_of(name);
            copy->next = NULL;
            *reading->ours_end = copy;
            reading->ours_end = &copy->next;
            continue;
        }
        const char *what = arena_print(reading->arena, "kafka.%s", name);
        switch (node->kind) {
        case TREE_MAP:
            read_map(reading, node, arena_print(reading->arena, "%s.", name));
            break;
        case TREE_NULL:
            complain(reading->complaints, node, "%s: expected a value", what);
            break;
        case TREE_LIST:
            read_property(reading, node, what, name, join_list(reading, node));
            break;
        case TREE_SCALAR:
            read_property(reading, node, what, name, arena_copy(reading->arena, node->value).data);
            break;
        }
    }
}

static const char variable_start[] = "WEIR_KAFKA_";

static bool is_kafka_variable(const char *variable)
{
    return strncmp(variable, variable_start, sizeof variable_start - 1) == 0;
}

/* SECURITY_PROTOCOL becomes security.protocol. */
static void lower(char *name)
{
    for (char *letter = name; *letter != '\0'; letter++)
        *letter = *letter == '_' ? '.' : (char)tolower((unsigned char)*letter);
}

bool kafka_has_variable(const char *variable)
{
    char text[256], *name = text;
    size_t size = 0;

    if (!is_kafka_variable(variable))
        return false;
    if (option_has_variable(&kafka_option_table, variable))
        return true;
    snprintf(text, sizeof text, "%s", variable + sizeof variable_start - 1);
    lower(name);
    if (strncmp(name, "consumer.", 9) == 0 || strncmp(name, "producer.", 9) == 0)
        name += 9;
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    bool is_known = rd_kafka_conf_get(conf, name, NULL, &size) == RD_KAFKA_CONF_OK;
    rd_kafka_conf_destroy(conf);
    return is_known;
}

/* WEIR_KAFKA_SECURITY_PROTOCOL=ssl is security.protocol: ssl. */
static void read_environment(struct reading *reading)
{
    for (char **variable = environ; *variable != NULL; variable++) {
        const char *equals = strchr(*variable, '=');
        if (equals == NULL || !is_kafka_variable(*variable) || equals[1] == '\0')
            continue;
        const char *what =
            arena_print(reading->arena, "%.*s", (int)(equals - *variable), *variable);
        char *name = arena_print(reading->arena, "%s", what + sizeof variable_start - 1);
        lower(name);
        /* ..._FILE of a secret: option_read's to read. */
        size_t size = strlen(name);
        char *suffix = size > 5 && strcmp(name + size - 5, ".file") == 0 ? name + size - 5 : NULL;
        if (suffix != NULL)
            *suffix = '_';
        if (is_ours(view_of(name)))
            continue;
        if (suffix != NULL)
            *suffix = '.';
        read_property(reading, NULL, what, name, arena_print(reading->arena, "%s", equals + 1));
    }
}

/* Some errors show only when a client is made: a certificate that is not there, two properties
 * that exclude each other. One is made without brokers and thrown away. */
static void try_client(struct reading *reading, enum client_kind kind, const struct tree *section)
{
    rd_kafka_conf_t *conf = client_configure(reading->options, kind, reading->complaints);
    char error[256];

    if (conf == NULL)
        return;
    client_set(conf, "bootstrap.servers", "");
    client_set(conf, "log_level", "0");
    rd_kafka_t *handle = rd_kafka_new(
        kind == CLIENT_PRODUCER ? RD_KAFKA_PRODUCER : RD_KAFKA_CONSUMER, conf, error, sizeof error);
    if (handle != NULL) {
        rd_kafka_destroy(handle);
        return;
    }
    rd_kafka_conf_destroy(conf);
    complain(reading->complaints, section, "kafka: %s", error);
}

void kafka_options_read(const struct tree *root, struct kafka_options *options, struct arena *arena,
                        struct complaints *complaints)
{
    const struct tree *section = tree_get(root, "kafka");
    uint32_t before = complaints->count;
    struct tree *ours = arena_alloc(arena, sizeof *ours);
    struct reading reading = {
        .options = options,
        .arena = arena,
        .complaints = complaints,
        .ours = ours,
        .ours_end = &ours->child,
        .trial = rd_kafka_conf_new(),
    };

    memset(options, 0, sizeof *options);
    ours->kind = TREE_MAP;
    if (section != NULL && section->kind == TREE_MAP) {
        ours->line = section->line;
        ours->file = section->file;
        read_map(&reading, section, "");
    } else if (section != NULL && section->kind != TREE_NULL) {
        complain(complaints, section, "kafka: expected a map of settings");
    }
    read_environment(&reading);
    rd_kafka_conf_destroy(reading.trial);

    /* option_read clears the whole struct. */
    struct kafka_property *properties = options->properties;
    uint32_t count = options->property_count;
    option_read(&kafka_option_table, ours, options, arena, complaints);
    options->properties = properties;
    options->property_count = count;
    option_read(&kafka_topic_option_table, tree_get(root, "topics"), &options->topics, arena,
                complaints);
    if (complaints->count == before)
        try_client(&reading, CLIENT_MEMBER, section);
    if (complaints->count == before)
        try_client(&reading, CLIENT_PRODUCER, section);
}

void kafka_options_embed(struct kafka_options *options, const char *address, struct arena *arena)
{
    static const struct kafka_property needed[] = {
        {KAFKA_CONSUMER, "session.timeout.ms", "4000"},
        {KAFKA_CONSUMER, "heartbeat.interval.ms", "500"},
        {KAFKA_CONSUMER, "fetch.wait.max.ms", "10"},
        {KAFKA_EVERY, "security.protocol", "plaintext"},
    };
    uint32_t extra = sizeof needed / sizeof needed[0];
    struct kafka_property *all =
        arena_alloc(arena, (options->property_count + extra) * sizeof *all);

    if (options->property_count > 0)
        memcpy(all, options->properties, options->property_count * sizeof *all);
    memcpy(all + options->property_count, needed, sizeof needed);
    options->properties = all;
    options->property_count += extra;
    options->is_embedded = true;
    options->bootstrap_servers = arena_copy(arena, view_of(address)).data;
    options->group_instance_id = NULL; /* ignored there; a restart would wait for nothing */
}
