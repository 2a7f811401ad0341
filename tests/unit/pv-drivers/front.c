#include "front.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct xenio {
    const struct xenio_memory *own;
    int memory;
    uint8_t *guest;
    bool revoked[FRONT_PAGES];
    unsigned notified;
    int mapped;
};

static struct xenio xen;
struct xenio *front_xen = &xen;

void front_open(void)
{
    memset(&xen, 0, sizeof(xen));
    xen.memory = memfd_create("guest", MFD_CLOEXEC);
    assert_int_equal(ftruncate(xen.memory, (off_t)FRONT_PAGES * XENIO_PAGE), 0);
    xen.guest =
        mmap(NULL, (size_t)FRONT_PAGES * XENIO_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED, xen.memory, 0);
    assert_ptr_not_equal(xen.guest, MAP_FAILED);
}

void front_close(void)
{
    munmap(xen.guest, (size_t)FRONT_PAGES * XENIO_PAGE);
    close(xen.memory);
}

void *front_page(uint32_t gref)
{
    return xen.guest + (size_t)gref * XENIO_PAGE;
}

unsigned front_notified(void)
{
    unsigned n = xen.notified;
    xen.notified = 0;
    return n;
}

void front_revoke(uint32_t gref, bool revoked)
{
    xen.revoked[gref] = revoked;
}

int front_mapped(void)
{
    return xen.mapped;
}

static bool good(uint32_t gref)
{
    return gref < FRONT_PAGES && !xen.revoked[gref];
}

void *xenio_map(struct xenio *x, uint16_t domid, const uint32_t *grefs, unsigned count, bool writable)
{
    for (unsigned i = 0; i < count; i++) {
        if (!good(grefs[i])) {
            errno = EINVAL;
            return NULL;
        }
    }
    uint8_t *at = mmap(NULL, (size_t)count * XENIO_PAGE, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (unsigned i = 0; i < count; i++)
        mmap(at + (size_t)i * XENIO_PAGE, XENIO_PAGE, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_FIXED,
             x->memory, (off_t)grefs[i] * XENIO_PAGE);
    x->mapped += (int)count;
    return at;
}

void xenio_unmap(struct xenio *x, void *address, unsigned count)
{
    munmap(address, (size_t)count * XENIO_PAGE);
    x->mapped -= (int)count;
}

/* Where one end of a copy lies; NULL: a bad reference. Ours are those of the domain FRONT_OWN. */
static uint8_t *end_of_copy(const struct xenio *x, const union xenio_place *p, bool by_ref, unsigned bytes)
{
    if (!by_ref)
        return p->local;
    assert_true(p->foreign.offset + bytes <= XENIO_PAGE);
    if (p->foreign.domid == FRONT_OWN) {
        assert_in_range(p->foreign.gref, FRONT_PAGES, FRONT_PAGES + x->own->pages - 1);
        return x->own->start + (size_t)(p->foreign.gref - FRONT_PAGES) * XENIO_PAGE + p->foreign.offset;
    }
    return good(p->foreign.gref) ? (uint8_t *)front_page(p->foreign.gref) + p->foreign.offset : NULL;
}

int xenio_copy(struct xenio *x, struct xenio_copy *segments, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        struct xenio_copy *s = &segments[i];
        uint8_t *from = end_of_copy(x, &s->source, s->flags & XENIO_SOURCE_GREF, s->bytes);
        uint8_t *to = end_of_copy(x, &s->dest, s->flags & XENIO_DEST_GREF, s->bytes);
        s->status = from && to ? 0 : -3;
        if (s->status == 0)
            memcpy(to, from, s->bytes);
    }
    return 0;
}

int xenio_memory_open(struct xenio *x, struct xenio_memory *m, uint16_t own, unsigned pages)
{
    size_t bytes = (size_t)pages * XENIO_PAGE;
    *m = (struct xenio_memory){.pages = pages, .domid = own, .gref = calloc(pages, sizeof(*m->gref))};
    m->start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    for (unsigned i = 0; i < pages; i++)
        m->gref[i] = FRONT_PAGES + i;
    x->own = m;
    return 0;
}

void xenio_memory_close(struct xenio *x, struct xenio_memory *m)
{
    munmap(m->start, (size_t)m->pages * XENIO_PAGE);
    free(m->gref);
}

int xenio_bind(struct xenio *x, uint16_t domid, uint32_t remote_port)
{
    return remote_port < 1000 ? (int)remote_port : -EINVAL;
}

void xenio_unbind(struct xenio *x, uint32_t port)
{
}

int xenio_notify(struct xenio *x, uint32_t port)
{
    x->notified++;
    return 0;
}

/* --- the disk
 * ----------------------------------------------------------------------------------------------------- */

static void image_submit(struct image *i, struct image_io *io)
{
    struct fake_image *f = (struct fake_image *)i;
    assert_true(f->count < 4096);
    assert_true(io->offset + io->bytes <= f->image.bytes);
    f->waiting[f->count++] = io;
}

static void transfer(struct fake_image *f, struct image_io *io)
{
    uint8_t *at = f->data + io->offset;
    size_t total = 0;
    for (unsigned i = 0; i < io->niov; at += io->iov[i].iov_len, total += io->iov[i].iov_len, i++) {
        if (io->op == IMAGE_READ)
            memcpy(io->iov[i].iov_base, at, io->iov[i].iov_len);
        else
            memcpy(at, io->iov[i].iov_base, io->iov[i].iov_len);
    }
    assert_int_equal(total, io->bytes);
}

void fake_image_end(struct fake_image *f, unsigned i)
{
    struct image_io *io = f->waiting[i];
    f->waiting[i] = f->waiting[--f->count];
    if (f->fail_with == 0 && (io->op == IMAGE_READ || io->op == IMAGE_WRITE))
        transfer(f, io);
    if (io->op == IMAGE_DISCARD || io->op == IMAGE_ZERO)
        memset(f->data + io->offset, 0, io->bytes);
    f->flushes += io->op == IMAGE_FLUSH;
    f->error[f->ended_count] = f->fail_with;
    f->ended[f->ended_count++] = io;
}

static int image_reap(struct image *i)
{
    struct fake_image *f = (struct fake_image *)i;
    for (bool more = true; more;) {
        while (!f->hold && f->count)
            fake_image_end(f, 0);
        unsigned n = f->ended_count;
        more = n > 0;
        for (unsigned k = 0; k < n; k++)
            f->ended[k]->done(f->ended[k], f->error[k]);
        memmove(f->ended, f->ended + n, (f->ended_count - n) * sizeof(f->ended[0]));
        f->ended_count -= n;
    }
    return 0;
}

static void image_wait(struct image *i, int timeout_ms)
{
}

static const struct image_ops image_operations = {
    .submit = image_submit, .reap = image_reap, .wait = image_wait};

void fake_image_open(struct fake_image *f, uint64_t bytes)
{
    memset(f, 0, sizeof(*f));
    f->image.ops = &image_operations;
    f->image.bytes = bytes;
    f->image.physical_sector = 512;
    f->image.discard_granularity = 512;
    f->data = calloc(1, bytes);
}

void fake_image_close(struct fake_image *f)
{
    free(f->data);
}
