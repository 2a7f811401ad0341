/*
 * PHYSDEVOP_*: interrupts, PCI devices and I/O privileges, as the guest that drives the hardware asks for
 * them. Each handler checks who asks and the ranges, and leaves the work to irq.c, msi.c and pci.c.
 */
#include <bh/arch.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/hypercall.h>
#include <bh/page.h>
#include <bh/policy.h>
#include <asm/acpi.h>
#include <asm/apic.h>
#include <asm/irq.h>
#include <public/physdev.h>

#define MAX_IO_PORTS  0x10000
#define MAX_MULTI_MSI 32

static long op_eoi(struct vcpu *v, struct domain *d, void *arg)
{
    const struct physdev_eoi *op = arg;

    if (op->irq >= d->arch.nr_pirqs)
        return fail(v, -EINVAL, "physdev: eoi: pirq {0} is beyond the domain's {1}", op->irq,
                    d->arch.nr_pirqs);
    if (d->arch.pirq_auto_unmask) {
        uint32_t port = pirq_port(d, op->irq);

        if (port != 0)
            evtchn_unmask(v, port);
    }
    arch_pirq_eoi(d, op->irq);
    return 0;
}

/* Registers the page of EOI bits; once per domain. */
static long register_eoi_map(struct vcpu *v, const struct physdev_pirq_eoi_gmfn *op, bool auto_unmask)
{
    struct domain *d = v->domain;
    mfn_t mfn = MFN(op->gmfn);
    long rc = 0;

    if (!mfn_valid(mfn) || !get_page_writable(mfn_to_page(mfn), d))
        return fail(v, -EINVAL, "physdev: pirq_eoi_gmfn: frame {0} is no writable page of the domain",
                    op->gmfn, 0);
    spin_lock(&d->lock);
    if (d->arch.pirq_eoi_map != NULL || d->state >= DOMAIN_DYING) {
        rc = fail(v, -EBUSY, "physdev: pirq_eoi_gmfn: the domain has registered a page already", 0, 0);
    } else {
        d->arch.pirq_eoi_page = mfn_to_page(mfn);
        d->arch.pirq_auto_unmask = auto_unmask;
        d->arch.pirq_eoi_map = arch_map(mfn);
    }
    spin_unlock(&d->lock);
    if (rc != 0)
        put_page_writable(mfn_to_page(mfn));
    return rc;
}

static long op_pirq_eoi_gmfn_v1(struct vcpu *v, struct domain *d, void *arg)
{
    return register_eoi_map(v, arg, true);
}

static long op_pirq_eoi_gmfn_v2(struct vcpu *v, struct domain *d, void *arg)
{
    return register_eoi_map(v, arg, false);
}

void physdev_domain_release(struct domain *d)
{
    struct page_info *pg;

    spin_lock(&d->lock);
    pg = d->arch.pirq_eoi_page;
    d->arch.pirq_eoi_map = NULL;
    d->arch.pirq_eoi_page = NULL;
    spin_unlock(&d->lock);
    if (pg != NULL)
        put_page_writable(pg);
}

static long op_irq_status_query(struct vcpu *v, struct domain *d, void *arg)
{
    struct physdev_irq_status_query *op = arg;

    if (op->irq >= d->arch.nr_pirqs)
        return fail(v, -EINVAL, "physdev: irq_status_query: pirq {0} is beyond the domain's {1}", op->irq,
                    d->arch.nr_pirqs);
    op->flags = (arch_pirq_needs_eoi(d, op->irq) ? XENIRQSTAT_needs_eoi : 0) |
                (pirq_is_shared(d, op->irq) ? XENIRQSTAT_shared : 0);
    return 0;
}

static void msi_from(const struct physdev_map_pirq *op, struct msi_request *r)
{
    *r = (struct msi_request){
        .device = {op->type == MAP_PIRQ_TYPE_MSI ? 0 : (uint16_t)(op->bus >> 16), (uint8_t)op->bus,
                   (uint8_t)op->devfn},
        .msix = op->table_base != 0,
        .entry = op->table_base != 0 ? (uint16_t)op->entry_nr : 0,
        .count = 1,
        .table_base = op->table_base,
    };
}

