#ifndef ENGINE_DEFAULT_RULES_H
#define ENGINE_DEFAULT_RULES_H
/*
 * default_rules.h - config/rules.yaml, compiled into the program.
 */
extern const char default_rules_text[]; /* ends in NUL */
#endif
