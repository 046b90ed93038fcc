#ifndef CLI_SETTINGS_H
#define CLI_SETTINGS_H
/*
 * settings.h - the configuration of the process: file, environment, command line.
 *
 *   presets  <  FILE (--config, WEIR_CONFIG, ./weir.yaml)  <  WEIR_...  <  options
 *
 * Every room reads its own sections; here they are put together, with the few settings
 * of the process itself. All errors are collected, those of the rules too.
 *
 * Memory   one arena, alive until settings_close
 * Threads  never changes after settings_open
 */
#include <stdbool.h>
#include <stdint.h>

#include "base/arena.h"
#include "base/option.h"
#include "base/tree.h"
#include "cli/args.h"
#include "codec/codec.h"
#include "engine/engine.h"
#include "kafka/kafka.h"
#include "ops/http.h"
#include "pipeline/pipeline.h"
#include "sink/notify.h"
#include "sink/postgres.h"
#include "sink/runner.h"

enum role { ROLE_PROCESSOR = 1, ROLE_POSTGRES = 2, ROLE_NOTIFY = 4 };

/* What a command needs of the configuration; the rest is not read, so that its errors
 * and its secrets do not matter there. */
enum settings_part {
    SETTINGS_KAFKA = 1,
    SETTINGS_CODEC = 2,
    SETTINGS_ENGINE = 4,
    SETTINGS_PIPELINE = 8,
    SETTINGS_SINKS = 16,
    SETTINGS_HTTP = 32,
    SETTINGS_ALL = 63,
};

struct process_options {
    const char *roles; /* NULL: processor and what is configured */
    int64_t workers;   /* 0: one a core */
    const char *rules; /* path; NULL: the default rules */
    int64_t stop_grace_ms;
};
struct log_options {
    int64_t level;  /* enum log_level */
    int64_t format; /* enum log_format */
};

struct settings {
    struct arena *arena;
    const char *file;        /* NULL: there is none */
    const struct tree *root; /* NULL: there is no file */
    struct complaints complaints;
    const char *unknown_variables; /* WEIR_... of the environment, comma between; NULL: none */
    struct process_options process;
    struct log_options log;
    struct kafka_options kafka;
    struct codec_options codec;
    struct pipeline_options pipeline;
    struct sink_options sink;
    struct postgres_options postgres;
    struct notify_options notify;
    struct http_options http;
    struct engine_config *engine_config;
    uint32_t roles; /* enum role, a bit each */
};

/* What the command line says about it. */
struct settings_request {
    const char *file;     /* --config; NULL: look where users put it */
    const char *roles;    /* --roles; NULL: not given */
    const char *rules;    /* --rules; NULL: not given */
    const char *embedded; /* --embedded: address of a `weir broker`; NULL: none */
    uint32_t parts;       /* enum settings_part */
};

/* Rows for the arg table of a command whose values of `type` hold a settings_request
 * named `request`. */
#define SETTINGS_ARGS(type)                                                                        \
    {"config",                                                                                     \
     ARG_TEXT,                                                                                     \
     offsetof(type, request.file),                                                                 \
     "FILE",                                                                                       \
     0,                                                                                            \
     0,                                                                                            \
     NULL,                                                                                         \
     "the configuration; else WEIR_CONFIG, else ./weir.yaml if there is one"},                     \
    {                                                                                              \
        "embedded", ARG_TEXT, offsetof(type, request.embedded), "HOST:PORT", 0, 0, NULL,           \
            "use the `weir broker` at this address"                                                \
    }

/* Reads everything asked for, even after errors, which are in settings->complaints. */
void settings_read(const struct settings_request *request, struct settings *settings);
/* The same for a command that needs them right: prints the errors, one a line, and applies
 * the log settings. An enum exit_code; call settings_close in any case. */
int settings_open(const struct settings_request *request, struct settings *settings);
void settings_close(struct settings *settings);

/* The most that the state of one partition may take, all options of the engine together. */
int64_t settings_partition_bytes_max(const struct settings *settings);
/* Prints all complaints on standard error, one a line, by place. */
void settings_print_complaints(const struct settings *settings);
/* All tables, in the order of the reference; ends in NULL. */
const struct option_table *const *settings_tables(void);
const char *role_name(enum role role);
#endif
