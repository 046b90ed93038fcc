#include "pipeline/state.h"

#include <assert.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/hash.h"
#include "base/json_writer.h"
#include "base/log.h"
#include "base/map.h"
#include "event/letter.h"
#include "pipeline/journal.h"
#include "pipeline/result_key.h"
#include "pipeline/single.h"
#include "pipeline/snapshot.h"
#include "pipeline/tap.h"

static const char room[] = "state";

enum {
    BATCH_RECORDS = 1024,
    POLL_MS = 1000,
    SILENCE_MAX = 60, /* polls without an answer before giving up */
    DIFFERENCES_TOLD = 20,
    MANIFESTS_MAX = 64, /* of a partition, compacted ones do not count */
    ARENA_CHUNK_BYTES = 256 << 10,
};

/* ---- reading to the end ------------------------------------------------------------- */

/* The next record below `end`, STATUS_END, or a failure. Waits. */
static enum status peek(struct tap *tap, int64_t end, const struct record **record,
                        struct failure *failure)
{
    for (int silence = 0; silence < SILENCE_MAX;) {
        enum status status = tap_peek(tap, POLL_MS, record, failure);

        if (status == STATUS_OK)
            return (*record)->offset < end ? STATUS_OK : STATUS_END;
        if (status == STATUS_BROKEN && failure->remedy != REMEDY_RETRY)
            return status;
        if (status == STATUS_END)
            return STATUS_END;
        silence++;
    }
    return failure_set(failure, REMEDY_RETRY, "the log does not answer");
}

static enum status open_whole(const struct transport *side, enum topic topic, int32_t partition,
                              struct tap *tap, int64_t *end, struct failure *failure)
{
    int64_t first;
    enum status status = side->door->bounds(side->context, topic, partition, &first, end, failure);

    if (status == STATUS_OK)
        status = tap_open(tap, side, topic, partition, POSITION_BEGINNING, BATCH_RECORDS, failure);
    return status == STATUS_OK || status == STATUS_BROKEN
               ? status
               : failure_set(failure, REMEDY_RETRY, "%s: no answer", topic_info(topic)->name);
}

/* ---- the journal that counts ------------------------------------------------------------ */

struct chain_link {
    uint64_t epoch, sequence, base, config_digest;
    int64_t offset, timestamp_ms;
    uint64_t events;
    struct view value; /* in the arena */
    bool is_ahead;
};

struct chain {
    struct arena *arena;
    struct chain_link *links;
    uint32_t count, capacity;
    uint64_t record_count, zombie_count, broken_count, gap_count;
};

static void free_chain(struct chain *chain)
{
    if (chain->arena != NULL)
        arena_destroy(chain->arena);
    free(chain->links);
}

static void add_link(struct chain *chain, const struct chain_link *link)
{
    if (chain->count == chain->capacity) {
        chain->capacity = chain->capacity == 0 ? 256 : 2 * chain->capacity;
        chain->links = realloc(chain->links, chain->capacity * sizeof(*chain->links));
        if (chain->links == NULL)
            abort();
    }
    chain->links[chain->count++] = *link;
}

static uint64_t count_events(struct journal_cursor cursor)
{
    struct journal_operation operation;
    uint64_t count = 0;

    while (journal_next(&cursor, &operation))
        if (operation.kind == JOURNAL_APPLY)
            count += (uint64_t)(operation.to - operation.from);
    return count;
}

