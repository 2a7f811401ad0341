/*
 * The hypervisor's address space (asm/layout.h), built once at boot.
 *
 * Before the allocator runs, memory comes from boot_alloc(): a list of free RAM ranges, taken from the top.
 * Page tables that are built while the boot tables are loaded must lie below 4 GiB; the frame table and the
 * M2P come after the switch, from wherever RAM is.
 *
 * Chunks of 1 GiB of machine addresses that hold any RAM have 2 MiB of M2P and up to six 2 MiB pages of frame
 * table. Page entries of frames that are not RAM stay zero: no references is what mfn_valid() knows them by.
 * The first MiB counts as not RAM: it is the control domain's, as I/O memory.
 */
#include <bh/arch.h>
#include <bh/domain.h>
#include <bh/lock.h>
#include <bh/page_alloc.h>
#include <bh/printk.h>
#include <bh/string.h>
#include <asm/boot_info.h>
#include <asm/cpufeature.h>
#include <asm/cr.h>
#include <asm/desc.h>
#include <asm/map.h>
#include <asm/paging.h>
#include <asm/regs.h>
#include <asm/setup.h>
#include <asm/tlb.h>

#define CHUNK_SHIFT     30
#define CHUNK_SIZE      (1UL << CHUNK_SHIFT)
#define CHUNK_FRAMES    (CHUNK_SIZE >> PAGE_SHIFT)
#define DIRECTMAP_LIMIT (DIRECTMAP_END - DIRECTMAP_START)
#define BOOT_RANGES_MAX (BOOT_MAX_E820 + 2 * BOOT_MAX_MODULES)
#define LOW_RESERVED    0x100000UL /* firmware's data, the trampoline */
#define MEMORY_MINIMUM  (64UL << 20)

#define PTE_HV_TABLE (PTE_PRESENT | PTE_WRITE | PTE_ACCESSED)
#define PTE_HV_RW    (PTE_PRESENT | PTE_WRITE | PTE_ACCESSED | PTE_DIRTY | PTE_GLOBAL | PTE_NX)
#define PTE_HV_RO    (PTE_PRESENT | PTE_ACCESSED | PTE_GLOBAL | PTE_NX)
#define PTE_HV_RX    (PTE_PRESENT | PTE_ACCESSED | PTE_GLOBAL)
#define PTE_HV_UC    (PTE_HV_RW | PTE_PCD | PTE_PWT)

extern char image_start[], entry_text_start[], entry_text_end[], text_end[], rodata_end[], image_end[];

struct range {
    paddr_t start, end;
};

static struct {
    struct range free[BOOT_RANGES_MAX];
    unsigned int count;
    paddr_t limit; /* allocations lie below */
} boot_memory;

uint64_t *hv_l4;
paddr_t hv_cr3;
uint64_t max_page;
struct page_info *const frame_table = (struct page_info *)FRAMETABLE_START;

static struct spinlock map_lock = SPINLOCK_INIT;
static uint64_t iomap_next = IOMAP_START;
static bool allocator_ready;

/* RAM that the direct map reaches. */
#define for_each_ram(e, bi)                                                                                  \
    for (const struct xen_e820entry *e = (bi)->e820.entry; e < (bi)->e820.entry + (bi)->e820.count; e++)     \
        if (e->type == E820_RAM && e->addr + e->size <= DIRECTMAP_LIMIT)

static paddr_t image_pa(const char *symbol)
{
    return (uint64_t)symbol - HYPERVISOR_TEXT;
}

/* ---- memory before the allocator ---- */

static void boot_exclude(paddr_t start, paddr_t end)
{
    for (unsigned int i = 0; i < boot_memory.count; i++) {
        struct range *r = &boot_memory.free[i];
        struct range tail = {end, r->end};

        if (end <= r->start || start >= r->end)
            continue;
        if (start > r->start) {
            r->end = start;
            if (tail.start < tail.end && boot_memory.count < BOOT_RANGES_MAX)
                boot_memory.free[boot_memory.count++] = tail;
        } else {
            r->start = MIN(end, r->end);
        }
    }
}

