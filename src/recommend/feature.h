#ifndef RECOMMEND_FEATURE_H
#define RECOMMEND_FEATURE_H
/*
 * feature.h - what the default model looks at, a row a feature.
 *
 * Products that the customer has bought before (owned) and those it never bought (fresh)
 * are judged by different features. A new feature is a row: a name, and a number of about
 * the size of 1 from the facts `k`, and the linear weight that every tenant starts with; a
 * fresh feature has one for each sort of network (model_weir.c). The order of rows is part of
 * saved state.
 *
 * The weights to start with lie half way between the closed formula and what the orders of
 * grocers taught; how they do for shops of another kind stands in README.md.
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
    ROW(ONE, 1.0f, .62f)                                                                           \
    ROW(FONDNESS, k->fondness, .69f)                                                               \
    ROW(FONDNESS_ROOT, sqrtf(k->fondness), .16f)                                                   \
    ROW(TIMES, quick_log(k->count), .35f)                                                          \
    ROW(SHARE, k->count / k->orders, -.52f)                                                        \
    ROW(DAYS, quick_log(1.0f + k->days) / 5.0f, .19f)                                              \
    ROW(BASKETS, 1.0f / k->baskets, -.17f)                                                         \
    ROW(POPULAR_3, k->log_3, .21f)                                                                 \
    ROW(POPULAR_14, k->log_14, .14f)                                                               \
    ROW(POPULAR_60, k->log_60, -.06f)                                                              \
    ROW(POPULAR_PART, k->part_14, -.15f)                                                           \
    ROW(NEXT, k->next, .11f)                                                                       \
    ROW(TOGETHER, k->together, -.32f)                                                              \
    ROW(NEXT_LOG, k->log_next, -.02f)                                                              \
    ROW(TOGETHER_LOG, k->log_together, -.34f)                                                      \
    ROW(LAST_LOG, k->log_last, -.05f)                                                              \
    ROW(LAST, k->last, .10f)                                                                       \
    ROW(BEGINNER, 1.0f / (1.0f + k->orders), -.34f)                                                \
    ROW(FORMULA_LOG, k->log_formula, 2.44f)                                                        \
    ROW(REPEAT, k->log_repeat, .44f)                                                               \
    ROW(DUE, k->count > 1.0f ? quick_log((1.0f + k->days) / (1.0f + k->gap)) / 3.0f : 0.0f, .18f)  \
    ROW(SILENCE, k->log_silence, .09f)                                                             \
    ROW(QUANTITY, quick_log(1.0f + k->quantity) / 5.0f, -.04f)                                     \
    ROW(LOYALTY, k->log_loyalty, .20f)                                                             \
    ROW(BASKET, k->log_basket, -.63f)                                                              \
    ROW(AGE, k->age, .33f)                                                                         \
    ROW(IN_LAST_ORDER, k->days < k->silence + .01f ? 1.0f : 0.0f, -.06f)                           \
    ROW(RECENT, quick_exp(-k->days / 30.0f), .18f)                                                 \
    ROW(FORMULA, k->formula, -.20f)                                                                \
    ROW(FONDNESS_LOG, quick_log(k->fondness + .003f) / 3.0f, -.01f)                                \
    ROW(AGAIN, k->count > 1.0f ? 1.0f : 0.0f, .06f)                                                \
    ROW(QUANTITY_EACH, quick_log(1.0f + k->quantity / k->count) / 5.0f, .19f)                      \
    ROW(SILENCE_HOURS, k->log_hours, .08f)                                                         \
    ROW(HOURS_IN_LAST_ORDER, k->days < k->silence + .01f ? k->log_hours : 0.0f, 0)                 \
    ROW(POPULAR_PART_3, k->part_3, .10f)                                                           \
    ROW(ORDERS, k->log_orders, -.38f)

#define FRESH_FEATURES(ROW)                                                                        \
    ROW(POPULAR_3, k->log_3, .50f, .40f)                                                           \
    ROW(POPULAR_14, k->log_14, .47f, .55f)                                                         \
    ROW(POPULAR_60, k->log_60, .23f, .17f)                                                         \
    ROW(POPULAR_PART_3, k->part_3, .31f, .43f)                                                     \
    ROW(POPULAR_PART, k->part_14, -.22f, -.33f)                                                    \
    ROW(NEXT, k->next, -.25f, -.05f)                                                               \
    ROW(TOGETHER, k->together, -.04f, .18f)                                                        \
    ROW(LAST, k->last, .16f, .13f)                                                                 \
    ROW(NEXT_LOG, k->log_next, -.13f, -.03f)                                                       \
    ROW(TOGETHER_LOG, k->log_together, -.37f, -.17f)                                               \
    ROW(LAST_LOG, k->log_last, -.04f, -.03f)                                                       \
    ROW(AGE, k->age, -.22f, -.29f)                                                                 \
    ROW(ORDERS, k->log_orders, -.08f, -.42f)                                                       \
    ROW(REPEAT, k->log_repeat, -.39f, -.54f)                                                       \
    ROW(FORMULA, k->formula, -.36f, -.09f)                                                         \
    ROW(POPULAR_AND_TOGETHER, 3.0f * k->log_3 * k->log_together, -.10f, -.13f)                     \
    ROW(POPULAR_AND_NEXT, 3.0f * k->log_14 * k->log_next, .17f, .10f)                              \
    ROW(NEXT_AND_TOGETHER, k->log_next * k->log_together, .04f, .19f)                              \
    ROW(FORMULA_LOG, k->log_formula, 2.81f, 2.49f)                                                 \
    ROW(LOOKED_AT, sqrtf(k->fondness), 0, 0)                                                       \
    ROW(SILENCE, k->log_silence, -.07f, -.28f)                                                     \
    ROW(SILENCE_HOURS, k->log_hours, -.11f, -.32f)                                                 \
    ROW(LOYALTY, k->log_loyalty, -.04f, .38f)                                                      \
    ROW(BASKET, k->log_basket, .72f, -.25f)

#define FEATURE_NUMBER_OWNED(name, value, start) OWNED_##name,
#define FEATURE_NUMBER_FRESH(name, value, start, fresh_start) FRESH_##name,

/* Both counts are multiples of four: features are handled four at a time. */
enum owned_feature { OWNED_FEATURES(FEATURE_NUMBER_OWNED) OWNED_COUNT };
enum fresh_feature { FRESH_FEATURES(FEATURE_NUMBER_FRESH) FRESH_COUNT };
_Static_assert(OWNED_COUNT % 4 == 0 && FRESH_COUNT % 4 == 0, "pad with a feature that is 0");
#endif
