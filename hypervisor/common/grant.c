/*
 * Grant tables, the owner's side: frames, versions, and the pins on entries; and the hypercall. The model and
 * the locks stand in bh/grant.h.
 *
 * The shared entries are hostile memory: an entry's flags and user are checked and marked by one
 * compare-exchange (version 1), or marked and then checked again (version 2, whose marks are in separate
 * words); its frame is read once, after that.
 */
#include "grant_internal.h"
#include <bh/arch.h>
#include <bh/errno.h>
#include <bh/page_alloc.h>
#include <bh/policy.h>

#define MARK_ATTEMPTS 5 /* a guest that changes the entry more often than that loses */

int16_t grant_refuse(struct vcpu *v, int16_t status, const char *check, uint64_t a, uint64_t b)
{
    fail(v, status == GNTST_no_space ? -ENOSPC : -EINVAL, check, a, b);
    return status;
}

/* --- Entries --- */

/* What speaks against the access in an entry's first word (flags, user in the high half); 0: nothing. */
static int refusal(struct vcpu *v, uint32_t word, uint32_t ref, bool write, bool sub_page)
{
    uint32_t flags = word & 0xffff, user = word >> 16;

    if ((flags & GTF_type_mask) != GTF_permit_access || user != v->domain->id)
        return fail(v, -EPERM, "grant: entry {0} is not offered to the caller (flags and user: {1})", ref,
                    word);
    if (write && (flags & GTF_readonly))
        return fail(v, -EPERM, "grant: entry {0} is read-only (flags {1})", ref, flags);
    if (!sub_page && (flags & GTF_sub_page))
        return fail(v, -EPERM, "grant: entry {0} grants a part of a page, which can be copied but not mapped",
                    ref, 0);
    return 0;
}

static int16_t mark_v1(struct vcpu *v, struct grant_table *t, uint32_t ref, bool write)
{
    uint32_t *word = (uint32_t *)grant_v1(t, ref);
    uint32_t old = __atomic_load_n(word, __ATOMIC_RELAXED);
    uint32_t mark = GTF_reading | (write ? GTF_writing : 0);

    for (int i = 0; i < MARK_ATTEMPTS; i++) {
        if (unlikely(refusal(v, old & ~GTF_sub_page, ref, write, false)))
            return GNTST_general_error;
        if (likely(__atomic_compare_exchange_n(word, &old, old | mark, false, __ATOMIC_SEQ_CST,
                                               __ATOMIC_RELAXED)))
            return GNTST_okay;
    }
    return grant_refuse(v, GNTST_general_error, "grant: entry {0} changes all the time", ref, 0);
}

static int16_t mark_v2(struct vcpu *v, struct grant_table *t, uint32_t ref, bool write, bool sub_page)
{
    uint32_t *word = (uint32_t *)&grant_v2(t, ref)->hdr;
    uint16_t mark = GTF_reading | (write ? GTF_writing : 0);
    grant_status_t *status = grant_status_word(t, ref), was;

    if (refusal(v, __atomic_load_n(word, __ATOMIC_RELAXED), ref, write, sub_page))
        return GNTST_general_error;
    was = __atomic_fetch_or(status, mark, __ATOMIC_SEQ_CST);
    /* The guest clears the entry first and then looks at the status: so look again after marking. */
    if (!refusal(v, __atomic_load_n(word, __ATOMIC_SEQ_CST), ref, write, sub_page))
        return GNTST_okay;
    __atomic_fetch_and(status, (uint16_t) ~(mark & ~was), __ATOMIC_SEQ_CST);
    return GNTST_general_error;
}

/* Takes marks that no pin justifies any more off the shared entry. */
static void publish_pins(struct grant_table *t, uint32_t ref, uint64_t before, uint64_t pins)
{
    uint16_t gone = (uint16_t)(((before & PIN_ANY_WRITE) && !(pins & PIN_ANY_WRITE) ? GTF_writing : 0) |
                               (pins == 0 ? GTF_reading : 0));

    if (gone == 0 || ref >= t->nr_entries)
        return;
    if (t->version == 1)
        __atomic_fetch_and(&grant_v1(t, ref)->flags, (uint16_t)~gone, __ATOMIC_RELEASE);
    else
        __atomic_fetch_and(grant_status_word(t, ref), (uint16_t)~gone, __ATOMIC_RELEASE);
}

