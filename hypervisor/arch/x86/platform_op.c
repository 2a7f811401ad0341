/*
 * platform_op: clock, firmware facts, sleep, and what the machine's CPUs are, for the control domain only.
 * A row per command.
 */
#include <bh/arch.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest.h>
#include <bh/hypercall.h>
#include <bh/sched.h>
#include <bh/string.h>
#include <asm/acpi.h>
#include <asm/boot_info.h>
#include <asm/cpufeature.h>
#include <asm/insn.h>
#include <asm/msr.h>
#include <asm/paging.h>
#include <asm/percpu.h>
#include <asm/setup.h>
#include <asm/smp.h>
#include <public/platform.h>

#define MSR_MTRR_CAP         0xfe
#define MSR_MTRR_BASE(n)     (0x200 + 2 * (n))
#define MSR_MTRR_MASK(n)     (0x201 + 2 * (n))
#define MTRR_CAP_COUNT       0xff
#define MTRR_MASK_VALID      (1u << 11)
#define RESOURCE_ENTRIES_MAX 3
#define VENDOR_NAME_MAX      128 /* UTF-16 units of the firmware vendor's name that are copied */

/* What the EFI system table holds, by its layout in the UEFI specification (chapter 4.3). */
struct efi_system_table {
    uint64_t signature;
    uint32_t revision, header_size, crc32, reserved;
    uint64_t vendor; /* UTF-16, NUL-terminated */
    uint32_t vendor_revision, pad;
    uint64_t handles[8];
    uint64_t nr_tables;
    uint64_t tables;
};

static long op_settime32(struct vcpu *v, struct domain *self, void *arg)
{
    const struct xenpf_settime32 *t = arg;

    arch_set_wallclock(t->secs, t->nsecs, t->system_time);
    return 0;
}

static long op_settime64(struct vcpu *v, struct domain *self, void *arg)
{
    const struct xenpf_settime64 *t = arg;

    if (t->mbz != 0)
        return fail(v, -EINVAL, "platform: settime64: mbz is {0}", t->mbz, 0);
    arch_set_wallclock(t->secs, t->nsecs, t->system_time);
    return 0;
}

static long op_read_memtype(struct vcpu *v, struct domain *self, void *arg)
{
    struct xenpf_read_memtype *m = arg;
    uint64_t cap, base, mask, size_mask = (1UL << boot_cpu.physaddr_bits) - PAGE_SIZE;

    if (!rdmsr_safe(MSR_MTRR_CAP, &cap) || m->reg >= (cap & MTRR_CAP_COUNT) ||
        !rdmsr_safe(MSR_MTRR_BASE(m->reg), &base) || !rdmsr_safe(MSR_MTRR_MASK(m->reg), &mask))
        return fail(v, -EINVAL, "platform: read_memtype: the CPU has no variable memory type range {0}",
                    m->reg, 0);
    *m = (struct xenpf_read_memtype){.reg = m->reg};
    if (mask & MTRR_MASK_VALID) {
        m->mfn = (base & size_mask) >> PAGE_SHIFT;
        m->nr_mfns = ((~mask & size_mask) + PAGE_SIZE) >> PAGE_SHIFT;
        m->type = base & 0xff;
    }
    return 0;
}

/* --- Firmware --- */

/* Copies firmware tables, which may lie outside the RAM that the direct map covers. */
static bool read_physical(paddr_t pa, void *dst, size_t bytes)
{
    const void *p = iomap(pa, bytes);

    if (p == NULL)
        return false;
    memcpy(dst, p, bytes);
    return true;
}

static long efi_vendor(struct vcpu *v, const struct efi_system_table *st, union xenpf_efi_info *info)
{
    static uint16_t name[VENDOR_NAME_MAX]; /* read once: the firmware does not change it */
    static bool known;
    uint16_t copy[VENDOR_NAME_MAX];
    size_t bytes = MIN(info->vendor.bufsz & ~1u, sizeof(copy));

    if (!known && !read_physical(st->vendor, name, sizeof(name)))
        return fail(v, -EIO, "platform: firmware_info: the vendor's name at {0} cannot be mapped", st->vendor,
                    0);
    known = true;
    info->vendor.revision = st->vendor_revision;
    if (bytes == 0)
        return 0;
    memcpy(copy, name, bytes);
    copy[bytes / 2 - 1] = 0;
    if (copy_to_guest(v, info->vendor.name, copy, bytes) != 0)
        return fail(v, -EFAULT, "platform: firmware_info: buffer at {0} is not writable", info->vendor.name,
                    0);
    return 0;
}

