/*
 * The saved form: what decides all further behaviour, and nothing of where it lies. Groups
 * go rule by rule in the order of the queues. How much room runs have is part of it, since
 * the budget counts it; so saving, loading and going on evicts as going on does.
 */
#include <assert.h>
#include <stdlib.h>

#include "anomaly/state.h"
#include "base/hash.h"

enum { SNAPSHOT_VERSION = 3 };

static void save_episode(const struct episode *episode, struct byte_writer *out)
{
    byte_put_varint(out, episode->sequence);
    byte_put_u64(out, episode->id[0]);
    byte_put_u64(out, episode->id[1]);
    byte_put_i64(out, episode->opened_ms);
    byte_put_i64(out, episode->last_ms);
    byte_put_i64(out, episode->first_event_ms);
    byte_put_varint(out, episode->count);
    byte_put_u64(out, (uint64_t)episode->value);
    byte_put_i64(out, (int64_t)(episode->value >> 64));
    byte_put_u64(out, (uint64_t)episode->published_value);
    byte_put_i64(out, (int64_t)(episode->published_value >> 64));
    byte_put_i64(out, episode->published_ms);
    byte_put_u8(out, episode->is_silent);
    byte_put_u8(out, episode->evidence_count);
    for (uint32_t index = 0; index < episode->evidence_count; index++) {
        const struct evidence *evidence = &episode->evidence[index];
        byte_put_i64(out, evidence->time_ms);
        byte_put_view(out, (struct view){evidence->text, evidence->size});
    }
}

static __int128 take_wide(struct byte_reader *in)
{
    uint64_t low = byte_take_u64(in);
    int64_t high = byte_take_i64(in);

    return (__int128)((unsigned __int128)(uint64_t)high << 64 | low);
}

static bool load_evidence(struct anomaly *anomaly, struct episode *episode, struct byte_reader *in)
{
    uint8_t count = byte_take_u8(in);

    if (in->broken || count > EVIDENCE_MAX)
        return false;
    for (; episode->evidence_count < count; episode->evidence_count++) {
        struct evidence *evidence = &episode->evidence[episode->evidence_count];
        evidence->time_ms = byte_take_i64(in);
        struct view text = byte_take_view(in);
        if (in->broken || text.size == 0)
            return false;
        evidence->size = text.size;
        evidence->text = blocks_take(&anomaly->blocks, text.size);
        memcpy(evidence->text, text.data, text.size);
    }
    return true;
}

/* Appended to its group's list, after `last` (0: the list is empty). */
static bool load_episode(struct anomaly *anomaly, struct group *group, const struct rule *rule,
                         uint32_t *last, struct byte_reader *in)
{
    uint32_t reference = slab_take(&anomaly->episodes);
    struct episode *episode = episode_at(anomaly, reference);
    int64_t before_ms = INT64_MIN;

    if (*last != 0) {
        before_ms = episode_at(anomaly, *last)->last_ms;
        episode_at(anomaly, *last)->next = reference;
    } else {
        group->episodes = reference;
    }
    episode->group = group->reference;
    episode->sequence = byte_take_varint(in);
    episode->id[0] = byte_take_u64(in);
    episode->id[1] = byte_take_u64(in);
    episode->opened_ms = byte_take_i64(in);
    episode->last_ms = byte_take_i64(in);
    episode->first_event_ms = byte_take_i64(in);
    episode->count = byte_take_varint(in);
    episode->value = take_wide(in);
    episode->published_value = take_wide(in);
    episode->published_ms = byte_take_i64(in);
    episode->is_silent = byte_take_u8(in) != 0;
    if (!episode->is_silent)
        anomaly->open_counts[rule->index]++;
    if (!load_evidence(anomaly, episode, in) || episode->opened_ms > episode->last_ms ||
        (*last != 0 && episode->opened_ms <= before_ms))
        return false;
    *last = reference;
    episode_schedule(anomaly, rule, reference);
    return true;
}

