#include "pipeline/snapshot_reader.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "pipeline/tap.h"

enum { WINDOW_FIRST = 2, WINDOW_FACTOR = 8, BATCH_RECORDS = 16 };

enum reader_phase {
    READER_BOUND,
    READER_OPEN,
    READER_SEARCH,
    READER_OPEN_CHUNKS,
    READER_CHUNKS,
    READER_FOUND
};

struct snapshot_reader {
    const struct transport *transport;
    int32_t partition;
    enum reader_phase phase;
    struct tap tap;
    int64_t first;
    int64_t end;  /* search below this offset */
    int64_t from; /* where the present window begins */
    int64_t window;
    bool has_candidate;
    int64_t candidate_offset;
    struct snapshot_manifest candidate;
    uint32_t chunk_next;
    uint64_t raw_hash;
    struct byte_writer raw;
    uint32_t refused_count;
    uint32_t chunk_counts[SNAPSHOT_SLOT_COUNT];
};

struct snapshot_reader *snapshot_reader_create(const struct transport *transport, int32_t partition)
{
    struct snapshot_reader *reader = calloc(1, sizeof(*reader));

    if (reader == NULL)
        abort();
    reader->transport = transport;
    reader->partition = partition;
    byte_writer_init(&reader->raw);
    return reader;
}

void snapshot_reader_destroy(struct snapshot_reader *reader)
{
    if (reader == NULL)
        return;
    tap_close(&reader->tap);
    byte_writer_free(&reader->raw);
    free(reader);
}

const struct snapshot_manifest *snapshot_reader_manifest(const struct snapshot_reader *reader)
{
    assert(reader->phase == READER_FOUND);
    return &reader->candidate;
}

struct byte_reader snapshot_reader_image(const struct snapshot_reader *reader)
{
    return byte_reader_of(reader->raw.data, reader->raw.size);
}

void snapshot_reader_release(struct snapshot_reader *reader)
{
    byte_writer_free(&reader->raw);
    byte_writer_init(&reader->raw);
}

bool snapshot_reader_is_found(const struct snapshot_reader *reader)
{
    return reader->phase == READER_FOUND;
}

uint32_t snapshot_reader_refused_count(const struct snapshot_reader *reader)
{
    return reader->refused_count;
}

uint32_t snapshot_reader_chunk_count(const struct snapshot_reader *reader, uint32_t slot)
{
    return reader->chunk_counts[slot];
}

static void search_below(struct snapshot_reader *reader, int64_t end)
{
    tap_close(&reader->tap);
    reader->end = end;
    reader->window = WINDOW_FIRST;
    reader->from = end;
    reader->has_candidate = false;
    reader->phase = READER_OPEN;
}

void snapshot_reader_refuse(struct snapshot_reader *reader)
{
    reader->refused_count++;
    search_below(reader, reader->candidate_offset);
}

static enum status refuse(struct snapshot_reader *reader, struct failure *failure,
                          const char *reason)
{
    uint64_t sequence = reader->candidate.sequence;

    snapshot_reader_refuse(reader);
    return failure_set(failure, REMEDY_SET_ASIDE,
                       "snapshot of partition %" PRId32 " at journal record %" PRIu64 ": %s",
                       reader->partition, sequence, reason);
}

/* The next window further back; windows grow, so that all of them together read
 * little more than the last. */
static enum status open_window(struct snapshot_reader *reader, struct failure *failure)
{
    enum status status;

    if (reader->from <= reader->first)
        return STATUS_ABSENT;
    reader->end = reader->from;
    reader->from =
        reader->end - reader->window > reader->first ? reader->end - reader->window : reader->first;
    status = tap_open(&reader->tap, reader->transport, TOPIC_SNAPSHOTS, reader->partition,
                      reader->from, BATCH_RECORDS, failure);
    if (status != STATUS_OK) {
        reader->from = reader->end; /* the same window again */
        return status;
    }
    reader->window *= WINDOW_FACTOR;
    reader->phase = READER_SEARCH;
    return STATUS_OK;
}

static void consider(struct snapshot_reader *reader, const struct record *record)
{
    struct snapshot_manifest manifest;
    struct failure failure;

    if (!snapshot_is_manifest(record->value))
        return;
    reader->candidate_offset = record->offset;
    reader->has_candidate = true;
    if (snapshot_decode_manifest(record->value, &manifest, &failure) != STATUS_OK) {
        reader->candidate = (struct snapshot_manifest){0};
        return;
    }
    reader->candidate = manifest;
    reader->chunk_counts[manifest.slot] = manifest.chunk_count;
}

