#include "vbd.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "../common/clock.h"
#include "../common/log.h"

#define ROUNDS_PER_TURN       64
#define GRANTS_PER_QUEUE      2048u
#define RESPONSE_BYTES        12u /* of a struct blkif_response, without its tail padding: the same in both ABIs */
#define SEGMENT_PAGE_CAPACITY (XENIO_PAGE / sizeof(struct blkif_request_segment))

_Static_assert(REQUEST_MAX_SEGMENTS <= SEGMENT_PAGE_CAPACITY, "indirect segments come from one page");

/* The steps of each kind of request on the image; a write or read step is skipped when the request has no
 * data. */
#define STEP_END (-1)
static const int8_t steps[REQUEST_KINDS][4] = {
    [REQUEST_READ] = {IMAGE_READ, STEP_END},
    [REQUEST_WRITE] = {IMAGE_WRITE, STEP_END},
    [REQUEST_FLUSH] = {IMAGE_FLUSH, IMAGE_WRITE, STEP_END},
    [REQUEST_BARRIER] = {IMAGE_FLUSH, IMAGE_WRITE, IMAGE_FLUSH, STEP_END},
    [REQUEST_DISCARD] = {IMAGE_DISCARD, STEP_END},
    [REQUEST_SECURE_DISCARD] = {IMAGE_ZERO, IMAGE_FLUSH, IMAGE_DISCARD, STEP_END},
};

static void list_clear(struct slot_list *l)
{
    l->first = NULL;
    l->last = &l->first;
}

static void list_add(struct slot_list *l, struct vbd_slot *s)
{
    s->next = NULL;
    *l->last = s;
    l->last = &s->next;
}

static struct vbd_slot *list_take(struct slot_list *l)
{
    struct vbd_slot *s = l->first;
    list_clear(l);
    return s;
}

/* --- bounce pages
 * ------------------------------------------------------------------------------------------------- */

static void release_bounce(struct vbd *v, struct vbd_slot *s)
{
    if (s->bounce_pages)
        memset(&v->pool_used[(s->bounce - v->pool) / XENIO_PAGE], 0, s->bounce_pages);
    s->bounce_pages = 0;
}

/* Pages that lie one behind the other make one transfer of one piece. */
static bool take_bounce(struct vbd *v, struct vbd_slot *s)
{
    unsigned free = 0, end = 0;
    for (; end < VBD_POOL_PAGES && free < s->request.segments; end++)
        free = v->pool_used[end] ? 0 : free + 1;
    if (free < s->request.segments)
        return false;
    memset(&v->pool_used[end - free], 1, free);
    s->bounce = v->pool + (size_t)(end - free) * XENIO_PAGE;
    s->bounce_pages = free;
    return true;
}

/* --- grants
 * ------------------------------------------------------------------------------------------------------- */

static int grant_copy(struct vbd *v, unsigned count)
{
    v->stats->value[VBD_GRANT_CALLS]++;
    v->stats->value[VBD_GRANTS] += count;
    return xenio_copy(v->io, v->copy, count);
}

/* Keeps the pages of these references mapped from now on, as far as the table has room. */
static int remember(struct vbd *v, const uint32_t *grefs, unsigned count)
{
    int mapped = grants_map(&v->grants, grefs, count);
    if (mapped > 0) {
        v->stats->value[VBD_GRANT_CALLS]++;
        v->stats->value[VBD_GRANTS] += (unsigned)mapped;
    }
    return mapped < 0 ? mapped : 0;
}

/* Fetches the segment list of an indirect request into raw. */
static int fetch_segments(struct vbd *v, const struct request *r, struct blkif_request_segment *raw)
{
    size_t bytes = r->segments * sizeof(*raw);
    if (v->persistent && remember(v, &r->indirect_gref, 1) == 0) {
        void *page = grants_find(&v->grants, r->indirect_gref);
        if (page) {
            memcpy(raw, page, bytes);
            __asm__ volatile("" ::: "memory");
            return 0;
        }
    }
    v->copy[0] =
        (struct xenio_copy){.source.foreign = {.gref = r->indirect_gref, .domid = v->device.frontend_domid},
                            .dest.local = raw,
                            .bytes = (uint16_t)bytes,
                            .flags = XENIO_SOURCE_GREF};
    int rc = grant_copy(v, 1);
    return rc ? rc : v->copy[0].status ? -EFAULT : 0;
}

