/*
 * Interrupts. The model stands in asm/irq.h.
 *
 * Locks: irq_lock covers allocation of irqs, vectors and pirqs, and binding; each irq's own lock covers its
 * state in delivery (the list of bound pirqs, who still has to answer, the mask). Order: irq_lock > irq.lock
 * > event port locks.
 *
 * A level interrupt is masked and acknowledged when it comes, and unmasked when every domain it went to has
 * answered (PHYSDEVOP_eoi). Edge interrupts and MSIs are acknowledged at once; a new one while the event is
 * pending merges.
 */
#include <bh/arch.h>
#include <bh/cause.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/evtchn.h>
#include <bh/lock.h>
#include <bh/page_alloc.h>
#include <bh/printk.h>
#include <bh/string.h>
#include <asm/acpi.h>
#include <asm/apic.h>
#include <asm/irq.h>
#include <asm/msi.h>
#include <asm/nmi.h>
#include <asm/percpu.h>
#include <asm/setup.h>
#include <asm/smp.h>
#include <asm/time.h>

#define DEST_MAX     0xff /* devices name a CPU by eight bits; without remapping the rest is out of their reach */
#define MSI_IRQS     512
#define IRQS_MAX     1024
#define DOMAIN_PIRQS 512 /* beyond the GSIs */
#define ISA_IRQS     16
#define NR_VECTORS   256
#define IRQ_NONE     0xffff

struct pirq {
    struct domain *domain;
    uint32_t number;
    int irq; /* -1: the number is only reserved */
    uint32_t port;
    bool bound, will_share;
    bool waiting; /* delivered, not answered: irq.lock */
    struct pirq *next_bound;
};

enum irq_use { IRQ_FREE, IRQ_HYPERVISOR, IRQ_GUEST };

struct irq {
    struct spinlock lock;
    uint8_t vector; /* 0: none */
    enum irq_use use;
    bool level, active_low;
    bool configured; /* by PHYSDEVOP_setup_gsi or an override */
    uint32_t cpu;
    uint32_t in_flight; /* bound pirqs that have not answered */
    struct pirq *bound;
    uint32_t nr_mapped; /* pirqs of any domain that stand for it */
    void (*fn)(void *arg);
    void *arg;
    struct msi *msi; /* NULL: a GSI */
};

static struct irq *irqs;
static unsigned int nr_gsis, nr_irqs;
static uint16_t vector_irq[NR_VECTORS];
static struct spinlock irq_lock = SPINLOCK_INIT;

/* ---- vectors ---- */

static bool vector_usable(unsigned int vector)
{
    return vector != VECTOR_INT80 && vector_irq[vector] == IRQ_NONE;
}

/* `count` consecutive vectors, aligned to count (a power of two). 0: none left. */
static unsigned int vectors_find(unsigned int count)
{
    unsigned int first = ROUND_UP(VECTOR_FIRST_DYNAMIC, count);

    for (; first + count - 1 <= VECTOR_LAST_DYNAMIC; first += count) {
        unsigned int n = 0;

        while (n < count && vector_usable(first + n))
            n++;
        if (n == count)
            return first;
    }
    return 0;
}

static void vector_assign(unsigned int irq, unsigned int vector)
{
    irqs[irq].vector = (uint8_t)vector;
    vector_irq[vector] = (uint16_t)irq;
}

static void vector_free(struct irq *i)
{
    if (i->vector)
        vector_irq[i->vector] = IRQ_NONE;
    i->vector = 0;
}

/* ---- the controller behind an irq ---- */

static unsigned int irq_number(const struct irq *i)
{
    return (unsigned int)(i - irqs);
}

static void hw_set_mask(struct irq *i, bool masked)
{
    if (i->msi)
        msi_set_mask(i->msi, masked);
    else
        ioapic_set_mask(irq_number(i), masked);
}

