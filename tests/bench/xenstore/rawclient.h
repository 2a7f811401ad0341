/*
 * A minimal client of the wire protocol for tests and benchmarks: blocking, no library between us and the
 * daemon.
 */
#ifndef BH_XS_RAWCLIENT_H
#define BH_XS_RAWCLIENT_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>
#include <xen/io/xs_wire.h>

struct raw {
    int fd;
    uint32_t req_id;
    uint32_t events; /* watch events seen */
    struct xsd_sockmsg hdr;
    char body[XENSTORE_PAYLOAD_MAX + 1]; /* of the last message, with a nul behind */
    void (*on_event)(void *ctx, const char *path, const char *token);
    void *ctx;
};

static inline bool raw_open(struct raw *c, const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};

    memset(c, 0, sizeof(*c));
    memcpy(sa.sun_path, path, strnlen(path, sizeof(sa.sun_path) - 1));
    c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (c->fd >= 0 && connect(c->fd, (struct sockaddr *)&sa, sizeof(sa)) == 0) {
        return true;
    }
    close(c->fd);
    c->fd = -1;
    return false;
}

static inline bool raw_send(struct raw *c, uint32_t type, uint32_t tx, const void *data, size_t len)
{
    struct {
        struct xsd_sockmsg hdr;
        char body[XENSTORE_PAYLOAD_MAX];
    } m;

    m.hdr = (struct xsd_sockmsg){.type = type, .req_id = ++c->req_id, .tx_id = tx, .len = (uint32_t)len};
    memcpy(m.body, data, len);
    return send(c->fd, &m, sizeof(m.hdr) + len, MSG_NOSIGNAL) == (ssize_t)(sizeof(m.hdr) + len);
}

static inline bool raw_read_all(int fd, void *data, size_t len)
{
    while (len) {
        ssize_t n = read(fd, data, len);

        if (n <= 0) {
            return false;
        }
        data = (char *)data + n;
        len -= (size_t)n;
    }
    return true;
}

/* Reads one message, event or reply. */
static inline bool raw_message(struct raw *c)
{
    if (!raw_read_all(c->fd, &c->hdr, sizeof(c->hdr)) || c->hdr.len > XENSTORE_PAYLOAD_MAX ||
        !raw_read_all(c->fd, c->body, c->hdr.len)) {
        return false;
    }
    c->body[c->hdr.len] = '\0';
    return true;
}

/* Reads up to the reply of the last request; events before it are counted and handed on. */
static inline bool raw_reply(struct raw *c)
{
    while (raw_message(c)) {
        if (c->hdr.type != XS_WATCH_EVENT) {
            return true;
        }
        c->events++;
        if (c->on_event) {
            c->on_event(c->ctx, c->body, c->body + strlen(c->body) + 1);
        }
    }
    return false;
}

static inline bool raw_call(struct raw *c, uint32_t type, uint32_t tx, const void *data, size_t len)
{
    return raw_send(c, type, tx, data, len) && raw_reply(c);
}

static inline bool raw_path(struct raw *c, uint32_t type, uint32_t tx, const char *path)
{
    return raw_call(c, type, tx, path, strlen(path) + 1);
}

/* path, nul, then the second argument with or without its nul */
static inline size_t raw_pair(char *out, const char *path, const char *second, bool nul)
{
    size_t n = strlen(path) + 1, m = strlen(second) + (nul ? 1 : 0);

    memcpy(out, path, n);
    memcpy(out + n, second, m);
    return n + m;
}

static inline bool raw_write(struct raw *c, uint32_t tx, const char *path, const char *value)
{
    char b[XENSTORE_PAYLOAD_MAX];

    return raw_call(c, XS_WRITE, tx, b, raw_pair(b, path, value, false));
}

static inline bool raw_ok(const struct raw *c)
{
    return c->hdr.type != XS_ERROR;
}

static inline uint32_t raw_start(struct raw *c)
{
    return raw_call(c, XS_TRANSACTION_START, 0, "", 1) && raw_ok(c) ? (uint32_t)strtoul(c->body, NULL, 10)
                                                                    : 0;
}

static inline bool raw_end(struct raw *c, uint32_t tx, bool commit)
{
    return raw_call(c, XS_TRANSACTION_END, tx, commit ? "T" : "F", 2);
}

#endif
