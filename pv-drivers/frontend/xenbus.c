#include "xenbus.h"

#include <public/io/xs_wire.h>
#include "event.h"

#define ANSWER_TIME (30 * FE_SECOND)
#define POLL_TIME   (FE_SECOND / 200)

static struct xenstore_domain_interface *ring;
static evtchn_port_t port;
static uint32_t last_id;

void xenbus_init(void *page, evtchn_port_t event_channel)
{
    ring = page;
    port = event_channel;
}

evtchn_port_t xenbus_port(void)
{
    return port;
}

static bool wait_ring(uint64_t deadline)
{
    event_take(port);
    if (fe_now() > deadline)
        return false;
    fe_wait(&port, 1, fe_now() + POLL_TIME);
    return true;
}

static bool send_bytes(const void *data, size_t bytes, uint64_t deadline)
{
    const char *from = data;
    while (bytes) {
        uint32_t prod = ring->req_prod, used = prod - __atomic_load_n(&ring->req_cons, __ATOMIC_ACQUIRE);
        if (used >= XENSTORE_RING_SIZE) {
            if (!wait_ring(deadline))
                return false;
            continue;
        }
        ring->req[MASK_XENSTORE_IDX(prod)] = *from++;
        bytes--;
        __atomic_store_n(&ring->req_prod, prod + 1, __ATOMIC_RELEASE);
    }
    return true;
}

/* out may be NULL: skip. */
static bool receive_bytes(void *out, size_t bytes, uint64_t deadline)
{
    char *to = out;
    while (bytes) {
        uint32_t cons = ring->rsp_cons;
        if (__atomic_load_n(&ring->rsp_prod, __ATOMIC_ACQUIRE) == cons) {
            if (!wait_ring(deadline))
                return false;
            continue;
        }
        if (to)
            *to++ = ring->rsp[MASK_XENSTORE_IDX(cons)];
        bytes--;
        __atomic_store_n(&ring->rsp_cons, cons + 1, __ATOMIC_RELEASE);
    }
    return true;
}

/* The answer to request id, as far as it fits into out; answers to others are skipped. */
static int receive(uint32_t id, char *out, size_t bytes, uint64_t deadline)
{
    for (;;) {
        struct xsd_sockmsg m;
        if (!receive_bytes(&m, sizeof(m), deadline) || m.len > XENSTORE_PAYLOAD_MAX)
            return FE_TIME;
        bool ours = m.req_id == id && m.type != XS_WATCH_EVENT;
        size_t kept = ours && bytes ? (m.len < bytes - 1 ? m.len : bytes - 1) : 0;
        if (!receive_bytes(out, kept, deadline) || !receive_bytes(NULL, m.len - kept, deadline))
            return FE_TIME;
        event_send(port);
        if (!ours)
            continue;
        if (bytes)
            out[kept] = '\0';
        return m.type == XS_ERROR ? FE_ERROR : (int)kept;
    }
}

/* path with its zero byte, then value without one. */
static int request(enum xsd_sockmsg_type type, const char *path, const char *value, char *out, size_t bytes)
{
    uint64_t deadline = fe_now() + ANSWER_TIME;
    size_t path_bytes = strlen(path) + 1, value_bytes = value ? strlen(value) : 0;
    struct xsd_sockmsg m = {.type = type, .req_id = ++last_id, .len = (uint32_t)(path_bytes + value_bytes)};
    if (!send_bytes(&m, sizeof(m), deadline) || !send_bytes(path, path_bytes, deadline) ||
        !send_bytes(value, value_bytes, deadline))
        return FE_TIME;
    event_send(port);
    return receive(last_id, out, bytes, deadline);
}

int xenbus_read(const char *path, char *out, size_t bytes)
{
    return request(XS_READ, path, NULL, out, bytes);
}

int xenbus_write(const char *path, const char *value)
{
    int rc = request(XS_WRITE, path, value, NULL, 0);
    return rc < 0 ? rc : 0;
}

int xenbus_remove(const char *path)
{
    int rc = request(XS_RM, path, NULL, NULL, 0);
    return rc < 0 ? rc : 0;
}

static char *join(char *out, const char *directory, const char *name)
{
    return fe_text(out, XENBUS_PATH, directory, "/", name);
}

uint64_t xenbus_get(const char *directory, const char *name, uint64_t fallback)
{
    char path[XENBUS_PATH], value[32];
    uint64_t number;
    if (xenbus_read(join(path, directory, name), value, sizeof(value)) < 0 || !fe_parse(value, &number))
        return fallback;
    return number;
}

int xenbus_put_text(const char *directory, const char *name, const char *value)
{
    char path[XENBUS_PATH];
    return xenbus_write(join(path, directory, name), value);
}

int xenbus_put(const char *directory, const char *name, uint64_t value)
{
    char text[24];
    return xenbus_put_text(directory, name, fe_number(text, sizeof(text), value));
}

int xenbus_open(struct xenbus_device *d, const char *kind, unsigned number)
{
    char text[24], path[XENBUS_PATH];
    fe_text(path, sizeof(path), "device/", kind, "/");
    fe_text(d->path, sizeof(d->path), path, fe_number(text, sizeof(text), number), NULL);
    if (xenbus_read(join(path, d->path, "backend"), d->backend, sizeof(d->backend)) <= 0)
        return FE_ERROR;
    d->backend_domid = (domid_t)xenbus_get(d->path, "backend-id", 0);
    return 0;
}

int xenbus_set_state(const struct xenbus_device *d, enum xenbus_state state)
{
    return xenbus_put(d->path, "state", state);
}

enum xenbus_state xenbus_backend_state(const struct xenbus_device *d)
{
    return (enum xenbus_state)xenbus_get(d->backend, "state", XenbusStateUnknown);
}

int xenbus_wait(const struct xenbus_device *d, enum xenbus_state from, enum xenbus_state to, uint64_t timeout)
{
    uint64_t deadline = fe_now() + timeout;
    for (;;) {
        enum xenbus_state state = xenbus_backend_state(d);
        if (state >= from && state <= to)
            return 0;
        if (fe_now() > deadline)
            return FE_TIME;
        fe_wait(&port, 1, fe_now() + POLL_TIME);
    }
}
