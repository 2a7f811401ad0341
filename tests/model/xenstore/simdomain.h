/*
 * The guest's side of a simulated domain: a page and two FIFOs in the daemon's directory (see
 * platform_sim.c), used as Linux uses them: an event is sent only when the ring looked empty, or full,
 * before.
 */
#ifndef BH_XS_SIMDOMAIN_H
#define BH_XS_SIMDOMAIN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xen/io/xs_wire.h>

struct simdomain {
    uint32_t domid;
    struct xenstore_domain_interface *page;
    int to_store, to_guest;
    uint8_t out[16384]; /* requests not yet in the ring */
    size_t out_len;
    uint8_t in[8192]; /* the start of a message */
    size_t in_len;
};

/* Makes the domain's files below dir/sim. False with errno. */
bool sim_create(struct simdomain *d, const char *dir, uint32_t domid);
void sim_destroy(struct simdomain *d);
/* Queues a request; false if there is no room for it. */
bool sim_send(struct simdomain *d, uint32_t type, uint32_t req_id, uint32_t tx_id, const void *data,
              size_t len);
/* Moves what can be moved both ways. True if anything moved. */
bool sim_pump(struct simdomain *d);
/* Takes the next whole message that arrived: body needs XENSTORE_PAYLOAD_MAX + 1 bytes, a nul is put behind.
 */
bool sim_receive(struct simdomain *d, struct xsd_sockmsg *hdr, char *body);

/* Asks the store to begin anew with this ring (the reconnection feature). */
void ring_reset_request(struct simdomain *d);

#endif
