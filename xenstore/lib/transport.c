/* The connection of a handle: messages, the reader thread, connecting again. See handle.h. */
#include <errno.h>
#include "handle.h"

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define RETRY_MS          20
#define RECONNECT_SECONDS 60
#define READER_STACK      (128u << 10)

int handle_connect(const char *path, bool *is_socket)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    struct stat st;
    int fd;

    if (stat(path, &st)) {
        return -1;
    }
    *is_socket = S_ISSOCK(st.st_mode);
    if (!*is_socket) {
        return open(path, O_RDWR | O_CLOEXEC);
    }
    if (strlen(path) >= sizeof(sa.sun_path)) {
        errno = ENAMETOOLONG;
        return -1;
    }
    memcpy(sa.sun_path, path, strlen(path) + 1);
    fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&sa, sizeof(sa))) {
        int err = errno;

        close(fd);
        errno = err;
        return -1;
    }
    return fd;
}

static bool read_all(int fd, void *data, size_t len)
{
    char *at = data;

    while (len) {
        ssize_t n = read(fd, at, len);

        if (n == 0) {
            errno = EBADF;
            return false;
        }
        if (n < 0) {
            if (errno == EINTR) {
                continue;
            }
            return false;
        }
        at += n;
        len -= (size_t)n;
    }
    return true;
}

struct xs_message *message_read(int fd)
{
    struct xsd_sockmsg hdr;
    struct xs_message *m;

    if (!read_all(fd, &hdr, sizeof(hdr))) {
        return NULL;
    }
    if (hdr.len > XENSTORE_PAYLOAD_MAX) {
        errno = EIO;
        return NULL;
    }
    m = malloc(sizeof(*m) + hdr.len + 1);
    if (!m) {
        return NULL;
    }
    m->next = NULL;
    m->hdr = hdr;
    m->body[hdr.len] = '\0';
    if (!read_all(fd, m->body, hdr.len)) {
        int err = errno;

        free(m);
        errno = err;
        return NULL;
    }
    return m;
}

/* The kernel's device takes a message in pieces, a socket best in one; a message is small enough to copy. */
bool message_write(int fd, uint32_t type, uint32_t req_id, uint32_t tx_id, const struct iovec *iov,
                   unsigned n)
{
    struct {
        struct xsd_sockmsg hdr;
        char body[XENSTORE_PAYLOAD_MAX];
    } msg;
    size_t done = 0, len;

    msg.hdr = (struct xsd_sockmsg){.type = type, .req_id = req_id, .tx_id = tx_id};
    for (unsigned i = 0; i < n; i++) {
        if (iov[i].iov_len > sizeof(msg.body) - msg.hdr.len) {
            errno = E2BIG;
            return false;
        }
        if (iov[i].iov_len) {
            memcpy(msg.body + msg.hdr.len, iov[i].iov_base, iov[i].iov_len);
        }
        msg.hdr.len += (uint32_t)iov[i].iov_len;
    }
    len = sizeof(msg.hdr) + msg.hdr.len;
    while (done < len) {
        ssize_t w = send(fd, (char *)&msg + done, len - done, MSG_NOSIGNAL);

        if (w < 0 && errno == ENOTSOCK) {
            w = write(fd, (char *)&msg + done, len - done);
        }
        if (w < 0 && errno != EINTR) {
            return false;
        }
        done += w > 0 ? (size_t)w : 0;
    }
    return true;
}

int wire_errno(const struct xs_message *m)
{
    for (size_t i = 0; i < sizeof(xsd_errors) / sizeof(xsd_errors[0]); i++) {
        if (strcmp(m->body, xsd_errors[i].errstring) == 0) {
            return xsd_errors[i].errnum;
        }
    }
    return EINVAL;
}

void handle_add_event(struct xs_handle *h, struct xs_message *m)
{
    uint64_t one = 1;

    if (!h->events && h->event_fd >= 0 && write(h->event_fd, &one, sizeof(one)) != sizeof(one)) {
        h->dead = true; /* cannot happen: the counter is 0 */
    }
    *h->last_event = m;
    h->last_event = &m->next;
    pthread_cond_broadcast(&h->changed);
}

