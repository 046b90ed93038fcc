#include "kafka/mend.h"

#include <assert.h>
#include <librdkafka/rdkafka.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "kafka/client.h"
#include "kafka/group.h"
#include "kafka/reader.h"

static const char room[] = "kafka";

enum {
    LONG_MS = 5000,     /* a transaction that lasted for so long met with something */
    GIVE_UP_MS = 60000, /* since a broker was last found to be away */
    STABLE_MS = 2000,   /* for positions to become stable */
    STEP_MS = 5000,     /* for a step of ours */
    RETRY_PAUSE_MS = 100,
    LEFT_MS = 30000, /* for our next commit to end what hangs; the group forms anew before */
};

/* What a transaction wrote to a partition. */
struct trace {
    uint64_t chapter;    /* that it belongs to; another one: nothing was written */
    int64_t first, last; /* offsets; -1: not known */
    bool is_ours;        /* we own the partition of this number, and write there */
};

struct chapter {
    uint64_t number;
    bool is_kept; /* its end is still of interest */
    bool is_committed;
    int64_t begun_ms;
    rd_kafka_topic_partition_list_t *positions; /* NULL: none */
    struct trace *traces[TOPIC_COUNT];
    int32_t trace_count[TOPIC_COUNT];
};

/* A partition to be ended, and the record to write there again; offset -1: any. */
struct mark {
    enum topic topic;
    int32_t partition;
    int64_t first, offset;
};

struct marks {
    struct mark *all;
    uint32_t count, capacity;
};

struct mend {
    const struct kafka_setup *setup;
    struct client *producer;
    struct group *group;
    const atomic_bool *is_closing;
    uint64_t number;
    struct chapter chapters[2];
    struct chapter *current, *last; /* the one under way, or ended last; the one before */
    struct marks left;              /* to our next commit */
    int64_t left_since_ms;
    bool is_due;
    struct metric *mended;
};

static void add_mark(struct marks *marks, struct mark mark)
{
    if (marks->count == marks->capacity) {
        marks->capacity = marks->capacity == 0 ? 16 : 2 * marks->capacity;
        marks->all = realloc(marks->all, marks->capacity * sizeof *marks->all);
        if (marks->all == NULL)
            abort();
    }
    marks->all[marks->count++] = mark;
}

struct mend *mend_create(const struct kafka_setup *setup, struct client *producer,
                         struct group *group, const atomic_bool *is_closing)
{
    struct mend *mend = calloc(1, sizeof *mend);

    if (mend == NULL)
        abort();
    mend->setup = setup;
    mend->producer = producer;
    mend->group = group;
    mend->is_closing = is_closing;
    mend->current = &mend->chapters[0];
    mend->last = &mend->chapters[1];
    if (setup->metrics != NULL)
        mend->mended =
            metric_counter(setup->metrics, "weir_kafka_partitions_mended_total",
                           "Partitions where the end of a transaction was written again.", NULL);
    return mend;
}

static void forget_positions(struct chapter *chapter)
{
    if (chapter->positions != NULL)
        rd_kafka_topic_partition_list_destroy(chapter->positions);
    chapter->positions = NULL;
}

void mend_destroy(struct mend *mend)
{
    if (mend == NULL)
        return;
    for (int index = 0; index < 2; index++) {
        forget_positions(&mend->chapters[index]);
        for (int topic = 0; topic < TOPIC_COUNT; topic++)
            free(mend->chapters[index].traces[topic]);
    }
    free(mend->left.all);
    free(mend);
}

/* ---- what was written ---- */

static bool saw_trouble(const struct mend *mend, int64_t since_ms)
{
    return client_cut_off_ms(mend->producer) >= since_ms ||
           client_cut_off_ms(group_client(mend->group)) >= since_ms;
}

void mend_begin(struct mend *mend)
{
    if (mend->is_due) /* it is ours */
        return;
    if (mend->current->is_kept) {
        struct chapter *free_one = mend->last;
        mend->last = mend->current;
        mend->current = free_one;
    }
    forget_positions(mend->current);
    mend->current->number = ++mend->number;
    mend->current->is_kept = false;
    mend->current->begun_ms = clock_monotonic_ms(clock_system());
}

static struct trace *trace_of(struct chapter *chapter, enum topic topic, int32_t partition)
{
    int32_t had = chapter->trace_count[topic];

