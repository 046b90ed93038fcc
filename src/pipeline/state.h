#ifndef PIPELINE_STATE_H
#define PIPELINE_STATE_H
/*
 * state.h - looks at journal and snapshots from outside, for `weir state`.
 *
 *   inspect   what there is: snapshots, the journal's range, positions, owners
 *   verify    runs an uncrashed machine through the journal, and compares what it says
 *             with what was published, and its digests with those of the snapshots
 *
 * Reads only, through a transport that is in no group; takes as long as there is to read.
 *
 * Memory   verify keeps 8 bytes a result and the keys of all results
 * Threads  one owner, that of the transport
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "codec/codec.h"
#include "engine/engine.h"
#include "event/transport.h"

/* Everything borrowed. The codec's output format is the one that the results have. */
struct state_setup {
    struct transport side;
    struct engine_config *engine_config;
    struct codec *codec;
};

/* Appends a JSON object about one partition. STATUS_BROKEN: the log does not answer, or
 * there is no such partition. */
enum status state_inspect(const struct state_setup *setup, int32_t partition,
                          struct byte_writer *out, struct failure *failure);

struct state_report {
    uint64_t journal_records, zombie_records;
    uint64_t foreign_records; /* written under other rules or settings than ours: what these
                               * led to may differ */
    uint64_t events;          /* given to the machines */
    uint64_t passed;          /* set aside or forwarded unseen */
    uint64_t set_aside;       /* by a machine's verdict */
    uint64_t results_expected, results_found;
    uint64_t results_repeated; /* same key, same bytes: only at-least-once has them */
    uint64_t letters_found;    /* dead letters and forwarded records */
    uint64_t digests_compared;
    uint64_t differences; /* of any kind; the first ones are in the log */
    bool is_whole;        /* every journal begins with its first record: results compared */
    bool is_ahead;        /* some of the journal is at-least-once */
};

/* All partitions. STATUS_OK: it ran; `differences` says whether all was equal. Everything
 * must be at rest for results to be complete: while a processor runs, those that come
 * after the journal was read are not waited for. */
enum status state_verify(const struct state_setup *setup, struct state_report *report,
                         struct failure *failure);
/* Appends the report as a JSON object. */
void state_print_report(const struct state_report *report, struct byte_writer *out);
#endif
