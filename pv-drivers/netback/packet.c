#include "packet.h"

#include <string.h>

#define PAGE             4096u
#define TYPE_IPV4        0x0800
#define TYPE_IPV6        0x86dd
#define TYPE_VLAN        0x8100
#define TYPE_QINQ        0x88a8
#define PROTOCOL_TCP     6
#define PROTOCOL_UDP     17
#define IPV6_MAX_HEADERS 8

static uint16_t get16(const uint8_t *p)
{
    return (uint16_t)(p[0] << 8 | p[1]);
}

static void put16(uint8_t *p, uint32_t value)
{
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static void reject(struct tx_packet *p, const char **why, const char *reason)
{
    if (p->status == NETIF_RSP_OKAY)
        *why = reason;
    p->status = NETIF_RSP_ERROR;
}

static void take_gso(struct tx_packet *p, const struct netif_extra_info *e, const char **why)
{
    p->gso_type = e->u.gso.type;
    p->gso_size = e->u.gso.size;
    bool known = p->gso_type == XEN_NETIF_GSO_TYPE_TCPV4 || p->gso_type == XEN_NETIF_GSO_TYPE_TCPV6;
    if (!known || p->gso_size == 0)
        reject(p, why, "segmentation of an unknown type or into segments of no size");
}

/* Takes the extra slots after the first one; returns how many, or -1 when the chain is broken. */
static int take_extras(const struct netif_tx_request *slots, unsigned count, struct tx_packet *p,
                       const char **why)
{
    unsigned seen = 0, n = 0;
    struct netif_extra_info e;
    do {
        if (1 + n >= count) {
            *why = "a chain of extra information goes on past what is in the ring";
            return -1;
        }
        memcpy(&e, &slots[1 + n], sizeof(e));
        if (e.type == XEN_NETIF_EXTRA_TYPE_NONE || e.type >= XEN_NETIF_EXTRA_TYPE_MAX ||
            seen & 1u << e.type) {
            *why = "extra information of an unknown type, or twice";
            return -1;
        }
        seen |= 1u << e.type;
        p->extra_slots |= 1u << (1 + n);
        p->id[1 + n] = 0;
        n++;
        if (e.type == XEN_NETIF_EXTRA_TYPE_GSO)
            take_gso(p, &e, why);
        if (e.type == XEN_NETIF_EXTRA_TYPE_MCAST_ADD || e.type == XEN_NETIF_EXTRA_TYPE_MCAST_DEL) {
            p->mcast = e.type;
            memcpy(p->mcast_address, e.u.mcast.addr, sizeof(p->mcast_address));
        }
    } while (e.flags & XEN_NETIF_EXTRA_FLAG_MORE);
    return (int)n;
}

static void add_piece(struct tx_packet *p, const struct netif_tx_request *slot, uint32_t bytes,
                      const char **why)
{
    if (bytes > PAGE || slot->offset > PAGE - bytes)
        reject(p, why, "a piece of the packet crosses the end of its page");
    else
        p->piece[p->pieces] = (struct tx_piece){slot->gref, slot->offset, (uint16_t)bytes};
    p->pieces++;
}

enum tx_verdict tx_decode(const struct netif_tx_request *slots, unsigned count, struct tx_packet *p,
                          const char **why)
{
    memset(p, 0, sizeof(*p));
    p->bytes = slots[0].size;
    p->flags = slots[0].flags;
    p->id[0] = slots[0].id;
    p->slots = p->pieces = 1;
    if (p->flags & NETTXF_extra_info) {
        int extras = take_extras(slots, count, p, why);
        if (extras < 0)
            return TX_BROKEN;
        p->slots += (unsigned)extras;
    }
    uint32_t others = 0;
    for (bool more = p->flags & NETTXF_more_data; more;) {
        if (p->slots >= count || p->pieces >= TX_MAX_PIECES) {
            *why = "a packet has too many pieces, or goes on past what is in the ring";
            return TX_BROKEN;
        }
        const struct netif_tx_request *slot = &slots[p->slots];
        p->id[p->slots++] = slot->id;
        others += slot->size;
        more = slot->flags & NETTXF_more_data;
        add_piece(p, slot, slot->size, why);
    }
    if (p->mcast)
        return TX_PACKET;
    if (p->bytes < FRAME_MIN || others > p->bytes) {
        reject(p, why, "a packet is shorter than an Ethernet header or than its own pieces");
        return TX_PACKET;
    }
    unsigned total = p->pieces;
    p->pieces = 0;
    add_piece(p, &slots[0], p->bytes - others, why);
    p->pieces = total;
    return TX_PACKET;
}

static bool parse_ipv4(const uint8_t *frame, size_t bytes, struct frame_headers *h)
{
    const uint8_t *ip = frame + h->l3;
    if (bytes < h->l3 + 20)
        return false;
    unsigned length = (ip[0] & 15u) * 4;
    if (ip[0] >> 4 != 4 || length < 20 || bytes < h->l3 + length)
        return false;
    h->ip_protocol = ip[9];
    h->fragment = (get16(ip + 6) & 0x3fff) != 0;
    h->l4 = h->l3 + length;
    return true;
}

static bool parse_ipv6(const uint8_t *frame, size_t bytes, struct frame_headers *h)
{
    if (bytes < h->l3 + 40 || frame[h->l3] >> 4 != 6)
        return false;
    uint8_t next = frame[h->l3 + 6];
    size_t at = h->l3 + 40;
    for (int i = 0; i < IPV6_MAX_HEADERS; i++) {
        bool extension = next == 0 || next == 43 || next == 60 || next == 44;
        if (!extension)
            break;
        if (bytes < at + 8)
            return false;
        h->fragment = h->fragment || next == 44;
        size_t length = next == 44 ? 8 : 8 + frame[at + 1] * 8u;
        next = frame[at];
        at += length;
    }
    if (at > bytes)
        return false;
    h->ip_protocol = next;
    h->l4 = (unsigned)at;
    return true;
}

bool frame_parse(const uint8_t *frame, size_t bytes, struct frame_headers *h)
{
    memset(h, 0, sizeof(*h));
    if (bytes < FRAME_MIN)
        return false;
    h->l3 = 14;
    h->protocol = get16(frame + 12);
    for (int tags = 0; tags < 2 && (h->protocol == TYPE_VLAN || h->protocol == TYPE_QINQ); tags++) {
        if (bytes < h->l3 + 4)
            return false;
        h->protocol = get16(frame + h->l3 + 2);
        h->l3 += 4;
    }
    if (h->protocol == TYPE_IPV4)
        return parse_ipv4(frame, bytes, h);
    if (h->protocol == TYPE_IPV6)
        return parse_ipv6(frame, bytes, h);
    return true;
}

static uint32_t sum(const uint8_t *p, size_t bytes, uint32_t start)
{
    for (; bytes > 1; bytes -= 2, p += 2)
        start += get16(p);
    if (bytes)
        start += (uint32_t)p[0] << 8;
    return start;
}

static uint16_t fold(uint32_t value)
{
    while (value >> 16)
        value = (value & 0xffff) + (value >> 16);
    return (uint16_t)value;
}

/* The sum over the pseudo header, as a segmenting device wants to find it in the TCP header. */
static uint16_t pseudo_sum(const uint8_t *frame, size_t bytes, const struct frame_headers *h)
{
    bool v4 = h->protocol == TYPE_IPV4;
    const uint8_t *addresses = frame + h->l3 + (v4 ? 12 : 8);
    return fold(sum(addresses, v4 ? 8 : 32, (uint32_t)(bytes - h->l4) + h->ip_protocol));
}

static int checksum_offset(const struct frame_headers *h)
{
    if (h->ip_protocol == PROTOCOL_TCP)
        return 16;
    return h->ip_protocol == PROTOCOL_UDP ? 6 : -1;
}

static const char *offload_gso(uint8_t *frame, size_t bytes, const struct tx_packet *packet,
                               const struct frame_headers *h, struct virtio_net_hdr *out)
{
    uint16_t expected = packet->gso_type == XEN_NETIF_GSO_TYPE_TCPV4 ? TYPE_IPV4 : TYPE_IPV6;
    if (h->protocol != expected || h->ip_protocol != PROTOCOL_TCP || bytes < h->l4 + 20)
        return "a packet to be segmented is not TCP of the type it says";
    unsigned header = h->l4 + (frame[h->l4 + 12] >> 4) * 4u;
    if (header < h->l4 + 20 || header > bytes)
        return "a packet to be segmented has a TCP header of a wrong length";
    if (!(packet->flags & NETTXF_csum_blank))
        put16(frame + h->l4 + 16, pseudo_sum(frame, bytes, h));
    out->gso_type = expected == TYPE_IPV4 ? VIRTIO_NET_HDR_GSO_TCPV4 : VIRTIO_NET_HDR_GSO_TCPV6;
    out->gso_size = packet->gso_size;
    out->hdr_len = (uint16_t)header;
    return NULL;
}

const char *frame_offload(uint8_t *frame, size_t bytes, const struct tx_packet *packet,
                          struct virtio_net_hdr *out)
{
    struct frame_headers h;
    memset(out, 0, sizeof(*out));
    if (!(packet->flags & NETTXF_csum_blank) && !packet->gso_type)
        return NULL;
    if (!frame_parse(frame, bytes, &h) || h.l4 == 0)
        return "a packet with an open checksum is not IP";
    int offset = checksum_offset(&h);
    if (offset < 0 || h.l4 + (unsigned)offset + 2 > bytes)
        return "a packet with an open checksum is neither TCP nor UDP";
    if (packet->gso_type) {
        const char *wrong = offload_gso(frame, bytes, packet, &h, out);
        if (wrong)
            return wrong;
    }
    out->flags = VIRTIO_NET_HDR_F_NEEDS_CSUM;
    out->csum_start = (uint16_t)h.l4;
    out->csum_offset = (uint16_t)offset;
    return NULL;
}

bool frame_checksum(uint8_t *frame, size_t bytes, const struct virtio_net_hdr *header)
{
    size_t field = (size_t)header->csum_start + header->csum_offset;
    if (header->csum_start > bytes || field + 2 > bytes)
        return false;
    uint16_t value = (uint16_t)~fold(sum(frame + header->csum_start, bytes - header->csum_start, 0));
    put16(frame + field, value ? value : 0xffff);
    return true;
}
