/*
 * judge.c - was it exact?
 *
 * From the journal alone an uncrashed machine is run for each partition: the same
 * records, commands and ticks, in the order that the journal says. Then
 *
 *   every input record stands in the journal exactly once
 *   what the machine publishes is what a read-committed consumer finds, key by key,
 *   record for record (at-least-once: after taking out what came again)
 *   every record passed by left exactly one dead letter or one forwarded copy
 *   the machine's digest is that of the live engine
 *
 * What the brokers deleted is no excuse for any of this, unless a pipeline said that it missed
 * it: then every record that is still there was taken, once, and it came to rest.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"
#include "pipeline/machine.h"
#include "pipeline/result_key.h"
#include "pipeline/state.h"
#include "simulation/world.h"

enum { CHAIN_MAX = 65536 };

struct expected {
    enum topic topic;
    char *key, *value;
    uint32_t key_size, value_size;
};

struct expected_list {
    struct expected *items;
    size_t count, capacity;
};

struct link {
    uint64_t epoch, sequence, base;
    int64_t offset; /* in the journal */
};

struct judge {
    struct world *world;
    struct arena *arena;
    struct outbox *outbox;
    struct byte_writer bytes;
    struct expected_list expected;
    bool is_exact;
    /* how often each input record is in the journal */
    uint8_t *seen[TOPIC_INPUT_COUNT][PARTITIONS_MAX];
    uint32_t dead_expected, forward_expected;
};

static char *keep(struct view view)
{
    char *bytes = malloc(view.size + 1);

    if (bytes == NULL)
        abort();
    memcpy(bytes, view.data, view.size);
    bytes[view.size] = '\0';
    return bytes;
}

static void expect(struct judge *judge, enum topic topic, struct view key, struct view value)
{
    struct expected_list *list = &judge->expected;

    if (list->count == list->capacity) {
        list->capacity = list->capacity == 0 ? 256 : 2 * list->capacity;
        list->items = realloc(list->items, list->capacity * sizeof(*list->items));
        if (list->items == NULL)
            abort();
    }
    list->items[list->count++] =
        (struct expected){topic, keep(key), keep(value), key.size, value.size};
}

/* ---- the uncrashed machine ------------------------------------------------------------ */

static void take_results(struct judge *judge)
{
    for (uint32_t i = 0; i < outbox_count(judge->outbox); i++) {
        const struct result *result = outbox_at(judge->outbox, i);
        struct view key = result_key(result, outbox_scratch(judge->outbox));
        struct failure failure;

        byte_writer_reset(&judge->bytes);
        if (codec_encode_result(judge->world->codec, result, &judge->bytes, &failure) != STATUS_OK)
            world_fail(judge->world, "the judge cannot encode: %s", failure.text);
        if (key.data == NULL)
            key = VIEW_LITERAL("");
        expect(judge, topic_of_result(result->kind), key, byte_writer_view(&judge->bytes));
    }
    outbox_reset(judge->outbox);
}

static const struct entry_header *find_header(const struct entry *entry, const char *name)
{
    for (uint32_t i = 0; i < entry->header_count; i++)
        if (strcmp(entry->headers[i].name, name) == 0)
            return &entry->headers[i];
    return NULL;
}

static enum topic source_of(const struct judge *judge, const struct entry *entry, enum topic topic)
{
    const struct entry_header *source = find_header(entry, "weir.source.topic");

    return topic != TOPIC_FORWARD || source == NULL
               ? topic
               : cluster_topic(&judge->world->cluster, source->value);
}

static bool is_same_bytes(const char *a, uint32_t a_size, const char *b, uint32_t b_size)
{
    return a_size == b_size && memcmp(a, b, a_size) == 0;
}

