#include "anomaly/selection.h"

#include <arpa/inet.h>
#include <assert.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

enum test_operation {
    TEST_EQUALS,
    TEST_CONTAINS,
    TEST_STARTS,
    TEST_ENDS,
    TEST_CIDR,
    TEST_GREATER,
    TEST_GREATER_OR_EQUAL,
    TEST_LESS,
    TEST_LESS_OR_EQUAL,
    TEST_EXISTS,
};

enum { ADDRESS_BYTES = 16, ADDRESS_TEXT_MAX = 64, NAMES_MAX = 128 };

struct network {
    uint8_t address[ADDRESS_BYTES];
    int family;
    uint32_t bits;
};

struct test_value {
    struct view text;
    double number;
    struct network network;
};

struct test {
    struct field_source source;
    enum test_operation operation;
    bool is_negated;
    bool needs_all;
    const struct test_value *values;
    uint32_t value_count;
};

struct modifier {
    const char *name;
    int operation; /* enum test_operation, or -1: changes another one */
};

static const struct modifier modifiers[] = {
    {"contains", TEST_CONTAINS},
    {"startswith", TEST_STARTS},
    {"endswith", TEST_ENDS},
    {"cidr", TEST_CIDR},
    {"gt", TEST_GREATER},
    {"gte", TEST_GREATER_OR_EQUAL},
    {"lt", TEST_LESS},
    {"lte", TEST_LESS_OR_EQUAL},
    {"exists", TEST_EXISTS},
    {"not", -1},
    {"all", -1},
};

/* A field as the user wrote it. */
struct wording {
    const struct tree *at;
    struct view name;
    enum test_operation operation;
    bool is_negated;
    bool needs_all;
    bool has_operation;
};

const char *nearest_hint(struct view name, const char *const *candidates, struct arena *arena)
{
    const char *nearest = NULL;
    uint32_t least = name.size / 3 + 1;

    for (; *candidates != NULL; candidates++) {
        uint32_t distance = text_distance(name, view_of(*candidates));
        if (distance <= least) {
            least = distance;
            nearest = *candidates;
        }
    }
    return nearest == NULL ? "" : arena_print(arena, "; did you mean '%s'?", nearest);
}

struct field_source field_find(enum event_kind kind, struct view name, struct arena *arena)
{
    const struct shape *shape = event_shape(kind);
    struct field_source source = {.place = PLACE_EVENT};
    const char *dot = memchr(name.data, '.', name.size);
    uint32_t index = 0;

    if (view_is_text(name, "local_hour"))
        return (struct field_source){.place = PLACE_LOCAL_HOUR, .type = FIELD_INT};
    const struct field *field = shape_find(shape, name, &index);
    if (field == NULL && dot != NULL) {
        uint32_t map_size = (uint32_t)(dot - name.data);
        field = shape_find(shape, (struct view){name.data, map_size}, &index);
        if (field != NULL && field->type != FIELD_MAP)
            field = NULL;
        source.place = PLACE_MAP_KEY;
        source.key = arena_copy(arena, (struct view){dot + 1, name.size - map_size - 1});
    }
    if (field == NULL)
        return (struct field_source){.place = PLACE_NOWHERE};
    source.type = source.place == PLACE_MAP_KEY ? FIELD_TEXT : field->type;
    source.index = index;
    source.offset = field->offset;
    source.choices = field->choices;
    if (kind == EVENT_ORDER && view_is_text(name, "amount"))
        source.place = PLACE_AMOUNT;
    return source;
}

/* Names of the fields of the kinds in the mask, each once; ends in NULL. */
static void list_fields(uint32_t kinds, const char *names[NAMES_MAX])
{
    uint32_t count = 0;

    for (uint32_t kind = 0; kind < EVENT_KIND_COUNT; kind++) {
        const struct shape *shape = event_shape((enum event_kind)kind);
        for (uint32_t index = 0; (kinds >> kind & 1) != 0 && index < shape->field_count; index++) {
            bool is_known = false;
            for (uint32_t known = 0; known < count; known++)
                is_known = is_known || strcmp(names[known], shape->fields[index].name) == 0;
            if (!is_known && count < NAMES_MAX - 2)
                names[count++] = shape->fields[index].name;
        }
    }
    names[count++] = "local_hour";
    names[count] = NULL;
}

