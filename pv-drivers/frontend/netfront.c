#include "netfront.h"

#include "event.h"
#include "grant.h"

#define STATE_TIME  (60 * FE_SECOND)
#define ANSWER_TIME (10 * FE_SECOND)
#define TX_BYTES    12u
#define RX_BYTES    8u
#define CTRL_BYTES  16u

static int hex(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int read_mac(struct netfront *n)
{
    char path[XENBUS_PATH], text[32];
    if (xenbus_read(fe_text(path, sizeof(path), n->device.path, "/mac", NULL), text, sizeof(text)) < 17)
        return FE_ERROR;
    for (int i = 0; i < 6; i++)
        n->mac[i] = (uint8_t)(hex(text[i * 3]) << 4 | hex(text[i * 3 + 1]));
    return 0;
}

static int make_ring(struct netfront *n, struct front_ring *r, grant_ref_t *ref, uint32_t slot_bytes)
{
    void *page = fe_page_alloc();
    if (!page)
        return FE_ERROR;
    front_ring_init(r, page, FE_PAGE, slot_bytes);
    *ref = grant_give(n->device.backend_domid, page, false);
    return *ref == GRANT_NONE ? FE_ERROR : 0;
}

static int make_buffers(struct netfront *n)
{
    domid_t to = n->device.backend_domid;
    for (unsigned i = 0; i < NETFRONT_BUFFERS; i++) {
        n->tx_page[i] = fe_page_alloc();
        n->rx_page[i] = fe_page_alloc();
        if (!n->tx_page[i] || !n->rx_page[i])
            return FE_ERROR;
        n->tx_gref[i] = grant_give(to, n->tx_page[i], true);
        n->rx_gref[i] = grant_give(to, n->rx_page[i], false);
        if (n->tx_gref[i] == GRANT_NONE || n->rx_gref[i] == GRANT_NONE)
            return FE_ERROR;
        n->tx_free[n->tx_free_count++] = (uint16_t)i;
    }
    return 0;
}

static void post(struct netfront *n, unsigned i)
{
    struct netif_rx_request r = {.id = (uint16_t)i, .gref = n->rx_gref[i]};
    memcpy(front_ring_slot(&n->rx, n->rx.req_prod++), &r, sizeof(r));
}

static int offer_port(struct netfront *n, evtchn_port_t *port)
{
    int offered = event_offer(n->device.backend_domid);
    *port = (evtchn_port_t)offered;
    return offered < 0 ? FE_ERROR : 0;
}

static int make_control(struct netfront *n)
{
    n->has_control = xenbus_get(n->device.backend, "feature-ctrl-ring", 0);
    if (!n->has_control)
        return 0;
    int rc = make_ring(n, &n->control, &n->control_ref, CTRL_BYTES);
    rc = rc ? rc : offer_port(n, &n->control_port);
    rc = rc ? rc : xenbus_put(n->device.path, "ctrl-ring-ref", n->control_ref);
    return rc ? rc : xenbus_put(n->device.path, "event-channel-ctrl", n->control_port);
}

static int publish(struct netfront *n)
{
    static const char *const features[] = {"request-rx-copy", "feature-rx-notify", "feature-sg",
                                           "feature-gso-tcpv4"};
    const char *path = n->device.path;
    int rc = xenbus_put(path, "tx-ring-ref", n->tx_ref);
    rc = rc ? rc : xenbus_put(path, "rx-ring-ref", n->rx_ref);
    rc = rc ? rc : xenbus_put(path, "event-channel", n->port);
    for (size_t i = 0; rc == 0 && i < sizeof(features) / sizeof(features[0]); i++)
        rc = xenbus_put(path, features[i], 1);
    return rc ? rc : xenbus_set_state(&n->device, XenbusStateConnected);
}

int netfront_open(struct netfront *n, unsigned number)
{
    int rc = xenbus_open(&n->device, "vif", number);
    rc = rc ? rc : xenbus_set_state(&n->device, XenbusStateInitialising);
    rc = rc ? rc : xenbus_wait(&n->device, XenbusStateInitWait, XenbusStateInitWait, STATE_TIME);
    rc = rc ? rc : read_mac(n);
    rc = rc ? rc : make_ring(n, &n->tx, &n->tx_ref, TX_BYTES);
    rc = rc ? rc : make_ring(n, &n->rx, &n->rx_ref, RX_BYTES);
    rc = rc ? rc : make_buffers(n);
    rc = rc ? rc : make_control(n);
    rc = rc ? rc : offer_port(n, &n->port);
    if (rc)
        return rc;
    for (unsigned i = 0; i < NETFRONT_BUFFERS; i++)
        post(n, i);
    front_ring_push(&n->rx);
    rc = publish(n);
    return rc ? rc : xenbus_wait(&n->device, XenbusStateConnected, XenbusStateClosed, STATE_TIME);
}

static void take_sent(struct netfront *n)
{
    for (uint32_t count = front_ring_answers(&n->tx); count; count--) {
        struct netif_tx_response r;
        memcpy(&r, front_ring_slot(&n->tx, n->tx.rsp_cons++), sizeof(r));
        if (r.status == NETIF_RSP_NULL)
            continue;
        if (r.status != NETIF_RSP_OKAY)
            n->tx_errors++;
        if (r.id < NETFRONT_BUFFERS && n->tx_free_count < NETFRONT_BUFFERS)
            n->tx_free[n->tx_free_count++] = r.id;
    }
}

void *netfront_buffer(struct netfront *n, unsigned *number)
{
    take_sent(n);
    if (n->tx_free_count == 0 || front_ring_free(&n->tx) == 0)
        return NULL;
    *number = n->tx_free[--n->tx_free_count];
    return n->tx_page[*number];
}

void netfront_send(struct netfront *n, unsigned number, unsigned bytes, bool checksum_open)
{
    struct netif_tx_request r = {.gref = n->tx_gref[number],
                                 .flags = checksum_open ? NETTXF_csum_blank | NETTXF_data_validated : 0,
                                 .id = (uint16_t)number,
                                 .size = (uint16_t)bytes};
    memcpy(front_ring_slot(&n->tx, n->tx.req_prod++), &r, sizeof(r));
}

void netfront_raw(struct netfront *n, const void *slots, unsigned count)
{
    for (unsigned i = 0; i < count; i++)
        memcpy(front_ring_slot(&n->tx, n->tx.req_prod++), (const char *)slots + i * TX_BYTES, TX_BYTES);
    netfront_kick(n);
}

void netfront_kick(struct netfront *n)
{
    bool tx = front_ring_push(&n->tx), rx = front_ring_push(&n->rx);
    if (tx || rx)
        event_send(n->port);
}

static void take_extra(struct netfront *n, const struct netif_extra_info *e)
{
    if (e->type != XEN_NETIF_EXTRA_TYPE_HASH)
        return;
    n->hash_type = e->u.hash.type;
    memcpy(&n->hash, e->u.hash.value, sizeof(n->hash));
}

unsigned netfront_receive(struct netfront *n, uint8_t *out)
{
    unsigned bytes = 0;
    bool more = true, extra = false, bad = false;
    if (front_ring_answers(&n->rx) == 0)
        return 0;
    n->hash_type = -1;
    while (more && front_ring_answers(&n->rx)) {
        uint32_t index = n->rx.rsp_cons++;
        unsigned buffer = index & (NETFRONT_BUFFERS - 1); /* responses stand in the slot of their request */
        struct netif_rx_response r;
        memcpy(&r, front_ring_slot(&n->rx, index), sizeof(r));
        __asm__ volatile("" ::: "memory");
        if (extra) {
            struct netif_extra_info e;
            memcpy(&e, &r, sizeof(e));
            take_extra(n, &e);
            extra = e.flags & XEN_NETIF_EXTRA_FLAG_MORE;
        } else {
            bad = bad || r.status < 0 || (unsigned)r.offset + (unsigned)r.status > FE_PAGE ||
                  bytes + (unsigned)r.status > NETFRONT_FRAME_MAX;
            if (!bad) {
                memcpy(out + bytes, (char *)n->rx_page[buffer] + r.offset, (size_t)r.status);
                bytes += (unsigned)r.status;
            }
            extra = r.flags & NETRXF_extra_info;
            more = r.flags & NETRXF_more_data;
        }
        post(n, buffer);
        more = more || extra;
    }
    if (bad)
        n->rx_errors++;
    return bad ? 0 : bytes;
}

bool netfront_sleep(struct netfront *n)
{
    bool sent = front_ring_sleep(&n->tx) && n->tx_free_count == 0;
    return front_ring_sleep(&n->rx) || sent;
}

int netfront_control(struct netfront *n, uint16_t type, uint32_t a, uint32_t b, uint32_t c, uint32_t *data)
{
    struct xen_netif_ctrl_request request = {
        .id = (uint16_t)n->control.req_prod, .type = type, .data = {a, b, c}};
    struct xen_netif_ctrl_response r;
    uint64_t deadline = fe_now() + ANSWER_TIME;
    if (!n->has_control)
        return FE_ERROR;
    memcpy(front_ring_slot(&n->control, n->control.req_prod++), &request, sizeof(request));
    if (front_ring_push(&n->control))
        event_send(n->control_port);
    while (front_ring_answers(&n->control) == 0) {
        if (fe_now() > deadline)
            return FE_TIME;
        event_take(n->control_port);
        if (!front_ring_sleep(&n->control))
            fe_wait(&n->control_port, 1, deadline);
    }
    memcpy(&r, front_ring_slot(&n->control, n->control.rsp_cons++), sizeof(r));
    __asm__ volatile("" ::: "memory");
    *data = r.data;
    return r.id == request.id && r.type == type && r.status <= XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW
               ? (int)r.status
               : FE_ERROR;
}
