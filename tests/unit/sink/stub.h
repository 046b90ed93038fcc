#ifndef UNIT_SINK_STUB_H
#define UNIT_SINK_STUB_H
/*
 * stub.h - a server on a port of this machine that says what it was told to say, and
 * writes down what it was told: HTTP, or just enough SMTP.
 *
 * Threads  its own, from start to stop; what it says is set before the request comes
 */
#include <arpa/inet.h>
#include <assert.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { STUB_REQUESTS_MAX = 64, STUB_ANSWERS_MAX = 64 };
enum { STUB_BYTES_MAX = 1 << 20 };

struct stub_reply {
    const char *status, *headers, *body;
};

struct stub {
    int listening;
    int wake[2];
    uint16_t port;
    bool is_smtp;
    pthread_t thread;
    pthread_mutex_t lock;
    struct stub_reply answers[STUB_ANSWERS_MAX];
    uint32_t answer_count, answered;
    const char *to_recipient, *to_data;
    char *requests[STUB_REQUESTS_MAX];
    uint32_t request_count;
};

/* False: the peer is gone, or the stub stops. */
static bool stub_wait(struct stub *stub, int socket)
{
    struct pollfd ends[2] = {{.fd = socket, .events = POLLIN},
                             {.fd = stub->wake[0], .events = POLLIN}};

    return poll(ends, 2, -1) > 0 && ends[1].revents == 0;
}

static size_t stub_body_bytes(const char *request)
{
    const char *line = strcasestr(request, "\r\nContent-Length:");

    return line != NULL ? (size_t)strtoul(line + 17, NULL, 10) : 0;
}

static bool stub_is_whole(const char *request, size_t size)
{
    const char *body = strstr(request, "\r\n\r\n");

    return body != NULL && size >= (size_t)(body + 4 - request) + stub_body_bytes(request);
}

static void stub_keep(struct stub *stub, const char *text)
{
    pthread_mutex_lock(&stub->lock);
    assert(stub->request_count < STUB_REQUESTS_MAX);
    stub->requests[stub->request_count++] = strdup(text);
    pthread_mutex_unlock(&stub->lock);
}

static void stub_reply_http(struct stub *stub, int socket)
{
    char head[2048];
    struct stub_reply reply;
    ssize_t sent;

    pthread_mutex_lock(&stub->lock);
    assert(stub->answer_count > 0);
    reply = stub->answers[stub->answered];
    if (stub->answered + 1 < stub->answer_count)
        stub->answered++;
    pthread_mutex_unlock(&stub->lock);
    if (reply.status == NULL)
        return;
    snprintf(head, sizeof(head), "HTTP/1.1 %s\r\nContent-Length: %zu\r\n%s\r\n%s", reply.status,
             strlen(reply.body), reply.headers, reply.body);
    sent = send(socket, head, strlen(head), MSG_NOSIGNAL);
    (void)sent;
}

static void stub_serve_http(struct stub *stub, int socket)
{
    char *request = calloc(1, STUB_BYTES_MAX);
    size_t size = 0;

    while (stub_wait(stub, socket)) {
        ssize_t got = recv(socket, request + size, STUB_BYTES_MAX - 1 - size, 0);

        if (got <= 0)
            break;
        size += (size_t)got;
        request[size] = '\0';
        if (strcasestr(request, "\r\nExpect: 100-continue") != NULL &&
            !stub_is_whole(request, size)) {
            ssize_t sent = send(socket, "HTTP/1.1 100 Continue\r\n\r\n", 25, MSG_NOSIGNAL);
            (void)sent;
        }
        if (!stub_is_whole(request, size))
            continue;
        stub_keep(stub, request);
        stub_reply_http(stub, socket);
        size = 0;
    }
    free(request);
}

static void stub_say(int socket, const char *line)
{
    char text[512];
    ssize_t sent;

    snprintf(text, sizeof(text), "%s\r\n", line);
    sent = send(socket, text, strlen(text), MSG_NOSIGNAL);
    (void)sent;
}

/* What to answer to one line; NULL: nothing yet. */
static const char *stub_mail_answer(struct stub *stub, const char *talk, const char *line,
                                    bool *is_data)
{
    if (*is_data) {
        if (strcmp(line, ".") != 0)
            return NULL;
        stub_keep(stub, talk);
        *is_data = false;
        return stub->to_data;
    }
    if (strncasecmp(line, "DATA", 4) == 0) {
        *is_data = true;
        return "354 go on";
    }
    if (strncasecmp(line, "RCPT", 4) == 0)
        return stub->to_recipient;
    return strncasecmp(line, "QUIT", 4) == 0 ? "221 bye" : "250 ok";
}

