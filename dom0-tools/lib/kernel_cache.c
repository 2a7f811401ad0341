/*
 * Unpacked kernels that are kept, as unpacking takes a hundred times longer than anything else in creating a
 * domain.
 *
 * CACHE_DIR/kernels/DIGEST-SIZE is the ELF file out of the packed file with that digest (BLAKE2b, so that nobody can
 * make two of them meet) and that size (so that a digest is only made where there is something to find), then a
 * checksum of it in eight bytes. It holds for that file wherever it lies and however often the machine was started
 * since; there is no entry that is out of date. One that was cut short or damaged is removed when it is met.
 * RUN_DIR/kernels/IDENTITY is a link that saves the digest: the file of that identity (device, inode, size, times) was
 * seen to have it.
 *
 * Only entries in a directory and of a mode that nobody else can write are believed. Those used longest ago go
 * when there are more than CACHE_LIMIT bytes. Nothing here can make a creation fail.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include "internal.h"

#define CACHE_LIMIT (256UL << 20)
#define PIECE       4096UL
#define CHECK_BYTES sizeof(uint64_t)
#define DIGEST_TEXT 64

const char *bh_cache_dir(void)
{
    const char *dir = getenv("BULKHEAD_CACHE_DIR");

    return dir && *dir ? dir : "/var/cache/bulkhead";
}

static bool is_zero(const uint8_t *p, size_t size)
{
    return !*p && !memcmp(p, p + 1, size - 1);
}

/* Each step can be undone, so any change of one word changes the sum. Half of a kernel are pages of zeros. */
static uint64_t sum_step(uint64_t sum, uint64_t word)
{
    sum = (sum ^ word) * 0x9e3779b97f4a7c15UL;
    return sum ^ sum >> 32;
}

static uint64_t checksum(const uint8_t *data, size_t size)
{
    uint64_t sum = size, word;
    size_t at = 0;

    for (; size - at >= PIECE; at += PIECE) {
        if (is_zero(data + at, PIECE)) {
            sum = sum_step(sum, 1);
            continue;
        }
        for (size_t i = 0; i < PIECE; i += sizeof(word)) {
            memcpy(&word, data + at + i, sizeof(word));
            sum = sum_step(sum, word);
        }
    }
    for (; at < size; at++)
        sum = sum_step(sum, data[at]);
    return sum;
}

static bool is_ours(const struct stat *st)
{
    return st->st_uid == geteuid() && !(st->st_mode & (S_IWGRP | S_IWOTH));
}

/* -1: there is none, or others can write it. */
static int open_cache(void)
{
    char path[512];
    struct stat st;

    snprintf(path, sizeof(path), "%s/kernels", bh_cache_dir());
    int dir = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (dir >= 0 && (fstat(dir, &st) < 0 || !is_ours(&st))) {
        close(dir);
        errno = EPERM;
        return -1;
    }
    return dir;
}

static bool map_entry(int fd, struct image *out)
{
    struct stat st;
    uint64_t sum;

    if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !is_ours(&st) || st.st_size <= (off_t)CHECK_BYTES ||
        (uint64_t)st.st_size > KERNEL_LIMIT + CHECK_BYTES)
        return false;
    void *memory = mmap(NULL, st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (memory == MAP_FAILED)
        return false;
    size_t size = st.st_size - CHECK_BYTES;
    memcpy(&sum, (uint8_t *)memory + size, sizeof(sum));
    if (sum != checksum(memory, size)) {
        munmap(memory, st.st_size);
        return false;
    }
    *out =
        (struct image){.data = memory, .size = size, .mapping = memory, .mapping_size = st.st_size, .fd = fd};
    return true;
}

bool cache_get(const char *name, struct image *out)
{
    int dir = open_cache(), fd;

    if (dir < 0)
        return false;
    fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_CLOEXEC);
    bool good = fd >= 0 && map_entry(fd, out);
    if (good)
        futimens(fd, NULL); /* used now */
    else
        unlinkat(dir, name, 0);
    if (!good && fd >= 0)
        close(fd);
    close(dir);
    return good;
}

bool cache_may_have(size_t size)
{
    char end[24];
    int fd = open_cache();
    DIR *list = fd < 0 ? NULL : fdopendir(fd);
    struct dirent *entry;
    bool found = false;

    snprintf(end, sizeof(end), "-%zx", size);
    while (list && !found && (entry = readdir(list)))
        found = strlen(entry->d_name) > DIGEST_TEXT && !strcmp(entry->d_name + DIGEST_TEXT, end);
    if (list)
        closedir(list);
    return found;
}