bool field_check(const struct tree *at, struct view name, uint32_t kinds, bool all,
                 struct complaints *complaints)
{
    const char *names[NAMES_MAX];
    char list[600] = "";
    size_t used = 0;
    const char *missing = NULL;
    bool is_found = false;

    for (uint32_t kind = 0; kind < EVENT_KIND_COUNT; kind++) {
        if ((kinds >> kind & 1) == 0)
            continue;
        if (field_find((enum event_kind)kind, name, complaints->arena).place == PLACE_NOWHERE)
            missing = event_kind_name((enum event_kind)kind);
        else
            is_found = true;
    }
    if (missing == NULL || (is_found && !all))
        return true;
    list_fields(kinds, names);
    for (uint32_t index = 0; names[index] != NULL && used < sizeof list; index++)
        used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", index > 0 ? ", " : "",
                                 names[index]);
    complain(complaints, at, "%.*s: %s has no such field; expected one of %s%s", VIEW_PRINT(name),
             missing, list, nearest_hint(name, names, complaints->arena));
    return false;
}

bool field_is_there(const struct field_source *source, const struct event *event)
{
    switch (source->place) {
    case PLACE_NOWHERE:
        return false;
    case PLACE_LOCAL_HOUR:
        return true;
    case PLACE_EVENT:
    case PLACE_AMOUNT:
    case PLACE_MAP_KEY:
        return event_has(event, source->index);
    }
    return false;
}

static const void *place_of(const struct field_source *source, const struct event *event)
{
    return (const char *)event + source->offset;
}

static struct view map_value(const struct field_source *source, const struct event *event)
{
    const struct pair_list *map = place_of(source, event);

    for (uint32_t index = 0; index < map->count; index++)
        if (view_is_equal(map->at[index].name, source->key))
            return map->at[index].value;
    return (struct view){NULL, 0};
}

double field_number(const struct field_source *source, const struct event *event,
                    const struct anomaly_context *context)
{
    if (source->place == PLACE_AMOUNT)
        return context->reference_amount;
    if (source->place == PLACE_LOCAL_HOUR)
        return context->local_hour;
    if (source->type == FIELD_DOUBLE)
        return *(const double *)place_of(source, event);
    if (source->type == FIELD_BOOL)
        return *(const bool *)place_of(source, event) ? 1 : 0;
    return (double)*(const int64_t *)place_of(source, event);
}

static struct view print_room(char *room, const char *format, double number)
{
    int length = snprintf(room, FIELD_ROOM, format, number);

    assert(length > 0 && length < FIELD_ROOM);
    return (struct view){room, (uint32_t)length};
}

struct view field_text(const struct field_source *source, const struct event *event,
                       const struct anomaly_context *context, char *room)
{
    if (field_is_plain_text(source))
        return field_plain_text(source, event);
    if (!field_is_there(source, event))
        return (struct view){NULL, 0};
    if (source->place == PLACE_MAP_KEY)
        return map_value(source, event);
    switch (source->type) {
    case FIELD_DOUBLE:
        return print_room(room, "%.17g", field_number(source, event, context));
    case FIELD_BOOL:
        return view_of(*(const bool *)place_of(source, event) ? "true" : "false");
    case FIELD_CHOICE:
        return view_of(source->choices[*(const int64_t *)place_of(source, event)]);
    case FIELD_INT:
    case FIELD_TIME:
        if (source->place == PLACE_LOCAL_HOUR)
            return print_room(room, "%.0f", context->local_hour);
        snprintf(room, FIELD_ROOM, "%" PRId64, *(const int64_t *)place_of(source, event));
        return view_of(room);
    case FIELD_TEXT:
    case FIELD_TEXTS:
    case FIELD_MAP:
    case FIELD_RECORD:
    case FIELD_RECORDS:
        break;
    }
    return (struct view){NULL, 0};
}