static long map_gsi(struct vcpu *v, struct domain *d, struct physdev_map_pirq *op)
{
    if (!domain_is_control(v->domain) &&
        !rangeset_contains(v->domain->irq_caps, (uint64_t)op->index, (uint64_t)op->index))
        return fail(v, -EPERM, "physdev: map_pirq: domain {1} has no right to GSI {0}", (uint64_t)op->index,
                    v->domain->id);
    return pirq_map_gsi(v, d, (unsigned int)op->index, &op->pirq);
}

static long map_msi(struct vcpu *v, struct domain *d, struct physdev_map_pirq *op)
{
    struct msi_request r;

    if (!policy_allows(v->domain, POLICY_MACHINE, NULL))
        return fail(v, -EPERM, "physdev: map_pirq: domain {0} has no right to interrupts of devices",
                    v->domain->id, 0);
    msi_from(op, &r);
    if (op->type == MAP_PIRQ_TYPE_MULTI_MSI) {
        if (op->entry_nr < 1 || op->entry_nr > MAX_MULTI_MSI || r.msix)
            return fail(v, -EDOM,
                        "physdev: map_pirq: {0} vectors of a multi-vector MSI (1 to {1}, no MSI-X table)",
                        (uint64_t)op->entry_nr, MAX_MULTI_MSI);
        r.count = (uint16_t)op->entry_nr;
    }
    return pirq_map_msi(v, d, &r, &op->pirq);
}

static long op_map_pirq(struct vcpu *v, struct domain *d, void *arg)
{
    struct physdev_map_pirq *op = arg;

    switch (op->type) {
    case MAP_PIRQ_TYPE_GSI:
        return map_gsi(v, d, op);
    case MAP_PIRQ_TYPE_MSI:
    case MAP_PIRQ_TYPE_MSI_SEG:
    case MAP_PIRQ_TYPE_MULTI_MSI:
        return map_msi(v, d, op);
    default:
        return fail(v, -EINVAL, "physdev: map_pirq: there is no type {0}", (uint64_t)op->type, 0);
    }
}

static long op_unmap_pirq(struct vcpu *v, struct domain *d, void *arg)
{
    const struct physdev_unmap_pirq *op = arg;

    if (op->pirq < 0 || (uint32_t)op->pirq >= d->arch.nr_pirqs)
        return fail(v, -EINVAL, "physdev: unmap_pirq: pirq {0} is beyond the domain's {1}",
                    (uint64_t)op->pirq, d->arch.nr_pirqs);
    return pirq_unmap(v, d, (unsigned int)op->pirq);
}

static long op_get_free_pirq(struct vcpu *v, struct domain *d, void *arg)
{
    struct physdev_get_free_pirq *op = arg;
    int pirq;

    if (op->type != MAP_PIRQ_TYPE_GSI && op->type != MAP_PIRQ_TYPE_MSI)
        return fail(v, -EINVAL, "physdev: get_free_pirq: type {0} is neither GSI nor MSI", (uint64_t)op->type,
                    0);
    pirq = pirq_get_free(d, op->type == MAP_PIRQ_TYPE_GSI);
    if (pirq < 0)
        return fail(v, pirq, "physdev: get_free_pirq: all {0} pirqs of the domain are in use",
                    d->arch.nr_pirqs, 0);
    op->pirq = (uint32_t)pirq;
    return 0;
}

static long op_setup_gsi(struct vcpu *v, struct domain *d, void *arg)
{
    const struct physdev_setup_gsi *op = arg;

    return gsi_setup(v, (unsigned int)op->gsi, op->triggering != 0, op->polarity != 0);
}

static long op_set_iopl(struct vcpu *v, struct domain *d, void *arg)
{
    const struct physdev_set_iopl *op = arg;

    if (op->iopl > 3)
        return fail(v, -EINVAL, "physdev: set_iopl: level {0} is above 3", op->iopl, 0);
    v->arch.pv.iopl = (uint8_t)op->iopl;
    return 0;
}

