/*
 * The store's client: the wire protocol over the daemon's socket, or over the kernel's xenbus device.
 *
 * Model. Requests go out in batches and answers come back in the same order, so that a domain's sixty nodes
 * cost a few round trips; as much is read at once as there is. Events that arrive in between are queued in the
 * handle. What is in the input buffer while no answer is due is events. Over the xenbus device each request is one
 * write(), which is what that device wants. A connection that broke is closed; the next
 * request makes a new one (watches set before are gone then: their owner sees the error and sets them again).
 */
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>
#include "internal.h"

#define STORE_PAYLOAD_MAX 4096
#define CHUNK_BYTES       8192
#define TRANSACTION_TRIES 100

struct wire {
    uint32_t type, req_id, tx_id, len;
};

static const struct {
    const char *name;
    int code;
} wire_errors[] = {
    {"EINVAL", EINVAL}, {"EACCES", EACCES}, {"EEXIST", EEXIST}, {"EISDIR", EISDIR},       {"ENOENT", ENOENT},
    {"ENOMEM", ENOMEM}, {"ENOSPC", ENOSPC}, {"EIO", EIO},       {"ENOTEMPTY", ENOTEMPTY}, {"ENOSYS", ENOSYS},
    {"EROFS", EROFS},   {"EBUSY", EBUSY},   {"EAGAIN", EAGAIN}, {"EISCONN", EISCONN},     {"E2BIG", E2BIG},
    {"EPERM", EPERM},   {"EDQUOT", EDQUOT},
};

static int wire_error(const char *name)
{
    for (unsigned int i = 0; i < sizeof(wire_errors) / sizeof(wire_errors[0]); i++)
        if (strcmp(name, wire_errors[i].name) == 0)
            return wire_errors[i].code;
    return EIO;
}

static const char *type_name(uint32_t type)
{
    switch (type) {
    case XS_DIRECTORY:
        return "list";
    case XS_READ:
        return "read";
    case XS_WRITE:
        return "write";
    case XS_MKDIR:
        return "mkdir";
    case XS_RM:
        return "remove";
    case XS_SET_PERMS:
        return "set permissions of";
    case XS_WATCH:
        return "watch";
    case XS_UNWATCH:
        return "end of the watch of";
    case XS_TRANSACTION_START:
        return "start of a transaction";
    case XS_TRANSACTION_END:
        return "end of a transaction";
    case XS_INTRODUCE:
        return "introduce domain";
    case XS_RELEASE:
        return "release domain";
    default:
        return "request";
    }
}

void store_close(struct bh *h)
{
    struct store *s = &h->store;

    while (s->events) {
        struct store_event *event = s->events;

        s->events = event->next;
        free(event->path);
        free(event->token);
        free(event);
    }
    s->events_tail = &s->events;
    s->in_at = s->in_used = 0;
    if (s->fd >= 0)
        close(s->fd);
    s->fd = -1;
}

static int store_open(struct bh *h)
{
    int fd;

    if (h->store.fd >= 0)
        return 0;
    if (bh_step(h, "connecting to the store"))
        return -h->error;
    fd = h->os->store_connect(h, &h->store.stream);
    if (fd < 0)
        return bh_fail(h, -fd,
                       "cannot reach the store (tried /run/xenstored/socket and /dev/xen/xenbus): %s. "
                       "Is xenstored running?",
                       strerror(-fd));
    h->store.fd = fd;
    return 0;
}

static int broken(struct bh *h, int code)
{
    store_close(h);
    return bh_fail(h, code, "the connection to the store broke: %s", strerror(code));
}

static int send_bytes(struct bh *h, const uint8_t *data, size_t size)
{
    while (size) {
        size_t part = size;
        ssize_t sent;

        if (!h->store.stream) {
            struct wire head;

            memcpy(&head, data, sizeof(head));
            part = sizeof(head) + head.len;
        }
        sent = h->store.stream ? send(h->store.fd, data, part, MSG_NOSIGNAL) : write(h->store.fd, data, part);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return broken(h, sent < 0 ? errno : EPIPE);
        data += sent;
        size -= sent;
    }
    return 0;
}

