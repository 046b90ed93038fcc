#include "cli/settings.h"

#include <assert.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "cli/args.h"
#include "cli/yaml.h"

enum { CHUNK_BYTES = 65536, WORKERS_MAX = 1024, TABLES_MAX = 32 };

static const char preset_file[] = "weir.yaml";

/* ---- the tables ---- */

#define AT(member) offsetof(struct process_options, member)
static const struct option process_options[] = {
    {.name = "roles",
     .type = OPTION_TEXT,
     .offset = AT(roles),
     .is_list = true,
     .purpose = "What this process does, a list: `processor` turns events into results, "
                "`postgres` stores results, `notify` delivers alerts. Unset: the processor, and "
                "the other two where they are configured. `--roles` wins."},
    {.name = "workers",
     .type = OPTION_INT,
     .offset = AT(workers),
     .preset = "0",
     .least = 0,
     .most = WORKERS_MAX,
     .unit = "threads",
     .purpose = "Each worker owns some of the partitions, so more workers than partitions are "
                "idle. 0: one a core."},
    {.name = "rules",
     .type = OPTION_TEXT,
     .offset = AT(rules),
     .purpose = "The file of rules; a relative path counts from the folder of the configuration "
                "file. Unset: the default rules, as in `config/rules.yaml`."},
    {.name = "stop.grace",
     .type = OPTION_DURATION_MS,
     .offset = AT(stop_grace_ms),
     .preset = "25s",
     .least = 1000,
     .most = 3600000,
     .purpose = "How long the process may take to end in good order after SIGTERM; then it ends "
                "anyhow, and what was not committed is processed again by whoever takes over."},
};
#undef AT

static const struct option_table process_option_table = {
    .section = "",
    .options = process_options,
    .count = sizeof process_options / sizeof process_options[0],
    .bytes = sizeof(struct process_options),
};

static const char *const log_levels[] = {"debug", "info", "warn", "error", "off", NULL};
static const char *const log_formats[] = {"text", "json", NULL};

#define AT(member) offsetof(struct log_options, member)
static const struct option log_option_rows[] = {
    {.name = "level",
     .type = OPTION_CHOICE,
     .offset = AT(level),
     .preset = "info",
     .choices = log_levels,
     .purpose = "The least important lines that are written, to standard error."},
    {.name = "format",
     .type = OPTION_CHOICE,
     .offset = AT(format),
     .preset = "text",
     .choices = log_formats,
     .purpose = "`json`: one object a line."},
};
#undef AT

static const struct option_table log_option_table = {
    .section = "log",
    .options = log_option_rows,
    .count = sizeof log_option_rows / sizeof log_option_rows[0],
    .bytes = sizeof(struct log_options),
};

const struct option_table *const *settings_tables(void)
{
    static const struct option_table *tables[TABLES_MAX];
    const struct option_table *const own[] = {
        &process_option_table, &kafka_option_table,    &kafka_topic_option_table,
        &codec_option_table,   &pipeline_option_table,
    };
    const struct option_table *const *engine = engine_option_tables();
    size_t count = 0;

    for (size_t i = 0; i < sizeof own / sizeof own[0]; i++)
        tables[count++] = own[i];
    for (size_t i = 0; engine[i] != NULL; i++)
        tables[count++] = engine[i];
    tables[count++] = &sink_option_table;
    tables[count++] = &postgres_option_table;
    tables[count++] = &notify_option_table;
    tables[count++] = &http_option_table;
    tables[count++] = &log_option_table;
    assert(count < TABLES_MAX);
    tables[count] = NULL;
    return tables;
}

/* ---- roles ---- */

static const struct {
    enum role role;
    const char *name;
} roles[] = {{ROLE_PROCESSOR, "processor"}, {ROLE_POSTGRES, "postgres"}, {ROLE_NOTIFY, "notify"}};
enum { ROLE_COUNT = sizeof roles / sizeof roles[0] };

const char *role_name(enum role role)
{
    for (size_t i = 0; i < ROLE_COUNT; i++)
        if (roles[i].role == role)
            return roles[i].name;
    return "none";
}

