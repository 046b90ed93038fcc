/*
 * One table of programs answers most questions:
 *
 *   (source of the schema, its id or fingerprint, our shape) -> program, or why none
 *
 * It is filled when a schema is first met. In front of it stands, for each shape, the
 * program used last: on most topics there is only one writer's schema at a time.
 */
#include "codec/codec.h"

#include <assert.h>
#include <endian.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "codec/encode.h"
#include "codec/inside.h"
#include "codec/json_decode.h"
#include "codec/registry.h"
#include "codec/schema_text.h"
#include "event/topic.h"

enum { REGISTRY_HEADER_BYTES = 5, SINGLE_OBJECT_HEADER_BYTES = 10 };
enum { SHAPE_COUNT = (int)EVENT_KIND_COUNT + (int)RESULT_KIND_COUNT };

#define AT(member) offsetof(struct codec_options, member)
static const char *const format_names[] = {"json", "avro-registry", "avro-single-object", NULL};
static const struct option options_of_codec[] = {
    {.name = "output.format",
     .type = OPTION_CHOICE,
     .offset = AT(output),
     .preset = "json",
     .choices = format_names,
     .purpose = "How results are written. Input is recognised by itself, whatever this says."},
    {.name = "schema.registry.url",
     .type = OPTION_TEXT,
     .offset = AT(registry_url),
     .environment = "SCHEMA_REGISTRY_URL",
     .purpose = "Address of a schema registry with Confluent's API. Unset: none; messages that "
                "need one are set aside."},
    {.name = "schema.registry.user",
     .type = OPTION_TEXT,
     .offset = AT(registry_user),
     .purpose = "User for HTTP basic authentication at the registry."},
    {.name = "schema.registry.password",
     .type = OPTION_SECRET,
     .offset = AT(registry_password),
     .purpose = "Its password."},
    {.name = "schema.registry.timeout",
     .type = OPTION_DURATION_MS,
     .offset = AT(registry_timeout_ms),
     .preset = "5s",
     .least = 10,
     .most = 60000,
     .purpose = "How long one request to the registry may take."},
    {.name = "message.bytes_max",
     .type = OPTION_BYTES,
     .offset = AT(message_bytes_max),
     .preset = "8MiB",
     .least = 1024,
     .most = 1 << 30,
     .purpose = "Larger messages go to the dead-letter topic unread."},
};
const struct option_table codec_option_table = {
    .section = "codec",
    .options = options_of_codec,
    .count = sizeof options_of_codec / sizeof options_of_codec[0],
    .bytes = sizeof(struct codec_options),
};

/* A schema of ours, of this version or an older one. */
struct known_schema {
    struct known_schema *next;
    const struct schema *schema;
    uint64_t fingerprint;
};

/* How messages of one writer's schema become one of our structs. */
struct binding {
    struct binding *next;
    struct arena *arena;
    uint64_t key;                  /* id or fingerprint */
    const struct program *program; /* NULL: not at all, see reason */
    struct codec_reason reason;
};

/* What is known of one kind of event or result. */
struct line {
    const struct layout *layout;
    const char *schema_text; /* ours, of this version */
    uint64_t fingerprint;
    int64_t registry_id;     /* of ours; -1: not asked for yet */
    struct binding *last[2]; /* by enum source */
};

enum source { SOURCE_REGISTRY, SOURCE_FINGERPRINT };

struct codec {
    struct codec_options options;
    uint32_t message_bytes_max; /* of the options, if they set any */
    const struct clock *clock;
    struct arena *arena; /* layouts, our schemas */
    struct known_schema *known;
    struct line lines[SHAPE_COUNT];
    struct registry *registry; /* NULL: none */
    struct map *bindings;      /* by source, line and key */
    struct binding *first;
};

static uint32_t line_of_event(enum event_kind kind)
{
    assert((unsigned)kind < EVENT_KIND_COUNT);
    return (uint32_t)kind;
}

static uint32_t line_of_result(enum result_kind kind)
{
    assert((unsigned)kind < RESULT_KIND_COUNT);
    return (uint32_t)EVENT_KIND_COUNT + (uint32_t)kind;
}

static const struct shape *shape_of_line(uint32_t line)
{
    return line < EVENT_KIND_COUNT ? event_shape((enum event_kind)line)
                                   : result_shape((enum result_kind)(line - EVENT_KIND_COUNT));
}

