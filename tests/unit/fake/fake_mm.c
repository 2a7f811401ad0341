#include "fake_mm.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#undef fail /* ours: bh/cause.h */
#undef fail_msg
#define fail_msg(...) (print_error(__VA_ARGS__), print_error("\n"), _fail(__FILE__, __LINE__))

#include <asm/boot_info.h>
#include <asm/context.h>
#include <asm/cpufeature.h>
#include <asm/irq.h>
#include <asm/layout.h>
#include <asm/mm.h>
#include <asm/pv.h>
#include <asm/tlb.h>
#include <bh/arch.h>
#include <bh/cmdline.h>
#include <bh/grant.h>
#include <bh/guest.h>
#include <bh/page_alloc.h>
#include <bh/policy.h>

uint8_t *fake_ram;
static struct page_info frames[FAKE_FRAMES];
struct page_info *const frame_table = frames;
uint64_t max_page = FAKE_FRAMES;
uint64_t *hv_l4;
static uint64_t hv_l4_table[512];
struct boot_info boot_info;
struct domain *control_domain;
struct cpu_features boot_cpu = {.physaddr_bits = 40};
struct options options;

struct vcpu *fake_current;
struct cause fake_cause;
unsigned int fake_flushes, fake_page_flushes, fake_local_flushes, fake_cache_flushes, fake_injected;
cpumask_t fake_flushed;
uint64_t fake_cr3, fake_injected_cr2;
uint32_t fake_injected_code;
int fake_preempt_in;
uint64_t fake_m2p[FAKE_FRAMES];
bool fake_descriptors_ok;
unsigned int fake_held_refs[FAKE_FRAMES], fake_held_writable[FAKE_FRAMES];

#define FAKE_DOMAINS 4
static struct domain *domains[FAKE_DOMAINS];
static struct domain system_io = {.id = DOMID_IO, .kind = KIND_SYSTEM},
                     system_xen = {.id = DOMID_XEN, .kind = KIND_SYSTEM};
struct domain *domain_io = &system_io, *domain_xen = &system_xen;
static uint32_t clock_now, cpu_flushed[FAKE_CPUS];

/* The TLB. */
uint32_t arch_tlb_clock(void)
{
    return clock_now;
}

cpumask_t arch_tlb_stale(cpumask_t mask, uint32_t stamp)
{
    cpumask_t stale = 0;

    for (unsigned int cpu = 0; cpu < FAKE_CPUS; cpu++)
        if ((mask & CPUMASK(cpu)) && cpu_flushed[cpu] <= stamp)
            stale |= CPUMASK(cpu);
    return stale;
}

void arch_flush_tlb(cpumask_t mask)
{
    clock_now++;
    fake_flushes++;
    fake_flushed = mask;
    for (unsigned int cpu = 0; cpu < FAKE_CPUS; cpu++)
        if (mask & CPUMASK(cpu))
            cpu_flushed[cpu] = clock_now;
}

void tlb_flush_local(void)
{
    fake_local_flushes++;
}

void tlb_flush_page_local(uint64_t va)
{
    fake_page_flushes++;
}

void tlb_flush_page(cpumask_t mask, uint64_t va)
{
    fake_page_flushes++;
    fake_flushed = mask;
}

void cache_flush_local(void)
{
    fake_cache_flushes++;
}

void cache_flush_all(void)
{
    fake_cache_flushes++;
}

/* CPUs, context. */
unsigned int arch_cpu_id(void)
{
    return 0;
}

cpumask_t arch_online_cpus(void)
{
    return CPUMASK(FAKE_CPUS) - 1;
}

void arch_cpu_relax(void)
{
}

struct vcpu *arch_current(void)
{
    return fake_current;
}

void vcpu_sync(struct vcpu *v)
{
}

void physdev_domain_release(struct domain *d);
void domain_sync(struct domain *d)
{
}

void physdev_domain_release(struct domain *d)
{
}

void context_load_cr3(struct vcpu *v)
{
    fake_cr3 = v->arch.cr3;
}