static uint32_t find_role(const char *name)
{
    for (size_t i = 0; i < ROLE_COUNT; i++)
        if (strcmp(name, roles[i].name) == 0)
            return roles[i].role;
    return 0;
}

static void read_roles(struct settings *settings, const char *text, const struct tree *at)
{
    char *copy = arena_print(settings->arena, "%s", text), *rest = copy;

    for (char *name = strsep(&rest, ","); name != NULL; name = strsep(&rest, ",")) {
        name += strspn(name, " ");
        name[strcspn(name, " ")] = '\0';
        if (find_role(name) == 0)
            complain(&settings->complaints, at,
                     "roles: expected processor, postgres or notify, not '%s'", name);
        settings->roles |= find_role(name);
    }
}

static void choose_roles(const struct settings_request *request, struct settings *settings)
{
    const char *text = request->roles != NULL ? request->roles : settings->process.roles;
    const struct tree *at = request->roles == NULL && getenv("WEIR_ROLES") == NULL
                                ? tree_get(settings->root, "roles")
                                : NULL;

    bool has_postgres = postgres_is_configured(&settings->postgres);
    bool has_channel = notify_is_configured(&settings->notify, NOTIFY_SLACK) ||
                       notify_is_configured(&settings->notify, NOTIFY_EMAIL);

    if (text == NULL) {
        settings->roles =
            ROLE_PROCESSOR | (has_postgres ? ROLE_POSTGRES : 0u) | (has_channel ? ROLE_NOTIFY : 0u);
        return;
    }
    read_roles(settings, text, at);
    if ((request->parts & SETTINGS_SINKS) == 0)
        return;
    if ((settings->roles & ROLE_POSTGRES) != 0 && !has_postgres)
        complain(&settings->complaints, at,
                 "roles: postgres has no database; set WEIR_POSTGRES_URL, or postgres.url_file");
    if ((settings->roles & ROLE_NOTIFY) != 0 && !has_channel)
        complain(&settings->complaints, at,
                 "roles: notify has no channel; set SLACK_WEBHOOK_URL, or EMAIL_API_KEY and "
                 "ADMIN_EMAIL, or see section notify (weir config)");
}

/* ---- the file ---- */

static bool is_section(struct view name)
{
    const struct option_table *const *tables = settings_tables();

    for (size_t i = 0; tables[i] != NULL; i++)
        if (tables[i]->section[0] != '\0' && view_is_text(name, tables[i]->section))
            return true;
    return false;
}

/* Whether `name` is the option or, as `stop` of `stop.grace`, a group that holds it. */
static bool is_name_or_group(struct view option, struct view name)
{
    bool is_whole =
        option.size == name.size || (option.size > name.size && option.data[name.size] == '.');
    return is_whole && view_has_prefix(option, name);
}

/* `http.listen: X` at the top is `http: {listen: X}`: it moves to where the rooms look for it. */
static void fold_sections(struct settings *settings, struct tree *root)
{
    for (struct tree **at = &root->child; *at != NULL;) {
        struct tree *node = *at;
        const char *dot = memchr(node->name.data, '.', node->name.size);
        struct view section = node->name;
        if (dot != NULL)
            section.size = (uint32_t)(dot - node->name.data);
        if (dot == NULL || !is_section(section)) {
            at = &node->next;
            continue;
        }
        struct tree **map = &root->child, **last;
        while (*map != NULL && !view_is_equal((*map)->name, section))
            map = &(*map)->next;
        if (*map == NULL) {
            *map = arena_alloc(settings->arena, sizeof **map);
            **map = (struct tree){.line = node->line, .file = node->file, .name = section};
        }
        if ((*map)->kind == TREE_NULL)
            (*map)->kind = TREE_MAP;
        for (last = &(*map)->child; *last != NULL;)
            last = &(*last)->next;
        *at = node->next;
        node->name.data += section.size + 1;
        node->name.size -= section.size + 1;
        node->next = NULL;
        *last = node;
    }
}

