#include "codec/registry.h"

#include <assert.h>
#include <curl/curl.h>
#include <inttypes.h>
#include <jansson.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/json_writer.h"
#include "base/map.h"

/* What the registry has under an id. */
struct entry {
    struct entry *next;
    struct arena *arena;         /* of the schema */
    const struct schema *schema; /* NULL: of no use, see refusal */
    char refusal[FAILURE_TEXT_MAX];
};

/* Ids that it does not know, each in the place that its number gives it: a stream of made-up
 * ids pushes out others, but takes no memory. */
enum { ABSENCE_COUNT = 1024 };

enum { ERROR_SCHEMA_NOT_FOUND = 40403 }; /* Confluent's, in the body of a 404 */

struct absence {
    uint32_t id;
    int64_t until_ms; /* believed until then; 0: none */
};

struct registry {
    struct registry *next;
    uint32_t users;
    char *url, *credentials;
    int64_t timeout_ms;

    pthread_mutex_t lock; /* entries, ids, pause */
    struct map *entries;  /* by id */
    struct entry *first;
    struct absence absences[ABSENCE_COUNT];
    struct map *ids; /* of our schemas, by subject */
    int64_t pause_ms, paused_until_ms;
    char pause_text[FAILURE_TEXT_MAX];

    pthread_mutex_t request_lock; /* taken before `lock`; the handle */
    CURL *handle;
    struct byte_writer answer;
};

static pthread_mutex_t list_lock = PTHREAD_MUTEX_INITIALIZER;
static struct registry *first_registry;
static pthread_once_t curl_once = PTHREAD_ONCE_INIT;

