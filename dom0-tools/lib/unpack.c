/*
 * Unpacking: xz by the decoder that the hypervisor has too; gzip, lzma, zstd, lz4 (the kernel's legacy frames)
 * and bzip2 through their libraries, each told where to stop. Input is hostile: output never grows past a limit, a declared size is a hint and
 * nothing more.
 */
#include <bh/xz.h>
#include <bzlib.h>
#include <inttypes.h>
#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>
#include "internal.h"

#define FIRST_GUESS (32UL << 20)

struct sink {
    struct bh *h;
    uint8_t *data;
    size_t used, room, limit;
};

/* Makes room for more output. */
static int sink_grow(struct sink *s)
{
    size_t room = s->room ? s->room * 2 : FIRST_GUESS;
    uint8_t *data;

    if (s->room >= s->limit)
        return bh_fail(s->h, EFBIG, "unpacks to more than %zu MiB", s->limit >> 20);
    if (room > s->limit)
        room = s->limit;
    if (bh_step(s->h, "memory for the unpacked kernel"))
        return -s->h->error;
    data = realloc(s->data, room);
    if (!data)
        return bh_fail(s->h, ENOMEM, "no memory for an unpacked kernel of %zu MiB", room >> 20);
    s->data = data;
    s->room = room;
    return 0;
}

static int corrupt(struct sink *s, const char *format, const char *why)
{
    return bh_fail(s->h, EINVAL, "the %s data is damaged: %s (after %zu unpacked bytes)", format, why,
                   s->used);
}

static int unpack_gzip(struct sink *s, const uint8_t *data, size_t size)
{
    z_stream z = {.next_in = (Bytef *)data, .avail_in = size > UINT32_MAX ? UINT32_MAX : size};
    int rc = inflateInit2(&z, 15 + 16), result = 0;

    if (rc != Z_OK)
        return bh_fail(s->h, ENOMEM, "no memory for gzip");
    while (rc != Z_STREAM_END && !result) {
        if (s->used == s->room)
            result = sink_grow(s);
        if (result)
            break;
        z.next_out = s->data + s->used;
        z.avail_out = s->room - s->used;
        rc = inflate(&z, Z_NO_FLUSH);
        s->used = s->room - z.avail_out;
        if (rc != Z_OK && rc != Z_STREAM_END && !(rc == Z_BUF_ERROR && z.avail_out == 0))
            result = corrupt(s, "gzip", z.msg ? z.msg : "it ends early");
        else if (rc == Z_OK && z.avail_in == 0 && z.avail_out != 0)
            result = corrupt(s, "gzip", "it ends early");
    }
    inflateEnd(&z);
    return result;
}

static int unpack_xz(struct sink *s, const uint8_t *data, size_t size)
{
    uint64_t total = xz_unpacked_size(data, size);

    if (!total)
        return corrupt(s, "xz", "it ends early, or its blocks do not add up");
    if (total > s->limit)
        return bh_fail(s->h, EFBIG, "unpacks to %" PRIu64 " MiB, more than %zu MiB", total >> 20,
                       s->limit >> 20);
    if (bh_step(s->h, "memory for the unpacked kernel"))
        return -s->h->error;
    struct lzma2 *work = malloc(sizeof(*work));
    s->data = malloc(total);
    if (!work || !s->data) {
        free(work);
        return bh_fail(s->h, ENOMEM, "no memory for an unpacked kernel of %" PRIu64 " MiB", total >> 20);
    }
    const char *wrong = xz_unpack(work, data, size, s->data, total);
    free(work);
    s->used = s->room = total;
    return wrong ? bh_fail(s->h, EINVAL, "%s", wrong) : 0;
}

static int unpack_lzma(struct sink *s, const uint8_t *data, size_t size)
{
    lzma_stream z = LZMA_STREAM_INIT;
    lzma_ret rc = lzma_alone_decoder(&z, 256UL << 20);
    int result = 0;

    if (rc != LZMA_OK)
        return bh_fail(s->h, ENOMEM, "no memory for lzma");
    z.next_in = data;
    z.avail_in = size;
    while (rc != LZMA_STREAM_END && !result) {
        if (s->used == s->room)
            result = sink_grow(s);
        if (result)
            break;
        z.next_out = s->data + s->used;
        z.avail_out = s->room - s->used;
        rc = lzma_code(&z, LZMA_RUN);
        s->used = s->room - z.avail_out;
        if (rc == LZMA_MEMLIMIT_ERROR)
            result = corrupt(s, "lzma", "its dictionary is over 256 MiB");
        else if (rc != LZMA_OK && rc != LZMA_STREAM_END)
            result = corrupt(s, "lzma", "it does not decode");
        else if (rc == LZMA_OK && z.avail_in == 0 && z.avail_out != 0)
            result = corrupt(s, "lzma", "it ends early");
    }
    lzma_end(&z);
    return result;
}

