#include "pipeline/snapshot.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <zstd.h>

#include "base/hash.h"
#include "event/transport.h"
#include "pipeline/journal.h"

enum {
    SNAPSHOT_VERSION = 1,
    CHUNK_MARK = 'C',
    MANIFEST_MARK = 'M',
    CHECKSUM_BYTES = 4,
    MARK_BYTES = 2,
};

struct view snapshot_key(char *out, int32_t partition, uint32_t slot, int64_t chunk)
{
    int size;

    if (chunk < 0)
        size =
            snprintf(out, SNAPSHOT_KEY_BYTES, "%" PRId32 "/%" PRIu32 "/manifest", partition, slot);
    else
        size = snprintf(out, SNAPSHOT_KEY_BYTES, "%" PRId32 "/%" PRIu32 "/%" PRId64, partition,
                        slot, chunk);
    assert(size > 0 && size < SNAPSHOT_KEY_BYTES);
    return (struct view){out, (uint32_t)size};
}

static void seal(struct byte_writer *out, size_t start)
{
    byte_put_u32(out, hash_crc32c(out->data + start, out->size - start));
}

/* The bytes between mark and checksum, or false. */
static bool unseal(struct view value, char mark, struct byte_reader *inside)
{
    struct byte_reader trailer;

    if (value.size < MARK_BYTES + CHECKSUM_BYTES || value.data[0] != mark)
        return false;
    trailer = byte_reader_of(value.data + value.size - CHECKSUM_BYTES, CHECKSUM_BYTES);
    if (byte_take_u32(&trailer) != hash_crc32c(value.data, value.size - CHECKSUM_BYTES))
        return false;
    *inside = byte_reader_of(value.data + 1, value.size - 1 - CHECKSUM_BYTES);
    return true;
}

void snapshot_encode_chunk(uint64_t generation, uint32_t index, struct view raw, int level,
                           struct byte_writer *out)
{
    size_t start = out->size;
    size_t bound = ZSTD_compressBound(raw.size);
    size_t size;

    byte_put_u8(out, CHUNK_MARK);
    byte_put_u8(out, SNAPSHOT_VERSION);
    byte_put_u64(out, generation);
    byte_put_u32(out, index);
    size = ZSTD_compress(byte_writer_reserve(out, bound), bound, raw.data, raw.size, level);
    assert(!ZSTD_isError(size));
    out->size += size;
    seal(out, start);
}

bool snapshot_peek_chunk(struct view value, uint64_t *generation, uint32_t *index)
{
    struct byte_reader head;

    if (value.size < SNAPSHOT_CHUNK_HEAD_BYTES || value.data[0] != CHUNK_MARK)
        return false;
    head = byte_reader_of(value.data + MARK_BYTES, SNAPSHOT_CHUNK_HEAD_BYTES - MARK_BYTES);
    *generation = byte_take_u64(&head);
    *index = byte_take_u32(&head);
    return true;
}

enum status snapshot_decode_chunk(struct view value, uint64_t *generation, uint32_t *index,
                                  struct byte_writer *raw, struct failure *failure)
{
    struct byte_reader inside;
    uint8_t version;
    unsigned long long raw_bytes;
    size_t size;

    if (!unseal(value, CHUNK_MARK, &inside))
        return failure_set(failure, REMEDY_SET_ASIDE, "chunk with a wrong checksum");
    version = byte_take_u8(&inside);
    if (version != SNAPSHOT_VERSION)
        return failure_set(failure, REMEDY_SET_ASIDE,
                           "chunk of version %u; this program reads version %d", version,
                           SNAPSHOT_VERSION);
    *generation = byte_take_u64(&inside);
    *index = byte_take_u32(&inside);
    if (inside.broken)
        return failure_set(failure, REMEDY_SET_ASIDE, "chunk cut short");
    raw_bytes = ZSTD_getFrameContentSize(inside.at, byte_reader_left(&inside));
    if (raw_bytes == ZSTD_CONTENTSIZE_UNKNOWN || raw_bytes == ZSTD_CONTENTSIZE_ERROR ||
        raw_bytes > SNAPSHOT_CHUNK_RAW_BYTES_MAX)
        return failure_set(failure, REMEDY_SET_ASIDE, "chunk that is not compressed by us");
    size = ZSTD_decompress(byte_writer_reserve(raw, raw_bytes), raw_bytes, inside.at,
                           byte_reader_left(&inside));
    if (ZSTD_isError(size) || size != raw_bytes)
        return failure_set(failure, REMEDY_SET_ASIDE, "chunk that does not decompress");
    raw->size += size;
    return STATUS_OK;
}

uint64_t snapshot_hash(uint64_t hash, struct view raw)
{
    return hash_mix(hash, hash_view(raw, raw.size));
}

