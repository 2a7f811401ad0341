/* sysctl, the machine's half: CPUs, their features and topology, PCI devices. */
#include <bh/arch.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/guest.h>
#include <bh/hypercall.h>
#include <bh/page_alloc.h>
#include <asm/cpufeature.h>
#include <asm/pci.h>
#include <asm/percpu.h>
#include <asm/pv.h>
#include <asm/setup.h>
#include <asm/smp.h>
#include <asm/time.h>
#include <public/sysctl.h>

#define DEVICES_A_TURN 32

/* Feature words in the order of the ABI's feature sets; see word_of(). */
#define NR_FEATURE_WORDS 16

static long op_physinfo(struct vcpu *v, struct domain *self, void *arg)
{
    static const uint8_t words[8] = {CPUID_1_EDX,  CPUID_1_ECX, CPUID_E1_EDX, CPUID_E1_ECX,
                                     CPUID_D1_EAX, CPUID_7_EBX, CPUID_7_ECX,  CPUID_E7_EDX};
    struct xen_sysctl_physinfo *p = arg;

    *p = (struct xen_sysctl_physinfo){
        .threads_per_core = boot_cpu.threads_per_core,
        .cores_per_socket = boot_cpu.cores_per_socket,
        .nr_cpus = (uint32_t)__builtin_popcountl(cpupool_cpus_in_service()),
        .max_cpu_id = arch_nr_cpus() - 1,
        .nr_nodes = 1,
        .max_node_id = 0,
        .cpu_khz = (uint32_t)tsc_khz,
        .capabilities = XEN_SYSCTL_PHYSCAP_pv | XEN_SYSCTL_PHYSCAP_gnttab_v1 | XEN_SYSCTL_PHYSCAP_gnttab_v2,
        .total_pages = page_counts.total,
        .free_pages = page_counts.free,
        .scrub_pages = page_counts.dirty,
        .outstanding_pages = page_counts.claimed,
        .max_mfn = max_page - 1,
    };
    for (uint32_t i = 0; i < ARRAY_SIZE(words); i++)
        p->hw_cap[i] = boot_cpu.word[words[i]];
    return 0;
}

static long op_cputopoinfo(struct vcpu *v, struct domain *self, void *arg)
{
    struct xen_sysctl_cputopoinfo *t = arg;
    uint32_t nr = arch_nr_cpus();

    for (uint32_t cpu = 0; t->cputopo != 0 && cpu < MIN(nr, t->num_cpus); cpu++) {
        struct xen_sysctl_cputopo c = {XEN_INVALID_CORE_ID, XEN_INVALID_SOCKET_ID, XEN_INVALID_NODE_ID};

        if (cpupool_cpus_in_service() & CPUMASK(cpu)) {
            struct cpu_place place = cpu_place(percpu_of(cpu)->apic_id);

            c = (struct xen_sysctl_cputopo){place.core, place.socket, 0};
        }
        if (copy_to_guest(v, t->cputopo + cpu * sizeof(c), &c, sizeof(c)) != 0)
            return fail(v, -EFAULT, "sysctl: cputopoinfo: array at {0} is not writable", t->cputopo, 0);
    }
    t->num_cpus = t->cputopo != 0 ? MIN(nr, t->num_cpus) : nr;
    return 0;
}

static long op_pcitopoinfo(struct vcpu *v, struct domain *self, void *arg)
{
    struct xen_sysctl_pcitopoinfo *t = arg;

    for (uint32_t i = 0; i < t->num_devs; i++) {
        struct physdev_pci_device dev;
        uint32_t node;

        if (copy_from_guest(v, &dev, t->devs + i * sizeof(dev), sizeof(dev)) != 0)
            return fail(v, -EFAULT, "sysctl: pcitopoinfo: device {1} at {0} is not readable", t->devs, i);
        node = (pci_read((struct pci_address){dev.seg, dev.bus, dev.devfn}, 0, 2) & 0xffff) == 0xffff
                   ? XEN_INVALID_DEV
                   : XEN_INVALID_NODE_ID;
        if (copy_to_guest(v, t->nodes + i * sizeof(node), &node, sizeof(node)) != 0)
            return fail(v, -EFAULT, "sysctl: pcitopoinfo: array at {0} is not writable", t->nodes, 0);
        if (i + 1 < t->num_devs && (i + 1) % DEVICES_A_TURN == 0 && hypercall_preempt_check()) {
            t->num_devs = i + 1; /* the caller goes on from there */
            break;
        }
    }
    return 0;
}

long cpu_hotplug(struct vcpu *v, uint32_t cpu, bool online)
{
    int rc;

    if (cpu == 0 && !online)
        return fail(v, -EINVAL, "CPU 0 takes the machine's own interrupts and stays online", 0, 0);
    rc = online ? cpupool_cpu_online(cpu) : cpupool_cpu_offline(cpu);
    if (rc == -EBUSY)
        return fail(v, rc, "CPU {0} is the last one of a pool that has domains", cpu, 0);
    if (rc != 0)
        return fail(v, rc, "CPU {0} does not run: {1} were started at boot (see maxcpus), or it is offline",
                    cpu, arch_nr_cpus());
    return 0;
}