    if (partition >= had) {
        struct trace *traces =
            realloc(chapter->traces[topic], (size_t)(partition + 1) * sizeof *traces);
        if (traces == NULL)
            abort();
        memset(traces + had, 0, (size_t)(partition + 1 - had) * sizeof *traces);
        chapter->traces[topic] = traces;
        chapter->trace_count[topic] = partition + 1;
    }
    return &chapter->traces[topic][partition];
}

void mend_note(struct mend *mend, enum topic topic, int32_t partition, int64_t offset)
{
    struct chapter *chapter = mend->current;
    struct trace *trace;

    if (mend->is_due || partition < 0)
        return;
    trace = trace_of(chapter, topic, partition);
    if (trace->chapter != chapter->number)
        *trace = (struct trace){.chapter = chapter->number, .first = offset, .last = offset};
    if (offset < 0)
        return;
    trace->last = offset;
    /* The coordinator begins nothing before it has ended what was before. */
    if (mend->last->is_kept && !saw_trouble(mend, mend->last->begun_ms))
        mend->last->is_kept = false;
}

void mend_note_positions(struct mend *mend, const rd_kafka_topic_partition_list_t *offsets)
{
    if (mend->is_due)
        return;
    forget_positions(mend->current);
    mend->current->positions = rd_kafka_topic_partition_list_copy(offsets);
}

/* What a transaction has ended besides itself. */
static void settle_left(struct mend *mend, const struct chapter *chapter, bool is_committed)
{
    struct marks *left = &mend->left;
    uint32_t kept = 0;

    for (uint32_t index = 0; index < left->count; index++) {
        const struct mark *mark = &left->all[index];
        const struct trace *trace = mark->partition < chapter->trace_count[mark->topic]
                                        ? &chapter->traces[mark->topic][mark->partition]
                                        : NULL;

        if (trace == NULL || trace->chapter != chapter->number || trace->first < 0) {
            left->all[kept++] = *mark;
            continue;
        }
        if (!is_committed)
            log_error(room,
                      "%s: records of %s[%d] from offset %lld are lost: Kafka left their "
                      "transaction open, and the next one was voided",
                      mend->setup->name, mend->producer->names[mark->topic], (int)mark->partition,
                      (long long)mark->first);
    }
    left->count = kept;
}

void mend_end(struct mend *mend, bool is_committed, bool is_in_doubt)
{
    struct chapter *chapter = mend->current;

    if (mend->is_due)
        return;
    settle_left(mend, chapter, is_committed);
    is_in_doubt |= saw_trouble(mend, chapter->begun_ms) ||
                   clock_monotonic_ms(clock_system()) - chapter->begun_ms >= LONG_MS;
    chapter->is_committed = is_committed;
    chapter->is_kept = is_committed || is_in_doubt;
    mend->is_due = is_in_doubt;
}

bool mend_is_due(struct mend *mend)
{
    const struct chapter *newest = mend->current->is_kept ? mend->current : mend->last;

    if (!mend->is_due && newest->is_kept && saw_trouble(mend, newest->begun_ms))
        mend->is_due = true;
    if (!mend->is_due && mend->left.count > 0 &&
        clock_monotonic_ms(clock_system()) - mend->left_since_ms >= LEFT_MS)
        mend->is_due = true;
    return mend->is_due;
}

rd_kafka_consumer_group_metadata_t *mend_prepare(struct mend *mend)
{
    for (int index = 0; index < 2; index++)
        for (int topic = 0; topic < TOPIC_COUNT; topic++)
            for (int32_t partition = 0; partition < mend->chapters[index].trace_count[topic];
                 partition++)
                mend->chapters[index].traces[topic][partition].is_ours =
                    group_owns(mend->group, partition);
    return group_current_membership(mend->group);
}

/* ---- what hangs ---- */

/* STATUS_OK: nothing is open there; STATUS_END: this transaction is, which is what is stable ends
 * where it begins; STATUS_AGAIN: another one is, or nobody can tell. */
static enum status look_at(struct mend *mend, const struct mark *mark)
{
    int64_t first, next;

    if (client_bounds(group_client(mend->group), mark->topic, mark->partition, &first, &next,
                      NULL) != STATUS_OK)
        return STATUS_AGAIN;
    if (next > mark->offset)
        return STATUS_OK;
    return next == mark->first ? STATUS_END : STATUS_AGAIN;
}

