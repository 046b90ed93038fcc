#ifndef KAFKA_TRANSACTION_H
#define KAFKA_TRANSACTION_H
/*
 * transaction.h - commits results and positions together, beside the owner's work.
 *
 *      NONE ── begin, end ──► OPEN ── end ──► ENDING ── done ──► NONE
 *                              │                 └── ROLL_BACK ──► VOID
 *                              └──────── abort ──► NONE ◄── abort ──┘
 *
 * For this room only. Ending a transaction is done by a thread of its own, the committer:
 * it takes 5 to 10 ms at the broker, and an owner that stood still for it would lose a tenth
 * of the throughput.
 *
 * Threads  one owner; between transaction_end and the end of it the committer serves the
 *          producer's delivery reports, and the owner must not
 */
#include <stdbool.h>
#include <stdint.h>

#include "event/transport.h"
#include "kafka/kafka.h"

struct client;
struct group;
struct rd_kafka_conf_s;
struct transaction;

enum { TRANSACTIONAL_ID_MAX = 512 };

/* The id of a worker's transactions, for as long as the worker lives: a producer that replaces
 * another one takes the same, and so ends what that one left open. */
void transaction_name(const struct kafka_setup *setup, char id[TRANSACTIONAL_ID_MAX]);
/* Sets the properties that a transactional producer needs. */
void transaction_configure(const struct kafka_setup *setup, const char *id,
                           struct rd_kafka_conf_s *conf);
/* Fences and finishes the predecessor of the same name, and starts the committer. STATUS_AGAIN:
 * setup->is_stopping was set. client and group are borrowed until transaction_close. */
enum status transaction_open(const struct kafka_setup *setup, struct client *client,
                             struct group *group, struct transaction **transaction,
                             struct failure *failure);
/* Voids what is open. */
void transaction_close(struct transaction *transaction);

/* Before a record is produced. STATUS_AGAIN: one is ending. */
enum status transaction_begin(struct transaction *transaction, struct failure *failure);
/* The committer is at work. */
bool transaction_is_ending(const struct transaction *transaction);
/* A record of it was delivered, or was not (offset -1). */
void transaction_note(struct transaction *transaction, enum topic topic, int32_t partition,
                      int64_t offset);
/* Between transactions: what Kafka left open is ended (mend.h), by the committer. */
void transaction_serve(struct transaction *transaction);
/* The group is about to get another client. */
void transaction_let_go(struct transaction *transaction);
/* The library has voided it on its own. */
void transaction_set_void(struct transaction *transaction);
/* As commit_start, commit_wait and abort of the door. */
enum status transaction_end(struct transaction *transaction, const struct position *positions,
                            uint32_t count, struct failure *failure);
enum status transaction_wait(struct transaction *transaction, int64_t timeout_ms,
                             struct failure *failure);
enum status transaction_abort(struct transaction *transaction, struct failure *failure);

/* A fatal error: nothing more can be done with the client's handle but to replace it. */
bool transaction_is_spent(const struct transaction *transaction);
/* With the new handle, between transactions. REMEDY_RETRY: no coordinator answers yet. */
enum status transaction_restart(struct transaction *transaction, struct failure *failure);
#endif
