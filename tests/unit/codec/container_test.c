/* Avro container files, as avro-c writes them, and damaged ones. */
#include "codec/container.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <avro.h>
#include <zstd.h>

#include "codec/schema_text.h"

enum { EVENTS = 5000 };

struct bytes {
    const char *data;
    size_t size, at, portion;
};

struct world {
    struct codec *codec;
    struct arena *arena;
    struct byte_writer file;
    struct event event;
    struct codec_reason reason;
    struct failure failure;
};

static int open_world(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    struct codec_options options;

    option_preset(&codec_option_table, &options);
    assert_int_equal(codec_create(&options, &world->codec, &world->failure), STATUS_OK);
    world->arena = arena_create(65536);
    byte_writer_init(&world->file);
    *state = world;
    return 0;
}

static int close_world(void **state)
{
    struct world *world = *state;

    codec_destroy(world->codec);
    arena_destroy(world->arena);
    byte_writer_free(&world->file);
    free(world);
    return 0;
}

static enum status read_bytes(void *context, char *to, size_t size, size_t *got,
                              struct failure *failure)
{
    struct bytes *bytes = context;

    (void)failure;
    *got = bytes->size - bytes->at;
    if (*got > bytes->portion)
        *got = bytes->portion;
    if (*got > size)
        *got = size;
    memcpy(to, bytes->data + bytes->at, *got);
    bytes->at += *got;
    return *got > 0 ? STATUS_OK : STATUS_END;
}

static const char *schema_named(const char *name)
{
    for (const struct schema_text *text = schema_texts; text->name != NULL; text++)
        if (strcmp(text->name, name) == 0)
            return text->text;
    return NULL;
}

/* Auth events with ids e0, e1, ...; every hundredth has an empty id, which is no id. */
static void fill(avro_value_t *value, int number)
{
    avro_value_t field, branch;
    char id[32] = "";

    if (number % 100 != 99)
        snprintf(id, sizeof id, "e%d", number);
    avro_value_get_by_name(value, "event_id", &field, NULL);
    avro_value_set_string(&field, id);
    avro_value_get_by_name(value, "tenant_id", &field, NULL);
    avro_value_set_string(&field, "t");
    avro_value_get_by_name(value, "user_id", &field, NULL);
    avro_value_set_branch(&field, number % 2, &branch);
    if (number % 2)
        avro_value_set_string(&branch, "u");
    avro_value_get_by_name(value, "outcome", &field, NULL);
    avro_value_set_enum(&field, number % 2);
    avro_value_get_by_name(value, "event_time", &field, NULL);
    avro_value_set_long(&field, number);
    static const char *const absent[] = {"reason", "ip", "country", "user_agent", "method"};
    for (size_t i = 0; i < sizeof absent / sizeof absent[0]; i++) {
        avro_value_get_by_name(value, absent[i], &field, NULL);
        avro_value_set_branch(&field, 0, &branch);
    }
}

static void write_with_avro_c(const char *path, const char *codec)
{
    const char *text = schema_named("auth_event");
    avro_file_writer_t writer;
    avro_schema_t schema;
    avro_value_t value;

    assert_int_equal(avro_schema_from_json_length(text, strlen(text), &schema), 0);
    avro_value_iface_t *generic = avro_generic_class_from_schema(schema);
    avro_generic_value_new(generic, &value);
    if (avro_file_writer_create_with_codec(path, schema, &writer, codec, 4096) != 0)
        fail_msg("%s", avro_strerror());
    for (int i = 0; i < EVENTS; i++) {
        avro_value_reset(&value);
        fill(&value, i);
        assert_int_equal(avro_file_writer_append_value(writer, &value), 0);
    }
    assert_int_equal(avro_file_writer_close(writer), 0);
    avro_value_decref(&value);
    avro_value_iface_decref(generic);
    avro_schema_decref(schema);
}

