/*
 * Builds the control domain from what the boot loader brought: its kernel (module 0) and its initrd (module 1).
 *
 * Pseudo-physical layout, in frames of the domain:
 *
 *   boot block   kernel image | start info | page tables | boot stack | padding   mapped at the kernel's virtual base
 *   initrd       the loader's own frames, given to the domain as they lie; here, since kernels keep their address
 *                in 32 bits
 *   p2m block    p2m list | the page tables that map it                           mapped where INIT_P2M asks
 *   memory       everything else, in the largest blocks there are
 *
 * Kernels without an INIT_P2M note have the p2m list in the boot block, after the image. Tables are written as plain
 * memory, with the tables' own frames mapped read-only; then the top one is taken into use, which validates them all as
 * if the guest had made them. Any mistake here would be refused by the same code that refuses a guest's. Runs once,
 * before anything else does; what fails ends the start with one sentence.
 */
#include <asm/cpufeature.h>
#include <asm/boot_info.h>
#include <asm/insn.h>
#include <asm/msr.h>
#include <asm/paging.h>
#include <asm/pv.h>
#include <asm/setup.h>
#include <bh/arch.h>
#include <bh/cmdline.h>
#include <bh/domain.h>
#include <bh/elf.h>
#include <bh/kernel_image.h>
#include <bh/page_alloc.h>
#include <bh/printk.h>
#include <bh/string.h>
#include <public/xen.h>

#define BOOT_ALIGN   (4UL << 20)
#define BOOT_PADDING (512UL << 10)
#define MIN_PAGES    (48UL << (20 - PAGE_SHIFT))
#define TABLE_FLAGS  (PTE_PRESENT | PTE_WRITE | PTE_USER | PTE_ACCESSED | PTE_DIRTY)
#define PAGE_FLAGS   (PTE_PRESENT | PTE_WRITE | PTE_ACCESSED | PTE_DIRTY)

struct layout {
    uint64_t v_start, v_kernel_end, v_p2m, v_start_info, v_tables, v_stack, v_end;
    uint64_t nr_tables, nr_p2m_data, nr_p2m_tables;
    bool p2m_outside;
};

struct builder {
    const struct boot_info *boot;
    struct domain *d;
    struct elf_kernel kernel;
    const uint8_t *image;
    struct layout layout;
    uint64_t nr_pages; /* of the whole domain, initrd included */
    uint64_t initrd_pages, initrd_size, initrd_pfn;
    mfn_t boot_block, p2m_block;
    unsigned int boot_order, p2m_order;
    uint64_t *p2m;    /* direct-map address of the list */
    uint64_t pfn;     /* next to hand out */
    mfn_t next_table; /* of the set of tables being filled */
};

static void noreturn_fn refuse(const char *why)
{
    panic("control domain: %s", why);
}

/* ---- the kernel ---- */

/* The libraries that unpack read a stack guard at fs:0x28. */
static const char *unpack(const struct kernel_payload *payload, uint8_t *to)
{
    static const uint64_t empty_tls[16];

    wrmsr(MSR_FS_BASE, (uint64_t)empty_tls);
    const char *why = kernel_unpack(payload, to);
    wrmsr(MSR_FS_BASE, 0);
    return why;
}

static void load_image(struct builder *b, struct page_info **unpacked, unsigned int *order)
{
    const struct boot_module *module = &b->boot->module[0];
    struct kernel_payload payload;
    const char *why = kernel_payload(pa_to_va(module->start), module->size, &payload);
    uint64_t size = payload.size;

    if (why)
        refuse(why);
    b->image = payload.bytes;
    if (payload.unpacked_size) {
        size = payload.unpacked_size;
        *order = page_order(size);
        *unpacked = page_alloc(*order, 0);
        if (!*unpacked)
            refuse("not enough memory to unpack the kernel");
        uint8_t *to = arch_map(page_to_mfn(*unpacked));
        why = unpack(&payload, to);
        b->image = to;
    }
    if (!why)
        why = elf_parse(b->image, size, &b->kernel);
    if (!why && !b->kernel.has_notes)
        why = "the kernel has no Xen notes: it was built without CONFIG_XEN_PV";
    if (!why && !b->kernel.has_virt_base)
        why = "the kernel cannot run paravirtualized: its Xen notes name no virtual base";
    if (!why && b->kernel.needs_unsupported)
        why = "the kernel requires a feature that is not offered";
    if (why)
        refuse(why);
}

