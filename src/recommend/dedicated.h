#ifndef RECOMMEND_DEDICATED_H
#define RECOMMEND_DEDICATED_H
/*
 * dedicated.h - models of tenants of plan enterprise: asked for, granted, fitted, renewed.
 *
 *   request ─► pending ─► approved ─► training ─► active ──┐
 *                 │           │           │          ▲     │ every dedicated.retrain
 *                 └► rejected └───────────┴► revoked └─────┘
 *
 * Each step is a command, and leaves an audit record that describes the request as it
 * stands then; so does each fit, which is done in slices in dedicated_tick.
 *
 * From approval on the tenant is isolated: it tells others nothing of what is popular with
 * it, and is told nothing. Its lists are those of the default model until the first fit,
 * and then those of the default model corrected by weights that were fitted to this tenant
 * alone (fit.h). Of a tenant of plan enterprise every KEEP_EVERY-th order is kept for that,
 * asked for or not, so that there is something to fit to on the day that it asks.
 *
 * Units    _ms epoch milliseconds
 * Memory   on the market's account
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "event/event.h"
#include "event/outbox.h"
#include "recommend/fit.h"
#include "recommend/market.h"
#include "recommend/rank.h"
#include "recommend/recommend.h"

struct recommend;

#define DEDICATED_MODEL_NAME "dedicated"

enum isolation {
    ISOLATION_NONE,
    ISOLATION_PENDING,
    ISOLATION_APPROVED,
    ISOLATION_REJECTED,
    ISOLATION_TRAINING, /* approved, and a model was asked for */
    ISOLATION_ACTIVE,
    ISOLATION_REVOKED,
    ISOLATION_COUNT,
};

enum dedicated_text {
    TEXT_REQUEST_ID,
    TEXT_REQUESTED_BY,
    TEXT_DECIDED_BY,
    TEXT_REASON,
    TEXT_COUNT
};

struct dedicated {
    enum isolation isolation;
    struct view texts[TEXT_COUNT];
    int64_t requested_ms, decided_ms;
    uint32_t version;  /* fits so far, of all requests */
    int64_t fitted_ms; /* tick time */
    int64_t due_ms;    /* of the next fit; tick time */
    struct fit fit;
};

/* The market's, made when there is none. */
struct dedicated *dedicated_of(struct store *store, struct market *market);
void dedicated_close(struct store *store, struct market *market);

/* Keeps what a fit needs of an order that is about to be learnt; `products` are in it. */
void dedicated_keep(struct recommend *recommend, struct market *market,
                    const struct customer *customer, const uint32_t *products, uint32_t count,
                    int64_t time_ms);
/* A slice of a fit of one of the markets. False: there is none to do. */
bool dedicated_tick(struct recommend *recommend, int64_t now_ms, struct outbox *outbox);
/* Corrects the scores of the default model; returns the version that did, 0: none. */
uint32_t dedicated_correct(const struct market *market, struct ranking *ranking,
                           bool is_fresh_only);

/* The market tells others nothing, and is told nothing. */
bool dedicated_is_isolated(const struct market *market);
/* Somebody decided something about it: it must not be dropped with its market. */
bool dedicated_has_request(const struct market *market);
void dedicated_forget(struct store *store, struct market *market, uint32_t customer_hash);
/* When memory is short. True when there was something. */
bool dedicated_drop_orders(struct store *store, struct market *market);

/* The name that commands and tables know. */
const char *dedicated_status(const struct market *market);
/* The request and its model, as audit records and the table have them. */
struct pair_list dedicated_describe(const struct market *market, const struct store *store,
                                    struct arena *arena);

/*
 * The steps. Each returns NULL, or why not, in words; then nothing has changed. `event` is
 * the command.
 */
const char *dedicated_request(struct store *store, struct market *market, const struct event *event,
                              struct arena *arena);
const char *dedicated_decide(struct store *store, struct market *market, const struct event *event,
                             enum isolation decision, struct arena *arena);
const char *dedicated_create(struct store *store, struct market *market, struct arena *arena);

void dedicated_save(const struct market *market, struct byte_writer *out);
/* `in` broken when it cannot be. */
void dedicated_load(struct store *store, struct market *market, struct byte_reader *in);
#endif
