#include "recommend/dedicated.h"

#include <assert.h>
#include <inttypes.h>
#include <string.h>

#include "base/hash.h"
#include "recommend/model.h"
#include "recommend/state.h"

enum {
    KEEP_EVERY = 4, /* orders */
    MARKETS_A_TICK = 64,
    PAIRS_MAX = 20,
    REASON_BYTES_MAX = 1000,
};

static const char *const statuses[] = {"none",     "pending", "approved", "rejected",
                                       "training", "active",  "revoked"};
_Static_assert(sizeof statuses / sizeof statuses[0] == ISOLATION_COUNT, "a name each");

static const char *const text_names[] = {"request_id", "requested_by", "decided_by", "reason"};
_Static_assert(sizeof text_names / sizeof text_names[0] == TEXT_COUNT, "a name each");

/* ---- life ---- */

static void set_isolation(struct store *store, struct dedicated *dedicated,
                          enum isolation isolation)
{
    store->dedicated_count -= dedicated->isolation == ISOLATION_ACTIVE;
    dedicated->isolation = isolation;
    store->dedicated_count += dedicated->isolation == ISOLATION_ACTIVE;
}

struct dedicated *dedicated_of(struct store *store, struct market *market)
{
    if (market->dedicated == NULL) {
        market->dedicated = market_take(store, market, sizeof *market->dedicated);
        *market->dedicated = (struct dedicated){.isolation = ISOLATION_NONE};
    }
    return market->dedicated;
}

static void set_text(struct store *store, struct market *market, enum dedicated_text which,
                     struct view text)
{
    struct view *kept = &market->dedicated->texts[which];
    char *copy = NULL;

    if (text.size > 0) {
        copy = market_take(store, market, text.size);
        memcpy(copy, text.data, text.size);
    }
    market_give(store, market, (void *)(uintptr_t)kept->data, kept->size);
    *kept = (struct view){copy, copy != NULL ? text.size : 0};
}

void dedicated_close(struct store *store, struct market *market)
{
    static const struct view nothing = {NULL, 0};

    if (market->dedicated == NULL)
        return;
    set_isolation(store, market->dedicated, ISOLATION_NONE);
    for (int i = 0; i < TEXT_COUNT; i++)
        set_text(store, market, (enum dedicated_text)i, nothing);
    fit_close(&market->dedicated->fit, store, market);
    market_give(store, market, market->dedicated, sizeof *market->dedicated);
    market->dedicated = NULL;
}

/* ---- orders and lists ---- */

void dedicated_keep(struct recommend *recommend, struct market *market,
                    const struct customer *customer, const uint32_t *products, uint32_t count,
                    int64_t time_ms)
{
    struct store *store = &recommend->store;
    struct ranking *ranking = &recommend->ranking;

    if (market->totals.orders % KEEP_EVERY != 0 || customer == NULL || customer->orders == 0 ||
        market->kind != &model_weir || store->options.kept_orders_max == 0)
        return;
    struct dedicated *dedicated = dedicated_of(store, market);
    if (dedicated->fit.fitting != NULL)
        return;
    ranking_begin(ranking, store, market, customer, time_ms, NULL, 0);
    for (uint32_t i = 0; i < count; i++)
        ranking->marks[products[i]] |= MARK_TRUTH;
    model_prepare(market->kind, market->model, ranking);
    market->kind->score(market->model, ranking, false);
    fit_keep(&dedicated->fit, store, market, ranking, customer->hash);
    ranking_end(ranking);
}

uint32_t dedicated_correct(const struct market *market, struct ranking *ranking, bool is_fresh_only)
{
    const struct dedicated *dedicated = market->dedicated;

    if (dedicated == NULL || dedicated->isolation != ISOLATION_ACTIVE ||
        market->kind != &model_weir)
        return 0;
    fit_correct(&dedicated->fit, ranking, is_fresh_only);
    return dedicated->version;
}

