/* Packets of a guest: the chain of slots, the headers, checksums, hashing, and who the guest may say it is.
 */
#include "front.h"

#include <arpa/inet.h>
#include <string.h>

#include "../../../pv-drivers/netback/packet.h"
#include "../../../pv-drivers/netback/spoof.h"
#include "../../../pv-drivers/netback/steering.h"

static struct tx_packet packet;
static const char *why;

static void one_piece(void **state)
{
    struct netif_tx_request s = {.gref = 5, .offset = 100, .size = 60, .id = 9};
    assert_int_equal(tx_decode(&s, 1, &packet, &why), TX_PACKET);
    assert_int_equal(packet.status, NETIF_RSP_OKAY);
    assert_int_equal(packet.slots, 1);
    assert_int_equal(packet.piece[0].bytes, 60);
    assert_int_equal(packet.id[0], 9);
}

static void pieces_and_extras(void **state)
{
    struct netif_tx_request s[4] = {
        {.gref = 1, .size = 5000, .id = 1, .flags = NETTXF_extra_info | NETTXF_more_data},
        {0},
        {.gref = 2, .size = 3000, .id = 2, .flags = NETTXF_more_data},
        {.gref = 3, .size = 1900, .id = 3},
    };
    struct netif_extra_info gso = {.type = XEN_NETIF_EXTRA_TYPE_GSO,
                                   .u.gso = {.size = 1448, .type = XEN_NETIF_GSO_TYPE_TCPV4}};
    memcpy(&s[1], &gso, sizeof(gso));
    assert_int_equal(tx_decode(s, 4, &packet, &why), TX_PACKET);
    assert_int_equal(packet.status, NETIF_RSP_OKAY);
    assert_int_equal(packet.slots, 4);
    assert_int_equal(packet.pieces, 3);
    assert_int_equal(packet.piece[0].bytes, 100);
    assert_int_equal(packet.extra_slots, 2);
    assert_int_equal(packet.gso_size, 1448);
    assert_int_equal(tx_decode(s, 3, &packet, &why), TX_BROKEN); /* the last piece is not there */
}

static void broken_chains(void **state)
{
    struct netif_tx_request s[TX_MAX_SLOTS + 1];
    for (unsigned i = 0; i <= TX_MAX_SLOTS; i++)
        s[i] = (struct netif_tx_request){.size = 100, .flags = NETTXF_more_data};
    assert_int_equal(tx_decode(s, TX_MAX_SLOTS + 1, &packet, &why), TX_BROKEN);
    s[0].flags = NETTXF_extra_info;
    struct netif_extra_info e = {.type = XEN_NETIF_EXTRA_TYPE_MAX};
    memcpy(&s[1], &e, sizeof(e));
    assert_int_equal(tx_decode(s, 2, &packet, &why), TX_BROKEN);
    e.type = XEN_NETIF_EXTRA_TYPE_GSO;
    e.flags = XEN_NETIF_EXTRA_FLAG_MORE;
    memcpy(&s[1], &e, sizeof(e));
    memcpy(&s[2], &e, sizeof(e));
    assert_int_equal(tx_decode(s, 3, &packet, &why), TX_BROKEN); /* twice the same */
    assert_int_equal(tx_decode(s, 2, &packet, &why), TX_BROKEN); /* no end */
}

static void bad_pieces(void **state)
{
    struct netif_tx_request s[2] = {{.size = 13}};
    assert_int_equal(tx_decode(s, 1, &packet, &why), TX_PACKET);
    assert_int_equal(packet.status, NETIF_RSP_ERROR);
    s[0] = (struct netif_tx_request){.size = 100, .offset = 4000};
    assert_int_equal(tx_decode(s, 1, &packet, &why), TX_PACKET);
    assert_int_equal(packet.status, NETIF_RSP_ERROR);
    s[0] = (struct netif_tx_request){.size = 100, .flags = NETTXF_more_data};
    s[1] = (struct netif_tx_request){.size = 101};
    assert_int_equal(tx_decode(s, 2, &packet, &why), TX_PACKET);
    assert_int_equal(packet.status, NETIF_RSP_ERROR);
    assert_int_equal(packet.slots, 2);
}

static size_t tcp_frame(uint8_t *f, size_t payload)
{
    static const uint8_t header[54] = {
        0, 1, 2, 3,  4, 5, 0x00, 0x16, 0x3e, 0, 0, 1, 8, 0, 0x45, 0, 0, 0, 0, 0,    0x40, 0, 64, 6, 0, 0, 10,
        0, 0, 2, 10, 0, 0, 1,    0,    80,   1, 2, 0, 0, 0, 1,    0, 0, 0, 0, 0x50, 0x10, 1, 0,  0, 0, 0, 0};
    memcpy(f, header, sizeof(header));
    for (size_t i = 0; i < payload; i++)
        f[54 + i] = (uint8_t)(i * 7);
    f[16] = (uint8_t)((40 + payload) >> 8);
    f[17] = (uint8_t)(40 + payload);
    return 54 + payload;
}

