#ifndef EVENT_EVENT_H
#define EVENT_EVENT_H
/*
 * event.h - what flows in: one struct for every kind of input event.
 *
 * Fields and their meaning are those of schemas/ (the public interface). Texts are
 * views into the message or into the decoder's arena: valid until the batch ends.
 *
 * Units   *_ms epoch or plain milliseconds; amounts in major units of `currency`
 */
#include <stdint.h>

#include "event/shape.h"

enum event_kind {
    EVENT_ORDER,
    EVENT_AUTH,
    EVENT_API_CALL,
    EVENT_INTERACTION,
    EVENT_OUTCOME,
    EVENT_REQUEST,
    EVENT_COMMAND,
    EVENT_KIND_COUNT,
};

enum order_status { ORDER_PLACED, ORDER_CANCELLED };
enum auth_outcome { AUTH_SUCCESS, AUTH_FAILURE };
enum interaction_type {
    INTERACTION_IMPRESSION,
    INTERACTION_VIEW,
    INTERACTION_CLICK,
    INTERACTION_ADD_TO_CART,
    INTERACTION_PURCHASE,
    INTERACTION_RATING,
};

struct order_item {
    uint64_t present;
    struct view product_id;
    double quantity;
    double unit_price;
};

struct order {
    struct view order_id;
    struct view customer_id; /* absent: a guest */
    double amount;
    struct view currency;     /* ISO 4217 */
    struct record_list items; /* of struct order_item */
    int64_t status;           /* enum order_status; ORDER_PLACED when not given */
    struct view ip;
    struct view country;
    struct view payment_method;
    struct view recommendation_id;
};

struct auth_event {
    struct view user_id; /* may be absent: the log did not know */
    int64_t outcome;     /* enum auth_outcome */
    struct view reason;
    struct view ip; /* an address, or the host name that the source logged */
    struct view country;
    struct view user_agent;
    struct view method;
};

struct api_call {
    struct view client_id;
    struct view method;
    struct view path;
    int64_t status; /* HTTP */
    double latency_ms;
    int64_t bytes;
    struct view ip;
};

struct interaction {
    struct view customer_id;
    int64_t type; /* enum interaction_type */
    struct view product_id;
    struct view session_id;
    struct view recommendation_id;
    int64_t position; /* in the list shown, 1 = first */
    double value;     /* rating, or amount */
    struct pair_list metadata;
};

struct outcome {
    struct view model_name;
    struct view model_version;
    struct view prediction_id;
    struct view predicted;
    struct view actual;
    double score;
    double latency_ms;
    struct view error;
};

struct request_context {
    uint64_t present;
    struct view_list product_ids; /* the product page, the basket */
};

/* The id of a request (request_id) is in event.id. */
struct request {
    struct view customer_id;
    struct view_list customer_ids; /* 1..1,000: a batch job */
    int64_t count;                 /* 10 when not given */
    struct request_context context;
    bool exclude_purchased;
    int64_t priority; /* 0..9, 9 first */
    int64_t deadline_ms;
};

/* The id of a command (command_id) is in event.id. A type uses the fields it needs. */
struct command {
    struct view type; /* "update-rules", "resolve-anomaly", ... */
    struct view actor;
    struct view subject; /* what it is about: a rule, a job, a request, an alert */
    struct view status;  /* resolve-anomaly: acknowledged, resolved, ignored */
    struct view notes;
    struct view rules; /* update-rules: the text of a rules file */
    struct view customer_id;
    struct view product_id;
    struct view model_name;
    struct view model_version;
    struct view plan;      /* free, standard, enterprise */
    struct view time_zone; /* IANA */
    bool enabled;
    double value;
    struct pair_list settings; /* anything else a type takes */
};

struct event {
    enum event_kind kind;
    uint64_t present;      /* by the field numbers of event_shape(kind) */
    struct view id;        /* event_id, request_id or command_id */
    struct view tenant_id; /* absent only in a command: the platform */
    int64_t event_time_ms;
    union {
        struct order order;
        struct auth_event auth;
        struct api_call api_call;
        struct interaction interaction;
        struct outcome outcome;
        struct request request;
        struct command command;
    };
};

/* Offsets count from the start of struct event. */
const struct shape *event_shape(enum event_kind kind);
const char *
event_kind_name(enum event_kind kind); /* "order", "auth_event", ...: the schema's name */

static inline bool event_has(const struct event *event, uint32_t field_index)
{
    return (event->present >> field_index) & 1;
}
#endif
