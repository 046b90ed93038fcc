#include "recommend/job.h"

#include <assert.h>
#include <string.h>

#include "recommend/state.h"

enum { TURN_CUSTOMERS = 8, PROGRESS_STEPS = 10, ATTEMPTS_SHIFT_MAX = 20, LIST_PRODUCTS = 8192 };

/* ---- telling ---- */

static void publish(const struct market *market, const struct job *job, enum job_status status,
                    int64_t finished_ms, const char *error, struct outbox *outbox)
{
    static const char *const open_numbers[] = {"total",    "processed",      "failed",
                                               "attempts", "submitted_time", NULL};
    static const char *const closed_numbers[] = {
        "total", "processed", "failed", "attempts", "submitted_time", "finished_time", NULL};
    struct result result = {
        .kind = RESULT_BATCH_JOB,
        .id = job->id,
        .tenant_id = market->id,
        .batch_job =
            {
                .status = status,
                .total = job->total,
                .processed = job->processed,
                .failed = job->failed,
                .attempts = job->attempts,
                .submitted_time_ms = job->submitted_ms,
                .finished_time_ms = finished_ms,
                .error = view_of(error),
            },
    };

    result_mark(&result, finished_ms != 0 ? closed_numbers : open_numbers);
    outbox_add(outbox, &result);
}

/* ---- the ring ---- */

static void join_ring(struct store *store, struct market *market)
{
    if (market->busy_next != NULL)
        return;
    if (store->busy == NULL) {
        market->busy_next = market;
    } else {
        market->busy_next = store->busy->busy_next;
        store->busy->busy_next = market;
    }
    /* Whoever comes waits for all others. */
    store->busy = market;
}

static void leave_ring(struct store *store, struct market *market)
{
    struct market *before = market;

    if (market->busy_next == NULL)
        return; /* a loaded state was found damaged before the ring was closed */
    while (before->busy_next != market)
        before = before->busy_next;
    if (before == market) {
        store->busy = NULL;
    } else {
        before->busy_next = market->busy_next;
        if (store->busy == market)
            store->busy = before;
    }
    market->busy_next = NULL;
}

/* ---- life ---- */

static size_t bytes_of_texts(const struct view *texts, uint32_t count)
{
    size_t bytes = 0;

    for (uint32_t i = 0; i < count; i++)
        bytes += texts[i].size;
    return bytes;
}

static struct view keep_text(char **at, struct view text)
{
    struct view kept = {*at, text.size};

    memcpy(*at, text.data, text.size);
    *at += text.size;
    return kept;
}

static struct view *keep_texts(char **place, char **at, const struct view *texts, uint32_t count)
{
    struct view *kept = (struct view *)(void *)*place;

    *place += count * sizeof *kept;
    for (uint32_t i = 0; i < count; i++)
        kept[i] = keep_text(at, texts[i]);
    return kept;
}

/* One run: the job, its views, the numbers of those waiting, the texts. */
static struct job *job_create(struct store *store, struct market *market, struct view id,
                              struct view_list customers, struct view_list context)
{
    size_t views = ((size_t)customers.count + context.count) * sizeof(struct view);
    size_t numbers = customers.count * sizeof(uint32_t);
    size_t bytes = sizeof(struct job) + views + numbers + id.size +
                   bytes_of_texts(customers.at, customers.count) +
                   bytes_of_texts(context.at, context.count);
    struct job *job = market_take(store, market, bytes);
    char *place = (char *)(job + 1);
    char *text = place + views + numbers;

    *job = (struct job){
        .bytes = bytes,
        .customer_count = customers.count,
        .total = customers.count,
        .context_count = context.count,
        .waiting_count = customers.count,
    };
    job->customers = keep_texts(&place, &text, customers.at, customers.count);
    job->context = keep_texts(&place, &text, context.at, context.count);
    job->waiting = (uint32_t *)(void *)place;
    for (uint32_t i = 0; i < customers.count; i++)
        job->waiting[i] = i;
    job->id = keep_text(&text, id);
    return job;
}

static void add_job(struct store *store, struct market *market, struct job *job)
{
    struct job **last = &market->jobs;

    while (*last != NULL)
        last = &(*last)->next;
    *last = job;
    market->job_count++;
    store->job_count++;
    store->processing_count += job->is_processing;
    store->is_job_busy = true;
    join_ring(store, market);
}

