/*
 * bh-consoled: the consoles of PV guests.
 *
 * Model. One poll loop. A console is a guest's ring page, an event channel, a pty whose name stands in the
 * store (what `xl console` opens), a socket for any number of viewers (what `bh console` opens), and a log.
 * Nothing is kept that is not in the hypervisor, the store or the log: killed and started again, the daemon
 * finds the domains, binds anew and goes on where the ring stands.
 *
 * A guest that floods is not read faster than RATE_BYTES a second: its ring fills and it waits; the others do
 * not. A viewer or pty that does not read loses output, and holds nobody up.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <poll.h>
#include <pty.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>
#include "../lib/daemon.h"
#include "../lib/internal.h"
#include "../lib/xenio.h"
#include "log.h"
#include "ring.h"

#define CONSOLES_MAX 1024
#define VIEWERS_MAX  8
#define HISTORY      16384U
#define RATE_BYTES   (1U << 20)
#define PERIOD_MS    100U
#define LOG_LIMIT    (4U << 20)
#define LOG_KEEP     4

struct console {
    unsigned int domid;
    bool seen; /* during a look at all domains */
    bool broken;
    struct console_page *page;
    bool foreign; /* how the page was mapped */
    int port;
    int master, slave;
    int listener;
    int viewers[VIEWERS_MAX];
    char history[HISTORY]; /* the last output, for who comes later */
    uint32_t history_end;
    uint32_t allowance; /* bytes left in this period */
    bool waiting;       /* has output, but no allowance: event stays masked */
    char socket_path[200];
    struct console_log log;
};

static struct {
    struct bh *h;
    int evtchn, gntdev;
    struct console *consoles[CONSOLES_MAX];
    unsigned int count;
    unsigned int awaited[CONSOLES_MAX]; /* domains whose toolstack has not written their console yet */
    unsigned int awaited_count;
    char log_dir[300];
    uint64_t period;
} d;

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000UL + t.tv_nsec / 1000000;
}

/* ---- one console ---- */

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void console_free(struct console *c)
{
    if (c->port >= 0)
        evtchn_unbind(d.evtchn, c->port);
    if (c->page && c->foreign)
        bh_unmap(d.h, c->page, 1);
    else if (c->page)
        gntdev_unmap(d.gntdev, c->page);
    close_fd(&c->master);
    close_fd(&c->slave);
    close_fd(&c->listener);
    for (unsigned int i = 0; i < VIEWERS_MAX; i++)
        close_fd(&c->viewers[i]);
    if (*c->socket_path)
        unlink(c->socket_path);
    console_log_close(&c->log);
    free(c);
}

static bool map_ring(struct console *c, uint64_t frame)
{
    c->page = gntdev_map(d.gntdev, c->domid, GNTTAB_RESERVED_CONSOLE);
    if (c->page)
        return true;
    c->foreign = true;
    c->page = bh_map(d.h, c->domid, "the console ring", &frame, 1, true);
    return c->page != NULL;
}

static bool open_pty(struct console *c)
{
    char name[64], path[64];
    struct termios t;

    if (openpty(&c->master, &c->slave, name, NULL, NULL) < 0)
        return false;
    fcntl(c->master, F_SETFL, O_NONBLOCK);
    fcntl(c->master, F_SETFD, FD_CLOEXEC);
    fcntl(c->slave, F_SETFD, FD_CLOEXEC);
    if (tcgetattr(c->slave, &t) == 0) {
        cfmakeraw(&t);
        tcsetattr(c->slave, TCSANOW, &t);
    }
    snprintf(path, sizeof(path), "/local/domain/%u/console/tty", c->domid);
    return bh_store_set(d.h, path, name) == 0;
}

static void open_listener(struct console *c)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};

    snprintf(c->socket_path, sizeof(c->socket_path), "%s/console", bh_run_dir());
    mkdir(c->socket_path, 0700);
    snprintf(c->socket_path, sizeof(c->socket_path), "%s/console/%u.sock", bh_run_dir(), c->domid);
    if (strlen(c->socket_path) >= sizeof(address.sun_path))
        return;
    strcpy(address.sun_path, c->socket_path);
    unlink(c->socket_path);
    c->listener = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (c->listener >= 0 &&
        (bind(c->listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(c->listener, 4) < 0))
        close_fd(&c->listener);
}

