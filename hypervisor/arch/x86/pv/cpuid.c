/*
 * CPUID of PV guests.
 *
 * What a domain may see at most is the host's CPUID with the features taken out that a PV guest cannot use
 * (paging modes, virtualization, power, machine checks); a toolstack may narrow that per domain, never widen
 * it. The policy is a list of leaves; the default policy is computed from the host, a domain's own, which has the same
 * leaves, replaces it. Leaves at 0x40000000 are the hypervisor's. Fields that follow the running state (APIC id, OSXSAVE) are
 * put in when asked.
 */
#include <asm/cpufeature.h>
#include <asm/cr.h>
#include <asm/insn.h>
#include <asm/pv.h>
#include <asm/time.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest.h>
#include <bh/page_alloc.h>
#include <bh/string.h>
#include <bh/version.h>

#define MAX_LEAVES        128
#define MSR_PLATFORM      0xce
#define HYPERVISOR_LEAF   0x40000000U
#define HYPERVISOR_LEAVES 6
#define NO_SUBLEAF        XEN_CPUID_NO_SUBLEAF

#define BIT(n) (1U << (n))
/* Features of a PV guest, by register; what is not named here is hidden. Names: APM vol. 3, appendix E. */
/* 1.edx: FPU DE TSC MSR PAE MCE CX8 APIC SEP MCA (without banks: msr.c) CMOV PAT CLFSH MMX FXSR SSE SSE2 HTT */
#define PV_1_EDX                                                                                             \
    (BIT(0) | BIT(2) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(9) | BIT(11) | BIT(14) | BIT(15) |   \
     BIT(16) | BIT(19) | BIT(23) | BIT(24) | BIT(25) | BIT(26) | BIT(28))
/* 1.ecx: SSE3 PCLMUL SSSE3 FMA CX16 SSE4.1 SSE4.2 MOVBE POPCNT AES XSAVE AVX F16C RDRAND HYPERVISOR */
#define PV_1_ECX                                                                                             \
    (BIT(0) | BIT(1) | BIT(9) | BIT(12) | BIT(13) | BIT(19) | BIT(20) | BIT(22) | BIT(23) | BIT(25) |        \
     BIT(26) | BIT(28) | BIT(29) | BIT(30) | BIT(31))
/* 7.ebx: FSGSBASE BMI1 AVX2 BMI2 ERMS AVX512F/DQ RDSEED ADX IFMA CLFLUSHOPT CLWB AVX512CD SHA BW VL */
#define PV_7_EBX                                                                                             \
    (BIT(0) | BIT(3) | BIT(5) | BIT(8) | BIT(9) | BIT(16) | BIT(17) | BIT(18) | BIT(19) | BIT(21) |          \
     BIT(23) | BIT(24) | BIT(28) | BIT(29) | BIT(30) | BIT(31))
/* 7.ecx: VBMI VBMI2 GFNI VAES VPCLMUL VNNI BITALG VPOPCNTDQ RDPID MOVDIRI MOVDIR64B */
#define PV_7_ECX                                                                                             \
    (BIT(1) | BIT(6) | BIT(8) | BIT(9) | BIT(10) | BIT(11) | BIT(12) | BIT(14) | BIT(22) | BIT(27) | BIT(28))
/* 7.edx: FSRM MD_CLEAR */
#define PV_7_EDX (BIT(4) | BIT(10))
/* 80000001.edx: SYSCALL NX MMXEXT FFXSR RDTSCP LM 3DNOWEXT 3DNOW and the copies of leaf 1 */
#define PV_E1_EDX                                                                                            \
    (BIT(11) | BIT(20) | BIT(22) | BIT(25) | BIT(27) | BIT(29) | BIT(30) | BIT(31) | (PV_1_EDX & 0x0183f3ffU))
/* 80000001.ecx: LAHF CR8LEGACY LZCNT SSE4A MISALIGNSSE 3DNOWPREFETCH XOP FMA4 TBM */
#define PV_E1_ECX (BIT(0) | BIT(4) | BIT(5) | BIT(6) | BIT(7) | BIT(8) | BIT(11) | BIT(16) | BIT(21))
/* 80000008.ebx: CLZERO RSTR_FP_ERR_PTRS WBNOINVD */
#define PV_E8_EBX (BIT(0) | BIT(2) | BIT(9))
/* d.1.eax: XSAVEOPT XSAVEC XGETBV1 */
#define PV_D1_EAX (BIT(0) | BIT(1) | BIT(2))

static struct xen_cpuid_leaf host_policy[MAX_LEAVES];
static uint32_t nr_host_policy;