/* What was passed on is the record that it says it was, with all that it had. */
static void check_letter(struct judge *judge, const struct entry *letter)
{
    const struct cluster *cluster = &judge->world->cluster;
    const struct entry_header *topic = find_header(letter, "weir.source.topic");
    const struct entry_header *partition = find_header(letter, "weir.source.partition");
    const struct entry_header *offset = find_header(letter, "weir.source.offset");
    const struct entry *source;

    if (topic == NULL || partition == NULL || offset == NULL ||
        cluster_topic(cluster, topic->value) == TOPIC_COUNT) {
        world_fail(judge->world, "a record was passed on without where it came from");
        return;
    }
    source = &cluster->logs[cluster_topic(cluster, topic->value)][atoi(partition->value)]
                  .entries[atoll(offset->value)];
    if (!is_same_bytes(letter->key, letter->key_size, source->key, source->key_size) ||
        !is_same_bytes(letter->value, letter->value_size, source->value, source->value_size) ||
        letter->timestamp_ms != source->timestamp_ms)
        world_fail(judge->world, "a record was passed on, and it is another one");
    for (uint32_t i = 0; i < source->header_count; i++) {
        const struct entry_header *own = &source->headers[i];
        const struct entry_header *kept = find_header(letter, own->name);

        if (kept == NULL || !is_same_bytes(kept->value, kept->size, own->value, own->size))
            world_fail(judge->world, "header %s of a record was not passed on", own->name);
    }
    for (uint32_t i = 0; i < letter->header_count; i++)
        if (find_header(letter, letter->headers[i].name) != &letter->headers[i])
            world_fail(judge->world, "header %s was passed on twice", letter->headers[i].name);
}

static void apply_entry(struct judge *judge, struct engine *engine, const struct entry *entry,
                        enum topic topic, int32_t partition)
{
    struct event event;
    struct codec_reason reason;
    struct failure failure;
    int kind = topic_info(source_of(judge, entry, topic))->event_kind;

    if (codec_decode_event(judge->world->codec, (enum event_kind)kind,
                           (struct view){entry->value, entry->value_size}, judge->arena, &event,
                           &reason, &failure) != STATUS_OK) {
        world_fail(judge->world, "applied, but cannot be read: %s", reason.text);
        return;
    }
    switch (engine_apply(engine, &event, judge->outbox)) {
    case VERDICT_APPLIED:
        machine_note(partition, &event);
        break;
    case VERDICT_DUPLICATE:
    case VERDICT_LATE:
        break;
    case VERDICT_LATE_SET_ASIDE:
    case VERDICT_FUTURE:
    case VERDICT_UNKNOWN_TENANT:
        judge->dead_expected++;
        break;
    }
    arena_reset(judge->arena);
}

static void apply_popularity(struct judge *judge, struct engine *engine, const struct entry *entry)
{
    struct result result;
    struct codec_reason reason;
    struct failure failure;

    if (codec_decode_result(judge->world->codec, RESULT_POPULARITY,
                            (struct view){entry->value, entry->value_size}, judge->arena, &result,
                            &reason, &failure) != STATUS_OK)
        world_fail(judge->world, "popularity that cannot be read: %s", reason.text);
    else
        engine_take_popularity(engine, &result);
    judge->world->popularity_count++;
    arena_reset(judge->arena);
}

static void follow_range(struct judge *judge, struct engine *engine, int32_t partition,
                         const struct journal_operation *operation)
{
    bool is_single = topic_is_single(operation->topic);
    const struct log *log =
        &judge->world->cluster.logs[operation->topic][is_single ? 0 : partition];

    for (int64_t offset = operation->from; offset < operation->to; offset++) {
        if (offset >= log->count) {
            world_fail(judge->world, "the journal speaks of an offset that is not there");
            return;
        }
        if (log->entries[offset].state != ENTRY_VISIBLE)
            continue;
        if (!is_single)
            judge->seen[operation->topic][partition][offset]++;
        if (operation->kind == JOURNAL_APPLY && operation->topic == TOPIC_POPULARITY)
            apply_popularity(judge, engine, &log->entries[offset]);
        else if (operation->kind == JOURNAL_APPLY)
            apply_entry(judge, engine, &log->entries[offset], operation->topic, partition);
        else if (!is_single || partition == 0)
            judge->forward_expected++; /* or a dead letter: one of them */
    }
}

static void follow_record(struct judge *judge, struct engine *engine, int32_t partition,
                          struct journal_cursor cursor)
{
    struct journal_operation operation;

    while (journal_next(&cursor, &operation)) {
        if (operation.kind == JOURNAL_TICK)
            engine_tick(engine, operation.from, judge->outbox);
        else
            follow_range(judge, engine, partition, &operation);
        take_results(judge);
    }
}

/* ---- the journal ------------------------------------------------------------------------- */