/* Reads to the end and checks every event. */
static void check_events(struct world *world, struct codec_container *container)
{
    int number = 0, refused = 0;

    for (;; number++) {
        char id[32];
        arena_reset(world->arena);
        const enum status status = codec_container_next(container, world->arena, &world->event,
                                                        &world->reason, &world->failure);
        if (status == STATUS_END)
            break;
        if (number % 100 == 99) {
            assert_int_equal(status, STATUS_BROKEN);
            assert_int_equal(world->failure.remedy, REMEDY_SET_ASIDE);
            assert_string_equal(world->reason.field, "event_id");
            refused++;
            continue;
        }
        if (status != STATUS_OK)
            fail_msg("%s", world->failure.text);
        snprintf(id, sizeof id, "e%d", number);
        assert_true(view_is_text(world->event.id, id));
        assert_int_equal(world->event.kind, EVENT_AUTH);
        assert_int_equal(world->event.event_time_ms, number);
        assert_int_equal(world->event.auth.outcome, number % 2);
        assert_int_equal(view_is_absent(world->event.auth.user_id), number % 2 == 0);
    }
    assert_int_equal(number, EVENTS);
    assert_int_equal(refused, EVENTS / 100);
}

static enum status read_file(void *context, char *to, size_t size, size_t *got,
                             struct failure *failure)
{
    (void)failure;
    *got = fread(to, 1, size, context);
    return *got > 0 ? STATUS_OK : STATUS_END;
}

static void test_what_avro_c_writes(void **state)
{
    static const char *const codecs[] = {"null", "deflate"};
    struct world *world = *state;

    for (size_t i = 0; i < 2; i++) {
        char path[] = "/tmp/weir-container-XXXXXX";
        struct codec_container *container;
        const int file = mkstemp(path);
        assert_true(file >= 0);
        close(file);
        assert_int_equal(unlink(path), 0); /* avro-c insists on making it */
        write_with_avro_c(path, codecs[i]);
        FILE *written = fopen(path, "rb");
        assert_non_null(written);
        if (codec_container_open(world->codec, EVENT_AUTH, read_file, written, &container,
                                 &world->failure) != STATUS_OK)
            fail_msg("%s", world->failure.text);
        check_events(world, container);
        codec_container_close(container);
        fclose(written);
        unlink(path);
    }
}

/* ---- by hand ------------------------------------------------------------------- */

static void put_text(struct byte_writer *out, const void *data, size_t size)
{
    byte_put_svarint(out, (int64_t)size);
    byte_put(out, data, size);
}

static void put_head(struct byte_writer *out, const char *schema, const char *codec)
{
    byte_put(out, "Obj\x01", 4);
    byte_put_svarint(out, 3);
    put_text(out, "avro.schema", 11);
    put_text(out, schema, strlen(schema));
    put_text(out, "avro.codec", 10);
    put_text(out, codec, strlen(codec));
    put_text(out, "made.by", 7);
    put_text(out, "hand", 4);
    byte_put_u8(out, 0);
    byte_put(out, "0123456789abcdef", 16);
}

static void put_datum(struct byte_writer *out, int number)
{
    char id[32];

    snprintf(id, sizeof id, "e%d", number);
    put_text(out, number % 100 == 99 ? "" : id, number % 100 == 99 ? 0 : strlen(id));
    put_text(out, "t", 1);
    byte_put_u8(out, number % 2 ? 2 : 0);
    if (number % 2)
        put_text(out, "u", 1);
    byte_put_u8(out, (uint8_t)(number % 2 * 2));
    byte_put_svarint(out, number);
    byte_put(out, "\0\0\0\0\0", 5);
}

static void put_block(struct byte_writer *out, int from, int count, bool is_packed)
{
    struct byte_writer data;

    byte_writer_init(&data);
    for (int i = 0; i < count; i++)
        put_datum(&data, from + i);
    byte_put_svarint(out, count);
    if (is_packed) {
        char *packed = malloc(ZSTD_compressBound(data.size));
        const size_t size =
            ZSTD_compress(packed, ZSTD_compressBound(data.size), data.data, data.size, 3);
        assert_false(ZSTD_isError(size));
        put_text(out, packed, size);
        free(packed);
    } else {
        put_text(out, data.data, data.size);
    }
    byte_put(out, "0123456789abcdef", 16);
    byte_writer_free(&data);
}

static enum status open_bytes(struct world *world, struct bytes *bytes,
                              struct codec_container **container)
{
    return codec_container_open(world->codec, EVENT_AUTH, read_bytes, bytes, container,
                                &world->failure);
}

