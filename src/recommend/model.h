#ifndef RECOMMEND_MODEL_H
#define RECOMMEND_MODEL_H
/*
 * model.h - the kinds of model behind the lists: a file and a table row each.
 *
 * What all kinds share (popularity, habits, neighbours) lives in the market; a kind adds
 * a state of its own where it needs one, which is learnt from the moment the tenant
 * selects the kind.
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/bytes.h"
#include "event/result.h"
#include "recommend/market.h"
#include "recommend/rank.h"

/* An order, in numbers of products. */
struct lesson {
    struct market *market;
    const struct customer *customer; /* NULL: a guest */
    const uint32_t *products;        /* distinct */
    uint32_t product_count;
    int64_t time_ms;
};

struct model_kind {
    const char *name;
    const char *version;
    enum strategy strategy; /* of a list for a known customer without a context */
    bool needs_neighbours;  /* the first three signals */
    bool needs_facts;
    bool needs_features;
    bool learns_by_ranking; /* learn is given a ranking for the order's customer */

    /* NULL when there is no state. */
    void *(*open)(struct store *store, struct market *market);
    void (*close)(void *model, struct store *store, struct market *market);
    /* Adds to SIGNAL_EXTRA. */
    void (*suggest)(const void *model, struct ranking *ranking);
    /* Fills ranking->scores; for `is_fresh_only` those of owned candidates do not matter. */
    void (*score)(const void *model, struct ranking *ranking, bool is_fresh_only);
    /* With learns_by_ranking: is the order in hand to be learnt? NULL: each one is. */
    bool (*is_due)(const void *model, const struct market *market);
    /* Before the market learns the order. With learns_by_ranking: only orders of customers
     * with earlier orders, that are due; the order's products carry MARK_TRUTH, and of the
     * other candidates one of LESSON_THINNING is there. Else `ranking` is NULL. */
    void (*learn)(void *model, struct store *store, const struct lesson *lesson,
                  struct ranking *ranking);
    void (*forget)(void *model, struct store *store, const struct customer *customer);
    /* numbers[old] = new, never greater, or 0; old from 1 to count. */
    void (*renumber)(void *model, const uint32_t *numbers, uint32_t count);
    /* Work that takes too long for one event: a slice of at most about a millisecond.
     * False: there is nothing to do. */
    bool (*tick)(void *model, struct store *store, struct market *market, int64_t now_ms);
    void (*save)(const void *model, struct byte_writer *out);
    /* Into a state just opened; `in` broken when it cannot be. */
    void (*load)(void *model, struct store *store, struct market *market, struct byte_reader *in);
};

extern const struct model_kind model_weir;
extern const struct model_kind model_formula;
extern const struct model_kind model_personal;
extern const struct model_kind model_popularity;
extern const struct model_kind model_knn;
extern const struct model_kind model_factors;
extern const struct model_kind model_ease;

/* In the order of recommend_model_names. */
extern const struct model_kind *const model_kinds[];
uint32_t model_kind_count(void);
/* NULL: there is none of that name. */
const struct model_kind *model_find(struct view name);

/* Between ranking_begin and ranking_end: candidates with all that the kind needs. */
void model_prepare(const struct model_kind *kind, const void *model, struct ranking *ranking);
/* The same for a lesson: all of the order's products among them, and some of the others. */
void model_prepare_lesson(const struct model_kind *kind, struct ranking *ranking,
                          const struct lesson *lesson);

/* A `score` for models that say all they know in SIGNAL_EXTRA: what is popular stands first
 * among equals. */
void model_score_extra(const void *model, struct ranking *ranking, bool is_fresh_only);

/* Models' work between events. */
void model_tick(struct store *store, int64_t now_ms);

/* Ends the old kind's state and opens the new one's. */
void market_select_kind(struct store *store, struct market *market, const struct model_kind *kind);
#endif