static void remove_job(struct store *store, struct market *market, struct job *job)
{
    struct job **at = &market->jobs;

    while (*at != job)
        at = &(*at)->next;
    *at = job->next;
    market_give(store, market, job, job->bytes);
    market->job_count--;
    store->job_count--;
    store->processing_count -= job->is_processing;
    if (market->job_count == 0)
        leave_ring(store, market);
}

void market_drop_jobs(struct store *store, struct market *market)
{
    while (market->jobs != NULL)
        remove_job(store, market, market->jobs);
}

struct job *job_find(const struct market *market, struct view id)
{
    struct job *job = market->jobs;

    while (job != NULL && !view_is_equal(job->id, id))
        job = job->next;
    return job;
}

void job_submit(struct recommend *recommend, const struct event *event, bool is_sharing,
                struct outbox *outbox)
{
    struct store *store = &recommend->store;
    const struct request *request = &event->request;
    struct market *market = market_find(store, event->tenant_id);

    if (market == NULL)
        market = market_create(store, event->tenant_id);
    market->activity = store->sequence;
    if (job_find(market, event->id) != NULL)
        return;
    struct job *job =
        job_create(store, market, event->id, request->customer_ids, request->context.product_ids);
    job->count = request->count > 0 ? (uint32_t)request->count : LIST_COUNT_PRESET;
    job->priority = (uint32_t)request->priority;
    job->excludes_purchased = request->exclude_purchased;
    job->is_sharing = is_sharing;
    job->deadline_ms = request->deadline_ms;
    job->submitted_ms = event->event_time_ms;
    recommend->totals.jobs_submitted++;
    add_job(store, market, job);
    store_trim(store, market, 0);
    if (market->job_count <= (uint32_t)store->options.jobs_max) {
        publish(market, job, JOB_PENDING, 0, NULL, outbox);
        return;
    }
    job->failed = job->total;
    publish(market, job, JOB_FAILED, event->event_time_ms,
            "too many unfinished jobs of this tenant (recommend.jobs.max)", outbox);
    recommend->totals.jobs_failed++;
    market->totals.jobs_failed++;
    remove_job(store, market, job);
}

void job_cancel(struct recommend *recommend, struct market *market, struct job *job,
                int64_t time_ms, struct outbox *outbox)
{
    publish(market, job, JOB_CANCELLED, time_ms, NULL, outbox);
    recommend->totals.jobs_cancelled++;
    market->totals.jobs_cancelled++;
    remove_job(&recommend->store, market, job);
}

/* Its name is overwritten; what is left of it is as long as the name was. */
static void black_out(struct view *text)
{
    memset((char *)(uintptr_t)text->data, '-', text->size);
}

/* Leaves the customer out of waiting[from .. end); returns where the rest ends. */
static uint32_t leave_out(struct job *job, uint32_t from, uint32_t end, struct view customer_id)
{
    uint32_t kept = from;

    for (uint32_t i = from; i < end; i++)
        if (!view_is_equal(job->customers[job->waiting[i]], customer_id))
            job->waiting[kept++] = job->waiting[i];
    job->total -= end - kept;
    return kept;
}

void job_forget(struct market *market, struct view customer_id)
{
    for (struct job *job = market->jobs; job != NULL; job = job->next) {
        job->waiting_failed = leave_out(job, 0, job->waiting_failed, customer_id);
        job->waiting_count = leave_out(job, job->waiting_at, job->waiting_count, customer_id);
        for (uint32_t i = 0; i < job->customer_count; i++)
            if (view_is_equal(job->customers[i], customer_id))
                black_out(&job->customers[i]);
    }
}

/* ---- work ---- */

static bool goes_before(const struct job *a, const struct job *b)
{
    int64_t left = a->deadline_ms != 0 ? a->deadline_ms : INT64_MAX;
    int64_t right = b->deadline_ms != 0 ? b->deadline_ms : INT64_MAX;

    if (a->priority != b->priority)
        return a->priority > b->priority;
    return left < right;
}

static void fail_late_jobs(struct recommend *recommend, struct market *market, int64_t now_ms,
                           struct outbox *outbox)
{
    struct job *next;

    for (struct job *job = market->jobs; job != NULL; job = next) {
        next = job->next;
        if (job->deadline_ms == 0 || now_ms <= job->deadline_ms)
            continue;
        job->failed = job->total - job->processed;
        publish(market, job, JOB_FAILED, now_ms, "the deadline has passed", outbox);
        recommend->totals.jobs_failed++;
        market->totals.jobs_failed++;
        remove_job(&recommend->store, market, job);
    }
}

