#include "cli/outlet.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/json_writer.h"
#include "base/log.h"
#include "cli/stop.h"

enum {
    BROKER_WAIT_MS = 30000,   /* for a broker at the start */
    DELIVERY_WAIT_MS = 30000, /* for what is under way at the end */
    FULL_WAIT_MS = 50,
    REGISTRY_WAIT_MS = 1000,
    SERVE_EVENTS = 256, /* the producer's reports are fetched so often at least */
};

struct outlet {
    struct transport transport; /* door NULL: files */
    struct codec *codec;
    enum codec_format format;
    FILE *files[TOPIC_COUNT];
    const char *paths[TOPIC_COUNT];
    const char *folder; /* NULL: one file for all, in files[0] */
    bool is_bare;
    struct arena *arena;
    struct byte_writer bytes;
    uint32_t unserved;
};

static struct outlet *create_outlet(void)
{
    struct outlet *outlet = calloc(1, sizeof *outlet);

    if (outlet == NULL)
        abort();
    outlet->arena = arena_create(4096);
    byte_writer_init(&outlet->bytes);
    return outlet;
}

static void free_outlet(struct outlet *outlet)
{
    if (outlet->transport.door != NULL)
        outlet->transport.door->close(outlet->transport.context);
    codec_destroy(outlet->codec);
    byte_writer_free(&outlet->bytes);
    arena_destroy(outlet->arena);
    free(outlet);
}

enum status outlet_open_log(const struct settings *settings, enum codec_format format,
                            struct outlet **out, struct failure *failure)
{
    struct outlet *outlet = create_outlet();
    struct kafka_setup setup = {
        .options = &settings->kafka,
        .role = KAFKA_SIDE,
        .name = "generate",
        .is_stopping = stop_flag(),
        .wait_ms = BROKER_WAIT_MS,
    };
    enum status status = codec_create(&settings->codec, &outlet->codec, failure);

    *out = NULL;
    outlet->format = format;
    if (status == STATUS_OK)
        status = kafka_open(&setup, &outlet->transport, failure);
    if (status == STATUS_OK)
        *out = outlet;
    else
        free_outlet(outlet);
    return status;
}

static enum status open_stream(struct outlet *outlet, uint32_t index, const char *path,
                               struct failure *failure)
{
    outlet->paths[index] = path;
    outlet->files[index] = strcmp(path, "-") == 0 ? stdout : fopen(path, "we");
    if (outlet->files[index] == NULL)
        return failure_set(failure, REMEDY_STOP, "%s: cannot be written: %s", path,
                           strerror(errno));
    return STATUS_OK;
}

enum status outlet_open_file(const char *path, bool is_bare, struct outlet **out,
                             struct failure *failure)
{
    struct outlet *outlet = create_outlet();
    enum status status = open_stream(outlet, 0, path, failure);

    outlet->is_bare = is_bare;
    *out = outlet;
    if (status != STATUS_OK) {
        free_outlet(outlet);
        *out = NULL;
    }
    return status;
}

enum status outlet_open_folder(const char *path, struct outlet **out, struct failure *failure)
{
    (void)failure;
    *out = create_outlet();
    (*out)->folder = path;
    (*out)->is_bare = true;
    return STATUS_OK;
}

/* ---- one event ---- */

static enum status put_line(struct outlet *outlet, const struct event *event,
                            struct failure *failure)
{
    enum topic topic = topic_of_event(event->kind);
    const char *name = topic_info(topic)->name;
    uint32_t index = outlet->folder != NULL ? (uint32_t)topic : 0;
    struct byte_writer *bytes = &outlet->bytes;

    if (outlet->files[index] == NULL) {
        const char *path = arena_print(outlet->arena, "%s/%s.jsonl", outlet->folder, name);
        if (open_stream(outlet, index, path, failure) != STATUS_OK)
            return STATUS_BROKEN;
    }
    byte_writer_reset(bytes);
    if (outlet->is_bare) {
        codec_json(event_shape(event->kind), event, bytes);
    } else {
        struct json_writer json = json_writer_on(bytes);
        json_begin_object(&json);
        json_name(&json, "topic");
        json_text(&json, name);
        json_name(&json, "key");
        json_view(&json, event->tenant_id);
        json_name(&json, "value");
        codec_json(event_shape(event->kind), event, bytes);
        byte_put_u8(bytes, '}');
    }
    byte_put_u8(bytes, '\n');
    if (fwrite(bytes->data, 1, bytes->size, outlet->files[index]) != bytes->size)
        return failure_set(failure, REMEDY_STOP, "%s: cannot be written: %s", outlet->paths[index],
                           strerror(errno));
    return STATUS_OK;
}

