#ifndef CLI_EXAMPLE_H
#define CLI_EXAMPLE_H
/*
 * example.h - config/weir.yaml, compiled into the program.
 */
extern const char example_text[]; /* ends in NUL */
#endif
