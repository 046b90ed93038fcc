#include "recommend/fit.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "recommend/choose.h"
#include "recommend/quick.h"

enum {
    KEPT_BOUGHT_MAX = 24, /* candidates of a kept order: those bought, */
    KEPT_BEST = 24,       /* the best of the others, */
    KEPT_REST = 16,       /* and some of the rest, which stand for all of it */
    KEPT_MAX = KEPT_BOUGHT_MAX + KEPT_BEST + KEPT_REST,
    OTHERS_MAX = 8192, /* that are looked at */
    PASSES = 12,
    BATCH_ORDERS = 8, /* whose gradients make one step */
    SLICE_ORDERS = 32,
    HELD_BACK = 5, /* one of so many, the newest */
    STRENGTH_COUNT = 5,
};
_Static_assert(KEPT_MAX <= 64, "a bit each");
_Static_assert(SLICE_ORDERS % BATCH_ORDERS == 0, "no step is cut by a slice");

static const float strengths[STRENGTH_COUNT] = {0, .25f, .5f, .75f, 1};
static const float rate = .05f;
static const float score_least = 1e-9f;
static const float bits_of_nat = 1.44269504f;

/* What is believed when it is read back. */
static const float fact_most = 1e4f, base_most = 100, weight_most = 1e3f;

/* Followed by a float for each candidate (the logarithm of the model's score, and of how many
 * candidates this one stands for), then by its features, the upper half of the float of each:
 * three digits do. The owned candidates come first. */
struct kept_order {
    uint64_t bought; /* a bit each */
    uint32_t customer_hash;
    uint16_t count;
    uint16_t owned_count;
    uint16_t bought_count;
};

enum fitting_phase { PHASE_LEARN, PHASE_JUDGE };

struct fitting {
    float weights[FIT_WEIGHTS];
    float histories[FIT_WEIGHTS];  /* sums of squared gradients */
    double losses[STRENGTH_COUNT]; /* of the orders held back, so far */
    uint32_t phase;                /* enum fitting_phase */
    uint32_t pass;
    uint32_t at; /* the order that comes next */
};

static size_t bytes_of_order(uint32_t count, uint32_t owned_count)
{
    size_t facts = (size_t)owned_count * OWNED_COUNT + (size_t)(count - owned_count) * FRESH_COUNT;

    return sizeof(struct kept_order) + count * sizeof(float) + facts * sizeof(uint16_t);
}

static size_t bytes_of(const struct kept_order *order)
{
    return bytes_of_order(order->count, order->owned_count);
}

static float *bases_of(const struct kept_order *order)
{
    return (float *)(uintptr_t)(order + 1);
}

static uint16_t *facts_of(const struct kept_order *order)
{
    return (uint16_t *)(bases_of(order) + order->count);
}

static uint16_t pack(float value)
{
    uint32_t bits;

    value = value > fact_most ? fact_most : value < -fact_most ? -fact_most : value;
    memcpy(&bits, &value, sizeof bits);
    return (uint16_t)((bits + 0x7fff) >> 16);
}

