#include "device.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "log.h"

#define TRANSACTION_TRIES 64
#define PATH_BYTES        1024

static int watch_below(struct device *d)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "%s/state", d->frontend);
    int rc = store_watch(d->store, path);
    return rc ? rc : store_watch(d->store, d->backend);
}

int device_open(struct device *d, const struct device_ops *ops, struct store *s, const char *path)
{
    *d = (struct device){.ops = ops, .store = s};
    d->backend = strdup(path);
    d->frontend = store_read(s, "%s/frontend", path);
    uint64_t domid = store_read_number(s, UINT64_MAX, "%s/frontend-id", path);
    if (!d->backend || !d->frontend || domid > 0x7fef) {
        log_line("%s has no usable frontend and frontend-id; was the device created?", path);
        return -ENOENT;
    }
    d->frontend_domid = (uint16_t)domid;
    int rc = watch_below(d);
    if (rc)
        log_line("watching %s: %s", path, strerror(-rc));
    return rc;
}

void device_close(struct device *d)
{
    free(d->backend);
    free(d->frontend);
    d->backend = d->frontend = NULL;
}

int device_set_state(struct device *d, enum xenbus_state state)
{
    return store_write_number(d->store, d->backend, "state", state);
}

static enum xenbus_state state_of(struct device *d, const char *directory)
{
    return (enum xenbus_state)store_read_number(d->store, XenbusStateUnknown, "%s/state", directory);
}

static int write_text(struct device *d, const char *node, const char *text)
{
    char path[PATH_BYTES];
    snprintf(path, sizeof(path), "%s/%s", d->backend, node);
    return store_write(d->store, path, text);
}

/* Whether something went wrong that is not just the device changing under us. */
static bool failed(int rc)
{
    return rc && rc != -ENOENT && rc != -ESTALE;
}

/*
 * Runs fill and moves our state inside a transaction, only while our directory exists, so that no node outlives
 * a removed device. -ESTALE, with nothing written, when the state is no longer `from`: the toolstack moved it
 * in between, to Closing above all, and that must not be lost.
 */
static int write_together(struct device *d, int (*fill)(struct device *), enum xenbus_state from,
                          enum xenbus_state state)
{
    for (int i = 0; i < TRANSACTION_TRIES; i++) {
        int rc = store_begin(d->store);
        if (rc)
            return rc;
        if (!store_exists(d->store, "%s/frontend", d->backend))
            rc = -ENOENT;
        else if (state_of(d, d->backend) != from)
            rc = -ESTALE;
        if (rc == 0 && fill)
            rc = fill(d);
        if (rc == 0 && fill)
            rc = write_text(d, "hotplug-status", "connected");
        if (rc == 0)
            rc = device_set_state(d, state);
        int ended = store_end(d->store, rc != 0);
        if (rc == 0 && ended == -EAGAIN)
            continue;
        return rc ? rc : ended;
    }
    return -EAGAIN;
}

static void leave(struct device *d)
{
    if (d->attached || d->broken)
        d->ops->detach(d);
    d->attached = d->broken = false;
}

static void write_reason(struct device *d, const char *node, const char *why)
{
    if (store_exists(d->store, "%s/frontend", d->backend))
        write_text(d, node, why);
}

void device_fail(struct device *d, const char *why)
{
    log_line("no longer serving domain %u: %s", d->frontend_domid, why);
    d->ops->detach(d);
    d->attached = false;
    d->broken = true;
    write_reason(d, "error", why);
    write_together(d, NULL, state_of(d, d->backend), XenbusStateClosing);
}

void device_hotplug_error(struct device *d, const char *why)
{
    write_reason(d, "error", why);
    write_reason(d, "hotplug-status", "error");
    /* Last: who waits for it may take both back at once, and nothing of ours may come after that. */
    write_reason(d, "hotplug-error", why);
}

/* Whoever changed the medium removed hotplug-status: the front end has to be told the properties again. */
static bool medium_changed(struct device *d)
{
    return !store_exists(d->store, "%s/hotplug-status", d->backend);
}

static void connect(struct device *d, enum xenbus_state ours)
{
    d->resumed = ours >= XenbusStateConnected;
    int rc = d->ops->attach(d);
    if (rc) {
        device_fail(d, "the rings that the front end published cannot be attached");
        return;
    }
    d->attached = true;
    if (ours < XenbusStateConnected || (ours == XenbusStateConnected && medium_changed(d)))
        rc = write_together(d, d->ops->properties, ours, XenbusStateConnected);
    if (failed(rc))
        log_line("writing %s: %s", d->backend, strerror(-rc));
}

static bool wants_connection(enum xenbus_state theirs)
{
    return theirs == XenbusStateInitialised || theirs == XenbusStateConnected;
}

static void follow(struct device *d, enum xenbus_state ours, enum xenbus_state theirs)
{
    bool fresh = ours == XenbusStateInitialising || ours == XenbusStateUnknown;
    bool again = ours == XenbusStateClosed && theirs == XenbusStateInitialising;
    bool changed = ours == XenbusStateInitWait && medium_changed(d);
    if (fresh || again || changed) {
        leave(d);
        int rc = write_together(d, d->ops->publish, ours, XenbusStateInitWait);
        if (failed(rc))
            log_line("publishing %s: %s", d->backend, strerror(-rc));
        ours = rc == -ESTALE ? state_of(d, d->backend) : XenbusStateInitWait;
    }
    if (theirs == XenbusStateClosing) {
        leave(d);
        if (ours < XenbusStateClosing)
            write_together(d, NULL, ours, XenbusStateClosing);
    } else if (wants_connection(theirs) && ours <= XenbusStateClosing && !d->attached && !d->broken) {
        connect(d, ours);
    }
}

enum device_result device_step(struct device *d)
{
    if (!store_exists(d->store, "%s/frontend", d->backend)) {
        leave(d);
        return DEVICE_GONE;
    }
    enum xenbus_state ours = state_of(d, d->backend), theirs = state_of(d, d->frontend);
    bool there = store_exists(d->store, "%s/state", d->frontend);
    if (theirs == XenbusStateClosed || !there) {
        bool online = store_read_number(d->store, 1, "%s/online", d->backend) != 0;
        leave(d);
        if (ours != XenbusStateClosed)
            write_together(d, NULL, ours, XenbusStateClosed);
        return online && there ? DEVICE_RUNNING : DEVICE_GONE;
    }
    follow(d, ours, theirs);
    return DEVICE_RUNNING;
}
