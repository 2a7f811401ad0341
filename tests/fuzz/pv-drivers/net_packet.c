/* Any chain of slots and any frame: accepted pieces lie within pages and add up; header offsets lie within
 * the frame. */
#include <stdlib.h>
#include <string.h>

#include "../../../pv-drivers/netback/packet.h"
#include "../../../pv-drivers/netback/spoof.h"
#include "../../../pv-drivers/netback/steering.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check_packet(const struct tx_packet *p, unsigned count)
{
    uint32_t sum = 0;
    if (p->slots > count || p->slots > TX_MAX_SLOTS || p->pieces > TX_MAX_PIECES)
        abort();
    if (p->status != NETIF_RSP_OKAY || p->mcast)
        return;
    for (unsigned i = 0; i < p->pieces; i++) {
        if (p->piece[i].offset + p->piece[i].bytes > 4096)
            abort();
        sum += p->piece[i].bytes;
    }
    if (sum != p->bytes || p->bytes < FRAME_MIN)
        abort();
}

static void check_frame(const uint8_t *data, size_t size, struct tx_packet *p)
{
    struct virtio_net_hdr h;
    struct spoof_rules rules = {.enabled = true, .count4 = 1};
    struct steering s = {.algorithm = 1, .types = 15};
    int type;
    uint32_t hash;
    uint8_t *frame = malloc(size + !size); /* so that the sanitizer sees every byte beyond it */
    memcpy(frame, data, size);
    p->gso_size = 1000;
    if (frame_offload(frame, size, p, &h) == NULL && (h.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM)) {
        if ((size_t)h.csum_start + h.csum_offset + 2 > size || h.hdr_len > size)
            abort();
        if (!frame_checksum(frame, size, &h))
            abort();
    }
    spoof_allows(&rules, frame, size);
    if (steering_queue(&s, frame, size, 3, &type, &hash) >= 3)
        abort();
    free(frame);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct netif_tx_request slots[TX_MAX_SLOTS + 1];
    static struct tx_packet p;
    const char *why;
    if (size < 2)
        return 0;
    if (data[0] & 1) {
        memset(&p, 0, sizeof(p));
        p.flags = data[0] & 2 ? NETTXF_csum_blank : 0;
        p.gso_type = (uint8_t)(data[0] >> 2 & 3) % 3;
        check_frame(data + 1, size - 1 > FRAME_MAX ? FRAME_MAX : size - 1, &p);
        return 0;
    }
    unsigned count = (unsigned)((size - 1) / sizeof(slots[0]));
    if (count == 0)
        return 0;
    if (count > TX_MAX_SLOTS + 1)
        count = TX_MAX_SLOTS + 1;
    memcpy(slots, data + 1, count * sizeof(slots[0]));
    if (tx_decode(slots, count, &p, &why) == TX_PACKET)
        check_packet(&p, count);
    return 0;
}
