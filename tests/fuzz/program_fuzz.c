/*
 * Avro: schemas and data from outside.
 *
 *   kind, 0, schema, NUL, datum    a writer's schema as text, whatever it holds
 *   kind, 1, seed(8), datum        a random schema that fits; what our program accepts,
 *                                  avro-c's generic reader must read, and mean the same
 */
#include <stdio.h>
#include <stdlib.h>

#include "event/event.h"
#include "unit/codec/avro_oracle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

struct world {
    struct arena *layouts, *arena;
    const struct layout *layout[EVENT_KIND_COUNT];
};

static void open_world(struct world *world)
{
    world->layouts = arena_create(65536);
    world->arena = arena_create(65536);
    for (int kind = 0; kind < EVENT_KIND_COUNT; kind++)
        world->layout[kind] = layout_create(event_shape((enum event_kind)kind), world->layouts);
}

static void disagree(const char *on)
{
    fprintf(stderr, "program: %s\n", on);
    abort();
}

static void compare(const struct layout *layout, struct view text, const char *data, size_t size,
                    const struct event *ours, struct arena *arena)
{
    struct avro_oracle oracle = {arena};
    struct event event = *ours, expected = {0};
    avro_schema_t schema;
    avro_value_t value;

    if (avro_schema_from_json_length(text.data, text.size, &schema) != 0)
        disagree("avro-c refuses the schema");
    avro_value_iface_t *generic = avro_generic_class_from_schema(schema);
    avro_generic_value_new(generic, &value);
    avro_reader_t reader = avro_reader_memory(data, (int64_t)size);
    if (avro_value_read(reader, &value) != 0)
        disagree("accepted, but avro-c cannot read it");
    if (mean_record(&oracle, layout, &value, &expected) != MEANS_VALUE)
        disagree("accepted, but not valid");
    sort_maps(layout, &event);
    sort_maps(layout, &expected);
    if (!shape_is_equal(layout->shape, &event, &expected))
        disagree("a value differs");
    avro_reader_free(reader);
    avro_value_decref(&value);
    avro_value_iface_decref(generic);
    avro_schema_decref(schema);
}

static void run_one(struct world *world, const struct layout *layout, struct view text,
                    const char *data, size_t size, bool is_compared)
{
    const struct schema *schema;
    const struct program *program;
    struct codec_reason reason;
    struct failure failure;
    struct event event;
    const char *at = data;

    if (schema_parse(text, world->arena, &schema, &failure) != STATUS_OK)
        return;
    (void)schema_fingerprint(schema);
    if (program_compile(layout, schema, world->arena, &program, &reason) != CODEC_OK)
        return;
    if (program_run(program, data, &at, data + size, world->arena, &event, &reason) == CODEC_OK &&
        is_compared)
        compare(layout, text, data, size, &event, world->arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct world world;
    struct byte_writer text;
    struct dice dice = {0};
    struct schema_maker maker = {&dice, &text, NULL, 0};

    if (world.arena == NULL)
        open_world(&world);
    if (size < 2)
        return 0;
    arena_reset(world.arena);
    const struct layout *layout = world.layout[data[0] % EVENT_KIND_COUNT];
    const char *rest = (const char *)data + 2;
    const size_t left = size - 2;
    if (data[1] == 0) {
        const char *nul = memchr(rest, '\0', left);
        const size_t text_size = nul != NULL ? (size_t)(nul - rest) : left;
        const size_t used = nul != NULL ? text_size + 1 : left;
        run_one(&world, layout, (struct view){rest, (uint32_t)text_size}, rest + used, left - used,
                false);
    } else if (left >= sizeof dice.state) {
        memcpy(&dice.state, rest, sizeof dice.state);
        maker.arena = world.arena;
        byte_writer_init(&text);
        make_record(&maker, layout->shape);
        run_one(&world, layout, byte_writer_view(&text), rest + sizeof dice.state,
                left - sizeof dice.state, true);
        byte_writer_free(&text);
    }
    return 0;
}