static uint32_t list_chain(struct judge *judge, int32_t partition, struct link *chain)
{
    const struct log *log = &judge->world->cluster.logs[TOPIC_JOURNAL][partition];
    uint32_t count = 0;
    uint64_t epoch = 0;

    for (int64_t offset = 0; offset < log->count; offset++) {
        const struct entry *entry = &log->entries[offset];
        struct journal_head head;
        struct journal_cursor cursor;
        struct failure failure;

        if (entry->state != ENTRY_VISIBLE)
            continue;
        if (journal_open((struct view){entry->value, entry->value_size}, &head, &cursor,
                         &failure) != STATUS_OK) {
            world_fail(judge->world, "journal of %" PRId32 ": %s", partition, failure.text);
            continue;
        }
        if (head.epoch < epoch) {
            if (judge->is_exact)
                world_fail(judge->world, "a zombie wrote into the journal of %" PRId32, partition);
            continue;
        }
        if (head.epoch > epoch && judge->is_exact && count > 0 &&
            chain[count - 1].sequence != head.base)
            world_fail(judge->world, "journal of %" PRId32 ": epoch %" PRIu64 " forks at %" PRIu64,
                       partition, head.epoch, head.base);
        while (count > 0 && chain[count - 1].sequence > head.base && head.epoch > epoch)
            count--;
        epoch = head.epoch;
        if (head.sequence != (count > 0 ? chain[count - 1].sequence : 0) + 1)
            world_fail(judge->world, "journal of %" PRId32 ": record %" PRIu64 " after %" PRIu64,
                       partition, head.sequence, count > 0 ? chain[count - 1].sequence : 0);
        if (count < CHAIN_MAX)
            chain[count++] = (struct link){head.epoch, head.sequence, head.base, offset};
    }
    return count;
}

static const struct partition *find_live(const struct world *world, int32_t number)
{
    for (int i = 0; i < PROCESSES_MAX; i++) {
        const struct pipeline *pipeline = world->processes[i].pipeline;

        if (pipeline != NULL && pipeline->partitions[number] != NULL)
            return pipeline->partitions[number];
    }
    return NULL;
}

static void follow_partition(struct judge *judge, int32_t partition, struct link *chain)
{
    struct world *world = judge->world;
    const struct log *log = &world->cluster.logs[TOPIC_JOURNAL][partition];
    struct engine *engine = engine_open(world->config, partition);
    uint32_t count = list_chain(judge, partition, chain);
    const struct partition *live = find_live(world, partition);

    for (uint32_t i = 0; i < count; i++) {
        const struct entry *entry = &log->entries[chain[i].offset];
        struct journal_head head;
        struct journal_cursor cursor;

        journal_open((struct view){entry->value, entry->value_size}, &head, &cursor, NULL);
        follow_record(judge, engine, partition, cursor);
    }
    if (live == NULL || live->engine == NULL)
        world_fail(world, "partition %" PRId32 " is nowhere live", partition);
    else if (world->gap_count == 0 && engine_digest(live->engine) != engine_digest(engine))
        world_fail(world, "partition %" PRId32 ": the live state differs from the journal's",
                   partition);
    engine_close(engine);
}

/* ---- comparison ----------------------------------------------------------------------------- */

static void check_coverage(struct judge *judge)
{
    const struct cluster *cluster = &judge->world->cluster;

    for (int topic = 0; topic < TOPIC_INPUT_COUNT; topic++)
        for (int32_t partition = 0; partition < cluster->partition_count; partition++)
            for (int64_t i = 0; i < cluster->logs[topic][partition].count; i++) {
                const struct log *log = &cluster->logs[topic][partition];
                bool is_record = log->entries[i].state == ENTRY_VISIBLE;
                bool may_miss = judge->world->gap_count > 0 && i < log->first;

                if (judge->seen[topic][partition][i] != is_record &&
                    !(may_miss && judge->seen[topic][partition][i] == 0))
                    world_fail(judge->world, "%s %" PRId32 " offset %" PRId64 " was taken %u times",
                               topic_info((enum topic)topic)->name, partition, i,
                               judge->seen[topic][partition][i]);
            }
}

static void check_letters(struct judge *judge, const struct log *log)
{
    for (int64_t i = 0; i < log->count; i++)
        if (log->entries[i].state == ENTRY_VISIBLE)
            check_letter(judge, &log->entries[i]);
}

