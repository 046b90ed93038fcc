#include "cli/shop.h"

#include <assert.h>
#include <math.h>

#include "base/hash.h"

enum {
    PRODUCT_COUNT = SHOP_FAMILY_COUNT * SHOP_FAMILY_PRODUCT_COUNT,
    STAPLE_COUNT = 3,
    COMPANION_COUNT = 3,
    ITEMS_MAX = 4,
};

/* What a number of the shop is derived for; keeps the derivations apart. */
enum trait { TRAIT_TASTE, TRAIT_STAPLE, TRAIT_COMPANION, TRAIT_PRICE, TRAIT_HOME, TRAIT_COUNTRY };

static uint64_t derive(const struct shop *shop, enum trait trait, uint32_t tenant, uint64_t number)
{
    uint64_t hash = hash_mix(shop->seed, (uint64_t)trait);

    return hash_mix(hash_mix(hash, tenant), number);
}

/* ---- who ---- */

const char *shop_tenant(const struct shop *shop, uint32_t tenant)
{
    return arena_print(shop->arena, "tenant-%04u", tenant + 1);
}

const char *shop_customer(const struct shop *shop, uint32_t customer)
{
    return arena_print(shop->arena, "customer-%03u", customer + 1);
}

const char *shop_client(const struct shop *shop, uint32_t tenant, uint32_t client)
{
    return arena_print(shop->arena, "client-%04u-%u", tenant + 1, client + 1);
}

const char *shop_home_ip(const struct shop *shop, uint32_t tenant, uint32_t customer)
{
    uint64_t hash = derive(shop, TRAIT_HOME, tenant, customer);

    return arena_print(shop->arena, "10.%u.%u.%u", (unsigned)(hash & 255),
                       (unsigned)((hash >> 8) & 255), (unsigned)(1 + (hash >> 16) % 254));
}

const char *shop_foreign_ip(const struct shop *shop, uint64_t number)
{
    uint64_t hash = hash_mix(shop->seed, number);

    return arena_print(shop->arena, "203.%u.%u.%u", (unsigned)(hash & 255),
                       (unsigned)((hash >> 8) & 255), (unsigned)(1 + (hash >> 16) % 254));
}

static const char *country_of(const struct shop *shop, uint32_t tenant, uint32_t customer)
{
    static const char *const countries[] = {"DE", "DE", "FR", "IT", "PL", "NL", "AT", "ES"};

    return countries[derive(shop, TRAIT_COUNTRY, tenant, customer) & 7];
}

uint32_t shop_visitor(struct shop *shop)
{
    return (uint32_t)random_skewed(&shop->random, SHOP_CUSTOMER_COUNT, 1.3);
}

/* ---- what they like ---- */

static uint32_t staple_of(const struct shop *shop, uint32_t tenant, uint32_t customer,
                          uint32_t index)
{
    return (uint32_t)(derive(shop, TRAIT_STAPLE, tenant, customer * STAPLE_COUNT + index) %
                      PRODUCT_COUNT);
}

static uint32_t family_of(const struct shop *shop, uint32_t tenant, uint32_t customer)
{
    return (uint32_t)(derive(shop, TRAIT_TASTE, tenant, customer) % SHOP_FAMILY_COUNT);
}

/* Mostly the customer's own family, and in each family some products sell best. */
static uint32_t choose_by_taste(struct shop *shop, uint32_t tenant, uint32_t customer)
{
    uint32_t family = family_of(shop, tenant, customer);

    if (random_unit(&shop->random) < 0.2)
        family = (uint32_t)random_below(&shop->random, SHOP_FAMILY_COUNT);
    return family * SHOP_FAMILY_PRODUCT_COUNT +
           (uint32_t)random_skewed(&shop->random, SHOP_FAMILY_PRODUCT_COUNT, 2.0);
}

static uint32_t choose_to_buy(struct shop *shop, uint32_t tenant, uint32_t customer)
{
    if (random_unit(&shop->random) < 0.4)
        return staple_of(shop, tenant, customer,
                         (uint32_t)random_below(&shop->random, STAPLE_COUNT));
    return choose_by_taste(shop, tenant, customer);
}

/* What is put into the basket beside `product`: something of its family. */
static uint32_t choose_companion(struct shop *shop, uint32_t tenant, uint32_t product)
{
    uint64_t index = random_below(&shop->random, COMPANION_COUNT);
    uint64_t hash = derive(shop, TRAIT_COMPANION, tenant, product * COMPANION_COUNT + index);
    uint32_t family = product / SHOP_FAMILY_PRODUCT_COUNT;

    return family * SHOP_FAMILY_PRODUCT_COUNT + (uint32_t)(hash % SHOP_FAMILY_PRODUCT_COUNT);
}

