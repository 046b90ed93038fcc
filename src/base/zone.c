/*
 * A TZif file is a table of moments at which the offset changes, and a rule for
 * what comes after the last of them:
 *
 *        type 0     | type of transition 0 |  ...  | type of the last |  rule
 *   ----------------+----------------------+-------+------------------+-------->
 *             transition 0           transition 1                 (after the last)
 *
 * Versions 2 and up hold the table twice: in 32-bit moments for old readers, then
 * in 64-bit ones, followed by the rule between two newlines. Only the second is
 * kept. Everything is checked while parsing, so that computing cannot fail.
 */
#include "base/zone.h"

#include <assert.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/view.h"

enum {
    HEADER_BYTES = 44,
    FILE_BYTES_MAX = 1 << 20,
    NAME_BYTES_MAX = 255,
    RULE_BYTES_MAX = 255,
    TYPE_COUNT_MAX = 256,
    OFFSET_S_LEAST = -89999, /* RFC 8536, 3.2 */
    OFFSET_S_MOST = 93599,
    DAY_S = 86400,
};

enum day_kind { DAY_JULIAN, DAY_OF_YEAR, DAY_OF_WEEK };

/* When a rule's half of the year begins: a day and the local time on it. */
struct change {
    enum day_kind kind;
    int month, week, day; /* DAY_OF_WEEK: 1..12, 1..5 (5: last), 0..6 from Sunday */
    int64_t time_s;
};

struct rule {
    bool is_set;
    bool has_summer;
    int32_t offset_s;
    int32_t summer_offset_s;
    struct change to_summer;
    struct change from_summer;
};

struct zone {
    uint32_t transition_count;
    int64_t *moments_s;    /* ascending */
    uint8_t *moment_types; /* the type that begins at each */
    int32_t offsets_s[TYPE_COUNT_MAX];
    struct rule rule; /* after the last transition; unset: the last type goes on */
};

/* ---- civil days: the proleptic Gregorian calendar, day 0 is 1970-01-01 ---- */

static int64_t floor_divide(int64_t value, int64_t divisor)
{
    return value / divisor - (value % divisor < 0 ? 1 : 0);
}

static bool is_leap_year(int64_t year)
{
    return year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
}

/* Days before 1 January of `year`. */
static int64_t year_start_day(int64_t year)
{
    int64_t before = year - 1;

    return 365 * (year - 1970) + (floor_divide(before, 4) - 492) -
           (floor_divide(before, 100) - 19) + (floor_divide(before, 400) - 4);
}

static int64_t year_of_day(int64_t day)
{
    /* 146097 days make 400 years; the guess is off by one at most. */
    int64_t year = 1970 + floor_divide(day * 400, 146097);

    while (day < year_start_day(year))
        year--;
    while (day >= year_start_day(year + 1))
        year++;
    return year;
}

static int month_start_day(int month, bool is_leap)
{
    static const int days[] = {0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334, 365};

    return days[month - 1] + (is_leap && month > 2 ? 1 : 0);
}

/* ---- the rule: std offset dst [offset] , start [/time] , end [/time] ---- */

static int64_t day_of_change(const struct change *change, int64_t year)
{
    int64_t year_start = year_start_day(year);
    bool is_leap = is_leap_year(year);

    if (change->kind == DAY_OF_YEAR)
        return year_start + change->day;
    if (change->kind == DAY_JULIAN) /* 1..365: 29 February has no number */
        return year_start + change->day - 1 + (is_leap && change->day >= 60 ? 1 : 0);

    int64_t month_start = year_start + month_start_day(change->month, is_leap);
    int64_t month_end = year_start + month_start_day(change->month + 1, is_leap);
    /* 1970-01-01 was a Thursday, the fourth day from Sunday. */
    int64_t weekday = (month_start + 4) - floor_divide(month_start + 4, 7) * 7;
    int64_t day = month_start + (change->day - weekday + 7) % 7 + (int64_t)(change->week - 1) * 7;
    return day < month_end ? day : day - 7;
}