static uint32_t count_visible(const struct cluster *cluster, enum topic topic)
{
    uint32_t count = 0;

    for (int partition = 0; partition < PARTITIONS_MAX; partition++)
        for (int64_t i = 0; i < cluster->logs[topic][partition].count; i++)
            count += cluster->logs[topic][partition].entries[i].state == ENTRY_VISIBLE;
    return count;
}

static void check_set_aside(struct judge *judge)
{
    const struct cluster *cluster = &judge->world->cluster;
    uint32_t expected = judge->dead_expected + judge->forward_expected;
    uint32_t found =
        count_visible(cluster, TOPIC_DEAD_LETTER) + count_visible(cluster, TOPIC_FORWARD);

    for (int partition = 0; partition < PARTITIONS_MAX; partition++) {
        check_letters(judge, &cluster->logs[TOPIC_DEAD_LETTER][partition]);
        check_letters(judge, &cluster->logs[TOPIC_FORWARD][partition]);
    }
    if (judge->is_exact ? found != expected : found < expected)
        world_fail(judge->world, "%u records were set aside or forwarded, %u expected", found,
                   expected);
}

static int compare_expected(const void *a, const void *b)
{
    const struct expected *left = a, *right = b;
    int order;

    if (left->topic != right->topic)
        return left->topic < right->topic ? -1 : 1;
    order = strcmp(left->key, right->key);
    return order;
}

/* Stable: what has one key stays in its order. */
static void sort_by_key(struct expected_list *list)
{
    struct expected *items = list->items;

    for (size_t width = 1; width < list->count; width *= 2) {
        struct expected *merged = malloc(list->count * sizeof(*merged));

        if (merged == NULL)
            abort();
        for (size_t start = 0; start < list->count; start += 2 * width) {
            size_t middle = start + width < list->count ? start + width : list->count;
            size_t end = start + 2 * width < list->count ? start + 2 * width : list->count;
            size_t left = start, right = middle;

            for (size_t place = start; place < end; place++)
                merged[place] =
                    left < middle &&
                            (right == end || compare_expected(&items[left], &items[right]) <= 0)
                        ? items[left++]
                        : items[right++];
        }
        free(items);
        items = merged;
    }
    list->items = items;
}

static bool is_same(const struct expected *a, const struct expected *b)
{
    return compare_expected(a, b) == 0 && a->value_size == b->value_size &&
           memcmp(a->value, b->value, a->value_size) == 0;
}

/* At-least-once: a result that came before, under its key, is the same result. */
static void drop_repeated(struct expected_list *list)
{
    size_t kept = 0;

    for (size_t i = 0; i < list->count; i++) {
        bool is_repeated = false;

        for (size_t k = kept; k > 0 && compare_expected(&list->items[k - 1], &list->items[i]) == 0;
             k--)
            is_repeated |= is_same(&list->items[k - 1], &list->items[i]);
        if (is_repeated) {
            free(list->items[i].key);
            free(list->items[i].value);
        } else {
            list->items[kept++] = list->items[i];
        }
    }
    list->count = kept;
}

static void free_list(struct expected_list *list)
{
    for (size_t i = 0; i < list->count; i++) {
        free(list->items[i].key);
        free(list->items[i].value);
    }
    free(list->items);
}

static void read_results(struct judge *judge, struct expected_list *found)
{
    const struct cluster *cluster = &judge->world->cluster;
    struct expected_list kept = judge->expected;

    judge->expected = (struct expected_list){0};
    for (int topic = TOPIC_ALERTS; topic < TOPIC_COUNT; topic++)
        for (int partition = 0;
             topic_info((enum topic)topic)->result_kind >= 0 && partition < PARTITIONS_MAX;
             partition++)
            for (int64_t i = 0; i < cluster->logs[topic][partition].count; i++) {
                const struct entry *entry = &cluster->logs[topic][partition].entries[i];

                if (entry->state == ENTRY_VISIBLE)
                    expect(judge, (enum topic)topic, (struct view){entry->key, entry->key_size},
                           (struct view){entry->value, entry->value_size});
            }
    *found = judge->expected;
    judge->expected = kept;
}

/* At-least-once with zombies: what a zombie published on its own branch comes besides. */
static bool skip_foreign(const struct expected_list *found, size_t *at,
                         const struct expected *wanted)
{
    for (; *at < found->count; (*at)++)
        if (is_same(&found->items[*at], wanted))
            return true;
    return false;
}