static long op_set_iobitmap(struct vcpu *v, struct domain *d, void *arg)
{
    const struct physdev_set_iobitmap *op = arg;

    if (op->nr_ports > MAX_IO_PORTS)
        return fail(v, -EINVAL, "physdev: set_iobitmap: {0} ports are more than {1}", op->nr_ports,
                    MAX_IO_PORTS);
    v->arch.pv.iobmp = op->bitmap;
    v->arch.pv.iobmp_limit = op->nr_ports;
    return 0;
}

/*
 * Routing is the hypervisor's: it follows setup_gsi and map_pirq. Writes of kernels that still try change
 * nothing: they are checked like reads, whose result does not go back.
 */
static long op_apic(struct vcpu *v, struct domain *d, void *arg)
{
    struct physdev_apic *op = arg;

    if (!ioapic_guest_read(op->apic_physbase, op->reg, &op->value))
        return fail(v, -EINVAL, "physdev: no register {1} of an IO-APIC at {0}", op->apic_physbase, op->reg);
    return 0;
}

/* Vectors are nobody's business but ours: the guest gets the number that it gave. */
static long op_alloc_irq_vector(struct vcpu *v, struct domain *d, void *arg)
{
    struct physdev_irq *op = arg;

    if (op->irq >= ioapic_nr_gsis())
        return fail(v, -EINVAL, "physdev: alloc_irq_vector: GSI {0} is not one of the machine's {1}", op->irq,
                    ioapic_nr_gsis());
    op->vector = op->irq;
    return 0;
}

/* Vectors and devices that the guest gives up: nothing is kept for them but the irqs that it unmaps. */
static long op_nothing(struct vcpu *v, struct domain *d, void *arg)
{
    return 0;
}

static long check_device(struct vcpu *v, struct pci_address a)
{
    if (pci_read(a, 0, 2) == 0xffff)
        return fail(v, -ENODEV, "pci: there is no device {0} (bus << 8 | devfn) in segment {1}",
                    pci_bus_devfn(a), a.segment);
    return 0;
}

static long op_manage_pci_add(struct vcpu *v, struct domain *d, void *arg)
{
    const struct physdev_manage_pci *op = arg;

    return check_device(v, (struct pci_address){0, op->bus, op->devfn});
}

static long op_manage_pci_add_ext(struct vcpu *v, struct domain *d, void *arg)
{
    const struct physdev_manage_pci_ext *op = arg;

    if (op->is_extfn > 1 || op->is_virtfn > 1)
        return fail(v, -EINVAL, "physdev: manage_pci_add_ext: flags {0} and {1} are not 0 or 1", op->is_extfn,
                    op->is_virtfn);
    return check_device(v, (struct pci_address){0, op->bus, op->devfn});
}

/* pci_device_add, prepare_msix, release_msix: the argument is, or begins with, a struct physdev_pci_device. */
static long op_known_device(struct vcpu *v, struct domain *d, void *arg)
{
    const struct physdev_pci_device *op = arg;

    return check_device(v, (struct pci_address){op->seg, op->bus, op->devfn});
}

static long op_restore_msi(struct vcpu *v, struct domain *d, void *arg)
{
    const struct physdev_restore_msi *op = arg;

    msi_restore((struct pci_address){0, op->bus, op->devfn});
    return 0;
}

static long op_restore_msi_ext(struct vcpu *v, struct domain *d, void *arg)
{
    const struct physdev_pci_device *op = arg;

    msi_restore((struct pci_address){op->seg, op->bus, op->devfn});
    return 0;
}

/* The guest confirms a range of MMCONFIG. */
static long op_pci_mmcfg_reserved(struct vcpu *v, struct domain *d, void *arg)
{
    const struct physdev_pci_mmcfg_reserved *op = arg;

    for (uint32_t n = 0; n < acpi.nr_mcfg; n++) {
        const struct acpi_mcfg *m = &acpi.mcfg[n];

        if (m->address == op->address && m->segment == op->segment && m->start_bus == op->start_bus &&
            m->end_bus == op->end_bus)
            return 0;
    }
    return fail(v, op->start_bus > op->end_bus ? -EINVAL : -ENODEV,
                "pci: ACPI's MCFG has no such window of segment {0} at {1}", op->segment, op->address);
}

