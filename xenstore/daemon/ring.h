/*
 * Arithmetic of the byte rings that a domain shares with the store. The other side may write anything
 * anywhere at any time: indexes are read once by the caller, checked here, and only then used. No state, no
 * I/O.
 */
#ifndef BH_XS_RING_H
#define BH_XS_RING_H

#include <stdbool.h>
#include <stdint.h>

#include <xen/io/xs_wire.h>

/* Indexes that differ by more than the ring's size are a lie. */
static inline bool ring_sane(uint32_t prod, uint32_t cons)
{
    return prod - cons <= XENSTORE_RING_SIZE;
}
static inline uint32_t ring_filled(uint32_t prod, uint32_t cons)
{
    return prod - cons;
}
static inline uint32_t ring_room(uint32_t prod, uint32_t cons)
{
    return XENSTORE_RING_SIZE - (prod - cons);
}

/* Copies len bytes (at most what is filled) that begin at index `from` out of the ring. */
void ring_get(const char *ring, uint32_t from, void *out, uint32_t len);
/* Copies len bytes (at most the room) into the ring at index `to`. */
void ring_put(char *ring, uint32_t to, const void *data, uint32_t len);

/* One read or write of an index in shared memory, ordered against the data. */
static inline uint32_t ring_load(const uint32_t *index)
{
    return __atomic_load_n(index, __ATOMIC_ACQUIRE);
}
static inline void ring_store(uint32_t *index, uint32_t value)
{
    __atomic_store_n(index, value, __ATOMIC_RELEASE);
}

#endif