static void filter(struct xen_cpuid_leaf *l)
{
    switch (l->leaf) {
    case 1:
        l->d &= PV_1_EDX;
        l->c = (l->c & PV_1_ECX) | BIT(31);
        break;
    case 7:
        l->a = 0;
        l->b &= PV_7_EBX;
        l->c &= PV_7_ECX;
        l->d &= PV_7_EDX;
        break;
    case 0xd:
        if (l->subleaf == 1) {
            l->a &= PV_D1_EAX;
            l->c = l->d = 0; /* no supervisor states */
        }
        break;
    case 0x80000001:
        l->d &= PV_E1_EDX;
        l->c &= PV_E1_ECX;
        break;
    case 0x80000007:
        l->a = l->b = l->c = 0;
        l->d &= BIT(8);
        break;
    case 0x80000008:
        l->b &= PV_E8_EBX;
        break;
    case 0:
    case 2:
    case 4:
    case 0xc:
    case 0x80000000U: /* limits, names, caches */
    case 0x80000002U ... 0x80000006U:
    case 0x8000001aU:
    case 0x8000001dU:
    case 0x80000021U:
        break;
    default: /* serial number, power, counters, topology, virtualization: none */
        l->a = l->b = l->c = l->d = 0;
        break;
    }
}

static void add_leaf(uint32_t leaf, uint32_t subleaf)
{
    uint32_t r[4];

    if (nr_host_policy == MAX_LEAVES)
        return;
    cpuid_count(leaf, subleaf == NO_SUBLEAF ? 0 : subleaf, r);
    struct xen_cpuid_leaf *l = &host_policy[nr_host_policy++];
    *l = (struct xen_cpuid_leaf){leaf, subleaf, r[0], r[1], r[2], r[3]};
    filter(l);
}

/*
 * The list holds every leaf and subleaf up to the limits, hidden ones as zeros: a toolstack reads it, changes
 * it and writes as many leaves back.
 */
void cpuid_policy_init(void)
{
    uint32_t max_basic = MIN(boot_cpu.max_leaf, 0xdU), max_extended = MIN(boot_cpu.max_extended, 0x80000021U);

    for (uint32_t leaf = 0; leaf <= max_basic; leaf++) {
        uint32_t subleaves = leaf == 4 ? 6 : leaf == 7 ? 1 : leaf == 0xb ? 2 : leaf == 0xd ? 10 : 0;
        if (!subleaves)
            add_leaf(leaf, NO_SUBLEAF);
        for (uint32_t sub = 0; sub < subleaves; sub++)
            if (leaf != 0xd || sub < 2 || boot_cpu.xcr0 >> sub & 1)
                add_leaf(leaf, sub);
    }
    for (uint32_t leaf = 0x80000000U; leaf <= max_extended; leaf++)
        add_leaf(leaf, NO_SUBLEAF);
    host_policy[0].a = max_basic;
}

/* d NULL: the default. */
static const struct xen_cpuid_leaf *policy_of(const struct domain *d)
{
    return d && d->arch.cpuid ? d->arch.cpuid : host_policy;
}

const struct xen_cpuid_leaf *cpuid_policy_leaf(const struct domain *d, uint32_t leaf, uint32_t subleaf)
{
    const struct xen_cpuid_leaf *list = policy_of(d);

    for (uint32_t i = 0; i < nr_host_policy; i++)
        if (list[i].leaf == leaf && (list[i].subleaf == NO_SUBLEAF || list[i].subleaf == subleaf))
            return &list[i];
    return NULL;
}

static uint32_t text4(const char *text)
{
    uint32_t word;

    memcpy(&word, text, sizeof(word));
    return word;
}

static void hypervisor_leaf(const struct domain *d, uint32_t leaf, uint32_t subleaf, struct cpuid_regs *out)
{
    *out = (struct cpuid_regs){0};
    switch (leaf - HYPERVISOR_LEAF) {
    case 0:
        *out = (struct cpuid_regs){HYPERVISOR_LEAF + HYPERVISOR_LEAVES - 1, text4("XenV"), text4("MMXe"),
                                   text4("nVMM")};
        break;
    case 1:
        out->a = XEN_ABI_MAJOR << 16 | XEN_ABI_MINOR;
        break;
    case 2:
        out->a = 1; /* hypercall pages */
        out->b = HYPERVISOR_LEAF;
        out->c = 1; /* MMU_PT_UPDATE_PRESERVE_AD */
        break;
    case 3:
        if (subleaf == 0) {
            out->b = d->arch.tsc_mode;
            out->c = (uint32_t)tsc_khz;
            out->d = d->arch.tsc_incarnation;
        }
        break;
    case 5:
        out->b = boot_cpu.physaddr_bits; /* width of machine addresses in page tables */
        break;
    default:
        break;
    }
}

