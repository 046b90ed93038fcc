#include "pipeline/snapshot_writer.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/hash.h"

enum {
    ZSTD_LEVEL = 1, /* the state is written every few minutes: speed before size */
    SERVE_MS = 50,
    FIRST_FILE = 3,
};

enum writer_state { WRITER_IDLE, WRITER_BUSY, WRITER_DONE };
enum writer_claim { CLAIM_PENDING, CLAIM_COMMITTED, CLAIM_VOID };
enum writer_step {
    STEP_BEGIN,
    STEP_CHUNKS,
    STEP_DELETE, /* chunks of the generation before that ours do not replace */
    STEP_DELIVER,
    STEP_DELIVERING,
    STEP_CLAIM, /* until the worker says whether the state was committed */
    STEP_MANIFEST,
    STEP_CONFIRM,
    STEP_CONFIRMING,
    STEP_END,
};

struct snapshot_writer {
    struct snapshot_writer_setup setup;
    pthread_t thread;
    pthread_mutex_t lock; /* guards the next three, and child as far as end_image says */
    pthread_cond_t changed;
    enum writer_state state;
    enum writer_claim claim;
    bool is_stopping;

    /* The writing thread's, from take to outcome. */
    struct snapshot_outcome outcome;
    enum writer_step step;
    uint32_t stale_chunk_count;
    int64_t begun_ms;
    pid_t child; /* 0: saved in process */
    int pipe;
    uint64_t raw_left;        /* of the image, in the pipe */
    struct byte_writer image; /* saved in process */
    size_t image_at;
    struct byte_writer raw;   /* one chunk */
    struct byte_writer chunk; /* the same, as it is produced; kept while the queue is full */
    bool has_chunk;
};

static const struct transport *transport_of(const struct snapshot_writer *writer)
{
    return &writer->setup.transport;
}

/* ---- the image: a child's pipe, or a buffer ------------------------------------- */

static bool write_whole(int file, const void *data, size_t size)
{
    const char *at = data;

    while (size > 0) {
        ssize_t written = write(file, at, size);

        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return false;
        at += written;
        size -= (size_t)written;
    }
    return true;
}

static bool read_whole(int file, void *data, size_t size)
{
    char *at = data;

    while (size > 0) {
        ssize_t taken = read(file, at, size);

        if (taken < 0 && errno == EINTR)
            continue;
        if (taken <= 0)
            return false;
        at += taken;
        size -= (size_t)taken;
    }
    return true;
}

/* The child's whole life. It holds no lock and no file but its pipe: a listening
 * socket kept open here would outlive a killed parent and block its successor. */
static void save_in_child(const struct engine *engine, int file, pid_t parent)
{
    struct byte_writer image;
    uint64_t size;
    uint64_t digest;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    if (file != FIRST_FILE && dup2(file, FIRST_FILE) < 0)
        _exit(1);
    close_range(FIRST_FILE + 1, ~0U, 0);
    byte_writer_init(&image);
    engine_save(engine, &image);
    digest = engine_digest(engine);
    size = image.size;
    _exit(write_whole(FIRST_FILE, &size, sizeof(size)) &&
                  write_whole(FIRST_FILE, &digest, sizeof(digest)) &&
                  write_whole(FIRST_FILE, image.data, image.size)
              ? 0
              : 1);
}

/* A fork copies the page tables of the whole process under a lock of the whole process: the
 * second of two at once would stand still for both. */
static atomic_flag is_forking = ATOMIC_FLAG_INIT;

static enum status fork_image(struct snapshot_writer *writer, const struct engine *engine,
                              struct failure *failure)
{
    int ends[2];
    pid_t parent = getpid();

