/*
 * Runs a command between the markers START and END: what `make bench` counts of the toolstack.
 *
 *     timed NAME COMMAND ARGUMENTS...     prints "ROW NAME status nanoseconds" on standard error
 *
 * As process 1 of a guest it is the guest's whole user space: it prints one line, sets the marker INIT, and stays.
 */
#include <spawn.h>
#include <stdint.h>
#include <stdio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "../marker.h"

enum { MARK_START = 2, MARK_END = 3, MARK_INIT = 5 };

extern char **environ;

static uint64_t now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

static void be_init(void)
{
    static const char line[] = "the guest's init is up\n";
    ssize_t wrote = write(STDOUT_FILENO, line, sizeof(line) - 1);

    MARK(MARK_INIT);
    for (;;)
        if (wrote > 0)
            pause();
}

int main(int argc, char **argv)
{
    uint64_t begin;
    int status = -1;
    pid_t pid;

    if (getpid() == 1)
        be_init();
    if (argc < 3) {
        fprintf(stderr, "usage: timed NAME COMMAND ARGUMENTS...\n");
        return 2;
    }
    begin = now();
    MARK(MARK_START);
    if (posix_spawnp(&pid, argv[2], NULL, NULL, argv + 2, environ) == 0)
        waitpid(pid, &status, 0);
    MARK(MARK_END);
    fprintf(stderr, "ROW %s %d %lu\n", argv[1], status, now() - begin);
    return status != 0;
}
