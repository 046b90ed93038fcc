#ifndef SINK_POSTGRES_TABLE_H
#define SINK_POSTGRES_TABLE_H
/*
 * postgres_table.h - which result goes into which table, and the statement that
 * stores many of them at once.
 *
 *   INSERT INTO t (...) SELECT ... FROM unnest($1::text[], $2::bigint[], ...)
 *   ON CONFLICT (key) DO UPDATE SET ... WHERE the row comes from earlier in the log
 *
 * or, for what only changes rows that are there, UPDATE ... FROM the same arrays.
 *
 * One array a column, one round trip a table and batch. A key that comes twice in one
 * batch is stored once, as its last record says.
 *
 * Memory   columns keep their buffers from batch to batch
 * Threads  one owner
 */
#include "event/delivery.h"
#include "sink/postgres_session.h"

struct table;

/* The tables in the order in which a batch fills them; ends where NULL is returned. */
struct table *table_create(uint32_t index);
void table_destroy(struct table *table);
const char *table_name(const struct table *table);
const char *table_statement(const struct table *table);
bool table_takes(const struct table *table, const struct delivery_item *item);

/* Stores items[0..count) (of those that the table takes, the last of each key): as
 * session_run. */
enum status table_store(struct table *table, struct session *session,
                        const struct delivery_item *const *items, uint32_t count,
                        struct failure *failure);
/* Leaves of each key only the last item, in order; returns how many are left. */
uint32_t table_dedupe(struct table *table, const struct delivery_item **items, uint32_t count);
#endif