    if (atomic_flag_test_and_set(&is_forking))
        return STATUS_AGAIN;
    if (pipe2(ends, O_CLOEXEC) != 0) {
        atomic_flag_clear(&is_forking);
        return failure_set(failure, REMEDY_RETRY, "pipe: %s", strerror(errno));
    }
    writer->child = fork();
    if (writer->child == 0)
        save_in_child(engine, ends[1], parent);
    atomic_flag_clear(&is_forking);
    close(ends[1]);
    if (writer->child < 0) {
        failure_set(failure, REMEDY_RETRY, "fork: %s", strerror(errno));
        writer->child = 0;
        close(ends[0]);
        return STATUS_BROKEN;
    }
    writer->pipe = ends[0];
    return STATUS_OK;
}

static void save_image(struct snapshot_writer *writer, const struct engine *engine)
{
    byte_writer_reset(&writer->image);
    writer->image_at = 0;
    engine_save(engine, &writer->image);
    writer->outcome.manifest.engine_digest = engine_digest(engine);
    writer->raw_left = writer->image.size;
}

/* The lock: snapshot_writer_destroy kills a child that it sees here, and must not
 * see one that has been waited for, whose number may be somebody else's by then. */
static void end_image(struct snapshot_writer *writer)
{
    pid_t child;

    pthread_mutex_lock(&writer->lock);
    child = writer->child;
    writer->child = 0;
    pthread_mutex_unlock(&writer->lock);
    if (child > 0) {
        close(writer->pipe);
        kill(child, SIGKILL);
        while (waitpid(child, NULL, 0) < 0 && errno == EINTR)
            ;
    }
    writer->pipe = -1;
    byte_writer_reset(&writer->image);
}

/* Size and digest come first. */
static bool begin_image(struct snapshot_writer *writer)
{
    if (writer->child == 0)
        return true;
    return read_whole(writer->pipe, &writer->raw_left, sizeof(writer->raw_left)) &&
           read_whole(writer->pipe, &writer->outcome.manifest.engine_digest,
                      sizeof(writer->outcome.manifest.engine_digest));
}

static bool read_image(struct snapshot_writer *writer, size_t size)
{
    byte_writer_reset(&writer->raw);
    if (writer->child == 0) {
        byte_put(&writer->raw, writer->image.data + writer->image_at, size);
        writer->image_at += size;
    } else {
        if (!read_whole(writer->pipe, byte_writer_reserve(&writer->raw, size), size))
            return false;
        writer->raw.size += size;
    }
    writer->raw_left -= size;
    return true;
}

/* ---- the steps ------------------------------------------------------------------- */

static enum status produce(struct snapshot_writer *writer, int64_t chunk, struct view value,
                           struct failure *failure)
{
    char key[SNAPSHOT_KEY_BYTES];
    struct outgoing outgoing = {
        .topic = TOPIC_SNAPSHOTS,
        .partition = writer->outcome.partition,
        .key = snapshot_key(key, writer->outcome.partition, writer->outcome.manifest.slot, chunk),
        .value = value};

    return transport_of(writer)->door->produce(transport_of(writer)->context, &outgoing, failure);
}

static enum status begin_writing(struct snapshot_writer *writer, struct failure *failure)
{
    const struct transport *transport = transport_of(writer);
    struct snapshot_manifest *manifest = &writer->outcome.manifest;
    int64_t first;
    enum status status =
        transport->door->bounds(transport->context, TOPIC_SNAPSHOTS, writer->outcome.partition,
                                &first, &manifest->chunks_from, failure);

    if (status == STATUS_OK)
        status =
            transport->door->bounds(transport->context, TOPIC_JOURNAL, writer->outcome.partition,
                                    &first, &writer->outcome.journal_next, failure);
    if (status != STATUS_OK)
        return status;
    if (!begin_image(writer))
        return failure_set(failure, REMEDY_SET_ASIDE, "the saving process died");
    manifest->raw_bytes = writer->raw_left;
    manifest->stored_bytes = 0;
    manifest->raw_hash = 0;
    manifest->chunk_count = 0;
    writer->has_chunk = false;
    writer->step = STEP_CHUNKS;
    return STATUS_OK;
}

