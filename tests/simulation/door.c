/*
 * door.c - struct transport over the cluster: a member of the group, or beside it.
 *
 * What is lent is a copy, freed when the contract says that it ends, so that a
 * sanitizer sees whoever keeps it longer.
 */
#include "simulation/door.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

enum { FLIGHT_MAX = 64, LENT_MAX = 4096 };

struct lane {
    bool is_owned, is_flowing;
    int64_t expected;
};

struct lent {
    struct entry *entries;
    uint32_t count, capacity;
};

struct flight {
    struct entry entry;
    enum topic topic;
    int32_t partition;
};

struct transport_reader {
    struct door *door;
    enum topic topic;
    int32_t partition;
    int64_t next;
    struct lent lent;
    struct transport_reader *sibling;
};

struct door {
    struct cluster *cluster;
    struct door_options options;
    bool is_dead, is_abandoned;
    struct lent lent;
    struct transport_reader *readers;

    /* group */
    struct transport_listener listener;
    bool is_subscribed, is_in_group, has_joined, has_assignment, is_assignment_new, is_in_listener;
    uint32_t generation, slot, member_count;
    int64_t polled_ms;
    struct lane lanes[TOPIC_INPUT_COUNT][PARTITIONS_MAX];

    /* transactional */
    struct transaction *transaction; /* NULL: none begun */
    uint64_t serial;
    bool is_void;

    /* otherwise */
    struct flight flights[FLIGHT_MAX];
    uint32_t flight_first, flight_count;
    uint64_t produced_count, delivered_count, commit_mark;

    bool is_committing;
    int commit_stage;
    struct position *positions;
    uint32_t position_count;
};

/* ---- lending ------------------------------------------------------------------------ */

static void give_up_lent(struct lent *lent)
{
    for (uint32_t i = 0; i < lent->count; i++)
        cluster_free_entry(&lent->entries[i]);
    free(lent->entries);
    *lent = (struct lent){0};
}

/* All at once, since records point into the array. */
static void lend_room(struct lent *lent, uint32_t count)
{
    give_up_lent(lent);
    lent->entries = calloc(count > 0 ? count : 1, sizeof(*lent->entries));
    if (lent->entries == NULL)
        abort();
    lent->capacity = count;
}

static void lend(struct lent *lent, const struct entry *entry, enum topic topic, int32_t partition,
                 int64_t offset, struct record *record)
{
    struct entry *twin = &lent->entries[lent->count++];

    assert(lent->count <= lent->capacity);
    *twin = cluster_copy_entry(entry);
    *record = (struct record){.topic = topic,
                              .partition = partition,
                              .offset = offset,
                              .timestamp_ms = entry->timestamp_ms,
                              .handle = twin};
    if (entry->has_key)
        record->key = (struct view){twin->key, twin->key_size};
    if (entry->has_value)
        record->value = (struct view){twin->value, twin->value_size};
}

/* ---- faults --------------------------------------------------------------------------- */

static enum status fail(struct door *door, enum operation operation, enum remedy remedy,
                        struct failure *failure)
{
    cluster_trace(door->cluster, door->options.number, operation, -1, -1, 0, STATUS_BROKEN, remedy);
    cluster_pass_ms(door->cluster, 1);
    if (remedy == REMEDY_ROLL_BACK && door->options.is_member)
        door->is_void = true;
    return failure_set(failure, remedy, "simulated failure of operation %d", operation);
}

/* STATUS_OK: no fault. */
static enum status meet_fate(struct door *door, enum operation operation, struct failure *failure)
{
    struct cluster *cluster = door->cluster;

    if (door->is_dead)
        return failure_set(failure, REMEDY_STOP, "the process is dead");
    cluster->call_count++;
    if (cluster->fail_call != 0 && cluster->call_count == cluster->fail_call) {
        cluster->has_failed_call = true;
        if (cluster->fail_remedy != REMEDY_NONE)
            return fail(door, operation, cluster->fail_remedy, failure);
        door_kill(door);
        return failure_set(failure, REMEDY_STOP, "the process died");
    }
    if (cluster->is_down && !cluster->is_calm)
        return operation == OPERATION_POLL || operation == OPERATION_READER_POLL
                   ? STATUS_AGAIN
                   : fail(door, operation, REMEDY_RETRY, failure);
    if (cluster->is_calm || !cluster_chance(cluster, cluster->fault_permille))
        return STATUS_OK;
    if (cluster_chance(cluster, 60)) {
        door_kill(door);
        return failure_set(failure, REMEDY_STOP, "the process died");
    }
    return fail(door, operation, REMEDY_RETRY, failure);
}

