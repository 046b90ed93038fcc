#include "simulation/cluster.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "simulation/door.h"

static int64_t read_wall(void *context)
{
    return ((struct cluster *)context)->wall_ms;
}

static int64_t read_monotonic(void *context)
{
    return ((struct cluster *)context)->mono_ns;
}

void cluster_create(struct cluster *cluster, uint64_t seed)
{
    *cluster = (struct cluster){.random = seed * 2654435769u + 1,
                                .wall_ms = 1700000000000,
                                .mono_ns = 1000000000,
                                .producer_next = 1};
    cluster->clock = (struct clock){read_wall, read_monotonic, cluster};
    for (int topic = 0; topic < TOPIC_COUNT; topic++) {
        snprintf(cluster->topic_names[topic], TOPIC_NAME_MAX, "sim.%s",
                 topic_info((enum topic)topic)->name);
        for (int partition = 0; partition < PARTITIONS_MAX; partition++)
            cluster->committed[topic][partition] = POSITION_NONE;
    }
}

enum topic cluster_topic(const struct cluster *cluster, const char *name)
{
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        if (strcmp(cluster->topic_names[topic], name) == 0)
            return (enum topic)topic;
    return TOPIC_COUNT;
}

void cluster_free_entry(struct entry *entry)
{
    for (uint32_t i = 0; i < entry->header_count; i++) {
        free(entry->headers[i].name);
        free(entry->headers[i].value);
    }
    free(entry->headers);
    free(entry->key);
    free(entry->value);
}

void cluster_destroy(struct cluster *cluster)
{
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        for (int partition = 0; partition < PARTITIONS_MAX; partition++) {
            struct log *log = &cluster->logs[topic][partition];

            for (int64_t i = 0; i < log->count; i++)
                cluster_free_entry(&log->entries[i]);
            free(log->entries);
        }
    for (int i = 0; i < TRANSACTIONS_MAX; i++)
        free(cluster->transactions[i].positions);
    for (int i = 0; i < MEMBERS_MAX; i++)
        if (cluster->members[i] != NULL)
            door_forget(cluster->members[i]);
}

/* ---- chance and trace -------------------------------------------------------------- */

/* SplitMix64 (Steele, Lea, Flood 2014). */
uint64_t cluster_random(struct cluster *cluster, uint64_t below)
{
    uint64_t z = cluster->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return (z ^ (z >> 31)) % below;
}

bool cluster_chance(struct cluster *cluster, uint32_t permille)
{
    return cluster_random(cluster, 1000) < permille;
}

void cluster_trace(struct cluster *cluster, uint32_t door, enum operation operation, int topic,
                   int32_t partition, int64_t number, enum status status, enum remedy remedy)
{
    struct trace_line line = {cluster->turn, door,   operation, topic,
                              partition,     number, status,    remedy};

    cluster->trace[cluster->trace_count++ % TRACE_RING] = line;
    cluster->trace_hash =
        hash_mix(cluster->trace_hash, cluster->turn << 32 ^ (uint64_t)door << 24 ^
                                          (uint64_t)operation << 16 ^ (uint64_t)(topic & 255) << 8 ^
                                          (uint64_t)(partition & 255));
    cluster->trace_hash = hash_mix(cluster->trace_hash, (uint64_t)number);
    cluster->trace_hash = hash_mix(cluster->trace_hash, (uint64_t)status << 8 ^ (uint64_t)remedy);
}

void cluster_print_trace(const struct cluster *cluster, uint64_t turns)
{
    static const char *const names[OPERATION_COUNT] = {
        "subscribe", "resume", "poll",      "produce",         "commit_start",
        "wait",      "abort",  "committed", "partition_count", "bounds",
        "open",      "read",   "assigned",  "revoked",         "DISTURB"};
    static const char *const remedies[] = {"", "retry", "set aside", "roll back", "stop"};
    uint64_t first = cluster->trace_count > TRACE_RING ? cluster->trace_count - TRACE_RING : 0;

    for (uint64_t i = first; i < cluster->trace_count; i++) {
        const struct trace_line *line = &cluster->trace[i % TRACE_RING];

        if (line->turn + turns < cluster->turn)
            continue;
        fprintf(stderr, "  turn %" PRIu64 " door %u %-12s %-16s %2d  %" PRId64 "  %s %s\n",
                line->turn, line->door, names[line->operation],
                line->topic >= 0 ? topic_info((enum topic)line->topic)->name : "", line->partition,
                line->number, status_name(line->status), remedies[line->remedy]);
    }
}

void cluster_pass_ms(struct cluster *cluster, int64_t time_ms)
{
    cluster->wall_ms += time_ms;
    cluster->mono_ns += time_ms * 1000000;
}

