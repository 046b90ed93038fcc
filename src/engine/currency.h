#ifndef ENGINE_CURRENCY_H
#define ENGINE_CURRENCY_H
/*
 * currency.h - amounts in one currency, so that a rule can compare them.
 *
 *   currency:
 *     reference: USD
 *     rates: {EUR: 1.08, GBP: 1.27}     # one euro is 1.08 dollars
 *
 * Without rates every amount stands as it is. A currency without a rate stands as it
 * is too: a wrong guess would be worse than none.
 *
 * Memory   in the arena it was read into
 * Threads  immutable
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/option.h"
#include "base/tree.h"
#include "base/view.h"

struct currency_table;

/* Section "currency". */
extern const struct option_table currency_option_table;

/* Complains of every error; never NULL. */
struct currency_table *currency_read(const struct tree *section, struct arena *arena,
                                     struct complaints *complaints);
/* True for three capital letters. */
bool currency_is_code(struct view code);
/* True for the reference and for every currency with a rate. */
bool currency_has_rate(const struct currency_table *table, struct view code);
/* `amount` of `from` in `to` (absent: the reference). */
double currency_convert(const struct currency_table *table, double amount, struct view from,
                        struct view to);
uint64_t currency_digest(const struct currency_table *table, uint64_t digest);
#endif
