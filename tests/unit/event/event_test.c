/* The vocabulary: shapes are sound, copies are deep, topics find each other. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "event/event.h"
#include "event/outbox.h"
#include "event/topic.h"

static size_t field_bytes(const struct field *field)
{
    switch (field->type) {
    case FIELD_TEXT:
        return sizeof(struct view);
    case FIELD_INT:
    case FIELD_DOUBLE:
    case FIELD_TIME:
    case FIELD_CHOICE:
        return sizeof(int64_t);
    case FIELD_BOOL:
        return sizeof(bool);
    case FIELD_TEXTS:
        return sizeof(struct view_list);
    case FIELD_MAP:
        return sizeof(struct pair_list);
    case FIELD_RECORD:
        return field->shape->bytes;
    case FIELD_RECORDS:
        return sizeof(struct record_list);
    }
    return 0;
}

static void check_shape(const struct shape *shape)
{
    assert_true(shape->field_count > 0 && shape->field_count <= 64);
    for (uint32_t i = 0; i < shape->field_count; i++) {
        const struct field *field = &shape->fields[i];
        uint32_t found;

        assert_true(field->offset + field_bytes(field) <= shape->bytes);
        assert_ptr_equal(shape_find(shape, view_of(field->name), &found), field);
        assert_int_equal(found, i); /* no name stands twice */
        assert_int_equal(field->type == FIELD_CHOICE, field->choices != NULL);
        if (field->type == FIELD_RECORD || field->type == FIELD_RECORDS)
            check_shape(field->shape);
        for (uint32_t j = 0; j < i; j++) {
            const struct field *other = &shape->fields[j];

            assert_true(other->offset + field_bytes(other) <= field->offset ||
                        field->offset + field_bytes(field) <= other->offset);
        }
    }
}

static void test_shapes_are_sound(void **state)
{
    (void)state;
    for (int kind = 0; kind < EVENT_KIND_COUNT; kind++)
        check_shape(event_shape((enum event_kind)kind));
    for (int kind = 0; kind < RESULT_KIND_COUNT; kind++)
        check_shape(result_shape((enum result_kind)kind));
}

static void test_find_unknown_field(void **state)
{
    (void)state;
    assert_null(shape_find(event_shape(EVENT_ORDER), VIEW_LITERAL("amoun"), NULL));
    assert_null(shape_find(event_shape(EVENT_ORDER), VIEW_LITERAL("amounts"), NULL));
}

static void test_outbox_keeps_deep_copies(void **state)
{
    char id[] = "a-1", name[] = "ip", value[] = "10.0.0.1", evidence[] = "e-1";
    struct pair pairs[] = {{view_of(name), view_of(value)}};
    struct view texts[] = {view_of(evidence)};
    struct result result = {.kind = RESULT_ALERT,
                            .id = view_of(id),
                            .tenant_id = VIEW_LITERAL("t"),
                            .alert = {.type = VIEW_LITERAL("failed-auth"),
                                      .group = {pairs, 1},
                                      .evidence = {texts, 1},
                                      .count = 7}};
    static const char *const numbers[] = {"count", NULL};
    struct outbox *outbox = outbox_create();
    const struct shape *shape = result_shape(RESULT_ALERT);
    const struct result *kept;
    uint32_t count_index, value_index;

    (void)state;
    result_mark(&result, numbers);
    outbox_add(outbox, &result);
    memset(id, 'x', sizeof(id));
    memset(name, 'x', sizeof(name));
    memset(value, 'x', sizeof(value));
    memset(evidence, 'x', sizeof(evidence));

    assert_int_equal(outbox_count(outbox), 1);
    kept = outbox_at(outbox, 0);
    assert_true(view_is_text(kept->id, "a-1"));
    assert_true(view_is_text(kept->alert.group.at[0].name, "ip"));
    assert_true(view_is_text(kept->alert.group.at[0].value, "10.0.0.1"));
    assert_true(view_is_text(kept->alert.evidence.at[0], "e-1"));
    assert_non_null(shape_find(shape, VIEW_LITERAL("count"), &count_index));
    assert_non_null(shape_find(shape, VIEW_LITERAL("value"), &value_index));
    assert_true(shape_has(shape, kept, count_index));
    assert_false(shape_has(shape, kept, value_index));

    outbox_mute(outbox, true);
    outbox_add(outbox, &result);
    assert_int_equal(outbox_count(outbox), 1);
    outbox_reset(outbox);
    assert_int_equal(outbox_count(outbox), 0);
    outbox_destroy(outbox);
}

static void test_equality_sees_every_field(void **state)
{
    struct order_item items[] = {{.present = 7, .product_id = VIEW_LITERAL("p"), .quantity = 2}};
    struct event event = {.kind = EVENT_ORDER,
                          .id = VIEW_LITERAL("e"),
                          .tenant_id = VIEW_LITERAL("t"),
                          .order = {.amount = 3, .items = {items, 1}}};
    struct arena *arena = arena_create(1024);
    const struct shape *shape = event_shape(EVENT_ORDER);
    struct event copy;

    (void)state;
    shape_copy(shape, &event, &copy, arena);
    assert_true(shape_is_equal(shape, &event, &copy));
    copy.order.amount = 4;
    assert_false(shape_is_equal(shape, &event, &copy));
    copy.order.amount = 3;
    items[0].quantity = 5;
    assert_false(shape_is_equal(shape, &event, &copy));
    arena_destroy(arena);
}

static void test_topics(void **state)
{
    (void)state;
    for (int topic = 0; topic < TOPIC_COUNT; topic++) {
        const struct topic_info *info = topic_info((enum topic)topic);

        assert_int_equal(topic_find(view_of(info->name)), topic);
        if (info->event_kind >= 0)
            assert_int_equal(topic_of_event((enum event_kind)info->event_kind), topic);
        if (info->result_kind >= 0)
            assert_int_equal(topic_of_result((enum result_kind)info->result_kind), topic);
        assert_true(topic >= TOPIC_INPUT_COUNT || info->layout == LAYOUT_INPUT);
    }
    assert_int_equal(topic_find(VIEW_LITERAL("order")), TOPIC_COUNT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes_are_sound),
        cmocka_unit_test(test_find_unknown_field),
        cmocka_unit_test(test_outbox_keeps_deep_copies),
        cmocka_unit_test(test_equality_sees_every_field),
        cmocka_unit_test(test_topics),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
