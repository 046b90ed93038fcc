#ifndef RECOMMEND_MARKET_H
#define RECOMMEND_MARKET_H
/*
 * market.h - what is known of one tenant: its products, its customers, what they bought.
 *
 *   market ── products by number 1..count: popularity, neighbours
 *          ── customers, the most recently active first: habits, last basket
 *          ── the state of its model, its jobs (job.h)
 *
 * Popularity at half-life H is a sum of 2^(-age/H) over purchases. It is kept as a sum of
 * growing weights 2^((time - zero)/H), so that nothing has to be touched while it decays
 * and a late purchase counts what it should; `fade` turns it into the decayed value. All
 * values are scaled down long before they overflow.
 *
 * Numbers of products are given in the order of their first appearance. When a market has
 * products_max of them, an eighth is dropped, the longest unseen, and the others are
 * numbered anew in the same order.
 *
 * Memory   from the room's blocks and slab; `bytes` is what the market holds
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/view.h"
#include "recommend/neighbours.h"
#include "recommend/recommend.h"
#include "window/blocks.h"
#include "window/slab.h"
#include "window/table.h"

enum { HALF_LIFE_3, HALF_LIFE_7, HALF_LIFE_14, HALF_LIFE_60, HALF_LIFE_COUNT };
extern const float half_life_days[HALF_LIFE_COUNT];

/* Lists of the most popular products, by the half-lives of `top_half_life`. */
enum { TOP_COUNT = 2, TOP_PRODUCTS_MAX = 80 };
extern const int top_half_life[TOP_COUNT];

enum {
    HISTORY_PRODUCTS_MAX = 4096, /* the most that history_products_max may be */
    KEPT_ORDERS_MAX = 16384,     /* the most that kept_orders_max may be */
    BASKET_MAX = 2048,           /* distinct products of an order that are learnt */
    BASKET_KEPT_MAX = 256,       /* of these, remembered as the customer's last basket */
};

struct product {
    struct view id;
    uint32_t hash;
    bool is_blocked;
    uint16_t top_at[TOP_COUNT];        /* place in market.tops, 1 = first; 0: not there */
    float popularity[HALF_LIFE_COUNT]; /* growing weights, see above */
    float orders;                      /* in which it stood */
    float sources;                     /* orders that followed one in which it stood */
    float repeat_chances;              /* orders of customers who had bought it before, */
    float repeat_hits;                 /* and of these, with it */
    float from_next;                   /* what its neighbours' counts are worth */
    float from_together;
    int64_t first_ms;
    int64_t last_ms;
    struct neighbours neighbours;
};

/* What counts of neighbours are worth at their far end; one lane a signal. */
struct product_scale {
    float lanes[4];
};

/* A customer and a product. Times are whole minutes since the epoch. */
struct habit {
    uint32_t product;
    uint32_t last_basket; /* the customer's orders before the one that `weight` is as of */
    float count;          /* orders with it; 0: only looked at */
    float weight;         /* an order counts 1, .9 after one more order, .81 ... */
    float quantity;
    uint32_t first_minute;
    uint32_t last_minute;
    uint32_t views; /* and clicks, carts, ratings */
};

struct customer {
    struct view id;
    struct market *market;
    uint32_t hash;
    uint32_t newer, older; /* in the market's order of activity; references */
    struct habit *habits;
    uint32_t *basket; /* products of the last order */
    uint32_t habit_count, habit_capacity;
    uint32_t basket_count, basket_capacity;
    uint32_t orders;
    uint32_t sessions;
    uint32_t interactions;
    float repeat_hits; /* how often what was bought before is bought again, fading */
    float repeat_items;
    float items; /* distinct products of all orders */
    double spent;
    int64_t last_ms;       /* last order */
    int64_t session_ms;    /* last interaction */
    uint64_t session_hash; /* of its session_id */
};

/* What RESULT_ANALYTICS totals says. */
struct market_totals {
    uint64_t orders, cancelled, guests;
    uint64_t interactions[6]; /* by enum interaction_type */
    uint64_t sessions;
    uint64_t recommendations;
    uint64_t recommended_clicks; /* that name a recommendation_id */
    uint64_t recommended_orders;
    uint64_t jobs_completed, jobs_failed, jobs_cancelled;
};

struct model_kind;
struct job;
struct dedicated;

struct market {
    struct view id;
    uint32_t hash;
    uint32_t index; /* in store.markets */
    bool is_pushing;
    uint64_t activity; /* store.sequence of its last event */

    struct product *products; /* [0] is nobody */
    struct product_scale *scales;
    uint32_t product_count, product_capacity;
    struct table product_table;
    uint32_t blocked_count;

    int64_t zero_ms;   /* INT64_MIN: nothing yet */
    int64_t latest_ms; /* of its orders and interactions */
    float most[HALF_LIFE_COUNT];
    uint32_t tops[TOP_COUNT][TOP_PRODUCTS_MAX]; /* heaps, the least popular first */
    uint32_t top_counts[TOP_COUNT];

    uint32_t newest, oldest; /* customers */
    uint32_t customer_count;

    const struct model_kind *kind;
    void *model;

    struct dedicated *dedicated; /* dedicated.h; NULL: nothing was asked for or kept */

    struct job *jobs; /* unfinished, the eldest first */
    uint32_t job_count;
    struct market *busy_next; /* NULL: no job */

    struct market_totals totals;
    int64_t summary_ms; /* of the last summary; tick time */
    bool has_news;      /* since then */
    bool is_sharing;    /* as of its last order */
    bool has_share;     /* others were told what is popular with it */
    bool has_share_news;
    int64_t share_ms; /* when they were told; tick time */
    size_t bytes;
};

