#include "pipeline/journal.h"

#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "base/hash.h"

enum { JOURNAL_VERSION = 1, JOURNAL_TRAILER_BYTES = 4, FLAG_AHEAD = 1 };

/* Stored for ever: a code is never given to another topic. */
static const struct {
    uint8_t code;
    enum topic topic;
} topic_codes[] = {
    {1, TOPIC_ORDERS},       {2, TOPIC_AUTH_EVENTS}, {3, TOPIC_API_CALLS},
    {4, TOPIC_INTERACTIONS}, {5, TOPIC_OUTCOMES},    {6, TOPIC_REQUESTS},
    {7, TOPIC_FORWARD},      {8, TOPIC_COMMANDS},    {9, TOPIC_POPULARITY},
};

uint8_t journal_topic_code(enum topic topic)
{
    for (size_t i = 0; i < sizeof(topic_codes) / sizeof(topic_codes[0]); i++)
        if (topic_codes[i].topic == topic)
            return topic_codes[i].code;
    return 0;
}

enum topic journal_topic_of_code(uint64_t code)
{
    for (size_t i = 0; i < sizeof(topic_codes) / sizeof(topic_codes[0]); i++)
        if (topic_codes[i].code == code)
            return topic_codes[i].topic;
    return TOPIC_COUNT;
}

void journal_draft_init(struct journal_draft *draft)
{
    *draft = (struct journal_draft){0};
}

void journal_draft_free(struct journal_draft *draft)
{
    free(draft->operations);
    *draft = (struct journal_draft){0};
}

void journal_draft_reset(struct journal_draft *draft)
{
    draft->count = 0;
    draft->record_count = 0;
}

static struct journal_operation *add_operation(struct journal_draft *draft)
{
    if (draft->count == draft->capacity) {
        draft->capacity = draft->capacity == 0 ? 64 : 2 * draft->capacity;
        draft->operations =
            realloc(draft->operations, draft->capacity * sizeof(*draft->operations));
        if (draft->operations == NULL)
            abort();
    }
    return &draft->operations[draft->count++];
}

void journal_draft_record(struct journal_draft *draft, enum journal_kind kind, enum topic topic,
                          int64_t offset)
{
    struct journal_operation *last = draft->count > 0 ? &draft->operations[draft->count - 1] : NULL;

    draft->record_count++;
    if (last != NULL && last->kind == kind && last->topic == topic) {
        assert(offset >= last->to);
        last->to = offset + 1;
        return;
    }
    *add_operation(draft) = (struct journal_operation){kind, topic, offset, offset + 1};
}

void journal_draft_tick(struct journal_draft *draft, int64_t now_ms)
{
    *add_operation(draft) = (struct journal_operation){JOURNAL_TICK, TOPIC_COUNT, now_ms, now_ms};
}

void journal_encode(const struct journal_head *head, const struct journal_draft *draft,
                    struct byte_writer *out)
{
    size_t start = out->size;
    int64_t ends[TOPIC_COUNT] = {0};
    int64_t tick_ms = 0;

    byte_put_u8(out, JOURNAL_VERSION);
    byte_put_u8(out, head->is_ahead ? FLAG_AHEAD : 0);
    byte_put_u64(out, head->config_digest);
    byte_put_varint(out, head->epoch);
    byte_put_varint(out, head->sequence);
    byte_put_varint(out, head->base);
    byte_put_varint(out, (uint64_t)head->partition_count);
    byte_put_varint(out, draft->count);
    for (uint32_t i = 0; i < draft->count; i++) {
        const struct journal_operation *operation = &draft->operations[i];

        if (operation->kind == JOURNAL_TICK) {
            byte_put_u8(out, JOURNAL_TICK);
            byte_put_svarint(out, operation->from - tick_ms);
            tick_ms = operation->from;
            continue;
        }
        byte_put_u8(out, (uint8_t)(operation->kind | journal_topic_code(operation->topic) << 2));
        byte_put_varint(out, (uint64_t)(operation->from - ends[operation->topic]));
        byte_put_varint(out, (uint64_t)(operation->to - operation->from));
        ends[operation->topic] = operation->to;
    }
    byte_put_u32(out, hash_crc32c(out->data + start, out->size - start));
}

