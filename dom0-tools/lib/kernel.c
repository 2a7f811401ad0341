/*
 * Kernel files: bzImage to ELF, and what a PV kernel of 64 bits says about itself.
 *
 * Nothing in the file is trusted: every offset and size is checked against the file before it is used, every
 * address against the guest, and the number of segments and notes is bounded.
 *
 * What was unpacked is kept (kernel_cache.c).
 */
#include <elf.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include "internal.h"

#define ADDRESS_LIMIT (1UL << 40) /* of a segment, in the guest's physical memory */

/* Offsets in the setup header of a bzImage. */
#define SETUP_SECTORS   0x1f1
#define SETUP_BOOT_FLAG 0x1fe
#define SETUP_MAGIC     0x202
#define SETUP_VERSION   0x206
#define PAYLOAD_OFFSET  0x248
#define PAYLOAD_LENGTH  0x24c

static uint32_t get32(const uint8_t *at)
{
    uint32_t value;

    memcpy(&value, at, sizeof(value));
    return value;
}

static bool is_elf(const uint8_t *data, size_t size)
{
    return size > 4 && memcmp(data, ELFMAG, SELFMAG) == 0;
}

int bzimage_unpack(struct bh *h, const uint8_t *data, size_t size, uint8_t **out, size_t *out_size)
{
    uint64_t sectors, start, length;

    if (size < 0x300 || memcmp(data + SETUP_MAGIC, "HdrS", 4) != 0)
        return bh_fail(h, ENOEXEC, "neither an ELF file nor a bzImage");
    if ((get32(data + SETUP_VERSION) & 0xffff) < 0x208)
        return bh_fail(h, ENOEXEC,
                       "a bzImage of boot protocol %u.%02u: 2.08 is the oldest with a payload for PV",
                       data[SETUP_VERSION + 1], data[SETUP_VERSION]);
    sectors = data[SETUP_SECTORS] ? data[SETUP_SECTORS] : 4;
    start = (sectors + 1) * 512 + get32(data + PAYLOAD_OFFSET);
    length = get32(data + PAYLOAD_LENGTH);
    if (start >= size || length > size - start || length < 16)
        return bh_fail(h, EINVAL,
                       "the bzImage's payload (%lu bytes at %lu) is not inside the file of %zu bytes", length,
                       start, size);
    if (is_elf(data + start, length)) {
        *out = bh_alloc(h, 1, length, "the kernel");
        if (!*out)
            return -h->error;
        memcpy(*out, data + start, length);
        *out_size = length;
        return 0;
    }
    if (unpack_any(h, data + start, length, KERNEL_LIMIT, out, out_size))
        return bh_because(h, "unpacking the bzImage's payload");
    return 0;
}

void image_free(struct image *image)
{
    if (image->mapping) {
        munmap(image->mapping, image->mapping_size);
        close(image->fd);
    } else {
        free(image->data);
    }
    free(image->source);
    memset(image, 0, sizeof(*image));
}

