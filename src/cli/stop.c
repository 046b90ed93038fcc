#include "cli/stop.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/clock.h"

static atomic_bool is_asked;
/* Becomes readable when asked, and stays so: every waiter is woken. */
static int wake_pipe[2] = {-1, -1};

static void on_signal(int number)
{
    int error = errno;

    if (atomic_exchange(&is_asked, true))
        _exit(128 + number);
    /* A pipe that is full has been written to: nothing is lost. */
    ssize_t written = write(wake_pipe[1], "", 1);
    (void)written;
    errno = error;
}

void stop_install(void)
{
    struct sigaction action = {.sa_handler = on_signal};

    if (wake_pipe[0] >= 0)
        return; /* a command that runs another one */
    if (pipe2(wake_pipe, O_CLOEXEC | O_NONBLOCK) != 0)
        abort();
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    action.sa_handler = SIG_IGN;
    sigaction(SIGPIPE, &action, NULL);
    sigaction(SIGHUP, &action, NULL);
}

const atomic_bool *stop_flag(void)
{
    return &is_asked;
}

bool stop_is_asked(void)
{
    return atomic_load_explicit(&is_asked, memory_order_relaxed);
}

void stop_ask(void)
{
    atomic_store(&is_asked, true);
    ssize_t written = write(wake_pipe[1], "", 1);
    (void)written;
}

bool stop_wait(int64_t wait_ms)
{
    struct pollfd wake = {wake_pipe[0], POLLIN, 0};
    int64_t end_ms = clock_monotonic_ms(clock_system()) + wait_ms;

    for (int64_t left_ms = wait_ms; !stop_is_asked() && left_ms >= 0;) {
        poll(&wake, 1, left_ms > 60000 ? 60000 : (int)left_ms);
        int64_t now_ms = clock_monotonic_ms(clock_system());
        if (now_ms >= end_ms)
            break;
        left_ms = end_ms - now_ms;
    }
    return stop_is_asked();
}
