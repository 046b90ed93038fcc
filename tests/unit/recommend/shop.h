#ifndef TESTS_UNIT_RECOMMEND_SHOP_H
#define TESTS_UNIT_RECOMMEND_SHOP_H
/*
 * shop.h - events of made-up shops: customers with tastes, who buy again what they bought.
 *
 * Everything follows from a seed. Texts live in the shop's arena.
 */
#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/hash.h"
#include "event/outbox.h"
#include "recommend/recommend.h"

#define SHOP_START_MS INT64_C(1700000000000)
#define SHOP_HOUR_MS INT64_C(3600000)

enum { SHOP_PRODUCTS = 200, SHOP_CUSTOMERS = 40, SHOP_TASTES = 8, SHOP_BASKET_MAX = 12 };

struct shop {
    struct arena *arena;
    uint64_t seed;
    uint64_t drawn;
    int64_t now_ms;
    uint64_t events;
};

static inline struct shop shop_open(uint64_t seed)
{
    return (struct shop){arena_create(1 << 16), seed, 0, SHOP_START_MS, 0};
}

static inline void shop_close(struct shop *shop)
{
    arena_destroy(shop->arena);
}

static inline uint64_t shop_draw(struct shop *shop, uint64_t below)
{
    return hash_mix(shop->seed, shop->drawn++) % below;
}

static inline struct view shop_text(struct shop *shop, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
static inline struct view shop_text(struct shop *shop, const char *format, ...)
{
    char text[64];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    return arena_copy(shop->arena, view_of(text));
}

static inline struct event shop_event(struct shop *shop, enum event_kind kind, const char *tenant)
{
    return (struct event){
        .kind = kind,
        .id = shop_text(shop, "e-%llu-%llu", (unsigned long long)shop->seed,
                        (unsigned long long)shop->events++),
        .tenant_id =
            tenant != NULL ? arena_copy(shop->arena, view_of(tenant)) : (struct view){NULL, 0},
        .event_time_ms = shop->now_ms,
    };
}

/* `customer` NULL: a guest; products are numbers. */
static inline struct event shop_order(struct shop *shop, const char *tenant, const char *customer,
                                      const uint32_t *products, uint32_t count)
{
    struct event event = shop_event(shop, EVENT_ORDER, tenant);
    struct order_item *items = arena_alloc(shop->arena, (count + 1) * sizeof *items);

    for (uint32_t i = 0; i < count; i++)
        items[i] = (struct order_item){
            .present = 7,
            .product_id = shop_text(shop, "p%03u", products[i]),
            .quantity = 1,
            .unit_price = 2,
        };
    event.order.order_id = event.id;
    event.order.customer_id =
        customer != NULL ? arena_copy(shop->arena, view_of(customer)) : (struct view){NULL, 0};
    event.order.amount = 2.0 * count;
    event.order.currency = VIEW_LITERAL("EUR");
    event.order.items.at = items;
    event.order.items.count = count;
    return event;
}

/* Somebody buys: mostly of one taste, often what was bought before (low numbers of it). */
static inline struct event shop_any_order(struct shop *shop, const char *tenant)
{
    uint32_t products[SHOP_BASKET_MAX], count = 1 + (uint32_t)shop_draw(shop, SHOP_BASKET_MAX);
    uint32_t customer = (uint32_t)shop_draw(shop, SHOP_CUSTOMERS);
    char name[16];

    shop->now_ms += (int64_t)shop_draw(shop, 2 * SHOP_HOUR_MS);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t low = (uint32_t)shop_draw(shop, SHOP_PRODUCTS / SHOP_TASTES);
        uint32_t other = (uint32_t)shop_draw(shop, low + 1);
        products[i] =
            other * SHOP_TASTES + (shop_draw(shop, 5) == 0 ? (uint32_t)shop_draw(shop, SHOP_TASTES)
                                                           : customer % SHOP_TASTES);
    }
    snprintf(name, sizeof name, "c%u", customer);
    return shop_order(shop, tenant, shop_draw(shop, 8) == 0 ? NULL : name, products, count);
}

static inline struct event shop_interaction(struct shop *shop, const char *tenant,
                                            const char *customer, enum interaction_type type,
                                            uint32_t product)
{
    struct event event = shop_event(shop, EVENT_INTERACTION, tenant);

    event.interaction.customer_id = arena_copy(shop->arena, view_of(customer));
    event.interaction.type = type;
    event.interaction.product_id = shop_text(shop, "p%03u", product);
    return event;
}

static inline struct event shop_request(struct shop *shop, const char *tenant, const char *customer,
                                        int64_t count)
{
    struct event event = shop_event(shop, EVENT_REQUEST, tenant);

    if (customer != NULL)
        event.request.customer_id = arena_copy(shop->arena, view_of(customer));
    event.request.count = count;
    return event;
}

static inline struct event shop_command(struct shop *shop, const char *tenant, const char *type)
{
    struct event event = shop_event(shop, EVENT_COMMAND, tenant);

    event.command.type = arena_copy(shop->arena, view_of(type));
    return event;
}

static inline struct recommend_options shop_options(void)
{
    struct recommend_options options;

    option_preset(&recommend_option_table, &options);
    options.bytes_max = SIZE_MAX;
    return options;
}

/* The shop, and the room and the results that it was played to. */
static inline void shop_end(struct shop *shop, struct recommend *recommend, struct outbox *outbox)
{
    recommend_close(recommend);
    outbox_destroy(outbox);
    shop_close(shop);
}

static inline void shop_apply(struct recommend *recommend, const struct event *event,
                              struct outbox *outbox)
{
    static const struct recommend_context context = {.is_sharing = false};

    recommend_apply(recommend, event, &context, outbox);
}

/* What Kafka would bring back: summaries among the results from `from` on. */
static inline uint32_t shop_bring_back(struct recommend *recommend, const struct outbox *outbox,
                                       uint32_t from)
{
    uint32_t count = 0;

    for (uint32_t i = from; i < outbox_count(outbox); i++)
        if (outbox_at(outbox, i)->kind == RESULT_POPULARITY) {
            recommend_take_popularity(recommend, outbox_at(outbox, i));
            count++;
        }
    return count;
}

static inline struct recommend_answer shop_tell(struct shop *shop, struct recommend *recommend,
                                                const struct event *event, struct outbox *outbox)
{
    static const struct recommend_context context = {.is_sharing = false};
    struct recommend_answer answer;

    recommend_command(recommend, event, &context, shop->arena, outbox, &answer);
    return answer;
}

/* The last result of the outbox, which is a list. */
static inline const struct recommendation *shop_list(const struct outbox *outbox)
{
    const struct result *result = outbox_at(outbox, outbox_count(outbox) - 1);

    assert(result->kind == RESULT_RECOMMENDATION);
    return &result->recommendation;
}

static inline const struct recommended_item *shop_items(const struct recommendation *list)
{
    return list->items.at;
}

static inline bool shop_has(const struct recommendation *list, const char *product)
{
    for (uint32_t i = 0; i < list->items.count; i++)
        if (view_is_text(shop_items(list)[i].product_id, product))
            return true;
    return false;
}

/* Both outboxes hold the same results, field by field. */
static inline bool shop_same(const struct outbox *a, const struct outbox *b)
{
    if (outbox_count(a) != outbox_count(b))
        return false;
    for (uint32_t i = 0; i < outbox_count(a); i++)
        if (outbox_at(a, i)->kind != outbox_at(b, i)->kind ||
            !shape_is_equal(result_shape(outbox_at(a, i)->kind), outbox_at(a, i), outbox_at(b, i)))
            return false;
    return true;
}
#endif
