/*
 * The shape of a new PV guest: where everything lies, and its first page tables.
 *
 * Pure functions of sizes, so that they are tested and fuzzed without a hypervisor. The first mapping covers
 * page 0 up to mapped_pages at virt_base, in this order: the kernel where it wants to be, the initrd and the
 * page list when the kernel does not take them unmapped, start info, store and console pages, page tables
 * (read-only to the guest), the first stack, then at least 512 KiB up to a multiple of 4 MiB. Behind it, not
 * mapped there, come the page list (mapped where the kernel asked for it) and the initrd.
 */
#include "internal.h"

#define ENTRIES      512UL
#define SPARE_PAGES  128UL
#define ROUND_PAGES  1024UL
#define PTE_TABLE    0x67UL /* present, writable, user, accessed, dirty */
#define PTE_WRITABLE 0x02UL

static uint64_t pages_of(uint64_t bytes)
{
    return (bytes + PAGE_BYTES - 1) >> PAGE_SHIFT;
}

/* Tables below the L4 to map count pages at virt. */
static uint64_t tables_for(uint64_t virt, uint64_t count)
{
    uint64_t first = virt >> PAGE_SHIFT, last = first + count - 1, total = 0;

    for (unsigned int shift = 9; count && shift <= 27; shift += 9)
        total += (last >> shift) - (first >> shift) + 1;
    return total;
}

int pv_layout(struct bh *h, const struct pv_kernel *kernel, uint64_t nr_pages, uint64_t initrd_size,
              struct pv_layout *out)
{
    uint64_t at = kernel->end_pfn, base, next, free_after;

    memset(out, 0, sizeof(*out));
    out->nr_pages = nr_pages;
    out->virt_base = kernel->virt_base;
    out->initrd_pages = pages_of(initrd_size);
    out->initrd_by_pfn = kernel->mod_start_pfn;
    out->p2m_pages = pages_of(nr_pages * sizeof(uint64_t));
    if (out->initrd_pages && !out->initrd_by_pfn) {
        out->initrd_pfn = at;
        at += out->initrd_pages;
    }
    if (!kernel->has_init_p2m) {
        out->p2m_pfn = at;
        out->p2m_virt = out->virt_base + (at << PAGE_SHIFT);
        at += out->p2m_pages;
    }
    out->start_info_pfn = at++;
    out->store_pfn = at++;
    out->console_pfn = at++;
    out->tables_pfn = at;
    base = 1 + (kernel->has_init_p2m ? tables_for(kernel->init_p2m, out->p2m_pages) : 0);
    /* More tables may need a larger mapping and that more tables: it settles after a few rounds. */
    for (next = base; next != out->tables_count;) {
        out->tables_count = next;
        out->stack_pfn = out->tables_pfn + out->tables_count;
        out->mapped_pages = (out->stack_pfn + 1 + SPARE_PAGES + ROUND_PAGES - 1) / ROUND_PAGES * ROUND_PAGES;
        next = base + tables_for(out->virt_base, out->mapped_pages);
        if (out->mapped_pages > pv_space_from(out->virt_base) >> PAGE_SHIFT || next < out->tables_count)
            return bh_fail(h, EINVAL,
                           "the kernel's first mapping of %lu pages at %#lx does not fit the address space",
                           out->mapped_pages, out->virt_base);
    }
    free_after = out->mapped_pages;
    if (kernel->has_init_p2m) {
        out->p2m_pfn = free_after;
        out->p2m_virt = kernel->init_p2m;
        free_after += out->p2m_pages;
    }
    if (out->initrd_pages && out->initrd_by_pfn) {
        out->initrd_pfn = free_after;
        free_after += out->initrd_pages;
    }
    if (free_after > nr_pages)
        return bh_fail(h, ENOMEM,
                       "the guest's memory of %lu MiB is too small: its kernel, initrd and page tables need "
                       "%lu MiB before anything runs",
                       nr_pages >> 8, (free_after + 255) >> 8);
    return 0;
}

struct filler {
    const struct pv_layout *layout;
    const uint64_t *mfns;
    uint64_t *memory;
    uint64_t used; /* tables taken so far */
};

/* The table that entry of table points to, taken new when there is none. */
static uint64_t *next_table(struct filler *f, uint64_t *table, uint64_t entry)
{
    if (!table[entry]) {
        table[entry] = f->mfns[f->layout->tables_pfn + f->used] << PAGE_SHIFT | PTE_TABLE;
        f->used++;
        return f->memory + (f->used - 1) * ENTRIES;
    }
    /* Only the newest table of each level is ever continued: find it by its frame. */
    for (uint64_t i = f->used; i-- > 0;)
        if (f->mfns[f->layout->tables_pfn + i] == table[entry] >> PAGE_SHIFT)
            return f->memory + i * ENTRIES;
    return f->memory;
}

static void map_range(struct filler *f, uint64_t virt, uint64_t pfn, uint64_t count)
{
    const struct pv_layout *l = f->layout;
    uint64_t *l1 = NULL;

    for (uint64_t i = 0; i < count; i++, pfn++) {
        uint64_t page = (virt >> PAGE_SHIFT) + i, flags = PTE_TABLE;

        if (!l1 || page % ENTRIES == 0) {
            uint64_t *l3 = next_table(f, f->memory, page >> 27 & (ENTRIES - 1));
            uint64_t *l2 = next_table(f, l3, page >> 18 & (ENTRIES - 1));

            l1 = next_table(f, l2, page >> 9 & (ENTRIES - 1));
        }
        if (pfn >= l->tables_pfn && pfn < l->tables_pfn + l->tables_count)
            flags &= ~PTE_WRITABLE;
        l1[page & (ENTRIES - 1)] = f->mfns[pfn] << PAGE_SHIFT | flags;
    }
}

void pv_page_tables(const struct pv_layout *layout, const uint64_t *mfns, uint64_t *memory)
{
    struct filler f = {.layout = layout, .mfns = mfns, .memory = memory, .used = 1};

    memset(memory, 0, layout->tables_count * PAGE_BYTES);
    map_range(&f, layout->virt_base, 0, layout->mapped_pages);
    if (layout->p2m_virt != layout->virt_base + (layout->p2m_pfn << PAGE_SHIFT))
        map_range(&f, layout->p2m_virt, layout->p2m_pfn, layout->p2m_pages);
}