/* We drive no USB debug port: the guest may reset the controller whenever it likes. */
static long op_dbgp(struct vcpu *v, struct domain *d, void *arg)
{
    const struct physdev_dbgp_op *op = arg;

    if (op->op != PHYSDEVOP_DBGP_RESET_PREPARE && op->op != PHYSDEVOP_DBGP_RESET_DONE)
        return fail(v, -EINVAL, "physdev: dbgp_op: there is no operation {0}", op->op, 0);
    return 0;
}

#define ROW(op, fn, type, dir, ...) [PHYSDEVOP_##op] = SUBOP(fn, physdev_##type, dir, ##__VA_ARGS__)
static const struct subop physdev_table[] = {
    ROW(irq_status_query, op_irq_status_query, irq_status_query, ARG_INOUT),
    ROW(set_iopl, op_set_iopl, set_iopl, ARG_IN),
    ROW(set_iobitmap, op_set_iobitmap, set_iobitmap, ARG_IN),
    ROW(apic_read, op_apic, apic, ARG_INOUT, .privileged = true),
    ROW(apic_write, op_apic, apic, ARG_IN, .privileged = true),
    ROW(alloc_irq_vector, op_alloc_irq_vector, irq, ARG_INOUT, .privileged = true),
    ROW(free_irq_vector, op_nothing, irq, ARG_IN, .privileged = true),
    ROW(eoi, op_eoi, eoi, ARG_IN),
    [PHYSDEVOP_map_pirq] = SUBOP_ON(domid, POLICY_CONTROL, op_map_pirq, physdev_map_pirq, ARG_INOUT),
    [PHYSDEVOP_unmap_pirq] = SUBOP_ON(domid, POLICY_CONTROL, op_unmap_pirq, physdev_unmap_pirq, ARG_IN),
    ROW(manage_pci_add, op_manage_pci_add, manage_pci, ARG_IN, .privileged = true),
    ROW(manage_pci_remove, op_nothing, manage_pci, ARG_IN, .privileged = true),
    ROW(pirq_eoi_gmfn_v1, op_pirq_eoi_gmfn_v1, pirq_eoi_gmfn, ARG_IN),
    ROW(pirq_eoi_gmfn_v2, op_pirq_eoi_gmfn_v2, pirq_eoi_gmfn, ARG_IN),
    ROW(restore_msi, op_restore_msi, restore_msi, ARG_IN, .privileged = true),
    ROW(restore_msi_ext, op_restore_msi_ext, pci_device, ARG_IN, .privileged = true),
    ROW(manage_pci_add_ext, op_manage_pci_add_ext, manage_pci_ext, ARG_IN, .privileged = true),
    ROW(setup_gsi, op_setup_gsi, setup_gsi, ARG_IN, .privileged = true),
    ROW(get_free_pirq, op_get_free_pirq, get_free_pirq, ARG_INOUT),
    ROW(pci_mmcfg_reserved, op_pci_mmcfg_reserved, pci_mmcfg_reserved, ARG_IN, .privileged = true),
    ROW(pci_device_add, op_known_device, pci_device_add, ARG_IN, .privileged = true),
    ROW(pci_device_remove, op_nothing, pci_device, ARG_IN, .privileged = true),
    ROW(prepare_msix, op_known_device, pci_device, ARG_IN, .privileged = true),
    ROW(release_msix, op_known_device, pci_device, ARG_IN, .privileged = true),
    ROW(dbgp_op, op_dbgp, dbgp_op, ARG_IN, .privileged = true),
};

long do_physdev_op(struct vcpu *v, unsigned long a1, unsigned long a2, unsigned long a3, unsigned long a4,
                   unsigned long a5)
{
    return subop_dispatch(v, physdev_table, ARRAY_SIZE(physdev_table), a1, a2);
}
