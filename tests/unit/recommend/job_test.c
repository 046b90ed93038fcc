/* Batch jobs: priority, fairness, deadlines, retries, cancelling. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "shop.h"

struct world {
    struct shop shop;
    struct recommend *recommend;
    struct outbox *outbox;
    int64_t now_ms;
};

static int set_up(void **state)
{
    struct world *world = calloc(1, sizeof *world);
    struct recommend_options options = shop_options();

    options.slice_customers_max = 16;
    options.jobs_max = 3;
    options.job_attempts_max = 3;
    options.job_retry_ms = 1000;
    options.summary_ms = 0;
    world->shop = shop_open(31);
    world->recommend = recommend_open(&options);
    world->outbox = outbox_create();
    for (uint32_t i = 0; i < 100; i++) {
        struct event event = shop_any_order(&world->shop, i % 2 == 0 ? "a" : "b");
        shop_apply(world->recommend, &event, world->outbox);
    }
    world->now_ms = world->shop.now_ms;
    *state = world;
    return 0;
}

static int tear_down(void **state)
{
    struct world *world = *state;

    shop_end(&world->shop, world->recommend, world->outbox);
    free(world);
    return 0;
}

static struct event job_of(struct world *world, const char *tenant, const char *id, uint32_t count)
{
    struct event event = shop_request(&world->shop, tenant, NULL, 5);
    struct view *customers = arena_alloc(world->shop.arena, count * sizeof *customers);

    for (uint32_t i = 0; i < count; i++)
        customers[i] = shop_text(&world->shop, "c%u", i);
    event.id = arena_copy(world->shop.arena, view_of(id));
    event.request.customer_ids = (struct view_list){customers, count};
    return event;
}

static void submit(struct world *world, const struct event *event)
{
    shop_apply(world->recommend, event, world->outbox);
}

static void tick(struct world *world, int64_t later_ms)
{
    world->now_ms += later_ms;
    recommend_tick(world->recommend, world->now_ms, world->outbox);
}

/* What was last said of the job; NULL: nothing. */
static const struct batch_job *last_word(const struct world *world, const char *id)
{
    const struct batch_job *job = NULL;

    for (uint32_t i = 0; i < outbox_count(world->outbox); i++)
        if (outbox_at(world->outbox, i)->kind == RESULT_BATCH_JOB &&
            view_is_text(outbox_at(world->outbox, i)->id, id))
            job = &outbox_at(world->outbox, i)->batch_job;
    return job;
}

static uint32_t lists_of(const struct world *world, const char *id)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < outbox_count(world->outbox); i++)
        if (outbox_at(world->outbox, i)->kind == RESULT_RECOMMENDATION)
            count += view_is_text(outbox_at(world->outbox, i)->recommendation.job_id, id);
    return count;
}

static void a_job_goes_on_slice_by_slice(void **state)
{
    struct world *world = *state;
    struct event event = job_of(world, "a", "job", 100);
    struct recommend_stats stats;
    uint32_t ticks = 0;

    assert_false(recommend_is_busy(world->recommend));
    submit(world, &event);
    assert_int_equal(last_word(world, "job")->status, JOB_PENDING);
    assert_int_equal(last_word(world, "job")->total, 100);
    assert_int_equal(last_word(world, "job")->submitted_time_ms, event.event_time_ms);
    recommend_stats(world->recommend, &stats);
    assert_int_equal(stats.jobs_waiting, 1);
    for (; recommend_is_busy(world->recommend); ticks++) {
        uint32_t before = lists_of(world, "job");
        tick(world, 10);
        assert_true(lists_of(world, "job") - before <= 16);
        if (ticks == 2) {
            recommend_stats(world->recommend, &stats);
            assert_int_equal(stats.jobs_running, 1);
            assert_int_equal(last_word(world, "job")->status, JOB_PROCESSING);
            assert_true(last_word(world, "job")->processed > 0);
        }
    }
    assert_int_equal(ticks, 7);
    const struct batch_job *job = last_word(world, "job");
    assert_int_equal(job->status, JOB_COMPLETED);
    assert_int_equal(job->processed, 100);
    assert_int_equal(job->failed, 0);
    assert_int_equal(job->attempts, 1);
    assert_int_equal(job->finished_time_ms, world->now_ms);
    assert_int_equal(lists_of(world, "job"), 100);
    recommend_stats(world->recommend, &stats);
    assert_int_equal(stats.jobs_completed, 1);
    assert_int_equal(stats.jobs_waiting + stats.jobs_running, 0);
}

/* Each list of a job has an id of its own, the same as for a request of that name. */
static void lists_of_a_job_are_told_apart(void **state)
{
    struct world *world = *state;
    struct event event = job_of(world, "a", "job", 16);

    submit(world, &event);
    tick(world, 10);
    for (uint32_t i = 0; i < outbox_count(world->outbox); i++)
        for (uint32_t k = 0; k < i; k++)
            if (outbox_at(world->outbox, i)->kind == RESULT_RECOMMENDATION &&
                outbox_at(world->outbox, k)->kind == RESULT_RECOMMENDATION)
                assert_false(view_is_equal(outbox_at(world->outbox, i)->id,
                                           outbox_at(world->outbox, k)->id));
}