bool hypercall_preempt_check(void)
{
    if (fake_preempt_in < 0)
        return false;
    if (fake_preempt_in > 0) {
        fake_preempt_in--;
        return false;
    }
    return true;
}

long hypercall_restart(struct vcpu *v, unsigned long a1, unsigned long a2, unsigned long a3, unsigned long a4,
                       unsigned long a5)
{
    const unsigned long args[5] = {a1, a2, a3, a4, a5};

    memcpy(v->restart_args, args, sizeof(args));
    return HYPERCALL_RESTART;
}

int fail(struct vcpu *v, int error, const char *check, uint64_t a, uint64_t b)
{
    fake_cause = (struct cause){.check = check, .error = error, .value = {a, b}};
    return error;
}

void panic(const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputc('\n', stderr);
    fail_msg("panic");
    abort();
}

/* Memory of guests: the test's own addresses. */
size_t copy_from_guest(struct vcpu *v, void *dst, uint64_t untrusted_src, size_t bytes)
{
    if (untrusted_src < PAGE_SIZE)
        return bytes;
    memcpy(dst, (const void *)untrusted_src, bytes);
    return 0;
}

size_t copy_to_guest(struct vcpu *v, uint64_t untrusted_dst, const void *src, size_t bytes)
{
    if (untrusted_dst < PAGE_SIZE)
        return bytes;
    memcpy((void *)untrusted_dst, src, bytes);
    return 0;
}

void *arch_map(mfn_t mfn)
{
    return map_frame(mfn);
}

void arch_set_m2p(mfn_t mfn, uint64_t pfn)
{
    fake_m2p[mfn.n] = pfn;
}

void *kalloc(size_t bytes)
{
    return calloc(1, bytes);
}

void kfree(void *p)
{
    free(p);
}

/* Pages. */
static void list_page(struct domain *d, struct page_info *pg)
{
    uint32_t n = (uint32_t)page_to_mfn(pg).n;

    pg->next_in_domain = (uint32_t)d->first_page;
    pg->prev_in_domain = 0;
    if (d->first_page)
        frames[d->first_page].prev_in_domain = n;
    d->first_page = n;
    d->tot_pages++;
}

static void unlist_page(struct domain *d, struct page_info *pg)
{
    if (pg->prev_in_domain)
        frames[pg->prev_in_domain].next_in_domain = pg->next_in_domain;
    else
        d->first_page = pg->next_in_domain;
    if (pg->next_in_domain)
        frames[pg->next_in_domain].prev_in_domain = pg->prev_in_domain;
    d->tot_pages--;
}

void page_free_domain(struct page_info *pg)
{
    assert_non_null(pg->owner);
    assert_int_equal(pg->refs & (PGC_count_mask | PGC_allocated), 0);
    assert_int_equal(pg->type & (PGT_count_mask | PGT_partial | PGT_locked | PGT_pinned), 0);
    if (!(pg->refs & PGC_extra))
        unlist_page(pg->owner, pg);
    pg->owner = NULL;
    pg->type = 0;
    pg->refs = PGC_free;
}

struct page_info *page_alloc(unsigned int order, unsigned int flags)
{
    for (uint64_t mfn = 1UL << order; mfn + (1UL << order) <= FAKE_IO_FIRST; mfn += 1UL << order) {
        uint64_t i = 0;
        while (i < 1UL << order && (frames[mfn + i].refs & PGC_free))
            i++;
        if (i < 1UL << order)
            continue;
        for (i = 0; i < 1UL << order; i++)
            frames[mfn + i].refs = PGC_hypervisor;
        return &frames[mfn];
    }
    return NULL;
}

void page_free(struct page_info *pg, unsigned int order)
{
    for (uint64_t i = 0; i < 1UL << order; i++)
        pg[i].refs = PGC_free;
}

int page_assign(struct page_info *pg, struct domain *d, bool counted)
{
    if (counted && d->tot_pages >= d->max_pages)
        return -E2BIG;
    pg->owner = d;
    pg->type = 0;
    pg->tlb_stamp = 0;
    if (counted) {
        list_page(d, pg);
        pg->refs = PGC_allocated | 1;
    } else {
        pg->refs = PGC_allocated | PGC_hypervisor | PGC_extra | 1;
    }
    return 0;
}