/* As a restoration reads it: a later owner voids what lies beyond his base. */
static void take_link(struct chain *chain, const struct record *record)
{
    struct journal_head head;
    struct journal_cursor cursor;
    uint64_t epoch = chain->count > 0 ? chain->links[chain->count - 1].epoch : 0;
    uint64_t last;

    chain->record_count++;
    if (journal_open(record->value, &head, &cursor, NULL) != STATUS_OK) {
        chain->broken_count++;
        return;
    }
    if (head.epoch < epoch) {
        chain->zombie_count++;
        return;
    }
    while (head.epoch > epoch && chain->count > 0 &&
           chain->links[chain->count - 1].sequence > head.base) {
        chain->count--;
        chain->zombie_count++;
    }
    last = chain->count > 0 ? chain->links[chain->count - 1].sequence : 0;
    if (head.sequence <= last && chain->count > 0)
        return; /* delivered twice */
    chain->gap_count += chain->count > 0 && head.sequence != last + 1;
    add_link(chain, &(struct chain_link){.epoch = head.epoch,
                                         .sequence = head.sequence,
                                         .base = head.base,
                                         .config_digest = head.config_digest,
                                         .offset = record->offset,
                                         .timestamp_ms = record->timestamp_ms,
                                         .events = count_events(cursor),
                                         .value = arena_copy(chain->arena, record->value),
                                         .is_ahead = head.is_ahead});
}

static enum status read_chain(const struct transport *side, int32_t partition, struct chain *chain,
                              struct failure *failure)
{
    struct tap tap = {0};
    const struct record *record;
    int64_t end;
    enum status status = open_whole(side, TOPIC_JOURNAL, partition, &tap, &end, failure);

    chain->arena = arena_create(ARENA_CHUNK_BYTES);
    while (status == STATUS_OK) {
        status = peek(&tap, end, &record, failure);
        if (status != STATUS_OK)
            break;
        take_link(chain, record);
        tap_skip(&tap);
    }
    tap_close(&tap);
    return status == STATUS_END ? STATUS_OK : status;
}

/* ---- snapshots ---------------------------------------------------------------------------- */

struct shelf {
    struct snapshot_manifest manifests[MANIFESTS_MAX];
    uint32_t count;
    uint64_t broken_count;
};

static enum status read_shelf(const struct transport *side, int32_t partition, struct shelf *shelf,
                              struct failure *failure)
{
    struct tap tap = {0};
    const struct record *record;
    int64_t end;
    enum status status = open_whole(side, TOPIC_SNAPSHOTS, partition, &tap, &end, failure);

    while (status == STATUS_OK) {
        status = peek(&tap, end, &record, failure);
        if (status != STATUS_OK)
            break;
        if (snapshot_is_manifest(record->value)) {
            struct snapshot_manifest *place = &shelf->manifests[shelf->count % MANIFESTS_MAX];

            if (snapshot_decode_manifest(record->value, place, NULL) == STATUS_OK)
                shelf->count++;
            else
                shelf->broken_count++;
        }
        tap_skip(&tap);
    }
    tap_close(&tap);
    return status == STATUS_END ? STATUS_OK : status;
}

static const struct snapshot_manifest *shelf_find(const struct shelf *shelf, uint64_t epoch,
                                                  uint64_t sequence)
{
    uint32_t count = shelf->count < MANIFESTS_MAX ? shelf->count : MANIFESTS_MAX;

    for (uint32_t i = 0; i < count; i++)
        if (shelf->manifests[i].sequence == sequence && shelf->manifests[i].epoch == epoch)
            return &shelf->manifests[i];
    return NULL;
}

/* ---- inspect -------------------------------------------------------------------------------- */

static void print_hex(struct json_writer *json, const char *name, uint64_t value)
{
    struct byte_writer text;

    byte_writer_init(&text);
    byte_print(&text, "%016" PRIx64, value);
    json_name(json, name);
    json_view(json, byte_writer_view(&text));
    byte_writer_free(&text);
}

static void print_number(struct json_writer *json, const char *name, uint64_t value)
{
    json_name(json, name);
    json_int(json, (int64_t)value);
}

