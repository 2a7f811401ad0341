/*
 * Boot loader information, Multiboot 1 and 2. Everything is read through (base, limit), is checked against it
 * before use, and is copied: afterwards the loader's memory is free. Built on the host too
 * (tests/unit/hv-machine, fuzzing).
 */
#include <asm/boot_info.h>

#define MB1_INFO_MEMORY  (1u << 0)
#define MB1_INFO_CMDLINE (1u << 2)
#define MB1_INFO_MODS    (1u << 3)
#define MB1_INFO_MMAP    (1u << 6)
#define MB1_INFO_VIDEO   (1u << 12)

struct packed mb1_info {
    uint32_t flags, mem_lower, mem_upper, boot_device, cmdline, mods_count, mods_addr, syms[4];
    uint32_t mmap_length, mmap_addr, drives_length, drives_addr, config_table, loader_name, apm_table;
    uint32_t vbe_control, vbe_mode_info;
    uint16_t vbe_mode, vbe_seg, vbe_off, vbe_len;
    uint64_t fb_address;
    uint32_t fb_pitch, fb_width, fb_height;
    uint8_t fb_bpp, fb_type, fb_red_pos, fb_red_size, fb_green_pos, fb_green_size, fb_blue_pos, fb_blue_size;
};
struct packed mb1_mod {
    uint32_t start, end, string, pad;
};
struct packed mb1_mmap {
    uint32_t size; /* of what follows */
    struct xen_e820entry entry;
};

enum {
    MB2_END = 0,
    MB2_CMDLINE = 1,
    MB2_MODULE = 3,
    MB2_MMAP = 6,
    MB2_FRAMEBUFFER = 8,
    MB2_EFI64 = 12,
    MB2_ACPI_OLD = 14,
    MB2_ACPI_NEW = 15,
};
struct packed mb2_tag {
    uint32_t type, size;
};
struct packed mb2_mmap_entry {
    struct xen_e820entry entry;
    uint32_t zero;
};
struct packed mb2_framebuffer {
    struct mb2_tag tag;
    uint64_t address;
    uint32_t pitch, width, height;
    uint8_t bpp, type;
    uint16_t reserved;
    uint8_t red_pos, red_size, green_pos, green_size, blue_pos, blue_size;
};
#define FB_TYPE_RGB 1

struct memory {
    const uint8_t *base;
    uint64_t limit;
};

