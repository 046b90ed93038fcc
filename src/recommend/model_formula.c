/* Fondness, raised by what is popular now, and what follows what the customer bought. Needs
 * no training, so it is what the default model starts from. */
#include "recommend/model.h"

static void score(const void *model, struct ranking *ranking, bool is_fresh_only)
{
    (void)model, (void)is_fresh_only;
    for (uint32_t i = 0; i < ranking->count; i++)
        ranking->scores[i] = ranking->facts[i].formula;
}

const struct model_kind model_formula = {
    .name = "formula",
    .version = "1",
    .strategy = STRATEGY_PERSONAL,
    .needs_neighbours = true,
    .needs_facts = true,
    .score = score,
};