/* First pin: what the entry grants, read once. 0, -EINVAL. */
static int read_entry(struct vcpu *v, struct grant_table *t, uint32_t ref, struct grant_active *act)
{
    act->start = 0;
    act->length = PAGE_SIZE;
    if (t->version == 1) {
        act->frame = READ_ONCE(grant_v1(t, ref)->frame);
        return 0;
    }
    union grant_entry_v2 *e = grant_v2(t, ref);

    act->frame = READ_ONCE(e->full_page.frame);
    if (READ_ONCE(e->hdr.flags) & GTF_sub_page) {
        act->start = READ_ONCE(e->sub_page.page_off);
        act->length = READ_ONCE(e->sub_page.length);
    }
    if (act->start + act->length > (int)PAGE_SIZE)
        return fail(v, -EINVAL, "grant: entry {0} grants a part that ends {1} bytes into its page", ref,
                    act->start + act->length);
    return 0;
}

static int16_t acquire_locked(struct vcpu *v, struct grant_table *t, uint32_t ref, uint64_t pins,
                              bool sub_page, struct grant_claim *out)
{
    struct grant_active *act;
    bool write = pins & PIN_ANY_WRITE;
    int16_t status;

    if (unlikely(ref >= t->nr_entries))
        return grant_refuse(v, GNTST_bad_gntref, "grant: there is no entry {0} (the table has {1})", ref,
                            t->nr_entries);
    act = grant_active_of(t, ref);
    if (unlikely(act->pins != 0 && act->user != v->domain->id))
        return grant_refuse(v, GNTST_general_error, "grant: entry {0} is in use by domain {1}", ref,
                            act->user);
    if (unlikely((act->pins + pins) & PIN_OVERFLOW))
        return grant_refuse(v, GNTST_no_space, "grant: entry {0} is in use too often (pins {1})", ref,
                            act->pins);
    if (act->pins == 0 || (write && !(act->pins & PIN_ANY_WRITE))) {
        status = t->version == 1 ? mark_v1(v, t, ref, write) : mark_v2(v, t, ref, write, sub_page);
        if (unlikely(status != GNTST_okay))
            return status;
        if (act->pins == 0) {
            if (unlikely(read_entry(v, t, ref, act))) {
                publish_pins(t, ref, pins, 0);
                return GNTST_general_error;
            }
            act->user = v->domain->id;
            t->nr_pinned++;
        }
    }
    if (unlikely(!sub_page && act->length != PAGE_SIZE)) {
        publish_pins(t, ref, act->pins | pins, act->pins);
        if (act->pins == 0)
            t->nr_pinned--;
        return grant_refuse(v, GNTST_general_error,
                            "grant: entry {0} grants {1} bytes of a page: it cannot be mapped", ref,
                            act->length);
    }
    act->pins += pins;
    *out = (struct grant_claim){.frame = act->frame, .start = act->start, .length = act->length};
    return GNTST_okay;
}

static __attribute__((noinline)) int16_t acquire_slow(struct vcpu *v, struct domain *owner, uint32_t ref,
                                                      uint64_t pins, bool sub_page, struct grant_claim *out)
{
    struct grant_table *t = owner->grant;
    int16_t status;

    spin_lock(&t->lock);
    status = acquire_locked(v, t, ref, pins, sub_page, out);
    spin_unlock(&t->lock);
    return status;
}

/* A whole-page entry of version 1 that nobody uses: marked and read. false: it needs a closer look. */
static inline bool first_pin(struct grant_table *t, uint32_t ref, domid_t user, bool write,
                             struct grant_active *act)
{
    struct grant_entry_v1 *entry = grant_v1(t, ref);
    uint32_t *word = (uint32_t *)entry, old = __atomic_load_n(word, __ATOMIC_RELAXED);
    uint32_t matters = 0xffff0000u | GTF_type_mask | (write ? GTF_readonly : 0);
    uint32_t mark = GTF_reading | (write ? GTF_writing : 0);

    if ((old & matters) != ((uint32_t)user << 16 | GTF_permit_access) ||
        !__atomic_compare_exchange_n(word, &old, old | mark, false, __ATOMIC_SEQ_CST, __ATOMIC_RELAXED))
        return false;
    act->frame = READ_ONCE(entry->frame);
    act->user = user;
    act->start = 0;
    act->length = PAGE_SIZE;
    t->nr_pinned++;
    return true;
}

