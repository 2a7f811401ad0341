/*
 * The main loop of a back end process: it waits for the store, for events and for the back end's own descriptor, and
 * lets the rings run while the device is attached.
 */
#ifndef PV_SERVE_H
#define PV_SERVE_H

#include "device.h"
#include "xenio.h"

struct service {
    struct device *device;
    struct xenio *io;
    uint64_t *events;          /* counter of events received */
    const uint64_t *wake_at;   /* 0, or when to run without an event */
    const char *const *broken; /* why the front end has to be dropped, or NULL */
    /* Lets the rings run; own_ready: descriptor() has what was waited for. True: again at once, after others had a
     * turn. */
    bool (*run)(struct device *d, bool own_ready);
    /* The back end's own descriptor and what to wait for; -1: none now. */
    int (*descriptor)(struct device *d, short *events);
    /* A node may have changed. Returns 0, or the exit status to end with. */
    int (*changed)(struct device *d);
    /* The device is gone for good. */
    void (*gone)(struct device *d);
};

/* Runs until the device is gone or the process has to be started again; returns the exit status, logged. */
int serve(const struct service *s);

#endif
