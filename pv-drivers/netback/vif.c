#include "vif.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../common/clock.h"
#include "../common/log.h"

#define PAGE            XENIO_PAGE
#define ROUNDS_PER_TURN 32
#define FRAME_SPACE     (VIF_TAG_ROOM + 65552u + TAG_BYTES)
#define MEMORY_BYTES    ((VIF_BATCH_BYTES + FRAME_SPACE + PAGE - 1) / PAGE * PAGE)
#define RX_PLACE        (18 * PAGE) /* a frame, which begins a page once its tag is off */
#define RX_BYTES        65550u
#define RX_MEMORY       (VIF_RX_FRAMES * RX_PLACE)
#define TX_SLOT_BYTES   12u
#define RX_SLOT_BYTES   8u
#define CTRL_SLOT_BYTES 16u
#define TAG_BYTES       4u
#define TYPE_VLAN       0x8100

_Static_assert(sizeof(union netif_tx_sring_entry) == TX_SLOT_BYTES, "tx slot");
_Static_assert(sizeof(union netif_rx_sring_entry) == RX_SLOT_BYTES, "rx slot");
_Static_assert(sizeof(union xen_netif_ctrl_sring_entry) == CTRL_SLOT_BYTES, "control slot");

static const struct ring_shape tx_shape = {PAGE, TX_SLOT_BYTES, sizeof(struct netif_tx_response)};
static const struct ring_shape rx_shape = {PAGE, RX_SLOT_BYTES, sizeof(struct netif_rx_response)};
static const struct ring_shape control_shape = {PAGE, CTRL_SLOT_BYTES,
                                                sizeof(struct xen_netif_ctrl_response)};

static void notify(struct vif *v, int port)
{
    v->stats->value[VIF_NOTIFICATIONS]++;
    xenio_notify(v->io, (uint32_t)port);
}

static int copy_batch(struct vif *v)
{
    if (v->copies == 0)
        return 0;
    v->stats->value[VIF_GRANT_CALLS]++;
    v->stats->value[VIF_GRANTS] += v->copies;
    int rc = xenio_copy(v->io, v->copy, v->copies);
    if (rc)
        log_limited("grant copy for domain %u: %s", v->device.frontend_domid, strerror(-rc));
    return rc;
}

static bool copied(const struct vif *v, const struct vif_frame *f)
{
    for (unsigned i = 0; i < f->copies; i++)
        if (v->copy[f->first_copy + i].status)
            return false;
    return true;
}

static void finish_writes(struct vif *v)
{
    for (int patience = 0; v->writing; patience = 10)
        uring_run(v->uring, patience);
}

/* What was begun with the last batch's memory has to be through before it is used again. */
static void start_batch(struct vif *v)
{
    finish_writes(v);
    v->frames = v->copies = 0;
}

/* Where the memory behind the batch's last frame begins. */
static uint8_t *free_memory(const struct vif *v)
{
    const struct vif_frame *last = v->frames ? &v->frame[v->frames - 1] : NULL;
    uint8_t *start = last ? last->data + last->bytes + TAG_BYTES : v->memory;
    return start + VIF_TAG_ROOM;
}

/* The first free memory whose place in its page is offset. */
static uint8_t *memory_at(const struct vif *v, unsigned offset)
{
    uint8_t *start = free_memory(v);
    return start + ((offset - (uintptr_t)start) & (PAGE - 1));
}

static bool memory_left(const struct vif *v)
{
    return memory_at(v, 0) + PAGE + FRAME_SPACE <= v->memory + MEMORY_BYTES;
}

/* --- from the guest
 * ----------------------------------------------------------------------------------------------- */

/*
 * Memory for a packet's pieces, one behind the other. A piece that crosses a page of ours takes two copies, so a
 * packet of one piece begins a page if it does not fit into the last one, and one of several is placed so that its
 * full pages come to lie in pages.
 */
