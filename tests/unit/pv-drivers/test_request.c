/* Block requests: every check of the decoder, in both structure layouts, as a table. */
#include "front.h"

#include <string.h>

#include "../../../pv-drivers/blkback/qcow2.h"
#include "../../../pv-drivers/blkback/request.h"

#define SECTORS 1000u

static const struct request_limits writable = {.sectors = SECTORS, .discard = true, .secure_discard = true};
static const struct request_limits read_only = {.sectors = SECTORS, .read_only = true};
static const struct request_limits empty = {.sectors = 0};

struct row {
    const char *name;
    const struct request_limits *limits;
    struct blkif_request request;
    int status;
};

#define SEG(first, last)                                                                                     \
    {                                                                                                        \
        .gref = 7, .first_sect = (first), .last_sect = (last)                                                \
    }

static const struct row rows[] = {
    {"read", &writable, {.operation = 0, .nr_segments = 1, .seg = {SEG(0, 7)}}, 0},
    {"write", &writable, {.operation = 1, .nr_segments = 2, .seg = {SEG(0, 7), SEG(3, 3)}}, 0},
    {"read at the very end",
     &writable,
     {.operation = 0, .nr_segments = 1, .sector_number = 992, .seg = {SEG(0, 7)}},
     0},
    {"read across the end",
     &writable,
     {.operation = 0, .nr_segments = 1, .sector_number = 993, .seg = {SEG(0, 7)}},
     -1},
    {"read behind the end",
     &writable,
     {.operation = 0, .nr_segments = 1, .sector_number = 1001, .seg = {SEG(0, 0)}},
     -1},
    {"sector wraps",
     &writable,
     {.operation = 0, .nr_segments = 1, .sector_number = ~0ull, .seg = {SEG(0, 7)}},
     -1},
    {"no segments", &writable, {.operation = 0, .nr_segments = 0}, -1},
    {"12 segments", &writable, {.operation = 0, .nr_segments = 12}, -1},
    {"backwards segment", &writable, {.operation = 0, .nr_segments = 1, .seg = {SEG(4, 3)}}, -1},
    {"segment beyond its page", &writable, {.operation = 0, .nr_segments = 1, .seg = {SEG(0, 8)}}, -1},
    {"write to read-only", &read_only, {.operation = 1, .nr_segments = 1, .seg = {SEG(0, 7)}}, -1},
    {"barrier to read-only", &read_only, {.operation = 2}, -1},
    {"flush of read-only", &read_only, {.operation = 3}, 0},
    {"flush with data to read-only", &read_only, {.operation = 3, .nr_segments = 1, .seg = {SEG(0, 7)}}, -1},
    {"empty flush", &writable, {.operation = 3, .sector_number = ~0ull}, 0},
    {"flush with data", &writable, {.operation = 3, .nr_segments = 1, .seg = {SEG(0, 7)}}, 0},
    {"empty barrier", &writable, {.operation = 2}, 0},
    {"no medium", &empty, {.operation = 0, .nr_segments = 1, .seg = {SEG(0, 7)}}, -1},
    {"reserved operation", &writable, {.operation = 4}, -2},
    {"unknown operation", &writable, {.operation = 77}, -2},
};

/* The same request in the layout of 32-bit guests: everything behind the first word four bytes earlier. */
static void to_32(const void *slot64, uint8_t *slot32)
{
    memset(slot32, 0, REQUEST_SLOT_BYTES_64);
    memcpy(slot32, slot64, 4);
    memcpy(slot32 + 4, (const uint8_t *)slot64 + 8, REQUEST_SLOT_BYTES_32 - 4);
}

static int decode(const void *slot64, enum request_abi abi, const struct request_limits *limits,
                  struct request *r)
{
    uint8_t slot[REQUEST_SLOT_BYTES_64];
    const char *why;
    if (abi == REQUEST_ABI_64)
        memcpy(slot, slot64, sizeof(slot));
    else
        to_32(slot64, slot);
    return request_decode(slot, abi, limits, r, &why);
}

static void every_row(void **state)
{
    static struct request r;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct blkif_request request = rows[i].request;
        request.id = 0x1122334455667788ull;
        for (int abi = REQUEST_ABI_64; abi <= REQUEST_ABI_32; abi++) {
            int status = decode(&request, (enum request_abi)abi, rows[i].limits, &r);
            if (status != rows[i].status)
                fail_msg("%s: status %d, not %d", rows[i].name, status, rows[i].status);
            assert_int_equal(r.id, request.id);
            assert_int_equal(r.operation, request.operation);
        }
    }
}

static void discards(void **state)
{
    static struct request r;
    struct {
        struct blkif_request_discard d;
        uint8_t rest[80];
    } e = {.d = {.operation = BLKIF_OP_DISCARD, .sector_number = 8, .nr_sectors = 992}};
    for (int abi = REQUEST_ABI_64; abi <= REQUEST_ABI_32; abi++) {
        e.d.flag = 0;
        e.d.nr_sectors = 992;
        assert_int_equal(decode(&e, (enum request_abi)abi, &writable, &r), 0);
        assert_int_equal(r.kind, REQUEST_DISCARD);
        assert_int_equal(r.sectors, 992);
        e.d.flag = BLKIF_DISCARD_SECURE;
        assert_int_equal(decode(&e, (enum request_abi)abi, &writable, &r), 0);
        assert_int_equal(r.kind, REQUEST_SECURE_DISCARD);
        e.d.nr_sectors = 993;
        assert_int_equal(decode(&e, (enum request_abi)abi, &writable, &r), BLKIF_RSP_ERROR);
        e.d.nr_sectors = ~0ull;
        assert_int_equal(decode(&e, (enum request_abi)abi, &writable, &r), BLKIF_RSP_ERROR);
        assert_int_equal(decode(&e, (enum request_abi)abi, &read_only, &r), BLKIF_RSP_EOPNOTSUPP);
    }
}

