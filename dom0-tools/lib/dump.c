/*
 * The core of a PV domain: an ELF file with sections, in Xen's dump format (version 1).
 *
 * The guest's page list is found as the guest itself publishes it for this: shared info names a page of
 * frames, each a page of frames of the list. All of these numbers are the guest's: they are used only to map
 * pages of that very domain, and a page that cannot be mapped is left out.
 */
#include <elf.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "internal.h"

#define PER_PAGE     512UL
#define BATCH        256U
#define CORE_MAGIC   0xF00FEBEDUL
#define NOTE_NONE    0x2000000
#define NOTE_HEADER  0x2000001
#define NOTE_VERSION 0x2000002
#define NOTE_FORMAT  0x2000003
#define SECTIONS     7

struct p2m_entry {
    uint64_t pfn, gmfn;
};

struct dump {
    struct bh *h;
    unsigned int domid;
    int fd;
    uint64_t offset;
    struct bh_domain info;
    struct p2m_entry *pages;
    uint64_t count;
    Elf64_Shdr sections[SECTIONS];
    unsigned int section_count;
    char names[160];
    size_t names_size;
};

static int put(struct dump *d, const void *data, size_t size)
{
    const uint8_t *at = data;

    while (size) {
        ssize_t done = write(d->fd, at, size);

        if (done <= 0)
            return bh_fail(d->h, errno ? errno : EIO, "writing the core: %s", strerror(errno));
        at += done;
        size -= done;
        d->offset += done;
    }
    return 0;
}

static int pad_to(struct dump *d, uint64_t align)
{
    static const uint8_t zeros[PAGE_BYTES];

    return d->offset % align ? put(d, zeros, align - d->offset % align) : 0;
}

static void begin_section(struct dump *d, const char *name, uint32_t type, uint64_t entry)
{
    Elf64_Shdr *s = &d->sections[d->section_count++];
    size_t length = strlen(name) + 1;

    s->sh_name = d->names_size;
    memcpy(d->names + d->names_size, name, length);
    d->names_size += length;
    s->sh_type = type;
    s->sh_offset = d->offset;
    s->sh_entsize = entry;
    s->sh_addralign = 8;
}

static void end_section(struct dump *d)
{
    Elf64_Shdr *s = &d->sections[d->section_count - 1];

    s->sh_size = d->offset - s->sh_offset;
}

/* ---- the page list ---- */

static int take_list_page(struct dump *d, uint64_t frame, uint64_t first, uint64_t max_pfn)
{
    uint64_t *list = bh_map(d->h, d->domid, "a page of the page list", &frame, 1, false);

    if (!list)
        return d->h->error == EIO && d->h->injected[0] ? -EIO : 0;
    for (uint64_t i = 0; i < PER_PAGE && first + i < max_pfn; i++)
        if (list[i] != UINT64_MAX && !(list[i] >> 62)) {
            d->pages[d->count].pfn = first + i;
            d->pages[d->count++].gmfn = list[i];
        }
    bh_unmap(d->h, list, 1);
    return 0;
}

static int read_page_list(struct dump *d)
{
    const struct shared_info *shared =
        bh_map(d->h, d->domid, "shared info", &d->info.shared_info_frame, 1, false);
    uint64_t top, max_pfn, *lists, most = (d->info.memory_kib >> 2) + (1UL << 20);
    int rc = 0;

    if (!shared)
        return -d->h->error;
    top = shared->arch.pfn_to_mfn_frame_list_list;
    max_pfn = shared->arch.max_pfn;
    bh_unmap(d->h, (void *)shared, 1);
    if (!top || top == UINT64_MAX || !max_pfn || max_pfn > most)
        return bh_fail(d->h, ENODATA,
                       "domain %u does not say where its pages are (it has not booted far enough, or its "
                       "kernel does not publish it)",
                       d->domid);
    d->pages = bh_alloc(d->h, max_pfn, sizeof(*d->pages), "the list of pages to dump");
    lists = d->pages ? bh_map(d->h, d->domid, "the list of page lists", &top, 1, false) : NULL;
    if (!lists)
        return -d->h->error;
    for (uint64_t i = 0; i < PER_PAGE && i * PER_PAGE * PER_PAGE < max_pfn && !rc; i++) {
        uint64_t frame = lists[i], *list = bh_map(d->h, d->domid, "a list of list pages", &frame, 1, false);

        for (uint64_t j = 0; list && j < PER_PAGE && (i * PER_PAGE + j) * PER_PAGE < max_pfn && !rc; j++)
            rc = take_list_page(d, list[j], (i * PER_PAGE + j) * PER_PAGE, max_pfn);
        bh_unmap(d->h, list, 1);
    }
    bh_unmap(d->h, lists, 1);
    return rc;
}

