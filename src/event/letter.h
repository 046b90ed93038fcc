#ifndef EVENT_LETTER_H
#define EVENT_LETTER_H
/*
 * letter.h - headers of records that Weir passes on: where from, and why.
 *
 *   weir.source.topic, .partition, .offset, .timestamp    strays and dead letters
 *   weir.error.code, .reason, .field, weir.version        dead letters
 *
 * The topic is named as the log names it, with its prefix.
 *
 * Memory   views point into the letter, or at what was given
 * Threads  one owner
 */
#include <stdbool.h>
#include <stdint.h>

#include "event/transport.h"

enum { LETTER_HEADERS_MAX = 8, LETTER_NUMBER_BYTES = 24 };

struct letter {
    struct header headers[LETTER_HEADERS_MAX]; /* filled in the order of the calls */
    uint32_t header_count;
    char partition[LETTER_NUMBER_BYTES];
    char offset[LETTER_NUMBER_BYTES];
    char timestamp[LETTER_NUMBER_BYTES];
};

void letter_add_source(struct letter *letter, const struct transport *transport,
                       const struct record *record);
void letter_add_error(struct letter *letter, const char *code, const char *reason,
                      const char *field);

/* True when it was passed on before: its source stands in its headers. */
bool letter_has_source(const struct transport *transport, const struct record *record);
/* The topic of its source. TOPIC_COUNT: it has none, or one that is not ours. */
enum topic letter_source(const struct transport *transport, const struct record *record);
#endif