static int32_t rule_offset_s(const struct rule *rule, int64_t moment_s)
{
    int64_t latest_s = INT64_MIN;
    int32_t offset_s = rule->offset_s;

    if (!rule->has_summer)
        return rule->offset_s;
    /* A change may be written hours before or after its year, so the neighbouring
     * years are asked too. The latest change at or before the moment holds; when
     * summer ends as it begins it is summer all year (RFC 8536, 3.3.1). */
    int64_t year = year_of_day(floor_divide(moment_s + rule->offset_s, DAY_S));
    for (int64_t asked = year - 1; asked <= year + 1; asked++) {
        int64_t from_s = day_of_change(&rule->from_summer, asked) * DAY_S +
                         rule->from_summer.time_s - rule->summer_offset_s;
        int64_t to_s = day_of_change(&rule->to_summer, asked) * DAY_S + rule->to_summer.time_s -
                       rule->offset_s;
        if (from_s <= moment_s && from_s > latest_s) {
            latest_s = from_s;
            offset_s = rule->offset_s;
        }
        if (to_s <= moment_s && to_s >= latest_s) {
            latest_s = to_s;
            offset_s = rule->summer_offset_s;
        }
    }
    return offset_s;
}

/* Reads 1 to 3 digits no greater than `most`. */
static bool take_number(const char **at, int most, int *number)
{
    int digits = 0;

    for (*number = 0; **at >= '0' && **at <= '9' && digits < 3; (*at)++, digits++)
        *number = *number * 10 + (**at - '0');
    return digits > 0 && *number <= most;
}

/* [+-] hours [: minutes [: seconds]] */
static bool take_time(const char **at, int hours_max, int64_t *time_s)
{
    int sign = 1;
    int hours = 0, minutes = 0, seconds = 0;

    if (**at == '+' || **at == '-')
        sign = *(*at)++ == '-' ? -1 : 1;
    if (!take_number(at, hours_max, &hours))
        return false;
    if (**at == ':') {
        (*at)++;
        if (!take_number(at, 59, &minutes))
            return false;
    }
    if (**at == ':') {
        (*at)++;
        if (!take_number(at, 59, &seconds))
            return false;
    }
    *time_s = sign * ((int64_t)hours * 3600 + minutes * 60 + seconds);
    return true;
}

static bool is_letter(char letter)
{
    return (letter >= 'A' && letter <= 'Z') || (letter >= 'a' && letter <= 'z');
}

/* A name is three letters or more, or anything between < and >. */
static bool skip_name(const char **at)
{
    int letters = 0;

    if (**at == '<') {
        const char *close = strchr(*at, '>');
        if (close == NULL)
            return false;
        *at = close + 1;
        return true;
    }
    for (; is_letter(**at); (*at)++)
        letters++;
    return letters >= 3;
}

/* , Jn | n | Mm.w.d [/time] */
static bool take_change(const char **at, struct change *change)
{
    *change = (struct change){.kind = DAY_OF_YEAR, .time_s = 2 * 3600};
    if (*(*at)++ != ',')
        return false;
    if (**at == 'M') {
        change->kind = DAY_OF_WEEK;
        (*at)++;
        if (!take_number(at, 12, &change->month) || *(*at)++ != '.' ||
            !take_number(at, 5, &change->week) || *(*at)++ != '.' ||
            !take_number(at, 6, &change->day) || change->month == 0 || change->week == 0)
            return false;
    } else if (**at == 'J') {
        change->kind = DAY_JULIAN;
        (*at)++;
        if (!take_number(at, 365, &change->day) || change->day == 0)
            return false;
    } else if (!take_number(at, 365, &change->day)) {
        return false;
    }
    if (**at != '/')
        return true;
    (*at)++;
    return take_time(at, 167, &change->time_s);
}

/* text ends in NUL. POSIX counts offsets west of UTC; we count them east. */
static bool parse_rule(const char *text, struct rule *rule)
{
    const char *at = text;
    int64_t west_s;

    *rule = (struct rule){0};
    if (*at == '\0')
        return true;
    if (!skip_name(&at) || !take_time(&at, 24, &west_s))
        return false;
    rule->is_set = true;
    rule->offset_s = (int32_t)-west_s;
    if (*at == '\0')
        return true;
    rule->has_summer = true;
    rule->summer_offset_s = rule->offset_s + 3600;
    if (!skip_name(&at))
        return false;
    if (*at != ',') {
        if (!take_time(&at, 24, &west_s))
            return false;
        rule->summer_offset_s = (int32_t)-west_s;
    }
    return take_change(&at, &rule->to_summer) && take_change(&at, &rule->from_summer) &&
           *at == '\0';
}

/* ---- the table ---- */

struct header {
    int version; /* from 1; later ones keep the layout of 2 */
    uint64_t utc_count, standard_count, leap_count, transition_count, type_count, letter_count;
};

struct input {
    const unsigned char *at;
    size_t left;
};