static enum status load_schema(struct codec *codec, const struct schema_text *text,
                               struct failure *failure)
{
    struct known_schema *known = arena_alloc(codec->arena, sizeof *known);
    struct failure why;

    if (schema_parse(view_of(text->text), codec->arena, &known->schema, &why) != STATUS_OK)
        return failure_set(failure, REMEDY_STOP, "schemas/%s.avsc: %.300s", text->name, why.text);
    known->fingerprint = schema_fingerprint(known->schema);
    known->next = codec->known;
    codec->known = known;
    for (uint32_t i = 0; i < SHAPE_COUNT; i++) {
        if (strcmp(shape_of_line(i)->name, text->name) != 0)
            continue;
        codec->lines[i].schema_text = text->text;
        codec->lines[i].fingerprint = known->fingerprint;
    }
    return STATUS_OK;
}

static enum status load_schemas(struct codec *codec, struct failure *failure)
{
    for (const struct schema_text *text = schema_texts; text->name != NULL; text++)
        if (load_schema(codec, text, failure) != STATUS_OK)
            return STATUS_BROKEN;
    for (uint32_t i = 0; i < SHAPE_COUNT; i++)
        if (codec->lines[i].schema_text == NULL)
            return failure_set(failure, REMEDY_STOP, "schemas/%s.avsc: missing in this program",
                               shape_of_line(i)->name);
    return STATUS_OK;
}

static enum status open_registry(struct codec *codec, struct failure *failure)
{
    const struct codec_options *options = &codec->options;
    const struct registry_options registry = {
        .url = options->registry_url,
        .user = options->registry_user,
        .password = options->registry_password,
        .timeout_ms = options->registry_timeout_ms > 0 ? options->registry_timeout_ms : 5000,
    };

    if (options->registry_url == NULL) {
        if (options->output == CODEC_AVRO_REGISTRY)
            return failure_set(failure, REMEDY_STOP,
                               "output.format avro-registry needs schema.registry.url");
        return STATUS_OK;
    }
    return registry_open(&registry, &codec->registry, failure);
}

enum status codec_create(const struct codec_options *options, struct codec **codec,
                         struct failure *failure)
{
    struct codec *made = calloc(1, sizeof *made);

    if (made == NULL)
        abort();
    made->options = *options;
    made->message_bytes_max = UINT32_MAX;
    if (options->message_bytes_max > 0 && options->message_bytes_max < UINT32_MAX)
        made->message_bytes_max = (uint32_t)options->message_bytes_max;
    made->clock = clock_system();
    made->arena = arena_create(65536);
    made->bindings = map_create();
    for (uint32_t i = 0; i < SHAPE_COUNT; i++) {
        made->lines[i].layout = layout_create(shape_of_line(i), made->arena);
        made->lines[i].registry_id = -1;
    }
    if (load_schemas(made, failure) != STATUS_OK || open_registry(made, failure) != STATUS_OK) {
        codec_destroy(made);
        return STATUS_BROKEN;
    }
    *codec = made;
    return STATUS_OK;
}

void codec_destroy(struct codec *codec)
{
    if (codec == NULL)
        return;
    while (codec->first != NULL) {
        struct binding *binding = codec->first;
        codec->first = binding->next;
        arena_destroy(binding->arena);
        free(binding);
    }
    map_destroy(codec->bindings);
    registry_close(codec->registry);
    arena_destroy(codec->arena);
    free(codec);
}

void codec_set_clock(struct codec *codec, const struct clock *clock)
{
    codec->clock = clock;
}

const struct layout *codec_layout(const struct codec *codec, enum event_kind kind)
{
    return codec->lines[line_of_event(kind)].layout;
}

/* ---- decoding ------------------------------------------------------------------ */

struct binding_key {
    uint32_t source, line;
    uint64_t key;
};

static struct binding *find_binding(const struct codec *codec, enum source source, uint32_t line,
                                    uint64_t key)
{
    const struct binding_key wanted = {source, line, key};
    uint64_t value = 0;

    map_get(codec->bindings, (struct view){(const char *)&wanted, sizeof wanted}, &value);
    return (struct binding *)(uintptr_t)value;
}

