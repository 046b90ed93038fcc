#include "engine/tenant.h"

#include <assert.h>
#include <stdlib.h>

#include "base/hash.h"

enum { TENANT_ID_BYTES_MAX = 256 };
enum unknown_policy { UNKNOWN_ACCEPT, UNKNOWN_REJECT };

static const char *const unknown_policies[] = {"accept", "reject", NULL};
static const char *const plans[] = {"free", "standard", "enterprise", NULL};

struct tenant_options {
    int64_t unknown; /* enum unknown_policy */
    const char *time_zone;
    bool is_sharing;
    const struct tree *list;
};

#define AT(member) offsetof(struct tenant_options, member)
static const struct option options[] = {
    {.name = "unknown",
     .type = OPTION_CHOICE,
     .offset = AT(unknown),
     .preset = "accept",
     .choices = unknown_policies,
     .purpose = "What happens to an event of a tenant that is not in `tenants.list`: it is "
                "processed like any other, or goes to `dead-letter`."},
    {.name = "time_zone",
     .type = OPTION_TEXT,
     .offset = AT(time_zone),
     .preset = "UTC",
     .purpose = "The time zone (IANA name, such as Europe/Berlin) of tenants that name none. "
                "`local_hour` of a rule is the hour there."},
    {.name = "sharing",
     .type = OPTION_BOOL,
     .offset = AT(is_sharing),
     .preset = "false",
     .purpose = "Whether tenants that say nothing else share. One that shares lets others that "
                "share know the ids of its most popular products with decayed counts of their "
                "purchases, nothing else, and sees theirs while it has fewer than 10 orders."},
    {.name = "list",
     .type = OPTION_TREE,
     .offset = AT(list),
     .purpose =
         "A map from tenant id to its settings, each optional: `time_zone`, `currency` (rules "
         "compare its amounts in this one), `plan` (free, standard or enterprise), "
         "`sharing` (true or false, instead of `tenants.sharing`). A list of ids will do where "
         "none has settings."},
};

const struct option_table tenant_option_table = {
    .section = "tenants",
    .options = options,
    .count = sizeof options / sizeof options[0],
    .bytes = sizeof(struct tenant_options),
};

struct open_zone {
    struct view name;
    struct zone *zone; /* NULL: the name could not be opened, complained of once */
};

struct tenant_table {
    bool rejects_unknown;
    struct tenant preset;
    struct tenant *tenants; /* in the order of the file */
    uint32_t count;
    uint32_t mask;
    uint32_t *slots; /* index in tenants + 1; 0: free */
    struct open_zone *zones;
    const struct zone **zone_views; /* the same zones, as others see them */
    uint32_t zone_count;
};

struct reading {
    struct tenant_table *table;
    const struct currency_table *currencies;
    struct arena *arena;
    struct complaints *complaints;
};

static uint32_t *find_slot(const struct tenant_table *table, struct view id)
{
    uint64_t hash = hash_place(id, 0);

    for (uint64_t index = hash;; index++) {
        uint32_t *slot = &table->slots[index & table->mask];
        if (*slot == 0 || view_is_equal(table->tenants[*slot - 1].id, id))
            return slot;
    }
}

/* Index of the zone of that name, opened when it is new. */
static uint32_t read_zone(struct reading *reading, const struct tree *at, struct view name)
{
    struct tenant_table *table = reading->table;
    struct open_zone *opened;
    struct failure failure;

    for (uint32_t i = 0; i < table->zone_count; i++)
        if (view_is_equal(table->zones[i].name, name))
            return i;
    opened = &table->zones[table->zone_count];
    opened->name = arena_copy(reading->arena, name);
    if (zone_open(opened->name.data, &opened->zone, &failure) != STATUS_OK)
        complain(reading->complaints, at, "tenants: %s", failure.text);
    table->zone_views[table->zone_count] = opened->zone != NULL ? opened->zone : zone_utc();
    return table->zone_count++;
}

static void read_currency(struct reading *reading, struct tenant *tenant, const struct tree *node)
{
    if (!currency_is_code(node->value)) {
        complain(reading->complaints, node,
                 "currency: expected a code of three capital letters such as EUR, not '%.*s'",
                 VIEW_PRINT(node->value));
        return;
    }
    if (!currency_has_rate(reading->currencies, node->value))
        complain(reading->complaints, node, "currency: %.*s has no rate in currency.rates",
                 VIEW_PRINT(node->value));
    tenant->currency = arena_copy(reading->arena, node->value);
}

static void read_plan(struct reading *reading, struct tenant *tenant, const struct tree *node)
{
    for (int i = 0; plans[i] != NULL; i++)
        if (view_is_text(node->value, plans[i])) {
            tenant->plan = (enum tenant_plan)i;
            return;
        }
    complain(reading->complaints, node, "plan: expected free, standard or enterprise, not '%.*s'",
             VIEW_PRINT(node->value));
}