static bool read_address(struct view text, int *family, uint8_t address[ADDRESS_BYTES])
{
    char copy[ADDRESS_TEXT_MAX];

    if (view_is_absent(text) || text.size >= sizeof copy)
        return false;
    memcpy(copy, text.data, text.size);
    copy[text.size] = '\0';
    *family = memchr(copy, ':', text.size) != NULL ? AF_INET6 : AF_INET;
    return inet_pton(*family, copy, address) == 1;
}

static bool is_in_network(struct view text, const struct network *network)
{
    uint8_t address[ADDRESS_BYTES];
    uint32_t bytes = network->bits / 8, rest = network->bits % 8;
    int family;

    if (!read_address(text, &family, address) || family != network->family)
        return false;
    if (memcmp(address, network->address, bytes) != 0)
        return false;
    return rest == 0 || (address[bytes] ^ network->address[bytes]) >> (8 - rest) == 0;
}

static bool text_holds(const struct test *test, const struct test_value *value, struct view text)
{
    switch (test->operation) {
    case TEST_EQUALS:
        return view_is_equal(text, value->text);
    case TEST_CONTAINS:
        return view_contains(text, value->text);
    case TEST_STARTS:
        return view_has_prefix(text, value->text);
    case TEST_ENDS:
        return view_has_suffix(text, value->text);
    case TEST_CIDR:
        return is_in_network(text, &value->network);
    case TEST_GREATER:
    case TEST_GREATER_OR_EQUAL:
    case TEST_LESS:
    case TEST_LESS_OR_EQUAL:
    case TEST_EXISTS:
        break;
    }
    return false;
}

static bool number_holds(const struct test *test, double limit, double number)
{
    switch (test->operation) {
    case TEST_EQUALS:
        return number == limit;
    case TEST_GREATER:
        return number > limit;
    case TEST_GREATER_OR_EQUAL:
        return number >= limit;
    case TEST_LESS:
        return number < limit;
    case TEST_LESS_OR_EQUAL:
        return number <= limit;
    case TEST_CONTAINS:
    case TEST_STARTS:
    case TEST_ENDS:
    case TEST_CIDR:
    case TEST_EXISTS:
        break;
    }
    return false;
}

static bool value_holds(const struct test *test, const struct test_value *value,
                        const struct event *event, const struct anomaly_context *context)
{
    const struct field_source *source = &test->source;

    if (source->place == PLACE_MAP_KEY)
        return text_holds(test, value, map_value(source, event));
    if (source->type == FIELD_TEXT)
        return text_holds(test, value, *(const struct view *)place_of(source, event));
    if (source->type != FIELD_TEXTS)
        return number_holds(test, value->number, field_number(source, event, context));
    const struct view_list *list = place_of(source, event);
    for (uint32_t index = 0; index < list->count; index++)
        if (text_holds(test, value, list->at[index]))
            return true;
    return false;
}

static bool test_holds(const struct test *test, const struct event *event,
                       const struct anomaly_context *context)
{
    bool is_there = field_is_there(&test->source, event);

    if (is_there && test->source.place == PLACE_MAP_KEY)
        is_there = !view_is_absent(map_value(&test->source, event));
    if (test->operation == TEST_EXISTS)
        return is_there != test->is_negated;
    if (!is_there)
        return test->is_negated;
    bool holds = test->needs_all;
    for (uint32_t index = 0; index < test->value_count; index++) {
        holds = value_holds(test, &test->values[index], event, context);
        if (holds != test->needs_all)
            break;
    }
    return holds != test->is_negated;
}