static void boot_memory_init(const struct boot_info *bi)
{
    for_each_ram (e, bi) {
        struct range r = {ROUND_UP(e->addr, PAGE_SIZE), (e->addr + e->size) & PAGE_MASK};

        if (r.start < r.end)
            boot_memory.free[boot_memory.count++] = r;
    }
    boot_exclude(0, LOW_RESERVED);
    boot_exclude(image_pa(image_start), image_pa(image_end));
    for (uint32_t i = 0; i < bi->nr_modules; i++)
        boot_exclude(bi->module[i].start & PAGE_MASK,
                     ROUND_UP(bi->module[i].start + bi->module[i].size, PAGE_SIZE));
    boot_memory.limit = 4UL << 30;
}

paddr_t boot_alloc(uint64_t bytes, uint64_t align, bool zero)
{
    struct range *best = NULL;
    paddr_t best_at = 0;

    bytes = ROUND_UP(bytes, PAGE_SIZE);
    for (unsigned int i = 0; i < boot_memory.count; i++) {
        struct range *r = &boot_memory.free[i];
        paddr_t end = MIN(r->end, boot_memory.limit), at;

        if (end < bytes)
            continue;
        at = (end - bytes) & ~(align - 1);
        if (at >= r->start && at + bytes <= r->end && at > best_at) {
            best = r;
            best_at = at;
        }
    }
    if (!best)
        boot_die("there is too little memory for the hypervisor's own tables");
    boot_exclude(best_at, best_at + bytes);
    if (zero)
        memset(pa_to_va(best_at), 0, bytes);
    return best_at;
}

/* ---- building tables ---- */

static uint64_t *new_table(void)
{
    struct page_info *pg;

    if (!allocator_ready)
        return pa_to_va(boot_alloc(PAGE_SIZE, PAGE_SIZE, true));
    pg = page_alloc(0, 0);
    return pg ? memset(map_frame(page_to_mfn(pg)), 0, PAGE_SIZE) : NULL;
}

static uint64_t *next_table(uint64_t *entry, uint64_t flags)
{
    if (!(*entry & PTE_PRESENT)) {
        uint64_t *table = new_table();

        if (!table)
            return NULL;
        *entry = va_to_pa(table) | PTE_HV_TABLE | flags;
    }
    return pa_to_va(*entry & PTE_FRAME_MASK);
}

/* Maps one page of `size` (L1_SIZE, L2_SIZE or L3_SIZE) below a top-level table. false: no memory for a table. */
static bool must_check map_one(uint64_t *table, uint64_t va, paddr_t pa, uint64_t size, uint64_t flags)
{
    for (unsigned int level = 4;; level--) {
        uint64_t *entry = &table[PT_INDEX(va, level)], covers = PAGE_SIZE << 9 * (level - 1);

        if (covers == size) {
            *entry = pa | flags | (level > 1 ? PTE_LARGE : 0);
            return true;
        }
        table = next_table(entry, flags & PTE_USER);
        if (!table)
            return false;
    }
}

/* Maps [pa, end) in the master tables, in the largest pages that fit. Boot only. */
static void map_range(uint64_t va, paddr_t pa, paddr_t end, uint64_t flags)
{
    while (pa < end) {
        uint64_t size = L1_SIZE;

        if (((va | pa) & (L2_SIZE - 1)) == 0 && end - pa >= L2_SIZE)
            size = L2_SIZE;
        if (((va | pa) & (L3_SIZE - 1)) == 0 && end - pa >= L3_SIZE && cpu_has(FEAT_PAGE1GB))
            size = L3_SIZE;
        if (!map_one(hv_l4, va, pa, size, flags))
            boot_die("there is too little memory for page tables");
        va += size;
        pa += size;
    }
}

