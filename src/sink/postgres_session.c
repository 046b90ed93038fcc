#include "sink/postgres_session.h"

#include <assert.h>
#include <errno.h>
#include <libpq-fe.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

/* Beyond the server's own time limit, before we stop listening. */
enum { SILENCE_MS = 2000 };

struct session {
    const struct session_options *options;
    const struct clock *clock;
    PGconn *connection;
    PGresult *result;
    int64_t deadline_ms;
};

struct session *session_create(const struct session_options *options, const struct clock *clock)
{
    struct session *session = calloc(1, sizeof(*session));

    assert(session != NULL);
    session->options = options;
    session->clock = clock;
    return session;
}

void session_destroy(struct session *session)
{
    if (session == NULL)
        return;
    session_disconnect(session);
    free(session);
}

static void drop_result(struct session *session)
{
    PQclear(session->result);
    session->result = NULL;
}

void session_disconnect(struct session *session)
{
    drop_result(session);
    PQfinish(session->connection);
    session->connection = NULL;
}

bool session_is_connected(const struct session *session)
{
    return session->connection != NULL;
}

/* False: the deadline has passed. */
static bool wait_for_socket(struct session *session, short events, int64_t deadline_ms)
{
    struct pollfd socket = {.fd = PQsocket(session->connection), .events = events};

    for (;;) {
        int64_t left_ms = deadline_ms - clock_monotonic_ms(session->clock);
        int ready = left_ms > 0 ? poll(&socket, 1, (int)left_ms) : 0;

        if (ready > 0)
            return true;
        if (ready == 0 || errno != EINTR)
            return false;
    }
}

static enum status give_up(struct session *session, struct failure *failure, const char *text)
{
    failure_set(failure, REMEDY_RETRY, "%s", text);
    session_disconnect(session);
    return STATUS_BROKEN;
}

static void ignore_notice(void *context, const char *message)
{
    (void)context;
    log_debug("sink", "postgres: %s", message);
}

static enum status shake_hands(struct session *session, struct failure *failure)
{
    int64_t deadline_ms = clock_monotonic_ms(session->clock) + session->options->connect_timeout_ms;

    for (PostgresPollingStatusType state = PGRES_POLLING_WRITING; state != PGRES_POLLING_OK;
         state = PQconnectPoll(session->connection)) {
        if (state == PGRES_POLLING_FAILED)
            return give_up(session, failure, PQerrorMessage(session->connection));
        if (!wait_for_socket(session, state == PGRES_POLLING_READING ? POLLIN : POLLOUT,
                             deadline_ms))
            return give_up(session, failure, "the database does not answer");
    }
    return STATUS_OK;
}

void session_start_clock(struct session *session)
{
    session->deadline_ms =
        clock_monotonic_ms(session->clock) + session->options->statement_timeout_ms + SILENCE_MS;
}

static enum status set_limits(struct session *session, struct failure *failure)
{
    char script[400];
    long long limit_ms = (long long)session->options->statement_timeout_ms;

    snprintf(script, sizeof(script),
             "SET statement_timeout = %lld; SET lock_timeout = %lld; "
             "SET idle_in_transaction_session_timeout = %lld; SET timezone = 'UTC'; "
             "SET standard_conforming_strings = on; SET client_min_messages = warning",
             limit_ms, limit_ms, 4 * limit_ms);
    return session_run_script(session, script, failure);
}

enum status session_connect(struct session *session, struct failure *failure)
{
    const char *const names[] = {
        "dbname",          "client_encoding",     "fallback_application_name", "keepalives",
        "keepalives_idle", "keepalives_interval", "keepalives_count",          NULL};
    const char *const values[] = {
        session->options->url, "UTF8", "weir", "1", "30", "10", "3", NULL};
    enum status status;

    assert(session->connection == NULL);
    session->connection = PQconnectStartParams(names, values, 1);
    if (session->connection == NULL)
        return failure_set(failure, REMEDY_RETRY, "no memory for a connection");
    PQsetNoticeProcessor(session->connection, ignore_notice, NULL);
    if (PQstatus(session->connection) == CONNECTION_BAD)
        return give_up(session, failure, PQerrorMessage(session->connection));
    status = shake_hands(session, failure);
    session_start_clock(session);
    if (status == STATUS_OK && PQsetnonblocking(session->connection, 1) != 0)
        return give_up(session, failure, PQerrorMessage(session->connection));
    if (status == STATUS_OK)
        status = set_limits(session, failure);
    return status;
}