/* The full name of a setting that stands under `name` in some section; NULL: in none. */
static const char *find_in_sections(struct settings *settings, struct view name)
{
    const struct option_table *const *tables = settings_tables();

    for (size_t i = 0; tables[i] != NULL; i++)
        for (size_t j = 0; tables[i]->section[0] != '\0' && j < tables[i]->count; j++)
            if (is_name_or_group(view_of(tables[i]->options[j].name), name))
                return arena_print(settings->arena, "%s.%.*s", tables[i]->section,
                                   VIEW_PRINT(name));
    return NULL;
}

static void complain_of_section(struct settings *settings, const struct tree *node)
{
    const struct option_table *const *tables = settings_tables();
    const char *names[TABLES_MAX], *name = arena_copy(settings->arena, node->name).data;
    size_t count = 0;

    for (size_t i = 0; tables[i] != NULL; i++)
        if (tables[i]->section[0] != '\0')
            names[count++] = tables[i]->section;
    const char *nearest = args_nearest(name, names, count);
    if (nearest != NULL)
        complain(&settings->complaints, node, "%s: no such section; did you mean %s?", name,
                 nearest);
    else
        complain(&settings->complaints, node, "%s: no such section", name);
}

static bool is_process_option(struct view name)
{
    for (size_t i = 0; i < process_option_table.count; i++)
        if (is_name_or_group(view_of(process_option_table.options[i].name), name))
            return true;
    return false;
}

/* The settings that stand at the top level, without the sections: those are the rooms'. */
static const struct tree *pick_top_level(struct settings *settings, const struct tree *root)
{
    struct tree *picked = arena_alloc(settings->arena, sizeof *picked);
    struct tree **last = &picked->child;

    *picked = (struct tree){.kind = TREE_MAP, .line = root->line, .file = root->file};
    for (const struct tree *node = root->child; node != NULL; node = node->next) {
        bool is_nested = node->kind == TREE_MAP || node->kind == TREE_LIST;
        bool is_own = is_process_option(node->name);
        const char *elsewhere = is_own ? NULL : find_in_sections(settings, node->name);
        if (is_section(node->name))
            continue;
        if (elsewhere != NULL) {
            complain(&settings->complaints, node, "%.*s: unknown here; did you mean %s?",
                     VIEW_PRINT(node->name), elsewhere);
            continue;
        }
        if (is_nested && !is_own) {
            complain_of_section(settings, node);
            continue;
        }
        struct tree *copy = arena_alloc(settings->arena, sizeof *copy);
        *copy = *node;
        copy->next = NULL;
        *last = copy;
        last = &copy->next;
    }
    return picked;
}

static void find_file(const struct settings_request *request, struct settings *settings)
{
    const char *variable = getenv("WEIR_CONFIG");
    struct tree *root = NULL;

    if (request->file != NULL)
        settings->file = request->file;
    else if (variable != NULL && variable[0] != '\0')
        settings->file = variable;
    else if (access(preset_file, F_OK) == 0)
        settings->file = preset_file;
    if (settings->file == NULL)
        return;
    yaml_parse_file(settings->file, settings->arena, &root, &settings->complaints);
    if (root == NULL || root->kind == TREE_NULL)
        return;
    if (root->kind != TREE_MAP) {
        complain(&settings->complaints, root, "expected a map of settings (weir config --example)");
        return;
    }
    fold_sections(settings, root);
    settings->root = root;
}

/* ---- the environment ---- */

extern char **environ;

static bool has_variable(const char *name)
{
    const struct option_table *const *tables = settings_tables();

    for (size_t i = 0; tables[i] != NULL; i++)
        if (option_has_variable(tables[i], name))
            return true;
    return strcmp(name, "WEIR_CONFIG") == 0 || kafka_has_variable(name);
}

