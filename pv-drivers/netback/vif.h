/*
 * A virtual network interface in service: its rings, the tap device behind it, its limits.
 *
 * From the guest: packets are described (packet.h), their pieces copied by one grant copy for the whole
 * batch, their headers checked, and written to the tap device; then all their slots are answered at once, so
 * that a packet is never answered by half. To the guest: packets are read from the tap device into a batch,
 * slots are reserved for them, one grant copy moves them all, then the responses are published. A packet for
 * which the guest has no room yet is held back and the tap device is not read until it fits.
 *
 * A process that is started again finds in the rings what was not answered: packets of the guest that may be
 * sent a second time, and empty pages. Both are what a network does anyway.
 */
#ifndef NETBACK_VIF_H
#define NETBACK_VIF_H

#include "../common/bucket.h"
#include "../common/device.h"
#include "../common/ring.h"
#include "../common/stats.h"
#include "../common/xenio.h"
#include "packet.h"
#include "spoof.h"
#include "steering.h"

#define VIF_MAX_QUEUES  4u
#define VIF_BATCH       64u
#define VIF_BATCH_BYTES (1u << 20)
#define VIF_COPY_BATCH  1024u
#define VIF_TAG_ROOM    4u /* in front of every frame: where a VLAN tag is put in or taken out */

struct vif_queue {
    struct back_ring tx, rx;
    void *tx_page, *rx_page;
    int tx_port, rx_port; /* the same port when the guest does not split them; -1: none */
};

/* A frame in memory, in either direction. */
struct vif_frame {
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
    bool tap_ready;     /* frames may wait in the tap device */
    bool held;          /* held_frame waits for room in the guest's ring */
    struct vif_frame held_frame;
    uint8_t *held_memory;

    uint8_t *memory; /* VIF_BATCH_BYTES and room for one more frame */
    unsigned frames;
    struct vif_frame frame[VIF_BATCH];
    struct tx_packet packet[VIF_BATCH];
    struct xenio_copy copy[VIF_COPY_BATCH];
    unsigned copies;
};

int vif_init(struct vif *v, struct xenio *io, int tap, struct stats *stats, struct vif_state *state);
void vif_destroy(struct vif *v);
/* Attaches one queue; rx_port is tx_port when there is one for both. Returns 0 or -errno (logged). */
int vif_attach_queue(struct vif *v, unsigned index, uint32_t tx_gref, uint32_t rx_gref, uint32_t tx_port,
                     uint32_t rx_port);
int vif_attach_control(struct vif *v, uint32_t gref, uint32_t port);
void vif_detach(struct vif *v);

/* Moves packets both ways until there is nothing to do. True when it stopped only to let others have a turn.
 * tap_readable: the tap device has frames, as poll() tells; otherwise it is not asked. */
bool vif_run(struct vif *v, bool tap_readable);

#endif
