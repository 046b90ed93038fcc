#ifndef RECOMMEND_RECOMMEND_H
#define RECOMMEND_RECOMMEND_H
/*
 * recommend.h - what each customer may like next, learnt order by order.
 *
 *   order, interaction ─► learn: popularity, baskets, histories, the tenant's model
 *   request            ─► rank ─► RESULT_RECOMMENDATION, in the same batch
 *   request of many    ─► a batch job ─► slices in recommend_tick ─► RESULT_BATCH_JOB
 *   command            ─► block a product, cancel a job, forget a customer, ...
 *
 * A tenant's lists come from its own events only; nothing of one tenant reaches another,
 * but for the popularity that young tenants see, and that only between tenants that both
 * share (recommend_context.is_sharing). It goes out as RESULT_POPULARITY and comes back to
 * every partition through recommend_take_popularity (shared.h).
 *
 * Deterministic: the same events and ticks, in the same order, give the same results and
 * the same digest on the same binary; state that was saved and loaded goes on as if it
 * had not been.
 *
 * Units    _ms epoch or plain milliseconds
 * Memory   tenant_bytes_max for a tenant and bytes_max for all together; the least recently
 *          active customers, then tenants, go first. A tenant keeps at most products_max
 *          products. No heap call per event once warm
 * Threads  one owner, no locks
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/option.h"
#include "base/status.h"
#include "base/tree.h"
#include "event/event.h"
#include "event/outbox.h"

struct recommend;

struct recommend_options {
    int64_t model;                /* index into recommend_model_names: what tenants start with */
    bool is_pushing;              /* a list for the customer after each order, unasked */
    int64_t tenant_bytes_max;     /* of one tenant, with all that belongs to it */
    int64_t products_max;         /* of one tenant; the least recently seen go first */
    int64_t neighbours_max;       /* products kept with each product as bought together */
    int64_t neighbours_exact;     /* orders of one product that all count for its neighbours */
    int64_t basket_pairs_max;     /* products of one order that become neighbours */
    int64_t history_products_max; /* kept of one customer */
    int64_t slice_customers_max;  /* of batch jobs, ranked in one tick */
    int64_t jobs_max;             /* unfinished batch jobs of one tenant */
    int64_t job_attempts_max;     /* before a job fails */
    int64_t job_retry_ms;         /* before the second attempt; doubles with each */
    int64_t summary_ms;           /* between analytics of one tenant; 0: none */
    int64_t share_ms;             /* between two tellings of what is popular with one; 0: never */
    int64_t dedicated_orders_min; /* of a tenant, before it may have a model of its own */
    int64_t dedicated_retrain_ms; /* between fits of such a model */
    int64_t kept_orders_max;      /* of one tenant of plan enterprise, for such fits */
    size_t bytes_max;             /* not an option of the user: the engine's share */
};

/* Section "recommend". */
extern const struct option_table recommend_option_table;

/* "weir" first, the default; ends in NULL. */
extern const char *const recommend_model_names[];

/* What the engine knows of an event beyond its fields. */
struct recommend_context {
    bool is_sharing;    /* the tenant lets others see what is popular with it, and sees theirs */
    bool is_enterprise; /* its plan: it may have a model of its own */
};

/* Equal for options under which the same input gives the same results. */
uint64_t recommend_options_digest(const struct recommend_options *options);

/* Keeps a copy of the options. */
struct recommend *recommend_open(const struct recommend_options *options);
void recommend_close(struct recommend *recommend);

/* The kinds of event that recommend_apply reads, as bits 1 << enum event_kind. */
enum {
    RECOMMEND_KINDS = 1 << EVENT_ORDER | 1 << EVENT_INTERACTION | 1 << EVENT_REQUEST,
};

/* Total: never fails. Events of other kinds are ignored; commands go to
 * recommend_command. */
void recommend_apply(struct recommend *recommend, const struct event *event,
                     const struct recommend_context *context, struct outbox *outbox);