static bool take_operation(struct journal_cursor *cursor, struct journal_operation *operation)
{
    uint8_t head = byte_take_u8(&cursor->bytes);
    uint64_t skip;
    uint64_t length;

    if (head == JOURNAL_TICK) {
        /* Added as unsigned: bytes from outside may overflow, and must not trap. */
        cursor->tick_ms =
            (int64_t)((uint64_t)cursor->tick_ms + (uint64_t)byte_take_svarint(&cursor->bytes));
        *operation =
            (struct journal_operation){JOURNAL_TICK, TOPIC_COUNT, cursor->tick_ms, cursor->tick_ms};
        return !cursor->bytes.broken;
    }
    if ((head & 3) != JOURNAL_APPLY && (head & 3) != JOURNAL_PASS)
        return false;
    operation->kind = (enum journal_kind)(head & 3);
    operation->topic = journal_topic_of_code(head >> 2);
    if (operation->topic == TOPIC_COUNT)
        return false;
    skip = byte_take_varint(&cursor->bytes);
    length = byte_take_varint(&cursor->bytes);
    if (cursor->bytes.broken || skip > INT64_MAX || length == 0 || length > INT64_MAX ||
        (uint64_t)cursor->ends[operation->topic] + skip > INT64_MAX ||
        (uint64_t)cursor->ends[operation->topic] + skip + length > INT64_MAX)
        return false;
    operation->from = cursor->ends[operation->topic] + (int64_t)skip;
    operation->to = operation->from + (int64_t)length;
    cursor->ends[operation->topic] = operation->to;
    return true;
}

static bool is_well_formed(struct journal_cursor cursor)
{
    struct journal_operation operation;

    while (cursor.left > 0) {
        if (!take_operation(&cursor, &operation))
            return false;
        cursor.left--;
    }
    return !cursor.bytes.broken && byte_reader_left(&cursor.bytes) == 0;
}

enum status journal_open(struct view value, struct journal_head *head,
                         struct journal_cursor *cursor, struct failure *failure)
{
    struct byte_reader trailer;
    uint8_t version;
    uint64_t partitions;

    *cursor = (struct journal_cursor){0};
    if (value.size <= JOURNAL_TRAILER_BYTES)
        return failure_set(failure, REMEDY_SET_ASIDE, "journal record of %" PRIu32 " bytes",
                           value.size);
    trailer =
        byte_reader_of(value.data + value.size - JOURNAL_TRAILER_BYTES, JOURNAL_TRAILER_BYTES);
    if (byte_take_u32(&trailer) != hash_crc32c(value.data, value.size - JOURNAL_TRAILER_BYTES))
        return failure_set(failure, REMEDY_SET_ASIDE, "journal record with a wrong checksum");
    cursor->bytes = byte_reader_of(value.data, value.size - JOURNAL_TRAILER_BYTES);
    version = byte_take_u8(&cursor->bytes);
    if (version != JOURNAL_VERSION)
        return failure_set(failure, REMEDY_SET_ASIDE,
                           "journal record of version %u; this program reads version %d", version,
                           JOURNAL_VERSION);
    head->is_ahead = (byte_take_u8(&cursor->bytes) & FLAG_AHEAD) != 0;
    head->config_digest = byte_take_u64(&cursor->bytes);
    head->epoch = byte_take_varint(&cursor->bytes);
    head->sequence = byte_take_varint(&cursor->bytes);
    head->base = byte_take_varint(&cursor->bytes);
    partitions = byte_take_varint(&cursor->bytes);
    cursor->left = byte_take_varint(&cursor->bytes);
    if (cursor->bytes.broken || partitions > INT32_MAX || head->sequence <= head->base ||
        !is_well_formed(*cursor))
        return failure_set(failure, REMEDY_SET_ASIDE, "journal record with broken contents");
    head->partition_count = (int32_t)partitions;
    return STATUS_OK;
}

bool journal_next(struct journal_cursor *cursor, struct journal_operation *operation)
{
    if (cursor->left == 0)
        return false;
    cursor->left--;
    bool is_taken = take_operation(cursor, operation);
    assert(is_taken);
    return is_taken;
}