static uint8_t *tx_memory(const struct vif *v, const struct tx_packet *p)
{
    unsigned before = 0, full = 0;
    uint8_t *start = free_memory(v);
    if (p->pieces == 1)
        return (uintptr_t)start % PAGE + p->bytes > PAGE ? memory_at(v, 0) : start;
    for (; full < p->pieces && p->piece[full].bytes < PAGE; full++)
        before += p->piece[full].bytes;
    return full < p->pieces ? memory_at(v, 0u - before) : memory_at(v, p->piece[0].offset);
}

/* Adds the copies of one piece to `to`: two when it comes to lie across the end of a page. */
static void add_piece(struct vif *v, const struct tx_piece *piece, uint8_t *to)
{
    for (unsigned done = 0, bytes; done < piece->bytes; done += bytes) {
        struct xenio_copy *c = &v->copy[v->copies++];
        unsigned room = PAGE - (unsigned)((uintptr_t)(to + done) % PAGE);
        bytes = piece->bytes - done < room ? piece->bytes - done : room;
        *c = (struct xenio_copy){.source.foreign = {.gref = piece->gref,
                                                    .offset = (uint16_t)(piece->offset + done),
                                                    .domid = v->device.frontend_domid},
                                 .bytes = (uint16_t)bytes,
                                 .flags = XENIO_SOURCE_GREF};
        if (xenio_ours(&v->pages, to + done, &c->dest))
            c->flags |= XENIO_DEST_GREF;
    }
}

static void add_tx_copies(struct vif *v, const struct tx_packet *p)
{
    struct vif_frame *f = &v->frame[v->frames];
    f->data = tx_memory(v, p);
    f->bytes = p->status == NETIF_RSP_OKAY && !p->mcast ? p->bytes : 0;
    f->first_copy = v->copies;
    uint8_t *to = f->data;
    for (unsigned i = 0; f->bytes && i < p->pieces; i++) {
        add_piece(v, &p->piece[i], to);
        to += p->piece[i].bytes;
    }
    f->copies = v->copies - f->first_copy;
    v->frames++;
}

static bool rate_allows(struct vif *v)
{
    if (v->rate.rate == 0 || bucket_open(&v->rate, clock_now()))
        return true;
    v->wake_at = bucket_opens_at(&v->rate);
    return false;
}

/* Describes packets of one ring until the batch is full. */
static void collect_tx(struct vif *v, struct vif_queue *q, int waiting)
{
    start_batch(v);
    if (waiting < 0)
        v->broken = "its transmit index ran past the end of the ring";
    while (waiting > 0 && v->frames < VIF_BATCH && v->copies + 2 * TX_MAX_PIECES <= VIF_COPY_BATCH &&
           memory_left(v)) {
        struct netif_tx_request slots[TX_MAX_SLOTS + 1];
        unsigned count = waiting < (int)TX_MAX_SLOTS + 1 ? (unsigned)waiting : TX_MAX_SLOTS + 1;
        struct tx_packet *p = &v->packet[v->frames];
        const char *why = NULL;
        if (!rate_allows(v))
            return;
        for (unsigned i = 0; i < count; i++)
            ring_copy_out(&q->tx, q->tx.req_cons + i, &slots[i], sizeof(slots[i]));
        if (tx_decode(slots, count, p, &why) == TX_BROKEN) {
            v->broken = why;
            return;
        }
        if (why) {
            v->stats->value[VIF_ERRORS]++;
            log_limited("refused a packet of domain %u: %s", v->device.frontend_domid, why);
        }
        bucket_take(&v->rate, p->bytes);
        add_tx_copies(v, p);
        q->tx.req_cons += p->slots;
        waiting -= (int)p->slots;
    }
}

