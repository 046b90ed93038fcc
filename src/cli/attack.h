#ifndef CLI_ATTACK_H
#define CLI_ATTACK_H
/*
 * attack.h - scripts of misbehaviour in the synthetic world, one a kind, and the default
 * rules that must find each.
 */
#include <stdbool.h>
#include <stdint.h>

#include "cli/shop.h"
#include "cli/world.h"

enum attack_kind {
    ATTACK_LARGE_ORDER,
    ATTACK_BRUTE_FORCE,
    ATTACK_API_FLOOD,
    ATTACK_CARD_TESTING,
    ATTACK_CREDENTIAL_STUFFING,
    ATTACK_RAPID_ORDERS,
    ATTACK_ACCOUNT_TAKEOVER,
    ATTACK_NIGHT_ACTIVITY,
    ATTACK_KIND_COUNT,
};

struct attack {
    enum attack_kind kind;
    uint32_t tenant;
    uint32_t customer;
    uint32_t client;
    uint64_t number; /* picks the address that it comes from */
    int64_t step_count, step;
    int64_t gap_ms; /* between steps, on average */
    int64_t next_ms;
    int64_t start_ms, last_ms; /* of the events that were made; start_ms < 0: none yet */
};

enum event_kind attack_event_kind(enum attack_kind kind);
/* A new one, whose first step is due at start_ms. */
void attack_plan(struct attack *attack, enum attack_kind kind, uint32_t tenant, uint64_t number,
                 int64_t start_ms, struct shop *shop);
/* Makes the event that is due at next_ms and moves on. False after the last step. */
bool attack_step(struct attack *attack, struct shop *shop, struct event *event);
/* Texts in the shop's arena. */
void attack_label(const struct attack *attack, const struct shop *shop, struct world_label *label);
#endif