static bool any_holds(const struct test_list *any, uint32_t count, const struct event *event,
                      const struct anomaly_context *context)
{
    for (uint32_t index = 0; index < count; index++) {
        uint32_t held = 0;
        while (held < any[index].count && test_holds(&any[index].tests[held], event, context))
            held++;
        if (held == any[index].count)
            return true;
    }
    return false;
}

bool selection_decide(const struct selection *selection, const struct event *event,
                      const struct anomaly_context *context)
{
    if (selection->any_count > 0 &&
        !any_holds(selection->any, selection->any_count, event, context))
        return false;
    return !any_holds(selection->except, selection->except_count, event, context);
}

bool selection_is_same(const struct selection *a, const struct selection *b)
{
    return a->gate == b->gate && a->gate != GATE_TESTS && a->source.place == b->source.place &&
           a->source.index == b->source.index && a->bits == b->bits && a->least == b->least &&
           a->most == b->most;
}

/* "field|modifier|modifier" */
static bool read_wording(const struct tree *at, struct complaints *complaints,
                         struct wording *wording)
{
    const char *end = at->name.data + at->name.size;
    const char *bar = memchr(at->name.data, '|', at->name.size);

    *wording = (struct wording){.at = at, .name = at->name};
    if (bar != NULL)
        wording->name.size = (uint32_t)(bar - at->name.data);
    while (bar != NULL) {
        const char *start = bar + 1;
        bar = memchr(start, '|', (size_t)(end - start));
        struct view word = {start, (uint32_t)((bar != NULL ? bar : end) - start)};
        uint32_t index = 0;
        while (index < sizeof modifiers / sizeof modifiers[0] &&
               !view_is_text(word, modifiers[index].name))
            index++;
        if (index == sizeof modifiers / sizeof modifiers[0]) {
            complain(complaints, at,
                     "%.*s: expected a modifier of contains, startswith, endswith, cidr, gt, "
                     "gte, lt, lte, exists, not, all; not '%.*s'",
                     VIEW_PRINT(at->name), VIEW_PRINT(word));
            return false;
        }
        if (view_is_text(word, "not")) {
            wording->is_negated = true;
        } else if (view_is_text(word, "all")) {
            wording->needs_all = true;
        } else if (wording->has_operation) {
            complain(complaints, at, "%.*s: expected one comparison, not two",
                     VIEW_PRINT(at->name));
            return false;
        } else {
            wording->operation = (enum test_operation)modifiers[index].operation;
            wording->has_operation = true;
        }
    }
    return true;
}

static bool read_network(const struct tree *at, struct view text, struct network *network,
                         struct complaints *complaints)
{
    const char *slash = memchr(text.data, '/', text.size);
    struct view address = text;
    int64_t bits = -1;
    int64_t bits_max;

    if (slash != NULL) {
        address.size = (uint32_t)(slash - text.data);
        if (!text_int((struct view){slash + 1, text.size - address.size - 1}, &bits))
            bits = -2;
    }
    if (bits != -2 && read_address(address, &network->family, network->address)) {
        bits_max = network->family == AF_INET ? 32 : 128;
        if (slash == NULL)
            bits = bits_max;
        network->bits = (uint32_t)bits;
        if (bits >= 0 && bits <= bits_max)
            return true;
    }
    complain(complaints, at,
             "%.*s: expected a network such as 10.0.0.0/8 or 2001:db8::/32, "
             "not '%.*s'",
             VIEW_PRINT(at->name), VIEW_PRINT(text));
    return false;
}

static bool is_order(enum test_operation operation)
{
    return operation >= TEST_GREATER && operation <= TEST_LESS_OR_EQUAL;
}

static bool is_text(const struct field_source *source)
{
    return source->type == FIELD_TEXT || source->type == FIELD_TEXTS;
}

static bool read_choice(const struct wording *wording, const struct field_source *source,
                        struct view text, double *number, struct complaints *complaints)
{
    char list[200] = "";
    size_t used = 0;

