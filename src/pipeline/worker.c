#include "pipeline/worker.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>

#include "base/json_writer.h"
#include "base/log.h"

enum { TURN_WAIT_MS = 100, THREAD_NAME_BYTES = 16 };

struct worker {
    struct worker_group *group;
    uint32_t number;
    pthread_t thread;
    bool is_started;
    struct pipeline *pipeline; /* NULL once closed; guarded by the group's lock */
};

struct worker_group {
    struct worker *workers;
    uint32_t count;
    atomic_bool is_stopping;
    atomic_uint ended_count;
    pthread_mutex_t lock; /* guards failure, and pipelines against their closing */
    bool has_failed;
    struct failure failure;
};

static void fail_group(struct worker_group *group, const struct failure *failure)
{
    pthread_mutex_lock(&group->lock);
    if (!group->has_failed)
        group->failure = *failure;
    group->has_failed = true;
    pthread_mutex_unlock(&group->lock);
    atomic_store(&group->is_stopping, true);
}

static void close_pipeline(struct worker *worker)
{
    struct pipeline *pipeline;

    pthread_mutex_lock(&worker->group->lock);
    pipeline = worker->pipeline;
    worker->pipeline = NULL;
    pthread_mutex_unlock(&worker->group->lock);
    pipeline_close(pipeline);
}

static void *run(void *context)
{
    struct worker *worker = context;
    struct worker_group *group = worker->group;
    struct failure failure = {0};
    enum status status = STATUS_OK;

    while (status == STATUS_OK && !atomic_load(&group->is_stopping))
        status = pipeline_turn(worker->pipeline, TURN_WAIT_MS, &failure);
    if (status == STATUS_OK) {
        status = pipeline_drain(worker->pipeline, &failure);
        if (status != STATUS_OK && failure.remedy != REMEDY_STOP) {
            log_warn("pipeline", "worker %" PRIu32 ": %s", worker->number, failure.text);
            status = STATUS_OK;
        }
    }
    if (status != STATUS_OK)
        fail_group(group, &failure);
    close_pipeline(worker);
    atomic_fetch_add(&group->ended_count, 1);
    return NULL;
}

static void name_thread(const struct worker *worker)
{
    char name[THREAD_NAME_BYTES];

    snprintf(name, sizeof(name), "worker-%" PRIu32, worker->number);
    pthread_setname_np(worker->thread, name);
}

enum status worker_group_start(const struct pipeline_setup *setups, uint32_t count,
                               struct worker_group **out, struct failure *failure)
{
    struct worker_group *group = calloc(1, sizeof(*group));
    enum status status = STATUS_OK;

    if (group == NULL || (group->workers = calloc(count, sizeof(*group->workers))) == NULL)
        abort();
    *out = NULL;
    group->count = count;
    pthread_mutex_init(&group->lock, NULL);
    for (uint32_t i = 0; i < count && status == STATUS_OK; i++) {
        group->workers[i].group = group;
        group->workers[i].number = setups[i].worker;
        status = pipeline_open(&setups[i], &group->workers[i].pipeline, failure);
    }
    for (uint32_t i = 0; i < count && status == STATUS_OK; i++) {
        struct worker *worker = &group->workers[i];

        if (pthread_create(&worker->thread, NULL, run, worker) != 0) {
            status = failure_set(failure, REMEDY_STOP, "no thread for worker %" PRIu32, i);
            break;
        }
        worker->is_started = true;
        name_thread(worker);
    }
    if (status == STATUS_OK) {
        *out = group;
        return STATUS_OK;
    }
    worker_group_stop(group);
    worker_group_join(group, NULL);
    worker_group_destroy(group);
    return status;
}

void worker_group_stop(struct worker_group *group)
{
    atomic_store(&group->is_stopping, true);
}

enum status worker_group_join(struct worker_group *group, struct failure *failure)
{
    for (uint32_t i = 0; i < group->count; i++) {
        if (group->workers[i].is_started)
            pthread_join(group->workers[i].thread, NULL);
        group->workers[i].is_started = false;
    }
    if (!group->has_failed)
        return STATUS_OK;
    if (failure != NULL)
        *failure = group->failure;
    return STATUS_BROKEN;
}

void worker_group_destroy(struct worker_group *group)
{
    if (group == NULL)
        return;
    for (uint32_t i = 0; i < group->count; i++)
        pipeline_close(group->workers[i].pipeline);
    pthread_mutex_destroy(&group->lock);
    free(group->workers);
    free(group);
}

bool worker_group_is_running(const struct worker_group *group)
{
    return atomic_load(&group->ended_count) == 0;
}

bool worker_group_is_ready(struct worker_group *group)
{
    bool is_ready = !atomic_load(&group->is_stopping);

    pthread_mutex_lock(&group->lock);
    for (uint32_t i = 0; i < group->count; i++)
        is_ready &=
            group->workers[i].pipeline != NULL && pipeline_is_ready(group->workers[i].pipeline);
    pthread_mutex_unlock(&group->lock);
    return is_ready;
}

int64_t worker_group_last_turn_ms(struct worker_group *group)
{
    int64_t least = INT64_MAX;

    pthread_mutex_lock(&group->lock);
    for (uint32_t i = 0; i < group->count; i++) {
        int64_t at = group->workers[i].pipeline == NULL
                         ? 0
                         : pipeline_last_turn_ms(group->workers[i].pipeline);

        least = at < least ? at : least;
    }
    pthread_mutex_unlock(&group->lock);
    return least;
}

void worker_group_status(struct worker_group *group, struct byte_writer *out)
{
    struct byte_writer each;
    struct json_writer json = json_writer_on(out);

    byte_writer_init(&each);
    json_begin_array(&json);
    pthread_mutex_lock(&group->lock);
    for (uint32_t i = 0; i < group->count; i++) {
        if (group->workers[i].pipeline == NULL)
            continue;
        byte_writer_reset(&each);
        pipeline_status(group->workers[i].pipeline, &each);
        json_raw(&json, byte_writer_view(&each));
    }
    pthread_mutex_unlock(&group->lock);
    json_end_array(&json);
    byte_writer_free(&each);
}
