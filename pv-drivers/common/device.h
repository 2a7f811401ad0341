/*
 * A back end device in the store: the handshake with the front end, the same for disks and networks.
 *
 * What is to be done follows from two numbers in the store, our state and the front end's, and from whether
 * we are attached to the rings. device_step() looks at them and does the next thing, until nothing is left to
 * do; it keeps no history of its own. A process that was killed and started again therefore comes to the
 * right place by itself: a device whose both halves say Connected is attached again without a word to the
 * guest.
 *
 *     ours          front end's           what happens
 *     Initialising  (any)                 publish features, state InitWait
 *     InitWait      Initialised/Connected attach, publish the properties, state Connected
 *     Connected     Initialised/Connected attach if we are not
 *     Closing       Connected             attach if we are not: the front end still has to finish its
 * requests any           Closing               detach, state Closing any           Closed, or gone detach,
 * state Closed; done when online is 0 Closed        Initialising          publish features again, state
 * InitWait (the guest rebooted in place)
 */
#ifndef PV_DEVICE_H
#define PV_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include <public/io/xenbus.h>
#include "store.h"

struct device;

struct device_ops {
    /* Writes the features into the back end's directory (inside a transaction). Returns 0 or -errno. */
    int (*publish)(struct device *d);
    /* Attaches to the rings. Returns 0, or -errno having logged why. */
    int (*attach)(struct device *d);
    /* Writes the properties that the front end reads once connected (inside a transaction). */
    int (*properties)(struct device *d);
    /* Forgets the rings; also after an attach that failed half way. */
    void (*detach)(struct device *d);
};

struct device {
    const struct device_ops *ops;
    struct store *store;
    char *backend;  /* our directory */
    char *frontend; /* the front end's, as our directory names it */
    uint16_t frontend_domid;
    uint16_t backend_domid;
    bool attached;
    bool resumed; /* attach() is for a connection that stood before this process was started */
    bool broken;  /* attaching failed or the guest misbehaved: stays detached until the front end closes */
};

enum device_result { DEVICE_RUNNING, DEVICE_GONE };

/* Reads who the front end is and sets the watches. path is copied. Returns 0 or -errno (logged). */
int device_open(struct device *d, const struct device_ops *ops, struct store *s, const char *path);
void device_close(struct device *d);
enum device_result device_step(struct device *d);
/* Stops serving a device whose front end broke the protocol: why goes to the log and the "error" node. */
void device_fail(struct device *d, const char *why);
/* Tells the toolstack that the device cannot be set up at all. */
void device_hotplug_error(struct device *d, const char *why);
int device_set_state(struct device *d, enum xenbus_state state);

#endif
