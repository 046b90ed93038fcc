#ifndef SINK_POSTGRES_MIGRATION_H
#define SINK_POSTGRES_MIGRATION_H
/*
 * postgres_migration.h - the tables, made and changed step by step.
 *
 * Steps are numbered, never edited once released, and each is one transaction, so that
 * a step is done or not begun. An advisory lock lets one process of many do it;
 * weir_schema_migrations says which steps are done. Steps that this program does not
 * know (an older program on a newer database) are left alone: steps only add.
 */
#include <stdint.h>

#include "sink/postgres_session.h"

/* Does what is not done yet. As session_run. */
enum status migrate(struct session *session, struct failure *failure);
uint32_t migration_count(void);
#endif