static long op_cpu_hotplug(struct vcpu *v, struct domain *self, void *arg)
{
    const struct xen_sysctl_cpu_hotplug *h = arg;

    if (h->op > XEN_SYSCTL_CPU_HOTPLUG_OFFLINE)
        return fail(v, -EOPNOTSUPP,
                    "sysctl: cpu_hotplug: operation {0}: threads are not switched by themselves", h->op, 0);
    return cpu_hotplug(v, h->cpu, h->op == XEN_SYSCTL_CPU_HOTPLUG_ONLINE);
}

/* We level CPUID by emulating it for kernels; we do not mask it in hardware. */
static long op_levelling_caps(struct vcpu *v, struct domain *self, void *arg)
{
    ((struct xen_sysctl_cpu_levelling_caps *)arg)->caps = 0;
    return 0;
}

/* Word i of the feature set of what a PV guest may see. */
static uint32_t feature_word(uint32_t i)
{
    enum { A, B, C, D };
    static const struct {
        uint32_t leaf, subleaf;
        uint8_t reg;
    } from[NR_FEATURE_WORDS] = {
        {1, 0, D},          {1, 0, C}, {0x80000001, 0, D}, {0x80000001, 0, C},
        {0xd, 1, A},        {7, 0, B}, {7, 0, C},          {0x80000007, 0, D},
        {0x80000008, 0, B}, {7, 0, D}, {7, 1, A},          {0x80000021, 0, A},
        {7, 1, B},          {7, 2, D}, {7, 1, C},          {7, 1, D},
    };

    const struct xen_cpuid_leaf *l = cpuid_policy_leaf(NULL, from[i].leaf, from[i].subleaf);

    if (l == NULL)
        return 0;
    return from[i].reg == A ? l->a : from[i].reg == B ? l->b : from[i].reg == C ? l->c : l->d;
}

static long op_cpu_featureset(struct vcpu *v, struct domain *self, void *arg)
{
    struct xen_sysctl_cpu_featureset *f = arg;
    uint32_t word, have = MIN(f->nr_features, (uint32_t)NR_FEATURE_WORDS);

    if (f->index > XEN_SYSCTL_cpu_featureset_hvm_max || f->index == XEN_SYSCTL_cpu_featureset_hvm ||
        f->index == XEN_SYSCTL_cpu_featureset_hvm_max)
        return fail(v, f->index > XEN_SYSCTL_cpu_featureset_hvm_max ? -EINVAL : -EOPNOTSUPP,
                    "sysctl: cpu_featureset: there is no feature set {0}", f->index, 0);
    if (f->features == 0) {
        f->nr_features = NR_FEATURE_WORDS;
        return 0;
    }
    for (uint32_t i = 0; i < have; i++) {
        word = feature_word(i);
        if (copy_to_guest(v, f->features + i * sizeof(word), &word, sizeof(word)) != 0)
            return fail(v, -EFAULT, "sysctl: cpu_featureset: array at {0} is not writable", f->features, 0);
    }
    if (f->nr_features < NR_FEATURE_WORDS)
        return fail(v, -ENOBUFS, "sysctl: cpu_featureset: {0} words are fewer than {1}", f->nr_features,
                    NR_FEATURE_WORDS);
    f->nr_features = have;
    return 0;
}

static long op_cpu_policy(struct vcpu *v, struct domain *self, void *arg)
{
    struct xen_sysctl_cpu_policy *p = arg;
    long rc;

    if (p->_rsvd != 0 || p->index > XEN_SYSCTL_cpu_policy_hvm_default ||
        p->index == XEN_SYSCTL_cpu_policy_hvm_max || p->index == XEN_SYSCTL_cpu_policy_hvm_default)
        return fail(v, p->index > XEN_SYSCTL_cpu_policy_hvm_default ? -EINVAL : -EOPNOTSUPP,
                    "sysctl: cpu_policy: there is no policy {0}", p->index, 0);
    rc = cpuid_policy_copy(v, NULL, p->leaves, &p->nr_leaves, p->msrs, &p->nr_msrs);
    if (p->leaves == 0)
        p->nr_leaves = CPUID_LEAVES_MAX;
    if (p->msrs == 0)
        p->nr_msrs = MSR_ENTRIES_MAX;
    return rc;
}

static const struct subop ops[] = {
    [XEN_SYSCTL_physinfo] = SUBOP(op_physinfo, xen_sysctl_physinfo, ARG_OUT),
    [XEN_SYSCTL_cpu_hotplug] = SUBOP(op_cpu_hotplug, xen_sysctl_cpu_hotplug, ARG_IN),
    [XEN_SYSCTL_cputopoinfo] = SUBOP(op_cputopoinfo, xen_sysctl_cputopoinfo, ARG_INOUT),
    [XEN_SYSCTL_pcitopoinfo] = SUBOP(op_pcitopoinfo, xen_sysctl_pcitopoinfo, ARG_INOUT),
    [XEN_SYSCTL_get_cpu_levelling_caps] = SUBOP(op_levelling_caps, xen_sysctl_cpu_levelling_caps, ARG_OUT),
    [XEN_SYSCTL_get_cpu_featureset] = SUBOP(op_cpu_featureset, xen_sysctl_cpu_featureset, ARG_INOUT),
    [XEN_SYSCTL_get_cpu_policy] = SUBOP(op_cpu_policy, xen_sysctl_cpu_policy, ARG_INOUT),
};

long arch_sysctl(struct vcpu *v, uint32_t cmd, uint64_t untrusted_arg)
{
    return subop_dispatch(v, ops, ARRAY_SIZE(ops), cmd, untrusted_arg);
}
