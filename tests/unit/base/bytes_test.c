#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/bytes.h"
#include "base/hash.h"

static struct byte_writer writer;

static int begin(void **state)
{
    (void)state;
    byte_writer_init(&writer);
    return 0;
}

static int end(void **state)
{
    (void)state;
    byte_writer_free(&writer);
    return 0;
}

static void test_what_is_put_is_taken(void **state)
{
    (void)state;
    byte_put_u8(&writer, 0xFE);
    byte_put_u16(&writer, 0xFEDC);
    byte_put_u32(&writer, 0xFEDCBA98);
    byte_put_u64(&writer, UINT64_MAX - 1);
    byte_put_i64(&writer, INT64_MIN);
    byte_put_float(&writer, -0.1f);
    byte_put_double(&writer, -0.1);
    byte_put_view(&writer, view_of("text"));
    byte_put_view(&writer, view_of(""));
    byte_put_view(&writer, view_of(NULL));

    struct byte_reader reader = byte_reader_of(writer.data, writer.size);
    assert_int_equal(byte_take_u8(&reader), 0xFE);
    assert_int_equal(byte_take_u16(&reader), 0xFEDC);
    assert_int_equal(byte_take_u32(&reader), 0xFEDCBA98);
    assert_true(byte_take_u64(&reader) == UINT64_MAX - 1);
    assert_true(byte_take_i64(&reader) == INT64_MIN);
    assert_true(byte_take_float(&reader) == -0.1f);
    assert_true(byte_take_double(&reader) == -0.1);
    assert_true(view_is_text(byte_take_view(&reader), "text"));
    assert_true(view_is_equal(byte_take_view(&reader), view_of("")));
    assert_true(view_is_absent(byte_take_view(&reader)));
    assert_false(reader.broken);
    assert_int_equal(byte_reader_left(&reader), 0);
}

static void test_numbers_have_a_bound(void **state)
{
    (void)state;
    byte_put_varint(&writer, 300);
    byte_put_varint(&writer, 301);
    byte_put_varint(&writer, UINT64_MAX);

    struct byte_reader reader = byte_reader_of(writer.data, writer.size);
    assert_int_equal(byte_take_upto(&reader, 300), 300);
    assert_int_equal(byte_take_upto(&reader, 300), 0);
    assert_true(reader.broken);
    assert_int_equal(byte_reader_left(&reader), 0);
    reader = byte_reader_of(writer.data + 4, writer.size - 4);
    assert_int_equal(byte_take_upto(&reader, UINT32_MAX), 0);
    assert_true(reader.broken);
}

static void test_integers_are_little_endian(void **state)
{
    (void)state;
    byte_put_u32(&writer, 0x04030201);
    byte_put_u16(&writer, 0x0605);
    assert_memory_equal(writer.data, "\1\2\3\4\5\6", 6);
}

static void test_varints(void **state)
{
    static const uint64_t values[] = {0,          1,        127,           128,
                                      16383,      16384,    UINT32_MAX,    (uint64_t)INT64_MAX,
                                      UINT64_MAX, 1u << 21, (1u << 21) - 1};
    static const int64_t signed_values[] = {0, -1, 1, -64, 64, INT64_MIN, INT64_MAX};

    (void)state;
    for (size_t index = 0; index < sizeof values / sizeof values[0]; index++)
        byte_put_varint(&writer, values[index]);
    for (size_t index = 0; index < sizeof signed_values / sizeof signed_values[0]; index++)
        byte_put_svarint(&writer, signed_values[index]);
    struct byte_reader reader = byte_reader_of(writer.data, writer.size);
    for (size_t index = 0; index < sizeof values / sizeof values[0]; index++)
        assert_true(byte_take_varint(&reader) == values[index]);
    for (size_t index = 0; index < sizeof signed_values / sizeof signed_values[0]; index++)
        assert_true(byte_take_svarint(&reader) == signed_values[index]);
    assert_false(reader.broken);

    byte_writer_reset(&writer);
    byte_put_svarint(&writer, -65); /* as Avro writes it */
    assert_int_equal(writer.size, 2);
    assert_memory_equal(writer.data, "\x81\x01", 2);
}

static void test_a_varint_of_more_than_64_bits_is_broken(void **state)
{
    static const char too_long[] = "\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01";
    static const char too_large[] = "\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x02";
    struct byte_reader reader = byte_reader_of(too_long, 11);

    (void)state;
    assert_int_equal(byte_take_varint(&reader), 0);
    assert_true(reader.broken);
    reader = byte_reader_of(too_large, 10);
    assert_int_equal(byte_take_varint(&reader), 0);
    assert_true(reader.broken);
    reader = byte_reader_of("\x80", 1);
    assert_int_equal(byte_take_varint(&reader), 0);
    assert_true(reader.broken);
}

static void test_a_broken_reader_stays_broken(void **state)
{
    struct byte_reader reader = byte_reader_of("\1\2\3\4\5", 5);

    (void)state;
    assert_int_equal(byte_take_u8(&reader), 1);
    assert_int_equal(byte_take_u64(&reader), 0);
    assert_true(reader.broken);
    assert_int_equal(byte_take_u8(&reader), 0);
    assert_int_equal(byte_take_varint(&reader), 0);
    assert_true(view_is_absent(byte_take_view(&reader)));
    assert_null(byte_take(&reader, 0));
    assert_true(reader.broken);
}

static void test_an_empty_reader(void **state)
{
    struct byte_reader reader = byte_reader_of(NULL, 0);

    (void)state;
    assert_non_null(byte_take(&reader, 0));
    assert_false(reader.broken);
    assert_null(byte_take(&reader, 1));
    assert_true(reader.broken);
}

