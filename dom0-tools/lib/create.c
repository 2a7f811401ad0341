/*
 * Creating a domain: one transaction of named steps.
 *
 * Model. struct build starts empty; each step adds to it. Whatever step fails, build_undo takes away what
 * there is by the same function that destroys a running domain, so that half-built and whole domains end in
 * the same way. Memory is claimed before anything else is done to the domain, so that a create that cannot
 * succeed fails at once.
 */
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>
#include <sys/random.h>
#include "cpuid.h"
#include "devices.h"

#define MAXMEM_SLACK_KIB 1024
#define CONSOLE_LIMIT    "1048576"

struct build {
    struct bh *h;
    const struct bh_config *config;
    const struct bh_create_options *options;
    unsigned int domid;
    bool created;
    uint8_t uuid[16];
    char uuid_text[37];
    struct image image;
    struct pv_kernel kernel;
    struct pv_layout layout;
    int initrd_fd;
    uint64_t initrd_size;
    uint64_t nr_pages;
    uint64_t *mfns;
    uint64_t shared_info_frame;
    uint32_t store_port, console_port;
    unsigned int pool;
    unsigned int grant_version;
    char marker[512]; /* names the create under way, for whoever cleans up after a killed one */
    int marker_fd;
};

/* ---- checks: nothing is changed ---- */

static int check_sizes(struct build *b)
{
    const struct bh_config *c = b->config;

    if (!c->name || !*c->name)
        return bh_fail(b->h, EINVAL, "the domain has no name");
    if (!c->kernel)
        return bh_fail(b->h, EINVAL, "the domain has no kernel");
    if (c->memory_kib < 4096)
        return bh_fail(b->h, EINVAL, "memory of %lu KiB is less than 4 MiB", c->memory_kib);
    if (c->max_memory_kib < c->memory_kib)
        return bh_fail(b->h, EINVAL, "maxmem of %lu KiB is less than memory of %lu KiB", c->max_memory_kib,
                       c->memory_kib);
    if (c->vcpus < 1 || c->vcpus > c->max_vcpus)
        return bh_fail(b->h, EINVAL, "vcpus %u is not between 1 and maxvcpus %u", c->vcpus, c->max_vcpus);
    if (c->cmdline && strlen(c->cmdline) >= MAX_GUEST_CMDLINE)
        return bh_fail(b->h, E2BIG, "the kernel's command line is %zu bytes long, a PV guest takes %d",
                       strlen(c->cmdline), MAX_GUEST_CMDLINE - 1);
    b->nr_pages = c->memory_kib >> 2;
    return 0;
}

static int check_name(struct build *b)
{
    unsigned int count;
    struct bh_domain *list;
    char **names;
    int rc = bh_list(b->h, &list, &count);

    if (rc)
        return rc;
    names = bh_alloc(b->h, count, sizeof(*names), "names of domains");
    rc = names ? bh_names(b->h, list, count, names) : -b->h->error;
    for (unsigned int i = 0; i < count && !rc; i++) {
        if (list[i].flags & BH_DYING)
            continue;
        if (names[i] && strcmp(names[i], b->config->name) == 0)
            rc = bh_fail(b->h, EEXIST, "the name \"%s\" is in use by domain %u", names[i], list[i].domid);
        else if (b->config->has_uuid && memcmp(list[i].uuid, b->uuid, 16) == 0)
            rc = bh_fail(b->h, EEXIST, "the uuid %s is in use by domain %u", b->uuid_text, list[i].domid);
    }
    for (unsigned int i = 0; names && i < count; i++)
        free(names[i]);
    free(names);
    free(list);
    return rc;
}

static int open_initrd(struct build *b)
{
    const char *path = b->config->ramdisk;
    struct stat st;

    if (!path)
        return 0;
    if (bh_step(b->h, "opening %s", path))
        return -b->h->error;
    b->initrd_fd = open(path, O_RDONLY | O_CLOEXEC);
    if (b->initrd_fd < 0)
        return bh_fail(b->h, errno, "cannot open the ramdisk %s: %s", path, strerror(errno));
    if (fstat(b->initrd_fd, &st) < 0 || !S_ISREG(st.st_mode))
        return bh_fail(b->h, EINVAL, "the ramdisk %s is not a regular file", path);
    b->initrd_size = st.st_size;
    return 0;
}

