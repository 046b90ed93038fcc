#ifndef ANOMALY_SELECTION_H
#define ANOMALY_SELECTION_H
/*
 * selection.h - which events a rule means, compiled from the `selection` and `filter` of
 * a rules document.
 *
 *   selection: {field: value, field|modifier: value}    all of them
 *   selection: [{...}, {...}]                           any of these maps
 *   filter: the same; what it matches is left out
 *
 * Modifiers: contains, startswith, endswith, cidr, gt, gte, lt, lte, exists, not, all.
 * A list means any of its values (with `all`: every one). A field that the event does not
 * have, or that is null, matches nothing; so with `not` it matches. Texts are compared
 * byte by byte. A field of a map is named map.key. A value of null means: is absent.
 *
 * Memory  in the arena it was compiled in, never changed afterwards
 */
#include <stdbool.h>
#include <stdint.h>

#include "anomaly/anomaly.h"
#include "base/arena.h"
#include "base/tree.h"
#include "event/event.h"

/* Where the value of a name is found in events of one kind. */
enum field_place {
    PLACE_NOWHERE, /* this kind has no such field */
    PLACE_EVENT,
    PLACE_MAP_KEY,
    PLACE_AMOUNT, /* of an order, in the reference currency */
    PLACE_LOCAL_HOUR,
};

struct field_source {
    enum field_place place;
    enum field_type type;
    uint32_t index;
    size_t offset;
    struct view key; /* PLACE_MAP_KEY */
    const char *const *choices;
};

struct test;
struct test_list { /* all must hold */
    const struct test *tests;
    uint32_t count;
};
/* What most rules ask of an event is answered without walking through tests. */
enum gate {
    GATE_OPEN,   /* everything matches */
    GATE_TESTS,  /* the tests decide */
    GATE_CHOICE, /* one field with few values: a bit for each, filled by the tests */
    GATE_HOUR,   /* the same of local_hour */
    GATE_RANGE,  /* one number from `least` to `most` */
};
enum { GATE_ABSENT = 63 }; /* the bit of a field that is not there */

struct selection {
    enum gate gate;
    struct field_source source; /* what the gate looks at */
    uint64_t bits;
    double least, most;
    const struct test_list *any; /* count 0: everything matches */
    uint32_t any_count;
    const struct test_list *except;
    uint32_t except_count;
};

/* Finds `name` in that kind; PLACE_NOWHERE when there is none. */
struct field_source field_find(enum event_kind kind, struct view name, struct arena *arena);
/* Complains unless some kind of the mask (`kinds`, bit per enum event_kind; `all`: every
 * kind) has the field. */
bool field_check(const struct tree *at, struct view name, uint32_t kinds, bool all,
                 struct complaints *complaints);
bool field_is_there(const struct field_source *source, const struct event *event);
/* Of a number; must be there. */
double field_number(const struct field_source *source, const struct event *event,
                    const struct anomaly_context *context);
/* As a text: the value itself, or a number printed into `room` (at least FIELD_ROOM bytes).
 * Absent when it is not there. */
enum { FIELD_ROOM = 48 };
struct view field_text(const struct field_source *source, const struct event *event,
                       const struct anomaly_context *context, char *room);

/* Most are texts that lie in the event as they are: no call for those. */
static inline bool field_is_plain_text(const struct field_source *source)
{
    return source->place == PLACE_EVENT && source->type == FIELD_TEXT;
}
static inline struct view field_plain_text(const struct field_source *source,
                                           const struct event *event)
{
    return *(const struct view *)(const void *)((const char *)event + source->offset);
}

/* Fills one selection a kind of the mask. Either tree may be NULL. False: complained. */
bool selection_compile(const struct tree *selection, const struct tree *filter, uint32_t kinds,
                       struct arena *arena, struct complaints *complaints,
                       struct selection compiled[EVENT_KIND_COUNT]);

/* True only when both match the same events of a kind; false says nothing. */
bool selection_is_same(const struct selection *a, const struct selection *b);
/* By the tests. */
bool selection_decide(const struct selection *selection, const struct event *event,
                      const struct anomaly_context *context);
static inline bool selection_matches(const struct selection *selection, const struct event *event,
                                     const struct anomaly_context *context)
{
    const char *at = (const char *)event + selection->source.offset;
    double number;

    switch (selection->gate) {
    case GATE_OPEN:
        return true;
    case GATE_TESTS:
        break;
    case GATE_CHOICE:
        if (!event_has(event, selection->source.index))
            return selection->bits >> GATE_ABSENT & 1;
        return selection->bits >> (*(const int64_t *)(const void *)at & 63) & 1;
    case GATE_HOUR:
        return selection->bits >> (context->local_hour & 63) & 1;
    case GATE_RANGE:
        if (!event_has(event, selection->source.index))
            return false;
        number = selection->source.place == PLACE_AMOUNT ? context->reference_amount
                                                         : *(const double *)(const void *)at;
        return number >= selection->least && number <= selection->most;
    }
    return selection_decide(selection, event, context);
}

/* "; did you mean 'x'?", or "" when nothing is near. Candidates end in NULL. */
const char *nearest_hint(struct view name, const char *const *candidates, struct arena *arena);
#endif