static void compare_results(struct judge *judge)
{
    struct expected_list found;
    bool may_have_more = !judge->is_exact && judge->world->options.has_zombies;
    size_t at = 0;

    read_results(judge, &found);
    sort_by_key(&judge->expected);
    sort_by_key(&found);
    /* A job submitted twice says the same twice. */
    if (!judge->is_exact) {
        drop_repeated(&judge->expected);
        drop_repeated(&found);
    }
    for (size_t i = 0; i < judge->expected.count && !may_have_more; i++, at++)
        if (at >= found.count || !is_same(&judge->expected.items[i], &found.items[at])) {
            world_fail(judge->world,
                       "result %zu of %zu (%zu found) differs: key %s\n  expected %s\n  found %s",
                       i, judge->expected.count, found.count, judge->expected.items[i].key,
                       judge->expected.items[i].value,
                       at < found.count ? found.items[at].value : "nothing");
            break;
        }
    for (size_t i = 0; i < judge->expected.count && may_have_more; i++)
        if (!skip_foreign(&found, &at, &judge->expected.items[i])) {
            world_fail(judge->world, "result %zu is missing: %s", i,
                       judge->expected.items[i].value);
            break;
        }
    if (!may_have_more && found.count != judge->expected.count)
        world_fail(judge->world, "%zu results found, %zu expected", found.count,
                   judge->expected.count);
    free_list(&found);
}

/* Spoils one published result; false: there is none. */
static bool spoil_result(struct world *world)
{
    for (int partition = 0; partition < PARTITIONS_MAX; partition++) {
        struct log *log = &world->cluster.logs[TOPIC_AUDIT][partition];

        for (int64_t i = 0; i < log->count; i++)
            if (log->entries[i].state == ENTRY_VISIBLE) {
                log->entries[i].value[0] ^= 1;
                return true;
            }
    }
    return false;
}

/* `weir state verify` must come to the same judgement, and notice one changed byte. */
static void verify_state(struct world *world)
{
    struct door *door = door_open(&world->cluster, &(struct door_options){.number = 1000});
    struct state_setup setup = {door_transport(door), world->config, world->codec};
    struct state_report report;
    struct failure failure;
    bool may_have_more = world->options.guarantee != GUARANTEE_EXACTLY_ONCE;

    if (state_verify(&setup, &report, &failure) != STATUS_OK)
        world_fail(world, "state_verify: %s", failure.text);
    else if (!report.is_whole || (report.differences > 0 && !may_have_more))
        world_fail(world, "state_verify finds %" PRIu64 " differences", report.differences);
    if (!may_have_more && spoil_result(world) &&
        (state_verify(&setup, &report, &failure) != STATUS_OK || report.differences == 0))
        world_fail(world, "state_verify does not notice a changed result");
    door_close(door);
}

void world_judge(struct world *world)
{
    struct judge judge = {.world = world,
                          .is_exact = world->options.guarantee == GUARANTEE_EXACTLY_ONCE};
    struct link *chain = calloc(CHAIN_MAX, sizeof(*chain));

    if (chain == NULL)
        abort();
    judge.arena = arena_create(16384);
    judge.outbox = outbox_create();
    byte_writer_init(&judge.bytes);
    world->may_mend = true;
    for (int topic = 0; topic < TOPIC_INPUT_COUNT; topic++)
        for (int partition = 0; partition < PARTITIONS_MAX; partition++)
            judge.seen[topic][partition] =
                calloc((size_t)world->cluster.logs[topic][partition].count + 1, 1);
    for (int32_t i = 0; i < world->cluster.partition_count; i++)
        follow_partition(&judge, i, chain);
    check_coverage(&judge);
    if (world->gap_count == 0) {
        check_set_aside(&judge);
        compare_results(&judge);
        machine_check(world);
    }
    for (int topic = 0; topic < TOPIC_INPUT_COUNT; topic++)
        for (int partition = 0; partition < PARTITIONS_MAX; partition++)
            free(judge.seen[topic][partition]);
    free_list(&judge.expected);
    byte_writer_free(&judge.bytes);
    outbox_destroy(judge.outbox);
    arena_destroy(judge.arena);
    free(chain);
    if (!world->has_failed && !world->options.has_retention && world->seed % 4 == 0)
        verify_state(world);
}
