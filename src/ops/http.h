#ifndef OPS_HTTP_H
#define OPS_HTTP_H
/*
 * http.h - the window to look in: a small read-only HTTP server.
 *
 *   GET /metrics   Prometheus text exposition 0.0.4
 *   GET /healthz   200 or 503, JSON; see ops/health.h
 *   GET /readyz    200 or 503, JSON
 *   GET /status    200, JSON
 *   GET /          200, which pages there are
 *
 * HEAD answers as GET without a body; other methods are 405 with Allow, other paths 404.
 * Connections are bounded in number, in all and from one address, and in time; a request
 * body is never read further than the server's own buffer.
 *
 * Threads  one of its own, from start to stop. It is meant for a private network: there
 *          is no login
 */
#include <stdint.h>

#include "base/clock.h"
#include "base/metric.h"
#include "base/option.h"
#include "base/status.h"
#include "base/tree.h"
#include "ops/health.h"

struct http_options {
    const char *listen; /* "127.0.0.1:9464", "[::1]:9464", ":9464" for all; "off": none */
    int64_t connections_max;
    int64_t timeout_ms;
};
/* Section "http". */
extern const struct option_table http_option_table;

bool http_is_configured(const struct http_options *options);
/* Complains when the address cannot be read; `section`, for its place, may be NULL. */
void http_check(const struct http_options *options, const struct tree *section,
                struct complaints *complaints);

struct http;

/* health and metrics are borrowed for as long as it runs. STATUS_BROKEN, REMEDY_STOP: the
 * address cannot be read or not be listened on. */
enum status http_start(const struct http_options *options, struct health *health,
                       struct metric_registry *metrics, const struct clock *clock,
                       struct http **http, struct failure *failure);
/* Lets answers under way end. NULL is allowed. */
void http_stop(struct http *http);
/* The port listened on; of interest when "…:0" asked for any. */
uint16_t http_port(const struct http *http);

/* "host:port" taken apart, for the server and for fuzzing: host gets at least 64 bytes, "" for
 * all addresses. False: it is none. */
bool http_read_address(const char *text, char *host, size_t host_bytes, uint16_t *port);
#endif
