/*
 * Reads an ELF64 kernel and its Xen notes (System V ABI, ELF-64 object file format; public/elfnote.h).
 *
 * Notes lie in PT_NOTE segments, or in SHT_NOTE sections of a file whose program headers name none. A kernel
 * without any may still name itself in the old __xen_guest section; such kernels are refused, since no 64-bit
 * one is left.
 */
#include <bh/elf.h>
#include <bh/string.h>
#include <public/elfnote.h>

#define ELF_HEADER_SIZE 64
#define PHDR_SIZE       56
#define SHDR_SIZE       64
#define MACHINE_X86_64  62
#define PT_LOAD         1
#define PT_NOTE         4
#define SHT_NOTE        7
#define MAX_HEADERS     64
/* A kernel's segments all lie in this much memory. */
#define MAX_IMAGE_SPAN (1UL << 30)

struct image {
    const uint8_t *bytes;
    uint64_t size;
};

static uint64_t read_le(const uint8_t *p, unsigned int bytes)
{
    uint64_t value = 0;

    for (unsigned int i = 0; i < bytes; i++)
        value |= (uint64_t)p[i] << (8 * i);
    return value;
}

static bool inside(const struct image *image, uint64_t offset, uint64_t bytes)
{
    return offset <= image->size && bytes <= image->size - offset;
}

/*
 * A feature that the kernel requires: whether it is offered. writable_page_tables counts: a store to a table is
 * carried out for the guest (pv/pte_write.c). Names that nobody knows are no concern of ours.
 */
static bool offered(const char *name, size_t length)
{
    static const char *const missing[] = {"writable_descriptor_tables", "auto_translated_physmap",
                                          "supervisor_mode_kernel", "hvm_callback_vector"};

    for (size_t i = 0; i < ARRAY_SIZE(missing); i++)
        if (strlen(missing[i]) == length && !memcmp(missing[i], name, length))
            return false;
    return true;
}

/* "a|b|!c": names separated by |, a leading ! makes one required. */
static void features(struct elf_kernel *k, const char *text, size_t length)
{
    size_t at = 0;

    while (at < length && text[at]) {
        bool required = text[at] == '!';
        size_t start = at + required, end = start;
        while (end < length && text[end] && text[end] != '|')
            end++;
        if (required && !offered(text + start, end - start))
            k->needs_unsupported = true;
        at = end + 1;
    }
}

static void one_note(struct elf_kernel *k, uint32_t type, const uint8_t *desc, uint32_t size)
{
    uint64_t number = size == 4 || size == 8 ? read_le(desc, size) : 0;

    switch (type) {
    case XEN_ELFNOTE_ENTRY:
        k->virt_entry = number;
        break;
    case XEN_ELFNOTE_HYPERCALL_PAGE:
        k->hypercall_page = number;
        k->has_hypercall_page = true;
        break;
    case XEN_ELFNOTE_VIRT_BASE:
        k->virt_base = number;
        k->has_virt_base = true;
        break;
    case XEN_ELFNOTE_PADDR_OFFSET:
        k->paddr_offset = number;
        break;
    case XEN_ELFNOTE_INIT_P2M:
        k->init_p2m = number;
        k->has_init_p2m = true;
        break;
    case XEN_ELFNOTE_MOD_START_PFN:
        k->mod_start_pfn = number != 0;
        break;
    case XEN_ELFNOTE_FEATURES:
        features(k, (const char *)desc, size);
        break;
    case XEN_ELFNOTE_GUEST_OS:
        memcpy(k->guest_os, desc, MIN(size, sizeof(k->guest_os) - 1));
        break;
    default:
        return;
    }
}

/* A run of notes: {name size, description size, type}, name, description, each padded to 4 bytes. */
static void notes(struct elf_kernel *k, const struct image *image, uint64_t offset, uint64_t bytes)
{
    uint64_t at = offset, end = offset + bytes;

    if (!inside(image, offset, bytes))
        return;
    while (end - at >= 12) {
        const uint8_t *header = image->bytes + at;
        uint32_t name_size = (uint32_t)read_le(header, 4), desc_size = (uint32_t)read_le(header + 4, 4);
        uint64_t name_at = at + 12, desc_at = name_at + ROUND_UP((uint64_t)name_size, 4);
        uint64_t next = desc_at + ROUND_UP((uint64_t)desc_size, 4);
        if (desc_at > end || desc_size > end - desc_at)
            return;
        if (name_size == 4 && !memcmp(image->bytes + name_at, "Xen", 4)) {
            k->has_notes = true;
            one_note(k, (uint32_t)read_le(header + 8, 4), image->bytes + desc_at, desc_size);
        }
        if (next > end)
            return;
        at = next;
    }
}

