/*
 * feed.c - the shops: writes the campaign's events, as fast as they come on standard input.
 *
 *   plain TOPIC PARTITION KEY VALUE   by an idempotent producer (fields end with tabs;
 *                                     partition -1: the key's)
 *   held TOPIC PARTITION KEY VALUE    into the transaction under way
 *   commit, abort                     ends that transaction
 *
 * Brokers come and go meanwhile. Order within a partition stays: a transaction that fails
 * is done again as a whole before anything else. What the topics hold in the end is the
 * truth; when a producer breaks down for good, records may be missing or stand twice there.
 *
 *   feed BOOTSTRAP NAME
 */
#include <librdkafka/rdkafka.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { RECORD_FIELDS = 5, STEP_MS = 5000, PAUSE_MS = 20 };

struct feed {
    const char *bootstrap, *name;
    rd_kafka_t *plain, *transactional;
    char **held; /* lines of the transaction under way */
    size_t held_count, held_room;
    unsigned long plain_count, held_total, aborted, again, broken, failed;
    unsigned generation; /* transactional producers so far */
};

static void give_up(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

static void give_up(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    fputs("feed: ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(1);
}

static void on_delivery(rd_kafka_t *handle, const rd_kafka_message_t *message, void *opaque)
{
    struct feed *feed = opaque;

    feed->failed += handle == feed->plain && message->err != RD_KAFKA_RESP_ERR_NO_ERROR;
}

static void set(rd_kafka_conf_t *conf, const char *name, const char *value)
{
    char text[256];

    if (rd_kafka_conf_set(conf, name, value, text, sizeof text) != RD_KAFKA_CONF_OK)
        give_up("%s", text);
}

static rd_kafka_t *open_producer(struct feed *feed, const char *transactional_id)
{
    rd_kafka_conf_t *conf = rd_kafka_conf_new();
    char text[256];

    set(conf, "bootstrap.servers", feed->bootstrap);
    set(conf, "client.id", "feed");
    set(conf, "enable.idempotence", "true");
    set(conf, "partitioner", "murmur2_random");
    set(conf, "socket.nagle.disable", "true");
    set(conf, "reconnect.backoff.max.ms", "500");
    set(conf, "log_level", "0");
    if (transactional_id != NULL) {
        set(conf, "transactional.id", transactional_id);
        set(conf, "transaction.timeout.ms", "20000");
        set(conf, "message.timeout.ms", "20000");
    } else {
        set(conf, "message.timeout.ms", "0");
    }
    rd_kafka_conf_set_dr_msg_cb(conf, on_delivery);
    rd_kafka_conf_set_opaque(conf, feed);
    rd_kafka_t *handle = rd_kafka_new(RD_KAFKA_PRODUCER, conf, text, sizeof text);
    if (handle == NULL)
        give_up("%s", text);
    return handle;
}

static bool is_spent(rd_kafka_t *handle)
{
    return rd_kafka_fatal_error(handle, NULL, 0) != RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* Fields are cut where the tabs are; false: not a record. */
static bool split(char *line, char *fields[RECORD_FIELDS])
{
    for (int index = 0; index < RECORD_FIELDS; index++) {
        fields[index] = line;
        if (index == RECORD_FIELDS - 1)
            return true;
        line = strchr(line, '\t');
        if (line == NULL)
            return false;
        *line++ = '\0';
    }
    return false;
}

/* Waits for room. */
static bool produce(rd_kafka_t *handle, char *fields[RECORD_FIELDS])
{
    for (;;) {
        rd_kafka_resp_err_t code = rd_kafka_producev(
            handle, RD_KAFKA_V_TOPIC(fields[1]), RD_KAFKA_V_PARTITION(atoi(fields[2])),
            RD_KAFKA_V_MSGFLAGS(RD_KAFKA_MSG_F_COPY), RD_KAFKA_V_KEY(fields[3], strlen(fields[3])),
            RD_KAFKA_V_VALUE(fields[4], strlen(fields[4])), RD_KAFKA_V_END);

        rd_kafka_poll(handle, code == RD_KAFKA_RESP_ERR__QUEUE_FULL ? PAUSE_MS : 0);
        if (code != RD_KAFKA_RESP_ERR__QUEUE_FULL)
            return code == RD_KAFKA_RESP_ERR_NO_ERROR;
    }
}

static void write_plain(struct feed *feed, char *fields[RECORD_FIELDS])
{
    while (!produce(feed->plain, fields)) {
        if (!is_spent(feed->plain))
            give_up("%s: not taken", fields[1]);
        rd_kafka_destroy(feed->plain);
        feed->plain = open_producer(feed, NULL);
        feed->broken++;
    }
    feed->plain_count++;
}

/* ---- transactions ---- */

enum outcome { OUTCOME_DONE, OUTCOME_AGAIN, OUTCOME_ABORT, OUTCOME_NEW_PRODUCER };

static enum outcome judge(rd_kafka_error_t *error)
{
    enum outcome outcome = OUTCOME_NEW_PRODUCER;

    if (error == NULL)
        return OUTCOME_DONE;
    if (rd_kafka_error_txn_requires_abort(error))
        outcome = OUTCOME_ABORT;
    else if (rd_kafka_error_is_retriable(error))
        outcome = OUTCOME_AGAIN;
    rd_kafka_error_destroy(error);
    return outcome;
}

static void open_transactional(struct feed *feed)
{
    char id[256];

    if (feed->transactional != NULL)
        rd_kafka_destroy(feed->transactional);
    snprintf(id, sizeof id, "%s-%u", feed->name, feed->generation++);
    feed->transactional = open_producer(feed, id);
    while (judge(rd_kafka_init_transactions(feed->transactional, STEP_MS)) != OUTCOME_DONE)
        if (is_spent(feed->transactional))
            give_up("transactions cannot be started");
}

static enum outcome try_transaction(struct feed *feed, bool is_kept)
{
    rd_kafka_t *handle = feed->transactional;
    enum outcome outcome = judge(rd_kafka_begin_transaction(handle));

    for (size_t index = 0; index < feed->held_count && outcome == OUTCOME_DONE; index++) {
        char *copy = strdup(feed->held[index]), *fields[RECORD_FIELDS];

        if (copy == NULL)
            abort();
        if (split(copy, fields) && !produce(handle, fields))
            outcome = OUTCOME_ABORT;
        free(copy);
    }
    while (outcome == OUTCOME_DONE) {
        if (!is_kept) /* it shall have been on the brokers' disks */
            rd_kafka_flush(handle, STEP_MS);
        outcome = judge(is_kept ? rd_kafka_commit_transaction(handle, -1)
                                : rd_kafka_abort_transaction(handle, -1));
        if (outcome != OUTCOME_AGAIN)
            return outcome;
        outcome = OUTCOME_DONE;
    }
    return outcome;
}

static void end_transaction(struct feed *feed, bool is_kept)
{
    enum outcome outcome;

    while ((outcome = try_transaction(feed, is_kept)) != OUTCOME_DONE) {
        feed->again++;
        if (outcome == OUTCOME_ABORT)
            while ((outcome = judge(rd_kafka_abort_transaction(feed->transactional, -1))) ==
                   OUTCOME_AGAIN)
                rd_kafka_poll(feed->transactional, PAUSE_MS);
        if (outcome != OUTCOME_DONE) {
            feed->broken++;
            open_transactional(feed);
        }
    }
    *(is_kept ? &feed->held_total : &feed->aborted) += feed->held_count;
    for (size_t index = 0; index < feed->held_count; index++)
        free(feed->held[index]);
    feed->held_count = 0;
}

static void hold(struct feed *feed, const char *line)
{
    if (feed->held_count == feed->held_room) {
        feed->held_room = feed->held_room == 0 ? 256 : 2 * feed->held_room;
        feed->held = realloc(feed->held, feed->held_room * sizeof *feed->held);
    }
    if (feed->held == NULL || (feed->held[feed->held_count++] = strdup(line)) == NULL)
        abort();
}

static void take_line(struct feed *feed, char *line)
{
    char *fields[RECORD_FIELDS];

    if (strcmp(line, "commit") == 0)
        end_transaction(feed, true);
    else if (strcmp(line, "abort") == 0)
        end_transaction(feed, false);
    else if (strncmp(line, "held\t", 5) == 0)
        hold(feed, line);
    else if (strncmp(line, "plain\t", 6) == 0 && split(line, fields))
        write_plain(feed, fields);
    else
        give_up("not understood: %s", line);
}

int main(int argc, char **argv)
{
    struct feed feed = {0};
    char *line = NULL;
    size_t room = 0;
    ssize_t size;

    if (argc != 3)
        give_up("usage: feed BOOTSTRAP NAME");
    feed.bootstrap = argv[1];
    feed.name = argv[2];
    feed.plain = open_producer(&feed, NULL);
    open_transactional(&feed);
    while ((size = getline(&line, &room, stdin)) > 0) {
        if (line[size - 1] == '\n')
            line[size - 1] = '\0';
        take_line(&feed, line);
    }
    while (rd_kafka_flush(feed.plain, STEP_MS) == RD_KAFKA_RESP_ERR__TIMED_OUT &&
           !is_spent(feed.plain))
        ;
    printf("{\"plain\":%lu,\"transactional\":%lu,\"aborted\":%lu,\"repeated\":%lu,"
           "\"producers_replaced\":%lu,\"failed\":%lu}\n",
           feed.plain_count, feed.held_total, feed.aborted, feed.again, feed.broken, feed.failed);
    rd_kafka_destroy(feed.plain);
    rd_kafka_destroy(feed.transactional);
    free(feed.held);
    free(line);
    return 0;
}
