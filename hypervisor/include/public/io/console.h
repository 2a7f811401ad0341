/*
 * The console page of a guest: two byte rings. The guest writes `out` and reads `in`; indexes run freely, an
 * offset is index & (size - 1). One event channel tells either side that an index moved.
 */
#ifndef PUBLIC_IO_CONSOLE_H
#define PUBLIC_IO_CONSOLE_H

#include <stdint.h>

typedef uint32_t XENCONS_RING_IDX;

struct xencons_interface {
    char in[1024];
    char out[2048];
    XENCONS_RING_IDX in_cons, in_prod;
    XENCONS_RING_IDX out_cons, out_prod;
};

#endif
