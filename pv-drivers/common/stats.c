#include "stats.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

/* Maps a file of bytes, growing it when needed; private memory, with a line in the log, when that does not
 * work. */
static void *map_file(const char *path, size_t bytes, mode_t mode)
{
    void *map = MAP_FAILED;
    struct stat st;
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode);
    bool good =
        fd >= 0 && fstat(fd, &st) == 0 && ((size_t)st.st_size == bytes || ftruncate(fd, (off_t)bytes) == 0);
    if (good)
        map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (map == MAP_FAILED) {
        log_line("%s: %s; its content will not outlive this process", path, strerror(errno));
        map = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    }
    if (fd >= 0)
        close(fd);
    return map == MAP_FAILED ? NULL : map;
}

struct stats *stats_open(const char *directory, const char *kind, unsigned domid, unsigned devid)
{
    static struct stats fallback;
    char path[512];
    mkdir(directory, 0755);
    snprintf(path, sizeof(path), "%s/%s-%u-%u.stats", directory, kind, domid, devid);
    struct stats *s = map_file(path, sizeof(*s), 0644);
    if (!s)
        s = &fallback;
    memcpy(s->magic, STATS_MAGIC, sizeof(s->magic));
    s->counters = STATS_COUNTERS;
    return s;
}

void *state_open(const char *directory, const char *kind, unsigned domid, unsigned devid, size_t bytes)
{
    char path[512];
    mkdir(directory, 0755);
    snprintf(path, sizeof(path), "%s/%s-%u-%u.state", directory, kind, domid, devid);
    return map_file(path, bytes, 0600);
}
