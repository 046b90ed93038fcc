#include "engine/currency.h"

#include <assert.h>

#include "base/hash.h"

enum { CODE_BYTES = 3, SLOTS_LEAST = 16 };

struct currency_options {
    const char *reference;
    const struct tree *rates;
};

#define AT(member) offsetof(struct currency_options, member)
static const struct option options[] = {
    {.name = "reference",
     .type = OPTION_TEXT,
     .offset = AT(reference),
     .preset = "USD",
     .purpose = "The currency in which rules compare amounts, an ISO 4217 code. It has an effect "
                "only with `currency.rates`."},
    {.name = "rates",
     .type = OPTION_TREE,
     .offset = AT(rates),
     .purpose = "A map from currency to the worth of one unit in the reference currency, such as "
                "`{EUR: 1.08}`. Without it, and for a currency that is not in it, amounts are "
                "compared as they stand."},
};

const struct option_table currency_option_table = {
    .section = "currency",
    .options = options,
    .count = sizeof options / sizeof options[0],
    .bytes = sizeof(struct currency_options),
};

struct slot {
    uint32_t code; /* three letters packed; 0: free */
    double rate;
};

struct currency_table {
    struct view reference;
    uint32_t count;
    uint32_t mask;
    struct slot *slots;
};

static uint32_t pack(struct view code)
{
    return (uint32_t)(unsigned char)code.data[0] << 16 |
           (uint32_t)(unsigned char)code.data[1] << 8 | (uint32_t)(unsigned char)code.data[2];
}

static struct slot *find_slot(const struct currency_table *table, uint32_t code)
{
    uint32_t index = (code * UINT32_C(2654435761)) >> 16;

    for (;; index++) {
        struct slot *slot = &table->slots[index & table->mask];
        if (slot->code == code || slot->code == 0)
            return slot;
    }
}

bool currency_is_code(struct view code)
{
    if (code.size != CODE_BYTES)
        return false;
    for (uint32_t i = 0; i < CODE_BYTES; i++)
        if (code.data[i] < 'A' || code.data[i] > 'Z')
            return false;
    return true;
}

static void read_rate(struct currency_table *table, const struct tree *node,
                      struct complaints *complaints)
{
    double rate = 0;
    struct slot *slot;

    if (!currency_is_code(node->name)) {
        complain(complaints, node,
                 "currency.rates: expected a code of three capital letters such as EUR, not '%.*s'",
                 VIEW_PRINT(node->name));
        return;
    }
    if (!tree_double(node, &rate, complaints))
        return;
    if (!(rate > 0)) {
        complain(complaints, node, "currency.rates.%.*s: expected a rate above 0",
                 VIEW_PRINT(node->name));
        return;
    }
    slot = find_slot(table, pack(node->name));
    if (slot->code != 0 && slot->rate != rate) {
        complain(complaints, node, "currency.rates.%.*s: the reference currency is worth 1",
                 VIEW_PRINT(node->name));
        return;
    }
    *slot = (struct slot){pack(node->name), rate};
    table->count++;
}

struct currency_table *currency_read(const struct tree *section, struct arena *arena,
                                     struct complaints *complaints)
{
    struct currency_table *table = arena_alloc(arena, sizeof *table);
    struct currency_options read;
    uint32_t slots = SLOTS_LEAST;

    option_read(&currency_option_table, section, &read, arena, complaints);
    table->reference = arena_copy(arena, view_of(read.reference));
    while (slots < 4 * tree_count(read.rates))
        slots *= 2;
    table->mask = slots - 1;
    table->slots = arena_alloc(arena, slots * sizeof table->slots[0]);
    if (!currency_is_code(table->reference)) {
        complain(complaints, section,
                 "currency.reference: expected a code of three capital letters such as USD, "
                 "not '%.*s'",
                 VIEW_PRINT(table->reference));
        return table;
    }
    *find_slot(table, pack(table->reference)) = (struct slot){pack(table->reference), 1.0};
    if (read.rates != NULL && read.rates->kind != TREE_MAP) {
        complain(complaints, read.rates, "currency.rates: expected a map such as {EUR: 1.08}");
        return table;
    }
    if (read.rates != NULL)
        for (const struct tree *node = read.rates->child; node != NULL; node = node->next)
            read_rate(table, node, complaints);
    return table;
}

static double find_rate(const struct currency_table *table, struct view code)
{
    const struct slot *slot;

    if (code.size != CODE_BYTES)
        return 0;
    slot = find_slot(table, pack(code));
    return slot->code != 0 ? slot->rate : 0;
}

bool currency_has_rate(const struct currency_table *table, struct view code)
{
    return find_rate(table, code) > 0;
}

double currency_convert(const struct currency_table *table, double amount, struct view from,
                        struct view to)
{
    struct view target = view_is_absent(to) ? table->reference : to;
    double from_rate, to_rate;

    /* The same currency is not multiplied and divided: the result would not be the
     * amount to the last bit. */
    if (table->count == 0 || view_is_equal(from, target))
        return amount;
    from_rate = find_rate(table, from);
    to_rate = find_rate(table, target);
    if (from_rate <= 0 || to_rate <= 0)
        return amount;
    return amount * from_rate / to_rate;
}

uint64_t currency_digest(const struct currency_table *table, uint64_t digest)
{
    digest = hash_mix(digest, hash_view(table->reference, table->count));
    for (uint32_t i = 0; i <= table->mask; i++)
        if (table->slots[i].code != 0)
            digest += hash_bytes(&table->slots[i].rate, sizeof(double), table->slots[i].code);
    return digest;
}