static int recv_bytes(struct bh *h, void *data, size_t size)
{
    struct store *s = &h->store;
    uint8_t *at = data;

    while (size) {
        size_t part = s->in_used - s->in_at;
        ssize_t got;

        if (part > size)
            part = size;
        memcpy(at, s->in + s->in_at, part);
        s->in_at += part;
        at += part;
        size -= part;
        if (!size)
            break;
        got = read(s->fd, s->in, sizeof(s->in));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return broken(h, got < 0 ? errno : EPIPE);
        s->in_at = 0;
        s->in_used = got;
    }
    return 0;
}

static void queue_event(struct bh *h, const char *payload, size_t size)
{
    size_t path_size = strnlen(payload, size) + 1;
    struct store_event *event = calloc(1, sizeof(*event));

    if (!event)
        return;
    event->path = strdup(payload);
    event->token = strdup(path_size < size ? payload + path_size : "");
    if (!event->path || !event->token) {
        free(event->path);
        free(event->token);
        free(event);
        return;
    }
    *h->store.events_tail = event;
    h->store.events_tail = &event->next;
}

/* Reads one message; events are queued and reported with type XS_WATCH_EVENT. payload has a NUL after its
 * end. */
static int receive(struct bh *h, struct wire *head, char *payload)
{
    int rc = recv_bytes(h, head, sizeof(*head));

    if (rc)
        return rc;
    if (head->len > STORE_PAYLOAD_MAX)
        return broken(h, EPROTO);
    rc = recv_bytes(h, payload, head->len);
    if (rc)
        return rc;
    payload[head->len] = 0;
    if (head->type == XS_WATCH_EVENT)
        queue_event(h, payload, head->len);
    return 0;
}

/* The answer to a request. */
static int receive_answer(struct bh *h, struct wire *head, char *payload)
{
    int rc;

    do {
        rc = receive(h, head, payload);
    } while (!rc && head->type == XS_WATCH_EVENT);
    return rc;
}

/* Encodes at `to` (room for the largest message). Returns its length, 0 when the request is too long. */
static size_t encode(struct bh *h, uint8_t *to, uint32_t tx, const struct store_op *op)
{
    size_t path = strlen(op->path) + 1, value = op->value ? strlen(op->value) : 0;
    struct wire head = {.type = op->type, .req_id = ++h->store.next_id, .tx_id = tx};

    /* All but a write end their last string with NUL. */
    if (op->value && op->type != XS_WRITE)
        value++;
    if (path + value > STORE_PAYLOAD_MAX)
        return 0;
    head.len = path + value;
    memcpy(to, &head, sizeof(head));
    memcpy(to + sizeof(head), op->path, path);
    if (value)
        memcpy(to + sizeof(head) + path, op->value, value);
    /* Permissions are a list of strings; blanks separate them here. */
    if (op->type == XS_SET_PERMS)
        for (size_t i = 0; i < value; i++)
            if (to[sizeof(head) + path + i] == ' ')
                to[sizeof(head) + path + i] = 0;
    return sizeof(head) + head.len;
}

/*
 * Sends all requests, gives each answer to `answer` (payload valid during the call). Errors of single
 * requests are the callback's business; what is returned is about the connection, or a request that cannot be
 * sent.
 */
