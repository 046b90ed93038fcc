/*
 * What a schema registry answers: the first byte chooses the question and the HTTP status, the
 * rest is the body. A schema that is taken has a canonical form which is one, too, and means the
 * same; it fits our events or a reason says why not, and whatever follows can be read with it.
 */
#include <stdio.h>
#include <stdlib.h>

#include "codec/program.h"
#include "codec/registry.h"
#include "event/event.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const long answers[] = {200, 404, 409, 422, 500};
enum { ANSWER_COUNT = sizeof answers / sizeof answers[0] };

static void insist(bool is_true, const char *text)
{
    if (is_true)
        return;
    fprintf(stderr, "registry: %s\n", text);
    abort();
}

static void check_canonical(const struct schema *schema, struct arena *arena)
{
    const struct schema *again;
    struct byte_writer text;
    struct failure failure = {0};

    byte_writer_init(&text);
    schema_canonical(schema, &text);
    insist(schema_parse(byte_writer_view(&text), arena, &again, &failure) == STATUS_OK,
           failure.text);
    insist(schema_fingerprint(schema) == schema_fingerprint(again), "another schema");
    byte_writer_free(&text);
}

/* Whatever stands in a message: the answer itself serves as one. */
static void use(const struct schema *schema, struct view message, struct arena *arena)
{
    static const struct layout *layouts[EVENT_KIND_COUNT];
    static struct arena *kept;

    if (kept == NULL)
        kept = arena_create(65536);
    for (int kind = 0; kind < EVENT_KIND_COUNT; kind++) {
        const struct program *program = NULL;
        const char *at = message.data;
        struct codec_reason reason = {0};
        struct event event;

        if (layouts[kind] == NULL)
            layouts[kind] = layout_create(event_shape((enum event_kind)kind), kept);
        if (program_compile(layouts[kind], schema, arena, &program, &reason) != CODEC_OK) {
            insist(reason.text[0] != '\0' && view_is_utf8(view_of(reason.text)), "no reason");
            continue;
        }
        (void)program_run(program, message.data, &at, message.data + message.size, arena, &event,
                          &reason);
    }
}

static void read_schema(long http_status, struct view answer, struct arena *arena)
{
    const struct schema *schema = NULL;
    struct failure failure = {0};

    switch (registry_read_schema(http_status, answer, arena, &schema, &failure)) {
    case STATUS_OK:
        insist(http_status == 200, "a schema out of an error");
        check_canonical(schema, arena);
        use(schema, answer, arena);
        break;
    case STATUS_BROKEN:
        insist(http_status == 200, "an error is taken for a schema");
        insist(failure.remedy == REMEDY_SET_ASIDE && failure.text[0] != '\0', "no reason");
        insist(view_is_utf8(view_of(failure.text)), "a reason that is not UTF-8");
        break;
    case STATUS_ABSENT:
        insist(http_status == 404, "absent without a 404");
        break;
    default:
        break;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct arena *arena;
    uint32_t id;

    if (arena == NULL)
        arena = arena_create(65536);
    if (size < 1)
        return 0;
    arena_reset(arena);
    const struct view answer = {(const char *)data + 1, (uint32_t)(size - 1)};
    const long http_status = answers[data[0] / 2 % ANSWER_COUNT];
    if (data[0] % 2 == 0)
        read_schema(http_status, answer, arena);
    else if (registry_read_id(http_status, answer, &id) == STATUS_OK)
        insist(http_status == 200, "an id out of an error");
    return 0;
}
