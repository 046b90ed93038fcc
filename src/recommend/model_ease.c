/*
 * EASE (Steck, "Embarrassingly Shallow Autoencoders for Sparse Data", 2019): the linear
 * model that best rebuilds each product of a customer's history from the others.
 *
 *   G = how many customers bought both     counted as orders pass
 *   P = inverse of (G + lambda I)          solved in slices, between events
 *   weight(i -> j) = -P(i,j) / P(j,j)
 *
 * Only the products of up to SLOTS_MAX slots take part: the first to be bought a second
 * time, and when there is no slot left, at each new solution, what has become popular in
 * place of what no longer is.
 *
 * The slices belong to ticks, which are part of the journal: so a solution comes at the
 * same place of the stream in every replay, and one half done is saved with the rest.
 */
#include <assert.h>
#include <string.h>

#include "recommend/model.h"

enum {
    SLOTS_MAX = 1024,
    SLOTS_LEAST = 64,
    SLICE_STEPS = 1 << 21, /* multiplications in a tick: about half a millisecond */
    NEWS_LEAST = 50,       /* lessons before a new solution, */
    NEWS_SHARE = 8,        /* or this part of all lessons */
    REPLACEMENTS_MAX = 16,
};

static const float lambda = 200.0f;

struct ease {
    struct store *store;
    struct market *market;
    uint16_t *slot_of; /* by product: slot + 1; 0: none */
    uint32_t capacity;
    uint32_t side;       /* of the matrices */
    uint32_t slot_count; /* in use */
    uint32_t solved;     /* slots of the last solution; 0: none yet */
    uint32_t solving;    /* slots of the one under way; 0: none */
    uint32_t pivot;      /* its next step */
    uint64_t lessons, lessons_solved;
    uint32_t *products; /* of each slot; 0: gone */
    uint32_t *solved_products;
    float *counts; /* G */
    float *work;
    float *weights; /* row i: what i says of all */
    float *sums;    /* scratch */
};

/* ---- memory ---- */

static void take_matrices(struct ease *ease, uint32_t side)
{
    size_t square = (size_t)side * side * sizeof(float);

    ease->side = side;
    ease->counts = market_take(ease->store, ease->market, square);
    ease->work = market_take(ease->store, ease->market, square);
    ease->weights = market_take(ease->store, ease->market, square);
    ease->sums = market_take(ease->store, ease->market, side * sizeof(float));
    memset(ease->counts, 0, square);
    memset(ease->work, 0, square);
    memset(ease->weights, 0, square);
}

static void give_matrices(const struct ease *ease)
{
    size_t square = (size_t)ease->side * ease->side * sizeof(float);

    market_give(ease->store, ease->market, ease->counts, square);
    market_give(ease->store, ease->market, ease->work, square);
    market_give(ease->store, ease->market, ease->weights, square);
    market_give(ease->store, ease->market, ease->sums, ease->side * sizeof(float));
}

static void *open_model(struct store *store, struct market *market)
{
    struct ease *ease = market_take(store, market, sizeof *ease);
    size_t bytes = SLOTS_MAX * sizeof *ease->products;

    *ease = (struct ease){.store = store, .market = market};
    ease->products = market_take(store, market, bytes);
    ease->solved_products = market_take(store, market, bytes);
    memset(ease->products, 0, bytes);
    memset(ease->solved_products, 0, bytes);
    take_matrices(ease, SLOTS_LEAST);
    return ease;
}

static void close_model(void *model, struct store *store, struct market *market)
{
    struct ease *ease = model;

    give_matrices(ease);
    market_give(store, market, ease->slot_of, ease->capacity * sizeof *ease->slot_of);
    market_give(store, market, ease->products, SLOTS_MAX * sizeof *ease->products);
    market_give(store, market, ease->solved_products, SLOTS_MAX * sizeof *ease->products);
    market_give(store, market, ease, sizeof *ease);
}

static void resize(struct ease *ease, uint32_t capacity)
{
    uint32_t kept = capacity < ease->capacity ? capacity : ease->capacity;

    if (capacity == ease->capacity)
        return;
    uint16_t *slot_of = market_take(ease->store, ease->market, capacity * sizeof *slot_of);
    memset(slot_of, 0, capacity * sizeof *slot_of);
    if (kept > 0)
        memcpy(slot_of, ease->slot_of, kept * sizeof *slot_of);
    market_give(ease->store, ease->market, ease->slot_of, ease->capacity * sizeof *ease->slot_of);
    ease->slot_of = slot_of;
    ease->capacity = capacity;
}