struct store {
    struct recommend_options options;
    uint32_t bucket_max; /* of a row of neighbours */
    struct blocks blocks;
    struct slab customers;
    struct table customer_table;
    struct market **markets; /* some NULL */
    uint32_t market_count, market_capacity;
    uint32_t live_count;
    bool is_model_busy;        /* in the last tick; not part of the state */
    bool is_job_busy;          /* the same of jobs, or one has come since */
    uint32_t model_turn;       /* the market whose model has ticked last */
    uint32_t skipped_count;    /* places that must stay empty; while loading */
    struct table market_table; /* index + 1 */
    struct market *busy;       /* the last in a ring of those with jobs; NULL: none */
    uint32_t job_count;        /* of all */
    uint64_t sequence;         /* events applied */
    uint32_t dedicated_count;  /* markets whose lists are made with a dedicated model */
    uint64_t customers_evicted, products_evicted, markets_evicted;
    /* Of all markets, counted as they change. */
    uint64_t product_count, customer_count, pair_count, neighbour_count;
    uint32_t processing_count; /* jobs */
    size_t customer_bytes;     /* of customers with all that they point to */
    size_t bytes;
};

void store_open(struct store *store, const struct recommend_options *options);
void store_close(struct store *store);

/* For load: the next place among the markets stays empty. */
void store_skip_place(struct store *store);

/* Memory on a market's account. */
void *market_take(struct store *store, struct market *market, size_t bytes);
void market_give(struct store *store, struct market *market, void *run, size_t bytes);

struct market *market_find(const struct store *store, struct view id);
struct market *market_create(struct store *store, struct view id);
void market_destroy(struct store *store, struct market *market);

/* 0: never seen. */
uint32_t product_find(const struct market *market, struct view id);
/* The same in steps, for many at once: hashes, products on their way here, numbers. */
uint32_t product_hash(const struct market *market, struct view id);
void product_prefetch(const struct market *market, const uint32_t *hashes, uint32_t count);
uint32_t product_find_hashed(const struct market *market, struct view id, uint32_t hash);
/* One more, which must not be there yet. */
uint32_t product_add(struct store *store, struct market *market, struct view id);
/* It was bought or looked at. */
void product_see(struct market *market, uint32_t number, int64_t time_ms);
/* Adds it when it is not there; it was seen. */
uint32_t product_find_or_add(struct store *store, struct market *market, struct view id,
                             int64_t time_ms);
/* Room for `count` more products. May drop others, and so number all of them anew: numbers
 * that were read before are void. */
void product_make_room(struct store *store, struct market *market, uint32_t count);
/* Adds one purchase of weight `amount` at time_ms to the popularity. */
void product_raise(struct market *market, uint32_t number, const float growth[HALF_LIFE_COUNT],
                   float amount);
/* What a purchase at time_ms adds; scales the market down first when due. */
void market_growth(struct market *market, int64_t time_ms, float growth[HALF_LIFE_COUNT]);
/* What turns popularity into its decayed value at time_ms. */
void market_fade(const struct market *market, int64_t time_ms, float fade[HALF_LIFE_COUNT]);
/* After `orders`, `sources` or both changed. */
void product_rescale_orders(struct market *market, uint32_t number);
void product_rescale_sources(struct market *market, uint32_t number);
void product_rescale(struct market *market, uint32_t number);
/* The `count` longest unseen go, but for blocked ones; the others get new numbers. */
void product_drop_oldest(struct store *store, struct market *market, uint32_t count);
/* For load: room for numbers up to `count`; the lists of the popular. */
void product_reserve(struct store *store, struct market *market, uint32_t count);
void product_rebuild_tops(struct market *market);
/* What the product holds, not its number. */
void product_free(struct store *store, struct market *market, uint32_t number);
/* Counts the product's neighbours, on the market's account. */
void product_meet(struct store *store, struct market *market, uint32_t number,
                  const uint32_t *others, uint32_t other_count, uint64_t what);

/* 0: unknown. */
uint32_t customer_find(const struct store *store, const struct market *market, struct view id);
uint32_t customer_create(struct store *store, struct market *market, struct view id);
/* It is the most recently active now. */
void customer_touch(struct store *store, uint32_t reference);
void customer_destroy(struct store *store, uint32_t reference);
static inline struct customer *customer_at(const struct store *store, uint32_t reference)
{
    return slab_at(&store->customers, reference);
}
/* Adds a habit of that product; the weakest go first when the history is full, so pointers
 * to habits are void. */
struct habit *customer_add_habit(struct store *store, struct customer *customer, uint32_t product);

/* Until `grown` (NULL: none), which has just learnt something, is within the bound of a
 * tenant, its least recently active customers go; a market without customers loses products.
 * Then until the store is within its budget, the market that holds the most loses likewise;
 * when the largest is small, the least recently active market goes. `grown` is not
 * destroyed, nor its customer `keep_customer`. */
void store_trim(struct store *store, struct market *grown, uint32_t keep_customer);

/* Capacities follow from counts alone, so that a loaded state takes the same memory. */
void customer_reserve(struct store *store, struct customer *customer, uint32_t habit_count);
/* Back to history_products_max habits. */
void customer_trim_habits(struct store *store, struct customer *customer);
void customer_set_basket(struct store *store, struct customer *customer, const uint32_t *products,
                         uint32_t count);
/* Products have got new numbers, by the old ones; 0: gone. */
void customer_renumber(struct store *store, struct customer *customer, const uint32_t *numbers);

/* How customers' habits fade from order to order. */
#define HABIT_FADE 0.9f
/* HABIT_FADE to the power of `orders`. */
float habit_fade(uint32_t orders);
#endif