/* The short way, for an entry that is free, or in use by the same domain in a way that covers this one. */
int16_t grant_acquire(struct vcpu *v, struct domain *owner, uint32_t ref, uint64_t pins, bool sub_page,
                      struct grant_claim *out)
{
    struct grant_table *t = owner->grant;

    if (likely(spin_trylock(&t->lock))) {
        if (likely(ref < t->nr_entries)) {
            struct grant_active *act = grant_active_of(t, ref);
            uint64_t have = act->pins;
            bool write = pins & PIN_ANY_WRITE;

            if (have == 0 ? t->version == 1 && first_pin(t, ref, v->domain->id, write, act)
                          : act->user == v->domain->id && act->length == PAGE_SIZE &&
                                (!write || (have & PIN_ANY_WRITE)) && !((have + pins) & PIN_OVERFLOW)) {
                act->pins = have + pins;
                *out = (struct grant_claim){act->frame, 0, PAGE_SIZE};
                spin_unlock(&t->lock);
                return GNTST_okay;
            }
        }
        spin_unlock(&t->lock);
    }
    return acquire_slow(v, owner, ref, pins, sub_page, out);
}

static __attribute__((noinline)) void unpin_slow(struct grant_table *t, uint32_t ref, uint64_t pins)
{
    struct grant_active *act = grant_active_of(t, ref);
    uint64_t before;

    spin_lock(&t->lock);
    before = act->pins;
    act->pins -= pins;
    publish_pins(t, ref, before, act->pins);
    if (act->pins == 0)
        t->nr_pinned--;
    spin_unlock(&t->lock);
}

/* The short way: others of the same kind remain, or it was the last of a version 1 entry. */
void grant_unpin(struct domain *owner, uint32_t ref, uint64_t pins)
{
    struct grant_table *t = owner->grant;

    if (likely(spin_trylock(&t->lock))) {
        struct grant_active *act = grant_active_of(t, ref);
        uint64_t left = act->pins - pins;

        if (left == 0 ? t->version == 1 && ref < t->nr_entries
                      : !(pins & PIN_ANY_WRITE) || (left & PIN_ANY_WRITE)) {
            act->pins = left;
            if (left == 0) {
                t->nr_pinned--;
                __atomic_fetch_and(&grant_v1(t, ref)->flags, (uint16_t) ~(GTF_reading | GTF_writing),
                                   __ATOMIC_RELEASE);
            }
            spin_unlock(&t->lock);
            return;
        }
        spin_unlock(&t->lock);
    }
    unpin_slow(t, ref, pins);
}

struct domain *grant_owner(struct vcpu *v, domid_t id, int16_t *status)
{
    struct domain *d = v->domain;

    if (id == DOMID_SELF || id == d->id) {
        domain_hold(d);
        return d;
    }
    d = domain_get(id);
    if (d == NULL) {
        *status = grant_refuse(v, GNTST_bad_domain, "grant: there is no domain {0}", id, 0);
        return NULL;
    }
    if (d->grant == NULL || !policy_allows(v->domain, POLICY_GRANT_USE, d)) {
        *status = grant_refuse(v, GNTST_permission_denied,
                               "grant: the caller may not use grants of domain {0}", id, 0);
        domain_put(d);
        return NULL;
    }
    return d;
}

/* --- Frames --- */

static uint32_t status_frames_for(uint32_t frames)
{
    return DIV_ROUND_UP(frames * ENTRIES_V2, STATUS_PER_FRAME);
}

/* Pages of active entries and, in version 2, of status words for `frames` frames. Kept when a later step
 * fails. */
int grant_grow_books(struct domain *d, struct grant_table *t, uint32_t frames)
{
    uint32_t need = DIV_ROUND_UP(frames * (uint32_t)ENTRIES_V1, (uint32_t)ACTIVE_PER_PAGE);

    for (; t->nr_active < need; t->nr_active++) {
        t->active[t->nr_active] = kalloc(PAGE_SIZE);
        if (t->active[t->nr_active] == NULL)
            return -ENOMEM;
    }
    for (; t->version == 2 && t->nr_status < status_frames_for(frames); t->nr_status++) {
        t->status[t->nr_status] = page_alloc_shared(d);
        if (t->status[t->nr_status] == NULL)
            return -ENOMEM;
    }
    return 0;
}