static void indirect(void **state)
{
    static struct request r;
    struct blkif_request_segment list[REQUEST_MAX_SEGMENTS];
    const char *why;
    struct {
        struct blkif_request_indirect i;
        uint8_t rest[64];
    } e = {.i = {.operation = BLKIF_OP_INDIRECT,
                 .indirect_op = BLKIF_OP_WRITE,
                 .nr_segments = 100,
                 .indirect_grefs = {42}}};
    for (unsigned i = 0; i < REQUEST_MAX_SEGMENTS; i++)
        list[i] = (struct blkif_request_segment)SEG(0, 7);
    for (int abi = REQUEST_ABI_64; abi <= REQUEST_ABI_32; abi++) {
        e.i.nr_segments = 100;
        e.i.indirect_op = BLKIF_OP_WRITE;
        assert_int_equal(decode(&e, (enum request_abi)abi, &writable, &r), 0);
        assert_true(r.indirect && r.indirect_gref == 42 && r.operation == BLKIF_OP_WRITE);
        assert_int_equal(request_decode_indirect(&r, list, &writable, &why), 0);
        assert_int_equal(r.sectors, 800);
        list[99].last_sect = 8;
        assert_int_equal(request_decode_indirect(&r, list, &writable, &why), BLKIF_RSP_ERROR);
        list[99].last_sect = 7;
        e.i.nr_segments = 126;
        assert_int_equal(decode(&e, (enum request_abi)abi, &writable, &r), 0);
        assert_int_equal(request_decode_indirect(&r, list, &writable, &why),
                         BLKIF_RSP_ERROR); /* 1008 sectors */
        e.i.nr_segments = REQUEST_MAX_SEGMENTS + 1;
        assert_int_equal(decode(&e, (enum request_abi)abi, &writable, &r), BLKIF_RSP_ERROR);
        e.i.nr_segments = 1;
        e.i.indirect_op = BLKIF_OP_DISCARD;
        assert_int_equal(decode(&e, (enum request_abi)abi, &writable, &r), BLKIF_RSP_EOPNOTSUPP);
    }
}

/* --- qcow2 headers
 * ------------------------------------------------------------------------------------------------- */

static void put32(uint8_t *p, uint32_t v)
{
    for (int i = 0; i < 4; i++)
        p[i] = (uint8_t)(v >> (24 - 8 * i));
}

static void good_header(uint8_t *h)
{
    memset(h, 0, QCOW2_HEAD_BYTES);
    put32(h, 0x514649fb);
    put32(h + 4, 3);
    put32(h + 20, 16);
    put32(h + 28, 1 << 20);
    put32(h + 100, 104);
}

static void with_backing(uint8_t *h, const char *name, const char *format)
{
    put32(h + 12, 512);
    put32(h + 16, (uint32_t)strlen(name));
    memcpy(h + 512, name, strlen(name));
    put32(h + 104, 0xe2792aca);
    put32(h + 108, (uint32_t)strlen(format));
    memcpy(h + 112, format, strlen(format));
}

static void lying_images_are_refused(void **state)
{
    static uint8_t h[QCOW2_HEAD_BYTES];
    struct qcow2_head head;
    good_header(h);
    assert_null(qcow2_parse(h, sizeof(h), &head));
    assert_int_equal(head.virtual_bytes, 1 << 20);
    with_backing(h, "base.img", "raw");
    assert_null(qcow2_parse(h, sizeof(h), &head));
    assert_true(head.has_backing && head.backing_is_raw);
    assert_string_equal(head.backing, "base.img");
    with_backing(h, "base.img", "vmdk");
    assert_non_null(qcow2_parse(h, sizeof(h), &head));
    with_backing(h, "base.img", "raw");
    put32(h + 104, 0); /* no format named: QEMU would guess */
    assert_non_null(qcow2_parse(h, sizeof(h), &head));
    with_backing(h, "base.img", "raw");
    put32(h + 16, 5000);
    assert_non_null(qcow2_parse(h, sizeof(h), &head));
    good_header(h);
    put32(h + 76, 4); /* external data file */
    assert_non_null(qcow2_parse(h, sizeof(h), &head));
    put32(h + 76, 2); /* corrupt */
    assert_non_null(qcow2_parse(h, sizeof(h), &head));
    good_header(h);
    put32(h + 20, 40);
    assert_non_null(qcow2_parse(h, sizeof(h), &head));
    good_header(h);
    put32(h + 100, 0xffffffff);
    assert_non_null(qcow2_parse(h, sizeof(h), &head));
    good_header(h);
    assert_non_null(qcow2_parse(h, 71, &head));
    put32(h, 0x514649fc);
    assert_non_null(qcow2_parse(h, sizeof(h), &head));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row),
        cmocka_unit_test(discards),
        cmocka_unit_test(indirect),
        cmocka_unit_test(lying_images_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
