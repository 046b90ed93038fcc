#ifndef RECOMMEND_RANK_H
#define RECOMMEND_RANK_H
/*
 * rank.h - who could stand on the list, and what speaks for each.
 *
 *   habits ──► signals of all products ──► candidates ──► facts ──► a model scores them
 *
 * Signals of product j, from the neighbours of what the customer is fond of (i):
 *   next      sum of fondness(i) next(i,j) / ((sources(i)+5)^.6 (orders(j)+5)^.4)
 *   together  sum of fondness(i) together(i,j) / ((orders(i)+5) sqrt(orders(j)+5))
 *   last      the same as together, of the last basket, or of the basket or page that the
 *             request names, each with fondness 1
 *   extra     what the model adds
 *
 * Candidates are what the customer bought or looked at before, the most popular products,
 * and those of the strongest signals.
 *
 * Memory   scratch, as large as the largest market; grows with it
 */
#include <stdbool.h>
#include <stdint.h>

#include "recommend/feature.h"
#include "recommend/market.h"
#include "recommend/quad.h"

/* In the order in which the counts of a neighbour come out of its bits. */
enum { SIGNAL_LAST, SIGNAL_EXTRA, SIGNAL_TOGETHER, SIGNAL_NEXT, SIGNAL_COUNT };

enum {
    SOURCES_MAX = 32,        /* habits whose neighbours are looked at */
    LAST_MAX = 64,           /* products of the last basket, the same */
    CONTEXT_MAX = 100,       /* products of a request's context, the same */
    SIGNAL_CANDIDATES = 150, /* by the sum of the signals */
    LESSON_THINNING = 4,     /* of what was not bought, one of so many stays for a lesson */
};

struct source {
    uint32_t product;
    float fondness;
    float is_last; /* 1: also in the last basket, and then fondness may be 0 */
};

struct candidate {
    uint32_t product;
    const struct habit *habit; /* NULL: never met */
};

struct ranking {
    const struct store *store;
    struct market *market;
    const struct customer *customer; /* NULL: unknown */
    int64_t now_ms;
    const uint32_t *context;
    uint32_t context_count;

    float fade[HALF_LIFE_COUNT];  /* popularity times this is decayed */
    float parts[HALF_LIFE_COUNT]; /* decayed popularity times this is a part of the highest */
    quad signal_parts;            /* the same of the signals */
    struct source sources[SOURCES_MAX + LAST_MAX];
    uint32_t source_count;

    /* By product; all zero between rankings. */
    quad *signals;
    float *merits;      /* signals in parts of the highest, summed; 0 for what was met before */
    uint16_t *habit_at; /* index in the customer's habits + 1 */
    uint8_t *marks;     /* MARK_... */
    uint32_t product_capacity;

    /* The owned ones first. */
    struct candidate *candidates;
    struct facts *facts;
    float *scores;
    float *features; /* OWNED_COUNT floats for each owned, then FRESH_COUNT for each fresh */
    uint32_t owned_count;
    uint32_t count;
    uint32_t candidate_capacity;
};

enum {
    MARK_CANDIDATE = 1,
    MARK_TRUTH = 2, /* the order being learnt has it */
    MARK_CONTEXT = 4,
    MARK_LAST = 8, /* in the last basket or the context */
    MARK_SOURCE = 16,
};

void ranking_open(struct ranking *ranking);
void ranking_close(struct ranking *ranking);

/* `customer` and `context` (numbers, distinct) may be NULL. */
void ranking_begin(struct ranking *ranking, const struct store *store, struct market *market,
                   const struct customer *customer, int64_t now_ms, const uint32_t *context,
                   uint32_t context_count);
/* The first three signals, not yet scaled. */
void ranking_add_neighbours(struct ranking *ranking);
/* Scales the signals, chooses the candidates. */
void ranking_choose(struct ranking *ranking);
/* For a lesson: of the candidates without MARK_TRUTH only one of LESSON_THINNING stays, another
 * one at each draw. */
void ranking_thin(struct ranking *ranking, uint64_t draw);
void ranking_add_facts(struct ranking *ranking);
/* From facts; the default model only. */
void ranking_add_features(struct ranking *ranking);
/* Cleans up; candidates and scores stay readable until the next begin. */
void ranking_end(struct ranking *ranking);

/* How fond the customer is of it: 0 without a habit. */
float ranking_fondness(const struct ranking *ranking, const struct habit *habit);

static inline const float *ranking_features(const struct ranking *ranking, uint32_t index)
{
    if (index < ranking->owned_count)
        return ranking->features + (size_t)index * OWNED_COUNT;
    return ranking->features + (size_t)ranking->owned_count * OWNED_COUNT +
           (size_t)(index - ranking->owned_count) * FRESH_COUNT;
}
#endif
