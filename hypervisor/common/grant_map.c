/*
 * Grant tables, the user's side: maptrack handles, map and unmap.
 *
 * A mapping is made in order: handle, pin, page references, page-table entry; each failure undoes what
 * stands. The page references of a mapping for the CPU belong to the page-table entry from the moment it
 * exists: they are put by us after an unmap that found the entry, or go with the entry if the guest
 * overwrites it. A mapping for devices holds a reference of its own.
 *
 * An unmap claims the mapping (its flag is cleared, the handle is busy), removes page-table entries, flushes
 * the TLBs once for the batch, and only then lets references, pins and handles go: nobody gets the page while
 * a stale translation may exist.
 */
#include "grant_internal.h"
#include <bh/arch.h>
#include <bh/errno.h>
#include <bh/hypercall.h>
#include <bh/page_alloc.h>

#define RELEASE_BATCH 64

/* --- Handles --- */

static inline struct grant_mapping *mapping_of(const struct grant_table *t, uint32_t handle)
{
    return &t->mapping[handle / MAPPINGS_PER_PAGE][handle % MAPPINGS_PER_PAGE];
}

/* Adds a page of free handles; the lock is held. */
static bool more_handles(struct grant_table *t)
{
    struct grant_mapping *page;

    if (t->nr_handles >= t->max_handles)
        return false;
    page = kalloc(PAGE_SIZE);
    if (page == NULL)
        return false;
    for (uint32_t i = 0; i < MAPPINGS_PER_PAGE; i++)
        page[i].next_free = i + 1 < MAPPINGS_PER_PAGE ? t->nr_handles + i + 1 : t->free_handle;
    t->mapping[t->nr_handles / MAPPINGS_PER_PAGE] = page;
    t->free_handle = t->nr_handles;
    t->nr_handles += MAPPINGS_PER_PAGE;
    return true;
}

static inline uint32_t pop_handle(struct grant_table *t)
{
    uint32_t handle = t->free_handle;

    if (likely(handle != NO_HANDLE)) {
        t->free_handle = mapping_of(t, handle)->next_free;
        t->nr_mapped++;
    }
    return handle;
}

static uint32_t take_handle(struct grant_table *t)
{
    uint32_t handle;

    spin_lock(&t->maptrack_lock);
    handle = pop_handle(t);
    if (unlikely(handle == NO_HANDLE) && more_handles(t))
        handle = pop_handle(t);
    spin_unlock(&t->maptrack_lock);
    return handle;
}

/* The lock is held. */
static inline void free_handle(struct grant_table *t, uint32_t handle)
{
    struct grant_mapping *m = mapping_of(t, handle);

    m->owner = NULL;
    m->next_free = t->free_handle;
    t->free_handle = handle;
    t->nr_mapped--;
}

static void give_back_handle(struct grant_table *t, uint32_t handle)
{
    spin_lock(&t->maptrack_lock);
    free_handle(t, handle);
    spin_unlock(&t->maptrack_lock);
}

int grant_maptrack_init(struct grant_table *t, uint32_t max_frames)
{
    t->max_handles = max_frames * HANDLES_PER_MAPTRACK_FRAME;
    t->free_handle = NO_HANDLE;
    if (max_frames == 0)
        return 0;
    t->mapping = kalloc(t->max_handles / MAPPINGS_PER_PAGE * sizeof(*t->mapping));
    return t->mapping != NULL ? 0 : -ENOMEM;
}

void grant_maptrack_destroy(struct grant_table *t)
{
    for (uint32_t i = 0; i < t->nr_handles / MAPPINGS_PER_PAGE; i++)
        kfree(t->mapping[i]);
    kfree(t->mapping);
    t->nr_handles = 0;
    t->mapping = NULL;
}

/* --- Map --- */

static inline uint64_t pins_for(uint32_t flags, bool host, bool device)
{
    return flags & GNTMAP_readonly ? (host ? PIN_HOST_READ : 0) + (device ? PIN_DEV_READ : 0)
                                   : (host ? PIN_HOST_WRITE : 0) + (device ? PIN_DEV_WRITE : 0);
}

/* Page references and the page-table entry. */
static int16_t make_mapping(struct vcpu *v, struct domain *owner, const struct gnttab_map_grant_ref *op,
                            uint64_t frame)
{
    bool write = !(op->flags & GNTMAP_readonly);
    struct page_info *device = NULL, *host = NULL;

    if (op->flags & GNTMAP_device_map) {
        device = grant_get_page(owner, frame, write);
        if (device == NULL)
            return grant_refuse(v, GNTST_general_error,
                                "grant: frame {0} of entry {1} is no such page of its owner", frame, op->ref);
    }
    if (op->flags & GNTMAP_host_map) {
        host = grant_get_page(owner, frame, write);
        if (unlikely(host == NULL || arch_grant_map(v, op->host_addr, MFN(frame), op->flags) != 0)) {
            if (host == NULL)
                grant_refuse(v, GNTST_general_error,
                             "grant: frame {0} of entry {1} is no such page of its owner", frame, op->ref);
            else
                grant_put_page(host, write);
            if (device != NULL)
                grant_put_page(device, write);
            return GNTST_general_error;
        }
    }
    return GNTST_okay;
}