static int exchange(struct bh *h, uint32_t tx, const struct store_op *ops, unsigned int count,
                    void (*answer)(void *context, unsigned int index, const struct wire *head, char *payload),
                    void *context)
{
    uint8_t out[CHUNK_BYTES];
    char payload[STORE_PAYLOAD_MAX + 1];
    unsigned int sent = 0, answered = 0;
    struct wire head;
    int rc = store_open(h);

    while (!rc && answered < count) {
        size_t used = 0;

        while (sent < count && CHUNK_BYTES - used >= sizeof(head) + STORE_PAYLOAD_MAX) {
            size_t size = encode(h, out + used, tx, &ops[sent]);

            if (!size)
                return bh_fail(h, E2BIG, "store %s %s: longer than a request of the store can be (%d bytes)",
                               type_name(ops[sent].type), ops[sent].path, STORE_PAYLOAD_MAX);
            used += size;
            sent++;
        }
        rc = send_bytes(h, out, used);
        while (!rc && answered < sent) {
            rc = receive_answer(h, &head, payload);
            if (!rc)
                answer(context, answered++, &head, payload);
        }
    }
    return rc;
}

struct single {
    char *payload;
    size_t size;
    int error;
};

static void take_single(void *context, unsigned int index, const struct wire *head, char *payload)
{
    struct single *s = context;

    if (head->type == XS_ERROR) {
        s->error = wire_error(payload);
        return;
    }
    s->payload = malloc(head->len + 1);
    if (!s->payload) {
        s->error = ENOMEM;
        return;
    }
    memcpy(s->payload, payload, head->len + 1);
    s->size = head->len;
}

/* One request. *payload (may be NULL) is freed by the caller. */
static int request(struct bh *h, uint32_t type, uint32_t tx, const char *path, const char *value,
                   char **payload, size_t *size)
{
    struct store_op op = {.type = type, .path = (char *)path, .value = (char *)value};
    struct single s = {0};
    int rc;

    if (payload)
        *payload = NULL;
    if (bh_step(h, "store %s %s", type_name(type), path))
        return -h->error;
    rc = exchange(h, tx, &op, 1, take_single, &s);
    if (rc)
        return bh_because(h, "store %s %s", type_name(type), path);
    if (s.error)
        return bh_fail(h, s.error, "store %s %s: %s", type_name(type), path, strerror(s.error));
    if (payload)
        *payload = s.payload;
    else
        free(s.payload);
    if (size)
        *size = s.size;
    return 0;
}

char *bh_store_get(struct bh *h, const char *path)
{
    char *value;

    return request(h, XS_READ, 0, path, NULL, &value, NULL) ? NULL : value;
}

char *store_getf(struct bh *h, const char *format, ...)
{
    va_list args;
    char *path, *value;
    int length;

    va_start(args, format);
    length = vasprintf(&path, format, args);
    va_end(args);
    if (length < 0)
        return NULL;
    value = bh_store_get(h, path);
    if (!value && h->error == ENOENT)
        bh_error_clear(h);
    free(path);
    return value;
}

int bh_store_set(struct bh *h, const char *path, const char *value)
{
    return request(h, XS_WRITE, 0, path, value, NULL, NULL);
}

int bh_store_remove(struct bh *h, const char *path)
{
    int rc = request(h, XS_RM, 0, path, NULL, NULL, NULL);

    if (rc == -ENOENT) {
        bh_error_clear(h);
        return 0;
    }
    return rc;
}

int bh_store_list(struct bh *h, const char *path, char ***out, unsigned int *count)
{
    unsigned int n = 0, at = 0;
    char *payload, **list;
    size_t size;
    int rc = request(h, XS_DIRECTORY, 0, path, NULL, &payload, &size);

    *out = NULL;
    *count = 0;
    if (rc)
        return rc;
    for (size_t i = 0; i < size; i++)
        n += payload[i] == 0;
    list = bh_alloc(h, n + 1, sizeof(*list), "a list of store nodes");
    for (size_t i = 0; list && i < size && at < n; i += strlen(payload + i) + 1) {
        list[at] = strdup(payload + i);
        if (list[at])
            at++;
    }
    free(payload);
    if (!list)
        return -h->error;
    *out = list;
    *count = at;
    return 0;
}

struct many {
    char **values;
    int error;
};

