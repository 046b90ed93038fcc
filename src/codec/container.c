/*
 * Two buffers: `packed` holds what was read and not yet used, `block` the data of the
 * block being read. With codec null the block is moved out of the way like any other,
 * so that texts stay where they are while more is read.
 *
 * A datum with a bad value ends the program halfway. To find the next one, a second
 * program for a shape without fields runs over it and only skips.
 */
#include "codec/container.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "codec/inside.h"

enum { SYNC_BYTES = 16, MAGIC_BYTES = 4, READ_BYTES = 65536 };

static const char magic[MAGIC_BYTES] = {'O', 'b', 'j', 1};

static const struct shape nothing = {.name = "nothing", .bytes = sizeof(uint64_t)};

enum packing { PACKING_NULL, PACKING_DEFLATE, PACKING_ZSTANDARD };

struct codec_container {
    enum event_kind kind;
    codec_read_fn *read;
    void *context;

    char *packed; /* [start, end) is read and not yet used */
    size_t start, end, capacity;

    struct arena *arena; /* schema and programs */
    const struct program *program, *skipper;
    enum packing packing;
    char sync[SYNC_BYTES];

    struct byte_writer block;
    const char *at;     /* the next datum */
    uint64_t data_left; /* in this block */
};

bool codec_container_is_head(const void *data, size_t size)
{
    return size >= MAGIC_BYTES && memcmp(data, magic, MAGIC_BYTES) == 0;
}

static enum status damaged(struct failure *failure, const char *what)
{
    return failure_set(failure, REMEDY_STOP, "Avro container: %s", what);
}

/* ---- bytes --------------------------------------------------------------------- */

/* Makes `size` bytes available at packed + start. STATUS_END: the source ends before. */
static enum status need(struct codec_container *container, size_t size, struct failure *failure)
{
    enum status status;
    size_t got;

    while (container->end - container->start < size) {
        const size_t left = container->end - container->start;
        memmove(container->packed, container->packed + container->start, left);
        container->start = 0;
        container->end = left;
        /* Grows with what really comes: a corrupt size alone takes no memory. */
        if (container->capacity - left < READ_BYTES) {
            container->capacity = container->capacity * 2 + READ_BYTES;
            container->packed = realloc(container->packed, container->capacity);
            if (container->packed == NULL)
                abort();
        }
        status = container->read(container->context, container->packed + left,
                                 container->capacity - left, &got, failure);
        if (status != STATUS_OK)
            return status;
        container->end += got;
    }
    return STATUS_OK;
}

static enum status need_or_damaged(struct codec_container *container, size_t size,
                                   struct failure *failure)
{
    const enum status status = need(container, size, failure);

    return status == STATUS_END ? damaged(failure, "it is cut off") : status;
}

/* A zig-zag varint. STATUS_END: not a byte is left. */
static enum status take_long(struct codec_container *container, int64_t *value,
                             struct failure *failure)
{
    uint64_t sum = 0;

    for (uint32_t shift = 0; shift < 70; shift += 7) {
        const enum status status =
            shift == 0 ? need(container, 1, failure) : need_or_damaged(container, 1, failure);
        if (status != STATUS_OK)
            return status;
        const uint8_t byte = (uint8_t)container->packed[container->start++];
        if (shift < 63 || byte <= 1)
            sum |= (uint64_t)(byte & 0x7F) << shift;
        else
            break;
        if (byte < 0x80) {
            *value = (int64_t)(sum >> 1) ^ -(int64_t)(sum & 1);
            return STATUS_OK;
        }
    }
    return damaged(failure, "expected a number");
}

/* A length and that many bytes; they stay until the next byte is needed. */
static enum status take_bytes(struct codec_container *container, size_t bytes_max,
                              struct view *bytes, struct failure *failure)
{
    int64_t size;
    enum status status = take_long(container, &size, failure);

    if (status == STATUS_END || (status == STATUS_OK && (size < 0 || (size_t)size > bytes_max)))
        return damaged(failure, "expected a size");
    if (status != STATUS_OK)
        return status;
    status = need_or_damaged(container, (size_t)size, failure);
    if (status != STATUS_OK)
        return status;
    *bytes = (struct view){size > 0 ? container->packed + container->start : "", (uint32_t)size};
    container->start += (size_t)size;
    return STATUS_OK;
}

/* ---- the head ------------------------------------------------------------------ */

