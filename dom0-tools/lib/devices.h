/* What device.c and its callers in the library share. */
#ifndef BH_LIB_DEVICES_H
#define BH_LIB_DEVICES_H

#include "internal.h"

struct device_paths {
    char front[96], back[96], ours[96];
    unsigned int domid, backend_domid;
};
void device_paths(struct device_paths *p, enum bh_device_class class, const char *kind, unsigned int domid,
                  unsigned int backend, unsigned int devid);
int device_backend_domid(struct bh *h, const char *backend, unsigned int *out);
/* batch_commit for nodes of devices: when it fails, the loop devices that the nodes name are freed again. */
int device_commit(struct bh *h, struct store_batch *b);
/* For a batch of devices that will not be committed. */
void device_abandon(struct store_batch *b);
/* Waits (bounded) until the back end is ready, and plugs in what Linux's network back end needs. */
int device_connect(struct bh *h, unsigned int domid, enum bh_device_class class, unsigned int devid);
void device_undo(struct bh *h, unsigned int domid, enum bh_device_class class, unsigned int devid);

#endif