/* ---- logs ------------------------------------------------------------------------------ */

static char *copy(const char *data, uint32_t size)
{
    char *bytes = malloc(size + 1);

    if (bytes == NULL)
        abort();
    if (size > 0)
        memcpy(bytes, data, size);
    bytes[size] = '\0';
    return bytes;
}

static struct entry *add_entry(struct log *log)
{
    if (log->count == log->capacity) {
        log->capacity = log->capacity == 0 ? 64 : 2 * log->capacity;
        log->entries = realloc(log->entries, (size_t)log->capacity * sizeof(*log->entries));
        if (log->entries == NULL)
            abort();
    }
    log->entries[log->count] = (struct entry){0};
    return &log->entries[log->count++];
}

static void add_header(struct entry *entry, const char *name, struct view value)
{
    entry->headers = realloc(entry->headers, (entry->header_count + 1) * sizeof(*entry->headers));
    if (entry->headers == NULL)
        abort();
    entry->headers[entry->header_count++] = (struct entry_header){
        copy(name, (uint32_t)strlen(name)), copy(value.data, value.size), value.size};
}

struct entry cluster_make_entry(const struct cluster *cluster, const struct outgoing *outgoing)
{
    struct entry entry = {
        .has_key = !view_is_absent(outgoing->key),
        .has_value = !view_is_absent(outgoing->value),
        .key_size = outgoing->key.size,
        .value_size = outgoing->value.size,
        .key = copy(outgoing->key.data, outgoing->key.size),
        .value = copy(outgoing->value.data, outgoing->value.size),
        .timestamp_ms = outgoing->timestamp_ms > 0 ? outgoing->timestamp_ms : cluster->wall_ms,
    };

    for (uint32_t i = 0; i < outgoing->header_count; i++)
        add_header(&entry, outgoing->headers[i].name, outgoing->headers[i].value);
    return entry;
}

struct entry cluster_copy_entry(const struct entry *entry)
{
    struct entry twin = *entry;

    twin.key = copy(entry->key, entry->key_size);
    twin.value = copy(entry->value, entry->value_size);
    twin.headers = NULL;
    twin.header_count = 0;
    for (uint32_t i = 0; i < entry->header_count; i++)
        add_header(&twin, entry->headers[i].name,
                   (struct view){entry->headers[i].value, entry->headers[i].size});
    return twin;
}

int64_t cluster_put_entry(struct cluster *cluster, enum topic topic, int32_t partition,
                          const struct entry *entry, struct transaction *transaction)
{
    struct log *log = &cluster->logs[topic][partition];
    struct entry *place = add_entry(log);

    *place = *entry;
    place->state = transaction != NULL ? ENTRY_OPEN : ENTRY_VISIBLE;
    place->transaction = transaction;
    if (transaction != NULL)
        transaction->touched[topic][partition] = true;
    return log->count - 1;
}

int64_t cluster_append(struct cluster *cluster, const struct outgoing *outgoing, int32_t partition,
                       struct transaction *transaction)
{
    struct entry entry = cluster_make_entry(cluster, outgoing);

    return cluster_put_entry(cluster, outgoing->topic, partition, &entry, transaction);
}

void cluster_append_marker(struct cluster *cluster, enum topic topic, int32_t partition)
{
    add_entry(&cluster->logs[topic][partition])->state = ENTRY_MARKER;
}

int64_t cluster_end(const struct cluster *cluster, enum topic topic, int32_t partition)
{
    const struct log *log = &cluster->logs[topic][partition];

    /* Transactions are short; those that are open stand near the end. */
    for (int64_t i = log->count > 512 ? log->count - 512 : 0; i < log->count; i++)
        if (log->entries[i].state == ENTRY_OPEN)
            return i;
    return log->count;
}

void cluster_delete(struct cluster *cluster, enum topic topic, int32_t partition, int64_t first)
{
    struct log *log = &cluster->logs[topic][partition];

    /* A broker keeps what may still become visible. */
    if (first > cluster_end(cluster, topic, partition))
        first = cluster_end(cluster, topic, partition);
    if (first > log->first)
        log->first = first;
    cluster_trace(cluster, 0, OPERATION_DISTURB, (int)topic, partition, log->first, STATUS_OK,
                  REMEDY_NONE);
}

