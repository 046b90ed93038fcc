#ifndef PIPELINE_SNAPSHOT_READER_H
#define PIPELINE_SNAPSHOT_READER_H
/*
 * snapshot_reader.h - finds the newest good snapshot of a partition, in slices.
 *
 * A manifest is the last record of its generation, so the search begins at the end
 * of the partition and widens backwards. A generation that cannot be read is
 * reported and the one before it tried.
 *
 * Memory   the saved engine, until snapshot_reader_destroy
 * Threads  one owner, that of the transport
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "event/transport.h"
#include "pipeline/snapshot.h"

struct snapshot_reader;

struct snapshot_reader *snapshot_reader_create(const struct transport *transport,
                                               int32_t partition);
void snapshot_reader_destroy(struct snapshot_reader *reader);

/* One small piece of work. STATUS_OK: done, look whether it is found. STATUS_AGAIN:
 * nothing came in time. STATUS_ABSENT: there is no (other) good one. STATUS_BROKEN,
 * REMEDY_SET_ASIDE: a generation was refused, the text says why; go on. Otherwise as the transport.
 */
enum status snapshot_reader_step(struct snapshot_reader *reader, int64_t timeout_ms,
                                 struct failure *failure);
bool snapshot_reader_is_found(const struct snapshot_reader *reader);
/* Of the snapshot found. */
const struct snapshot_manifest *snapshot_reader_manifest(const struct snapshot_reader *reader);
struct byte_reader snapshot_reader_image(const struct snapshot_reader *reader);
/* Gives the memory of the image back. */
void snapshot_reader_release(struct snapshot_reader *reader);
/* The one found is of no use: look for an older one. */
void snapshot_reader_refuse(struct snapshot_reader *reader);
/* Manifests met and generations refused so far. */
uint32_t snapshot_reader_refused_count(const struct snapshot_reader *reader);
/* Chunks last seen in a slot, for whoever overwrites it; 0: not known. */
uint32_t snapshot_reader_chunk_count(const struct snapshot_reader *reader, uint32_t slot);
#endif
