#ifndef SUPPORT_EVENT_MARK_H
#define SUPPORT_EVENT_MARK_H
/* event_mark.h - `present` of an event that was filled by hand, for tests and benchmarks. */
#include "event/event.h"

/* A text is there when it is not absent, anything else when it is required. */
static inline void event_mark(struct event *event)
{
    const struct shape *shape = event_shape(event->kind);

    event->present = 0;
    for (uint32_t i = 0; i < shape->field_count; i++) {
        const struct field *field = &shape->fields[i];
        const char *at = (const char *)event + field->offset;
        if (field->type == FIELD_TEXT ? !view_is_absent(*(const struct view *)(const void *)at)
                                      : (field->flags & FIELD_REQUIRED) != 0)
            shape_set_present(shape, event, i);
    }
}
#endif