static void map_direct(paddr_t pa, paddr_t end, uint64_t flags)
{
    if (pa < end)
        map_range(DIRECTMAP_START + pa, pa, end, flags);
}

/* All RAM, read-write; the hypervisor's text and constants in it read-only. */
static void map_all_ram(const struct boot_info *bi)
{
    const paddr_t fixed_start = image_pa(image_start), fixed_end = image_pa(rodata_end);

    for_each_ram (e, bi) {
        paddr_t start = e->addr & PAGE_MASK, end = ROUND_UP(e->addr + e->size, PAGE_SIZE);

        if (start <= fixed_start && end >= fixed_end) {
            map_direct(start, fixed_start, PTE_HV_RW);
            map_direct(fixed_start, fixed_end, PTE_HV_RO);
            map_direct(fixed_end, end, PTE_HV_RW);
        } else {
            map_direct(start, end, PTE_HV_RW);
        }
    }
}

static void map_image(void)
{
    map_range((uint64_t)image_start, image_pa(image_start), image_pa(text_end), PTE_HV_RX);
    map_range((uint64_t)text_end, image_pa(text_end), image_pa(rodata_end), PTE_HV_RO);
    map_range((uint64_t)rodata_end, image_pa(rodata_end), image_pa(image_end), PTE_HV_RW);
}

/* The last address of RAM in the chunk that starts at `chunk`, exclusive; 0: none. */
static paddr_t chunk_ram_end(const struct boot_info *bi, paddr_t chunk)
{
    paddr_t last = 0;

    for_each_ram (e, bi)
        if (e->addr < chunk + CHUNK_SIZE && e->addr + e->size > chunk)
            last = MAX(last, MIN(e->addr + e->size, chunk + CHUNK_SIZE));
    return last;
}

/* Entries of frames that are not RAM read as zero: they share one page of zeroes. */
static void map_empty_frame_table(uint64_t va, uint64_t end)
{
    static paddr_t zeroes;

    if (va < end && zeroes == 0)
        zeroes = boot_alloc(L2_SIZE, L2_SIZE, true);
    for (; va < end; va += L2_SIZE)
        map_range(va, zeroes, zeroes + L2_SIZE, PTE_HV_RO);
}

/* Frame table and M2P of every chunk that has RAM. The final tables are loaded. */
static void map_frame_tables(const struct boot_info *bi)
{
    const uint64_t chunk_bytes = CHUNK_FRAMES * sizeof(struct page_info);
    paddr_t top = max_page << PAGE_SHIFT;

    for (paddr_t chunk = 0; chunk < top; chunk += CHUNK_SIZE) {
        paddr_t end = chunk_ram_end(bi, chunk), pa;
        uint64_t first = chunk >> PAGE_SHIFT, bytes = 0;
        uint64_t table = FRAMETABLE_START + first * sizeof(struct page_info);

        if (end == 0) {
            map_empty_frame_table(table, table + chunk_bytes);
            continue;
        }
        pa = boot_alloc(L2_SIZE, L2_SIZE, false);
        map_range(M2P_START + first * 8, pa, pa + L2_SIZE, PTE_HV_RO | PTE_USER);
        map_range(M2P_RW_START + first * 8, pa, pa + L2_SIZE, PTE_HV_RW);
        memset(pa_to_va(pa), 0xff, DIV_ROUND_UP(end - chunk, PAGE_SIZE) * 8);
        bytes = ROUND_UP(DIV_ROUND_UP(end - chunk, PAGE_SIZE) * sizeof(struct page_info), L2_SIZE);
        pa = boot_alloc(bytes, L2_SIZE, true);
        map_range(table, pa, pa + bytes, PTE_HV_RW);
        if (chunk + CHUNK_SIZE < top)
            map_empty_frame_table(table + bytes, table + chunk_bytes);
    }
}

static void load_final_tables(void)
{
    write_cr3(hv_cr3);
    write_cr4(read_cr4() | CR4_PGE); /* after CR3: nothing of the boot tables becomes global */
}

