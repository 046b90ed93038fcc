/*
 * A queue of questions, served by a thread with rd_kafka_committed. (The admin client asks
 * without a thread; in librdkafka 2.0.2 it stops the process by an assertion when the coordinator
 * goes away meanwhile.)
 */
#include "kafka/inquiry.h"

#include <librdkafka/rdkafka.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "kafka/client.h"

/* For an answer. One that does not come must not hold up the other questions, and one that is
 * merely slow must come in the end: the patience with a question grows. */
enum { PATIENCE_MS = 100, PATIENCE_MAX_MS = 2000, PAUSE_MS = 20 };

struct inquiry {
    struct inquiry *next;
    rd_kafka_topic_partition_list_t *list; /* the thread's while it asks */
    int patience_ms;
    bool is_asked;     /* the thread is at it */
    bool is_answered;  /* `code`, and the offsets in `list` */
    bool is_forgotten; /* to be freed by the thread */
    rd_kafka_resp_err_t code;
};

struct inquiries {
    struct client *client;
    bool has_thread; /* since the first question */
    pthread_t thread;
    pthread_mutex_t lock; /* guards the rest */
    pthread_cond_t changed;
    struct inquiry *first;
    bool is_closing;
};

static void inquiry_destroy(struct inquiry *inquiry)
{
    rd_kafka_topic_partition_list_destroy(inquiry->list);
    free(inquiry);
}

/* ---- the thread ---- */

/* The coordinator, or the way to it, will be there later. */
static bool is_passing(rd_kafka_resp_err_t code)
{
    switch (code) {
    case RD_KAFKA_RESP_ERR__TIMED_OUT:
    case RD_KAFKA_RESP_ERR__TRANSPORT:
    case RD_KAFKA_RESP_ERR__WAIT_COORD:
    case RD_KAFKA_RESP_ERR__ALL_BROKERS_DOWN:
    case RD_KAFKA_RESP_ERR_COORDINATOR_LOAD_IN_PROGRESS:
    case RD_KAFKA_RESP_ERR_COORDINATOR_NOT_AVAILABLE:
    case RD_KAFKA_RESP_ERR_NOT_COORDINATOR:
    case RD_KAFKA_RESP_ERR_UNSTABLE_OFFSET_COMMIT:
        return true;
    default:
        return false;
    }
}

static struct inquiry *next_open(const struct inquiries *inquiries)
{
    struct inquiry *inquiry = inquiries->first;

    while (inquiry != NULL && inquiry->is_answered)
        inquiry = inquiry->next;
    return inquiry;
}

static void unlink_inquiry(struct inquiries *inquiries, struct inquiry *inquiry)
{
    struct inquiry **link = &inquiries->first;

    while (*link != inquiry)
        link = &(*link)->next;
    *link = inquiry->next;
}

static void append(struct inquiries *inquiries, struct inquiry *inquiry)
{
    struct inquiry **link = &inquiries->first;

    while (*link != NULL)
        link = &(*link)->next;
    *link = inquiry;
    inquiry->next = NULL;
}

static void note_answer(struct inquiries *inquiries, struct inquiry *inquiry,
                        rd_kafka_resp_err_t code)
{
    inquiry->is_asked = false;
    if (inquiry->is_forgotten) {
        unlink_inquiry(inquiries, inquiry);
        inquiry_destroy(inquiry);
    } else if (is_passing(code)) {
        unlink_inquiry(inquiries, inquiry);
        append(inquiries, inquiry);
        inquiry->patience_ms =
            inquiry->patience_ms * 2 > PATIENCE_MAX_MS ? PATIENCE_MAX_MS : inquiry->patience_ms * 2;
    } else {
        inquiry->code = code;
        inquiry->is_answered = true;
    }
}

static void pause_asking(struct inquiries *inquiries)
{
    struct timespec until = clock_deadline(PAUSE_MS);
    int result = 0;

    while (!inquiries->is_closing && result == 0)
        result = pthread_cond_timedwait(&inquiries->changed, &inquiries->lock, &until);
}

static void *run(void *context)
{
    struct inquiries *inquiries = context;

    pthread_mutex_lock(&inquiries->lock);
    while (!inquiries->is_closing) {
        struct inquiry *inquiry = next_open(inquiries);
        rd_kafka_resp_err_t code;

        if (inquiry == NULL) {
            pthread_cond_wait(&inquiries->changed, &inquiries->lock);
            continue;
        }
        inquiry->is_asked = true;
        pthread_mutex_unlock(&inquiries->lock);
        code = client_committed(inquiries->client, inquiry->list, inquiry->patience_ms);
        pthread_mutex_lock(&inquiries->lock);
        note_answer(inquiries, inquiry, code);
        if (is_passing(code)) /* which may come at once */
            pause_asking(inquiries);
    }
    pthread_mutex_unlock(&inquiries->lock);
    return NULL;
}

