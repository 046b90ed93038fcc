#ifndef UNIT_KAFKA_MEMBER_H
#define UNIT_KAFKA_MEMBER_H
/*
 * member.h - a transport under test, with a listener that does what a worker does:
 * resumes what it is given from where the group is, and commits before it gives back.
 *
 * The includer has included cmocka.
 */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/clock.h"
#include "base/log.h"
#include "kafka/broker.h"
#include "kafka/kafka.h"

enum { PARTITIONS = 4, OFFSETS_MAX = 4096, BATCH_MAX = 64, PATIENCE_MS = 60000 };

struct world {
    struct arena *arena;
    struct broker *broker; /* NULL: a real one */
    struct kafka_options options;
};

struct member {
    struct transport transport;
    struct world *world;
    char name[32];
    uint32_t assignments, revocations, losses;
    uint32_t refusals; /* commits that the group did not take while giving back */
    bool is_assigned;
    bool is_holding;               /* does not resume by itself */
    bool is_lazy;                  /* does not commit before it gives back */
    struct position positions[64]; /* of what we own; offset of the next record */
    uint32_t position_count;
    uint32_t received;
};

static inline int64_t now_ms(void)
{
    return clock_monotonic_ms(clock_system());
}

/* The test fails when `condition` does not hold within PATIENCE_MS of doing `step`. */
#define UNTIL(condition, step)                                                                     \
    do {                                                                                           \
        int64_t until_ms = now_ms() + PATIENCE_MS;                                                 \
        while (!(condition)) {                                                                     \
            step;                                                                                  \
            if (now_ms() > until_ms)                                                               \
                fail_msg("not within %d ms: %s", PATIENCE_MS, #condition);                         \
        }                                                                                          \
    } while (0)

/* Presets, and no broker yet. */
static inline void world_prepare(struct world *world)
{
    struct complaints complaints;

    log_set(getenv("WEIR_TEST_LOG") != NULL ? LOG_DEBUG : LOG_OFF, LOG_TEXT);
    memset(world, 0, sizeof *world);
    world->arena = arena_create(4096);
    complaints_init(&complaints, world->arena);
    kafka_options_read(NULL, &world->options, world->arena, &complaints);
    assert_int_equal(complaints.count, 0);
    world->options.topics.partitions = PARTITIONS;
}

static inline void world_open(struct world *world)
{
    struct failure failure;

    world_prepare(world);
    if (broker_start(&world->options, &world->broker, &failure) != STATUS_OK)
        fail_msg("%s", failure.text);
    kafka_options_embed(&world->options, broker_address(world->broker), world->arena);
}

static inline void world_close(struct world *world)
{
    broker_stop(world->broker);
    arena_destroy(world->arena);
}

static inline void world_set_property(struct world *world, enum kafka_scope scope, const char *name,
                                      const char *value)
{
    struct kafka_options *options = &world->options;
    struct kafka_property *all =
        arena_alloc(world->arena, (options->property_count + 1) * sizeof *all);

    if (options->property_count > 0)
        memcpy(all, options->properties, options->property_count * sizeof *all);
    all[options->property_count++] = (struct kafka_property){scope, name, value};
    options->properties = all;
}

static inline struct position *member_position(struct member *member, enum topic topic,
                                               int32_t partition)
{
    for (uint32_t index = 0; index < member->position_count; index++)
        if (member->positions[index].topic == topic &&
            member->positions[index].partition == partition)
            return &member->positions[index];
    return NULL;
}

static inline enum status member_try_commit(struct member *member, struct failure *failure)
{
    const struct transport_door *door = member->transport.door;
    enum status status = STATUS_AGAIN;
    uint32_t count;

    UNTIL(status != STATUS_AGAIN, {
        status = door->commit_start(member->transport.context, member->positions,
                                    member->position_count, failure);
        if (status == STATUS_AGAIN)
            door->poll(member->transport.context, NULL, 0, 10, &count, failure);
    });
    if (status == STATUS_OK)
        UNTIL((status = door->commit_wait(member->transport.context, 100, failure)) != STATUS_AGAIN,
              (void)0);
    return status;
}

static inline void member_commit(struct member *member)
{
    struct failure failure = {0};

    if (member_try_commit(member, &failure) != STATUS_OK)
        fail_msg("%s: commit: %s", member->name, failure.text);
}

/* Of the group; POSITION_NONE when there is none. */
static inline int64_t member_committed(struct member *member, enum topic topic, int32_t partition)
{
    struct position position = {topic, partition, 0};
    struct failure failure = {0};
    enum status status = STATUS_AGAIN;

    UNTIL(status != STATUS_AGAIN, status = member->transport.door->committed(
                                      member->transport.context, &position, 1, &failure));
    assert_int_equal(status, STATUS_OK);
    return position.offset;
}

static inline void member_on_assigned(void *context, const struct topic_partition *partitions,
                                      uint32_t count)
{
    struct member *member = context;
    const struct transport_door *door = member->transport.door;
    struct failure failure = {0};

    member->assignments++;
    member->is_assigned = true;
    assert_in_range(count, 0, 64);
    for (uint32_t index = 0; index < count; index++)
        member->positions[index] =
            (struct position){partitions[index].topic, partitions[index].partition, POSITION_NONE};
    member->position_count = count;
    if (count == 0 || member->is_holding)
        return;
    enum status status = STATUS_AGAIN;
    UNTIL(status != STATUS_AGAIN,
          status = door->committed(member->transport.context, member->positions, count, &failure));
    if (status != STATUS_OK)
        fail_msg("%s: committed: %s", member->name, failure.text);
    assert_int_equal(door->resume(member->transport.context, member->positions, count, &failure),
                     STATUS_OK);
}

static inline void member_on_revoked(void *context, const struct topic_partition *partitions,
                                     uint32_t count, bool is_lost)
{
    struct member *member = context;
    struct failure failure = {0};

    for (uint32_t index = 0; index < count; index++)
        assert_non_null(
            member_position(member, partitions[index].topic, partitions[index].partition));
    member->revocations++;
    member->losses += is_lost;
    /* The embedded broker takes no positions during a rebalance; a real one does, unless it
     * has already given up on us. */
    if (!is_lost && !member->is_lazy && member_try_commit(member, &failure) != STATUS_OK) {
        if (failure.remedy != REMEDY_ROLL_BACK)
            fail_msg("%s: commit before giving back: %s", member->name, failure.text);
        member->refusals++;
        member->transport.door->abort(member->transport.context, &failure);
    }
    member->is_assigned = false;
    member->position_count = 0;
}

static inline void member_open(struct member *member, struct world *world, enum kafka_role role,
                               bool is_transactional, const char *name)
{
    struct failure failure = {0};

    memset(member, 0, sizeof *member);
    member->world = world;
    snprintf(member->name, sizeof member->name, "%s", name);
    struct kafka_setup setup = {
        .options = &world->options,
        .role = role,
        .is_transactional = is_transactional,
        .name = name,
        .wait_ms = PATIENCE_MS,
    };
    if (kafka_open(&setup, &member->transport, &failure) != STATUS_OK)
        fail_msg("%s: %s", name, failure.text);
}

static inline void member_subscribe(struct member *member)
{
    static const enum topic topics[] = {TOPIC_ORDERS, TOPIC_AUTH_EVENTS};
    const struct transport_listener listener = {
        .context = member, .on_assigned = member_on_assigned, .on_revoked = member_on_revoked};
    struct failure failure = {0};

    if (member->transport.door->subscribe(member->transport.context, topics, 2, &listener,
                                          &failure) != STATUS_OK)
        fail_msg("%s: subscribe: %s", member->name, failure.text);
}

static inline void member_close(struct member *member)
{
    member->transport.door->close(member->transport.context);
}

/* Takes a batch; every record must be the next of a partition that we own. `seen` counts
 * records by partition and offset (NULL: not). */
static inline uint32_t member_poll_some(struct member *member, uint32_t max, int64_t timeout_ms,
                                        uint8_t (*seen)[OFFSETS_MAX])
{
    struct record records[BATCH_MAX];
    struct failure failure = {0};
    uint32_t count = 0;

    if (member->transport.door->poll(member->transport.context, records, max, timeout_ms, &count,
                                     &failure) != STATUS_OK)
        fail_msg("%s: poll: %s", member->name, failure.text);
    for (uint32_t index = 0; index < count; index++) {
        struct position *position =
            member_position(member, records[index].topic, records[index].partition);
        assert_non_null(position);
        assert_true(records[index].offset >= position->offset);
        position->offset = records[index].offset + 1;
        if (seen != NULL && records[index].topic == TOPIC_ORDERS &&
            records[index].offset < OFFSETS_MAX)
            seen[records[index].partition][records[index].offset]++;
    }
    member->received += count;
    return count;
}

static inline uint32_t member_poll(struct member *member, int64_t timeout_ms,
                                   uint8_t (*seen)[OFFSETS_MAX])
{
    return member_poll_some(member, BATCH_MAX, timeout_ms, seen);
}

static inline void member_send(struct member *member, enum topic topic, int32_t partition,
                               const char *key, const char *value)
{
    const struct outgoing outgoing = {
        .topic = topic,
        .partition = partition,
        .key = view_of(key),
        .value = view_of(value),
    };
    struct failure failure = {0};
    enum status status;
    uint32_t count;

    while ((status = member->transport.door->produce(member->transport.context, &outgoing,
                                                     &failure)) == STATUS_FULL ||
           status == STATUS_AGAIN)
        member->transport.door->poll(member->transport.context, NULL, 0, 10, &count, &failure);
    if (status != STATUS_OK)
        fail_msg("%s: produce: %s", member->name, failure.text);
}

/* Waits until all that was sent is delivered. */
static inline void member_flush(struct member *member)
{
    uint32_t count = member->position_count;

    member->position_count = 0;
    member_commit(member);
    member->position_count = count;
}
#endif
