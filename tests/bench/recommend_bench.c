/*
 * What recommendations cost, by the number of products: learning an order of 20 products
 * (the counting, and with the default model's lesson), a list for one customer, lists for
 * many in batch jobs, memory.
 *
 *   bench_recommend [orders [products...]]
 *
 * Customers buy from a taste and buy again what they bought, products are bought as
 * unevenly as in shops (Zipf); everything follows from a seed. Every figure is of a state
 * that has seen all the orders.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/hash.h"
#include "event/outbox.h"
#include "recommend/recommend.h"

enum {
    ORDER_PRODUCTS = 20,
    CUSTOMER_ORDERS = 12, /* so many on average */
    TASTES = 40,
    LISTS = 4000,
    JOB_CUSTOMERS = 1000,
    NAME_BYTES = 16,
    RUNS_MAX = 8,
};

struct shop {
    uint32_t products, customers;
    uint64_t drawn;
    int64_t now_ms;
    struct order_item items[ORDER_PRODUCTS];
    char names[ORDER_PRODUCTS][NAME_BYTES];
    char customer[NAME_BYTES];
    char id[NAME_BYTES * 2];
};

static uint64_t draw(struct shop *shop, uint64_t below)
{
    return hash_mix(5, shop->drawn++) % below;
}

/* A product of the customer's taste, the first ones far oftener. */
static uint32_t draw_product(struct shop *shop, uint32_t customer)
{
    double unit = (double)(draw(shop, 1 << 30) + 1) / (double)(1 << 30);
    uint32_t rank = (uint32_t)(pow((double)shop->products / TASTES, unit) - 1);
    uint32_t taste =
        draw(shop, 4) == 0 ? (uint32_t)draw(shop, TASTES) : hash_mix(6, customer) % TASTES;

    return (rank * TASTES + taste) % shop->products;
}

static struct view name_number(char *text, char prefix, uint32_t number)
{
    return (struct view){text, (uint32_t)snprintf(text, NAME_BYTES, "%c%07u", prefix, number)};
}

static struct event make_order(struct shop *shop)
{
    uint32_t customer = (uint32_t)draw(shop, shop->customers);

    shop->now_ms += 20000;
    for (uint32_t i = 0; i < ORDER_PRODUCTS; i++)
        shop->items[i] = (struct order_item){
            .present = 7,
            .product_id = name_number(shop->names[i], 'p', draw_product(shop, customer)),
            .quantity = 1,
            .unit_price = 3,
        };
    snprintf(shop->id, sizeof shop->id, "order-%llu", (unsigned long long)shop->drawn);
    return (struct event){
        .kind = EVENT_ORDER,
        .id = view_of(shop->id),
        .tenant_id = VIEW_LITERAL("shop"),
        .event_time_ms = shop->now_ms,
        .order =
            {
                .customer_id = name_number(shop->customer, 'c', customer),
                .amount = 60,
                .currency = VIEW_LITERAL("EUR"),
                .items = {shop->items, ORDER_PRODUCTS},
            },
    };
}

static struct event make_request(struct shop *shop)
{
    snprintf(shop->id, sizeof shop->id, "request-%llu", (unsigned long long)shop->drawn);
    return (struct event){
        .kind = EVENT_REQUEST,
        .id = view_of(shop->id),
        .tenant_id = VIEW_LITERAL("shop"),
        .event_time_ms = shop->now_ms,
        .request =
            {
                .customer_id =
                    name_number(shop->customer, 'c', (uint32_t)draw(shop, shop->customers)),
                .count = 10,
            },
    };
}

struct figures {
    double count_us, learn_us;
    double list_p50_us, list_p99_us;
    double batch_per_s;
    double slice_ms; /* the longest of a batch job */
    struct recommend_stats stats;
};

static const struct recommend_context context = {.is_sharing = false};

static int compare_ns(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;

    return (left > right) - (left < right);
}

/* Orders; the time of the last quarter of them, in ns each. */
static double learn(struct recommend *recommend, struct shop *shop, uint32_t orders,
                    struct outbox *outbox)
{
    const struct clock *clock = clock_system();
    int64_t spent_ns = 0;

    for (uint32_t i = 0; i < orders; i++) {
        struct event order = make_order(shop);
        int64_t started_ns = clock_monotonic_ns(clock);
        recommend_apply(recommend, &order, &context, outbox);
        if (i >= orders - orders / 4)
            spent_ns += clock_monotonic_ns(clock) - started_ns;
    }
    return (double)spent_ns / (orders / 4);
}

static void ask(struct recommend *recommend, struct shop *shop, struct outbox *outbox,
                struct figures *figures)
{
    static int64_t times_ns[LISTS];
    const struct clock *clock = clock_system();

