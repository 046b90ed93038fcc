#include "ops/http.h"

#include <arpa/inet.h>
#include <assert.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ops/process.h"

enum { HOST_BYTES = 64, BACKLOG = 64, CONNECTION_MEMORY_BYTES = 16384 };

struct http {
    struct health *health;
    struct metric_registry *metrics;
    struct process *process;
    struct MHD_Daemon *daemon;
    uint16_t port;
    struct metric *requests_metric;
};

static const struct option options[] = {
    {.name = "listen",
     .type = OPTION_TEXT,
     .offset = offsetof(struct http_options, listen),
     .preset = "127.0.0.1:9464",
     .purpose = "Address of /metrics, /healthz, /readyz and /status; off: none."},
    {.name = "connections_max",
     .type = OPTION_INT,
     .offset = offsetof(struct http_options, connections_max),
     .preset = "64",
     .least = 1,
     .most = 1000,
     .unit = "connections",
     .purpose = "Connections at once, half of them from one address; further ones are closed."},
    {.name = "timeout_ms",
     .type = OPTION_DURATION_MS,
     .offset = offsetof(struct http_options, timeout_ms),
     .preset = "10s",
     .least = 1000,
     .most = 600000,
     .unit = "ms",
     .purpose = "A connection without traffic is closed after this."},
};

const struct option_table http_option_table = {
    .section = "http",
    .options = options,
    .count = sizeof(options) / sizeof(options[0]),
    .bytes = sizeof(struct http_options),
};

#define ADDRESS_COMPLAINT "http.listen: expected address:port, such as 127.0.0.1:9464, not '%s'"

bool http_is_configured(const struct http_options *http_options)
{
    return http_options->listen != NULL && http_options->listen[0] != '\0' &&
           strcmp(http_options->listen, "off") != 0;
}

/* ---- the address ---- */

bool http_read_address(const char *text, char *host, size_t host_bytes, uint16_t *port)
{
    const char *colon = strrchr(text, ':');
    size_t size;
    int64_t number;

    if (colon == NULL || !text_int(view_of(colon + 1), &number) || number < 0 ||
        number > UINT16_MAX)
        return false;
    size = (size_t)(colon - text);
    if (size >= 2 && text[0] == '[' && text[size - 1] == ']') {
        text++;
        size -= 2;
    } else if (memchr(text, ':', size) != NULL) {
        return false;
    }
    if (size >= host_bytes)
        return false;
    memcpy(host, text, size);
    host[size] = '\0';
    *port = (uint16_t)number;
    return true;
}

/* Numbers only: a name could mean several addresses, or another one tomorrow. */
static bool fill_address(const char *text, struct sockaddr_storage *address, socklen_t *size)
{
    struct sockaddr_in *four = (struct sockaddr_in *)address;
    struct sockaddr_in6 *six = (struct sockaddr_in6 *)address;
    char host[HOST_BYTES];
    uint16_t port;

    memset(address, 0, sizeof(*address));
    if (!http_read_address(text, host, sizeof(host), &port))
        return false;
    if (strcmp(host, "localhost") == 0)
        snprintf(host, sizeof(host), "127.0.0.1");
    if (host[0] == '\0' || strcmp(host, "*") == 0)
        snprintf(host, sizeof(host), "0.0.0.0");
    if (inet_pton(AF_INET, host, &four->sin_addr) == 1) {
        four->sin_family = AF_INET;
        four->sin_port = htons(port);
        *size = sizeof(*four);
        return true;
    }
    if (inet_pton(AF_INET6, host, &six->sin6_addr) == 1) {
        six->sin6_family = AF_INET6;
        six->sin6_port = htons(port);
        *size = sizeof(*six);
        return true;
    }
    return false;
}

void http_check(const struct http_options *http_options, const struct tree *section,
                struct complaints *complaints)
{
    struct sockaddr_storage address;
    socklen_t size;

    if (http_is_configured(http_options) && !fill_address(http_options->listen, &address, &size))
        complain(complaints, tree_get(section, "listen"), ADDRESS_COMPLAINT, http_options->listen);
}

static enum status listen_on(const char *text, int *listening, uint16_t *port,
                             struct failure *failure)
{
    struct sockaddr_storage address;
    socklen_t size;
    int yes = 1;

    if (!fill_address(text, &address, &size))
        return failure_set(failure, REMEDY_STOP, ADDRESS_COMPLAINT, text);
    *listening = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (*listening < 0 ||
        setsockopt(*listening, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) != 0 ||
        bind(*listening, (struct sockaddr *)&address, size) != 0 ||
        listen(*listening, BACKLOG) != 0 ||
        getsockname(*listening, (struct sockaddr *)&address, &size) != 0)
        return failure_set(failure, REMEDY_STOP, "http.listen: %s: %s", text, strerror(errno));
    *port = ntohs(address.ss_family == AF_INET ? ((struct sockaddr_in *)&address)->sin_port
                                               : ((struct sockaddr_in6 *)&address)->sin6_port);
    return STATUS_OK;
}

/* ---- answers ---- */

static unsigned int write_metrics(struct http *http, struct byte_writer *out)
{
    process_observe(http->process);
    metric_print(http->metrics, out);
    return MHD_HTTP_OK;
}

static unsigned int write_live(struct http *http, struct byte_writer *out)
{
    return health_live(http->health, out) ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
}

