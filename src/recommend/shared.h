#ifndef RECOMMEND_SHARED_H
#define RECOMMEND_SHARED_H
/*
 * shared.h - what is popular with all tenants that share.
 *
 *   a tenant's market ──► RESULT_POPULARITY ──► a topic that every partition reads
 *                                                   │
 *   lists of young tenants ◄── one list ◄── summaries, one a tenant
 *
 * A summary is the ids of a tenant's most popular products with decayed counts of their
 * purchases, and nothing else: no customer, no order, no price. It is published by the
 * tenant's home partition and counts when it comes back, there as elsewhere, so that every
 * partition that has read as far knows the same.
 *
 * Each tenant has one say, whatever its size: a product's score is the mean of its shares of
 * the tenants' purchases. A tenant with few purchases has a smaller say.
 *
 * Memory   SHARED_TENANTS_MAX summaries, and a sixteenth of the room's budget, at most; the
 *          oldest go first
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/view.h"
#include "event/outbox.h"
#include "event/result.h"
#include "recommend/market.h"

enum { SHARED_TENANTS_MAX = 1024, SHARED_PRODUCTS_MAX = 100 };

struct summary;

struct shared_product {
    struct view id; /* until the next shared_tick */
    float score;
};

struct shared {
    struct summary **summaries; /* in the order of their coming */
    uint32_t summary_count, summary_capacity;
    size_t bytes;
    bool is_stale;            /* the list is older than the summaries */
    int64_t built_ms;         /* the list; INT64_MIN: to be made at the next tick. Tick time */
    struct byte_writer texts; /* of the list */
    struct shared_product products[SHARED_PRODUCTS_MAX]; /* best first */
    uint32_t product_count;
};

void shared_open(struct shared *shared);
void shared_close(struct shared *shared, struct store *store);
/* A summary takes the place of the tenant's last one; older than that one, it is ignored. */
void shared_take(struct shared *shared, struct store *store, const struct result *result);
/* Renews the list when it is time. */
void shared_tick(struct shared *shared, int64_t now_ms);

/* The tenant's own summary, as of now_ms, or that there is none any more. */
void shared_publish(const struct market *market, int64_t now_ms, bool is_withdrawn,
                    struct outbox *outbox);

void shared_save(const struct shared *shared, struct byte_writer *out);
/* Into one just opened; `in` broken when it cannot be. */
void shared_load(struct shared *shared, struct store *store, struct byte_reader *in);
#endif