/* The last manifest of the window is the newest. */
static enum status search(struct snapshot_reader *reader, int64_t timeout_ms,
                          struct failure *failure)
{
    const struct record *record;
    enum status status = tap_peek(&reader->tap, timeout_ms, &record, failure);

    if (status == STATUS_OK && record->offset < reader->end) {
        consider(reader, record);
        tap_skip(&reader->tap);
        return STATUS_OK;
    }
    if (status != STATUS_OK && status != STATUS_END)
        return status;
    tap_close(&reader->tap);
    if (!reader->has_candidate) {
        reader->phase = READER_OPEN;
        return STATUS_OK;
    }
    if (reader->candidate.generation == 0)
        return refuse(reader, failure, "its manifest cannot be read");
    reader->phase = READER_OPEN_CHUNKS;
    return STATUS_OK;
}

static enum status open_chunks(struct snapshot_reader *reader, struct failure *failure)
{
    enum status status =
        tap_open(&reader->tap, reader->transport, TOPIC_SNAPSHOTS, reader->partition,
                 reader->candidate.chunks_from, BATCH_RECORDS, failure);

    if (status != STATUS_OK)
        return status;
    reader->chunk_next = 0;
    reader->raw_hash = 0;
    byte_writer_reset(&reader->raw);
    reader->phase = READER_CHUNKS;
    return STATUS_OK;
}

static enum status read_chunk(struct snapshot_reader *reader, struct view value,
                              struct failure *failure)
{
    uint64_t generation;
    uint32_t index;
    size_t start = reader->raw.size;
    struct failure reason;

    if (!snapshot_peek_chunk(value, &generation, &index) ||
        generation != reader->candidate.generation || index < reader->chunk_next)
        return STATUS_OK; /* another generation's, or delivered twice */
    if (index > reader->chunk_next) {
        char text[64];

        snprintf(text, sizeof(text), "chunk %" PRIu32 " is missing", reader->chunk_next);
        return refuse(reader, failure, text);
    }
    if (snapshot_decode_chunk(value, &generation, &index, &reader->raw, &reason) != STATUS_OK)
        return refuse(reader, failure, reason.text);
    reader->raw_hash =
        snapshot_hash(reader->raw_hash, (struct view){reader->raw.data + start,
                                                      (uint32_t)(reader->raw.size - start)});
    reader->chunk_next++;
    return STATUS_OK;
}

static enum status read_chunks(struct snapshot_reader *reader, int64_t timeout_ms,
                               struct failure *failure)
{
    const struct record *record;
    enum status status;

    if (reader->chunk_next < reader->candidate.chunk_count) {
        status = tap_peek(&reader->tap, timeout_ms, &record, failure);
        if (status == STATUS_END ||
            (status == STATUS_OK && record->offset >= reader->candidate_offset))
            return refuse(reader, failure, "chunks are missing");
        if (status != STATUS_OK)
            return status;
        status = read_chunk(reader, record->value, failure);
        if (status == STATUS_OK)
            tap_skip(&reader->tap);
        return status;
    }
    if (reader->raw.size != reader->candidate.raw_bytes ||
        reader->raw_hash != reader->candidate.raw_hash)
        return refuse(reader, failure, "its chunks do not add up");
    tap_close(&reader->tap);
    reader->phase = READER_FOUND;
    return STATUS_OK;
}

enum status snapshot_reader_step(struct snapshot_reader *reader, int64_t timeout_ms,
                                 struct failure *failure)
{
    int64_t next;
    enum status status = STATUS_OK;

    switch (reader->phase) {
    case READER_BOUND:
        status = reader->transport->door->bounds(reader->transport->context, TOPIC_SNAPSHOTS,
                                                 reader->partition, &reader->first, &next, failure);
        if (status == STATUS_OK)
            search_below(reader, next);
        break;
    case READER_OPEN:
        status = open_window(reader, failure);
        break;
    case READER_SEARCH:
        status = search(reader, timeout_ms, failure);
        break;
    case READER_OPEN_CHUNKS:
        status = open_chunks(reader, failure);
        break;
    case READER_CHUNKS:
        status = read_chunks(reader, timeout_ms, failure);
        break;
    case READER_FOUND:
        break;
    }
    return status;
}