/* To our next commit, which must not be preceded by the end of one that is voided. Records of
 * the journal that stand twice are passed over (pipeline/journal.h). */
static bool is_left(const struct mend *mend, const struct trace *trace, enum topic topic)
{
    return trace->is_ours && topic != TOPIC_JOURNAL &&
           (!mend->current->is_kept || mend->current->is_committed);
}

static enum status find_marks(struct mend *mend, const struct chapter *chapter, struct marks *marks,
                              struct marks *left)
{
    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        for (int32_t partition = 0; partition < chapter->trace_count[topic]; partition++) {
            const struct trace *trace = &chapter->traces[topic][partition];
            struct mark mark = {(enum topic)topic, partition, trace->first, trace->last};
            enum status status = STATUS_END;

            if (trace->chapter != chapter->number)
                continue;
            if (chapter->is_committed)
                status = look_at(mend, &mark);
            else
                mark.offset = -1;
            if (status == STATUS_AGAIN)
                return STATUS_AGAIN;
            if (status == STATUS_END)
                add_mark(chapter->is_committed && is_left(mend, trace, mark.topic) ? left : marks,
                         mark);
        }
    return STATUS_OK;
}

static bool are_stable(struct mend *mend, const rd_kafka_topic_partition_list_t *positions)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_copy(positions);
    int code = client_committed(group_client(mend->group), list, STABLE_MS);

    rd_kafka_topic_partition_list_destroy(list);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR;
}

/* ---- the transaction that ends it ---- */

static enum status produce(struct mend *mend, const struct outgoing *outgoing,
                           rd_kafka_headers_t *headers, struct failure *failure)
{
    struct client *producer = mend->producer;
    rd_kafka_topic_t *topic =
        rd_kafka_topic_new(producer->handle, producer->names[outgoing->topic], NULL);
    int code = client_produce(producer, topic, outgoing, headers, NULL);

    rd_kafka_topic_destroy(topic);
    return code == RD_KAFKA_RESP_ERR_NO_ERROR
               ? STATUS_OK
               : client_fail(producer, code, "ending what hangs", NULL, failure);
}

/* To be voided. A compacted topic wants a key. */
static enum status produce_filler(struct mend *mend, const struct mark *mark,
                                  struct failure *failure)
{
    const struct outgoing outgoing = {.topic = mark->topic,
                                      .partition = mark->partition,
                                      .key = VIEW_LITERAL("-"),
                                      .value = VIEW_LITERAL("-")};

    return produce(mend, &outgoing, rd_kafka_headers_new(0), failure);
}

static enum status read_hidden(struct reader_hall *hall, const struct mark *mark,
                               struct transport_reader **reader, struct record *record,
                               struct failure *failure)
{
    int64_t until_ms = clock_monotonic_ms(clock_system()) + STEP_MS;
    enum status status =
        reader_open(hall, mark->topic, mark->partition, mark->offset, reader, failure);
    uint32_t count = 0;

    while (status != STATUS_BROKEN && count == 0 && clock_monotonic_ms(clock_system()) < until_ms)
        status = reader_poll(*reader, record, 1, STEP_MS, &count, failure);
    if (status == STATUS_BROKEN || (count > 0 && record->offset == mark->offset))
        return status;
    return failure_set(failure, REMEDY_RETRY, "offset %lld is not there to be written again",
                       (long long)mark->offset);
}

static enum status produce_again(struct mend *mend, struct reader_hall *hall,
                                 const struct mark *mark, struct failure *failure)
{
    struct transport_reader *reader = NULL;
    struct record record;
    rd_kafka_headers_t *headers = NULL;
    enum status status = read_hidden(hall, mark, &reader, &record, failure);

    if (status == STATUS_OK) {
        const struct outgoing outgoing = {.topic = mark->topic,
                                          .partition = mark->partition,
                                          .key = record.key,
                                          .value = record.value,
                                          .timestamp_ms = record.timestamp_ms};
        rd_kafka_message_headers(record.handle, &headers);
        status = produce(mend, &outgoing,
                         headers != NULL ? rd_kafka_headers_copy(headers) : rd_kafka_headers_new(0),
                         failure);
    }
    reader_close(reader);
    return status;
}

