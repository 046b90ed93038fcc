#include "recommend/model.h"

#include <stddef.h>

/* The order is part of saved state and of the option: new kinds go to the end. */
const struct model_kind *const model_kinds[] = {
    &model_weir, &model_popularity, &model_personal, &model_formula,
    &model_knn,  &model_factors,    &model_ease,
};
enum { KIND_COUNT = sizeof model_kinds / sizeof model_kinds[0] };

const char *const recommend_model_names[] = {"weir", "popularity", "personal", "formula",
                                             "knn",  "factors",    "ease",     NULL};
_Static_assert(sizeof recommend_model_names / sizeof recommend_model_names[0] == KIND_COUNT + 1,
               "a name for each kind");

uint32_t model_kind_count(void)
{
    return KIND_COUNT;
}

const struct model_kind *model_find(struct view name)
{
    for (uint32_t i = 0; i < KIND_COUNT; i++)
        if (view_is_text(name, model_kinds[i]->name))
            return model_kinds[i];
    return NULL;
}

void market_select_kind(struct store *store, struct market *market, const struct model_kind *kind)
{
    if (market->model != NULL)
        market->kind->close(market->model, store, market);
    market->kind = kind;
    market->model = kind != NULL && kind->open != NULL ? kind->open(store, market) : NULL;
}

static void choose(const struct model_kind *kind, const void *model, struct ranking *ranking)
{
    if (kind->needs_neighbours || ranking->context_count > 0)
        ranking_add_neighbours(ranking);
    if (kind->suggest != NULL)
        kind->suggest(model, ranking);
    ranking_choose(ranking);
}

static void describe(const struct model_kind *kind, struct ranking *ranking)
{
    if (kind->needs_facts)
        ranking_add_facts(ranking);
    if (kind->needs_features)
        ranking_add_features(ranking);
}

void model_prepare(const struct model_kind *kind, const void *model, struct ranking *ranking)
{
    choose(kind, model, ranking);
    describe(kind, ranking);
}

void model_prepare_lesson(const struct model_kind *kind, struct ranking *ranking,
                          const struct lesson *lesson)
{
    choose(kind, lesson->market->model, ranking);
    for (uint32_t i = 0; i < lesson->product_count; i++)
        ranking->marks[lesson->products[i]] |= MARK_TRUTH;
    ranking_thin(ranking, lesson->market->totals.orders);
    describe(kind, ranking);
}

void model_score_extra(const void *model, struct ranking *ranking, bool is_fresh_only)
{
    (void)model, (void)is_fresh_only;
    for (uint32_t i = 0; i < ranking->count; i++) {
        const struct facts *facts = &ranking->facts[i];
        ranking->scores[i] = facts->extra + .001f * facts->part_14;
    }
}

enum { MARKETS_A_TICK = 64 };

/* Markets take turns; one slice a tick. */
void model_tick(struct store *store, int64_t now_ms)
{
    store->is_model_busy = false;
    for (uint32_t i = 0; i < MARKETS_A_TICK && i < store->market_count; i++) {
        store->model_turn = (store->model_turn + 1) % store->market_count;
        struct market *market = store->markets[store->model_turn];
        if (market == NULL || market->kind->tick == NULL ||
            !market->kind->tick(market->model, store, market, now_ms))
            continue;
        store->is_model_busy = true;
        return;
    }
}