static void hw_program(struct irq *i, bool masked)
{
    uint32_t dest = percpu_of(i->cpu)->apic_id;

    if (dest > DEST_MAX)
        dest = percpu_of(0)->apic_id;
    if (i->msi)
        msi_program(i->msi, i->vector, dest);
    else
        ioapic_set(irq_number(i), i->vector, dest, i->level, i->active_low, masked);
}

/* ---- delivery ---- */

/* irq.lock held. The interrupt is masked already if it is a level one. */
static void deliver_to_guests(struct irq *i)
{
    for (struct pirq *p = i->bound; p; p = p->next_bound) {
        if (!evtchn_pirq_pending(p->domain, p->port) || !i->level || p->waiting)
            continue;
        p->waiting = true;
        i->in_flight++;
    }
    if (i->level && i->in_flight == 0 && i->bound)
        hw_set_mask(i, false);
}

static void dispatch_external(unsigned int vector)
{
    struct irq *i;

    if (unlikely(vector_irq[vector] == IRQ_NONE)) {
        if (apic_vector_in_service(vector))
            apic_eoi();
        return;
    }
    i = &irqs[vector_irq[vector]];
    spin_lock(&i->lock);
    if (i->use == IRQ_GUEST) {
        if (i->level)
            hw_set_mask(i, true);
        apic_eoi();
        deliver_to_guests(i);
        spin_unlock(&i->lock);
        return;
    }
    spin_unlock(&i->lock);
    if (i->use == IRQ_HYPERVISOR)
        i->fn(i->arg);
    apic_eoi();
}

void irq_dispatch(struct cpu_regs *regs)
{
    unsigned int vector = regs->vector;

    switch (vector) {
    case VECTOR_TIMER:
        apic_eoi();
        time_interrupt();
        break;
    case VECTOR_KICK:
        apic_eoi();
        nmi_deliver();
        break;
    case VECTOR_CALL:
        apic_eoi();
        smp_serve_calls();
        break;
    case VECTOR_APIC_ERROR:
        apic_error_interrupt();
        apic_eoi();
        break;
    case VECTOR_SPURIOUS:
        break;
    default:
        dispatch_external(vector);
    }
}

/* ---- set-up ---- */

static unsigned int isa_to_gsi(unsigned int isa_irq)
{
    for (uint32_t n = 0; n < acpi.nr_overrides; n++)
        if (acpi.override[n].isa_irq == isa_irq)
            return acpi.override[n].gsi;
    return isa_irq;
}

void irq_init(unsigned int gsis)
{
    nr_gsis = MIN(gsis, (unsigned int)IRQS_MAX - MSI_IRQS);
    nr_irqs = nr_gsis + MSI_IRQS;
    irqs = kalloc(nr_irqs * sizeof(*irqs));
    if (!irqs)
        panic("no memory for the table of %u interrupts", nr_irqs);
    for (unsigned int v = 0; v < NR_VECTORS; v++)
        vector_irq[v] = IRQ_NONE;
    for (unsigned int gsi = ISA_IRQS; gsi < nr_gsis; gsi++)
        irqs[gsi].level = irqs[gsi].active_low = true;
    for (uint32_t n = 0; n < acpi.nr_overrides; n++) {
        const struct acpi_override *o = &acpi.override[n];

        if (o->gsi >= nr_gsis)
            continue;
        irqs[o->gsi].level = o->level;
        irqs[o->gsi].active_low = o->active_low;
        irqs[o->gsi].configured = true;
    }
}

unsigned int arch_nr_irqs(void)
{
    return nr_irqs;
}

int irq_request_isa(unsigned int isa_irq, void (*fn)(void *arg), void *arg)
{
    unsigned int gsi = isa_to_gsi(isa_irq), vector = vectors_find(1);
    struct irq *i = &irqs[gsi];

    if (gsi >= nr_gsis || !ioapic_has_gsi(gsi))
        return -EINVAL;
    if (i->use != IRQ_FREE)
        return -EBUSY;
    if (vector == 0)
        return -ENOSPC;
    i->use = IRQ_HYPERVISOR;
    i->fn = fn;
    i->arg = arg;
    vector_assign(gsi, vector);
    hw_program(i, false);
    return 0;
}

