/* What this hypervisor calls itself. */
#ifndef BH_VERSION_H
#define BH_VERSION_H

#include <bh/types.h>

#define XEN_ABI_MAJOR 4
#define XEN_ABI_MINOR 17

extern const char version_extra[16];      /* contains "bulkhead" */
extern const char version_capabilities[]; /* guest types this build can run, separated by spaces */
extern const char version_changeset[64];
void version_print_banner(void);

#endif
