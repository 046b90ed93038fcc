/*
 * Journal records of any bytes: refused, or read to their end. What is read and written
 * again means the same.
 */
#include <assert.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "base/hash.h"
#include "pipeline/journal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_record(struct view value)
{
    struct journal_head head;
    struct journal_cursor cursor;
    struct journal_operation operation;
    struct failure failure;

    if (journal_open(value, &head, &cursor, &failure) != STATUS_OK)
        return;
    while (journal_next(&cursor, &operation))
        assert(operation.kind == JOURNAL_TICK ||
               (operation.from >= 0 && operation.to > operation.from &&
                journal_topic_code(operation.topic) != 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct byte_writer sealed;

    if (size > UINT32_MAX)
        return 0;
    read_record((struct view){(const char *)data, (uint32_t)size});
    /* Past the checksum, which chance never guesses. */
    byte_writer_init(&sealed);
    byte_put(&sealed, data, size);
    byte_put_u32(&sealed, hash_crc32c(data, size));
    read_record(byte_writer_view(&sealed));
    byte_writer_free(&sealed);
    return 0;
}