static enum status write_marks(struct mend *mend, const struct marks *marks,
                               struct failure *failure)
{
    struct reader_hall *hall = NULL;
    enum status status = STATUS_OK;

    if (marks->count > 0 && marks->all[0].offset >= 0)
        status = reader_hall_open(mend->setup, "read_uncommitted", &hall, failure);
    for (uint32_t index = 0; index < marks->count && status == STATUS_OK; index++)
        status = marks->all[index].offset >= 0
                     ? produce_again(mend, hall, &marks->all[index], failure)
                     : produce_filler(mend, &marks->all[index], failure);
    reader_hall_close(hall);
    return status;
}

/* Any position will do: those that hang are ended with it. That of a topic that the group does
 * not read means nothing to anybody. */
static rd_kafka_error_t *send_position(struct mend *mend,
                                       const rd_kafka_consumer_group_metadata_t *membership)
{
    rd_kafka_topic_partition_list_t *list = rd_kafka_topic_partition_list_new(1);
    rd_kafka_error_t *error;

    rd_kafka_topic_partition_list_add(list, mend->producer->names[TOPIC_SNAPSHOTS], 0)->offset = 0;
    error = rd_kafka_send_offsets_to_transaction(mend->producer->handle, list, membership, STEP_MS);
    rd_kafka_topic_partition_list_destroy(list);
    return error;
}

/* Whatever went wrong: the owner voids it, and it is done again. */
static enum status fail(struct mend *mend, rd_kafka_error_t *error, struct failure *failure)
{
    failure_set(failure, REMEDY_ROLL_BACK, "%s: ending a transaction that hangs: %s",
                mend->setup->name, rd_kafka_error_string(error));
    rd_kafka_error_destroy(error);
    return STATUS_BROKEN;
}

/* With a shorter time-out it could end with the outcome open, and could not be voided then. */
static rd_kafka_error_t *commit(struct mend *mend)
{
    rd_kafka_t *handle = mend->producer->handle;

    for (;;) {
        rd_kafka_error_t *error = rd_kafka_commit_transaction(handle, -1);
        if (error == NULL || rd_kafka_error_txn_requires_abort(error) ||
            !rd_kafka_error_is_retriable(error) || atomic_load(mend->is_closing))
            return error;
        rd_kafka_error_destroy(error);
        rd_kafka_poll(handle, RETRY_PAUSE_MS);
    }
}

/* membership NULL: no positions. */
static enum status end_marks(struct mend *mend, bool is_committed, const struct marks *marks,
                             const rd_kafka_consumer_group_metadata_t *membership,
                             struct failure *failure)
{
    rd_kafka_t *handle = mend->producer->handle;
    rd_kafka_error_t *error;

    if (marks->count == 0 && membership == NULL)
        return STATUS_OK;
    error = rd_kafka_begin_transaction(handle);
    if (error != NULL)
        return fail(mend, error, failure);
    if (write_marks(mend, marks, failure) != STATUS_OK) {
        failure->remedy = REMEDY_ROLL_BACK;
        return STATUS_BROKEN;
    }
    if (membership != NULL)
        error = send_position(mend, membership);
    /* A partition belongs to the transaction once its record has been sent. */
    if (error == NULL)
        rd_kafka_flush(handle, STEP_MS);
    if (error == NULL)
        error = is_committed ? commit(mend) : rd_kafka_abort_transaction(handle, STEP_MS);
    return error == NULL ? STATUS_OK : fail(mend, error, failure);
}

static void report(struct mend *mend, bool is_committed, uint32_t count, bool has_positions)
{
    if (count == 0 && !has_positions)
        return;
    log_warn(room,
             "%s: brokers were away: wrote the end of a %s transaction again, in %u partitions%s",
             mend->setup->name, is_committed ? "committed" : "voided", count,
             has_positions ? " and among the positions" : "");
    metric_add(mend->mended, count + has_positions);
}

/* Nobody sees it when one is voided twice. */
static enum status mend_voided(struct mend *mend, const struct chapter *chapter,
                               const rd_kafka_consumer_group_metadata_t *membership,
                               struct failure *failure)
{
    struct marks marks = {0};
    bool has_positions = chapter->positions != NULL;
    enum status status = find_marks(mend, chapter, &marks, NULL);