/* ---- sections ---- */

static int put_note(struct dump *d, uint32_t type, const void *data, uint32_t size)
{
    struct {
        uint32_t name_size, size, type;
        char name[4];
    } note = {4, size, type, "Xen"};
    int rc = put(d, &note, sizeof(note));

    if (!rc && size)
        rc = put(d, data, size);
    return rc ? rc : pad_to(d, 4);
}

static int put_notes(struct dump *d)
{
    struct {
        uint64_t magic, vcpus, pages, page_size;
    } header = {CORE_MAGIC, d->info.vcpus, d->count, PAGE_BYTES};
    struct {
        uint64_t major, minor;
        xen_extraversion_t extra;
        struct xen_compile_info compile;
        xen_capabilities_info_t capabilities;
        xen_changeset_info_t changeset;
        uint64_t virt_start;
        uint64_t page_size;
    } version = {.page_size = PAGE_BYTES};
    struct bh_version v;
    uint64_t format = 1;
    int rc = bh_get_version(d->h, &v);

    if (rc)
        return rc;
    version.major = v.major;
    version.minor = v.minor;
    version.virt_start = v.virt_start;
    snprintf(version.extra, sizeof(version.extra), "%s", v.extra);
    snprintf(version.capabilities, sizeof(version.capabilities), "%s", v.capabilities);
    snprintf(version.changeset, sizeof(version.changeset), "%s", v.changeset);
    begin_section(d, ".note.Xen", SHT_NOTE, 0);
    rc = put_note(d, NOTE_NONE, NULL, 0);
    if (!rc)
        rc = put_note(d, NOTE_HEADER, &header, sizeof(header));
    if (!rc)
        rc = put_note(d, NOTE_VERSION, &version, sizeof(version));
    if (!rc)
        rc = put_note(d, NOTE_FORMAT, &format, sizeof(format));
    end_section(d);
    return rc;
}

static int put_registers(struct dump *d)
{
    int rc = 0;

    begin_section(d, ".xen_prstatus", SHT_PROGBITS, sizeof(struct vcpu_guest_context));
    for (unsigned int v = 0; v < d->info.vcpus && !rc; v++) {
        size_t mark = bh_hbuf_mark(d->h);
        struct vcpu_guest_context *context = bh_hbuf(d->h, sizeof(*context));
        struct xen_domctl op = {0};

        if (!context)
            return -d->h->error;
        op.u.vcpucontext.vcpu = v;
        SET_HANDLE(op.u.vcpucontext.ctxt, context);
        rc = bh_domctl(d->h, "getvcpucontext", XEN_DOMCTL_getvcpucontext, d->domid, &op);
        /* A vcpu that never ran has no registers: zeros stand for it. */
        if (rc == -ENODATA || rc == -EINVAL)
            rc = 0;
        if (!rc)
            rc = put(d, context, sizeof(*context));
        bh_hbuf_release(d->h, mark);
    }
    end_section(d);
    return rc;
}

