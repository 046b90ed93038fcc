#ifndef ENGINE_RULEBOOK_H
#define ENGINE_RULEBOOK_H
/*
 * rulebook.h - the rules in force: those of the configuration until a command says
 * otherwise.
 *
 *   configuration ──► rules ◄── update-rules (a whole file instead)
 *                       ▲
 *                       └────── enable-rule, disable-rule
 *
 * What commands changed is part of the state: the text of the file, and the switches
 * since. A loaded state compiles it again. Compiling takes from the heap, as commands
 * may.
 *
 * Threads  one owner
 */
#include <stdbool.h>
#include <stdint.h>

#include "anomaly/anomaly.h"
#include "base/bytes.h"
#include "base/status.h"
#include "base/tree.h"
#include "engine/config.h"

struct rulebook;

struct rulebook *rulebook_create(const struct engine_config *config);
void rulebook_destroy(struct rulebook *book);
/* Borrowed until the next rulebook_settle after a change. */
const struct rule_set *rulebook_rules(const struct rulebook *book);
/* All or nothing: STATUS_BROKEN and complaints leave the rules as they were. Switches by
 * earlier commands end: the new file says what is on. */
enum status rulebook_update(struct rulebook *book, struct view text, struct complaints *complaints);
/* STATUS_ABSENT: no such rule. *was_enabled may equal is_enabled: then nothing changed. */
enum status rulebook_switch(struct rulebook *book, struct view name, bool is_enabled,
                            bool *was_enabled);
/* After a change: the rules that were in force before are used no more. */
void rulebook_settle(struct rulebook *book);

void rulebook_save(const struct rulebook *book, struct byte_writer *out);
/* Into one just created. `is_kept` false: the configuration's rules are others than when this
 * was saved, and take the place of what commands had changed. STATUS_BROKEN when the text does
 * not compile any more. */
enum status rulebook_load(struct rulebook *book, bool is_kept, struct byte_reader *in,
                          struct failure *failure);
#endif
