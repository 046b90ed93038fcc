#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include "base/bytes.h"
#include "base/hash.h"
#include "cli/unpack.h"

enum { TEXT_BYTES = 3 << 20 };

static char path[] = "/tmp/weir-unpack-XXXXXX";
static char *text; /* TEXT_BYTES of something that packs, but not to nothing */

static int create_text(void **state)
{
    int file = mkstemp(path);

    (void)state;
    text = malloc(TEXT_BYTES);
    if (file < 0 || text == NULL)
        return -1;
    close(file);
    for (uint64_t i = 0; i < TEXT_BYTES; i++)
        text[i] = (char)('a' + hash_mix(i / 3, 0) % 26);
    return 0;
}

static int remove_text(void **state)
{
    (void)state;
    free(text);
    return unlink(path);
}

static void write_file(const void *data, size_t size)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(data, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void put_gzip(struct byte_writer *out, const char *data, size_t size)
{
    z_stream stream = {0};
    size_t bound;

    assert_int_equal(deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY), Z_OK);
    bound = deflateBound(&stream, size);
    stream.next_in = (unsigned char *)(uintptr_t)data;
    stream.avail_in = (uInt)size;
    stream.next_out = (unsigned char *)byte_writer_reserve(out, bound);
    stream.avail_out = (uInt)bound;
    assert_int_equal(deflate(&stream, Z_FINISH), Z_STREAM_END);
    out->size += stream.total_out;
    deflateEnd(&stream);
}

static void put_zstd(struct byte_writer *out, const char *data, size_t size)
{
    size_t bound = ZSTD_compressBound(size);
    size_t packed = ZSTD_compress(byte_writer_reserve(out, bound), bound, data, size, 3);

    assert_false(ZSTD_isError(packed));
    out->size += packed;
}

/* Reads the file to its end in steps of `step`; returns what unpack_read said last. */
static enum status read_file(size_t step, struct byte_writer *out, struct failure *failure)
{
    struct unpack *unpack;
    enum status status = unpack_open(path, &unpack, failure);
    size_t got;

    byte_writer_reset(out);
    while (status == STATUS_OK) {
        status = unpack_read(unpack, byte_writer_reserve(out, step), step, &got, failure);
        out->size += got;
        if (status == STATUS_OK)
            assert_true(got > 0);
    }
    unpack_close(unpack);
    return status;
}

static void assert_reads(const char *expected, size_t size)
{
    static const size_t steps[] = {4093, 1 << 16, 5 << 20};
    struct byte_writer out;
    struct failure failure;

    byte_writer_init(&out);
    for (size_t i = 0; i < sizeof steps / sizeof steps[0]; i++) {
        assert_int_equal(read_file(steps[i], &out, &failure), STATUS_END);
        assert_int_equal(out.size, size);
        if (size > 0)
            assert_memory_equal(out.data, expected, size);
    }
    byte_writer_free(&out);
}

static void test_plain(void **state)
{
    (void)state;
    write_file(text, TEXT_BYTES);
    assert_reads(text, TEXT_BYTES);
    write_file(text, 1);
    assert_reads(text, 1);
    write_file("", 0);
    assert_reads("", 0);
}

static void test_packed(void **state)
{
    struct byte_writer packed;

    (void)state;
    byte_writer_init(&packed);
    put_gzip(&packed, text, TEXT_BYTES);
    write_file(packed.data, packed.size);
    assert_reads(text, TEXT_BYTES);
    byte_writer_reset(&packed);
    put_zstd(&packed, text, TEXT_BYTES);
    write_file(packed.data, packed.size);
    assert_reads(text, TEXT_BYTES);
    byte_writer_free(&packed);
}

static void test_several_packed_files_are_one(void **state)
{
    static void (*const put[])(struct byte_writer *, const char *, size_t) = {put_gzip, put_zstd};
    enum { FIRST = 1000003, SECOND = 17 };
    struct byte_writer packed;

    (void)state;
    byte_writer_init(&packed);
    for (int i = 0; i < 2; i++) {
        byte_writer_reset(&packed);
        put[i](&packed, text, FIRST);
        put[i](&packed, text, 0);
        put[i](&packed, text + FIRST, SECOND);
        put[i](&packed, text + FIRST + SECOND, TEXT_BYTES - FIRST - SECOND);
        write_file(packed.data, packed.size);
        assert_reads(text, TEXT_BYTES);
    }
    byte_writer_free(&packed);
}

/* What came before the damage is given, then the reason, again and again. */
static void test_cut_off(void **state)
{
    static void (*const put[])(struct byte_writer *, const char *, size_t) = {put_gzip, put_zstd};
    struct byte_writer packed, out;
    struct failure failure;

    (void)state;
    byte_writer_init(&packed);
    byte_writer_init(&out);
    for (int i = 0; i < 2; i++) {
        byte_writer_reset(&packed);
        put[i](&packed, text, TEXT_BYTES);
        for (size_t size = 5; size < packed.size; size += packed.size / 37) {
            write_file(packed.data, size);
            failure.text[0] = '\0';
            assert_int_equal(read_file(1 << 16, &out, &failure), STATUS_BROKEN);
            assert_non_null(strstr(failure.text, "cut off"));
            assert_true(out.size < TEXT_BYTES);
            if (out.size > 0)
                assert_memory_equal(out.data, text, out.size);
        }
    }
    byte_writer_free(&packed);
    byte_writer_free(&out);
}

static void test_damaged(void **state)
{
    static void (*const put[])(struct byte_writer *, const char *, size_t) = {put_gzip, put_zstd};
    struct byte_writer packed, out;
    struct failure failure;

    (void)state;
    byte_writer_init(&packed);
    byte_writer_init(&out);
    for (int i = 0; i < 2; i++) {
        byte_writer_reset(&packed);
        put[i](&packed, text, TEXT_BYTES);
        byte_print(&packed, "neither the one nor the other");
        write_file(packed.data, packed.size);
        assert_int_equal(read_file(1 << 16, &out, &failure), STATUS_BROKEN);
        assert_non_null(strstr(failure.text, "damaged"));
        assert_int_equal(out.size, TEXT_BYTES);
        assert_memory_equal(out.data, text, TEXT_BYTES);
    }
    byte_writer_free(&packed);
    byte_writer_free(&out);
}

static void test_missing(void **state)
{
    struct unpack *unpack;
    struct failure failure;

    (void)state;
    assert_int_equal(unpack_open("/nonexistent/file", &unpack, &failure), STATUS_BROKEN);
    assert_null(unpack);
    assert_string_equal(failure.text, "No such file or directory");
    assert_int_equal(unpack_open("/tmp", &unpack, &failure), STATUS_BROKEN);
    assert_string_equal(failure.text, "Is a directory");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_plain),
        cmocka_unit_test(test_packed),
        cmocka_unit_test(test_several_packed_files_are_one),
        cmocka_unit_test(test_cut_off),
        cmocka_unit_test(test_damaged),
        cmocka_unit_test(test_missing),
    };

    return cmocka_run_group_tests(tests, create_text, remove_text);
}
