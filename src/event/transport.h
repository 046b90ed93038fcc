#ifndef EVENT_TRANSPORT_H
#define EVENT_TRANSPORT_H
/*
 * transport.h - the door to a log of records: take, give, commit.
 *
 * Behind it stands Kafka, or a simulation. The pipeline and the sinks know only
 * this. One transport = one member of one consumer group + one producer, used by
 * one thread.
 *
 *   subscribe ── poll ──► on_assigned(partitions)       (inside poll)
 *                         resume(positions)             where to read: ours to say
 *                poll ──► records
 *                produce, produce, ...
 *                commit_start(positions) ─ poll, decode, ... ─ commit_wait
 *                poll ──► on_revoked(partitions, lost)  (inside poll; commit first)
 *
 * Transactional: everything produced since the last commit, and the positions,
 * become visible together. Between commit_start and the end of that commit
 * nothing may be produced (STATUS_AGAIN); polling goes on. Otherwise
 * (at-least-once): commit_start waits behind the delivery of all that was
 * produced before it stores the positions.
 *
 * Positions are the caller's own: offset of the next record to process. The client's
 * idea of a position is never used, since it runs ahead of what was processed.
 *
 * Errors   STATUS_BROKEN with a remedy: REMEDY_RETRY the same call; REMEDY_ROLL_BACK
 *          the transaction is void (abort, restore state, resume from the last
 *          commit); REMEDY_STOP nothing can help, the text says why
 * Threads  one owner; a listener is called inside poll, on that thread
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "base/view.h"
#include "event/topic.h"

/* Borrowed from the transport until the next poll on the same transport or reader. */
struct record {
    enum topic topic;
    int32_t partition;
    int64_t offset;
    int64_t timestamp_ms; /* the log's; -1: none */
    struct view key;      /* data NULL: null */
    struct view value;
    void *handle; /* the transport's own */
};

struct topic_partition {
    enum topic topic;
    int32_t partition;
};

struct position {
    enum topic topic;
    int32_t partition;
    int64_t offset; /* of the next record; POSITION_* below */
};
enum { POSITION_BEGINNING = -2, POSITION_END = -1, POSITION_NONE = -1001 };

struct header {
    const char *name;
    struct view value;
};

/* Borrowed for the call: produce copies. */
struct outgoing {
    enum topic topic;
    int32_t partition; /* -1: by key, as Kafka's Java client */
    struct view key;
    struct view value; /* data NULL: a tombstone */
    const struct header *headers;
    uint32_t header_count;
    int64_t timestamp_ms; /* 0: now */
};

struct transport_listener {
    void *context;
    /* Nothing is fetched from them before `resume` names them. */
    void (*on_assigned)(void *context, const struct topic_partition *partitions, uint32_t count);
    /* lost: somebody else may own them already; nothing can be committed for them. */
    void (*on_revoked)(void *context, const struct topic_partition *partitions, uint32_t count,
                       bool is_lost);
    /* The log deleted records before they were read, from `from` up to `to`, where reading
     * goes on. NULL: the transport says so in the log. */
    void (*on_gone)(void *context, const struct topic_partition *partition, int64_t from,
                    int64_t to);
};

/* Reads one partition outside the group, committed records only. */
struct transport_reader;

struct transport_door {
    enum status (*subscribe)(void *context, const enum topic *topics, uint32_t count,
                             const struct transport_listener *listener, struct failure *failure);
    /* The whole set of partitions that poll returns from now on, and where each
     * starts; those that are read already at that offset go on undisturbed.
     * Records of others, or before these offsets, are not returned. */
    enum status (*resume)(void *context, const struct position *positions, uint32_t count,
                          struct failure *failure);
    /* STATUS_OK with *count 0 when nothing came in time. Runs of one partition are
     * in offset order and stand together. max 0 serves the producer only: it returns
     * nothing, calls no listener, and what an earlier poll lent stays valid. */
    enum status (*poll)(void *context, struct record *records, uint32_t max, int64_t timeout_ms,
                        uint32_t *count, struct failure *failure);
    /* The value of a record's header; absent when there is none. */
    struct view (*header)(void *context, const struct record *record, const char *name);
    /* A record's headers in their order; false: it has no more. */
    bool (*header_at)(void *context, const struct record *record, uint32_t index,
                      struct header *header);
    /* As the log calls it, with the prefix. Lives as long as the transport. */
    struct view (*topic_name)(void *context, enum topic topic);

    /* STATUS_FULL: the queue is full; STATUS_AGAIN: the last transaction has not ended. Serve and
     * try again (poll with no room does). */
    enum status (*produce)(void *context, const struct outgoing *outgoing, struct failure *failure);
    enum status (*commit_start)(void *context, const struct position *positions, uint32_t count,
                                struct failure *failure);
    /* STATUS_OK: done, or none under way. STATUS_AGAIN: not yet. STATUS_BROKEN: it has ended
     * without success; REMEDY_RETRY: commit_start again, with the same positions. */
    enum status (*commit_wait)(void *context, int64_t timeout_ms, struct failure *failure);
    /* Voids what was produced since the last commit, and a commit under way (at-least-once:
     * what was produced stays, and positions under way may or may not be stored). */
    enum status (*abort)(void *context, struct failure *failure);

    /* The group's committed positions, once transactions under way have ended. Never waits:
     * STATUS_AGAIN, ask again with the same positions. POSITION_NONE where there is none. */
    enum status (*committed)(void *context, struct position *positions, uint32_t count,
                             struct failure *failure);
    enum status (*partition_count)(void *context, enum topic topic, int32_t *count,
                                   struct failure *failure);
    /* First offset kept and next offset (last stable one) of a partition. */
    enum status (*bounds)(void *context, enum topic topic, int32_t partition, int64_t *first,
                          int64_t *next, struct failure *failure);
    /* Last known next offset of a partition that is read, for consumer lag; where only the ends
     * of transactions follow, as far as it was read. -1: not known. Never asks the broker. */
    int64_t (*known_end)(void *context, enum topic topic, int32_t partition);

    enum status (*reader_open)(void *context, enum topic topic, int32_t partition, int64_t from,
                               struct transport_reader **reader, struct failure *failure);
    /* As poll. STATUS_END: everything that was there is read (more may come later). */
    enum status (*reader_poll)(struct transport_reader *reader, struct record *records,
                               uint32_t max, int64_t timeout_ms, uint32_t *count,
                               struct failure *failure);
    void (*reader_close)(struct transport_reader *reader);

    /* Leaves the group; what was not committed is void. */
    void (*close)(void *context);
};

struct transport {
    const struct transport_door *door;
    void *context;
};
#endif