/* To `frames` frames at least; the lock is held. */
int grant_grow(struct vcpu *v, struct domain *d, struct grant_table *t, uint32_t frames)
{
    if (frames <= t->nr_frames)
        return 0;
    if (t->dying)
        return fail(v, -ESRCH, "grant: domain {0} is being destroyed", d->id, 0);
    if (frames > t->max_frames)
        return fail(v, -EINVAL, "grant: {0} frames are more than the domain may have ({1}, max_grant_frames)",
                    frames, t->max_frames);
    if (grant_grow_books(d, t, frames) != 0)
        return fail(v, -ENOMEM, "grant: no memory for a table of {0} frames", frames, 0);
    while (t->nr_frames < frames) {
        t->frame[t->nr_frames] = page_alloc_shared(d);
        if (t->frame[t->nr_frames] == NULL)
            return fail(v, -ENOMEM, "grant: no memory for a table of {0} frames", frames, 0);
        t->nr_frames++;
        t->nr_entries = t->nr_frames * grant_entries_per_frame(t);
    }
    return 0;
}

int grant_table_frame(struct vcpu *v, struct domain *d, uint32_t index, bool status, mfn_t *mfn)
{
    struct grant_table *t = d->grant;
    int rc;

    if (t == NULL || index >= GRANT_MAX_FRAMES)
        return fail(v, -EINVAL, "grant: frame {0} is beyond the limit of {1}", index, GRANT_MAX_FRAMES);
    spin_lock(&t->lock);
    if (status && t->version != 2)
        rc = fail(v, -EINVAL, "grant: the table has version {0}: no status frames", t->version, 0);
    else
        rc = grant_grow(v, d, t, status ? index * (uint32_t)(STATUS_PER_FRAME / ENTRIES_V2) + 1 : index + 1);
    if (rc == 0)
        *mfn = arch_unmap(status ? (void *)t->status[index] : t->frame[index]);
    spin_unlock(&t->lock);
    return rc;
}

/* --- Life --- */

uint32_t grant_table_max_frames(const struct domain *d, bool status)
{
    return status ? status_frames_for(d->grant->max_frames) : d->grant->max_frames;
}

int grant_table_init(struct domain *d, int32_t max_frames, int32_t max_maptrack, uint32_t max_version)
{
    uint32_t frames = max_frames < 0 ? GRANT_DEFAULT_FRAMES : (uint32_t)max_frames;
    uint32_t maptrack = max_maptrack < 0 ? GRANT_DEFAULT_MAPTRACK : (uint32_t)max_maptrack;
    struct grant_table *t;

    if (frames < 1 || frames > GRANT_MAX_FRAMES || maptrack > GRANT_MAX_MAPTRACK || max_version < 1 ||
        max_version > 2)
        return -EINVAL;
    t = kalloc(sizeof(*t));
    d->grant = t;
    if (t == NULL)
        return -ENOMEM;
    t->version = 1;
    t->max_version = max_version;
    t->max_frames = frames;
    t->frame = kalloc(frames * sizeof(*t->frame));
    t->status = kalloc(status_frames_for(frames) * sizeof(*t->status));
    t->active = kalloc(DIV_ROUND_UP(frames * ENTRIES_V1, ACTIVE_PER_PAGE) * sizeof(*t->active));
    if (t->frame == NULL || t->status == NULL || t->active == NULL || grant_maptrack_init(t, maptrack) != 0)
        return -ENOMEM;
    return grant_grow(NULL, d, t, 1);
}

static void drop_frames(struct grant_table *t)
{
    uint32_t frames, status;

    spin_lock(&t->lock);
    t->dying = true;
    frames = t->nr_frames;
    status = t->nr_status;
    t->nr_entries = t->nr_frames = t->nr_status = 0;
    spin_unlock(&t->lock);
    while (frames > 0)
        page_free_shared(t->frame[--frames]);
    while (status > 0)
        page_free_shared(t->status[--status]);
}

int grant_table_release(struct domain *d)
{
    int rc;

    if (d->grant == NULL)
        return 0;
    rc = grant_maptrack_release(d);
    if (rc == 0)
        drop_frames(d->grant);
    return rc;
}

void grant_table_destroy(struct domain *d)
{
    struct grant_table *t = d->grant;

    if (t == NULL)
        return;
    drop_frames(t);
    for (uint32_t i = 0; i < t->nr_active; i++)
        kfree(t->active[i]);
    grant_maptrack_destroy(t);
    kfree(t->active);
    kfree(t->status);
    kfree(t->frame);
    kfree(t);
    d->grant = NULL;
}
