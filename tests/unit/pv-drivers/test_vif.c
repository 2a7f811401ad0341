/*
 * The network back end against a front end in memory; a socket pair stands for the tap device. Packets both
 * ways, whole, in pieces and to be segmented; room that is missing; limits; and a process that is killed with
 * packets under way.
 */
#include "front.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "../../../pv-drivers/netback/vif.h"

#define TX_GREF   1u
#define RX_GREF   2u
#define CTRL_GREF 3u
#define TX_DATA   16u
#define RX_DATA   300u

static struct stats counters;
static struct vif_state kept;
static struct uring ring;
static int wire[2]; /* [0] the back end's tap, [1] ours */
static struct ring_header *tx, *rx;
static uint32_t tx_prod, tx_cons, rx_prod, rx_cons;

static void *tx_slot(uint32_t i)
{
    return (uint8_t *)tx + RING_HEADER_SIZE + (i & 255) * 12;
}

static void *rx_slot(uint32_t i)
{
    return (uint8_t *)rx + RING_HEADER_SIZE + (i & 255) * 8;
}

static struct vif *start(bool resume)
{
    struct vif *v = calloc(1, sizeof(*v));
    v->device.frontend_domid = 5;
    v->device.resumed = resume;
    v->sg = v->csum4 = v->csum6 = v->gso4 = true;
    assert_int_equal(uring_open(&ring, NULL), 0);
    assert_int_equal(vif_init(v, front_xen, &ring, FRONT_OWN, wire[0], &counters, &kept), 0);
    assert_int_equal(vif_attach_queue(v, 0, TX_GREF, RX_GREF, 3, 3), 0);
    return v;
}

/* The process ends, and what it had under way with it. */
static void end(struct vif *v)
{
    uring_close(&ring);
    vif_destroy(v);
    free(v);
}

/* As serve() does it, until nothing is left to do. */
static void run(struct vif *v)
{
    for (int i = 0; i < 12 && !v->broken; i++) {
        vif_run(v);
        uring_run(&ring, 0);
    }
    vif_run(v);
}

static void stop(struct vif *v)
{
    end(v);
    assert_int_equal(front_mapped(), 0);
}

static int set_up(void **state)
{
    int bytes = 1 << 20;
    front_open();
    memset(&counters, 0, sizeof(counters));
    memset(&kept, 0, sizeof(kept));
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_NONBLOCK, 0, wire), 0);
    for (int i = 0; i < 2; i++)
        setsockopt(wire[i], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
    tx = front_page(TX_GREF);
    rx = front_page(RX_GREF);
    tx_prod = tx_cons = rx_prod = rx_cons = 0;
    tx->req_event = tx->rsp_event = rx->req_event = rx->rsp_event = 1;
    return 0;
}

static int tear_down(void **state)
{
    close(wire[0]);
    close(wire[1]);
    front_close();
    return 0;
}

static void post(unsigned pages)
{
    while (pages--) {
        struct netif_rx_request r = {.id = (uint16_t)(rx_prod & 255), .gref = RX_DATA + (rx_prod & 255)};
        memcpy(rx_slot(rx_prod), &r, sizeof(r));
        rx->req_prod = ++rx_prod;
    }
}

static void send_slot(struct netif_tx_request r)
{
    memcpy(tx_slot(tx_prod++), &r, sizeof(r));
}

static struct netif_tx_response tx_answer(void)
{
    struct netif_tx_response r;
    assert_int_not_equal(tx->rsp_prod, tx_cons);
    memcpy(&r, tx_slot(tx_cons++), sizeof(r));
    return r;
}

static struct netif_rx_response rx_answer(void)
{
    struct netif_rx_response r;
    assert_int_not_equal(rx->rsp_prod, rx_cons);
    memcpy(&r, rx_slot(rx_cons++), sizeof(r));
    return r;
}

/* What came out of the tap device: header and frame. 0 when nothing did. */
static size_t from_wire(uint8_t *out)
{
    ssize_t got = recv(wire[1], out, 70000, 0);
    return got < 0 ? 0 : (size_t)got;
}