static void copy_square(const float *from, uint32_t from_side, float *to, uint32_t to_side,
                        uint32_t count)
{
    for (uint32_t row = 0; row < count; row++)
        memcpy(to + (size_t)row * to_side, from + (size_t)row * from_side, count * sizeof(float));
}

static void double_side(struct ease *ease)
{
    struct ease old = *ease;

    take_matrices(ease, old.side * 2);
    copy_square(old.counts, old.side, ease->counts, ease->side, old.slot_count);
    copy_square(old.work, old.side, ease->work, ease->side, old.solving);
    copy_square(old.weights, old.side, ease->weights, ease->side, old.solved);
    give_matrices(&old);
}

/* ---- counting ---- */

static void assign_slot(struct ease *ease, uint32_t number)
{
    if (ease->slot_of[number] != 0 || ease->slot_count == SLOTS_MAX ||
        ease->market->products[number].orders < 1)
        return;
    if (ease->slot_count == ease->side)
        double_side(ease);
    ease->products[ease->slot_count++] = number;
    ease->slot_of[number] = (uint16_t)ease->slot_count;
}

static void count_pair(struct ease *ease, uint32_t a, uint32_t b)
{
    if (a == 0 || b == 0)
        return;
    ease->counts[(size_t)(a - 1) * ease->side + (b - 1)] += 1;
    if (a != b)
        ease->counts[(size_t)(b - 1) * ease->side + (a - 1)] += 1;
}

/* Histories are sets: what the customer has bought before adds nothing. */
static uint32_t leave_out_known(const struct lesson *lesson, uint32_t *fresh)
{
    const struct customer *customer = lesson->customer;
    uint32_t count = 0;

    for (uint32_t i = 0; i < lesson->product_count; i++) {
        bool is_known = false;
        for (uint32_t k = 0; k < customer->habit_count && !is_known; k++)
            is_known =
                customer->habits[k].product == lesson->products[i] && customer->habits[k].count > 0;
        if (!is_known)
            fresh[count++] = lesson->products[i];
    }
    return count;
}

static void learn(void *model, struct store *store, const struct lesson *lesson,
                  struct ranking *ranking)
{
    struct ease *ease = model;
    const struct customer *customer = lesson->customer;
    uint32_t fresh[BASKET_MAX];

    (void)store, (void)ranking;
    resize(ease, ease->market->product_capacity);
    ease->lessons++;
    for (uint32_t i = 0; i < lesson->product_count; i++)
        assign_slot(ease, lesson->products[i]);
    if (customer == NULL)
        return;
    uint32_t fresh_count = leave_out_known(lesson, fresh);
    for (uint32_t i = 0; i < fresh_count; i++) {
        uint32_t slot = ease->slot_of[fresh[i]];
        for (uint32_t k = 0; slot != 0 && k < customer->habit_count; k++)
            if (customer->habits[k].count > 0)
                count_pair(ease, slot, ease->slot_of[customer->habits[k].product]);
        for (uint32_t k = 0; slot != 0 && k <= i; k++)
            count_pair(ease, slot, ease->slot_of[fresh[k]]);
    }
}

/* ---- solving ---- */

static void clear_slot(struct ease *ease, uint32_t slot)
{
    memset(ease->counts + (size_t)slot * ease->side, 0, ease->side * sizeof(float));
    for (uint32_t row = 0; row < ease->slot_count; row++)
        ease->counts[(size_t)row * ease->side + slot] = 0;
}

static uint32_t least_popular_slot(const struct ease *ease)
{
    uint32_t found = 0;
    float least = 0;

    for (uint32_t slot = 0; slot < ease->slot_count; slot++) {
        uint32_t number = ease->products[slot];
        float value = ease->market->products[number].popularity[HALF_LIFE_60];
        if (slot == 0 || value < least) {
            least = value;
            found = slot;
        }
    }
    return found;
}

/* Product 0 is nobody and has no popularity, so slots of dropped products go first. */
static void replace_slots(struct ease *ease)
{
    const struct market *market = ease->market;
    uint32_t replaced = 0;

    if (ease->slot_count < SLOTS_MAX)
        return;
    for (uint32_t i = 0; i < market->top_counts[1] && replaced < REPLACEMENTS_MAX; i++) {
        uint32_t number = market->tops[1][i];
        if (number >= ease->capacity || ease->slot_of[number] != 0)
            continue;
        uint32_t slot = least_popular_slot(ease);
        if (market->products[number].popularity[HALF_LIFE_60] <=
            market->products[ease->products[slot]].popularity[HALF_LIFE_60])
            continue;
        ease->slot_of[ease->products[slot]] = 0;
        ease->products[slot] = number;
        ease->slot_of[number] = (uint16_t)(slot + 1);
        clear_slot(ease, slot);
        replaced++;
    }
}

