#ifndef ENGINE_ENGINE_H
#define ENGINE_ENGINE_H
/*
 * engine.h - one partition: the deterministic machine.
 *
 *        event ──► engine_apply ──► the domain rooms ──► outbox
 *   time, as data ─► engine_tick ──┘        │
 *                                     save / load / digest
 *
 * The state is a pure function of the events applied, in order, and of the ticks.
 * No clock, no I/O, no randomness, no thread. Laws, each a test:
 *   1 determinism             same events, same order: same results, byte for byte,
 *                             and same digest, whatever the batch boundaries
 *   2 snapshot transparency   load(save(e)) behaves as e for every continuation
 *   3 replay equality         crash anywhere, recover, continue: same results
 *   4 exactness               any arrival order displaced by at most the allowed
 *                             lateness gives the episodes of the sorted stream
 *   5 bounded memory          state has a byte budget; the least recently active
 *                             keys go first and are counted
 *
 * Units    _ms epoch milliseconds
 * Memory   grows up to memory_bytes_max, no heap call per event once warm
 * Threads  one owner; `engine_config` is shared by all engines and never changes
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/bytes.h"
#include "base/option.h"
#include "base/status.h"
#include "base/tree.h"
#include "event/event.h"
#include "event/outbox.h"
#include "event/result.h"

struct engine;
struct engine_config;

/* Reads a rules document: YAML to a tree. Supplied by whoever owns a YAML library, so
 * that `update-rules` commands can carry a rules file. Pure: same text, same tree. */
typedef enum status engine_parse_fn(struct view text, const char *file, struct arena *arena,
                                    struct tree **root, struct complaints *complaints);

/* Everything the user can say about the engine, from the configuration document
 * (`root`, may be NULL: all presets) and the rules document (`rules`, may be NULL: the
 * built-in default rules). Complains of every error; returns NULL when there was any.
 * Keeps copies; the trees may go. */
struct engine_config *engine_config_create(const struct tree *root, const struct tree *rules,
                                           engine_parse_fn *parse, struct complaints *complaints);
void engine_config_destroy(struct engine_config *config);
/* The option tables behind it, for the reference; ends in NULL. */
const struct option_table *const *engine_option_tables(void);
/* Switches a rule on or off before the start; STATUS_ABSENT: no such rule. */
enum status engine_config_switch(struct engine_config *config, struct view rule, bool is_enabled);
/* Overrides the allowed lateness of every topic. */
void engine_config_set_lateness(struct engine_config *config, int64_t lateness_ms);
/* False when no tenant shares: nothing is published for others then, and nothing has to be
 * taken from them. */
bool engine_config_is_sharing(const struct engine_config *config);
/* How many partitions there are: a tenant's command result is given by its home
 * partition, a platform command's by partition 0. Presets to 1. */
void engine_config_set_partitions(struct engine_config *config, int32_t count);
/* Equal for configurations under which the same input gives the same results; kept
 * in snapshots. */
uint64_t engine_config_digest(const struct engine_config *config);

struct engine *engine_open(const struct engine_config *config, int32_t partition);
void engine_close(struct engine *engine);

enum verdict {
    VERDICT_APPLIED,
    VERDICT_DUPLICATE,      /* same event_id inside `deduplicate`: counted, not applied */
    VERDICT_LATE,           /* older than the allowed lateness: counted, not applied; a
                             * request is never late */
    VERDICT_LATE_SET_ASIDE, /* the same, and the user wants it in dead-letter */
    VERDICT_FUTURE,         /* beyond `future.max` of the last tick: to dead-letter */
    VERDICT_UNKNOWN_TENANT, /* `tenants.unknown: reject`: to dead-letter */
};

