#include "base/view.h"

int view_compare(struct view a, struct view b)
{
    uint32_t shared = a.size < b.size ? a.size : b.size;
    int order = shared == 0 ? 0 : memcmp(a.data, b.data, shared);

    if (order != 0)
        return order;
    return (a.size > b.size) - (a.size < b.size);
}

bool view_has_prefix(struct view view, struct view prefix)
{
    return prefix.size <= view.size &&
           (prefix.size == 0 || memcmp(view.data, prefix.data, prefix.size) == 0);
}

bool view_has_suffix(struct view view, struct view suffix)
{
    return suffix.size <= view.size &&
           (suffix.size == 0 ||
            memcmp(view.data + (view.size - suffix.size), suffix.data, suffix.size) == 0);
}

bool view_contains(struct view view, struct view part)
{
    if (part.size == 0)
        return true;
    return view.size >= part.size && memmem(view.data, view.size, part.data, part.size) != NULL;
}

uint32_t view_rune_size(const char *data, size_t size)
{
    const unsigned char *at = (const unsigned char *)data;
    unsigned char least = 0x80, most = 0xBF;
    uint32_t length;

    if (size == 0)
        return 0;
    if (at[0] < 0x80)
        return 1;
    if (at[0] < 0xC2 || at[0] > 0xF4)
        return 0;
    length = at[0] < 0xE0 ? 2 : at[0] < 0xF0 ? 3 : 4;
    /* The second byte's range excludes overlong forms, surrogates and what lies
     * above U+10FFFF. */
    if (at[0] == 0xE0)
        least = 0xA0;
    else if (at[0] == 0xED)
        most = 0x9F;
    else if (at[0] == 0xF0)
        least = 0x90;
    else if (at[0] == 0xF4)
        most = 0x8F;
    if (size < length || at[1] < least || at[1] > most)
        return 0;
    for (uint32_t index = 2; index < length; index++)
        if ((at[index] & 0xC0) != 0x80)
            return 0;
    return length;
}

bool view_rune_is_control(const char *data, uint32_t size)
{
    const unsigned char *at = (const unsigned char *)data;

    switch (size) {
    case 1:
        return at[0] < 0x20 || at[0] == 0x7F;
    case 2: /* U+0080..9F, U+061C */
        return (at[0] == 0xC2 && at[1] < 0xA0) || (at[0] == 0xD8 && at[1] == 0x9C);
    case 3: /* U+200E..F, U+2028..E, U+2066..9 */
        return at[0] == 0xE2 && ((at[1] == 0x80 && (at[2] == 0x8E || at[2] == 0x8F)) ||
                                 (at[1] == 0x80 && at[2] >= 0xA8 && at[2] <= 0xAE) ||
                                 (at[1] == 0x81 && at[2] >= 0xA6 && at[2] <= 0xA9));
    default:
        return false;
    }
}

bool view_is_utf8(struct view view)
{
    const uint64_t high_bits = UINT64_C(0x8080808080808080);
    const char *at = view.data;
    const char *end = view.data + view.size;
    uint64_t word;

    while (at < end) {
        while (end - at >= (ptrdiff_t)sizeof word) {
            memcpy(&word, at, sizeof word);
            if ((word & high_bits) != 0)
                break;
            at += sizeof word;
        }
        if (at == end)
            break;
        uint32_t length = view_rune_size(at, (size_t)(end - at));
        if (length == 0)
            return false;
        at += length;
    }
    return true;
}