/* A RESULT_POPULARITY of this or another partition, of a tenant that shares. */
void recommend_take_popularity(struct recommend *recommend, const struct result *result);

/* Batch jobs go on by one slice; deadlines, retries and summaries come due. now_ms never
 * goes back. */
void recommend_tick(struct recommend *recommend, int64_t now_ms, struct outbox *outbox);
/* Batch jobs, or models with work too long for one event, wait for the next tick: the
 * sooner it comes, the sooner they are done. A slice is short, so ticking between batches
 * of events is fine. Jobs that wait for their retry make nobody busy. Not part of the
 * state. */
bool recommend_is_busy(const struct recommend *recommend);

/*
 * Commands, all of one tenant; the engine calls only in the tenant's home partition, and
 * publishes the answer and its audit record.
 *
 *   block-product, unblock-product   product_id: never in a list until unblocked
 *   cancel-batch-job                 subject: the request_id of the job
 *   forget-customer                  customer_id: every trace of it leaves the state;
 *                                    RESULT_ANALYTICS forgotten, for those who keep results
 *   select-model                     model_name: what the tenant's lists are made with
 *   push-recommendations             enabled: a list after each order, unasked
 *   summarize-tenant                 RESULT_ANALYTICS totals and trending, now
 *   summarize-customer               customer_id: RESULT_ANALYTICS user_summary
 *   request-isolation                notes: why a model of its own (dedicated.h)
 *   approve-isolation, reject-isolation, revoke-isolation
 *                                    subject: the command_id of the request; may be absent
 *   create-tenant-model              once approved
 *   isolation-status                 the request and its model, as the result
 */
struct recommend_answer {
    bool is_accepted;
    struct view error; /* when rejected */
    struct pair_list before, after;
    struct pair_list result;
};

/* NULL-terminated, in the order above. */
extern const char *const recommend_command_types[];
/* `event` is a command of one of these types with a tenant. Texts of the answer live in
 * `arena` or in the event. */
void recommend_command(struct recommend *recommend, const struct event *event,
                       const struct recommend_context *context, struct arena *arena,
                       struct outbox *outbox, struct recommend_answer *answer);

void recommend_save(const struct recommend *recommend, struct byte_writer *out);
/* Broken bytes, or a version that this program cannot read: NULL and `failure`. Under other
 * options than it was saved with: what exceeds their limits goes, and a tenant that is as the
 * former model and push had it follows the new ones. */
struct recommend *recommend_load(const struct recommend_options *options, struct byte_reader *in,
                                 struct failure *failure);
uint64_t recommend_digest(const struct recommend *recommend);

/* Totals since the beginning (part of the state), and what stands now. */
struct recommend_stats {
    uint64_t orders;                      /* learnt */
    uint64_t interactions;                /* learnt */
    uint64_t recommendations;             /* made, batch jobs included */
    uint64_t by_strategy[STRATEGY_COUNT]; /* of these, those with something on them */
    uint64_t jobs_submitted;
    uint64_t jobs_completed;
    uint64_t jobs_failed;
    uint64_t jobs_cancelled;
    uint64_t jobs_waiting;  /* pending now */
    uint64_t jobs_running;  /* processing now */
    uint64_t job_customers; /* of both, without their list yet */
    uint64_t customers_evicted;
    uint64_t products_evicted;
    uint64_t tenants_evicted;
    uint64_t tenants;
    uint64_t customers;
    uint64_t products;
    uint64_t pairs;            /* customer and product, kept */
    uint64_t neighbours;       /* product and product, kept */
    uint64_t dedicated_models; /* lists are made with now */
    uint64_t bytes;            /* of all this */
    uint64_t customer_bytes;   /* of customers and their pairs */
};
/* Cheap: nothing that is kept is walked over, but for unfinished jobs. */
void recommend_stats(const struct recommend *recommend, struct recommend_stats *stats);
#endif