int gsi_setup(struct vcpu *v, unsigned int gsi, bool level, bool active_low)
{
    struct irq *i;
    int rc = 0;

    if (gsi >= nr_gsis || !ioapic_has_gsi(gsi))
        return fail(v, -EINVAL, "irq: GSI {0} is on no IO-APIC (the machine has {1})", gsi, nr_gsis);
    i = &irqs[gsi];
    spin_lock(&irq_lock);
    if (i->use == IRQ_HYPERVISOR)
        rc = fail(v, -EEXIST, "irq: GSI {0} is set up already: it is the hypervisor's own", gsi, 0);
    else if (!i->bound) {
        i->level = level;
        i->active_low = active_low;
        i->configured = true;
    } else if (i->level != level || i->active_low != active_low) {
        rc = fail(v, -EBUSY, "irq: GSI {0} is in use with another trigger or polarity (level: {1})", gsi,
                  i->level);
    }
    spin_unlock(&irq_lock);
    return rc;
}

/* ---- pirqs: numbers ---- */

int pirq_domain_init(struct domain *d)
{
    d->arch.nr_pirqs = nr_gsis + DOMAIN_PIRQS;
    d->arch.pirq = kalloc(d->arch.nr_pirqs * sizeof(*d->arch.pirq));
    return d->arch.pirq ? 0 : -ENOMEM;
}

static struct pirq *pirq_get(const struct domain *d, unsigned int number)
{
    return d->arch.pirq && number < d->arch.nr_pirqs ? d->arch.pirq[number] : NULL;
}

/* irq_lock held. `count` free numbers in a row, from the top for MSIs as the ABI's users expect; -ENOSPC. */
static int pirq_choose(const struct domain *d, unsigned int count)
{
    unsigned int run = 0;

    for (unsigned int n = d->arch.nr_pirqs; n-- > nr_gsis;) {
        run = d->arch.pirq[n] ? 0 : run + 1;
        if (run == count)
            return (int)n;
    }
    return -ENOSPC;
}

static struct pirq *pirq_new(struct domain *d, unsigned int number, int irq)
{
    struct pirq *p = d->arch.pirq[number];

    if (!p)
        p = kalloc(sizeof(*p));
    if (!p)
        return NULL;
    p->domain = d;
    p->number = number;
    p->irq = irq;
    if (irq >= 0)
        irqs[irq].nr_mapped++;
    d->arch.pirq[number] = p;
    return p;
}

int pirq_get_free(struct domain *d, bool gsi)
{
    int number = -ENOSPC;

    spin_lock(&irq_lock);
    if (!gsi) {
        number = pirq_choose(d, 1);
    } else {
        for (unsigned int n = ISA_IRQS; n < nr_gsis && number < 0; n++)
            if (!d->arch.pirq[n])
                number = (int)n;
    }
    if (number >= 0 && !pirq_new(d, (unsigned int)number, -1))
        number = -ENOMEM;
    spin_unlock(&irq_lock);
    return number;
}

uint32_t pirq_port(struct domain *d, unsigned int number)
{
    const struct pirq *p = pirq_get(d, number);

    return p && p->bound ? p->port : 0;
}

bool pirq_is_shared(struct domain *d, unsigned int number)
{
    const struct pirq *p = pirq_get(d, number);

    return p && p->bound && p->will_share;
}

/* Whether `number` may be given to another irq: in range, and at most reserved. */
static int pirq_check_number(struct vcpu *v, const struct domain *d, int number)
{
    if ((unsigned int)number >= d->arch.nr_pirqs)
        return fail(v, -EINVAL, "irq: pirq {0} is beyond the domain's {1}", (uint64_t)number,
                    d->arch.nr_pirqs);
    if (d->arch.pirq[number] && d->arch.pirq[number]->irq >= 0)
        return fail(v, -EEXIST, "irq: pirq {0} is in use for irq {1}", (uint64_t)number,
                    (uint64_t)d->arch.pirq[number]->irq);
    return 0;
}

