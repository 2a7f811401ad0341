/* The requests of the client library. See xenstore.h and handle.h. */
#include <errno.h>
#include "handle.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#define OPEN_RETRY_MS    20
#define OPEN_RETRY_TIMES 150 /* a socket without a daemon: it may be starting again */

static struct iovec str(const char *s)
{
    return (struct iovec){(void *)(uintptr_t)s, strlen(s) + 1};
}

static bool talk_ok(struct xs_handle *h, xs_transaction_t t, uint32_t type, const struct iovec *iov,
                    unsigned n)
{
    char *r = handle_talk(h, t, type, iov, n, NULL);

    free(r);
    return r != NULL;
}

static struct xs_handle *open_path(const char *path, unsigned long flags)
{
    struct xs_handle *h;
    bool is_socket = false;
    int fd = handle_connect(path, &is_socket);

    for (unsigned i = 0; fd < 0 && errno == ECONNREFUSED && i < OPEN_RETRY_TIMES; i++) {
        nanosleep(&(struct timespec){.tv_nsec = OPEN_RETRY_MS * 1000000l}, NULL);
        fd = handle_connect(path, &is_socket);
    }
    h = fd < 0 ? NULL : calloc(1, sizeof(*h));
    if (!h) {
        if (fd >= 0) {
            close(fd);
        }
        return NULL;
    }
    h->fd = fd;
    h->path = is_socket ? strdup(path) : NULL;
    h->flags = flags;
    h->event_fd = -1;
    h->last_event = &h->events;
    pthread_mutex_init(&h->lock, NULL);
    pthread_cond_init(&h->changed, NULL);
    return h;
}

struct xs_handle *xs_open(unsigned long flags)
{
    static const char *const device[] = {"/dev/xen/xenbus", "/proc/xen/xenbus"};
    struct xs_handle *h = open_path(xs_daemon_socket(), flags);

    for (unsigned i = 0; !h && i < 2 && !getenv("XENSTORED_PATH"); i++) {
        h = open_path(device[i], flags);
    }
    return h;
}

struct xs_handle *xs_daemon_open(void)
{
    return xs_open(0);
}

struct xs_handle *xs_domain_open(void)
{
    return xs_open(0);
}

struct xs_handle *xs_daemon_open_readonly(void)
{
    return xs_open(XS_OPEN_READONLY);
}

static void handle_free(struct xs_handle *h)
{
    struct xs_message *m;
    struct xs_set_watch *w;
    struct xs_open_txn *t;

    while ((m = h->events)) {
        h->events = m->next;
        free(m);
    }
    while ((w = h->watches)) {
        h->watches = w->next;
        free(w->path);
        free(w->token);
        free(w);
    }
    while ((t = h->txns)) {
        h->txns = t->next;
        free(t);
    }
    if (h->fd >= 0) {
        close(h->fd);
    }
    if (h->event_fd >= 0) {
        close(h->event_fd);
    }
    free(h->path);
    free(h);
}

void xs_close(struct xs_handle *h)
{
    if (h) {
        handle_stop_reader(h);
        handle_free(h);
    }
}

void xs_daemon_close(struct xs_handle *h)
{
    xs_close(h);
}

void xs_daemon_destroy_postfork(struct xs_handle *h)
{
    if (h->reading) {
        close(h->stop_fd); /* the thread itself stayed in the parent */
    }
    handle_free(h);
}

/* Turns `len` bytes of nul-terminated strings into an array in one piece of memory; `extra` empty slots at
 * the end. */
static char **to_array(const char *data, unsigned int len, unsigned int *num)
{
    unsigned int n = 0;
    char **v, *copy;

    for (unsigned int i = 0; i < len; i++) {
        n += data[i] == '\0';
    }
    v = malloc((n + 1) * sizeof(*v) + len + 1);
    if (!v) {
        return NULL;
    }
    copy = (char *)(v + n + 1);
    memcpy(copy, data, len);
    copy[len] = '\0';
    for (unsigned int i = 0; i < n; i++) {
        v[i] = copy;
        copy += strlen(copy) + 1;
    }
    v[n] = NULL;
    *num = n;
    return v;
}