/* The owner's reference goes into the mapping when it succeeds. */
static int16_t map_from(struct vcpu *v, struct domain *owner, struct gnttab_map_grant_ref *op)
{
    struct grant_table *t = v->domain->grant;
    uint64_t pins = pins_for(op->flags, op->flags & GNTMAP_host_map, op->flags & GNTMAP_device_map);
    struct grant_claim claim;
    struct grant_mapping *m;
    uint32_t handle = take_handle(t);
    int16_t status;

    if (unlikely(handle == NO_HANDLE))
        return grant_refuse(v, GNTST_no_space, "grant: all {0} mapping handles of the domain are in use",
                            t->max_handles, 0);
    status = grant_acquire(v, owner, op->ref, pins, false, &claim);
    if (unlikely(status != GNTST_okay)) {
        give_back_handle(t, handle);
        return status;
    }
    status = make_mapping(v, owner, op, claim.frame);
    if (unlikely(status != GNTST_okay)) {
        grant_unpin(owner, op->ref, pins);
        give_back_handle(t, handle);
        return status;
    }
    m = mapping_of(t, handle);
    m->frame = claim.frame;
    m->ref = op->ref;
    m->busy = 0;
    m->flags = (uint16_t)op->flags & (GNTMAP_host_map | GNTMAP_device_map | GNTMAP_readonly |
                                      GNTMAP_contains_pte | GNTMAP_application_map);
    __atomic_store_n(&m->owner, owner, __ATOMIC_RELEASE);
    op->handle = handle;
    op->dev_bus_addr = claim.frame << PAGE_SHIFT;
    return GNTST_okay;
}

/* The owner of the entry before, most likely; else looked up. Referenced for the mapping, and once more as
 * *last. */
static struct domain *owner_of(struct vcpu *v, const struct gnttab_map_grant_ref *op, struct domain **last,
                               int16_t *status)
{
    if (*last == NULL || (*last)->id != op->dom) {
        if (*last != NULL)
            domain_put(*last);
        *last = grant_owner(v, op->dom, status);
        if (*last == NULL)
            return NULL;
    }
    domain_hold(*last);
    return *last;
}

void grant_map_batch(struct vcpu *v, struct gnttab_map_grant_ref *op, uint32_t n)
{
    struct domain *last = NULL;

    for (uint32_t i = 0; i < n; i++) {
        struct domain *owner;

        if (unlikely(!(op[i].flags & (GNTMAP_host_map | GNTMAP_device_map)))) {
            op[i].status = grant_refuse(v, GNTST_bad_gntref, "grant: map: flags {0} name no kind of mapping",
                                        op[i].flags, 0);
            continue;
        }
        owner = owner_of(v, &op[i], &last, &op[i].status);
        if (unlikely(owner == NULL))
            continue;
        op[i].status = map_from(v, owner, &op[i]);
        if (unlikely(op[i].status != GNTST_okay))
            domain_put(owner);
    }
    if (last != NULL)
        domain_put(last);
}

/* --- Unmap --- */

/* What an unmap took out of a handle. The mapping's owner, frame and ref are fixed while it is busy. */
struct unmapping {
    struct grant_mapping *m; /* NULL: nothing was claimed */
    uint32_t handle;
    uint16_t kinds; /* GNTMAP_host_map, GNTMAP_device_map: claimed, until finish_batch */
};

/* Takes the mappings of `kinds` that the handle has out of it; the lock is held. */
static inline int16_t claim(struct grant_table *t, uint32_t handle, uint16_t kinds, uint64_t dev_bus_addr,
                            struct unmapping *u)
{
    struct grant_mapping *m;

    u->m = NULL;
    if (unlikely(handle >= t->nr_handles))
        return GNTST_bad_handle;
    m = mapping_of(t, handle);
    kinds &= m->flags;
    if (unlikely(kinds == 0 || m->owner == NULL))
        return GNTST_bad_handle;
    if (unlikely((kinds & GNTMAP_device_map) && dev_bus_addr >> PAGE_SHIFT != m->frame))
        return GNTST_bad_dev_addr;
    m->flags &= (uint16_t)~kinds;
    m->busy++;
    *u = (struct unmapping){m, handle, kinds};
    return GNTST_okay;
}

static __attribute__((cold, noinline)) void refuse_unmap(struct vcpu *v, int16_t status, uint32_t handle)
{
    grant_refuse(v, status, "grant: unmap: handle {0} has no such mapping (status {1})", handle,
                 (uint64_t)status);
}

/* Removes the page-table entry. On failure the host mapping counts as being there still. */
static inline int16_t remove_entry(struct vcpu *v, uint64_t host_addr, uint64_t new_addr, struct unmapping *u)
{
    if (!(u->kinds & GNTMAP_host_map) ||
        likely(arch_grant_unmap(v, host_addr, MFN(u->m->frame), u->m->flags, new_addr) == 0))
        return GNTST_okay;
    u->kinds &= (uint16_t)~GNTMAP_host_map;
    spin_lock(&v->domain->grant->maptrack_lock);
    u->m->flags |= GNTMAP_host_map;
    spin_unlock(&v->domain->grant->maptrack_lock);
    return GNTST_general_error;
}

