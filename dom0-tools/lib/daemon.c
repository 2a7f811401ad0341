/* See daemon.h. */
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "daemon.h"
#include "internal.h"

static int ready_fd = -1, lock_fd = -1;
static char log_path[300];

const char *daemon_log_dir(void)
{
    const char *dir = getenv("BULKHEAD_LOG_DIR");

    return dir && *dir ? dir : "/var/log/bulkhead";
}

void daemon_log(const char *format, ...)
{
    FILE *out = *log_path ? fopen(log_path, "ae") : stderr;
    struct tm tm;
    time_t now = time(NULL);
    char stamp[32];
    va_list args;

    if (!out)
        return;
    strftime(stamp, sizeof(stamp), "%Y-%m-%d %H:%M:%S", gmtime_r(&now, &tm));
    fprintf(out, "%s ", stamp);
    va_start(args, format);
    vfprintf(out, format, args);
    va_end(args);
    fputc('\n', out);
    if (out != stderr)
        fclose(out);
}

/* A record lock: it is the process' own, so no child that has yet to become another program keeps it (flock's would), and
 * who asks whether it is held need not take it. */
static void take_lock(const char *name)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    char path[300];

    mkdir(bh_run_dir(), 0755);
    snprintf(path, sizeof(path), "%s/%s.lock", bh_run_dir(), name);
    /* Never closed: the lock lives as long as the process, and ends with it however that ends. */
    lock_fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (lock_fd < 0) {
        fprintf(stderr, "%s: cannot make %s: %s\n", name, path, strerror(errno));
        exit(1);
    }
    if (fcntl(lock_fd, F_SETLK, &lock) < 0)
        exit(0);
}

void daemon_start(const char *name, bool foreground)
{
    int ready[2], null;
    pid_t pid;
    char byte;

    if (foreground) {
        take_lock(name);
        return;
    }
    if (pipe2(ready, O_CLOEXEC) < 0 || (pid = fork()) < 0) {
        fprintf(stderr, "%s: cannot start: %s\n", name, strerror(errno));
        exit(1);
    }
    if (pid) {
        close(ready[1]);
        exit(read(ready[0], &byte, 1) < 0);
    }
    close(ready[0]);
    ready_fd = ready[1];
    setsid();
    take_lock(name);
    mkdir(daemon_log_dir(), 0755);
    snprintf(log_path, sizeof(log_path), "%s/%s.log", daemon_log_dir(), name);
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (null >= 0) {
        dup2(null, STDIN_FILENO);
        dup2(null, STDOUT_FILENO);
        dup2(null, STDERR_FILENO);
    }
    if (chdir("/") < 0)
        daemon_log("cannot go to /: %s", strerror(errno));
}

void daemon_child(void)
{
    if (lock_fd >= 0)
        close(lock_fd);
    lock_fd = -1;
}

void daemon_ready(void)
{
    if (ready_fd >= 0)
        close(ready_fd);
    ready_fd = -1;
}
