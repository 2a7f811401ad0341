/* What device.c, hotplug.c, attach.c and their callers in the library share. */
#ifndef BH_LIB_DEVICES_H
#define BH_LIB_DEVICES_H

#include "internal.h"

extern const char *const device_class_names[]; /* by enum bh_device_class: "vbd", "vif" */

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
/* The XenbusState in a front or back end's directory; 0: there is none. */
int device_state(struct bh *h, const char *directory);
void device_nap(unsigned int ms);
/* Waits (bounded) until the back end is ready, and plugs in what Linux's network back end needs. */
int device_connect(struct bh *h, unsigned int domid, enum bh_device_class class, unsigned int devid);
void device_undo(struct bh *h, unsigned int domid, enum bh_device_class class, unsigned int devid);

/* ---- hotplug.c ---- */

#define SCRIPT_WAIT_MS 40000 /* how long a hotplug script may take */

/* Gives a file a loop device. name: room for its path. */
int hotplug_loop(struct bh *h, const char *path, bool readonly, char *name, size_t size);
/* Frees it again; anything else than a loop device is left alone. */
void hotplug_unloop(const char *name);
/* Linux's interface vifN.M: name, bridge or script, then the word that lets the back end connect. */
int hotplug_linux_vif(struct bh *h, const char *back, unsigned int domid, unsigned int devid);
/* Undoes what was done for an interface outside of it: a script's "offline", our own rules and ports. */
void hotplug_unplug_vif(struct bh *h, const char *back);

#endif