const char *paging_init(const struct boot_info *bi)
{
    uint64_t ram = 0;

    for_each_ram (e, bi) {
        ram += e->size;
        max_page = MAX(max_page, (e->addr + e->size) >> PAGE_SHIFT);
    }
    if (ram < MEMORY_MINIMUM)
        return "the machine has less than 64 MiB of memory";
    boot_memory_init(bi);
    hv_l4 = new_table();
    hv_cr3 = va_to_pa(hv_l4);
    map_all_ram(bi);
    map_image();
    for (unsigned int slot = HV_FIRST_SLOT; slot <= HV_LAST_SLOT; slot++)
        if (slot != PERDOMAIN_SLOT)
            next_table(&hv_l4[slot], slot == PT_INDEX(M2P_START, 4) ? PTE_USER : 0);
    load_final_tables();
    boot_memory.limit = DIRECTMAP_LIMIT;
    map_frame_tables(bi);
    vga_map_final();
    return NULL;
}

/* ---- device memory, stacks, the trampoline ---- */

static void *iomap_flags(paddr_t pa, uint64_t size, uint64_t flags)
{
    paddr_t first = pa & PAGE_MASK, end = ROUND_UP(pa + size, PAGE_SIZE);
    uint64_t va;
    bool ok = true;

    spin_lock(&map_lock);
    va = iomap_next;
    if (end - first > IOMAP_END - va)
        ok = false;
    for (paddr_t at = first; ok && at < end; at += PAGE_SIZE)
        ok = map_one(hv_l4, va + (at - first), at, L1_SIZE, flags);
    if (ok)
        iomap_next = va + (end - first) + PAGE_SIZE;
    spin_unlock(&map_lock);
    return ok ? (void *)(va + (pa - first)) : NULL;
}

void *iomap(paddr_t pa, uint64_t size)
{
    return iomap_flags(pa, size, PTE_HV_UC);
}

const void *iomap_ram(paddr_t pa, uint64_t size)
{
    return iomap_flags(pa, size, PTE_HV_RO);
}

uint64_t *paging_isolated_root(void)
{
    uint64_t *root = new_table();
    bool ok = root && map_one(root, (uint64_t)idt, image_pa((const char *)idt), L1_SIZE, PTE_HV_RO);

    for (const char *text = entry_text_start; ok && text < entry_text_end; text += PAGE_SIZE)
        ok = map_one(root, (uint64_t)text, image_pa(text), L1_SIZE, PTE_HV_RX);
    return ok ? root : NULL;
}

struct cpu_info *paging_map_stack(unsigned int cpu, uint64_t *root)
{
    const unsigned int guard = 4;
    uint64_t base = STACKS_START + (2UL * cpu + 1) * STACK_SIZE;

    for (unsigned int i = 0; i < STACK_SIZE / PAGE_SIZE; i++) {
        uint64_t *page;

        if (i == guard)
            continue;
        page = new_table(); /* a zeroed page */
        if (!page || !map_one(hv_l4, base + i * PAGE_SIZE, va_to_pa(page), L1_SIZE, PTE_HV_RW) ||
            (root && !map_one(root, base + i * PAGE_SIZE, va_to_pa(page), L1_SIZE, PTE_HV_RW)))
            return NULL;
    }
    return (struct cpu_info *)(base + STACK_SIZE) - 1;
}

/* The trampoline runs with CR3 = hv_cr3 at its physical address: slot 0 of the master table, used for nothing
 * else. */
void paging_map_trampoline(paddr_t pa)
{
    if (!map_one(hv_l4, pa, pa, L1_SIZE, PTE_PRESENT | PTE_WRITE | PTE_ACCESSED | PTE_DIRTY))
        panic("no memory to map the trampoline for other CPUs");
}

void paging_unmap_trampoline(paddr_t pa)
{
    hv_l4[PT_INDEX(pa, 4)] = 0;
    tlb_flush_all_local();
}

/* ---- what the rest asks ---- */