static void read_setting(struct reading *reading, struct tenant *tenant, const struct tree *node)
{
    if (node->kind == TREE_NULL)
        return;
    if (view_is_text(node->name, "sharing")) {
        tree_bool(node, &tenant->is_sharing, reading->complaints);
        return;
    }
    if (node->kind != TREE_SCALAR) {
        complain(reading->complaints, node, "%.*s: expected a text", VIEW_PRINT(node->name));
        return;
    }
    if (view_is_text(node->name, "time_zone"))
        tenant->zone_index = read_zone(reading, node, node->value);
    else if (view_is_text(node->name, "currency"))
        read_currency(reading, tenant, node);
    else if (view_is_text(node->name, "plan"))
        read_plan(reading, tenant, node);
    else
        complain(reading->complaints, node,
                 "%.*s: a tenant has time_zone, currency, plan and sharing",
                 VIEW_PRINT(node->name));
}

static void read_tenant(struct reading *reading, const struct tree *node, struct view id,
                        const struct tree *settings)
{
    struct tenant_table *table = reading->table;
    struct tenant *tenant;
    uint32_t *slot;

    if (id.size == 0 || id.size > TENANT_ID_BYTES_MAX) {
        complain(reading->complaints, node, "tenants.list: an id has 1 to %d bytes",
                 TENANT_ID_BYTES_MAX);
        return;
    }
    slot = find_slot(table, id);
    if (*slot != 0) {
        complain(reading->complaints, node, "tenants.list: %.*s is listed twice", VIEW_PRINT(id));
        return;
    }
    tenant = &table->tenants[table->count++];
    *slot = table->count;
    *tenant = table->preset;
    tenant->id = arena_copy(reading->arena, id);
    if (settings == NULL || settings->kind == TREE_NULL)
        return;
    if (settings->kind != TREE_MAP) {
        complain(reading->complaints, settings, "tenants.list: expected a map of settings of %.*s",
                 VIEW_PRINT(id));
        return;
    }
    for (const struct tree *child = settings->child; child != NULL; child = child->next)
        read_setting(reading, tenant, child);
}

struct tenant_table *tenant_read(const struct tree *section,
                                 const struct currency_table *currencies, struct arena *arena,
                                 struct complaints *complaints)
{
    struct tenant_table *table = arena_alloc(arena, sizeof *table);
    struct reading reading = {table, currencies, arena, complaints};
    struct tenant_options read;
    uint32_t slots = 16;

    option_read(&tenant_option_table, section, &read, arena, complaints);
    while (slots < 2 * tree_count(read.list))
        slots *= 2;
    table->mask = slots - 1;
    table->slots = arena_alloc(arena, slots * sizeof table->slots[0]);
    table->tenants = arena_alloc(arena, (tree_count(read.list) + 1) * sizeof table->tenants[0]);
    table->zones = arena_alloc(arena, (tree_count(read.list) + 1) * sizeof table->zones[0]);
    table->zone_views = arena_alloc(arena, (tree_count(read.list) + 1) * sizeof(struct zone *));
    table->rejects_unknown = read.unknown == UNKNOWN_REJECT;
    table->preset = (struct tenant){.plan = PLAN_STANDARD, .is_sharing = read.is_sharing};
    table->preset.zone_index =
        read_zone(&reading, tree_get(section, "time_zone"), view_of(read.time_zone));
    if (read.list == NULL)
        return table;
    for (const struct tree *node = read.list->child; node != NULL; node = node->next) {
        if (read.list->kind == TREE_MAP)
            read_tenant(&reading, node, node->name, node);
        else if (node->kind == TREE_SCALAR)
            read_tenant(&reading, node, node->value, NULL);
        else
            complain(complaints, node, "tenants.list: expected the id of a tenant");
    }
    return table;
}

void tenant_close(struct tenant_table *table)
{
    for (uint32_t i = 0; i < table->zone_count; i++)
        zone_close(table->zones[i].zone);
    table->zone_count = 0;
}

const struct tenant *tenant_find(const struct tenant_table *table, struct view id)
{
    uint32_t slot;

    if (table->count > 0) {
        slot = *find_slot(table, id);
        if (slot != 0)
            return &table->tenants[slot - 1];
    }
    return table->rejects_unknown ? NULL : &table->preset;
}

bool tenant_is_any_sharing(const struct tenant_table *table)
{
    bool is_sharing = table->preset.is_sharing && !table->rejects_unknown;

    for (uint32_t i = 0; i < table->count; i++)
        is_sharing |= table->tenants[i].is_sharing;
    return is_sharing;
}

const struct zone *const *tenant_zones(const struct tenant_table *table, uint32_t *count)
{
    *count = table->zone_count;
    return table->zone_views;
}

static uint64_t mix_tenant(const struct tenant_table *table, const struct tenant *tenant,
                           uint64_t digest)
{
    digest = hash_mix(digest, hash_view(tenant->id, 0));
    digest = hash_mix(digest, hash_view(table->zones[tenant->zone_index].name, 0));
    digest = hash_mix(digest, hash_view(tenant->currency, 0));
    return hash_mix(digest, (uint64_t)tenant->plan << 1 | (tenant->is_sharing ? 1 : 0));
}

uint64_t tenant_digest(const struct tenant_table *table, uint64_t digest)
{
    digest = hash_mix(digest, table->rejects_unknown ? 1 : 0);
    digest = mix_tenant(table, &table->preset, digest);
    for (uint32_t i = 0; i < table->count; i++)
        digest = mix_tenant(table, &table->tenants[i], digest);
    return digest;
}