static struct binding *make_binding(struct codec *codec, enum source source, uint32_t line,
                                    uint64_t key, const struct schema *schema)
{
    const struct binding_key name = {source, line, key};
    struct binding *binding = calloc(1, sizeof *binding);

    if (binding == NULL)
        abort();
    binding->arena = arena_create(4096);
    binding->key = key;
    if (program_compile(codec->lines[line].layout, schema, binding->arena, &binding->program,
                        &binding->reason) != CODEC_OK)
        binding->program = NULL;
    binding->next = codec->first;
    codec->first = binding;
    map_put(codec->bindings, (struct view){(const char *)&name, sizeof name},
            (uint64_t)(uintptr_t)binding);
    return binding;
}

static enum status set_aside(const struct codec_reason *reason, struct failure *failure)
{
    return failure_set(failure, REMEDY_SET_ASIDE, "%s", reason->text);
}

static enum status schema_by_fingerprint(const struct codec *codec, uint64_t fingerprint,
                                         const struct schema **schema, struct codec_reason *reason,
                                         struct failure *failure)
{
    for (const struct known_schema *known = codec->known; known != NULL; known = known->next)
        if (known->fingerprint == fingerprint) {
            *schema = known->schema;
            return STATUS_OK;
        }
    reason_set(reason, CODEC_ERROR_SCHEMA_UNKNOWN, NULL, 2,
               "expected the fingerprint of a schema of ours");
    return set_aside(reason, failure);
}

static enum status schema_by_id(const struct codec *codec, uint32_t id,
                                const struct schema **schema, struct codec_reason *reason,
                                struct failure *failure)
{
    struct failure why = {0};
    enum status status;

    if (codec->registry == NULL) {
        reason_set(reason, CODEC_ERROR_SCHEMA_UNKNOWN, NULL, 1,
                   "schema id %u cannot be looked up: schema.registry.url is not set", id);
        return set_aside(reason, failure);
    }
    status = registry_schema(codec->registry, codec->clock, id, schema, &why);
    if (status == STATUS_OK)
        return STATUS_OK;
    if (status == STATUS_ABSENT)
        reason_set(reason, CODEC_ERROR_SCHEMA_UNKNOWN, NULL, 1,
                   "the schema registry has no schema id %u", id);
    else if (why.remedy == REMEDY_SET_ASIDE)
        reason_set(reason, CODEC_ERROR_SCHEMA, NULL, 1, "%s", why.text);
    else
        return failure_set(failure, why.remedy, "%s", why.text);
    return set_aside(reason, failure);
}

static enum status get_program(struct codec *codec, enum source source, uint32_t line, uint64_t key,
                               const struct program **program, struct codec_reason *reason,
                               struct failure *failure)
{
    struct binding *binding = codec->lines[line].last[source];
    const struct schema *schema = NULL;
    enum status status;

    if (binding == NULL || binding->key != key) {
        binding = find_binding(codec, source, line, key);
        if (binding == NULL) {
            status = source == SOURCE_REGISTRY
                         ? schema_by_id(codec, (uint32_t)key, &schema, reason, failure)
                         : schema_by_fingerprint(codec, key, &schema, reason, failure);
            if (status != STATUS_OK)
                return status;
            binding = make_binding(codec, source, line, key, schema);
        }
        codec->lines[line].last[source] = binding;
    }
    if (binding->program == NULL) {
        *reason = binding->reason;
        return set_aside(reason, failure);
    }
    *program = binding->program;
    return STATUS_OK;
}

static inline uint32_t header_bytes(enum source source)
{
    return source == SOURCE_REGISTRY ? REGISTRY_HEADER_BYTES : SINGLE_OBJECT_HEADER_BYTES;
}

/* Of the writer's schema, as the header says it. */
static inline uint64_t header_key(enum source source, const char *message)
{
    uint64_t fingerprint;
    uint32_t id;

    if (source == SOURCE_REGISTRY) {
        memcpy(&id, message + 1, sizeof id);
        return be32toh(id);
    }
    memcpy(&fingerprint, message + 2, sizeof fingerprint);
    return le64toh(fingerprint);
}

/* The datum stands behind the header and ends with the message. */
static inline enum status run_program(const struct program *program, enum source source,
                                      struct view message, struct arena *arena, void *record,
                                      struct codec_reason *reason, struct failure *failure)
{
    const char *const end = message.data + message.size;
    const char *at = message.data + header_bytes(source);