/* xl introduces a domain to the store first and writes its console afterwards: such a one is watched until then. */
static void await_console(unsigned int domid)
{
    char path[64];

    for (unsigned int i = 0; i < d.awaited_count; i++)
        if (d.awaited[i] == domid)
            return;
    if (d.awaited_count == CONSOLES_MAX)
        return;
    snprintf(path, sizeof(path), "/local/domain/%u/console/port", domid);
    if (bh_store_watch(d.h, path, "console") == 0)
        d.awaited[d.awaited_count++] = domid;
}

static void stop_awaiting(unsigned int domid)
{
    char path[64];

    for (unsigned int i = 0; i < d.awaited_count; i++) {
        if (d.awaited[i] != domid)
            continue;
        snprintf(path, sizeof(path), "/local/domain/%u/console/port", domid);
        bh_store_unwatch(d.h, path, "console");
        d.awaited[i] = d.awaited[--d.awaited_count];
        return;
    }
}

static void console_open(unsigned int domid)
{
    char *port = store_getf(d.h, "/local/domain/%u/console/port", domid);
    char *frame = store_getf(d.h, "/local/domain/%u/console/ring-ref", domid);
    char *type = store_getf(d.h, "/local/domain/%u/console/type", domid);
    char *name = store_getf(d.h, "/local/domain/%u/name", domid);
    struct console *c = calloc(1, sizeof(*c));
    bool good = c && port && frame && (!type || strcmp(type, "xenconsoled") == 0) && d.count < CONSOLES_MAX;

    if (!port || !frame)
        await_console(domid);
    else
        stop_awaiting(domid);
    if (c) {
        c->domid = domid;
        c->seen = true;
        c->port = c->master = c->slave = c->listener = c->log.fd = -1;
        for (unsigned int i = 0; i < VIEWERS_MAX; i++)
            c->viewers[i] = -1;
        c->allowance = RATE_BYTES / (1000 / PERIOD_MS);
    }
    if (good && !map_ring(c, strtoul(frame, NULL, 10))) {
        daemon_log("domain %u: its console ring cannot be mapped: %s", domid, bh_error_message(d.h, 0));
        good = false;
    }
    if (good) {
        c->port = evtchn_bind(d.evtchn, domid, strtoul(port, NULL, 10));
        if (c->port < 0)
            daemon_log(
                "domain %u: its console event channel cannot be bound: %s. Does another console daemon run?",
                domid, strerror(-c->port));
        good = c->port >= 0;
    }
    if (good && open_pty(c)) {
        open_listener(c);
        console_log_open(&c->log, d.log_dir, name ? name : "unnamed");
        d.consoles[d.count++] = c;
    } else if (c) {
        console_free(c);
    }
    bh_error_clear(d.h);
    free(port);
    free(frame);
    free(type);
    free(name);
}

/* ---- output ---- */

static void remember(struct console *c, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        c->history[c->history_end++ % HISTORY] = text[i];
}

static void spread(struct console *c, const char *text, size_t size)
{
    remember(c, text, size);
    console_log_write(&c->log, text, size, LOG_LIMIT, LOG_KEEP);
    /* Who does not read loses: a full pty or socket takes what it can. */
    if (write(c->master, text, size) < 0 && errno != EAGAIN)
        daemon_log("domain %u: pty: %s", c->domid, strerror(errno));
    for (unsigned int i = 0; i < VIEWERS_MAX; i++)
        if (c->viewers[i] >= 0 && send(c->viewers[i], text, size, MSG_NOSIGNAL | MSG_DONTWAIT) < 0 &&
            errno != EAGAIN)
            close_fd(&c->viewers[i]);
}

/* Reads the ring as far as the allowance goes. */
static void drain(struct console *c)
{
    char text[CONSOLE_OUT_BYTES];
    bool any = false;

    while (!c->broken && c->allowance) {
        size_t room = c->allowance < sizeof(text) ? c->allowance : sizeof(text);
        size_t got = console_peek(c->page, text, room, &c->broken);

        if (c->broken)
            daemon_log("domain %u: its console ring is not in order; it is no longer served", c->domid);
        if (!got)
            break;
        c->allowance -= got;
        any = true;
        spread(c, text, got);
        console_done(c->page, got);
    }
    c->waiting = !c->broken && !c->allowance;
    if (any)
        evtchn_notify(d.evtchn, c->port);
    if (!c->waiting && !c->broken)
        evtchn_unmask(d.evtchn, c->port);
}