static uint64_t image_va(const struct builder *b, uint64_t paddr)
{
    return paddr - b->kernel.paddr_offset + b->kernel.virt_base;
}

/* ---- sizes ---- */

static uint64_t tables_for(uint64_t start, uint64_t end, unsigned int shift)
{
    return ((end - 1) >> shift) - (start >> shift) + 1;
}

/* L4 once, then what the range needs of L3, L2, L1. */
static uint64_t count_tables(uint64_t start, uint64_t end)
{
    return 1 + tables_for(start, end, 39) + tables_for(start, end, 30) + tables_for(start, end, 21);
}

static void plan_layout(struct builder *b)
{
    struct layout *l = &b->layout;
    const struct elf_kernel *k = &b->kernel;
    uint64_t after_image;

    l->v_start = k->virt_base;
    l->v_kernel_end = ROUND_UP(image_va(b, k->paddr_end), PAGE_SIZE);
    if (image_va(b, k->paddr_start) < l->v_start || l->v_kernel_end < l->v_start ||
        l->v_kernel_end - l->v_start > 1UL << 30)
        refuse("the kernel's segments do not lie above its virtual base");
    l->nr_p2m_data = DIV_ROUND_UP(b->nr_pages * sizeof(uint64_t), PAGE_SIZE);
    l->p2m_outside = k->has_init_p2m;
    l->v_p2m = l->v_kernel_end;
    after_image = l->v_kernel_end;
    if (l->p2m_outside) {
        l->v_p2m = k->init_p2m;
        if (l->v_p2m & ((1UL << 39) - 1))
            refuse("the kernel wants its p2m list at an address that is not a multiple of 512 GiB");
        l->nr_p2m_tables = count_tables(l->v_p2m, l->v_p2m + (l->nr_p2m_data << PAGE_SHIFT)) - 1;
    } else {
        after_image += l->nr_p2m_data << PAGE_SHIFT;
    }
    l->v_start_info = after_image;
    l->v_tables = after_image + PAGE_SIZE;
    /* The tables map themselves: grow until they fit. */
    for (l->nr_tables = 4;; l->nr_tables++) {
        l->v_stack = l->v_tables + (l->nr_tables << PAGE_SHIFT);
        l->v_end = ROUND_UP(l->v_stack + PAGE_SIZE + BOOT_PADDING, BOOT_ALIGN);
        if (count_tables(l->v_start, l->v_end) <= l->nr_tables)
            return;
    }
}

static uint64_t amount_of(const struct memory_amount *amount, uint64_t available)
{
    uint64_t pages = amount->bytes >> PAGE_SHIFT;

    if (!amount->less)
        return pages;
    return pages < available ? available - pages : 0;
}

/* How much memory the domain gets: dom0_mem, or all but a part for the hypervisor and a first guest. */
static uint64_t choose_pages(const struct builder *b)
{
    uint64_t available = page_counts.free + b->initrd_pages;
    uint64_t reserve = MIN(available / 16, (128UL << 20) >> PAGE_SHIFT) + 1024;
    uint64_t pages = options.dom0_mem.bytes ? amount_of(&options.dom0_mem, available) : available - reserve;

    if (options.dom0_mem_min.bytes)
        pages = MAX(pages, amount_of(&options.dom0_mem_min, available));
    if (options.dom0_mem_max.bytes)
        pages = MIN(pages, amount_of(&options.dom0_mem_max, available));
    pages = MIN(pages, available - MIN(available, 2048UL));
    if (pages < MIN_PAGES + b->initrd_pages)
        panic("control domain: %lu MiB are free for it, it needs %lu MiB at least",
              (unsigned long)(pages >> 8), (unsigned long)((MIN_PAGES + b->initrd_pages) >> 8));
    return pages;
}

