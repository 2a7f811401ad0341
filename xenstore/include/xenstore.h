/*
 * Client library of the store, compatible with Xen's libxenstore.so.4.
 *
 * A handle may be used by several threads at once. Functions that return bool or a pointer report failure as
 * false or NULL with errno set; memory they return is freed with one free(). Paths are absolute, or relative
 * to the caller's /local/domain/<domid>.
 *
 * A handle on the daemon's socket survives a restart of the daemon: it connects again by itself (for up to
 * XENSTORE_RECONNECT_SECONDS in the environment, 60 if unset), sets its watches again (each fires once more)
 * and repeats the request that was under way. A transaction that was open then ends with EAGAIN.
 */
#ifndef XENSTORE_H
#define XENSTORE_H

#include <xenstore_lib.h>

#define XBT_NULL 0

/* Accepted, without effect. */
#define XS_OPEN_READONLY   (1UL << 0)
#define XS_OPEN_SOCKETONLY (1UL << 1)
/* After xs_unwatch has returned, no event with that token below that path is delivered any more. */
#define XS_UNWATCH_FILTER (1UL << 2)

struct xs_handle;
typedef uint32_t xs_transaction_t;

/* Opens a connection: to the daemon's socket, or else to the kernel's xenbus device. NULL if there is
 * neither. */
struct xs_handle *xs_open(unsigned long flags);
void xs_close(struct xs_handle *xsh /* may be NULL */);

/* Old names of xs_open(0) and xs_close. */
struct xs_handle *xs_daemon_open(void);
struct xs_handle *xs_domain_open(void);
struct xs_handle *xs_daemon_open_readonly(void);
void xs_daemon_close(struct xs_handle *);
/* In a child after fork: frees the handle without touching the parent's connection. */
void xs_daemon_destroy_postfork(struct xs_handle *);

/* Names of the children of a node: array of *num strings, freed as one. */
char **xs_directory(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *num);
/* Value of a node, with a nul behind it; *len (may be NULL) is its length without that. */
void *xs_read(struct xs_handle *h, xs_transaction_t t, const char *path, unsigned int *len);
bool xs_write(struct xs_handle *h, xs_transaction_t t, const char *path, const void *data, unsigned int len);
/* Makes a node with its parents; fine if it exists. */
bool xs_mkdir(struct xs_handle *h, xs_transaction_t t, const char *path);
/* Removes a node and all below it. */
bool xs_rm(struct xs_handle *h, xs_transaction_t t, const char *path);
/* Always fails: the protocol has no such request any more. */
bool xs_restrict(struct xs_handle *h, unsigned domid);

/* Rights of a node: the first entry is the owner with the rights of everybody not named. */
struct xs_permissions *xs_get_permissions(struct xs_handle *h, xs_transaction_t t, const char *path,
                                          unsigned int *num);
bool xs_set_permissions(struct xs_handle *h, xs_transaction_t t, const char *path,
                        struct xs_permissions *perms, unsigned int num_perms);

/* Watches a node and everything below it. It fires once at once. */
bool xs_watch(struct xs_handle *h, const char *path, const char *token);
bool xs_unwatch(struct xs_handle *h, const char *path, const char *token);
/* A descriptor that is readable while events wait. */
int xs_fileno(struct xs_handle *h);
/* The next event as {path, token}: without waiting (NULL and EAGAIN if there is none), or waiting. */
char **xs_check_watch(struct xs_handle *h);
char **xs_read_watch(struct xs_handle *h, unsigned int *num);

/* XBT_NULL on failure. */
xs_transaction_t xs_transaction_start(struct xs_handle *h);
/* Ends a transaction; false with EAGAIN: begin again from the start. */
bool xs_transaction_end(struct xs_handle *h, xs_transaction_t t, bool abort);

/* For the control domain. */
bool xs_introduce_domain(struct xs_handle *h, unsigned int domid, unsigned long mfn, unsigned int eventchn);
bool xs_set_target(struct xs_handle *h, unsigned int domid, unsigned int target);
bool xs_resume_domain(struct xs_handle *h, unsigned int domid);
bool xs_release_domain(struct xs_handle *h, unsigned int domid);
char *xs_get_domain_path(struct xs_handle *h, unsigned int domid);
bool xs_is_domain_introduced(struct xs_handle *h, unsigned int domid);

/* Is child the same path as parent or below it? Compares text only. */
bool xs_path_is_subpath(const char *parent, const char *child);

/* Sends a control command with `len` bytes of parameters; returns the answer as a string. */
char *xs_control_command(struct xs_handle *h, const char *cmd, void *data, unsigned int len);
char *xs_debug_command(struct xs_handle *h, const char *cmd, void *data, unsigned int len);

/* The event channel by which a domain can be told to suspend, or -1. */
int xs_suspend_evtchn_port(int domid);

#endif
