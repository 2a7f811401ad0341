/*
 * Unpacks kernels with the libraries that exist for it (zlib, libzstd, liblz4, libbz2), linked statically and
 * run once at boot, before any guest, and with common/xz.c: xz is what distributions use, and half of the
 * time of a start went into liblzma. What the libraries ask of a C library is answered by common/libc_shim.c.
 */
#include <bh/kernel_image.h>
#include <bh/string.h>
#include <bh/xz.h>
#include <bzlib.h>
#include <lz4.h>
#include <stdlib.h>
#include <zlib.h>
#include <zstd.h>

#define LZ4_LEGACY_BLOCK (8U << 20)

static const char *unpack_gzip(const struct kernel_payload *p, uint8_t *to)
{
    z_stream z = {.next_in = (Bytef *)(uintptr_t)p->bytes,
                  .avail_in = (uInt)p->size,
                  .next_out = to,
                  .avail_out = (uInt)p->unpacked_size};

    if (inflateInit2(&z, 16 + MAX_WBITS) != Z_OK)
        return "no memory to unpack the kernel";
    int rc = inflate(&z, Z_FINISH);
    bool whole = z.total_out == p->unpacked_size;
    inflateEnd(&z);
    return rc == Z_STREAM_END && whole ? NULL : "the kernel's gzip payload is damaged";
}

static const char *unpack_xz(const struct kernel_payload *p, uint8_t *to)
{
    struct lzma2 *work = malloc(sizeof(*work));
    const char *wrong =
        work ? xz_unpack(work, p->bytes, p->size, to, p->unpacked_size) : "no memory to unpack the kernel";

    free(work);
    return wrong;
}

static const char *unpack_zstd(const struct kernel_payload *p, uint8_t *to)
{
    size_t frame = ZSTD_findFrameCompressedSize(p->bytes, p->size);

    if (ZSTD_isError(frame))
        return "the kernel's zstd payload is damaged";
    return ZSTD_decompress(to, p->unpacked_size, p->bytes, frame) == p->unpacked_size
               ? NULL
               : "the kernel's zstd payload is damaged, or there is no memory to unpack it";
}

/* The legacy frame: magic, then blocks of {compressed size, bytes}, each of 8 MiB unpacked but the last. */
static const char *unpack_lz4(const struct kernel_payload *p, uint8_t *to)
{
    uint64_t in = 4, out = 0;

    while (out < p->unpacked_size) {
        uint32_t block;
        if (p->size - in < 4)
            return "the kernel's lz4 payload is truncated";
        memcpy(&block, p->bytes + in, 4);
        in += 4;
        if (!block || block > p->size - in || block > 2 * LZ4_LEGACY_BLOCK)
            return "the kernel's lz4 payload is damaged";
        uint64_t room = MIN(p->unpacked_size - out, (uint64_t)LZ4_LEGACY_BLOCK);
        int got = LZ4_decompress_safe((const char *)p->bytes + in, (char *)to + out, (int)block, (int)room);
        if (got <= 0)
            return "the kernel's lz4 payload is damaged";
        in += block;
        out += (uint64_t)got;
    }
    return NULL;
}

static const char *unpack_bzip2(const struct kernel_payload *p, uint8_t *to)
{
    unsigned int size = (unsigned int)p->unpacked_size;
    int rc = BZ2_bzBuffToBuffDecompress((char *)to, &size, (char *)(uintptr_t)p->bytes, (unsigned int)p->size,
                                        0, 0);

    if (rc == BZ_MEM_ERROR)
        return "no memory to unpack the kernel";
    return rc == BZ_OK && size == p->unpacked_size ? NULL : "the kernel's bzip2 payload is damaged";
}

const char *kernel_unpack(const struct kernel_payload *payload, uint8_t *to)
{
    static const struct {
        uint8_t magic[6], length;
        const char *(*unpack)(const struct kernel_payload *p, uint8_t *to);
    } formats[] = {
        {{0x1f, 0x8b}, 2, unpack_gzip},
        {{0xfd, '7', 'z', 'X', 'Z', 0}, 6, unpack_xz},
        {{0x28, 0xb5, 0x2f, 0xfd}, 4, unpack_zstd},
        {{0x02, 0x21, 0x4c, 0x18}, 4, unpack_lz4},
        {{'B', 'Z', 'h'}, 3, unpack_bzip2},
    };

    for (size_t i = 0; i < ARRAY_SIZE(formats); i++)
        if (payload->size >= 8 && !memcmp(payload->bytes, formats[i].magic, formats[i].length))
            return formats[i].unpack(payload, to);
    return "the kernel is compressed in a format other than gzip, xz, zstd, lz4 and bzip2";
}