static enum status write_chunk(struct snapshot_writer *writer, struct failure *failure)
{
    struct snapshot_manifest *manifest = &writer->outcome.manifest;
    enum status status;

    if (!writer->has_chunk) {
        size_t size = (size_t)writer->setup.chunk_bytes;

        if (writer->raw_left == 0) {
            writer->step = STEP_DELETE;
            end_image(writer);
            return STATUS_OK;
        }
        if (!read_image(writer, writer->raw_left < size ? writer->raw_left : size))
            return failure_set(failure, REMEDY_SET_ASIDE, "the saving process died");
        byte_writer_reset(&writer->chunk);
        snapshot_encode_chunk(manifest->generation, manifest->chunk_count,
                              byte_writer_view(&writer->raw), ZSTD_LEVEL, &writer->chunk);
        manifest->raw_hash = snapshot_hash(manifest->raw_hash, byte_writer_view(&writer->raw));
        writer->has_chunk = true;
    }
    status = produce(writer, manifest->chunk_count, byte_writer_view(&writer->chunk), failure);
    if (status != STATUS_OK)
        return status;
    manifest->stored_bytes += writer->chunk.size;
    manifest->chunk_count++;
    writer->has_chunk = false;
    return STATUS_OK;
}

static enum status delete_chunk(struct snapshot_writer *writer, struct failure *failure)
{
    enum status status;

    if (writer->stale_chunk_count <= writer->outcome.manifest.chunk_count) {
        writer->step = STEP_DELIVER;
        return STATUS_OK;
    }
    status = produce(writer, writer->stale_chunk_count - 1, (struct view){0}, failure);
    if (status == STATUS_OK)
        writer->stale_chunk_count--;
    return status;
}

static enum status write_manifest(struct snapshot_writer *writer, struct failure *failure)
{
    enum status status;

    byte_writer_reset(&writer->chunk);
    snapshot_encode_manifest(&writer->outcome.manifest, &writer->chunk);
    status = produce(writer, -1, byte_writer_view(&writer->chunk), failure);
    if (status == STATUS_OK)
        writer->step = STEP_CONFIRM;
    return status;
}

/* Chunks must have arrived before the manifest leaves: it vouches for them. */
static enum status deliver(struct snapshot_writer *writer, struct failure *failure)
{
    const struct transport *transport = transport_of(writer);
    enum status status = transport->door->commit_start(transport->context, NULL, 0, failure);

    if (status == STATUS_OK)
        writer->step = writer->step == STEP_DELIVER ? STEP_DELIVERING : STEP_CONFIRMING;
    return status;
}

static enum status await_delivery(struct snapshot_writer *writer, struct failure *failure)
{
    const struct transport *transport = transport_of(writer);
    enum status status = transport->door->commit_wait(
        transport->context, writer->setup.is_threaded ? SERVE_MS : 0, failure);

    if (status == STATUS_OK)
        writer->step = writer->step == STEP_DELIVERING ? STEP_CLAIM : STEP_END;
    else if (status == STATUS_BROKEN)
        writer->step = writer->step == STEP_DELIVERING ? STEP_DELIVER : STEP_CONFIRM;
    return status;
}

static enum status await_claim(struct snapshot_writer *writer)
{
    enum writer_claim claim;

    pthread_mutex_lock(&writer->lock);
    claim = writer->claim;
    pthread_mutex_unlock(&writer->lock);
    switch (claim) {
    case CLAIM_PENDING:
        return STATUS_AGAIN;
    case CLAIM_COMMITTED:
        writer->step = STEP_MANIFEST;
        return STATUS_OK;
    case CLAIM_VOID:
        writer->outcome.is_void = true;
        return STATUS_END;
    }
    return STATUS_END;
}

