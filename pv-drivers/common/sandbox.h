/* Giving up what is no longer needed: root, capabilities, and all system calls but the few that serving
 * takes. */
#ifndef PV_SANDBOX_H
#define PV_SANDBOX_H

/*
 * Becomes user for good and installs the filter. Both back ends share it. Call once everything is open.
 * Returns 0 or -errno (logged).
 */
int sandbox_enter(const char *user);

#endif
