#include "serve.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "options.h"

#define PORTS_AT_ONCE 64

/* Takes the events that fired, lets the rings run, and only then lets the events fire again. */
static bool run_rings(const struct service *s, bool event, bool own_ready)
{
    uint32_t ports[PORTS_AT_ONCE];
    int fired = event ? xenio_pending(s->io, ports, PORTS_AT_ONCE) : 0;
    if (fired > 0)
        *s->events += (unsigned)fired;
    bool again = s->run(s->device, own_ready);
    if (fired > 0)
        xenio_unmask(s->io, ports, (unsigned)fired);
    if (*s->broken)
        device_fail(s->device, *s->broken);
    return again;
}

static int timeout_ms(const struct service *s, bool again)
{
    if (again)
        return 0;
    if (*s->wake_at == 0)
        return -1;
    uint64_t now = clock_now();
    return *s->wake_at <= now ? 0 : (int)((*s->wake_at - now) / 1000000 + 1);
}

/* Follows the store. Returns -1 to go on, or the exit status. */
static int follow_store(const struct service *s, bool woken)
{
    int rc = woken ? store_changed(s->device->store) : 1;
    if (rc < 0) {
        log_line("the xenstore has gone: %s", strerror(-rc));
        return EXIT_AGAIN;
    }
    if (rc == 0)
        return -1;
    if (device_step(s->device) == DEVICE_GONE) {
        s->gone(s->device);
        return EXIT_GONE;
    }
    rc = s->changed(s->device);
    return rc ? rc : -1;
}

int serve(const struct service *s)
{
    bool again = false;
    int status = follow_store(s, false);
    while (status < 0) {
        struct pollfd p[3] = {{.fd = store_fd(s->device->store), .events = POLLIN},
                              {.fd = xenio_fd(s->io), .events = POLLIN},
                              {.fd = -1}};
        p[2].fd = s->descriptor(s->device, &p[2].events);
        if (poll(p, 3, timeout_ms(s, again)) < 0 && errno != EINTR) {
            status = EXIT_AGAIN;
            break;
        }
        again = s->device->attached && run_rings(s, p[1].revents != 0, p[2].revents != 0);
        if (p[0].revents) {
            status = follow_store(s, true);
            again = true;
        }
    }
    log_line("%s", status == EXIT_GONE ? "the device is gone" : "to be started again");
    return status;
}
