#ifndef UNIT_KAFKA_SIDE_BY_SIDE_H
#define UNIT_KAFKA_SIDE_BY_SIDE_H
/*
 * side_by_side.h - tests that mostly wait, each in a process of its own, all at once.
 *
 * A group at the embedded broker takes 3 s to form, whatever the machine. The processes are
 * forked before any test has begun, so that no thread is lost.
 *
 * The includer has included cmocka.
 */
#include <stddef.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static inline int run_side_by_side(const struct CMUnitTest *tests, size_t count)
{
    int failed = 0, state;

    for (size_t index = 0; index < count; index++) {
        pid_t child = fork();
        if (child < 0)
            abort();
        if (child == 0)
            exit(_cmocka_run_group_tests(tests[index].name, &tests[index], 1, NULL, NULL) == 0
                     ? EXIT_SUCCESS
                     : EXIT_FAILURE);
    }
    for (size_t index = 0; index < count; index++)
        failed += wait(&state) < 0 || !WIFEXITED(state) || WEXITSTATUS(state) != EXIT_SUCCESS;
    return failed;
}
#endif