/* A second kind of fault, for operations of a transaction. */
static bool is_rolled_back(struct door *door)
{
    return !door->cluster->is_calm &&
           cluster_chance(door->cluster, door->cluster->fault_permille / 4);
}

void door_kill(struct door *door)
{
    if (door->is_dead)
        return;
    cluster_trace(door->cluster, door->options.number, OPERATION_DISTURB, -1, -1, 9, STATUS_END,
                  REMEDY_STOP);
    door->is_dead = true;
}

bool door_is_dead(const struct door *door)
{
    return door->is_dead;
}

/* ---- the group ---------------------------------------------------------------------------- */

static uint32_t list_owned(const struct door *door, struct topic_partition *list)
{
    uint32_t count = 0;

    for (int topic = 0; topic < TOPIC_INPUT_COUNT; topic++)
        for (int32_t partition = 0; partition < PARTITIONS_MAX; partition++)
            if (door->lanes[topic][partition].is_owned)
                list[count++] = (struct topic_partition){(enum topic)topic, partition};
    return count;
}

static void revoke(struct door *door, bool is_lost)
{
    struct topic_partition list[TOPIC_INPUT_COUNT * PARTITIONS_MAX];
    uint32_t count = list_owned(door, list);

    cluster_trace(door->cluster, door->options.number, OPERATION_REVOKED, -1, -1, count,
                  is_lost ? STATUS_BROKEN : STATUS_OK, REMEDY_NONE);
    door->is_in_listener = true;
    door->listener.on_revoked(door->listener.context, list, count, is_lost);
    door->is_in_listener = false;
    door->has_assignment = false;
    memset(door->lanes, 0, sizeof(door->lanes));
}

static void assign(struct door *door)
{
    struct topic_partition list[TOPIC_INPUT_COUNT * PARTITIONS_MAX];

    memset(door->lanes, 0, sizeof(door->lanes));
    for (int topic = 0; topic < TOPIC_INPUT_COUNT; topic++)
        for (int32_t partition = 0; partition < door->cluster->partition_count; partition++)
            door->lanes[topic][partition].is_owned =
                (uint32_t)partition % door->member_count == door->slot;
    door->is_assignment_new = false;
    door->has_assignment = true;
    cluster_trace(door->cluster, door->options.number, OPERATION_ASSIGNED, -1, -1, door->generation,
                  STATUS_OK, REMEDY_NONE);
    door->is_in_listener = true;
    door->listener.on_assigned(door->listener.context, list, list_owned(door, list));
    door->is_in_listener = false;
}

static void complete_rebalance(struct cluster *cluster)
{
    uint32_t count = 0;

    for (int i = 0; i < MEMBERS_MAX; i++)
        if (cluster->members[i] != NULL && cluster->members[i]->is_in_group) {
            if (!cluster->members[i]->has_joined)
                return;
            count++;
        }
    cluster->generation++;
    cluster->is_rebalancing = false;
    for (int i = 0, slot = 0; i < MEMBERS_MAX; i++) {
        struct door *member = cluster->members[i];

        if (member == NULL || !member->is_in_group)
            continue;
        member->generation = cluster->generation;
        member->slot = (uint32_t)slot++;
        member->member_count = count;
        member->has_joined = false;
        member->is_assignment_new = true;
    }
}

static void join(struct door *door)
{
    for (int i = 0; i < MEMBERS_MAX; i++)
        if (door->cluster->members[i] == door)
            goto joined;
    for (int i = 0; i < MEMBERS_MAX; i++)
        if (door->cluster->members[i] == NULL) {
            door->cluster->members[i] = door;
            goto joined;
        }
    abort();
joined:
    door->is_in_group = true;
    door->has_joined = false;
    door->is_assignment_new = false;
    door->cluster->is_rebalancing = true;
}

static void serve_group(struct door *door)
{
    struct cluster *cluster = door->cluster;

    door->polled_ms = cluster_now_ms(cluster);
    if (!door->is_in_group) {
        if (door->has_assignment)
            revoke(door, true);
        join(door);
    }
    if (cluster->is_rebalancing && !door->has_joined) {
        if (door->has_assignment)
            revoke(door, false);
        door->is_assignment_new = false;
        if (!door->is_in_group) /* thrown out while it committed */
            join(door);
        door->has_joined = true;
        door->polled_ms = cluster_now_ms(cluster);
    }
    if (cluster->is_rebalancing)
        complete_rebalance(cluster);
    if (door->is_assignment_new)
        assign(door);
}