    for (uint32_t index = 0; source->choices[index] != NULL; index++) {
        if (view_is_text(text, source->choices[index])) {
            *number = index;
            return true;
        }
        if (used < sizeof list)
            used += (size_t)snprintf(list + used, sizeof list - used, "%s%s", index > 0 ? ", " : "",
                                     source->choices[index]);
    }
    complain(complaints, wording->at, "%.*s: expected one of %s, not '%.*s'%s",
             VIEW_PRINT(wording->name), list, VIEW_PRINT(text),
             nearest_hint(text, source->choices, complaints->arena));
    return false;
}

static bool read_value(const struct wording *wording, const struct field_source *source,
                       const struct tree *at, struct arena *arena, struct test_value *value,
                       struct complaints *complaints)
{
    bool flag;

    if (at->kind != TREE_SCALAR) {
        complain(complaints, at, "%.*s: expected a value or a list of values",
                 VIEW_PRINT(wording->at->name));
        return false;
    }
    value->text = arena_copy(arena, at->value);
    if (wording->operation == TEST_CIDR)
        return read_network(wording->at, at->value, &value->network, complaints);
    if (is_text(source))
        return true;
    if (source->type == FIELD_CHOICE)
        return read_choice(wording, source, at->value, &value->number, complaints);
    if (source->type == FIELD_BOOL) {
        if (text_bool(at->value, &flag)) {
            value->number = flag ? 1 : 0;
            return true;
        }
        complain(complaints, at, "%.*s: expected true or false, not '%.*s'",
                 VIEW_PRINT(wording->name), VIEW_PRINT(at->value));
        return false;
    }
    if (text_double(at->value, &value->number))
        return true;
    complain(complaints, at, "%.*s: expected a number, not '%.*s'", VIEW_PRINT(wording->name),
             VIEW_PRINT(at->value));
    return false;
}

/* The comparison must make sense for the type of the field. */
static bool check_operation(const struct wording *wording, const struct field_source *source,
                            struct complaints *complaints)
{
    const char *expected = NULL;

    if (wording->operation == TEST_EXISTS)
        return true;
    if (source->type == FIELD_MAP || source->type == FIELD_RECORD || source->type == FIELD_RECORDS)
        expected = "only |exists for a field that is not a single value";
    else if (is_text(source) && is_order(wording->operation))
        expected = "a number field for gt, gte, lt, lte";
    else if (!is_text(source) && !is_order(wording->operation) && wording->operation != TEST_EQUALS)
        expected = "a text field for contains, startswith, endswith, cidr";
    else if ((source->type == FIELD_CHOICE || source->type == FIELD_BOOL) &&
             is_order(wording->operation))
        expected = "a number field for gt, gte, lt, lte";
    if (expected == NULL)
        return true;
    complain(complaints, wording->at, "%.*s: expected %s", VIEW_PRINT(wording->at->name), expected);
    return false;
}

static bool compile_exists(const struct wording *wording, struct test *test,
                           struct complaints *complaints)
{
    bool wanted;

    if (!tree_bool(wording->at, &wanted, complaints))
        return false;
    test->is_negated = wanted == wording->is_negated;
    return true;
}

static bool compile_test(const struct wording *wording, enum event_kind kind, struct arena *arena,
                         struct test *test, struct complaints *complaints)
{
    const struct tree *at = wording->at;
    const struct tree *first = at->kind == TREE_LIST ? at->child : at;

