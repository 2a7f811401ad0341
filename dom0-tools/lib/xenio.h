/* Event channels and grants of other domains, for daemons in Dom0. Linux only. */
#ifndef BH_LIB_XENIO_H
#define BH_LIB_XENIO_H

#include <stdint.h>

/* All return a descriptor, a port or 0, or a negative errno. */
int evtchn_open(void);
int evtchn_bind(int fd, unsigned int domid, uint32_t remote_port);
int evtchn_unbind(int fd, uint32_t port);
int evtchn_notify(int fd, uint32_t port);
/* The port of a pending event (masked until unmasked), or negative. */
int evtchn_pending(int fd);
int evtchn_unmask(int fd, uint32_t port);

int gntdev_open(void);
/* One page granted by domid; NULL with errno set. */
void *gntdev_map(int fd, unsigned int domid, uint32_t ref);
void gntdev_unmap(int fd, void *page);

#endif
