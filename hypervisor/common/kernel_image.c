/*
 * Finds the ELF kernel in a file (Linux x86 boot protocol 2.08 and later: payload_offset and payload_length
 * of the set-up header; the payload's last four bytes tell the size unpacked).
 */
#include <bh/kernel_image.h>
#include <bh/string.h>

#define SETUP_SECTS      0x1f1
#define BOOT_FLAG        0x1fe
#define HEADER_MAGIC     0x202
#define PROTOCOL_VERSION 0x206
#define PAYLOAD_OFFSET   0x248
#define PAYLOAD_LENGTH   0x24c
#define HEADER_END       0x250
#define MAX_UNPACKED     (512UL << 20)

static uint32_t read_le32(const uint8_t *p)
{
    return p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static bool is_elf(const uint8_t *p, uint64_t size)
{
    return size >= 4 && !memcmp(p, "\177ELF", 4);
}

static const char *whole_file(const uint8_t *file, uint64_t size, struct kernel_payload *out)
{
    *out = (struct kernel_payload){file, size, 0};
    /* A gzip file ends with its size unpacked, as a kernel's payload does. */
    if (size > 18 && file[0] == 0x1f && file[1] == 0x8b)
        out->unpacked_size = read_le32(file + size - 4);
    else if (!is_elf(file, size))
        return "the kernel is neither a bzImage nor an ELF file";
    return out->unpacked_size > MAX_UNPACKED ? "the kernel claims to be larger than 512 MiB unpacked" : NULL;
}

const char *kernel_payload(const uint8_t *file, uint64_t size, struct kernel_payload *out)
{
    uint64_t offset, length;

    if (size < HEADER_END || file[BOOT_FLAG] != 0x55 || file[BOOT_FLAG + 1] != 0xaa ||
        memcmp(file + HEADER_MAGIC, "HdrS", 4))
        return whole_file(file, size, out);
    if (file[PROTOCOL_VERSION + 1] < 2 || (file[PROTOCOL_VERSION + 1] == 2 && file[PROTOCOL_VERSION] < 8))
        return "the kernel's boot protocol is older than 2.08: it cannot be unpacked";
    offset = ((file[SETUP_SECTS] ? file[SETUP_SECTS] : 4) + 1UL) * 512 + read_le32(file + PAYLOAD_OFFSET);
    length = read_le32(file + PAYLOAD_LENGTH);
    if (length < 8 || offset > size || length > size - offset)
        return "the kernel is truncated: its payload lies beyond the file's end";
    *out = (struct kernel_payload){file + offset, length, 0};
    if (is_elf(out->bytes, length))
        return NULL;
    out->unpacked_size = read_le32(out->bytes + length - 4);
    if (!out->unpacked_size || out->unpacked_size > MAX_UNPACKED)
        return "the kernel claims to be empty or larger than 512 MiB unpacked";
    return NULL;
}
