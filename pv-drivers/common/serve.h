/*
 * The main loop of a back end process: it waits for the store, for events, for the back end's own descriptor and for
 * whatever else was begun on the process' io_uring, and lets the rings run while the device is attached.
 */
#ifndef PV_SERVE_H
#define PV_SERVE_H

#include "device.h"
#include "uring.h"
#include "xenio.h"

struct service {
    struct device *device;
    struct xenio *io;
    struct uring *uring;
    uint64_t *events;          /* counter of events received */
    const uint64_t *wake_at;   /* 0, or when to run without an event */
    const char *const *broken; /* why the front end has to be dropped, or NULL */
    /* Lets the rings run. True: again at once, after others had a turn. */
    bool (*run)(struct device *d);
    /* A descriptor that wakes the back end, and for what; -1: none. What goes through the ring wakes it anyway. */
    int (*descriptor)(struct device *d, short *events);
    /* A node may have changed. Returns 0, or the exit status to end with. */
    int (*changed)(struct device *d);
    /* The device is gone for good. */
    void (*gone)(struct device *d);
};

/* Runs until the device is gone or the process has to be started again; returns the exit status, logged. */
int serve(const struct service *s);

#endif
