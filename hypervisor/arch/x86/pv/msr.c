/*
 * MSRs of PV guests. A table decides: what is passed through, what reads as a constant and takes no write,
 * what the guest owns. Everything else faults, as a missing MSR does on hardware; for a domain made with
 * msr_relaxed one that the machine has reads zero and drops writes.
 */
#include <asm/cpufeature.h>
#include <asm/insn.h>
#include <asm/msr.h>
#include <asm/pv.h>
#include <bh/domain.h>
#include <public/arch-x86_64.h>

enum msr_rule {
    RULE_HOST, /* reads the machine's value; writes are dropped */
    RULE_ZERO, /* reads zero; writes are dropped */
};

/* Registers that kernels read on some CPUs and cope with being constant. */
static const struct {
    uint32_t first, last;
    enum msr_rule rule;
} msr_rules[] = {
    {MSR_APIC_BASE, MSR_APIC_BASE, RULE_ZERO},
    {0x17, 0x17, RULE_ZERO}, /* platform id */
    {0x8b, 0x8b, RULE_HOST}, /* microcode revision */
    {MSR_MCG_CAP, MSR_MCG_STATUS, RULE_ZERO},
    {MSR_MISC_ENABLE, MSR_MISC_ENABLE, RULE_HOST},
    {MSR_PAT, MSR_PAT, RULE_HOST},
    {MSR_TSC, MSR_TSC, RULE_HOST},
    {0xce, 0xce, RULE_ZERO},             /* platform info */
    {0x140, 0x140, RULE_ZERO},           /* misc features enables */
    {0xc0010010, 0xc0010010, RULE_HOST}, /* SYSCFG */
    {0xc0010015, 0xc0010015, RULE_HOST}, /* HWCR */
    {0xc0010055, 0xc0010055, RULE_ZERO}, /* interrupt pending (C1E) */
    {0xc0010058, 0xc0010058, RULE_ZERO}, /* MMIO configuration base */
    {0xc001001f, 0xc001001f, RULE_ZERO}, /* northbridge configuration */
    {0xc0010114, 0xc0010114, RULE_ZERO}, /* VM_CR */
    {0xc0010140, 0xc0010141, RULE_ZERO}, /* OS visible workarounds */
    {0xc0011020, 0xc0011023, RULE_ZERO}, /* load/store and cache configuration */
    {0xc0011029, 0xc001102a, RULE_ZERO}, /* decode configuration, bus unit */
};

static const __typeof__(msr_rules[0]) *find_rule(uint32_t msr)
{
    for (size_t i = 0; i < ARRAY_SIZE(msr_rules); i++)
        if (msr >= msr_rules[i].first && msr <= msr_rules[i].last)
            return &msr_rules[i];
    return NULL;
}

static bool is_relaxed(const struct vcpu *v, uint32_t msr)
{
    uint64_t unused;

    return v->domain->arch_flags & XEN_X86_MSR_RELAXED && rdmsr_safe(msr, &unused);
}

bool pv_read_msr(struct vcpu *v, uint32_t msr, uint64_t *value)
{
    switch (msr) {
    case MSR_FS_BASE:
    case MSR_GS_BASE:
    case MSR_SHADOW_GS_BASE:
        *value = rdmsr(msr); /* emulated in kernel mode only: the active base is the kernel's */
        return true;
    case MSR_EFER:
        *value = rdmsr(MSR_EFER) & ~0x1000UL; /* SVME is not the guest's */
        return true;
    case MSR_TSC_AUX:
        *value = v->arch.tsc_aux;
        return true;
    default:
        break;
    }
    const __typeof__(msr_rules[0]) *rule = find_rule(msr);
    *value = 0;
    if (!rule)
        return is_relaxed(v, msr);
    return rule->rule == RULE_ZERO || rdmsr_safe(msr, value);
}

bool pv_write_msr(struct vcpu *v, uint32_t msr, uint64_t value)
{
    switch (msr) {
    case MSR_FS_BASE:
    case MSR_GS_BASE:
    case MSR_SHADOW_GS_BASE:
        if (!is_canonical(value))
            return false;
        wrmsr(msr, value);
        return true;
    case MSR_EFER:
        return true; /* nothing of it is the guest's to change */
    case MSR_TSC_AUX:
        if (value >> 32 || !cpu_has(FEAT_RDTSCP))
            return false;
        v->arch.tsc_aux = (uint32_t)value;
        wrmsr(MSR_TSC_AUX, value);
        return true;
    default:
        return find_rule(msr) != NULL || is_relaxed(v, msr);
    }
}