/* After the flush: page references and pins. */
static inline void drop(const struct unmapping *u)
{
    const struct grant_mapping *m = u->m;
    bool write = !(m->flags & GNTMAP_readonly);

    if (likely(u->kinds & GNTMAP_host_map))
        grant_put_page(mfn_to_page(MFN(m->frame)), write);
    if (unlikely(u->kinds & GNTMAP_device_map))
        grant_put_page(mfn_to_page(MFN(m->frame)), write);
    if (likely(u->kinds != 0))
        grant_unpin(m->owner, m->ref,
                    pins_for(m->flags, u->kinds & GNTMAP_host_map, u->kinds & GNTMAP_device_map));
}

/* And, last, the handles that map nothing any more. */
static void finish_batch(struct vcpu *v, const struct unmapping *u, uint32_t n, bool flush)
{
    struct grant_table *t = v->domain->grant;

    if (flush)
        arch_flush_tlb(atomic_load_explicit(&v->domain->arch.dirty_cpus, memory_order_relaxed));
    for (uint32_t i = 0; i < n; i++)
        if (likely(u[i].m != NULL))
            drop(&u[i]);
    spin_lock(&t->maptrack_lock);
    for (uint32_t i = 0; i < n; i++) {
        struct grant_mapping *m = u[i].m;

        if (unlikely(m == NULL))
            continue;
        m->busy--;
        if (likely(m->busy == 0 && !(m->flags & (GNTMAP_host_map | GNTMAP_device_map)))) {
            struct domain *owner = m->owner;

            free_handle(t, u[i].handle);
            domain_put(owner);
        }
    }
    spin_unlock(&t->maptrack_lock);
}

_Static_assert(sizeof(struct gnttab_unmap_and_replace) == sizeof(struct gnttab_unmap_grant_ref) &&
                   offsetof(struct gnttab_unmap_and_replace, new_addr) ==
                       offsetof(struct gnttab_unmap_grant_ref, dev_bus_addr),
               "both forms are one but for the second word");

static inline __attribute__((always_inline)) void
unmap_batch(struct vcpu *v, struct gnttab_unmap_grant_ref *op, uint32_t n, bool replace)
{
    struct grant_table *t = v->domain->grant;
    struct unmapping u[GRANT_BATCH];
    bool flush = false;

    spin_lock(&t->maptrack_lock);
    for (uint32_t i = 0; i < n; i++) {
        uint16_t kinds = (replace || op[i].host_addr != 0 ? GNTMAP_host_map : 0) |
                         (!replace && op[i].dev_bus_addr != 0 ? GNTMAP_device_map : 0);

        op[i].status = claim(t, op[i].handle, kinds, op[i].dev_bus_addr, &u[i]);
    }
    spin_unlock(&t->maptrack_lock);
    for (uint32_t i = 0; i < n; i++) {
        if (unlikely(u[i].m == NULL)) {
            refuse_unmap(v, op[i].status, op[i].handle);
            continue;
        }
        op[i].status = remove_entry(v, op[i].host_addr, replace ? op[i].dev_bus_addr : 0, &u[i]);
        flush |= u[i].kinds & GNTMAP_host_map;
    }
    finish_batch(v, u, n, flush);
}

void grant_unmap_batch(struct vcpu *v, struct gnttab_unmap_grant_ref *op, uint32_t n)
{
    unmap_batch(v, op, n, false);
}

/* The second word is the address whose mapping moves to host_addr. */
void grant_replace_batch(struct vcpu *v, struct gnttab_unmap_and_replace *op, uint32_t n)
{
    unmap_batch(v, (struct gnttab_unmap_grant_ref *)op, n, true);
}

/* --- The domain goes --- */

/* No vcpu of it runs any more. References of CPU mappings go with its page tables. */
static void abandon(struct grant_table *t, uint32_t handle)
{
    struct grant_mapping *m = mapping_of(t, handle);
    struct domain *owner = m->owner;

    if (m->flags & GNTMAP_device_map)
        grant_put_page(mfn_to_page(MFN(m->frame)), !(m->flags & GNTMAP_readonly));
    grant_unpin(owner, m->ref, pins_for(m->flags, m->flags & GNTMAP_host_map, m->flags & GNTMAP_device_map));
    give_back_handle(t, handle);
    domain_put(owner);
}

int grant_maptrack_release(struct domain *d)
{
    struct grant_table *t = d->grant;

    for (uint32_t done = 0; t->release_next < t->nr_handles; t->release_next++) {
        if (mapping_of(t, t->release_next)->owner == NULL)
            continue;
        if (done == RELEASE_BATCH && hypercall_preempt_check())
            return -EAGAIN;
        done = done == RELEASE_BATCH ? 1 : done + 1;
        abandon(t, t->release_next);
    }
    return 0;
}