static bool may_commit(const struct door *door)
{
    return door->is_in_group && door->generation == door->cluster->generation;
}

static void leave_cluster(struct door *door)
{
    for (int i = 0; i < MEMBERS_MAX; i++)
        if (door->cluster->members[i] == door) {
            door->cluster->members[i] = NULL;
            door->cluster->is_rebalancing = true;
        }
}

static void free_door(struct door *door)
{
    while (door->readers != NULL) {
        struct transport_reader *reader = door->readers;

        door->readers = reader->sibling;
        give_up_lent(&reader->lent);
        free(reader);
    }
    give_up_lent(&door->lent);
    for (uint32_t i = 0; i < door->flight_count; i++)
        cluster_free_entry(&door->flights[(door->flight_first + i) % FLIGHT_MAX].entry);
    free(door->positions);
    free(door);
}

void door_forget(struct door *door)
{
    leave_cluster(door);
    free_door(door);
}

void door_step(struct door *door)
{
    if (!door->is_in_group || cluster_now_ms(door->cluster) - door->polled_ms <= SESSION_MS)
        return;
    door->is_in_group = false;
    door->cluster->is_rebalancing = true;
    if (door->is_abandoned)
        door_forget(door);
}

/* ---- functions of the door: the group ------------------------------------------------------- */

static enum status do_subscribe(void *context, const enum topic *topics, uint32_t count,
                                const struct transport_listener *listener, struct failure *failure)
{
    struct door *door = context;
    enum status status = meet_fate(door, OPERATION_SUBSCRIBE, failure);

    (void)topics;
    assert(count == TOPIC_INPUT_COUNT && door->options.is_member);
    if (status != STATUS_OK)
        return status;
    door->listener = *listener;
    door->is_subscribed = true;
    return STATUS_OK;
}

static enum status do_resume(void *context, const struct position *positions, uint32_t count,
                             struct failure *failure)
{
    struct door *door = context;
    enum status status = meet_fate(door, OPERATION_RESUME, failure);
    bool wanted[TOPIC_INPUT_COUNT][PARTITIONS_MAX] = {0};

    if (status != STATUS_OK)
        return status;
    for (uint32_t i = 0; i < count; i++) {
        struct lane *lane = &door->lanes[positions[i].topic][positions[i].partition];

        assert(positions[i].offset >= 0 || positions[i].offset == POSITION_BEGINNING);
        wanted[positions[i].topic][positions[i].partition] = true;
        if (!lane->is_owned)
            continue;
        lane->is_flowing = true;
        lane->expected = positions[i].offset < 0
                             ? door->cluster->logs[positions[i].topic][positions[i].partition].first
                             : positions[i].offset;
    }
    for (int topic = 0; topic < TOPIC_INPUT_COUNT; topic++)
        for (int partition = 0; partition < PARTITIONS_MAX; partition++)
            if (!wanted[topic][partition])
                door->lanes[topic][partition].is_flowing = false;
    cluster_trace(door->cluster, door->options.number, OPERATION_RESUME, -1, -1, count, STATUS_OK,
                  REMEDY_NONE);
    return STATUS_OK;
}

static uint32_t take_lane(struct door *door, int topic, int32_t partition, struct record *records,
                          uint32_t max)
{
    struct lane *lane = &door->lanes[topic][partition];
    const struct log *log = &door->cluster->logs[topic][partition];
    int64_t end;
    uint32_t count = 0;

    if (!lane->is_owned || !lane->is_flowing)
        return 0;
    end = cluster_end(door->cluster, (enum topic)topic, partition);
    if (lane->expected < log->first) {
        const struct topic_partition gone = {(enum topic)topic, partition};

        door->listener.on_gone(door->listener.context, &gone, lane->expected, log->first);
        lane->expected = log->first;
    }
    while (lane->expected < end && count < max) {
        const struct entry *entry = &log->entries[lane->expected];

        if (entry->state == ENTRY_VISIBLE)
            lend(&door->lent, entry, (enum topic)topic, partition, lane->expected,
                 &records[count++]);
        lane->expected++;
    }
    if (count > 0)
        cluster_trace(door->cluster, door->options.number, OPERATION_POLL, topic, partition,
                      records[0].offset, STATUS_OK, REMEDY_NONE);
    return count;
}

