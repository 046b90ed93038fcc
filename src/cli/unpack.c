#include "cli/unpack.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

enum { BLOCK_BYTES = 1 << 20 };

enum packing { PACKING_NONE, PACKING_GZIP, PACKING_ZSTD };

struct unpack {
    int file;
    enum packing packing;
    z_stream gzip;
    ZSTD_DStream *zstd;
    bool is_inside; /* a packed file began and has not ended */
    bool is_at_end; /* of the file on disk */
    bool is_broken; /* nothing more can be read, for this reason: */
    struct failure reason;
    size_t start, end; /* what is read and not yet unpacked, in block */
    unsigned char block[BLOCK_BYTES];
};

/* One more block, or is_at_end. */
static enum status fill(struct unpack *unpack, struct failure *failure)
{
    ssize_t got;

    assert(unpack->start == unpack->end);
    do
        got = read(unpack->file, unpack->block, BLOCK_BYTES);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return failure_set(failure, REMEDY_STOP, "%s", strerror(errno));
    unpack->start = 0;
    unpack->end = (size_t)got;
    unpack->is_at_end = got == 0;
    return STATUS_OK;
}

static enum packing recognise(const unsigned char *data, size_t size)
{
    static const unsigned char gzip[] = {0x1F, 0x8B};
    static const unsigned char zstd[] = {0x28, 0xB5, 0x2F, 0xFD};

    if (size >= sizeof gzip && memcmp(data, gzip, sizeof gzip) == 0)
        return PACKING_GZIP;
    if (size >= sizeof zstd && memcmp(data, zstd, sizeof zstd) == 0)
        return PACKING_ZSTD;
    return PACKING_NONE;
}

static enum status start_unpacking(struct unpack *unpack, struct failure *failure)
{
    enum { ANY_WINDOW_GZIP = 15 + 16 };

    unpack->packing = recognise(unpack->block, unpack->end);
    switch (unpack->packing) {
    case PACKING_NONE:
        break;
    case PACKING_GZIP:
        if (inflateInit2(&unpack->gzip, ANY_WINDOW_GZIP) != Z_OK)
            return failure_set(failure, REMEDY_STOP, "gzip: out of memory");
        break;
    case PACKING_ZSTD:
        unpack->zstd = ZSTD_createDStream();
        if (unpack->zstd == NULL)
            return failure_set(failure, REMEDY_STOP, "zstd: out of memory");
        break;
    }
    return STATUS_OK;
}

enum status unpack_open(const char *path, struct unpack **result, struct failure *failure)
{
    struct unpack *unpack = calloc(1, sizeof *unpack);
    enum status status;

    assert(unpack != NULL);
    *result = NULL;
    unpack->file = strcmp(path, "-") == 0 ? dup(STDIN_FILENO) : open(path, O_RDONLY | O_CLOEXEC);
    if (unpack->file < 0) {
        status = failure_set(failure, REMEDY_STOP, "%s", strerror(errno));
        goto done;
    }
    posix_fadvise(unpack->file, 0, 0, POSIX_FADV_SEQUENTIAL);
    status = fill(unpack, failure);
    if (status == STATUS_OK)
        status = start_unpacking(unpack, failure);
    if (status == STATUS_OK) {
        *result = unpack;
        unpack = NULL;
    }

done:
    unpack_close(unpack);
    return status;
}

void unpack_close(struct unpack *unpack)
{
    if (unpack == NULL)
        return;
    if (unpack->packing == PACKING_GZIP)
        inflateEnd(&unpack->gzip);
    ZSTD_freeDStream(unpack->zstd);
    if (unpack->file >= 0)
        close(unpack->file);
    free(unpack);
}

static enum status copy_plain(struct unpack *unpack, char *to, size_t size, size_t *got)
{
    size_t left = unpack->end - unpack->start;

    *got = left < size ? left : size;
    memcpy(to, unpack->block + unpack->start, *got);
    unpack->start += *got;
    return STATUS_OK;
}

static enum status inflate_some(struct unpack *unpack, char *to, size_t size, size_t *got,
                                struct failure *failure)
{
    z_stream *gzip = &unpack->gzip;
    uInt room = size < BLOCK_BYTES ? (uInt)size : BLOCK_BYTES;
    int code;

    gzip->next_in = unpack->block + unpack->start;
    gzip->avail_in = (uInt)(unpack->end - unpack->start);
    gzip->next_out = (unsigned char *)to;
    gzip->avail_out = room;
    unpack->is_inside = true;
    code = inflate(gzip, Z_NO_FLUSH);
    unpack->start = unpack->end - gzip->avail_in;
    *got = room - gzip->avail_out;
    if (code == Z_STREAM_END) {
        unpack->is_inside = false;
        inflateReset(gzip);
        return STATUS_OK;
    }
    if (code == Z_OK || code == Z_BUF_ERROR)
        return STATUS_OK;
    return failure_set(failure, REMEDY_STOP, "damaged: gzip says %s",
                       gzip->msg != NULL ? gzip->msg : "no more");
}

static enum status decompress_some(struct unpack *unpack, char *to, size_t size, size_t *got,
                                   struct failure *failure)
{
    ZSTD_inBuffer in = {unpack->block, unpack->end, unpack->start};
    ZSTD_outBuffer out = {to, size, 0};
    size_t code = ZSTD_decompressStream(unpack->zstd, &out, &in);

    unpack->start = in.pos;
    *got = out.pos;
    if (ZSTD_isError(code))
        return failure_set(failure, REMEDY_STOP, "damaged: zstd says %s", ZSTD_getErrorName(code));
    unpack->is_inside = code != 0;
    return STATUS_OK;
}

static enum status unpack_some(struct unpack *unpack, char *to, size_t size, size_t *got,
                               struct failure *failure)
{
    switch (unpack->packing) {
    case PACKING_NONE:
        return copy_plain(unpack, to, size, got);
    case PACKING_GZIP:
        return inflate_some(unpack, to, size, got, failure);
    case PACKING_ZSTD:
        return decompress_some(unpack, to, size, got, failure);
    }
    return STATUS_END;
}

/* Until `to` is full, the file ends, or it turns out to be damaged. */
static enum status unpack_all(struct unpack *unpack, char *to, size_t size, size_t *got,
                              struct failure *failure)
{
    enum status status = STATUS_OK;

    while (*got < size && status == STATUS_OK) {
        size_t more = 0;
        /* zstd may hold back bytes for which there was no room, with all input taken. */
        if (unpack->start == unpack->end && !unpack->is_at_end)
            status = fill(unpack, failure);
        if (status != STATUS_OK)
            break;
        if (unpack->start == unpack->end && !unpack->is_inside)
            break;
        status = unpack_some(unpack, to + *got, size - *got, &more, failure);
        *got += more;
        if (status == STATUS_OK && more == 0 && unpack->is_at_end && unpack->start == unpack->end)
            status = failure_set(failure, REMEDY_STOP, "cut off: the packed file does not end");
    }
    return status;
}

enum status unpack_read(struct unpack *unpack, char *to, size_t size, size_t *got,
                        struct failure *failure)
{
    *got = 0;
    if (!unpack->is_broken)
        unpack->is_broken = unpack_all(unpack, to, size, got, &unpack->reason) != STATUS_OK;
    /* What came before the damage is good: the next call says what is wrong. */
    if (*got > 0)
        return STATUS_OK;
    if (!unpack->is_broken)
        return STATUS_END;
    *failure = unpack->reason;
    return STATUS_BROKEN;
}