static void add_piece(struct vbd_slot *s, void *page, const struct blkif_request_segment *segment)
{
    char *start = (char *)page + segment->first_sect * SECTOR_BYTES;
    size_t bytes = (segment->last_sect - segment->first_sect + 1u) * SECTOR_BYTES;
    struct iovec *last = s->io.niov ? &s->iov[s->io.niov - 1] : NULL;
    if (last && (char *)last->iov_base + last->iov_len == start)
        last->iov_len += bytes;
    else
        s->iov[s->io.niov++] = (struct iovec){start, bytes};
}

/* Looks the pages of the request up; how many of them are mapped for good. */
static unsigned find_pages(const struct vbd *v, struct vbd_slot *s)
{
    unsigned found = 0;
    for (unsigned i = 0; i < s->request.segments; i++) {
        s->guest[i] = grants_find(&v->grants, s->request.segment[i].gref);
        found += s->guest[i] != NULL;
    }
    return found;
}

/* Maps those that are not. True when every page of the request is mapped for good. */
static bool map_pages(struct vbd *v, struct vbd_slot *s)
{
    uint32_t grefs[REQUEST_MAX_SEGMENTS];
    unsigned count = s->request.segments;
    if (!v->persistent)
        return false;
    if (find_pages(v, s) == count)
        return true;
    for (unsigned i = 0; i < count; i++)
        grefs[i] = s->request.segment[i].gref;
    return remember(v, grefs, count) == 0 && find_pages(v, s) == count;
}

static bool find_memory(struct vbd *v, struct vbd_slot *s)
{
    const struct request *r = &s->request;
    s->io.iov = s->iov;
    s->io.niov = 0;
    s->bounced = false;
    if (r->segments == 0)
        return true;
    s->mapped = map_pages(v, s);
    s->bounced = !s->mapped || v->image->pins_memory;
    if (s->bounced && !take_bounce(v, s))
        return false;
    for (unsigned i = 0; i < r->segments; i++)
        add_piece(s, s->bounced ? s->bounce + (size_t)i * XENIO_PAGE : s->guest[i], &r->segment[i]);
    return true;
}

/* Whole sectors: one instruction, which moves whole cache lines. */
static void copy_sectors(char *to, const char *from, unsigned sectors)
{
    size_t words = sectors * SECTOR_BYTES / 8;
    __asm__ volatile("rep movsq" : "+D"(to), "+S"(from), "+c"(words) : : "memory");
}

static void copy_mapped(const struct vbd_slot *s, bool to_guest)
{
    for (unsigned i = 0; i < s->request.segments; i++) {
        const struct blkif_request_segment *segment = &s->request.segment[i];
        size_t offset = segment->first_sect * SECTOR_BYTES;
        char *guest = (char *)s->guest[i] + offset;
        char *local = s->bounce + (size_t)i * XENIO_PAGE + offset;
        copy_sectors(to_guest ? guest : local, to_guest ? local : guest,
                     segment->last_sect - segment->first_sect + 1u);
    }
}

/* The copy that moves segment i of a bounced request into (or out of) the guest. */
static struct xenio_copy segment_copy(const struct vbd *v, const struct vbd_slot *s, unsigned i,
                                      bool to_guest)
{
    const struct blkif_request_segment *segment = &s->request.segment[i];
    unsigned offset = segment->first_sect * SECTOR_BYTES;
    union xenio_place guest = {
        .foreign = {.gref = segment->gref, .offset = (uint16_t)offset, .domid = v->device.frontend_domid}};
    union xenio_place local = {.local = s->bounce + (size_t)i * XENIO_PAGE + offset};
    return (struct xenio_copy){.source = to_guest ? local : guest,
                               .dest = to_guest ? guest : local,
                               .bytes =
                                   (uint16_t)((segment->last_sect - segment->first_sect + 1u) * SECTOR_BYTES),
                               .flags = to_guest ? XENIO_DEST_GREF : XENIO_SOURCE_GREF};
}

static void copy_now(struct vbd *v, struct vbd_slot **owner, unsigned count)
{
    int rc = count ? grant_copy(v, count) : 0;
    for (unsigned i = 0; i < count; i++) {
        if (rc == 0 && v->copy[i].status == 0)
            continue;
        owner[i]->status = BLKIF_RSP_ERROR;
        log_limited("copying grant %u of domain %u failed (%d)",
                    v->copy[i].flags & XENIO_DEST_GREF ? v->copy[i].dest.foreign.gref
                                                       : v->copy[i].source.foreign.gref,
                    v->device.frontend_domid, rc ? rc : v->copy[i].status);
    }
}