static void tenants_take_turns(void **state)
{
    struct world *world = *state;
    struct event large = job_of(world, "a", "large", 400), small = job_of(world, "b", "small", 32);

    submit(world, &large);
    tick(world, 10);
    submit(world, &small);
    for (int i = 0; i < 4; i++)
        tick(world, 10);
    assert_int_equal(last_word(world, "small")->status, JOB_COMPLETED);
    assert_int_equal(last_word(world, "large")->status, JOB_PROCESSING);
    assert_int_equal(lists_of(world, "large"), 16 + 32);
}

static void urgent_jobs_go_first(void **state)
{
    struct world *world = *state;
    struct event slow = job_of(world, "a", "slow", 64), soon = job_of(world, "a", "soon", 16),
                 high = job_of(world, "a", "high", 16);

    soon.request.deadline_ms = world->now_ms + 100000;
    high.request.priority = 7;
    submit(world, &slow);
    submit(world, &soon);
    submit(world, &high);
    tick(world, 10);
    assert_int_equal(last_word(world, "high")->status, JOB_COMPLETED);
    assert_int_equal(lists_of(world, "soon"), 0);
    tick(world, 10);
    assert_int_equal(last_word(world, "soon")->status, JOB_COMPLETED);
    assert_int_equal(lists_of(world, "slow"), 0);
    assert_int_equal(last_word(world, "slow")->status, JOB_PENDING);
}

static void a_job_past_its_deadline_fails(void **state)
{
    struct world *world = *state;
    struct event event = job_of(world, "a", "job", 50);

    event.request.deadline_ms = world->now_ms + 15;
    submit(world, &event);
    tick(world, 10);
    tick(world, 10);
    const struct batch_job *job = last_word(world, "job");
    assert_int_equal(job->status, JOB_FAILED);
    assert_int_equal(job->processed, 16);
    assert_int_equal(job->failed, 34);
    assert_true(view_contains(job->error, view_of("deadline")));
    assert_false(recommend_is_busy(world->recommend));
}

/* The tenant has nothing to sell: three attempts, the pauses doubling. */
static void failed_customers_are_tried_again(void **state)
{
    struct world *world = *state;
    struct event event = job_of(world, "empty", "job", 3);

    submit(world, &event);
    tick(world, 10);
    assert_int_equal(last_word(world, "job")->status, JOB_PENDING);
    assert_int_equal(last_word(world, "job")->attempts, 1);
    assert_int_equal(last_word(world, "job")->failed, 3);
    tick(world, 999);
    assert_int_equal(last_word(world, "job")->attempts, 1);
    tick(world, 1);
    assert_int_equal(last_word(world, "job")->attempts, 2);
    tick(world, 1999);
    assert_int_equal(last_word(world, "job")->attempts, 2);
    assert_int_equal(lists_of(world, "job"), 0);
    tick(world, 1);
    assert_int_equal(last_word(world, "job")->attempts, 3);
    assert_int_equal(lists_of(world, "job"), 3);
    assert_int_equal(last_word(world, "job")->status, JOB_FAILED);
    assert_int_equal(last_word(world, "job")->processed, 0);
    assert_false(recommend_is_busy(world->recommend));
}

static void a_retry_may_succeed(void **state)
{
    struct world *world = *state;
    struct event event = job_of(world, "empty", "job", 3);

    submit(world, &event);
    tick(world, 10);
    struct event order = shop_any_order(&world->shop, "empty");
    submit(world, &order);
    tick(world, 1000);
    assert_int_equal(last_word(world, "job")->status, JOB_COMPLETED);
    assert_int_equal(last_word(world, "job")->processed, 3);
    assert_int_equal(last_word(world, "job")->failed, 0);
    assert_int_equal(lists_of(world, "job"), 3);
}

static void a_waiting_market_does_not_hold_up_others(void **state)
{
    struct world *world = *state;
    struct event waiting = job_of(world, "empty", "waiting", 3),
                 event = job_of(world, "a", "job", 8);

    submit(world, &waiting);
    tick(world, 10);
    submit(world, &event);
    tick(world, 10);
    assert_int_equal(last_word(world, "job")->status, JOB_COMPLETED);
    assert_int_equal(last_word(world, "waiting")->status, JOB_PENDING);
}

