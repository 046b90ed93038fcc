#ifndef CLI_EVALUATE_H
#define CLI_EVALUATE_H
/*
 * evaluate.h - the inside of `weir evaluate`: the stream of orders that is evaluated, what
 * a model scored on it, and how that is shown.
 *
 * An order takes part when it has a customer. It is evaluated when it lies in the last part
 * of these (by default the last half) and its customer has an earlier one. For an order
 * with the products T and a list of ten, where hit(k) is 1 when place k holds one of T:
 *
 *   recall    sum of hit(k) / |T|
 *   NDCG      sum of hit(k) / log2(k + 1), divided by the most that min(10, |T|) allow
 *   hit       1 when there is a hit
 *   explore   NDCG of a list of products that the customer never bought, on the products
 *             of T that are new to it, over the orders that have any
 *
 * Each is the mean over orders. Guests' orders are learnt but not evaluated.
 */
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/map.h"
#include "event/event.h"
#include "recommend/recommend.h"

enum { EVALUATE_LIST = 10, EVALUATE_BINS = 100, EVALUATE_MODELS_MAX = 16 };

struct sample {
    struct event event;
    const struct view *products; /* distinct, by first appearance */
    const bool *is_new;          /* to the customer; only of evaluated orders */
    uint32_t product_count;
    uint32_t new_count;
    bool is_evaluated;
};

struct stream {
    struct arena *arena;
    struct sample *samples;
    uint32_t count, capacity;
    uint32_t known_count; /* orders with a customer */
    uint32_t evaluated_count;
    /* Tenants share nothing: what two of them sell counts twice in product_count, and under
     * one name in name_count. */
    uint64_t product_count, name_count;
    uint64_t tenant_count;
    uint64_t bad_lines;
    double from; /* evaluated are the orders of customers after this part of them */
};

struct bin {
    double ndcg;
    uint32_t orders;
};

struct score {
    const char *model;
    double recall, ndcg, hit, explore; /* sums */
    uint32_t orders, explorers;
    uint64_t covered; /* products recommended at least once */
    struct bin bins[EVALUATE_BINS];
    int64_t *list_ns; /* one for each list asked for */
    uint64_t list_count;
    int64_t learn_ns;
    uint64_t learnt;
    struct recommend_stats stats;
};

/* Marks which orders are evaluated, and which of their products are new. */
void stream_prepare(struct stream *stream);
/* `items`, `new_items`: at most EVALUATE_LIST products, best first. */
void score_add(struct score *score, const struct stream *stream, const struct sample *sample,
               const struct view_list *items, const struct view_list *new_items);

void evaluate_print_table(const struct stream *stream, const struct score *scores, uint32_t count,
                          FILE *file);
void evaluate_put_json(const struct stream *stream, const struct score *scores, uint32_t count,
                       struct byte_writer *out);
/* NDCG over the stream, a line a model, as an SVG drawing. */
void evaluate_put_plot(const struct score *scores, uint32_t count, struct byte_writer *out);
#endif