static void print_snapshot(struct json_writer *json, const struct snapshot_manifest *manifest)
{
    json_begin_object(json);
    print_number(json, "journal_record", manifest->sequence);
    print_number(json, "epoch", manifest->epoch);
    print_number(json, "taken_ms", (uint64_t)manifest->taken_ms);
    print_number(json, "slot", manifest->slot);
    print_number(json, "chunks", manifest->chunk_count);
    print_number(json, "bytes", manifest->raw_bytes);
    print_number(json, "stored_bytes", manifest->stored_bytes);
    print_number(json, "partitions", (uint64_t)manifest->partition_count);
    print_hex(json, "configuration", manifest->config_digest);
    print_hex(json, "digest", manifest->engine_digest);
    json_name(json, "positions");
    json_begin_object(json);
    for (int i = 0; i < TOPIC_INPUT_COUNT; i++) {
        if (manifest->positions[i] < 0)
            continue;
        json_name(json, topic_info((enum topic)i)->name);
        json_int(json, manifest->positions[i]);
    }
    json_name(json, topic_info(TOPIC_COMMANDS)->name);
    json_int(json, manifest->single_positions[SINGLE_COMMANDS]);
    if (manifest->single_positions[SINGLE_POPULARITY] > 0)
        print_number(json, topic_info(TOPIC_POPULARITY)->name,
                     (uint64_t)manifest->single_positions[SINGLE_POPULARITY]);
    json_end_object(json);
    json_end_object(json);
}

static void print_chain(struct json_writer *json, const struct chain *chain)
{
    uint64_t events = 0, owners = 0;

    for (uint32_t i = 0; i < chain->count; i++) {
        events += chain->links[i].events;
        owners += i == 0 || chain->links[i].epoch != chain->links[i - 1].epoch;
    }
    json_name(json, "journal");
    json_begin_object(json);
    print_number(json, "records", chain->record_count);
    print_number(json, "void_records", chain->zombie_count);
    print_number(json, "unreadable_records", chain->broken_count);
    print_number(json, "gaps", chain->gap_count);
    print_number(json, "owners", owners);
    print_number(json, "events", events);
    if (chain->count > 0) {
        const struct chain_link *last = &chain->links[chain->count - 1];

        print_number(json, "first_record", chain->links[0].sequence);
        print_number(json, "last_record", last->sequence);
        print_number(json, "epoch", last->epoch);
        print_number(json, "written_ms", (uint64_t)last->timestamp_ms);
        print_hex(json, "configuration", last->config_digest);
    }
    json_end_object(json);
}

enum status state_inspect(const struct state_setup *setup, int32_t partition,
                          struct byte_writer *out, struct failure *failure)
{
    struct json_writer json = json_writer_on(out);
    struct chain chain = {0};
    struct shelf *shelf = calloc(1, sizeof(*shelf));
    enum status status;

    if (shelf == NULL)
        abort();
    status = read_chain(&setup->side, partition, &chain, failure);
    if (status == STATUS_OK)
        status = read_shelf(&setup->side, partition, shelf, failure);
    if (status != STATUS_OK)
        goto done;
    json_begin_object(&json);
    print_number(&json, "partition", (uint64_t)partition);
    print_hex(&json, "configuration", engine_config_digest(setup->engine_config));
    json_name(&json, "snapshots");
    json_begin_array(&json);
    for (uint32_t i = 0; i < shelf->count && i < MANIFESTS_MAX; i++)
        print_snapshot(&json, &shelf->manifests[i]);
    json_end_array(&json);
    print_number(&json, "unreadable_snapshots", shelf->broken_count);
    print_chain(&json, &chain);
    json_end_object(&json);

done:
    free_chain(&chain);
    free(shelf);
    return status;
}

/* ---- verify: results by key -------------------------------------------------------------------
 */

struct series {
    uint64_t *hashes;
    uint32_t count, capacity;
};

/* Results of one key in their order, by "topic/key". */
struct ledger {
    struct map *index;
    struct series *series;
    uint32_t count, capacity;
    uint64_t total;
};

static void free_ledger(struct ledger *ledger)
{
    for (uint32_t i = 0; i < ledger->count; i++)
        free(ledger->series[i].hashes);
    free(ledger->series);
    if (ledger->index != NULL)
        map_destroy(ledger->index);
}

static struct series *find_series(struct ledger *ledger, struct view name)
{
    uint64_t index;