static void test_zstandard_in_small_portions(void **state)
{
    struct world *world = *state;
    static const size_t portions[] = {1, 7, 100000};

    put_head(&world->file, schema_named("auth_event"), "zstandard");
    for (int at = 0; at < EVENTS; at += 1000)
        put_block(&world->file, at, 1000, true);
    for (size_t i = 0; i < 3; i++) {
        struct bytes bytes = {world->file.data, world->file.size, 0, portions[i]};
        struct codec_container *container;
        assert_int_equal(open_bytes(world, &bytes, &container), STATUS_OK);
        check_events(world, container);
        codec_container_close(container);
    }
}

/* Reads all that there is; how it ended. */
static enum status read_all(struct world *world, struct bytes *bytes)
{
    struct codec_container *container;
    enum status status = open_bytes(world, bytes, &container);

    if (status != STATUS_OK)
        return status;
    do {
        arena_reset(world->arena);
        status = codec_container_next(container, world->arena, &world->event, &world->reason,
                                      &world->failure);
    } while (status == STATUS_OK ||
             (status == STATUS_BROKEN && world->failure.remedy == REMEDY_SET_ASIDE));
    codec_container_close(container);
    return status;
}

static void test_every_cut_is_noticed(void **state)
{
    struct world *world = *state;

    put_head(&world->file, schema_named("auth_event"), "null");
    const size_t head = world->file.size;
    put_block(&world->file, 0, 3, false);
    const size_t block = world->file.size;
    put_block(&world->file, 3, 3, false);
    for (size_t cut = 0; cut <= world->file.size; cut++) {
        struct bytes bytes = {world->file.data, cut, 0, 4096};
        const enum status status = read_all(world, &bytes);
        if (cut == head || cut == block || cut == world->file.size) {
            assert_int_equal(status, STATUS_END);
        } else {
            assert_int_equal(status, STATUS_BROKEN);
            assert_int_equal(world->failure.remedy, REMEDY_STOP);
        }
    }
}

static void test_damage_ends_the_file(void **state)
{
    struct world *world = *state;
    struct bytes bytes = {.portion = 4096};

    /* a sync marker */
    put_head(&world->file, schema_named("auth_event"), "null");
    put_block(&world->file, 0, 3, false);
    world->file.data[world->file.size - 1] ^= 1;
    bytes = (struct bytes){world->file.data, world->file.size, 0, 4096};
    assert_int_equal(read_all(world, &bytes), STATUS_BROKEN);
    assert_non_null(strstr(world->failure.text, "sync marker"));

    /* a codec that nobody knows */
    byte_writer_reset(&world->file);
    put_head(&world->file, schema_named("auth_event"), "snappy");
    bytes = (struct bytes){world->file.data, world->file.size, 0, 4096};
    assert_int_equal(read_all(world, &bytes), STATUS_BROKEN);
    assert_non_null(strstr(world->failure.text, "codec"));

    /* a schema of something else */
    byte_writer_reset(&world->file);
    put_head(&world->file, schema_named("order"), "null");
    bytes = (struct bytes){world->file.data, world->file.size, 0, 4096};
    assert_int_equal(read_all(world, &bytes), STATUS_BROKEN);
    assert_non_null(strstr(world->failure.text, "outcome"));

    /* a block that does not unpack */
    byte_writer_reset(&world->file);
    put_head(&world->file, schema_named("auth_event"), "deflate");
    put_block(&world->file, 0, 3, false);
    bytes = (struct bytes){world->file.data, world->file.size, 0, 4096};
    assert_int_equal(read_all(world, &bytes), STATUS_BROKEN);
    assert_int_equal(world->failure.remedy, REMEDY_STOP);

    /* more data than bytes */
    byte_writer_reset(&world->file);
    put_head(&world->file, schema_named("auth_event"), "null");
    byte_put_svarint(&world->file, INT64_MAX);
    put_text(&world->file, "x", 1);
    byte_put(&world->file, "0123456789abcdef", 16);
    bytes = (struct bytes){world->file.data, world->file.size, 0, 4096};
    assert_int_equal(read_all(world, &bytes), STATUS_BROKEN);
    assert_non_null(strstr(world->failure.text, "more data than bytes"));

    bytes = (struct bytes){"hello, world", 12, 0, 4096};
    assert_int_equal(read_all(world, &bytes), STATUS_BROKEN);
    assert_non_null(strstr(world->failure.text, "Obj 1"));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_what_avro_c_writes),
        TEST(test_zstandard_in_small_portions),
        TEST(test_every_cut_is_noticed),
        TEST(test_damage_ends_the_file),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
