/*
 * Packets from the guest: from ring slots to a checked description, and what their headers say.
 *
 * A description that was accepted holds: every piece lies within its page, the pieces add up to the packet's
 * size, the size is that of an Ethernet frame, and at most TX_MAX_PIECES pieces and one of each kind of extra
 * information are there.
 */
#ifndef NETBACK_PACKET_H
#define NETBACK_PACKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <linux/virtio_net.h>
#include <public/io/netif.h>

#define TX_MAX_PIECES 20u
#define TX_MAX_EXTRAS 4u
#define TX_MAX_SLOTS  (TX_MAX_PIECES + TX_MAX_EXTRAS)
#define FRAME_MIN     14u
#define FRAME_MAX     65535u

struct tx_piece {
    uint32_t gref;
    uint16_t offset;
    uint16_t bytes;
};

struct tx_packet {
    unsigned slots;            /* of the ring, extras included */
    uint32_t extra_slots;      /* bit i: slot i is extra information */
    uint16_t id[TX_MAX_SLOTS]; /* to be echoed */
    unsigned pieces;
    struct tx_piece piece[TX_MAX_PIECES];
    uint32_t bytes;
    uint16_t flags;   /* NETTXF_ of the first slot */
    uint8_t gso_type; /* XEN_NETIF_GSO_TYPE_ */
    uint16_t gso_size;
    uint8_t mcast; /* XEN_NETIF_EXTRA_TYPE_MCAST_ADD or _DEL: a filter change, not a packet; 0 otherwise */
    uint8_t mcast_address[6];
    int16_t status; /* NETIF_RSP_OKAY, or what to answer without sending */
};

enum tx_verdict {
    TX_PACKET, /* out is filled in; look at its status */
    TX_BROKEN, /* the chain of slots itself is wrong: nothing behind it can be trusted */
};

/*
 * Describes the packet that starts at slots[0]; count slots are in the ring (at least 1). *why is set when
 * the verdict is TX_BROKEN or the status is not NETIF_RSP_OKAY.
 */
enum tx_verdict tx_decode(const struct netif_tx_request *slots, unsigned count, struct tx_packet *out,
                          const char **why);

/* Where the headers of a frame are; all offsets are inside the frame. */
struct frame_headers {
    uint16_t protocol; /* Ethernet type behind VLAN tags, host order */
    unsigned l3, l4;   /* offsets; l4 is 0 when there is none that we know */
    uint8_t ip_protocol;
    bool fragment;
};

/* Reads the headers of a frame of bytes. False when they do not fit into it. */
bool frame_parse(const uint8_t *frame, size_t bytes, struct frame_headers *out);

/*
 * Makes the header that the tap device wants from what the guest said about its packet, completing the
 * frame's pseudo header checksum where the guest left that to us. Returns NULL, or what is wrong.
 */
const char *frame_offload(uint8_t *frame, size_t bytes, const struct tx_packet *packet,
                          struct virtio_net_hdr *out);

/* Fills in the checksum that a tap header leaves open; for guests that cannot. False when it points outside
 * the frame. */
bool frame_checksum(uint8_t *frame, size_t bytes, const struct virtio_net_hdr *header);

#endif