struct page_info *page_alloc_domain(struct domain *d, unsigned int order, unsigned int flags)
{
    struct page_info *pg = d->tot_pages + (1UL << order) <= d->max_pages ? page_alloc(order, flags) : NULL;

    for (uint64_t i = 0; pg && i < 1UL << order; i++) {
        assert_int_equal(page_assign(&pg[i], d, true), 0);
        memset(map_frame(page_to_mfn(&pg[i])), 0, PAGE_SIZE);
    }
    return pg;
}

int page_claim(struct domain *d, uint64_t pages)
{
    return pages > FAKE_FRAMES ? -ENOMEM : 0;
}

/* Domains. */
struct domain *domain_get(domid_t id)
{
    for (unsigned int i = 0; i < FAKE_DOMAINS; i++)
        if (domains[i] && domains[i]->id == id)
            return domains[i];
    return NULL;
}

void domain_hold(struct domain *d)
{
    d->refs++;
}

void domain_put(struct domain *d)
{
    d->refs--;
}

bool policy_allows(const struct domain *subject, enum policy_op op, const struct domain *target)
{
    return subject->privileged || subject == target;
}

int domain_get_for(struct vcpu *v, domid_t id, int op, struct domain **out)
{
    struct domain *d = id == DOMID_SELF ? v->domain : domain_get(id);

    if (!d)
        return fail(v, -ESRCH, "no domain", id, 0);
    if (!policy_allows(v->domain, (enum policy_op)op, d))
        return fail(v, -EPERM, "policy", id, 0);
    domain_hold(d);
    *out = d;
    return 0;
}

uint32_t grant_table_max_frames(const struct domain *d, bool status)
{
    return status ? 1 : 3;
}

int grant_table_frame(struct vcpu *v, struct domain *d, uint32_t index, bool status, mfn_t *mfn)
{
    *mfn = MFN(index + (status ? 100 : 50));
    return index < 4 ? 0 : -EINVAL;
}

/* The rest of arch/x86/pv. */
bool pv_descriptor_ok(struct domain *d, uint64_t *descriptor)
{
    return fake_descriptors_ok;
}

int pv_set_ldt(struct vcpu *v, uint64_t base, uint32_t entries)
{
    v->arch.pv.ldt_base = base;
    v->arch.pv.ldt_entries = entries;
    return 0;
}

bool pv_descriptor_fault(struct vcpu *v, uint64_t address, uint32_t error_code, struct cpu_regs *regs)
{
    return address == PERDOMAIN_LDT(v->id);
}

void pv_inject_page_fault(struct vcpu *v, uint32_t error_code, uint64_t cr2)
{
    fake_injected++;
    fake_injected_cr2 = cr2;
    fake_injected_code = error_code;
}

void pv_inject_exception(struct vcpu *v, uint8_t vector, uint32_t error_code)
{
    fake_injected++;
    fake_injected_code = error_code;
}

void pv_vcpu_relinquish(struct vcpu *v)
{
    mfn_t *tables[] = {&v->arch.pv.guest_table, &v->arch.pv.guest_table_user};

    for (unsigned int i = 0; i < 2; i++) {
        if (tables[i]->n != INVALID_FRAME)
            (void)page_put_type(mfn_to_page(*tables[i]));
        *tables[i] = INVALID_MFN;
    }
}