static void save_window(const struct anomaly *anomaly, const struct group *group,
                        const struct rule *rule, struct byte_writer *out)
{
    byte_put_u8(out, group->is_brief);
    if (group->is_brief) {
        brief_save(&group->brief, out);
        return;
    }
    byte_put_i64(out, group->newest_ms);
    switch (rule->type) {
    case RULE_EVENT:
        break;
    case RULE_VALUE_COUNT:
        cover_save(&anomaly->covers, &group->covers, out);
        series_save(&group->series, &anomaly->series, &rule->series, out);
        break;
    case RULE_EVENT_COUNT:
    case RULE_VALUE_SUM:
        series_save(&group->series, &anomaly->series, &rule->series, out);
        break;
    case RULE_TEMPORAL:
    case RULE_TEMPORAL_ORDERED:
        steps_save(&group->steps, &rule->steps, out);
        break;
    }
}

static bool load_window(struct anomaly *anomaly, struct group *group, const struct rule *rule,
                        struct byte_reader *in)
{
    group->is_brief = byte_take_u8(in) != 0;
    if (group->is_brief)
        return rule->brief_most > 0 && brief_load(&group->brief, &anomaly->blocks, in) &&
               group->brief.count <= rule->brief_most;
    group->newest_ms = byte_take_i64(in);
    switch (rule->type) {
    case RULE_EVENT:
        return true;
    case RULE_VALUE_COUNT:
        return cover_load(&anomaly->covers, &group->covers, group->reference, in) &&
               series_load(&group->series, &anomaly->series, NULL, &rule->series, in);
    case RULE_EVENT_COUNT:
    case RULE_VALUE_SUM:
        return series_load(&group->series, &anomaly->series, group->lent, &rule->series, in);
    case RULE_TEMPORAL:
    case RULE_TEMPORAL_ORDERED:
        return steps_load(&group->steps, &anomaly->blocks, &rule->steps, in);
    }
    return false;
}

static void save_group(const struct anomaly *anomaly, const struct group *group,
                       const struct rule *rule, struct byte_writer *out)
{
    uint32_t count = 0;

    byte_put_view(out, group_key(group));
    byte_put_u8(out, group->is_active);
    byte_put_varint(out, group->touched);
    save_window(anomaly, group, rule, out);
    for (uint32_t at = group->episodes; at != 0; at = episode_at(anomaly, at)->next)
        count++;
    byte_put_varint(out, count);
    for (uint32_t at = group->episodes; at != 0; at = episode_at(anomaly, at)->next)
        save_episode(episode_at(anomaly, at), out);
}

/* As many parts as the rule's key has, and nothing behind them. */
static bool is_key(const struct rule *rule, struct view key)
{
    struct byte_reader reader = byte_reader_of(key.data, key.size);

    for (uint32_t part = 0; part <= rule->group_count; part++)
        byte_take(&reader, byte_take_varint(&reader));
    return !reader.broken && byte_reader_left(&reader) == 0;
}

static bool load_group(struct anomaly *anomaly, const struct rule *rule, struct byte_reader *in)
{
    struct view key = byte_take_view(in);
    uint32_t last = 0, reference;

    if (in->broken || view_is_absent(key) || !is_key(rule, key))
        return false;
    uint32_t hash = group_hash(rule, key);
    if (group_find(anomaly, rule, hash, key, &reference))
        return false;
    struct group *group = group_add(anomaly, rule, hash, key);
    group->is_active = byte_take_u8(in) != 0;
    group->touched = byte_take_varint(in);
    if (!load_window(anomaly, group, rule, in))
        return false;
    uint64_t count = byte_take_count(in, 1);
    for (uint64_t index = 0; index < count; index++)
        if (!load_episode(anomaly, group, rule, &last, in))
            return false;
    return !in->broken;
}

