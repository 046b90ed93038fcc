#include "sink/postgres_migration.h"

#include <stdio.h>
#include <stdlib.h>

#include "base/log.h"

struct migration {
    const char *name;
    const char *script;
};

/* "weir" in ASCII. */
#define LOCK_STATEMENT "SELECT pg_advisory_xact_lock(2003134834)"

/* Every table of results keeps where in the log its row stands: an older record never
 * overwrites a newer one. Times are timestamptz, maps and lists are jsonb. */
#define LOG_COLUMNS                                                                                \
    "log_partition integer NOT NULL, log_offset bigint NOT NULL, "                                 \
    "stored_at timestamptz NOT NULL DEFAULT now()"

static const struct migration migrations[] = {
    {"positions", "CREATE SEQUENCE weir_sink_owner;"
                  "CREATE TABLE weir_sink_positions ("
                  "  group_name text NOT NULL, topic text NOT NULL, partition integer NOT NULL,"
                  "  next_offset bigint, owner bigint NOT NULL,"
                  "  updated_at timestamptz NOT NULL DEFAULT now(),"
                  "  PRIMARY KEY (group_name, topic, partition))"},
    {"alerts",
     "CREATE TABLE alerts ("
     "  alert_id text PRIMARY KEY, tenant_id text, type text NOT NULL, category text NOT NULL,"
     "  severity text NOT NULL, status text NOT NULL, resolution text,"
     "  \"group\" jsonb NOT NULL DEFAULT '{}', count bigint, threshold double precision,"
     "  window_ms bigint, value double precision, first_event_time timestamptz,"
     "  last_event_time timestamptz, opened_time timestamptz,"
     "  evidence jsonb NOT NULL DEFAULT '[]', message text, merged_into text," LOG_COLUMNS ");"
     "CREATE INDEX alerts_tenant ON alerts (tenant_id, opened_time DESC);"
     "CREATE INDEX alerts_time ON alerts (opened_time DESC);"
     "CREATE INDEX alerts_type ON alerts (type, opened_time DESC);"
     "CREATE INDEX alerts_severity ON alerts (severity, opened_time DESC);"
     "CREATE INDEX alerts_live ON alerts (opened_time DESC)"
     "  WHERE status IN ('open', 'updated');"
     "CREATE TABLE anomaly_resolutions ("
     "  id text PRIMARY KEY, anomaly_id text NOT NULL, status text NOT NULL, notes text,"
     "  resolved_at timestamptz NOT NULL, tenant_id text," LOG_COLUMNS ");"
     "CREATE INDEX anomaly_resolutions_anomaly ON anomaly_resolutions (anomaly_id, resolved_at);"
     "CREATE INDEX anomaly_resolutions_time ON anomaly_resolutions (resolved_at DESC)"},
    {"audit",
     "CREATE TABLE audit ("
     "  audit_id text PRIMARY KEY, tenant_id text, actor text, action text NOT NULL,"
     "  subject text, \"before\" jsonb NOT NULL DEFAULT '{}', \"after\" jsonb NOT NULL DEFAULT"
     "  '{}', event_time timestamptz NOT NULL," LOG_COLUMNS ");"
     "CREATE INDEX audit_tenant ON audit (tenant_id, event_time DESC);"
     "CREATE INDEX audit_action ON audit (action, event_time DESC);"
     "CREATE INDEX audit_subject ON audit USING hash (subject)"},
    {"dead letters",
     "CREATE TABLE dead_letters ("
     "  id text PRIMARY KEY, tenant_id text, code text, reason text, field text,"
     "  source_topic text, source_partition integer, source_offset bigint,"
     "  source_time timestamptz, version text, key bytea, value bytea,"
     "  recorded_at timestamptz," LOG_COLUMNS ");"
     "CREATE INDEX dead_letters_time ON dead_letters (recorded_at DESC);"
     "CREATE INDEX dead_letters_tenant ON dead_letters (tenant_id, recorded_at DESC);"
     "CREATE INDEX dead_letters_code ON dead_letters (code, recorded_at DESC)"},
    {"commands and notifications",
     "CREATE TABLE command_results ("
     "  command_id text PRIMARY KEY, tenant_id text, status text NOT NULL, error text,"
     "  result jsonb NOT NULL DEFAULT '{}'," LOG_COLUMNS ");"
     "CREATE INDEX command_results_time ON command_results (stored_at DESC);"
     "CREATE TABLE notifications ("
     "  notification_id text PRIMARY KEY, tenant_id text, alert_id text NOT NULL,"
     "  channel text NOT NULL, status text NOT NULL, attempt bigint, http_status bigint,"
     "  latency_ms double precision, error text, event_time timestamptz NOT NULL," LOG_COLUMNS ");"
     "CREATE INDEX notifications_alert ON notifications (alert_id, event_time);"
     "CREATE INDEX notifications_tenant ON notifications (tenant_id, event_time DESC);"
     "CREATE INDEX notifications_status ON notifications (status, event_time DESC)"},
    {"recommendations, jobs and analytics",
     "CREATE TABLE recommendations ("
     "  recommendation_id text PRIMARY KEY, request_id text, job_id text, tenant_id text,"
     "  customer_id text, items jsonb NOT NULL DEFAULT '[]', model_name text,"
     "  model_version text, variant text, strategy text NOT NULL,"
     "  event_time timestamptz NOT NULL," LOG_COLUMNS ");"
     "CREATE INDEX recommendations_customer"
     "  ON recommendations (tenant_id, customer_id, event_time DESC);"
     "CREATE INDEX recommendations_job ON recommendations USING hash (job_id);"
     "CREATE TABLE batch_jobs ("
     "  job_id text PRIMARY KEY, tenant_id text, status text NOT NULL, total bigint,"
     "  processed bigint, failed bigint, attempts bigint, submitted_time timestamptz,"
     "  finished_time timestamptz, error text," LOG_COLUMNS ");"
     "CREATE INDEX batch_jobs_tenant ON batch_jobs (tenant_id, submitted_time DESC);"
     "CREATE INDEX batch_jobs_status ON batch_jobs (status, submitted_time DESC);"
     "CREATE TABLE analytics ("
     "  analytics_id text PRIMARY KEY, tenant_id text, type text NOT NULL, subject text,"
     "  event_time timestamptz NOT NULL, items jsonb NOT NULL DEFAULT '[]'," LOG_COLUMNS ");"
     "CREATE INDEX analytics_tenant ON analytics (tenant_id, type, event_time DESC)"},
    {"jobs by tenant",
     /* Rows without a tenant were none of ours: a request has one. */
     "DELETE FROM batch_jobs WHERE tenant_id IS NULL;"
     "ALTER TABLE batch_jobs DROP CONSTRAINT batch_jobs_pkey,"
     "  ADD PRIMARY KEY (tenant_id, job_id)"},
    {"dedicated models",
     "CREATE TABLE model_isolation_requests ("
     "  tenant_id text NOT NULL, request_id text NOT NULL, status text NOT NULL,"
     "  requested_by text, requested_at timestamptz, decided_by text, decided_at timestamptz,"
     "  reason text, orders bigint, model_name text, model_version text, fitted_orders bigint,"
     "  fitted_at timestamptz, next_fit_at timestamptz, strength double precision,"
     "  loss_default double precision, loss_dedicated double precision," LOG_COLUMNS ","
     "  PRIMARY KEY (tenant_id, request_id));"
     "CREATE INDEX model_isolation_requests_status"
     "  ON model_isolation_requests (status, requested_at DESC)"},
    {"forgotten customers",
     "CREATE TABLE forgotten_customers ("
     "  tenant_id text NOT NULL, customer text NOT NULL, forgotten_at timestamptz NOT "
     "NULL," LOG_COLUMNS ", PRIMARY KEY (tenant_id, customer));"
     "CREATE INDEX recommendations_customer_mark ON recommendations (tenant_id, md5(customer_id))"},
    {"positions by cluster",
     "ALTER TABLE weir_sink_positions ADD COLUMN cluster text NOT NULL DEFAULT '',"
     "  DROP CONSTRAINT weir_sink_positions_pkey,"
     "  ADD PRIMARY KEY (cluster, group_name, topic, partition)"},
    {"results of commands by tenant",
     "ALTER TABLE command_results DROP CONSTRAINT command_results_pkey;"
     "CREATE UNIQUE INDEX command_results_command"
     "  ON command_results (coalesce(tenant_id, ''), command_id)"},
};