bool dedicated_is_isolated(const struct market *market)
{
    const struct dedicated *dedicated = market->dedicated;

    return dedicated != NULL &&
           (dedicated->isolation == ISOLATION_APPROVED ||
            dedicated->isolation == ISOLATION_TRAINING || dedicated->isolation == ISOLATION_ACTIVE);
}

bool dedicated_has_request(const struct market *market)
{
    return market->dedicated != NULL && market->dedicated->isolation != ISOLATION_NONE;
}

void dedicated_forget(struct store *store, struct market *market, uint32_t customer_hash)
{
    if (market->dedicated != NULL)
        fit_forget(&market->dedicated->fit, store, market, customer_hash);
}

bool dedicated_drop_orders(struct store *store, struct market *market)
{
    return market->dedicated != NULL && fit_drop_orders(&market->dedicated->fit, store, market);
}

/* ---- telling ---- */

const char *dedicated_status(const struct market *market)
{
    return statuses[market != NULL && market->dedicated != NULL ? market->dedicated->isolation
                                                                : ISOLATION_NONE];
}

static void add_text(struct pair_list *list, struct pair *pairs, const char *name,
                     struct view value)
{
    assert(list->count < PAIRS_MAX);
    if (!view_is_absent(value))
        pairs[list->count++] = (struct pair){view_of(name), value};
}

static void add_number(struct pair_list *list, struct pair *pairs, struct arena *arena,
                       const char *name, int64_t value)
{
    add_text(list, pairs, name, view_of(arena_print(arena, "%" PRId64, value)));
}

static void add_real(struct pair_list *list, struct pair *pairs, struct arena *arena,
                     const char *name, float value)
{
    add_text(list, pairs, name, view_of(arena_print(arena, "%.4f", (double)value)));
}

static void add_model(struct pair_list *list, struct pair *pairs, struct arena *arena,
                      const struct dedicated *dedicated)
{
    add_text(list, pairs, "model_name", VIEW_LITERAL(DEDICATED_MODEL_NAME));
    add_number(list, pairs, arena, "model_version", dedicated->version);
    add_number(list, pairs, arena, "fitted_orders", dedicated->fit.fitted_count);
    add_number(list, pairs, arena, "fitted_time", dedicated->fitted_ms);
    add_number(list, pairs, arena, "next_fit_time", dedicated->due_ms);
    add_real(list, pairs, arena, "strength", dedicated->fit.strength);
    add_real(list, pairs, arena, "loss_default", dedicated->fit.loss_without);
    add_real(list, pairs, arena, "loss_dedicated", dedicated->fit.loss_with);
}

struct pair_list dedicated_describe(const struct market *market, const struct store *store,
                                    struct arena *arena)
{
    const struct dedicated *dedicated = market->dedicated;
    struct pair *pairs = arena_alloc(arena, PAIRS_MAX * sizeof *pairs);
    struct pair_list list = {pairs, 0};

    add_text(&list, pairs, "status", view_of(dedicated_status(market)));
    add_number(&list, pairs, arena, "orders", (int64_t)market->totals.orders);
    add_number(&list, pairs, arena, "orders_needed", store->options.dedicated_orders_min);
    add_number(&list, pairs, arena, "orders_kept",
               dedicated != NULL ? dedicated->fit.order_count : 0);
    if (!dedicated_has_request(market))
        return list;
    for (int i = 0; i < TEXT_COUNT; i++)
        add_text(&list, pairs, text_names[i], dedicated->texts[i]);
    add_number(&list, pairs, arena, "requested_time", dedicated->requested_ms);
    if (dedicated->isolation != ISOLATION_PENDING)
        add_number(&list, pairs, arena, "decided_time", dedicated->decided_ms);
    if (dedicated->isolation == ISOLATION_ACTIVE)
        add_model(&list, pairs, arena, dedicated);
    return list;
}

/* ---- steps ---- */

static const char *refuse_state(const struct dedicated *dedicated, struct arena *arena)
{
    if (dedicated == NULL || dedicated->isolation == ISOLATION_NONE)
        return "no isolation was asked for: request-isolation comes first";
    return arena_print(arena, "the request %.*s is %s", VIEW_PRINT(dedicated->texts[0]),
                       statuses[dedicated->isolation]);
}