/* A request on a connection that nobody else uses yet: waits for its reply, keeps the events before it. */
static struct xs_message *ask_alone(struct xs_handle *h, int fd, uint32_t type, const struct iovec *iov,
                                    unsigned n)
{
    struct xs_message *m;

    if (!message_write(fd, type, UINT32_MAX, 0, iov, n)) {
        return NULL;
    }
    while ((m = message_read(fd)) && m->hdr.type == XS_WATCH_EVENT) {
        handle_add_event(h, m);
    }
    return m;
}

static bool restore_watches(struct xs_handle *h, int fd)
{
    for (struct xs_set_watch *w = h->watches; w; w = w->next) {
        struct iovec iov[2] = {{w->path, strlen(w->path) + 1}, {w->token, strlen(w->token) + 1}};
        struct xs_message *m = ask_alone(h, fd, XS_WATCH, iov, 2);

        if (!m) {
            return false;
        }
        free(m);
    }
    return true;
}

static bool restore_txns(struct xs_handle *h, int fd)
{
    for (struct xs_open_txn *t = h->txns; t; t = t->next) {
        struct iovec iov = {(char[]){""}, 1};
        struct xs_message *m = ask_alone(h, fd, XS_TRANSACTION_START, &iov, 1);

        if (!m) {
            return false;
        }
        t->lost = true;
        t->server = m->hdr.type == XS_ERROR ? 0 : (xs_transaction_t)strtoul(m->body, NULL, 10);
        free(m);
    }
    return true;
}

static unsigned reconnect_seconds(void)
{
    const char *s = getenv("XENSTORE_RECONNECT_SECONDS");

    return s ? (unsigned)strtoul(s, NULL, 10) : RECONNECT_SECONDS;
}

/* Called with the lock held: the old connection is gone. False when there is no new one to be had. */
bool handle_reconnect(struct xs_handle *h)
{
    unsigned tries = reconnect_seconds() * (1000 / RETRY_MS);
    bool is_socket;

    close(h->fd);
    h->fd = -1;
    while (h->path && !h->stop && tries--) {
        int fd = handle_connect(h->path, &is_socket);

        if (fd >= 0 && restore_txns(h, fd) && restore_watches(h, fd)) {
            h->fd = fd;
            free(h->reply);
            h->reply = NULL;
            h->resend = true;
            pthread_cond_broadcast(&h->changed);
            return true;
        }
        if (fd >= 0) {
            close(fd);
        }
        pthread_mutex_unlock(&h->lock);
        nanosleep(&(struct timespec){.tv_nsec = RETRY_MS * 1000000l}, NULL);
        pthread_mutex_lock(&h->lock);
    }
    h->dead = true;
    pthread_cond_broadcast(&h->changed);
    return false;
}

static void take_message(struct xs_handle *h, struct xs_message *m)
{
    if (m->hdr.type == XS_WATCH_EVENT) {
        handle_add_event(h, m);
    } else if (h->busy && !h->reply && m->hdr.req_id == h->req_id) {
        h->reply = m;
        pthread_cond_broadcast(&h->changed);
    } else {
        free(m);
    }
}

static void *reader_main(void *arg)
{
    struct xs_handle *h = arg;
    bool ok = true;

    while (ok) {
        struct pollfd p[2] = {{.fd = h->fd, .events = POLLIN}, {.fd = h->stop_fd, .events = POLLIN}};
        struct xs_message *m;

        if (poll(p, 2, -1) < 0) {
            /* glibc interrupts every thread when the process changes its user; poll() cannot fail otherwise. */
            continue;
        }
        if (p[1].revents) {
            break;
        }
        m = message_read(h->fd);
        pthread_mutex_lock(&h->lock);
        if (m) {
            take_message(h, m);
        } else {
            ok = handle_reconnect(h);
        }
        pthread_mutex_unlock(&h->lock);
    }
    return NULL;
}

