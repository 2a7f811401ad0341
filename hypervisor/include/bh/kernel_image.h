/*
 * Kernel files as distributions ship them: a Linux bzImage with a payload compressed by gzip, xz, zstd, lz4
 * or bzip2, or a plain ELF file, compressed or not.
 */
#ifndef BH_KERNEL_IMAGE_H
#define BH_KERNEL_IMAGE_H

#include <bh/types.h>

struct kernel_payload {
    const uint8_t *bytes; /* inside the file */
    uint64_t size;
    uint64_t unpacked_size; /* 0: it is the ELF file itself */
};

/* Finds the ELF file in a kernel file; returns NULL or a sentence that says what is wrong. */
const char *must_check kernel_payload(const uint8_t *file, uint64_t size, struct kernel_payload *out);

/*
 * Unpacks a payload into `to` (room for unpacked_size bytes). Boot time only: the libraries behind it want
 * SSE and a readable FS segment. Returns NULL or a sentence.
 */
const char *must_check kernel_unpack(const struct kernel_payload *payload, uint8_t *to);

#endif
