/*
 * The default model: candidates re-ranked by what the tenant's own orders have taught.
 *
 *                   .-- linear: w . x ------------------------.
 *   features x -----|                                          + --> score
 *                   '-- hidden: v . leaky(A x), 16 units -----'
 *
 * A tenant has two networks: the `full` one ranks everything, with weights of their own for
 * products that the customer owns and for fresh ones; the `fresh` one ranks fresh products
 * only, for lists that leave out what was bought.
 *
 * Before an order is learnt its products are looked up among the candidates, and the
 * networks move towards a softmax that gives them the whole of the probability (Cao et
 * al., "Learning to Rank: From Pairwise Approach to Listwise Approach", 2007), by AdaGrad
 * (Duchi et al., 2011). Three of four candidates that were not bought are passed over, and
 * the fourth counts for all four. Lists are made with a running average of the weights,
 * which is calmer than the weights themselves (Polyak and Juditsky, 1992).
 *
 * A lesson costs as much as a list, so only one order in LESSON_SHARE teaches, and fewer once
 * the weights have settled; it must teach the more. Features go together (popularity at three
 * half-lives, counts and their logarithms), and a step along each of them by itself is a step too
 * far along what they have in common. So the linear part steps along directions that vary
 * independently: with C how the features vary among what could be chosen, and C = L L', the
 * gradient g becomes L^-1 g, AdaGrad makes of it a step z, and the weights move by L'^-1 z. C is
 * the curvature of the softmax, so this is a natural gradient (Amari, "Natural Gradient Works
 * Efficiently in Learning", 1998). AdaGrad's first steps are as long as its rate allows, whatever
 * the gradient, unless its sums start above zero: there they start at about what one lesson adds.
 *
 * The linear part starts where other shops have led to (feature.h); the hidden weights start
 * small, different from each other and the same for all tenants. A tenant takes memory for
 * all this with its first lesson only; before, its lists are made by the closed formula.
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
    UNIT_COUNT = 16,
    UNIT_QUADS = UNIT_COUNT / 4,
    PUPILS_MAX = 1024, /* candidates that a lesson looks at */
    LESSON_SHARE = 8,  /* one order of so many teaches at first; a power of two */
    SETTLED_LESSONS = 1024,
    SETTLED_SHARE = 32, /* after so many lessons; a power of two */
    MEASURED_LESSONS = 64,
    MEASURED_SHARE = 4, /* one lesson of so many is measured, and each of the first ones */
    JOINT_COUNT = OWNED_COUNT + FRESH_COUNT,
    FACTOR_SHARE = 8, /* of the first ones measured each renews the factors, then one of so many */
    SPREAD_MEASURED = 2048, /* after which old ones fade */
};

static const float leak = .1f;
static const float linear_rate = .01f;
static const float linear_trust = 1.0f; /* what is known at the start, in lessons or so */
static const float hidden_rate = .1f;
static const float average_rate = .02f;
static const float spread_least = .01f;

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

/* C and L of the top, in rows of as many floats as there are features; above the diagonal
 * the factor is zero. */
struct full_spread {
    quad moments[JOINT_COUNT * JOINT_COUNT / 4], factor[JOINT_COUNT * JOINT_COUNT / 4];
    uint64_t measured, lessons; /* a whole quad: padding would be saved */
};
struct fresh_spread {
    quad moments[FRESH_COUNT * FRESH_COUNT / 4], factor[FRESH_COUNT * FRESH_COUNT / 4];
    uint64_t measured, lessons; /* a whole quad: padding would be saved */
};

/* A spread of either sort; `count` features, the owned ones first. */
struct spread {
    quad *moments, *factor;
    uint64_t *measured, *lessons;
    uint32_t count;
};

struct knowledge {
    struct full_network average, weights, history; /* history: sums of squared gradients */
    struct fresh_network fresh_average, fresh_weights, fresh_history;
    struct full_spread spread;
    struct fresh_spread fresh_spread;
};

struct weir {
    struct knowledge *knowledge; /* NULL before the first lesson */
};

static struct network of_full(struct full_network *network)
{
    return (struct network){&network->owned, &network->fresh, network->out};
}

static struct network of_fresh(struct fresh_network *network)
{
    return (struct network){NULL, &network->fresh, network->out};
}

static struct spread of_full_spread(struct full_spread *spread)
{
    return (struct spread){spread->moments, spread->factor, &spread->measured, &spread->lessons,
                           JOINT_COUNT};
}