/* ---- memory ---- */

static void add_frames(struct builder *b, mfn_t first, uint64_t count)
{
    for (uint64_t i = 0; i < count; i++) {
        b->p2m[b->pfn] = first.n + i;
        arch_set_m2p(MFN(first.n + i), b->pfn++);
    }
}

static mfn_t allocate_block(struct builder *b, unsigned int order, const char *what)
{
    struct page_info *pg = page_alloc_domain(b->d, order, ALLOC_NO_SCRUB);

    if (!pg)
        panic("control domain: no %lu KiB of contiguous memory for %s", 4UL << order, what);
    return page_to_mfn(pg);
}

/* Everything beyond the two blocks, in pieces as large as there are. */
static void allocate_rest(struct builder *b)
{
    uint64_t wanted = b->nr_pages - b->pfn;
    unsigned int order = PAGE_ORDER_MAX;

    while (wanted) {
        while (1UL << order > wanted)
            order--;
        struct page_info *pg = page_alloc_domain(b->d, order, ALLOC_NO_SCRUB);
        if (pg) {
            add_frames(b, page_to_mfn(pg), 1UL << order);
            wanted -= 1UL << order;
        } else if (order-- == 0) {
            refuse("memory ran out while it was being allocated");
        }
    }
}

static void take_initrd(struct builder *b)
{
    struct boot_module *module = &boot_info.module[1];
    mfn_t first = paddr_to_mfn(module->start);

    if (!b->initrd_pages)
        return;
    for (uint64_t i = 0; i < b->initrd_pages; i++)
        if (page_assign(mfn_to_page(MFN(first.n + i)), b->d, true))
            refuse("the initrd's frames could not be given to it");
    b->initrd_pfn = b->pfn; /* low: kernels keep its address in 32 bits */
    add_frames(b, first, b->initrd_pages);
    module->size = 0; /* nothing is left to release */
}

static void allocate_memory(struct builder *b)
{
    struct layout *l = &b->layout;
    uint64_t boot_pages = (l->v_end - l->v_start) >> PAGE_SHIFT;
    uint64_t p2m_pages = l->p2m_outside ? l->nr_p2m_data + l->nr_p2m_tables : 0;

    b->boot_order = page_order(boot_pages << PAGE_SHIFT);
    b->boot_block = allocate_block(b, b->boot_order, "its kernel");
    if (p2m_pages) {
        b->p2m_order = page_order(p2m_pages << PAGE_SHIFT);
        b->p2m_block = allocate_block(b, b->p2m_order, "its p2m list");
        b->p2m = arch_map(b->p2m_block);
    } else {
        b->p2m = arch_map(MFN(b->boot_block.n + ((l->v_p2m - l->v_start) >> PAGE_SHIFT)));
    }
    if ((1UL << b->boot_order) + (p2m_pages ? 1UL << b->p2m_order : 0) + b->initrd_pages > b->nr_pages)
        refuse("dom0_mem is too small for its kernel and its initrd");
    add_frames(b, b->boot_block, 1UL << b->boot_order);
    if (p2m_pages)
        add_frames(b, b->p2m_block, 1UL << b->p2m_order);
    take_initrd(b);
    allocate_rest(b);
}

/* ---- contents ---- */

static void *boot_va(const struct builder *b, uint64_t va)
{
    return (uint8_t *)arch_map(b->boot_block) + (va - b->layout.v_start);
}