static void to_wire(const struct virtio_net_hdr *h, const uint8_t *frame, size_t bytes)
{
    static uint8_t packet[70000];
    memcpy(packet, h, sizeof(*h));
    memcpy(packet + sizeof(*h), frame, bytes);
    assert_int_equal(send(wire[1], packet, sizeof(*h) + bytes, 0), (ssize_t)(sizeof(*h) + bytes));
}

static void pieces_become_one_packet(void **state)
{
    static uint8_t out[70000];
    struct vif *v = start(false);
    memset(front_page(TX_DATA), 0x11, 4096);
    memset(front_page(TX_DATA + 1), 0x22, 4096);
    send_slot((struct netif_tx_request){
        .gref = TX_DATA, .offset = 10, .size = 5000, .id = 4, .flags = NETTXF_more_data});
    send_slot((struct netif_tx_request){.gref = TX_DATA + 1, .size = 4000, .id = 5});
    tx->req_prod = tx_prod;
    run(v);
    assert_int_equal(from_wire(out), sizeof(struct virtio_net_hdr) + 5000);
    assert_int_equal(out[sizeof(struct virtio_net_hdr) + 999], 0x11);
    assert_int_equal(out[sizeof(struct virtio_net_hdr) + 1000], 0x22);
    assert_int_equal(tx_answer().id, 4);
    struct netif_tx_response second = tx_answer();
    assert_int_equal(second.id, 5);
    assert_int_equal(second.status, NETIF_RSP_OKAY);
    stop(v);
}

/* The kernel does a copy that crosses a page of ours as two. */
static void full_pages_are_copied_from_page_to_page(void **state)
{
    static const uint16_t offset[] = {0, 100, 0, 0, 0}, size[] = {66, 3996, 4096, 4096, 1000};
    static uint8_t out[70000], frame[9000];
    struct virtio_net_hdr h = {0};
    struct vif *v = start(false);
    for (uint16_t i = 0; i < 5; i++)
        send_slot((struct netif_tx_request){.gref = TX_DATA + i,
                                            .offset = offset[i],
                                            .size = i ? size[i] : 66 + 3996 + 4096 + 4096 + 1000,
                                            .id = i,
                                            .flags = i < 4 ? NETTXF_more_data : 0});
    tx->req_prod = tx_prod;
    run(v);
    assert_int_equal(from_wire(out), sizeof(h) + 66 + 3996 + 4096 + 4096 + 1000);
    for (int i = 0; i < 5; i++)
        assert_true(v->copy[i].dest.foreign.offset + v->copy[i].bytes <= 4096);
    post(3);
    to_wire(&h, frame, sizeof(frame));
    run(v);
    for (int i = 0; i < 3; i++)
        assert_int_equal(v->copy[i].source.foreign.offset, 0);
    stop(v);
}

static void a_vlan_tag_is_put_in_and_taken_out(void **state)
{
    static uint8_t out[70000], frame[64];
    const size_t head = sizeof(struct virtio_net_hdr);
    struct virtio_net_hdr h = {0};
    struct vif *v = start(false);
    v->vlan = 100;
    memset(front_page(TX_DATA), 0x33, 60);
    send_slot((struct netif_tx_request){.gref = TX_DATA, .size = 60});
    tx->req_prod = tx_prod;
    post(4);
    run(v);
    assert_int_equal(from_wire(out), head + 64);
    assert_int_equal(out[head + 12] << 8 | out[head + 13], 0x8100);
    assert_int_equal(out[head + 14] << 8 | out[head + 15], 100);
    to_wire(&h, out + head, 64);
    memset(frame, 0x44, sizeof(frame));
    to_wire(&h, frame, 64); /* untagged: not for this guest */
    run(v);
    assert_int_equal(rx_answer().status, 60);
    assert_int_equal(rx->rsp_prod, rx_cons);
    assert_memory_equal(front_page(RX_DATA), front_page(TX_DATA), 60);
    memset(out + head + 64, 0x55,
           4100); /* without its tag it fills two pages, and copies keep within those */
    to_wire(&h, out + head, 4164);
    run(v);
    assert_int_equal(rx_answer().status, 4096);
    assert_int_equal(rx_answer().status, 64);
    assert_memory_equal(front_page(RX_DATA + 2), out + head + 4100, 64);
    stop(v);
}

