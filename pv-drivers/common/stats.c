#include "stats.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "log.h"

static struct stats private_counters;

static void file_name(char *out, size_t bytes, const char *directory, const char *kind, unsigned domid,
                      unsigned devid)
{
    snprintf(out, bytes, "%s/%s-%u-%u.stats", directory, kind, domid, devid);
}

struct stats *stats_open(const char *directory, const char *kind, unsigned domid, unsigned devid)
{
    char path[512];
    struct stats *s = &private_counters;
    mkdir(directory, 0755);
    file_name(path, sizeof(path), directory, kind, domid, devid);
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0644);
    if (fd >= 0 && ftruncate(fd, sizeof(*s)) == 0) {
        void *map = mmap(NULL, sizeof(*s), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        if (map != MAP_FAILED)
            s = map;
    }
    if (s == &private_counters)
        log_line("counters are not shown: %s: %s", path, strerror(errno));
    if (fd >= 0)
        close(fd);
    memcpy(s->magic, STATS_MAGIC, sizeof(s->magic));
    s->counters = STATS_COUNTERS;
    return s;
}

void stats_remove(const char *directory, const char *kind, unsigned domid, unsigned devid)
{
    char path[512];
    file_name(path, sizeof(path), directory, kind, domid, devid);
    unlink(path);
}