static void jobs_can_be_cancelled(void **state)
{
    struct world *world = *state;
    struct event event = job_of(world, "a", "job", 50);
    struct event cancel = shop_command(&world->shop, "a", "cancel-batch-job");

    submit(world, &event);
    tick(world, 10);
    cancel.command.subject = VIEW_LITERAL("no-such-job");
    assert_false(shop_tell(&world->shop, world->recommend, &cancel, world->outbox).is_accepted);
    cancel.command.subject = VIEW_LITERAL("job");
    struct recommend_answer answer =
        shop_tell(&world->shop, world->recommend, &cancel, world->outbox);
    assert_true(answer.is_accepted);
    assert_true(view_is_text(answer.before.at[0].value, "processing"));
    assert_int_equal(last_word(world, "job")->status, JOB_CANCELLED);
    assert_int_equal(last_word(world, "job")->processed, 16);
    uint32_t lists = lists_of(world, "job");
    tick(world, 10);
    assert_int_equal(lists_of(world, "job"), lists);
    assert_false(recommend_is_busy(world->recommend));
    assert_false(shop_tell(&world->shop, world->recommend, &cancel, world->outbox).is_accepted);
}

static void another_tenant_cannot_cancel_it(void **state)
{
    struct world *world = *state;
    struct event event = job_of(world, "a", "job", 50);
    struct event cancel = shop_command(&world->shop, "b", "cancel-batch-job");

    submit(world, &event);
    cancel.command.subject = VIEW_LITERAL("job");
    assert_false(shop_tell(&world->shop, world->recommend, &cancel, world->outbox).is_accepted);
    assert_true(recommend_is_busy(world->recommend));
}

static void a_tenant_has_so_many_jobs_and_no_more(void **state)
{
    struct world *world = *state;
    struct event event;

    for (uint32_t i = 0; i < 4; i++) {
        event = job_of(world, "a", shop_text(&world->shop, "job-%u", i).data, 50);
        submit(world, &event);
    }
    assert_int_equal(last_word(world, "job-2")->status, JOB_PENDING);
    assert_int_equal(last_word(world, "job-3")->status, JOB_FAILED);
    assert_int_equal(last_word(world, "job-3")->failed, 50);
    event = job_of(world, "b", "other", 50);
    submit(world, &event);
    assert_int_equal(last_word(world, "other")->status, JOB_PENDING);
}

/* The same request again, while its job is there, is the same job. */
static void a_job_is_submitted_once(void **state)
{
    struct world *world = *state;
    struct event event = job_of(world, "a", "job", 10);
    struct recommend_stats stats;

    submit(world, &event);
    submit(world, &event);
    recommend_stats(world->recommend, &stats);
    assert_int_equal(stats.jobs_submitted, 1);
    assert_int_equal(stats.jobs_waiting, 1);
}

static void a_forgotten_customer_leaves_the_queue(void **state)
{
    struct world *world = *state;
    struct event event = job_of(world, "a", "job", 20);
    struct event command = shop_command(&world->shop, "a", "forget-customer");

    submit(world, &event);
    command.command.customer_id = VIEW_LITERAL("c19");
    assert_true(shop_tell(&world->shop, world->recommend, &command, world->outbox).is_accepted);
    for (int i = 0; i < 3; i++)
        tick(world, 10);
    assert_int_equal(last_word(world, "job")->status, JOB_COMPLETED);
    assert_int_equal(last_word(world, "job")->total, 19);
    assert_int_equal(last_word(world, "job")->processed, 19);
}

static void summaries_come_when_due(void **state)
{
    struct world *world = *state;
    struct recommend_options options = shop_options();
    uint32_t totals = 0, trending = 0;

    options.summary_ms = 60000;
    recommend_close(world->recommend);
    world->recommend = recommend_open(&options);
    for (uint32_t i = 0; i < 50; i++) {
        struct event event = shop_any_order(&world->shop, "a");
        submit(world, &event);
    }
    world->now_ms = world->shop.now_ms;
    tick(world, 10);
    tick(world, 10);
    tick(world, 59000);
    for (uint32_t i = 0; i < outbox_count(world->outbox); i++) {
        const struct result *result = outbox_at(world->outbox, i);
        assert_int_equal(result->kind, RESULT_ANALYTICS);
        totals += view_is_text(result->analytics.type, "totals");
        trending += view_is_text(result->analytics.type, "trending");
    }
    assert_int_equal(totals, 1);
    assert_int_equal(trending, 1);
    /* Nothing has happened since: nothing is said. */
    tick(world, 120000);
    assert_int_equal(outbox_count(world->outbox), 2);
    struct event event = shop_any_order(&world->shop, "a");
    submit(world, &event);
    tick(world, 10);
    assert_int_equal(outbox_count(world->outbox), 4);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_job_goes_on_slice_by_slice),
        TEST(lists_of_a_job_are_told_apart),
        TEST(tenants_take_turns),
        TEST(urgent_jobs_go_first),
        TEST(a_job_past_its_deadline_fails),
        TEST(failed_customers_are_tried_again),
        TEST(a_retry_may_succeed),
        TEST(a_waiting_market_does_not_hold_up_others),
        TEST(jobs_can_be_cancelled),
        TEST(another_tenant_cannot_cancel_it),
        TEST(a_tenant_has_so_many_jobs_and_no_more),
        TEST(a_job_is_submitted_once),
        TEST(a_forgotten_customer_leaves_the_queue),
        TEST(summaries_come_when_due),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