static enum status take_step(struct snapshot_writer *writer, struct failure *failure)
{
    switch (writer->step) {
    case STEP_BEGIN:
        return begin_writing(writer, failure);
    case STEP_CHUNKS:
        return write_chunk(writer, failure);
    case STEP_DELETE:
        return delete_chunk(writer, failure);
    case STEP_DELIVER:
    case STEP_CONFIRM:
        return deliver(writer, failure);
    case STEP_DELIVERING:
    case STEP_CONFIRMING:
        return await_delivery(writer, failure);
    case STEP_CLAIM:
        return await_claim(writer);
    case STEP_MANIFEST:
        return write_manifest(writer, failure);
    case STEP_END:
        writer->outcome.is_written = true;
        return STATUS_END;
    }
    return STATUS_END;
}

/* STATUS_OK: go on. STATUS_AGAIN: wait a little. STATUS_END: the outcome stands. */
static enum status advance(struct snapshot_writer *writer)
{
    struct failure failure = {0};
    enum status status = take_step(writer, &failure);

    if (status == STATUS_BROKEN && failure.remedy == REMEDY_RETRY)
        return STATUS_AGAIN;
    if (status == STATUS_BROKEN) {
        snprintf(writer->outcome.text, sizeof(writer->outcome.text), "%s", failure.text);
        return STATUS_END;
    }
    if (status == STATUS_FULL)
        return STATUS_AGAIN;
    return status;
}

static void finish(struct snapshot_writer *writer)
{
    end_image(writer);
    writer->outcome.duration_ms = clock_monotonic_ms(writer->setup.clock) - writer->begun_ms;
    pthread_mutex_lock(&writer->lock);
    writer->state = WRITER_DONE;
    pthread_mutex_unlock(&writer->lock);
}

/* ---- the thread ------------------------------------------------------------------ */

static void serve(struct snapshot_writer *writer)
{
    const struct transport *transport = transport_of(writer);
    uint32_t count = 0;

    transport->door->poll(transport->context, NULL, 0, SERVE_MS, &count, NULL);
}

static void await_change(struct snapshot_writer *writer)
{
    struct timespec until = clock_deadline(SERVE_MS);

    pthread_mutex_lock(&writer->lock);
    if (!writer->is_stopping && writer->claim == CLAIM_PENDING)
        pthread_cond_timedwait(&writer->changed, &writer->lock, &until);
    pthread_mutex_unlock(&writer->lock);
}

static bool await_work(struct snapshot_writer *writer)
{
    bool is_stopping;

    pthread_mutex_lock(&writer->lock);
    while (writer->state != WRITER_BUSY && !writer->is_stopping)
        pthread_cond_wait(&writer->changed, &writer->lock);
    is_stopping = writer->is_stopping;
    pthread_mutex_unlock(&writer->lock);
    return !is_stopping;
}

static bool is_stopping(struct snapshot_writer *writer)
{
    bool answer;

    pthread_mutex_lock(&writer->lock);
    answer = writer->is_stopping;
    pthread_mutex_unlock(&writer->lock);
    return answer;
}

static void *write_snapshots(void *context)
{
    struct snapshot_writer *writer = context;

    while (await_work(writer)) {
        enum status status;

        do {
            status = advance(writer);
            if (status == STATUS_AGAIN && writer->step == STEP_CLAIM)
                await_change(writer);
            else if (status == STATUS_AGAIN)
                serve(writer);
        } while (status != STATUS_END && !is_stopping(writer));
        finish(writer);
    }
    return NULL;
}

/* ---- the worker's side ------------------------------------------------------------ */

struct snapshot_writer *snapshot_writer_create(const struct snapshot_writer_setup *setup)
{
    struct snapshot_writer *writer = calloc(1, sizeof(*writer));

