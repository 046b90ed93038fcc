/*
 * Recommendations, judged on recorded orders:
 *
 *   for each model: for each order, in the order of the file:
 *       ask for two lists ─► score them against the order ─► let the model learn it
 *
 * The model is asked as any user would, by requests, so what is measured is what is
 * delivered. Every model sees the same orders with an empty state of its own.
 */
#include <assert.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/json_writer.h"
#include "cli/args.h"
#include "cli/cli.h"
#include "cli/evaluate.h"
#include "cli/input.h"
#include "codec/codec.h"

enum { OUTPUT_BYTES = 1 << 16, BAD_LINES_TOLD_MAX = 10, SAMPLES_LEAST = 1024 };

struct evaluate_args {
    const char *orders;
    struct view_list models;
    const char *emit;
    const char *plot;
    double from;
    bool is_json;
};

#define AT(member) offsetof(struct evaluate_args, member)
static const struct arg args[] = {
    {.name = "orders",
     .type = ARG_TEXT,
     .offset = AT(orders),
     .value = "FILE",
     .purpose = "orders by time, a line each; plain, .gz or .zst; - is standard input"},
    {.name = "model",
     .type = ARG_TEXTS,
     .offset = AT(models),
     .value = "NAME",
     .purpose = "only this model; may be repeated; default: all of them"},
    {.name = "from",
     .type = ARG_DOUBLE,
     .offset = AT(from),
     .value = "PART",
     .least = 0,
     .most = 1,
     .purpose = "evaluate the orders after this part of the stream (default .5)"},
    {.name = "emit",
     .type = ARG_TEXT,
     .offset = AT(emit),
     .value = "FILE",
     .purpose = "write the first model's lists, a line of JSON for each evaluated order"},
    {.name = "plot",
     .type = ARG_TEXT,
     .offset = AT(plot),
     .value = "FILE",
     .purpose = "draw NDCG over the stream, as SVG"},
    {.name = "json",
     .type = ARG_FLAG,
     .offset = AT(is_json),
     .purpose = "print JSON instead of a table"},
};

static const struct arg_table table = {
    .command = "evaluate",
    .summary = "Replays recorded orders and asks each model, before it learns an order, what the "
               "customer will buy. Prints how good the lists were, how long they took and what "
               "memory they needed.",
    .args = args,
    .count = sizeof args / sizeof args[0],
    .examples = "  weir evaluate --orders orders.jsonl.gz\n"
                "  weir evaluate --orders orders.jsonl.gz --model weir --emit lists.jsonl\n",
    .notes = "recall, NDCG and hit are those of the ten best; explore is the NDCG of a list of\n"
             "products that the customer never bought, on those of the order that are new to it.\n"
             "Orders without a customer teach but are not evaluated.\n",
};

struct evaluate {
    struct evaluate_args args;
    struct arena *arena;
    struct stream stream;
    struct score scores[EVALUATE_MODELS_MAX];
    uint32_t score_count;
    struct outbox *outbox;
    FILE *emit;
    int64_t started_ns;
    int64_t told_ns;
};

/* ---- reading ---- */

static void keep_order(struct stream *stream, const struct event *event)
{
    if (stream->count == stream->capacity) {
        stream->capacity = stream->capacity == 0 ? SAMPLES_LEAST : stream->capacity * 2;
        stream->samples = realloc(stream->samples, stream->capacity * sizeof *stream->samples);
        assert(stream->samples != NULL);
    }
    struct sample *sample = &stream->samples[stream->count++];
    memset(sample, 0, sizeof *sample);
    shape_copy(event_shape(EVENT_ORDER), event, &sample->event, stream->arena);
    stream->known_count += !view_is_absent(event->order.customer_id);
}

static enum status read_orders(struct stream *stream, struct input *input, struct failure *failure)
{
    struct event event;
    enum status status;

    while ((status = input_next(input, &event, failure)) != STATUS_END) {
        if (status == STATUS_OK) {
            keep_order(stream, &event);
        } else if (failure->remedy == REMEDY_SET_ASIDE) {
            if (stream->bad_lines++ < BAD_LINES_TOLD_MAX)
                fprintf(stderr, "%s:%" PRIu64 ": %s\n", input_path(input), input_number(input),
                        failure->text);
        } else {
            return status;
        }
    }
    return STATUS_OK;
}

static int read_stream(struct evaluate *evaluate)
{
    struct codec_options options;
    struct codec *codec = NULL;
    struct input *input = NULL;
    struct failure failure;
    int code = CODE_DONE;

    option_preset(&codec_option_table, &options);
    if (codec_create(&options, &codec, &failure) != STATUS_OK ||
        input_open(evaluate->args.orders, EVENT_ORDER, codec, (size_t)options.message_bytes_max,
                   &input, &failure) != STATUS_OK ||
        read_orders(&evaluate->stream, input, &failure) != STATUS_OK)
        code = args_fail(&table, "%s: %s", evaluate->args.orders, failure.text);
    input_close(input);
    codec_destroy(codec);
    if (code != CODE_DONE)
        return code;
    stream_prepare(&evaluate->stream);
    if (evaluate->stream.evaluated_count == 0)
        return args_fail(&table, "%s: no order to evaluate: no customer orders twice",
                         evaluate->args.orders);
    return CODE_DONE;
}

