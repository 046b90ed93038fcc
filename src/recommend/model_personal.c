/* What this customer buys most often; popularity decides between equals. Hard to beat where
 * people buy again what they bought (Li et al., "A Next Basket Recommendation Reality
 * Check", 2023). */
#include "recommend/model.h"

static void score(const void *model, struct ranking *ranking, bool is_fresh_only)
{
    const struct customer *customer = ranking->customer;
    float orders = customer != NULL && customer->orders > 0 ? (float)customer->orders : 1;

    (void)model, (void)is_fresh_only;
    for (uint32_t i = 0; i < ranking->count; i++) {
        const struct candidate *candidate = &ranking->candidates[i];
        float popularity = ranking->market->products[candidate->product].popularity[HALF_LIFE_14] *
                           ranking->fade[HALF_LIFE_14];
        float count = candidate->habit != NULL ? candidate->habit->count : 0;
        ranking->scores[i] = count / orders + .001f * popularity * ranking->parts[HALF_LIFE_14];
    }
}

const struct model_kind model_personal = {
    .name = "personal",
    .version = "1",
    .strategy = STRATEGY_PERSONAL,
    .score = score,
};