static enum status flush_out(struct session *session, struct failure *failure)
{
    int left;

    while ((left = PQflush(session->connection)) > 0) {
        /* The server may talk while we send: not listening could block both for ever. */
        if (!wait_for_socket(session, POLLIN | POLLOUT, session->deadline_ms))
            return give_up(session, failure, "the database takes nothing in");
        if (PQconsumeInput(session->connection) == 0)
            return give_up(session, failure, PQerrorMessage(session->connection));
    }
    return left == 0 ? STATUS_OK : give_up(session, failure, PQerrorMessage(session->connection));
}

/* Keeps the first result that is an error, else the last one. */
static enum status collect_results(struct session *session, struct failure *failure)
{
    for (;;) {
        PGresult *result;
        bool is_error;

        while (PQisBusy(session->connection)) {
            if (!wait_for_socket(session, POLLIN, session->deadline_ms))
                return give_up(session, failure, "the database does not answer");
            if (PQconsumeInput(session->connection) == 0)
                return give_up(session, failure, PQerrorMessage(session->connection));
        }
        result = PQgetResult(session->connection);
        if (result == NULL)
            return STATUS_OK;
        is_error = session->result != NULL && PQresultStatus(session->result) != PGRES_TUPLES_OK &&
                   PQresultStatus(session->result) != PGRES_COMMAND_OK;
        if (is_error) {
            PQclear(result);
            continue;
        }
        drop_result(session);
        session->result = result;
    }
}

/* Data exceptions, broken constraints and program limits are the row's own fault; all else is
 * the database's, and may pass (PostgreSQL, appendix A, by class). */
static bool is_fault_of_values(const char *state)
{
    return state != NULL && (strncmp(state, "22", 2) == 0 || strncmp(state, "23", 2) == 0 ||
                             strncmp(state, "54", 2) == 0);
}

static enum status judge_result(struct session *session, struct failure *failure)
{
    ExecStatusType outcome = PQresultStatus(session->result);
    const char *state, *message;

    if (outcome == PGRES_TUPLES_OK || outcome == PGRES_COMMAND_OK)
        return STATUS_OK;
    if (session->result == NULL || PQstatus(session->connection) == CONNECTION_BAD)
        return give_up(session, failure, PQerrorMessage(session->connection));
    state = PQresultErrorField(session->result, PG_DIAG_SQLSTATE);
    message = PQresultErrorField(session->result, PG_DIAG_MESSAGE_PRIMARY);
    return failure_set(failure, is_fault_of_values(state) ? REMEDY_SET_ASIDE : REMEDY_RETRY,
                       "%s (SQLSTATE %s)", message != NULL ? message : "error",
                       state != NULL ? state : "unknown");
}

static enum status finish_run(struct session *session, int is_sent, struct failure *failure)
{
    enum status status;

    if (is_sent == 0)
        return give_up(session, failure, PQerrorMessage(session->connection));
    status = flush_out(session, failure);
    if (status == STATUS_OK)
        status = collect_results(session, failure);
    return status == STATUS_OK ? judge_result(session, failure) : status;
}

enum status session_run(struct session *session, const char *statement, const char *const *values,
                        uint32_t value_count, struct failure *failure)
{
    if (session->connection == NULL)
        return failure_set(failure, REMEDY_RETRY, "not connected");
    drop_result(session);
    return finish_run(session,
                      PQsendQueryParams(session->connection, statement, (int)value_count, NULL,
                                        values, NULL, NULL, 0),
                      failure);
}

enum status session_run_script(struct session *session, const char *script, struct failure *failure)
{
    if (session->connection == NULL)
        return failure_set(failure, REMEDY_RETRY, "not connected");
    drop_result(session);
    return finish_run(session, PQsendQuery(session->connection, script), failure);
}

uint32_t session_row_count(const struct session *session)
{
    return (uint32_t)PQntuples(session->result);
}

const char *session_value(const struct session *session, uint32_t row, uint32_t column)
{
    if (PQgetisnull(session->result, (int)row, (int)column))
        return NULL;
    return PQgetvalue(session->result, (int)row, (int)column);
}

int64_t session_affected(const struct session *session)
{
    return strtoll(PQcmdTuples(session->result), NULL, 10);
}