/* Moves the data of all bounced requests of a list in as few calls as possible. */
static void copy_list(struct vbd *v, struct vbd_slot *list, bool to_guest)
{
    static struct vbd_slot *owner[VBD_COPY_BATCH];
    unsigned count = 0;
    for (struct vbd_slot *s = list; s; s = s->next) {
        bool reads = s->request.kind == REQUEST_READ;
        if (!s->bounced || s->status != BLKIF_RSP_OKAY || reads != to_guest)
            continue;
        if (s->mapped) {
            copy_mapped(s, to_guest);
            continue;
        }
        for (unsigned i = 0; i < s->request.segments; i++) {
            if (count == VBD_COPY_BATCH) {
                copy_now(v, owner, count);
                count = 0;
            }
            owner[count] = s;
            v->copy[count++] = segment_copy(v, s, i, to_guest);
        }
    }
    copy_now(v, owner, count);
}

/* --- running requests
 * --------------------------------------------------------------------------------------------- */

static void finish(struct vbd *v, struct vbd_slot *s, int16_t status)
{
    s->status = status;
    s->state = SLOT_FINISHED;
    list_add(&v->finished, s);
}

static void next_step(struct vbd *v, struct vbd_slot *s);

static void step_done(struct image_io *io, int error)
{
    struct vbd_slot *s = (struct vbd_slot *)((char *)io - offsetof(struct vbd_slot, io));
    struct vbd *v = s->queue->vbd;
    if (error == 0) {
        s->step++;
        next_step(v, s);
        return;
    }
    bool optional = error == -EOPNOTSUPP && io->op == IMAGE_DISCARD;
    if (!optional)
        log_limited("request of domain %u on sectors %llu+%llu failed: %s", v->device.frontend_domid,
                    (unsigned long long)s->request.sector, (unsigned long long)s->request.sectors,
                    strerror(-error));
    v->running--;
    finish(v, s, optional ? BLKIF_RSP_EOPNOTSUPP : BLKIF_RSP_ERROR);
}

static void next_step(struct vbd *v, struct vbd_slot *s)
{
    const int8_t *step = &steps[s->request.kind][s->step];
    bool data = s->request.segments != 0;
    while ((*step == IMAGE_WRITE || *step == IMAGE_READ) && !data) {
        step++;
        s->step++;
    }
    if (*step == STEP_END) {
        v->running--;
        finish(v, s, BLKIF_RSP_OKAY);
        return;
    }
    s->io.op = (enum image_op) * step;
    s->io.offset = s->request.sector * SECTOR_BYTES;
    s->io.bytes = s->request.sectors * SECTOR_BYTES;
    s->io.done = step_done;
    v->image->ops->submit(v->image, &s->io);
}

static void start(struct vbd *v, struct vbd_slot *s)
{
    s->state = SLOT_RUNNING;
    s->step = 0;
    v->running++;
    next_step(v, s);
}

static void count_request(struct vbd *v, const struct request *r)
{
    static const uint8_t counter[REQUEST_KINDS] = {VBD_READS,   VBD_WRITES,   VBD_FLUSHES,
                                                   VBD_FLUSHES, VBD_DISCARDS, VBD_DISCARDS};
    v->stats->value[counter[r->kind]]++;
    if (r->kind == REQUEST_READ)
        v->stats->value[VBD_SECTORS_READ] += r->sectors;
    else if (r->segments)
        v->stats->value[VBD_SECTORS_WRITTEN] += r->sectors;
}

/* Decodes what is in the slot, both halves of it. */
static int decode(struct vbd *v, const struct vbd_queue *q, struct vbd_slot *s, const char **why)
{
    uint8_t raw[REQUEST_SLOT_BYTES_64];
    struct blkif_request_segment segments[REQUEST_MAX_SEGMENTS];
    ring_copy_out(&q->ring, q->ring.req_cons, raw, q->ring.slot_bytes);
    int status = request_decode(raw, v->abi, &v->limits, &s->request, why);
    if (status || !s->request.indirect)
        return status;
    *why = "the page of indirect segments cannot be read";
    if (fetch_segments(v, &s->request, segments))
        return BLKIF_RSP_ERROR;
    return request_decode_indirect(&s->request, segments, &v->limits, why);
}