void anomaly_save(const struct anomaly *anomaly, struct byte_writer *out)
{
    byte_put_varint(out, SNAPSHOT_VERSION);
    byte_put_varint(out, anomaly->event_count);
    byte_put_varint(out, anomaly->episode_count);
    byte_put_varint(out, anomaly->evicted_count);
    for (uint32_t severity = 0; severity < 3; severity++)
        byte_put_varint(out, anomaly->opened[severity]);
    for (uint32_t kind = 0; kind < EVENT_KIND_COUNT; kind++)
        byte_put_i64(out, anomaly->watermark_ms[kind]);
    for (uint32_t lane = 0; lane < LANE_COUNT; lane++)
        byte_put_i64(out, anomaly->lanes[lane].watermark_ms);
    for (uint32_t index = 0; index < anomaly->rules->count; index++) {
        const struct rule *rule = &anomaly->rules->rules[index];
        uint32_t at = anomaly->queues[index].first;
        if (at == 0)
            continue;
        byte_put_u8(out, 1);
        byte_put_u64(out, rule->digest);
        size_t mark = byte_begin_section(out);
        for (; at != 0; at = group_at(anomaly, at)->next) {
            byte_put_u8(out, 1);
            save_group(anomaly, group_at(anomaly, at), rule, out);
        }
        byte_put_u8(out, 0);
        byte_end_section(out, mark);
    }
    byte_put_u8(out, 0);
}

static bool load_groups(struct anomaly *anomaly, const struct rule *rule, struct byte_reader *in)
{
    while (byte_take_u8(in) != 0)
        if (!load_group(anomaly, rule, in))
            return false;
    return !in->broken && byte_reader_left(in) == 0;
}

static enum status load_rules(struct anomaly *anomaly, struct byte_reader *in,
                              struct failure *failure)
{
    while (byte_take_u8(in) != 0) {
        const struct rule *rule = rule_set_find(anomaly->rules, byte_take_u64(in));
        struct byte_reader section = byte_take_section(in);
        if (in->broken)
            break;
        if (rule != NULL && !load_groups(anomaly, rule, &section))
            return failure_set(failure, REMEDY_STOP, "the saved state of rule %.*s is damaged",
                               VIEW_PRINT(rule->name));
    }
    if (in->broken)
        return failure_set(failure, REMEDY_STOP, "the saved state of the rules is cut short");
    return STATUS_OK;
}

struct anomaly *anomaly_load(const struct rule_set *rules, const struct anomaly_options *options,
                             struct byte_reader *in, struct failure *failure)
{
    uint64_t version = byte_take_varint(in);

    if (in->broken || version != SNAPSHOT_VERSION) {
        failure_set(failure, REMEDY_STOP,
                    "the saved state of the rules has version %llu, this program reads %d",
                    (unsigned long long)version, SNAPSHOT_VERSION);
        return NULL;
    }
    struct anomaly *anomaly = anomaly_open(rules, options);
    anomaly->event_count = byte_take_varint(in);
    anomaly->episode_count = byte_take_varint(in);
    anomaly->evicted_count = byte_take_varint(in);
    for (uint32_t severity = 0; severity < 3; severity++)
        anomaly->opened[severity] = byte_take_varint(in);
    for (uint32_t kind = 0; kind < EVENT_KIND_COUNT; kind++)
        anomaly->watermark_ms[kind] = byte_take_i64(in);
    for (uint32_t lane = 0; lane < LANE_COUNT; lane++)
        anomaly->lanes[lane].watermark_ms = byte_take_i64(in);
    if (load_rules(anomaly, in, failure) != STATUS_OK) {
        anomaly_close(anomaly);
        return NULL;
    }
    return anomaly;
}

uint64_t anomaly_digest(const struct anomaly *anomaly)
{
    struct byte_writer saved;

    byte_writer_init(&saved);
    anomaly_save(anomaly, &saved);
    uint64_t digest = hash_bytes(saved.data, saved.size, SNAPSHOT_VERSION);
    byte_writer_free(&saved);
    return digest;
}
