/*
 * Helpers of the store's client library: permission entries, paths of the daemon's socket. Programs written
 * against Xen's libxenstore compile and link unchanged.
 */
#ifndef XENSTORE_LIB_H
#define XENSTORE_LIB_H

#include <errno.h>
#include <limits.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xen/io/xs_wire.h>

struct xs_permissions {
    unsigned int id;    /* domain */
    unsigned int perms; /* XS_PERM_* bits */
#define XS_PERM_NONE      0x00
#define XS_PERM_READ      0x01
#define XS_PERM_WRITE     0x02
#define XS_PERM_ENOENT_OK 0x04
#define XS_PERM_OWNER     0x08
#define XS_PERM_IGNORE    0x10
};

/* Room for the decimal text of an integer object, with sign and nul. */
#define MAX_STRLEN(x) ((sizeof(x) * CHAR_BIT + CHAR_BIT - 1) / 10 * 3 + 2)

/* Directory and socket of the daemon; XENSTORED_RUNDIR and XENSTORED_PATH in the environment override them.
 */
const char *xs_daemon_rundir(void);
const char *xs_daemon_socket(void);
const char *xs_daemon_socket_ro(void);

/* write(2) until everything is written. */
bool xs_write_all(int fd, const void *data, unsigned int len);

/* Parses `num` nul-terminated permission texts ("b7") that follow each other. False with errno if one is
 * none. */
bool xs_strings_to_perms(struct xs_permissions *perms, unsigned int num, const char *strings);

#endif