static struct job *next_job(const struct market *market, int64_t now_ms)
{
    struct job *best = NULL;

    for (struct job *job = market->jobs; job != NULL; job = job->next)
        if (job->retry_ms <= now_ms && (best == NULL || goes_before(job, best)))
            best = job;
    return best;
}

static void serve_one(struct recommend *recommend, const struct market *market, struct job *job,
                      int64_t now_ms, struct outbox *outbox)
{
    uint32_t customer = job->waiting[job->waiting_at++];
    struct question question = {
        .tenant_id = market->id,
        .customer_id = job->customers[customer],
        .request_id = job->id,
        .job_id = job->id,
        .cause = job->id,
        .context = {job->context, job->context_count},
        .count = job->count,
        .excludes_purchased = job->excludes_purchased,
        .is_sharing = job->is_sharing,
        .is_asked_again = job->attempts < (uint32_t)recommend->store.options.job_attempts_max,
        .time_ms = now_ms,
    };

    if (answer(recommend, &question, outbox) > 0)
        job->processed++;
    else
        job->waiting[job->waiting_failed++] = customer;
    job->failed = job->waiting_failed;
}

static void end_attempt(struct recommend *recommend, struct market *market, struct job *job,
                        int64_t now_ms, struct outbox *outbox)
{
    uint32_t shift = job->attempts < ATTEMPTS_SHIFT_MAX ? job->attempts - 1 : ATTEMPTS_SHIFT_MAX;
    bool has_served = job->processed > 0 || job->total == 0;

    job->is_processing = false;
    recommend->store.processing_count--;
    if (job->waiting_failed > 0 &&
        job->attempts < (uint32_t)recommend->store.options.job_attempts_max) {
        job->waiting_count = job->waiting_failed;
        job->waiting_at = job->waiting_failed = 0;
        job->retry_ms = now_ms + (recommend->store.options.job_retry_ms << shift);
        publish(market, job, JOB_PENDING, 0, "nothing to recommend yet, trying again", outbox);
        return;
    }
    publish(market, job, has_served ? JOB_COMPLETED : JOB_FAILED, now_ms,
            job->waiting_failed == 0 ? NULL : "nothing to recommend: no product is known", outbox);
    if (has_served) {
        recommend->totals.jobs_completed++;
        market->totals.jobs_completed++;
    } else {
        recommend->totals.jobs_failed++;
        market->totals.jobs_failed++;
    }
    remove_job(&recommend->store, market, job);
}

/* A list's cost in customers of a small shop: the work grows with the products. */
static uint32_t cost_of_list(const struct market *market)
{
    return 1 + market->product_count / LIST_PRODUCTS;
}

/* A turn within `budget`, one customer at least; returns what was spent. */
static uint32_t take_turn(struct recommend *recommend, struct market *market, int64_t now_ms,
                          uint32_t budget, struct outbox *outbox)
{
    fail_late_jobs(recommend, market, now_ms, outbox);
    struct job *job = next_job(market, now_ms);
    uint32_t served = 0, cost = cost_of_list(market);

    if (job == NULL)
        return 0;
    if (!job->is_processing) {
        job->is_processing = true;
        recommend->store.processing_count++;
        job->attempts++;
        publish(market, job, JOB_PROCESSING, 0, NULL, outbox);
    }
    const uint32_t total = job->total > 0 ? job->total : 1;
    const uint32_t before = job->processed * PROGRESS_STEPS / total;
    while ((served == 0 || (served + 1) * cost <= budget) && served < TURN_CUSTOMERS &&
           job->waiting_at < job->waiting_count) {
        serve_one(recommend, market, job, now_ms, outbox);
        served++;
    }
    if (job->waiting_at == job->waiting_count)
        end_attempt(recommend, market, job, now_ms, outbox);
    else if (job->processed * PROGRESS_STEPS / total > before)
        publish(market, job, JOB_PROCESSING, 0, NULL, outbox);
    return served * cost;
}

void job_tick(struct recommend *recommend, int64_t now_ms, struct outbox *outbox)
{
    struct store *store = &recommend->store;
    uint32_t budget = (uint32_t)store->options.slice_customers_max;
    uint32_t turns_in_vain = 0;

    store->is_job_busy = false;
    /* Each market whose turn is in vain (all its jobs wait for their retry) is asked once. */
    while (store->busy != NULL && budget > 0 && turns_in_vain < store->live_count) {
        struct market *market = store->busy->busy_next;
        store->busy = market;
        uint32_t spent = take_turn(recommend, market, now_ms, budget, outbox);
        budget -= spent < budget ? spent : budget;
        store->is_job_busy |= spent > 0;
        turns_in_vain = spent > 0 ? 0 : turns_in_vain + 1;
    }
}

