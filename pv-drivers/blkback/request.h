/*
 * Block requests: from the bytes that a guest put into a slot to a struct that cannot be wrong.
 *
 * Everything after a successful decode holds: the operation is one we offered, the sectors lie on the device,
 * every segment lies within its page, and the segments add up to the sectors. Whether the grants are good
 * shows when they are used.
 */
#ifndef BLKBACK_REQUEST_H
#define BLKBACK_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include <public/io/blkif.h>

#define SECTOR_BYTES     512u
#define SECTORS_PER_PAGE 8u
#define REQUEST_MAX_SEGMENTS                                                                                 \
    256u /* what we offer as feature-max-indirect-segments; fits one indirect page                           \
          */
#define REQUEST_SLOT_BYTES_64 112u
#define REQUEST_SLOT_BYTES_32 108u

enum request_kind {
    REQUEST_READ,
    REQUEST_WRITE,
    REQUEST_FLUSH,   /* may carry data, written after the flush */
    REQUEST_BARRIER, /* may carry data */
    REQUEST_DISCARD,
    REQUEST_SECURE_DISCARD,
    REQUEST_KINDS
};

/* Which structure layout the guest uses: 64-bit x86 aligns 64-bit fields to 8, 32-bit x86 to 4. */
enum request_abi { REQUEST_ABI_64, REQUEST_ABI_32 };

struct request_limits {
    uint64_t sectors; /* of the device; 0 without a medium */
    bool read_only;
    bool discard;
    bool secure_discard;
};

struct request {
    uint64_t id;
    uint8_t operation; /* to be echoed: of an indirect request the inner one */
    enum request_kind kind;
    uint64_t sector;
    uint64_t sectors;
    unsigned segments;
    bool indirect; /* segments still have to be fetched from the page indirect_gref */
    uint32_t indirect_gref;
    struct blkif_request_segment segment[REQUEST_MAX_SEGMENTS];
};

/*
 * Decodes a slot (REQUEST_SLOT_BYTES_* of the ABI). Returns BLKIF_RSP_OKAY, or the status to answer with; id
 * and operation are set in any case. *why then names the check that failed.
 */
int request_decode(const void *slot, enum request_abi abi, const struct request_limits *limits,
                   struct request *out, const char **why);

/* Second half for indirect requests: raw is our copy of the page's first segments. Returns as above. */
int request_decode_indirect(struct request *r, const struct blkif_request_segment *raw,
                            const struct request_limits *limits, const char **why);

#endif