static enum status set_packing(struct codec_container *container, struct view name,
                               struct failure *failure)
{
    if (view_is_text(name, "null"))
        container->packing = PACKING_NULL;
    else if (view_is_text(name, "deflate"))
        container->packing = PACKING_DEFLATE;
    else if (view_is_text(name, "zstandard"))
        container->packing = PACKING_ZSTANDARD;
    else
        return damaged(failure, "its codec is none of null, deflate and zstandard");
    return STATUS_OK;
}

static enum status set_schema(struct codec_container *container, const struct layout *layout,
                              struct view text, struct failure *failure)
{
    const struct layout *skipping = layout_create(&nothing, container->arena);
    const struct schema *schema;
    struct codec_reason reason;
    struct failure why;

    if (schema_parse(text, container->arena, &schema, &why) != STATUS_OK)
        return failure_set(failure, REMEDY_STOP, "Avro container: %.300s", why.text);
    if (program_compile(layout, schema, container->arena, &container->program, &reason) !=
            CODEC_OK ||
        program_compile(skipping, schema, container->arena, &container->skipper, &reason) !=
            CODEC_OK)
        return failure_set(failure, REMEDY_STOP, "Avro container: %s", reason.text);
    return STATUS_OK;
}

static enum status take_entry(struct codec_container *container, const struct layout *layout,
                              struct failure *failure)
{
    struct view key, value;
    char name[16];
    enum status status = take_bytes(container, CONTAINER_HEAD_BYTES_MAX, &key, failure);

    if (status != STATUS_OK)
        return status;
    /* Reading the value may move the key. */
    snprintf(name, sizeof name, "%.*s", VIEW_PRINT(key));
    status = take_bytes(container, CONTAINER_HEAD_BYTES_MAX, &value, failure);
    if (status != STATUS_OK)
        return status;
    if (strcmp(name, "avro.codec") == 0)
        return set_packing(container, value, failure);
    if (strcmp(name, "avro.schema") == 0 && container->program == NULL)
        return set_schema(container, layout, value, failure);
    return STATUS_OK;
}

static enum status take_head(struct codec_container *container, const struct layout *layout,
                             struct failure *failure)
{
    int64_t count, unused;
    enum status status = need(container, MAGIC_BYTES, failure);

    if (status == STATUS_END ||
        (status == STATUS_OK &&
         !codec_container_is_head(container->packed + container->start, MAGIC_BYTES)))
        return damaged(failure, "expected Obj 1");
    if (status != STATUS_OK)
        return status;
    container->start += MAGIC_BYTES;
    for (;;) {
        status = take_long(container, &count, failure);
        if (status == STATUS_OK && count < 0)
            status = take_long(container, &unused, failure);
        if (status != STATUS_OK)
            return status == STATUS_END ? damaged(failure, "it is cut off") : status;
        if (count == 0)
            break;
        /* An entry takes bytes, so that a corrupt count ends with the file. */
        for (; count != 0; count += count < 0 ? 1 : -1) {
            status = take_entry(container, layout, failure);
            if (status != STATUS_OK)
                return status;
        }
    }
    if (container->program == NULL)
        return damaged(failure, "it has no schema");
    status = need_or_damaged(container, SYNC_BYTES, failure);
    if (status != STATUS_OK)
        return status;
    memcpy(container->sync, container->packed + container->start, SYNC_BYTES);
    container->start += SYNC_BYTES;
    return STATUS_OK;
}

enum status codec_container_open(struct codec *codec, enum event_kind kind, codec_read_fn *read,
                                 void *context, struct codec_container **container,
                                 struct failure *failure)
{
    struct codec_container *made = calloc(1, sizeof *made);

    if (made == NULL)
        abort();
    made->kind = kind;
    made->read = read;
    made->context = context;
    made->arena = arena_create(16384);
    made->capacity = READ_BYTES;
    made->packed = malloc(made->capacity);
    if (made->packed == NULL)
        abort();
    byte_writer_init(&made->block);
    const enum status status = take_head(made, codec_layout(codec, kind), failure);
    if (status != STATUS_OK) {
        codec_container_close(made);
        return status;
    }
    *container = made;
    return STATUS_OK;
}

void codec_container_close(struct codec_container *container)
{
    if (container == NULL)
        return;
    arena_destroy(container->arena);
    byte_writer_free(&container->block);
    free(container->packed);
    free(container);
}

/* ---- blocks -------------------------------------------------------------------- */

static enum status inflate_block(struct view packed, struct byte_writer *block,
                                 struct failure *failure)
{
    z_stream stream = {0};
    int code = inflateInit2(&stream, -MAX_WBITS); /* no header: RFC 1951 alone */