static void begin_solution(struct ease *ease)
{
    replace_slots(ease);
    ease->solving = ease->slot_count;
    ease->pivot = 0;
    ease->lessons_solved = ease->lessons;
    copy_square(ease->counts, ease->side, ease->work, ease->side, ease->solving);
    for (uint32_t i = 0; i < ease->solving; i++)
        ease->work[(size_t)i * ease->side + i] += lambda;
}

/* One step of Gauss and Jordan's inversion in place. The matrix is symmetric and positive
 * definite, so it needs no choice of pivots. */
static void take_step(struct ease *ease)
{
    uint32_t side = ease->side, count = ease->solving, pivot = ease->pivot++;
    float *pivot_row = ease->work + (size_t)pivot * side;
    float divisor = 1.0f / pivot_row[pivot];

    for (uint32_t row = 0; row < count; row++) {
        float *at = ease->work + (size_t)row * side;
        float factor = at[pivot] * divisor;
        if (row == pivot || factor == 0)
            continue;
        for (uint32_t i = 0; i < count; i += 4) {
            quad value = quad_load(at + i) - quad_of(factor) * quad_load(pivot_row + i);
            memcpy(at + i, &value, sizeof value);
        }
        at[pivot] = -factor;
    }
    for (uint32_t i = 0; i < count; i++)
        pivot_row[i] *= divisor;
    pivot_row[pivot] = divisor;
}

static void end_solution(struct ease *ease)
{
    uint32_t side = ease->side, count = ease->solving;

    for (uint32_t column = 0; column < count; column++)
        ease->sums[column] = -1.0f / ease->work[(size_t)column * side + column];
    for (uint32_t row = 0; row < count; row++) {
        for (uint32_t column = 0; column < count; column++)
            ease->weights[(size_t)row * side + column] =
                ease->work[(size_t)row * side + column] * ease->sums[column];
        ease->weights[(size_t)row * side + row] = 0;
    }
    memcpy(ease->solved_products, ease->products, count * sizeof *ease->products);
    ease->solved = count;
    ease->solving = 0;
}

static bool tick(void *model, struct store *store, struct market *market, int64_t now_ms)
{
    struct ease *ease = model;
    uint64_t news = ease->lessons - ease->lessons_solved;
    uint64_t done = 0;

    (void)store, (void)market, (void)now_ms;
    if (ease->solving == 0) {
        if (ease->slot_count > 0 && news >= NEWS_LEAST && news * NEWS_SHARE >= ease->lessons)
            begin_solution(ease);
        return ease->solving != 0;
    }
    while (ease->pivot < ease->solving && done < SLICE_STEPS) {
        take_step(ease);
        done += (uint64_t)ease->solving * ease->solving;
    }
    if (ease->pivot == ease->solving)
        end_solution(ease);
    return true;
}

/* ---- lists ---- */

static void add_weights(const struct ease *ease, uint32_t product)
{
    uint32_t slot = product < ease->capacity ? ease->slot_of[product] : 0;

    if (slot == 0 || slot > ease->solved || ease->solved_products[slot - 1] != product)
        return;
    const float *row = ease->weights + (size_t)(slot - 1) * ease->side;
    for (uint32_t i = 0; i < ease->solved; i += 4) {
        quad value = quad_load(ease->sums + i) + quad_load(row + i);
        memcpy(ease->sums + i, &value, sizeof value);
    }
}

static void suggest(const void *model, struct ranking *ranking)
{
    const struct ease *ease = model;
    const struct customer *customer = ranking->customer;

    if (ease->solved == 0)
        return;
    memset(ease->sums, 0, ease->side * sizeof(float));
    for (uint32_t i = 0; i < ranking->context_count; i++)
        add_weights(ease, ranking->context[i]);
    for (uint32_t i = 0;
         ranking->context_count == 0 && customer != NULL && i < customer->habit_count; i++)
        if (customer->habits[i].count > 0)
            add_weights(ease, customer->habits[i].product);
    for (uint32_t slot = 0; slot < ease->solved; slot++)
        if (ease->sums[slot] > 0 && ease->solved_products[slot] != 0)
            ((float *)&ranking->signals[ease->solved_products[slot]])[SIGNAL_EXTRA] +=
                ease->sums[slot];
}