static void deliver(struct door *door, uint32_t count);

static enum status do_poll(void *context, struct record *records, uint32_t max, int64_t timeout_ms,
                           uint32_t *count, struct failure *failure)
{
    struct door *door = context;
    enum status status;
    uint32_t lane_count = (uint32_t)(TOPIC_INPUT_COUNT * door->cluster->partition_count);
    uint32_t first;

    *count = 0;
    deliver(door, (uint32_t)cluster_random(door->cluster, FLIGHT_MAX));
    if (max == 0) {
        cluster_pass_ms(door->cluster, timeout_ms);
        return door->is_dead ? failure_set(failure, REMEDY_STOP, "dead") : STATUS_OK;
    }
    assert(door->is_subscribed && !door->is_in_listener);
    give_up_lent(&door->lent);
    status = meet_fate(door, OPERATION_POLL, failure);
    if (status == STATUS_AGAIN) {
        cluster_pass_ms(door->cluster, timeout_ms);
        return STATUS_OK;
    }
    if (status != STATUS_OK)
        return status;
    serve_group(door);
    if (door->is_dead)
        return failure_set(failure, REMEDY_STOP, "dead");
    max = max < LENT_MAX ? max : LENT_MAX;
    lend_room(&door->lent, max);
    first = (uint32_t)cluster_random(door->cluster, lane_count);
    for (uint32_t i = 0; i < lane_count && *count < max; i++) {
        uint32_t lane = (first + i) % lane_count;

        if (!door->cluster->is_calm && cluster_chance(door->cluster, 300))
            continue;
        *count += take_lane(door, (int)lane / door->cluster->partition_count,
                            (int32_t)lane % door->cluster->partition_count, records + *count,
                            1 + (uint32_t)cluster_random(door->cluster, max - *count));
    }
    if (*count == 0)
        cluster_pass_ms(door->cluster, timeout_ms);
    return STATUS_OK;
}

static bool do_header_at(void *context, const struct record *record, uint32_t index,
                         struct header *header)
{
    const struct entry *entry = record->handle;

    (void)context;
    if (index >= entry->header_count)
        return false;
    header->name = entry->headers[index].name;
    header->value = (struct view){entry->headers[index].value, entry->headers[index].size};
    return true;
}

static struct view do_topic_name(void *context, enum topic topic)
{
    struct door *door = context;

    return view_of(door->cluster->topic_names[topic]);
}

static struct view do_header(void *context, const struct record *record, const char *name)
{
    const struct entry *entry = record->handle;

    (void)context;
    for (uint32_t i = 0; i < entry->header_count; i++)
        if (strcmp(entry->headers[i].name, name) == 0)
            return (struct view){entry->headers[i].value, entry->headers[i].size};
    return (struct view){0};
}

/* ---- functions of the door: giving ---------------------------------------------------------- */

/* What has no key goes anywhere, as with a real producer. */
static int32_t partition_of(const struct door *door, const struct outgoing *outgoing)
{
    int32_t count =
        topic_info(outgoing->topic)->layout == LAYOUT_SINGLE ? 1 : door->cluster->partition_count;

    if (outgoing->partition >= 0)
        return outgoing->partition;
    return view_is_absent(outgoing->key) ? (int32_t)cluster_random(door->cluster, (uint64_t)count)
                                         : hash_partition(outgoing->key, count);
}

static void deliver(struct door *door, uint32_t count)
{
    if (door->is_dead)
        return;
    for (; count > 0 && door->flight_count > 0; count--) {
        struct flight *flight = &door->flights[door->flight_first];

        cluster_put_entry(door->cluster, flight->topic, flight->partition, &flight->entry, NULL);
        door->flight_first = (door->flight_first + 1) % FLIGHT_MAX;
        door->flight_count--;
        door->delivered_count++;
    }
}

static bool is_transaction_open(const struct door *door)
{
    return door->transaction != NULL && door->transaction->serial == door->serial &&
           door->transaction->state == TRANSACTION_OPEN;
}

