#ifndef CLI_STOP_H
#define CLI_STOP_H
/*
 * stop.h - being asked to end: SIGTERM and SIGINT.
 *
 * The first signal asks, and everything winds up in good order; the second one ends the
 * process at once. SIGHUP and SIGPIPE are ignored: a closed terminal or pipe is noticed
 * where it is written to.
 *
 * Threads  any may ask; the handlers belong to the process
 */
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* From now on signals ask. */
void stop_install(void);
const atomic_bool *stop_flag(void);
bool stop_is_asked(void);
/* As a signal would. */
void stop_ask(void);
/* Waits so long, or until asked. Returns stop_is_asked. */
bool stop_wait(int64_t wait_ms);
#endif
