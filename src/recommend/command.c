/* What people may tell the room: a table, one row a type. */
#include <assert.h>

#include "recommend/dedicated.h"
#include "recommend/job.h"
#include "recommend/model.h"
#include "recommend/state.h"

struct call {
    struct recommend *recommend;
    struct market *market; /* NULL: nothing is known of the tenant */
    const struct event *event;
    bool is_enterprise; /* the tenant */
    struct arena *arena;
    struct outbox *outbox;
    struct recommend_answer *answer;
};

static void reject(struct call *call, const char *text)
{
    call->answer->is_accepted = false;
    call->answer->error = view_of(text);
}

static struct pair_list one_pair(struct arena *arena, const char *name, struct view value)
{
    struct pair *pair = arena_alloc(arena, sizeof *pair);

    *pair = (struct pair){view_of(name), value};
    return (struct pair_list){pair, 1};
}

static void tell_change(struct call *call, const char *name, const char *before, const char *after)
{
    call->answer->before = one_pair(call->arena, name, view_of(before));
    call->answer->after = one_pair(call->arena, name, view_of(after));
    call->answer->result = call->answer->after;
}

static struct market *need_market(struct call *call)
{
    if (call->market == NULL)
        call->market = market_create(&call->recommend->store, call->event->tenant_id);
    call->market->activity = call->recommend->store.sequence;
    return call->market;
}

/* ---- products ---- */

static void set_blocked(struct call *call, bool is_blocked)
{
    struct store *store = &call->recommend->store;
    struct view id = call->event->command.product_id;

    if (view_is_absent(id)) {
        reject(call, "product_id: expected the product");
        return;
    }
    struct market *market = need_market(call);
    uint32_t number = product_find(market, id);
    bool was_blocked = number != 0 && market->products[number].is_blocked;
    if (is_blocked && !was_blocked && market->blocked_count >= store->options.products_max / 2) {
        reject(call, "product_id: half of recommend.products.max are blocked already");
        return;
    }
    if (number == 0 && is_blocked) {
        product_make_room(store, market, 1);
        number = product_find_or_add(store, market, id, call->event->event_time_ms);
    }
    if (number != 0 && was_blocked != is_blocked) {
        market->products[number].is_blocked = is_blocked;
        market->blocked_count += is_blocked ? 1 : UINT32_MAX;
    }
    tell_change(call, "blocked", was_blocked ? "true" : "false", is_blocked ? "true" : "false");
}

static void block_product(struct call *call)
{
    set_blocked(call, true);
}

static void unblock_product(struct call *call)
{
    set_blocked(call, false);
}

/* ---- jobs ---- */

static void cancel_batch_job(struct call *call)
{
    struct view id = call->event->command.subject;
    struct job *job =
        call->market != NULL && !view_is_absent(id) ? job_find(call->market, id) : NULL;

    if (view_is_absent(id)) {
        reject(call, "subject: expected the request_id of a batch job");
        return;
    }
    if (job == NULL) {
        reject(call, "subject: there is no unfinished batch job of that request_id");
        return;
    }
    tell_change(call, "status", job->is_processing ? "processing" : "pending", "cancelled");
    job_cancel(call->recommend, call->market, job, call->event->event_time_ms, call->outbox);
}

/* ---- customers ---- */

static void forget_customer(struct call *call)
{
    struct store *store = &call->recommend->store;
    struct view id = call->event->command.customer_id;
    uint32_t reference = 0;

    if (view_is_absent(id)) {
        reject(call, "customer_id: expected the customer");
        return;
    }
    if (call->market != NULL) {
        reference = customer_find(store, call->market, id);
        job_forget(call->market, id);
    }
    if (reference != 0) {
        dedicated_forget(store, call->market, customer_at(store, reference)->hash);
        const struct model_kind *kind = call->market->kind;
        if (kind->forget != NULL)
            kind->forget(call->market->model, store, customer_at(store, reference));
        customer_destroy(store, reference);
    }
    tell_forgotten(call->event->tenant_id, id, call->event->event_time_ms, call->event->id,
                   call->outbox);
    /* Not the customer's name: the audit record must not keep what the state forgets. */
    tell_change(call, "known", reference != 0 ? "true" : "false", "false");
}

static void summarize_one(struct call *call)
{
    struct view id = call->event->command.customer_id;
    uint32_t reference = call->market != NULL && !view_is_absent(id)
                             ? customer_find(&call->recommend->store, call->market, id)
                             : 0;

    if (reference == 0) {
        reject(call, view_is_absent(id) ? "customer_id: expected the customer"
                                        : "customer_id: nothing is known of this customer");
        return;
    }
    summarize_customer(call->recommend, call->market,
                       customer_at(&call->recommend->store, reference), call->event->event_time_ms,
                       call->event->id, call->outbox);
}

/* ---- the tenant ---- */

