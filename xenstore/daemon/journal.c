/* The state file. See journal.h. */
#include "journal.h"

#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <unistd.h>

#define MAGIC        "BHXSTATE"
#define STEP         (1u << 20) /* the file grows by this much */
#define RESERVE      (4ull << 30)
#define RECORD_ALIGN 8
#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23
#endif

struct frame {
    uint32_t len; /* of the payload; written last. 0: end of the journal */
    uint32_t seq;
    uint64_t check;
};

struct record_head {
    uint32_t type;
    uint32_t len;
};

static size_t aligned(size_t n)
{
    return (n + RECORD_ALIGN - 1) & ~(size_t)(RECORD_ALIGN - 1);
}

void journal_boot_id(char out[40])
{
    int fd = open("/proc/sys/kernel/random/boot_id", O_RDONLY | O_CLOEXEC);
    ssize_t n = 0;

    memset(out, 0, 40);
    if (fd >= 0) {
        n = read(fd, out, 36);
        close(fd);
    }
    if (n != 36) {
        memset(out, '?', 36);
    }
}

static uint64_t header_check(const struct journal_header *h)
{
    return hash_bytes(h, offsetof(struct journal_header, check), 3);
}

static int journal_grow(struct journal *j, size_t need)
{
    size_t size = (j->used + need + sizeof(struct frame) + STEP) / STEP * STEP;
    int rc;

    if (size > j->reserved) {
        return ENOSPC;
    }
    if (size <= j->allocated) {
        return 0;
    }
    rc = posix_fallocate(j->fd, 0, (off_t)size);
    if (!rc) {
        if (j->map) {
            /* Page by page at the first touch would cost more. It is no harm if this is not possible. */
            madvise(j->map + j->allocated, size - j->allocated, MADV_POPULATE_WRITE);
        }
        j->allocated = size;
    }
    return rc;
}

