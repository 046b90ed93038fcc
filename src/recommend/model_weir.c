/*
 * The default model: candidates re-ranked by what the tenant's own orders have taught.
 *
 *                   .-- linear: w . x ------------------------.
 *   features x -----|                                          + --> score
 *                   '-- hidden: v . leaky(A x), 16 units -----'
 *
 * Two such networks a tenant: one ranks everything, with weights of their own for products
 * that the customer owns and for fresh ones; the other ranks fresh products only, for
 * lists that leave out what was bought. Before an order is learnt its products are looked
 * up among the candidates, and both networks move towards a softmax that gives them the
 * whole of the probability (Cao et al., "Learning to Rank: From Pairwise Approach to
 * Listwise Approach", 2007), by AdaGrad (Duchi et al., 2011). Lists are made
 * with a running average of the weights, which is calmer than the weights themselves
 * (Polyak and Juditsky, 1992). Three of four candidates that
 * were not bought are passed over, and the fourth counts for all four.
 *
 * The linear part starts at the closed formula, so the first list is as good as that one;
 * the hidden weights start small, different from each other and the same for all tenants.
 *
 * All arithmetic is in single precision and in a fixed order: the same binary learns the
 * same weights.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "recommend/model.h"

enum { UNIT_COUNT = 16, UNIT_QUADS = UNIT_COUNT / 4, THINNING = 4 };

static const float leak = .1f;
static const float linear_rate = .05f;
static const float hidden_rate = .1f;
static const float average_rate = .02f;
static const float formula_start = 3.0f;

/* Feature by feature, the weights to all units lie together. */
struct owned_weights {
    quad linear[OWNED_COUNT / 4];
    quad hidden[OWNED_COUNT][UNIT_QUADS];
};
struct fresh_weights {
    quad linear[FRESH_COUNT / 4];
    quad hidden[FRESH_COUNT][UNIT_QUADS];
};

struct network {
    struct owned_weights owned; /* unused by the network for fresh products */
    struct fresh_weights fresh;
    quad out[UNIT_QUADS];
};

struct learner {
    struct network average; /* what lists are made with */
    struct network weights;
    struct network history; /* sums of squared gradients */
};

struct weir {
    struct learner all;
    struct learner fresh;
    uint64_t lessons;
};

/* ---- start ---- */

/* In [-1, 1), by what it is for. */
static float number_for(uint32_t unit, uint32_t place)
{
    uint64_t word = hash_mix(hash_mix(UINT64_C(0x77656972), unit), place);

    return (float)(int64_t)(word >> 40) / (float)(1 << 23) - 1.0f;
}

static void start_hidden(quad *hidden, uint32_t feature_count, uint32_t place)
{
    float *weights = (float *)hidden;

    for (uint32_t feature = 0; feature < feature_count; feature++)
        for (uint32_t unit = 0; unit < UNIT_COUNT; unit++)
            weights[feature * UNIT_COUNT + unit] = .2f * number_for(unit, place + feature);
}

static void start_learner(struct learner *learner, uint32_t seed)
{
    struct network *network = &learner->weights;

    memset(learner, 0, sizeof *learner);
    start_hidden(&network->owned.hidden[0][0], OWNED_COUNT, seed + 100);
    start_hidden(&network->fresh.hidden[0][0], FRESH_COUNT, seed + 200);
    for (uint32_t unit = 0; unit < UNIT_COUNT; unit++)
        ((float *)network->out)[unit] = .1f * number_for(unit, seed);
    ((float *)network->owned.linear)[OWNED_FORMULA_LOG] = formula_start;
    ((float *)network->fresh.linear)[FRESH_FORMULA_LOG] = formula_start;
    learner->average = *network;
}

static void *open_model(struct store *store, struct market *market)
{
    struct weir *weir = market_take(store, market, sizeof *weir);

    /* It is saved as it lies in memory, the bytes between its fields included. */
    memset(weir, 0, sizeof *weir);
    start_learner(&weir->all, 1000);
    start_learner(&weir->fresh, 2000);
    weir->lessons = 0;
    return weir;
}

static void close_model(void *model, struct store *store, struct market *market)
{
    market_give(store, market, model, sizeof(struct weir));
}

/* ---- forwards ---- */

static inline quad bend(quad value)
{
    return quad_max(value, value * quad_of(leak));
}

/* The score of one candidate; `units` gets what comes out of the hidden units. The sums
 * have names of their own so that they stay in registers. */
