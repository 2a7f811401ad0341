/*
 * Machine checks. One that reaches a CPU is an error that the hardware could not correct: it is printed and the machine
 * ends. Those that it corrected are not collected, so the hypercall by which the control domain fetches records never
 * has one; it does tell what the machine's CPUs are. Injecting errors is not offered.
 */
#include <bh/arch.h>
#include <bh/console.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest.h>
#include <bh/hypercall.h>
#include <bh/printk.h>
#include <bh/string.h>
#include <asm/cpufeature.h>
#include <asm/insn.h>
#include <asm/msr.h>
#include <asm/percpu.h>
#include <asm/trap.h>
#include <public/mca.h>

#define BANK_VALID (1UL << 63)

void trap_machine_check(struct cpu_regs *regs)
{
    uint64_t status = 0, cap = 0;

    console_force();
    if (!rdmsr_safe(MSR_MCG_STATUS, &status) || !rdmsr_safe(MSR_MCG_CAP, &cap))
        printk(LOG_ERROR, "machine check status cannot be read");
    printk(LOG_ERROR, "machine check: MCG_STATUS %016lx", status);
    for (unsigned int bank = 0; bank < (cap & 0xff); bank++) {
        uint64_t bank_status;

        if (rdmsr_safe(MSR_MC0_STATUS + 4 * bank, &bank_status) && (bank_status & BANK_VALID))
            printk(LOG_ERROR, "  bank %u: status %016lx", bank, bank_status);
    }
    regs_dump(regs);
    panic("machine check on CPU %u: the hardware reports an error it cannot correct", arch_cpu_id());
}

static void describe_cpu(uint32_t cpu, struct mcinfo_logical_cpu *c)
{
    struct cpu_place place = cpu_place(percpu_of(cpu)->apic_id);
    uint32_t r[4];

    *c = (struct mcinfo_logical_cpu){
        .mc_cpunr = cpu,
        .mc_chipid = place.socket,
        .mc_coreid = (uint16_t)place.core,
        .mc_threadid = (uint16_t)place.thread,
        .mc_apicid = percpu_of(cpu)->apic_id,
        .mc_ncores = boot_cpu.cores_per_socket,
        .mc_ncores_active = boot_cpu.cores_per_socket,
        .mc_nthreads = boot_cpu.threads_per_core,
        .mc_cpuid_level = (int32_t)boot_cpu.max_leaf,
        .mc_family = boot_cpu.family,
        .mc_vendor = boot_cpu.vendor,
        .mc_model = boot_cpu.model,
        .mc_step = boot_cpu.stepping,
        .mc_cpu_caps[MC_CAPS_STD_EDX] = boot_cpu.word[CPUID_1_EDX],
        .mc_cpu_caps[MC_CAPS_STD_ECX] = boot_cpu.word[CPUID_1_ECX],
        .mc_cpu_caps[MC_CAPS_AMD_EDX] = boot_cpu.word[CPUID_E1_EDX],
        .mc_cpu_caps[MC_CAPS_AMD_ECX] = boot_cpu.word[CPUID_E1_ECX],
    };
    cpu_vendor_name(c->mc_vendorid);
    for (uint32_t i = 0; i < 3 && boot_cpu.max_extended >= 0x80000004; i++) {
        cpuid_count(0x80000002 + i, 0, r);
        memcpy(c->mc_brandid + 16 * i, r, sizeof(r));
    }
    c->mc_msrvalues[0].reg = MSR_MCG_CAP;
    c->mc_nmsrvals = cpu_has(FEAT_MCA) && rdmsr_safe(MSR_MCG_CAP, &c->mc_msrvalues[0].value);
}

static long op_physcpuinfo(struct vcpu *v, struct domain *self, void *arg)
{
    struct xen_mc_physcpuinfo *p = arg;
    cpumask_t online = arch_online_cpus();
    uint32_t n = (uint32_t)__builtin_popcountl(online), at = 0;
    struct mcinfo_logical_cpu c;

    for (; p->info != 0 && at < p->ncpus && online != 0; at++, online &= online - 1) {
        describe_cpu((uint32_t)__builtin_ctzl(online), &c);
        if (copy_to_guest(v, p->info + at * sizeof(c), &c, sizeof(c)) != 0)
            return fail(v, -EFAULT, "mca: physcpuinfo: entry {0} of the array at {1} is not writable", at,
                        p->info);
    }
    p->ncpus = p->info != 0 ? at : n;
    return 0;
}

static long op_fetch(struct vcpu *v, struct domain *self, void *arg)
{
    struct xen_mc_fetch *f = arg;

    switch (f->flags) {
    case XEN_MC_NONURGENT:
    case XEN_MC_URGENT:
        f->flags = XEN_MC_NODATA;
        f->fetch_id = 0;
        return 0;
    case XEN_MC_NONURGENT | XEN_MC_ACK:
    case XEN_MC_URGENT | XEN_MC_ACK:
        f->flags = XEN_MC_OK;
        return 0;
    default:
        return fail(v, -EINVAL, "mca: fetch: flags {0} name none of the two queues", f->flags, 0);
    }
}

static const struct subop ops[] = {
    [XEN_MC_fetch] = SUBOP(op_fetch, xen_mc_fetch, ARG_INOUT),
    [XEN_MC_physcpuinfo] = SUBOP(op_physcpuinfo, xen_mc_physcpuinfo, ARG_INOUT),
};

DECLARE_HYPERCALL(do_mca)
{
    uint32_t cmd;
    long rc = command_of(v, a1, XEN_MCA_INTERFACE_VERSION, &cmd);

    return rc ? rc : subop_dispatch(v, ops, ARRAY_SIZE(ops), cmd, a1 + COMMAND_HEAD);
}
