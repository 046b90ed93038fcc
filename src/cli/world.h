#ifndef CLI_WORLD_H
#define CLI_WORLD_H
/*
 * world.h - synthetic tenants: shops with customers who have tastes and habits, and,
 * now and then, somebody who attacks them.
 *
 *   background  a Poisson stream over all tenants: orders, sign-ins, API calls, product
 *               interactions, requests for recommendations. Customers buy from the
 *               product families that they like, buy their staples again and again,
 *               and put together what belongs together.
 *   attacks     scripts of one kind each, labelled with the rules of config/rules.yaml
 *               that must find them
 *
 * Everything comes from the seed: same options, same events and labels. Who likes what
 * is computed, not stored, so that memory does not grow with the tenants.
 *
 * Units    _ms epoch or plain milliseconds
 * Memory   owned; no growth after the first events
 * Threads  one owner
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "event/event.h"
#include "event/topic.h"

struct world;

struct world_options {
    uint64_t seed;
    uint32_t tenant_count;      /* > 0 */
    double rate;                /* background events a second of event time; > 0 */
    int64_t start_ms;           /* event time of the beginning */
    int64_t attack_interval_ms; /* mean time between attacks; 0: none */
    int64_t quiet_ms;           /* from the beginning, without attacks */
    uint32_t topics;            /* bit 1 << enum topic: which inputs are made; not 0 */
    bool has_quiet_nights;      /* no background from 02:00 to 06:00 UTC, and attacks then */
};

/* At most this much background a tenant keeps clear of the default rules. */
#define WORLD_TENANT_RATE_MAX 0.5

/* One finished attack. Texts are borrowed for the call. */
struct world_label {
    const char *attack; /* "brute-force", ... */
    const char *tenant_id;
    const char *user_id, *customer_id, *client_id, *ip; /* whom to look for; NULL: not fixed */
    const char *const *rules; /* names, ends in NULL: those that must find it */
    int64_t start_ms, end_ms;
    int64_t event_count;
    bool is_complete; /* false: the end of the events cut it short */
};
typedef void world_label_fn(void *context, const struct world_label *label);

/* on_label may be NULL. */
struct world *world_create(const struct world_options *options, world_label_fn *on_label,
                           void *context);
void world_destroy(struct world *world);
/* The next event, in the order of event time. Its texts are valid until the next call. */
void world_next(struct world *world, struct event *event);
/* Labels the attacks under way. */
void world_finish(struct world *world);
/* The label as one JSON object, without a line end. */
void world_label_json(const struct world_label *label, struct byte_writer *out);
#endif