void cluster_compact(struct cluster *cluster, enum topic topic, int32_t partition)
{
    struct log *log = &cluster->logs[topic][partition];

    for (int64_t i = 0; i < log->count; i++) {
        struct entry *entry = &log->entries[i];

        if (entry->state != ENTRY_VISIBLE)
            continue;
        for (int64_t later = i + 1; later < log->count; later++) {
            const struct entry *other = &log->entries[later];

            if (other->state == ENTRY_VISIBLE && other->key_size == entry->key_size &&
                memcmp(other->key, entry->key, entry->key_size) == 0) {
                entry->state = ENTRY_GONE;
                break;
            }
        }
    }
}

/* ---- transactions ------------------------------------------------------------------------- */

struct transaction *cluster_begin(struct cluster *cluster, uint64_t producer)
{
    for (int i = 0; i < TRANSACTIONS_MAX; i++) {
        struct transaction *transaction = &cluster->transactions[i];

        /* The one before must have ended at all brokers. */
        if (transaction->state >= TRANSACTION_COMMITS && transaction->producer == producer)
            cluster_finish(cluster, transaction);
    }
    for (int i = 0; i < TRANSACTIONS_MAX; i++) {
        struct transaction *transaction = &cluster->transactions[i];

        if (transaction->state != TRANSACTION_FREE)
            continue;
        free(transaction->positions);
        *transaction = (struct transaction){.state = TRANSACTION_OPEN,
                                            .producer = producer,
                                            .serial = ++cluster->serial_next,
                                            .began_ms = cluster_now_ms(cluster)};
        return transaction;
    }
    abort();
}

void cluster_decide(struct cluster *cluster, struct transaction *transaction, bool is_commit)
{
    (void)cluster;
    assert(transaction->state == TRANSACTION_OPEN);
    transaction->state = is_commit ? TRANSACTION_COMMITS : TRANSACTION_ABORTS;
}

static void write_marker(struct cluster *cluster, struct transaction *transaction, enum topic topic,
                         int32_t partition)
{
    struct log *log = &cluster->logs[topic][partition];

    for (int64_t i = 0; i < log->count; i++)
        if (log->entries[i].state == ENTRY_OPEN && log->entries[i].transaction == transaction)
            log->entries[i].state =
                transaction->state == TRANSACTION_COMMITS ? ENTRY_VISIBLE : ENTRY_ABORTED;
    cluster_append_marker(cluster, topic, partition);
    transaction->touched[topic][partition] = false;
}

static void write_positions(struct cluster *cluster, struct transaction *transaction)
{
    for (uint32_t i = 0;
         i < transaction->position_count && transaction->state == TRANSACTION_COMMITS; i++)
        cluster->committed[transaction->positions[i].topic][transaction->positions[i].partition] =
            transaction->positions[i].offset;
    transaction->has_positions = false;
}

/* Writes markers, each with this chance; true when none is left. */
static bool write_markers(struct cluster *cluster, struct transaction *transaction,
                          uint32_t permille)
{
    bool is_done = true;

    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        for (int32_t partition = 0; partition < PARTITIONS_MAX; partition++) {
            if (!transaction->touched[topic][partition])
                continue;
            if (permille >= 1000 || cluster_chance(cluster, permille))
                write_marker(cluster, transaction, (enum topic)topic, partition);
            else
                is_done = false;
        }
    if (transaction->has_positions) {
        if (permille >= 1000 || cluster_chance(cluster, permille))
            write_positions(cluster, transaction);
        else
            is_done = false;
    }
    if (is_done)
        transaction->state = TRANSACTION_FREE;
    return is_done;
}

void cluster_finish(struct cluster *cluster, struct transaction *transaction)
{
    write_markers(cluster, transaction, 1000);
}

void cluster_fence(struct cluster *cluster, uint64_t producer)
{
    for (int i = 0; i < TRANSACTIONS_MAX; i++) {
        struct transaction *transaction = &cluster->transactions[i];

        if (transaction->state == TRANSACTION_FREE || transaction->producer != producer)
            continue;
        if (transaction->state == TRANSACTION_OPEN)
            transaction->state = TRANSACTION_ABORTS;
        cluster_finish(cluster, transaction);
    }
}

void cluster_step(struct cluster *cluster)
{
    for (int i = 0; i < TRANSACTIONS_MAX; i++) {
        struct transaction *transaction = &cluster->transactions[i];

        if (transaction->state == TRANSACTION_FREE)
            continue;
        if (transaction->state == TRANSACTION_OPEN &&
            cluster_now_ms(cluster) - transaction->began_ms > TRANSACTION_MS)
            transaction->state = TRANSACTION_ABORTS;
        if (transaction->state != TRANSACTION_OPEN)
            write_markers(cluster, transaction, cluster->is_calm ? 900 : 500);
    }
    for (int i = 0; i < MEMBERS_MAX; i++)
        if (cluster->members[i] != NULL)
            door_step(cluster->members[i]);
}
