#ifndef ANOMALY_STATE_H
#define ANOMALY_STATE_H
/*
 * state.h - what an anomaly keeps: for the files of anomaly/ only.
 *
 *   rule ──► group (one a rule and key) ──► window: brief, series, steps or covers
 *     │                                └──► episodes, by time
 *     └────► queue of its groups, the longest inactive first
 *   lane (one a set of kinds) ──► watermark, heap of episodes by the time they are due
 */
#include <stdbool.h>
#include <stdint.h>

#include "anomaly/anomaly.h"
#include "anomaly/rule.h"
#include "base/bytes.h"
#include "base/hash.h"
#include "window/blocks.h"
#include "window/brief.h"
#include "window/cover.h"
#include "window/pages.h"
#include "window/series.h"
#include "window/slab.h"
#include "window/steps.h"
#include "window/table.h"

enum { KEY_INLINE_BYTES = 32, EVIDENCE_MAX = 5, EXPECTED_MAX = 4 * ANOMALY_EXPECT_MAX };

/* Two cache lines. The key: tenant_id and the group-by values, each a varint length and
 * its bytes. */
struct group {
    uint32_t next; /* in its rule's queue */
    uint32_t hash;
    uint16_t rule;
    bool is_active; /* touched since it was queued */
    bool is_brief;  /* nothing satisfies, nor can yet: the window is only a list of times */
    uint32_t key_size;
    union {
        char key[KEY_INLINE_BYTES];
        char *long_key; /* key_size > KEY_INLINE_BYTES */
    };
    uint64_t touched;   /* number of the event that touched it last */
    uint32_t episodes;  /* the first of those not closed; 0: none */
    uint32_t reference; /* its own */

    union {
        struct brief brief;
        struct {
            union {
                struct series series;
                struct steps steps;
            };
            int64_t newest_ms;
            union {
                char lent[SERIES_LENT_BYTES];
                struct cover_list covers;
            };
        };
    };
};

struct evidence {
    int64_t time_ms;
    char *text;
    uint32_t size;
};

enum {
    MARK_NEW = 1,      /* not published yet */
    MARK_SEEN = 2,     /* the event at hand satisfied in it */
    MARK_MOVED = 4,    /* a late event moved a boundary */
    MARK_REOPENED = 8, /* opened earlier than before: first_event is to be found again */
    MARK_CHANGED = 16, /* some other figure changed */
};

struct episode {
    uint32_t next; /* in its group, later */
    uint32_t group;
    uint64_t sequence; /* of opening: the lower is the elder */
    uint64_t id[2];
    int64_t opened_ms, last_ms, first_event_ms;
    uint64_t count;
    __int128 value; /* in the unit of its rule */
    __int128 published_value;
    int64_t published_ms; /* its last_ms when it was published last */
    uint8_t marks;
    bool is_silent; /* published as closed by a tick; the watermark has not passed yet */
    uint8_t evidence_count;
    struct evidence evidence[EVIDENCE_MAX]; /* by time, then id */
};

struct due {
    int64_t time_ms; /* never later than its episode's last + quiet */
    uint64_t sequence;
    uint32_t episode;
};

struct lane {
    int64_t watermark_ms;
    struct due *heap;
    uint32_t count, capacity;
};

struct queue {
    uint32_t first, last;
};

/* An event about to touch a group. */
struct candidate {
    const struct rule *rule;
    struct group *guess; /* of that hash, most likely the one; NULL: there is none */
    uint32_t steps;      /* bit per step that it belongs to */
    uint32_t hash;
    uint32_t key_at, key_size; /* among the keys made with it */
};

/* What the events to come will touch: found once, used when they come. */
struct expected {
    struct candidate candidates[EXPECTED_MAX];
    uint32_t ends[ANOMALY_EXPECT_MAX]; /* of the candidates of an event */
    uint32_t count;                    /* events of which all candidates are there */
    uint32_t candidate_count;
    uint32_t windows; /* of so many candidates are asked for already */
    struct byte_writer keys;
};

struct anomaly {
    const struct rule_set *rules;
    struct anomaly_options options;
    struct pages *pages; /* all of the memory below, but for tables and lists */
    struct blocks blocks;
    struct slab groups;
    struct slab episodes;
    struct series_memory series;
    struct cover_memory covers;
    struct table table;    /* of groups */
    struct queue *queues;  /* by rule */
    uint32_t *open_counts; /* by rule: episodes neither closed nor silent */
    struct lane lanes[LANE_COUNT];
    int64_t watermark_ms[EVENT_KIND_COUNT];
    uint64_t event_count;   /* those that a rule selected */
    uint64_t episode_count; /* ever opened */
    uint64_t evicted_count;
    uint64_t opened[3];
    struct point_list satisfied; /* scratch */
    struct byte_writer keys;     /* scratch */
    struct expected expected;    /* scratch: nothing that decides a result */
};

/* What an event did to its group's window. */
struct sighting {
    const struct event *event;
    int64_t time_ms;
    bool is_late;              /* something later was there */
    bool was_satisfied;        /* its time satisfied before */
    __int128 value;            /* at its time */
    int64_t from_ms, until_ms; /* where values rose */
};

/* candidate.c */
static inline struct view candidate_key(const struct byte_writer *keys,
                                        const struct candidate *candidate)
{
    return (struct view){keys->data + candidate->key_at, candidate->key_size};
}
/* The candidates of the event by the readers of its kind from number *from on, at most `most`
 * of them, whose keys are appended to `keys`. *from becomes the first reader not asked. */