    *test = (struct test){.source = field_find(kind, wording->name, arena),
                          .operation = wording->operation,
                          .is_negated = wording->is_negated,
                          .needs_all = wording->needs_all};
    if (at->kind == TREE_NULL && !wording->has_operation) {
        test->operation = TEST_EXISTS;
        test->is_negated = !wording->is_negated;
        return true;
    }
    if (wording->operation == TEST_EXISTS)
        return compile_exists(wording, test, complaints);
    if (test->source.place == PLACE_NOWHERE)
        return true;
    if (!check_operation(wording, &test->source, complaints))
        return false;
    if (at->kind == TREE_LIST && (is_order(wording->operation) || first == NULL)) {
        complain(complaints, at, "%.*s: expected %s", VIEW_PRINT(at->name),
                 first == NULL ? "at least one value" : "one number, not a list");
        return false;
    }
    uint32_t count = at->kind == TREE_LIST ? tree_count(at) : 1;
    struct test_value *values = arena_alloc(arena, count * sizeof *values);
    test->values = values;
    for (; test->value_count < count; test->value_count++, first = first->next)
        if (!read_value(wording, &test->source, first, arena, &values[test->value_count],
                        complaints))
            return false;
    return true;
}

/* One map: all of its tests, for every kind. */
static bool compile_map(const struct tree *map, const char *what, uint32_t kinds,
                        struct arena *arena, struct complaints *complaints,
                        struct test_list lists[EVENT_KIND_COUNT])
{
    bool is_good = true;

    if (map->kind != TREE_MAP) {
        complain(complaints, map, "%s: expected a map of fields, or a list of such maps", what);
        return false;
    }
    uint32_t count = tree_count(map);
    for (uint32_t kind = 0; kind < EVENT_KIND_COUNT; kind++) {
        struct test *tests = arena_alloc(arena, (count + 1) * sizeof *tests);
        uint32_t index = 0;
        if ((kinds >> kind & 1) == 0)
            continue;
        for (const struct tree *at = map->child; at != NULL; at = at->next, index++) {
            struct wording wording;
            bool is_first = (kinds & ((1u << kind) - 1)) == 0;
            /* What does not depend on the kind is complained of once. */
            if ((!is_first && !is_good) || !read_wording(at, complaints, &wording) ||
                (is_first && !field_check(at, wording.name, kinds, false, complaints)) ||
                !compile_test(&wording, (enum event_kind)kind, arena, &tests[index], complaints))
                is_good = false;
        }
        lists[kind] = (struct test_list){tests, count};
    }
    return is_good;
}

static bool compile_maps(const struct tree *tree, const char *what, uint32_t kinds,
                         struct arena *arena, struct complaints *complaints,
                         struct test_list *any[EVENT_KIND_COUNT], uint32_t *count)
{
    const struct tree *map = tree->kind == TREE_LIST ? tree->child : tree;
    bool is_good = true;

    *count = tree->kind == TREE_LIST ? tree_count(tree) : 1;
    for (uint32_t kind = 0; kind < EVENT_KIND_COUNT; kind++)
        any[kind] = arena_alloc(arena, (*count + 1) * sizeof **any);
    for (uint32_t index = 0; index < *count; index++, map = map->next) {
        struct test_list lists[EVENT_KIND_COUNT] = {0};
        if (!compile_map(map, what, kinds, arena, complaints, lists))
            is_good = false;
        for (uint32_t kind = 0; kind < EVENT_KIND_COUNT; kind++)
            any[kind][index] = lists[kind];
    }
    return is_good;
}

/* The one field that all tests look at; NULL when there are several, or none. */
static const struct test *find_only_field(const struct selection *selection)
{
    const struct test *only = NULL;

    for (uint32_t at = 0; at < selection->any_count + selection->except_count; at++) {
        const struct test_list *list = at < selection->any_count
                                           ? &selection->any[at]
                                           : &selection->except[at - selection->any_count];
        for (uint32_t index = 0; index < list->count; index++) {
            const struct test *test = &list->tests[index];
            if (only == NULL)
                only = test;
            if (test->source.place != only->source.place ||
                test->source.index != only->source.index ||
                test->source.offset != only->source.offset)
                return NULL;
        }
    }
    return only;
}

