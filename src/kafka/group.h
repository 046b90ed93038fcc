#ifndef KAFKA_GROUP_H
#define KAFKA_GROUP_H
/*
 * group.h - a member of a consumer group that reads from where we say.
 *
 * For this room only; the functions behind transport.h's subscribe, resume, poll,
 * committed and known_end, with the same contracts.
 */
#include "event/transport.h"
#include "kafka/kafka.h"

struct client;
struct group;
struct rd_kafka_consumer_group_metadata_s;
struct rd_kafka_topic_partition_list_s;

enum status group_open(const struct kafka_setup *setup, const char *group_id, struct group **group,
                       struct failure *failure);
/* Leaves the group. */
void group_close(struct group *group);
struct client *group_client(struct group *group);

enum status group_subscribe(struct group *group, const enum topic *topics, uint32_t count,
                            const struct transport_listener *listener, struct failure *failure);
enum status group_resume(struct group *group, const struct position *positions, uint32_t count,
                         struct failure *failure);
enum status group_poll(struct group *group, struct record *records, uint32_t max,
                       int64_t timeout_ms, uint32_t *count, struct failure *failure);
enum status group_committed(struct group *group, struct position *positions, uint32_t count,
                            struct failure *failure);
int64_t group_known_end(struct group *group, enum topic topic, int32_t partition);

/* The member is dead for the library, and nobody else has its place: a new one is to take it.
 * Whoever uses the client of the old one lets go of it first. Tells the listener of the loss. */
bool group_is_spent(const struct group *group);
enum status group_replace(struct group *group, struct failure *failure);

/* Inside on_revoked or on_assigned. */
bool group_is_rebalancing(const struct group *group);

/* The membership under which positions may be committed now. STATUS_BROKEN, REMEDY_ROLL_BACK:
 * we are no member, or lost our partitions. */
enum status group_membership(struct group *group,
                             struct rd_kafka_consumer_group_metadata_s **metadata,
                             struct failure *failure);
/* NULL: we have no assignment now, not even one of nothing. The caller destroys it. */
struct rd_kafka_consumer_group_metadata_s *group_current_membership(struct group *group);
/* A partition of this number, of any topic. */
bool group_owns(const struct group *group, int32_t partition);
/* Positions >= 0 as the library's list; the caller destroys it. */
struct rd_kafka_topic_partition_list_s *
group_offsets(struct group *group, const struct position *positions, uint32_t count);
#endif
