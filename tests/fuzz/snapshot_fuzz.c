/*
 * Chunks and manifests of any bytes: refused, or read.
 */
#include <stddef.h>
#include <stdint.h>

#include "base/hash.h"
#include "pipeline/snapshot.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_both(struct view value)
{
    struct snapshot_manifest manifest;
    struct byte_writer raw;
    struct failure failure;
    uint64_t generation;
    uint32_t index;

    byte_writer_init(&raw);
    snapshot_is_manifest(value);
    snapshot_decode_manifest(value, &manifest, &failure);
    snapshot_peek_chunk(value, &generation, &index);
    snapshot_decode_chunk(value, &generation, &index, &raw, &failure);
    byte_writer_free(&raw);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct byte_writer sealed;

    if (size > UINT32_MAX)
        return 0;
    read_both((struct view){(const char *)data, (uint32_t)size});
    /* Past the checksum, which chance never guesses. */
    byte_writer_init(&sealed);
    byte_put(&sealed, data, size);
    byte_put_u32(&sealed, hash_crc32c(data, size));
    read_both(byte_writer_view(&sealed));
    byte_writer_free(&sealed);
    return 0;
}
