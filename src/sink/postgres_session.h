#ifndef SINK_POSTGRES_SESSION_H
#define SINK_POSTGRES_SESSION_H
/*
 * postgres_session.h - one connection to PostgreSQL, where no call waits for ever.
 *
 * A session connects when it is first needed and again after it was lost. What belongs
 * together shares one deadline beside the server's statement_timeout: a server that went
 * silent (or was stopped) is given up like one that closed the connection.
 *
 * Units    _ms milliseconds
 * Threads  one owner
 * Errors   STATUS_BROKEN with REMEDY_RETRY: the database is away, busy, not allowed, or
 *          not what we expect, and a person or time can help; the transaction is gone.
 *          REMEDY_SET_ASIDE: the values of this statement cannot be stored
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/clock.h"
#include "base/status.h"

struct session_options {
    const char *url; /* as libpq takes it; holds a secret */
    int64_t connect_timeout_ms;
    int64_t statement_timeout_ms;
};

struct session;

/* Connects to nothing yet. `options` and `clock` are borrowed for life. */
struct session *session_create(const struct session_options *options, const struct clock *clock);
void session_destroy(struct session *session);

bool session_is_connected(const struct session *session);
enum status session_connect(struct session *session, struct failure *failure);
void session_disconnect(struct session *session);

/* Starts the clock for what follows: all statements up to the next call share one
 * statement_timeout_ms. A new connection starts it, too. */
void session_start_clock(struct session *session);

/* Runs one statement; `values` are texts, NULL for null. The rows stay readable until the
 * next statement. */
enum status session_run(struct session *session, const char *statement, const char *const *values,
                        uint32_t value_count, struct failure *failure);
/* Several statements, separated by semicolons, without values. */
enum status session_run_script(struct session *session, const char *script,
                               struct failure *failure);
uint32_t session_row_count(const struct session *session);
/* NULL: null. */
const char *session_value(const struct session *session, uint32_t row, uint32_t column);
/* Rows that the last INSERT, UPDATE or DELETE touched. */
int64_t session_affected(const struct session *session);
#endif
