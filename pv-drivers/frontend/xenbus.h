/* The xenstore from inside a guest: one request at a time over the ring page, and the device handshake on
 * top. */
#ifndef FRONTEND_XENBUS_H
#define FRONTEND_XENBUS_H

#include <public/io/xenbus.h>
#include "services.h"

#define XENBUS_PATH  256u
#define XENBUS_VALUE 256u

/* page: the store's ring, mapped; port: its event channel. */
void xenbus_init(void *page, evtchn_port_t port);
evtchn_port_t xenbus_port(void);
/* Reads a node into out (always a string). Returns its length, or FE_ERROR. */
int xenbus_read(const char *path, char *out, size_t bytes);
int xenbus_write(const char *path, const char *value);
int xenbus_remove(const char *path);

/* directory/name. */
uint64_t xenbus_get(const char *directory, const char *name, uint64_t fallback);
int xenbus_put(const char *directory, const char *name, uint64_t value);
int xenbus_put_text(const char *directory, const char *name, const char *value);

/* One front end device: both directories and who is on the other side. */
struct xenbus_device {
    char path[XENBUS_PATH];    /* ours, "device/vbd/51712" */
    char backend[XENBUS_PATH]; /* absolute */
    domid_t backend_domid;
};

/* Finds the device. Returns 0 or FE_ERROR. */
int xenbus_open(struct xenbus_device *d, const char *kind, unsigned number);
int xenbus_set_state(const struct xenbus_device *d, enum xenbus_state state);
enum xenbus_state xenbus_backend_state(const struct xenbus_device *d);
/* Waits until the back end's state lies between the two. Returns 0, or FE_TIME. */
int xenbus_wait(const struct xenbus_device *d, enum xenbus_state from, enum xenbus_state to,
                uint64_t timeout);

#endif
