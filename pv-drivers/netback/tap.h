/* The Dom0 end of a virtual network: a persistent tap interface, so that it survives the process that serves
 * it. */
#ifndef NETBACK_TAP_H
#define NETBACK_TAP_H

#include <stdbool.h>
#include <stddef.h>

/* Creates or finds the interface. Returns a non-blocking descriptor, or -errno with the reason in why. */
int tap_open(const char *name, char *why, size_t why_bytes);
/* What the kernel may hand us unfinished: checksums, TCP segments to be cut. Returns 0 or -errno. */
int tap_offload(int fd, bool checksum, bool tso4, bool tso6);
int tap_carrier(int fd, bool on);
/* MTU (0: leave), the conventional address of back ends, and up. */
int tap_configure(const char *name, unsigned mtu, char *why, size_t why_bytes);
int tap_join_bridge(const char *name, const char *bridge, char *why, size_t why_bytes);
/* The interface goes away with the last descriptor. */
void tap_release(int fd);

#endif