    for (uint32_t i = 0; i < LISTS; i++) {
        struct event request = make_request(shop);
        int64_t started_ns = clock_monotonic_ns(clock);
        recommend_apply(recommend, &request, &context, outbox);
        times_ns[i] = clock_monotonic_ns(clock) - started_ns;
        outbox_reset(outbox);
    }
    qsort(times_ns, LISTS, sizeof times_ns[0], compare_ns);
    figures->list_p50_us = (double)times_ns[LISTS / 2] / 1e3;
    figures->list_p99_us = (double)times_ns[LISTS / 100 * 99] / 1e3;
}

static void serve_job(struct recommend *recommend, struct shop *shop, struct outbox *outbox,
                      struct figures *figures)
{
    static struct view customers[JOB_CUSTOMERS];
    static char names[JOB_CUSTOMERS][NAME_BYTES];
    const struct clock *clock = clock_system();
    struct event request = make_request(shop);
    int64_t spent_ns = 0, longest_ns = 0;

    for (uint32_t i = 0; i < JOB_CUSTOMERS; i++)
        customers[i] = name_number(names[i], 'c', (uint32_t)draw(shop, shop->customers));
    request.request.customer_ids.at = customers;
    request.request.customer_ids.count = JOB_CUSTOMERS;
    recommend_apply(recommend, &request, &context, outbox);
    while (recommend_is_busy(recommend)) {
        int64_t started_ns = clock_monotonic_ns(clock);
        recommend_tick(recommend, shop->now_ms, outbox);
        int64_t took_ns = clock_monotonic_ns(clock) - started_ns;
        spent_ns += took_ns;
        longest_ns = took_ns > longest_ns ? took_ns : longest_ns;
        outbox_reset(outbox);
    }
    figures->batch_per_s = JOB_CUSTOMERS / ((double)spent_ns / 1e9);
    figures->slice_ms = (double)longest_ns / 1e6;
}

static struct recommend *open_with(const char *model)
{
    struct recommend_options options;

    option_preset(&recommend_option_table, &options);
    options.bytes_max = SIZE_MAX;
    options.summary_ms = 0;
    for (int64_t i = 0; recommend_model_names[i] != NULL; i++)
        if (strcmp(recommend_model_names[i], model) == 0)
            options.model = i;
    return recommend_open(&options);
}

static struct figures measure(uint32_t products, uint32_t orders)
{
    struct outbox *outbox = outbox_create();
    struct figures figures = {0};

    /* The counting alone: a model that learns nothing of its own. */
    struct shop shop = {.products = products, .customers = orders / CUSTOMER_ORDERS + 1};
    struct recommend *recommend = open_with("popularity");
    shop.now_ms = INT64_C(1700000000000);
    figures.count_us = learn(recommend, &shop, orders, outbox) / 1e3;
    recommend_close(recommend);

    shop = (struct shop){.products = products, .customers = shop.customers};
    shop.now_ms = INT64_C(1700000000000);
    recommend = open_with("weir");
    figures.learn_us = learn(recommend, &shop, orders, outbox) / 1e3;
    ask(recommend, &shop, outbox, &figures);
    serve_job(recommend, &shop, outbox, &figures);
    recommend_stats(recommend, &figures.stats);
    recommend_close(recommend);
    outbox_destroy(outbox);
    return figures;
}

int main(int argc, char **argv)
{
    uint32_t products[RUNS_MAX] = {1000, 4000, 10000, 100000}, runs = 4;
    uint32_t orders = argc > 1 ? (uint32_t)atoi(argv[1]) : 20000;

    if (argc > 2)
        for (runs = 0; (int)runs + 2 < argc && runs < RUNS_MAX; runs++)
            products[runs] = (uint32_t)atoi(argv[runs + 2]);
    printf("%u orders of %d products; us but where said\n\n", orders, ORDER_PRODUCTS);
    printf("%9s %9s %9s %9s %9s %12s %9s %9s %9s %11s\n", "products", "count", "learn", "list p50",
           "list p99", "batch lists/s", "slice ms", "MB", "B/pair", "B/product");
    for (uint32_t i = 0; i < runs; i++) {
        struct figures f = measure(products[i], orders);
        printf("%9u %9.1f %9.1f %9.1f %9.1f %12.0f %9.2f %9.1f %9.1f %11.0f\n", products[i],
               f.count_us, f.learn_us, f.list_p50_us, f.list_p99_us, f.batch_per_s, f.slice_ms,
               (double)f.stats.bytes / 1e6, (double)f.stats.customer_bytes / (double)f.stats.pairs,
               (double)(f.stats.bytes - f.stats.customer_bytes) / (double)f.stats.products);
        fflush(stdout);
    }
    return 0;
}