static const char *load_segment(struct elf_kernel *k, const struct image *image, const uint8_t *phdr)
{
    struct elf_segment s = {
        .file_offset = read_le(phdr + 8, 8),
        .paddr = read_le(phdr + 24, 8),
        .file_size = read_le(phdr + 32, 8),
        .memory_size = read_le(phdr + 40, 8),
    };

    if (!s.memory_size)
        return NULL;
    if (s.file_size > s.memory_size)
        return "the kernel has a segment with more bytes in the file than in memory";
    if (!inside(image, s.file_offset, s.file_size))
        return "the kernel is truncated: a segment lies beyond the file's end";
    if (s.paddr + s.memory_size < s.paddr || s.memory_size > MAX_IMAGE_SPAN)
        return "the kernel has a segment whose addresses wrap or that is larger than 1 GiB";
    if (k->nr_segments == ELF_MAX_SEGMENTS)
        return "the kernel has more than 16 segments to load";
    k->segment[k->nr_segments++] = s;
    k->paddr_start = MIN(k->paddr_start, s.paddr);
    k->paddr_end = MAX(k->paddr_end, s.paddr + s.memory_size);
    return NULL;
}

static const char *program_headers(struct elf_kernel *k, const struct image *image)
{
    const uint8_t *e = image->bytes;
    uint64_t offset = read_le(e + 32, 8), size = read_le(e + 54, 2), count = read_le(e + 56, 2);

    if (size < PHDR_SIZE || !count || count > MAX_HEADERS || !inside(image, offset, size * count))
        return "the kernel's program headers are missing or lie beyond the file's end";
    k->paddr_start = ~0UL;
    for (uint64_t i = 0; i < count; i++) {
        const uint8_t *phdr = e + offset + i * size;
        uint32_t type = (uint32_t)read_le(phdr, 4);
        if (type == PT_NOTE)
            notes(k, image, read_le(phdr + 8, 8), read_le(phdr + 32, 8));
        const char *why = type == PT_LOAD ? load_segment(k, image, phdr) : NULL;
        if (why)
            return why;
    }
    if (!k->nr_segments)
        return "the kernel has no segment to load";
    if (k->paddr_end - k->paddr_start > MAX_IMAGE_SPAN)
        return "the kernel's segments span more than 1 GiB";
    return NULL;
}

static void note_sections(struct elf_kernel *k, const struct image *image)
{
    const uint8_t *e = image->bytes;
    uint64_t offset = read_le(e + 40, 8), size = read_le(e + 58, 2), count = read_le(e + 60, 2);

    if (size < SHDR_SIZE || count > 4 * MAX_HEADERS || !inside(image, offset, size * count))
        return;
    for (uint64_t i = 0; i < count; i++) {
        const uint8_t *shdr = e + offset + i * size;
        if (read_le(shdr + 4, 4) == SHT_NOTE)
            notes(k, image, read_le(shdr + 24, 8), read_le(shdr + 32, 8));
    }
}

const char *elf_parse(const uint8_t *bytes, uint64_t size, struct elf_kernel *out)
{
    static const uint8_t ident[] = {0x7f, 'E', 'L', 'F', 2 /* 64-bit */, 1 /* little endian */,
                                    1 /* version */};
    const struct image image = {bytes, size};

    memset(out, 0, sizeof(*out));
    if (size < ELF_HEADER_SIZE || memcmp(bytes, ident, 4))
        return "the kernel is neither a bzImage nor an ELF file";
    if (memcmp(bytes, ident, sizeof(ident)) || read_le(bytes + 18, 2) != MACHINE_X86_64)
        return "the kernel is an ELF file, but not for 64-bit x86";
    out->entry = read_le(bytes + 24, 8);
    const char *why = program_headers(out, &image);
    if (why)
        return why;
    if (!out->has_notes)
        note_sections(out, &image);
    if (!out->virt_entry)
        out->virt_entry = out->entry;
    return NULL;
}
