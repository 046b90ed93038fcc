#ifndef KAFKA_READER_H
#define KAFKA_READER_H
/*
 * reader.h - readers of single partitions, outside any group.
 *
 * For this room only; the functions behind transport.h's reader_open, reader_poll and
 * reader_close. All readers of a library share one handle and its connections, each
 * has a queue of its own.
 */
#include "event/transport.h"
#include "kafka/kafka.h"

struct client;
struct reader_hall;

/* isolation: what its readers see, as isolation.level says it: "read_committed" or
 * "read_uncommitted". */
enum status reader_hall_open(const struct kafka_setup *setup, const char *isolation,
                             struct reader_hall **hall, struct failure *failure);
/* Readers that are still open are closed with it. */
void reader_hall_close(struct reader_hall *hall);
struct client *reader_hall_client(struct reader_hall *hall);

enum status reader_open(struct reader_hall *hall, enum topic topic, int32_t partition, int64_t from,
                        struct transport_reader **reader, struct failure *failure);
enum status reader_poll(struct transport_reader *reader, struct record *records, uint32_t max,
                        int64_t timeout_ms, uint32_t *count, struct failure *failure);
void reader_close(struct transport_reader *reader);
#endif