/* The hypervisor's own may be mapped like any other; binding it is refused. */
int pirq_map_gsi(struct vcpu *v, struct domain *d, unsigned int gsi, int *number)
{
    const struct pirq *p;
    int rc = 0;

    if (gsi >= nr_gsis || !ioapic_has_gsi(gsi))
        return fail(v, -EINVAL, "irq: GSI {0} is on no IO-APIC (the machine has {1})", gsi, nr_gsis);
    spin_lock(&irq_lock);
    if (*number < 0)
        *number = (int)gsi;
    p = pirq_get(d, (unsigned int)*number);
    if (!p || p->irq != (int)gsi) { /* else it is so already */
        rc = pirq_check_number(v, d, *number);
        if (!rc && !pirq_new(d, (unsigned int)*number, (int)gsi))
            rc = -ENOMEM;
    }
    spin_unlock(&irq_lock);
    return rc;
}

/* ---- MSIs ---- */

static bool same_device(struct pci_address a, struct pci_address b)
{
    return a.segment == b.segment && a.bus == b.bus && a.devfn == b.devfn;
}

static bool same_message(const struct msi *m, const struct msi_request *r, unsigned int entry)
{
    return same_device(m->device, r->device) && m->msix == r->msix && m->entry == entry;
}

static bool device_uses(struct pci_address device, bool msix)
{
    for (unsigned int n = nr_gsis; n < nr_irqs; n++)
        if (irqs[n].msi && same_device(irqs[n].msi->device, device) && irqs[n].msi->msix == msix)
            return true;
    return false;
}

/* irq_lock held. `count` free irqs in a row; -ENOSPC. */
static int msi_irqs_find(unsigned int count)
{
    unsigned int run = 0;

    for (unsigned int n = nr_gsis; n < nr_irqs; n++) {
        run = irqs[n].use == IRQ_FREE && !irqs[n].msi ? run + 1 : 0;
        if (run == count)
            return (int)(n + 1 - count);
    }
    return -ENOSPC;
}

static void irq_release_msi(struct irq *i)
{
    vector_free(i);
    kfree(i->msi);
    i->msi = NULL;
    i->use = IRQ_FREE;
}

static int msi_build(struct vcpu *v, const struct msi_request *r, unsigned int irq, unsigned int vector,
                     unsigned int index)
{
    struct msi *m = kalloc(sizeof(*m));
    int rc;

    if (!m)
        return -ENOMEM;
    rc = msi_init(v, m, r, index);
    if (rc) {
        kfree(m);
        return rc;
    }
    memset(&irqs[irq], 0, sizeof(irqs[irq]));
    irqs[irq].msi = m;
    vector_assign(irq, vector);
    return 0;
}