static uint16_t whole_sum(const uint8_t *f, size_t bytes)
{
    uint32_t sum = 6 + (uint32_t)(bytes - 34);
    for (size_t i = 26; i < 34; i += 2)
        sum += (uint32_t)f[i] << 8 | f[i + 1];
    for (size_t i = 34; i < bytes; i++)
        sum += i % 2 ? f[i] : (uint32_t)f[i] << 8;
    while (sum >> 16)
        sum = (sum & 0xffff) + (sum >> 16);
    return (uint16_t)sum;
}

static void checksums_come_out_right(void **state)
{
    uint8_t f[2000];
    struct virtio_net_hdr h;
    size_t bytes = tcp_frame(f, 1001);
    struct tx_packet p = {.gso_type = XEN_NETIF_GSO_TYPE_TCPV4,
                          .gso_size = 500}; /* lets the pseudo header be filled in */
    assert_null(frame_offload(f, bytes, &p, &h));
    assert_int_equal(h.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
    assert_int_equal(h.csum_start, 34);
    assert_int_equal(h.csum_offset, 16);
    assert_int_equal(h.hdr_len, 54);
    assert_int_equal(h.gso_type, VIRTIO_NET_HDR_GSO_TCPV4);
    assert_true(frame_checksum(f, bytes, &h));
    assert_int_equal(whole_sum(f, bytes), 0xffff);
    h.csum_start = (uint16_t)bytes;
    assert_false(frame_checksum(f, bytes, &h));
}

static void offload_needs_headers(void **state)
{
    uint8_t f[2000];
    struct virtio_net_hdr h;
    struct tx_packet open = {.flags = NETTXF_csum_blank};
    struct tx_packet gso6 = {
        .flags = NETTXF_csum_blank, .gso_type = XEN_NETIF_GSO_TYPE_TCPV6, .gso_size = 100};
    size_t bytes = tcp_frame(f, 100);
    assert_null(frame_offload(f, bytes, &open, &h));
    assert_non_null(frame_offload(f, bytes, &gso6, &h));
    assert_non_null(frame_offload(f, 40, &open, &h));
    f[14] = 0x4f; /* the IP header says it is longer than the TCP header allows */
    assert_non_null(frame_offload(f, 60, &open, &h));
    bytes = tcp_frame(f, 0);
    f[46] = 0xf0;
    struct tx_packet gso4 = {
        .flags = NETTXF_csum_blank, .gso_type = XEN_NETIF_GSO_TYPE_TCPV4, .gso_size = 100};
    assert_non_null(frame_offload(f, bytes, &gso4, &h));
    f[12] = 0x86;
    f[13] = 0xdd;
    assert_non_null(frame_offload(f, bytes, &open, &h));
}

/* The vectors that Microsoft publishes for receive side scaling. */
static void toeplitz_vectors(void **state)
{
    static const uint8_t key[40] = {0x6d, 0x5a, 0x56, 0xda, 0x25, 0x5b, 0x0e, 0xc2, 0x41, 0x67,
                                    0x25, 0x3d, 0x43, 0xa3, 0x8f, 0xb0, 0xd0, 0xca, 0x2b, 0xcb,
                                    0xae, 0x7b, 0x30, 0xb4, 0x77, 0xcb, 0x2d, 0xa3, 0x80, 0x30,
                                    0xf2, 0x0c, 0x6a, 0x42, 0xb7, 0x3b, 0xbe, 0xac, 0x01, 0xfa};
    static const uint8_t flow[12] = {66, 9, 149, 187, 161, 142, 100, 80, 0x0a, 0xea, 0x06, 0xe6};
    assert_int_equal(steering_toeplitz(key, 40, flow, 8), 0x323e8fc2);
    assert_int_equal(steering_toeplitz(key, 40, flow, 12), 0x51ccc178);
}

static uint8_t granted[4096];

static int fetch(void *context, uint32_t gref, void *out, unsigned bytes)
{
    if (gref != 1 || bytes > sizeof(granted))
        return -1;
    memcpy(out, granted, bytes);
    return 0;
}

static struct xen_netif_ctrl_response ask(struct steering *s, uint16_t type, uint32_t a, uint32_t b,
                                          uint32_t c)
{
    struct xen_netif_ctrl_request r = {.id = 77, .type = type, .data = {a, b, c}};
    struct xen_netif_ctrl_response out;
    steering_request(s, &r, 4, fetch, NULL, &out);
    assert_int_equal(out.id, 77);
    assert_int_equal(out.type, type);
    return out;
}

static void control_requests(void **state)
{
    static struct steering s;
    uint32_t *map = (uint32_t *)granted;
    assert_int_equal(ask(&s, XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS, 2, 0, 0).status,
                     XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER);
    assert_int_equal(ask(&s, XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM, 9, 0, 0).status,
                     XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER);
    assert_int_equal(ask(&s, XEN_NETIF_CTRL_TYPE_SET_HASH_ALGORITHM, 1, 0, 0).status, 0);
    assert_int_equal(ask(&s, XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS, 2, 0, 0).status, 0);
    assert_int_equal(ask(&s, XEN_NETIF_CTRL_TYPE_SET_HASH_FLAGS, 16, 0, 0).status,
                     XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER);
    assert_int_equal(ask(&s, XEN_NETIF_CTRL_TYPE_SET_HASH_KEY, 1, 41, 0).status,
                     XEN_NETIF_CTRL_STATUS_BUFFER_OVERFLOW);
    assert_int_equal(ask(&s, XEN_NETIF_CTRL_TYPE_SET_HASH_KEY, 2, 40, 0).status,
                     XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER);
    assert_int_equal(ask(&s, XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE, 129, 0, 0).status,
                     XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER);
    assert_int_equal(ask(&s, XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING_SIZE, 4, 0, 0).status, 0);
    map[0] = map[1] = 3;
    assert_int_equal(ask(&s, XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, 1, 2, 3).status,
                     XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER);
    assert_int_equal(ask(&s, XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, 1, 2, ~0u).status,
                     XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER);
    assert_int_equal(ask(&s, XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, 1, 2, 2).status, 0);
    assert_int_equal(s.mapping[3], 3);
    map[0] = 4; /* there is no queue 4 */
    assert_int_equal(ask(&s, XEN_NETIF_CTRL_TYPE_SET_HASH_MAPPING, 1, 1, 0).status,
                     XEN_NETIF_CTRL_STATUS_INVALID_PARAMETER);
    assert_int_equal(ask(&s, 99, 0, 0, 0).status, XEN_NETIF_CTRL_STATUS_NOT_SUPPORTED);
    uint8_t f[100];
    uint32_t hash;
    int type;
    size_t bytes = tcp_frame(f, 10);
    assert_in_range(steering_queue(&s, f, bytes, 4, &type, &hash), 0, 3);
    assert_int_equal(type, _XEN_NETIF_CTRL_HASH_TYPE_IPV4_TCP);
}

static void multicast_list(void **state)
{
    static struct steering s;
    uint8_t a[6] = {1, 0, 0x5e, 0, 0, 0};
    for (unsigned i = 0; i < STEERING_MCAST; i++) {
        a[5] = (uint8_t)i;
        assert_true(steering_mcast_add(&s, a));
    }
    a[5] = 200;
    assert_false(steering_mcast_add(&s, a));
    a[5] = 3;
    steering_mcast_remove(&s, a);
    assert_false(steering_mcast_wanted(&s, a));
    a[5] = STEERING_MCAST - 1;
    assert_true(steering_mcast_wanted(&s, a));
}

static void spoofed_sources(void **state)
{
    struct spoof_rules r = {0};
    uint8_t f[100];
    size_t bytes = tcp_frame(f, 10);
    assert_true(spoof_allows(&r, f, bytes));
    assert_null(spoof_set(&r, "00:16:3e:00:00:01", "10.0.0.2 fe80::1"));
    assert_true(spoof_allows(&r, f, bytes));
    f[29] = 3;
    assert_false(spoof_allows(&r, f, bytes));
    f[29] = 2;
    f[11] = 2;
    assert_false(spoof_allows(&r, f, bytes));
    f[11] = 1;
    f[12] = 0x81; /* a VLAN tag of the guest's own */
    f[13] = 0;
    assert_false(spoof_allows(&r, f, bytes));
    assert_non_null(spoof_set(&r, "00:16:3e:00:00", "10.0.0.2"));
    assert_non_null(spoof_set(&r, "00:16:3e:00:00:01", "10.0.0"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_piece),
        cmocka_unit_test(pieces_and_extras),
        cmocka_unit_test(broken_chains),
        cmocka_unit_test(bad_pieces),
        cmocka_unit_test(checksums_come_out_right),
        cmocka_unit_test(offload_needs_headers),
        cmocka_unit_test(toeplitz_vectors),
        cmocka_unit_test(control_requests),
        cmocka_unit_test(multicast_list),
        cmocka_unit_test(spoofed_sources),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
