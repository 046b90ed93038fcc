#ifndef KAFKA_MEND_H
#define KAFKA_MEND_H
/*
 * mend.h - ends what the coordinator left open.
 *
 * When all brokers go down at once, one that comes back loads its transactions, and then, for
 * the moment that its registration takes, knows no leader of any partition. What was ending
 * just then it takes for partitions that were deleted: it notes the transaction as complete
 * and writes no marker ("Couldn't find leader endpoint ... likely deleted", seen with Kafka
 * 4.3.0). The records stay hidden, with all that follows them, and the positions
 * unstable: such a transaction hangs (KIP-664) until an operator ends it.
 *
 *     T     a  b  (no marker)                read_committed stops before a
 *     then  a' | COMMIT                      ends both: a marker ends all of its producer
 *
 * The producer itself can: a marker of its next transaction there ends the one before, with the
 * same outcome. So a transaction during which a broker was away is looked at when it has
 * ended, and so is the one before it, whose markers may have been on their way. Where one that
 * was voided has written, a record is written and voided. One that was committed may only be
 * slow: the coordinator begins our next when it has done with it, so what is still open behind
 * a commit of ours hangs. The next commit ends it, if we are still the one who writes there; if
 * not, or when it does not come, its last record is written once more and committed: all that
 * anybody sees of it.
 *
 * For this room only.
 *
 * Threads  one owner at a time: that of the producer's delivery reports
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "event/transport.h"
#include "kafka/kafka.h"

struct client;
struct group;
struct mend;
struct rd_kafka_consumer_group_metadata_s;
struct rd_kafka_topic_partition_list_s;

/* All are borrowed; `producer` may get another handle meanwhile. `is_closing`: wait for nobody. */
struct mend *mend_create(const struct kafka_setup *setup, struct client *producer,
                         struct group *group, const atomic_bool *is_closing);
void mend_destroy(struct mend *mend);

/* A transaction begins; a record of it was delivered, or was not (offset -1); positions are
 * committed with it; it has ended (in doubt: look at it in any case). */
void mend_begin(struct mend *mend);
void mend_note(struct mend *mend, enum topic topic, int32_t partition, int64_t offset);
void mend_note_positions(struct mend *mend, const struct rd_kafka_topic_partition_list_s *offsets);
void mend_end(struct mend *mend, bool is_committed, bool is_in_doubt);

/* Between transactions: there is something to look at, before the next may begin. */
bool mend_is_due(struct mend *mend);
/* On the thread that serves the group, when it is due. NULL: not now, we are in no group. */
struct rd_kafka_consumer_group_metadata_s *mend_prepare(struct mend *mend);
/*
 * Does so; takes some seconds, or as long as a commit does. `membership` is what mend_prepare gave.
 * STATUS_AGAIN   not yet, prepare and call again after a pause
 * STATUS_BROKEN  the producer is in no state to go on: REMEDY_ROLL_BACK; what is due stays due
 */
enum status mend_run(struct mend *mend, const struct rd_kafka_consumer_group_metadata_s *membership,
                     struct failure *failure);
#endif
