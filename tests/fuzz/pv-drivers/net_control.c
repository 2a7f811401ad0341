/* A sequence of control requests: the steering state stays one that cannot send a packet to a queue that is
 * not there. */
#include <stdlib.h>
#include <string.h>

#include "../../../pv-drivers/netback/steering.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define QUEUES 3u

static int fetch(void *context, uint32_t gref, void *out, unsigned bytes)
{
    memset(out, (int)gref, bytes);
    return gref & 0x80000000u ? -1 : 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct steering s;
    memset(&s, 0, sizeof(s));
    for (; size >= sizeof(struct xen_netif_ctrl_request);
         data += sizeof(struct xen_netif_ctrl_request), size -= sizeof(struct xen_netif_ctrl_request)) {
        struct xen_netif_ctrl_request r;
        struct xen_netif_ctrl_response out;
        memcpy(&r, data, sizeof(r));
        steering_request(&s, &r, QUEUES, fetch, NULL, &out);
        if (out.id != r.id || out.type != r.type || s.mapping_size > STEERING_MAPPING || s.algorithm > 1)
            abort();
        for (unsigned i = 0; i < s.mapping_size; i++)
            if (s.mapping[i] >= QUEUES)
                abort();
    }
    return 0;
}