/* Worth a word, but no error: an orchestrator makes variables out of the names of services. */
static void find_unknown_variables(struct settings *settings)
{
    const char *unknown = NULL;

    for (char **variable = environ; *variable != NULL; variable++) {
        const char *equals = strchr(*variable, '=');
        if (equals == NULL || strncmp(*variable, "WEIR_", 5) != 0)
            continue;
        const char *name =
            arena_print(settings->arena, "%.*s", (int)(equals - *variable), *variable);
        if (!has_variable(name))
            unknown = arena_print(settings->arena, "%s%s%s", unknown != NULL ? unknown : "",
                                  unknown != NULL ? ", " : "", name);
    }
    settings->unknown_variables = unknown;
}

/* ---- the parts ---- */

static const char *rules_path(struct settings *settings)
{
    const char *path = settings->process.rules;
    const char *slash = settings->file != NULL ? strrchr(settings->file, '/') : NULL;
    const char *variable = getenv("WEIR_RULES");
    bool is_variable = variable != NULL && variable[0] != '\0';

    if (path == NULL || path[0] == '/' || slash == NULL || is_variable)
        return path;
    return arena_print(settings->arena, "%.*s/%s", (int)(slash - settings->file), settings->file,
                       path);
}

/* Where the path of the rules was written; NULL: not in the file. */
static const struct tree *place_of_rules(const struct settings_request *request,
                                         const struct settings *settings)
{
    const char *variable = getenv("WEIR_RULES");

    if (request->rules != NULL || (variable != NULL && variable[0] != '\0'))
        return NULL;
    return tree_get(settings->root, "rules");
}

static void read_engine(const struct settings_request *request, struct settings *settings)
{
    const char *path = request->rules != NULL ? request->rules : rules_path(settings);
    const struct tree *at = place_of_rules(request, settings);
    struct tree *rules = NULL;

    /* Without readable rules the rest is checked against the default ones. */
    if (path != NULL && at != NULL && access(path, R_OK) != 0)
        complain(&settings->complaints, at, "rules: %s: %s", path, strerror(errno));
    else if (path != NULL)
        yaml_parse_file(path, settings->arena, &rules, &settings->complaints);
    settings->engine_config =
        engine_config_create(settings->root, rules, yaml_parse_text, &settings->complaints);
}

static void read_table(struct settings *settings, const struct option_table *table, void *values)
{
    option_read(table, tree_get(settings->root, table->section), values, settings->arena,
                &settings->complaints);
}

static void read_parts(const struct settings_request *request, struct settings *settings)
{
    if ((request->parts & SETTINGS_KAFKA) != 0)
        kafka_options_read(settings->root, &settings->kafka, settings->arena,
                           &settings->complaints);
    if ((request->parts & SETTINGS_CODEC) != 0)
        read_table(settings, &codec_option_table, &settings->codec);
    settings->codec.topic_prefix = settings->kafka.topics.prefix; /* absent without that part */
    if ((request->parts & SETTINGS_PIPELINE) != 0)
        read_table(settings, &pipeline_option_table, &settings->pipeline);
    if ((request->parts & SETTINGS_SINKS) != 0) {
        read_table(settings, &sink_option_table, &settings->sink);
        read_table(settings, &postgres_option_table, &settings->postgres);
        read_table(settings, &notify_option_table, &settings->notify);
        notify_check(&settings->notify, &settings->complaints);
    }
    if ((request->parts & SETTINGS_HTTP) != 0) {
        read_table(settings, &http_option_table, &settings->http);
        http_check(&settings->http, tree_get(settings->root, "http"), &settings->complaints);
    }
    if ((request->parts & SETTINGS_ENGINE) != 0)
        read_engine(request, settings);
    if (request->embedded != NULL) {
        kafka_options_embed(&settings->kafka, request->embedded, settings->arena);
        /* An embedded broker keeps no positions of a transaction. */
        settings->pipeline.guarantee = GUARANTEE_AT_LEAST_ONCE;
    }
}

