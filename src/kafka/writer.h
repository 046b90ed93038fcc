#ifndef KAFKA_WRITER_H
#define KAFKA_WRITER_H
/*
 * writer.h - the producer: gives records, and commits them with positions.
 *
 * For this room only; the functions behind transport.h's produce, commit_start,
 * commit_wait and abort, with the same contracts. A transactional writer owns one
 * thread, which commits while the owner polls on.
 */
#include "event/transport.h"
#include "kafka/kafka.h"

struct group;
struct writer;

/* group may be NULL: then only deliveries can be committed. */
enum status writer_open(const struct kafka_setup *setup, struct group *group,
                        struct writer **writer, struct failure *failure);
/* Voids what was not committed. Before group_close. */
void writer_close(struct writer *writer);

enum status writer_produce(struct writer *writer, const struct outgoing *outgoing,
                           struct failure *failure);
/* Takes the delivery reports that have come. */
enum status writer_serve(struct writer *writer, int64_t timeout_ms, struct failure *failure);
enum status writer_commit_start(struct writer *writer, const struct position *positions,
                                uint32_t count, struct failure *failure);
enum status writer_commit_wait(struct writer *writer, int64_t timeout_ms, struct failure *failure);
enum status writer_abort(struct writer *writer, struct failure *failure);
/* Before the group's member is replaced. */
void writer_let_go(struct writer *writer);
#endif
