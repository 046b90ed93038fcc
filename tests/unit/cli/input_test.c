#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zstd.h>

#include "base/bytes.h"
#include "cli/input.h"
#include "codec/schema_text.h"

enum { LINE_BYTES_MAX = 512, SINGLE_OBJECT_HEAD_BYTES = 10 };

static char path[] = "/tmp/weir-input-XXXXXX";
static struct codec *codec;

static int create(void **state)
{
    struct codec_options options;
    int file = mkstemp(path);

    (void)state;
    close(file);
    option_preset(&codec_option_table, &options);
    return file < 0 || codec_create(&options, &codec, NULL) != STATUS_OK ? -1 : 0;
}

static int destroy(void **state)
{
    (void)state;
    codec_destroy(codec);
    return unlink(path);
}

static void write_file(const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void write_text(const char *text)
{
    write_file(text, strlen(text));
}

static struct input *open_input(void)
{
    struct input *input;
    struct failure failure;

    if (input_open(path, EVENT_ORDER, codec, LINE_BYTES_MAX, &input, &failure) != STATUS_OK)
        fail_msg("%s", failure.text);
    return input;
}

static void assert_event(struct input *input, const char *id, uint64_t number)
{
    struct failure failure;
    struct event event;

    if (input_next(input, &event, &failure) != STATUS_OK)
        fail_msg("%s", failure.text);
    assert_true(view_is_text(event.id, id));
    assert_int_equal(input_number(input), number);
}

static void assert_bad(struct input *input, const char *reason, uint64_t number)
{
    struct failure failure;
    struct event event;

    assert_int_equal(input_next(input, &event, &failure), STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_SET_ASIDE);
    assert_int_equal(input_number(input), number);
    if (strstr(failure.text, reason) == NULL)
        fail_msg("'%s' does not say '%s'", failure.text, reason);
}

static void assert_end(struct input *input)
{
    struct failure failure;
    struct event event;

    assert_int_equal(input_next(input, &event, &failure), STATUS_END);
    input_close(input);
}

#define ORDER(id)                                                                                  \
    "{\"event_id\":\"" id "\",\"tenant_id\":\"t\",\"order_id\":\"1\",\"customer_id\":null,"        \
    "\"amount\":1.5,\"currency\":\"EUR\",\"event_time\":1700000000000}"

static void test_lines(void **state)
{
    struct input *input;

    (void)state;
    write_text("\xEF\xBB\xBF" ORDER("a") "\r\n\n  \n" ORDER("b") "\n{\"event_id\":7}\n" ORDER("c"));
    input = open_input();
    assert_string_equal(input_unit(input), "line");
    assert_event(input, "a", 1);
    assert_event(input, "b", 4);
    assert_bad(input, "event_id", 5);
    assert_event(input, "c", 6);
    assert_end(input);
    write_text("");
    assert_end(open_input());
    write_text("\n\n");
    assert_end(open_input());
}

static void test_lines_that_are_too_long(void **state)
{
    enum { LONG = 5 << 20 };
    char *text = malloc(2 * LONG + 4096);
    struct input *input;
    size_t size;

    (void)state;
    assert_non_null(text);
    size = (size_t)sprintf(text, "%s\n", ORDER("a"));
    memset(text + size, 'x', LONG);
    size += LONG;
    size += (size_t)sprintf(text + size, "\n%s\n", ORDER("b"));
    memset(text + size, '{', LINE_BYTES_MAX + 1);
    size += LINE_BYTES_MAX + 1;
    size += (size_t)sprintf(text + size, "\n%s\n", ORDER("c"));
    memset(text + size, 'y', LONG);
    size += LONG;
    write_file(text, size);
    input = open_input();
    assert_event(input, "a", 1);
    assert_bad(input, "longer than 512 bytes", 2);
    assert_event(input, "b", 3);
    assert_bad(input, "longer than 512 bytes", 4);
    assert_event(input, "c", 5);
    assert_bad(input, "longer than 512 bytes", 6);
    assert_end(input);
    free(text);
}

/* ---- containers ---- */

static void put_text(struct byte_writer *out, const char *text)
{
    byte_put_svarint(out, (int64_t)strlen(text));
    byte_put(out, text, strlen(text));
}

static const char *order_schema(void)
{
    for (const struct schema_text *at = schema_texts; at->name != NULL; at++)
        if (strcmp(at->name, "order") == 0)
            return at->text;
    return NULL;
}

/* An Avro object container of `count` orders, in blocks of ten. */
static void put_container(struct byte_writer *out, uint32_t count)
{
    static const char sync[] = "0123456789abcdef";
    struct byte_writer block;
    struct failure failure;
    char id[16];

    byte_writer_init(&block);
    byte_put(out, "Obj\1", 4);
    byte_put_svarint(out, 1);
    put_text(out, "avro.schema");
    put_text(out, order_schema());
    byte_put_svarint(out, 0);
    byte_put(out, sync, 16);
    for (uint32_t i = 0; i < count; i += 10) {
        byte_writer_reset(&block);
        for (uint32_t k = i; k < i + 10; k++) {
            struct event event = {.kind = EVENT_ORDER, .tenant_id = VIEW_LITERAL("t")};
            struct byte_writer body;
            byte_writer_init(&body);
            snprintf(id, sizeof id, "o%u", k);
            event.id = view_of(id);
            event.event_time_ms = INT64_C(1700000000000);
            event.order.order_id = event.id;
            event.order.currency = VIEW_LITERAL("EUR");
            event.present = (UINT64_C(1) << event_shape(EVENT_ORDER)->field_count) - 1;
            event.order.customer_id = event.id;
            event.order.ip = event.order.country = event.order.payment_method =
                event.order.recommendation_id = event.id;
            assert_int_equal(
                codec_encode_event(codec, CODEC_AVRO_SINGLE_OBJECT, &event, &body, &failure),
                STATUS_OK);
            byte_put(&block, body.data + SINGLE_OBJECT_HEAD_BYTES,
                     body.size - SINGLE_OBJECT_HEAD_BYTES);
            byte_writer_free(&body);
        }
        byte_put_svarint(out, 10);
        byte_put_svarint(out, (int64_t)block.size);
        byte_put(out, block.data, block.size);
        byte_put(out, sync, 16);
    }
    byte_writer_free(&block);
}

static void assert_orders(uint32_t count)
{
    struct input *input = open_input();
    char id[16];

    assert_string_equal(input_unit(input), "record");
    for (uint32_t i = 0; i < count; i++) {
        snprintf(id, sizeof id, "o%u", i);
        assert_event(input, id, i + 1);
    }
    assert_end(input);
}

static void test_containers_plain_and_packed(void **state)
{
    enum { COUNT = 20000 };
    struct byte_writer container, packed;
    size_t bound;

    (void)state;
    byte_writer_init(&container);
    byte_writer_init(&packed);
    put_container(&container, COUNT);
    write_file(container.data, container.size);
    assert_orders(COUNT);
    bound = ZSTD_compressBound(container.size);
    packed.size = ZSTD_compress(byte_writer_reserve(&packed, bound), bound, container.data,
                                container.size, 3);
    write_file(packed.data, packed.size);
    assert_orders(COUNT);
    byte_writer_free(&container);
    byte_writer_free(&packed);
}

/* The events before the damage are good; then nothing more. */
static void test_container_that_is_cut_off(void **state)
{
    struct byte_writer container;
    struct failure failure;
    struct input *input;
    struct event event;
    uint32_t good = 0;
    enum status status;

    (void)state;
    byte_writer_init(&container);
    put_container(&container, 100);
    write_file(container.data, container.size - 20);
    input = open_input();
    while ((status = input_next(input, &event, &failure)) == STATUS_OK)
        good++;
    assert_int_equal(status, STATUS_BROKEN);
    assert_int_equal(failure.remedy, REMEDY_STOP);
    assert_in_range(good, 90, 99);
    input_close(input);
    write_file(container.data, 30);
    assert_int_equal(input_open(path, EVENT_ORDER, codec, LINE_BYTES_MAX, &input, &failure),
                     STATUS_BROKEN);
    assert_null(input);
    byte_writer_free(&container);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_lines_that_are_too_long),
        cmocka_unit_test(test_containers_plain_and_packed),
        cmocka_unit_test(test_container_that_is_cut_off),
    };

    return cmocka_run_group_tests(tests, create, destroy);
}