static const char *product_name(const struct shop *shop, uint32_t product)
{
    static const char *const families[SHOP_FAMILY_COUNT] = {"tea",    "coffee", "garden",
                                                            "office", "sport",  "kitchen"};

    return arena_print(shop->arena, "%s-%02u", families[product / SHOP_FAMILY_PRODUCT_COUNT],
                       product % SHOP_FAMILY_PRODUCT_COUNT + 1);
}

/* 4.00 to 83.99 */
static double price_of(const struct shop *shop, uint32_t tenant, uint32_t product)
{
    return (double)(400 + derive(shop, TRAIT_PRICE, tenant, product) % 8000) / 100;
}

/* ---- events ---- */

void shop_begin(struct shop *shop, enum event_kind kind, uint32_t tenant, int64_t time_ms,
                struct event *event)
{
    *event = (struct event){.kind = kind, .event_time_ms = time_ms};
    event->id = view_of(arena_print(shop->arena, "%08x-%llu", shop->run_id,
                                    (unsigned long long)++shop->event_number));
    event->tenant_id = view_of(shop_tenant(shop, tenant));
}

static bool is_number_filled(const struct field *field, const char *slot)
{
    int64_t whole;
    double real;

    if (field->type == FIELD_DOUBLE) {
        memcpy(&real, slot, sizeof real);
        return real != 0;
    }
    memcpy(&whole, slot, sizeof whole);
    return whole != 0;
}

static bool is_filled(const struct field *field, const char *slot)
{
    switch (field->type) {
    case FIELD_TEXT:
        return !view_is_absent(*(const struct view *)(const void *)slot);
    case FIELD_INT:
    case FIELD_DOUBLE:
    case FIELD_TIME:
        return (field->flags & FIELD_REQUIRED) != 0 || is_number_filled(field, slot);
    case FIELD_BOOL:
        return *(const bool *)(const void *)slot;
    case FIELD_CHOICE:
        return true;
    case FIELD_TEXTS:
        return ((const struct view_list *)(const void *)slot)->count > 0;
    case FIELD_MAP:
        return ((const struct pair_list *)(const void *)slot)->count > 0;
    case FIELD_RECORD:
        return *(const uint64_t *)(const void *)(slot + field->shape->present_offset) != 0;
    case FIELD_RECORDS:
        return ((const struct record_list *)(const void *)slot)->count > 0;
    }
    return false;
}

void shop_seal(struct event *event)
{
    const struct shape *shape = event_shape(event->kind);
    const char *record = (const char *)event;

    event->present = 0;
    for (uint32_t i = 0; i < shape->field_count; i++)
        if (is_filled(&shape->fields[i], record + shape->fields[i].offset))
            shape_set_present(shape, event, i);
}

/* Cents, so that JSON shows what a shop would print. */
static double round_cents(double amount)
{
    return round(amount * 100) / 100;
}

static void fill_basket(struct shop *shop, uint32_t tenant, uint32_t customer, struct order *order)
{
    uint32_t count = 1 + (uint32_t)random_skewed(&shop->random, ITEMS_MAX, 1.7);
    struct order_item *items = arena_alloc(shop->arena, count * sizeof *items);
    uint32_t product = choose_to_buy(shop, tenant, customer);

    for (uint32_t i = 0; i < count; i++) {
        if (i > 0)
            product = random_unit(&shop->random) < 0.6 ? choose_companion(shop, tenant, product)
                                                       : choose_to_buy(shop, tenant, customer);
        items[i].present = 7; /* all three fields */
        items[i].product_id = view_of(product_name(shop, product));
        items[i].quantity = (double)(1 + random_skewed(&shop->random, 3, 3.0));
        items[i].unit_price = price_of(shop, tenant, product);
        order->amount = round_cents(order->amount + items[i].quantity * items[i].unit_price);
    }
    order->items = (struct record_list){items, count};
}

void shop_order(struct shop *shop, uint32_t tenant, uint32_t customer, int64_t time_ms,
                struct event *event)
{
    static const char *const payments[] = {"card", "card", "paypal", "invoice"};