static int unpack_bzip2(struct sink *s, const uint8_t *data, size_t size)
{
    bz_stream z = {.next_in = (char *)data, .avail_in = size > UINT32_MAX ? UINT32_MAX : size};
    int rc = BZ2_bzDecompressInit(&z, 0, 0), result = 0;

    if (rc != BZ_OK)
        return bh_fail(s->h, ENOMEM, "no memory for bzip2");
    while (rc != BZ_STREAM_END && !result) {
        if (s->used == s->room)
            result = sink_grow(s);
        if (result)
            break;
        z.next_out = (char *)s->data + s->used;
        z.avail_out = s->room - s->used;
        rc = BZ2_bzDecompress(&z);
        s->used = s->room - z.avail_out;
        if (rc != BZ_OK && rc != BZ_STREAM_END)
            result = corrupt(s, "bzip2", "it does not decode");
        else if (rc == BZ_OK && z.avail_in == 0 && z.avail_out != 0)
            result = corrupt(s, "bzip2", "it ends early");
    }
    BZ2_bzDecompressEnd(&z);
    return result;
}

static int unpack_zstd(struct sink *s, const uint8_t *data, size_t size)
{
    ZSTD_DStream *z = ZSTD_createDStream();
    ZSTD_inBuffer in = {.src = data, .size = size};
    size_t rc = 1;
    int result = 0;

    if (!z)
        return bh_fail(s->h, ENOMEM, "no memory for zstd");
    ZSTD_DCtx_setParameter(z, ZSTD_d_windowLogMax, 27);
    while (rc != 0 && !result) {
        ZSTD_outBuffer out;

        if (s->used == s->room)
            result = sink_grow(s);
        if (result)
            break;
        out = (ZSTD_outBuffer){.dst = s->data, .size = s->room, .pos = s->used};
        rc = ZSTD_decompressStream(z, &out, &in);
        s->used = out.pos;
        if (ZSTD_isError(rc))
            result = corrupt(s, "zstd", ZSTD_getErrorName(rc));
        else if (rc != 0 && in.pos == in.size && out.pos < out.size)
            result = corrupt(s, "zstd", "it ends early");
    }
    ZSTD_freeDStream(z);
    return result;
}

/* The legacy frame: magic, then blocks of a length and up to 8 MiB of output each. Ends with the input, or
 * with a length that cannot be one (the kernel build appends the unpacked size). */
static int unpack_lz4(struct sink *s, const uint8_t *data, size_t size)
{
    const size_t block_max = 8UL << 20;
    size_t at = 4;

    while (size - at >= 4) {
        uint32_t length;
        int got;

        memcpy(&length, data + at, sizeof(length));
        if (length == 0x184c2102) {
            at += 4;
            continue;
        }
        if (length == 0 || length > size - at - 4)
            break;
        while (s->room - s->used < block_max) {
            int rc = s->room - s->used < block_max ? sink_grow(s) : 0;

            if (rc)
                return rc;
        }
        got = LZ4_decompress_safe((const char *)data + at + 4, (char *)s->data + s->used, length, block_max);
        if (got < 0)
            return corrupt(s, "lz4", "a block does not decode");
        s->used += got;
        at += 4 + (size_t)length;
    }
    return s->used ? 0 : corrupt(s, "lz4", "it holds no block");
}

static const struct {
    const char *name;
    uint8_t magic[6];
    unsigned int magic_size;
    int (*unpack)(struct sink *s, const uint8_t *data, size_t size);
} formats[] = {
    {"gzip", {0x1f, 0x8b}, 2, unpack_gzip},           {"xz", {0xfd, '7', 'z', 'X', 'Z', 0}, 6, unpack_xz},
    {"lzma", {0x5d, 0, 0}, 3, unpack_lzma},           {"zstd", {0x28, 0xb5, 0x2f, 0xfd}, 4, unpack_zstd},
    {"lz4", {0x02, 0x21, 0x4c, 0x18}, 4, unpack_lz4}, {"bzip2", {'B', 'Z', 'h'}, 3, unpack_bzip2},
};

int unpack_any(struct bh *h, const uint8_t *data, size_t size, size_t limit, uint8_t **out, size_t *out_size)
{
    struct sink s = {.h = h, .limit = limit};

    for (unsigned int i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        int rc;

        if (size < 8 || memcmp(data, formats[i].magic, formats[i].magic_size) != 0)
            continue;
        rc = formats[i].unpack(&s, data, size);
        if (rc) {
            free(s.data);
            return rc;
        }
        *out = s.data;
        *out_size = s.used;
        return 0;
    }
    return bh_fail(h, ENOEXEC, "not packed in a known way (gzip, xz, lzma, zstd, lz4, bzip2 are known)");
}
