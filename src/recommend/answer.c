/*
 * A list for a customer:
 *
 *   known customer                the tenant's model
 *   with a basket or a page       what goes together with it, first
 *   unknown customer              what is popular now
 *   tenant with few orders        the same, filled up with what is popular with all who
 *                                 share, if it shares
 *
 * Products that are blocked, or named by the request itself, never stand on a list.
 */
#include <assert.h>
#include <math.h>

#include "base/hash.h"
#include "recommend/dedicated.h"
#include "recommend/model.h"
#include "recommend/state.h"

/* One place of the list. */
struct pick {
    const struct market *market;
    uint32_t product;
    struct view foreign; /* instead of these two: a product that others sell */
    const struct habit *habit;
    float score;
    uint32_t companion; /* a product that it is often bought together with; 0: none */
};

struct list {
    struct pick picks[LIST_COUNT_MAX];
    uint32_t count;
    uint32_t wanted;
    enum strategy strategy;
    const char *model_name;
    const char *model_version;
    uint32_t dedicated_version; /* instead of these two; 0: none */
};

/* ---- choosing ---- */

/* Keeps `list` sorted; among equals the earlier candidate stays first. */
static void offer(struct list *list, const struct pick *pick)
{
    if (list->count == list->wanted && !(pick->score > list->picks[list->count - 1].score))
        return;
    uint32_t at = list->count < list->wanted ? list->count++ : list->count - 1;
    for (; at > 0 && pick->score > list->picks[at - 1].score; at--)
        list->picks[at] = list->picks[at - 1];
    list->picks[at] = *pick;
}

static void pick_best(const struct ranking *ranking, bool is_fresh_only, struct list *list)
{
    for (uint32_t i = is_fresh_only ? ranking->owned_count : 0; i < ranking->count; i++) {
        const struct candidate *candidate = &ranking->candidates[i];
        if (ranking->market->products[candidate->product].is_blocked ||
            (ranking->marks[candidate->product] & MARK_CONTEXT) != 0)
            continue;
        offer(list, &(struct pick){
                        .market = ranking->market,
                        .product = candidate->product,
                        .habit = candidate->habit,
                        .score = ranking->scores[i],
                    });
    }
}

/* For somebody of whom nothing is known. */
static void score_by_popularity(struct ranking *ranking)
{
    for (uint32_t i = 0; i < ranking->count; i++) {
        const float *popularity =
            ranking->market->products[ranking->candidates[i].product].popularity;
        ranking->scores[i] =
            popularity[HALF_LIFE_3] * ranking->fade[HALF_LIFE_3] * ranking->parts[HALF_LIFE_3] +
            .05f * popularity[HALF_LIFE_14] * ranking->fade[HALF_LIFE_14] *
                ranking->parts[HALF_LIFE_14];
    }
}

/* On a page or at the basket, what goes with it comes first, and the root leaves taste the
 * smaller say. What does not go with it at all keeps a fiftieth. */
static void favour_context(struct ranking *ranking)
{
    float part = ranking->signal_parts[SIGNAL_LAST];

    for (uint32_t i = 0; i < ranking->count; i++) {
        const float *signals = (const float *)&ranking->signals[ranking->candidates[i].product];
        ranking->scores[i] = sqrtf(ranking->scores[i]) * (.02f + signals[SIGNAL_LAST] * part);
    }
}

/* ---- reasons ---- */

static void weigh_companion(const struct ranking *ranking, struct pick *pick, uint32_t source,
                            float fondness, float *most)
{
    const struct product *product = &ranking->market->products[source];
    uint64_t neighbour = neighbours_find(&product->neighbours, pick->product);

    if (neighbour == 0 || source == pick->product)
        return;
    float weight = fondness * ((float)neighbour_together(neighbour) * product->from_together +
                               (float)neighbour_next(neighbour) * product->from_next);
    if (weight > *most) {
        *most = weight;
        pick->companion = source;
    }
}