static void take_many(void *context, unsigned int index, const struct wire *head, char *payload)
{
    struct many *m = context;

    m->values[index] = NULL;
    if (head->type == XS_ERROR)
        return;
    m->values[index] = strdup(payload);
    if (!m->values[index])
        m->error = ENOMEM;
}

int store_read_many(struct bh *h, char *const *paths, unsigned int count, char **values)
{
    struct store_op *ops = bh_alloc(h, count, sizeof(*ops), "store requests");
    struct many m = {.values = values};
    int rc;

    memset(values, 0, count * sizeof(*values));
    if (!ops)
        return -h->error;
    for (unsigned int i = 0; i < count; i++)
        ops[i] = (struct store_op){.type = XS_READ, .path = paths[i]};
    rc = bh_step(h, "store read of %u nodes", count) ? -h->error : exchange(h, 0, ops, count, take_many, &m);
    free(ops);
    if (!rc && m.error)
        rc = bh_fail(h, m.error, "no memory for store nodes");
    return rc;
}

/* ---- batches ---- */

static struct store_op *batch_add(struct store_batch *b, uint32_t type, const char *value, const char *format,
                                  va_list args)
{
    struct store_op *op;

    if (b->broken)
        return NULL;
    if (b->count == b->room) {
        unsigned int room = b->room ? b->room * 2 : 64;
        struct store_op *ops = reallocarray(b->ops, room, sizeof(*ops));

        if (!ops) {
            b->broken = true;
            return NULL;
        }
        b->ops = ops;
        b->room = room;
    }
    op = &b->ops[b->count];
    op->type = type;
    op->value = NULL;
    if (vasprintf(&op->path, format, args) < 0) {
        b->broken = true;
        return NULL;
    }
    b->count++;
    if (value) {
        op->value = strdup(value);
        b->broken = !op->value;
    }
    return op;
}

void batch_write(struct bh *h, struct store_batch *b, const char *value, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    batch_add(b, XS_WRITE, value ? value : "", format, args);
    va_end(args);
}

void batch_mkdir(struct bh *h, struct store_batch *b, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    batch_add(b, XS_MKDIR, NULL, format, args);
    va_end(args);
}

void batch_rm(struct bh *h, struct store_batch *b, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    batch_add(b, XS_RM, NULL, format, args);
    va_end(args);
}

void batch_perms(struct bh *h, struct store_batch *b, const char *perms, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    batch_add(b, XS_SET_PERMS, perms, format, args);
    va_end(args);
}

void batch_free(struct store_batch *b)
{
    for (unsigned int i = 0; i < b->count; i++) {
        free(b->ops[i].path);
        free(b->ops[i].value);
    }
    free(b->ops);
    memset(b, 0, sizeof(*b));
}

struct commit {
    const struct store_op *ops;
    unsigned int failed; /* index of the first that failed */
    int error;
};

static void take_commit(void *context, unsigned int index, const struct wire *head, char *payload)
{
    struct commit *c = context;
    int code;

    if (head->type != XS_ERROR || c->error)
        return;
    code = wire_error(payload);
    if (c->ops[index].type == XS_RM && code == ENOENT)
        return;
    c->failed = index;
    c->error = code;
}

/* Ends a transaction that came to nothing, keeping the reason. */
static void abandon_transaction(struct bh *h, uint32_t tx)
{
    struct error_copy *kept = error_save(h);
    unsigned long left = h->inject_left;

    h->inject_left = 0;
    if (h->store.fd >= 0)
        request(h, XS_TRANSACTION_END, tx, "F", NULL, NULL, NULL);
    h->inject_left = left;
    error_restore(h, kept);
}