void snapshot_encode_manifest(const struct snapshot_manifest *manifest, struct byte_writer *out)
{
    size_t start = out->size;
    int64_t shared = manifest->single_positions[SINGLE_POPULARITY];
    uint32_t position_count = shared > 0;

    byte_put_u8(out, MANIFEST_MARK);
    byte_put_u8(out, SNAPSHOT_VERSION);
    byte_put_u64(out, manifest->generation);
    byte_put_varint(out, manifest->slot);
    byte_put_varint(out, manifest->chunk_count);
    byte_put_varint(out, manifest->raw_bytes);
    byte_put_varint(out, manifest->stored_bytes);
    byte_put_u64(out, manifest->raw_hash);
    byte_put_varint(out, manifest->epoch);
    byte_put_varint(out, manifest->sequence);
    byte_put_svarint(out, manifest->journal_floor);
    byte_put_svarint(out, manifest->chunks_from);
    byte_put_svarint(out, manifest->taken_ms);
    byte_put_svarint(out, manifest->tick_ms);
    byte_put_svarint(out, manifest->single_positions[SINGLE_COMMANDS]);
    byte_put_varint(out, (uint64_t)manifest->partition_count);
    byte_put_u64(out, manifest->config_digest);
    byte_put_u64(out, manifest->engine_digest);
    for (int i = 0; i < TOPIC_INPUT_COUNT; i++)
        position_count += manifest->positions[i] >= 0;
    byte_put_varint(out, position_count);
    for (int i = 0; i < TOPIC_INPUT_COUNT; i++) {
        if (manifest->positions[i] < 0)
            continue;
        byte_put_u8(out, journal_topic_code((enum topic)i));
        byte_put_varint(out, (uint64_t)manifest->positions[i]);
    }
    if (shared > 0) {
        byte_put_u8(out, journal_topic_code(TOPIC_POPULARITY));
        byte_put_varint(out, (uint64_t)shared);
    }
    seal(out, start);
}

bool snapshot_is_manifest(struct view value)
{
    return value.size > 0 && value.data[0] == MANIFEST_MARK;
}

static bool take_positions(struct byte_reader *inside, struct snapshot_manifest *manifest)
{
    uint64_t count = byte_take_count(inside, 2);

    for (int i = 0; i < TOPIC_INPUT_COUNT; i++)
        manifest->positions[i] = POSITION_NONE;
    for (uint64_t i = 0; i < count; i++) {
        enum topic topic = journal_topic_of_code(byte_take_u8(inside));
        uint64_t position = byte_take_varint(inside);

        if (position > INT64_MAX)
            return false;
        if (topic == TOPIC_POPULARITY)
            manifest->single_positions[SINGLE_POPULARITY] = (int64_t)position;
        else if ((int)topic < TOPIC_INPUT_COUNT)
            manifest->positions[topic] = (int64_t)position;
        else
            return false;
    }
    return true;
}

enum status snapshot_decode_manifest(struct view value, struct snapshot_manifest *manifest,
                                     struct failure *failure)
{
    struct byte_reader inside;
    uint8_t version;
    uint64_t slot, chunk_count, partition_count;

    *manifest = (struct snapshot_manifest){0};
    if (!unseal(value, MANIFEST_MARK, &inside))
        return failure_set(failure, REMEDY_SET_ASIDE, "manifest with a wrong checksum");
    version = byte_take_u8(&inside);
    if (version != SNAPSHOT_VERSION)
        return failure_set(failure, REMEDY_SET_ASIDE,
                           "manifest of version %u; this program reads version %d", version,
                           SNAPSHOT_VERSION);
    manifest->generation = byte_take_u64(&inside);
    slot = byte_take_varint(&inside);
    chunk_count = byte_take_varint(&inside);
    manifest->raw_bytes = byte_take_varint(&inside);
    manifest->stored_bytes = byte_take_varint(&inside);
    manifest->raw_hash = byte_take_u64(&inside);
    manifest->epoch = byte_take_varint(&inside);
    manifest->sequence = byte_take_varint(&inside);
    manifest->journal_floor = byte_take_svarint(&inside);
    manifest->chunks_from = byte_take_svarint(&inside);
    manifest->taken_ms = byte_take_svarint(&inside);
    manifest->tick_ms = byte_take_svarint(&inside);
    manifest->single_positions[SINGLE_COMMANDS] = byte_take_svarint(&inside);
    partition_count = byte_take_varint(&inside);
    manifest->config_digest = byte_take_u64(&inside);
    manifest->engine_digest = byte_take_u64(&inside);
    if (!take_positions(&inside, manifest) || inside.broken || byte_reader_left(&inside) > 0 ||
        slot >= SNAPSHOT_SLOT_COUNT || chunk_count > UINT32_MAX || partition_count > INT32_MAX)
        return failure_set(failure, REMEDY_SET_ASIDE, "manifest with broken contents");
    manifest->slot = (uint32_t)slot;
    manifest->chunk_count = (uint32_t)chunk_count;
    manifest->partition_count = (int32_t)partition_count;
    return STATUS_OK;
}
