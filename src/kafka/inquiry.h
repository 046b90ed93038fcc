#ifndef KAFKA_INQUIRY_H
#define KAFKA_INQUIRY_H
/*
 * inquiry.h - asks the coordinator for committed positions, and does not wait for the answer.
 *
 * For this room only. It answers when no transaction that commits one of the positions is
 * under way, which may last: a member that waited for it would be thrown out of its group, and
 * would hold up its other partitions until then. So a thread of its own waits.
 *
 * Threads  one owner
 */
#include "event/transport.h"

struct client;
struct inquiries;

/* Borrowed. */
struct inquiries *inquiries_create(struct client *client);
/* Before client_close. */
void inquiries_destroy(struct inquiries *inquiries);

/* As `committed` of the door. Several may be under way; each is known by its positions. */
enum status inquiries_ask(struct inquiries *inquiries, struct position *positions, uint32_t count,
                          struct failure *failure);
/* Answers under way count no more: others may have committed since they were asked for. */
void inquiries_forget(struct inquiries *inquiries);
#endif