    if (status == STATUS_OK)
        status = end_marks(mend, false, &marks, has_positions ? membership : NULL, failure);
    if (status == STATUS_OK)
        report(mend, false, marks.count, has_positions);
    free(marks.all);
    return status;
}

/*
 * Its markers may only be slow. The coordinator begins our next transaction when it has done with
 * this one: what is open after that stays open. So one that commits a position goes first.
 */
static enum status mend_committed(struct mend *mend, const struct chapter *chapter,
                                  const rd_kafka_consumer_group_metadata_t *membership,
                                  struct failure *failure)
{
    struct marks marks = {0}, left = {0};
    bool has_positions = chapter->positions != NULL && !are_stable(mend, chapter->positions);
    enum status status = find_marks(mend, chapter, &marks, &left);

    if (status == STATUS_OK && (has_positions || marks.count > 0 || left.count > 0)) {
        marks.count = left.count = 0;
        status = end_marks(mend, true, &marks, membership, failure);
        if (status == STATUS_OK)
            status = find_marks(mend, chapter, &marks, &left);
        if (status == STATUS_OK)
            status = end_marks(mend, true, &marks, NULL, failure);
    }
    if (status == STATUS_OK) {
        report(mend, true, marks.count, has_positions);
        for (uint32_t index = 0; index < left.count; index++)
            add_mark(&mend->left, left.all[index]);
        mend->left_since_ms = clock_monotonic_ms(clock_system());
    }
    free(marks.all);
    free(left.all);
    return status;
}

static enum status mend_chapter(struct mend *mend, struct chapter *chapter,
                                const rd_kafka_consumer_group_metadata_t *membership,
                                struct failure *failure)
{
    enum status status = chapter->is_committed ? mend_committed(mend, chapter, membership, failure)
                                               : mend_voided(mend, chapter, membership, failure);

    if (status == STATUS_OK)
        chapter->is_kept = false;
    return status;
}

/* Our next commit did not come there. */
static enum status mend_left(struct mend *mend, struct failure *failure)
{
    struct marks marks = {0};
    enum status status = STATUS_OK;

    for (uint32_t index = 0; index < mend->left.count && status == STATUS_OK; index++) {
        enum status found = look_at(mend, &mend->left.all[index]);

        if (found == STATUS_AGAIN)
            status = STATUS_AGAIN;
        if (found == STATUS_END)
            add_mark(&marks, mend->left.all[index]);
    }
    if (status == STATUS_OK)
        status = end_marks(mend, true, &marks, NULL, failure);
    if (status == STATUS_OK) {
        report(mend, true, marks.count, false);
        mend->left.count = 0;
    }
    free(marks.all);
    return status;
}

static bool is_hopeless(const struct mend *mend)
{
    int64_t now_ms = clock_monotonic_ms(clock_system());

    return now_ms - client_cut_off_ms(mend->producer) >= GIVE_UP_MS &&
           now_ms - client_cut_off_ms(group_client(mend->group)) >= GIVE_UP_MS &&
           now_ms - mend->current->begun_ms >= GIVE_UP_MS;
}

static void give_up(struct mend *mend)
{
    log_error(room,
              "%s: some partitions may have a transaction that hangs (Kafka's "
              "kafka-transactions.sh finds them, and ends them); going on",
              mend->setup->name);
    mend->last->is_kept = mend->current->is_kept = false;
    mend->left.count = 0;
    mend->is_due = false;
}

enum status mend_run(struct mend *mend, const rd_kafka_consumer_group_metadata_t *membership,
                     struct failure *failure)
{
    bool has_waited = clock_monotonic_ms(clock_system()) - mend->left_since_ms >= LEFT_MS;
    enum status status = STATUS_OK;

    assert(mend->is_due);
    /* The older first: what ends the younger one ends it too. */
    if (mend->left.count > 0 && has_waited)
        status = mend_left(mend, failure);
    if (status == STATUS_OK && mend->last->is_kept)
        status = mend_chapter(mend, mend->last, membership, failure);
    if (status == STATUS_OK && mend->current->is_kept)
        status = mend_chapter(mend, mend->current, membership, failure);
    if (status == STATUS_OK) {
        mend->is_due = false;
    } else if (is_hopeless(mend)) {
        give_up(mend);
        status = status == STATUS_AGAIN ? STATUS_OK : status;
    }
    return status;
}