static long efi_info(struct vcpu *v, struct xenpf_firmware_info *fw)
{
    static struct efi_system_table st;
    static bool known;

    if (boot_info.efi_systab == 0)
        return fail(v, -EINVAL, "platform: firmware_info: the machine was not started by EFI", 0, 0);
    if (!known && !read_physical(boot_info.efi_systab, &st, sizeof(st)))
        return fail(v, -EIO, "platform: firmware_info: the EFI system table at {0} cannot be mapped",
                    boot_info.efi_systab, 0);
    known = true;
    switch (fw->index) {
    case XEN_FW_EFI_VERSION:
        fw->u.efi_info.version = st.revision;
        return 0;
    case XEN_FW_EFI_CONFIG_TABLE:
        fw->u.efi_info.cfg.addr = st.tables;
        fw->u.efi_info.cfg.nent = (uint32_t)st.nr_tables;
        return 0;
    case XEN_FW_EFI_VENDOR:
        return efi_vendor(v, &st, &fw->u.efi_info);
    case XEN_FW_EFI_RT_VERSION:
        fw->u.efi_info.version = 0; /* run-time services are not offered */
        return 0;
    default:
        return fail(v, -EOPNOTSUPP, "platform: firmware_info: EFI fact {0} is not known to us", fw->index, 0);
    }
}

static long op_firmware_info(struct vcpu *v, struct domain *self, void *arg)
{
    struct xenpf_firmware_info *fw = arg;

    switch (fw->type) {
    case XEN_FW_EFI_INFO:
        return efi_info(v, fw);
    case XEN_FW_KBD_SHIFT_FLAGS:
        fw->u.kbd_shift_flags = 0;
        return 0;
    case XEN_FW_DISK_INFO:
    case XEN_FW_DISK_MBR_SIGNATURE:
    case XEN_FW_VBEDDC_INFO:
        return fail(v, -ESRCH,
                    "platform: firmware_info: the BIOS is not asked about disks and displays (type {0})",
                    fw->type, 0);
    default:
        return fail(v, -EINVAL, "platform: firmware_info: there is no type {0}", fw->type, 0);
    }
}

static long op_enter_acpi_sleep(struct vcpu *v, struct domain *self, void *arg)
{
    const struct xenpf_enter_acpi_sleep *s = arg;
    int rc;

    if (s->flags & ~XENPF_ACPI_SLEEP_EXTENDED || s->sleep_state < 1 || s->sleep_state > 5)
        return fail(v, -EINVAL, "platform: enter_acpi_sleep: no sleep state S{0} with flags {1}",
                    s->sleep_state, s->flags);
    if (s->sleep_state != 5)
        return fail(
            v, -EOPNOTSUPP,
            "platform: enter_acpi_sleep: S{0} is not offered: only S5, power off, is; nobody would bring the "
            "CPUs back",
            s->sleep_state, 0);
    rc = acpi_enter_sleep(s->sleep_state, s->val_a, s->val_b);
    return rc == 0
               ? 0
               : fail(v, rc, "platform: enter_acpi_sleep: the machine cannot enter S{0}", s->sleep_state, 0);
}

/* --- CPUs --- */

static bool cpu_online(uint32_t cpu)
{
    return cpu < NR_CPUS && (cpupool_cpus_in_service() & CPUMASK(cpu));
}

static long op_getidletime(struct vcpu *v, struct domain *self, void *arg)
{
    struct xenpf_getidletime *i = arg;
    uint32_t nr = MIN(i->cpumap_nr_cpus, NR_CPUS), bytes = DIV_ROUND_UP(nr, 8);
    uint64_t map = 0;

    if (copy_from_guest(v, &map, i->cpumap_bitmap, bytes) != 0)
        return fail(v, -EFAULT, "platform: getidletime: CPU map at {0} is not readable", i->cpumap_bitmap, 0);
    i->now = arch_now();
    for (uint32_t cpu = 0; cpu < nr; cpu++) {
        uint64_t idle = 0;

        if (!(map & CPUMASK(cpu)))
            continue;
        if (cpu_online(cpu))
            idle = sched_cpu_idle_time(cpu);
        else
            map &= ~CPUMASK(cpu);
        if (copy_to_guest(v, i->idletime + cpu * sizeof(idle), &idle, sizeof(idle)) != 0)
            return fail(v, -EFAULT, "platform: getidletime: array at {0} is not writable", i->idletime, 0);
    }
    if (copy_to_guest(v, i->cpumap_bitmap, &map, bytes) != 0)
        return fail(v, -EFAULT, "platform: getidletime: CPU map at {0} is not writable", i->cpumap_bitmap, 0);
    return 0;
}

static long op_get_cpuinfo(struct vcpu *v, struct domain *self, void *arg)
{
    struct xenpf_pcpuinfo *p = arg;

    p->max_present = arch_nr_cpus() - 1;
    p->flags = XEN_PCPU_FLAGS_INVALID;
    p->apic_id = p->acpi_id = 0;
    if (p->xen_cpuid < NR_CPUS && percpu_of(p->xen_cpuid) != NULL) {
        p->flags = cpu_online(p->xen_cpuid) ? XEN_PCPU_FLAGS_ONLINE : 0;
        p->apic_id = percpu_of(p->xen_cpuid)->apic_id;
        p->acpi_id = percpu_of(p->xen_cpuid)->acpi_id;
    }
    return 0;
}

