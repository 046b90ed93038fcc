/*
 * The default model: candidates re-ranked by what the tenant's own orders have taught.
 *
 *                   .-- linear: w . x ------------------------.
 *   features x -----|                                          + --> score
 *                   '-- hidden: v . leaky(A x), 16 units -----'
 *
 * A tenant has networks of two sorts: `full` ones rank everything, with weights of their own
 * for products that the customer owns and for fresh ones; `fresh` ones rank fresh products
 * only, for lists that leave out what was bought. Of each sort there are two voices that
 * start differently and learn from different draws; a score is their mean.
 *
 * Before an order is learnt its products are looked up among the candidates, and the
 * networks move towards a softmax that gives them the whole of the probability (Cao et
 * al., "Learning to Rank: From Pairwise Approach to Listwise Approach", 2007), by AdaGrad
 * (Duchi et al., 2011). Three of four candidates that were not bought are passed over, and
 * the fourth counts for all four. Lists are made with a running average of the weights,
 * which is calmer than the weights themselves (Polyak and Juditsky, 1992).
 *
 * The linear part starts at the closed formula, so the first list is about as good as that
 * one; the hidden weights start small, different from each other and the same for all
 * tenants. A tenant takes memory for all this with its first lesson only.
 *
 * All arithmetic is in single precision and in a fixed order: the same binary learns the
 * same weights.
 */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "base/hash.h"
#include "recommend/model.h"

enum {
    VOICE_COUNT = 2,
    UNIT_COUNT = 16,
    UNIT_QUADS = UNIT_COUNT / 4,
    THINNING = 4,
    PUPILS_MAX = 1024, /* candidates that a lesson looks at */
};

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

struct full_network {
    struct owned_weights owned;
    struct fresh_weights fresh;
    quad out[UNIT_QUADS];
};
struct fresh_network {
    struct fresh_weights fresh;
    quad out[UNIT_QUADS];
};

/* A network of either sort. */
struct network {
    struct owned_weights *owned; /* NULL: it has none */
    struct fresh_weights *fresh;
    quad *out;
};

struct voice {
    struct full_network average, weights, history; /* history: sums of squared gradients */
    struct fresh_network fresh_average, fresh_weights, fresh_history;
};

struct weir {
    struct voice *voices; /* VOICE_COUNT of them; NULL before the first lesson */
    uint64_t lessons;
};

static struct network of_full(struct full_network *network)
{
    return (struct network){&network->owned, &network->fresh, network->out};
}

static struct network of_fresh(struct fresh_network *network)
{
    return (struct network){NULL, &network->fresh, network->out};
}

/* ---- start ---- */

/* In [-1, 1), by what it is for. */
static float number_for(uint32_t unit, uint32_t place)
{
    uint64_t word = hash_mix(hash_mix(UINT64_C(0x77656972), unit), place);

    return (float)(int64_t)(word >> 40) / (float)(1 << 23) - 1.0f;
}

static void start_hidden(quad *hidden, uint32_t feature_count, uint32_t seed)
{
    float *weights = (float *)hidden;

    for (uint32_t feature = 0; feature < feature_count; feature++)
        for (uint32_t unit = 0; unit < UNIT_COUNT; unit++)
            weights[feature * UNIT_COUNT + unit] = .2f * number_for(unit, seed + feature);
}

static void start_network(struct network network, uint32_t seed)
{
    if (network.owned != NULL) {
        start_hidden(&network.owned->hidden[0][0], OWNED_COUNT, seed + 100);
        ((float *)network.owned->linear)[OWNED_FORMULA_LOG] = formula_start;
    }
    start_hidden(&network.fresh->hidden[0][0], FRESH_COUNT, seed + 200);
    ((float *)network.fresh->linear)[FRESH_FORMULA_LOG] = formula_start;
    for (uint32_t unit = 0; unit < UNIT_COUNT; unit++)
        ((float *)network.out)[unit] = .1f * number_for(unit, seed);
}

static void start_voices(struct weir *weir, struct store *store, struct market *market)
{
    weir->voices = market_take(store, market, VOICE_COUNT * sizeof *weir->voices);
    memset(weir->voices, 0, VOICE_COUNT * sizeof *weir->voices);
    for (uint32_t i = 0; i < VOICE_COUNT; i++) {
        struct voice *voice = &weir->voices[i];
        start_network(of_full(&voice->weights), 1000 + 10000 * i);
        start_network(of_fresh(&voice->fresh_weights), 2000 + 10000 * i);
        voice->average = voice->weights;
        voice->fresh_average = voice->fresh_weights;
    }
}