/* ---- the owner ---- */

struct inquiries *inquiries_create(struct client *client)
{
    struct inquiries *inquiries = calloc(1, sizeof *inquiries);

    if (inquiries == NULL)
        abort();
    inquiries->client = client;
    pthread_mutex_init(&inquiries->lock, NULL);
    clock_condition_init(&inquiries->changed);
    return inquiries;
}

void inquiries_destroy(struct inquiries *inquiries)
{
    struct inquiry *next;

    if (inquiries == NULL)
        return;
    pthread_mutex_lock(&inquiries->lock);
    inquiries->is_closing = true;
    pthread_cond_signal(&inquiries->changed);
    pthread_mutex_unlock(&inquiries->lock);
    if (inquiries->has_thread)
        pthread_join(inquiries->thread, NULL);
    for (struct inquiry *inquiry = inquiries->first; inquiry != NULL; inquiry = next) {
        next = inquiry->next;
        inquiry_destroy(inquiry);
    }
    pthread_cond_destroy(&inquiries->changed);
    pthread_mutex_destroy(&inquiries->lock);
    free(inquiries);
}

void inquiries_forget(struct inquiries *inquiries)
{
    struct inquiry *next;

    pthread_mutex_lock(&inquiries->lock);
    for (struct inquiry *inquiry = inquiries->first; inquiry != NULL; inquiry = next) {
        next = inquiry->next;
        inquiry->is_forgotten = true;
        if (inquiry->is_asked)
            continue;
        unlink_inquiry(inquiries, inquiry);
        inquiry_destroy(inquiry);
    }
    pthread_mutex_unlock(&inquiries->lock);
}

static bool is_about(const struct inquiry *inquiry, const rd_kafka_topic_partition_list_t *list)
{
    if (inquiry->is_forgotten || inquiry->list->cnt != list->cnt)
        return false;
    for (int index = 0; index < list->cnt; index++)
        if (inquiry->list->elems[index].partition != list->elems[index].partition ||
            strcmp(inquiry->list->elems[index].topic, list->elems[index].topic) != 0)
            return false;
    return true;
}

/* Takes the list. */
static void add_inquiry(struct inquiries *inquiries, rd_kafka_topic_partition_list_t *list)
{
    struct inquiry *inquiry = calloc(1, sizeof *inquiry);

    if (inquiry == NULL)
        abort();
    inquiry->list = list;
    inquiry->patience_ms = PATIENCE_MS;
    append(inquiries, inquiry);
    if (!inquiries->has_thread && pthread_create(&inquiries->thread, NULL, run, inquiries) != 0)
        abort();
    inquiries->has_thread = true;
    pthread_cond_signal(&inquiries->changed);
}

static enum status take_answer(struct inquiries *inquiries, struct inquiry *inquiry,
                               struct position *positions, struct failure *failure)
{
    const rd_kafka_topic_partition_list_t *list = inquiry->list;
    rd_kafka_resp_err_t code = inquiry->code;

    for (int index = 0; index < list->cnt; index++)
        positions[index].offset =
            list->elems[index].offset < 0 ? POSITION_NONE : list->elems[index].offset;
    unlink_inquiry(inquiries, inquiry);
    inquiry_destroy(inquiry);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR
               ? STATUS_OK
               : client_fail(inquiries->client, code, "committed positions", NULL, failure);
}

enum status inquiries_ask(struct inquiries *inquiries, struct position *positions, uint32_t count,
                          struct failure *failure)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new((int)count);
    struct inquiry *inquiry;
    enum status status = STATUS_AGAIN;

    for (uint32_t index = 0; index < count; index++)
        rd_kafka_topic_partition_list_add(list, inquiries->client->names[positions[index].topic],
                                          positions[index].partition);
    pthread_mutex_lock(&inquiries->lock);
    for (inquiry = inquiries->first; inquiry != NULL && !is_about(inquiry, list);)
        inquiry = inquiry->next;
    if (inquiry == NULL)
        add_inquiry(inquiries, list);
    else if (inquiry->is_answered)
        status = take_answer(inquiries, inquiry, positions, failure);
    pthread_mutex_unlock(&inquiries->lock);
    if (inquiry != NULL)
        rd_kafka_topic_partition_list_destroy(list);
    return status;
}
