/* What `weir evaluate` shows: a table, JSON, a drawing. */
#include <inttypes.h>
#include <stdlib.h>

#include "base/json_writer.h"
#include "cli/evaluate.h"

struct figures {
    double ndcg, recall, hit, explore, coverage;
    double p50_us, p99_us, learn_us;
    double bytes_a_pair;
};

static int compare_ns(const void *a, const void *b)
{
    int64_t left = *(const int64_t *)a, right = *(const int64_t *)b;

    return (left > right) - (left < right);
}

static double at_share(const struct score *score, double share)
{
    if (score->list_count == 0)
        return 0;
    return (double)score->list_ns[(uint64_t)(share * (double)(score->list_count - 1))] / 1e3;
}

static double part(double sum, double count)
{
    return count > 0 ? sum / count : 0;
}

/* Sorts the latencies. */
static struct figures figures_of(const struct stream *stream, const struct score *score)
{
    if (score->list_count > 0)
        qsort(score->list_ns, score->list_count, sizeof *score->list_ns, compare_ns);
    return (struct figures){
        .ndcg = part(score->ndcg, score->orders),
        .recall = part(score->recall, score->orders),
        .hit = part(score->hit, score->orders),
        .explore = part(score->explore, score->explorers),
        .coverage = part((double)score->covered, (double)stream->product_count),
        .p50_us = at_share(score, .5),
        .p99_us = at_share(score, .99),
        .learn_us = part((double)score->learn_ns / 1e3, (double)score->learnt),
        .bytes_a_pair = part((double)score->stats.customer_bytes, (double)score->stats.pairs),
    };
}

void evaluate_print_table(const struct stream *stream, const struct score *scores, uint32_t count,
                          FILE *file)
{
    fprintf(file,
            "%" PRIu32 " orders, %" PRIu32 " of known customers, %" PRIu32 " evaluated\n%" PRIu64
            " product names; %" PRIu64 " products of %" PRIu64 " tenants, who share nothing\n\n",
            stream->count, stream->known_count, stream->evaluated_count, stream->name_count,
            stream->product_count, stream->tenant_count);
    fprintf(file, "%-12s %8s %10s %7s %8s %9s %8s %8s %9s %8s %7s\n", "model", "NDCG@10",
            "recall@10", "hit@10", "explore", "coverage", "p50 us", "p99 us", "learn us", "MB",
            "B/pair");
    for (uint32_t i = 0; i < count; i++) {
        struct figures figures = figures_of(stream, &scores[i]);
        fprintf(file, "%-12s %8.4f %10.4f %7.4f %8.4f %9.3f %8.1f %8.1f %9.1f %8.1f %7.0f\n",
                scores[i].model, figures.ndcg, figures.recall, figures.hit, figures.explore,
                figures.coverage, figures.p50_us, figures.p99_us, figures.learn_us,
                (double)scores[i].stats.bytes / 1e6, figures.bytes_a_pair);
    }
}

static void put_number(struct json_writer *json, const char *name, double value)
{
    json_name(json, name);
    json_double(json, value);
}

static void put_score(struct json_writer *json, const struct stream *stream,
                      const struct score *score)
{
    struct figures figures = figures_of(stream, score);

    json_begin_object(json);
    json_name(json, "model");
    json_text(json, score->model);
    put_number(json, "ndcg@10", figures.ndcg);
    put_number(json, "recall@10", figures.recall);
    put_number(json, "hit@10", figures.hit);
    put_number(json, "explore_ndcg@10", figures.explore);
    put_number(json, "coverage", figures.coverage);
    put_number(json, "latency_p50_us", figures.p50_us);
    put_number(json, "latency_p99_us", figures.p99_us);
    put_number(json, "learn_us", figures.learn_us);
    put_number(json, "bytes", (double)score->stats.bytes);
    put_number(json, "bytes_of_customers", (double)score->stats.customer_bytes);
    put_number(json, "pairs", (double)score->stats.pairs);
    put_number(json, "neighbours", (double)score->stats.neighbours);
    json_name(json, "ndcg@10_over_stream");
    json_begin_array(json);
    for (uint32_t i = 0; i < EVALUATE_BINS; i++)
        if (score->bins[i].orders > 0)
            json_double(json, score->bins[i].ndcg / score->bins[i].orders);
    json_end_array(json);
    json_end_object(json);
}

void evaluate_put_json(const struct stream *stream, const struct score *scores, uint32_t count,
                       struct byte_writer *out)
{
    struct json_writer json = json_writer_on(out);