static void stub_serve_smtp(struct stub *stub, int socket)
{
    char *talk = calloc(1, STUB_BYTES_MAX);
    size_t size = 0, line = 0;
    bool is_data = false;

    stub_say(socket, "220 stub");
    while (stub_wait(stub, socket)) {
        ssize_t got = recv(socket, talk + size, STUB_BYTES_MAX - 1 - size, 0);
        char *end;

        if (got <= 0)
            break;
        size += (size_t)got;
        talk[size] = '\0';
        while ((end = strstr(talk + line, "\r\n")) != NULL) {
            const char *answer;

            *end = '\0';
            answer = stub_mail_answer(stub, talk, talk + line, &is_data);
            *end = '\r';
            line = (size_t)(end + 2 - talk);
            if (answer != NULL)
                stub_say(socket, answer);
        }
    }
    free(talk);
}

static void *stub_run(void *context)
{
    struct stub *stub = context;

    while (stub_wait(stub, stub->listening)) {
        int socket = accept(stub->listening, NULL, NULL);

        if (socket < 0)
            continue;
        if (stub->is_smtp)
            stub_serve_smtp(stub, socket);
        else
            stub_serve_http(stub, socket);
        close(socket);
    }
    return NULL;
}

static struct stub *stub_start(bool is_smtp)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t size = sizeof(address);
    struct stub *stub = calloc(1, sizeof(*stub));
    int failed = 0;

    assert(stub != NULL);
    stub->is_smtp = is_smtp;
    stub->to_recipient = stub->to_data = "250 ok";
    pthread_mutex_init(&stub->lock, NULL);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    stub->listening = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    failed |= bind(stub->listening, (struct sockaddr *)&address, size);
    failed |= listen(stub->listening, 16);
    failed |= getsockname(stub->listening, (struct sockaddr *)&address, &size);
    failed |= pipe(stub->wake);
    stub->port = ntohs(address.sin_port);
    failed |= pthread_create(&stub->thread, NULL, stub_run, stub);
    assert(failed == 0);
    return stub;
}

__attribute__((unused)) static struct stub *stub_start_http(void)
{
    return stub_start(false);
}

__attribute__((unused)) static struct stub *stub_start_smtp(void)
{
    return stub_start(true);
}

__attribute__((unused)) static void stub_stop(struct stub *stub)
{
    ssize_t written = write(stub->wake[1], "x", 1);

    (void)written;
    pthread_join(stub->thread, NULL);
    close(stub->listening);
    close(stub->wake[0]);
    close(stub->wake[1]);
    for (uint32_t i = 0; i < stub->request_count; i++)
        free(stub->requests[i]);
    pthread_mutex_destroy(&stub->lock);
    free(stub);
}

__attribute__((unused)) static uint16_t stub_port(const struct stub *stub)
{
    return stub->port;
}

/* HTTP: the next requests are answered so, in turn, and the last answer is repeated; headers end
 * in CR LF each. A status of NULL: silence. */
__attribute__((unused)) static void stub_answer(struct stub *stub, const char *status,
                                                const char *headers, const char *body)
{
    pthread_mutex_lock(&stub->lock);
    assert(stub->answer_count < STUB_ANSWERS_MAX);
    stub->answers[stub->answer_count++] = (struct stub_reply){status, headers, body};
    pthread_mutex_unlock(&stub->lock);
}

__attribute__((unused)) static void stub_answer_mail(struct stub *stub, const char *to_recipient,
                                                     const char *to_data)
{
    stub->to_recipient = to_recipient;
    stub->to_data = to_data;
}

__attribute__((unused)) static uint32_t stub_count(struct stub *stub)
{
    uint32_t count;

    pthread_mutex_lock(&stub->lock);
    count = stub->request_count;
    pthread_mutex_unlock(&stub->lock);
    return count;
}

/* Head and body; SMTP: what the client said on one connection, up to the end of the mail. */
__attribute__((unused)) static const char *stub_request(struct stub *stub, uint32_t index)
{
    const char *request;

    pthread_mutex_lock(&stub->lock);
    assert(index < stub->request_count);
    request = stub->requests[index];
    pthread_mutex_unlock(&stub->lock);
    return request;
}
#endif