static void a_large_packet_takes_several_pages(void **state)
{
    static uint8_t frame[20000];
    struct virtio_net_hdr h = {
        .flags = VIRTIO_NET_HDR_F_NEEDS_CSUM, .gso_type = VIRTIO_NET_HDR_GSO_TCPV4, .gso_size = 1448};
    struct vif *v = start(false);
    for (size_t i = 0; i < sizeof(frame); i++)
        frame[i] = (uint8_t)(i / 100);
    frame[0] = 0;
    post(20);
    to_wire(&h, frame, sizeof(frame));
    run(v);
    struct netif_rx_response r = rx_answer();
    assert_int_equal(r.status, 4096);
    assert_int_equal(r.flags,
                     NETRXF_csum_blank | NETRXF_data_validated | NETRXF_more_data | NETRXF_extra_info);
    struct netif_extra_info e;
    memcpy(&e, rx_slot(rx_cons++), sizeof(e));
    assert_int_equal(e.type, XEN_NETIF_EXTRA_TYPE_GSO);
    assert_int_equal(e.u.gso.size, 1448);
    assert_memory_equal(front_page(RX_DATA), frame, 4096);
    for (unsigned i = 1; i < 5; i++) { /* slot 1 is the extra one */
        r = rx_answer();
        assert_int_equal(r.id, i + 1);
        assert_int_equal(r.status, i == 4 ? 20000 - 4 * 4096 : 4096);
        assert_int_equal(r.flags, i == 4 ? 0 : NETRXF_more_data);
        assert_memory_equal(front_page(RX_DATA + i + 1), frame + i * 4096, (size_t)r.status);
    }
    stop(v);
}

static void a_packet_waits_for_room(void **state)
{
    static uint8_t frame[9000];
    struct virtio_net_hdr h = {0};
    struct vif *v = start(false);
    post(2);
    to_wire(&h, frame, sizeof(frame)); /* needs three */
    run(v);
    assert_int_equal(rx->rsp_prod, 0);
    assert_int_equal(v->rx_count - v->rx_next, 1);
    assert_int_equal(rx->req_event, 3);
    memset(front_page(TX_DATA), 1, 60);
    send_slot((struct netif_tx_request){.gref = TX_DATA, .size = 60});
    tx->req_prod = tx_prod;
    run(v); /* sending goes on meanwhile */
    assert_int_equal(tx_answer().status, NETIF_RSP_OKAY);
    post(1);
    run(v);
    assert_int_equal(v->rx_count - v->rx_next, 0);
    assert_int_equal(rx->rsp_prod, 3);
    stop(v);
}

static void without_sg_large_packets_are_dropped(void **state)
{
    static uint8_t frame[9000];
    struct virtio_net_hdr h = {0};
    struct vif *v = start(false);
    v->sg = false;
    post(8);
    to_wire(&h, frame, sizeof(frame));
    to_wire(&h, frame, 1000);
    run(v);
    assert_int_equal(rx_answer().status, 1000);
    assert_int_equal(counters.value[VIF_RX_DROPPED], 1);
    stop(v);
}

