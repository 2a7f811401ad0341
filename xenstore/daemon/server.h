/*
 * The running daemon: store, watches, connections, domains, journal, and the turns in which clients are
 * served.
 *
 * One thread does everything. A loop turn waits for events, lets each connection that has input run a few
 * requests (so that a flood from one client costs the others one short turn at most), then sends what was
 * queued.
 *
 * Each request is one journal batch: what it changed, what it queued for ring clients, and how far it read
 * its ring. The batch is in the state file before anything of it can be seen outside.
 */
#ifndef BH_XS_SERVER_H
#define BH_XS_SERVER_H

#include "journal.h"
#include "store.h"
#include "watch.h"
#include "wire.h"

#include <signal.h>

struct server;
struct conn;
struct domain;

/* Something in the event loop's poll set. */
struct source {
    void (*ready)(struct server *s, struct source *src, uint32_t events);
};

/* A mapped ring with its event channel, as the platform made it. */
struct link {
    struct xenstore_domain_interface *page;
    void *priv;
};

enum domain_state { DOMAIN_UNKNOWN, DOMAIN_ALIVE, DOMAIN_SHUTDOWN, DOMAIN_GONE };

/* What rings hang on: a real hypervisor, or files and pipes for tests. All functions return 0 or an errno. */
struct platform {
    const char *name;
    bool has_domain0; /* there is a kernel with a ring for domain 0 */
    int (*connect)(struct platform *p, struct server *s, struct domain *d);
    void (*disconnect)(struct platform *p, struct server *s, struct domain *d);
    void (*notify)(struct platform *p, struct domain *d);
    /* State of a domain now; *identity is something that another domain with this number would not have. */
    enum domain_state (*state)(struct platform *p, uint32_t domid, uint64_t *identity);
};

/* A domain that was introduced. */
struct domain {
    struct hlink link;
    struct list all;
    uint32_t domid;
    uint32_t port; /* the domain's end of the event channel */
    uint64_t mfn;
    uint64_t identity;
    uint32_t target;    /* or DOMID_NONE */
    bool shutdown_told; /* @releaseDomain was fired for its shutdown */
    struct conn *conn;  /* NULL only while it is being set up or taken down */
    struct link ring;
};

enum conn_kind { CONN_SOCKET, CONN_RING };

struct conn {
    struct source source; /* sockets */
    struct list all;
    struct list ready; /* waits for a turn */
    struct list dirty; /* has output to send */
    enum conn_kind kind;
    uint32_t key; /* in the journal: domid for rings, SOCKET_KEY + n for sockets */
    struct caller who;
    struct account *account;
    struct watch_holder watches;
    struct list txns;
    uint32_t ntxns;
    uint32_t nmissed; /* watches with `missed` */
    struct buf in;    /* start of a message */
    struct buf out;   /* queued, from out_at on */
    uint32_t out_at;
    uint64_t txn_bytes;  /* of its transactions */
    uint64_t charged;    /* bytes of buffers and transactions in the account */
    uint64_t not_before; /* slowed down: no turn before this time in ms */
    bool closing;        /* to be freed after this turn */
    bool broken;         /* ring: the domain broke the rules and is not listened to any more */
    bool partial;        /* ring: `in` has bytes taken off the ring, and the journal knows them */
    /* sockets */
    int fd;
    uint32_t polled; /* events asked of epoll */
    /* rings */
    struct domain *domain;
    uint32_t cons, prod; /* our own indexes; the shared ones follow them */
};
#define SOCKET_KEY 0x10000u

struct server {
    struct store store;
    struct watch_index watches;
    bool committing;      /* a transaction is being committed: */
    struct u64set told;   /* the events that it has caused so far, each goes out once */
    struct quotas limits; /* what an empty store begins with */
    struct journal journal;
    struct platform *platform;
    struct htab domains;
    struct list domain_list;
    struct list conns;
    struct list ready;
    struct list dirty;
    struct buf spare; /* empty: the next `out` of a connection that has none */
    struct htab txns;
    uint32_t nconns;
    uint32_t last_txn;
    uint32_t last_socket;
    int epoll;
    int listen_fd;
    struct source listener;
    const char *dir;    /* state */
    const char *socket; /* path */
    char **argv;        /* for live update */
    char *update_to;    /* binary to become, NULL for none prepared */
    char *update_args;
    bool update_now;
    bool live_update;   /* this process was handed over: descriptors named in the state file are ours */
    sigset_t wait_mask; /* blocked signals while waiting */
    bool stop;
    bool work;          /* some connection on the ready list may run at once */
    int next_wait;      /* ms until the next turn has something to do, -1 until something happens */
    bool check_domains; /* a domain may have died */
    uint32_t slow_ms;   /* delay between requests of a client above its soft limit */
    uint64_t requests, failures;
};