    if (program_run(program, message.data, &at, end, arena, record, reason) != CODEC_OK)
        return set_aside(reason, failure);
    if (at != end) {
        reason_set(reason, CODEC_ERROR_SYNTAX, NULL, (size_t)(at - message.data),
                   "expected the end of the message");
        return set_aside(reason, failure);
    }
    return STATUS_OK;
}

static enum status decode_avro(struct codec *codec, enum source source, uint32_t line,
                               struct view message, struct arena *arena, void *record,
                               struct codec_reason *reason, struct failure *failure)
{
    const struct program *program = NULL;

    if (message.size < header_bytes(source)) {
        reason_set(reason, CODEC_ERROR_SYNTAX, NULL, message.size, "expected a header of %u bytes",
                   header_bytes(source));
        return set_aside(reason, failure);
    }
    const enum status status = get_program(codec, source, line, header_key(source, message.data),
                                           &program, reason, failure);
    if (status != STATUS_OK)
        return status;
    return run_program(program, source, message, arena, record, reason, failure);
}

static enum status decode_json(struct codec *codec, uint32_t line, struct view message,
                               struct arena *arena, void *record, struct codec_reason *reason,
                               struct failure *failure)
{
    if (json_decode(codec->lines[line].layout, message, arena, record, reason) == CODEC_OK)
        return STATUS_OK;
    return set_aside(reason, failure);
}

static enum status decode_any(struct codec *codec, uint32_t line, struct view message,
                              struct arena *arena, void *record, struct codec_reason *reason,
                              struct failure *failure)
{
    if (message.size == 0) {
        reason_set(reason, CODEC_ERROR_EMPTY, NULL, 0, "expected a message");
        return set_aside(reason, failure);
    }
    if (message.size > codec->message_bytes_max) {
        reason_set(reason, CODEC_ERROR_TOO_LARGE, NULL, 0, "expected at most %u bytes",
                   codec->message_bytes_max);
        return set_aside(reason, failure);
    }
    switch ((unsigned char)message.data[0]) {
    case '{':
    case ' ':
    case '\t':
    case '\n':
    case '\r':
        return decode_json(codec, line, message, arena, record, reason, failure);
    case 0x00:
        return decode_avro(codec, SOURCE_REGISTRY, line, message, arena, record, reason, failure);
    case 0xC3:
        if (message.size < 2 || message.data[1] == 0x01)
            return decode_avro(codec, SOURCE_FINGERPRINT, line, message, arena, record, reason,
                               failure);
        break;
    default:
        break;
    }
    reason_set(reason, CODEC_ERROR_FORMAT, NULL, 0,
               "expected {, 0x00 (Confluent) or 0xC3 0x01 (Avro single-object)");
    return set_aside(reason, failure);
}

/* The program of the message before, if this one is of the same writer's schema; else NULL. */
static inline const struct program *same_program(const struct codec *codec, uint32_t line,
                                                 enum source source, struct view message)
{
    if (message.size < SINGLE_OBJECT_HEADER_BYTES || message.size > codec->message_bytes_max ||
        (source == SOURCE_FINGERPRINT && memcmp(message.data, "\xC3\x01", 2) != 0))
        return NULL;
    const struct binding *binding = codec->lines[line].last[source];
    if (binding == NULL || binding->key != header_key(source, message.data))
        return NULL;
    return binding->program;
}

static inline enum status decode(struct codec *codec, uint32_t line, struct view message,
                                 struct arena *arena, void *record, struct codec_reason *reason,
                                 struct failure *failure)
{
    const enum source source =
        message.size > 0 && message.data[0] == 0 ? SOURCE_REGISTRY : SOURCE_FINGERPRINT;
    const struct program *program = same_program(codec, line, source, message);

    if (program == NULL)
        return decode_any(codec, line, message, arena, record, reason, failure);
    return run_program(program, source, message, arena, record, reason, failure);
}

enum codec_error codec_finish_event(enum event_kind kind, struct event *event,
                                    struct codec_reason *reason)
{
    event->kind = kind;
    if (kind != EVENT_REQUEST)
        return CODEC_OK;
    if (view_is_absent(event->request.customer_id) && event->request.customer_ids.count == 0) {
        reason_set(reason, CODEC_ERROR_MISSING, NULL, 0,
                   "customer_id: required, but missing: expected it or customer_ids");
        snprintf(reason->field, sizeof reason->field, "customer_id");
        return reason->error;
    }
    if (event->request.count == 0)
        event->request.count = CODEC_REQUEST_COUNT;
    return CODEC_OK;
}

