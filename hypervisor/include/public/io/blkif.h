/*
 * The split block device: requests and responses of the ring between blkfront and blkback.
 *
 * A sector is always 512 bytes here, whatever the device's own sector is. A segment names a granted page and
 * the first and last sector inside it. Requests with more than 11 segments keep the segment list in granted
 * pages of its own ("indirect"). A response may come in any order; the id ties it to its request.
 */
#ifndef PUBLIC_IO_BLKIF_H
#define PUBLIC_IO_BLKIF_H

#include <stdint.h>
#include "ring.h"

typedef uint16_t blkif_vdev_t;
typedef uint64_t blkif_sector_t;

#define BLKIF_OP_READ  0
#define BLKIF_OP_WRITE 1
#define BLKIF_OP_WRITE_BARRIER                                                                               \
    2 /* everything before it is on disk before it, nothing after it starts before it */
#define BLKIF_OP_FLUSH_DISKCACHE 3 /* everything answered before it is on stable storage; may carry data */
#define BLKIF_OP_DISCARD         5
#define BLKIF_OP_INDIRECT        6

#define BLKIF_DISCARD_SECURE (1 << 0)

#define BLKIF_MAX_SEGMENTS_PER_REQUEST       11
#define BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST 8

#define BLKIF_RSP_OKAY       0
#define BLKIF_RSP_ERROR      -1
#define BLKIF_RSP_EOPNOTSUPP -2

/* Bits of the back end's "info" node. */
#define VDISK_CDROM     0x1
#define VDISK_REMOVABLE 0x2
#define VDISK_READONLY  0x4

struct blkif_request_segment {
    uint32_t gref;
    uint8_t first_sect, last_sect; /* both belong to the transfer */
};

struct blkif_request {
    uint8_t operation;
    uint8_t nr_segments;
    blkif_vdev_t handle;
    uint64_t id;
    blkif_sector_t sector_number;
    struct blkif_request_segment seg[BLKIF_MAX_SEGMENTS_PER_REQUEST];
};

struct blkif_request_discard {
    uint8_t operation;
    uint8_t flag;
    blkif_vdev_t handle;
    uint64_t id;
    blkif_sector_t sector_number;
    uint64_t nr_sectors;
};

struct blkif_request_indirect {
    uint8_t operation;
    uint8_t indirect_op;
    uint16_t nr_segments;
    uint64_t id;
    blkif_sector_t sector_number;
    blkif_vdev_t handle;
    uint32_t indirect_grefs[BLKIF_MAX_INDIRECT_PAGES_PER_REQUEST];
};

struct blkif_response {
    uint64_t id;
    uint8_t operation;
    int16_t status;
};

union blkif_sring_entry {
    struct blkif_request req;
    struct blkif_request_discard discard;
    struct blkif_request_indirect indirect;
    struct blkif_response rsp;
};

struct blkif_sring {
    struct ring_header header;
    union blkif_sring_entry ring[1];
};

#endif