static void copy_kernel(struct builder *b)
{
    for (uint32_t i = 0; i < b->kernel.nr_segments; i++) {
        const struct elf_segment *s = &b->kernel.segment[i];
        uint8_t *to = boot_va(b, image_va(b, s->paddr));
        memcpy(to, b->image + s->file_offset, s->file_size);
        memset(to + s->file_size, 0, s->memory_size - s->file_size);
    }
    uint64_t page = b->kernel.hypercall_page;
    if (!b->kernel.has_hypercall_page)
        return; /* newer kernels execute SYSCALL themselves */
    if ((page & ~PAGE_MASK) || page < b->layout.v_start || page >= b->layout.v_kernel_end)
        refuse("the kernel's hypercall page lies outside of its image");
    pv_hypercall_page(boot_va(b, page));
}

/* The entry of `table` for va at a level, making the table below it from the builder's set if there is none.
 */
static uint64_t *table_below(struct builder *b, uint64_t *table, uint64_t va, unsigned int level)
{
    uint64_t *entry = &table[PT_INDEX(va, level)];

    if (!*entry) {
        uint64_t *fresh = arch_map(b->next_table);
        memset(fresh, 0, PAGE_SIZE);
        *entry = pte_make(b->next_table, TABLE_FLAGS);
        b->next_table.n++;
    }
    return arch_map(pte_mfn(*entry));
}

/* Maps `pages` frames from `first` at va; those inside [ro_first, ro_end) read-only. */
static void map_range(struct builder *b, uint64_t *l4, uint64_t va, mfn_t first, uint64_t pages,
                      mfn_t ro_first, mfn_t ro_end)
{
    uint64_t *l1 = NULL;

    for (uint64_t i = 0; i < pages; i++, va += PAGE_SIZE) {
        uint64_t mfn = first.n + i;
        if (!l1 || !PT_INDEX(va, 1))
            l1 = table_below(b, table_below(b, table_below(b, l4, va, 4), va, 3), va, 2);
        l1[PT_INDEX(va, 1)] =
            pte_make(MFN(mfn), mfn >= ro_first.n && mfn < ro_end.n ? PAGE_FLAGS & ~PTE_WRITE : PAGE_FLAGS);
    }
}

static mfn_t build_tables(struct builder *b)
{
    struct layout *l = &b->layout;
    mfn_t l4_mfn = MFN(b->boot_block.n + ((l->v_tables - l->v_start) >> PAGE_SHIFT));
    uint64_t *l4 = arch_map(l4_mfn);

    memset(l4, 0, PAGE_SIZE);
    b->next_table = MFN(l4_mfn.n + 1);
    map_range(b, l4, l->v_start, b->boot_block, (l->v_end - l->v_start) >> PAGE_SHIFT, l4_mfn,
              MFN(l4_mfn.n + l->nr_tables));
    if (l->p2m_outside) {
        b->next_table = MFN(b->p2m_block.n + l->nr_p2m_data);
        map_range(b, l4, l->v_p2m, b->p2m_block, l->nr_p2m_data, INVALID_MFN, INVALID_MFN);
    }
    return l4_mfn;
}

static void video_info(const struct builder *b, struct dom0_vga_console_info *video)
{
    const struct boot_framebuffer *f = &b->boot->framebuffer;

    if (!f->address) {
        video->video_type = XEN_VGATYPE_TEXT_MODE_3;
        video->u.text_mode_3.font_height = 16;
        video->u.text_mode_3.rows = 25;
        video->u.text_mode_3.columns = 80;
        return;
    }
    video->video_type = b->boot->efi_systab ? XEN_VGATYPE_EFI_LFB : XEN_VGATYPE_VESA_LFB;
    video->u.vesa_lfb.width = (uint16_t)f->width;
    video->u.vesa_lfb.height = (uint16_t)f->height;
    video->u.vesa_lfb.bytes_per_line = (uint16_t)f->pitch;
    video->u.vesa_lfb.bits_per_pixel = f->bpp;
    video->u.vesa_lfb.lfb_base = (uint32_t)f->address;
    video->u.vesa_lfb.ext_lfb_base = (uint32_t)(f->address >> 32);
    video->u.vesa_lfb.lfb_size = (f->pitch * f->height + 0xffff) >> 16;
    video->u.vesa_lfb.red_pos = f->red_pos;
    video->u.vesa_lfb.red_size = f->red_size;
    video->u.vesa_lfb.green_pos = f->green_pos;
    video->u.vesa_lfb.green_size = f->green_size;
    video->u.vesa_lfb.blue_pos = f->blue_pos;
    video->u.vesa_lfb.blue_size = f->blue_size;
}