void settings_read(const struct settings_request *request, struct settings *settings)
{
    *settings = (struct settings){.arena = arena_create(CHUNK_BYTES)};
    complaints_init(&settings->complaints, settings->arena);
    find_file(request, settings);
    const struct tree *top =
        settings->root != NULL ? pick_top_level(settings, settings->root) : NULL;
    option_read(&process_option_table, top, &settings->process, settings->arena,
                &settings->complaints);
    option_read(&log_option_table, tree_get(settings->root, log_option_table.section),
                &settings->log, settings->arena, &settings->complaints);
    find_unknown_variables(settings);
    read_parts(request, settings);
    choose_roles(request, settings);
    if (settings->process.workers == 0)
        settings->process.workers = sysconf(_SC_NPROCESSORS_ONLN);
}

int64_t settings_partition_bytes_max(const struct settings *settings)
{
    const struct option_table *const *tables = engine_option_tables();
    struct complaints unheard; /* they were heard when the engine read the same */
    int64_t sum = 0;

    complaints_init(&unheard, settings->arena);
    for (size_t i = 0; tables[i] != NULL; i++) {
        char *values = arena_alloc(settings->arena, tables[i]->bytes);
        option_read(tables[i], tree_get(settings->root, tables[i]->section), values,
                    settings->arena, &unheard);
        for (size_t j = 0; j < tables[i]->count; j++) {
            const struct option *option = &tables[i]->options[j];
            bool is_of_partition = option->type == OPTION_BYTES && option->unit != NULL &&
                                   strcmp(option->unit, "a partition") == 0;
            int64_t bytes = 0;
            if (is_of_partition)
                memcpy(&bytes, values + option->offset, sizeof bytes);
            sum += bytes;
        }
    }
    return sum;
}

struct placed {
    const char *text;
    size_t file_bytes; /* of "FILE:" at the beginning; 0: no place */
    long line;
    uint32_t order;
};

static struct placed place_complaint(const struct complaint *complaint, uint32_t order)
{
    struct placed placed = {complaint->text, 0, 0, order};
    const char *colon = strchr(complaint->text, ':');
    char *end;

    if (colon == NULL)
        return placed;
    placed.line = strtol(colon + 1, &end, 10);
    if (end != colon + 1 && *end == ':')
        placed.file_bytes = (size_t)(colon - complaint->text);
    return placed;
}

/* What has no place comes last; a file's errors stand together, by line. */
static int compare_places(const void *a, const void *b)
{
    const struct placed *left = a, *right = b;
    int order = 0;

    if ((left->file_bytes == 0) != (right->file_bytes == 0))
        return left->file_bytes == 0 ? 1 : -1;
    if (left->file_bytes != right->file_bytes)
        order = left->file_bytes < right->file_bytes ? -1 : 1;
    else
        order = memcmp(left->text, right->text, left->file_bytes);
    if (order == 0 && left->file_bytes > 0)
        order = (left->line > right->line) - (left->line < right->line);
    return order != 0 ? order : (left->order > right->order) - (left->order < right->order);
}

void settings_print_complaints(const struct settings *settings)
{
    uint32_t count = 0;
    struct placed *placed =
        arena_alloc(settings->arena, (settings->complaints.count + 1) * sizeof *placed);

    for (const struct complaint *complaint = settings->complaints.first; complaint != NULL;
         complaint = complaint->next, count++)
        placed[count] = place_complaint(complaint, count);
    qsort(placed, count, sizeof *placed, compare_places);
    for (uint32_t i = 0; i < count; i++)
        fprintf(stderr, "%s\n", placed[i].text);
}

int settings_open(const struct settings_request *request, struct settings *settings)
{
    settings_read(request, settings);
    log_set((enum log_level)settings->log.level, (enum log_format)settings->log.format);
    settings_print_complaints(settings);
    if (settings->unknown_variables != NULL)
        log_warn("config", "the environment has %s: no setting is called so (weir config)",
                 settings->unknown_variables);
    return settings->complaints.count == 0 ? CODE_DONE : CODE_CONFIG;
}

void settings_close(struct settings *settings)
{
    engine_config_destroy(settings->engine_config);
    arena_destroy(settings->arena);
    *settings = (struct settings){0};
}