/* The world. */
void fake_reset(void)
{
    for (unsigned int i = 0; i < FAKE_DOMAINS; i++) {
        if (!domains[i])
            continue;
        free(domains[i]->arch.memory_map);
        rangeset_destroy(domains[i]->iomem_caps);
        free(domains[i]->shared_info);
        free(domains[i]->vcpu[0]);
        free(domains[i]->vcpu);
        free(domains[i]);
        domains[i] = NULL;
    }
    free(fake_ram);
    fake_ram = aligned_alloc(PAGE_SIZE, FAKE_IO_FIRST * PAGE_SIZE);
    memset(fake_ram, 0, FAKE_IO_FIRST * PAGE_SIZE);
    memset(frames, 0, sizeof(frames));
    for (unsigned int i = 0; i < FAKE_IO_FIRST; i++)
        frames[i].refs = i ? PGC_free : PGC_hypervisor;
    hv_l4 = hv_l4_table;
    for (unsigned int i = HV_FIRST_SLOT; i <= HV_LAST_SLOT; i++)
        hv_l4[i] = 0xabc000 + i * PAGE_SIZE + PTE_PRESENT + PTE_WRITE;
    memset(fake_held_refs, 0, sizeof(fake_held_refs));
    memset(fake_held_writable, 0, sizeof(fake_held_writable));
    memset(cpu_flushed, 0, sizeof(cpu_flushed));
    clock_now = 1;
    fake_flushes = fake_page_flushes = fake_local_flushes = fake_cache_flushes = fake_injected = 0;
    fake_preempt_in = -1;
    fake_descriptors_ok = true;
    mmio_readonly = NULL;
}

struct domain *fake_domain(domid_t id, unsigned int n, uint64_t *first)
{
    struct domain *d = calloc(1, sizeof(*d));
    struct vcpu *v = calloc(1, sizeof(*v));

    for (unsigned int i = 0; i < FAKE_DOMAINS; i++)
        if (!domains[i]) {
            domains[i] = d;
            break;
        }
    d->id = id;
    d->kind = KIND_PV;
    d->state = DOMAIN_ALIVE;
    d->max_pages = FAKE_FRAMES;
    d->max_vcpus = 1;
    d->vcpu = calloc(1, sizeof(*d->vcpu));
    d->vcpu[0] = v;
    d->shared_info = calloc(1, PAGE_SIZE);
    d->iomem_caps = rangeset_create();
    d->arch.dirty_cpus = CPUMASK(0);
    d->vm_assist = 1UL << VMASST_TYPE_writable_pagetables;
    v->domain = d;
    v->arch.pv.guest_table = v->arch.pv.guest_table_user = INVALID_MFN;
    v->arch.pv.kernel_mode = true;
    for (unsigned int i = 0; i < n; i++) {
        struct page_info *pg = fake_page(d);
        if (!i && first)
            *first = page_to_mfn(pg).n;
    }
    return d;
}

struct page_info *fake_page(struct domain *d)
{
    return page_alloc_domain(d, 0, 0);
}

uint64_t *fake_table(uint64_t mfn)
{
    return map_frame(MFN(mfn));
}

long fake_call(hypercall_fn fn, struct vcpu *v, unsigned long a1, unsigned long a2, unsigned long a3,
               unsigned long a4)
{
    long rc = fn(v, a1, a2, a3, a4, 0);

    while (rc == HYPERCALL_RESTART) {
        const unsigned long *a = v->restart_args;
        if (fake_preempt_in >= 0)
            fake_preempt_in = 1;
        rc = fn(v, a[0], a[1], a[2], a[3], a[4]);
    }
    return rc;
}

/* What the tables say the counts must be. */
static unsigned int want_refs[FAKE_FRAMES], want_uses[FAKE_FRAMES];
static uint64_t want_type[FAKE_FRAMES];

static void use(uint64_t mfn, uint64_t type)
{
    if (want_uses[mfn] && want_type[mfn] != type)
        fail_msg("frame %lu is used as type %lx and %lx", mfn, want_type[mfn] >> PGT_shift,
                 type >> PGT_shift);
    want_type[mfn] = type;
    want_uses[mfn]++;
}

static void check_l1e(uint64_t mfn, unsigned int i, uint64_t e)
{
    uint64_t target = pte_mfn(e).n;

    if (!(e & PTE_PRESENT))
        return;
    if (!(e & PTE_USER) || (e & (PTE_GLOBAL | PTE_GRANT)))
        fail_msg("frame %lu entry %u: %lx", mfn, i, e);
    if (target >= FAKE_IO_FIRST)
        return;
    if (e & PTE_WRITE)
        use(target, PGT_writable);
    else
        want_refs[target]++;
}

