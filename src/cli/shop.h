#ifndef CLI_SHOP_H
#define CLI_SHOP_H
/*
 * shop.h - the inside of the synthetic tenants: who they are, what they like, what
 * ordinary events they cause. Tenants, customers, clients and products are numbers;
 * names, tastes and prices are computed from the numbers and the seed.
 *
 * Memory   texts of an event live in `arena`, which the owner resets between events
 */
#include <stdint.h>

#include "base/arena.h"
#include "cli/random.h"
#include "event/event.h"

enum {
    SHOP_CUSTOMER_COUNT = 200,
    SHOP_CLIENT_COUNT = 5,
    SHOP_FAMILY_COUNT = 6, /* of products that please the same people */
    SHOP_FAMILY_PRODUCT_COUNT = 20,
};

struct shop {
    struct random random; /* what happens; what is comes from `seed` */
    uint64_t seed;
    struct arena *arena;
    uint64_t event_number;
    uint32_t run_id; /* keeps the ids of two runs apart */
};

const char *shop_tenant(const struct shop *shop, uint32_t tenant);
const char *shop_customer(const struct shop *shop, uint32_t customer);
const char *shop_client(const struct shop *shop, uint32_t tenant, uint32_t client);
/* The address that a customer usually comes from. */
const char *shop_home_ip(const struct shop *shop, uint32_t tenant, uint32_t customer);
/* An address of a network that no customer uses. */
const char *shop_foreign_ip(const struct shop *shop, uint64_t number);
/* Somebody; some come oftener than others. */
uint32_t shop_visitor(struct shop *shop);

/* Zeroed, with id, tenant and time; `shop_seal` marks what was filled. */
void shop_begin(struct shop *shop, enum event_kind kind, uint32_t tenant, int64_t time_ms,
                struct event *event);
/* A text that is set, a choice, a required field or a number other than 0 is present. */
void shop_seal(struct event *event);

/* Ordinary events, complete. */
void shop_order(struct shop *shop, uint32_t tenant, uint32_t customer, int64_t time_ms,
                struct event *event);
void shop_sign_in(struct shop *shop, uint32_t tenant, int64_t time_ms, struct event *event);
void shop_api_call(struct shop *shop, uint32_t tenant, uint32_t client, int64_t time_ms,
                   struct event *event);
void shop_interaction(struct shop *shop, uint32_t tenant, int64_t time_ms, struct event *event);
void shop_request(struct shop *shop, uint32_t tenant, int64_t time_ms, struct event *event);
#endif
