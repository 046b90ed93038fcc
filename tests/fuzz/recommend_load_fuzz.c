/*
 * Saved recommendations: they load into a sound state that goes on, or are refused.
 *
 *   0, bytes                            a saved state, behind the head that this version writes
 *   kind + 1, (offset(3), byte)...      the state of a small shop, with some bytes changed
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "event/outbox.h"
#include "recommend/recommend.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What was loaded is used: a list, an order, a slice of work. */
static void go_on(struct recommend *recommend, struct outbox *outbox)
{
    static const struct recommend_context context = {.is_sharing = true};
    struct order_item item = {.present = 7, .product_id = VIEW_LITERAL("p001"), .quantity = 1};
    struct event event = {
        .kind = EVENT_REQUEST,
        .id = VIEW_LITERAL("r"),
        .tenant_id = VIEW_LITERAL("north"),
        .event_time_ms = INT64_C(1700000000000),
        .request = {.customer_id = VIEW_LITERAL("c1"), .count = 10},
    };

    recommend_apply(recommend, &event, &context, outbox);
    event.kind = EVENT_ORDER;
    event.order = (struct order){
        .customer_id = VIEW_LITERAL("c1"),
        .currency = VIEW_LITERAL("EUR"),
        .items = {&item, 1},
    };
    recommend_apply(recommend, &event, &context, outbox);
    recommend_tick(recommend, event.event_time_ms, outbox);
}

/* Orders of five customers at three tenants, and a batch job that waits for its turn. */
static void run_shop(struct recommend *recommend, struct outbox *outbox)
{
    static const struct recommend_context context = {.is_sharing = true};
    int64_t time_ms = INT64_C(1700000000000);
    char texts[8][16];
    struct view names[8];

    for (uint32_t i = 0; i < 61; i++) {
        const uint32_t numbers[8] = {i % 3, i % 5, i * 7 % 11, (i * 7 + 3) % 11,
                                     i,     i + 1, i + 2,      i};
        for (int k = 0; k < 8; k++) {
            const int size = snprintf(texts[k], sizeof texts[k], "n%u", numbers[k]);
            names[k] = (struct view){texts[k], (uint32_t)size};
        }
        struct order_item items[2] = {
            {.present = 7, .product_id = names[2], .quantity = 1, .unit_price = 2},
            {.present = 7, .product_id = names[3], .quantity = 2, .unit_price = 3},
        };
        struct event event = {.kind = i == 60 ? EVENT_REQUEST : EVENT_ORDER,
                              .id = names[7],
                              .tenant_id = names[0],
                              .event_time_ms = time_ms += 3600000};
        if (event.kind == EVENT_ORDER)
            event.order = (struct order){.customer_id = names[1],
                                         .currency = VIEW_LITERAL("EUR"),
                                         .amount = 8,
                                         .items = {items, 2}};
        else
            event.request = (struct request){.customer_ids = {names, 6}, .count = 5};
        recommend_apply(recommend, &event, &context, outbox);
        if (event.kind == EVENT_ORDER)
            recommend_tick(recommend, time_ms, outbox);
        for (uint32_t k = 0; k < outbox_count(outbox); k++)
            if (outbox_at(outbox, k)->kind == RESULT_POPULARITY)
                recommend_take_popularity(recommend, outbox_at(outbox, k));
        outbox_reset(outbox);
    }
}

/* The saved state of a shop whose tenants start with that model; of none for -1. */
static void save_shop(int64_t model, struct byte_writer *image)
{
    struct recommend_options options;
    struct outbox *outbox = outbox_create();

    option_preset(&recommend_option_table, &options);
    options.bytes_max = 4 << 20;
    if (model >= 0)
        options.model = model;
    struct recommend *recommend = recommend_open(&options);
    if (model >= 0)
        run_shop(recommend, outbox);
    byte_writer_init(image);
    recommend_save(recommend, image);
    recommend_close(recommend);
    outbox_destroy(outbox);
}

/* What the input means, in `image`. */
static void make_image(const uint8_t *data, size_t size, struct byte_writer *image)
{
    enum { HEAD_BYTES = 6, MODELS_MAX = 16 };
    static struct byte_writer shops[MODELS_MAX], empty;
    int64_t model_count = 0;

    while (recommend_model_names[model_count] != NULL)
        model_count++;
    assert(model_count <= MODELS_MAX);
    if (empty.size == 0)
        save_shop(-1, &empty);
    byte_writer_init(image);
    if (size == 0 || data[0] == 0 || data[0] > model_count) {
        byte_put(image, empty.data, HEAD_BYTES);
        byte_put(image, data + (size > 0), size - (size > 0));
        return;
    }
    struct byte_writer *shop = &shops[data[0] - 1];
    if (shop->size == 0)
        save_shop(data[0] - 1, shop);
    byte_put(image, shop->data, shop->size);
    for (size_t i = 1; i + 4 <= size; i += 4) {
        const size_t offset = (size_t)data[i] << 16 | (size_t)data[i + 1] << 8 | data[i + 2];
        ((char *)image->data)[HEAD_BYTES + offset % (image->size - HEAD_BYTES)] = (char)data[i + 3];
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct recommend_options options;
    struct failure failure;
    struct byte_writer given, image;

    option_preset(&recommend_option_table, &options);
    options.bytes_max = 4 << 20;
    make_image(data, size, &given);
    struct byte_reader in = byte_reader_of(given.data, given.size);
    struct recommend *recommend = recommend_load(&options, &in, &failure);
    if (recommend == NULL) {
        byte_writer_free(&given);
        return 0;
    }
    byte_writer_init(&image);
    recommend_save(recommend, &image);
    struct byte_reader again = byte_reader_of(image.data, image.size);
    struct recommend *twin = recommend_load(&options, &again, &failure);
    assert(twin != NULL);
    assert(recommend_digest(twin) == recommend_digest(recommend));
    struct outbox *outbox = outbox_create();
    go_on(recommend, outbox);
    recommend_close(twin);
    recommend_close(recommend);
    outbox_destroy(outbox);
    byte_writer_free(&image);
    byte_writer_free(&given);
    return 0;
}
