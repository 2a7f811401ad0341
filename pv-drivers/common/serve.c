#include "serve.h"

#include <errno.h>
#include <poll.h>
#include <string.h>

#include "clock.h"
#include "log.h"
#include "options.h"

/* Something that is waited for; result is that of its last operation. */
struct wait {
    struct uring_op op;
    bool armed, ended;
    int result;
    short events;
};

static struct wait events, store, own;

static void ended(struct uring_op *op, int result)
{
    struct wait *w = (struct wait *)op;
    w->armed = false;
    w->ended = true;
    w->result = result;
}

static bool take(struct wait *w)
{
    bool was = w->ended;
    w->ended = false;
    return was;
}

/* Waits for fd, unless it does so already; when it waits for other events, it first ends that. */
static void await(struct uring *u, struct wait *w, int fd, short what)
{
    if (w->armed && w->events == what)
        return;
    struct io_uring_sqe *sqe = uring_sqe(u);
    if (w->armed) {
        io_uring_prep_poll_remove(sqe, (uintptr_t)&w->op);
        uring_own(sqe, NULL, IOSQE_CQE_SKIP_SUCCESS);
        return;
    }
    io_uring_prep_poll_add(sqe, fd, (unsigned)what);
    uring_own(sqe, &w->op, 0);
    w->armed = true;
    w->events = what;
}

static void await_all(const struct service *s)
{
    short what = 0;
    int fd = s->descriptor ? s->descriptor(s->device, &what) : -1;
    await(s->uring, &store, store_fd(s->device->store), POLLIN);
    if (fd >= 0)
        await(s->uring, &own, fd, what);
    if (!events.armed)
        xenio_await(s->io, s->uring, &events.op);
    events.armed = true;
}

/* Takes the events that fired, lets the rings run, and only then lets the events fire again. */
static bool run_rings(const struct service *s)
{
    int bytes = take(&events) ? events.result : 0;
    bool again = false;
    if (bytes > 0)
        *s->events += (unsigned)bytes / sizeof(uint32_t);
    if (s->device->attached)
        again = s->run(s->device);
    if (bytes > 0)
        xenio_unmask(s->io, s->uring, bytes);
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
    events.op.done = store.op.done = own.op.done = ended;
    while (status < 0) {
        await_all(s);
        uring_run(s->uring, timeout_ms(s, again));
        again = run_rings(s);
        if (take(&store)) {
            status = follow_store(s, true);
            again = true;
        }
    }
    log_line("%s", status == EXIT_GONE ? "the device is gone" : "to be started again");
    return status;
}
