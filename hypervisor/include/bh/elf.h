/*
 * Kernels as ELF64 files with the notes by which they say how to be built (public/elfnote.h). Everything in
 * the file is hostile: each offset and size is checked against the file before use, nothing is allocated,
 * nothing is written.
 */
#ifndef BH_ELF_H
#define BH_ELF_H

#include <bh/types.h>

#define ELF_MAX_SEGMENTS 16

struct elf_segment {
    uint64_t file_offset, file_size; /* bytes in the image */
    uint64_t memory_size;            /* >= file_size; the rest is zero */
    uint64_t paddr;
};

struct elf_kernel {
    uint64_t entry; /* of the ELF header; the note overrides it */
    uint32_t nr_segments;
    struct elf_segment segment[ELF_MAX_SEGMENTS];
    uint64_t paddr_start, paddr_end; /* hull of the segments */
    /* Notes; has_* for those whose absence matters. */
    bool has_notes, has_virt_base, has_hypercall_page, has_init_p2m;
    bool mod_start_pfn, needs_unsupported;
    uint64_t virt_entry, virt_base, hypercall_page, init_p2m, paddr_offset;
    char guest_os[16];
};

/*
 * Reads the headers of `image` (size bytes) into *out. Returns NULL, or a sentence that says why it is no
 * 64-bit x86 kernel that can be loaded.
 */
const char *must_check elf_parse(const uint8_t *image, uint64_t size, struct elf_kernel *out);

#endif