static void new_period(void)
{
    uint64_t period = now_ms() / PERIOD_MS;

    if (period == d.period)
        return;
    d.period = period;
    for (unsigned int i = 0; i < d.count; i++) {
        d.consoles[i]->allowance = RATE_BYTES / (1000 / PERIOD_MS);
        if (d.consoles[i]->waiting)
            drain(d.consoles[i]);
    }
}

static void handle_events(void)
{
    int port;

    while ((port = evtchn_pending(d.evtchn)) >= 0)
        for (unsigned int i = 0; i < d.count; i++)
            if (d.consoles[i]->port == port)
                drain(d.consoles[i]);
}

/* ---- input and viewers ---- */

static size_t input_room(const struct console *c)
{
    uint32_t filled = c->page->in_prod - c->page->in_cons;

    return filled >= CONSOLE_IN_BYTES ? 0 : CONSOLE_IN_BYTES - filled;
}

/* Returns false when the source is gone. */
static bool take_input(struct console *c, int fd)
{
    char text[CONSOLE_IN_BYTES];
    size_t room = input_room(c);
    ssize_t got;

    if (!room)
        return true;
    got = read(fd, text, room);
    if (got <= 0)
        return got < 0 && (errno == EAGAIN || errno == EIO);
    if (console_give(c->page, text, got, &c->broken))
        evtchn_notify(d.evtchn, c->port);
    return true;
}

