#include "console.h"

#include <public/io/console.h>
#include "event.h"

#define ROOM_TIME (FE_SECOND * 5)

static struct xencons_interface *ring;
static evtchn_port_t port;

void console_init(void *page, evtchn_port_t event_channel)
{
    ring = page;
    port = event_channel;
}

evtchn_port_t console_port(void)
{
    return port;
}

static bool wait_room(void)
{
    uint64_t deadline = fe_now() + ROOM_TIME;
    while (ring->out_prod - __atomic_load_n(&ring->out_cons, __ATOMIC_ACQUIRE) >= sizeof(ring->out)) {
        if (fe_now() > deadline)
            return false;
        event_send(port);
        event_take(port);
        fe_wait(&port, 1, fe_now() + FE_SECOND / 100);
    }
    return true;
}

void console_write(const char *text, size_t bytes)
{
    if (!ring)
        return;
    for (; bytes && wait_room(); bytes--) {
        ring->out[ring->out_prod % sizeof(ring->out)] = *text++;
        __atomic_store_n(&ring->out_prod, ring->out_prod + 1, __ATOMIC_RELEASE);
    }
    event_send(port);
}

int console_read(void)
{
    if (!ring || __atomic_load_n(&ring->in_prod, __ATOMIC_ACQUIRE) == ring->in_cons)
        return -1;
    unsigned char c = (unsigned char)ring->in[ring->in_cons % sizeof(ring->in)];
    __atomic_store_n(&ring->in_cons, ring->in_cons + 1, __ATOMIC_RELEASE);
    event_send(port);
    return c;
}
