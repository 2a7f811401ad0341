/*
 * Local connections. A turn reads once and runs complete messages straight out of the shared read buffer;
 * only a partial one at the end is kept in the connection, so an idle client costs no buffers.
 */
#include "server.h"

#include "log.h"

#include <errno.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#define TURN_REQUESTS 32
#define READ_SIZE     (64u << 10)

static uint8_t scratch[READ_SIZE + WIRE_MESSAGE_MAX];

static void socket_ready(struct server *s, struct source *src, uint32_t events)
{
    struct conn *c = container_of(src, struct conn, source);

    if (events & EPOLLOUT) {
        conn_make_dirty(s, c);
    }
    if (events & (EPOLLIN | EPOLLHUP | EPOLLERR)) {
        conn_make_ready(s, c);
    }
}

static void want(struct server *s, struct conn *c, uint32_t events)
{
    struct epoll_event ev = {.events = events, .data.ptr = &c->source};

    if (events != c->polled) {
        epoll_ctl(s->epoll, EPOLL_CTL_MOD, c->fd, &ev);
        c->polled = events;
    }
}

static void update_polled(struct server *s, struct conn *c)
{
    uint32_t events = conn_pending(c) ? EPOLLOUT : 0;

    if (!conn_paused(s, c)) {
        events |= EPOLLIN;
    }
    want(s, c, events);
}

struct conn *socket_conn_new(struct server *s, int fd, uint32_t key)
{
    static const struct caller control = {.domid = 0, .target = DOMID_NONE, .privileged = true};
    struct conn *c = conn_new(s, CONN_SOCKET, key, &control);
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = &c->source};

    c->fd = fd;
    c->polled = EPOLLIN;
    c->source.ready = socket_ready;
    epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev);
    return c;
}

void socket_close(struct server *s, struct conn *c)
{
    close(c->fd);
    conn_free(s, c);
}

/* Runs messages from data; returns the bytes used, or -1 to hang up. */
static ssize_t run_messages(struct server *s, struct conn *c, const uint8_t *data, size_t len,
                            unsigned *budget)
{
    struct xsd_sockmsg hdr;
    size_t at = 0;
    int size;

    while (*budget && !c->closing && !conn_paused(s, c) &&
           (size = wire_frame(data + at, len - at, &hdr)) != 0) {
        if (size < 0) {
            log_msg(LOG_LEVEL_WARNING,
                    "local client %u: message of %u bytes is above the limit of %u; hung up",
                    c->key - SOCKET_KEY, hdr.len, XENSTORE_PAYLOAD_MAX);
            return -1;
        }
        dispatch(s, c, &hdr, (const char *)data + at + sizeof(hdr));
        journal_commit(&s->journal);
        at += (size_t)size;
        (*budget)--;
    }
    return (ssize_t)at;
}

bool socket_turn(struct server *s, struct conn *c)
{
    unsigned budget = TURN_REQUESTS;
    size_t have = c->in.len;
    struct xsd_sockmsg hdr;
    ssize_t n = 0, used;
    bool more;

    if (conn_paused(s, c)) {
        update_polled(s, c);
        return false;
    }
    memcpy(scratch, c->in.data ? c->in.data : scratch, have);
    if (wire_frame(scratch, have, &hdr) == 0) {
        n = recv(c->fd, scratch + have, READ_SIZE, MSG_DONTWAIT);
        if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
            c->closing = true;
            return false;
        }
        have += n > 0 ? (size_t)n : 0;
    }
    used = run_messages(s, c, scratch, have, &budget);
    if (used < 0) {
        c->closing = true;
        return false;
    }
    have -= (size_t)used;
    c->in.len = 0;
    if (have) {
        buf_add(&c->in, scratch + used, have);
    } else if (c->in.cap) {
        buf_free(&c->in);
    }
    more = wire_frame(scratch + used, have, &hdr) != 0 || n == READ_SIZE;
    return more && !conn_paused(s, c);
}

void socket_flush(struct server *s, struct conn *c)
{
    while (conn_pending(c)) {
        ssize_t n = send(c->fd, c->out.data + c->out_at, conn_pending(c), MSG_DONTWAIT | MSG_NOSIGNAL);

        if (n < 0) {
            if (errno != EAGAIN && errno != EINTR) {
                c->closing = true;
                c->out.len = c->out_at = 0;
                return;
            }
            break;
        }
        conn_sent(s, c, (size_t)n);
    }
    update_polled(s, c);
    if (c->in.len && !conn_paused(s, c)) {
        conn_make_ready(s, c);
    }
}
