/*
 * The server as its clients see it, on a port of this machine.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "ops/http.h"

enum { ANSWER_BYTES = 1 << 16, CHECK_MS = 1000 };

struct world {
    struct http_options options;
    struct metric_registry *metrics;
    struct health *health;
    struct http *http;
    pthread_mutex_t hanging; /* held: the source does not answer */
    bool is_live, is_ready;
    char answer[ANSWER_BYTES];
};

static bool ask_live(void *context)
{
    return ((struct world *)context)->is_live;
}

static bool ask_ready(void *context)
{
    pthread_mutex_lock(&((struct world *)context)->hanging);
    pthread_mutex_unlock(&((struct world *)context)->hanging);
    return ((struct world *)context)->is_ready;
}

static void tell_status(void *context, struct byte_writer *out)
{
    (void)context;
    byte_print(out, "{\"lag\":7}");
}

static void world_open(struct world *world)
{
    const struct ops_source pipeline = {"pipeline", true, world, ask_live, ask_ready, tell_status};
    const struct ops_source extra = {"extra", false, world, NULL, NULL, NULL};
    struct failure failure = {0};

    memset(world, 0, sizeof(*world));
    pthread_mutex_init(&world->hanging, NULL);
    option_preset(&http_option_table, &world->options);
    world->options.listen = "127.0.0.1:0";
    world->is_live = world->is_ready = true;
    world->metrics = metric_registry_create();
    metric_add(metric_counter(world->metrics, "weir_test_total", "A test.", NULL), 3);
    world->health = health_create(clock_system(), CHECK_MS);
    health_add(world->health, &pipeline);
    health_add(world->health, &extra);
    if (http_start(&world->options, world->health, world->metrics, clock_system(), &world->http,
                   &failure) != STATUS_OK)
        fail_msg("%s", failure.text);
    assert_int_not_equal(http_port(world->http), 0);
}

static void world_close(struct world *world)
{
    http_stop(world->http);
    health_destroy(world->health);
    metric_registry_destroy(world->metrics);
    pthread_mutex_destroy(&world->hanging);
}

static int dial_from(const struct world *world, in_addr_t from)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(http_port(world->http))};
    int peer = socket(AF_INET, SOCK_STREAM, 0);

    struct sockaddr_in own = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(from)};
    assert_int_equal(bind(peer, (struct sockaddr *)&own, sizeof(own)), 0);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    assert_int_equal(connect(peer, (struct sockaddr *)&address, sizeof(address)), 0);
    return peer;
}

static int dial(const struct world *world)
{
    return dial_from(world, INADDR_LOOPBACK);
}

/* Reads until the server closes, or nothing has come for so long. */
static size_t read_all(int peer, char *answer, int timeout_ms)
{
    struct pollfd end = {.fd = peer, .events = POLLIN};
    size_t size = 0;

    while (size < ANSWER_BYTES - 1 && poll(&end, 1, timeout_ms) > 0) {
        ssize_t got = recv(peer, answer + size, ANSWER_BYTES - 1 - size, 0);

        if (got <= 0)
            break;
        size += (size_t)got;
    }
    answer[size] = '\0';
    return size;
}

