#ifndef PIPELINE_JOURNAL_H
#define PIPELINE_JOURNAL_H
/*
 * journal.h - what a partition decided, in the order in which it decided it.
 *
 * The input topics are the log of the state; the journal adds the one thing that
 * they do not say: how the ranges of several topics, the commands and the ticks
 * were interleaved. One record per partition and commit (at-least-once: one before
 * the results that it explains), in partition p of the journal topic.
 *
 *   version(1) flags(1) digest(8) epoch sequence base partitions operations(count)
 *     | kind+topic(1)  from  length   APPLY, PASS: offsets [from, from + length)
 *     | kind(1)        time           TICK
 *   crc32c(4) of everything before
 *
 * Numbers without a width are varints; `from` and `time` are differences to where
 * that topic, or the tick before, ended in the same record. README.md has a picture.
 *
 * epoch     tells the owners of the partition apart: the time at which one took over, or
 *           one more than the last that it found
 * sequence  counts the records of a partition: 1, 2, 3, ...
 * base      the sequence after which this epoch went on. Records of a lower epoch
 *           beyond it are a zombie's, and void.
 *
 * Memory   a draft owns a growing array, kept over journal_reset
 * Threads  one owner
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/bytes.h"
#include "base/status.h"
#include "event/topic.h"

enum journal_kind {
    JOURNAL_APPLY, /* every record of the range was given to the engine */
    JOURNAL_PASS,  /* set aside or forwarded: the engine never saw it */
    JOURNAL_TICK,  /* engine_tick */
};

struct journal_operation {
    enum journal_kind kind;
    enum topic topic; /* an input, or TOPIC_COMMANDS */
    int64_t from;     /* first offset; JOURNAL_TICK: the time in epoch milliseconds */
    int64_t to;       /* one past the last offset */
};

struct journal_draft {
    struct journal_operation *operations;
    uint32_t count;
    uint32_t capacity;
    uint64_t record_count; /* records applied or passed */
};

void journal_draft_init(struct journal_draft *draft);
void journal_draft_free(struct journal_draft *draft);
void journal_draft_reset(struct journal_draft *draft);
/* The record at `offset` was dealt with. Offsets of a topic ascend. */
void journal_draft_record(struct journal_draft *draft, enum journal_kind kind, enum topic topic,
                          int64_t offset);
void journal_draft_tick(struct journal_draft *draft, int64_t now_ms);

struct journal_head {
    uint64_t config_digest; /* engine_config_digest */
    uint64_t epoch;
    uint64_t sequence;
    uint64_t base;
    int32_t partition_count; /* of the inputs */
    bool is_ahead;           /* written at-least-once: before its results, outside a transaction */
};

void journal_encode(const struct journal_head *head, const struct journal_draft *draft,
                    struct byte_writer *out);

struct journal_cursor {
    struct byte_reader bytes;
    uint64_t left;
    int64_t ends[TOPIC_COUNT];
    int64_t tick_ms;
};

/* Checks the whole record: after STATUS_OK, journal_next cannot fail. STATUS_BROKEN,
 * REMEDY_SET_ASIDE: not a journal record that this program reads. */
enum status journal_open(struct view value, struct journal_head *head,
                         struct journal_cursor *cursor, struct failure *failure);
/* False at the end. */
bool journal_next(struct journal_cursor *cursor, struct journal_operation *operation);

/* The number that stands for a topic in stored bytes, whatever its place in enum
 * topic; 0: none. And back: TOPIC_COUNT when there is none. */
uint8_t journal_topic_code(enum topic topic);
enum topic journal_topic_of_code(uint64_t code);
#endif
