#include "engine/rulebook.h"

#include <assert.h>
#include <stdlib.h>

enum { BOOK_CHUNK_BYTES = 4096, WORK_CHUNK_BYTES = 64 * 1024 };

struct rulebook {
    const struct engine_config *config;
    struct arena *arena;          /* of text and switches */
    struct view text;             /* by update-rules; absent: the configuration's rules */
    struct rule_switch *switches; /* by command, on top of the text; at most one a rule */
    const struct rule_set *rules;
    struct rule_set *own;     /* `rules` when a command changed them, else NULL */
    struct rule_set *retired; /* until settled */
};

struct rulebook *rulebook_create(const struct engine_config *config)
{
    struct rulebook *book = calloc(1, sizeof *book);

    assert(book != NULL);
    book->config = config;
    book->arena = arena_create(BOOK_CHUNK_BYTES);
    book->rules = config->rules;
    return book;
}

void rulebook_destroy(struct rulebook *book)
{
    if (book == NULL)
        return;
    rulebook_settle(book);
    if (book->own != NULL)
        rule_set_destroy(book->own);
    arena_destroy(book->arena);
    free(book);
}

const struct rule_set *rulebook_rules(const struct rulebook *book)
{
    return book->rules;
}

void rulebook_settle(struct rulebook *book)
{
    if (book->retired != NULL)
        rule_set_destroy(book->retired);
    book->retired = NULL;
}

static void put_in_force(struct rulebook *book, struct rule_set *rules)
{
    rulebook_settle(book);
    book->retired = book->own;
    book->own = rules;
    book->rules = rules;
}

/* NULL and complaints, or a rule set of our own. */
static struct rule_set *compile_text(const struct rulebook *book, struct view text,
                                     struct complaints *complaints)
{
    struct tree *root = NULL;
    uint32_t before = complaints->count;

    if (book->config->parse == NULL) {
        complain(complaints, NULL, "rules: this program cannot read rules from a command");
        return NULL;
    }
    if (book->config->parse(text, "rules", complaints->arena, &root, complaints) != STATUS_OK ||
        root == NULL || complaints->count > before)
        return NULL;
    return rule_set_compile(root, complaints);
}

enum status rulebook_update(struct rulebook *book, struct view text, struct complaints *complaints)
{
    struct rule_set *rules = compile_text(book, text, complaints);

    if (rules == NULL)
        return STATUS_BROKEN;
    put_in_force(book, rules);
    arena_reset(book->arena);
    book->switches = NULL;
    book->text = arena_copy(book->arena, text);
    return STATUS_OK;
}

/* The rules in force, compiled anew: a set in use never changes. */
static struct rule_set *compile_again(const struct rulebook *book)
{
    struct arena *arena = arena_create(WORK_CHUNK_BYTES);
    struct complaints complaints;
    struct rule_set *rules;

    complaints_init(&complaints, arena);
    if (view_is_absent(book->text))
        rules = config_compile(book->config);
    else
        rules = compile_text(book, book->text, &complaints);
    assert(rules != NULL);
    for (const struct rule_switch *at = book->switches; at != NULL; at = at->next)
        rule_set_switch(rules, at->name, at->is_enabled);
    arena_destroy(arena);
    return rules;
}

static void note_switch(struct rulebook *book, struct view name, bool is_enabled)
{
    struct rule_switch **link = &book->switches;

    while (*link != NULL && !view_is_equal((*link)->name, name))
        link = &(*link)->next;
    if (*link == NULL) {
        *link = arena_alloc(book->arena, sizeof **link);
        (*link)->name = arena_copy(book->arena, name);
    }
    (*link)->is_enabled = is_enabled;
}

static bool find_rule(const struct rulebook *book, struct view name, uint32_t *index)
{
    for (*index = 0; *index < rule_set_count(book->rules); (*index)++)
        if (view_is_equal(rule_set_name(book->rules, *index), name))
            return true;
    return false;
}

enum status rulebook_switch(struct rulebook *book, struct view name, bool is_enabled,
                            bool *was_enabled)
{
    uint32_t index;

    if (!find_rule(book, name, &index))
        return STATUS_ABSENT;
    *was_enabled = rule_set_is_enabled(book->rules, index);
    if (*was_enabled == is_enabled)
        return STATUS_OK;
    note_switch(book, name, is_enabled);
    put_in_force(book, compile_again(book));
    return STATUS_OK;
}

void rulebook_save(const struct rulebook *book, struct byte_writer *out)
{
    uint32_t count = 0;

    for (const struct rule_switch *at = book->switches; at != NULL; at = at->next)
        count++;
    byte_put_u8(out, !view_is_absent(book->text));
    if (!view_is_absent(book->text))
        byte_put_view(out, book->text);
    byte_put_varint(out, count);
    for (const struct rule_switch *at = book->switches; at != NULL; at = at->next) {
        byte_put_view(out, at->name);
        byte_put_u8(out, at->is_enabled);
    }
}

/* Every switch is noted, also one that was turned back since: the list stays as it was. */
static enum status load_switches(struct rulebook *book, bool is_kept, struct byte_reader *in,
                                 struct failure *failure)
{
    uint64_t count = byte_take_count(in, 2);
    uint32_t index;

    for (uint64_t i = 0; i < count; i++) {
        struct view name = byte_take_view(in);
        bool is_enabled = byte_take_u8(in) != 0;
        if (in->broken)
            return failure_set(failure, REMEDY_STOP, "the saved state is cut off");
        if (!is_kept)
            continue;
        if (!find_rule(book, name, &index))
            return failure_set(failure, REMEDY_STOP,
                               "the saved state switches rule %.*s, which does not exist",
                               VIEW_PRINT(name));
        note_switch(book, name, is_enabled);
    }
    if (book->switches != NULL)
        put_in_force(book, compile_again(book));
    return STATUS_OK;
}

enum status rulebook_load(struct rulebook *book, bool is_kept, struct byte_reader *in,
                          struct failure *failure)
{
    struct arena *arena = arena_create(WORK_CHUNK_BYTES);
    enum status status = STATUS_OK;
    struct complaints complaints;
    struct view text = {NULL, 0};

    complaints_init(&complaints, arena);
    if (byte_take_u8(in) != 0)
        text = byte_take_view(in);
    if (!in->broken && is_kept && !view_is_absent(text) &&
        rulebook_update(book, text, &complaints) != STATUS_OK)
        status = failure_set(failure, REMEDY_STOP, "the rules in the saved state: %s",
                             complaints.first != NULL ? complaints.first->text : "not readable");
    if (status == STATUS_OK)
        status = load_switches(book, is_kept, in, failure);
    rulebook_settle(book);
    arena_destroy(arena);
    return status;
}