/* Removes what was used longest ago until there is room for `size` bytes more. */
static void make_room(int dir, uint64_t size)
{
    DIR *list;
    uint64_t total;
    char oldest[256];

    do {
        time_t used = 0;
        struct dirent *entry;

        list = fdopendir(openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC));
        total = size;
        *oldest = 0;
        while (list && (entry = readdir(list))) {
            struct stat st;

            if (fstatat(dir, entry->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
                continue;
            total += st.st_blocks * 512;
            if (!*oldest || st.st_mtim.tv_sec < used) {
                used = st.st_mtim.tv_sec;
                snprintf(oldest, sizeof(oldest), "%s", entry->d_name);
            }
        }
        if (list)
            closedir(list);
    } while (*oldest && total > CACHE_LIMIT && !unlinkat(dir, oldest, 0));
}

/* Pages of zeros become holes. */
static bool write_entry(int fd, const uint8_t *data, size_t size)
{
    uint64_t sum = checksum(data, size);

    for (size_t at = 0, n; at < size; at += n) {
        n = size - at < PIECE ? size - at : PIECE;
        if (is_zero(data + at, n))
            continue;
        while (size - at - n >= PIECE && !is_zero(data + at + n, PIECE))
            n += PIECE;
        if (pwrite(fd, data + at, n, at) != (ssize_t)n)
            return false;
    }
    return pwrite(fd, &sum, sizeof(sum), size) == sizeof(sum);
}

int cache_put(struct bh *h, const char *name, const uint8_t *data, size_t size)
{
    char path[512], temporary[32];
    int dir, fd;

    if (size > CACHE_LIMIT)
        return bh_fail(h, EFBIG, "it has more than the %lu MiB that are kept", CACHE_LIMIT >> 20);
    snprintf(path, sizeof(path), "%s/kernels", bh_cache_dir());
    mkdir(bh_cache_dir(), 0755);
    mkdir(path, 0700);
    dir = open_cache();
    if (dir < 0)
        return bh_fail(h, errno, "cannot use %s: %s", path,
                       errno == EPERM ? "others can write it" : strerror(errno));
    make_room(dir, size);
    snprintf(temporary, sizeof(temporary), ".%d", getpid());
    unlinkat(dir, temporary, 0); /* of one that was killed */
    fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    bool good = fd >= 0 && write_entry(fd, data, size) && !renameat(dir, temporary, dir, name);
    int error = errno;
    if (fd >= 0)
        close(fd);
    if (!good)
        unlinkat(dir, temporary, 0);
    close(dir);
    return good ? 0 : bh_fail(h, error, "cannot write in %s: %s", path, strerror(error));
}

static void link_path(const struct stat *st, char *out, size_t size)
{
    snprintf(out, size, "%s/kernels/%lx-%lx-%lx-%lx.%lx-%lx.%lx", bh_run_dir(), st->st_dev, st->st_ino,
             st->st_size, st->st_mtim.tv_sec, st->st_mtim.tv_nsec, st->st_ctim.tv_sec, st->st_ctim.tv_nsec);
}

bool cache_recall(const struct stat *st, char name[CACHE_NAME])
{
    static const char digits[] = "0123456789abcdef";
    char path[512];

    link_path(st, path, sizeof(path));
    ssize_t length = readlink(path, name, CACHE_NAME - 1);
    if (length <= DIGEST_TEXT + 1)
        return false;
    name[length] = 0;
    return strspn(name, digits) == DIGEST_TEXT && name[DIGEST_TEXT] == '-' &&
           !name[DIGEST_TEXT + 1 + strspn(name + DIGEST_TEXT + 1, digits)];
}

void cache_remember(const struct stat *st, const char *name)
{
    char path[512];

    /* A file that was just written can still be changed without its times telling. */
    if (labs(time(NULL) - st->st_ctim.tv_sec) <= 2)
        return;
    mkdir(bh_run_dir(), 0755);
    snprintf(path, sizeof(path), "%s/kernels", bh_run_dir());
    mkdir(path, 0700);
    link_path(st, path, sizeof(path));
    unlink(path);
    (void)!symlink(name, path);
}

void cache_name(const uint8_t *data, size_t size, char name[CACHE_NAME])
{
    uint8_t digest[DIGEST_TEXT / 2];

    blake2b_256(data, size, digest);
    for (unsigned int i = 0; i < sizeof(digest); i++)
        snprintf(name + 2 * i, 3, "%02x", digest[i]);
    snprintf(name + DIGEST_TEXT, CACHE_NAME - DIGEST_TEXT, "-%zx", size);
}