    json_begin_object(&json);
    json_name(&json, "orders");
    json_int(&json, stream->count);
    json_name(&json, "orders_of_customers");
    json_int(&json, stream->known_count);
    json_name(&json, "evaluated");
    json_int(&json, stream->evaluated_count);
    json_name(&json, "products");
    json_int(&json, (int64_t)stream->product_count);
    json_name(&json, "product_names");
    json_int(&json, (int64_t)stream->name_count);
    json_name(&json, "tenants");
    json_int(&json, (int64_t)stream->tenant_count);
    json_name(&json, "models");
    json_begin_array(&json);
    for (uint32_t i = 0; i < count; i++)
        put_score(&json, stream, &scores[i]);
    json_end_array(&json);
    json_end_object(&json);
    byte_put_u8(out, '\n');
}

/* ---- the drawing ---- */

enum { WIDTH = 900, HEIGHT = 420, LEFT = 60, RIGHT = 150, TOP = 30, BOTTOM = 40, SMOOTH = 3 };

static const char *const colours[] = {"#1f77b4", "#ff7f0e", "#2ca02c", "#d62728",
                                      "#9467bd", "#8c564b", "#e377c2", "#7f7f7f"};
enum { COLOUR_COUNT = sizeof colours / sizeof colours[0] };

/* The mean over the bin and its neighbours, so that a line shows a trend. */
static double smoothed(const struct score *score, uint32_t at)
{
    uint32_t first = at > SMOOTH ? at - SMOOTH : 0, orders = 0;
    double sum = 0;

    for (uint32_t i = first; i <= at + SMOOTH && i < EVALUATE_BINS; i++) {
        sum += score->bins[i].ndcg;
        orders += score->bins[i].orders;
    }
    return part(sum, orders);
}

static double highest(const struct score *scores, uint32_t count)
{
    double most = .1;

    for (uint32_t i = 0; i < count; i++)
        for (uint32_t at = 0; at < EVALUATE_BINS; at++)
            most = smoothed(&scores[i], at) > most ? smoothed(&scores[i], at) : most;
    return most * 1.05;
}

static void put_axis(double most, struct byte_writer *out)
{
    static const int marks = 5;

    for (int i = 0; i <= marks; i++) {
        double y = TOP + (HEIGHT - TOP - BOTTOM) * (1 - (double)i / marks);
        byte_print(out,
                   "<line x1=\"%d\" x2=\"%d\" y1=\"%.1f\" y2=\"%.1f\" stroke=\"#ddd\"/>"
                   "<text x=\"%d\" y=\"%.1f\" text-anchor=\"end\">%.3f</text>\n",
                   LEFT, WIDTH - RIGHT, y, y, LEFT - 8, y + 4, most * i / marks);
    }
    byte_print(out,
               "<text x=\"%d\" y=\"18\">NDCG@10, each order ranked before it is learnt</text>\n"
               "<text x=\"%d\" y=\"%d\">evaluated orders, in the order of the stream</text>\n",
               LEFT, LEFT, HEIGHT - 12);
}

void evaluate_put_plot(const struct score *scores, uint32_t count, struct byte_writer *out)
{
    double most = highest(scores, count);

    byte_print(out,
               "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%d\" height=\"%d\" "
               "font-family=\"sans-serif\" font-size=\"12\">\n"
               "<rect width=\"100%%\" height=\"100%%\" fill=\"white\"/>\n",
               WIDTH, HEIGHT);
    put_axis(most, out);
    for (uint32_t i = 0; i < count; i++) {
        byte_print(out, "<polyline fill=\"none\" stroke-width=\"2\" stroke=\"%s\" points=\"",
                   colours[i % COLOUR_COUNT]);
        for (uint32_t at = 0; at < EVALUATE_BINS; at++)
            byte_print(out, "%.1f,%.1f ",
                       LEFT + (double)(WIDTH - LEFT - RIGHT) * at / (EVALUATE_BINS - 1),
                       TOP + (HEIGHT - TOP - BOTTOM) * (1 - smoothed(&scores[i], at) / most));
        byte_print(out, "\"/>\n<text x=\"%d\" y=\"%u\" fill=\"%s\">%s %.3f</text>\n",
                   WIDTH - RIGHT + 10, TOP + 16 * (i + 1), colours[i % COLOUR_COUNT],
                   scores[i].model, part(scores[i].ndcg, scores[i].orders));
    }
    byte_print(out, "</svg>\n");
}
