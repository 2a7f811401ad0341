/*
 * A virtual network interface in service: its rings, the tap device behind it, its limits.
 *
 * From the guest: packets are described (packet.h), their pieces copied by one grant copy for the whole
 * batch, their headers checked; then all their slots are answered at once, so that a packet is never answered by half,
 * and the packets are written to the tap device with the next submission to the process' io_uring, which as a rule is
 * the one that waits for more.
 *
 * To the guest: a chain of reads is under way, each into a place of its own (rx_frame); each takes the next packet of
 * the tap device, as soon as there is one. For those that have ended slots are reserved, one grant copy moves them all,
 * and the responses are published. A packet for which the guest has no room yet stays where it is, with those behind it.
 * The next chain begins when the last one is through, so that packets stay in order.
 *
 * A process that is started again finds in the rings what was not answered: packets of the guest that may be
 * sent a second time, and empty pages. Both are what a network does anyway.
 */
#ifndef NETBACK_VIF_H
#define NETBACK_VIF_H

#include <sys/uio.h>

#include "../common/bucket.h"
#include "../common/device.h"
#include "../common/ring.h"
#include "../common/stats.h"
#include "../common/uring.h"
#include "../common/xenio.h"
#include "packet.h"
#include "spoof.h"
#include "steering.h"

#define VIF_MAX_QUEUES  4u
#define VIF_BATCH       64u
#define VIF_BATCH_BYTES (512u << 10)
#define VIF_COPY_BATCH  1024u
#define VIF_RX_FRAMES   8u
#define VIF_TAG_ROOM    4u /* in front of every frame: where a VLAN tag is put in or taken out */

struct vif_queue {
    struct back_ring tx, rx;
    void *tx_page, *rx_page;
    int tx_port, rx_port; /* the same port when the guest does not split them; -1: none */
};

struct vif;

/* A frame in memory, in either direction. */
struct vif_frame {
    struct uring_op op; /* its write or read */
    struct iovec iov[2];
    struct vif *vif;
    bool wanted; /* read from the tap device and good for the guest */
    struct virtio_net_hdr header;
    uint8_t *data; /* VIF_TAG_ROOM bytes in front of it are free */
    size_t bytes;
    unsigned queue;
    unsigned slots;
    int hash_type;
    uint32_t hash;
    unsigned first_copy, copies; /* in vif->copy */
    uint16_t rx_id[TX_MAX_SLOTS];
};

/* What a restarted process has to know beyond the rings. */
struct vif_state {
    struct ring_journal tx[VIF_MAX_QUEUES], rx[VIF_MAX_QUEUES], control;
    struct steering steering;
};

struct vif {
    struct device device; /* first: the device operations cast back */
    struct xenio *io;
    int tap;
    struct stats *stats;
    struct vif_state *state;   /* kept from process to process */
    struct steering *steering; /* in there */
    struct spoof_rules spoof;
    uint16_t vlan; /* 0: none */

    bool sg, gso4, gso6, csum4, csum6; /* what the guest can receive */
    bool filter_multicast;
    unsigned queues;
    struct vif_queue queue[VIF_MAX_QUEUES];
    struct back_ring control;
    void *control_page;
    int control_port;

    struct bucket rate;
    uint64_t wake_at;
    const char *broken; /* the front end broke the protocol; why */

    struct uring *uring;
    struct xenio_memory pages; /* of frames in both directions */
    uint8_t *rx_memory;        /* a place for each of rx_frame */
    struct vif_frame rx_frame[VIF_RX_FRAMES];
    unsigned rx_next,
        rx_count; /* of rx_frame: the first rx_count were read, those from rx_next on are not through */

    uint8_t *memory; /* VIF_BATCH_BYTES and room for one more frame */
    unsigned frames;
    unsigned writing; /* of the frames: begun on the ring, not ended */
    struct vif_frame frame[VIF_BATCH];
    struct tx_packet packet[VIF_BATCH];
    struct xenio_copy copy[VIF_COPY_BATCH];
    unsigned copies;
};

/* own: the domain that we run in. Returns 0 or -errno. */
int vif_init(struct vif *v, struct xenio *io, struct uring *uring, uint16_t own, int tap, struct stats *stats,
             struct vif_state *state);
void vif_destroy(struct vif *v);
/* Attaches one queue; rx_port is tx_port when there is one for both. Returns 0 or -errno (logged). */
int vif_attach_queue(struct vif *v, unsigned index, uint32_t tx_gref, uint32_t rx_gref, uint32_t tx_port,
                     uint32_t rx_port);
int vif_attach_control(struct vif *v, uint32_t gref, uint32_t port);
void vif_detach(struct vif *v);

/* Moves packets both ways until there is nothing to do. True when it stopped only to let others have a turn. */
bool vif_run(struct vif *v);

#endif