/* The status; head and body are in world->answer. */
static int request(struct world *world, const char *method, const char *path, const char *rest)
{
    char text[4096];
    int peer = dial(world);

    snprintf(text, sizeof(text), "%s %s HTTP/1.1\r\nHost: x\r\nConnection: close\r\n%s", method,
             path, rest);
    assert_int_equal(send(peer, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
    read_all(peer, world->answer, 5000);
    close(peer);
    return strncmp(world->answer, "HTTP/1.1 ", 9) == 0 ? atoi(world->answer + 9) : 0;
}

static const char *body_of(const struct world *world)
{
    const char *body = strstr(world->answer, "\r\n\r\n");

    assert_non_null(body);
    return body + 4;
}

static void metrics_are_printed(void **state)
{
    struct world *world = malloc(sizeof(*world));

    (void)state;
    world_open(world);
    assert_int_equal(request(world, "GET", "/metrics", "\r\n"), 200);
    assert_non_null(strstr(world->answer, "Content-Type: text/plain; version=0.0.4"));
    assert_non_null(strstr(body_of(world), "\nweir_test_total 3\n"));
    assert_non_null(strstr(body_of(world), "\nweir_build_info{version=\""));
    static const char *const process[] = {"process_resident_memory_bytes ", "process_open_fds ",
                                          "process_start_time_seconds ", "process_max_fds ",
                                          "process_cpu_seconds_total "};
    for (size_t i = 0; i < sizeof(process) / sizeof(process[0]); i++) {
        char line[80];
        const char *found;

        snprintf(line, sizeof(line), "\n%s", process[i]);
        found = strstr(body_of(world), line);
        assert_non_null(found);
        assert_true(strtod(found + strlen(line), NULL) > 0);
    }
    world_close(world);
    free(world);
}

static void health_is_told_by_the_code(void **state)
{
    struct world *world = malloc(sizeof(*world));

    (void)state;
    world_open(world);
    assert_int_equal(request(world, "GET", "/healthz", "\r\n"), 200);
    assert_string_equal(body_of(world),
                        "{\"status\":\"ok\",\"sources\":{\"pipeline\":\"ok\",\"extra\":\"ok\"}}");
    assert_int_equal(request(world, "GET", "/readyz?verbose=1", "\r\n"), 200);
    world->is_ready = false;
    assert_int_equal(request(world, "GET", "/healthz", "\r\n"), 200);
    assert_int_equal(request(world, "GET", "/readyz", "\r\n"), 503);
    assert_non_null(strstr(body_of(world), "\"pipeline\":\"failing\""));
    world->is_live = false;
    assert_int_equal(request(world, "HEAD", "/healthz", "\r\n"), 503);
    assert_string_equal(body_of(world), "");
    assert_int_equal(request(world, "GET", "/status", "\r\n"), 200);
    assert_non_null(strstr(world->answer, "Content-Type: application/json"));
    assert_non_null(strstr(body_of(world), "\"detail\":{\"lag\":7}"));
    assert_non_null(strstr(body_of(world), "\"live\":false,\"ready\":false,\"sources\":"));
    world_close(world);
    free(world);
}

/* One that does not answer fails the check in time, and only as long as it hangs. */
static void a_hanging_source_keeps_nobody_waiting(void **state)
{
    struct world *world = malloc(sizeof(*world));
    const struct clock *clock = clock_system();

    (void)state;
    world_open(world);
    pthread_mutex_lock(&world->hanging);
    assert_int_equal(request(world, "GET", "/readyz", "\r\n"), 503);
    assert_string_equal(
        body_of(world),
        "{\"status\":\"failing\",\"sources\":{\"pipeline\":\"no answer\",\"extra\":\"ok\"}}");
    /* It is not waited for once more. */
    const int64_t asked_ms = clock_monotonic_ms(clock);
    for (int turn = 0; turn < 5; turn++)
        assert_int_equal(request(world, "GET", "/healthz", "\r\n"), 503);
    assert_true(clock_monotonic_ms(clock) - asked_ms < 5 * CHECK_MS);
    assert_int_equal(request(world, "GET", "/status", "\r\n"), 200);
    assert_non_null(strstr(body_of(world), "\"answers\":false,\"detail\":null"));
    assert_int_equal(request(world, "GET", "/metrics", "\r\n"), 200);
    pthread_mutex_unlock(&world->hanging);
    const int64_t freed_ms = clock_monotonic_ms(clock);
    while (request(world, "GET", "/readyz", "\r\n") != 200)
        assert_true(clock_monotonic_ms(clock) - freed_ms < 30000);
    world_close(world);
    free(world);
}

static void other_requests_are_refused(void **state)
{
    struct world *world = malloc(sizeof(*world));
    char long_path[3000];

    (void)state;
    world_open(world);
    assert_int_equal(request(world, "GET", "/", "\r\n"), 200);
    assert_int_equal(request(world, "GET", "/etc/passwd", "\r\n"), 404);
    assert_int_equal(request(world, "GET", "/../metrics", "\r\n"), 404);
    assert_int_equal(request(world, "POST", "/metrics", "Content-Length: 3\r\n\r\nabc"), 405);
    assert_non_null(strstr(world->answer, "\r\nAllow: GET, HEAD\r\n"));
    assert_int_equal(request(world, "DELETE", "/healthz", "\r\n"), 405);
    assert_int_equal(request(world, "HEAD", "/metrics", "\r\n"), 200);
    assert_string_equal(body_of(world), "");
    assert_null(strstr(world->answer, "Content-Length: 0\r\n"));
    memset(long_path, 'a', sizeof(long_path) - 1);
    long_path[0] = '/';
    long_path[sizeof(long_path) - 1] = '\0';
    assert_int_equal(request(world, "GET", long_path, "\r\n"), 404);
    /* And it is still there. */
    assert_int_equal(request(world, "GET", "/healthz", "\r\n"), 200);
    world_close(world);
    free(world);
}

static void rubbish_and_floods_are_survived(void **state)
{
    struct world *world = malloc(sizeof(*world));
    static const struct view rubbish[] = {
        VIEW_LITERAL("\r\n\r\n\r\n"),     VIEW_LITERAL("GET\r\n\r\n"),
        VIEW_LITERAL("\x16\x03\x01\x02"), VIEW_LITERAL("GET / HTTP/9.9\r\n\r\n"),
        VIEW_LITERAL("\0\0\0\0"),         VIEW_LITERAL("GET / HTTP/1.1\r\nHost"),
    };
    int peers[100];

    (void)state;
    world_open(world);
    for (size_t i = 0; i < sizeof(rubbish) / sizeof(rubbish[0]); i++) {
        int peer = dial(world);

        send(peer, rubbish[i].data, rubbish[i].size, MSG_NOSIGNAL);
        close(peer);
    }
    /* More connections than are allowed, that never say a word. */
    for (int i = 0; i < 100; i++)
        peers[i] = dial(world);
    for (int i = 0; i < 100; i++)
        close(peers[i]);
    /* The server sees the ends of those connections in its own time. */
    int code = 0;
    for (int tries = 0; tries < 200 && code != 200; tries++)
        code = request(world, "GET", "/healthz", "\r\n");
    assert_int_equal(code, 200);
    world_close(world);
    free(world);
}

static void one_address_cannot_take_every_connection(void **state)
{
    enum { HELD = 200, STRANGER = INADDR_LOOPBACK + 1 };
    const char begun[] = "GET /metrics HTTP/1.1\r\nX";
    struct world *world = malloc(sizeof(*world));
    int held[HELD];

    (void)state;
    world_open(world);
    for (int i = 0; i < HELD; i++) {
        held[i] = dial_from(world, STRANGER);
        send(held[i], begun, sizeof(begun) - 1, MSG_NOSIGNAL);
    }
    assert_int_equal(request(world, "GET", "/metrics", "\r\n"), 200);
    for (int i = 0; i < HELD; i++)
        close(held[i]);
    world_close(world);
    free(world);
}

static void a_silent_connection_is_closed(void **state)
{
    struct world *world = malloc(sizeof(*world));
    int64_t start_ms = clock_monotonic_ms(clock_system());

    (void)state;
    world_open(world);
    http_stop(world->http);
    struct failure failure = {0};
    world->options.timeout_ms = 1000;
    assert_int_equal(http_start(&world->options, world->health, world->metrics, clock_system(),
                                &world->http, &failure),
                     STATUS_OK);
    int peer = dial(world);
    assert_int_equal(read_all(peer, world->answer, 20000), 0);
    assert_in_range(clock_monotonic_ms(clock_system()) - start_ms, 900, 15000);
    close(peer);
    world_close(world);
    free(world);
}

static void addresses_are_read(void **state)
{
    static const struct {
        const char *text, *host;
        int port; /* -1: none */
    } cases[] = {
        {"127.0.0.1:9464", "127.0.0.1", 9464},
        {":80", "", 80},
        {"[::1]:9464", "::1", 9464},
        {"localhost:0", "localhost", 0},
        {"127.0.0.1", "", -1},
        {"127.0.0.1:", "", -1},
        {"127.0.0.1:http", "", -1},
        {"127.0.0.1:65536", "", -1},
        {"127.0.0.1:-1", "", -1},
        {"::1:9464", "", -1},
        {"", "", -1},
    };
    char host[64];
    uint16_t port;

    (void)state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        bool is_read = http_read_address(cases[i].text, host, sizeof(host), &port);

        assert_int_equal(is_read, cases[i].port >= 0);
        if (!is_read)
            continue;
        assert_string_equal(host, cases[i].host);
        assert_int_equal(port, cases[i].port);
    }
}

static void an_address_in_use_is_told(void **state)
{
    struct world *world = malloc(sizeof(*world));
    struct failure failure = {0};
    struct http_options options;
    struct http *http = NULL;
    char listen[32];

    (void)state;
    world_open(world);
    options = world->options;
    snprintf(listen, sizeof(listen), "127.0.0.1:%u", http_port(world->http));
    options.listen = listen;
    assert_int_equal(
        http_start(&options, world->health, world->metrics, clock_system(), &http, &failure),
        STATUS_BROKEN);
    assert_non_null(strstr(failure.text, listen));
    assert_null(http);
    options.listen = "here";
    assert_int_equal(
        http_start(&options, world->health, world->metrics, clock_system(), &http, &failure),
        STATUS_BROKEN);
    options.listen = "off";
    assert_false(http_is_configured(&options));
    world_close(world);
    free(world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(metrics_are_printed),
        cmocka_unit_test(health_is_told_by_the_code),
        cmocka_unit_test(a_hanging_source_keeps_nobody_waiting),
        cmocka_unit_test(other_requests_are_refused),
        cmocka_unit_test(rubbish_and_floods_are_survived),
        cmocka_unit_test(one_address_cannot_take_every_connection),
        cmocka_unit_test(a_silent_connection_is_closed),
        cmocka_unit_test(addresses_are_read),
        cmocka_unit_test(an_address_in_use_is_told),
    };

    log_set(LOG_OFF, LOG_TEXT);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