/* Of the request's products, or else of what the customer bought, the one that speaks most
 * for it. */
static void find_companion(const struct ranking *ranking, struct pick *pick)
{
    float most = 0;

    if (pick->habit != NULL && pick->habit->count > 0)
        return;
    for (uint32_t i = 0; i < ranking->context_count; i++)
        weigh_companion(ranking, pick, ranking->context[i], 1, &most);
    for (uint32_t i = 0; ranking->context_count == 0 && i < ranking->source_count; i++)
        weigh_companion(ranking, pick, ranking->sources[i].product, ranking->sources[i].fondness,
                        &most);
}

static struct view reason_of(const struct pick *pick, struct arena *arena)
{
    if (!view_is_absent(pick->foreign))
        return VIEW_LITERAL("popular in other shops now");
    if (pick->habit != NULL && pick->habit->count == 1)
        return VIEW_LITERAL("bought once before");
    if (pick->habit != NULL && pick->habit->count > 1)
        return view_of(arena_print(arena, "bought %.0f times before", (double)pick->habit->count));
    if (pick->companion != 0)
        return view_of(arena_print(arena, "often bought together with %.*s",
                                   VIEW_PRINT(pick->market->products[pick->companion].id)));
    if (pick->habit != NULL && pick->habit->views > 0)
        return VIEW_LITERAL("looked at before");
    return VIEW_LITERAL("popular now");
}

/* ---- lists ---- */

static uint32_t find_context(const struct market *market, struct view_list texts, uint32_t *numbers)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < texts.count && count < CONTEXT_MAX; i++) {
        uint32_t number = product_find(market, texts.at[i]);
        bool is_new = number != 0;
        for (uint32_t k = 0; k < count; k++)
            is_new = is_new && numbers[k] != number;
        if (is_new)
            numbers[count++] = number;
    }
    return count;
}

static void name_kind(struct list *list, const struct model_kind *kind)
{
    list->model_name = kind->name;
    list->model_version = kind->version;
    list->strategy = kind->strategy;
}

static void fill_list(struct recommend *recommend, struct market *market,
                      const struct question *question, struct list *list)
{
    const struct store *store = &recommend->store;
    struct ranking *ranking = &recommend->ranking;
    const struct customer *customer = NULL;
    uint32_t context[CONTEXT_MAX];
    uint32_t context_count = find_context(market, question->context, context);
    uint32_t reference = view_is_absent(question->customer_id)
                             ? 0
                             : customer_find(store, market, question->customer_id);

    if (reference != 0 && customer_at(store, reference)->habit_count > 0)
        customer = customer_at(store, reference);
    const struct model_kind *kind = customer != NULL ? market->kind : &model_popularity;
    ranking_begin(ranking, store, market, customer, question->time_ms, context, context_count);
    model_prepare(kind, market->model, ranking);
    name_kind(list, kind);
    if (customer != NULL) {
        kind->score(market->model, ranking, question->excludes_purchased);
        list->dedicated_version = dedicated_correct(market, ranking, question->excludes_purchased);
    } else {
        score_by_popularity(ranking);
    }
    if (context_count > 0) {
        favour_context(ranking);
        list->strategy = STRATEGY_ITEM_ITEM;
    }
    pick_best(ranking, question->excludes_purchased, list);
    for (uint32_t i = 0; i < list->count; i++)
        find_companion(ranking, &list->picks[i]);
    ranking_end(ranking);
}

static bool is_wanted(const struct market *market, const struct question *question,
                      const struct list *list, uint32_t list_count, struct view id)
{
    uint32_t number = market != NULL ? product_find(market, id) : 0;

    if (number != 0 && market->products[number].is_blocked)
        return false;
    for (uint32_t i = 0; i < question->context.count; i++)
        if (view_is_equal(question->context.at[i], id))
            return false;
    for (uint32_t i = 0; i < list_count; i++)
        if (number != 0 && list->picks[i].product == number)
            return false;
    return true;
}

