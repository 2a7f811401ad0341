/*
 * A look at qcow2 headers before QEMU gets to see an image: enough to refuse one that lies about what it
 * stands on.
 */
#ifndef BLKBACK_QCOW2_H
#define BLKBACK_QCOW2_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QCOW2_HEAD_BYTES 4096u
#define QCOW2_MAX_CHAIN  16

struct qcow2_head {
    uint64_t virtual_bytes;
    bool has_backing;
    bool backing_is_raw; /* the header names format "raw" for it; anything else but qcow2 is refused */
    char backing[1024];  /* as written in the header, relative to the image's directory */
};

/* Reads a header from the first bytes of an image. Returns NULL, or what is wrong with it. */
const char *qcow2_parse(const uint8_t *untrusted, size_t bytes, struct qcow2_head *out);

/* Follows the chain of backing files. Returns 0, or -errno with the reason in why. */
int qcow2_check_chain(const char *path, char *why, size_t why_bytes);

#endif