static int map_msi_locked(struct vcpu *v, struct domain *d, const struct msi_request *r, int *number)
{
    unsigned int count = r->count, n = 0;
    int irq = msi_irqs_find(count), rc = 0;
    unsigned int vector = vectors_find(count);

    for (unsigned int k = nr_gsis; k < nr_irqs; k++)
        if (irqs[k].msi && same_message(irqs[k].msi, r, r->msix ? r->entry : 0))
            return fail(v, -EEXIST, "irq: message {0} of device {1} has an irq already", r->entry,
                        pci_bus_devfn(r->device));
    if (device_uses(r->device, !r->msix))
        return fail(v, -EBUSY, "irq: device {0} uses its other kind of MSI", pci_bus_devfn(r->device), 0);
    if (irq < 0 || vector == 0)
        return fail(v, -ENOSPC, "irq: no vector left for {0} messages", count, 0);
    if (*number < 0)
        *number = pirq_choose(d, count);
    if (*number < 0)
        return fail(v, -ENOSPC, "irq: all {0} pirqs of the domain are in use", d->arch.nr_pirqs, 0);
    for (n = 0; n < count && rc == 0; n++)
        rc = pirq_check_number(v, d, *number + (int)n);
    for (n = 0; n < count && rc == 0; n++)
        rc = msi_build(v, r, (unsigned int)irq + n, vector + n, n);
    for (unsigned int k = 0; k < count && rc == 0; k++)
        if (!pirq_new(d, (unsigned int)*number + k, irq + (int)k))
            rc = -ENOMEM;
    if (rc == 0)
        return 0;
    for (unsigned int k = 0; k < count; k++) {
        struct pirq *p = pirq_get(d, (unsigned int)*number + k);

        if (p && p->irq == irq + (int)k)
            p->irq = -1;
        if (irqs[(unsigned int)irq + k].msi)
            irq_release_msi(&irqs[(unsigned int)irq + k]);
    }
    return rc;
}

int pirq_map_msi(struct vcpu *v, struct domain *d, const struct msi_request *r, int *number)
{
    int rc;

    if (r->count == 0 || (r->count & (r->count - 1)) || r->count > 32)
        return fail(v, -EINVAL, "irq: {0} messages are no power of two up to 32", r->count, 0);
    spin_lock(&irq_lock);
    rc = map_msi_locked(v, d, r, number);
    spin_unlock(&irq_lock);
    return rc;
}

/* ---- binding ---- */

/* irq_lock held. The irq begins to deliver. */
static int irq_start(struct irq *i, uint32_t cpu)
{
    if (i->vector == 0) {
        unsigned int vector = vectors_find(1);

        if (vector == 0)
            return -ENOSPC;
        vector_assign(irq_number(i), vector);
    }
    i->use = IRQ_GUEST;
    i->cpu = cpu;
    i->in_flight = 0;
    return 0;
}

static uint32_t first_cpu(const struct domain *d)
{
    uint32_t cpu = d->max_vcpus && d->vcpu[0] ? d->vcpu[0]->sched.cpu : 0;

    return cpus_online & CPUMASK(cpu) ? cpu : 0;
}

static int bind_locked(struct domain *d, struct pirq *p, uint32_t port, bool will_share)
{
    struct irq *i = &irqs[p->irq];
    bool first = i->bound == NULL;
    int rc;

    if (i->use == IRQ_HYPERVISOR || p->bound)
        return -EBUSY;
    if (!first && (!will_share || !i->bound->will_share || !i->level))
        return -EBUSY;
    rc = first ? irq_start(i, first_cpu(d)) : 0;
    if (rc)
        return rc;
    p->port = port;
    p->will_share = will_share;
    p->waiting = false;
    spin_lock(&i->lock);
    p->bound = true;
    p->next_bound = i->bound;
    i->bound = p;
    if (d->arch.pirq_eoi_map) {
        uint64_t bit = 1UL << p->number % 64;

        if (i->level)
            d->arch.pirq_eoi_map[p->number / 64] |= bit;
        else
            d->arch.pirq_eoi_map[p->number / 64] &= ~bit;
    }
    if (first) {
        hw_program(i, false);
        if (i->msi) {
            hw_set_mask(i, false);
            msi_enable(i->msi);
        }
    }
    spin_unlock(&i->lock);
    return 0;
}

int arch_pirq_bind(struct domain *d, uint32_t number, uint32_t port, bool will_share)
{
    struct pirq *p;
    int rc = -EINVAL;

    spin_lock(&irq_lock);
    p = pirq_get(d, number);
    if (p && p->irq >= 0)
        rc = bind_locked(d, p, port, will_share);
    spin_unlock(&irq_lock);
    return rc;
}