/* Asks the tests once for every value that the field can have. */
static void fill_bits(struct selection *selection)
{
    const struct field_source *source = &selection->source;
    uint32_t count = 0;

    for (int32_t hour = 0; selection->gate == GATE_HOUR && hour < 24; hour++) {
        struct anomaly_context context = {.local_hour = hour};
        struct event event = {0};
        if (selection_decide(selection, &event, &context))
            selection->bits |= UINT64_C(1) << hour;
    }
    while (selection->gate == GATE_CHOICE && source->choices[count] != NULL)
        count++;
    if (count >= GATE_ABSENT)
        selection->gate = GATE_TESTS;
    for (uint32_t choice = 0; selection->gate == GATE_CHOICE && choice <= count; choice++) {
        struct anomaly_context context = {0};
        struct event event = {0};
        uint32_t bit = choice < count ? choice : GATE_ABSENT;
        *(int64_t *)(void *)((char *)&event + source->offset) = choice;
        event.present = choice < count ? UINT64_C(1) << source->index : 0;
        if (selection_decide(selection, &event, &context))
            selection->bits |= UINT64_C(1) << bit;
    }
}

/* Whether one map of plain limits on a number is all there is; then what they leave. */
static bool find_range(struct selection *selection)
{
    const struct test_list *list = selection->any;

    if (selection->any_count != 1 || selection->except_count != 0)
        return false;
    selection->least = -INFINITY;
    selection->most = INFINITY;
    for (uint32_t index = 0; index < list->count; index++) {
        const struct test *test = &list->tests[index];
        if (test->is_negated || !is_order(test->operation) || !isfinite(test->values[0].number))
            return false;
        double limit = test->values[0].number;
        if (test->operation == TEST_GREATER)
            limit = nextafter(limit, INFINITY);
        else if (test->operation == TEST_LESS)
            limit = nextafter(limit, -INFINITY);
        if (test->operation == TEST_GREATER || test->operation == TEST_GREATER_OR_EQUAL)
            selection->least = fmax(selection->least, limit);
        else
            selection->most = fmin(selection->most, limit);
    }
    return true;
}

static void choose_gate(struct selection *selection)
{
    const struct test *only = find_only_field(selection);

    selection->gate =
        selection->any_count == 0 && selection->except_count == 0 ? GATE_OPEN : GATE_TESTS;
    if (only == NULL)
        return;
    selection->source = only->source;
    if (only->source.place == PLACE_EVENT && only->source.type == FIELD_CHOICE)
        selection->gate = GATE_CHOICE;
    else if (only->source.place == PLACE_LOCAL_HOUR)
        selection->gate = GATE_HOUR;
    else if ((only->source.place == PLACE_AMOUNT ||
              (only->source.place == PLACE_EVENT && only->source.type == FIELD_DOUBLE)) &&
             find_range(selection))
        selection->gate = GATE_RANGE;
    fill_bits(selection);
}

bool selection_compile(const struct tree *selection, const struct tree *filter, uint32_t kinds,
                       struct arena *arena, struct complaints *complaints,
                       struct selection compiled[EVENT_KIND_COUNT])
{
    struct test_list *any[EVENT_KIND_COUNT], *except[EVENT_KIND_COUNT];
    uint32_t any_count = 0, except_count = 0;
    bool is_good = true;

    if (selection != NULL && selection->kind != TREE_NULL)
        is_good = compile_maps(selection, "selection", kinds, arena, complaints, any, &any_count);
    if (filter != NULL && filter->kind != TREE_NULL)
        is_good = compile_maps(filter, "filter", kinds, arena, complaints, except, &except_count) &&
                  is_good;
    for (uint32_t kind = 0; kind < EVENT_KIND_COUNT; kind++) {
        compiled[kind] = (struct selection){0};
        if (any_count > 0) {
            compiled[kind].any = any[kind];
            compiled[kind].any_count = any_count;
        }
        if (except_count > 0) {
            compiled[kind].except = except[kind];
            compiled[kind].except_count = except_count;
        }
        if (is_good && (kinds >> kind & 1) != 0)
            choose_gate(&compiled[kind]);
    }
    return is_good;
}