/* Access to [pa, pa + size), NULL when it is out of reach. */
static const void *at(const struct memory *m, uint64_t pa, uint64_t size)
{
    if (pa > m->limit || size > m->limit - pa)
        return NULL;
    return m->base + pa;
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Copies a string of at most `max` bytes at pa; too long a string is cut. */
static void copy_string(const struct memory *m, uint64_t pa, uint64_t max, char *out, size_t size)
{
    size_t n = 0;

    while (n < size - 1 && n < max) {
        const char *c = at(m, pa + n, 1);

        if (!c || *c == '\0')
            break;
        out[n++] = *c;
    }
    out[n] = '\0';
}

/*
 * Drops the file's name that loaders put before the arguments: a first word that holds a '/' and no '='. QEMU
 * hands the hypervisor's own name so, and "vmlinuz args" for a module; GRUB passes modules' arguments alone.
 */
static void drop_file_name(char *s)
{
    size_t word = 0, rest, i;
    bool slash = false, equals = false;

    while (s[word] && !is_blank(s[word])) {
        slash |= s[word] == '/';
        equals |= s[word] == '=';
        word++;
    }
    if (!slash || equals)
        return;
    rest = word;
    while (is_blank(s[rest]))
        rest++;
    for (i = 0; s[rest + i]; i++)
        s[i] = s[rest + i];
    s[i] = '\0';
}

static const char *add_module(struct boot_info *bi, const struct memory *m, uint64_t start, uint64_t end,
                              uint64_t string_pa, uint64_t string_max)
{
    struct boot_module *mod;

    if (bi->nr_modules == BOOT_MAX_MODULES)
        return "the boot loader passes more than 8 modules";
    if (end < start || !at(m, start, end - start))
        return "a boot module lies outside the memory below 4 GiB";
    mod = &bi->module[bi->nr_modules++];
    mod->start = start;
    mod->size = end - start;
    copy_string(m, string_pa, string_max, mod->string, sizeof(mod->string));
    drop_file_name(mod->string);
    return NULL;
}

static const char *mb1_modules(const struct memory *m, const struct mb1_info *info, struct boot_info *bi)
{
    for (uint32_t i = 0; i < info->mods_count; i++) {
        const struct mb1_mod *mod = at(m, info->mods_addr + (uint64_t)i * sizeof(*mod), sizeof(*mod));
        const char *error;

        if (!mod)
            return "the boot loader's module list lies outside memory";
        error = add_module(bi, m, mod->start, mod->end, mod->string, BOOT_STRING_MAX);
        if (error)
            return error;
    }
    return NULL;
}

static const char *mb1_memory(const struct memory *m, const struct mb1_info *info, struct boot_info *bi)
{
    uint64_t pos = 0;

    if (!(info->flags & MB1_INFO_MMAP)) {
        if (!(info->flags & MB1_INFO_MEMORY))
            return "the boot loader gives no memory map";
        e820_add(&bi->e820, 0, (uint64_t)info->mem_lower << 10, E820_RAM);
        e820_add(&bi->e820, 0x100000, (uint64_t)info->mem_upper << 10, E820_RAM);
        return NULL;
    }
    while (pos < info->mmap_length) {
        const struct mb1_mmap *e = at(m, info->mmap_addr + pos, sizeof(*e));

        if (!e || e->size < sizeof(*e) - sizeof(e->size))
            return "the boot loader's memory map is broken";
        if (!e820_add(&bi->e820, e->entry.addr, e->entry.size, e->entry.type))
            return "the boot loader's memory map has more than 128 entries";
        pos += (uint64_t)e->size + sizeof(e->size);
    }
    return NULL;
}

static void set_framebuffer(struct boot_info *bi, uint64_t address, uint32_t pitch, uint32_t width,
                            uint32_t height, uint8_t bpp, const uint8_t *colors)
{
    bi->framebuffer = (struct boot_framebuffer){
        address, pitch, width, height, bpp, colors[0], colors[1], colors[2], colors[3], colors[4], colors[5]};
}

const char *multiboot1_parse(const uint8_t *base, uint64_t limit, uint32_t info_pa, struct boot_info *bi)
{
    const struct memory m = {base, limit};
    const struct mb1_info *info = at(&m, info_pa, sizeof(*info));
    const char *error;

    if (!info)
        return "the boot loader's information lies outside memory";
    if (info->flags & MB1_INFO_CMDLINE)
        copy_string(&m, info->cmdline, BOOT_STRING_MAX, bi->cmdline, sizeof(bi->cmdline));
    drop_file_name(bi->cmdline);
    if ((info->flags & MB1_INFO_VIDEO) && info->fb_type == FB_TYPE_RGB)
        set_framebuffer(bi, info->fb_address, info->fb_pitch, info->fb_width, info->fb_height, info->fb_bpp,
                        &info->fb_red_pos);
    if (info->flags & MB1_INFO_MODS) {
        error = mb1_modules(&m, info, bi);
        if (error)
            return error;
    }
    error = mb1_memory(&m, info, bi);
    e820_sanitise(&bi->e820);
    return error;
}

static const char *mb2_memory(const struct memory *m, uint64_t pa, uint32_t size, struct boot_info *bi)
{
    const struct packed {
        struct mb2_tag tag;
        uint32_t entry_size, entry_version;
    } *map = at(m, pa, sizeof(*map));

    if (!map || size < sizeof(*map) || map->entry_size < sizeof(struct mb2_mmap_entry))
        return "the boot loader's memory map is broken";
    for (uint64_t pos = sizeof(*map); pos + map->entry_size <= size; pos += map->entry_size) {
        const struct mb2_mmap_entry *e = at(m, pa + pos, sizeof(*e));

        if (!e)
            return "the boot loader's memory map lies outside memory";
        if (!e820_add(&bi->e820, e->entry.addr, e->entry.size, e->entry.type))
            return "the boot loader's memory map has more than 128 entries";
    }
    return NULL;
}

/* One tag of `size` bytes, which lie in memory. */
static const char *mb2_tag(const struct memory *m, uint64_t pa, uint32_t type, uint32_t size,
                           struct boot_info *bi)
{
    const struct mb2_tag *tag = at(m, pa, size);
    const uint64_t body = pa + sizeof(*tag), body_size = size - sizeof(*tag);
    const uint32_t *words = (const uint32_t *)(tag + 1);
    const struct mb2_framebuffer *fb;

    switch (type) {
    case MB2_CMDLINE:
        copy_string(m, body, body_size, bi->cmdline, sizeof(bi->cmdline));
        drop_file_name(bi->cmdline);
        break;
    case MB2_MODULE:
        if (body_size < 8)
            return "a module tag of the boot loader is too short";
        return add_module(bi, m, words[0], words[1], body + 8, body_size - 8);
    case MB2_MMAP:
        return mb2_memory(m, pa, size, bi);
    case MB2_FRAMEBUFFER:
        fb = (const struct mb2_framebuffer *)tag;
        if (size >= sizeof(*fb) && fb->type == FB_TYPE_RGB)
            set_framebuffer(bi, fb->address, fb->pitch, fb->width, fb->height, fb->bpp, &fb->red_pos);
        break;
    case MB2_EFI64:
        if (body_size >= 8)
            bi->efi_systab = words[0] | (uint64_t)words[1] << 32;
        break;
    case MB2_ACPI_OLD:
    case MB2_ACPI_NEW: /* the tag holds a copy of the RSDP; the newer one comes last */
        bi->rsdp = body;
        break;
    default:
        break;
    }
    return NULL;
}

const char *multiboot2_parse(const uint8_t *base, uint64_t limit, uint32_t info_pa, struct boot_info *bi)
{
    const struct memory m = {base, limit};
    const uint32_t *total = at(&m, info_pa, 8);
    uint64_t pos = 8;
    const char *error = NULL;

    if (!total || !at(&m, info_pa, *total))
        return "the boot loader's information lies outside memory";
    while (!error && pos + sizeof(struct mb2_tag) <= *total) {
        const struct mb2_tag *tag = at(&m, info_pa + pos, sizeof(*tag));

        if (!tag || tag->type == MB2_END)
            break;
        if (tag->size < sizeof(*tag) || tag->size > *total - pos) {
            error = "a tag of the boot loader's information is broken";
            break;
        }
        error = mb2_tag(&m, info_pa + pos, tag->type, tag->size, bi);
        pos = ROUND_UP(pos + tag->size, 8);
    }
    if (!error && bi->e820.count == 0)
        error = "the boot loader gives no memory map";
    e820_sanitise(&bi->e820);
    return error;
}