const char *dedicated_request(struct store *store, struct market *market, const struct event *event,
                              struct arena *arena)
{
    const struct command *command = &event->command;

    if (command->notes.size > REASON_BYTES_MAX)
        return "notes: at most 1000 bytes";
    if (dedicated_has_request(market) && market->dedicated->isolation != ISOLATION_REJECTED &&
        market->dedicated->isolation != ISOLATION_REVOKED)
        return refuse_state(market->dedicated, arena);
    struct dedicated *dedicated = dedicated_of(store, market);
    set_isolation(store, dedicated, ISOLATION_PENDING);
    dedicated->requested_ms = event->event_time_ms;
    set_text(store, market, TEXT_REQUEST_ID, event->id);
    set_text(store, market, TEXT_REQUESTED_BY, command->actor);
    set_text(store, market, TEXT_DECIDED_BY, (struct view){NULL, 0});
    set_text(store, market, TEXT_REASON, command->notes);
    return NULL;
}

const char *dedicated_decide(struct store *store, struct market *market, const struct event *event,
                             enum isolation decision, struct arena *arena)
{
    struct dedicated *dedicated = market->dedicated;
    const struct command *command = &event->command;
    bool is_possible = dedicated != NULL &&
                       (decision == ISOLATION_REVOKED ? dedicated_is_isolated(market)
                                                      : dedicated->isolation == ISOLATION_PENDING);

    if (!is_possible)
        return refuse_state(dedicated, arena);
    if (command->notes.size > REASON_BYTES_MAX)
        return "notes: at most 1000 bytes";
    if (!view_is_absent(command->subject) &&
        !view_is_equal(command->subject, dedicated->texts[TEXT_REQUEST_ID]))
        return arena_print(arena, "subject: the request of this tenant is %.*s",
                           VIEW_PRINT(dedicated->texts[TEXT_REQUEST_ID]));
    set_isolation(store, dedicated, decision);
    dedicated->decided_ms = event->event_time_ms;
    set_text(store, market, TEXT_DECIDED_BY, command->actor);
    if (!view_is_absent(command->notes))
        set_text(store, market, TEXT_REASON, command->notes);
    if (decision == ISOLATION_REVOKED && dedicated->fit.fitting != NULL)
        fit_end(&dedicated->fit, store, market);
    return NULL;
}

const char *dedicated_create(struct store *store, struct market *market, struct arena *arena)
{
    struct dedicated *dedicated = market->dedicated;
    uint64_t needed = (uint64_t)store->options.dedicated_orders_min;

    if (dedicated == NULL || dedicated->isolation != ISOLATION_APPROVED)
        return refuse_state(dedicated, arena);
    if (market->totals.orders < needed)
        return arena_print(arena,
                           "the tenant has %" PRIu64 " orders; a dedicated model needs %" PRIu64
                           " (recommend.dedicated.orders_min)",
                           market->totals.orders, needed);
    if (market->kind != &model_weir)
        return arena_print(arena,
                           "the tenant's lists are made with %s; a dedicated model corrects those "
                           "of %s: select-model comes first",
                           market->kind->name, model_weir.name);
    set_isolation(store, dedicated, ISOLATION_TRAINING);
    dedicated->due_ms = INT64_MIN;
    return NULL;
}

/* ---- fits ---- */

