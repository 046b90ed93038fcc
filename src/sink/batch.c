#include "sink/batch.h"

#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { CHUNK_BYTES = 256 * 1024 };

void batch_init(struct batch *batch, uint32_t records_max)
{
    assert(records_max > 0);
    *batch = (struct batch){.records_max = records_max};
    batch->arena = arena_create(CHUNK_BYTES);
    batch->records = calloc(records_max, sizeof(*batch->records));
    batch->items = calloc(records_max, sizeof(*batch->items));
    assert(batch->records != NULL);
    assert(batch->items != NULL);
}

void batch_free(struct batch *batch)
{
    arena_destroy(batch->arena);
    free(batch->records);
    free(batch->items);
    *batch = (struct batch){0};
}

static const struct dead_letter *read_headers(const struct transport *transport,
                                              const struct record *record, struct arena *arena)
{
    struct dead_letter *letter = arena_alloc(arena, sizeof(*letter));
    const struct {
        const char *name;
        struct view *value;
    } headers[] = {
        {"weir.error.code", &letter->code},
        {"weir.error.reason", &letter->reason},
        {"weir.error.field", &letter->field},
        {"weir.source.topic", &letter->source_topic},
        {"weir.source.partition", &letter->source_partition},
        {"weir.source.offset", &letter->source_offset},
        {"weir.source.timestamp", &letter->source_timestamp},
        {"weir.version", &letter->version},
    };

    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++)
        *headers[i].value =
            arena_copy(arena, transport->door->header(transport->context, record, headers[i].name));
    return letter;
}

void batch_hold(struct batch *batch, const struct transport *transport, uint32_t count)
{
    assert(batch_is_empty(batch));
    assert(count <= batch->records_max);
    batch_drop(batch);
    for (uint32_t i = 0; i < count; i++) {
        const struct record *record = &batch->records[i];
        struct delivery_item *item = &batch->items[i];

        *item = (struct delivery_item){.record = *record};
        item->record.key = arena_copy(batch->arena, record->key);
        item->record.value = arena_copy(batch->arena, record->value);
        item->record.handle = NULL;
        if (record->topic == TOPIC_DEAD_LETTER)
            item->dead_letter = read_headers(transport, record, batch->arena);
    }
    batch->count = count;
}

static enum status decode_item(struct delivery_item *item, struct codec *codec, struct arena *arena,
                               struct failure *failure)
{
    const struct topic_info *info = topic_info(item->record.topic);
    struct codec_reason reason = {0};
    enum status status;

    if (info->result_kind < 0)
        return STATUS_OK;
    struct result *result = arena_alloc(arena, sizeof(*result));
    status = codec_decode_result(codec, (enum result_kind)info->result_kind, item->record.value,
                                 arena, result, &reason, failure);
    if (status == STATUS_OK) {
        item->result = result;
        return STATUS_OK;
    }
    if (failure->remedy != REMEDY_SET_ASIDE)
        return status;
    item_refuse(item, codec_error_name(reason.error), reason.field, reason.text);
    return STATUS_OK;
}

enum status batch_decode(struct batch *batch, struct codec *codec, struct failure *failure)
{
    while (batch->decoded < batch->count) {
        enum status status =
            decode_item(&batch->items[batch->decoded], codec, batch->arena, failure);

        if (status != STATUS_OK)
            return status;
        batch->decoded++;
    }
    return STATUS_OK;
}

void batch_take(struct batch *batch, uint32_t count)
{
    assert(count <= batch->decoded - batch->first);
    batch->first += count;
}

void batch_drop(struct batch *batch)
{
    arena_reset(batch->arena);
    batch->first = batch->decoded = batch->count = 0;
}

void item_refuse(struct delivery_item *item, const char *code, const char *field,
                 const char *reason)
{
    assert(code[0] != '\0');
    item->result = NULL;
    snprintf(item->refusal.code, sizeof(item->refusal.code), "%s", code);
    snprintf(item->refusal.field, sizeof(item->refusal.field), "%s", field);
    snprintf(item->refusal.reason, sizeof(item->refusal.reason), "%s", reason);
}