/* A tenant of whom little is known, and that shares, shows what others sell: behind what is
 * its own. */
static void fill_from_others(const struct shared *shared, const struct market *market,
                             const struct question *question, struct list *list)
{
    uint32_t own_count = list->count;

    for (uint32_t i = 0; i < shared->product_count && list->count < list->wanted; i++)
        if (is_wanted(market, question, list, own_count, shared->products[i].id))
            list->picks[list->count++] = (struct pick){
                .foreign = shared->products[i].id,
                .score = shared->products[i].score,
            };
    if (own_count == 0 && list->count > 0)
        list->strategy = STRATEGY_POPULAR_ALL;
}

/* ---- publishing ---- */

/* From what caused the list and whom it is for, so that a list made twice is one list. */
static struct view list_id(const struct question *question, struct arena *arena)
{
    uint64_t high = hash_view(question->tenant_id, 1), low = hash_view(question->tenant_id, 2);

    high = hash_mix(high, hash_view(question->cause, 3));
    low = hash_mix(low, hash_view(question->cause, 4));
    high = hash_mix(high, hash_view(question->customer_id, 5));
    low = hash_mix(low, hash_view(question->customer_id, 6));
    return view_of(arena_print(arena, "rec-%016llx%016llx", (unsigned long long)high,
                               (unsigned long long)low));
}

static void publish(const struct question *question, const struct list *list, struct outbox *outbox)
{
    struct arena *arena = outbox_scratch(outbox);
    struct recommended_item *items = arena_alloc(arena, (list->count + 1) * sizeof *items);
    struct result result = {.kind = RESULT_RECOMMENDATION, .tenant_id = question->tenant_id};

    for (uint32_t i = 0; i < list->count; i++) {
        const struct pick *pick = &list->picks[i];
        items[i] = (struct recommended_item){
            .present = 7,
            .product_id = view_is_absent(pick->foreign) ? pick->market->products[pick->product].id
                                                        : pick->foreign,
            .score = (double)pick->score,
            .reason = reason_of(pick, arena),
        };
    }
    result.id = list_id(question, arena);
    result.recommendation = (struct recommendation){
        .request_id = question->request_id,
        .job_id = question->job_id,
        .customer_id = question->customer_id,
        .items = {items, list->count},
        .model_name = view_of(list->model_name),
        .model_version = view_of(list->model_version),
        .strategy = list->strategy,
        .event_time_ms = question->time_ms,
    };
    if (list->dedicated_version != 0) {
        result.recommendation.model_name = VIEW_LITERAL(DEDICATED_MODEL_NAME);
        result.recommendation.model_version =
            view_of(arena_print(arena, "%u", list->dedicated_version));
    }
    result_mark(&result, NULL);
    outbox_add(outbox, &result);
}

uint32_t answer(struct recommend *recommend, const struct question *question, struct outbox *outbox)
{
    struct market *market = market_find(&recommend->store, question->tenant_id);
    struct list list = {
        .wanted = question->count < LIST_COUNT_MAX ? question->count : LIST_COUNT_MAX,
        .strategy = STRATEGY_POPULAR_TENANT,
        .model_name = model_popularity.name,
        .model_version = model_popularity.version,
    };

    assert(question->count > 0);
    if (market != NULL && market->product_count > 0)
        fill_list(recommend, market, question, &list);
    if (question->is_sharing &&
        (market == NULL || (market->totals.orders < FEW_ORDERS && !dedicated_is_isolated(market))))
        fill_from_others(&recommend->shared, market, question, &list);
    if (list.count == 0 && question->is_asked_again)
        return 0;
    publish(question, &list, outbox);
    recommend->totals.recommendations++;
    if (list.count > 0)
        recommend->totals.by_strategy[list.strategy]++;
    if (market != NULL)
        market->totals.recommendations++;
    return list.count;
}
