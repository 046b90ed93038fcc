#ifndef SINK_COURIER_H
#define SINK_COURIER_H
/*
 * courier.h - composes an alert for one channel and carries it there.
 *
 * Memory   keeps its buffers and connection from message to message
 * Threads  one owner
 */
#include "sink/notify.h"
#include "sink/post.h"

struct courier;

/* `options` and `clock` are borrowed for life; the channel is configured. */
struct courier *courier_create(const struct notify_options *options, enum notify_channel channel,
                               const struct clock *clock);
void courier_destroy(struct courier *courier);
enum post_outcome courier_send(struct courier *courier, const struct result *alert,
                               struct post_reply *reply);
#endif
