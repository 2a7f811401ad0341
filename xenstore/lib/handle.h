/*
 * Inside of the client library: a handle, its connection, requests and replies.
 *
 * One mutex guards everything in the handle. One request is under way at a time. Without watches the
 * requesting thread reads its reply itself; the first watch starts a reader thread, which from then on takes
 * all messages off the connection, hands replies to the requester and keeps events.
 *
 * When the connection breaks, whoever reads (requester or reader) connects again: open transactions are begun
 * anew on the server under the caller's old id and marked lost, watches are set again, and the requester is
 * told to send once more.
 */
#ifndef BH_XS_HANDLE_H
#define BH_XS_HANDLE_H

#include "xenstore.h"

#include <pthread.h>
#include <sys/uio.h>

struct xs_message {
    struct xs_message *next;
    struct xsd_sockmsg hdr;
    char body[]; /* hdr.len bytes and a nul */
};

struct xs_set_watch {
    struct xs_set_watch *next;
    char *path;
    char *token;
};

struct xs_open_txn {
    struct xs_open_txn *next;
    xs_transaction_t id;     /* the caller's */
    xs_transaction_t server; /* the daemon's */
    bool lost;
};

struct xs_handle {
    pthread_mutex_t lock;
    pthread_cond_t changed;
    int fd;
    char *path; /* of the socket; NULL for the kernel's device */
    unsigned long flags;
    bool dead; /* the connection broke for good */

    bool busy; /* a request is under way */
    uint32_t req_id;
    bool resend; /* connected anew: the request has to be sent again */
    struct xs_message *reply;

    bool reading; /* the reader thread runs */
    bool stop;
    pthread_t reader;
    int stop_fd;

    int event_fd; /* readable while events wait; -1 before anyone asked */
    struct xs_message *events, **last_event;
    struct xs_set_watch *watches;
    struct xs_open_txn *txns;
};

/* Connects to the socket or device at path. -1 with errno on failure. */
int handle_connect(const char *path, bool *is_socket);
/* Reads one whole message; NULL with errno when the connection is broken. Not under the lock. */
struct xs_message *message_read(int fd);
bool message_write(int fd, uint32_t type, uint32_t req_id, uint32_t tx_id, const struct iovec *iov,
                   unsigned n);
void handle_add_event(struct xs_handle *h, struct xs_message *m);
bool handle_reconnect(struct xs_handle *h);
bool handle_start_reader(struct xs_handle *h);
void handle_stop_reader(struct xs_handle *h);
int wire_errno(const struct xs_message *m);

/* One request and its reply. The reply's body (malloc'd, with a nul behind its *len bytes), or NULL with
 * errno. */
char *handle_talk(struct xs_handle *h, xs_transaction_t t, uint32_t type, const struct iovec *iov, unsigned n,
                  unsigned int *len);

#endif