static uint64_t big_endian(const unsigned char *at, int bytes)
{
    uint64_t value = 0;

    for (int index = 0; index < bytes; index++)
        value = (value << 8) | at[index];
    return value;
}

static bool take_header(struct input *input, struct header *header)
{
    const unsigned char *at = input->at;

    if (input->left < HEADER_BYTES || memcmp(at, "TZif", 4) != 0)
        return false;
    header->version = at[4] == 0 ? 1 : at[4] - '0';
    header->utc_count = big_endian(at + 20, 4);
    header->standard_count = big_endian(at + 24, 4);
    header->leap_count = big_endian(at + 28, 4);
    header->transition_count = big_endian(at + 32, 4);
    header->type_count = big_endian(at + 36, 4);
    header->letter_count = big_endian(at + 40, 4);
    input->at += HEADER_BYTES;
    input->left -= HEADER_BYTES;
    return header->version >= 1 && header->version <= 9 && header->type_count >= 1 &&
           header->type_count <= TYPE_COUNT_MAX;
}

/* Bytes of the block after `header`. Counts are 32 bits wide: no overflow. */
static uint64_t block_bytes(const struct header *header, uint64_t time_bytes)
{
    return header->transition_count * (time_bytes + 1) + header->type_count * 6 +
           header->letter_count + header->leap_count * (time_bytes + 4) + header->standard_count +
           header->utc_count;
}

static const char *read_block(struct zone *zone, const struct header *header, struct input *input,
                              int time_bytes)
{
    uint64_t bytes = block_bytes(header, (uint64_t)time_bytes);
    uint64_t count = header->transition_count;

    if (bytes > input->left)
        return "cut off";
    if (header->leap_count != 0)
        return "a clock that counts leap seconds";
    const unsigned char *moments = input->at;
    const unsigned char *moment_types = moments + count * (uint64_t)time_bytes;
    const unsigned char *types = moment_types + count;

    zone->transition_count = (uint32_t)count;
    zone->moments_s = calloc(count + 1, sizeof *zone->moments_s);
    zone->moment_types = calloc(count + 1, sizeof *zone->moment_types);
    if (zone->moments_s == NULL || zone->moment_types == NULL)
        return "out of memory";
    for (uint64_t index = 0; index < count; index++) {
        uint64_t raw = big_endian(moments + index * (uint64_t)time_bytes, time_bytes);
        zone->moments_s[index] = time_bytes == 4 ? (int32_t)(uint32_t)raw : (int64_t)raw;
        zone->moment_types[index] = moment_types[index];
        if (index > 0 && zone->moments_s[index] <= zone->moments_s[index - 1])
            return "transitions out of order";
        if (moment_types[index] >= header->type_count)
            return "a transition to an unknown type";
    }
    for (uint64_t index = 0; index < header->type_count; index++) {
        int32_t offset_s = (int32_t)(uint32_t)big_endian(types + index * 6, 4);
        if (offset_s < OFFSET_S_LEAST || offset_s > OFFSET_S_MOST)
            return "an offset of more than a day";
        zone->offsets_s[index] = offset_s;
    }
    input->at += bytes;
    input->left -= bytes;
    return NULL;
}

/* newline, rule, newline */
static const char *read_footer(struct zone *zone, struct input *input)
{
    char text[RULE_BYTES_MAX + 1];

    if (input->left < 2 || input->at[0] != '\n')
        return "no rule at its end";
    const unsigned char *start = input->at + 1;
    const unsigned char *close = memchr(start, '\n', input->left - 1);
    if (close == NULL || close - start > RULE_BYTES_MAX)
        return "no rule at its end";
    memcpy(text, start, (size_t)(close - start));
    text[close - start] = '\0';
    if (strlen(text) != (size_t)(close - start) || !parse_rule(text, &zone->rule))
        return "a rule that is none of POSIX's";
    return NULL;
}

/* NULL, or what is wrong with the bytes. */
static const char *read_zone(struct zone *zone, struct input *input)
{
    struct header header;

    if (!take_header(input, &header))
        return "no TZif header";
    if (header.version == 1)
        return read_block(zone, &header, input, 4);
    uint64_t old_bytes = block_bytes(&header, 4);
    if (old_bytes > input->left)
        return "cut off";
    input->at += old_bytes;
    input->left -= old_bytes;
    if (!take_header(input, &header))
        return "no second TZif header";
    const char *wrong = read_block(zone, &header, input, 8);
    return wrong != NULL ? wrong : read_footer(zone, input);
}