static void check_table(uint64_t mfn, unsigned int level, unsigned int end)
{
    const uint64_t *table = fake_table(mfn);

    for (unsigned int i = 0; i < end; i++) {
        if (level == 4 && i >= HV_FIRST_SLOT && i <= HV_LAST_SLOT) {
            uint64_t t = frames[mfn].type;
            if ((t & PGT_validated) && i != PERDOMAIN_SLOT && i != HV_FIRST_SLOT && table[i] != hv_l4[i])
                fail_msg("frame %lu slot %u: %lx", mfn, i, table[i]);
            continue;
        }
        if (level == 1) {
            check_l1e(mfn, i, table[i]);
        } else if (table[i] & PTE_PRESENT) {
            if (!(table[i] & PTE_USER) || (table[i] & (PTE_LARGE | PTE_GLOBAL)))
                fail_msg("frame %lu level %u entry %u: %lx", mfn, level, i, table[i]);
            use(pte_mfn(table[i]).n, (uint64_t)(level - 1) << PGT_shift);
        }
    }
}

static void check_frame(uint64_t mfn)
{
    struct page_info *pg = &frames[mfn];
    uint64_t type = pg->type & PGT_type_mask, count = pg->type & PGT_count_mask,
             refs = pg->refs & PGC_count_mask;

    if (pg->type & PGT_locked)
        fail_msg("frame %lu stays locked", mfn);
    if (count != want_uses[mfn] || (count && type != want_type[mfn]))
        fail_msg("frame %lu: type word %lx, but %u uses as type %lx", mfn, (uint64_t)pg->type, want_uses[mfn],
                 want_type[mfn] >> PGT_shift);
    if (refs != want_refs[mfn] + (count || (pg->type & PGT_partial) ? 1 : 0))
        fail_msg("frame %lu: %lu references, but %u holders and type word %lx", mfn, refs, want_refs[mfn],
                 (uint64_t)pg->type);
    if (refs && !pg->owner)
        fail_msg("frame %lu has no owner", mfn);
}

void fake_check(void)
{
    memset(want_refs, 0, sizeof(want_refs));
    memset(want_uses, 0, sizeof(want_uses));
    for (uint64_t mfn = 1; mfn < FAKE_IO_FIRST; mfn++) {
        uint64_t t = frames[mfn].type, level = t >> PGT_shift;

        want_refs[mfn] += fake_held_refs[mfn];
        for (unsigned int i = 0; i < fake_held_writable[mfn]; i++)
            use(mfn, PGT_writable);
        if (frames[mfn].refs & PGC_allocated)
            want_refs[mfn]++;
        if (t & PGT_pinned)
            use(mfn, t & PGT_type_mask);
        if (level >= 1 && level <= 4 && (t & PGT_validated) && (t & PGT_count_mask))
            check_table(mfn, (unsigned int)level, 512);
        else if (level >= 1 && level <= 4 && (t & PGT_partial))
            check_table(mfn, (unsigned int)level, MIN(frames[mfn].table.validated, 512U));
    }
    for (unsigned int i = 0; i < FAKE_DOMAINS; i++) {
        const struct vcpu *v = domains[i] ? domains[i]->vcpu[0] : NULL;

        if (v && v->arch.pv.guest_table.n != INVALID_FRAME)
            use(v->arch.pv.guest_table.n, PGT_l4);
        if (v && v->arch.pv.guest_table_user.n != INVALID_FRAME)
            use(v->arch.pv.guest_table_user.n, PGT_l4);
        if (domains[i]) {
            assert_int_equal(domains[i]->refs, 0);
            want_refs[domains[i]->arch.relinquish_next]++;
        }
    }
    for (uint64_t mfn = 1; mfn < FAKE_IO_FIRST; mfn++)
        check_frame(mfn);
}

void fake_end(struct domain *d)
{
    d->state = DOMAIN_DYING;
    while (arch_domain_relinquish(d) == -EAGAIN)
        if (fake_preempt_in >= 0)
            fake_preempt_in = 2;
    fake_check();
}