/* Total: never fails, never blocks. Results go to the outbox. */
enum verdict engine_apply(struct engine *engine, const struct event *event, struct outbox *outbox);
/* A hint, which changes no result: these events, in this order, are going to be applied
 * next, from where they lie and as they are. The memory that they need is fetched for all
 * of them at once, where engine_apply alone would wait for one after the other; with very
 * many keys that halves the cost. An event that comes out of turn is as good as any that
 * was not expected, and ends the hint. At most ENGINE_EXPECT_MAX of them are looked at. */
enum { ENGINE_EXPECT_MAX = 32 };
void engine_expect(struct engine *engine, const struct event *events, uint32_t count);
/* A RESULT_POPULARITY that this or another partition has published (shared.h of the room
 * recommend). Of a tenant that does not share by this configuration: counted for nothing. */
void engine_take_popularity(struct engine *engine, const struct result *result);
/* now_ms never goes back (an earlier one is ignored). Tick before the first event of a
 * batch: `future.max` counts from the last tick, and without any tick nothing is from the
 * future. Silence is counted in steps of at most 30 s a tick, so that the hours in which
 * the program was down are not taken for silence of the topics. */
void engine_tick(struct engine *engine, int64_t now_ms, struct outbox *outbox);
/* True when slices of batch work wait for the next tick: the sooner it comes, the sooner
 * they are done. A slice is short, so that ticking between batches of events is fine. */
bool engine_is_busy(const struct engine *engine);
/* No event of this kind is to be expected (the file has ended, nobody reads the topic):
 * it holds back no rule that reads several kinds. Part of the state; the next event of
 * the kind revokes it. */
void engine_retire(struct engine *engine, enum event_kind kind, struct outbox *outbox);
/* The end of all input (replay of a file): closes every open episode with its final
 * figures, as if the watermark went to infinity. */
void engine_finish(struct engine *engine, struct outbox *outbox);

/* A version that this program cannot read is STATUS_BROKEN with a text that says so. State made
 * under another configuration loads with what both have in common: rules whose definition is
 * the same keep their windows and episodes, and all that was learnt is kept. Another rules
 * document takes the place of what commands had changed in the former. */
void engine_save(const struct engine *engine, struct byte_writer *out);
struct engine *engine_load(const struct engine_config *config, int32_t partition,
                           struct byte_reader *in, struct failure *failure);
/* Equal digests = equal state. Walks the state: not for the hot path. */
uint64_t engine_digest(const struct engine *engine);

/* For metrics and /status; running totals since open (they are part of the state). */
struct engine_stats {
    uint64_t applied[EVENT_KIND_COUNT];
    uint64_t duplicates[EVENT_KIND_COUNT];
    uint64_t late[EVENT_KIND_COUNT];
    uint64_t future[EVENT_KIND_COUNT];
    uint64_t alerts_opened[3]; /* by severity */
    uint64_t episodes_open;
    uint64_t keys;            /* groups with state, all rules */
    uint64_t keys_evicted;    /* for want of memory */
    uint64_t ids_pushed_out;  /* remembered ids of events, forgotten early for want of memory */
    uint64_t recommendations; /* made, batch jobs included */
    uint64_t recommendations_by[STRATEGY_COUNT]; /* of these, those with something on them */
    uint64_t orders_learnt, interactions_learnt;
    uint64_t customers, products, pairs; /* known to the recommendations */
    uint64_t customers_evicted, products_evicted, tenants_evicted; /* there, for want of memory */
    uint64_t recommend_bytes;
    uint64_t dedicated_models; /* lists are made with now */
    uint64_t jobs_submitted;
    uint64_t jobs_completed;
    uint64_t jobs_failed;
    uint64_t jobs_cancelled;
    uint64_t jobs_waiting;  /* now */
    uint64_t jobs_running;  /* now */
    uint64_t job_customers; /* of both, without their list yet */
    uint64_t state_bytes;
    int64_t watermark_ms[EVENT_KIND_COUNT]; /* INT64_MIN: none yet */
};
void engine_stats(const struct engine *engine, struct engine_stats *stats);
#endif
