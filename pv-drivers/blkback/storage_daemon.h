/* QEMU's storage daemon: one for each image that is not raw, holding it open and serving it over NBD. */
#ifndef BLKBACK_STORAGE_DAEMON_H
#define BLKBACK_STORAGE_DAEMON_H

#include "image.h"

struct storage_daemon {
    char nbd_socket[108];
    int monitor; /* its monitor connection, -1: none */
    char buffer[8192];
    size_t buffered;
};

/*
 * Finds the running daemon of the device or starts one, and leaves it with a fresh export named "disk" behind
 * which no request of an earlier connection is under way. Returns 0, or -errno with the reason in why.
 */
int storage_daemon_open(struct storage_daemon *d, const struct image_config *config, char *why,
                        size_t why_bytes);
/* Ends the daemon; the image is flushed and closed. */
void storage_daemon_quit(struct storage_daemon *d);

#endif
