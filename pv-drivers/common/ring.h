/*
 * The back end's half of a shared ring.
 *
 * The page is the guest's: every index read from it is untrusted until checked, every slot is copied out once
 * and never looked at again. Two private indexes say where we are:
 *
 *     rsp_done <= req_cons <= req_prod (guest's), req_prod - rsp_done <= size
 *
 * Crash-only. Responses are given strictly in the order of their requests, so the response to the request in
 * slot i always lands in slot i, and the requests from rsp_prod on stay intact until they are answered. But a
 * response overwrites its request before rsp_prod can say so, and we may be killed in between. So responses
 * are first written into a journal, a page of ours that outlives the process, and the journal's index moves;
 * then they are copied into the ring; then rsp_prod moves. Whoever attaches again finishes what the journal
 * says:
 *
 *     journal->answered == rsp_prod   nothing was under way
 *     journal->answered ahead of it   the slots in between hold requests, responses or a mix: write the
 * responses again
 *
 * Requests from journal->answered on are intact and have to be done again.
 */
#ifndef PV_RING_H
#define PV_RING_H

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include <public/io/ring.h>

#define RING_RESPONSE_BYTES 16u
#define RING_MAX_SLOTS      512u

struct ring_journal {
    uint32_t valid;    /* belongs to the connection that stands */
    uint32_t answered; /* responses before this one are in `response` or already in the ring */
    uint8_t response[RING_MAX_SLOTS][RING_RESPONSE_BYTES];
};

struct back_ring {
    volatile struct ring_header *header;
    struct ring_journal *journal;
    uint32_t size; /* slots, a power of two, at most RING_MAX_SLOTS */
    uint32_t slot_bytes;
    uint32_t response_bytes;
    uint32_t req_cons;  /* next request to take */
    uint32_t rsp_done;  /* next response to give */
    uint32_t published; /* responses before this one are visible to the guest; never ahead of rsp_done */
};

struct ring_shape {
    uint32_t bytes; /* of the mapped ring */
    uint32_t slot_bytes, response_bytes;
};

/* The number of slots that fit into bytes of ring, rounded down to a power of two. */
static inline uint32_t ring_slots(uint32_t bytes, uint32_t slot_bytes)
{
    uint32_t slots = (bytes - RING_HEADER_SIZE) / slot_bytes;
    while (slots & (slots - 1))
        slots &= slots - 1;
    return slots;
}

static inline void *ring_slot(const struct back_ring *r, uint32_t index)
{
    return (uint8_t *)(uintptr_t)r->header + RING_HEADER_SIZE +
           (size_t)(index & (r->size - 1)) * r->slot_bytes;
}

/* Copies responses from the journal into their slots and lets the guest see them. */
static inline void ring_deliver(struct back_ring *r)
{
    for (; r->published != r->rsp_done; r->published++)
        memcpy(ring_slot(r, r->published), r->journal->response[r->published & (r->size - 1)],
               r->response_bytes);
    __atomic_store_n(&r->header->rsp_prod, r->published, __ATOMIC_RELEASE);
}

/*
 * Attaches to a mapped ring. resume: the connection stood before we were started, and the journal tells how
 * far it got; otherwise both start with what the guest put there.
 */
static inline void ring_attach(struct back_ring *r, void *page, const struct ring_shape *shape,
                               struct ring_journal *journal, bool resume)
{
    r->header = page;
    r->journal = journal;
    r->slot_bytes = shape->slot_bytes;
    r->response_bytes = shape->response_bytes;
    r->size = ring_slots(shape->bytes, shape->slot_bytes);
    uint32_t untrusted_visible = r->header->rsp_prod;
    if (!resume || !journal->valid)
        journal->answered = untrusted_visible;
    journal->valid = 1;
    r->published = r->rsp_done = r->req_cons = journal->answered;
    if (r->rsp_done - untrusted_visible <= r->size)
        r->published = untrusted_visible;
    ring_deliver(r);
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

/* Gives the next response, of the ring's response size. Only for a request that was taken. */
static inline void ring_respond(struct back_ring *r, const void *response)
{
    memcpy(r->journal->response[r->rsp_done & (r->size - 1)], response, r->response_bytes);
    r->rsp_done++;
}

/* Makes the responses visible, all or none; true when the guest asked to be notified about one of them. */
static inline bool ring_publish(struct back_ring *r)
{
    uint32_t old = r->published, new = r->rsp_done;
    if (old == new)
        return false;
    __atomic_store_n(&r->journal->answered, new, __ATOMIC_RELEASE);
    ring_deliver(r);
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