void pv_cpuid(const struct vcpu *v, uint32_t leaf, uint32_t subleaf, struct cpuid_regs *out)
{
    const struct domain *d = v->domain;
    const struct xen_cpuid_leaf *l;

    if (leaf >= HYPERVISOR_LEAF && leaf < HYPERVISOR_LEAF + 0x100) {
        hypervisor_leaf(d, leaf, subleaf, out);
        return;
    }
    l = cpuid_policy_leaf(d, leaf, subleaf);
    if (!l) {
        *out = (struct cpuid_regs){0};
        return;
    }
    *out = (struct cpuid_regs){l->a, l->b, l->c, l->d};
    if (leaf == 1) {
        out->b = (out->b & 0x0000ffffU) | v->id * 2 << 24 | MIN(d->max_vcpus, 255U) << 16;
        if ((out->c & BIT(26)) && (v->arch.pv.ctrlreg[4] & CR4_OSXSAVE))
            out->c |= BIT(27);
    }
}

long cpuid_policy_copy(struct vcpu *v, const struct domain *d, uint64_t untrusted_leaves, uint32_t *nr_leaves,
                       uint64_t untrusted_msrs, uint32_t *nr_msrs)
{
    /* The hypervisor's own ranges: no limit is imposed on them. */
    static const struct xen_cpuid_leaf ours[] = {{.leaf = HYPERVISOR_LEAF, .subleaf = NO_SUBLEAF},
                                                 {.leaf = HYPERVISOR_LEAF + 0x100, .subleaf = NO_SUBLEAF}};
    static const struct xen_msr_entry msr = {.idx = MSR_PLATFORM};
    uint32_t room = *nr_leaves, msr_room = *nr_msrs;
    size_t bytes = nr_host_policy * sizeof(host_policy[0]);

    *nr_leaves = nr_host_policy + ARRAY_SIZE(ours);
    *nr_msrs = 1;
    if (untrusted_leaves && room < *nr_leaves)
        return fail(v, -ENOBUFS, "CPUID policy: room for {0} leaves, there are {1}", room, *nr_leaves);
    if (untrusted_leaves && (copy_to_guest(v, untrusted_leaves, policy_of(d), bytes) ||
                             copy_to_guest(v, untrusted_leaves + bytes, ours, sizeof(ours))))
        return fail(v, -EFAULT, "CPUID policy: leaves at {0} are not writable", untrusted_leaves, 0);
    if (untrusted_msrs && (!msr_room || copy_to_guest(v, untrusted_msrs, &msr, sizeof(msr))))
        return fail(v, msr_room ? -EFAULT : -ENOBUFS, "CPUID policy: no room for the MSR at {0}",
                    untrusted_msrs, 0);
    return 0;
}

/* Feature words may lose bits only. */
static int narrower(struct vcpu *caller, const struct xen_cpuid_leaf *l)
{
    const struct xen_cpuid_leaf *host = NULL;

    for (uint32_t i = 0; i < nr_host_policy && !host; i++)
        if (host_policy[i].leaf == l->leaf && (l->leaf != 7 || host_policy[i].subleaf == l->subleaf))
            host = &host_policy[i];
    bool features = l->leaf == 1 || l->leaf == 7 || l->leaf == 0x80000001U;
    if (!features || !host)
        return 0;
    /* HYPERVISOR, OSXSAVE and the CMP_LEGACY bit are no hardware to claim. */
    uint32_t c = l->c & ~(l->leaf == 1 ? BIT(27) | BIT(31) : 0) & ~(l->leaf == 0x80000001U ? BIT(1) : 0);
    uint32_t d = l->d & ~(l->leaf == 1 ? BIT(28) : 0);
    uint32_t b = l->leaf == 7 ? l->b & ~host->b : 0, more = b | (c & ~host->c) | (d & ~host->d);
    return more ? fail(caller, -EINVAL,
                       "CPUID policy: leaf {0} claims features {1} (ebx, ecx, edx or'ed) that the host lacks",
                       l->leaf, more)
                : 0;
}

int cpuid_policy_import(struct vcpu *caller, struct domain *d, const struct xen_cpuid_leaf *leaves,
                        uint32_t n)
{
    struct xen_cpuid_leaf *list = d->arch.cpuid;

    for (uint32_t i = 0; i < n; i++)
        if (narrower(caller, &leaves[i]))
            return -EINVAL;
    if (!list)
        list = kalloc(MAX_LEAVES * sizeof(*list));
    if (!list)
        return fail(caller, -ENOMEM, "CPUID policy: no memory for {0} leaves", n, 0);
    /* What is given replaces the host's leaf; what is not stays. */
    memcpy(list, host_policy, nr_host_policy * sizeof(*list));
    for (uint32_t i = 0; i < n; i++)
        for (uint32_t j = 0; j < nr_host_policy; j++)
            if (list[j].leaf == leaves[i].leaf &&
                (list[j].subleaf == leaves[i].subleaf || list[j].subleaf == NO_SUBLEAF))
                list[j] = (struct xen_cpuid_leaf){list[j].leaf, list[j].subleaf, leaves[i].a,
                                                  leaves[i].b,  leaves[i].c,     leaves[i].d};
    d->arch.cpuid = list;
    return 0;
}