static enum status parse_named(const char *name, const void *data, size_t size,
                               struct zone **result, struct failure *failure)
{
    struct input input = {data, size};
    struct zone *zone = calloc(1, sizeof *zone);
    const char *wrong = zone == NULL ? "out of memory" : read_zone(zone, &input);

    *result = NULL;
    if (wrong != NULL) {
        zone_close(zone);
        return failure_set(failure, REMEDY_STOP, "time zone %s: %s", name, wrong);
    }
    *result = zone;
    return STATUS_OK;
}

enum status zone_parse(const void *data, size_t size, struct zone **zone, struct failure *failure)
{
    return parse_named("data", data, size, zone, failure);
}

static const struct zone utc;

const struct zone *zone_utc(void)
{
    return &utc;
}

static bool is_zone_name(const char *name)
{
    static const char allowed[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_+-/.";
    size_t size = strlen(name);

    if (size == 0 || size > NAME_BYTES_MAX || name[0] == '/' || name[size - 1] == '/')
        return false;
    return strspn(name, allowed) == size && name[0] != '.' && strstr(name, "/.") == NULL;
}

/* Zeros are UTC: no transitions, no rule, offset 0. */
static enum status create_utc(struct zone **zone, struct failure *failure)
{
    *zone = calloc(1, sizeof **zone);
    if (*zone == NULL)
        return failure_set(failure, REMEDY_STOP, "time zone UTC: out of memory");
    return STATUS_OK;
}

enum status zone_open(const char *name, struct zone **zone, struct failure *failure)
{
    const char *folder = getenv("TZDIR");
    enum status status = STATUS_OK;
    FILE *file = NULL;
    char *data = NULL;
    char path[4096];

    *zone = NULL;
    if (!is_zone_name(name))
        return failure_set(failure, REMEDY_STOP, "time zone '%s': not a name such as Europe/Berlin",
                           name);
    /* Small containers come without the files, and UTC needs none. */
    if (strcmp(name, "UTC") == 0 || strcmp(name, "Etc/UTC") == 0)
        return create_utc(zone, failure);
    if (folder == NULL || folder[0] == '\0')
        folder = "/usr/share/zoneinfo";
    int length = snprintf(path, sizeof path, "%s/%s", folder, name);
    if (length < 0 || (size_t)length >= sizeof path)
        return failure_set(failure, REMEDY_STOP, "time zone %s: TZDIR is too long", name);

    file = fopen(path, "rbe");
    data = malloc(FILE_BYTES_MAX);
    if (file == NULL || data == NULL) {
        status =
            failure_set(failure, REMEDY_STOP, "time zone %s: %s: %s", name, path, strerror(errno));
        goto done;
    }
    size_t size = fread(data, 1, FILE_BYTES_MAX, file);
    if (ferror(file) != 0)
        status =
            failure_set(failure, REMEDY_STOP, "time zone %s: %s: %s", name, path, strerror(errno));
    else
        status = parse_named(name, data, size, zone, failure);

done:
    if (file != NULL)
        fclose(file);
    free(data);
    return status;
}

void zone_close(struct zone *zone)
{
    if (zone == NULL)
        return;
    assert(zone != &utc);
    free(zone->moments_s);
    free(zone->moment_types);
    free(zone);
}

/* ---- computing ---- */

static int32_t offset_at_s(const struct zone *zone, int64_t moment_s)
{
    uint32_t low = 0, high = zone->transition_count;

    if (high > 0 && moment_s >= zone->moments_s[high - 1]) {
        if (zone->rule.is_set)
            return rule_offset_s(&zone->rule, moment_s);
        return zone->offsets_s[zone->moment_types[high - 1]];
    }
    if (high == 0)
        return zone->rule.is_set ? rule_offset_s(&zone->rule, moment_s) : zone->offsets_s[0];
    while (low < high) { /* the first transition after the moment */
        uint32_t middle = low + (high - low) / 2;
        if (zone->moments_s[middle] <= moment_s)
            low = middle + 1;
        else
            high = middle;
    }
    return zone->offsets_s[low == 0 ? 0 : zone->moment_types[low - 1]];
}

int32_t zone_offset_s(const struct zone *zone, int64_t time_ms)
{
    return offset_at_s(zone, floor_divide(time_ms, 1000));
}

int32_t zone_hour(const struct zone *zone, int64_t time_ms)
{
    int64_t local_s = floor_divide(time_ms, 1000) + zone_offset_s(zone, time_ms);

    return (int32_t)((local_s - floor_divide(local_s, DAY_S) * DAY_S) / 3600);
}