/* Directories too long for one message come in parts; if it changes meanwhile, begin again. */
static char *directory_parts(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *len)
{
    char *list = NULL, *part, *bigger, offset[MAX_STRLEN(unsigned int)], generation[32] = "";
    unsigned int have = 0, n, head;

    for (;;) {
        struct iovec iov[2] = {str(path), {offset, 0}};

        iov[1].iov_len = (size_t)snprintf(offset, sizeof(offset), "%u", have) + 1;
        part = handle_talk(h, t, XS_DIRECTORY_PART, iov, 2, &n);
        if (!part) {
            break;
        }
        head = (unsigned int)strlen(part) + 1;
        if (have && strcmp(generation, part) != 0) {
            have = 0;
            free(part);
            continue;
        }
        snprintf(generation, sizeof(generation), "%.31s", part);
        bigger = head <= n ? realloc(list, have + n) : NULL;
        if (!bigger) {
            free(part);
            break;
        }
        list = bigger;
        memcpy(list + have, part + head, n - head);
        have += n - head;
        free(part);
        /* An empty name ends the list. */
        if (n == head || (have == 1 && !list[0]) || (have > 1 && !list[have - 1] && !list[have - 2])) {
            *len = have ? have - 1 : 0;
            return list;
        }
    }
    free(list);
    return NULL;
}

char **xs_directory(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *num)
{
    struct iovec iov = str(path);
    unsigned int len;
    char *list = handle_talk(h, t, XS_DIRECTORY, &iov, 1, &len);
    char **v;

    if (!list && errno == E2BIG) {
        list = directory_parts(h, t, path, &len);
    }
    if (!list) {
        return NULL;
    }
    v = to_array(list, len, num);
    free(list);
    return v;
}

void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *len)
{
    struct iovec iov = str(path);

    return handle_talk(h, t, XS_READ, &iov, 1, len);
}

bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path, const void *data, unsigned int len)
{
    struct iovec iov[2] = {str(path), {(void *)(uintptr_t)data, len}};

    return talk_ok(h, t, XS_WRITE, iov, 2);
}

bool xs_mkdir(struct xs_handle *h, xs_transaction_t t, const char *path)
{
    struct iovec iov = str(path);

    return talk_ok(h, t, XS_MKDIR, &iov, 1);
}

bool xs_rm(struct xs_handle *h, xs_transaction_t t, const char *path)
{
    struct iovec iov = str(path);

    return talk_ok(h, t, XS_RM, &iov, 1);
}

bool xs_restrict(struct xs_handle *h, unsigned domid)
{
    errno = ENOSYS;
    return false;
}

struct xs_permissions *xs_get_permissions(struct xs_handle *h, xs_transaction_t t, const char *path,
                                          unsigned int *num)
{
    struct iovec iov = str(path);
    struct xs_permissions *p;
    unsigned int len, n = 0;
    char *text = handle_talk(h, t, XS_GET_PERMS, &iov, 1, &len);

    if (!text) {
        return NULL;
    }
    for (unsigned int i = 0; i < len; i++) {
        n += text[i] == '\0';
    }
    p = malloc((n + 1) * sizeof(*p));
    if (p && !xs_strings_to_perms(p, n, text)) {
        free(p);
        p = NULL;
    }
    free(text);
    *num = n;
    return p;
}

bool xs_set_permissions(struct xs_handle *h, xs_transaction_t t, const char *path,
                        struct xs_permissions *perms, unsigned int num_perms)
{
    char text[XENSTORE_PAYLOAD_MAX];
    struct iovec iov[2] = {str(path), {text, 0}};

    for (unsigned int i = 0; i < num_perms; i++) {
        int n = snprintf(text + iov[1].iov_len, sizeof(text) - iov[1].iov_len, "%c%u",
                         "nrwb"[perms[i].perms & 3], perms[i].id);

        if (iov[1].iov_len + (size_t)n + 1 > sizeof(text) || perms[i].perms & ~3u) {
            errno = perms[i].perms & ~3u ? EINVAL : E2BIG;
            return false;
        }
        iov[1].iov_len += (size_t)n + 1;
    }
    return talk_ok(h, t, XS_SET_PERMS, iov, 2);
}

