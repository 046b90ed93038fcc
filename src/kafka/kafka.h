#ifndef KAFKA_KAFKA_H
#define KAFKA_KAFKA_H
/*
 * kafka.h - the transport over a real log: settings, and opening the door.
 *
 * Section "kafka" holds a few names of ours (kafka_option_table); every other key
 * under it is a librdkafka property and handed through as it stands:
 *
 *   kafka:
 *     bootstrap.servers: 127.0.0.1:9092      # ours
 *     security.protocol: SASL_SSL            # librdkafka's, all clients
 *     consumer.session.timeout.ms: 6000      # librdkafka's, consumers only
 *     producer.linger.ms: 20                 # librdkafka's, producers only
 *     sasl.password_file: /run/secrets/kafka # secrets: a file or the environment
 *
 * Maps may be nested instead of dotted. The environment wins over the file:
 * WEIR_KAFKA_SECURITY_PROTOCOL is security.protocol, WEIR_KAFKA_CONSUMER_... is
 * consumer.... . What exactly-once and co-partitioning stand on (isolation level,
 * assignor, partitioner, offset handling) is Weir's own to set and refused here.
 *
 * Memory   options live in the arena that they were read into, which must live
 *          longer than every transport opened with them
 * Threads  options never change once read; a transport has one owner
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/metric.h"
#include "base/option.h"
#include "base/status.h"
#include "base/tree.h"
#include "event/transport.h"

enum kafka_scope { KAFKA_EVERY, KAFKA_CONSUMER, KAFKA_PRODUCER };

/* A librdkafka property, as the user said it. */
struct kafka_property {
    enum kafka_scope scope;
    const char *name;
    const char *value;
};

struct kafka_topic_options {
    const char *prefix; /* before every topic name; "" by default */
    int64_t partitions;
    int64_t replication_factor; /* -1: the broker's default */
    int64_t retention_ms;       /* of the topics that are not compacted; -1: for ever */
};

struct kafka_options {
    const char *bootstrap_servers;
    const char *group_id;
    const char *group_instance_id; /* NULL: a dynamic member */
    const char *client_id;
    const char *transactional_id_prefix;
    int64_t transaction_timeout_ms;
    const char *sasl_password;
    const char *sasl_client_secret;
    const char *ssl_key_password;
    const char *ssl_key_pem;
    const char *ssl_keystore_password;

    /* Filled by kafka_options_read besides the table. */
    struct kafka_property *properties; /* later ones win */
    uint32_t property_count;
    struct kafka_topic_options topics;
    bool is_embedded; /* see kafka_options_embed */
};

/* Section "kafka", without the properties that are handed through. */
extern const struct option_table kafka_option_table;
/* Section "topics". */
extern const struct option_table kafka_topic_option_table;

/* Reads sections "kafka" and "topics" of the document `root` (NULL: presets and
 * environment). Every unknown or invalid property is complained of, with librdkafka's
 * words, and so is a combination that librdkafka refuses. */
void kafka_options_read(const struct tree *root, struct kafka_options *options, struct arena *arena,
                        struct complaints *complaints);

/* Points `options` at an embedded broker (kafka/broker.h) and sets what it needs: sessions
 * of 4 s (with less its groups never form, and a join lasts nearly as long), short fetch
 * waits (it always waits the whole of them). Properties of the user are kept, but those
 * named here lose. */
void kafka_options_embed(struct kafka_options *options, const char *address, struct arena *arena);

/* Whether a variable of this name says something to kafka_options_read. One that begins with
 * WEIR_KAFKA_ and is not known is passed over there: it may be somebody else's. */
bool kafka_has_variable(const char *name);

enum kafka_role {
    KAFKA_PROCESSOR, /* member of group.id; transactional or idempotent producer */
    KAFKA_SINK,      /* member of group.id + "-" + name; idempotent producer */
    KAFKA_SIDE,      /* in no group: readers, and an idempotent producer */
};

/* Everything borrowed, and alive longer than the transport. */
struct kafka_setup {
    const struct kafka_options *options;
    enum kafka_role role;
    bool is_transactional;           /* KAFKA_PROCESSOR only */
    const char *name;                /* "worker-0", "postgres": one of a kind in the process */
    struct metric_registry *metrics; /* NULL: none */
    const atomic_bool *is_stopping;  /* ends the waiting for a broker; NULL: never */
    int64_t wait_ms;                 /* for a broker at start; -1: for ever */
};

/*
 * Opens a transport and waits for a broker, saying so in the log every few seconds.
 * Transactional: also fences the predecessor of the same name, if group.instance.id is set.
 *
 * STATUS_AGAIN   is_stopping was set while waiting
 * STATUS_BROKEN  REMEDY_RETRY: no broker within wait_ms; REMEDY_STOP: refused by the broker
 *                (login, rights, a setting), with what to do about it
 *
 * What the door does not say of itself:
 * - header, produce and the readers work for all roles; subscribe, resume, poll,
 *   committed and known_end only for members of a group. poll of a KAFKA_SIDE serves
 *   the producer and returns nothing.
 * - commit_start of no positions waits for deliveries only.
 * - bounds and partition_count ask the broker and may take some seconds when it is away;
 *   then they end with REMEDY_RETRY.
 * - one reader at a time on a partition.
 * - close does not call the listener.
 */
enum status kafka_open(const struct kafka_setup *setup, struct transport *out,
                       struct failure *failure);

/* Asks every server of bootstrap.servers for its cluster; those that do not answer in time are
 * left out. STATUS_BROKEN, REMEDY_STOP: they are of different clusters. */
enum status kafka_check_cluster(const struct kafka_options *options, struct failure *failure);

enum { KAFKA_CLUSTER_MAX = 64 };
/* The id of the cluster that bootstrap.servers leads to; "" when nobody answers in 3 s. */
void kafka_find_cluster(const struct kafka_options *options, char id[KAFKA_CLUSTER_MAX]);

/* "librdkafka 2.0.2", for --version and the log. */
const char *kafka_library_name(void);
#endif
