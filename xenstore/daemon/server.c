/* The event loop and its turns, and what ties store, watches and connections together. See server.h. */
#include "server.h"

#include "log.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#define EVENTS_MAX 256

uint64_t server_now_ms(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

/* A watch fired: an event for its holder, if that may know of it. */
static void fire_watch(void *ctx, struct watch *w, struct path path, const struct perms *perms)
{
    struct server *s = ctx;
    struct conn *c = container_of(w->holder, struct conn, watches);
    int special;

    if (!perms) {
        special = store_special_index(path);
        perms = special >= 0 ? s->store.special[special] : s->store.tree.root->perms;
    }
    if (!(perms_allow(perms, &c->who) & PERM_READ)) {
        return;
    }
    if (s->committing && !u64set_add(&s->told, hash_bytes(path.s, path.len, (uintptr_t)w))) {
        return;
    }
    conn_event(s, c, w, path);
}

static void store_changed(void *ctx, enum change kind, struct path path, struct tree_node *n)
{
    state_note_change(ctx, kind, path, n);
}

static void store_fire(void *ctx, struct path path, const struct perms *perms, struct tree_node *removed)
{
    struct server *s = ctx;

    if (s->watches.count == 0) {
        return;
    }
    if (removed) {
        watch_removed(&s->watches, path, removed);
    } else {
        watch_changed(&s->watches, path, perms);
    }
}

static void begin_store(struct server *s)
{
    const struct store_hooks hooks = {.changed = store_changed, .fire = store_fire, .ctx = s};

    store_init(&s->store, &hooks);
    memcpy(s->store.quotas.hard, s->limits.hard, sizeof(s->limits.hard));
    memcpy(s->store.quotas.soft, s->limits.soft, sizeof(s->limits.soft));
    watch_index_init(&s->watches, fire_watch, s);
}

void server_init(struct server *s, struct platform *p, const struct quotas *limits)
{
    *s = (struct server){.platform = p, .listen_fd = -1, .slow_ms = 2, .journal = {.fd = -1}};
    list_init(&s->domain_list);
    list_init(&s->conns);
    list_init(&s->ready);
    list_init(&s->dirty);
    s->epoll = epoll_create1(EPOLL_CLOEXEC);
    sigprocmask(SIG_SETMASK, NULL, &s->wait_mask);
    quota_init(&s->limits);
    if (limits) {
        s->limits = *limits;
    }
    begin_store(s);
}

static void drop_all(struct server *s)
{
    bool on = s->journal.on;

    s->journal.on = false;
    while (!list_empty(&s->domain_list)) {
        struct domain *d = container_of(s->domain_list.next, struct domain, all);

        if (d->ring.page) {
            s->platform->disconnect(s->platform, s, d);
        }
        conn_free(s, d->conn);
        htab_remove(&s->domains, &d->link);
        list_del(&d->all);
        free(d);
    }
    while (!list_empty(&s->conns)) {
        socket_close(s, container_of(s->conns.next, struct conn, all));
    }
    s->journal.on = on;
    watch_index_free(&s->watches);
    store_free(&s->store);
}

void server_clear(struct server *s)
{
    drop_all(s);
    begin_store(s);
}

void server_free(struct server *s)
{
    drop_all(s);
    journal_close(&s->journal);
    if (s->listen_fd >= 0) {
        close(s->listen_fd);
    }
    close(s->epoll);
    buf_free(&s->spare);
    htab_free(&s->txns);
    htab_free(&s->domains);
    free(s->update_to);
    free(s->update_args);
}

int server_poll_add(struct server *s, int fd, struct source *src)
{
    struct epoll_event ev = {.events = EPOLLIN, .data.ptr = src};

    return epoll_ctl(s->epoll, EPOLL_CTL_ADD, fd, &ev) ? errno : 0;
}

void server_poll_del(struct server *s, int fd)
{
    epoll_ctl(s->epoll, EPOLL_CTL_DEL, fd, NULL);
}

static void accept_clients(struct server *s, struct source *src, uint32_t events)
{
    for (unsigned i = 0; i < 64; i++) {
        int fd = accept4(s->listen_fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

        if (fd < 0) {
            if (errno == EMFILE || errno == ENFILE) {
                log_msg(LOG_LEVEL_ERROR, "no descriptor for another local client (%u connected): %s",
                        s->nconns, strerror(errno));
            }
            return;
        }
        s->last_socket = (s->last_socket + 1) & 0x3fffffff;
        socket_conn_new(s, fd, SOCKET_KEY + s->last_socket);
    }
}

int server_listen(struct server *s, const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};

    s->socket = path;
    s->listener.ready = accept_clients;
    if (s->listen_fd >= 0) {
        return server_poll_add(s, s->listen_fd, &s->listener);
    }
    if (strlen(path) >= sizeof(sa.sun_path)) {
        return ENAMETOOLONG;
    }
    memcpy(sa.sun_path, path, strlen(path) + 1);
    unlink(path);
    s->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (s->listen_fd < 0 || bind(s->listen_fd, (struct sockaddr *)&sa, sizeof(sa)) ||
        listen(s->listen_fd, 1024)) {
        return errno;
    }
    return server_poll_add(s, s->listen_fd, &s->listener);
}

static void end_conn(struct server *s, struct conn *c)
{
    log_msg(LOG_LEVEL_DEBUG, "local client %u is gone", c->key - SOCKET_KEY);
    socket_close(s, c);
    journal_commit(&s->journal);
}

/* Above the soft limit of memory a client is not refused, but has to wait between its requests. */
static void slow_down(struct server *s, struct conn *c)
{
    c->not_before = server_now_ms() + s->slow_ms;
    if (!c->account->slowed) {
        c->account->slowed = true;
        log_msg(LOG_LEVEL_WARNING,
                "domain %u: slowed down: it uses %llu bytes, the soft limit of memory is %u", c->who.domid,
                (unsigned long long)account_memory(c->account), s->store.quotas.soft[LIMIT_MEMORY]);
    }
}

/* Gives each connection that has input one turn. Returns the ms until a slowed-down one may go on, or -1. */
static int run_ready(struct server *s)
{
    struct list batch;
    int wait = -1;

    if (list_empty(&s->ready)) {
        return -1;
    }
    batch = s->ready;
    batch.next->prev = batch.prev->next = &batch;
    list_init(&s->ready);
    s->work = false;
    while (!list_empty(&batch)) {
        struct conn *c = container_of(batch.next, struct conn, ready);
        bool more;

        list_del(&c->ready);
        if (c->not_before) {
            uint64_t now = server_now_ms();

            if (now < c->not_before) {
                int left = (int)(c->not_before - now);

                wait = wait < 0 || left < wait ? left : wait;
                list_add_tail(&s->ready, &c->ready);
                continue;
            }
            c->not_before = 0;
        }
        more = c->kind == CONN_RING ? ring_turn(s, c) : socket_turn(s, c);
        if (c->closing) {
            end_conn(s, c);
        } else if (more && c->kind == CONN_RING && quota_over_soft(&s->store.quotas, c->account)) {
            slow_down(s, c);
            wait = wait < 0 || (int)s->slow_ms < wait ? (int)s->slow_ms : wait;
            list_add_tail(&s->ready, &c->ready);
        } else if (more) {
            conn_make_ready(s, c);
        }
    }
    return wait;
}

static void flush_dirty(struct server *s)
{
    while (!list_empty(&s->dirty)) {
        struct conn *c = container_of(s->dirty.next, struct conn, dirty);

        list_del(&c->dirty);
        if (c->kind == CONN_RING) {
            ring_flush(s, c);
        } else {
            socket_flush(s, c);
        }
        if (c->closing) {
            end_conn(s, c);
        }
    }
}

void server_turn(struct server *s, int timeout_ms)
{
    struct epoll_event ev[EVENTS_MAX];
    int n, wait;

    /* Signals are let in only here: one that came a moment before still ends the wait. */
    n = epoll_pwait(s->epoll, ev, EVENTS_MAX, timeout_ms, &s->wait_mask);
    for (int i = 0; i < n; i++) {
        struct source *src = ev[i].data.ptr;

        src->ready(s, src, ev[i].events);
    }
    if (s->check_domains) {
        s->check_domains = false;
        domains_check(s);
    }
    wait = run_ready(s);
    journal_commit(&s->journal);
    flush_dirty(s);
    journal_commit(&s->journal);
    state_checkpoint_if_due(s);
    s->next_wait = s->work ? 0 : wait;
}

void server_loop(struct server *s)
{
    s->next_wait = 0;
    while (!s->stop && !s->update_now) {
        server_turn(s, s->next_wait);
    }
}
