#ifndef PIPELINE_SNAPSHOT_H
#define PIPELINE_SNAPSHOT_H
/*
 * snapshot.h - the bytes of a saved machine: chunks, and the manifest that closes them.
 *
 *   partition p of the snapshot topic, compacted
 *     key "p/SLOT/0"         chunk 0 of a generation
 *     key "p/SLOT/1"         chunk 1
 *     ...
 *     key "p/SLOT/manifest"  last: without it the chunks are nothing
 *
 * Two slots take turns, so that compaction keeps the two newest generations and a
 * torn one never harms the good one before it. A chunk says whose it is: when a
 * zombie writes between ours, its chunks do not count as ours.
 *
 *   chunk     'C' version(1) generation(8) index(4) zstd frame... crc32c(4)
 *   manifest  'M' version(1) fields... crc32c(4)
 *
 * Threads  none: plain functions
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "event/topic.h"
#include "pipeline/single.h"

enum {
    SNAPSHOT_SLOT_COUNT = 2,
    SNAPSHOT_KEY_BYTES = 48,
    SNAPSHOT_CHUNK_HEAD_BYTES = 14,
    SNAPSHOT_CHUNK_RAW_BYTES_MAX = 8 << 20, /* more in one chunk is not a chunk of ours */
};

struct snapshot_manifest {
    uint64_t generation; /* tells the chunks of this snapshot from all others */
    uint32_t slot;
    uint32_t chunk_count;
    uint64_t raw_bytes;       /* of the saved engine */
    uint64_t stored_bytes;    /* of its chunks */
    uint64_t raw_hash;        /* of the chunks' raw bytes, in order */
    uint64_t epoch, sequence; /* of the journal record whose state this is */
    int64_t journal_floor;    /* no journal record after `sequence` stands before this offset */
    int64_t chunks_from;      /* offset in the snapshot topic at or before chunk 0 */
    int64_t taken_ms;         /* wall clock */
    int64_t tick_ms;          /* last tick of the engine; INT64_MIN: none */
    int64_t single_positions[SINGLE_COUNT];
    int64_t positions[TOPIC_INPUT_COUNT]; /* next to process; POSITION_NONE: none */
    int32_t partition_count;
    uint64_t config_digest;
    uint64_t engine_digest;
};

/* `out` has room for SNAPSHOT_KEY_BYTES. chunk -1: the manifest. */
struct view snapshot_key(char *out, int32_t partition, uint32_t slot, int64_t chunk);

/* Appends a chunk with `raw` compressed. level: zstd's. */
void snapshot_encode_chunk(uint64_t generation, uint32_t index, struct view raw, int level,
                           struct byte_writer *out);
/* Appends the raw bytes to `raw`. STATUS_BROKEN, REMEDY_SET_ASIDE: corrupt. */
enum status snapshot_decode_chunk(struct view value, uint64_t *generation, uint32_t *index,
                                  struct byte_writer *raw, struct failure *failure);
/* Whose chunk it is, without reading the rest. False: no chunk. */
bool snapshot_peek_chunk(struct view value, uint64_t *generation, uint32_t *index);
uint64_t snapshot_hash(uint64_t hash, struct view raw);

void snapshot_encode_manifest(const struct snapshot_manifest *manifest, struct byte_writer *out);
bool snapshot_is_manifest(struct view value);
/* STATUS_BROKEN, REMEDY_SET_ASIDE: corrupt, or of a version that is not read here. */
enum status snapshot_decode_manifest(struct view value, struct snapshot_manifest *manifest,
                                     struct failure *failure);
#endif
