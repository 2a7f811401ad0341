/* Copying through byte rings. See ring.h. */
#include "ring.h"

#include <string.h>

void ring_get(const char *ring, uint32_t from, void *out, uint32_t len)
{
    uint32_t at = MASK_XENSTORE_IDX(from);
    uint32_t first = XENSTORE_RING_SIZE - at < len ? XENSTORE_RING_SIZE - at : len;

    memcpy(out, ring + at, first);
    memcpy((char *)out + first, ring, len - first);
}

void ring_put(char *ring, uint32_t to, const void *data, uint32_t len)
{
    uint32_t at = MASK_XENSTORE_IDX(to);
    uint32_t first = XENSTORE_RING_SIZE - at < len ? XENSTORE_RING_SIZE - at : len;

    memcpy(ring + at, data, first);
    memcpy(ring, (const char *)data + first, len - first);
}