static long op_get_cpu_version(struct vcpu *v, struct domain *self, void *arg)
{
    struct xenpf_pcpu_version *p = arg;

    if (!cpu_online(p->xen_cpuid)) {
        memset(p->vendor_id, 0, sizeof(p->vendor_id));
        p->family = p->model = p->stepping = 0;
    } else {
        cpu_vendor_name(p->vendor_id);
        p->family = boot_cpu.family;
        p->model = boot_cpu.model;
        p->stepping = boot_cpu.stepping;
    }
    p->max_present = arch_nr_cpus() - 1;
    return 0;
}

static long op_cpu_online(struct vcpu *v, struct domain *self, void *arg)
{
    return cpu_hotplug(v, ((const struct xenpf_cpu_ol *)arg)->cpuid, true);
}

static long op_cpu_offline(struct vcpu *v, struct domain *self, void *arg)
{
    return cpu_hotplug(v, ((const struct xenpf_cpu_ol *)arg)->cpuid, false);
}

static long op_core_parking(struct vcpu *v, struct domain *self, void *arg)
{
    struct xenpf_core_parking *p = arg;

    if (p->type == XEN_CORE_PARKING_GET)
        p->idle_nums = 0;
    else if (p->type != XEN_CORE_PARKING_SET || p->idle_nums != 0)
        return fail(v, -EOPNOTSUPP, "platform: core_parking: type {0}: CPUs are not parked ({1} asked)",
                    p->type, p->idle_nums);
    return 0;
}

/* Only the time may be read this way. Returns how many entries were served; the first refused one says why.
 */
static long op_resource_op(struct vcpu *v, struct domain *self, void *arg)
{
    const struct xenpf_resource_op *r = arg;
    struct xenpf_resource_entry e;

    if (!cpu_online(r->cpu) || r->nr_entries > RESOURCE_ENTRIES_MAX)
        return fail(v, r->nr_entries > RESOURCE_ENTRIES_MAX ? -E2BIG : -ENODEV,
                    "platform: resource_op: CPU {0} is not online, or {1} entries are more than 3", r->cpu,
                    r->nr_entries);
    for (uint32_t i = 0; i < r->nr_entries; i++) {
        uint64_t at = r->entries + i * sizeof(e);
        bool ok;

        if (copy_from_guest(v, &e, at, sizeof(e)) != 0)
            return fail(v, -EFAULT, "platform: resource_op: entry at {0} is not readable", at, 0);
        ok = e.u.cmd == XEN_RESOURCE_OP_MSR_READ && e.idx == MSR_TSC && e.rsvd == 0;
        e.val = ok ? arch_now() : e.val;
        e.u.ret = ok ? 0 : fail(v, -EACCES, "platform: resource_op: MSR {0} is not offered", e.idx, 0);
        if (copy_to_guest(v, at, &e, sizeof(e)) != 0)
            return fail(v, -EFAULT, "platform: resource_op: entry at {0} is not writable", at, 0);
        if (!ok)
            return i;
    }
    return r->nr_entries;
}

static const struct subop ops[] = {
    [XENPF_settime32] = SUBOP(op_settime32, xenpf_settime32, ARG_IN),
    [XENPF_settime64] = SUBOP(op_settime64, xenpf_settime64, ARG_IN),
    [XENPF_read_memtype] = SUBOP(op_read_memtype, xenpf_read_memtype, ARG_INOUT),
    [XENPF_get_cpu_version] = SUBOP(op_get_cpu_version, xenpf_pcpu_version, ARG_INOUT),
    [XENPF_firmware_info] = SUBOP(op_firmware_info, xenpf_firmware_info, ARG_INOUT),
    [XENPF_enter_acpi_sleep] = SUBOP(op_enter_acpi_sleep, xenpf_enter_acpi_sleep, ARG_IN),
    [XENPF_getidletime] = SUBOP(op_getidletime, xenpf_getidletime, ARG_INOUT),
    [XENPF_get_cpuinfo] = SUBOP(op_get_cpuinfo, xenpf_pcpuinfo, ARG_INOUT),
    [XENPF_cpu_online] = SUBOP(op_cpu_online, xenpf_cpu_ol, ARG_IN),
    [XENPF_cpu_offline] = SUBOP(op_cpu_offline, xenpf_cpu_ol, ARG_IN),
    [XENPF_core_parking] = SUBOP(op_core_parking, xenpf_core_parking, ARG_INOUT),
    [XENPF_resource_op] = SUBOP(op_resource_op, xenpf_resource_op, ARG_IN),
};

DECLARE_HYPERCALL(do_platform_op)
{
    uint32_t cmd;
    long rc = command_of(v, a1, XENPF_INTERFACE_VERSION, &cmd);

    return rc ? rc : subop_dispatch(v, ops, ARRAY_SIZE(ops), cmd, a1 + COMMAND_HEAD);
}
