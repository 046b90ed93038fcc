#include "sink/courier.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "sink/email.h"
#include "sink/slack.h"

enum { RECIPIENT_COUNT_MAX = 100 };

struct courier {
    const struct notify_options *options;
    enum notify_channel channel;
    const struct clock *clock;
    struct post *post;
    struct arena *kept; /* addresses and headers */
    struct arena *arena;
    struct byte_writer body;
    const char *recipients[RECIPIENT_COUNT_MAX + 1];
    struct email_address address;
    const char *headers[4];
};

static bool has_text(const char *text)
{
    return text != NULL && text[0] != '\0';
}

static void split_recipients(struct courier *courier, const char *list)
{
    uint32_t count = 0;

    while (*list != '\0' && count < RECIPIENT_COUNT_MAX) {
        size_t size = strcspn(list, ", ");

        if (size > 0)
            courier->recipients[count++] =
                arena_copy(courier->kept, (struct view){list, (uint32_t)size}).data;
        list += size;
        list += strspn(list, ", ");
    }
}

static void prepare_email(struct courier *courier)
{
    const struct notify_options *options = courier->options;

    split_recipients(courier, options->email_to);
    courier->address.recipients = courier->recipients;
    courier->address.from =
        has_text(options->email_from) ? options->email_from : courier->recipients[0];
    assert(courier->address.from != NULL);
    if (!has_text(options->smtp_url))
        courier->headers[1] =
            arena_print(courier->kept, "Authorization: Bearer %s", options->email_api_key);
}

struct courier *courier_create(const struct notify_options *options, enum notify_channel channel,
                               const struct clock *clock)
{
    struct courier *courier = calloc(1, sizeof(*courier));

    assert(courier != NULL);
    assert(notify_is_configured(options, channel));
    courier->options = options;
    courier->channel = channel;
    courier->clock = clock;
    courier->post = post_create(clock);
    courier->kept = arena_create(4096);
    courier->arena = arena_create(16384);
    byte_writer_init(&courier->body);
    courier->headers[0] = "Content-Type: application/json; charset=utf-8";
    if (channel == NOTIFY_EMAIL)
        prepare_email(courier);
    return courier;
}

void courier_destroy(struct courier *courier)
{
    if (courier == NULL)
        return;
    post_destroy(courier->post);
    arena_destroy(courier->kept);
    arena_destroy(courier->arena);
    byte_writer_free(&courier->body);
    free(courier);
}

static enum post_outcome send_slack(struct courier *courier, const struct result *alert,
                                    struct post_reply *reply)
{
    slack_write(alert, courier->arena, &courier->body);
    const struct post_request request = {
        .url = courier->options->slack_webhook_url,
        .body = byte_writer_view(&courier->body),
        .timeout_ms = courier->options->timeout_ms,
        .headers = courier->headers,
    };
    return post_http(courier->post, &request, reply);
}

static enum post_outcome send_sendgrid(struct courier *courier, const struct result *alert,
                                       struct post_reply *reply)
{
    email_write_sendgrid(alert, &courier->address, courier->arena, &courier->body);
    const struct post_request request = {
        .url = courier->options->email_url,
        .body = byte_writer_view(&courier->body),
        .timeout_ms = courier->options->timeout_ms,
        .headers = courier->headers,
    };
    return post_http(courier->post, &request, reply);
}

static enum post_outcome send_smtp(struct courier *courier, const struct result *alert,
                                   struct post_reply *reply)
{
    const struct notify_options *options = courier->options;
    bool has_login = has_text(options->smtp_user);

    email_write_message(alert, &courier->address, clock_wall_ms(courier->clock), courier->arena,
                        &courier->body);
    const struct post_request request = {
        .url = options->smtp_url,
        .body = byte_writer_view(&courier->body),
        .timeout_ms = options->timeout_ms,
        .from = courier->address.from,
        .recipients = courier->address.recipients,
        .user = has_login ? options->smtp_user : NULL,
        .password = options->smtp_password,
        /* Whoever strips the offer from a connection must not get the password. */
        .tls = has_login && options->smtp_tls == POST_TLS_OFFERED
                   ? POST_TLS_REQUIRED
                   : (enum post_tls)options->smtp_tls,
    };
    return post_mail(courier->post, &request, reply);
}

enum post_outcome courier_send(struct courier *courier, const struct result *alert,
                               struct post_reply *reply)
{
    arena_reset(courier->arena);
    byte_writer_reset(&courier->body);
    if (courier->channel == NOTIFY_SLACK)
        return send_slack(courier, alert, reply);
    if (has_text(courier->options->smtp_url))
        return send_smtp(courier, alert, reply);
    return send_sendgrid(courier, alert, reply);
}