uint32_t migration_count(void)
{
    return sizeof(migrations) / sizeof(migrations[0]);
}

/* A user who may not create tables can still run where somebody else has made them all. */
static enum status prepare_register(struct session *session, struct failure *failure)
{
    enum status status =
        session_run(session, "SELECT to_regclass('weir_schema_migrations')", NULL, 0, failure);

    if (status != STATUS_OK || session_value(session, 0, 0) != NULL)
        return status;
    return session_run(session,
                       "CREATE TABLE weir_schema_migrations (version integer PRIMARY KEY,"
                       " name text NOT NULL, applied_at timestamptz NOT NULL DEFAULT now())",
                       NULL, 0, failure);
}

/* Inside a transaction that holds the lock. */
static enum status do_step(struct session *session, uint32_t version, struct failure *failure)
{
    const struct migration *migration = &migrations[version - 1];
    char number[16];
    const char *const values[] = {number, migration->name};
    enum status status;

    snprintf(number, sizeof(number), "%u", version);
    status = prepare_register(session, failure);
    if (status == STATUS_OK)
        status =
            session_run(session, "SELECT 1 FROM weir_schema_migrations WHERE version = $1::integer",
                        values, 1, failure);
    if (status != STATUS_OK || session_row_count(session) > 0)
        return status;
    status = session_run_script(session, migration->script, failure);
    if (status == STATUS_OK)
        status = session_run(
            session, "INSERT INTO weir_schema_migrations (version, name) VALUES ($1::integer, $2)",
            values, 2, failure);
    if (status == STATUS_OK)
        log_info("sink", "postgres: migration %u done: %s", version, migration->name);
    return status;
}

enum status migrate(struct session *session, struct failure *failure)
{
    for (uint32_t version = 1; version <= migration_count(); version++) {
        enum status status;

        session_start_clock(session);
        status = session_run_script(session, "BEGIN", failure);
        if (status == STATUS_OK)
            status = session_run(session, LOCK_STATEMENT, NULL, 0, failure);
        if (status == STATUS_OK)
            status = do_step(session, version, failure);
        if (status == STATUS_OK)
            status = session_run_script(session, "COMMIT", failure);
        if (status != STATUS_OK) {
            /* Whatever it was, waiting or a person may help; values of ours never do harm. */
            failure->remedy = REMEDY_RETRY;
            session_disconnect(session);
            return status;
        }
    }
    return STATUS_OK;
}
