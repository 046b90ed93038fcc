#include "sink/post.h"

#include <assert.h>
#include <curl/curl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sink/retry_after.h"

enum { ANSWER_BYTES_MAX = 160 };

struct post {
    const struct clock *clock;
    CURL *curl;
    char curl_error[CURL_ERROR_SIZE];
    struct view body; /* what is left to send, SMTP */
    char answer[ANSWER_BYTES_MAX + 1];
    size_t answer_bytes;
    int64_t retry_after_ms;
};

static void start_library(void)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
}

struct post *post_create(const struct clock *clock)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct post *post = calloc(1, sizeof(*post));

    assert(post != NULL);
    pthread_once(&once, start_library);
    post->clock = clock;
    post->curl = curl_easy_init();
    assert(post->curl != NULL);
    return post;
}

void post_destroy(struct post *post)
{
    if (post == NULL)
        return;
    curl_easy_cleanup(post->curl);
    free(post);
}

/* Only the beginning of an answer is kept, for the error's text; the rest is read and lost. */
static size_t take_answer(char *data, size_t size, size_t count, void *context)
{
    struct post *post = context;
    size_t bytes = size * count;
    size_t room = ANSWER_BYTES_MAX - post->answer_bytes;
    size_t kept = bytes < room ? bytes : room;

    memcpy(post->answer + post->answer_bytes, data, kept);
    post->answer_bytes += kept;
    return bytes;
}

static size_t take_header(char *data, size_t size, size_t count, void *context)
{
    struct post *post = context;
    size_t bytes = size * count;
    struct view line = {data, (uint32_t)bytes};
    int64_t wait_ms = retry_after_read(line, clock_wall_ms(post->clock));

    /* Retry-After and a rate limit's reset may both come: the longer wait is the safe one. */
    if (wait_ms > post->retry_after_ms)
        post->retry_after_ms = wait_ms;
    return bytes;
}

static size_t give_body(char *data, size_t size, size_t count, void *context)
{
    struct post *post = context;
    size_t room = size * count;
    size_t bytes = post->body.size < room ? post->body.size : room;

    memcpy(data, post->body.data, bytes);
    post->body.data += bytes;
    post->body.size -= (uint32_t)bytes;
    return bytes;
}

static struct curl_slist *make_list(const char *const *texts)
{
    struct curl_slist *list = NULL;

    for (; texts != NULL && *texts != NULL; texts++) {
        struct curl_slist *longer = curl_slist_append(list, *texts);

        assert(longer != NULL);
        list = longer;
    }
    return list;
}

static void begin(struct post *post, const struct post_request *request)
{
    CURL *curl = post->curl;

    /* Forgets the settings of the last message, keeps its connection. */
    curl_easy_reset(curl);
    post->curl_error[0] = '\0';
    post->answer_bytes = 0;
    post->retry_after_ms = -1;
    curl_easy_setopt(curl, CURLOPT_URL, request->url);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)request->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_CONNECTTIMEOUT_MS, (long)request->timeout_ms);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, post->curl_error);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_answer);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, post);
    curl_easy_setopt(curl, CURLOPT_USERAGENT, "weir/" WEIR_VERSION);
}

/* Control characters and what is not UTF-8 become spaces: servers write what they like. */
static void tell(struct post_reply *reply, const char *what, const char *detail, size_t bytes)
{
    size_t size = (size_t)snprintf(reply->text, sizeof(reply->text), "%s%s%.*s", what,
                                   bytes > 0 ? ": " : "", (int)bytes, detail);

    if (size >= sizeof(reply->text))
        size = sizeof(reply->text) - 1;
    for (size_t i = 0; i < size;) {
        uint32_t length = view_rune_size(reply->text + i, size - i);

        if (length == 0 || (unsigned char)reply->text[i] < ' ') {
            reply->text[i++] = ' ';
            continue;
        }
        i += length;
    }
}