    if (map_get(ledger->index, name, &index))
        return &ledger->series[index];
    if (ledger->count == ledger->capacity) {
        ledger->capacity = ledger->capacity == 0 ? 64 : 2 * ledger->capacity;
        ledger->series = realloc(ledger->series, ledger->capacity * sizeof(*ledger->series));
        if (ledger->series == NULL)
            abort();
    }
    map_put(ledger->index, name, ledger->count);
    ledger->series[ledger->count] = (struct series){0};
    return &ledger->series[ledger->count++];
}

static bool series_has(const struct series *series, uint64_t hash)
{
    for (uint32_t i = 0; i < series->count; i++)
        if (series->hashes[i] == hash)
            return true;
    return false;
}

static void note_result(struct ledger *ledger, enum topic topic, struct view key, struct view value,
                        uint64_t *repeated)
{
    struct byte_writer name;
    struct series *series;
    uint64_t hash = hash_view(value, 11);

    byte_writer_init(&name);
    byte_print(&name, "%s/", topic_info(topic)->name);
    byte_put(&name, key.data != NULL ? key.data : "", key.size);
    series = find_series(ledger, byte_writer_view(&name));
    byte_writer_free(&name);
    if (repeated != NULL && series_has(series, hash)) {
        (*repeated)++;
        return;
    }
    if (series->count == series->capacity) {
        series->capacity = series->capacity == 0 ? 8 : 2 * series->capacity;
        series->hashes = realloc(series->hashes, series->capacity * sizeof(*series->hashes));
        if (series->hashes == NULL)
            abort();
    }
    series->hashes[series->count++] = hash;
    ledger->total++;
}

/* ---- verify: the uncrashed machine --------------------------------------------------------------
 */

struct verify {
    const struct state_setup *setup;
    struct state_report *report;
    int32_t partition;
    struct engine *engine;
    struct arena *arena;
    struct outbox *outbox;
    struct byte_writer bytes;
    struct ledger expected, found;
    struct tap taps[TOPIC_COUNT];
    int64_t ends[TOPIC_COUNT]; /* of the range before; -1: none */
};