void *arch_map(mfn_t mfn)
{
    return map_frame(mfn);
}

/* Pointers into the direct map, or into the image. */
mfn_t arch_unmap(const void *mapped)
{
    uint64_t va = (uint64_t)mapped;

    if (va < DIRECTMAP_START)
        return paddr_to_mfn(va - HYPERVISOR_TEXT);
    return paddr_to_mfn(va - DIRECTMAP_START);
}

void arch_set_m2p(mfn_t mfn, uint64_t pfn)
{
    m2p_table[mfn.n] = pfn;
}

/* Marks what the allocator does not get of [frame, end), RAM: the hypervisor's own, the modules. */
static void claim_reserved(uint64_t frame, uint64_t end)
{
    for (; frame < end; frame++) {
        paddr_t pa = frame << PAGE_SHIFT;
        bool is_free = false;

        for (unsigned int i = 0; i < boot_memory.count && !is_free; i++) {
            const struct range *r = &boot_memory.free[i];

            if (pa < r->start || pa >= r->end)
                continue;
            frame = (r->end >> PAGE_SHIFT) - 1;
            is_free = true;
        }
        if (!is_free)
            frame_table[frame].refs = PGC_hypervisor;
    }
}

void arch_share_m2p(void)
{
    for (uint64_t first = 0; first < max_page; first += CHUNK_FRAMES) {
        uint64_t *l3 = pa_to_va(hv_l4[PT_INDEX(M2P_START, 4)] & PTE_FRAME_MASK);
        uint64_t va = M2P_START + first * 8, *l2, entry = l3[PT_INDEX(va, 3)];

        if (!(entry & PTE_PRESENT))
            continue;
        l2 = pa_to_va(entry & PTE_FRAME_MASK);
        entry = l2[PT_INDEX(va, 2)];
        for (uint64_t i = 0; (entry & PTE_PRESENT) && i < PT_ENTRIES; i++)
            page_share_readonly(mfn_to_page(MFN(((entry & PTE_FRAME_MASK) >> PAGE_SHIFT) + i)), domain_xen);
    }
}

void arch_memory_init(const struct boot_info *bi)
{
    for_each_ram (e, bi)
        claim_reserved(MAX(DIV_ROUND_UP(e->addr, PAGE_SIZE), LOW_RESERVED >> PAGE_SHIFT),
                       (e->addr + e->size) >> PAGE_SHIFT);
    allocator_ready = true;
    for (unsigned int i = 0; i < boot_memory.count; i++)
        if (boot_memory.free[i].start < boot_memory.free[i].end)
            page_alloc_add(paddr_to_mfn(boot_memory.free[i].start), paddr_to_mfn(boot_memory.free[i].end));
}

void arch_release_modules(const struct boot_info *bi)
{
    for (uint32_t i = 0; i < bi->nr_modules; i++) {
        paddr_t start = bi->module[i].start & PAGE_MASK;
        paddr_t end = ROUND_UP(bi->module[i].start + bi->module[i].size, PAGE_SIZE);

        for (uint64_t frame = start >> PAGE_SHIFT; frame < end >> PAGE_SHIFT; frame++)
            frame_table[frame].refs = 0;
        if (start < end)
            page_alloc_add(paddr_to_mfn(start), paddr_to_mfn(end));
    }
}

void paging_dump_walk(uint64_t va)
{
    uint64_t pa = read_cr3() & PTE_FRAME_MASK;

    for (unsigned int level = 4; level > 0 && mfn_valid(paddr_to_mfn(pa)); level--) {
        uint64_t entry = ((uint64_t *)pa_to_va(pa))[PT_INDEX(va, level)];

        printk(LOG_ERROR, "  L%u[%lu] = %016lx", level, PT_INDEX(va, level), entry);
        if (!(entry & PTE_PRESENT) || ((level == 3 || level == 2) && (entry & PTE_LARGE)))
            return;
        pa = entry & PTE_FRAME_MASK;
    }
}