static CURLcode perform(struct post *post, struct post_reply *reply)
{
    int64_t start_ms = clock_monotonic_ms(post->clock);
    CURLcode code = curl_easy_perform(post->curl);
    long answered = 0;

    curl_easy_getinfo(post->curl, CURLINFO_RESPONSE_CODE, &answered);
    *reply = (struct post_reply){
        .code = answered,
        .retry_after_ms = post->retry_after_ms,
        .latency_ms = clock_monotonic_ms(post->clock) - start_ms,
    };
    return code;
}

static const char *curl_text(const struct post *post, CURLcode code)
{
    return post->curl_error[0] != '\0' ? post->curl_error : curl_easy_strerror(code);
}

static enum post_outcome judge_http(struct post *post, CURLcode code, struct post_reply *reply)
{
    char what[32];

    /* An answer that breaks off has been given all the same: the code decides. */
    if (code != CURLE_OK && (reply->code < 200 || code == CURLE_OPERATION_TIMEDOUT)) {
        const char *text = curl_text(post, code);

        reply->code = 0;
        tell(reply, "no answer", text, strlen(text));
        return POST_RETRY;
    }
    if (reply->code >= 200 && reply->code < 300)
        return POST_SENT;
    snprintf(what, sizeof(what), "HTTP %d", (int)reply->code);
    tell(reply, what, post->answer, post->answer_bytes);
    if (reply->code == 429)
        return POST_THROTTLED;
    return reply->code == 408 || reply->code >= 500 ? POST_RETRY : POST_REFUSED;
}

enum post_outcome post_http(struct post *post, const struct post_request *request,
                            struct post_reply *reply)
{
    struct curl_slist *headers = make_list(request->headers);
    CURLcode code;

    begin(post, request);
    curl_easy_setopt(post->curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(post->curl, CURLOPT_POSTFIELDS, request->body.data);
    curl_easy_setopt(post->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)request->body.size);
    curl_easy_setopt(post->curl, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(post->curl, CURLOPT_HEADERFUNCTION, take_header);
    curl_easy_setopt(post->curl, CURLOPT_HEADERDATA, post);
    code = perform(post, reply);
    curl_slist_free_all(headers);
    return judge_http(post, code, reply);
}

static long tls_level(enum post_tls tls)
{
    switch (tls) {
    case POST_TLS_NEVER:
        return CURLUSESSL_NONE;
    case POST_TLS_OFFERED:
        return CURLUSESSL_TRY;
    case POST_TLS_REQUIRED:
        return CURLUSESSL_ALL;
    }
    assert(!"a level outside the enum");
    return CURLUSESSL_ALL;
}

enum post_outcome post_mail(struct post *post, const struct post_request *request,
                            struct post_reply *reply)
{
    struct curl_slist *recipients = make_list(request->recipients);
    const char *text;
    CURLcode code;

    begin(post, request);
    post->body = request->body;
    curl_easy_setopt(post->curl, CURLOPT_PROTOCOLS_STR, "smtp,smtps");
    curl_easy_setopt(post->curl, CURLOPT_MAIL_FROM, request->from);
    curl_easy_setopt(post->curl, CURLOPT_MAIL_RCPT, recipients);
    curl_easy_setopt(post->curl, CURLOPT_UPLOAD, 1L);
    curl_easy_setopt(post->curl, CURLOPT_READFUNCTION, give_body);
    curl_easy_setopt(post->curl, CURLOPT_READDATA, post);
    curl_easy_setopt(post->curl, CURLOPT_USE_SSL, tls_level(request->tls));
    if (request->user != NULL) {
        curl_easy_setopt(post->curl, CURLOPT_USERNAME, request->user);
        curl_easy_setopt(post->curl, CURLOPT_PASSWORD, request->password);
    }
    code = perform(post, reply);
    curl_slist_free_all(recipients);
    if (code == CURLE_OK)
        return POST_SENT;
    text = curl_text(post, code);
    tell(reply, "SMTP", text, strlen(text));
    /* A login that is refused is a setting that somebody will mend, not the message's fault. */
    return reply->code >= 500 && reply->code < 600 && code != CURLE_LOGIN_DENIED ? POST_REFUSED
                                                                                 : POST_RETRY;
}