/* A registry that does not answer is waited for. */
static enum status encode(struct outlet *outlet, const struct event *event, struct failure *failure)
{
    enum status status;

    do {
        byte_writer_reset(&outlet->bytes);
        status = codec_encode_event(outlet->codec, outlet->format, event, &outlet->bytes, failure);
        if (status != STATUS_BROKEN || failure->remedy != REMEDY_RETRY)
            return status;
        log_warn("generate", "%s; trying again", failure->text);
    } while (!stop_wait(REGISTRY_WAIT_MS));
    return STATUS_END;
}

static void serve(struct outlet *outlet, int64_t wait_ms)
{
    struct failure failure;
    struct record record;
    uint32_t count;

    outlet->unserved = 0;
    /* What goes wrong for good is said by the next produce or by the commit at the end. */
    outlet->transport.door->poll(outlet->transport.context, &record, 0, wait_ms, &count, &failure);
}

static enum status put_record(struct outlet *outlet, const struct event *event,
                              struct failure *failure)
{
    enum status status = encode(outlet, event, failure);
    struct outgoing outgoing = {
        .topic = topic_of_event(event->kind),
        .partition = -1,
        .key = event->tenant_id,
        .value = byte_writer_view(&outlet->bytes),
        .timestamp_ms = event->event_time_ms,
    };

    if (status != STATUS_OK)
        return status;
    if (++outlet->unserved >= SERVE_EVENTS)
        serve(outlet, 0);
    for (;;) {
        status = outlet->transport.door->produce(outlet->transport.context, &outgoing, failure);
        bool is_retry = status == STATUS_BROKEN && failure->remedy == REMEDY_RETRY;
        if (status != STATUS_FULL && status != STATUS_AGAIN && !is_retry)
            return status;
        if (stop_is_asked())
            return STATUS_END;
        serve(outlet, FULL_WAIT_MS);
    }
}

enum status outlet_put(struct outlet *outlet, const struct event *event, struct failure *failure)
{
    if (outlet->transport.door == NULL)
        return put_line(outlet, event, failure);
    return put_record(outlet, event, failure);
}

void outlet_serve(struct outlet *outlet)
{
    if (outlet->transport.door != NULL)
        serve(outlet, 0);
}

/* ---- the end ---- */

static enum status close_files(struct outlet *outlet, struct failure *failure)
{
    enum status status = STATUS_OK;

    for (uint32_t i = 0; i < TOPIC_COUNT; i++) {
        FILE *file = outlet->files[i];
        if (file != NULL && (file == stdout ? fflush(file) : fclose(file)) != 0)
            status = failure_set(failure, REMEDY_STOP, "%s: cannot be written: %s",
                                 outlet->paths[i], strerror(errno));
    }
    return status;
}

static enum status flush_log(struct outlet *outlet, struct failure *failure)
{
    const struct transport_door *door = outlet->transport.door;
    void *context = outlet->transport.context;
    int64_t end_ms = clock_monotonic_ms(clock_system()) + DELIVERY_WAIT_MS;
    enum status status = door->commit_start(context, NULL, 0, failure);

    while (status == STATUS_OK || status == STATUS_AGAIN) {
        status = door->commit_wait(context, FULL_WAIT_MS, failure);
        if (status == STATUS_OK)
            return STATUS_OK;
        if (clock_monotonic_ms(clock_system()) > end_ms)
            return failure_set(failure, REMEDY_STOP,
                               "the last events could not be delivered within %d s",
                               DELIVERY_WAIT_MS / 1000);
    }
    return status;
}

enum status outlet_close(struct outlet *outlet, struct failure *failure)
{
    enum status status =
        outlet->transport.door != NULL ? flush_log(outlet, failure) : close_files(outlet, failure);

    free_outlet(outlet);
    return status;
}
