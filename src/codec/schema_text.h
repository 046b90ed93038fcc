#ifndef CODEC_SCHEMA_TEXT_H
#define CODEC_SCHEMA_TEXT_H
/*
 * schema_text.h - the files of schemas/, compiled into the program.
 */
struct schema_text {
    const char *name; /* file name without .avsc */
    const char *text; /* JSON, ends in NUL */
};

/* Ends with a row of NULLs. */
extern const struct schema_text schema_texts[];
#endif
