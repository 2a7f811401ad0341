/*
 * Persistent grants: pages of the guest that stay mapped from their first use on.
 *
 * A hash from grant reference to address. When the table is full, further references are not remembered and
 * their data is copied instead; nothing is ever evicted while the device is attached. Pages mapped together
 * are unmapped together.
 */
#ifndef BLKBACK_GRANTS_H
#define BLKBACK_GRANTS_H

#include <stdbool.h>
#include <stdint.h>

#include "../common/xenio.h"

struct grants {
    struct xenio *io;
    uint16_t domid;
    unsigned limit; /* pages */
    unsigned used;
    unsigned buckets; /* power of two, at least twice the limit */
    struct grant_page {
        uint32_t gref;
        void *address;
    } * page;
    struct grant_run {
        void *address;
        unsigned count;
    } * run;
    unsigned runs;
};

int grants_open(struct grants *g, struct xenio *io, uint16_t domid, unsigned limit);
void grants_close(struct grants *g);
/* The address of a page that is mapped, or NULL. */
void *grants_find(const struct grants *g, uint32_t gref);
/* Maps those of the references that are new. Returns how many were mapped, or -errno when one of them is bad.
 */
int grants_map(struct grants *g, const uint32_t *grefs, unsigned count);

#endif
