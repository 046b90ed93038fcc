#ifndef WINDOW_PAGES_H
#define WINDOW_PAGES_H
/*
 * pages.h - memory in large pieces, given back all at once; what slabs and blocks are cut
 * from.
 *
 * A little comes from the heap as it is. Once there is more than a little, it comes in
 * huge pages where the system has them: state is read at random, and a small page for
 * each access is a second cache miss for its address.
 *
 * Threads  one owner, no locks
 */
#include <stddef.h>
#include <stdint.h>

struct pages;

struct pages *pages_create(void);
void pages_destroy(struct pages *pages);
/* Not zeroed; aligned to a pair of cache lines. bytes <= PAGES_TAKE_MAX. */
enum { PAGES_TAKE_MAX = 1 << 20 };
void *pages_take(struct pages *pages, size_t bytes);
/* A run of its own, zeroed, to be given to free(). */
void *pages_take_zeroed(size_t bytes);
#endif
