/*
 * Which queue of the guest a packet goes to, as the guest asked through the control ring; and the guest's
 * list of multicast addresses. Both are plain data kept in a mapped file, so that a restarted process still
 * knows them.
 */
#ifndef NETBACK_STEERING_H
#define NETBACK_STEERING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <public/io/netif.h>

#define STEERING_KEY_BYTES 40u
#define STEERING_MAPPING   128u
#define STEERING_MCAST     64u

struct steering {
    uint32_t algorithm; /* XEN_NETIF_CTRL_HASH_ALGORITHM_ */
    uint32_t types;     /* XEN_NETIF_CTRL_HASH_TYPE_ */
    uint32_t mapping_size;
    uint32_t mapping[STEERING_MAPPING];
    uint8_t key[STEERING_KEY_BYTES];
    uint32_t mcast_count;
    uint8_t mcast[STEERING_MCAST][6];
};

/* Copies bytes from the page that gref grants. Returns 0 or -errno. */
typedef int (*steering_fetch)(void *context, uint32_t gref, void *out, unsigned bytes);

/* Answers one control request. queues: how many the guest has. */
void steering_request(struct steering *s, const struct xen_netif_ctrl_request *request, unsigned queues,
                      steering_fetch fetch, void *context, struct xen_netif_ctrl_response *out);

/*
 * The queue for a frame. *hash_type gets the _XEN_NETIF_CTRL_HASH_TYPE_ bit number and *hash the value when
 * the guest asked for hashing and the frame has one; hash_type is -1 otherwise.
 */
unsigned steering_queue(const struct steering *s, const uint8_t *frame, size_t bytes, unsigned queues,
                        int *hash_type, uint32_t *hash);

uint32_t steering_toeplitz(const uint8_t *key, size_t key_bytes, const uint8_t *data, size_t bytes);

/* Changes the multicast list. False when it is full. */
bool steering_mcast_add(struct steering *s, const uint8_t *address);
void steering_mcast_remove(struct steering *s, const uint8_t *address);
bool steering_mcast_wanted(const struct steering *s, const uint8_t *address);

#endif