uint32_t candidate_list(const struct anomaly *anomaly, const struct event *event,
                        const struct anomaly_context *context, uint32_t *from,
                        struct byte_writer *keys, struct candidate *candidates, uint32_t most);
/* Before the expected candidates below number `until` are applied: asks for the memory of some
 * after them. */
void candidate_fetch_windows(struct anomaly *anomaly, uint32_t until);
/* Guesses their groups, and asks for the memory of all of them at once. */
void candidate_prefetch(const struct anomaly *anomaly, struct candidate *candidates,
                        uint32_t count);

/* group.c */
static inline struct group *group_at(const struct anomaly *anomaly, uint32_t reference)
{
    return slab_at(&anomaly->groups, reference);
}
static inline struct view group_key(const struct group *group)
{
    return (struct view){group->key_size > KEY_INLINE_BYTES ? group->long_key : group->key,
                         group->key_size};
}
static inline const struct rule *group_rule(const struct anomaly *anomaly,
                                            const struct group *group)
{
    return &anomaly->rules->rules[group->rule];
}
/* Of the kinds of its rule. */
static inline int64_t group_watermark(const struct anomaly *anomaly, const struct rule *rule)
{
    return anomaly->lanes[rule->kinds].watermark_ms;
}
/* Most keys fill one to four words: no call for those. The words overlap. */
static inline uint64_t group_differ_at(const char *a, const char *b, uint32_t at)
{
    uint64_t x, y;

    memcpy(&x, a + at, sizeof x);
    memcpy(&y, b + at, sizeof y);
    return x ^ y;
}
static inline bool group_is_same(const char *a, const char *b, uint32_t size)
{
    uint64_t differing;

    if (size < 8 || size > KEY_INLINE_BYTES)
        return memcmp(a, b, size) == 0;
    differing = group_differ_at(a, b, 0) | group_differ_at(a, b, size - 8);
    if (size > 16)
        differing |= group_differ_at(a, b, 8) | group_differ_at(a, b, size - 16);
    return differing == 0;
}

static inline bool group_has_key(const struct group *group, const struct rule *rule,
                                 struct view key)
{
    return group->rule == rule->index && group->key_size == key.size &&
           group_is_same(group_key(group).data, key.data, key.size);
}
/* Finds or makes, by looking for it. */
struct group *group_take_unguessed(struct anomaly *anomaly, const struct rule *rule, uint32_t hash,
                                   struct view key);
/* The same. guess: one that it may be, or may have been until it was removed; or NULL. */
static inline struct group *group_take(struct anomaly *anomaly, const struct rule *rule,
                                       uint32_t hash, struct view key, struct group *guess)
{
    if (guess == NULL || !group_has_key(guess, rule, key))
        return group_take_unguessed(anomaly, rule, hash, key);
    guess->is_active = true;
    return guess;
}
/* Adds a new one without asking whether it is there; at the end of its rule's queue. */
struct group *group_add(struct anomaly *anomaly, const struct rule *rule, uint32_t hash,
                        struct view key);
/* Of the points that it has; INT64_MIN: none. */
int64_t group_newest(const struct group *group);
bool group_find(const struct anomaly *anomaly, const struct rule *rule, uint32_t hash,
                struct view key, uint32_t *reference);
/* Of a key: part by part from 0, then of the rule. The rule goes in by its definition, not by
 * number: replacing rules then moves no group. */
static inline uint64_t group_hash_part(uint64_t hash, struct view part)
{
    return hash_place(part, hash);
}
static inline uint32_t group_hash_of(const struct rule *rule, uint64_t hash)
{
    return (uint32_t)(hash ^ rule->digest);
}
uint32_t group_hash(const struct rule *rule, struct view key);
/* Closes its episodes (published when outbox is not NULL) and forgets it. It must be the
 * first of its queue. */
void group_remove_first(struct anomaly *anomaly, uint32_t rule, struct outbox *outbox);
/* Forgets up to two groups of the rule in which nothing can happen any more. */
void group_age(struct anomaly *anomaly, const struct rule *rule);
/* Evicts until the budget holds; `kept` stays. */
void group_enforce_budget(struct anomaly *anomaly, const struct group *kept, struct outbox *outbox);
size_t group_bytes(const struct anomaly *anomaly);

/* episode.c */
void episode_apply(struct anomaly *anomaly, struct group *group, const struct rule *rule,
                   const struct sighting *sighting, const struct point_list *satisfied,
                   struct outbox *outbox);
/* An alert of one event, published once. */
void episode_publish_event(struct anomaly *anomaly, const struct rule *rule, struct view key,
                           const struct event *event, struct outbox *outbox);
void episode_close_due(struct anomaly *anomaly, struct lane *lane, struct outbox *outbox);
/* Publishes as closed, if that has not been done; outbox may be NULL. */
void episode_close_all(struct anomaly *anomaly, struct group *group, struct outbox *outbox);
void episode_close_silent(struct anomaly *anomaly, const struct rule *rule, struct outbox *outbox);
/* Hangs a loaded episode into its lane. */
void episode_schedule(struct anomaly *anomaly, const struct rule *rule, uint32_t reference);
struct episode *episode_at(const struct anomaly *anomaly, uint32_t reference);
#endif