/* server.c */
/* `limits` are the values to begin with where no state says otherwise; NULL for the built-in ones. */
void server_init(struct server *s, struct platform *p, const struct quotas *limits);
void server_free(struct server *s);
/* Drops all connections, domains and nodes and begins with an empty store. */
void server_clear(struct server *s);
int server_listen(struct server *s, const char *path);
int server_poll_add(struct server *s, int fd, struct source *src);
void server_poll_del(struct server *s, int fd);
void server_loop(struct server *s);
/* One turn: waits at most timeout_ms for something to do (-1: for ever) and does it. */
void server_turn(struct server *s, int timeout_ms);
uint64_t server_now_ms(void);

/* conn.c: what both kinds of connections share */
struct conn *conn_new(struct server *s, enum conn_kind kind, uint32_t key, const struct caller *who);
void conn_reset(struct server *s, struct conn *c); /* drops watches and transactions */
void conn_free(struct server *s, struct conn *c);
void conn_send(struct server *s, struct conn *c, uint32_t type, uint32_t req_id, uint32_t tx_id,
               const void *data, size_t len);
void conn_event(struct server *s, struct conn *c, struct watch *w, struct path path);
void conn_make_ready(struct server *s, struct conn *c);
void conn_make_dirty(struct server *s, struct conn *c);
void conn_account(struct server *s, struct conn *c);
void conn_sent(struct server *s, struct conn *c, size_t len); /* len bytes of `out` are gone */
static inline size_t conn_pending(const struct conn *c)
{
    return c->out.len - c->out_at;
}
/* Too much output waits: no requests are taken from this client until it reads some. */
bool conn_paused(const struct server *s, const struct conn *c);
struct txn *conn_txn(struct server *s, struct conn *c, uint32_t id);
void conn_txn_add(struct server *s, struct conn *c, struct txn *t);
void conn_txn_charge(struct server *s, struct conn *c, struct txn *t); /* it may have grown */
void conn_txn_drop(struct server *s, struct conn *c, struct txn *t);   /* takes it out, does not free it */

/* conn_socket.c, conn_ring.c: a turn returns true if more input waits */
struct conn *socket_conn_new(struct server *s, int fd, uint32_t key);
bool socket_turn(struct server *s, struct conn *c);
void socket_flush(struct server *s, struct conn *c);
void socket_close(struct server *s, struct conn *c);
bool ring_turn(struct server *s, struct conn *c);
void ring_flush(struct server *s, struct conn *c);
void ring_begin(struct server *s, struct conn *c, bool fresh);
void ring_break(struct server *s, struct conn *c, uint32_t error, const char *why);

/* dispatch.c */
void dispatch(struct server *s, struct conn *c, const struct xsd_sockmsg *hdr, const char *payload);

/* domain.c */
struct domain *domain_find(struct server *s, uint32_t domid);
/* Connects to a domain's ring; `fresh` is false when a journal knows where we were. */
int domain_introduce(struct server *s, uint32_t domid, uint64_t mfn, uint32_t port, bool fresh,
                     struct domain **out);
void domain_release(struct server *s, struct domain *d, bool dead);
void domain_set_target(struct server *s, struct domain *d, uint32_t target);
void domains_check(struct server *s); /* looks for dead and shut down domains */
void domain_journal(struct server *s, const struct domain *d);
/* Accounts for domains the hypervisor has never heard of would be rights for whoever gets the number next. */
bool domain_may_exist(struct server *s, uint32_t domid);

/* control.c */
int control_run(struct server *s, const char **arg, unsigned n, struct buf *reply);

/* state.c */
/* Writes a new state file and switches the journal to it. With `sockets`, local connections go into it as
 * well. */
int state_checkpoint(struct server *s, bool sockets);
void state_checkpoint_if_due(struct server *s);
/* Puts a change of the tree into the journal batch. */
void state_note_change(struct server *s, enum change kind, struct path path, struct tree_node *n);
/* Applies one record of a state file (ctx is the server). Touches no ring. False if it makes no sense. */
bool state_load_record(void *ctx, enum record type, const uint8_t *data, size_t len);
void state_name(const struct server *s, uint64_t generation, char *out, size_t size);

/* restore.c */
/* Reads the newest good state in the directory and carries on from it, or starts empty; begins a new state
 * file. */
int state_restore(struct server *s);
/* Is the newest state file in the directory one that this program can read? For live update. */
bool state_readable(const char *dir);

/* platforms */
struct platform *platform_sim(const char *dir);
struct platform *platform_xen(void); /* NULL when this is no control domain; errno says why */

#endif