static enum status begin(struct door *door, struct failure *failure)
{
    if (door->is_void || (door->transaction != NULL && !is_transaction_open(door)))
        return fail(door, OPERATION_PRODUCE, REMEDY_ROLL_BACK, failure);
    if (door->transaction == NULL) {
        door->transaction = cluster_begin(door->cluster, door->options.producer);
        door->serial = door->transaction->serial;
    }
    return STATUS_OK;
}

static enum status do_produce(void *context, const struct outgoing *outgoing,
                              struct failure *failure)
{
    struct door *door = context;
    enum status status = meet_fate(door, OPERATION_PRODUCE, failure);
    int32_t partition = partition_of(door, outgoing);

    if (status == STATUS_BROKEN && failure->remedy == REMEDY_RETRY)
        return STATUS_FULL;
    if (status != STATUS_OK)
        return status;
    if (door->is_committing && door->options.is_transactional)
        return STATUS_AGAIN;
    if (door->options.is_transactional) {
        status = begin(door, failure);
        if (status != STATUS_OK)
            return status;
        if (is_rolled_back(door) && cluster_chance(door->cluster, 100))
            return fail(door, OPERATION_PRODUCE, REMEDY_ROLL_BACK, failure);
        cluster_append(door->cluster, outgoing, partition, door->transaction);
    } else {
        struct flight *flight =
            &door->flights[(door->flight_first + door->flight_count) % FLIGHT_MAX];

        if (door->flight_count == FLIGHT_MAX)
            return STATUS_FULL;
        *flight = (struct flight){cluster_make_entry(door->cluster, outgoing), outgoing->topic,
                                  partition};
        door->flight_count++;
        door->produced_count++;
    }
    cluster_trace(door->cluster, door->options.number, OPERATION_PRODUCE, outgoing->topic,
                  partition, outgoing->value.size, STATUS_OK, REMEDY_NONE);
    return STATUS_OK;
}

static enum status do_commit_start(void *context, const struct position *positions, uint32_t count,
                                   struct failure *failure)
{
    struct door *door = context;
    enum status status = meet_fate(door, OPERATION_COMMIT_START, failure);

    if (status != STATUS_OK)
        return status;
    assert(!door->is_committing);
    if (!door->cluster->is_calm && cluster_chance(door->cluster, 20))
        return STATUS_AGAIN;
    if (door->options.is_transactional) {
        status = begin(door, failure);
        if (status != STATUS_OK)
            return status;
        if (!may_commit(door) || is_rolled_back(door))
            return fail(door, OPERATION_COMMIT_START, REMEDY_ROLL_BACK, failure);
    }
    free(door->positions);
    door->positions = calloc(count > 0 ? count : 1, sizeof(*positions));
    if (door->positions == NULL)
        abort();
    if (count > 0)
        memcpy(door->positions, positions, count * sizeof(*positions));
    door->position_count = count;
    door->is_committing = true;
    door->commit_stage = 0;
    door->commit_mark = door->produced_count;
    cluster_trace(door->cluster, door->options.number, OPERATION_COMMIT_START, -1, -1, count,
                  STATUS_OK, REMEDY_NONE);
    return STATUS_OK;
}

static enum status end_commit(struct door *door, enum remedy remedy, struct failure *failure)
{
    door->is_committing = false;
    if (remedy != REMEDY_NONE)
        return fail(door, OPERATION_COMMIT_WAIT, remedy, failure);
    cluster_trace(door->cluster, door->options.number, OPERATION_COMMIT_WAIT, -1, -1,
                  door->position_count, STATUS_OK, REMEDY_NONE);
    return STATUS_OK;
}

static enum status commit_transaction(struct door *door, struct failure *failure)
{
    struct transaction *transaction = door->transaction;

    if (!is_transaction_open(door))
        return end_commit(door, REMEDY_ROLL_BACK, failure);
    if (door->commit_stage == 0) {
        if (!may_commit(door) || is_rolled_back(door))
            return end_commit(door, REMEDY_ROLL_BACK, failure);
        free(transaction->positions);
        transaction->positions = door->positions;
        transaction->position_count = door->position_count;
        transaction->has_positions = true;
        door->positions = NULL;
        door->commit_stage = 1;
        return STATUS_AGAIN;
    }
    if (is_rolled_back(door))
        return end_commit(door, REMEDY_ROLL_BACK, failure);
    /* From here on it is decided, whoever learns of it. */
    cluster_decide(door->cluster, transaction, true);
    door->transaction = NULL;
    if (!door->cluster->is_calm &&
        cluster_chance(door->cluster, door->cluster->fault_permille / 4)) {
        if (cluster_chance(door->cluster, 500))
            door_kill(door);
        return end_commit(door, REMEDY_STOP, failure);
    }
    return end_commit(door, REMEDY_NONE, failure);
}