static void differ(struct verify *verify, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void differ(struct verify *verify, const char *format, ...)
{
    va_list arguments;
    char line[400];

    verify->report->differences++;
    if (verify->report->differences > DIFFERENCES_TOLD)
        return;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    if (verify->partition < 0)
        log_error(room, "%s", line);
    else
        log_error(room, "partition %" PRId32 ": %s", verify->partition, line);
}

static enum status take_results(struct verify *verify, struct failure *failure)
{
    for (uint32_t i = 0; i < outbox_count(verify->outbox); i++) {
        const struct result *result = outbox_at(verify->outbox, i);
        enum status status;

        byte_writer_reset(&verify->bytes);
        status = codec_encode_result(verify->setup->codec, result, &verify->bytes, failure);
        if (status != STATUS_OK)
            return status;
        note_result(&verify->expected, topic_of_result(result->kind),
                    result_key(result, outbox_scratch(verify->outbox)),
                    byte_writer_view(&verify->bytes), NULL);
    }
    outbox_reset(verify->outbox);
    return STATUS_OK;
}

static int kind_of(const struct verify *verify, const struct record *record)
{
    const struct transport *side = &verify->setup->side;
    enum topic topic = record->topic;

    if (topic == TOPIC_FORWARD)
        topic = letter_source(side, record);
    return topic == TOPIC_COUNT ? -1 : topic_info(topic)->event_kind;
}

static enum status apply_popularity(struct verify *verify, const struct record *record,
                                    struct failure *failure)
{
    struct result result = {.kind = RESULT_POPULARITY, .tenant_id = record->key};
    struct codec_reason reason = {0};

    if (!view_is_absent(record->value) &&
        codec_decode_result(verify->setup->codec, RESULT_POPULARITY, record->value, verify->arena,
                            &result, &reason, failure) != STATUS_OK) {
        if (failure->remedy != REMEDY_SET_ASIDE)
            return STATUS_BROKEN;
        differ(verify, "%s offset %" PRId64 " was applied and cannot be read now: %s",
               topic_info(record->topic)->name, record->offset, reason.text);
        return STATUS_OK;
    }
    engine_take_popularity(verify->engine, &result);
    verify->report->events++;
    arena_reset(verify->arena);
    return STATUS_OK;
}

static enum status apply_record(struct verify *verify, const struct record *record,
                                struct failure *failure)
{
    struct event event;
    struct codec_reason reason = {0};
    int kind = kind_of(verify, record);

    if (kind < 0 || codec_decode_event(verify->setup->codec, (enum event_kind)kind, record->value,
                                       verify->arena, &event, &reason, failure) != STATUS_OK) {
        if (kind >= 0 && failure->remedy != REMEDY_SET_ASIDE)
            return STATUS_BROKEN;
        differ(verify, "%s offset %" PRId64 " was applied and cannot be read now: %s",
               topic_info(record->topic)->name, record->offset, reason.text);
        return STATUS_OK;
    }
    switch (engine_apply(verify->engine, &event, verify->outbox)) {
    case VERDICT_APPLIED:
    case VERDICT_DUPLICATE:
    case VERDICT_LATE:
        break;
    case VERDICT_LATE_SET_ASIDE:
    case VERDICT_FUTURE:
    case VERDICT_UNKNOWN_TENANT:
        verify->report->set_aside++;
        break;
    }
    verify->report->events++;
    arena_reset(verify->arena);
    return take_results(verify, failure);
}

/* What lies between two ranges of a topic must be no record: else nobody took it. */
static enum status follow_range(struct verify *verify, const struct journal_operation *operation,
                                struct failure *failure)
{
    struct tap *tap = &verify->taps[operation->topic];
    const struct record *record;
    bool is_single = topic_is_single(operation->topic);
    int64_t *before = &verify->ends[operation->topic];
    int64_t seen = -1;
    enum status status = STATUS_OK;

    if (*before > operation->from)
        differ(verify, "%s offset %" PRId64 " was taken twice", topic_info(operation->topic)->name,
               operation->from);
    if (!tap_is_open(tap))
        status =
            tap_open(tap, &verify->setup->side, operation->topic, is_single ? 0 : verify->partition,
                     *before >= 0 ? *before : operation->from, BATCH_RECORDS, failure);
    while (status == STATUS_OK) {
        status = peek(tap, operation->to, &record, failure);
        if (status != STATUS_OK)
            break;
        if (record->offset < operation->from && record->offset >= *before) {
            differ(verify, "%s offset %" PRId64 " was not taken",
                   topic_info(operation->topic)->name, record->offset);
        } else if (record->offset >= operation->from) {
            seen = record->offset;
            if (operation->kind == JOURNAL_PASS)
                verify->report->passed += !is_single || verify->partition == 0;
            else if (record->topic == TOPIC_POPULARITY)
                status = apply_popularity(verify, record, failure);
            else
                status = apply_record(verify, record, failure);
        }
        tap_skip(tap);
    }
    if (status != STATUS_END)
        return status;
    /* What compaction took was applied before, and cannot be again. */
    if (seen != operation->to - 1 && topic_info(operation->topic)->is_compacted)
        verify->report->is_whole = false;
    else if (seen != operation->to - 1)
        differ(verify, "%s offset %" PRId64 " is gone", topic_info(operation->topic)->name,
               operation->to - 1);
    *before = operation->to;
    return STATUS_OK;
}

static enum status follow_link(struct verify *verify, const struct chain_link *link,
                               struct failure *failure)
{
    struct journal_head head;
    struct journal_cursor cursor;
    struct journal_operation operation;
    enum status status = journal_open(link->value, &head, &cursor, failure);

    if (status == STATUS_OK)
        verify->report->foreign_records +=
            head.config_digest != engine_config_digest(verify->setup->engine_config);
    while (status == STATUS_OK && journal_next(&cursor, &operation)) {
        if (operation.kind != JOURNAL_TICK) {
            status = follow_range(verify, &operation, failure);
            continue;
        }
        engine_tick(verify->engine, operation.from, verify->outbox);
        status = take_results(verify, failure);
    }
    verify->report->is_ahead |= head.is_ahead;
    return status;
}

static void compare_digest(struct verify *verify, const struct shelf *shelf,
                           const struct chain_link *link)
{
    const struct snapshot_manifest *manifest = shelf_find(shelf, link->epoch, link->sequence);

    if (manifest == NULL ||
        manifest->config_digest != engine_config_digest(verify->setup->engine_config))
        return;
    verify->report->digests_compared++;
    if (engine_digest(verify->engine) != manifest->engine_digest)
        differ(verify, "the snapshot at journal record %" PRIu64 " holds another state",
               link->sequence);
}

static void forget_partition(struct verify *verify)
{
    for (int i = 0; i < TOPIC_COUNT; i++) {
        tap_close(&verify->taps[i]);
        verify->ends[i] = -1;
    }
    engine_close(verify->engine);
    verify->engine = NULL;
}

static enum status follow_partition(struct verify *verify, int32_t partition,
                                    struct failure *failure)
{
    struct chain chain = {0};
    struct shelf *shelf = calloc(1, sizeof(*shelf));
    enum status status;

    if (shelf == NULL)
        abort();
    verify->partition = partition;
    forget_partition(verify);
    verify->engine = engine_open(verify->setup->engine_config, partition);
    status = read_chain(&verify->setup->side, partition, &chain, failure);
    if (status == STATUS_OK)
        status = read_shelf(&verify->setup->side, partition, shelf, failure);
    verify->report->journal_records += chain.count;
    verify->report->zombie_records += chain.zombie_count;
    if (status == STATUS_OK && chain.gap_count + chain.broken_count > 0)
        differ(verify, "%" PRIu64 " journal records are missing or cannot be read",
               chain.gap_count + chain.broken_count);
    if (chain.count > 0 && chain.links[0].sequence != 1)
        verify->report->is_whole = false;
    for (uint32_t i = 0; i < chain.count && status == STATUS_OK && verify->report->is_whole; i++) {
        status = follow_link(verify, &chain.links[i], failure);
        if (status == STATUS_OK)
            compare_digest(verify, shelf, &chain.links[i]);
    }
    forget_partition(verify);
    free_chain(&chain);
    free(shelf);
    return status;
}

/* ---- verify: what was published
 * ------------------------------------------------------------------- */

static bool is_engine_result(int kind)
{
    return kind >= 0 && kind != RESULT_NOTIFICATION; /* which the sinks write */
}

static enum status read_results(struct verify *verify, enum topic topic, struct failure *failure)
{
    const struct transport *side = &verify->setup->side;
    bool is_result = is_engine_result(topic_info(topic)->result_kind);
    int32_t count = 0;
    enum status status = side->door->partition_count(side->context, topic, &count, failure);

    for (int32_t i = 0; i < count && status == STATUS_OK; i++) {
        struct tap tap = {0};
        const struct record *record;
        int64_t end;

        status = open_whole(side, topic, i, &tap, &end, failure);
        while (status == STATUS_OK) {
            status = peek(&tap, end, &record, failure);
            if (status != STATUS_OK)
                break;
            if (is_result)
                note_result(&verify->found, topic, record->key, record->value,
                            verify->report->is_ahead ? &verify->report->results_repeated : NULL);
            else
                verify->report->letters_found++;
            tap_skip(&tap);
        }
        tap_close(&tap);
        if (status == STATUS_END)
            status = STATUS_OK;
    }
    return status;
}

static void compare_series(struct verify *verify, struct view name)
{
    const struct series *expected = find_series(&verify->expected, name);
    const struct series *found = find_series(&verify->found, name);
    uint32_t count = expected->count < found->count ? expected->count : found->count;

    assert(count == 0 || (expected->hashes != NULL && found->hashes != NULL));
    for (uint32_t i = 0; i < count; i++)
        if (expected->hashes[i] != found->hashes[i]) {
            differ(verify, "result %" PRIu32 " of %.*s differs", i, VIEW_PRINT(name));
            return;
        }
    if (expected->count != found->count)
        differ(verify, "%.*s: %" PRIu32 " results expected, %" PRIu32 " found", VIEW_PRINT(name),
               expected->count, found->count);
}

static void compare_ledgers(struct verify *verify)
{
    struct view name;
    uint64_t index;
    uint32_t cursor = 0;

    /* First the names that only one side has: comparing adds them to the other. */
    while (map_next(verify->found.index, &cursor, &name, &index))
        find_series(&verify->expected, name);
    cursor = 0;
    while (map_next(verify->expected.index, &cursor, &name, &index))
        compare_series(verify, name);
}

static enum status compare_results(struct verify *verify, struct failure *failure)
{
    struct state_report *report = verify->report;
    enum status status = STATUS_OK;

    for (int i = 0; i < TOPIC_COUNT && status == STATUS_OK; i++)
        if (is_engine_result(topic_info((enum topic)i)->result_kind) || i == TOPIC_DEAD_LETTER ||
            i == TOPIC_FORWARD)
            status = read_results(verify, (enum topic)i, failure);
    if (status != STATUS_OK)
        return status;
    report->results_expected = verify->expected.total;
    report->results_found = verify->found.total;
    verify->partition = -1;
    compare_ledgers(verify);
    if (report->is_ahead ? report->letters_found < report->passed + report->set_aside
                         : report->letters_found != report->passed + report->set_aside)
        differ(verify, "%" PRIu64 " records were set aside or forwarded, %" PRIu64 " found",
               report->passed + report->set_aside, report->letters_found);
    return STATUS_OK;
}

enum status state_verify(const struct state_setup *setup, struct state_report *report,
                         struct failure *failure)
{
    struct verify verify = {.setup = setup, .report = report};
    int32_t count = 0;
    enum status status =
        setup->side.door->partition_count(setup->side.context, TOPIC_ORDERS, &count, failure);

    *report = (struct state_report){.is_whole = true};
    if (status == STATUS_OK)
        engine_config_set_partitions(setup->engine_config, count);
    verify.arena = arena_create(ARENA_CHUNK_BYTES);
    verify.outbox = outbox_create();
    byte_writer_init(&verify.bytes);
    verify.expected.index = map_create();
    verify.found.index = map_create();
    for (int32_t i = 0; i < count && status == STATUS_OK; i++)
        status = follow_partition(&verify, i, failure);
    if (status == STATUS_OK && report->is_whole)
        status = compare_results(&verify, failure);
    free_ledger(&verify.expected);
    free_ledger(&verify.found);
    byte_writer_free(&verify.bytes);
    outbox_destroy(verify.outbox);
    arena_destroy(verify.arena);
    return status;
}

void state_print_report(const struct state_report *report, struct byte_writer *out)
{
    struct json_writer json = json_writer_on(out);

    json_begin_object(&json);
    json_name(&json, "equal");
    json_bool(&json, report->differences == 0 && report->is_whole);
    json_name(&json, "whole");
    json_bool(&json, report->is_whole);
    print_number(&json, "differences", report->differences);
    print_number(&json, "journal_records", report->journal_records);
    print_number(&json, "void_records", report->zombie_records);
    print_number(&json, "records_of_other_settings", report->foreign_records);
    print_number(&json, "events", report->events);
    print_number(&json, "set_aside", report->passed + report->set_aside);
    print_number(&json, "set_aside_found", report->letters_found);
    print_number(&json, "results_expected", report->results_expected);
    print_number(&json, "results_found", report->results_found);
    print_number(&json, "results_repeated", report->results_repeated);
    print_number(&json, "digests_compared", report->digests_compared);
    json_end_object(&json);
}