static int map_file(struct bh *h, const char *path, struct image *out, struct stat *st)
{
    int fd, error;
    void *memory;

    if (bh_step(h, "opening %s", path))
        return -h->error;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return bh_fail(h, errno, "cannot open %s: %s", path, strerror(errno));
    if (fstat(fd, st) < 0 || !S_ISREG(st->st_mode) || st->st_size <= 0 ||
        (uint64_t)st->st_size > KERNEL_LIMIT) {
        close(fd);
        return bh_fail(h, EINVAL, "%s is not a file of 1 byte to 1 GiB", path);
    }
    memory = mmap(NULL, st->st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    error = errno;
    if (memory == MAP_FAILED) {
        close(fd);
        return bh_fail(h, error, "cannot map %s: %s", path, strerror(error));
    }
    out->fd = fd;
    out->data = out->mapping = memory;
    out->size = out->mapping_size = st->st_size;
    return 0;
}

static int unpack(struct bh *h, const uint8_t *data, size_t size, struct image *out)
{
    if (size > 8 && data[0] == 0x1f && data[1] == 0x8b)
        return unpack_any(h, data, size, KERNEL_LIMIT, &out->data, &out->size);
    return bzimage_unpack(h, data, size, &out->data, &out->size);
}

/* Takes over the bytes of a packed file. The name is made of the bytes that are unpacked, whoever writes the file
 * meanwhile. */
static int load_packed(struct bh *h, uint8_t *data, size_t size, const struct stat *st, struct image *out)
{
    char name[CACHE_NAME];
    int rc;

    if (cache_may_have(size)) {
        cache_name(data, size, name);
        if (cache_get(name, out)) {
            cache_remember(st, name);
            free(data);
            return 0;
        }
    }
    rc = unpack(h, data, size, out);
    if (rc) {
        free(data);
        return rc;
    }
    out->source = data;
    out->source_size = size;
    out->source_file = *st;
    return 0;
}

int image_load(struct bh *h, const char *path, struct image *out)
{
    struct image file = {0};
    struct stat st;
    char name[CACHE_NAME];
    int rc = map_file(h, path, &file, &st);

    memset(out, 0, sizeof(*out));
    if (rc)
        return rc;
    if (is_elf(file.data, file.size)) {
        *out = file;
        return 0;
    }
    if (!cache_recall(&st, name) || !cache_get(name, out)) {
        uint8_t *data = bh_alloc(h, 1, file.size, "the kernel file");
        rc = data ? load_packed(h, memcpy(data, file.data, file.size), file.size, &st, out) : -h->error;
    }
    image_free(&file);
    return rc ? bh_because(h, "reading the kernel %s", path) : 0;
}

int image_keep(struct bh *h, struct image *image)
{
    char name[CACHE_NAME];
    int rc;

    if (!image->source)
        return 0;
    cache_name(image->source, image->source_size, name);
    rc = cache_put(h, name, image->data, image->size);
    if (!rc)
        cache_remember(&image->source_file, name);
    free(image->source);
    image->source = NULL;
    return rc;
}

int bh_prepare_kernel(struct bh *h, const char *path)
{
    struct image image;
    struct pv_kernel kernel;
    int rc = image_load(h, path, &image);

    if (rc)
        return rc;
    if (image_keep(h, &image)) {
        image_free(&image);
        return bh_because(h, "keeping the unpacked kernel %s", path);
    }
    rc = pv_kernel_parse(h, image.data, image.size, &kernel);
    image_free(&image);
    return rc ? bh_because(h, "the kernel %s cannot run as a PV guest", path) : 0;
}

/* ---- ELF ---- */

struct notes {
    uint64_t virt_base, paddr_offset, entry, hypercall_page, init_p2m, mod_start;
    bool has_virt_base, has_paddr_offset, has_entry, has_hypercall, has_p2m, has_xen;
    char guest_os[32], xen_version[32], features[256];
};

static uint64_t note_number(const uint8_t *at, size_t size)
{
    uint64_t value = 0;

    if (size == 1 || size == 2 || size == 4 || size == 8)
        memcpy(&value, at, size);
    return value;
}

static void note_string(char *out, size_t room, const uint8_t *at, size_t size)
{
    size_t length = strnlen((const char *)at, size);

    if (length >= room)
        length = room - 1;
    memcpy(out, at, length);
    out[length] = 0;
}

static void take_note(struct notes *n, uint32_t type, const uint8_t *at, size_t size)
{
    n->has_xen = true;
    switch (type) {
    case XEN_ELFNOTE_ENTRY:
        n->entry = note_number(at, size);
        n->has_entry = true;
        break;
    case XEN_ELFNOTE_HYPERCALL_PAGE:
        n->hypercall_page = note_number(at, size);
        n->has_hypercall = true;
        break;
    case XEN_ELFNOTE_VIRT_BASE:
        n->virt_base = note_number(at, size);
        n->has_virt_base = true;
        break;
    case XEN_ELFNOTE_PADDR_OFFSET:
        n->paddr_offset = note_number(at, size);
        n->has_paddr_offset = true;
        break;
    case XEN_ELFNOTE_INIT_P2M:
        n->init_p2m = note_number(at, size);
        n->has_p2m = true;
        break;
    case XEN_ELFNOTE_MOD_START_PFN:
        n->mod_start = note_number(at, size);
        break;
    case XEN_ELFNOTE_XEN_VERSION:
        note_string(n->xen_version, sizeof(n->xen_version), at, size);
        break;
    case XEN_ELFNOTE_GUEST_OS:
        note_string(n->guest_os, sizeof(n->guest_os), at, size);
        break;
    default:
        break;
    }
}

static uint64_t round4(uint64_t x)
{
    return (x + 3) & ~3UL;
}

/* Walks one area of notes; what does not fit ends the walk. */
static void walk_notes(struct notes *n, const uint8_t *at, size_t size)
{
    while (size >= 12) {
        uint64_t name_size = get32(at), desc_size = get32(at + 4);
        uint64_t total = 12 + round4(name_size) + round4(desc_size);

        if (12 + round4(name_size) + desc_size > size)
            return;
        if (name_size == 4 && memcmp(at + 12, "Xen", 4) == 0)
            take_note(n, get32(at + 8), at + 12 + round4(name_size), desc_size);
        if (total >= size)
            return;
        at += total;
        size -= total;
    }
}

static bool inside(uint64_t offset, uint64_t length, size_t size)
{
    return offset <= size && length <= size - offset;
}

static void read_notes(const uint8_t *data, size_t size, const Elf64_Ehdr *head, struct notes *n)
{
    for (unsigned int i = 0; i < head->e_phnum; i++) {
        Elf64_Phdr p;

        memcpy(&p, data + head->e_phoff + i * sizeof(p), sizeof(p));
        if (p.p_type == PT_NOTE && inside(p.p_offset, p.p_filesz, size))
            walk_notes(n, data + p.p_offset, p.p_filesz);
    }
    if (n->has_xen || head->e_shentsize != sizeof(Elf64_Shdr) ||
        !inside(head->e_shoff, (uint64_t)head->e_shnum * sizeof(Elf64_Shdr), size))
        return;
    for (unsigned int i = 0; i < head->e_shnum; i++) {
        Elf64_Shdr s;

        memcpy(&s, data + head->e_shoff + i * sizeof(s), sizeof(s));
        if (s.sh_type == SHT_NOTE && inside(s.sh_offset, s.sh_size, size))
            walk_notes(n, data + s.sh_offset, s.sh_size);
    }
}

static int check_header(struct bh *h, const uint8_t *data, size_t size, Elf64_Ehdr *head)
{
    if (size < sizeof(*head) || !is_elf(data, size))
        return bh_fail(h, ENOEXEC, "the kernel is not an ELF file");
    memcpy(head, data, sizeof(*head));
    if (head->e_ident[EI_CLASS] != ELFCLASS64 || head->e_ident[EI_DATA] != ELFDATA2LSB)
        return bh_fail(h, ENOEXEC,
                       "the kernel is not of 64 bits, little endian (ELF class %u, data %u); PV guests of 32 "
                       "bits are not supported",
                       head->e_ident[EI_CLASS], head->e_ident[EI_DATA]);
    if (head->e_machine != EM_X86_64)
        return bh_fail(h, ENOEXEC, "the kernel is for another machine (ELF machine %u, x86-64 is %u)",
                       head->e_machine, EM_X86_64);
    if (head->e_phentsize != sizeof(Elf64_Phdr) || head->e_phnum == 0 || head->e_phnum > 128 ||
        !inside(head->e_phoff, (uint64_t)head->e_phnum * sizeof(Elf64_Phdr), size))
        return bh_fail(h, EINVAL,
                       "the kernel's program headers (%u of %u bytes at %lu) are not inside the file of %zu",
                       head->e_phnum, head->e_phentsize, head->e_phoff, size);
    return 0;
}

static int add_segment(struct bh *h, const Elf64_Phdr *p, const struct notes *n, size_t size,
                       struct pv_kernel *out)
{
    uint64_t start = p->p_paddr - n->paddr_offset;
    struct pv_segment *s = &out->segments[out->segment_count];

    if (out->segment_count == PV_SEGMENTS_MAX)
        return bh_fail(h, EINVAL, "the kernel has more than %u loadable segments", PV_SEGMENTS_MAX);
    if (!inside(p->p_offset, p->p_filesz, size) || p->p_filesz > p->p_memsz)
        return bh_fail(h, EINVAL,
                       "segment %u of the kernel (%lu bytes at %lu, %lu in memory) is not inside the file of "
                       "%zu bytes",
                       out->segment_count, p->p_filesz, p->p_offset, p->p_memsz, size);
    if (start >= ADDRESS_LIMIT || p->p_memsz >= ADDRESS_LIMIT)
        return bh_fail(h, EINVAL, "segment %u of the kernel lies at %#lx, %#lx long: outside of any guest",
                       out->segment_count, start, p->p_memsz);
    s->pfn = start >> PAGE_SHIFT;
    s->offset_in_page = start & (PAGE_BYTES - 1);
    s->file_offset = p->p_offset;
    s->file_size = p->p_filesz;
    s->memory_size = p->p_memsz;
    out->segment_count++;
    start = (start + p->p_memsz + PAGE_BYTES - 1) >> PAGE_SHIFT;
    if (start > out->end_pfn)
        out->end_pfn = start;
    return 0;
}

static bool in_kernel(const struct pv_kernel *k, uint64_t address)
{
    return address >= k->virt_base && address - k->virt_base < k->end_pfn << PAGE_SHIFT;
}

/* Neither the hole in the middle nor what the hypervisor keeps above it. */
uint64_t pv_space_from(uint64_t virt)
{
    if (virt < 1UL << 47)
        return (1UL << 47) - virt;
    return virt >= 0xffff880000000000UL ? 0UL - virt : 0;
}

static int check_addresses(struct bh *h, const struct notes *n, struct pv_kernel *out)
{
    if (out->segment_count == 0 || out->end_pfn == 0)
        return bh_fail(h, EINVAL, "the kernel has nothing to load");
    if (out->virt_base & ((1UL << 22) - 1) || !pv_space_from(out->virt_base))
        return bh_fail(
            h, EINVAL,
            "the kernel wants to start its memory at %#lx: not a multiple of 4 MiB in a guest's part of "
            "the address space",
            out->virt_base);
    if (out->end_pfn > pv_space_from(out->virt_base) >> PAGE_SHIFT)
        return bh_fail(h, EINVAL, "the kernel from %#lx on does not fit below the end of the address space",
                       out->virt_base);
    if (!in_kernel(out, out->entry))
        return bh_fail(h, EINVAL, "the kernel's entry %#lx is outside of what it loads (%#lx to %#lx)",
                       out->entry, out->virt_base, out->virt_base + (out->end_pfn << PAGE_SHIFT));
    if (out->has_hypercall_page &&
        (!in_kernel(out, out->hypercall_page) || out->hypercall_page & (PAGE_BYTES - 1)))
        return bh_fail(h, EINVAL, "the kernel's hypercall page %#lx is not a page of what it loads",
                       out->hypercall_page);
    if (out->has_init_p2m && (out->init_p2m & ((1UL << 39) - 1)))
        return bh_fail(h, EINVAL, "the kernel wants its page list at %#lx: not a multiple of 512 GiB",
                       out->init_p2m);
    if (out->has_init_p2m && !pv_space_from(out->init_p2m))
        return bh_fail(h, EINVAL, "the kernel wants its page list at %#lx, which is not the guest's to use",
                       out->init_p2m);
    if (out->has_init_p2m && out->init_p2m >> 39 == out->virt_base >> 39)
        return bh_fail(h, EINVAL, "the kernel wants its page list at %#lx, over its own first mapping",
                       out->init_p2m);
    return 0;
}

int pv_kernel_parse(struct bh *h, const uint8_t *data, size_t size, struct pv_kernel *out)
{
    struct notes n = {0};
    Elf64_Ehdr head;
    int rc = check_header(h, data, size, &head);

    memset(out, 0, sizeof(*out));
    if (rc)
        return rc;
    read_notes(data, size, &head, &n);
    if (!n.has_xen)
        return bh_fail(h, ENOEXEC,
                       "the kernel has no Xen notes: it was built without support for PV guests "
                       "(Linux: CONFIG_XEN_PV)");
    out->virt_base = n.virt_base;
    out->entry = n.has_entry ? n.entry : head.e_entry;
    out->has_hypercall_page = n.has_hypercall;
    out->hypercall_page = n.hypercall_page;
    out->has_init_p2m = n.has_p2m;
    out->init_p2m = n.init_p2m;
    out->mod_start_pfn = n.mod_start != 0;
    if (!n.has_paddr_offset)
        n.paddr_offset = n.virt_base;
    for (unsigned int i = 0; i < head.e_phnum && !rc; i++) {
        Elf64_Phdr p;

        memcpy(&p, data + head.e_phoff + i * sizeof(p), sizeof(p));
        if (p.p_type == PT_LOAD && p.p_memsz)
            rc = add_segment(h, &p, &n, size, out);
    }
    return rc ? rc : check_addresses(h, &n, out);
}