static enum status commit_positions(struct door *door, struct failure *failure)
{
    deliver(door, FLIGHT_MAX);
    if (door->delivered_count < door->commit_mark)
        return STATUS_AGAIN;
    if (door->position_count > 0 && !may_commit(door))
        return end_commit(door, REMEDY_ROLL_BACK, failure);
    for (uint32_t i = 0; i < door->position_count; i++)
        door->cluster->committed[door->positions[i].topic][door->positions[i].partition] =
            door->positions[i].offset;
    return end_commit(door, REMEDY_NONE, failure);
}

static enum status do_commit_wait(void *context, int64_t timeout_ms, struct failure *failure)
{
    struct door *door = context;
    enum status status;

    if (!door->is_committing)
        return door->is_dead ? failure_set(failure, REMEDY_STOP, "dead") : STATUS_OK;
    status = meet_fate(door, OPERATION_COMMIT_WAIT, failure);
    if (status == STATUS_BROKEN)
        door->is_committing = false;
    if (status != STATUS_OK)
        return status;
    cluster_pass_ms(door->cluster, timeout_ms > 5 ? 5 : timeout_ms);
    if (!door->cluster->is_calm && cluster_chance(door->cluster, 500))
        return STATUS_AGAIN;
    return door->options.is_transactional ? commit_transaction(door, failure)
                                          : commit_positions(door, failure);
}

static enum status do_abort(void *context, struct failure *failure)
{
    struct door *door = context;
    enum status status = meet_fate(door, OPERATION_ABORT, failure);

    if (status != STATUS_OK)
        return status;
    if (is_transaction_open(door))
        cluster_decide(door->cluster, door->transaction, false);
    door->transaction = NULL;
    door->is_void = false;
    door->is_committing = false;
    cluster_trace(door->cluster, door->options.number, OPERATION_ABORT, -1, -1, 0, STATUS_OK,
                  REMEDY_NONE);
    return STATUS_OK;
}

/* ---- functions of the door: questions and readers -------------------------------------------- */

static bool is_unstable(const struct cluster *cluster, const struct position *position)
{
    for (int i = 0; i < TRANSACTIONS_MAX; i++) {
        const struct transaction *transaction = &cluster->transactions[i];

        for (uint32_t k = 0; transaction->state != TRANSACTION_FREE && transaction->has_positions &&
                             k < transaction->position_count;
             k++)
            if (transaction->positions[k].topic == position->topic &&
                transaction->positions[k].partition == position->partition)
                return true;
    }
    return false;
}

static enum status do_committed(void *context, struct position *positions, uint32_t count,
                                struct failure *failure)
{
    struct door *door = context;
    enum status status = meet_fate(door, OPERATION_COMMITTED, failure);

    if (status != STATUS_OK)
        return status;
    for (uint32_t i = 0; i < count; i++)
        if (is_unstable(door->cluster, &positions[i]))
            return STATUS_AGAIN;
    for (uint32_t i = 0; i < count; i++)
        positions[i].offset = door->cluster->committed[positions[i].topic][positions[i].partition];
    cluster_trace(door->cluster, door->options.number, OPERATION_COMMITTED, -1,
                  positions[0].partition, positions[count - 1].offset, STATUS_OK, REMEDY_NONE);
    return STATUS_OK;
}

static enum status do_partition_count(void *context, enum topic topic, int32_t *count,
                                      struct failure *failure)
{
    struct door *door = context;
    enum status status = meet_fate(door, OPERATION_PARTITION_COUNT, failure);

    if (status == STATUS_OK)
        *count = topic_info(topic)->layout == LAYOUT_SINGLE ? 1 : door->cluster->partition_count;
    return status;
}

static enum status do_bounds(void *context, enum topic topic, int32_t partition, int64_t *first,
                             int64_t *next, struct failure *failure)
{
    struct door *door = context;
    enum status status = meet_fate(door, OPERATION_BOUNDS, failure);

    if (status != STATUS_OK)
        return status;
    *first = door->cluster->logs[topic][partition].first;
    *next = cluster_end(door->cluster, topic, partition);
    return STATUS_OK;
}