static void multicast_is_filtered_on_request(void **state)
{
    uint8_t frame[60] = {1, 0, 0x5e, 0, 0, 9};
    struct virtio_net_hdr h = {0};
    struct vif *v = start(false);
    v->filter_multicast = true;
    post(4);
    to_wire(&h, frame, sizeof(frame));
    run(v);
    assert_int_equal(rx->rsp_prod, 0);
    struct netif_extra_info e = {.type = XEN_NETIF_EXTRA_TYPE_MCAST_ADD,
                                 .u.mcast = {.addr = {1, 0, 0x5e, 0, 0, 9}}};
    struct netif_tx_request slot = {0};
    send_slot((struct netif_tx_request){.flags = NETTXF_extra_info});
    memcpy(&slot, &e, sizeof(e));
    send_slot(slot);
    tx->req_prod = tx_prod;
    run(v);
    assert_int_equal(tx_answer().status, NETIF_RSP_OKAY);
    assert_int_equal(tx_answer().status, NETIF_RSP_NULL);
    to_wire(&h, frame, sizeof(frame));
    run(v);
    assert_int_equal(rx_answer().status, 60);
    stop(v);
}

static void bad_receive_pages_cost_their_packet_only(void **state)
{
    uint8_t frame[60] = {0};
    struct virtio_net_hdr h = {0};
    struct vif *v = start(false);
    front_revoke(RX_DATA, true);
    post(2);
    to_wire(&h, frame, sizeof(frame));
    to_wire(&h, frame, sizeof(frame));
    run(v);
    assert_int_equal(rx_answer().status, NETIF_RSP_ERROR);
    assert_int_equal(rx_answer().status, 60);
    stop(v);
}

static void runaway_indexes_end_the_device(void **state)
{
    struct vif *v = start(false);
    tx->req_prod = 257;
    run(v);
    assert_non_null(v->broken);
    tx->req_prod = 0;
    v->broken = NULL;
    rx->req_prod = 1000;
    uint8_t frame[60] = {0};
    struct virtio_net_hdr h = {0};
    to_wire(&h, frame, sizeof(frame));
    run(v);
    assert_non_null(v->broken);
    stop(v);
}

/* A process that takes over finds what was not answered, and nothing twice. */
static void a_restart_goes_on_with_what_is_unanswered(void **state)
{
    static uint8_t out[70000];
    struct vif *v = start(false);
    for (unsigned i = 0; i < 10; i++)
        send_slot((struct netif_tx_request){.gref = TX_DATA, .size = 60, .id = (uint16_t)i});
    tx->req_prod = 5;
    run(v);
    v->queues = 0; /* as SIGKILL leaves it: nobody detaches */
    int mapped = front_mapped();
    xenio_unmap(front_xen, v->queue[0].tx_page, 1);
    xenio_unmap(front_xen, v->queue[0].rx_page, 1);
    assert_int_equal(mapped, 2);
    end(v);
    tx->req_prod = 10;
    v = start(true);
    run(v);
    for (unsigned i = 0; i < 10; i++) {
        assert_int_equal(tx_answer().id, i);
        assert_true(from_wire(out) > 0);
    }
    assert_int_equal(from_wire(out), 0);
    assert_int_equal(counters.value[VIF_REPLAYED], 5);
    stop(v);
}

static void the_rate_limit_holds_packets_back(void **state)
{
    struct vif *v = start(false);
    bucket_set(&v->rate, 1, 0, 0);
    v->rate.filled_at = ~0ull >> 2;
    v->rate.level = 0;
    send_slot((struct netif_tx_request){.gref = TX_DATA, .size = 60});
    tx->req_prod = tx_prod;
    run(v);
    assert_int_equal(tx->rsp_prod, 0);
    assert_true(v->wake_at != 0);
    v->rate.rate = 0;
    run(v);
    assert_int_equal(tx->rsp_prod, 1);
    stop(v);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(pieces_become_one_packet),
        TEST(full_pages_are_copied_from_page_to_page),
        TEST(a_vlan_tag_is_put_in_and_taken_out),
        TEST(a_large_packet_takes_several_pages),
        TEST(a_packet_waits_for_room),
        TEST(without_sg_large_packets_are_dropped),
        TEST(multicast_is_filtered_on_request),
        TEST(bad_receive_pages_cost_their_packet_only),
        TEST(runaway_indexes_end_the_device),
        TEST(a_restart_goes_on_with_what_is_unanswered),
        TEST(the_rate_limit_holds_packets_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
