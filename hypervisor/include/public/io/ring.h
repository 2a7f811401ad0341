/*
 * Shared rings: the header that stands at the start of every producer/consumer ring between two domains.
 *
 * One power-of-two array of slots follows the header. The front end produces requests, the back end produces
 * responses into the same slots. All four indexes run freely and wrap at 2^32; a slot is index & (size - 1).
 *
 *   req_prod   written by the front end: one past the last request
 *   req_event  written by the back end:  "notify me when req_prod passes this"
 *   rsp_prod   written by the back end:  one past the last response
 *   rsp_event  written by the front end: "notify me when rsp_prod passes this"
 */
#ifndef PUBLIC_IO_RING_H
#define PUBLIC_IO_RING_H

#include <stdint.h>

typedef uint32_t RING_IDX;

struct ring_header {
    RING_IDX req_prod;
    RING_IDX req_event;
    RING_IDX rsp_prod;
    RING_IDX rsp_event;
    uint8_t pad[48];
};

#define RING_HEADER_SIZE 64u

#endif
