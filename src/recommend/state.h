#ifndef RECOMMEND_STATE_H
#define RECOMMEND_STATE_H
/*
 * state.h - the inside of struct recommend, and how its files share the work:
 *
 *   recommend.c  the doors: apply, tick, options, stats
 *   learn.c      an order, an interaction ─► the market
 *   answer.c     a question ─► a list with reasons
 *   job.c        many questions, slice by slice
 *   dedicated.c  models of enterprise tenants; fit.c their weights
 *   command.c    what people may tell the room
 *   summary.c    analytics
 *   shared.c     what tenants that share let others know
 *   save.c       all of it as bytes
 */
#include <stdbool.h>
#include <stdint.h>

#include "event/event.h"
#include "event/outbox.h"
#include "recommend/market.h"
#include "recommend/rank.h"
#include "recommend/recommend.h"
#include "recommend/shared.h"

/* The distinct products of the order in hand. */
struct basket {
    uint32_t products[BASKET_MAX];
    float quantities[BASKET_MAX];
    uint32_t count;
    uint32_t *place; /* by product: index + 1, zero between orders */
    uint32_t place_capacity;
};

struct recommend {
    struct store store;
    int64_t now_ms;        /* of the last tick; INT64_MIN: none yet */
    uint32_t summary_at;   /* the market whose summary is looked at next */
    uint32_t dedicated_at; /* the market whose dedicated model is looked at next */
    uint32_t share_at;     /* the market looked at next for something to share */
    struct shared shared;
    struct {
        uint64_t orders, interactions, recommendations;
        uint64_t by_strategy[STRATEGY_COUNT]; /* lists with something on them */
        uint64_t jobs_submitted, jobs_completed, jobs_failed, jobs_cancelled;
    } totals;

    /* Scratch: nothing in it outlives a call. */
    struct ranking ranking;
    struct basket basket;
};

/* What a list is made from. */
struct question {
    struct view tenant_id;
    struct view customer_id; /* absent: nobody in particular */
    struct view request_id;  /* absent: unasked */
    struct view job_id;      /* absent: not of a job */
    struct view cause;       /* event_id or request_id: with the customer, it makes the id */
    struct view_list context;
    uint32_t count;
    bool excludes_purchased;
    bool is_sharing;
    bool is_asked_again; /* should there be nothing to recommend yet */
    int64_t time_ms;
};

enum { LIST_COUNT_PRESET = 10, LIST_COUNT_MAX = 100 };

/* A tenant with fewer orders is young: it says nothing of use to others, and may see theirs. */
enum { FEW_ORDERS = 10 };

void learn_order(struct recommend *recommend, const struct event *event,
                 const struct recommend_context *context);
void learn_interaction(struct recommend *recommend, const struct event *event);
/* Publishes a list, an empty one unless it is asked again; returns its length. */
uint32_t answer(struct recommend *recommend, const struct question *question,
                struct outbox *outbox);

void summarize_tenant(struct recommend *recommend, struct market *market, int64_t time_ms,
                      struct view cause, struct outbox *outbox);
void summarize_customer(struct recommend *recommend, const struct market *market,
                        const struct customer *customer, int64_t time_ms, struct view cause,
                        struct outbox *outbox);
/* Whoever keeps results of this customer is to forget them. */
void tell_forgotten(struct view tenant_id, struct view customer_id, int64_t time_ms,
                    struct view cause, struct outbox *outbox);
/* Summaries that are due; some markets a call. */
void summary_tick(struct recommend *recommend, int64_t now_ms, struct outbox *outbox);
#endif
