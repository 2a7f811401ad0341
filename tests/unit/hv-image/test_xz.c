/* The xz decoder against liblzma: whatever liblzma packs comes out again; whatever is damaged is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <lzma.h>
#include <bh/xz.h>

#define DATA_MAX   (3UL << 20) /* more than a chunk's 2 MiB */
#define PACKED_MAX (DATA_MAX + (DATA_MAX >> 3) + 65536)

static uint8_t data[DATA_MAX], packed_data[PACKED_MAX], out[DATA_MAX + 64];
static struct lzma2 work;

static uint32_t random_number(void)
{
    static uint64_t state = 88172645463325252UL;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16);
}

enum { NOISE, ZEROS, PERIODS, CODE, TEXT, KINDS };

/* Bytes of a kind that exercises a part of the decoder: stored chunks, runs, short periods, branches, words. */
static void make_data(int kind, size_t size)
{
    for (size_t i = 0; i < size;) {
        uint32_t r = random_number();
        if (kind == NOISE) {
            data[i++] = (uint8_t)r;
        } else if (kind == ZEROS) {
            data[i++] = r % 5000 ? 0 : (uint8_t)(r >> 9);
        } else if (kind == PERIODS) {
            uint32_t period = 1 + r % 12, length = (r >> 8) % 400;
            for (uint32_t k = 0; k < length && i < size; k++, i++)
                data[i] = k < period || i < period ? (uint8_t)random_number() : data[i - period];
        } else if (kind == CODE) {
            static const uint8_t bytes[] = {0xe8, 0xe9, 0xe8, 0x00, 0xff, 0x48,
                                            0x89, 0xe9, 0x00, 0xff, 0x0f, 0x90};
            data[i++] = r & 0x700 ? bytes[r % sizeof(bytes)] : (uint8_t)(r >> 16);
        } else {
            static const char *const words[] = {"domain ", "event ",  "channel ",
                                                "grant ",  "frame\n", "of the "};
            for (const char *w = words[r % ARRAY_SIZE(words)]; *w && i < size; w++)
                data[i++] = (uint8_t)*w;
        }
    }
}

struct how {
    uint32_t preset, lc, lp, pb;
    bool x86;
    lzma_check check;
    size_t block; /* 0: one block */
};

static size_t pack(size_t size, const struct how *how)
{
    lzma_stream z = LZMA_STREAM_INIT;
    lzma_options_lzma options;
    lzma_filter filters[3] = {
        {.id = LZMA_FILTER_X86}, {.id = LZMA_FILTER_LZMA2, .options = &options}, {.id = LZMA_VLI_UNKNOWN}};

    assert_false(lzma_lzma_preset(&options, how->preset));
    options.lc = how->lc;
    options.lp = how->lp;
    options.pb = how->pb;
    options.dict_size = 1 << 20;
    assert_int_equal(lzma_stream_encoder(&z, filters + !how->x86, how->check), LZMA_OK);
    z.next_out = packed_data;
    z.avail_out = PACKED_MAX;
    size_t step = how->block ? how->block : size;
    for (size_t i = 0; i < size; i += step) {
        z.next_in = data + i;
        z.avail_in = MIN(step, size - i);
        lzma_ret rc = lzma_code(&z, i + step < size ? LZMA_FULL_FLUSH : LZMA_FINISH);
        assert_int_equal(rc, LZMA_STREAM_END);
    }
    size_t total = z.total_out;
    lzma_end(&z);
    return total;
}

static void round_trip(size_t size, const struct how *how)
{
    size_t n = pack(size, how);

    memset(out, 0xa5, sizeof(out));
    assert_int_equal(xz_unpacked_size(packed_data, n), size);
    assert_null(xz_unpack(&work, packed_data, n, out, size));
    assert_memory_equal(out, data, size);
    for (size_t i = size; i < sizeof(out); i++)
        assert_int_equal(out[i], 0xa5);
    if (size)
        assert_non_null(xz_unpack(&work, packed_data, n, out, size - 1));
    assert_non_null(xz_unpack(&work, packed_data, n, out, size + 1));
}

static void everything_packed_by_liblzma_unpacks(void **state)
{
    static const lzma_check checks[] = {LZMA_CHECK_NONE, LZMA_CHECK_CRC32, LZMA_CHECK_CRC64};

    for (unsigned int round = 0; round < 60; round++) {
        size_t size = 1 + random_number() % (round % 10 ? 60000 : DATA_MAX);
        make_data((int)(round % KINDS), size);
        struct how how = {.preset = round % 3 ? 1 + round % 6 : 0,
                          .lc = random_number() % 5,
                          .pb = random_number() % 5,
                          .x86 = random_number() & 1,
                          .check = checks[random_number() % 3],
                          .block = random_number() & 1 ? 0 : 1 + size / (1 + random_number() % 4)};
        how.lp = random_number() % (5 - how.lc);
        round_trip(size, &how);
    }
}

static void what_the_format_has_and_kernels_do_not_use_is_refused(void **state)
{
    struct how how = {.preset = 1, .lc = 3, .pb = 2, .check = LZMA_CHECK_SHA256};

    make_data(TEXT, 1000);
    assert_non_null(strstr(xz_unpack(&work, packed_data, pack(1000, &how), out, 1000), "check other than"));
    how.check = LZMA_CHECK_CRC32;
    size_t n = pack(1000, &how);
    packed_data[12 + 2] = LZMA_FILTER_DELTA; /* the filter's number; the header's check is made to fit */
    uint32_t sum = lzma_crc32(packed_data + 12, 8, 0);
    memcpy(packed_data + 20, &sum, 4);
    assert_non_null(strstr(xz_unpack(&work, packed_data, n, out, 1000), "filter other than"));
}

/* Each byte changed in turn, and the file cut at each length: refused, or it did not matter (the index). */
static void damage_never_passes(void **state)
{
    struct how how = {.preset = 6, .lc = 3, .pb = 2, .x86 = true, .check = LZMA_CHECK_CRC32};
    size_t size = 3000, accepted = 0;

    make_data(CODE, size);
    size_t n = pack(size, &how);
    for (size_t i = 0; i < n; i++) {
        uint8_t was = packed_data[i];
        packed_data[i] ^= (uint8_t)(1 + random_number() % 255);
        xz_unpacked_size(packed_data, n);
        if (!xz_unpack(&work, packed_data, n, out, size)) {
            assert_memory_equal(out, data, size);
            accepted++;
        }
        packed_data[i] = was;
    }
    assert_in_range(accepted, 1, 40); /* the index and the footer */
    for (size_t i = 0; i < n; i++) {
        uint8_t *part = malloc(i + 1); /* to the byte, for the sanitizer */
        memcpy(part, packed_data, i);
        if (!xz_unpack(&work, part, i, out, size))
            assert_memory_equal(out, data, size);
        free(part);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(everything_packed_by_liblzma_unpacks),
        cmocka_unit_test(what_the_format_has_and_kernels_do_not_use_is_refused),
        cmocka_unit_test(damage_never_passes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