static void test_a_view_longer_than_its_bytes_is_broken(void **state)
{
    struct byte_reader reader;

    (void)state;
    byte_put_varint(&writer, UINT64_MAX);
    byte_put(&writer, "abc", 3);
    reader = byte_reader_of(writer.data, writer.size);
    assert_true(view_is_absent(byte_take_view(&reader)));
    assert_true(reader.broken);
}

static void test_a_count_must_fit(void **state)
{
    struct byte_reader reader = byte_reader_of("\3abcdef", 7);

    (void)state;
    assert_int_equal(byte_take_count(&reader, 2), 3);
    assert_false(reader.broken);
    reader = byte_reader_of("\3abcde", 6);
    assert_int_equal(byte_take_count(&reader, 2), 0);
    assert_true(reader.broken);
    reader = byte_reader_of("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF\x01", 10);
    assert_int_equal(byte_take_count(&reader, 1), 0);
    assert_true(reader.broken);
}

static void test_print_grows(void **state)
{
    (void)state;
    byte_print(&writer, "%s=%d;", "a", 1);
    byte_print(&writer, "%0500d", 7);
    assert_int_equal(writer.size, 504);
    assert_memory_equal(writer.data, "a=1;000", 7);
    assert_int_equal(byte_writer_view(&writer).size, 504);
    byte_writer_free(&writer);
    assert_non_null(byte_writer_view(&writer).data);
}

static const char *printed(double value)
{
    byte_writer_reset(&writer);
    byte_print_double(&writer, value);
    byte_put_u8(&writer, 0);
    return writer.data;
}

static void test_integers_print_in_full(void **state)
{
    (void)state;
    byte_print_int(&writer, INT64_MIN);
    byte_print_int(&writer, INT64_MAX);
    byte_print_int(&writer, 0);
    byte_print_int(&writer, -7);
    assert_true(
        view_is_text(byte_writer_view(&writer), "-922337203685477580892233720368547758070-7"));
}

static void test_doubles_print_short(void **state)
{
    (void)state;
    assert_string_equal(printed(0), "0");
    assert_string_equal(printed(-0.0), "-0");
    assert_string_equal(printed(3), "3");
    assert_string_equal(printed(-12345), "-12345");
    assert_string_equal(printed(9007199254740991), "9007199254740991");
    assert_string_equal(printed(9007199254740992), "9007199254740992");
    assert_string_equal(printed(0.1), "0.1");
    assert_string_equal(printed(-0.25), "-0.25");
    assert_string_equal(printed(0.1 + 0.2), "0.30000000000000004");
    assert_string_equal(printed(12.34), "12.34");
    assert_string_equal(printed(99999.99), "99999.99");
    assert_string_equal(printed(0.000123), "0.000123");
    assert_string_equal(printed(1e-7), "1e-07");
    assert_string_equal(printed(9e16), "9e+16");
    assert_string_equal(printed(1e22), "1e+22");
    assert_string_equal(printed(1.0 / 3), "0.3333333333333333");
    assert_string_equal(printed(5e-324), "4.94065645841247e-324");
    assert_string_equal(printed(NAN), "NaN");
    assert_string_equal(printed(INFINITY), "+Inf");
    assert_string_equal(printed(-INFINITY), "-Inf");
}

/* The quick way must print what the plain way prints. */
static void plain_print(double value, char *text, size_t size)
{
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(text, size, "%.*g", digits, value);
        if (strtod(text, NULL) == value)
            return;
    }
}

static void test_doubles_read_back_equal(void **state)
{
    char expected[40];

    (void)state;
    for (uint64_t seed = 0; seed < 200000; seed++) {
        uint64_t random = hash_mix(seed, 1);
        double value;
        if (seed % 3 == 0)
            memcpy(&value, &random, sizeof value);
        else if (seed % 3 == 1)
            value = (double)(int64_t)(random >> (seed % 60)) / 100;
        else
            value = (double)(random >> 40) / pow(10, (double)(seed % 12));
        if (!isfinite(value) || (value == rint(value) && fabs(value) < 9007199254740992.0))
            continue;
        plain_print(value, expected, sizeof expected);
        assert_string_equal(printed(value), expected);
        assert_true(strtod(printed(value), NULL) == value);
    }
}

static void test_doubles_ignore_the_locale(void **state)
{
    (void)state;
    if (setlocale(LC_ALL, "de_DE.UTF-8") == NULL)
        skip();
    assert_string_equal(printed(0.1 + 0.2), "0.30000000000000004");
    assert_string_equal(printed(0.5), "0.5");
    setlocale(LC_ALL, "C");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_what_is_put_is_taken, begin, end),
        cmocka_unit_test_setup_teardown(test_numbers_have_a_bound, begin, end),
        cmocka_unit_test_setup_teardown(test_integers_are_little_endian, begin, end),
        cmocka_unit_test_setup_teardown(test_varints, begin, end),
        cmocka_unit_test(test_a_varint_of_more_than_64_bits_is_broken),
        cmocka_unit_test(test_a_broken_reader_stays_broken),
        cmocka_unit_test(test_an_empty_reader),
        cmocka_unit_test_setup_teardown(test_a_view_longer_than_its_bytes_is_broken, begin, end),
        cmocka_unit_test(test_a_count_must_fit),
        cmocka_unit_test_setup_teardown(test_print_grows, begin, end),
        cmocka_unit_test_setup_teardown(test_integers_print_in_full, begin, end),
        cmocka_unit_test_setup_teardown(test_doubles_print_short, begin, end),
        cmocka_unit_test_setup_teardown(test_doubles_read_back_equal, begin, end),
        cmocka_unit_test_setup_teardown(test_doubles_ignore_the_locale, begin, end),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
