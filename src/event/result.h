#ifndef EVENT_RESULT_H
#define EVENT_RESULT_H
/*
 * result.h - what flows out: one struct for every kind of result.
 *
 * A result's id is computed from what caused it, so delivering it twice is
 * harmless. Fields are those of schemas/ (the public interface); a kind that is
 * not listed has not been built yet.
 */
#include <stdint.h>

#include "event/shape.h"

enum result_kind {
    RESULT_ALERT,
    RESULT_RECOMMENDATION,
    RESULT_BATCH_JOB,
    RESULT_ANALYTICS,
    RESULT_COMMAND_RESULT,
    RESULT_AUDIT,
    RESULT_NOTIFICATION,
    RESULT_POPULARITY,
    RESULT_KIND_COUNT,
};

enum alert_category { ALERT_SECURITY, ALERT_MODEL, ALERT_USAGE, ALERT_SYSTEM };
enum alert_severity { SEVERITY_LOW, SEVERITY_MEDIUM, SEVERITY_HIGH };
enum alert_status {
    ALERT_OPEN,
    ALERT_UPDATED,
    ALERT_CLOSED,
    ALERT_ACKNOWLEDGED,
    ALERT_RESOLVED,
    ALERT_IGNORED,
};

struct alert {
    struct view type;       /* the rule's name */
    int64_t category;       /* enum alert_category */
    int64_t severity;       /* enum alert_severity */
    int64_t status;         /* enum alert_status */
    struct pair_list group; /* the group-by fields but tenant_id, in the rule's order */
    int64_t count;          /* events at satisfying times */
    double threshold;       /* of the condition; absent for an event rule without one */
    int64_t window_ms;      /* absent for an event rule */
    double value;           /* highest of the episode; absent for an event rule */
    int64_t first_event_time_ms;
    int64_t last_event_time_ms;
    int64_t opened_time_ms;
    struct view_list evidence; /* <= 5 event ids */
    struct view message;       /* a sentence for people */
    struct view merged_into;   /* alert_id of the elder that lives on */
};

struct recommended_item {
    uint64_t present;
    struct view product_id;
    double score;
    struct view reason;
};

enum strategy {
    STRATEGY_PERSONAL,
    STRATEGY_ITEM_ITEM,
    STRATEGY_POPULAR_TENANT,
    STRATEGY_POPULAR_ALL,
    STRATEGY_COUNT,
};
extern const char *const strategy_names[]; /* ends in NULL */

struct recommendation {
    struct view request_id;
    struct view job_id;
    struct view customer_id;
    struct record_list items; /* of struct recommended_item, best first */
    struct view model_name;
    struct view model_version;
    struct view variant;
    int64_t strategy; /* enum strategy */
    int64_t event_time_ms;
};

enum job_status { JOB_PENDING, JOB_PROCESSING, JOB_COMPLETED, JOB_FAILED, JOB_CANCELLED };

struct batch_job {
    int64_t status; /* enum job_status */
    int64_t total;
    int64_t processed;
    int64_t failed;
    int64_t attempts;
    int64_t submitted_time_ms;
    int64_t finished_time_ms;
    struct view error;
};

struct analytics_item {
    uint64_t present;
    struct view subject; /* a product, ... */
    double value;
};

struct analytics {
    struct view type;    /* totals, trending, user_summary */
    struct view subject; /* the customer of a user_summary; absent: the tenant */
    int64_t event_time_ms;
    struct record_list items; /* of struct analytics_item */
};

enum command_status { COMMAND_ACCEPTED, COMMAND_REJECTED };

/* The command's id is in result.id; the tenant of a platform command is absent. */
struct command_result {
    int64_t status; /* enum command_status */
    struct view error;
    struct pair_list result;
};

struct audit {
    struct view actor;
    struct view action;  /* "alert.open", "command.update-rules", ... */
    struct view subject; /* alert_id, command_id, ... */
    struct pair_list before, after;
    int64_t event_time_ms;
};

enum notification_status {
    NOTIFICATION_SENT,
    NOTIFICATION_RETRYING,
    NOTIFICATION_FAILED,
    NOTIFICATION_SUPPRESSED,
    NOTIFICATION_SILENCED,
};

struct notification {
    struct view alert_id;
    struct view channel;
    int64_t status; /* enum notification_status */
    int64_t attempt;
    int64_t http_status;
    double latency_ms;
    struct view error;
    int64_t event_time_ms;
};

struct popular_item {
    uint64_t present;
    struct view product_id;
    double count; /* purchases, each worth half as much after every fortnight */
};

/* What a tenant that shares lets others know; published by its home partition and taken in
 * again by all. No items: nothing any more. */
struct popularity {
    int64_t event_time_ms;    /* the counts are as of then */
    struct record_list items; /* of struct popular_item, best first */
};

struct result {
    enum result_kind kind;
    uint64_t present;      /* by the field numbers of result_shape(kind) */
    struct view id;        /* alert_id, recommendation_id, job_id, ... */
    struct view tenant_id; /* absent: the platform */
    union {
        struct alert alert;
        struct recommendation recommendation;
        struct batch_job batch_job;
        struct analytics analytics;
        struct command_result command_result;
        struct audit audit;
        struct notification notification;
        struct popularity popularity;
    };
};

/* Offsets count from the start of struct result. */
const struct shape *result_shape(enum result_kind kind);
const char *result_kind_name(enum result_kind kind); /* "alert", ...: the schema's name */

/* Sets the bits of every text, list of texts and map that is not empty, of every list of records
 * (a result that says "none" says so), and of every number listed by field name in `numbers`
 * (ends in NULL): the makers' shorthand. */
void result_mark(struct result *result, const char *const *numbers);
#endif