static int put_pages(struct dump *d)
{
    static const uint8_t zeros[PAGE_BYTES];
    int rc = pad_to(d, PAGE_BYTES);

    begin_section(d, ".xen_pages", SHT_PROGBITS, PAGE_BYTES);
    for (uint64_t at = 0; at < d->count && !rc; at += BATCH) {
        uint64_t frames[BATCH], n = d->count - at < BATCH ? d->count - at : BATCH;
        uint8_t *memory;

        for (uint64_t i = 0; i < n; i++)
            frames[i] = d->pages[at + i].gmfn;
        memory = bh_map(d->h, d->domid, "pages of the guest", frames, n, false);
        if (memory) {
            rc = put(d, memory, n * PAGE_BYTES);
            bh_unmap(d->h, memory, n);
            continue;
        }
        for (uint64_t i = 0; i < n && !rc; i++) {
            memory = bh_map(d->h, d->domid, "a page of the guest", &frames[i], 1, false);
            rc = put(d, memory ? memory : zeros, PAGE_BYTES);
            bh_unmap(d->h, memory, 1);
        }
    }
    end_section(d);
    return rc;
}

static int put_simple(struct dump *d, const char *name, const void *data, size_t size, size_t entry)
{
    int rc = pad_to(d, 8);

    begin_section(d, name, SHT_PROGBITS, entry);
    if (!rc)
        rc = put(d, data, size);
    end_section(d);
    return rc;
}

static int put_shared_info(struct dump *d)
{
    void *shared = bh_map(d->h, d->domid, "shared info", &d->info.shared_info_frame, 1, false);
    int rc = shared ? put_simple(d, ".xen_shared_info", shared, PAGE_BYTES, PAGE_BYTES) : -d->h->error;

    bh_unmap(d->h, shared, 1);
    return rc;
}

/* The header is written last, over the room left for it. */
static int put_header(struct dump *d)
{
    Elf64_Ehdr head = {
        .e_type = ET_CORE, .e_machine = EM_X86_64, .e_version = EV_CURRENT, .e_ehsize = sizeof(head)};
    uint64_t end;
    int rc;

    begin_section(d, ".shstrtab", SHT_STRTAB, 0);
    rc = put(d, d->names, d->names_size);
    end_section(d);
    if (!rc)
        rc = pad_to(d, 8);
    end = d->offset;
    if (!rc)
        rc = put(d, d->sections, d->section_count * sizeof(d->sections[0]));
    memcpy(head.e_ident, ELFMAG, SELFMAG);
    head.e_ident[EI_CLASS] = ELFCLASS64;
    head.e_ident[EI_DATA] = ELFDATA2LSB;
    head.e_ident[EI_VERSION] = EV_CURRENT;
    head.e_shoff = end;
    head.e_shentsize = sizeof(d->sections[0]);
    head.e_shnum = d->section_count;
    head.e_shstrndx = d->section_count - 1;
    if (!rc && pwrite(d->fd, &head, sizeof(head), 0) != sizeof(head))
        rc = bh_fail(d->h, errno, "writing the core's header: %s", strerror(errno));
    return rc;
}

static int write_core(struct dump *d)
{
    Elf64_Ehdr room = {0};
    int rc = put(d, &room, sizeof(room));

    d->names_size = 1;
    d->section_count = 1;
    if (!rc)
        rc = put_notes(d);
    if (!rc)
        rc = put_registers(d);
    if (!rc)
        rc = put_shared_info(d);
    if (!rc)
        rc = put_simple(d, ".xen_p2m", d->pages, d->count * sizeof(*d->pages), sizeof(*d->pages));
    if (!rc)
        rc = put_pages(d);
    return rc ? rc : put_header(d);
}

int bh_dump_core(struct bh *h, unsigned int domid, const char *path)
{
    struct dump d = {.h = h, .domid = domid, .fd = -1};
    int rc = bh_domain_info(h, domid, &d.info);

    if (!rc && (domid == 0 || d.info.flags & BH_HVM))
        rc = bh_fail(h, EOPNOTSUPP, "only PV guests can be dumped");
    if (!rc)
        rc = read_page_list(&d);
    if (!rc) {
        d.fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
        if (d.fd < 0)
            rc = bh_fail(h, errno, "cannot make %s: %s", path, strerror(errno));
    }
    if (!rc)
        rc = write_core(&d);
    if (d.fd >= 0) {
        close(d.fd);
        if (rc)
            unlink(path);
    }
    free(d.pages);
    return rc ? bh_because(h, "dumping domain %u to %s", domid, path) : 0;
}