/* ---- asking ---- */

/* The list that a request of these words gets; its texts last until the outbox is reset. */
static struct view_list ask(struct evaluate *evaluate, struct recommend *recommend,
                            const struct sample *sample, bool excludes_purchased,
                            struct score *score)
{
    static const struct recommend_context context = {.is_sharing = false};
    const struct clock *clock = clock_system();
    struct event event = {
        .kind = EVENT_REQUEST,
        .id = sample->event.id,
        .tenant_id = sample->event.tenant_id,
        .event_time_ms = sample->event.event_time_ms,
        .request =
            {
                .customer_id = sample->event.order.customer_id,
                .count = EVALUATE_LIST,
                .exclude_purchased = excludes_purchased,
            },
    };
    int64_t started_ns = clock_monotonic_ns(clock);

    recommend_apply(recommend, &event, &context, evaluate->outbox);
    score->list_ns[score->list_count++] = clock_monotonic_ns(clock) - started_ns;
    const struct result *result = outbox_at(evaluate->outbox, outbox_count(evaluate->outbox) - 1);
    const struct recommended_item *items = result->recommendation.items.at;
    uint32_t count = result->recommendation.items.count;
    struct view *products =
        arena_alloc(outbox_scratch(evaluate->outbox), (count + 1) * sizeof *products);
    for (uint32_t i = 0; i < count; i++)
        products[i] = items[i].product_id;
    return (struct view_list){products, count};
}

static void put_list(struct json_writer *json, const char *name, const struct view_list *list)
{
    json_name(json, name);
    json_begin_array(json);
    for (uint32_t i = 0; i < list->count; i++)
        json_view(json, list->at[i]);
    json_end_array(json);
}

static void emit(FILE *file, const struct sample *sample, const struct view_list *items,
                 const struct view_list *new_items, struct byte_writer *line)
{
    struct json_writer json = json_writer_on(line);

    byte_writer_reset(line);
    json_begin_object(&json);
    json_name(&json, "event_id");
    json_view(&json, sample->event.id);
    put_list(&json, "items", items);
    put_list(&json, "new_items", new_items);
    json_end_object(&json);
    byte_put_u8(line, '\n');
    fwrite(line->data, 1, line->size, file);
}

static void cover(struct score *score, struct map *covered, struct view tenant,
                  const struct view_list *list, struct byte_writer *key)
{
    for (uint32_t i = 0; i < list->count; i++) {
        byte_writer_reset(key);
        byte_put_view(key, tenant);
        byte_put_view(key, list->at[i]);
        score->covered += map_put(covered, byte_writer_view(key), 1);
    }
}

/* ---- a model ---- */

static void tell_progress(struct evaluate *evaluate, const char *model, uint32_t done,
                          uint32_t total)
{
    int64_t now_ns = clock_monotonic_ns(clock_system());
    double share = (double)done / total;
    double spent = (double)(now_ns - evaluate->started_ns) / 1e9;

    if (isatty(STDERR_FILENO) == 0 || now_ns - evaluate->told_ns < 200000000)
        return;
    evaluate->told_ns = now_ns;
    fprintf(stderr, "\r%-12s %3.0f %%  %.0f s left   ", model, share * 100,
            share > 0 ? spent / share - spent : 0.0);
}

static void run_sample(struct evaluate *evaluate, struct recommend *recommend,
                       const struct sample *sample, struct score *score, struct map *covered,
                       struct byte_writer *text)
{
    static const struct recommend_context context = {.is_sharing = false};
    const struct clock *clock = clock_system();

    if (sample->is_evaluated) {
        struct view_list items = ask(evaluate, recommend, sample, false, score);
        struct view_list new_items = ask(evaluate, recommend, sample, true, score);
        score_add(score, &evaluate->stream, sample, &items, &new_items);
        cover(score, covered, sample->event.tenant_id, &items, text);
        if (evaluate->emit != NULL && score == evaluate->scores)
            emit(evaluate->emit, sample, &items, &new_items, text);
    }
    /* Some models work between events, and there are hours between orders. */
    do
        recommend_tick(recommend, sample->event.event_time_ms, evaluate->outbox);
    while (recommend_is_busy(recommend));
    int64_t started_ns = clock_monotonic_ns(clock);
    recommend_apply(recommend, &sample->event, &context, evaluate->outbox);
    score->learn_ns += clock_monotonic_ns(clock) - started_ns;
    score->learnt++;
    outbox_reset(evaluate->outbox);
}

