#ifndef RECOMMEND_JOB_H
#define RECOMMEND_JOB_H
/*
 * job.h - lists for many customers, made in slices between events.
 *
 *   request ─► pending ─► processing ─┬─► completed    some customers may have failed
 *                 ▲           │       ├─► failed       all of them, or too late
 *                 └── retry ──┘       └─► cancelled    by command
 *
 * Markets with jobs stand in a ring and take turns, a few customers each, so a market
 * with much to do does not hold up the others. Within a market the job of the highest
 * priority goes first, then that of the earliest deadline, then the elder.
 *
 * A customer fails when there is nothing to put on its list. Those that failed are tried
 * again, after job_retry_ms, then after twice that, and so on. A customer gets one list,
 * an empty one after the last attempt only.
 */
#include "event/event.h"
#include "event/outbox.h"
#include "recommend/market.h"

struct recommend;

struct job {
    struct job *next; /* of the market, the eldest first */
    size_t bytes;     /* of this and all it points to, one run */
    struct view id;   /* the request's */
    struct view *customers;
    const struct view *context;
    uint32_t *waiting; /* customers of this attempt; those that fail gather at its front */
    uint32_t customer_count, context_count;
    uint32_t total; /* customers, less those forgotten since */
    uint32_t waiting_count, waiting_at, waiting_failed;
    uint32_t processed; /* have their list */
    uint32_t failed;    /* in the last attempt */
    uint32_t attempts;
    uint32_t count; /* items of a list */
    uint32_t priority;
    bool excludes_purchased;
    bool is_sharing;
    bool is_processing;
    int64_t deadline_ms; /* 0: none */
    int64_t submitted_ms;
    int64_t retry_ms; /* not before; 0: at once */
};

/* The request names many customers. */
void job_submit(struct recommend *recommend, const struct event *event, bool is_sharing,
                struct outbox *outbox);
/* One slice. */
void job_tick(struct recommend *recommend, int64_t now_ms, struct outbox *outbox);
/* NULL: the market has no such unfinished job. */
struct job *job_find(const struct market *market, struct view id);
void job_cancel(struct recommend *recommend, struct market *market, struct job *job,
                int64_t time_ms, struct outbox *outbox);
/* Removes a customer from unfinished jobs. */
void job_forget(struct market *market, struct view customer_id);
/* Without a word; for closing. */
void market_drop_jobs(struct store *store, struct market *market);

void job_save(const struct job *job, struct byte_writer *out);
/* Adds it to the market, at the end; in->broken when it cannot be. */
void job_load(struct store *store, struct market *market, struct byte_reader *in);
#endif