/* Puts the device's own tag behind the addresses; the header's offsets move with it. */
static void insert_tag(struct vif *v, struct vif_frame *f)
{
    memmove(f->data - TAG_BYTES, f->data, 12);
    f->data -= TAG_BYTES;
    f->bytes += TAG_BYTES;
    f->data[12] = TYPE_VLAN >> 8;
    f->data[13] = TYPE_VLAN & 0xff;
    f->data[14] = (uint8_t)(v->vlan >> 8);
    f->data[15] = (uint8_t)v->vlan;
    if (f->header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
        f->header.csum_start += TAG_BYTES;
    if (f->header.gso_type)
        f->header.hdr_len += TAG_BYTES;
}

static int16_t drop_tx(struct vif *v, int16_t status)
{
    v->stats->value[VIF_TX_DROPPED]++;
    return status;
}

static void written(struct uring_op *op, int result)
{
    struct vif_frame *f = (struct vif_frame *)op;
    f->vif->writing--;
    if (result < 0)
        f->vif->stats->value[VIF_TX_DROPPED]++;
}

static void begin_write(struct vif *v, struct vif_frame *f)
{
    struct io_uring_sqe *sqe = uring_sqe(v->uring);
    f->op.done = written;
    f->vif = v;
    f->iov[0] = (struct iovec){&f->header, sizeof(f->header)};
    f->iov[1] = (struct iovec){f->data, f->bytes};
    io_uring_prep_writev(sqe, v->tap, f->iov, 2, 0);
    uring_own(sqe, &f->op, 0);
    v->writing++;
}

static int16_t change_multicast(struct vif *v, const struct tx_packet *p)
{
    if (p->mcast == XEN_NETIF_EXTRA_TYPE_MCAST_DEL)
        steering_mcast_remove(v->steering, p->mcast_address);
    else if (!steering_mcast_add(v->steering, p->mcast_address))
        return NETIF_RSP_ERROR;
    return NETIF_RSP_OKAY;
}

/* Sends one frame on its way. Returns the status for its slots. */
static int16_t send_frame(struct vif *v, struct vif_frame *f, const struct tx_packet *p)
{
    if (p->mcast)
        return change_multicast(v, p);
    if (p->status != NETIF_RSP_OKAY || !copied(v, f))
        return drop_tx(v, NETIF_RSP_ERROR);
    const char *wrong = frame_offload(f->data, f->bytes, p, &f->header);
    if (wrong) {
        v->stats->value[VIF_ERRORS]++;
        log_limited("refused a packet of domain %u: %s", v->device.frontend_domid, wrong);
        return drop_tx(v, NETIF_RSP_ERROR);
    }
    if (!spoof_allows(&v->spoof, f->data, f->bytes))
        return drop_tx(v, NETIF_RSP_DROPPED);
    if (v->vlan)
        insert_tag(v, f);
    begin_write(v, f);
    v->stats->value[VIF_TX_PACKETS]++;
    v->stats->value[VIF_TX_BYTES] += f->bytes;
    return NETIF_RSP_OKAY;
}

static void answer_tx(struct vif_queue *q, const struct tx_packet *p, int16_t status)
{
    for (unsigned i = 0; i < p->slots; i++) {
        bool extra = p->extra_slots >> i & 1;
        struct netif_tx_response r = {.id = p->id[i], .status = extra ? NETIF_RSP_NULL : status};
        ring_respond(&q->tx, &r);
    }
}

/* One batch from one ring; how many packets that were. */
static unsigned run_tx(struct vif *v, struct vif_queue *q)
{
    int waiting = ring_waiting(&q->tx);
    if (waiting == 0)
        return 0;
    collect_tx(v, q, waiting);
    bool failed = copy_batch(v) != 0;
    for (unsigned i = 0; i < v->frames; i++) {
        int16_t status = failed ? drop_tx(v, NETIF_RSP_ERROR) : send_frame(v, &v->frame[i], &v->packet[i]);
        answer_tx(q, &v->packet[i], status);
    }
    if (ring_publish(&q->tx))
        notify(v, q->tx_port);
    return v->frames;
}

/* --- to the guest
 * ------------------------------------------------------------------------------------------------- */

static bool is_gso(const struct vif_frame *f)
{
    return f->header.gso_type != VIRTIO_NET_HDR_GSO_NONE;
}

static bool gso_is_v4(const struct vif_frame *f)
{
    return (f->header.gso_type & ~VIRTIO_NET_HDR_GSO_ECN) == VIRTIO_NET_HDR_GSO_TCPV4;
}

/* True when a frame read from the tap device is for this guest; takes the VLAN tag off. */
static bool accepted(struct vif *v, struct vif_frame *f)
{
    if (f->bytes < FRAME_MIN)
        return false;
    if (v->vlan) {
        if (f->bytes < FRAME_MIN + TAG_BYTES || (f->data[12] << 8 | f->data[13]) != TYPE_VLAN ||
            ((f->data[14] << 8 | f->data[15]) & 0xfff) != v->vlan)
            return false;
        memmove(f->data + TAG_BYTES, f->data, 12);
        f->data += TAG_BYTES;
        f->bytes -= TAG_BYTES;
        if (f->header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
            f->header.csum_start -= TAG_BYTES;
    }
    static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
    bool multicast = (f->data[0] & 1) && memcmp(f->data, broadcast, 6) != 0;
    return !multicast || !v->filter_multicast || steering_mcast_wanted(v->steering, f->data);
}

/* Finishes what the guest cannot do itself. False when the frame cannot be delivered at all. */
static bool fit_to_guest(struct vif *v, struct vif_frame *f)
{
    bool v6 = f->bytes > FRAME_MIN && f->data[12] == 0x86 && f->data[13] == 0xdd;
    bool can_csum = v6 ? v->csum6 : v->csum4;
    if (is_gso(f) && !(gso_is_v4(f) ? v->gso4 : v->gso6))
        return false;
    if ((f->header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM) && !can_csum && !is_gso(f)) {
        if (!frame_checksum(f->data, f->bytes, &f->header))
            return false;
        f->header.flags = VIRTIO_NET_HDR_F_DATA_VALID;
    }
    f->slots = (unsigned)((f->bytes + PAGE - 1) / PAGE);
    if (f->slots > 1 && !v->sg)
        return false;
    f->queue = steering_queue(v->steering, f->data, f->bytes, v->queues, &f->hash_type, &f->hash);
    f->slots += is_gso(f) + (f->hash_type >= 0);
    return true;
}

/* A read of the chain has ended. */
static void frame_read(struct uring_op *op, int result)
{
    struct vif_frame *f = (struct vif_frame *)op;
    struct vif *v = f->vif;
    v->rx_count++;
    f->wanted = false;
    if (result < (int)sizeof(f->header)) {
        v->broken = "its interface cannot be read any more";
        return;
    }
    f->bytes = (size_t)result - sizeof(f->header);
    f->wanted = v->queues && accepted(v, f) && fit_to_guest(v, f);
    if (!f->wanted)
        v->stats->value[VIF_RX_DROPPED]++;
}

/* Begins the next chain, once the last one is through. */
static void begin_chain(struct vif *v)
{
    if (v->rx_next < VIF_RX_FRAMES)
        return;
    v->rx_next = v->rx_count = 0;
    struct io_uring_sqe *sqe = uring_chain(v->uring, VIF_RX_FRAMES);
    for (unsigned i = 0; i < VIF_RX_FRAMES; i++) {
        struct vif_frame *f = &v->rx_frame[i];
        f->op.done = frame_read;
        f->vif = v;
        f->data = v->rx_memory + (size_t)i * RX_PLACE + (v->vlan ? PAGE - TAG_BYTES : 0);
        f->iov[0] = (struct iovec){&f->header, sizeof(f->header)};
        f->iov[1] = (struct iovec){f->data, RX_BYTES};
        io_uring_prep_readv(sqe, v->tap, f->iov, 2, 0);
        uring_own(sqe, &f->op, i + 1 < VIF_RX_FRAMES ? IOSQE_IO_HARDLINK : 0);
        sqe = i + 1 < VIF_RX_FRAMES ? uring_sqe(v->uring) : NULL;
    }
}

/* Takes the guest's pages for a frame and adds the copies. False when it has too few of them. */
static bool place_rx(struct vif *v, struct vif_frame *f)
{
    struct back_ring *r = &v->queue[f->queue].rx;
    int waiting = ring_waiting(r);
    if (waiting < 0) {
        v->broken = "its receive index ran past the end of the ring";
        return false;
    }
    if ((unsigned)waiting < f->slots)
        return false;
    unsigned extras = is_gso(f) + (f->hash_type >= 0);
    f->first_copy = v->copies;
    size_t at = 0;
    for (unsigned i = 0; i < f->slots; i++) {
        struct netif_rx_request request;
        ring_copy_out(r, r->req_cons++, &request, sizeof(request));
        f->rx_id[i] = request.id;
        if (i >= 1 && i <= extras)
            continue; /* extra information has a slot, but no use for its page */
        size_t bytes = f->bytes - at < PAGE ? f->bytes - at : PAGE;
        struct xenio_copy *c = &v->copy[v->copies++];
        *c = (struct xenio_copy){
            .dest.foreign = {.gref = request.gref, .offset = 0, .domid = v->device.frontend_domid},
            .bytes = (uint16_t)bytes,
            .flags = XENIO_DEST_GREF};
        if (xenio_ours(&v->pages, f->data + at, &c->source))
            c->flags |= XENIO_SOURCE_GREF;
        at += bytes;
    }
    f->copies = v->copies - f->first_copy;
    return true;
}

/* The frame that has to wait for room in the guest's ring, or NULL. */
static const struct vif_frame *held(const struct vif *v)
{
    return v->rx_next < v->rx_count ? &v->rx_frame[v->rx_next] : NULL;
}

/* Takes room for frames that were read, in their order, as far as there is some. */
static void collect_rx(struct vif *v)
{
    v->copies = 0;
    for (; held(v); v->rx_next++)
        if (held(v)->wanted && !place_rx(v, &v->rx_frame[v->rx_next]))
            return;
}

static uint16_t first_flags(const struct vif_frame *f, unsigned pieces)
{
    uint16_t flags = 0;
    if (f->header.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)
        flags |= NETRXF_csum_blank | NETRXF_data_validated;
    else if (f->header.flags & VIRTIO_NET_HDR_F_DATA_VALID)
        flags |= NETRXF_data_validated;
    if (pieces > 1)
        flags |= NETRXF_more_data;
    if (is_gso(f) || f->hash_type >= 0)
        flags |= NETRXF_extra_info;
    return flags;
}

static void respond_extras(const struct vif_frame *f, struct back_ring *r)
{
    struct netif_extra_info e;
    if (is_gso(f)) {
        memset(&e, 0, sizeof(e));
        e.type = XEN_NETIF_EXTRA_TYPE_GSO;
        e.flags = f->hash_type >= 0 ? XEN_NETIF_EXTRA_FLAG_MORE : 0;
        e.u.gso.type = gso_is_v4(f) ? XEN_NETIF_GSO_TYPE_TCPV4 : XEN_NETIF_GSO_TYPE_TCPV6;
        e.u.gso.size = f->header.gso_size;
        ring_respond(r, &e);
    }
    if (f->hash_type >= 0) {
        memset(&e, 0, sizeof(e));
        e.type = XEN_NETIF_EXTRA_TYPE_HASH;
        e.u.hash.type = (uint8_t)f->hash_type;
        e.u.hash.algorithm = XEN_NETIF_CTRL_HASH_ALGORITHM_TOEPLITZ;
        memcpy(e.u.hash.value, &f->hash, sizeof(e.u.hash.value));
        ring_respond(r, &e);
    }
}

/* Answers the slots of one frame, in their order. */
static void respond_rx(struct vif *v, const struct vif_frame *f, bool good)
{
    struct back_ring *r = &v->queue[f->queue].rx;
    unsigned extras = is_gso(f) + (f->hash_type >= 0), pieces = f->slots - extras;
    for (unsigned i = 0, piece = 0; i < f->slots; i++) {
        if (good && i == 1 && extras) {
            respond_extras(f, r);
            i += extras - 1;
            continue;
        }
        size_t left = f->bytes - (size_t)piece * PAGE;
        struct netif_rx_response response = {.id = f->rx_id[i], .status = NETIF_RSP_ERROR};
        if (good) {
            response.status = (int16_t)(left < PAGE ? left : PAGE);
            response.flags = piece == 0 ? first_flags(f, pieces) : piece + 1 < pieces ? NETRXF_more_data : 0;
        }
        ring_respond(r, &response);
        piece++;
    }
    v->stats->value[good ? VIF_RX_PACKETS : VIF_RX_DROPPED]++;
    if (good)
        v->stats->value[VIF_RX_BYTES] += f->bytes;
}

static unsigned run_rx(struct vif *v)
{
    unsigned first = v->rx_next;
    collect_rx(v);
    bool failed = copy_batch(v) != 0;
    for (unsigned i = first; i < v->rx_next; i++)
        if (v->rx_frame[i].wanted)
            respond_rx(v, &v->rx_frame[i], !failed && copied(v, &v->rx_frame[i]));
    for (unsigned i = 0; first < v->rx_next && i < v->queues; i++)
        if (ring_publish(&v->queue[i].rx))
            notify(v, v->queue[i].rx_port);
    return v->rx_next - first;
}

/* --- control ring
 * ------------------------------------------------------------------------------------------------- */

static int fetch(void *context, uint32_t gref, void *out, unsigned bytes)
{
    struct vif *v = context;
    struct xenio_copy copy = {
        .source.foreign = {.gref = gref, .offset = 0, .domid = v->device.frontend_domid},
        .dest.local = out,
        .bytes = (uint16_t)bytes,
        .flags = XENIO_SOURCE_GREF};
    int rc = xenio_copy(v->io, &copy, 1);
    return rc ? rc : copy.status ? -EFAULT : 0;
}

static unsigned run_control(struct vif *v)
{
    if (!v->control_page)
        return 0;
    int waiting = ring_waiting(&v->control);
    if (waiting < 0)
        v->broken = "its control index ran past the end of the ring";
    unsigned done = 0;
    for (; waiting > 0; waiting--, done++) {
        struct xen_netif_ctrl_request request;
        struct xen_netif_ctrl_response response;
        ring_copy_out(&v->control, v->control.req_cons++, &request, sizeof(request));
        steering_request(v->steering, &request, v->queues, fetch, v, &response);
        ring_respond(&v->control, &response);
    }
    if (ring_publish(&v->control))
        notify(v, v->control_port);
    return done;
}

/* --- together
 * ----------------------------------------------------------------------------------------------------- */

static bool sleep_rings(struct vif *v)
{
    const struct vif_frame *waits = held(v);
    bool more = false;
    for (unsigned i = 0; i < v->queues; i++) {
        if (v->wake_at == 0)
            more |= ring_sleep(&v->queue[i].tx);
        if (!waits || waits->queue != i)
            continue;
        struct back_ring *rx = &v->queue[i].rx;
        rx->header->req_event = rx->req_cons + waits->slots;
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        more |= ring_waiting(rx) >= (int)waits->slots;
    }
    if (v->control_page)
        more |= ring_sleep(&v->control);
    return more;
}

bool vif_run(struct vif *v)
{
    for (unsigned round = 0; round < ROUNDS_PER_TURN && !v->broken; round++) {
        unsigned progress = run_control(v);
        v->wake_at = 0;
        for (unsigned i = 0; i < v->queues && !v->broken; i++)
            progress += run_tx(v, &v->queue[i]);
        if (!v->broken)
            progress += run_rx(v);
        begin_chain(v);
        if (progress == 0 && !v->broken && !sleep_rings(v))
            return false;
    }
    return !v->broken;
}

/* --- attaching
 * ---------------------------------------------------------------------------------------------------- */

int vif_init(struct vif *v, struct xenio *io, struct uring *uring, uint16_t own, int tap, struct stats *stats,
             struct vif_state *state)
{
    v->io = io;
    v->uring = uring;
    v->tap = tap;
    v->stats = stats;
    v->state = state;
    v->steering = &state->steering;
    v->control_port = -1;
    int rc = xenio_memory_open(io, &v->pages, own, (RX_MEMORY + MEMORY_BYTES) / PAGE);
    v->rx_memory = v->pages.start;
    v->memory = v->rx_memory + RX_MEMORY;
    v->rx_next = v->rx_count = VIF_RX_FRAMES;
    return rc;
}

void vif_destroy(struct vif *v)
{
    vif_detach(v);
    xenio_memory_close(v->io, &v->pages);
}

static void *map_ring(struct vif *v, struct back_ring *ring, uint32_t gref, const struct ring_shape *shape,
                      struct ring_journal *journal, const char *name)
{
    void *page = xenio_map(v->io, v->device.frontend_domid, &gref, 1, true);
    if (page)
        ring_attach(ring, page, shape, journal, v->device.resumed);
    else
        log_line("cannot map the %s ring of domain %u (grant %u): %s", name, v->device.frontend_domid, gref,
                 strerror(errno));
    return page;
}

static int bind_port(struct vif *v, uint32_t remote)
{
    int port = xenio_bind(v->io, v->device.frontend_domid, remote);
    if (port < 0)
        log_line("cannot bind to event channel %u of domain %u: %s", remote, v->device.frontend_domid,
                 strerror(-port));
    return port;
}

int vif_attach_queue(struct vif *v, unsigned index, uint32_t tx_gref, uint32_t rx_gref, uint32_t tx_port,
                     uint32_t rx_port)
{
    struct vif_queue *q = &v->queue[index];
    *q = (struct vif_queue){.tx_port = -1, .rx_port = -1};
    v->queues = index + 1;
    q->tx_page = map_ring(v, &q->tx, tx_gref, &tx_shape, &v->state->tx[index], "transmit");
    q->rx_page = map_ring(v, &q->rx, rx_gref, &rx_shape, &v->state->rx[index], "receive");
    if (!q->tx_page || !q->rx_page)
        return -EINVAL;
    q->tx_port = bind_port(v, tx_port);
    q->rx_port = tx_port == rx_port ? q->tx_port : bind_port(v, rx_port);
    if (q->tx_port < 0 || q->rx_port < 0)
        return -EINVAL;
    int waiting = ring_waiting(&q->tx);
    if (waiting > 0)
        v->stats->value[VIF_REPLAYED] += (unsigned)waiting;
    xenio_notify(v->io, (uint32_t)q->tx_port);
    if (q->rx_port != q->tx_port)
        xenio_notify(v->io, (uint32_t)q->rx_port);
    return 0;
}

int vif_attach_control(struct vif *v, uint32_t gref, uint32_t port)
{
    v->control_page = map_ring(v, &v->control, gref, &control_shape, &v->state->control, "control");
    if (!v->control_page)
        return -EINVAL;
    v->control_port = bind_port(v, port);
    return v->control_port < 0 ? -EINVAL : xenio_notify(v->io, (uint32_t)v->control_port);
}

void vif_detach(struct vif *v)
{
    finish_writes(v); /* they were answered */
    for (unsigned i = 0; i < v->queues; i++) {
        struct vif_queue *q = &v->queue[i];
        if (q->rx_port >= 0 && q->rx_port != q->tx_port)
            xenio_unbind(v->io, (uint32_t)q->rx_port);
        if (q->tx_port >= 0)
            xenio_unbind(v->io, (uint32_t)q->tx_port);
        if (q->tx_page)
            xenio_unmap(v->io, q->tx_page, 1);
        if (q->rx_page)
            xenio_unmap(v->io, q->rx_page, 1);
    }
    if (v->control_port >= 0)
        xenio_unbind(v->io, (uint32_t)v->control_port);
    if (v->control_page)
        xenio_unmap(v->io, v->control_page, 1);
    v->control_page = NULL;
    v->control_port = -1;
    v->queues = 0;
    v->rx_next = v->rx_count; /* what was read is not for the next front end */
    v->broken = NULL;
    v->wake_at = 0;
}