static void run_model(struct evaluate *evaluate, struct score *score, int64_t model)
{
    const struct stream *stream = &evaluate->stream;
    struct recommend_options options;
    struct map *covered = map_create();
    struct byte_writer text;
    uint32_t place = (uint32_t)(score - evaluate->scores);

    byte_writer_init(&text);
    option_preset(&recommend_option_table, &options);
    options.model = model;
    options.summary_ms = 0;
    options.bytes_max = SIZE_MAX;
    options.tenant_bytes_max = INT64_MAX;
    struct recommend *recommend = recommend_open(&options);
    score->list_ns = calloc(2 * (size_t)stream->evaluated_count, sizeof *score->list_ns);
    assert(score->list_ns != NULL);
    for (uint32_t i = 0; i < stream->count; i++) {
        run_sample(evaluate, recommend, &stream->samples[i], score, covered, &text);
        if (i % 64 == 0)
            tell_progress(evaluate, score->model, place * stream->count + i,
                          evaluate->score_count * stream->count);
    }
    recommend_stats(recommend, &score->stats);
    recommend_close(recommend);
    byte_writer_free(&text);
    map_destroy(covered);
}

/* ---- the command ---- */

static int64_t find_model(struct view name)
{
    for (int64_t i = 0; recommend_model_names[i] != NULL; i++)
        if (view_is_text(name, recommend_model_names[i]))
            return i;
    return -1;
}

static int run_models(struct evaluate *evaluate)
{
    int64_t models[EVALUATE_MODELS_MAX] = {0};
    const struct view_list *given = &evaluate->args.models;

    for (uint32_t i = 0; i < given->count; i++) {
        int64_t model = find_model(given->at[i]);
        if (model < 0 || evaluate->score_count == EVALUATE_MODELS_MAX)
            return args_refuse(&table, "--model %.*s: no such model", VIEW_PRINT(given->at[i]));
        models[evaluate->score_count++] = model;
    }
    for (int64_t i = 0; given->count == 0 && recommend_model_names[i] != NULL; i++)
        models[evaluate->score_count++] = i;
    evaluate->started_ns = clock_monotonic_ns(clock_system());
    for (uint32_t i = 0; i < evaluate->score_count; i++)
        evaluate->scores[i].model = recommend_model_names[models[i]];
    for (uint32_t i = 0; i < evaluate->score_count; i++)
        run_model(evaluate, &evaluate->scores[i], models[i]);
    if (evaluate->told_ns != 0)
        fprintf(stderr, "\r%40s\r", "");
    return CODE_DONE;
}

static int write_file(const char *path, const struct byte_writer *text)
{
    FILE *file = fopen(path, "w");

    if (file == NULL)
        return args_fail(&table, "%s cannot be written", path);
    size_t written = fwrite(text->data, 1, text->size, file);
    if (fclose(file) != 0 || written != text->size)
        return args_fail(&table, "%s could not be written to its end", path);
    return CODE_DONE;
}

static int report(struct evaluate *evaluate)
{
    struct byte_writer text;
    int code = CODE_DONE;

    byte_writer_init(&text);
    if (evaluate->args.is_json) {
        evaluate_put_json(&evaluate->stream, evaluate->scores, evaluate->score_count, &text);
        fwrite(text.data, 1, text.size, stdout);
    } else {
        evaluate_print_table(&evaluate->stream, evaluate->scores, evaluate->score_count, stdout);
    }
    if (evaluate->args.plot != NULL) {
        byte_writer_reset(&text);
        evaluate_put_plot(evaluate->scores, evaluate->score_count, &text);
        code = write_file(evaluate->args.plot, &text);
    }
    byte_writer_free(&text);
    return code;
}

static int run(struct evaluate *evaluate)
{
    int code;

    if (evaluate->args.orders == NULL)
        return args_refuse(&table, "--orders: expected a file of orders");
    if (evaluate->args.emit != NULL) {
        evaluate->emit = fopen(evaluate->args.emit, "w");
        if (evaluate->emit == NULL)
            return args_fail(&table, "%s cannot be written", evaluate->args.emit);
    }
    code = read_stream(evaluate);
    if (code == CODE_DONE)
        code = run_models(evaluate);
    if (evaluate->emit != NULL && fclose(evaluate->emit) != 0 && code == CODE_DONE)
        code = args_fail(&table, "%s could not be written to its end", evaluate->args.emit);
    return code == CODE_DONE ? report(evaluate) : code;
}

int evaluate_main(int argc, char **argv)
{
    struct evaluate *evaluate = calloc(1, sizeof *evaluate);
    int code = CODE_DONE;

    assert(evaluate != NULL);
    evaluate->arena = arena_create(OUTPUT_BYTES);
    evaluate->stream.arena = arena_create(1 << 20);
    evaluate->outbox = outbox_create();
    evaluate->args.from = .5;
    if (args_read(&table, argc, argv, &evaluate->args, NULL, evaluate->arena, &code)) {
        evaluate->stream.from = evaluate->args.from;
        code = run(evaluate);
    }
    for (uint32_t i = 0; i < EVALUATE_MODELS_MAX; i++)
        free(evaluate->scores[i].list_ns);
    free(evaluate->stream.samples);
    outbox_destroy(evaluate->outbox);
    arena_destroy(evaluate->stream.arena);
    arena_destroy(evaluate->arena);
    free(evaluate);
    return code;
}