static void fill_start_info(struct builder *b)
{
    const struct layout *l = &b->layout;
    struct start_info *si = boot_va(b, l->v_start_info);

    memset(si, 0, PAGE_SIZE);
    memcpy(si->magic, "xen-3.0-x86_64", sizeof("xen-3.0-x86_64"));
    si->nr_pages = b->nr_pages;
    si->shared_info = mfn_to_paddr(arch_unmap(b->d->shared_info));
    si->flags = SIF_PRIVILEGED | SIF_INITDOMAIN;
    si->pt_base = l->v_tables;
    si->nr_pt_frames = l->nr_tables;
    si->mfn_list = l->v_p2m;
    if (l->p2m_outside) {
        si->first_p2m_pfn = 1UL << b->boot_order;
        si->nr_p2m_frames = l->nr_p2m_data + l->nr_p2m_tables;
    }
    if (b->initrd_pages) {
        if (!b->kernel.mod_start_pfn)
            refuse("the kernel cannot take an initrd outside of its initial mapping");
        si->flags |= SIF_MOD_START_PFN;
        si->mod_start = b->initrd_pfn;
        si->mod_len = b->initrd_size;
    }
    memcpy(si->cmd_line, b->boot->module[0].string,
           strnlen(b->boot->module[0].string, sizeof(si->cmd_line) - 1));
    si->console.dom0.info_off = sizeof(*si);
    si->console.dom0.info_size = sizeof(struct dom0_vga_console_info);
    video_info(b, (struct dom0_vga_console_info *)(si + 1));
}

/* ---- rights ---- */

static void deny_ports(struct domain *d, uint16_t first, uint16_t last)
{
    if (rangeset_remove(d->arch.ioport_caps, first, last))
        refuse("no memory for its port rights");
}

/*
 * What has references is mapped by them alone, never as I/O memory: also while it is free. The first megabyte
 * has none.
 */
static void deny_memory(struct domain *d)
{
    for (uint32_t i = 0; i < boot_info.e820.count; i++) {
        const struct xen_e820entry *e = &boot_info.e820.entry[i];
        uint64_t first = MAX(DIV_ROUND_UP(e->addr, PAGE_SIZE), 0x100UL),
                 end = (e->addr + e->size) >> PAGE_SHIFT;

        if (e->type == E820_RAM && first < end && rangeset_remove(d->iomem_caps, first, end - 1))
            refuse("no memory for its I/O memory rights");
    }
}

/* Everything but memory, and what the hypervisor runs itself: interrupt controllers, timers, its console. */
static void grant_machine(struct domain *d)
{
    if (rangeset_add(d->arch.ioport_caps, 0, 0xffff) || rangeset_add(d->irq_caps, 0, arch_nr_irqs() - 1) ||
        rangeset_add(d->iomem_caps, 0, (1UL << (boot_cpu.physaddr_bits - PAGE_SHIFT)) - 1))
        refuse("no memory for its rights");
    deny_ports(d, 0x20, 0x21);
    deny_ports(d, 0xa0, 0xa1);
    deny_ports(d, 0x40, 0x43);
    if (options.console & CONSOLE_COM1)
        deny_ports(d, 0x3f8, 0x3ff);
    if (options.console & CONSOLE_COM2)
        deny_ports(d, 0x2f8, 0x2ff);
    deny_memory(d);
    arch_deny_own_mmio(d->iomem_caps);
}

