#ifndef RECOMMEND_FEATURE_H
#define RECOMMEND_FEATURE_H
/*
 * feature.h - what the default model looks at, a row a feature.
 *
 * Products that the customer has bought before (owned) and those it never bought (fresh)
 * are judged by different features. A new feature is a row: a name, and a number of about
 * the size of 1 from the facts `k`. The order of rows is part of saved state.
 */
#include <math.h>

#include "recommend/quick.h"

/* A candidate for a list, in numbers. Times in days; popularity and signals in parts of the
 * highest in the market, logarithms of them divided by 3. */
struct facts {
    float log_3, log_14, log_60; /* popularity by half-life */
    float part_3, part_14;
    float next, together, last, extra; /* see rank.h */
    float log_next, log_together, log_last;
    float formula; /* the closed formula, see model_formula.c */
    float log_formula;
    float log_repeat; /* how often its buyers buy it again */
    float age;        /* since the shop first had it, logarithm */
    float log_orders;

    /* of the customer */
    float orders;
    float silence; /* since the last order */
    float log_silence;
    float log_hours;   /* the same in hours */
    float log_loyalty; /* how often it buys again what it bought */
    float log_basket;  /* products in an order */

    /* of the customer and the product */
    float fondness; /* orders with it, the recent ones more, 0..1 */
    float count;
    float days;    /* since it was last bought */
    float baskets; /* the same in orders, 1 = the last one */
    float gap;     /* mean days between purchases */
    float quantity;
};

#define OWNED_FEATURES(ROW)                                                                        \
    ROW(ONE, 1.0f)                                                                                 \
    ROW(FONDNESS, k->fondness)                                                                     \
    ROW(FONDNESS_ROOT, sqrtf(k->fondness))                                                         \
    ROW(TIMES, quick_log(k->count))                                                                \
    ROW(SHARE, k->count / k->orders)                                                               \
    ROW(DAYS, quick_log(1.0f + k->days) / 5.0f)                                                    \
    ROW(BASKETS, 1.0f / k->baskets)                                                                \
    ROW(POPULAR_3, k->log_3)                                                                       \
    ROW(POPULAR_14, k->log_14)                                                                     \
    ROW(POPULAR_60, k->log_60)                                                                     \
    ROW(POPULAR_PART, k->part_14)                                                                  \
    ROW(NEXT, k->next)                                                                             \
    ROW(TOGETHER, k->together)                                                                     \
    ROW(NEXT_LOG, k->log_next)                                                                     \
    ROW(TOGETHER_LOG, k->log_together)                                                             \
    ROW(LAST_LOG, k->log_last)                                                                     \
    ROW(LAST, k->last)                                                                             \
    ROW(BEGINNER, 1.0f / (1.0f + k->orders))                                                       \
    ROW(FORMULA_LOG, k->log_formula)                                                               \
    ROW(REPEAT, k->log_repeat)                                                                     \
    ROW(DUE, k->count > 1.0f ? quick_log((1.0f + k->days) / (1.0f + k->gap)) / 3.0f : 0.0f)        \
    ROW(SILENCE, k->log_silence)                                                                   \
    ROW(QUANTITY, quick_log(1.0f + k->quantity) / 5.0f)                                            \
    ROW(LOYALTY, k->log_loyalty)                                                                   \
    ROW(BASKET, k->log_basket)                                                                     \
    ROW(AGE, k->age)                                                                               \
    ROW(IN_LAST_ORDER, k->days < k->silence + .01f ? 1.0f : 0.0f)                                  \
    ROW(RECENT, quick_exp(-k->days / 30.0f))                                                       \
    ROW(FORMULA, k->formula)                                                                       \
    ROW(FONDNESS_LOG, quick_log(k->fondness + .003f) / 3.0f)                                       \
    ROW(AGAIN, k->count > 1.0f ? 1.0f : 0.0f)                                                      \
    ROW(QUANTITY_EACH, quick_log(1.0f + k->quantity / k->count) / 5.0f)                            \
    ROW(SILENCE_HOURS, k->log_hours)                                                               \
    ROW(HOURS_IN_LAST_ORDER, k->days < k->silence + .01f ? k->log_hours : 0.0f)                    \
    ROW(POPULAR_PART_3, k->part_3)                                                                 \
    ROW(ORDERS, k->log_orders)

#define FRESH_FEATURES(ROW)                                                                        \
    ROW(POPULAR_3, k->log_3)                                                                       \
    ROW(POPULAR_14, k->log_14)                                                                     \
    ROW(POPULAR_60, k->log_60)                                                                     \
    ROW(POPULAR_PART_3, k->part_3)                                                                 \
    ROW(POPULAR_PART, k->part_14)                                                                  \
    ROW(NEXT, k->next)                                                                             \
    ROW(TOGETHER, k->together)                                                                     \
    ROW(LAST, k->last)                                                                             \
    ROW(NEXT_LOG, k->log_next)                                                                     \
    ROW(TOGETHER_LOG, k->log_together)                                                             \
    ROW(LAST_LOG, k->log_last)                                                                     \
    ROW(AGE, k->age)                                                                               \
    ROW(ORDERS, k->log_orders)                                                                     \
    ROW(REPEAT, k->log_repeat)                                                                     \
    ROW(FORMULA, k->formula)                                                                       \
    ROW(POPULAR_AND_TOGETHER, 3.0f * k->log_3 * k->log_together)                                   \
    ROW(POPULAR_AND_NEXT, 3.0f * k->log_14 * k->log_next)                                          \
    ROW(NEXT_AND_TOGETHER, k->log_next * k->log_together)                                          \
    ROW(FORMULA_LOG, k->log_formula)                                                               \
    ROW(LOOKED_AT, sqrtf(k->fondness))                                                             \
    ROW(SILENCE, k->log_silence)                                                                   \
    ROW(SILENCE_HOURS, k->log_hours)                                                               \
    ROW(LOYALTY, k->log_loyalty)                                                                   \
    ROW(BASKET, k->log_basket)

#define FEATURE_NUMBER_OWNED(name, value) OWNED_##name,
#define FEATURE_NUMBER_FRESH(name, value) FRESH_##name,

/* Both counts are multiples of four: features are handled four at a time. */
enum owned_feature { OWNED_FEATURES(FEATURE_NUMBER_OWNED) OWNED_COUNT };
enum fresh_feature { FRESH_FEATURES(FEATURE_NUMBER_FRESH) FRESH_COUNT };
_Static_assert(OWNED_COUNT % 4 == 0 && FRESH_COUNT % 4 == 0, "pad with a feature that is 0");
#endif