static int commit_once(struct bh *h, const struct store_batch *b)
{
    struct commit c = {.ops = b->ops};
    char *id;
    uint32_t tx;
    int rc = request(h, XS_TRANSACTION_START, 0, "", NULL, &id, NULL);

    if (rc)
        return rc;
    tx = strtoul(id, NULL, 10);
    free(id);
    rc = exchange(h, tx, b->ops, b->count, take_commit, &c);
    if (!rc && c.error)
        rc = bh_fail(h, c.error, "store %s %s: %s", type_name(b->ops[c.failed].type), b->ops[c.failed].path,
                     strerror(c.error));
    if (!rc)
        rc = request(h, XS_TRANSACTION_END, tx, "T", NULL, NULL, NULL);
    if (rc && rc != -EAGAIN)
        abandon_transaction(h, tx);
    return rc;
}

int batch_run(struct bh *h, const struct store_batch *b)
{
    int rc = 0;

    if (b->broken)
        rc = bh_fail(h, ENOMEM, "no memory for the store nodes to write");
    for (unsigned int i = 0; i < b->count && !rc; i++)
        if (bh_step(h, "store %s %s", type_name(b->ops[i].type), b->ops[i].path))
            rc = -h->error;
    for (unsigned int tries = 0; !rc && tries < TRANSACTION_TRIES; tries++) {
        rc = commit_once(h, b);
        if (rc != -EAGAIN)
            break;
        rc = tries + 1 < TRANSACTION_TRIES ? 0 : rc;
    }
    return rc;
}

int batch_commit(struct bh *h, struct store_batch *b)
{
    int rc = batch_run(h, b);

    batch_free(b);
    return rc;
}

int store_introduce(struct bh *h, unsigned int domid, uint64_t mfn, uint32_t port)
{
    char id[16], rest[48];
    char payload[64];
    struct wire head = {.type = XS_INTRODUCE};
    uint8_t message[sizeof(head) + 64];
    char answer[STORE_PAYLOAD_MAX + 1];
    int rc, length;

    snprintf(id, sizeof(id), "%u", domid);
    snprintf(rest, sizeof(rest), "%lu", mfn);
    if (bh_step(h, "store introduce domain %u", domid))
        return -h->error;
    rc = store_open(h);
    if (rc)
        return rc;
    length = snprintf(payload, sizeof(payload), "%s%c%s%c%u", id, 0, rest, 0, port) + 1;
    head.len = length;
    head.req_id = ++h->store.next_id;
    memcpy(message, &head, sizeof(head));
    memcpy(message + sizeof(head), payload, length);
    rc = send_bytes(h, message, sizeof(head) + length);
    if (!rc)
        rc = receive_answer(h, &head, answer);
    if (rc)
        return bh_because(h, "introducing domain %u to the store", domid);
    if (head.type == XS_ERROR)
        return bh_fail(h, wire_error(answer), "the store refused domain %u (page %lu, port %u): %s", domid,
                       mfn, port, answer);
    return 0;
}

int store_release(struct bh *h, unsigned int domid)
{
    char id[16];

    snprintf(id, sizeof(id), "%u", domid);
    return request(h, XS_RELEASE, 0, id, NULL, NULL, NULL);
}

/* ---- events ---- */

int bh_store_watch(struct bh *h, const char *path, const char *token)
{
    return request(h, XS_WATCH, 0, path, token, NULL, NULL);
}

int bh_store_unwatch(struct bh *h, const char *path, const char *token)
{
    return request(h, XS_UNWATCH, 0, path, token, NULL, NULL);
}

int bh_store_fd(struct bh *h)
{
    int rc = store_open(h);

    return rc ? rc : h->store.fd;
}

bool bh_store_event_pending(const struct bh *h)
{
    return h->store.events || h->store.in_at < h->store.in_used;
}

int bh_store_next_event(struct bh *h, char **path, char **token)
{
    struct store_event *event;
    struct wire head;
    char payload[STORE_PAYLOAD_MAX + 1];
    int rc = store_open(h);

    while (!rc && !h->store.events)
        rc = receive(h, &head, payload);
    if (rc)
        return rc;
    event = h->store.events;
    h->store.events = event->next;
    if (!h->store.events)
        h->store.events_tail = &h->store.events;
    *path = event->path;
    *token = event->token;
    free(event);
    return 0;
}