_Static_assert(UNIT_QUADS == 4, "see run");
static inline float run(const float *x, uint32_t count, const quad *linear,
                        const quad (*hidden)[UNIT_QUADS], const quad *out, quad *units)
{
    quad sum = {0}, first = {0}, second = {0}, third = {0}, fourth = {0};

    for (uint32_t i = 0; i < count / 4; i++)
        sum += quad_load(x + i * 4) * linear[i];
    for (uint32_t i = 0; i < count; i++) {
        quad value = quad_of(x[i]);
        first += value * hidden[i][0];
        second += value * hidden[i][1];
        third += value * hidden[i][2];
        fourth += value * hidden[i][3];
    }
    units[0] = bend(first);
    units[1] = bend(second);
    units[2] = bend(third);
    units[3] = bend(fourth);
    sum += (units[0] * out[0] + units[1] * out[1]) + (units[2] * out[2] + units[3] * out[3]);
    return quad_sum(sum);
}

static float run_owned(const struct network *network, const float *x, quad *units)
{
    return run(x, OWNED_COUNT, network->owned.linear,
               (const quad(*)[UNIT_QUADS])network->owned.hidden, network->out, units);
}

static float run_fresh(const struct network *network, const float *x, quad *units)
{
    return run(x, FRESH_COUNT, network->fresh.linear,
               (const quad(*)[UNIT_QUADS])network->fresh.hidden, network->out, units);
}

/* A score is the chance that an item bought is this one. */
static void turn_into_chances(float *scores, uint32_t first, uint32_t count)
{
    float best = -INFINITY, sum = 0;

    for (uint32_t i = first; i < count; i++)
        best = scores[i] > best ? scores[i] : best;
    for (uint32_t i = first; i < count; i++) {
        scores[i] = quick_exp(scores[i] - best);
        sum += scores[i];
    }
    for (uint32_t i = first; i < count; i++)
        scores[i] /= sum;
}

static void score(const void *model, struct ranking *ranking, bool is_fresh_only)
{
    const struct weir *weir = model;
    const struct network *network = is_fresh_only ? &weir->fresh.average : &weir->all.average;
    uint32_t first = is_fresh_only ? ranking->owned_count : 0;
    quad units[UNIT_QUADS];

    for (uint32_t i = 0; i < first; i++)
        ranking->scores[i] = 0;
    for (uint32_t i = first; i < ranking->owned_count; i++)
        ranking->scores[i] = run_owned(network, ranking_features(ranking, i), units);
    for (uint32_t i = ranking->owned_count; i < ranking->count; i++)
        ranking->scores[i] = run_fresh(network, ranking_features(ranking, i), units);
    turn_into_chances(ranking->scores, first, ranking->count);
}

/* ---- backwards ---- */

static inline void run_back(const float *x, uint32_t count, float error, const quad *units,
                            const quad *out, quad *linear, quad (*hidden)[UNIT_QUADS])
{
    quad slope[UNIT_QUADS];

    for (int k = 0; k < UNIT_QUADS; k++)
        slope[k] =
            quad_of(error) * out[k] * quad_choose(units[k] > quad_of(0), quad_of(1), quad_of(leak));
    for (uint32_t i = 0; i < count / 4; i++) {
        linear[i] += quad_of(error) * quad_load(x + i * 4);
    }
    for (uint32_t i = 0; i < count; i++) {
        quad value = quad_of(x[i]);
        for (int k = 0; k < UNIT_QUADS; k++)
            hidden[i][k] += slope[k] * value;
    }
}

static quad root_of(quad value)
{
    return (quad){sqrtf(value[0]), sqrtf(value[1]), sqrtf(value[2]), sqrtf(value[3])};
}

static void step(quad *values, quad *histories, const quad *gradients, uint32_t count, float rate,
                 float least)
{
    for (uint32_t i = 0; i < count; i++) {
        histories[i] += gradients[i] * gradients[i];
        values[i] += quad_of(rate) * gradients[i] / root_of(histories[i] + quad_of(least));
    }
}

static void follow(struct network *average, const struct network *weights)
{
    quad *to = (quad *)average;
    const quad *from = (const quad *)weights;

    for (size_t i = 0; i < sizeof *average / sizeof *to; i++)
        to[i] += (from[i] - to[i]) * quad_of(average_rate);
}

static void step_all(struct learner *learner, const struct network *gradient)
{
    struct network *weights = &learner->weights, *history = &learner->history;

    step(weights->owned.linear, history->owned.linear, gradient->owned.linear, OWNED_COUNT / 4,
         linear_rate, 1e-6f);
    step(weights->fresh.linear, history->fresh.linear, gradient->fresh.linear, FRESH_COUNT / 4,
         linear_rate, 1e-6f);
    step(&weights->owned.hidden[0][0], &history->owned.hidden[0][0], &gradient->owned.hidden[0][0],
         OWNED_COUNT * UNIT_QUADS, hidden_rate, 1e-4f);
    step(&weights->fresh.hidden[0][0], &history->fresh.hidden[0][0], &gradient->fresh.hidden[0][0],
         FRESH_COUNT * UNIT_QUADS, hidden_rate, 1e-4f);
    step(weights->out, history->out, gradient->out, UNIT_QUADS, hidden_rate, 1e-4f);
    follow(&learner->average, weights);
}

