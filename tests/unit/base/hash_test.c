#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "base/hash.h"

/* From Kafka's UtilsTest.testMurmur2. */
static void test_murmur2_is_that_of_kafka(void **state)
{
    static const struct {
        const char *text;
        int32_t hash;
    } cases[] = {
        {"21", -973932308},
        {"foobar", -790332482},
        {"a-little-bit-long-string", -985981536},
        {"a-little-bit-longer-string", -1486304829},
        {"lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971},
        {"abc", 479470107},
    };

    (void)state;
    for (size_t index = 0; index < sizeof cases / sizeof cases[0]; index++)
        assert_int_equal((int32_t)hash_murmur2(cases[index].text, strlen(cases[index].text)),
                         cases[index].hash);
}

static void test_partition_drops_the_sign(void **state)
{
    (void)state;
    assert_int_equal(hash_partition(view_of("21"), 12), (-973932308 & 0x7fffffff) % 12);
    assert_int_equal(hash_partition(view_of("abc"), 12), 479470107 % 12);
    assert_int_equal(hash_partition(view_of("anything"), 1), 0);
    assert_true(hash_partition(view_of(""), 7) >= 0);
}

/* The sum of "123456789" is the check value of the CRC catalogue; the others are
 * from RFC 3720, B.4. */
static void test_crc32c_vectors(void **state)
{
    char bytes[32];

    (void)state;
    assert_int_equal(hash_crc32c("123456789", 9), 0xE3069283);
    assert_int_equal(hash_crc32c("", 0), 0);
    memset(bytes, 0, sizeof bytes);
    assert_int_equal(hash_crc32c(bytes, sizeof bytes), 0x8A9136AA);
    memset(bytes, 0xFF, sizeof bytes);
    assert_int_equal(hash_crc32c(bytes, sizeof bytes), 0x62A8AB43);
    for (int index = 0; index < 32; index++)
        bytes[index] = (char)index;
    assert_int_equal(hash_crc32c(bytes, sizeof bytes), 0x46DD794E);
}

static void test_crc32c_is_the_same_without_the_instruction(void **state)
{
    char bytes[100];

    (void)state;
    for (int index = 0; index < 100; index++)
        bytes[index] = (char)(index * 151);
    for (size_t start = 0; start < 9; start++)
        for (size_t size = 0; size <= 90; size++)
            assert_int_equal(hash_crc32c(bytes + start, size),
                             hash_crc32c_portable(bytes + start, size));
}

/* Stored ids depend on these values: a change of the library must not pass unseen. */
static void test_hash_is_xxh3(void **state)
{
    (void)state;
    assert_true(hash_bytes("", 0, 0) == UINT64_C(0x2D06800538D394C2));
    assert_true(hash_view(view_of(NULL), 0) == hash_bytes("", 0, 0));
    assert_true(hash_view(view_of("abc"), 0) == UINT64_C(0x78AF5F94892F3950));
    assert_true(hash_view(view_of("abc"), 1) != hash_view(view_of("abc"), 2));
}

static void test_mix_minds_order(void **state)
{
    uint64_t ab = hash_mix(hash_mix(0, 'a'), 'b');
    uint64_t ba = hash_mix(hash_mix(0, 'b'), 'a');

    (void)state;
    assert_true(ab != ba);
    assert_true(hash_mix(0, 0) != 0);
    assert_true(hash_mix(0, 0) != hash_mix(hash_mix(0, 0), 0));
}

static void test_mix_spreads_small_words(void **state)
{
    uint32_t buckets[64] = {0};

    (void)state;
    for (uint64_t word = 0; word < 64000; word++)
        buckets[hash_mix(7, word) & 63]++;
    for (int index = 0; index < 64; index++)
        assert_in_range(buckets[index], 800, 1200);
}

/* The places move with the secret; ids and digests do not. */
static void test_places_follow_the_secret(void **state)
{
    static const char *const texts[] = {"acme", "customer", "customer-1", "customer-0000001",
                                        "customer-00000001-of-acme"};

    (void)state;
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        const struct view text = view_of(texts[i]);
        const uint64_t plain = hash_place(text, 7), id = hash_view(text, 7);
        hash_set_secret(1);
        assert_true(hash_place(text, 7) != plain);
        assert_true(hash_place(text, 7) != hash_place(text, 8));
        assert_true(hash_view(text, 7) == id);
        hash_set_secret(0);
        assert_true(hash_place(text, 7) == plain);
    }
}

/* Ids that differ in little lie in different places, evenly: the low bits are the place. */
static void test_places_are_even(void **state)
{
    enum { IDS = 64000, BUCKETS = 64 };
    static const char *const forms[] = {"t-%06u", "%08u", "customer-%06u", "%06u-customer",
                                        "customer-%06u-of-acme"};

    (void)state;
    for (size_t form = 0; form < sizeof forms / sizeof forms[0]; form++) {
        uint32_t low[BUCKETS] = {0}, high[BUCKETS] = {0};
        for (uint32_t id = 0; id < IDS; id++) {
            char text[32];
            snprintf(text, sizeof text, forms[form], id);
            const uint64_t hash = hash_place(view_of(text), form);
            low[hash % BUCKETS]++;
            high[(uint32_t)hash >> 26]++;
        }
        for (int bucket = 0; bucket < BUCKETS; bucket++) {
            assert_in_range(low[bucket], 800, 1200);
            assert_in_range(high[bucket], 800, 1200);
        }
    }
}

/* Texts of one byte over and over are told apart by how many there are. */
static void test_places_know_the_size(void **state)
{
    const char *text = "aaaaaaaaaaaaaaaaaaaaaaaa";

    (void)state;
    for (uint32_t a = 1; a <= 24; a++)
        for (uint32_t b = 1; b < a; b++)
            assert_true(hash_place((struct view){text, a}, 0) !=
                        hash_place((struct view){text, b}, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_places_follow_the_secret),
        cmocka_unit_test(test_places_are_even),
        cmocka_unit_test(test_places_know_the_size),
        cmocka_unit_test(test_murmur2_is_that_of_kafka),
        cmocka_unit_test(test_partition_drops_the_sign),
        cmocka_unit_test(test_crc32c_vectors),
        cmocka_unit_test(test_crc32c_is_the_same_without_the_instruction),
        cmocka_unit_test(test_hash_is_xxh3),
        cmocka_unit_test(test_mix_minds_order),
        cmocka_unit_test(test_mix_spreads_small_words),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
