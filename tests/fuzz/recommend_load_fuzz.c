/* Saved recommendations: they load into a sound state that goes on, or are refused. */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>

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

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct recommend_options options;
    struct byte_reader in = byte_reader_of(data, size);
    struct failure failure;
    struct byte_writer image;

    option_preset(&recommend_option_table, &options);
    options.bytes_max = 4 << 20;
    struct recommend *recommend = recommend_load(&options, &in, &failure);
    if (recommend == NULL)
        return 0;
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
    return 0;
}
