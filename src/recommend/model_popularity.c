/* What sells now: purchases decayed with a half-life of a week. The baseline for all. */
#include "recommend/model.h"

static void score(const void *model, struct ranking *ranking, bool is_fresh_only)
{
    (void)model, (void)is_fresh_only;
    for (uint32_t i = 0; i < ranking->count; i++)
        ranking->scores[i] =
            ranking->market->products[ranking->candidates[i].product].popularity[HALF_LIFE_7] *
            ranking->fade[HALF_LIFE_7];
}

const struct model_kind model_popularity = {
    .name = "popularity",
    .version = "1",
    .strategy = STRATEGY_POPULAR_TENANT,
    .score = score,
};
