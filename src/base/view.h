#ifndef BASE_VIEW_H
#define BASE_VIEW_H
/*
 * view.h - a string that lives elsewhere: pointer and length, no NUL needed.
 *
 * data == NULL is "absent" (JSON null, Avro null); an empty string has data != NULL
 * and size 0. Borrowed: whoever keeps one copies it (arena_copy).
 */
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct view {
    const char *data;
    uint32_t size; /* bytes */
};

#define VIEW_LITERAL(text) ((struct view){(text), sizeof(text) - 1})
/* For printf: printf("%.*s", VIEW_PRINT(view)). */
#define VIEW_PRINT(view) (int)(view).size, (view).data != NULL ? (view).data : ""

static inline struct view view_of(const char *text)
{
    return (struct view){text, text != NULL ? (uint32_t)strlen(text) : 0};
}

static inline bool view_is_absent(struct view view)
{
    return view.data == NULL;
}

/* Two absent views are equal; an absent and an empty one are not. */
static inline bool view_is_equal(struct view a, struct view b)
{
    if (a.size != b.size)
        return false;
    if (a.data == NULL || b.data == NULL)
        return a.data == b.data;
    return memcmp(a.data, b.data, a.size) == 0;
}

static inline bool view_is_text(struct view view, const char *text)
{
    return view_is_equal(view, view_of(text));
}

/* Byte order, shorter first on a tie: < 0, 0 or > 0. Absent counts as empty. */
int view_compare(struct view a, struct view b);
bool view_has_prefix(struct view view, struct view prefix);
bool view_has_suffix(struct view view, struct view suffix);
bool view_contains(struct view view, struct view part);
/* Well-formed UTF-8 by RFC 3629: no surrogates, no overlong forms, at most U+10FFFF. */
bool view_is_utf8(struct view view);
/* Bytes of the well-formed UTF-8 character that `data` begins with; 0 when there is none. */
uint32_t view_rune_size(const char *data, size_t size);
/* Whether the character of that size shows nothing itself and changes how others show: control
 * characters, those of Latin-1 too, separators of lines, and what turns the direction of text. */
bool view_rune_is_control(const char *data, uint32_t size);
#endif