static void start_curl(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

/* user:password; NULL without a user. */
static char *join_credentials(const struct registry_options *options)
{
    char *text = NULL;

    if (options->user == NULL)
        return NULL;
    if (asprintf(&text, "%s:%s", options->user,
                 options->password != NULL ? options->password : "") < 0)
        abort();
    return text;
}

static bool is_same(const struct registry *registry, const char *url, const char *credentials)
{
    const char *own = registry->credentials != NULL ? registry->credentials : "";

    return strcmp(registry->url, url) == 0 &&
           strcmp(own, credentials != NULL ? credentials : "") == 0;
}

static struct registry *create_registry(char *url, char *credentials, int64_t timeout_ms)
{
    struct registry *registry = calloc(1, sizeof *registry);

    if (registry == NULL)
        abort();
    registry->url = url;
    registry->credentials = credentials;
    registry->timeout_ms = timeout_ms;
    registry->entries = map_create();
    registry->ids = map_create();
    byte_writer_init(&registry->answer);
    pthread_mutex_init(&registry->lock, NULL);
    pthread_mutex_init(&registry->request_lock, NULL);
    return registry;
}

enum status registry_open(const struct registry_options *options, struct registry **registry,
                          struct failure *failure)
{
    struct registry *found;

    if (strncmp(options->url, "http://", 7) != 0 && strncmp(options->url, "https://", 8) != 0)
        return failure_set(failure, REMEDY_STOP,
                           "schema.registry.url: expected http://... or https://...");
    pthread_once(&curl_once, start_curl);
    char *url = strdup(options->url);
    char *credentials = join_credentials(options);
    if (url == NULL)
        abort();
    for (size_t size = strlen(url); size > 0 && url[size - 1] == '/'; size--)
        url[size - 1] = '\0';

    pthread_mutex_lock(&list_lock);
    for (found = first_registry; found != NULL; found = found->next)
        if (is_same(found, url, credentials))
            break;
    if (found == NULL) {
        found = create_registry(url, credentials, options->timeout_ms);
        found->next = first_registry;
        first_registry = found;
        url = credentials = NULL;
    }
    found->users++;
    pthread_mutex_unlock(&list_lock);
    free(url);
    free(credentials);
    *registry = found;
    return STATUS_OK;
}

static void destroy_registry(struct registry *registry)
{
    while (registry->first != NULL) {
        struct entry *entry = registry->first;
        registry->first = entry->next;
        arena_destroy(entry->arena);
        free(entry);
    }
    map_destroy(registry->entries);
    map_destroy(registry->ids);
    byte_writer_free(&registry->answer);
    curl_easy_cleanup(registry->handle);
    pthread_mutex_destroy(&registry->lock);
    pthread_mutex_destroy(&registry->request_lock);
    free(registry->url);
    free(registry->credentials);
    free(registry);
}

void registry_close(struct registry *registry)
{
    if (registry == NULL)
        return;
    pthread_mutex_lock(&list_lock);
    const bool is_last = --registry->users == 0;
    for (struct registry **link = &first_registry; is_last && *link != NULL; link = &(*link)->next)
        if (*link == registry) {
            *link = registry->next;
            break;
        }
    pthread_mutex_unlock(&list_lock);
    if (is_last)
        destroy_registry(registry);
}

/* ---- requests ------------------------------------------------------------------ */

static size_t keep_answer(char *data, size_t size, size_t count, void *context)
{
    struct registry *registry = context;

    if (registry->answer.size + size * count > REGISTRY_ANSWER_BYTES_MAX)
        return 0; /* curl gives the transfer up */
    byte_put(&registry->answer, data, size * count);
    return size * count;
}

/* The HTTP status and the answer, or 0 and a text when there was none. */
static long request(struct registry *registry, const char *path, struct view body, char *error_text)
{
    struct curl_slist *headers =
        curl_slist_append(NULL, "Accept: application/vnd.schemaregistry.v1+json");
    char *url = NULL;
    long http_status = 0;

    error_text[0] = '\0';
    byte_writer_reset(&registry->answer);
    if (registry->handle == NULL)
        registry->handle = curl_easy_init();
    if (registry->handle == NULL || headers == NULL ||
        asprintf(&url, "%s%s", registry->url, path) < 0)
        abort();

    CURL *handle = registry->handle;
    curl_easy_reset(handle); /* options go, the connection stays */
    curl_easy_setopt(handle, CURLOPT_URL, url);
    curl_easy_setopt(handle, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(handle, CURLOPT_TIMEOUT_MS, (long)registry->timeout_ms);
    curl_easy_setopt(handle, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(handle, CURLOPT_WRITEFUNCTION, keep_answer);
    curl_easy_setopt(handle, CURLOPT_WRITEDATA, registry);
    curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, error_text);
    curl_easy_setopt(handle, CURLOPT_USERAGENT, "weir/" WEIR_VERSION);
    if (registry->credentials != NULL) {
        curl_easy_setopt(handle, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(handle, CURLOPT_USERPWD, registry->credentials);
    }
    if (!view_is_absent(body)) {
        headers =
            curl_slist_append(headers, "Content-Type: application/vnd.schemaregistry.v1+json");
        curl_easy_setopt(handle, CURLOPT_POSTFIELDS, body.data);
        curl_easy_setopt(handle, CURLOPT_POSTFIELDSIZE, (long)body.size);
    }
    curl_easy_setopt(handle, CURLOPT_HTTPHEADER, headers);
    const CURLcode code = curl_easy_perform(handle);
    if (code == CURLE_OK)
        curl_easy_getinfo(handle, CURLINFO_RESPONSE_CODE, &http_status);
    else if (error_text[0] == '\0')
        snprintf(error_text, CURL_ERROR_SIZE, "%s", curl_easy_strerror(code));
    /* The handle keeps a pointer to what is about to go. */
    curl_easy_setopt(handle, CURLOPT_ERRORBUFFER, NULL);
    curl_slist_free_all(headers);
    free(url);
    return http_status;
}

/* `lock` is held. */
static enum status still_paused(struct registry *registry, int64_t now_ms, struct failure *failure)
{
    if (now_ms >= registry->paused_until_ms)
        return STATUS_OK;
    return failure_set(failure, REMEDY_RETRY, "%s", registry->pause_text);
}

static enum status pause(struct registry *registry, const struct clock *clock,
                         struct failure *failure, const char *text)
{
    const int64_t now_ms = clock_monotonic_ms(clock);

    pthread_mutex_lock(&registry->lock);
    registry->pause_ms = registry->pause_ms == 0 ? REGISTRY_PAUSE_MIN_MS : registry->pause_ms * 2;
    if (registry->pause_ms > REGISTRY_PAUSE_MAX_MS)
        registry->pause_ms = REGISTRY_PAUSE_MAX_MS;
    registry->paused_until_ms = now_ms + registry->pause_ms;
    snprintf(registry->pause_text, sizeof registry->pause_text, "schema registry %s: %s",
             registry->url, text);
    pthread_mutex_unlock(&registry->lock);
    return failure_set(failure, REMEDY_RETRY, "schema registry %s: %s", registry->url, text);
}

static void end_pause(struct registry *registry)
{
    pthread_mutex_lock(&registry->lock);
    registry->pause_ms = registry->paused_until_ms = 0;
    pthread_mutex_unlock(&registry->lock);
}

/* Answers that say nothing about the schema: the registry is down, overloaded, not let
 * us in, or is none. */
static enum status no_answer(struct registry *registry, const struct clock *clock, long http_status,
                             const char *error_text, struct failure *failure)
{
    char text[CURL_ERROR_SIZE + 80];

    if (http_status == 0)
        snprintf(text, sizeof text, "%s", error_text);
    else if (http_status == 401 || http_status == 403)
        snprintf(text, sizeof text,
                 "HTTP %ld: check schema.registry.user and schema.registry.password", http_status);
    else if (http_status == 404)
        snprintf(text, sizeof text,
                 "HTTP 404 without a reason: check the path in "
                 "schema.registry.url");
    else
        snprintf(text, sizeof text, "HTTP %ld%s", http_status,
                 http_status == 200 ? " with an answer that is no answer of a registry" : "");
    return pause(registry, clock, failure, text);
}

/* ---- schemas by id ------------------------------------------------------------- */

static struct view id_key(const uint32_t *id)
{
    return (struct view){(const char *)id, sizeof *id};
}

/* What is known already; STATUS_AGAIN: nothing, ask. */
static enum status look_up(struct registry *registry, const struct clock *clock, uint32_t id,
                           const struct schema **schema, struct failure *failure)
{
    const struct absence *absence = &registry->absences[id % ABSENCE_COUNT];
    enum status status = STATUS_AGAIN;
    uint64_t value;

    pthread_mutex_lock(&registry->lock);
    if (map_get(registry->entries, id_key(&id), &value)) {
        const struct entry *entry = (const struct entry *)(uintptr_t)value;
        *schema = entry->schema;
        status = entry->schema != NULL
                     ? STATUS_OK
                     : failure_set(failure, REMEDY_SET_ASIDE, "%s", entry->refusal);
    } else if (absence->id == id && clock_monotonic_ms(clock) < absence->until_ms) {
        status = STATUS_ABSENT;
    } else if (still_paused(registry, clock_monotonic_ms(clock), failure) != STATUS_OK) {
        status = STATUS_BROKEN;
    }
    pthread_mutex_unlock(&registry->lock);
    return status;
}

static void keep_entry(struct registry *registry, uint32_t id, const struct entry *made)
{
    struct entry *entry = calloc(1, sizeof *entry);

    if (entry == NULL)
        abort();
    *entry = *made;
    pthread_mutex_lock(&registry->lock);
    entry->next = registry->first;
    registry->first = entry;
    map_put(registry->entries, id_key(&id), (uint64_t)(uintptr_t)entry);
    pthread_mutex_unlock(&registry->lock);
}

static void keep_absence(struct registry *registry, const struct clock *clock, uint32_t id)
{
    const int64_t until_ms = clock_monotonic_ms(clock) + REGISTRY_UNKNOWN_MS;

    pthread_mutex_lock(&registry->lock);
    registry->absences[id % ABSENCE_COUNT] = (struct absence){id, until_ms};
    pthread_mutex_unlock(&registry->lock);
}

/* Of an answer that has a schema. */
static enum status use_schema(const json_t *answer, struct arena *arena,
                              const struct schema **schema, struct failure *failure)
{
    const json_t *text = json_object_get(answer, "schema");
    const char *type = json_string_value(json_object_get(answer, "schemaType"));

    if (type != NULL && strcmp(type, "AVRO") != 0)
        return failure_set(failure, REMEDY_SET_ASIDE, "expected a schema of type AVRO");
    if (json_array_size(json_object_get(answer, "references")) > 0)
        return failure_set(failure, REMEDY_SET_ASIDE, "schema references are not supported");
    return schema_parse((struct view){json_string_value(text), (uint32_t)json_string_length(text)},
                        arena, schema, failure);
}

enum status registry_read_schema(long http_status, struct view answer, struct arena *arena,
                                 const struct schema **schema, struct failure *failure)
{
    json_t *json = json_loadb(answer.data, answer.size, 0, NULL);
    enum status status = STATUS_AGAIN;

    if (http_status == 200 && json_is_string(json_object_get(json, "schema")))
        status = use_schema(json, arena, schema, failure);
    else if (http_status == 404 &&
             json_integer_value(json_object_get(json, "error_code")) == ERROR_SCHEMA_NOT_FOUND)
        status = STATUS_ABSENT;
    json_decref(json);
    return status;
}

static void refuse_entry(struct entry *entry, uint32_t id, const char *text)
{
    snprintf(entry->refusal, sizeof entry->refusal, "schema id %" PRIu32 ": %.300s", id, text);
    arena_destroy(entry->arena);
    entry->arena = NULL;
    entry->schema = NULL;
}

/* request_lock is held. */
static enum status fetch_schema(struct registry *registry, const struct clock *clock, uint32_t id,
                                const struct schema **schema, struct failure *failure)
{
    char path[64], error_text[CURL_ERROR_SIZE];
    struct entry entry = {.arena = arena_create(4096)};
    struct failure refusal = {0};

    snprintf(path, sizeof path, "/schemas/ids/%" PRIu32, id);
    const long http_status = request(registry, path, (struct view){NULL, 0}, error_text);
    enum status status = registry_read_schema(http_status, byte_writer_view(&registry->answer),
                                              entry.arena, &entry.schema, &refusal);

    if (status == STATUS_OK || status == STATUS_BROKEN) {
        if (status == STATUS_BROKEN)
            refuse_entry(&entry, id, refusal.text);
        *schema = entry.schema;
        keep_entry(registry, id, &entry);
        end_pause(registry);
        return status == STATUS_OK ? STATUS_OK
                                   : failure_set(failure, REMEDY_SET_ASIDE, "%s", entry.refusal);
    }
    arena_destroy(entry.arena);
    if (status != STATUS_ABSENT)
        return no_answer(registry, clock, http_status, error_text, failure);
    keep_absence(registry, clock, id);
    end_pause(registry);
    return STATUS_ABSENT;
}

enum status registry_schema(struct registry *registry, const struct clock *clock, uint32_t id,
                            const struct schema **schema, struct failure *failure)
{
    enum status status = look_up(registry, clock, id, schema, failure);

    if (status != STATUS_AGAIN)
        return status;
    pthread_mutex_lock(&registry->request_lock);
    /* Somebody else may have asked while we waited. */
    status = look_up(registry, clock, id, schema, failure);
    if (status == STATUS_AGAIN)
        status = fetch_schema(registry, clock, id, schema, failure);
    pthread_mutex_unlock(&registry->request_lock);
    return status;
}

/* ---- ids of our schemas -------------------------------------------------------- */

/* Characters that a path may hold as they are (RFC 3986, unreserved); others as %XX. */
static void put_path_part(struct byte_writer *out, struct view part)
{
    for (uint32_t i = 0; i < part.size; i++) {
        const unsigned char byte = (unsigned char)part.data[i];
        const bool is_letter = ((byte | 0x20) >= 'a' && (byte | 0x20) <= 'z');
        if (is_letter || (byte >= '0' && byte <= '9') || strchr("-._~", byte) != NULL)
            byte_put_u8(out, byte);
        else
            byte_print(out, "%%%02X", byte);
    }
}

enum status registry_read_id(long http_status, struct view answer, uint32_t *id)
{
    json_t *json = json_loadb(answer.data, answer.size, 0, NULL);
    const json_t *given = json_object_get(json, "id");
    const json_int_t number = json_is_integer(given) ? json_integer_value(given) : -1;
    const bool is_given = http_status == 200 && number >= 0 && number <= UINT32_MAX;

    if (is_given)
        *id = (uint32_t)number;
    json_decref(json);
    return is_given ? STATUS_OK : STATUS_AGAIN;
}

static enum status ask_id(struct registry *registry, const struct clock *clock, struct view subject,
                          struct view text, uint32_t *id, struct failure *failure)
{
    char error_text[CURL_ERROR_SIZE];
    struct byte_writer path, body;
    struct json_writer json = json_writer_on(&body);
    enum status status = STATUS_OK;

    byte_writer_init(&path);
    byte_writer_init(&body);
    byte_print(&path, "/subjects/");
    put_path_part(&path, subject);
    byte_put(&path, "/versions", sizeof "/versions");
    json_begin_object(&json);
    json_name(&json, "schema");
    json_view(&json, text);
    json_end_object(&json);

    const long http_status = request(registry, path.data, byte_writer_view(&body), error_text);
    if (registry_read_id(http_status, byte_writer_view(&registry->answer), id) == STATUS_OK) {
        end_pause(registry);
    } else if (http_status == 409 || http_status == 422) {
        status = failure_set(failure, REMEDY_STOP,
                             "schema registry: it refuses our schema for %.*s: HTTP %ld, %s",
                             VIEW_PRINT(subject), http_status,
                             http_status == 409 ? "incompatible with the one it has" : "invalid");
    } else {
        status = no_answer(registry, clock, http_status, error_text, failure);
    }
    byte_writer_free(&path);
    byte_writer_free(&body);
    return status;
}

/* What is known already; STATUS_AGAIN: nothing, ask. */
static enum status look_up_id(struct registry *registry, const struct clock *clock,
                              struct view subject, uint32_t *id, struct failure *failure)
{
    enum status status = STATUS_AGAIN;
    uint64_t value;

    pthread_mutex_lock(&registry->lock);
    if (map_get(registry->ids, subject, &value)) {
        *id = (uint32_t)value;
        status = STATUS_OK;
    } else if (still_paused(registry, clock_monotonic_ms(clock), failure) != STATUS_OK) {
        status = STATUS_BROKEN;
    }
    pthread_mutex_unlock(&registry->lock);
    return status;
}

enum status registry_register(struct registry *registry, const struct clock *clock,
                              struct view subject, struct view text, uint32_t *id,
                              struct failure *failure)
{
    enum status status = look_up_id(registry, clock, subject, id, failure);

    if (status != STATUS_AGAIN)
        return status;
    pthread_mutex_lock(&registry->request_lock);
    status = look_up_id(registry, clock, subject, id, failure);
    if (status == STATUS_AGAIN) {
        status = ask_id(registry, clock, subject, text, id, failure);
        if (status == STATUS_OK) {
            pthread_mutex_lock(&registry->lock);
            map_put(registry->ids, subject, *id);
            pthread_mutex_unlock(&registry->lock);
        }
    }
    pthread_mutex_unlock(&registry->request_lock);
    return status;
}
