#ifndef EVENT_DELIVERY_H
#define EVENT_DELIVERY_H
/*
 * delivery.h - the door to a destination: a database, a channel of messages.
 *
 *   assigned ──► open(positions)          the destination may know where to begin
 *                deliver(items) ─► taken  as often as there is something to deliver
 *                confirmed(positions)     what may be committed to the log
 *   revoked  ──► close                    then confirmed once more, for the last commit
 *
 * A sink runner (sink/runner.h) holds one delivery: it reads the result topics,
 * decodes, and offers the results in log order for each partition. A delivery takes
 * as many as it has room for, from the front; the rest are offered again.
 *
 * What cannot be stored is refused, never dropped: the delivery marks the item with
 * item_refuse and answers STATUS_AGAIN having taken nothing. The runner sends the
 * record to the dead-letter topic, waits until it is there, and offers the same items
 * again; those that are refused are then to be passed over, but counted as taken.
 *
 * Units    _ms milliseconds
 * Memory   items and all they point to are borrowed for the call
 * Threads  everything is called by the one thread that runs the sink
 * Errors   STATUS_BROKEN with REMEDY_RETRY: the destination is away, offer the same
 *          again; REMEDY_ROLL_BACK: another owner has taken the partitions over, what
 *          was offered is void; REMEDY_STOP: nothing can help
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "event/outbox.h"
#include "event/result.h"
#include "event/transport.h"

/* The headers of a dead letter; absent where the record has none of that name. */
struct dead_letter {
    struct view code;   /* weir.error.code */
    struct view reason; /* weir.error.reason */
    struct view field;  /* weir.error.field */
    struct view source_topic;
    struct view source_partition; /* decimal, as in the header */
    struct view source_offset;
    struct view source_timestamp;
    struct view version; /* weir.version */
};

enum { REFUSAL_CODE_MAX = 48, REFUSAL_FIELD_MAX = 64, REFUSAL_REASON_MAX = 256 };

struct refusal {
    char code[REFUSAL_CODE_MAX]; /* empty: not refused */
    char field[REFUSAL_FIELD_MAX];
    char reason[REFUSAL_REASON_MAX];
};

struct delivery_item {
    struct record record;                  /* as it came; the handle is NULL */
    const struct result *result;           /* NULL: refused, or a topic without results */
    const struct dead_letter *dead_letter; /* of TOPIC_DEAD_LETTER only */
    struct refusal refusal;
};

static inline bool item_is_refused(const struct delivery_item *item)
{
    return item->refusal.code[0] != '\0';
}

struct delivery_turn {
    struct delivery_item *items;
    uint32_t count;        /* > 0 */
    struct outbox *outbox; /* results of the delivery itself, such as notifications: they
                            * are in the log before anything confirmed later is committed */
    uint32_t taken;        /* out: so many from the front are the delivery's now */
    int64_t wait_ms;       /* out: offer the rest after this time; 0: at once */
};

struct delivery_door {
    /* Takes these partitions over from whoever held them, and gives up all others. Each
     * offset comes as POSITION_NONE; a destination that stores positions itself fills in
     * its own, the rest begin at the group's. Also called after close. */
    enum status (*open)(void *context, struct position *positions, uint32_t count,
                        struct failure *failure);
    /* STATUS_OK, STATUS_AGAIN (see above) or STATUS_BROKEN; in the last two nothing is taken. */
    enum status (*deliver)(void *context, struct delivery_turn *turn, struct failure *failure);
    /* Of each partition the offset up to which everything is at the destination for good;
     * POSITION_NONE: not known. Answers after close, too, until the next open. */
    void (*confirmed)(void *context, struct position *positions, uint32_t count);
    /* Gives the partitions up. What is not confirmed will be delivered by the next owner. */
    void (*close)(void *context);
};

struct delivery {
    const struct delivery_door *door;
    void *context;
    const char *name;         /* "postgres": in the log, metrics and dead-letter codes */
    const enum topic *topics; /* what it wants to be given */
    uint32_t topic_count;
};
#endif