static unsigned int write_ready(struct http *http, struct byte_writer *out)
{
    return health_ready(http->health, out) ? MHD_HTTP_OK : MHD_HTTP_SERVICE_UNAVAILABLE;
}

static unsigned int write_status(struct http *http, struct byte_writer *out)
{
    health_status(http->health, out);
    return MHD_HTTP_OK;
}

static unsigned int write_index(struct http *http, struct byte_writer *out)
{
    (void)http;
    byte_print(out, "weir %s\n\n/metrics\n/healthz\n/readyz\n/status\n", WEIR_VERSION);
    return MHD_HTTP_OK;
}

static const char text_type[] = "text/plain; charset=utf-8";
static const char json_type[] = "application/json; charset=utf-8";

static const struct page {
    const char *path;
    const char *type;
    unsigned int (*write)(struct http *http, struct byte_writer *out);
} pages[] = {
    {"/metrics", "text/plain; version=0.0.4; charset=utf-8", write_metrics},
    {"/healthz", json_type, write_live},
    {"/readyz", json_type, write_ready},
    {"/status", json_type, write_status},
    {"/", text_type, write_index},
};

static enum MHD_Result answer(struct MHD_Connection *connection, unsigned int code,
                              const char *type, struct byte_writer *body)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(body->size, body->data, MHD_RESPMEM_MUST_FREE);
    enum MHD_Result result;

    if (response == NULL) {
        byte_writer_free(body);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    MHD_add_response_header(response, "X-Content-Type-Options", "nosniff");
    if (code == MHD_HTTP_METHOD_NOT_ALLOWED)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    result = MHD_queue_response(connection, code, response);
    MHD_destroy_response(response);
    return result;
}

static unsigned int write_answer(struct http *http, const char *path, const char *method,
                                 struct byte_writer *body, const char **type)
{
    const struct page *page = NULL;

    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++)
        if (strcmp(path, pages[i].path) == 0)
            page = &pages[i];
    *type = text_type;
    if (page == NULL) {
        byte_print(body, "not found; see /\n");
        return MHD_HTTP_NOT_FOUND;
    }
    if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
        byte_print(body, "only GET and HEAD\n");
        return MHD_HTTP_METHOD_NOT_ALLOWED;
    }
    *type = page->type;
    return page->write(http, body);
}

static enum MHD_Result serve(void *context, struct MHD_Connection *connection, const char *path,
                             const char *method, const char *version, const char *upload_data,
                             size_t *upload_data_size, void **connection_context)
{
    static char is_seen;
    struct http *http = context;
    struct byte_writer body;
    const char *type;
    unsigned int code;

    (void)version;
    (void)upload_data;
    /* The first call comes with the headers alone, where an answer to an upload would cut
     * the connection; then a body, if any, is let pass unread. */
    if (*connection_context == NULL) {
        *connection_context = &is_seen;
        return MHD_YES;
    }
    if (*upload_data_size > 0) {
        *upload_data_size = 0;
        return MHD_YES;
    }
    metric_add(http->requests_metric, 1);
    byte_writer_init(&body);
    code = write_answer(http, path, method, &body, &type);
    return answer(connection, code, type, &body);
}

static void ignore_log(void *context, const char *format, va_list arguments)
{
    (void)context;
    (void)format;
    (void)arguments;
}

enum status http_start(const struct http_options *http_options, struct health *health,
                       struct metric_registry *metrics, const struct clock *clock,
                       struct http **http, struct failure *failure)
{
    struct http *made = calloc(1, sizeof(*made));
    unsigned int connections_max = (unsigned int)http_options->connections_max;
    int listening = -1;
    enum status status;

    assert(made != NULL);
    made->health = health;
    made->metrics = metrics;
    made->requests_metric =
        metric_counter(metrics, "weir_http_requests_total", "Requests answered.", NULL);
    made->process = process_create(metrics, clock);
    status = listen_on(http_options->listen, &listening, &made->port, failure);
    if (status == STATUS_OK) {
        made->daemon = MHD_start_daemon(
            MHD_USE_INTERNAL_POLLING_THREAD | MHD_USE_AUTO | MHD_USE_ERROR_LOG, 0, NULL, NULL,
            serve, made, MHD_OPTION_EXTERNAL_LOGGER, ignore_log, NULL, MHD_OPTION_LISTEN_SOCKET,
            listening, MHD_OPTION_CONNECTION_LIMIT, connections_max,
            /* One address that holds on to all it gets leaves room for the others' probes. */
            MHD_OPTION_PER_IP_CONNECTION_LIMIT, (connections_max + 1) / 2,
            MHD_OPTION_CONNECTION_TIMEOUT, (unsigned int)((http_options->timeout_ms + 999) / 1000),
            MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)CONNECTION_MEMORY_BYTES, MHD_OPTION_END);
        if (made->daemon == NULL)
            status = failure_set(failure, REMEDY_STOP, "http.listen: %s: the server does not start",
                                 http_options->listen);
        else
            listening = -1;
    }
    if (listening >= 0)
        close(listening);
    if (status == STATUS_OK)
        *http = made;
    else
        http_stop(made);
    return status;
}

void http_stop(struct http *http)
{
    if (http == NULL)
        return;
    if (http->daemon != NULL)
        MHD_stop_daemon(http->daemon);
    process_destroy(http->process);
    free(http);
}

uint16_t http_port(const struct http *http)
{
    return http->port;
}