    assert(code == Z_OK);
    /* zlib does not write to its input; its type is older than const. */
    stream.next_in = (Bytef *)(uintptr_t)packed.data;
    stream.avail_in = packed.size;
    while (code == Z_OK && block->size <= CONTAINER_BLOCK_BYTES_MAX) {
        stream.next_out = (Bytef *)byte_writer_reserve(block, READ_BYTES);
        stream.avail_out = READ_BYTES;
        code = inflate(&stream, Z_NO_FLUSH);
        block->size += READ_BYTES - stream.avail_out;
    }
    inflateEnd(&stream);
    return code == Z_STREAM_END ? STATUS_OK : damaged(failure, "a deflated block is damaged");
}

static enum status expand_block(struct view packed, struct byte_writer *block,
                                struct failure *failure)
{
    ZSTD_DStream *stream = ZSTD_createDStream();
    ZSTD_inBuffer in = {packed.data, packed.size, 0};
    size_t code = 1;

    if (stream == NULL)
        abort();
    while (code != 0 && block->size <= CONTAINER_BLOCK_BYTES_MAX) {
        ZSTD_outBuffer out = {byte_writer_reserve(block, READ_BYTES), READ_BYTES, 0};
        code = ZSTD_decompressStream(stream, &out, &in);
        if (ZSTD_isError(code))
            break;
        block->size += out.pos;
        if (out.pos < out.size && in.pos == in.size)
            break; /* all that comes out of it, whole or not */
    }
    ZSTD_freeDStream(stream);
    return code == 0 ? STATUS_OK : damaged(failure, "a zstandard block is damaged");
}

static enum status unpack_block(struct codec_container *container, struct view packed,
                                struct failure *failure)
{
    byte_writer_reset(&container->block);
    switch (container->packing) {
    case PACKING_NULL:
        byte_put(&container->block, packed.data, packed.size);
        return STATUS_OK;
    case PACKING_DEFLATE:
        return inflate_block(packed, &container->block, failure);
    case PACKING_ZSTANDARD:
        return expand_block(packed, &container->block, failure);
    }
    return STATUS_BROKEN;
}

static enum status next_block(struct codec_container *container, struct failure *failure)
{
    struct view packed = {NULL, 0};
    int64_t count;
    enum status status = take_long(container, &count, failure);

    if (status != STATUS_OK)
        return status;
    if (count < 0)
        return damaged(failure, "expected the number of data in a block");
    status = take_bytes(container, CONTAINER_BLOCK_BYTES_MAX, &packed, failure);
    if (status == STATUS_OK)
        status = unpack_block(container, packed, failure);
    if (status == STATUS_OK)
        status = need_or_damaged(container, SYNC_BYTES, failure);
    if (status != STATUS_OK)
        return status;
    if (memcmp(container->packed + container->start, container->sync, SYNC_BYTES) != 0)
        return damaged(failure, "a block does not end with the sync marker");
    container->start += SYNC_BYTES;
    /* An event takes bytes: some of its fields are required. */
    if ((uint64_t)count > container->block.size)
        return damaged(failure, "a block has more data than bytes");
    container->at = byte_writer_view(&container->block).data;
    container->data_left = (uint64_t)count;
    return STATUS_OK;
}

/* Goes past the datum that was refused. */
static enum status skip_datum(struct codec_container *container, const char *end,
                              struct arena *arena, const struct codec_reason *reason,
                              struct failure *failure)
{
    uint64_t unused;
    struct codec_reason why;

    if (program_run(container->skipper, container->at, &container->at, end, arena, &unused, &why) !=
        CODEC_OK) {
        container->data_left = 0;
        return damaged(failure, why.text);
    }
    return failure_set(failure, REMEDY_SET_ASIDE, "%s", reason->text);
}

enum status codec_container_next(struct codec_container *container, struct arena *arena,
                                 struct event *event, struct codec_reason *reason,
                                 struct failure *failure)
{
    const struct byte_writer *block = &container->block;

    reason->error = CODEC_OK;
    while (container->data_left == 0) {
        if (block->size > 0 && container->at != block->data + block->size)
            return damaged(failure, "a block is longer than its data");
        const enum status status = next_block(container, failure);
        if (status != STATUS_OK)
            return status;
    }
    container->data_left--;
    const char *const end = block->data + block->size;
    if (program_run(container->program, container->at, &container->at, end, arena, event, reason) !=
        CODEC_OK)
        return skip_datum(container, end, arena, reason, failure);
    if (codec_finish_event(container->kind, event, reason) != CODEC_OK)
        return failure_set(failure, REMEDY_SET_ASIDE, "%s", reason->text);
    return STATUS_OK;
}
