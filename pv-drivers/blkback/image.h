/*
 * A disk image: something that takes reads, writes, flushes and discards and says later how they ended.
 *
 * An image_io belongs to its caller again once done() was called; done() is called from reap() or from uring_run(), never
 * from submit(). Requests run in any order. A flush covers what was done before it was submitted.
 */
#ifndef BLKBACK_IMAGE_H
#define BLKBACK_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include "../common/uring.h"

enum image_op { IMAGE_READ, IMAGE_WRITE, IMAGE_FLUSH, IMAGE_DISCARD, IMAGE_ZERO };

struct image_io {
    enum image_op op;
    uint64_t offset;
    uint64_t bytes;
    struct iovec *iov; /* changed by the image when a transfer came in parts */
    unsigned niov;
    void (*done)(struct image_io *io, int error); /* error: 0 or -errno */
    /* the image's own: */
    struct uring_op ring;
    struct image *image;
    uint64_t finished; /* bytes moved */
    void *buffer;
    int error;
    struct image_io *next;
};

struct image;

struct image_ops {
    void (*submit)(struct image *i, struct image_io *io);
    /* Calls done() for what has finished; -errno when the image is lost. */
    int (*reap)(struct image *i);
    /* Lets requests go on for at most so long, when nobody else does. */
    void (*wait)(struct image *i, int timeout_ms);
    /* The descriptor that tells of work for reap(), and the events to wait for; NULL: uring_run() does it all. */
    int (*fd)(const struct image *i, short *events);
    /* Looks at the size again. */
    int (*resize)(struct image *i);
    /* The device is gone for good: let helpers go as well. */
    void (*finish)(struct image *i);
};

struct image {
    const struct image_ops *ops;
    uint64_t bytes;
    unsigned physical_sector;
    unsigned discard_granularity; /* 0: cannot discard */
    /* The kernel holds on to the memory of a transfer under way, even when this process is killed. */
    bool pins_memory;
};

struct image_config {
    const char *path;
    const char *format;  /* "raw" or "qcow2" */
    const char *overlay; /* NULL: none */
    const char *run_dir;
    struct uring *uring; /* what the transfers of files go through */
    bool read_only;
    bool direct;
    bool block_discard;
    unsigned domid, devid;
    unsigned patience_ms; /* how long to wait for an image that is in use */
};

/*
 * Opens the image and takes its lock. Waits (bounded) for the lock while requests of an earlier process of
 * ours are still under way: once we have it, nothing that process started can reach the image any more.
 * Returns 0, or -errno with the reason in why.
 */
int image_open(const struct image_config *config, struct image **out, char *why, size_t why_bytes);

/* The two kinds; image_open() picks one. */
int image_file_open(const struct image_config *config, struct image **out, char *why, size_t why_bytes);
int image_nbd_open(const struct image_config *config, struct image **out, char *why, size_t why_bytes);

#endif