static int read_files(struct build *b)
{
    int rc = image_load(b->h, b->config->kernel, &b->image);

    if (rc)
        return rc;
    rc = pv_kernel_parse(b->h, b->image.data, b->image.size, &b->kernel);
    if (rc)
        return bh_because(b->h, "the kernel %s cannot run as a PV guest", b->config->kernel);
    rc = open_initrd(b);
    if (rc)
        return rc;
    return pv_layout(b->h, &b->kernel, b->nr_pages, b->initrd_size, &b->layout);
}

static int check_machine(struct build *b)
{
    struct bh_physinfo info;
    int rc = bh_get_physinfo(b->h, &info);
    uint64_t available;

    if (rc)
        return rc;
    available = info.free_kib - (info.outstanding_kib < info.free_kib ? info.outstanding_kib : info.free_kib);
    if (available < b->config->memory_kib)
        return bh_fail(b->h, ENOMEM,
                       "memory: %lu MiB wanted, %lu MiB free (%lu MiB in the machine). Make Dom0 smaller "
                       "(mem-set 0) or end a domain",
                       b->config->memory_kib >> 10, available >> 10, info.total_kib >> 10);
    b->grant_version = info.cap_grant_v2 ? 2 : 1;
    if (b->config->max_grant_version > 0)
        b->grant_version = b->config->max_grant_version;
    if (b->config->pool) {
        rc = bh_cpupool_find(b->h, b->config->pool, &b->pool);
        if (rc)
            return bh_because(b->h, "cpupool \"%s\"", b->config->pool);
    }
    return 0;
}

static int check_disks(struct build *b)
{
    for (unsigned int i = 0; i < b->config->disk_count; i++) {
        int rc = disk_check(b->h, &b->config->disks[i]);

        if (rc)
            return bh_because(b->h, "disk %s", b->config->disks[i].vdev);
    }
    return 0;
}

static int step_check(struct build *b)
{
    int rc = check_sizes(b);

    if (b->config->has_uuid)
        memcpy(b->uuid, b->config->uuid, 16);
    else if (getrandom(b->uuid, 16, 0) == 16) {
        b->uuid[6] = (b->uuid[6] & 0x0f) | 0x40;
        b->uuid[8] = (b->uuid[8] & 0x3f) | 0x80;
    }
    bh_uuid_print(b->uuid, b->uuid_text);
    if (!rc)
        rc = check_name(b);
    if (!rc)
        rc = read_files(b);
    if (!rc)
        rc = check_disks(b);
    return rc ? rc : check_machine(b);
}

/* ---- the domain ---- */