static bool limits_allow(struct vbd *v)
{
    uint64_t now = v->bytes.rate || v->operations.rate ? clock_now() : 0;
    if (bucket_open(&v->bytes, now) && bucket_open(&v->operations, now))
        return true;
    uint64_t a = bucket_opens_at(&v->bytes), b = bucket_opens_at(&v->operations);
    v->wake_at = a > b ? a : b;
    return false;
}

/* Takes one request from the ring. False when it has to stay there for now. */
static bool take_one(struct vbd *v, struct vbd_queue *q)
{
    struct vbd_slot *s = &q->slot[q->ring.req_cons & (q->ring.size - 1)];
    const char *why = "";
    s->bounce_pages = 0;
    s->bounced = false;
    s->status = BLKIF_RSP_OKAY;
    int status = decode(v, q, s, &why);
    if (status == BLKIF_RSP_OKAY && !find_memory(v, s))
        return false;
    q->ring.req_cons++;
    if (status) {
        if (status == BLKIF_RSP_ERROR)
            log_limited("refused a request of domain %u: %s", v->device.frontend_domid, why);
        finish(v, s, (int16_t)status);
        return true;
    }
    count_request(v, &s->request);
    bucket_take(&v->bytes, s->request.segments ? s->request.sectors * SECTOR_BYTES : 0);
    bucket_take(&v->operations, 1);
    if (s->request.kind == REQUEST_BARRIER)
        v->barrier = s;
    s->state = SLOT_READY;
    list_add(&v->ready, s);
    return true;
}

/* Takes what waits in one ring. Returns how many; *blocked when some had to stay. */
static unsigned take(struct vbd *v, struct vbd_queue *q, bool *blocked)
{
    int waiting = ring_waiting(&q->ring);
    unsigned taken = 0;
    if (waiting < 0) {
        v->broken = "its request index ran past the end of the ring";
        return 0;
    }
    while (waiting-- > 0) {
        if (v->barrier || !limits_allow(v) || !take_one(v, q)) {
            *blocked = true;
            break;
        }
        taken++;
    }
    return taken;
}

/* Fetches the data of what was taken and starts it; a barrier waits for the others. */
static void start_ready(struct vbd *v)
{
    struct vbd_slot *s = list_take(&v->ready), *next;
    copy_list(v, s, false);
    for (; s; s = next) {
        next = s->next;
        if (s->status != BLKIF_RSP_OKAY)
            finish(v, s, s->status);
        else if (s != v->barrier)
            start(v, s);
    }
    s = v->barrier;
    if (s && s->state == SLOT_READY && v->running == 0)
        start(v, s);
}

static void respond(struct vbd *v, struct vbd_queue *q)
{
    for (;;) {
        struct vbd_slot *s = &q->slot[q->ring.rsp_done & (q->ring.size - 1)];
        if (q->ring.rsp_done == q->ring.req_cons || s->state != SLOT_ANSWERED)
            break;
        struct blkif_response response = {
            .id = s->request.id, .operation = s->request.operation, .status = s->status};
        if (s->status != BLKIF_RSP_OKAY)
            v->stats->value[VBD_ERRORS]++;
        s->state = SLOT_FREE;
        ring_respond(&q->ring, &response);
    }
    if (ring_publish(&q->ring)) {
        v->stats->value[VBD_NOTIFICATIONS]++;
        xenio_notify(v->io, (uint32_t)q->port);
    }
}

/* Delivers what has finished. Returns how many requests that were. */
static unsigned settle(struct vbd *v)
{
    struct vbd_slot *s = list_take(&v->finished);
    unsigned count = 0;
    copy_list(v, s, true);
    for (; s; s = s->next) {
        release_bounce(v, s);
        if (s == v->barrier)
            v->barrier = NULL;
        s->state = SLOT_ANSWERED;
        count++;
    }
    for (unsigned i = 0; count && i < v->queues; i++)
        respond(v, &v->queue[i]);
    return count;
}

static void work_image(struct vbd *v)
{
    if (!v->image)
        return;
    int rc = v->image->ops->reap(v->image);
    if (rc)
        v->broken = "its image is lost";
}

/* True when some ring got a request while we were about to sleep. */
static bool sleep_queues(struct vbd *v)
{
    bool more = false;
    for (unsigned i = 0; i < v->queues; i++)
        more |= ring_sleep(&v->queue[i].ring);
    return more;
}