xs_transaction_t xs_transaction_start(struct xs_handle *h)
{
    struct iovec iov = str("");
    struct xs_open_txn *t = calloc(1, sizeof(*t));
    char *id = t ? handle_talk(h, XBT_NULL, XS_TRANSACTION_START, &iov, 1, NULL) : NULL;

    if (!id) {
        free(t);
        return XBT_NULL;
    }
    pthread_mutex_lock(&h->lock);
    t->server = t->id = (xs_transaction_t)strtoul(id, NULL, 10);
    /* After a restart the daemon may give out a number that the caller still holds for a lost one. */
    for (struct xs_open_txn *o = h->txns; o; o = o->next) {
        if (o->id == t->id) {
            t->id += 0x40000000u;
            o = h->txns;
        }
    }
    t->next = h->txns;
    h->txns = t;
    pthread_mutex_unlock(&h->lock);
    free(id);
    return t->id;
}

bool xs_transaction_end(struct xs_handle *h, xs_transaction_t id, bool abort)
{
    struct xs_open_txn **at, *t = NULL;
    bool lost = false, ok;
    struct iovec iov;

    pthread_mutex_lock(&h->lock);
    for (at = &h->txns; *at; at = &(*at)->next) {
        if ((*at)->id == id) {
            t = *at;
            lost = t->lost;
            break;
        }
    }
    pthread_mutex_unlock(&h->lock);
    iov = str(abort || lost ? "F" : "T");
    ok = talk_ok(h, id, XS_TRANSACTION_END, &iov, 1);
    pthread_mutex_lock(&h->lock);
    for (at = &h->txns; t && *at; at = &(*at)->next) {
        if (*at == t) {
            /* It may have been lost while its end was under way: was it carried out or not? Let the caller
             * retry. */
            lost = t->lost;
            *at = t->next;
            free(t);
            break;
        }
    }
    pthread_mutex_unlock(&h->lock);
    if (lost && !abort) {
        errno = EAGAIN;
        return false;
    }
    return ok;
}

static bool talk_numbers(struct xs_handle *h, uint32_t type, const unsigned long *v, unsigned n)
{
    char text[3][MAX_STRLEN(unsigned long)];
    struct iovec iov[3];

    for (unsigned i = 0; i < n; i++) {
        snprintf(text[i], sizeof(text[i]), "%lu", v[i]);
        iov[i] = str(text[i]);
    }
    return talk_ok(h, XBT_NULL, type, iov, n);
}

bool xs_introduce_domain(struct xs_handle *h, unsigned int domid, unsigned long mfn, unsigned int eventchn)
{
    return talk_numbers(h, XS_INTRODUCE, (unsigned long[]){domid, mfn, eventchn}, 3);
}

bool xs_set_target(struct xs_handle *h, unsigned int domid, unsigned int target)
{
    return talk_numbers(h, XS_SET_TARGET, (unsigned long[]){domid, target}, 2);
}

bool xs_resume_domain(struct xs_handle *h, unsigned int domid)
{
    return talk_numbers(h, XS_RESUME, (unsigned long[]){domid}, 1);
}

bool xs_release_domain(struct xs_handle *h, unsigned int domid)
{
    return talk_numbers(h, XS_RELEASE, (unsigned long[]){domid}, 1);
}

static char *talk_domid(struct xs_handle *h, uint32_t type, unsigned int domid)
{
    char text[MAX_STRLEN(domid)];
    struct iovec iov;

    snprintf(text, sizeof(text), "%u", domid);
    iov = str(text);
    return handle_talk(h, XBT_NULL, type, &iov, 1, NULL);
}

char *xs_get_domain_path(struct xs_handle *h, unsigned int domid)
{
    return talk_domid(h, XS_GET_DOMAIN_PATH, domid);
}

bool xs_is_domain_introduced(struct xs_handle *h, unsigned int domid)
{
    char *answer = talk_domid(h, XS_IS_DOMAIN_INTRODUCED, domid);
    bool yes = answer && strcmp(answer, "T") == 0;

    free(answer);
    return yes;
}

char *xs_control_command(struct xs_handle *h, const char *cmd, void *data, unsigned int len)
{
    struct iovec iov[2] = {str(cmd), {data, len}};

    return handle_talk(h, XBT_NULL, XS_CONTROL, iov, 2, NULL);
}

char *xs_debug_command(struct xs_handle *h, const char *cmd, void *data, unsigned int len)
{
    return xs_control_command(h, cmd, data, len);
}