/* ---- vcpus ---- */

static void create_vcpus(struct builder *b)
{
    struct vcpu *v;

    for (uint32_t i = 0; i < b->d->max_vcpus; i++)
        if (vcpu_create(b->d, i, &v))
            refuse("no memory for its vcpus");
}

static void start_vcpu(struct builder *b, mfn_t l4)
{
    const struct layout *l = &b->layout;
    struct vcpu *v = b->d->vcpu[0];

    /* The kernel finds its first tables pinned, and unpins them. */
    if (pv_get_base_table(v, b->d, l4) || page_pin(v, mfn_to_page(l4), b->d, PGT_l4))
        panic("control domain: its page tables do not validate: %s ({0} is %#lx, {1} is %#lx)",
              v->cause.check ? v->cause.check : "no cause", (unsigned long)v->cause.value[0],
              (unsigned long)v->cause.value[1]);
    v->arch.pv.guest_table = l4;
    v->arch.pv.kernel_mode = true;
    v->arch.cr3 = mfn_to_paddr(l4);
    v->arch.regs = (struct cpu_regs){
        .rip = b->kernel.virt_entry,
        .rsp = l->v_stack + PAGE_SIZE,
        .rsi = l->v_start_info,
        .rflags = 1UL << 9 | 2,
        .cs = FLAT_KERNEL_CS,
        .ss = FLAT_KERNEL_SS,
    };
    v->info->evtchn_upcall_mask = 1;
    v->initialised = true;
    sched_vcpu_online(v, true);
}

static uint32_t choose_vcpus(void)
{
    uint32_t n = arch_nr_cpus();

    if (options.dom0_max_vcpus)
        n = MIN(MAX(n, options.dom0_max_vcpus_min), options.dom0_max_vcpus);
    return MIN(n, DOMAIN_MAX_VCPUS);
}

void dom0_build(const struct boot_info *boot)
{
    struct builder builder = {.boot = boot}, *b = &builder;
    struct page_info *unpacked = NULL;
    unsigned int unpacked_order = 0;
    const struct domain_config config = {
        .domid = 0,
        .privileged = true,
        .max_vcpus = choose_vcpus(),
        .max_evtchn_port = (1U << 17) - 1,
        .max_grant_frames = 64,
        .max_maptrack_frames = 1024,
        .grant_version = 2,
    };

    if (!boot->nr_modules)
        refuse("the boot loader brought no kernel (a module after the hypervisor: kernel, then initrd)");
    load_image(b, &unpacked, &unpacked_order);
    b->initrd_size = boot->nr_modules > 1 ? boot->module[1].size : 0;
    b->initrd_pages = DIV_ROUND_UP(b->initrd_size, PAGE_SIZE);
    if (domain_create(&config, &b->d))
        refuse("no memory for the domain itself");
    control_domain = b->d;
    create_vcpus(b);
    b->nr_pages = choose_pages(b);
    b->d->max_pages = page_counts.total;
    plan_layout(b);
    allocate_memory(b);
    copy_kernel(b);
    fill_start_info(b);
    mfn_t l4 = build_tables(b);
    if (unpacked)
        page_free(unpacked, unpacked_order);
    b->d->max_pages = page_counts.total;
    if (options.dom0_mem_max.bytes)
        b->d->max_pages = MAX(b->nr_pages, amount_of(&options.dom0_mem_max, page_counts.total));
    grant_machine(b->d);
    start_vcpu(b, l4);
    printk(LOG_INFO, "control domain: %s kernel at %#lx, %lu MiB, %u vcpus, initrd %lu KiB",
           b->kernel.guest_os[0] ? b->kernel.guest_os : "unnamed", (unsigned long)b->kernel.virt_entry,
           (unsigned long)(b->nr_pages >> 8), b->d->max_vcpus, (unsigned long)(b->initrd_pages << 2));
    domain_unpause(b->d);
}