static void select_model(struct call *call)
{
    struct view name = call->event->command.model_name;
    const struct model_kind *kind = view_is_absent(name) ? NULL : model_find(name);

    if (kind == NULL) {
        const char *known = recommend_model_names[0];
        for (uint32_t i = 1; i < model_kind_count(); i++)
            known = arena_print(call->arena, "%s, %s", known, recommend_model_names[i]);
        reject(call, arena_print(call->arena, "model_name: expected one of %s", known));
        return;
    }
    struct view version = call->event->command.model_version;
    if (!view_is_absent(version) && !view_is_text(version, kind->version)) {
        reject(call, arena_print(call->arena, "model_version: %s has version %s only", kind->name,
                                 kind->version));
        return;
    }
    struct market *market = need_market(call);
    tell_change(call, "model_name", market->kind->name, kind->name);
    if (market->kind != kind)
        market_select_kind(&call->recommend->store, market, kind);
}

static void push_recommendations(struct call *call)
{
    struct market *market = need_market(call);
    bool is_enabled = call->event->command.enabled;

    tell_change(call, "enabled", market->is_pushing ? "true" : "false",
                is_enabled ? "true" : "false");
    market->is_pushing = is_enabled;
}

static void summarize(struct call *call)
{
    summarize_tenant(call->recommend, need_market(call), call->event->event_time_ms,
                     call->event->id, call->outbox);
}

/* ---- a model of its own ---- */

/* A step of the request: what it was before, what it is now, or why not. */
static void tell_step(struct call *call, const char *before, const char *refusal)
{
    if (refusal != NULL) {
        reject(call, refusal);
        return;
    }
    call->answer->before = one_pair(call->arena, "status", view_of(before));
    call->answer->after = dedicated_describe(call->market, &call->recommend->store, call->arena);
    call->answer->result = call->answer->after;
}

static void request_isolation(struct call *call)
{
    if (!call->is_enterprise) {
        reject(call, "tenant_id: dedicated models are for tenants whose plan is enterprise "
                     "(tenants.list)");
        return;
    }
    const char *before = dedicated_status(need_market(call));
    tell_step(call, before,
              dedicated_request(&call->recommend->store, call->market, call->event, call->arena));
}

static void decide_isolation(struct call *call, enum isolation decision)
{
    const char *before = dedicated_status(need_market(call));

    tell_step(call, before,
              dedicated_decide(&call->recommend->store, call->market, call->event, decision,
                               call->arena));
}

static void approve_isolation(struct call *call)
{
    decide_isolation(call, ISOLATION_APPROVED);
}

static void reject_isolation(struct call *call)
{
    decide_isolation(call, ISOLATION_REJECTED);
}

static void revoke_isolation(struct call *call)
{
    decide_isolation(call, ISOLATION_REVOKED);
}

static void create_tenant_model(struct call *call)
{
    const char *before = dedicated_status(need_market(call));

    tell_step(call, before, dedicated_create(&call->recommend->store, call->market, call->arena));
}

static void tell_isolation(struct call *call)
{
    call->answer->result =
        dedicated_describe(need_market(call), &call->recommend->store, call->arena);
}

/* ---- the table ---- */

static const struct row {
    const char *type;
    void (*run)(struct call *call);
} rows[] = {
    {"block-product", block_product},
    {"unblock-product", unblock_product},
    {"cancel-batch-job", cancel_batch_job},
    {"forget-customer", forget_customer},
    {"select-model", select_model},
    {"push-recommendations", push_recommendations},
    {"summarize-tenant", summarize},
    {"summarize-customer", summarize_one},
    {"request-isolation", request_isolation},
    {"approve-isolation", approve_isolation},
    {"reject-isolation", reject_isolation},
    {"revoke-isolation", revoke_isolation},
    {"create-tenant-model", create_tenant_model},
    {"isolation-status", tell_isolation},
};
enum { ROW_COUNT = sizeof rows / sizeof rows[0] };

const char *const recommend_command_types[] = {
    "block-product",       "unblock-product",    "cancel-batch-job",
    "forget-customer",     "select-model",       "push-recommendations",
    "summarize-tenant",    "summarize-customer", "request-isolation",
    "approve-isolation",   "reject-isolation",   "revoke-isolation",
    "create-tenant-model", "isolation-status",   NULL,
};
_Static_assert(sizeof recommend_command_types / sizeof recommend_command_types[0] == ROW_COUNT + 1,
               "a name for each row");

static const struct row *find_row(struct view type)
{
    for (uint32_t i = 0; i < ROW_COUNT; i++)
        if (view_is_text(type, rows[i].type))
            return &rows[i];
    return NULL;
}

void recommend_command(struct recommend *recommend, const struct event *event,
                       const struct recommend_context *context, struct arena *arena,
                       struct outbox *outbox, struct recommend_answer *answer)
{
    const struct row *row = find_row(event->command.type);

    assert(event->kind == EVENT_COMMAND && row != NULL && !view_is_absent(event->tenant_id));
    recommend->store.sequence++;
    *answer = (struct recommend_answer){.is_accepted = true};
    struct call call = {
        .recommend = recommend,
        .market = market_find(&recommend->store, event->tenant_id),
        .event = event,
        .is_enterprise = context->is_enterprise,
        .arena = arena,
        .outbox = outbox,
        .answer = answer,
    };
    row->run(&call);
    store_trim(&recommend->store, market_find(&recommend->store, event->tenant_id), 0);
}
