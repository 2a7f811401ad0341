#include "qcow2.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC                0x514649fbu
#define EXTENSION_END        0u
#define EXTENSION_BACKING    0xe2792acau
#define INCOMPATIBLE_DIRTY   1ull
#define INCOMPATIBLE_CORRUPT 2ull
#define INCOMPATIBLE_KNOWN                                                                                   \
    0x1bull /* dirty, corrupt, compression type, extended L2; not: external data file */
#define MAX_VIRTUAL_BYTES (1ull << 62)

static uint32_t get32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint64_t get64(const uint8_t *p)
{
    return (uint64_t)get32(p) << 32 | get32(p + 4);
}

/* The format that the header extensions name for the backing file; NULL when it is acceptable. */
static const char *parse_extensions(const uint8_t *p, size_t at, size_t end, struct qcow2_head *out)
{
    bool named = false;
    while (at + 8 <= end) {
        uint32_t type = get32(p + at), length = get32(p + at + 4);
        at += 8;
        if (type == EXTENSION_END)
            break;
        if (length > end - at)
            return "a header extension runs past the header";
        if (type == EXTENSION_BACKING) {
            named = true;
            out->backing_is_raw = length == 3 && memcmp(p + at, "raw", 3) == 0;
            if (!out->backing_is_raw && !(length == 5 && memcmp(p + at, "qcow2", 5) == 0))
                return "its backing file has a format other than raw or qcow2";
        }
        at += (length + 7) & ~7ull;
    }
    return named || !out->has_backing ? NULL : "it does not say which format its backing file has";
}

const char *qcow2_parse(const uint8_t *p, size_t bytes, struct qcow2_head *out)
{
    memset(out, 0, sizeof(*out));
    if (bytes < 72 || get32(p) != MAGIC)
        return "it has no qcow2 header";
    uint32_t version = get32(p + 4), cluster_bits = get32(p + 20);
    uint64_t name_at = get64(p + 8);
    uint32_t name_bytes = get32(p + 16);
    size_t header = version == 3 && bytes >= 104 ? get32(p + 100) : 72;
    out->virtual_bytes = get64(p + 24);
    if (version != 2 && (version != 3 || bytes < 104))
        return "its qcow2 version is neither 2 nor 3";
    if (header < 72 || header > bytes || (version == 3 && header < 104))
        return "its header length is wrong";
    if (cluster_bits < 9 || cluster_bits > 21)
        return "its cluster size is not between 512 bytes and 2 MiB";
    if (out->virtual_bytes > MAX_VIRTUAL_BYTES)
        return "its virtual size is absurd";
    if (version == 3 && (get64(p + 72) & ~INCOMPATIBLE_KNOWN))
        return "it needs features that are not accepted here (an external data file, or unknown ones)";
    if (version == 3 && (get64(p + 72) & INCOMPATIBLE_CORRUPT))
        return "it is marked corrupt; repair it with qemu-img check -r all";
    size_t end = bytes;
    if (name_at) {
        if (name_bytes == 0 || name_bytes >= sizeof(out->backing) || name_at > bytes ||
            name_bytes > bytes - name_at)
            return "the name of its backing file lies outside the header";
        memcpy(out->backing, p + name_at, name_bytes);
        if (strlen(out->backing) != name_bytes)
            return "the name of its backing file contains a zero byte";
        out->has_backing = true;
        end = name_at > header ? (size_t)name_at : header;
    }
    return parse_extensions(p, header, end, out);
}

static int read_head(const char *path, struct qcow2_head *head, struct stat *st, const char **wrong)
{
    uint8_t bytes[QCOW2_HEAD_BYTES];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return -errno;
    ssize_t got = fstat(fd, st) ? -1 : pread(fd, bytes, sizeof(bytes), 0);
    int error = errno;
    close(fd);
    if (got < 0)
        return -error;
    *wrong = qcow2_parse(bytes, (size_t)got, head);
    return 0;
}

/* Where the backing file lies: an absolute name as it is, others from the image's directory. Protocols are
 * refused. */
static bool resolve(const char *image, const char *backing, char *out, size_t bytes)
{
    char copy[PATH_MAX];
    if (backing[0] == '/')
        return snprintf(out, bytes, "%s", backing) < (int)bytes;
    if (strchr(backing, ':'))
        return false;
    snprintf(copy, sizeof(copy), "%s", image);
    return snprintf(out, bytes, "%s/%s", dirname(copy), backing) < (int)bytes;
}

int qcow2_check_chain(const char *path, char *why, size_t why_bytes)
{
    char current[PATH_MAX];
    struct {
        dev_t device;
        ino_t inode;
    } seen[QCOW2_MAX_CHAIN];
    snprintf(current, sizeof(current), "%s", path);
    for (int depth = 0; depth < QCOW2_MAX_CHAIN; depth++) {
        struct qcow2_head head;
        struct stat st;
        const char *wrong = NULL;
        int rc = read_head(current, &head, &st, &wrong);
        if (rc || wrong) {
            snprintf(why, why_bytes, "image %s refused: %s", current, wrong ? wrong : strerror(-rc));
            return rc ? rc : -EINVAL;
        }
        for (int i = 0; i < depth; i++) {
            if (seen[i].device == st.st_dev && seen[i].inode == st.st_ino) {
                snprintf(why, why_bytes, "image %s refused: its backing files form a loop", path);
                return -ELOOP;
            }
        }
        seen[depth].device = st.st_dev;
        seen[depth].inode = st.st_ino;
        if (!head.has_backing)
            return 0;
        char next[PATH_MAX];
        if (!resolve(current, head.backing, next, sizeof(next))) {
            snprintf(why, why_bytes, "image %s refused: its backing file \"%s\" is not a plain path", current,
                     head.backing);
            return -EINVAL;
        }
        if (head.backing_is_raw)
            return 0;
        memcpy(current, next, sizeof(current));
    }
    snprintf(why, why_bytes, "image %s refused: more than %d images stand on each other", path,
             QCOW2_MAX_CHAIN);
    return -ELOOP;
}