static void tell_fit(const struct market *market, const struct store *store, int64_t now_ms,
                     uint32_t version_before, struct outbox *outbox)
{
    struct arena *arena = outbox_scratch(outbox);
    const struct dedicated *dedicated = market->dedicated;
    struct pair *before = arena_alloc(arena, sizeof *before);
    uint64_t high = hash_view(market->id, 11 + dedicated->version);
    uint64_t low = hash_view(dedicated->texts[TEXT_REQUEST_ID], 12 + (uint64_t)now_ms);
    struct result result = {
        .kind = RESULT_AUDIT,
        .id = view_of(arena_print(arena, "%016" PRIx64 "%016" PRIx64, high, low)),
        .tenant_id = market->id,
        .audit =
            {
                .actor = VIEW_LITERAL("weir"),
                .action = VIEW_LITERAL("model.fitted"),
                .subject = dedicated->texts[TEXT_REQUEST_ID],
                .before = {before, 1},
                .after = dedicated_describe(market, store, arena),
                .event_time_ms = now_ms,
            },
    };

    *before = (struct pair){VIEW_LITERAL("model_version"),
                            view_of(arena_print(arena, "%u", version_before))};
    result_mark(&result, NULL);
    outbox_add(outbox, &result);
}

/* True: a slice was done. */
static bool go_on(struct store *store, struct market *market, int64_t now_ms, struct outbox *outbox)
{
    struct dedicated *dedicated = market->dedicated;

    if (dedicated == NULL ||
        (dedicated->isolation != ISOLATION_TRAINING && dedicated->isolation != ISOLATION_ACTIVE))
        return false;
    struct fit *fit = &dedicated->fit;
    if (fit->fitting == NULL) {
        if (now_ms < dedicated->due_ms || fit->order_count < FIT_ORDERS_LEAST)
            return false;
        fit_begin(fit, store, market);
    }
    if (!fit_step(fit, store, market))
        return true;
    if (fit->fitted_count > 0) {
        set_isolation(store, dedicated, ISOLATION_ACTIVE);
        dedicated->fitted_ms = now_ms;
        dedicated->due_ms = now_ms + store->options.dedicated_retrain_ms;
        dedicated->version++;
        tell_fit(market, store, now_ms, dedicated->version - 1, outbox);
    }
    return true;
}

bool dedicated_tick(struct recommend *recommend, int64_t now_ms, struct outbox *outbox)
{
    struct store *store = &recommend->store;

    /* The turn stays with a market until its fit has ended. */
    for (uint32_t i = 0; i < MARKETS_A_TICK && i < store->market_count; i++) {
        recommend->dedicated_at %= store->market_count;
        struct market *market = store->markets[recommend->dedicated_at];
        if (market != NULL && go_on(store, market, now_ms, outbox))
            return true;
        recommend->dedicated_at++;
    }
    return false;
}

/* ---- saving ---- */

void dedicated_save(const struct market *market, struct byte_writer *out)
{
    const struct dedicated *dedicated = market->dedicated;

    byte_put_u8(out, dedicated != NULL);
    if (dedicated == NULL)
        return;
    byte_put_u8(out, (uint8_t)dedicated->isolation);
    for (int i = 0; i < TEXT_COUNT; i++)
        byte_put_view(out, dedicated->texts[i]);
    byte_put_svarint(out, dedicated->requested_ms);
    byte_put_svarint(out, dedicated->decided_ms);
    byte_put_varint(out, dedicated->version);
    byte_put_svarint(out, dedicated->fitted_ms);
    byte_put_svarint(out, dedicated->due_ms);
    fit_save(&dedicated->fit, out);
}

void dedicated_load(struct store *store, struct market *market, struct byte_reader *in)
{
    if (byte_take_u8(in) == 0)
        return;
    struct dedicated *dedicated = dedicated_of(store, market);
    uint8_t isolation = byte_take_u8(in);
    in->broken |= isolation >= ISOLATION_COUNT;
    if (in->broken)
        return;
    set_isolation(store, dedicated, (enum isolation)isolation);
    for (int i = 0; i < TEXT_COUNT; i++)
        set_text(store, market, (enum dedicated_text)i, byte_take_view(in));
    dedicated->requested_ms = byte_take_svarint(in);
    dedicated->decided_ms = byte_take_svarint(in);
    dedicated->version = (uint32_t)byte_take_varint(in);
    dedicated->fitted_ms = byte_take_svarint(in);
    dedicated->due_ms = byte_take_svarint(in);
    fit_load(&dedicated->fit, store, market, in);
}