int journal_create(struct journal *j, const char *file, uint64_t generation)
{
    struct journal_header h = {.magic = MAGIC, .version = JOURNAL_VERSION, .size = sizeof(h)};
    int rc;

    *j = (struct journal){.fd = -1, .generation = generation, .reserved = RESERVE};
    j->fd = open(file, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (j->fd < 0) {
        return errno;
    }
    rc = journal_grow(j, sizeof(h));
    if (!rc) {
        j->map = mmap(NULL, j->reserved, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_NORESERVE, j->fd, 0);
        rc = j->map == MAP_FAILED ? errno : 0;
    }
    if (rc) {
        close(j->fd);
        j->fd = -1;
        return rc;
    }
    if (getrandom(&j->salt, sizeof(j->salt), 0) != sizeof(j->salt)) {
        j->salt = generation * 0x9e3779b97f4a7c15ull;
    }
    h.generation = generation;
    h.salt = j->salt;
    journal_boot_id(h.boot_id);
    h.check = header_check(&h);
    memcpy(j->map, &h, sizeof(h));
    j->used = aligned(sizeof(h));
    j->on = true;
    return 0;
}

void journal_close(struct journal *j)
{
    if (j->fd >= 0 && j->map) {
        munmap(j->map, j->reserved);
        close(j->fd);
    }
    buf_free(&j->batch);
    *j = (struct journal){.fd = -1};
}

void journal_add(struct journal *j, enum record type, const void *a, size_t alen, const void *b, size_t blen,
                 const void *c, size_t clen)
{
    struct record_head head = {.type = type, .len = (uint32_t)(alen + blen + clen)};
    uint8_t *at;

    if (!j->on) {
        return;
    }
    at = buf_add(&j->batch, NULL, aligned(sizeof(head) + head.len));
    memcpy(at, &head, sizeof(head));
    at += sizeof(head);
    if (alen) {
        memcpy(at, a, alen);
    }
    if (blen) {
        memcpy(at + alen, b, blen);
    }
    if (clen) {
        memcpy(at + alen + blen, c, clen);
    }
    memset(at + head.len, 0, aligned(sizeof(head) + head.len) - sizeof(head) - head.len);
}

bool journal_commit(struct journal *j)
{
    struct frame *f;
    int rc;

    if (!j->on || j->batch.len == 0) {
        return true;
    }
    if (j->used + sizeof(*f) * 2 + j->batch.len > j->allocated) {
        rc = journal_grow(j, sizeof(*f) + j->batch.len);
        if (rc) {
            if (!j->full) {
                log_msg(LOG_LEVEL_ERROR,
                        "state file cannot grow beyond %zu bytes: %s; changes are not kept until "
                        "a new checkpoint fits",
                        j->allocated, strerror(rc));
            }
            j->full = true;
            j->batch.len = 0;
            return false;
        }
    }
    f = (struct frame *)(j->map + j->used);
    memcpy(f + 1, j->batch.data, j->batch.len);
    f->seq = ++j->seq;
    f->check = hash_bytes(j->batch.data, j->batch.len, j->salt + j->seq);
    __atomic_store_n(&f->len, (uint32_t)j->batch.len, __ATOMIC_RELEASE);
    j->used += sizeof(*f) + j->batch.len;
    j->batch.len = 0;
    if (j->batch.cap > (1u << 20)) {
        buf_free(&j->batch);
    }
    return true;
}

bool read_ref(struct reader *r, const void **out, size_t len)
{
    if (r->left < len) {
        return false;
    }
    *out = r->at;
    r->at += len;
    r->left -= len;
    return true;
}

bool read_bytes(struct reader *r, void *out, size_t len)
{
    const void *p;

    if (!read_ref(r, &p, len)) {
        return false;
    }
    memcpy(out, p, len);
    return true;
}

static bool read_batch(struct reader *r, journal_record_fn *f, void *ctx, struct journal_stats *st)
{
    struct record_head head;
    const void *data;

    while (r->left) {
        if (!read_bytes(r, &head, sizeof(head)) || head.len > r->left ||
            !read_ref(r, &data, aligned(sizeof(head) + head.len) - sizeof(head))) {
            st->why = "a record is longer than its batch";
            return false;
        }
        if (head.type == REC_END_OF_CHECKPOINT) {
            st->complete = true;
        } else if (!f(ctx, (enum record)head.type, data, head.len)) {
            st->why = "a record does not fit the state before it";
            return false;
        }
    }
    return true;
}

static bool read_header(struct reader *r, struct journal_header *h, struct journal_stats *st)
{
    char boot_id[40];

    if (!read_bytes(r, h, sizeof(*h)) || memcmp(h->magic, MAGIC, 8) != 0) {
        st->why = "this is no state file";
    } else if (h->version != JOURNAL_VERSION || h->size != sizeof(*h)) {
        st->why = "the state file has another version";
    } else if (h->check != header_check(h)) {
        st->why = "the header does not verify";
    } else {
        journal_boot_id(boot_id);
        st->generation = h->generation;
        st->other_boot = memcmp(boot_id, h->boot_id, sizeof(boot_id)) != 0;
        return true;
    }
    return false;
}

bool journal_read(const uint8_t *data, size_t len, journal_record_fn *f, void *ctx, struct journal_stats *st)
{
    struct reader r = {data, len};
    struct journal_header h;
    struct frame fr;

    *st = (struct journal_stats){0};
    if (!read_header(&r, &h, st)) {
        return false;
    }
    st->good = len - r.left;
    while (read_bytes(&r, &fr, sizeof(fr)) && fr.len) {
        const void *batch;
        struct reader b;

        st->damaged = true;
        if (fr.seq != st->batches + 1 || !read_ref(&r, &batch, fr.len) ||
            fr.check != hash_bytes(batch, fr.len, h.salt + fr.seq)) {
            st->why = "a batch does not verify";
            break;
        }
        b = (struct reader){batch, fr.len};
        if (!read_batch(&b, f, ctx, st)) {
            break;
        }
        st->batches++;
        st->good = len - r.left;
        st->damaged = false;
    }
    return st->complete;
}