/* ---- saving ---- */

static void save_texts(const struct view *texts, uint32_t count, struct byte_writer *out)
{
    byte_put_varint(out, count);
    for (uint32_t i = 0; i < count; i++)
        byte_put_view(out, texts[i]);
}

void job_save(const struct job *job, struct byte_writer *out)
{
    byte_put_view(out, job->id);
    save_texts(job->customers, job->customer_count, out);
    save_texts(job->context, job->context_count, out);
    byte_put_varint(out, job->total);
    byte_put_varint(out, job->waiting_count);
    for (uint32_t i = 0; i < job->waiting_count; i++)
        byte_put_varint(out, job->waiting[i]);
    byte_put_varint(out, job->waiting_at);
    byte_put_varint(out, job->waiting_failed);
    byte_put_varint(out, job->processed);
    byte_put_varint(out, job->failed);
    byte_put_varint(out, job->attempts);
    byte_put_varint(out, job->count);
    byte_put_varint(out, job->priority);
    byte_put_u8(
        out, (uint8_t)(job->excludes_purchased | job->is_sharing << 1 | job->is_processing << 2));
    byte_put_svarint(out, job->deadline_ms);
    byte_put_svarint(out, job->submitted_ms);
    byte_put_svarint(out, job->retry_ms);
}

static bool load_texts(struct store *store, struct byte_reader *in, struct view **texts,
                       uint32_t *count)
{
    uint64_t number = byte_take_count(in, 1);

    if (in->broken || number > UINT16_MAX)
        return false;
    *count = (uint32_t)number;
    *texts = number > 0 ? blocks_take(&store->blocks, number * sizeof(struct view)) : NULL;
    for (uint32_t i = 0; i < *count; i++) {
        (*texts)[i] = byte_take_view(in);
        if (view_is_absent((*texts)[i]))
            in->broken = true;
    }
    return !in->broken;
}

static void load_numbers(struct job *job, struct byte_reader *in)
{
    uint32_t named = job->customer_count;

    job->total = (uint32_t)byte_take_varint(in);
    uint64_t waiting_count = byte_take_count(in, 1);
    in->broken |= waiting_count > named;
    job->waiting_count = in->broken ? 0 : (uint32_t)waiting_count;
    for (uint32_t i = 0; i < job->waiting_count; i++) {
        uint64_t index = byte_take_varint(in);
        in->broken |= index >= named;
        job->waiting[i] = (uint32_t)index;
    }
    job->waiting_at = (uint32_t)byte_take_varint(in);
    job->waiting_failed = (uint32_t)byte_take_varint(in);
    job->processed = (uint32_t)byte_take_varint(in);
    job->failed = (uint32_t)byte_take_varint(in);
    job->attempts = (uint32_t)byte_take_varint(in);
    job->count = (uint32_t)byte_take_varint(in);
    job->priority = (uint32_t)byte_take_varint(in);
    uint8_t flags = byte_take_u8(in);
    job->excludes_purchased = flags & 1;
    job->is_sharing = flags >> 1 & 1;
    job->is_processing = flags >> 2 & 1;
    job->deadline_ms = byte_take_svarint(in);
    job->submitted_ms = byte_take_svarint(in);
    job->retry_ms = byte_take_svarint(in);
    in->broken |= job->waiting_at > job->waiting_count || job->waiting_failed > job->waiting_at ||
                  job->count == 0 || job->count > LIST_COUNT_MAX || job->processed > job->total ||
                  job->waiting_count > job->total;
}

void job_load(struct store *store, struct market *market, struct byte_reader *in)
{
    struct view *customers = NULL, *context = NULL;
    uint32_t customer_count = 0, context_count = 0;
    struct view id = byte_take_view(in);

    in->broken |= view_is_absent(id);
    if (load_texts(store, in, &customers, &customer_count) &&
        load_texts(store, in, &context, &context_count)) {
        struct job *job =
            job_create(store, market, id, (struct view_list){customers, customer_count},
                       (struct view_list){context, context_count});
        load_numbers(job, in);
        add_job(store, market, job);
    }
    if (customers != NULL)
        blocks_give(&store->blocks, customers, customer_count * sizeof(struct view));
    if (context != NULL)
        blocks_give(&store->blocks, context, context_count * sizeof(struct view));
}