/* ---- a lesson ---- */

/* The candidates of one lesson that are looked at. */
struct pupil {
    uint32_t index;
    float share; /* candidates that it stands for; less than 0: bought */
    float score;
    quad units[UNIT_QUADS];
};

enum { PUPILS_MAX = 1024 };

/* Those bought, and a quarter of the others, another one at each lesson. */
static uint32_t choose_pupils(const struct ranking *ranking, uint32_t first, uint64_t lesson,
                              struct pupil *pupils, uint32_t *bought)
{
    uint32_t count = 0;

    *bought = 0;
    for (uint32_t i = first; i < ranking->count && count < PUPILS_MAX; i++) {
        bool is_bought = (ranking->marks[ranking->candidates[i].product] & MARK_TRUTH) != 0;
        if (!is_bought && (hash_mix(lesson, i) & (THINNING - 1)) != 0)
            continue;
        pupils[count++] = (struct pupil){.index = i, .share = is_bought ? 0 : THINNING};
        *bought += is_bought;
    }
    return count;
}

static void learn_list(struct learner *learner, const struct ranking *ranking, uint32_t first,
                       uint64_t lesson)
{
    struct pupil pupils[PUPILS_MAX];
    struct network gradient;
    const struct network *network = &learner->weights;
    uint32_t bought;
    uint32_t count = choose_pupils(ranking, first, lesson, pupils, &bought);
    float best = -INFINITY, sum = 0;

    if (bought == 0)
        return;
    for (uint32_t i = 0; i < count; i++) {
        struct pupil *pupil = &pupils[i];
        const float *x = ranking_features(ranking, pupil->index);
        pupil->score = pupil->index < ranking->owned_count ? run_owned(network, x, pupil->units)
                                                           : run_fresh(network, x, pupil->units);
        if (pupil->score > best)
            best = pupil->score;
    }
    for (uint32_t i = 0; i < count; i++) {
        pupils[i].score = quick_exp(pupils[i].score - best) * (pupils[i].share > 0 ? THINNING : 1);
        sum += pupils[i].score;
    }
    memset(&gradient, 0, sizeof gradient);
    for (uint32_t i = 0; i < count; i++) {
        const struct pupil *pupil = &pupils[i];
        const float *x = ranking_features(ranking, pupil->index);
        float error = (pupil->share > 0 ? 0 : 1.0f / (float)bought) - pupil->score / sum;
        if (fabsf(error) < 1e-7f)
            continue;
        for (int k = 0; k < UNIT_QUADS; k++)
            gradient.out[k] += quad_of(error) * pupil->units[k];
        if (pupil->index < ranking->owned_count)
            run_back(x, OWNED_COUNT, error, pupil->units, network->out, gradient.owned.linear,
                     gradient.owned.hidden);
        else
            run_back(x, FRESH_COUNT, error, pupil->units, network->out, gradient.fresh.linear,
                     gradient.fresh.hidden);
    }
    step_all(learner, &gradient);
}

static void learn(void *model, struct store *store, const struct lesson *lesson,
                  struct ranking *ranking)
{
    struct weir *weir = model;

    (void)store, (void)lesson;
    weir->lessons++;
    learn_list(&weir->all, ranking, 0, weir->lessons);
    learn_list(&weir->fresh, ranking, ranking->owned_count, weir->lessons);
}

/* ---- saving ---- */

static void save(const void *model, struct byte_writer *out)
{
    const struct weir *weir = model;

    byte_put_u32(out, sizeof *weir);
    byte_put(out, weir, sizeof *weir);
}

static void load(void *model, struct store *store, struct market *market, struct byte_reader *in)
{
    (void)store, (void)market;
    uint32_t bytes = byte_take_u32(in);
    const void *weights = bytes == sizeof(struct weir) ? byte_take(in, bytes) : NULL;

    if (weights != NULL)
        memcpy(model, weights, sizeof(struct weir));
    else
        in->broken = true;
}

const struct model_kind model_weir = {
    .name = "weir",
    .version = "1",
    .strategy = STRATEGY_PERSONAL,
    .needs_neighbours = true,
    .needs_facts = true,
    .needs_features = true,
    .learns_by_ranking = true,
    .open = open_model,
    .close = close_model,
    .score = score,
    .learn = learn,
    .save = save,
    .load = load,
};