/* ---- renumbering, saving ---- */

static void renumber(void *model, const uint32_t *numbers, uint32_t count)
{
    struct ease *ease = model;

    for (uint32_t slot = 0; slot < SLOTS_MAX; slot++) {
        uint32_t number = ease->products[slot], solved = ease->solved_products[slot];
        ease->products[slot] = number <= count ? numbers[number] : 0;
        ease->solved_products[slot] = solved <= count ? numbers[solved] : 0;
        if (number != 0 && ease->products[slot] == 0 && slot < ease->slot_count)
            clear_slot(ease, slot);
    }
    resize(ease, ease->market->product_capacity);
    memset(ease->slot_of, 0, ease->capacity * sizeof *ease->slot_of);
    for (uint32_t slot = 0; slot < ease->slot_count; slot++)
        if (ease->products[slot] != 0)
            ease->slot_of[ease->products[slot]] = (uint16_t)(slot + 1);
}

static void save_square(const struct ease *ease, const float *matrix, uint32_t count,
                        struct byte_writer *out)
{
    for (uint32_t row = 0; row < count; row++)
        byte_put(out, matrix + (size_t)row * ease->side, count * sizeof(float));
}

static void save(const void *model, struct byte_writer *out)
{
    const struct ease *ease = model;

    byte_put_varint(out, ease->capacity);
    byte_put_varint(out, ease->side);
    byte_put_varint(out, ease->slot_count);
    byte_put_varint(out, ease->solved);
    byte_put_varint(out, ease->solving);
    byte_put_varint(out, ease->pivot);
    byte_put_varint(out, ease->lessons);
    byte_put_varint(out, ease->lessons_solved);
    for (uint32_t slot = 0; slot < ease->slot_count; slot++)
        byte_put_varint(out, ease->products[slot]);
    for (uint32_t slot = 0; slot < ease->solved; slot++)
        byte_put_varint(out, ease->solved_products[slot]);
    save_square(ease, ease->counts, ease->slot_count, out);
    save_square(ease, ease->work, ease->solving, out);
    save_square(ease, ease->weights, ease->solved, out);
}

static void load_square(const struct ease *ease, float *matrix, uint32_t count,
                        struct byte_reader *in)
{
    for (uint32_t row = 0; row < count; row++) {
        const void *bytes = byte_take(in, count * sizeof(float));
        if (bytes == NULL)
            return;
        memcpy(matrix + (size_t)row * ease->side, bytes, count * sizeof(float));
    }
}

static void load_products(struct ease *ease, struct byte_reader *in)
{
    for (uint32_t slot = 0; slot < ease->slot_count; slot++) {
        uint32_t number = byte_take_upto(in, ease->market->product_count);
        in->broken |= number >= ease->capacity && number != 0;
        if (in->broken)
            return;
        ease->products[slot] = number;
        if (number != 0)
            ease->slot_of[number] = (uint16_t)(slot + 1);
    }
    for (uint32_t slot = 0; slot < ease->solved; slot++)
        ease->solved_products[slot] = byte_take_upto(in, ease->market->product_count);
}

static void load(void *model, struct store *store, struct market *market, struct byte_reader *in)
{
    struct ease *ease = model;
    uint32_t capacity = byte_take_upto(in, market->product_capacity);
    uint32_t side = byte_take_upto(in, SLOTS_MAX);

    (void)store;
    while (ease->side < side)
        double_side(ease);
    in->broken |= ease->side != side;
    if (capacity > 0)
        resize(ease, capacity);
    ease->slot_count = byte_take_upto(in, side);
    ease->solved = byte_take_upto(in, ease->slot_count);
    ease->solving = byte_take_upto(in, ease->slot_count);
    ease->pivot = byte_take_upto(in, ease->slot_count);
    ease->lessons = byte_take_varint(in);
    ease->lessons_solved = byte_take_varint(in);
    load_products(ease, in);
    load_square(ease, ease->counts, ease->slot_count, in);
    load_square(ease, ease->work, ease->solving, in);
    load_square(ease, ease->weights, ease->solved, in);
}

const struct model_kind model_ease = {
    .name = "ease",
    .version = "1",
    .strategy = STRATEGY_PERSONAL,
    .needs_facts = true,
    .open = open_model,
    .close = close_model,
    .suggest = suggest,
    .score = model_score_extra,
    .learn = learn,
    .renumber = renumber,
    .tick = tick,
    .save = save,
    .load = load,
};
