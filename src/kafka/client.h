#ifndef KAFKA_CLIENT_H
#define KAFKA_CLIENT_H
/*
 * client.h - one librdkafka handle, and what it told us about the world.
 *
 * For this room only. A client is configured from the options, logs through
 * base/log.h, keeps the last error that the library reported, and turns library
 * codes into failures with a remedy.
 *
 * Threads  the library calls the log from its own threads; the last error is behind a lock
 */
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/view.h"
#include "event/topic.h"
#include "kafka/kafka.h"

struct rd_kafka_s;
struct rd_kafka_conf_s;
struct rd_kafka_error_s;
struct rd_kafka_headers_s;
struct rd_kafka_topic_partition_list_s;
struct rd_kafka_topic_s;

enum client_kind { CLIENT_MEMBER, CLIENT_PRODUCER, CLIENT_READER, CLIENT_ADMIN };

/* The largest message that is written: an event at the broker's limit, 1 MB by its preset, plus
 * headers. A text, as the library and the broker take it. */
#define MESSAGE_BYTES_MAX "2097152"

enum { CLIENT_TEXT_MAX = 300, REQUEST_TIMEOUT_MS = 5000 };

struct client {
    const struct kafka_options *options;
    enum client_kind kind;
    struct rd_kafka_s *handle;
    void *owner;              /* for the callbacks of a group or writer */
    char *names[TOPIC_COUNT]; /* with prefix */

    _Atomic int64_t cut_off_ms; /* when a broker was last found to be away; 0: never */

    pthread_mutex_t lock; /* guards the rest */
    int error_code;       /* last one the library reported; 0: none */
    char error_text[CLIENT_TEXT_MAX];
    atomic_bool is_hopeless;
    struct failure hopeless;
};

/* The configuration of a client: presets, the user's properties, what is ours. The caller
 * owns it until it is given to client_open. Complains when `complaints` is given. */
struct rd_kafka_conf_s *client_configure(const struct kafka_options *options, enum client_kind kind,
                                         struct complaints *complaints);
/* A setting of ours, which cannot be wrong. */
void client_set(struct rd_kafka_conf_s *conf, const char *name, const char *value);

/* Takes `conf` in any case. `name` ends the client.id. */
enum status client_open(struct client *client, const struct kafka_options *options,
                        enum client_kind kind, struct rd_kafka_conf_s *conf, const char *name,
                        void *owner, struct failure *failure);
/* Harmless when never opened (zeroed). A group has been left before. */
void client_close(struct client *client);

/* Waits until a broker answers; see kafka_open. */
enum status client_wait_ready(struct client *client, const struct kafka_setup *setup,
                              struct failure *failure);

/* Produces as it stands, with its timestamp (0: now) and `headers`, which it takes in any case.
 * As RD_KAFKA_RESP_ERR_*. */
int client_produce(struct client *client, struct rd_kafka_topic_s *topic,
                   const struct outgoing *outgoing, struct rd_kafka_headers_s *headers,
                   void *opaque);

/* Fills `failure` for a library code; `doing` begins the text ("produce to alerts"). */
enum status client_fail(struct client *client, int code, const char *doing, const char *text,
                        struct failure *failure);
/* Nothing that this client does can succeed from now on: the first such failure is kept. Any
 * thread. */
void client_give_up(struct client *client, const struct failure *failure);
/* Fills `failure` (NULL is allowed) when it is so. */
bool client_is_hopeless(struct client *client, struct failure *failure);

/* Whether the log was told of it lately, by any of the process's dozen clients; if not, it is now.
 * For what is tried again while an outage lasts. Any thread. */
bool client_is_told(struct view what);

/* When a broker was last found to be away, by clock_monotonic_ms; 0: never. Any thread. */
int64_t client_cut_off_ms(struct client *client);
/* Lately: no broker answered, or a session ended without an answer. Any thread. */
bool client_was_cut_off(struct client *client);

/* Partitions of a topic. */
enum status client_partition_count(struct client *client, enum topic topic, int32_t *count,
                                   struct failure *failure);
/* The largest message that a topic takes, max.message.bytes; 0: the broker does not tell. */
int64_t client_message_bytes(struct client *client, enum topic topic);
enum status client_bounds(struct client *client, enum topic topic, int32_t partition,
                          int64_t *first, int64_t *next, struct failure *failure);
/* The group's committed positions of `list`, as RD_KAFKA_RESP_ERR_*. Waits for transactions that
 * commit some of them. */
int client_committed(struct client *client, struct rd_kafka_topic_partition_list_s *list,
                     int timeout_ms);
/* With prefix; the caller frees each. */
void client_name_topics(const struct kafka_options *options, char *names[TOPIC_COUNT]);
/* TOPIC_COUNT: none of ours. */
enum topic client_topic(const struct client *client, const char *name);
/* Of a message. `opened` are the handles that its topic mostly is one of, by topic. */
enum topic client_topic_of(const struct client *client,
                           struct rd_kafka_topic_s *const opened[TOPIC_COUNT],
                           struct rd_kafka_topic_s *handle);
#endif
