#include "cli/attack.h"

#include <assert.h>
#include <stddef.h>

enum { RULES_MAX = 6 };

/* Who is named in the label: what the attack keeps the same from step to step. */
enum { BY_USER = 1, BY_CUSTOMER = 2, BY_CLIENT = 4, BY_IP = 8 };

struct script {
    const char *name;
    enum event_kind event_kind;
    uint32_t fixed; /* BY_... */
    int64_t steps_least, steps_most;
    int64_t lasts_least_ms, lasts_most_ms;
    const char *rules[RULES_MAX];
};

static const struct script scripts[ATTACK_KIND_COUNT] = {
    [ATTACK_LARGE_ORDER] = {"large-order", EVENT_ORDER, BY_CUSTOMER, 1, 1, 0, 0, {"large-order"}},
    [ATTACK_BRUTE_FORCE] = {"brute-force",
                            EVENT_AUTH,
                            BY_USER | BY_IP,
                            7,
                            14,
                            5000,
                            60000,
                            {"failed-auth", "failed-auth-by-user", "failed-auth-by-ip"}},
    [ATTACK_API_FLOOD] = {"api-flood",
                          EVENT_API_CALL,
                          BY_CLIENT,
                          130,
                          220,
                          8000,
                          40000,
                          {"high-api-rate", "high-api-rate-by-client"}},
    [ATTACK_CARD_TESTING] =
        {"card-testing", EVENT_ORDER, BY_IP, 15, 30, 20000, 90000, {"card-testing"}},
    [ATTACK_CREDENTIAL_STUFFING] = {"credential-stuffing",
                                    EVENT_AUTH,
                                    BY_IP,
                                    15,
                                    40,
                                    10000,
                                    90000,
                                    {"failed-auth", "failed-auth-by-ip", "credential-stuffing"}},
    [ATTACK_RAPID_ORDERS] = {"rapid-orders",
                             EVENT_ORDER,
                             BY_CUSTOMER,
                             12,
                             20,
                             20000,
                             150000,
                             {"rapid-orders-by-customer"}},
    [ATTACK_ACCOUNT_TAKEOVER] = {"account-takeover",
                                 EVENT_AUTH,
                                 BY_USER | BY_IP,
                                 8,
                                 14,
                                 10000,
                                 60000,
                                 {"failed-auth", "failed-auth-by-user", "failed-auth-by-ip",
                                  "account-takeover"}},
    [ATTACK_NIGHT_ACTIVITY] =
        {"night-activity", EVENT_API_CALL, BY_CLIENT, 3, 10, 60000, 600000, {"unusual-time"}},
};

enum event_kind attack_event_kind(enum attack_kind kind)
{
    return scripts[kind].event_kind;
}

void attack_plan(struct attack *attack, enum attack_kind kind, uint32_t tenant, uint64_t number,
                 int64_t start_ms, struct shop *shop)
{
    const struct script *script = &scripts[kind];
    struct random *random = &shop->random;
    int64_t step_count = random_between(random, script->steps_least, script->steps_most);
    int64_t lasts_ms = random_between(random, script->lasts_least_ms, script->lasts_most_ms);

    *attack = (struct attack){
        .kind = kind,
        .tenant = tenant,
        .customer = (uint32_t)random_below(random, SHOP_CUSTOMER_COUNT),
        .client = (uint32_t)random_below(random, SHOP_CLIENT_COUNT),
        .number = number,
        .step_count = step_count,
        .gap_ms = step_count > 1 ? lasts_ms / (step_count - 1) : 0,
        .next_ms = start_ms,
        .start_ms = -1,
    };
}

static void make_sign_in(const struct attack *attack, struct shop *shop, struct event *event)
{
    uint32_t victim = attack->customer;
    bool is_success =
        attack->kind == ATTACK_ACCOUNT_TAKEOVER && attack->step + 1 == attack->step_count;

    /* Stolen lists go through one user after the other. */
    if (attack->kind == ATTACK_CREDENTIAL_STUFFING)
        victim = (attack->customer + (uint32_t)attack->step) % SHOP_CUSTOMER_COUNT;
    shop_begin(shop, EVENT_AUTH, attack->tenant, attack->next_ms, event);
    event->auth.user_id = view_of(shop_customer(shop, victim));
    event->auth.outcome = is_success ? AUTH_SUCCESS : AUTH_FAILURE;
    if (!is_success)
        event->auth.reason = VIEW_LITERAL("bad_password");
    event->auth.ip = view_of(shop_foreign_ip(shop, attack->number));
    event->auth.user_agent = VIEW_LITERAL("python-requests/2.32");
    event->auth.method = VIEW_LITERAL("password");
    shop_seal(event);
}

static void make_order(const struct attack *attack, struct shop *shop, struct event *event)
{
    shop_order(shop, attack->tenant, attack->customer, attack->next_ms, event);
    if (attack->kind == ATTACK_LARGE_ORDER)
        event->order.amount = (double)random_between(&shop->random, 1000100, 6000000) / 100;
    if (attack->kind == ATTACK_CARD_TESTING) {
        /* Stolen cards are tried on something that nobody will miss. */
        event->order.customer_id = (struct view){NULL, 0};
        event->order.amount = (double)random_between(&shop->random, 50, 200) / 100;
        event->order.items = (struct record_list){NULL, 0};
        event->order.ip = view_of(shop_foreign_ip(shop, attack->number));
        event->order.country = (struct view){NULL, 0};
        event->order.payment_method = VIEW_LITERAL("card");
    }
    shop_seal(event);
}

bool attack_step(struct attack *attack, struct shop *shop, struct event *event)
{
    assert(attack->step < attack->step_count);
    if (attack_event_kind(attack->kind) == EVENT_AUTH)
        make_sign_in(attack, shop, event);
    else if (attack_event_kind(attack->kind) == EVENT_ORDER)
        make_order(attack, shop, event);
    else
        shop_api_call(shop, attack->tenant, attack->client, attack->next_ms, event);
    if (attack->start_ms < 0)
        attack->start_ms = attack->next_ms;
    attack->last_ms = attack->next_ms;
    attack->step++;
    /* Never longer than planned: the rules' windows were counted on. */
    attack->next_ms += (int64_t)((double)attack->gap_ms * random_unit(&shop->random));
    return attack->step < attack->step_count;
}

void attack_label(const struct attack *attack, const struct shop *shop, struct world_label *label)
{
    const struct script *script = &scripts[attack->kind];

    *label = (struct world_label){
        .attack = script->name,
        .tenant_id = shop_tenant(shop, attack->tenant),
        .rules = script->rules,
        .start_ms = attack->start_ms,
        .end_ms = attack->last_ms,
        .event_count = attack->step,
        .is_complete = attack->step == attack->step_count,
    };
    if ((script->fixed & BY_USER) != 0)
        label->user_id = shop_customer(shop, attack->customer);
    if ((script->fixed & BY_CUSTOMER) != 0)
        label->customer_id = shop_customer(shop, attack->customer);
    if ((script->fixed & BY_CLIENT) != 0)
        label->client_id = shop_client(shop, attack->tenant, attack->client);
    if ((script->fixed & BY_IP) != 0)
        label->ip = shop_foreign_ip(shop, attack->number);
}