    if (writer == NULL)
        abort();
    writer->setup = *setup;
    writer->pipe = -1;
    byte_writer_init(&writer->image);
    byte_writer_init(&writer->raw);
    byte_writer_init(&writer->chunk);
    pthread_mutex_init(&writer->lock, NULL);
    clock_condition_init(&writer->changed);
    if (setup->is_threaded && pthread_create(&writer->thread, NULL, write_snapshots, writer) != 0)
        abort();
    return writer;
}

void snapshot_writer_destroy(struct snapshot_writer *writer)
{
    if (writer == NULL)
        return;
    if (writer->setup.is_threaded) {
        pthread_mutex_lock(&writer->lock);
        writer->is_stopping = true;
        /* A thread that waits for its child's bytes ends with the child. */
        if (writer->state == WRITER_BUSY && writer->child > 0)
            kill(writer->child, SIGKILL);
        pthread_cond_broadcast(&writer->changed);
        pthread_mutex_unlock(&writer->lock);
        pthread_join(writer->thread, NULL);
    }
    end_image(writer);
    pthread_cond_destroy(&writer->changed);
    pthread_mutex_destroy(&writer->lock);
    byte_writer_free(&writer->image);
    byte_writer_free(&writer->raw);
    byte_writer_free(&writer->chunk);
    free(writer);
}

static enum writer_state state_of(const struct snapshot_writer *writer)
{
    /* The lock is no part of what a caller sees as constant. */
    struct snapshot_writer *mutable = (struct snapshot_writer *)(uintptr_t)writer;
    enum writer_state state;

    pthread_mutex_lock(&mutable->lock);
    state = writer->state;
    pthread_mutex_unlock(&mutable->lock);
    return state;
}

bool snapshot_writer_is_idle(const struct snapshot_writer *writer)
{
    return state_of(writer) == WRITER_IDLE;
}

enum status snapshot_writer_take(struct snapshot_writer *writer, int32_t partition,
                                 const struct engine *engine,
                                 const struct snapshot_manifest *manifest,
                                 uint32_t stale_chunk_count, struct failure *failure)
{
    int64_t begun_ns = clock_monotonic_ns(writer->setup.clock);
    enum status status = STATUS_OK;

    assert(state_of(writer) == WRITER_IDLE);
    writer->outcome = (struct snapshot_outcome){.partition = partition, .manifest = *manifest};
    writer->stale_chunk_count = stale_chunk_count;
    writer->step = STEP_BEGIN;
    writer->begun_ms = begun_ns / 1000000;
    if (writer->setup.is_threaded)
        status = fork_image(writer, engine, failure);
    else
        save_image(writer, engine);
    if (status != STATUS_OK)
        return status;
    writer->outcome.pause_ns = clock_monotonic_ns(writer->setup.clock) - begun_ns;
    pthread_mutex_lock(&writer->lock);
    writer->claim = CLAIM_PENDING;
    writer->state = WRITER_BUSY;
    pthread_cond_broadcast(&writer->changed);
    pthread_mutex_unlock(&writer->lock);
    return STATUS_OK;
}

void snapshot_writer_settle(struct snapshot_writer *writer, bool is_committed)
{
    pthread_mutex_lock(&writer->lock);
    if (writer->claim == CLAIM_PENDING) {
        writer->claim = is_committed ? CLAIM_COMMITTED : CLAIM_VOID;
        pthread_cond_broadcast(&writer->changed);
    }
    pthread_mutex_unlock(&writer->lock);
}

void snapshot_writer_step(struct snapshot_writer *writer)
{
    if (writer->setup.is_threaded || state_of(writer) != WRITER_BUSY)
        return;
    if (advance(writer) == STATUS_END)
        finish(writer);
}

bool snapshot_writer_outcome(struct snapshot_writer *writer, struct snapshot_outcome *outcome)
{
    if (state_of(writer) != WRITER_DONE)
        return false;
    *outcome = writer->outcome;
    pthread_mutex_lock(&writer->lock);
    writer->state = WRITER_IDLE;
    pthread_mutex_unlock(&writer->lock);
    return true;
}
