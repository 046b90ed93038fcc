#include "ops/process.h"

#include <assert.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <unistd.h>

struct process {
    struct metric *resident, *cpu, *open_files, *most_files;
    double cpu_seen;
};

struct process *process_create(struct metric_registry *metrics, const struct clock *clock)
{
    struct process *process = calloc(1, sizeof(*process));
    struct metric *start, *build;

    assert(process != NULL);
    process->resident = metric_gauge(metrics, "process_resident_memory_bytes",
                                     "Resident memory size in bytes.", NULL);
    process->cpu = metric_counter(metrics, "process_cpu_seconds_total",
                                  "User and system time spent in seconds.", NULL);
    process->open_files =
        metric_gauge(metrics, "process_open_fds", "Number of open file descriptors.", NULL);
    process->most_files =
        metric_gauge(metrics, "process_max_fds", "Maximum number of open file descriptors.", NULL);
    start = metric_gauge(metrics, "process_start_time_seconds",
                         "Start time of the process since the Unix epoch in seconds.", NULL);
    metric_set(start, (double)clock_wall_ms(clock) / 1000);
    build = metric_gauge(metrics, "weir_build_info", "1; the labels say what was built.",
                         "version=\"" WEIR_VERSION "\",compiler=\"" __VERSION__ "\"");
    metric_set(build, 1);
    return process;
}

void process_destroy(struct process *process)
{
    free(process);
}

static void observe_memory(struct process *process)
{
    long long total, resident;
    FILE *file = fopen("/proc/self/statm", "re");

    if (file == NULL)
        return;
    if (fscanf(file, "%lld %lld", &total, &resident) == 2)
        metric_set(process->resident, (double)resident * (double)sysconf(_SC_PAGESIZE));
    fclose(file);
}

static double seconds_of(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

static void observe_time(struct process *process)
{
    struct rusage usage;
    double spent;

    if (getrusage(RUSAGE_SELF, &usage) != 0)
        return;
    spent = seconds_of(usage.ru_utime) + seconds_of(usage.ru_stime);
    if (spent > process->cpu_seen)
        metric_add(process->cpu, spent - process->cpu_seen);
    process->cpu_seen = spent;
}

static void observe_files(struct process *process)
{
    DIR *folder = opendir("/proc/self/fd");
    struct rlimit limit;
    int count = 0;

    if (folder != NULL) {
        for (const struct dirent *entry; (entry = readdir(folder)) != NULL;)
            count += entry->d_name[0] != '.';
        closedir(folder);
        /* The folder itself was one of them. */
        metric_set(process->open_files, count - 1);
    }
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        metric_set(process->most_files, (double)limit.rlim_cur);
}

void process_observe(struct process *process)
{
    observe_memory(process);
    observe_time(process);
    observe_files(process);
}