static struct spread of_fresh_spread(struct fresh_spread *spread)
{
    return (struct spread){spread->moments, spread->factor, &spread->measured, &spread->lessons,
                           FRESH_COUNT};
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

#define START_OWNED(name, value, start) start,
#define START_FRESH(name, value, start, fresh_start) start,
#define START_FRESH_ONLY(name, value, start, fresh_start) fresh_start,

static const float owned_start[OWNED_COUNT] = {OWNED_FEATURES(START_OWNED)};
static const float fresh_start[FRESH_COUNT] = {FRESH_FEATURES(START_FRESH)};
static const float fresh_only_start[FRESH_COUNT] = {FRESH_FEATURES(START_FRESH_ONLY)};

static void start_network(struct network network, uint32_t seed)
{
    const float *linear = network.owned != NULL ? fresh_start : fresh_only_start;

    if (network.owned != NULL) {
        start_hidden(&network.owned->hidden[0][0], OWNED_COUNT, seed + 100);
        memcpy(network.owned->linear, owned_start, sizeof owned_start);
    }
    start_hidden(&network.fresh->hidden[0][0], FRESH_COUNT, seed + 200);
    memcpy(network.fresh->linear, linear, sizeof fresh_start);
    for (uint32_t unit = 0; unit < UNIT_COUNT; unit++)
        ((float *)network.out)[unit] = .1f * number_for(unit, seed);
}

static void start(struct weir *weir, struct store *store, struct market *market)
{
    struct knowledge *knowledge = market_take(store, market, sizeof *knowledge);

    memset(knowledge, 0, sizeof *knowledge);
    start_network(of_full(&knowledge->weights), 1000);
    start_network(of_fresh(&knowledge->fresh_weights), 2000);
    knowledge->average = knowledge->weights;
    knowledge->fresh_average = knowledge->fresh_weights;
    weir->knowledge = knowledge;
}

static void *open_model(struct store *store, struct market *market)
{
    struct weir *weir = market_take(store, market, sizeof *weir);

    *weir = (struct weir){.knowledge = NULL};
    return weir;
}

static void close_model(void *model, struct store *store, struct market *market)
{
    struct weir *weir = model;

    market_give(store, market, weir->knowledge, sizeof *weir->knowledge);
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

static void score(const void *model, struct ranking *ranking, bool is_fresh_only)
{
    const struct weir *weir = model;
    uint32_t first = is_fresh_only ? ranking->owned_count : 0;
    quad units[UNIT_QUADS];

    if (weir->knowledge == NULL) {
        model_formula.score(NULL, ranking, is_fresh_only);
        return;
    }
    struct network network = is_fresh_only ? of_fresh(&weir->knowledge->fresh_average)
                                           : of_full(&weir->knowledge->average);
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

static void step(quad *values, quad *histories, const quad *gradients, uint32_t count, float rate,
                 float least)
{
    for (uint32_t i = 0; i < count; i++) {
        histories[i] += gradients[i] * gradients[i];
        values[i] += quad_of(rate) * gradients[i] / quad_root(histories[i] + quad_of(least));
    }
}

/* ---- directions that vary independently ---- */

/* The first `count` floats of two rows; beyond, one of them is zero up to a whole quad. */
static float product_of(const quad *a, const quad *b, uint32_t count)
{
    quad sum = {0};

    for (uint32_t i = 0; i < (count + 3) / 4; i++)
        sum += a[i] * b[i];
    return quad_sum(sum);
}

/* Cholesky's, row by row. What is added to the diagonal keeps steps along directions in which
 * nothing varies finite. */
static void renew_factor(struct spread spread)
{
    uint32_t quads = spread.count / 4;

    memset(spread.factor, 0, spread.count * quads * sizeof(quad));
    for (uint32_t i = 0; i < spread.count; i++) {
        const float *moments = (const float *)(spread.moments + (size_t)i * quads);
        quad *row = spread.factor + (size_t)i * quads;
        for (uint32_t j = 0; j < i; j++) {
            const quad *other = spread.factor + (size_t)j * quads;
            float rest = moments[j] - product_of(row, other, j);
            ((float *)row)[j] = rest / ((const float *)other)[j];
        }
        float rest = moments[i] + spread_least - product_of(row, row, i);
        ((float *)row)[i] = sqrtf(rest > spread_least * .01f ? rest : spread_least * .01f);
    }
}

/* vector = L^-1 vector. */
static void part_directions(struct spread spread, quad *vector)
{
    quad parts[JOINT_COUNT / 4] = {{0}};

    for (uint32_t i = 0; i < spread.count; i++) {
        const quad *row = spread.factor + (size_t)i * (spread.count / 4);
        float rest = ((const float *)vector)[i] - product_of(row, parts, i);
        ((float *)parts)[i] = rest / ((const float *)row)[i];
    }
    memcpy(vector, parts, spread.count * sizeof(float));
}

/* vector = L'^-1 vector. */
static void join_directions(struct spread spread, quad *vector)
{
    float *at = (float *)vector;

    for (uint32_t i = spread.count; i-- > 0;) {
        const quad *row = spread.factor + (size_t)i * (spread.count / 4);
        float value = at[i] / ((const float *)row)[i];
        for (uint32_t k = 0; k < i / 4 + 1; k++)
            vector[k] -= row[k] * quad_of(value);
        at[i] = value;
    }
}

/* The linear weights of a network lie in two places; a vector has the owned ones first. */
static uint32_t owned_quads(struct network network)
{
    return network.owned != NULL ? OWNED_COUNT / 4 : 0;
}

static void gather_linear(struct network network, quad *vector)
{
    if (network.owned != NULL)
        memcpy(vector, network.owned->linear, sizeof network.owned->linear);
    memcpy(vector + owned_quads(network), network.fresh->linear, sizeof network.fresh->linear);
}

static void scatter_linear(const quad *vector, struct network network)
{
    if (network.owned != NULL)
        memcpy(network.owned->linear, vector, sizeof network.owned->linear);
    memcpy(network.fresh->linear, vector + owned_quads(network), sizeof network.fresh->linear);
}

static void step_linear(struct network weights, struct network history, struct network gradient,
                        struct spread spread)
{
    quad moved[JOINT_COUNT / 4], squares[JOINT_COUNT / 4], slopes[JOINT_COUNT / 4];
    quad way[JOINT_COUNT / 4] = {{0}};

    gather_linear(weights, moved);
    gather_linear(history, squares);
    gather_linear(gradient, slopes);
    part_directions(spread, slopes);
    step(way, squares, slopes, spread.count / 4, linear_rate, linear_trust);
    join_directions(spread, way);
    for (uint32_t i = 0; i < spread.count / 4; i++)
        moved[i] += way[i];
    scatter_linear(moved, weights);
    scatter_linear(squares, history);
}

static void step_network(struct network weights, struct network history, struct network gradient,
                         struct spread spread)
{
    step_linear(weights, history, gradient, spread);
    if (weights.owned != NULL)
        step(&weights.owned->hidden[0][0], &history.owned->hidden[0][0],
             &gradient.owned->hidden[0][0], OWNED_COUNT * UNIT_QUADS, hidden_rate, 1e-4f);
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

static uint32_t list_pupils(const struct ranking *ranking, uint32_t first, struct pupil *pupils,
                            uint32_t *bought)
{
    uint32_t count = 0;

    *bought = 0;
    for (uint32_t i = first; i < ranking->count && count < PUPILS_MAX; i++) {
        bool is_bought = (ranking->marks[ranking->candidates[i].product] & MARK_TRUTH) != 0;
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
            quick_exp(pupils[i].score - best) * (pupils[i].is_bought ? 1.0f : LESSON_THINNING);
        sum += pupils[i].score;
    }
    for (uint32_t i = 0; i < count; i++)
        pupils[i].score /= sum;
}

/* The features of one pupil: how much of the vector comes before them, and how long they are. */
struct part {
    const float *x;
    uint32_t at, quads; /* at: in quads too */
};

static struct part part_of(const struct ranking *ranking, const struct pupil *pupil,
                           struct spread spread)
{
    const float *x = ranking_features(ranking, pupil->index);

    if (pupil->index < ranking->owned_count)
        return (struct part){x, 0, OWNED_COUNT / 4};
    return (struct part){x, (spread.count - FRESH_COUNT) / 4, FRESH_COUNT / 4};
}

/* How features vary from one lesson's pupils to the next, a pupil counting by its chance: half
 * what the network gives it, half what it had. */
static void measure(struct spread spread, const struct ranking *ranking, const struct pupil *pupils,
                    uint32_t count, uint32_t bought)
{
    quad found[JOINT_COUNT * JOINT_COUNT / 4], mean[JOINT_COUNT / 4] = {{0}};
    uint32_t quads = spread.count / 4;

    memset(found, 0, (size_t)spread.count * quads * sizeof(quad));
    for (uint32_t i = 0; i < count; i++) {
        struct part part = part_of(ranking, &pupils[i], spread);
        float chance = .5f * (pupils[i].score + (pupils[i].is_bought ? 1.0f / (float)bought : 0));
        if (chance < 1e-4f)
            continue;
        for (uint32_t k = 0; k < part.quads; k++)
            mean[part.at + k] += quad_load(part.x + 4 * k) * quad_of(chance);
        for (uint32_t row = 0; row < part.quads * 4; row++) {
            quad *to = found + (size_t)(part.at * 4 + row) * quads + part.at;
            quad share = quad_of(chance * part.x[row]);
            for (uint32_t k = 0; k <= row / 4; k++)
                to[k] += quad_load(part.x + 4 * k) * share;
        }
    }
    uint64_t measured = *spread.measured += 1;
    float news = 1.0f / (float)(measured < SPREAD_MEASURED ? measured : SPREAD_MEASURED);
    for (uint32_t row = 0; row < spread.count; row++) {
        quad *to = spread.moments + (size_t)row * quads;
        const quad *from = found + (size_t)row * quads;
        quad middle = quad_of(((const float *)mean)[row]);
        for (uint32_t k = 0; k <= row / 4; k++)
            to[k] += (from[k] - middle * mean[k] - to[k]) * quad_of(news);
    }
    if (measured < FACTOR_SHARE || measured % FACTOR_SHARE == 0)
        renew_factor(spread);
}

static void find_gradient(struct network network, const struct ranking *ranking,
                          const struct pupil *pupils, uint32_t count, uint32_t bought,
                          struct network gradient)
{
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
}

/* False: nothing that was bought is among the candidates. */
static bool teach(struct network weights, struct network history, struct network gradient,
                  struct spread spread, const struct ranking *ranking)
{
    struct pupil pupils[PUPILS_MAX];
    uint32_t first = weights.owned != NULL ? 0 : ranking->owned_count;
    uint32_t bought, count = list_pupils(ranking, first, pupils, &bought);

    if (bought == 0)
        return false;
    examine(weights, ranking, pupils, count);
    uint64_t lessons = *spread.lessons += 1;
    if (lessons <= MEASURED_LESSONS || lessons % MEASURED_SHARE == 0)
        measure(spread, ranking, pupils, count, bought);
    find_gradient(weights, ranking, pupils, count, bought, gradient);
    step_network(weights, history, gradient, spread);
    return true;
}

static void learn_full(struct knowledge *knowledge, const struct ranking *ranking)
{
    struct full_network gradient;

    memset(&gradient, 0, sizeof gradient);
    if (teach(of_full(&knowledge->weights), of_full(&knowledge->history), of_full(&gradient),
              of_full_spread(&knowledge->spread), ranking))
        follow(&knowledge->average, &knowledge->weights, sizeof knowledge->average);
}

static void learn_fresh(struct knowledge *knowledge, const struct ranking *ranking)
{
    struct fresh_network gradient;

    memset(&gradient, 0, sizeof gradient);
    if (teach(of_fresh(&knowledge->fresh_weights), of_fresh(&knowledge->fresh_history),
              of_fresh(&gradient), of_fresh_spread(&knowledge->fresh_spread), ranking))
        follow(&knowledge->fresh_average, &knowledge->fresh_weights,
               sizeof knowledge->fresh_average);
}

/* Orders are chosen as if by lot: every eighth could always be the same customer's. */
static bool is_due(const void *model, const struct market *market)
{
    const struct weir *weir = model;
    uint64_t lessons = weir->knowledge != NULL ? weir->knowledge->spread.lessons : 0;
    uint32_t share = lessons < SETTLED_LESSONS ? LESSON_SHARE : SETTLED_SHARE;

    return (hash_mix(market->totals.orders, 32) & (share - 1)) == 0;
}

static void learn(void *model, struct store *store, const struct lesson *lesson,
                  struct ranking *ranking)
{
    struct weir *weir = model;

    if (weir->knowledge == NULL)
        start(weir, store, lesson->market);
    learn_full(weir->knowledge, ranking);
    learn_fresh(weir->knowledge, ranking);
}

/* ---- saving ---- */

static void save(const void *model, struct byte_writer *out)
{
    const struct weir *weir = model;
    uint32_t bytes = weir->knowledge != NULL ? sizeof *weir->knowledge : 0;

    byte_put_u32(out, bytes);
    if (bytes > 0)
        byte_put(out, weir->knowledge, bytes);
}

/* Weights of other features than ours have other bytes: there is no way to read them. */
static void load(void *model, struct store *store, struct market *market, struct byte_reader *in)
{
    struct weir *weir = model;
    uint32_t bytes = byte_take_u32(in);

    if (bytes == 0)
        return;
    const void *knowledge = bytes == sizeof *weir->knowledge ? byte_take(in, bytes) : NULL;
    if (knowledge == NULL) {
        in->broken = true;
        return;
    }
    start(weir, store, market);
    memcpy(weir->knowledge, knowledge, bytes);
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
    .is_due = is_due,
    .learn = learn,
    .save = save,
    .load = load,
};
