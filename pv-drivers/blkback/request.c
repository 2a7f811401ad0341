#include "request.h"

#include <string.h>

static int refuse(const char **why, const char *reason, int status)
{
    *why = reason;
    return status;
}

/* The fields that follow the 4 bytes of opcode and handle start 4 bytes later where 64-bit fields are aligned
 * to 8. */
static unsigned id_offset(enum request_abi abi)
{
    return abi == REQUEST_ABI_64 ? 8 : 4;
}

static bool on_device(const struct request_limits *limits, uint64_t sector, uint64_t sectors)
{
    return sector <= limits->sectors && sectors <= limits->sectors - sector;
}

/* Takes the segments over one by one; what arrives in r->segment has been checked. */
static int check_segments(struct request *r, const struct blkif_request_segment *untrusted,
                          const struct request_limits *limits, const char **why)
{
    r->sectors = 0;
    for (unsigned i = 0; i < r->segments; i++) {
        struct blkif_request_segment s = untrusted[i];
        if (s.first_sect > s.last_sect || s.last_sect >= SECTORS_PER_PAGE)
            return refuse(why, "a segment's sectors do not lie within its page", BLKIF_RSP_ERROR);
        r->segment[i] = s;
        r->sectors += s.last_sect - s.first_sect + 1u;
    }
    if (!on_device(limits, r->sector, r->sectors))
        return refuse(why, "the sectors lie beyond the end of the device", BLKIF_RSP_ERROR);
    return BLKIF_RSP_OKAY;
}

static int kind_of(uint8_t operation, enum request_kind *kind)
{
    switch (operation) {
    case BLKIF_OP_READ:
        *kind = REQUEST_READ;
        return 0;
    case BLKIF_OP_WRITE:
        *kind = REQUEST_WRITE;
        return 0;
    case BLKIF_OP_FLUSH_DISKCACHE:
        *kind = REQUEST_FLUSH;
        return 0;
    case BLKIF_OP_WRITE_BARRIER:
        *kind = REQUEST_BARRIER;
        return 0;
    default:
        return -1;
    }
}

static int check_access(const struct request *r, const struct request_limits *limits, const char **why)
{
    if (limits->sectors == 0)
        return refuse(why, "there is no medium", BLKIF_RSP_ERROR);
    if (limits->read_only && r->kind != REQUEST_READ && r->kind != REQUEST_FLUSH)
        return refuse(why, "the device is read-only", BLKIF_RSP_ERROR);
    if (limits->read_only && r->kind == REQUEST_FLUSH && r->segments)
        return refuse(why, "the device is read-only", BLKIF_RSP_ERROR);
    return BLKIF_RSP_OKAY;
}

static int decode_discard(const uint8_t *slot, unsigned base, const struct request_limits *limits,
                          struct request *r, const char **why)
{
    memcpy(&r->sector, slot + base + 8, sizeof(r->sector));
    memcpy(&r->sectors, slot + base + 16, sizeof(r->sectors));
    bool secure = (slot[1] & BLKIF_DISCARD_SECURE) && limits->secure_discard;
    r->kind = secure ? REQUEST_SECURE_DISCARD : REQUEST_DISCARD;
    if (!limits->discard)
        return refuse(why, "discard was not offered", BLKIF_RSP_EOPNOTSUPP);
    int status = check_access(r, limits, why);
    if (status)
        return status;
    if (!on_device(limits, r->sector, r->sectors))
        return refuse(why, "the discarded sectors lie beyond the end of the device", BLKIF_RSP_ERROR);
    return BLKIF_RSP_OKAY;
}

static int decode_indirect(const uint8_t *slot, unsigned base, const struct request_limits *limits,
                           struct request *r, const char **why)
{
    uint16_t segments;
    r->operation = slot[1];
    memcpy(&segments, slot + 2, sizeof(segments));
    memcpy(&r->sector, slot + base + 8, sizeof(r->sector));
    memcpy(&r->indirect_gref, slot + base + 20, sizeof(r->indirect_gref));
    if (r->operation != BLKIF_OP_READ && r->operation != BLKIF_OP_WRITE)
        return refuse(why, "an indirect request is neither read nor write", BLKIF_RSP_EOPNOTSUPP);
    if (segments == 0 || segments > REQUEST_MAX_SEGMENTS)
        return refuse(why, "an indirect request has no segments, or more than were offered", BLKIF_RSP_ERROR);
    kind_of(r->operation, &r->kind);
    r->segments = segments;
    r->indirect = true;
    return check_access(r, limits, why);
}

static int decode_direct(const uint8_t *slot, unsigned base, const struct request_limits *limits,
                         struct request *r, const char **why)
{
    struct blkif_request_segment raw[BLKIF_MAX_SEGMENTS_PER_REQUEST];
    memcpy(&r->sector, slot + base + 8, sizeof(r->sector));
    memcpy(raw, slot + base + 16, sizeof(raw));
    r->segments = slot[1];
    bool may_be_empty = r->kind == REQUEST_FLUSH || r->kind == REQUEST_BARRIER;
    if (r->segments > BLKIF_MAX_SEGMENTS_PER_REQUEST || (r->segments == 0 && !may_be_empty))
        return refuse(why, "a request has no segments, or more than fit into it", BLKIF_RSP_ERROR);
    int status = check_access(r, limits, why);
    if (status)
        return status;
    if (r->segments == 0)
        r->sector = 0;
    return check_segments(r, raw, limits, why);
}

int request_decode(const void *untrusted_slot, enum request_abi abi, const struct request_limits *limits,
                   struct request *out, const char **why)
{
    const uint8_t *slot = untrusted_slot;
    unsigned base = id_offset(abi);
    out->operation = slot[0];
    out->segments = 0;
    out->sectors = 0;
    out->indirect = false;
    memcpy(&out->id, slot + base, sizeof(out->id));
    if (out->operation == BLKIF_OP_DISCARD)
        return decode_discard(slot, base, limits, out, why);
    if (out->operation == BLKIF_OP_INDIRECT)
        return decode_indirect(slot, base, limits, out, why);
    if (kind_of(out->operation, &out->kind))
        return refuse(why, "the operation is not one that this back end knows", BLKIF_RSP_EOPNOTSUPP);
    return decode_direct(slot, base, limits, out, why);
}

int request_decode_indirect(struct request *r, const struct blkif_request_segment *raw,
                            const struct request_limits *limits, const char **why)
{
    return check_segments(r, raw, limits, why);
}
