/*
 * The container around LZMA2 (common/lzma2.c): a stream header, blocks, an index that nobody needs here.
 *
 *   stream header: FD "7zXZ" 00, flags (kind of check), their CRC32
 *   block:         header (sizes if known, filters, CRC32), LZMA2 chunks, zeros to a multiple of 4, check
 *
 * What a block unpacks to is checked by CRC32 (zlib's) or CRC64 if the file says so. All bytes are hostile.
 */
#include <bh/string.h>
#include <bh/xz.h>
#include <zlib.h>

enum { PIECE = 2048 };
enum { STREAM_HEADER = 12, CHECK_NONE = 0, CHECK_CRC32 = 1, CHECK_CRC64 = 4 };
enum { FILTER_X86 = 0x04, FILTER_LZMA2 = 0x21 };
enum { HAS_PACKED_SIZE = 0x40, HAS_UNPACKED_SIZE = 0x80, RESERVED_FLAGS = 0x3c };

static const char damaged[] = "the kernel's xz payload is damaged";
static const char unknown_filter[] = "the kernel's xz payload has a filter other than x86 and LZMA2";

struct block {
    const uint8_t *data;
    bool x86;
    uint32_t x86_start;
};

static uint32_t get_u32(const uint8_t *p)
{
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static uint32_t crc_32(const uint8_t *p, uint64_t size)
{
    return (uint32_t)crc32_z(0, p, size);
}

/* Are these PIECE bytes all 0? */
static bool is_zero(const uint8_t *p)
{
    const lzma_word_t *word = (const void *)p, *end = (const void *)(p + PIECE);

    while (word < end && !(word[0] | word[1] | word[2] | word[3]))
        word += 4;
    return word == end;
}

/* The same of a kernel, half of which is zeros: a piece of them takes one step instead of one for each byte. */
static uint32_t crc_32_of_kernel(const uint8_t *p, uint64_t size)
{
    static const uint8_t zeros[PIECE];
    uLong crc = 0, zero = crc_32(zeros, PIECE), over = crc32_combine_gen(PIECE);

    for (; size >= PIECE; p += PIECE, size -= PIECE)
        crc = is_zero(p) ? crc32_combine_op(crc, zero, over) : crc32_z(crc, p, PIECE);
    return (uint32_t)crc32_z(crc, p, size);
}

/* Bit by bit into a table, then by bytes: polynomial 0xC96C5795D7870F42, reflected (ECMA-182). */
static uint64_t crc_64(const uint8_t *p, uint64_t size)
{
    uint64_t table[256], crc = ~0UL;

    for (uint64_t i = 0; i < ARRAY_SIZE(table); i++) {
        table[i] = i;
        for (int bit = 0; bit < 8; bit++)
            table[i] = table[i] >> 1 ^ (table[i] & 1 ? 0xc96c5795d7870f42UL : 0);
    }
    for (uint64_t i = 0; i < size; i++)
        crc = crc >> 8 ^ table[(uint8_t)crc ^ p[i]];
    return ~crc;
}

/* A number of up to nine groups of seven bits, lowest first. False: it does not end before `end`. */
static bool number(const uint8_t **at, const uint8_t *end, uint64_t *value)
{
    *value = 0;
    for (unsigned int shift = 0; *at < end && shift < 63; shift += 7) {
        uint8_t byte = *(*at)++;
        *value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

static const char *block_header(const uint8_t *at, const uint8_t *end, struct block *b)
{
    uint64_t size = (at[0] + 1UL) * 4, value, id, properties;

    if (size > (uint64_t)(end - at) || crc_32(at, size - 4) != get_u32(at + size - 4) ||
        at[1] & RESERVED_FLAGS)
        return damaged;
    *b = (struct block){.data = at + size};
    end = at + size - 4;
    unsigned int filters = (at[1] & 3U) + 1,
                 sizes = !!(at[1] & HAS_PACKED_SIZE) + !!(at[1] & HAS_UNPACKED_SIZE);
    at += 2;
    while (sizes--)
        if (!number(&at, end, &value))
            return damaged;
    while (filters--) {
        if (!number(&at, end, &id) || !number(&at, end, &properties) || properties > (uint64_t)(end - at))
            return damaged;
        bool last = !filters;
        if (id != (last ? FILTER_LZMA2 : FILTER_X86) || b->x86 + !last > 1)
            return unknown_filter;
        if (!last) {
            b->x86 = true;
            b->x86_start = properties == 4 ? get_u32(at) : 0;
        }
        at += properties;
    }
    return NULL;
}

/* The next byte 0xe8 or 0xe9, call or jmp, at or after `i`; `end` or more if there is none. */
static uint64_t next_branch(const uint8_t *bytes, uint64_t i, uint64_t end)
{
    const uint64_t ones = 0x0101010101010101UL;

    for (; i + 8 <= end; i += 8) {
        uint64_t word = *(const lzma_word_t *)(bytes + i) ^ 0xe8 * ones;
        uint64_t found = (word - 2 * ones) & ~word & 0x80 * ones; /* exact for the lowest byte below 2 */
        if (found)
            return i + (unsigned int)__builtin_ctzl(found) / 8;
    }
    while (i < end && (bytes[i] & 0xfe) != 0xe8)
        i++;
    return i;
}

static bool is_sign(uint8_t byte)
{
    return (uint8_t)(byte + 1) < 2;
}

/*
 * Undoes the x86 filter: targets of calls and jumps were made absolute, which repeats better. An instruction
 * counts if its target's top byte is a sign and if what looks like a branch in the three bytes before, left
 * alone itself (`recent`, a bit each), does not make it doubtful.
 */
static void x86_unfilter(uint8_t *bytes, uint64_t size, uint32_t start)
{
    static const uint8_t doubtful = 0xe8; /* values of recent: a bit each */
    static const uint8_t nearest[8] = {0, 1, 2, 2, 3, 3, 3, 3};
    uint64_t end = size < 5 ? 0 : size - 4, before = ~0UL;
    uint32_t recent = 0;

    for (uint64_t i = next_branch(bytes, 0, end); i < end; i = next_branch(bytes, i, end)) {
        uint64_t gap = i - before;
        recent = gap > 3 ? 0 : recent << (gap - 1) & 7;
        before = i;
        if (!is_sign(bytes[i + 4]) ||
            (recent && (doubtful >> recent & 1 || is_sign(bytes[i + 4 - nearest[recent]])))) {
            recent = recent << 1 | 1;
            i++;
            continue;
        }
        uint32_t from = start + (uint32_t)i + 5, target = get_u32(bytes + i + 1) - from,
                 shift = 8U * nearest[recent];
        while (recent && is_sign((uint8_t)(target >> (24 - shift))))
            target = (target ^ ((1U << (32 - shift)) - 1)) - from;
        target = target & 0x1000000 ? target | 0xfe000000 : target & 0x1ffffff;
        *(lzma_word32_t *)(bytes + i + 1) = target;
        i += 5;
    }
}

/* Checks a stream's header and returns where its first block begins, or NULL; tells the size of a check. */
static const uint8_t *stream_header(const uint8_t *file, uint64_t size, uint8_t *check, uint32_t *check_size)
{
    if (size < STREAM_HEADER ||
        memcmp(file,
               "\375"
               "7zXZ\0",
               7) ||
        crc_32(file + 6, 2) != get_u32(file + 8))
        return NULL;
    *check = file[7];
    *check_size = *check == CHECK_CRC32 ? 4 : *check == CHECK_CRC64 ? 8 : 0;
    return *check == CHECK_NONE || *check_size ? file + STREAM_HEADER : NULL;
}

/* Where a block's check begins, after its padding. NULL: the padding is wrong, or the file ends before. */
static const uint8_t *after_padding(const uint8_t *at, const struct block *b, const uint8_t *end,
                                    uint32_t check_size)
{
    for (; (at - b->data) % 4; at++)
        if (at == end || *at)
            return NULL;
    return end - at > check_size ? at : NULL;
}

uint64_t xz_unpacked_size(const uint8_t *file, uint64_t size)
{
    const uint8_t *end = file + size;
    uint32_t check_size;
    uint8_t check;
    uint64_t total = 0;
    struct block b;

    const uint8_t *at = stream_header(file, size, &check, &check_size);
    while (at && at < end && *at) {
        if (block_header(at, end, &b))
            return 0;
        at = lzma2_skip(b.data, end, &total);
        at = at ? after_padding(at, &b, end, check_size) : NULL;
        at = at ? at + check_size : NULL;
    }
    return at && at < end ? total : 0;
}

static bool right(uint8_t check, const uint8_t *sum, const uint8_t *bytes, uint64_t size)
{
    if (check == CHECK_CRC32)
        return crc_32_of_kernel(bytes, size) == get_u32(sum);
    if (check == CHECK_CRC64)
        return crc_64(bytes, size) == (get_u32(sum) | (uint64_t)get_u32(sum + 4) << 32);
    return true;
}

const char *xz_unpack(struct lzma2 *work, const uint8_t *file, uint64_t size, uint8_t *to, uint64_t room)
{
    const uint8_t *end = file + size;
    uint32_t check_size;
    uint8_t check;
    struct block b;

    const uint8_t *at = stream_header(file, size, &check, &check_size);
    if (!at)
        return "the kernel's xz payload has no valid header, or a check other than CRC32 and CRC64";
    work->out = to;
    work->out_end = to + room;
    while (at < end && *at) {
        uint8_t *first = work->out;
        const char *wrong = block_header(at, end, &b);
        if (wrong)
            return wrong;
        work->in = b.data;
        work->in_end = end;
        if (!lzma2_decode(work))
            return damaged;
        if (b.x86)
            x86_unfilter(first, (uint64_t)(work->out - first), b.x86_start);
        const uint8_t *sum = after_padding(work->in, &b, end, check_size);
        if (!sum || !right(check, sum, first, (uint64_t)(work->out - first)))
            return damaged;
        at = sum + check_size;
    }
    return at < end && work->out == work->out_end ? NULL : damaged;
}
