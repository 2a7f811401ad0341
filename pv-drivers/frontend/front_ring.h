/* The front end's half of a shared ring. What the back end writes is checked too: an index may not run ahead.
 */
#ifndef FRONTEND_RING_H
#define FRONTEND_RING_H

#include <public/io/ring.h>
#include "services.h"

struct front_ring {
    volatile struct ring_header *header;
    uint32_t size, slot_bytes;
    uint32_t req_prod; /* next slot to fill */
    uint32_t rsp_cons; /* next response to read */
};

static inline void front_ring_init(struct front_ring *r, void *pages, uint32_t bytes, uint32_t slot_bytes)
{
    r->header = pages;
    r->slot_bytes = slot_bytes;
    r->size = (bytes - RING_HEADER_SIZE) / slot_bytes;
    while (r->size & (r->size - 1))
        r->size &= r->size - 1;
    r->req_prod = r->rsp_cons = 0;
    r->header->req_prod = r->header->rsp_prod = 0;
    r->header->req_event = r->header->rsp_event = 1;
}

static inline void *front_ring_slot(const struct front_ring *r, uint32_t index)
{
    return (uint8_t *)(uintptr_t)r->header + RING_HEADER_SIZE +
           (size_t)(index & (r->size - 1)) * r->slot_bytes;
}

static inline uint32_t front_ring_free(const struct front_ring *r)
{
    return r->size - (r->req_prod - r->rsp_cons);
}

/* How many responses wait; 0 as well when the back end's index is impossible. */
static inline uint32_t front_ring_answers(const struct front_ring *r)
{
    uint32_t untrusted = __atomic_load_n(&r->header->rsp_prod, __ATOMIC_ACQUIRE) - r->rsp_cons;
    return untrusted <= r->req_prod - r->rsp_cons ? untrusted : 0;
}

/* Makes the requests visible; true when the back end wants to be notified. */
static inline bool front_ring_push(struct front_ring *r)
{
    uint32_t old = r->header->req_prod, new = r->req_prod;
    __atomic_store_n(&r->header->req_prod, new, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return (uint32_t)(new - r->header->req_event) < (uint32_t)(new - old);
}

/* Asks for an event at the next response; true when one is there already. */
static inline bool front_ring_sleep(struct front_ring *r)
{
    r->header->rsp_event = r->rsp_cons + 1;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return front_ring_answers(r) != 0;
}

#endif
