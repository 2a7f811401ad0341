/* The command line that both back ends share. */
#ifndef PV_OPTIONS_H
#define PV_OPTIONS_H

#include <stdbool.h>

enum exit_status {
    EXIT_GONE = 0,   /* the device was removed */
    EXIT_BROKEN = 1, /* it could not be set up */
    EXIT_AGAIN = 75, /* start me again */
};

struct options {
    unsigned domid, devid, backend_domid;
    char path[256]; /* our directory in the store */
    const char *user;
    const char *run_dir;
    bool sandbox;
};

/* Fills in o; kind is the device class ("vbd", "vif"). Returns false after telling what is wrong (or giving
 * help). */
bool options_parse(struct options *o, int argc, char **argv, const char *kind);

#endif
