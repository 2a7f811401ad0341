/*
 * A virtual network interface from the guest's side: one queue, one event channel, frames of up to a page
 * out, frames of any size in. Checksums are left to the other side in both directions.
 */
#ifndef FRONTEND_NETFRONT_H
#define FRONTEND_NETFRONT_H

#include <public/io/netif.h>
#include "front_ring.h"
#include "xenbus.h"

#define NETFRONT_BUFFERS   256u
#define NETFRONT_FRAME_MAX 65550u

struct netfront {
    struct xenbus_device device;
    struct front_ring tx, rx, control;
    grant_ref_t tx_ref, rx_ref, control_ref;
    evtchn_port_t port, control_port;
    bool has_control; /* the back end offers the control ring */
    uint8_t mac[6];
    void *tx_page[NETFRONT_BUFFERS], *rx_page[NETFRONT_BUFFERS];
    grant_ref_t tx_gref[NETFRONT_BUFFERS], rx_gref[NETFRONT_BUFFERS];
    uint16_t tx_free[NETFRONT_BUFFERS];
    unsigned tx_free_count;
    uint64_t tx_errors, rx_errors;
    int hash_type; /* of the frame received last, -1: it came without a hash */
    uint32_t hash;
};

int netfront_open(struct netfront *n, unsigned number);
/* A page to build a frame in, and its number; NULL when all are under way. */
void *netfront_buffer(struct netfront *n, unsigned *number);
/* Sends what was built. checksum_open: the TCP or UDP checksum holds the pseudo header's sum only. */
void netfront_send(struct netfront *n, unsigned number, unsigned bytes, bool checksum_open);
/* Makes sent frames visible and notifies. */
void netfront_kick(struct netfront *n);
/* Copies the next received frame into out (NETFRONT_FRAME_MAX bytes); its size, or 0 when none waits. */
unsigned netfront_receive(struct netfront *n, uint8_t *out);
/* Asks for an event; true when something is there already. */
bool netfront_sleep(struct netfront *n);
/* One request over the control ring. Its XEN_NETIF_CTRL_STATUS, FE_TIME, or FE_ERROR when there is no such ring. */
int netfront_control(struct netfront *n, uint16_t type, uint32_t a, uint32_t b, uint32_t c, uint32_t *data);
/* Puts ready-made transmit slots into the ring; for tests of back ends. */
void netfront_raw(struct netfront *n, const void *slots, unsigned count);

#endif
