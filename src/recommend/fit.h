#ifndef RECOMMEND_FIT_H
#define RECOMMEND_FIT_H
/*
 * fit.h - weights fitted to the orders of one tenant, over what its model says already.
 *
 *   order ──► fit_keep: candidates, the model's scores, which of them were bought
 *   fit_begin ──► fit_step, slice by slice ──► new weights
 *   list ──► fit_correct: score · e^(w · x)
 *
 * The model learns from each order once, in passing. Here the newest orders are kept as the
 * model saw them before it learnt them, and gone over again and again: its mistakes, not
 * its memory, are what the weights are fitted to (Wolpert, "Stacked generalization", 1992).
 * The loss is that of a softmax over the candidates (Cao et al., 2007), which has one
 * minimum in w. The newest fifth is held back; it decides how much of w is used, maybe
 * nothing, so that a fit never makes those orders less likely.
 *
 * A kept order is numbers only: no customer, product or order can be told from it. It knows
 * the hash of its customer, so that it goes when the customer is forgotten.
 *
 * Memory   kept_orders_max kept orders of at most 5 KiB, on the market's account
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "recommend/market.h"
#include "recommend/rank.h"

enum {
    FIT_WEIGHTS = OWNED_COUNT + FRESH_COUNT,
    FIT_ORDERS_LEAST = 100, /* kept, before weights are fitted to them */
};

struct kept_order;
struct fitting;

struct fit {
    struct kept_order **orders; /* the oldest first */
    uint32_t order_count, order_capacity;
    float weights[FIT_WEIGHTS];
    struct fitting *fitting; /* NULL: none is going on */

    /* Of the last fit. */
    uint32_t fitted_count; /* orders */
    float strength;        /* how much of w is used, 0..1 */
    float loss_without;    /* of the orders held back, in bits an item bought */
    float loss_with;
};

/* `ranking` has scores, and MARK_TRUTH at what was bought. Nothing is kept during a fit. */
void fit_keep(struct fit *fit, struct store *store, struct market *market,
              const struct ranking *ranking, uint32_t customer_hash);
void fit_forget(struct fit *fit, struct store *store, struct market *market,
                uint32_t customer_hash);
/* True when there were any. */
bool fit_drop_orders(struct fit *fit, struct store *store, struct market *market);

void fit_begin(struct fit *fit, struct store *store, struct market *market);
/* A slice of less than a millisecond of a fit that has begun. True: it has ended, with new
 * weights, or without when the orders have gone in the meantime (then fitted_count is 0). */
bool fit_step(struct fit *fit, struct store *store, struct market *market);
/* The fit that goes on is given up. */
void fit_end(struct fit *fit, struct store *store, struct market *market);
void fit_correct(const struct fit *fit, struct ranking *ranking, bool is_fresh_only);

/* All that it holds. */
void fit_close(struct fit *fit, struct store *store, struct market *market);
void fit_save(const struct fit *fit, struct byte_writer *out);
/* Into one that is all zero; `in` broken when it cannot be. */
void fit_load(struct fit *fit, struct store *store, struct market *market, struct byte_reader *in);
#endif