/* irq.lock held: one of those who had to answer did. */
static void answered(struct irq *i, struct pirq *p)
{
    if (!p->waiting)
        return;
    p->waiting = false;
    if (--i->in_flight == 0 && i->bound)
        hw_set_mask(i, false);
}

static void unbind_locked(struct pirq *p)
{
    struct irq *i = &irqs[p->irq];
    struct pirq **link;

    spin_lock(&i->lock);
    for (link = &i->bound; *link != p; link = &(*link)->next_bound)
        ;
    *link = p->next_bound;
    p->bound = false;
    if (!i->bound)
        hw_set_mask(i, true);
    answered(i, p);
    spin_unlock(&i->lock);
    if (i->bound)
        return;
    if (i->msi)
        return; /* keeps its vector until it is unmapped */
    i->use = IRQ_FREE;
    vector_free(i);
}

void arch_pirq_unbind(struct domain *d, uint32_t number)
{
    struct pirq *p;

    spin_lock(&irq_lock);
    p = pirq_get(d, number);
    if (p && p->bound)
        unbind_locked(p);
    spin_unlock(&irq_lock);
}

void arch_pirq_eoi(struct domain *d, uint32_t number)
{
    struct pirq *p = pirq_get(d, number);
    struct irq *i;

    if (!p || !p->bound)
        return;
    i = &irqs[p->irq];
    spin_lock(&i->lock);
    answered(i, p);
    spin_unlock(&i->lock);
}

bool arch_pirq_needs_eoi(struct domain *d, uint32_t number)
{
    const struct pirq *p = pirq_get(d, number);

    return p && p->irq >= 0 && irqs[p->irq].level;
}

void arch_pirq_set_affinity(struct domain *d, uint32_t number, unsigned int cpu)
{
    struct pirq *p = pirq_get(d, number);
    struct irq *i;

    if (!p || !p->bound || !(cpus_online & CPUMASK(cpu)))
        return;
    i = &irqs[p->irq];
    spin_lock(&i->lock);
    if (i->cpu != cpu && i->use == IRQ_GUEST) {
        i->cpu = cpu;
        hw_program(i, i->level && i->in_flight);
    }
    spin_unlock(&i->lock);
}

static void unmap_locked(struct domain *d, struct pirq *p)
{
    if (p->bound)
        unbind_locked(p);
    if (p->irq >= 0) {
        struct irq *i = &irqs[p->irq];

        if (--i->nr_mapped == 0 && i->msi) {
            struct msi last = *i->msi;

            irq_release_msi(i);
            if (!device_uses(last.device, last.msix))
                msi_disable(&last);
        }
    }
    d->arch.pirq[p->number] = NULL;
    kfree(p);
}

int pirq_unmap(struct vcpu *v, struct domain *d, unsigned int number)
{
    struct pirq *p;
    int rc = 0;

    spin_lock(&irq_lock);
    p = pirq_get(d, number);
    if (p)
        unmap_locked(d, p);
    else
        rc = fail(v, -EINVAL, "irq: pirq {0} is not mapped", number, 0);
    spin_unlock(&irq_lock);
    return rc;
}

void pirq_domain_destroy(struct domain *d)
{
    spin_lock(&irq_lock);
    for (unsigned int n = 0; d->arch.pirq && n < d->arch.nr_pirqs; n++)
        if (d->arch.pirq[n])
            unmap_locked(d, d->arch.pirq[n]);
    kfree(d->arch.pirq);
    d->arch.pirq = NULL;
    spin_unlock(&irq_lock);
}

void msi_restore(struct pci_address device)
{
    spin_lock(&irq_lock);
    for (unsigned int n = nr_gsis; n < nr_irqs; n++) {
        struct irq *i = &irqs[n];

        if (!i->msi || !i->bound || !same_device(i->msi->device, device))
            continue;
        spin_lock(&i->lock);
        hw_program(i, false);
        hw_set_mask(i, false);
        msi_enable(i->msi);
        spin_unlock(&i->lock);
    }
    spin_unlock(&irq_lock);
}