static float unpack(uint16_t half)
{
    uint32_t bits = (uint32_t)half << 16;
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

/* ---- keeping ---- */

/* What of the candidates is kept. */
struct cut {
    uint32_t bought_count;
    uint32_t others_count;
    float least_of_best;
    uint32_t stride; /* of the rest, one in so many */
    float log_rest;  /* how many each of them stands for */
};

static bool is_bought(const struct ranking *ranking, uint32_t index)
{
    return (ranking->marks[ranking->candidates[index].product] & MARK_TRUTH) != 0;
}

static struct cut find_cut(const struct ranking *ranking)
{
    struct cut cut = {.least_of_best = 0, .stride = 1};
    float scores[OTHERS_MAX];

    for (uint32_t i = 0; i < ranking->count && cut.others_count < OTHERS_MAX; i++) {
        if (is_bought(ranking, i))
            cut.bought_count++;
        else
            scores[cut.others_count++] = ranking->scores[i];
    }
    if (cut.others_count <= KEPT_BEST)
        return cut;
    uint32_t rest = cut.others_count - KEPT_BEST;
    cut.least_of_best = choose_nth(scores, cut.others_count, rest);
    cut.stride = (rest + KEPT_REST - 1) / KEPT_REST;
    cut.log_rest = quick_log((float)cut.stride);
    return cut;
}

/* A candidate that was chosen, and how many it stands for. */
struct chosen {
    uint32_t index;
    bool is_bought;
    float log_share;
};

static uint32_t choose(const struct ranking *ranking, const struct cut *cut, struct chosen *chosen)
{
    uint32_t count = 0, bought = 0, others = 0, best = 0, rest = 0, kept_rest = 0;

    for (uint32_t i = 0; i < ranking->count && others < OTHERS_MAX; i++) {
        if (is_bought(ranking, i)) {
            if (bought++ < KEPT_BOUGHT_MAX)
                chosen[count++] = (struct chosen){i, true, 0};
            continue;
        }
        others++;
        if (ranking->scores[i] >= cut->least_of_best && best < KEPT_BEST) {
            best++;
            chosen[count++] = (struct chosen){i, false, 0};
        } else if (rest++ % cut->stride == 0 && kept_rest < KEPT_REST) {
            kept_rest++;
            chosen[count++] = (struct chosen){i, false, cut->log_rest};
        }
    }
    return count;
}

static void fill_order(struct kept_order *order, const struct ranking *ranking,
                       const struct chosen *chosen)
{
    float *bases = bases_of(order);
    uint16_t *facts = facts_of(order);

    for (uint32_t i = 0; i < order->count; i++) {
        const float *x = ranking_features(ranking, chosen[i].index);
        uint32_t fact_count = i < order->owned_count ? OWNED_COUNT : FRESH_COUNT;
        float score = ranking->scores[chosen[i].index];
        bases[i] = quick_log(score > score_least ? score : score_least) + chosen[i].log_share;
        order->bought |= (uint64_t)chosen[i].is_bought << i;
        order->bought_count += chosen[i].is_bought;
        for (uint32_t k = 0; k < fact_count; k++)
            *facts++ = pack(x[k]);
    }
}

static void remove_order(struct fit *fit, struct store *store, struct market *market,
                         uint32_t index)
{
    market_give(store, market, fit->orders[index], bytes_of(fit->orders[index]));
    fit->order_count--;
    memmove(&fit->orders[index], &fit->orders[index + 1],
            (fit->order_count - index) * sizeof(struct kept_order *));
}

static void open_orders(struct fit *fit, struct store *store, struct market *market,
                        uint32_t capacity)
{
    fit->order_capacity = capacity;
    fit->orders = market_take(store, market, capacity * sizeof(struct kept_order *));
}

/* A loaded state may be one of another kept_orders_max. */
static void fit_capacity(struct fit *fit, struct store *store, struct market *market)
{
    uint32_t most = (uint32_t)store->options.kept_orders_max, former = fit->order_capacity;
    struct kept_order **orders = fit->orders;

    if (former == most)
        return;
    while (fit->order_count > most)
        remove_order(fit, store, market, 0);
    open_orders(fit, store, market, most);
    if (orders == NULL)
        return;
    memcpy(fit->orders, orders, fit->order_count * sizeof(struct kept_order *));
    market_give(store, market, orders, former * sizeof(struct kept_order *));
}

void fit_keep(struct fit *fit, struct store *store, struct market *market,
              const struct ranking *ranking, uint32_t customer_hash)
{
    struct chosen chosen[KEPT_MAX];
    uint32_t owned_count = 0;

    if (fit->fitting != NULL || store->options.kept_orders_max == 0)
        return;
    struct cut cut = find_cut(ranking);
    if (cut.bought_count == 0)
        return;
    uint32_t count = choose(ranking, &cut, chosen);
    while (owned_count < count && chosen[owned_count].index < ranking->owned_count)
        owned_count++;
    fit_capacity(fit, store, market);
    if (fit->order_count == fit->order_capacity)
        remove_order(fit, store, market, 0);
    struct kept_order *order = market_take(store, market, bytes_of_order(count, owned_count));
    *order = (struct kept_order){
        .customer_hash = customer_hash,
        .count = (uint16_t)count,
        .owned_count = (uint16_t)owned_count,
    };
    fill_order(order, ranking, chosen);
    fit->orders[fit->order_count++] = order;
}

void fit_forget(struct fit *fit, struct store *store, struct market *market, uint32_t customer_hash)
{
    for (uint32_t i = fit->order_count; i-- > 0;)
        if (fit->orders[i]->customer_hash == customer_hash)
            remove_order(fit, store, market, i);
}

bool fit_drop_orders(struct fit *fit, struct store *store, struct market *market)
{
    if (fit->orders == NULL)
        return false;
    for (uint32_t i = 0; i < fit->order_count; i++)
        market_give(store, market, fit->orders[i], bytes_of(fit->orders[i]));
    market_give(store, market, fit->orders, fit->order_capacity * sizeof(struct kept_order *));
    fit->orders = NULL;
    fit->order_count = fit->order_capacity = 0;
    return true;
}

/* ---- learning ---- */

static float weigh(const float *weights, const float *facts, uint32_t count)
{
    quad sum = {0};

    for (uint32_t i = 0; i < count; i += 4)
        sum += quad_load(weights + i) * quad_load(facts + i);
    return quad_sum(sum);
}

/* The facts of one candidate, as floats; moves on to the next one's. */
static uint32_t take_facts(const struct kept_order *order, uint32_t index, const uint16_t **at,
                           float *facts)
{
    uint32_t count = index < order->owned_count ? OWNED_COUNT : FRESH_COUNT;

    for (uint32_t i = 0; i < count; i++)
        facts[i] = unpack((*at)[i]);
    *at += count;
    return count;
}

static uint32_t first_weight(const struct kept_order *order, uint32_t index)
{
    return index < order->owned_count ? 0 : OWNED_COUNT;
}

/* w · x of every candidate. */
static void weigh_order(const float *weights, const struct kept_order *order, float *sums)
{
    const uint16_t *at = facts_of(order);
    float facts[OWNED_COUNT];

    for (uint32_t i = 0; i < order->count; i++) {
        uint32_t count = take_facts(order, i, &at, facts);
        sums[i] = weigh(weights + first_weight(order, i), facts, count);
    }
}

static void into_chances(float *scores, uint32_t count)
{
    float best = scores[0], sum = 0;

    for (uint32_t i = 1; i < count; i++)
        best = scores[i] > best ? scores[i] : best;
    for (uint32_t i = 0; i < count; i++) {
        scores[i] = quick_exp(scores[i] - best);
        sum += scores[i];
    }
    for (uint32_t i = 0; i < count; i++)
        scores[i] /= sum;
}

static void add_gradient(const float *weights, const struct kept_order *order, float *gradient)
{
    const float *bases = bases_of(order);
    const uint16_t *at = facts_of(order);
    float chances[KEPT_MAX], facts[OWNED_COUNT];
    float part = 1.0f / order->bought_count;

    weigh_order(weights, order, chances);
    for (uint32_t i = 0; i < order->count; i++)
        chances[i] += bases[i];
    into_chances(chances, order->count);
    for (uint32_t i = 0; i < order->count; i++) {
        float error = ((order->bought >> i & 1) != 0 ? part : 0) - chances[i];
        float *to = gradient + first_weight(order, i);
        uint32_t count = take_facts(order, i, &at, facts);
        for (uint32_t k = 0; k < count; k++)
            to[k] += error * facts[k];
    }
}

/* AdaGrad, as in the model. */
static void take_step(struct fitting *fitting, const float *gradient)
{
    for (uint32_t i = 0; i < FIT_WEIGHTS; i++) {
        fitting->histories[i] += gradient[i] * gradient[i];
        fitting->weights[i] += rate * gradient[i] / sqrtf(fitting->histories[i] + 1e-6f);
        if (!(fabsf(fitting->weights[i]) < weight_most))
            fitting->weights[i] = 0;
    }
}

static uint32_t learnt_count(const struct fit *fit)
{
    return fit->order_count - fit->order_count / HELD_BACK;
}

/* A slice never ends within a batch, but where the pass ends. */
static void learn_slice(struct fit *fit)
{
    struct fitting *fitting = fit->fitting;
    uint32_t end = learnt_count(fit), slice_end = fitting->at + SLICE_ORDERS;

    end = slice_end < end ? slice_end : end;
    while (fitting->at < end) {
        uint32_t batch_end = fitting->at + BATCH_ORDERS < end ? fitting->at + BATCH_ORDERS : end;
        float gradient[FIT_WEIGHTS] = {0};
        for (; fitting->at < batch_end; fitting->at++)
            add_gradient(fitting->weights, fit->orders[fitting->at], gradient);
        take_step(fitting, gradient);
    }
    if (fitting->at < learnt_count(fit))
        return;
    fitting->at = 0;
    if (++fitting->pass < PASSES)
        return;
    fitting->phase = PHASE_JUDGE;
    fitting->at = learnt_count(fit);
}

/* ---- judging ---- */

/* How unlikely what was bought is found, in nats an item, with so much of the weights. */
static double loss_of(const struct kept_order *order, const float *sums, float strength)
{
    const float *bases = bases_of(order);
    float chances[KEPT_MAX];
    double loss = 0;

    for (uint32_t i = 0; i < order->count; i++)
        chances[i] = bases[i] + strength * sums[i];
    into_chances(chances, order->count);
    for (uint32_t i = 0; i < order->count; i++)
        if ((order->bought >> i & 1) != 0)
            loss -= (double)quick_log(chances[i] > 1e-30f ? chances[i] : 1e-30f);
    return loss / order->bought_count;
}

static void judge_slice(struct fit *fit)
{
    struct fitting *fitting = fit->fitting;
    float sums[KEPT_MAX];

    for (uint32_t n = 0; n < SLICE_ORDERS && fitting->at < fit->order_count; n++, fitting->at++) {
        const struct kept_order *order = fit->orders[fitting->at];
        weigh_order(fitting->weights, order, sums);
        for (uint32_t i = 0; i < STRENGTH_COUNT; i++)
            fitting->losses[i] += loss_of(order, sums, strengths[i]);
    }
}

static void take_weights(struct fit *fit)
{
    const struct fitting *fitting = fit->fitting;
    uint32_t best = 0;
    double held_back = fit->order_count - learnt_count(fit);

    for (uint32_t i = 1; i < STRENGTH_COUNT; i++)
        if (fitting->losses[i] < fitting->losses[best])
            best = i;
    for (uint32_t i = 0; i < FIT_WEIGHTS; i++)
        fit->weights[i] = fitting->weights[i] * strengths[best];
    fit->fitted_count = fit->order_count;
    fit->strength = strengths[best];
    fit->loss_without = (float)(fitting->losses[0] / held_back) * bits_of_nat;
    fit->loss_with = (float)(fitting->losses[best] / held_back) * bits_of_nat;
}

/* ---- from outside ---- */

void fit_end(struct fit *fit, struct store *store, struct market *market)
{
    market_give(store, market, fit->fitting, sizeof *fit->fitting);
    fit->fitting = NULL;
}

void fit_begin(struct fit *fit, struct store *store, struct market *market)
{
    assert(fit->fitting == NULL && fit->order_count >= FIT_ORDERS_LEAST);
    fit->fitting = market_take(store, market, sizeof *fit->fitting);
    *fit->fitting = (struct fitting){.phase = PHASE_LEARN};
}

bool fit_step(struct fit *fit, struct store *store, struct market *market)
{
    struct fitting *fitting = fit->fitting;

    assert(fitting != NULL);
    if (fit->order_count < HELD_BACK) {
        fit->fitted_count = 0;
        fit_end(fit, store, market);
        return true;
    }
    if (fitting->phase == PHASE_LEARN) {
        learn_slice(fit);
        return false;
    }
    judge_slice(fit);
    if (fitting->at < fit->order_count)
        return false;
    take_weights(fit);
    fit_end(fit, store, market);
    return true;
}

void fit_correct(const struct fit *fit, struct ranking *ranking, bool is_fresh_only)
{
    uint32_t i = is_fresh_only ? ranking->owned_count : 0;

    for (; i < ranking->owned_count; i++)
        ranking->scores[i] *=
            quick_exp(weigh(fit->weights, ranking_features(ranking, i), OWNED_COUNT));
    for (; i < ranking->count; i++)
        ranking->scores[i] *=
            quick_exp(weigh(fit->weights + OWNED_COUNT, ranking_features(ranking, i), FRESH_COUNT));
}

void fit_close(struct fit *fit, struct store *store, struct market *market)
{
    fit_drop_orders(fit, store, market);
    if (fit->fitting != NULL)
        fit_end(fit, store, market);
}

/* ---- saving ---- */

static void put_floats(struct byte_writer *out, const float *values, uint32_t count)
{
    byte_put(out, values, count * sizeof *values);
}

/* Broken unless all are within [-most, most]. */
static void take_floats(struct byte_reader *in, float *values, uint32_t count, float most)
{
    const void *bytes = byte_take(in, count * sizeof *values);

    if (bytes == NULL)
        return;
    memcpy(values, bytes, count * sizeof *values);
    for (uint32_t i = 0; i < count; i++)
        in->broken |= !(fabsf(values[i]) <= most);
}

static void save_order(const struct kept_order *order, struct byte_writer *out)
{
    byte_put_u64(out, order->bought);
    byte_put_u32(out, order->customer_hash);
    byte_put_u16(out, order->count);
    byte_put_u16(out, order->owned_count);
    byte_put(out, order + 1, bytes_of(order) - sizeof *order);
}

static bool is_sound(const struct kept_order *order)
{
    const float *bases = bases_of(order);
    const uint16_t *facts = facts_of(order);
    bool is_good = true;

    for (uint32_t i = 0; i < order->count; i++)
        is_good &= fabsf(bases[i]) <= base_most;
    for (; (const char *)facts < (const char *)order + bytes_of(order); facts++)
        is_good &= fabsf(unpack(*facts)) <= 2 * fact_most;
    return is_good;
}

static void load_order(struct fit *fit, struct store *store, struct market *market,
                       struct byte_reader *in)
{
    struct kept_order head = {.bought = byte_take_u64(in)};

    head.customer_hash = byte_take_u32(in);
    head.count = byte_take_u16(in);
    head.owned_count = byte_take_u16(in);
    for (uint32_t i = 0; i < 64; i++)
        head.bought_count += (uint16_t)(head.bought >> i & 1);
    in->broken |= head.count == 0 || head.count > KEPT_MAX || head.owned_count > head.count ||
                  head.bought_count == 0 || (head.count < 64 && head.bought >> head.count != 0);
    if (in->broken)
        return;
    size_t rest = bytes_of(&head) - sizeof head;
    const void *bytes = byte_take(in, rest);
    if (bytes == NULL)
        return;
    struct kept_order *order = market_take(store, market, bytes_of(&head));
    *order = head;
    memcpy(order + 1, bytes, rest);
    fit->orders[fit->order_count++] = order;
    in->broken |= !is_sound(order);
}

static void save_fitting(const struct fitting *fitting, struct byte_writer *out)
{
    put_floats(out, fitting->weights, FIT_WEIGHTS);
    put_floats(out, fitting->histories, FIT_WEIGHTS);
    for (uint32_t i = 0; i < STRENGTH_COUNT; i++)
        byte_put_double(out, fitting->losses[i]);
    byte_put_varint(out, fitting->phase);
    byte_put_varint(out, fitting->pass);
    byte_put_varint(out, fitting->at);
}

static void load_fitting(struct fit *fit, struct store *store, struct market *market,
                         struct byte_reader *in)
{
    struct fitting *fitting = market_take(store, market, sizeof *fitting);

    fit->fitting = fitting;
    *fitting = (struct fitting){.phase = PHASE_LEARN};
    take_floats(in, fitting->weights, FIT_WEIGHTS, weight_most);
    take_floats(in, fitting->histories, FIT_WEIGHTS, 1e30f);
    for (uint32_t i = 0; i < STRENGTH_COUNT; i++)
        fitting->losses[i] = byte_take_double(in);
    uint64_t phase = byte_take_varint(in), pass = byte_take_varint(in), at = byte_take_varint(in);
    for (uint32_t i = 0; i < FIT_WEIGHTS; i++)
        in->broken |= fitting->histories[i] < 0;
    in->broken |= phase > PHASE_JUDGE || pass > PASSES || at > UINT16_MAX;
    fitting->phase = (uint32_t)phase;
    fitting->pass = (uint32_t)pass;
    fitting->at = (uint32_t)at;
}

void fit_save(const struct fit *fit, struct byte_writer *out)
{
    byte_put_varint(out, FIT_WEIGHTS);
    put_floats(out, fit->weights, FIT_WEIGHTS);
    byte_put_varint(out, fit->fitted_count);
    put_floats(out, (const float[]){fit->strength, fit->loss_without, fit->loss_with}, 3);
    byte_put_u8(out, (uint8_t)((fit->orders != NULL) | (fit->fitting != NULL) << 1));
    byte_put_varint(out, fit->order_capacity);
    byte_put_varint(out, fit->order_count);
    for (uint32_t i = 0; i < fit->order_count; i++)
        save_order(fit->orders[i], out);
    if (fit->fitting != NULL)
        save_fitting(fit->fitting, out);
}

void fit_load(struct fit *fit, struct store *store, struct market *market, struct byte_reader *in)
{
    float figures[3] = {0};

    /* Weights of other features than ours: there is no way to use them. */
    in->broken |= byte_take_varint(in) != FIT_WEIGHTS;
    if (in->broken)
        return;
    take_floats(in, fit->weights, FIT_WEIGHTS, weight_most);
    fit->fitted_count = (uint32_t)byte_take_varint(in);
    take_floats(in, figures, 3, 1e30f);
    fit->strength = figures[0];
    fit->loss_without = figures[1];
    fit->loss_with = figures[2];
    uint8_t flags = byte_take_u8(in);
    uint32_t capacity = byte_take_upto(in, KEPT_ORDERS_MAX);
    uint64_t count = byte_take_count(in, sizeof(struct kept_order) / 2);
    bool has_orders = (flags & 1) != 0;
    in->broken |= count > capacity || has_orders != (capacity > 0);
    if (!in->broken && has_orders)
        open_orders(fit, store, market, capacity);
    for (uint64_t i = 0; i < count && !in->broken; i++)
        load_order(fit, store, market, in);
    if (!in->broken && (flags & 2) != 0)
        load_fitting(fit, store, market, in);
}