/* Called with the lock held and no request under way. */
bool handle_start_reader(struct xs_handle *h)
{
    pthread_attr_t attr;
    sigset_t all, old;
    int rc;

    if (h->reading) {
        return true;
    }
    h->stop_fd = eventfd(0, EFD_CLOEXEC);
    if (h->stop_fd < 0) {
        return false;
    }
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &old);
    pthread_attr_init(&attr);
    pthread_attr_setstacksize(&attr, READER_STACK);
    rc = pthread_create(&h->reader, &attr, reader_main, h);
    pthread_attr_destroy(&attr);
    pthread_sigmask(SIG_SETMASK, &old, NULL);
    if (rc) {
        close(h->stop_fd);
        errno = rc;
        return false;
    }
    h->reading = true;
    return true;
}

void handle_stop_reader(struct xs_handle *h)
{
    uint64_t one = 1;

    if (!h->reading) {
        return;
    }
    pthread_mutex_lock(&h->lock);
    h->stop = true;
    pthread_mutex_unlock(&h->lock);
    if (write(h->stop_fd, &one, sizeof(one)) == sizeof(one)) {
        pthread_join(h->reader, NULL);
    }
    close(h->stop_fd);
    h->reading = false;
}

static xs_transaction_t server_txn(struct xs_handle *h, xs_transaction_t id)
{
    for (struct xs_open_txn *t = h->txns; t; t = t->next) {
        if (t->id == id) {
            return t->server;
        }
    }
    return id;
}

/* Waits for the reply of the request under way. NULL with h->resend: send it again; NULL without: broken. */
static struct xs_message *wait_reply(struct xs_handle *h)
{
    struct xs_message *m;

    while (!h->reply && !h->resend && !h->dead) {
        if (h->reading) {
            pthread_cond_wait(&h->changed, &h->lock);
            continue;
        }
        pthread_mutex_unlock(&h->lock);
        m = message_read(h->fd);
        pthread_mutex_lock(&h->lock);
        if (m) {
            take_message(h, m);
        } else {
            handle_reconnect(h);
        }
    }
    m = h->reply;
    h->reply = NULL;
    return m;
}

static struct xs_message *send_and_wait(struct xs_handle *h, xs_transaction_t t, uint32_t type,
                                        const struct iovec *iov, unsigned n)
{
    struct xs_message *m;

    do {
        h->resend = false;
        h->req_id++;
        if (h->dead) {
            errno = EBADF;
            return NULL;
        }
        if (!message_write(h->fd, type, h->req_id, server_txn(h, t), iov, n)) {
            if (errno == E2BIG || !h->path) {
                return NULL;
            }
            /* Broken while writing: the reader thread will notice, or we do it ourselves. */
            if (!h->reading) {
                handle_reconnect(h);
            }
        }
        m = wait_reply(h);
    } while (!m && h->resend);
    if (!m) {
        errno = EBADF;
    }
    return m;
}

char *handle_talk(struct xs_handle *h, xs_transaction_t t, uint32_t type, const struct iovec *iov, unsigned n,
                  unsigned int *len)
{
    struct xs_message *m;
    char *body = NULL;
    int err;

    pthread_mutex_lock(&h->lock);
    while (h->busy) {
        pthread_cond_wait(&h->changed, &h->lock);
    }
    h->busy = true;
    m = send_and_wait(h, t, type, iov, n);
    err = errno;
    h->busy = false;
    pthread_cond_broadcast(&h->changed);
    pthread_mutex_unlock(&h->lock);
    if (m && m->hdr.type == XS_ERROR) {
        err = wire_errno(m);
    } else if (m && m->hdr.type != type) {
        err = EIO;
    } else if (m) {
        body = malloc(m->hdr.len + 1);
        err = body ? 0 : ENOMEM;
        if (body) {
            memcpy(body, m->body, m->hdr.len + 1);
            if (len) {
                *len = m->hdr.len;
            }
        }
    }
    free(m);
    errno = err ? err : errno;
    return body;
}