/* A locked file that names the uuid: when its lock is free and the file is there, the creator was killed. */
static int step_marker(struct build *b)
{
    mkdir(bh_run_dir(), 0755);
    snprintf(b->marker, sizeof(b->marker), "%s/creating", bh_run_dir());
    mkdir(b->marker, 0700);
    snprintf(b->marker, sizeof(b->marker), "%s/creating/%s", bh_run_dir(), b->uuid_text);
    if (bh_step(b->h, "making %s", b->marker))
        return -b->h->error;
    b->marker_fd = open(b->marker, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (b->marker_fd < 0)
        return bh_fail(b->h, errno, "cannot make %s: %s", b->marker, strerror(errno));
    if (flock(b->marker_fd, LOCK_EX | LOCK_NB) < 0)
        return bh_fail(b->h, errno, "a domain with uuid %s is being created already", b->uuid_text);
    return 0;
}

static int step_domain(struct build *b)
{
    const struct bh_config *c = b->config;
    struct xen_domctl op = {0};
    struct xen_domctl_createdomain *create = &op.u.createdomain;
    struct bh_domain info;
    int rc;

    memcpy(create->handle, b->uuid, 16);
    create->max_vcpus = c->max_vcpus;
    create->max_evtchn_port = c->max_event_channels;
    create->max_grant_frames = c->max_grant_frames;
    create->max_maptrack_frames = c->max_maptrack_frames;
    create->grant_opts = XEN_DOMCTL_GRANT_version(b->grant_version);
    create->cpupool_id = b->pool;
    create->arch.misc_flags = c->msr_relaxed ? XEN_X86_MSR_RELAXED : 0;
    rc = bh_domctl(b->h, "createdomain", XEN_DOMCTL_createdomain, 0, &op);
    if (rc)
        return rc;
    b->domid = op.domain;
    b->created = true;
    memset(&op, 0, sizeof(op));
    op.u.max_vcpus.max = c->max_vcpus;
    rc = bh_domctl(b->h, "max_vcpus", XEN_DOMCTL_max_vcpus, b->domid, &op);
    if (rc)
        return bh_because(b->h, "giving domain %u its %u vcpus", b->domid, c->max_vcpus);
    rc = bh_domain_info(b->h, b->domid, &info);
    b->shared_info_frame = info.shared_info_frame;
    return rc;
}

static int step_cpuid(struct build *b)
{
    const struct bh_config *c = b->config;

    return c->cpuid_count ? cpuid_set(b->h, b->domid, c->cpuid, c->cpuid_count) : 0;
}

static int step_reserve(struct build *b)
{
    struct xen_domctl op = {0};
    int rc;

    op.u.max_mem.max_memkb = b->config->memory_kib + MAXMEM_SLACK_KIB;
    rc = bh_domctl(b->h, "max_mem", XEN_DOMCTL_max_mem, b->domid, &op);
    if (!rc)
        rc = bh_claim(b->h, b->domid, b->nr_pages);
    return rc;
}

static int set_vcpu_affinity(struct build *b, unsigned int vcpu, char *const *specs, unsigned int count,
                             bool hard)
{
    struct bh_cpumap map;
    const char *spec = specs[count == 1 ? 0 : vcpu];
    int rc = bh_cpumap_parse(b->h, spec, &map);

    if (rc)
        return rc;
    return bh_set_affinity(b->h, b->domid, vcpu, hard ? &map : NULL, hard ? NULL : &map, false);
}

static int step_scheduling(struct build *b)
{
    const struct bh_config *c = b->config;
    int rc = 0;

    for (unsigned int v = 0; v < c->max_vcpus && !rc; v++) {
        if (c->cpus_count == 1 || v < c->cpus_count)
            rc = set_vcpu_affinity(b, v, c->cpus, c->cpus_count, true);
        if (!rc && (c->cpus_soft_count == 1 || v < c->cpus_soft_count))
            rc = set_vcpu_affinity(b, v, c->cpus_soft, c->cpus_soft_count, false);
    }
    if (!rc && (c->weight || c->cap >= 0))
        rc = bh_sched_set(b->h, b->domid, c->weight ? (int)c->weight : -1, c->cap);
    return rc;
}

/* Tells the guest how much memory it may ever have. */
static int set_memory_map(struct build *b)
{
    size_t mark = bh_hbuf_mark(b->h);
    struct xen_foreign_memory_map map = {.domid = b->domid};
    struct {
        uint64_t start, size;
        uint32_t type;
    } __attribute__((packed)) *entry = bh_hbuf(b->h, sizeof(*entry));
    long rc;

    if (!entry)
        return -b->h->error;
    entry->size = b->config->max_memory_kib << 10;
    entry->type = 1;
    map.map.nr_entries = 1;
    SET_HANDLE(map.map.buffer, entry);
    rc = bh_memory_op(b->h, "set_memory_map", XENMEM_set_memory_map, &map, sizeof(map));
    bh_hbuf_release(b->h, mark);
    return rc < 0 ? rc : 0;
}

static int step_memory(struct build *b)
{
    int rc = set_memory_map(b);

    if (rc)
        return rc;
    b->mfns = bh_alloc(b->h, b->nr_pages, sizeof(*b->mfns), "the guest's page list");
    if (!b->mfns)
        return -b->h->error;
    rc = bh_populate(b->h, b->domid, 0, b->nr_pages, b->mfns);
    /* The claim is used up; taking it back is a formality that must not fail a good domain. */
    return rc;
}

/* ---- the guest's first contents ---- */

/* From the file straight into the guest where there is a file: reading costs far less than page faults on a
 * mapping. */
static int copy_segment(struct build *b, const struct pv_segment *s, uint8_t *to)
{
    uint64_t done = 0;

    if (!b->image.mapping) {
        memcpy(to, b->image.data + s->file_offset, s->file_size);
        return 0;
    }
    while (done < s->file_size) {
        ssize_t got = pread(b->image.fd, to + done, s->file_size - done, s->file_offset + done);

        if (got <= 0)
            return bh_fail(b->h, got < 0 ? errno : EIO, "reading the kernel %s: %s", b->config->kernel,
                           got < 0 ? strerror(errno) : "it became shorter");
        done += got;
    }
    return 0;
}

static int load_segment(struct build *b, const struct pv_segment *s)
{
    uint64_t pages = (s->offset_in_page + s->memory_size + PAGE_BYTES - 1) >> PAGE_SHIFT;
    uint8_t *memory = bh_map(b->h, b->domid, "the kernel's segment", b->mfns + s->pfn, pages, true);
    int rc;

    if (!memory)
        return -b->h->error;
    rc = copy_segment(b, s, memory + s->offset_in_page);
    memset(memory + s->offset_in_page + s->file_size, 0, s->memory_size - s->file_size);
    bh_unmap(b->h, memory, pages);
    return rc;
}

static int load_initrd(struct build *b)
{
    const struct pv_layout *l = &b->layout;
    uint64_t done = 0;
    uint8_t *memory;
    int rc = 0;

    if (!l->initrd_pages)
        return 0;
    memory = bh_map(b->h, b->domid, "the initrd", b->mfns + l->initrd_pfn, l->initrd_pages, true);
    if (!memory)
        return -b->h->error;
    while (done < b->initrd_size && !rc) {
        ssize_t got = pread(b->initrd_fd, memory + done, b->initrd_size - done, done);

        if (got <= 0)
            rc = bh_fail(b->h, got < 0 ? errno : EIO, "reading the ramdisk %s at %lu of %lu: %s",
                         b->config->ramdisk, done, b->initrd_size,
                         got < 0 ? strerror(errno) : "it ends early");
        else
            done += got;
    }
    bh_unmap(b->h, memory, l->initrd_pages);
    return rc;
}

static int step_load(struct build *b)
{
    int rc = 0;

    for (unsigned int i = 0; i < b->kernel.segment_count && !rc; i++)
        rc = load_segment(b, &b->kernel.segments[i]);
    return rc ? rc : load_initrd(b);
}

static int write_page_list(struct build *b)
{
    const struct pv_layout *l = &b->layout;
    void *memory = bh_map(b->h, b->domid, "the page list", b->mfns + l->p2m_pfn, l->p2m_pages, true);

    if (!memory)
        return -b->h->error;
    memcpy(memory, b->mfns, b->nr_pages * sizeof(*b->mfns));
    bh_unmap(b->h, memory, l->p2m_pages);
    return 0;
}

static uint64_t virt_of(const struct build *b, uint64_t pfn)
{
    return b->layout.virt_base + (pfn << PAGE_SHIFT);
}

/* Start info, and the cleared store and console pages that follow it. */
static int write_start_info(struct build *b)
{
    const struct pv_layout *l = &b->layout;
    uint8_t *memory = bh_map(b->h, b->domid, "start info", b->mfns + l->start_info_pfn, 3, true);
    struct start_info *s = (struct start_info *)memory;

    if (!memory)
        return -b->h->error;
    memset(memory, 0, 3 * PAGE_BYTES);
    strcpy(s->magic, "xen-3.0-x86_64");
    s->nr_pages = b->nr_pages;
    s->shared_info = b->shared_info_frame << PAGE_SHIFT;
    s->store_mfn = b->mfns[l->store_pfn];
    s->store_evtchn = b->store_port;
    s->console.domU.mfn = b->mfns[l->console_pfn];
    s->console.domU.evtchn = b->console_port;
    s->pt_base = virt_of(b, l->tables_pfn);
    s->nr_pt_frames = l->tables_count;
    s->mfn_list = l->p2m_virt;
    if (b->kernel.has_init_p2m) {
        s->first_p2m_pfn = l->p2m_pfn;
        s->nr_p2m_frames = l->p2m_pages;
    }
    if (l->initrd_pages) {
        s->mod_start = l->initrd_by_pfn ? l->initrd_pfn : virt_of(b, l->initrd_pfn);
        s->mod_len = b->initrd_size;
        s->flags |= l->initrd_by_pfn ? SIF_MOD_START_PFN : 0;
    }
    if (b->config->cmdline)
        snprintf((char *)s->cmd_line, sizeof(s->cmd_line), "%s", b->config->cmdline);
    bh_unmap(b->h, memory, 3);
    return 0;
}

static int pin_tables(struct build *b)
{
    size_t mark = bh_hbuf_mark(b->h);
    struct mmuext_op *op = bh_hbuf(b->h, sizeof(*op));
    long rc;

    if (!op)
        return -b->h->error;
    op->cmd = MMUEXT_PIN_L4_TABLE;
    op->arg1.mfn = b->mfns[b->layout.tables_pfn];
    rc = bh_hypercall(b->h, "mmuext_op pin", __HYPERVISOR_mmuext_op, (uintptr_t)op, 1, 0, b->domid, 0);
    bh_hbuf_release(b->h, mark);
    return rc < 0 ? bh_because(b->h, "the guest's first page tables were refused") : 0;
}

static int write_tables(struct build *b)
{
    const struct pv_layout *l = &b->layout;
    uint64_t *memory =
        bh_map(b->h, b->domid, "the page tables", b->mfns + l->tables_pfn, l->tables_count, true);

    if (!memory)
        return -b->h->error;
    pv_page_tables(l, b->mfns, memory);
    bh_unmap(b->h, memory, l->tables_count);
    return pin_tables(b);
}

static int write_shared_info(struct build *b)
{
    struct shared_info *s = bh_map(b->h, b->domid, "shared info", &b->shared_info_frame, 1, true);

    if (!s)
        return -b->h->error;
    memset(s, 0, PAGE_BYTES);
    for (unsigned int i = 0; i < XEN_LEGACY_MAX_VCPUS; i++)
        s->vcpu_info[i].evtchn_upcall_mask = 1;
    bh_unmap(b->h, s, 1);
    return 0;
}

static int fill_hypercall_page(struct build *b)
{
    struct xen_domctl op = {0};

    if (!b->kernel.has_hypercall_page)
        return 0;
    op.u.hypercall_init.gmfn = b->mfns[(b->kernel.hypercall_page - b->kernel.virt_base) >> PAGE_SHIFT];
    return bh_domctl(b->h, "hypercall_init", XEN_DOMCTL_hypercall_init, b->domid, &op);
}

static void *map_grant_table(struct build *b, bool *resource)
{
    size_t mark = bh_hbuf_mark(b->h);
    struct gnttab_setup_table *setup;
    uint64_t *frames;
    void *memory = NULL;

    *resource = true;
    if (bh_step(b->h, "mapping the grant table"))
        return NULL;
    memory = b->h->os->map_resource(b->h, b->domid, XENMEM_resource_grant_table,
                                    XENMEM_resource_grant_table_id_shared, 0, 1);
    if (memory)
        return memory;
    *resource = false;
    setup = bh_hbuf(b->h, sizeof(*setup));
    frames = bh_hbuf(b->h, sizeof(*frames));
    if (setup && frames) {
        setup->dom = b->domid;
        setup->nr_frames = 1;
        SET_HANDLE(setup->frame_list, frames);
        if (bh_hypercall(b->h, "gnttab setup_table", __HYPERVISOR_grant_table_op, GNTTABOP_setup_table,
                         (uintptr_t)setup, 1, 0, 0) == 0 &&
            setup->status == 0)
            memory = bh_map(b->h, b->domid, "the grant table", frames, 1, true);
        else if (setup->status)
            bh_fail(b->h, EIO, "the hypervisor gave no grant table for domain %u: status %d", b->domid,
                    setup->status);
    }
    bh_hbuf_release(b->h, mark);
    return memory;
}

/* Grants 0 and 1 are by convention the console's and the store's page, for the daemons in Dom0. */
static int seed_grants(struct build *b)
{
    bool resource;
    struct grant_entry_v1 *table = map_grant_table(b, &resource);

    if (!table)
        return bh_because(b->h, "granting the console and store pages");
    table[GNTTAB_RESERVED_CONSOLE].domid = 0;
    table[GNTTAB_RESERVED_CONSOLE].frame = b->mfns[b->layout.console_pfn];
    table[GNTTAB_RESERVED_CONSOLE].flags = GTF_permit_access;
    table[GNTTAB_RESERVED_XENSTORE].domid = 0;
    table[GNTTAB_RESERVED_XENSTORE].frame = b->mfns[b->layout.store_pfn];
    table[GNTTAB_RESERVED_XENSTORE].flags = GTF_permit_access;
    bh_unmap(b->h, table, 1);
    return 0;
}

static int start_vcpu(struct build *b)
{
    size_t mark = bh_hbuf_mark(b->h);
    struct vcpu_guest_context *context = bh_hbuf(b->h, sizeof(*context));
    struct xen_domctl op = {0};
    uint64_t root = b->mfns[b->layout.tables_pfn];
    int rc;

    if (!context)
        return -b->h->error;
    context->user_regs.rip = b->kernel.entry;
    context->user_regs.rsp = virt_of(b, b->layout.stack_pfn) + PAGE_BYTES;
    context->user_regs.rsi = virt_of(b, b->layout.start_info_pfn);
    context->user_regs.rflags = 1 << 9;
    context->user_regs.cs = FLAT_KERNEL_CS;
    context->user_regs.ss = FLAT_KERNEL_SS;
    context->kernel_ss = FLAT_KERNEL_SS;
    context->kernel_sp = context->user_regs.rsp;
    context->flags = VGCF_in_kernel | VGCF_online;
    context->ctrlreg[3] = root << PAGE_SHIFT | root >> 52;
    op.u.vcpucontext.vcpu = 0;
    SET_HANDLE(op.u.vcpucontext.ctxt, context);
    rc = bh_domctl(b->h, "setvcpucontext", XEN_DOMCTL_setvcpucontext, b->domid, &op);
    bh_hbuf_release(b->h, mark);
    return rc;
}

static int step_contents(struct build *b)
{
    int rc = bh_evtchn_alloc_unbound(b->h, b->domid, 0, &b->store_port);

    if (!rc)
        rc = bh_evtchn_alloc_unbound(b->h, b->domid, 0, &b->console_port);
    if (!rc)
        rc = write_page_list(b);
    if (!rc)
        rc = write_start_info(b);
    if (!rc)
        rc = write_tables(b);
    if (!rc)
        rc = fill_hypercall_page(b);
    if (!rc)
        rc = write_shared_info(b);
    if (!rc)
        rc = seed_grants(b);
    return rc ? rc : start_vcpu(b);
}

/* ---- the store ---- */

static void number_text(char *out, size_t size, uint64_t number)
{
    snprintf(out, size, "%lu", number);
}

static void domain_nodes(struct build *b, struct store_batch *batch)
{
    struct bh *h = b->h;
    const struct bh_config *c = b->config;
    static const char *const writable[] = {"control/shutdown",
                                           "control/feature-poweroff",
                                           "control/feature-reboot",
                                           "control/feature-suspend",
                                           "control/sysrq",
                                           "device/suspend/event-channel",
                                           "data",
                                           "drivers",
                                           "feature",
                                           "attr",
                                           "error"};
    char path[48], read_only[32], own[32], number[32];

    snprintf(path, sizeof(path), "/local/domain/%u", b->domid);
    snprintf(read_only, sizeof(read_only), "n0 r%u", b->domid);
    snprintf(own, sizeof(own), "n%u", b->domid);
    batch_rm(h, batch, "%s", path);
    batch_mkdir(h, batch, "%s", path);
    batch_perms(h, batch, read_only, "%s", path);
    batch_mkdir(h, batch, "/vm/%s", b->uuid_text);
    batch_perms(h, batch, read_only, "/vm/%s", b->uuid_text);
    batch_write(h, batch, c->name, "/vm/%s/name", b->uuid_text);
    batch_write(h, batch, b->uuid_text, "/vm/%s/uuid", b->uuid_text);
    number_text(number, sizeof(number), time(NULL));
    batch_write(h, batch, number, "/vm/%s/start_time", b->uuid_text);
    batch_write(h, batch, "linux", "/vm/%s/image/ostype", b->uuid_text);
    batch_write(h, batch, c->kernel, "/vm/%s/image/kernel", b->uuid_text);
    batch_write(h, batch, "pv", "/libxl/%u/type", b->domid);
    for (unsigned int i = 0; i < sizeof(writable) / sizeof(writable[0]); i++) {
        batch_write(h, batch, "", "%s/%s", path, writable[i]);
        batch_perms(h, batch, own, "%s/%s", path, writable[i]);
    }
    batch_write(h, batch, "1", "%s/control/platform-feature-multiprocessor-suspend", path);
    batch_write(h, batch, "1", "%s/control/platform-feature-xs_reset_watches", path);
    batch_write(h, batch, c->name, "%s/name", path);
    number_text(number, sizeof(number), b->domid);
    batch_write(h, batch, number, "%s/domid", path);
    number_text(number, sizeof(number), c->memory_kib);
    batch_write(h, batch, number, "%s/memory/target", path);
    number_text(number, sizeof(number), c->max_memory_kib);
    batch_write(h, batch, number, "%s/memory/static-max", path);
    batch_write(h, batch, "-1", "%s/memory/videoram", path);
    for (unsigned int v = 0; v < c->max_vcpus; v++)
        batch_write(h, batch, v < c->vcpus ? "online" : "offline", "%s/cpu/%u/availability", path, v);
}

static void link_nodes(struct build *b, struct store_batch *batch)
{
    struct bh *h = b->h;
    char number[32], vm[48], own[32];

    snprintf(vm, sizeof(vm), "/vm/%s", b->uuid_text);
    batch_write(h, batch, vm, "/local/domain/%u/vm", b->domid);
    number_text(number, sizeof(number), b->mfns[b->layout.store_pfn]);
    batch_write(h, batch, number, "/local/domain/%u/store/ring-ref", b->domid);
    number_text(number, sizeof(number), b->store_port);
    batch_write(h, batch, number, "/local/domain/%u/store/port", b->domid);
    number_text(number, sizeof(number), b->mfns[b->layout.console_pfn]);
    batch_write(h, batch, number, "/local/domain/%u/console/ring-ref", b->domid);
    number_text(number, sizeof(number), b->console_port);
    batch_write(h, batch, number, "/local/domain/%u/console/port", b->domid);
    batch_write(h, batch, CONSOLE_LIMIT, "/local/domain/%u/console/limit", b->domid);
    batch_write(h, batch, "xenconsoled", "/local/domain/%u/console/type", b->domid);
    batch_write(h, batch, "pty", "/local/domain/%u/console/output", b->domid);
    batch_write(h, batch, "", "/local/domain/%u/console/tty", b->domid);
    snprintf(own, sizeof(own), "n0 r%u", b->domid);
    batch_perms(h, batch, own, "/local/domain/%u/console/tty", b->domid);
    batch_write(h, batch, "0", "/local/domain/%u/console/backend-id", b->domid);
}

static int step_store(struct build *b)
{
    struct store_batch batch = {0};
    int rc = 0;

    domain_nodes(b, &batch);
    link_nodes(b, &batch);
    for (unsigned int i = 0; i < b->config->disk_count && !rc; i++)
        rc = disk_nodes(b->h, &batch, b->domid, b->config->name, &b->config->disks[i]);
    for (unsigned int i = 0; i < b->config->vif_count && !rc; i++)
        rc = vif_nodes(b->h, &batch, b->domid, b->config->name, i, &b->config->vifs[i]);
    if (rc) {
        device_abandon(&batch);
        return rc;
    }
    rc = device_commit(b->h, &batch);
    return rc ? rc : store_introduce(b->h, b->domid, b->mfns[b->layout.store_pfn], b->store_port);
}

static int step_devices(struct build *b)
{
    unsigned int devid;
    int rc = 0;

    for (unsigned int i = 0; i < b->config->disk_count && !rc; i++) {
        bh_vdev_to_devid(b->config->disks[i].vdev, &devid);
        rc = device_connect(b->h, b->domid, BH_VBD, devid);
    }
    for (unsigned int i = 0; i < b->config->vif_count && !rc; i++)
        rc = device_connect(b->h, b->domid, BH_VIF, i);
    return rc;
}

static int step_save(struct build *b)
{
    return b->config->source ? bh_save_config(b->h, b->uuid, b->domid, b->config->source) : 0;
}

static int step_start(struct build *b)
{
    return b->options && b->options->paused ? 0 : bh_unpause(b->h, b->domid);
}

/* ---- the transaction ---- */

static const struct {
    const char *name;
    int (*run)(struct build *b);
} steps[] = {
    {"checking the configuration, the files and the machine", step_check},
    {"announcing the domain", step_marker},
    {"making the domain", step_domain},
    {"choosing what CPUID tells it", step_cpuid},
    {"reserving its memory", step_reserve},
    {"setting its scheduling", step_scheduling},
    {"giving it memory", step_memory},
    {"loading kernel and initrd", step_load},
    {"preparing its first state", step_contents},
    {"describing it in the store", step_store},
    {"connecting its devices", step_devices},
    {"keeping its configuration", step_save},
    {"starting it", step_start},
};

static void build_free(struct build *b)
{
    image_free(&b->image);
    free(b->mfns);
    if (b->initrd_fd >= 0)
        close(b->initrd_fd);
    if (b->marker_fd >= 0) {
        unlink(b->marker);
        close(b->marker_fd);
    }
}

/* Takes back what a failed create made; the error chain of the failure stays. */
static void build_undo(struct build *b)
{
    struct error_copy *kept = error_save(b->h);

    if (b->created)
        bh_destroy(b->h, b->domid);
    error_restore(b->h, kept);
}

int bh_create(struct bh *h, const struct bh_config *config, const struct bh_create_options *options,
              unsigned int *domid)
{
    struct build b = {.h = h, .config = config, .options = options, .initrd_fd = -1, .marker_fd = -1};
    int rc = 0;

    for (unsigned int i = 0; i < sizeof(steps) / sizeof(steps[0]) && !rc; i++) {
        if (options && options->progress)
            options->progress(options->context, steps[i].name);
        rc = steps[i].run(&b);
        if (rc)
            bh_because(h, "%s", steps[i].name);
    }
    if (rc) {
        build_undo(&b);
        rc = bh_because(h, "domain \"%s\" was not created", config->name ? config->name : "");
    } else {
        *domid = b.domid;
        if (image_keep(h, &b.image)) /* the next creation unpacks again */
            bh_error_clear(h);
    }
    build_free(&b);
    return rc;
}

int bh_create_check(struct bh *h, const struct bh_config *config)
{
    struct build b = {.h = h, .config = config, .initrd_fd = -1, .marker_fd = -1};
    int rc = step_check(&b);

    build_free(&b);
    return rc ? bh_because(h, "domain \"%s\" cannot be created", config->name ? config->name : "") : 0;
}

/* ---- config objects ---- */

void bh_config_init(struct bh_config *config)
{
    memset(config, 0, sizeof(*config));
    config->vcpus = config->max_vcpus = 1;
    config->cap = -1;
    config->max_event_channels = 1023;
    config->max_grant_frames = config->max_maptrack_frames = -1;
    config->on_reboot = BH_RESTART;
}

void bh_disk_free(struct bh_disk *disk)
{
    free(disk->target);
    free(disk->vdev);
    free(disk->format);
    free(disk->backend);
    free(disk->script);
    free(disk->overlay);
    memset(disk, 0, sizeof(*disk));
}

void bh_vif_free(struct bh_vif *vif)
{
    free(vif->bridge);
    free(vif->ip);
    free(vif->script);
    free(vif->vifname);
    free(vif->model);
    free(vif->gateway);
    free(vif->backend);
    memset(vif, 0, sizeof(*vif));
}

static void free_strings(char **list, unsigned int count)
{
    for (unsigned int i = 0; i < count; i++)
        free(list[i]);
    free(list);
}

void bh_config_free(struct bh_config *config)
{
    for (unsigned int i = 0; i < config->disk_count; i++)
        bh_disk_free(&config->disks[i]);
    for (unsigned int i = 0; i < config->vif_count; i++)
        bh_vif_free(&config->vifs[i]);
    free(config->disks);
    free(config->vifs);
    free_strings(config->cpus, config->cpus_count);
    free_strings(config->cpus_soft, config->cpus_soft_count);
    free_strings(config->cpuid, config->cpuid_count);
    free(config->name);
    free(config->kernel);
    free(config->ramdisk);
    free(config->cmdline);
    free(config->pool);
    free(config->backend_user);
    free(config->source);
    memset(config, 0, sizeof(*config));
}