static int64_t do_known_end(void *context, enum topic topic, int32_t partition)
{
    return cluster_end(((struct door *)context)->cluster, topic, partition);
}

static enum status do_reader_open(void *context, enum topic topic, int32_t partition, int64_t from,
                                  struct transport_reader **out, struct failure *failure)
{
    struct door *door = context;
    enum status status = meet_fate(door, OPERATION_READER_OPEN, failure);
    struct transport_reader *reader;

    if (status != STATUS_OK)
        return status;
    for (reader = door->readers; reader != NULL; reader = reader->sibling)
        assert(reader->topic != topic || reader->partition != partition);
    reader = calloc(1, sizeof(*reader));
    if (reader == NULL)
        abort();
    *reader = (struct transport_reader){.door = door,
                                        .topic = topic,
                                        .partition = partition,
                                        .next = from < 0 ? 0 : from,
                                        .sibling = door->readers};
    door->readers = reader;
    *out = reader;
    return STATUS_OK;
}

static enum status do_reader_poll(struct transport_reader *reader, struct record *records,
                                  uint32_t max, int64_t timeout_ms, uint32_t *count,
                                  struct failure *failure)
{
    struct door *door = reader->door;
    struct cluster *cluster = door->cluster;
    const struct log *log = &cluster->logs[reader->topic][reader->partition];
    int64_t end = cluster_end(cluster, reader->topic, reader->partition);
    enum status status = meet_fate(door, OPERATION_READER_POLL, failure);

    *count = 0;
    if (status == STATUS_AGAIN)
        return STATUS_OK;
    if (status != STATUS_OK)
        return status;
    if (!cluster->is_calm && cluster_chance(cluster, 100)) {
        cluster_pass_ms(cluster, timeout_ms);
        return STATUS_OK;
    }
    if (!cluster->is_calm)
        max = 1 + (uint32_t)cluster_random(cluster, max);
    lend_room(&reader->lent, max);
    if (reader->next < log->first)
        reader->next = log->first;
    while (reader->next < end && *count < max) {
        const struct entry *entry = &log->entries[reader->next];

        if (entry->state == ENTRY_VISIBLE)
            lend(&reader->lent, entry, reader->topic, reader->partition, reader->next,
                 &records[(*count)++]);
        reader->next++;
    }
    if (*count > 0)
        cluster_trace(cluster, door->options.number, OPERATION_READER_POLL, reader->topic,
                      reader->partition, records[0].offset, STATUS_OK, REMEDY_NONE);
    return reader->next >= end && (*count == 0 || cluster_chance(cluster, 500)) ? STATUS_END
                                                                                : STATUS_OK;
}

static void do_reader_close(struct transport_reader *reader)
{
    struct transport_reader **place = &reader->door->readers;

    while (*place != reader)
        place = &(*place)->sibling;
    *place = reader->sibling;
    give_up_lent(&reader->lent);
    free(reader);
}

static void do_close(void *context)
{
    door_close(context);
}

/* ---- opening and closing ------------------------------------------------------------------------
 */

static const struct transport_door functions = {
    .subscribe = do_subscribe,
    .resume = do_resume,
    .poll = do_poll,
    .header = do_header,
    .header_at = do_header_at,
    .topic_name = do_topic_name,
    .produce = do_produce,
    .commit_start = do_commit_start,
    .commit_wait = do_commit_wait,
    .abort = do_abort,
    .committed = do_committed,
    .partition_count = do_partition_count,
    .bounds = do_bounds,
    .known_end = do_known_end,
    .reader_open = do_reader_open,
    .reader_poll = do_reader_poll,
    .reader_close = do_reader_close,
    .close = do_close,
};

struct door *door_open(struct cluster *cluster, const struct door_options *options)
{
    struct door *door = calloc(1, sizeof(*door));

    if (door == NULL)
        abort();
    door->cluster = cluster;
    door->options = *options;
    if (options->is_transactional)
        cluster_fence(cluster, options->producer);
    return door;
}

struct transport door_transport(struct door *door)
{
    return (struct transport){&functions, door};
}

void door_close(struct door *door)
{
    if (door->is_dead && door->is_in_group) {
        door->is_abandoned = true;
        return;
    }
    if (!door->is_dead && is_transaction_open(door))
        cluster_decide(door->cluster, door->transaction, false);
    leave_cluster(door);
    free_door(door);
}