    shop_begin(shop, EVENT_ORDER, tenant, time_ms, event);
    event->order.order_id =
        view_of(arena_print(shop->arena, "o-%llu", (unsigned long long)shop->event_number));
    event->order.customer_id = view_of(shop_customer(shop, customer));
    event->order.currency = VIEW_LITERAL("EUR");
    event->order.ip = view_of(shop_home_ip(shop, tenant, customer));
    event->order.country = view_of(country_of(shop, tenant, customer));
    event->order.payment_method = view_of(payments[random_below(&shop->random, 4)]);
    fill_basket(shop, tenant, customer, &event->order);
    shop_seal(event);
}

void shop_sign_in(struct shop *shop, uint32_t tenant, int64_t time_ms, struct event *event)
{
    static const char *const agents[] = {"Firefox/128.0", "Chrome/126.0", "Safari/17.5",
                                         "ShopApp/4.2"};
    uint32_t customer = shop_visitor(shop);
    bool is_failure = random_unit(&shop->random) < 0.01;

    shop_begin(shop, EVENT_AUTH, tenant, time_ms, event);
    event->auth.user_id = view_of(shop_customer(shop, customer));
    event->auth.outcome = is_failure ? AUTH_FAILURE : AUTH_SUCCESS;
    if (is_failure)
        event->auth.reason = VIEW_LITERAL("bad_password");
    event->auth.ip = view_of(shop_home_ip(shop, tenant, customer));
    event->auth.country = view_of(country_of(shop, tenant, customer));
    event->auth.user_agent = view_of(agents[customer & 3]);
    event->auth.method = VIEW_LITERAL("password");
    shop_seal(event);
}

void shop_api_call(struct shop *shop, uint32_t tenant, uint32_t client, int64_t time_ms,
                   struct event *event)
{
    static const struct {
        const char *method, *path;
        double latency_ms;
    } calls[] = {
        {"GET", "/v1/products", 18}, {"GET", "/v1/products/search", 45}, {"GET", "/v1/orders", 25},
        {"POST", "/v1/orders", 60},  {"GET", "/v1/customers/me", 12},    {"PUT", "/v1/basket", 22},
    };
    uint64_t index = random_skewed(&shop->random, sizeof calls / sizeof calls[0], 1.5);
    double chance = random_unit(&shop->random);

    shop_begin(shop, EVENT_API_CALL, tenant, time_ms, event);
    event->api_call.client_id = view_of(shop_client(shop, tenant, client));
    event->api_call.method = view_of(calls[index].method);
    event->api_call.path = view_of(calls[index].path);
    event->api_call.status = chance < 0.003 ? 500 : chance < 0.023 ? 404 : 200;
    event->api_call.latency_ms =
        round_cents(calls[index].latency_ms * (0.6 - 0.5 * log(1 - random_unit(&shop->random))));
    event->api_call.bytes = random_between(&shop->random, 200, 20000);
    event->api_call.ip = view_of(shop_home_ip(shop, tenant, SHOP_CUSTOMER_COUNT + client));
    shop_seal(event);
}

void shop_interaction(struct shop *shop, uint32_t tenant, int64_t time_ms, struct event *event)
{
    static const uint8_t types[] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 2, 2, 2, 3, 4, 5};
    uint32_t customer = shop_visitor(shop);
    struct interaction *interaction = &event->interaction;

    shop_begin(shop, EVENT_INTERACTION, tenant, time_ms, event);
    interaction->customer_id = view_of(shop_customer(shop, customer));
    interaction->type = types[random_below(&shop->random, sizeof types)];
    interaction->product_id = view_of(product_name(shop, choose_by_taste(shop, tenant, customer)));
    interaction->session_id = view_of(arena_print(shop->arena, "s-%03u-%lld", customer + 1,
                                                  (long long)(time_ms / (30 * 60 * 1000))));
    if (interaction->type == INTERACTION_IMPRESSION || interaction->type == INTERACTION_CLICK)
        interaction->position = 1 + (int64_t)random_skewed(&shop->random, 10, 1.5);
    if (interaction->type == INTERACTION_RATING)
        interaction->value = 5 - (double)random_skewed(&shop->random, 5, 2.0);
    shop_seal(event);
}

void shop_request(struct shop *shop, uint32_t tenant, int64_t time_ms, struct event *event)
{
    shop_begin(shop, EVENT_REQUEST, tenant, time_ms, event);
    event->request.customer_id = view_of(shop_customer(shop, shop_visitor(shop)));
    event->request.count = 5;
    shop_seal(event);
}
