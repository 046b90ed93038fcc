/* Which orders are evaluated, and what a list was worth. */
#include <assert.h>
#include <math.h>
#include <string.h>

#include "cli/evaluate.h"

/* Lengths in front keep two pairs of texts from making the same key. */
static struct view key_of(struct byte_writer *key, struct view tenant, struct view customer,
                          struct view product)
{
    byte_writer_reset(key);
    byte_put_view(key, tenant);
    byte_put_view(key, customer);
    byte_put_view(key, product);
    return byte_writer_view(key);
}

static const struct view nobody = {NULL, 0};

static void find_distinct(struct stream *stream, struct sample *sample, struct map *seen,
                          struct byte_writer *key)
{
    struct view tenant = sample->event.tenant_id;
    const struct order_item *items = sample->event.order.items.at;
    uint32_t count = sample->event.order.items.count;
    struct view *products = arena_alloc(stream->arena, (count + 1) * sizeof *products);

    stream->tenant_count += map_put(seen, key_of(key, tenant, nobody, nobody), 1);
    for (uint32_t i = 0; i < count; i++) {
        bool is_first = true;
        for (uint32_t k = 0; k < sample->product_count && is_first; k++)
            is_first = !view_is_equal(products[k], items[i].product_id);
        if (!is_first)
            continue;
        products[sample->product_count++] = items[i].product_id;
        stream->product_count += map_put(seen, key_of(key, tenant, nobody, items[i].product_id), 1);
        stream->name_count += map_put(seen, key_of(key, nobody, nobody, items[i].product_id), 1);
    }
    sample->products = products;
}

static void find_new(struct stream *stream, struct sample *sample, const struct map *bought,
                     struct byte_writer *key)
{
    bool *is_new = arena_alloc(stream->arena, sample->product_count + 1);

    for (uint32_t i = 0; i < sample->product_count; i++) {
        is_new[i] = !map_get(bought,
                             key_of(key, sample->event.tenant_id, sample->event.order.customer_id,
                                    sample->products[i]),
                             NULL);
        sample->new_count += is_new[i];
    }
    sample->is_new = is_new;
}

void stream_prepare(struct stream *stream)
{
    struct map *seen = map_create(), *bought = map_create(), *customers = map_create();
    struct byte_writer key;
    uint32_t first = (uint32_t)(stream->from * stream->known_count), position = 0;

    byte_writer_init(&key);
    for (uint32_t i = 0; i < stream->count; i++) {
        struct sample *sample = &stream->samples[i];
        struct view tenant = sample->event.tenant_id;
        struct view customer = sample->event.order.customer_id;
        find_distinct(stream, sample, seen, &key);
        if (view_is_absent(customer))
            continue;
        bool is_new_customer = map_put(customers, key_of(&key, tenant, customer, nobody), 1);
        sample->is_evaluated = position++ >= first && !is_new_customer && sample->product_count > 0;
        if (sample->is_evaluated) {
            find_new(stream, sample, bought, &key);
            stream->evaluated_count++;
        }
        for (uint32_t k = 0; k < sample->product_count; k++)
            map_put(bought, key_of(&key, tenant, customer, sample->products[k]), 1);
    }
    byte_writer_free(&key);
    map_destroy(customers);
    map_destroy(bought);
    map_destroy(seen);
}

/* ---- scores ---- */

static double discount(uint32_t place)
{
    return 1 / log2((double)place + 2);
}

static double ideal(uint32_t count)
{
    double sum = 0;

    for (uint32_t place = 0; place < count && place < EVALUATE_LIST; place++)
        sum += discount(place);
    return sum;
}

static bool is_in(const struct sample *sample, struct view product, bool is_new_only)
{
    for (uint32_t i = 0; i < sample->product_count; i++)
        if (view_is_equal(sample->products[i], product))
            return !is_new_only || sample->is_new[i];
    return false;
}

void score_add(struct score *score, const struct stream *stream, const struct sample *sample,
               const struct view_list *items, const struct view_list *new_items)
{
    double gain = 0, new_gain = 0;
    uint32_t hits = 0;

    assert(items->count <= EVALUATE_LIST && new_items->count <= EVALUATE_LIST);
    for (uint32_t place = 0; place < items->count; place++) {
        bool is_hit = is_in(sample, items->at[place], false);
        hits += is_hit;
        gain += is_hit ? discount(place) : 0;
    }
    for (uint32_t place = 0; place < new_items->count; place++)
        new_gain += is_in(sample, new_items->at[place], true) ? discount(place) : 0;
    double ndcg = gain / ideal(sample->product_count);
    struct bin *bin =
        &score->bins[(uint64_t)score->orders * EVALUATE_BINS / stream->evaluated_count];
    bin->ndcg += ndcg;
    bin->orders++;
    score->orders++;
    score->recall += (double)hits / sample->product_count;
    score->ndcg += ndcg;
    score->hit += hits > 0;
    if (sample->new_count > 0) {
        score->explorers++;
        score->explore += new_gain / ideal(sample->new_count);
    }
}
