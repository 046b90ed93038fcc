#ifndef KAFKA_RECEIPT_H
#define KAFKA_RECEIPT_H
/*
 * receipt.h - at-least-once: stores positions behind the deliveries before them.
 *
 * For this room only. Every record carries the parity of its commit interval, and each
 * parity has a count of records not delivered yet. receipt_start turns the parity over;
 * when the count of the old one is zero, its positions go to the coordinator.
 *
 * Threads  one owner
 */
#include <stdint.h>

#include "event/transport.h"

struct client;
struct group;
struct receipt;

/* Both are borrowed; group may be NULL: then there are only deliveries to wait for. */
struct receipt *receipt_create(struct client *producer, struct group *group);
void receipt_destroy(struct receipt *receipt);

/* The mark to send a record with, and to give back when it is delivered. */
uint32_t receipt_sent(struct receipt *receipt);
/* It was not sent after all. */
void receipt_unsent(struct receipt *receipt, uint32_t mark);
void receipt_delivered(struct receipt *receipt, uint32_t mark);

/* As commit_start and commit_wait of the door. */
enum status receipt_start(struct receipt *receipt, const struct position *positions, uint32_t count,
                          struct failure *failure);
enum status receipt_wait(struct receipt *receipt, int64_t timeout_ms, struct failure *failure);
/* Gives up the positions that are under way: nobody will ask how that ended. The deliveries
 * before them are waited for by the next receipt_start. */
void receipt_let_go(struct receipt *receipt);
#endif
