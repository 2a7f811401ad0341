/*
 * The back end's half of a shared ring.
 *
 * The page is the guest's: every index read from it is untrusted until checked, every slot is copied out once
 * and never looked at again. Two private indexes say where we are:
 *
 *     rsp_done <= req_cons <= req_prod (guest's), req_prod - rsp_done <= size
 *
 * Crash-only: responses are published strictly in the order of their requests, so that the response to the
 * request in slot i always lands in slot i. The shared page alone then tells a restarted process everything:
 * requests before rsp_prod are answered, requests from rsp_prod on are intact and have to be done again.
 */
#ifndef PV_RING_H
#define PV_RING_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <public/io/ring.h>

struct back_ring {
    volatile struct ring_header *header;
    uint32_t size; /* slots, a power of two */
    uint32_t slot_bytes;
    uint32_t req_cons;  /* next request to take */
    uint32_t rsp_done;  /* next response to write */
    uint32_t published; /* responses before this one are visible to the guest; never ahead of rsp_done */
};

/* The number of slots that fit into bytes of ring, rounded down to a power of two. */
static inline uint32_t ring_slots(uint32_t bytes, uint32_t slot_bytes)
{
    uint32_t slots = (bytes - RING_HEADER_SIZE) / slot_bytes;
    while (slots & (slots - 1))
        slots &= slots - 1;
    return slots;
}

/* Attaches to a mapped ring of bytes. What the guest has had answered (rsp_prod) is where we begin. */
static inline void ring_attach(struct back_ring *r, void *page, uint32_t bytes, uint32_t slot_bytes)
{
    r->header = page;
    r->slot_bytes = slot_bytes;
    r->size = ring_slots(bytes, slot_bytes);
    r->rsp_done = r->req_cons = r->published = r->header->rsp_prod;
}

static inline void *ring_slot(const struct back_ring *r, uint32_t index)
{
    return (uint8_t *)(uintptr_t)r->header + RING_HEADER_SIZE +
           (size_t)(index & (r->size - 1)) * r->slot_bytes;
}

/* How many requests wait. Returns -1 when the guest's producer index is not one it can have reached. */
static inline int ring_waiting(const struct back_ring *r)
{
    uint32_t untrusted_prod = __atomic_load_n(&r->header->req_prod, __ATOMIC_ACQUIRE);
    if (untrusted_prod - r->rsp_done > r->size)
        return -1;
    return (int)(untrusted_prod - r->req_cons);
}

/* Copies bytes of slot index into out, once; the compiler cannot read the page again later. */
static inline void ring_copy_out(const struct back_ring *r, uint32_t index, void *out, uint32_t bytes)
{
    memcpy(out, ring_slot(r, index), bytes);
    __asm__ volatile("" ::: "memory");
}

/* Writes the next response. Only for a request that was taken. */
static inline void ring_respond(struct back_ring *r, const void *response, uint32_t bytes)
{
    memcpy(ring_slot(r, r->rsp_done), response, bytes);
    r->rsp_done++;
}

/* Makes the responses visible; true when the guest asked to be notified about one of them. */
static inline bool ring_publish(struct back_ring *r)
{
    uint32_t old = r->published;
    uint32_t new = r->rsp_done;
    if (old == new)
        return false;
    r->published = new;
    __atomic_store_n(&r->header->rsp_prod, new, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return (uint32_t)(new - r->header->rsp_event) < (uint32_t)(new - old);
}

/* Asks for a notification at the next request; true when one is there already, and the caller must go on. */
static inline bool ring_sleep(struct back_ring *r)
{
    r->header->req_event = r->req_cons + 1;
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return ring_waiting(r) != 0;
}

#endif