static void *open_model(struct store *store, struct market *market)
{
    struct weir *weir = market_take(store, market, sizeof *weir);

    *weir = (struct weir){.voices = NULL};
    return weir;
}

static void close_model(void *model, struct store *store, struct market *market)
{
    struct weir *weir = model;

    market_give(store, market, weir->voices, VOICE_COUNT * sizeof *weir->voices);
    market_give(store, market, weir, sizeof *weir);
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

static float run_owned(struct network network, const float *x, quad *units)
{
    return run(x, OWNED_COUNT, network.owned->linear,
               (const quad(*)[UNIT_QUADS])network.owned->hidden, network.out, units);
}

static float run_fresh(struct network network, const float *x, quad *units)
{
    return run(x, FRESH_COUNT, network.fresh->linear,
               (const quad(*)[UNIT_QUADS])network.fresh->hidden, network.out, units);
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

static void add_scores(struct network network, struct ranking *ranking, uint32_t first)
{
    quad units[UNIT_QUADS];

    for (uint32_t i = first; i < ranking->owned_count; i++)
        ranking->scores[i] += run_owned(network, ranking_features(ranking, i), units);
    for (uint32_t i = ranking->owned_count; i < ranking->count; i++)
        ranking->scores[i] += run_fresh(network, ranking_features(ranking, i), units);
}

static void score(const void *model, struct ranking *ranking, bool is_fresh_only)
{
    const struct weir *weir = model;
    uint32_t first = is_fresh_only ? ranking->owned_count : 0;

    if (weir->voices == NULL) {
        model_formula.score(NULL, ranking, is_fresh_only);
        return;
    }
    memset(ranking->scores, 0, ranking->count * sizeof *ranking->scores);
    for (uint32_t i = 0; i < VOICE_COUNT; i++) {
        struct voice *voice = &weir->voices[i];
        add_scores(is_fresh_only ? of_fresh(&voice->fresh_average) : of_full(&voice->average),
                   ranking, first);
    }
    for (uint32_t i = first; i < ranking->count; i++)
        ranking->scores[i] /= VOICE_COUNT;
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
    for (uint32_t i = 0; i < count / 4; i++)
        linear[i] += quad_of(error) * quad_load(x + i * 4);
    for (uint32_t i = 0; i < count; i++) {
        quad value = quad_of(x[i]);
        hidden[i][0] += slope[0] * value;
        hidden[i][1] += slope[1] * value;
        hidden[i][2] += slope[2] * value;
        hidden[i][3] += slope[3] * value;
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

static void step_network(struct network weights, struct network history, struct network gradient)
{
    if (weights.owned != NULL) {
        step(weights.owned->linear, history.owned->linear, gradient.owned->linear, OWNED_COUNT / 4,
             linear_rate, 1e-6f);
        step(&weights.owned->hidden[0][0], &history.owned->hidden[0][0],
             &gradient.owned->hidden[0][0], OWNED_COUNT * UNIT_QUADS, hidden_rate, 1e-4f);
    }
    step(weights.fresh->linear, history.fresh->linear, gradient.fresh->linear, FRESH_COUNT / 4,
         linear_rate, 1e-6f);
    step(&weights.fresh->hidden[0][0], &history.fresh->hidden[0][0], &gradient.fresh->hidden[0][0],
         FRESH_COUNT * UNIT_QUADS, hidden_rate, 1e-4f);
    step(weights.out, history.out, gradient.out, UNIT_QUADS, hidden_rate, 1e-4f);
}

/* `average` goes a part of the way to `weights`; both are of `bytes`. */
static void follow(void *average, const void *weights, size_t bytes)
{
    quad *to = average;
    const quad *from = weights;

    for (size_t i = 0; i < bytes / sizeof *to; i++)
        to[i] += (from[i] - to[i]) * quad_of(average_rate);
}

/* ---- a lesson ---- */

struct pupil {
    uint32_t index; /* of the candidate */
    bool is_bought;
    float score;
    quad units[UNIT_QUADS];
};

/* Those bought, and a quarter of the others, another one at each draw. */
static uint32_t choose_pupils(const struct ranking *ranking, uint32_t first, uint64_t draw,
                              struct pupil *pupils, uint32_t *bought)
{
    uint32_t count = 0;

    *bought = 0;
    for (uint32_t i = first; i < ranking->count && count < PUPILS_MAX; i++) {
        bool is_bought = (ranking->marks[ranking->candidates[i].product] & MARK_TRUTH) != 0;
        if (!is_bought && (hash_mix(draw, i) & (THINNING - 1)) != 0)
            continue;
        pupils[count].index = i;
        pupils[count++].is_bought = is_bought;
        *bought += is_bought;
    }
    return count;
}

/* Fills the pupils' scores with their part of the softmax. */
static void examine(struct network network, const struct ranking *ranking, struct pupil *pupils,
                    uint32_t count)
{
    float best = -INFINITY, sum = 0;

    for (uint32_t i = 0; i < count; i++) {
        struct pupil *pupil = &pupils[i];
        const float *x = ranking_features(ranking, pupil->index);
        pupil->score = pupil->index < ranking->owned_count ? run_owned(network, x, pupil->units)
                                                           : run_fresh(network, x, pupil->units);
        best = pupil->score > best ? pupil->score : best;
    }
    for (uint32_t i = 0; i < count; i++) {
        pupils[i].score =
            quick_exp(pupils[i].score - best) * (pupils[i].is_bought ? 1.0f : THINNING);
        sum += pupils[i].score;
    }
    for (uint32_t i = 0; i < count; i++)
        pupils[i].score /= sum;
}

/* False: nothing that was bought is among the candidates from `first` on. */
static bool find_gradient(struct network network, const struct ranking *ranking, uint32_t first,
                          uint64_t draw, struct network gradient)
{
    struct pupil pupils[PUPILS_MAX];
    uint32_t bought, count = choose_pupils(ranking, first, draw, pupils, &bought);

    if (bought == 0)
        return false;
    examine(network, ranking, pupils, count);
    for (uint32_t i = 0; i < count; i++) {
        const struct pupil *pupil = &pupils[i];
        const float *x = ranking_features(ranking, pupil->index);
        float error = (pupil->is_bought ? 1.0f / (float)bought : 0) - pupil->score;
        if (fabsf(error) < 1e-7f)
            continue;
        for (int k = 0; k < UNIT_QUADS; k++)
            gradient.out[k] += quad_of(error) * pupil->units[k];
        if (pupil->index < ranking->owned_count)
            run_back(x, OWNED_COUNT, error, pupil->units, network.out, gradient.owned->linear,
                     gradient.owned->hidden);
        else
            run_back(x, FRESH_COUNT, error, pupil->units, network.out, gradient.fresh->linear,
                     gradient.fresh->hidden);
    }
    return true;
}

static void learn_full(struct voice *voice, const struct ranking *ranking, uint64_t draw)
{
    struct full_network gradient;

    memset(&gradient, 0, sizeof gradient);
    if (!find_gradient(of_full(&voice->weights), ranking, 0, draw, of_full(&gradient)))
        return;
    step_network(of_full(&voice->weights), of_full(&voice->history), of_full(&gradient));
    follow(&voice->average, &voice->weights, sizeof voice->average);
}

static void learn_fresh(struct voice *voice, const struct ranking *ranking, uint64_t draw)
{
    struct fresh_network gradient;

    memset(&gradient, 0, sizeof gradient);
    if (!find_gradient(of_fresh(&voice->fresh_weights), ranking, ranking->owned_count, draw,
                       of_fresh(&gradient)))
        return;
    step_network(of_fresh(&voice->fresh_weights), of_fresh(&voice->fresh_history),
                 of_fresh(&gradient));
    follow(&voice->fresh_average, &voice->fresh_weights, sizeof voice->fresh_average);
}

static void learn(void *model, struct store *store, const struct lesson *lesson,
                  struct ranking *ranking)
{
    struct weir *weir = model;

    if (weir->voices == NULL)
        start_voices(weir, store, lesson->market);
    for (uint32_t i = 0; i < VOICE_COUNT; i++) {
        uint64_t draw = weir->lessons * VOICE_COUNT + i;
        learn_full(&weir->voices[i], ranking, draw);
        learn_fresh(&weir->voices[i], ranking, draw);
    }
    weir->lessons++;
}

/* ---- saving ---- */

static void save(const void *model, struct byte_writer *out)
{
    const struct weir *weir = model;
    uint32_t bytes = weir->voices != NULL ? VOICE_COUNT * sizeof *weir->voices : 0;

    byte_put_u64(out, weir->lessons);
    byte_put_u32(out, bytes);
    if (bytes > 0)
        byte_put(out, weir->voices, bytes);
}

/* Weights of other features than ours have other bytes: there is no way to read them. */
static void load(void *model, struct store *store, struct market *market, struct byte_reader *in)
{
    struct weir *weir = model;

    weir->lessons = byte_take_u64(in);
    uint32_t bytes = byte_take_u32(in);
    if (bytes == 0)
        return;
    const void *voices = bytes == VOICE_COUNT * sizeof *weir->voices ? byte_take(in, bytes) : NULL;
    if (voices == NULL) {
        in->broken = true;
        return;
    }
    start_voices(weir, store, market);
    memcpy(weir->voices, voices, bytes);
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