enum status codec_decode_event(struct codec *codec, enum event_kind kind, struct view message,
                               struct arena *arena, struct event *event,
                               struct codec_reason *reason, struct failure *failure)
{
    struct codec_reason unwanted;
    enum status status;

    if (reason == NULL)
        reason = &unwanted;
    reason->error = CODEC_OK;
    status = decode(codec, line_of_event(kind), message, arena, event, reason, failure);
    if (status != STATUS_OK)
        return status;
    return codec_finish_event(kind, event, reason) == CODEC_OK ? STATUS_OK
                                                               : set_aside(reason, failure);
}

enum status codec_decode_result(struct codec *codec, enum result_kind kind, struct view message,
                                struct arena *arena, struct result *result,
                                struct codec_reason *reason, struct failure *failure)
{
    struct codec_reason unwanted;
    enum status status;

    if (reason == NULL)
        reason = &unwanted;
    reason->error = CODEC_OK;
    status = decode(codec, line_of_result(kind), message, arena, result, reason, failure);
    result->kind = kind;
    return status;
}

/* ---- encoding ------------------------------------------------------------------ */

static const char *topic_name_of_line(uint32_t line)
{
    const enum topic topic = line < EVENT_KIND_COUNT
                                 ? topic_of_event((enum event_kind)line)
                                 : topic_of_result((enum result_kind)(line - EVENT_KIND_COUNT));

    assert(topic != TOPIC_COUNT);
    return topic_info(topic)->name;
}

/* The id of our schema under the subject of its topic (TopicNameStrategy). */
static enum status ask_registry_id(struct codec *codec, uint32_t line, struct failure *failure)
{
    struct byte_writer subject;
    enum status status;
    uint32_t id;

    if (codec->registry == NULL)
        return failure_set(failure, REMEDY_STOP,
                           "output.format avro-registry needs schema.registry.url");
    byte_writer_init(&subject);
    const char *prefix = codec->options.topic_prefix;
    byte_print(&subject, "%s%s-value", prefix != NULL ? prefix : "", topic_name_of_line(line));
    status = registry_register(codec->registry, codec->clock, byte_writer_view(&subject),
                               view_of(codec->lines[line].schema_text), &id, failure);
    byte_writer_free(&subject);
    if (status == STATUS_OK)
        codec->lines[line].registry_id = id;
    return status;
}

static enum status encode(struct codec *codec, enum codec_format format, uint32_t line,
                          const void *record, struct byte_writer *out, struct failure *failure)
{
    struct line *own = &codec->lines[line];
    const struct shape *shape = shape_of_line(line);
    const size_t size_before = out->size;
    enum status status;

    switch (format) {
    case CODEC_JSON:
        codec_json(shape, record, out);
        return STATUS_OK;
    case CODEC_AVRO_REGISTRY:
        if (own->registry_id < 0) {
            status = ask_registry_id(codec, line, failure);
            if (status != STATUS_OK)
                return status;
        }
        byte_put_u8(out, 0);
        byte_put_u8(out, (uint8_t)(own->registry_id >> 24));
        byte_put_u8(out, (uint8_t)(own->registry_id >> 16));
        byte_put_u8(out, (uint8_t)(own->registry_id >> 8));
        byte_put_u8(out, (uint8_t)own->registry_id);
        break;
    case CODEC_AVRO_SINGLE_OBJECT:
        byte_put_u8(out, 0xC3);
        byte_put_u8(out, 0x01);
        byte_put_u64(out, own->fingerprint);
        break;
    }
    status = encode_avro(shape, record, out, failure);
    if (status != STATUS_OK)
        out->size = size_before;
    return status;
}

enum status codec_encode_result(struct codec *codec, const struct result *result,
                                struct byte_writer *out, struct failure *failure)
{
    return encode(codec, (enum codec_format)codec->options.output, line_of_result(result->kind),
                  result, out, failure);
}

enum status codec_encode_event(struct codec *codec, enum codec_format format,
                               const struct event *event, struct byte_writer *out,
                               struct failure *failure)
{
    return encode(codec, format, line_of_event(event->kind), event, out, failure);
}
