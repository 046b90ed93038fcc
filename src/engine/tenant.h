#ifndef ENGINE_TENANT_H
#define ENGINE_TENANT_H
/*
 * tenant.h - what the configuration says of each tenant.
 *
 *   tenants:
 *     time_zone: UTC          # of tenants that say nothing else
 *     sharing: false          # the same
 *     unknown: accept         # or reject: events of a tenant that is not listed
 *     list:
 *       acme: {time_zone: Europe/Berlin, currency: EUR, plan: enterprise, sharing: true}
 *       emca:
 *
 * Memory   the table and its texts in the arena it was read into; time zones are owned
 *          by the table and closed with it
 * Threads  immutable
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/option.h"
#include "base/tree.h"
#include "base/view.h"
#include "base/zone.h"
#include "engine/currency.h"

enum tenant_plan { PLAN_FREE, PLAN_STANDARD, PLAN_ENTERPRISE };

struct tenant {
    struct view id;       /* absent: the one that stands for all that are not listed */
    uint32_t zone_index;  /* into tenant_zones */
    struct view currency; /* rules compare its amounts in this one; absent: the reference */
    enum tenant_plan plan;
    bool is_sharing; /* its popular products are shown to young tenants that share, and theirs
                      * to it */
};

struct tenant_table;

/* Section "tenants". */
extern const struct option_table tenant_option_table;

/* Complains of every error; never NULL. */
struct tenant_table *tenant_read(const struct tree *section,
                                 const struct currency_table *currencies, struct arena *arena,
                                 struct complaints *complaints);
/* Closes the time zones. */
void tenant_close(struct tenant_table *table);
/* The tenant, or the preset one for those that are not listed; NULL when they are rejected. */
const struct tenant *tenant_find(const struct tenant_table *table, struct view id);
bool tenant_is_any_sharing(const struct tenant_table *table);
const struct zone *const *tenant_zones(const struct tenant_table *table, uint32_t *count);
uint64_t tenant_digest(const struct tenant_table *table, uint64_t digest);
#endif