static void accept_viewer(struct console *c)
{
    int fd = accept4(c->listener, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
    uint32_t from = c->history_end > HISTORY ? c->history_end - HISTORY : 0;

    for (unsigned int i = 0; fd >= 0 && i < VIEWERS_MAX; i++) {
        if (c->viewers[i] >= 0)
            continue;
        c->viewers[i] = fd;
        while (from < c->history_end) {
            uint32_t at = from % HISTORY, part = HISTORY - at;

            if (part > c->history_end - from)
                part = c->history_end - from;
            if (send(fd, c->history + at, part, MSG_NOSIGNAL | MSG_DONTWAIT) < 0)
                break;
            from += part;
        }
        return;
    }
    close_fd(&fd);
}

/* ---- all ---- */

/* Watches for domains that ended without ever having a console. */
static void forget_ended(const struct bh_domain *list, unsigned int count)
{
    for (unsigned int i = d.awaited_count; i-- > 0;) {
        bool there = false;

        for (unsigned int n = 0; n < count; n++)
            there |= list[n].domid == d.awaited[i] && !(list[n].flags & BH_DYING);
        if (!there)
            stop_awaiting(d.awaited[i]);
    }
}

static void look_at_domains(void)
{
    struct bh_domain *list;
    unsigned int count, kept = 0;

    if (bh_list(d.h, &list, &count)) {
        daemon_log("%s", bh_error_message(d.h, 0));
        return;
    }
    for (unsigned int i = 0; i < d.count; i++)
        d.consoles[i]->seen = false;
    for (unsigned int n = 0; n < count; n++) {
        bool known = false;

        for (unsigned int i = 0; i < d.count; i++)
            if (d.consoles[i]->domid == list[n].domid) {
                known = true;
                d.consoles[i]->seen = !(list[n].flags & BH_DYING);
            }
        if (!known && list[n].domid && !(list[n].flags & BH_DYING))
            console_open(list[n].domid);
    }
    forget_ended(list, count);
    free(list);
    for (unsigned int i = 0; i < d.count; i++) {
        if (d.consoles[i]->seen) {
            d.consoles[kept++] = d.consoles[i];
            continue;
        }
        d.consoles[i]->allowance = CONSOLE_OUT_BYTES;
        drain(d.consoles[i]);
        console_free(d.consoles[i]);
    }
    d.count = kept;
}

static bool drain_store(void)
{
    struct pollfd p = {.fd = bh_store_fd(d.h), .events = POLLIN};
    bool any = false;
    char *path, *token;

    while (bh_store_event_pending(d.h) || poll(&p, 1, 0) > 0) {
        if (bh_store_next_event(d.h, &path, &token)) {
            daemon_log("%s", bh_error_message(d.h, 0));
            exit(1);
        }
        free(path);
        free(token);
        any = true;
    }
    return any;
}

struct slot {
    struct console *console;
    int kind; /* -3 pty, -2 listener, else a viewer's index */
};

static unsigned int fill_polls(struct pollfd *fds, struct slot *slots, unsigned int n)
{
    for (unsigned int i = 0; i < d.count; i++) {
        struct console *c = d.consoles[i];
        short in = input_room(c) ? POLLIN : 0;

        fds[n] = (struct pollfd){.fd = c->master, .events = in};
        slots[n++] = (struct slot){c, -3};
        if (c->listener >= 0) {
            fds[n] = (struct pollfd){.fd = c->listener, .events = POLLIN};
            slots[n++] = (struct slot){c, -2};
        }
        for (int v = 0; v < VIEWERS_MAX; v++)
            if (c->viewers[v] >= 0) {
                fds[n] = (struct pollfd){.fd = c->viewers[v], .events = in};
                slots[n++] = (struct slot){c, v};
            }
    }
    return n;
}

static void serve(const struct pollfd *fds, const struct slot *slots, unsigned int from, unsigned int to)
{
    for (unsigned int i = from; i < to; i++) {
        struct console *c = slots[i].console;

        if (!fds[i].revents)
            continue;
        if (slots[i].kind == -2)
            accept_viewer(c);
        else if (slots[i].kind == -3)
            take_input(c, c->master);
        else if (!take_input(c, fds[i].fd) || fds[i].revents & (POLLHUP | POLLERR))
            close_fd(&c->viewers[slots[i].kind]);
    }
}

static void loop(void)
{
    static struct pollfd fds[2 + CONSOLES_MAX * (2 + VIEWERS_MAX)];
    static struct slot slots[2 + CONSOLES_MAX * (2 + VIEWERS_MAX)];

    for (;;) {
        unsigned int n;
        int timeout = -1;

        fds[0] = (struct pollfd){.fd = bh_store_fd(d.h), .events = POLLIN};
        fds[1] = (struct pollfd){.fd = d.evtchn, .events = POLLIN};
        n = fill_polls(fds, slots, 2);
        for (unsigned int i = 0; i < d.count; i++)
            if (d.consoles[i]->waiting)
                timeout = PERIOD_MS;
        if (bh_store_event_pending(d.h))
            timeout = 0;
        if (poll(fds, n, timeout) < 0 && errno != EINTR) {
            daemon_log("poll: %s", strerror(errno));
            exit(1);
        }
        new_period();
        handle_events();
        serve(fds, slots, 2, n);
        if (drain_store())
            look_at_domains();
    }
}

int main(int argc, char **argv)
{
    bool foreground = false;
    int c;

    while ((c = getopt(argc, argv, "Fl:")) >= 0) {
        if (c == 'F') {
            foreground = true;
        } else if (c == 'l') {
            snprintf(d.log_dir, sizeof(d.log_dir), "%s", optarg);
        } else {
            fprintf(stderr, "Usage: bh-consoled [-F] [-l LOGDIR]\n");
            return 2;
        }
    }
    signal(SIGPIPE, SIG_IGN);
    daemon_start("bh-consoled", foreground);
    mkdir(daemon_log_dir(), 0755);
    if (!*d.log_dir)
        snprintf(d.log_dir, sizeof(d.log_dir), "%s/console", daemon_log_dir());
    mkdir(d.log_dir, 0750);
    d.h = bh_open();
    d.evtchn = evtchn_open();
    d.gntdev = gntdev_open();
    if (!d.h || d.evtchn < 0 || bh_store_watch(d.h, "@introduceDomain", "domains") ||
        bh_store_watch(d.h, "@releaseDomain", "domains")) {
        daemon_log("cannot start: %s",
                   d.evtchn < 0 ? "no /dev/xen/evtchn (module xen-evtchn)" : bh_error_message(d.h, 0));
        return 1;
    }
    look_at_domains();
    daemon_ready();
    loop();
}
