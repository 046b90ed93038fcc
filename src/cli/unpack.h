#ifndef CLI_UNPACK_H
#define CLI_UNPACK_H
/*
 * unpack.h - the bytes of a file, whether it is plain, .gz or .zst.
 *
 * What a file is shows in its first bytes, not in its name. Several packed files one
 * after the other (`cat a.gz b.gz`) are one.
 *
 * Memory   owned; one block ahead
 * Threads  one owner
 */
#include <stddef.h>
#include <stdint.h>

#include "base/status.h"

struct unpack;

/* path "-": standard input. Takes nothing of `path` along. */
enum status unpack_open(const char *path, struct unpack **unpack, struct failure *failure);
/* Fills `to` as far as the file goes. STATUS_END: not a byte is left. STATUS_BROKEN: it
 * cannot be read, or is damaged or cut off; what came before was good. */
enum status unpack_read(struct unpack *unpack, char *to, size_t size, size_t *got,
                        struct failure *failure);
void unpack_close(struct unpack *unpack);
#endif
