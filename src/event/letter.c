#include "event/letter.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>

static const char source_topic[] = "weir.source.topic";

static void add(struct letter *letter, const char *name, struct view value)
{
    assert(letter->header_count < LETTER_HEADERS_MAX);
    letter->headers[letter->header_count++] = (struct header){name, value};
}

void letter_add_source(struct letter *letter, const struct transport *transport,
                       const struct record *record)
{
    snprintf(letter->partition, sizeof letter->partition, "%" PRId32, record->partition);
    snprintf(letter->offset, sizeof letter->offset, "%" PRId64, record->offset);
    snprintf(letter->timestamp, sizeof letter->timestamp, "%" PRId64, record->timestamp_ms);
    add(letter, source_topic, transport->door->topic_name(transport->context, record->topic));
    add(letter, "weir.source.partition", view_of(letter->partition));
    add(letter, "weir.source.offset", view_of(letter->offset));
    add(letter, "weir.source.timestamp", view_of(letter->timestamp));
}

void letter_add_error(struct letter *letter, const char *code, const char *reason,
                      const char *field)
{
    add(letter, "weir.error.code", view_of(code));
    add(letter, "weir.error.reason", view_of(reason));
    add(letter, "weir.error.field", view_of(field));
    add(letter, "weir.version", VIEW_LITERAL(WEIR_VERSION));
}

bool letter_has_source(const struct transport *transport, const struct record *record)
{
    return !view_is_absent(transport->door->header(transport->context, record, source_topic));
}

enum topic letter_source(const struct transport *transport, const struct record *record)
{
    struct view name = transport->door->header(transport->context, record, source_topic);

    for (int topic = 0; topic < TOPIC_COUNT; topic++)
        if (view_is_equal(name, transport->door->topic_name(transport->context, (enum topic)topic)))
            return (enum topic)topic;
    return TOPIC_COUNT;
}