bool vbd_run(struct vbd *v)
{
    for (unsigned round = 0; round < ROUNDS_PER_TURN && !v->broken; round++) {
        bool blocked = false;
        unsigned progress = 0;
        v->wake_at = 0;
        for (unsigned i = 0; i < v->queues; i++)
            progress += take(v, &v->queue[i], &blocked);
        start_ready(v);
        work_image(v);
        progress += settle(v);
        if (progress == 0 && (blocked || !sleep_queues(v)))
            return false;
    }
    return !v->broken;
}

/* --- attaching
 * ---------------------------------------------------------------------------------------------------- */

int vbd_init(struct vbd *v, struct xenio *io, struct image *image, struct stats *stats,
             struct ring_journal *journal)
{
    v->io = io;
    v->journal = journal;
    v->image = image;
    v->stats = stats;
    list_clear(&v->ready);
    list_clear(&v->finished);
    v->pool = mmap(NULL, (size_t)VBD_POOL_PAGES * XENIO_PAGE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (v->pool == MAP_FAILED)
        return -ENOMEM;
    return 0;
}

void vbd_destroy(struct vbd *v)
{
    vbd_detach(v);
    munmap(v->pool, (size_t)VBD_POOL_PAGES * XENIO_PAGE);
}

int vbd_attach_queue(struct vbd *v, unsigned index, uint16_t domid, const uint32_t *grefs, unsigned pages,
                     uint32_t port)
{
    struct vbd_queue *q = &v->queue[index];
    const struct ring_shape shape = {.bytes = pages * XENIO_PAGE,
                                     .slot_bytes = v->abi == REQUEST_ABI_64 ? REQUEST_SLOT_BYTES_64
                                                                            : REQUEST_SLOT_BYTES_32,
                                     .response_bytes = RESPONSE_BYTES};
    *q = (struct vbd_queue){.vbd = v, .port = -1, .page_count = pages};
    v->queues = index + 1;
    q->pages = xenio_map(v->io, domid, grefs, pages, true);
    if (!q->pages) {
        log_line("cannot map ring %u of domain %u (%u pages, first grant %u): %s", index, domid, pages,
                 grefs[0], strerror(errno));
        return -EINVAL;
    }
    ring_attach(&q->ring, q->pages, &shape, &v->journal[index], v->device.resumed);
    q->slot = calloc(q->ring.size, sizeof(*q->slot));
    if (!q->slot)
        return -ENOMEM;
    for (unsigned i = 0; i < q->ring.size; i++)
        q->slot[i].queue = q;
    q->port = xenio_bind(v->io, domid, port);
    if (q->port < 0) {
        log_line("cannot bind to event channel %u of domain %u: %s", port, domid, strerror(-q->port));
        return -EINVAL;
    }
    if (v->persistent && !v->grants.io) {
        int rc = grants_open(&v->grants, v->io, domid, GRANTS_PER_QUEUE * VBD_MAX_QUEUES);
        if (rc)
            return rc;
    }
    int waiting = ring_waiting(&q->ring);
    if (waiting > 0)
        v->stats->value[VBD_REPLAYED] += (unsigned)waiting;
    return xenio_notify(v->io, (uint32_t)q->port); /* answers that an earlier process gave without telling */
}

static void wait_for_image(struct vbd *v)
{
    while (v->running) {
        if (v->image->ops->reap(v->image))
            return;
        if (v->running)
            v->image->ops->wait(v->image, 100);
    }
}

void vbd_detach(struct vbd *v)
{
    wait_for_image(v);
    struct vbd_slot *s = list_take(&v->finished);
    for (; s; s = s->next)
        release_bounce(v, s);
    for (s = list_take(&v->ready); s; s = s->next)
        release_bounce(v, s);
    v->barrier = NULL;
    v->broken = NULL;
    v->wake_at = 0;
    for (unsigned i = 0; i < v->queues; i++) {
        struct vbd_queue *q = &v->queue[i];
        if (q->port >= 0)
            xenio_unbind(v->io, (uint32_t)q->port);
        if (q->pages)
            xenio_unmap(v->io, q->pages, q->page_count);
        free(q->slot);
        *q = (struct vbd_queue){.port = -1};
    }
    v->queues = 0;
    if (v->grants.io)
        grants_close(&v->grants);
}