int xs_suspend_evtchn_port(int domid)
{
    char path[64];
    struct xs_handle *h = xs_open(0);
    char *text;
    int port = -1;

    if (h) {
        snprintf(path, sizeof(path), "/local/domain/%d/device/suspend/event-channel", domid);
        text = xs_read(h, XBT_NULL, path, NULL);
        port = text ? atoi(text) : -1;
        free(text);
        xs_close(h);
    }
    return port;
}

/* ---- watches ---- */

bool xs_watch(struct xs_handle *h, const char *path, const char *token)
{
    struct iovec iov[2] = {str(path), str(token)};
    struct xs_set_watch *w = calloc(1, sizeof(*w));
    bool ok;

    if (!w) {
        return false;
    }
    w->path = strdup(path);
    w->token = strdup(token);
    pthread_mutex_lock(&h->lock);
    while (h->busy) {
        pthread_cond_wait(&h->changed, &h->lock);
    }
    ok = w->path && w->token && handle_start_reader(h);
    pthread_mutex_unlock(&h->lock);
    ok = ok && talk_ok(h, XBT_NULL, XS_WATCH, iov, 2);
    if (!ok) {
        int err = errno;

        free(w->path);
        free(w->token);
        free(w);
        errno = err;
        return false;
    }
    pthread_mutex_lock(&h->lock);
    w->next = h->watches;
    h->watches = w;
    pthread_mutex_unlock(&h->lock);
    return true;
}

static void drain_event_fd(struct xs_handle *h)
{
    uint64_t count;

    if (!h->events && h->event_fd >= 0 && read(h->event_fd, &count, sizeof(count)) < 0) {
        errno = 0; /* was not set */
    }
}

static void filter_events(struct xs_handle *h, const char *path, const char *token)
{
    struct xs_message **at = &h->events, *m;

    while ((m = *at)) {
        if (xs_path_is_subpath(path, m->body) && strcmp(m->body + strlen(m->body) + 1, token) == 0) {
            *at = m->next;
            free(m);
        } else {
            at = &m->next;
        }
    }
    h->last_event = at;
    drain_event_fd(h);
}

bool xs_unwatch(struct xs_handle *h, const char *path, const char *token)
{
    struct iovec iov[2] = {str(path), str(token)};
    bool ok;

    pthread_mutex_lock(&h->lock);
    for (struct xs_set_watch **at = &h->watches, *w; (w = *at); at = &w->next) {
        if (strcmp(w->path, path) == 0 && strcmp(w->token, token) == 0) {
            *at = w->next;
            free(w->path);
            free(w->token);
            free(w);
            break;
        }
    }
    pthread_mutex_unlock(&h->lock);
    ok = talk_ok(h, XBT_NULL, XS_UNWATCH, iov, 2);
    if (h->flags & XS_UNWATCH_FILTER) {
        int err = errno;

        pthread_mutex_lock(&h->lock);
        filter_events(h, path, token);
        pthread_mutex_unlock(&h->lock);
        errno = err;
    }
    return ok;
}

int xs_fileno(struct xs_handle *h)
{
    uint64_t one = 1;
    int fd;

    pthread_mutex_lock(&h->lock);
    if (h->event_fd < 0) {
        h->event_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
        if (h->event_fd >= 0 && h->events && write(h->event_fd, &one, sizeof(one)) != sizeof(one)) {
            close(h->event_fd);
            h->event_fd = -1;
        }
    }
    fd = h->event_fd;
    pthread_mutex_unlock(&h->lock);
    return fd;
}

static char **next_event(struct xs_handle *h, unsigned int *num, bool wait)
{
    struct xs_message *m;
    char **v;

    pthread_mutex_lock(&h->lock);
    while (!h->events && wait && !h->dead) {
        pthread_cond_wait(&h->changed, &h->lock);
    }
    m = h->events;
    if (m) {
        h->events = m->next;
        if (!h->events) {
            h->last_event = &h->events;
            drain_event_fd(h);
        }
    }
    errno = m ? errno : (h->dead ? EBADF : EAGAIN);
    pthread_mutex_unlock(&h->lock);
    if (!m) {
        return NULL;
    }
    v = to_array(m->body, m->hdr.len, num);
    free(m);
    return v;
}

char **xs_check_watch(struct xs_handle *h)
{
    unsigned int num;

    return next_event(h, &num, false);
}

char **xs_read_watch(struct xs_handle *h, unsigned int *num)
{
    return next_event(h, num, true);
}
