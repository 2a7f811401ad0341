/* domctl, the machine's half: register contexts, page-table facts, ports, time stamp counters, CPU policies.
 */
#include <bh/arch.h>
#include <bh/domain.h>
#include <bh/domctl.h>
#include <bh/errno.h>
#include <bh/guest.h>
#include <bh/hypercall.h>
#include <bh/page_alloc.h>
#include <bh/string.h>
#include <asm/context.h>
#include <asm/cpufeature.h>
#include <asm/fpu.h>
#include <asm/pv.h>
#include <asm/time.h>

#define MAX_PORTS        0x10000
#define FRAMES_AT_ONCE   1024
#define TSC_MODE_DEFAULT 0
#define TSC_MODE_NEVER   2

/* Extended state as the ABI moves it: two words, then the XSAVE area. */
#define XSTATE_HEADER 16
#define XSAVE_MXCSR   24 /* offsets in the area */
#define XSAVE_BV      512
#define XSAVE_END     576
#define MXCSR_VALID   0xffffu

void arch_domain_info(const struct domain *d, struct xen_domctl_getdomaininfo *info)
{
    info->gpaddr_bits = (uint8_t)boot_cpu.physaddr_bits;
}

int arch_domain_config_check(struct vcpu *v, const struct xen_domctl_createdomain *config)
{
    if (config->arch.emulation_flags != 0)
        return fail(v, -EINVAL, "createdomain: a PV domain has no emulated devices (flags {0})",
                    config->arch.emulation_flags, 0);
    if (config->arch.misc_flags & ~XEN_X86_MSR_RELAXED)
        return fail(v, -EINVAL, "createdomain: flags {0} are unknown", config->arch.misc_flags, 0);
    return 0;
}

/* A vcpu of another domain, held still with its state in memory until release(). */
static struct vcpu *hold_vcpu(struct vcpu *v, struct domain *d, uint32_t id)
{
    struct vcpu *t = domain_vcpu(d, id);

    if (t == NULL || d == v->domain) {
        fail(v, t == NULL ? -ESRCH : -EINVAL,
             "domctl: vcpu {1} of domain {0} is not there, or the caller's own", d->id, id);
        return NULL;
    }
    vcpu_pause(t);
    vcpu_sync(t);
    return t;
}

static long op_setvcpucontext(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    const struct xen_domctl_vcpucontext *c = &op->u.vcpucontext;
    struct vcpu_guest_context *context = kalloc(sizeof(*context));
    struct vcpu *t;
    long rc;

    if (context == NULL)
        return fail(v, -ENOMEM, "setvcpucontext: no memory for a context", 0, 0);
    if (c->ctxt != 0 && copy_from_guest(v, context, c->ctxt, sizeof(*context)) != 0) {
        kfree(context);
        return fail(v, -EFAULT, "setvcpucontext: context at {0} is not readable", c->ctxt, 0);
    }
    t = hold_vcpu(v, d, c->vcpu);
    if (t == NULL) {
        kfree(context);
        return -ESRCH;
    }
    if (c->ctxt == 0) {
        arch_vcpu_reset(t);
        rc = 0;
    } else {
        rc = pv_set_context(v, t, context);
    }
    vcpu_unpause(t);
    if (rc == 0 && c->ctxt != 0 && (context->flags & VGCF_online))
        sched_vcpu_online(t, true);
    kfree(context);
    return rc;
}

static long op_getvcpucontext(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    const struct xen_domctl_vcpucontext *c = &op->u.vcpucontext;
    struct vcpu_guest_context *context;
    struct vcpu *t = hold_vcpu(v, d, c->vcpu);
    bool initialised;
    long rc = 0;

    if (t == NULL)
        return -ESRCH;
    context = kalloc(sizeof(*context));
    initialised = t->initialised;
    if (context != NULL && initialised)
        pv_get_context(t, context);
    vcpu_unpause(t);
    if (context == NULL)
        return fail(v, -ENOMEM, "getvcpucontext: no memory for a context", 0, 0);
    if (!initialised)
        rc = fail(v, -ENODATA, "getvcpucontext: vcpu {1} of domain {0} has no context yet", d->id, c->vcpu);
    else if (copy_to_guest(v, c->ctxt, context, sizeof(*context)) != 0)
        rc = fail(v, -EFAULT, "getvcpucontext: context at {0} is not writable", c->ctxt, 0);
    kfree(context);
    return rc;
}

static uint64_t frame_type(struct domain *d, uint64_t frame)
{
    struct page_info *pg;
    uint64_t type, level;

    if (frame == INVALID_FRAME || (pg = get_page_from_mfn(MFN(frame), d)) == NULL)
        return XEN_DOMCTL_PFINFO_XTAB;
    type = atomic_load_explicit(&pg->type, memory_order_relaxed);
    put_page(pg);
    level = (type & PGT_type_mask) >> PGT_shift;
    if (level < 1 || level > 4)
        return XEN_DOMCTL_PFINFO_NOTAB;
    return level << XEN_DOMCTL_PFINFO_LTAB_SHIFT | (type & PGT_pinned ? XEN_DOMCTL_PFINFO_LPINTAB : 0);
}

static long op_getpageframeinfo3(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    const struct xen_domctl_getpageframeinfo3 *p = &op->u.getpageframeinfo3;
    uint64_t part[32];

    if (p->num > FRAMES_AT_ONCE)
        return fail(v, -E2BIG, "getpageframeinfo3: {0} frames at once, at most {1}", p->num, FRAMES_AT_ONCE);
    for (uint64_t i = 0; i < p->num; i += ARRAY_SIZE(part)) {
        size_t n = MIN(p->num - i, ARRAY_SIZE(part));
        uint64_t at = p->array + i * sizeof(part[0]);

        if (copy_from_guest(v, part, at, n * sizeof(part[0])) != 0)
            return fail(v, -EFAULT, "getpageframeinfo3: array at {0} is not readable", at, 0);
        for (size_t k = 0; k < n; k++)
            part[k] = frame_type(d, part[k]);
        if (copy_to_guest(v, at, part, n * sizeof(part[0])) != 0)
            return fail(v, -EFAULT, "getpageframeinfo3: array at {0} is not writable", at, 0);
    }
    return 0;
}

static long op_hypercall_init(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    mfn_t mfn = MFN(op->u.hypercall_init.gmfn);

    if (!mfn_valid(mfn) || !get_page_writable(mfn_to_page(mfn), d))
        return fail(v, -EACCES, "hypercall_init: frame {0} is no writable page of domain {1}", mfn.n, d->id);
    pv_hypercall_page(arch_map(mfn));
    put_page_writable(mfn_to_page(mfn));
    return 0;
}

static long op_ioport_permission(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    const struct xen_domctl_ioport_permission *p = &op->u.ioport_permission;
    uint64_t last = (uint64_t)p->first_port + p->nr_ports - 1;

    if (p->nr_ports == 0 || last >= MAX_PORTS)
        return fail(v, -EINVAL, "ioport_permission: {1} ports from {0} are no range", p->first_port,
                    p->nr_ports);
    if (!rangeset_contains(v->domain->arch.ioport_caps, p->first_port, last))
        return fail(v, -EPERM,
                    "ioport_permission: the caller has no right to all ports from {0} to {1} itself",
                    p->first_port, last);
    return p->allow_access ? rangeset_add(d->arch.ioport_caps, p->first_port, last)
                           : rangeset_remove(d->arch.ioport_caps, p->first_port, last);
}

static long op_set_address_size(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    uint32_t size = op->u.address_size.size;

    return size == 64 ? 0
                      : fail(v, -EINVAL, "set_address_size: {0} bits: PV domains are 64-bit (domain {1})",
                             size, d->id);
}

static long op_get_address_size(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    op->u.address_size.size = 64;
    return 0;
}

static long op_sendtrigger(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    const struct xen_domctl_sendtrigger *s = &op->u.sendtrigger;

    if (s->trigger != XEN_DOMCTL_SENDTRIGGER_NMI)
        return fail(v, -ENOSYS, "sendtrigger: trigger {0}: a PV domain takes an NMI (0) alone", s->trigger,
                    0);
    if (domctl_vcpu(v, d, s->vcpu) == NULL)
        return -ESRCH;
    pv_send_nmi(d->vcpu[s->vcpu]);
    return 0;
}

/* PV domains read the machine's counter, scaled by what their time page says. */
static long op_settscinfo(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    const struct xen_domctl_tsc_info *t = &op->u.tsc_info;

    if (t->tsc_mode != TSC_MODE_DEFAULT && t->tsc_mode != TSC_MODE_NEVER)
        return fail(v, -EOPNOTSUPP, "settscinfo: mode {0}: the counter is not emulated (0 and 2 are offered)",
                    t->tsc_mode, 0);
    d->arch.tsc_mode = t->tsc_mode;
    d->arch.tsc_offset = arch_now() - t->elapsed_nsec;
    d->arch.tsc_incarnation = t->incarnation + 1;
    return 0;
}

static long op_gettscinfo(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    op->u.tsc_info = (struct xen_domctl_tsc_info){
        .tsc_mode = d->arch.tsc_mode,
        .gtsc_khz = (uint32_t)tsc_khz,
        .incarnation = d->arch.tsc_incarnation,
        .elapsed_nsec = arch_now() - d->arch.tsc_offset,
    };
    return 0;
}

/* --- CPU policies --- */

static long op_get_cpu_policy(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_cpu_policy *p = &op->u.cpu_policy;

    return cpuid_policy_copy(v, d, p->leaves, &p->nr_leaves, p->msrs, &p->nr_msrs);
}

/* MSRs of the policy: we know one, which reads zero. */
static int check_msrs(struct vcpu *v, struct xen_domctl_cpu_policy *p)
{
    struct xen_msr_entry msr;

    for (uint32_t i = 0; i < MIN(p->nr_msrs, 64u); i++) {
        if (copy_from_guest(v, &msr, p->msrs + i * sizeof(msr), sizeof(msr)) != 0)
            return fail(v, -EFAULT, "set_cpu_policy: MSRs at {0} are not readable", p->msrs, 0);
        if (msr.flags != 0 || msr.val != 0) {
            p->err_msr = msr.idx;
            return fail(v, -EINVAL, "set_cpu_policy: MSR {0} cannot be {1}: zero is offered", msr.idx,
                        msr.val);
        }
    }
    return p->nr_msrs <= 64 ? 0 : fail(v, -E2BIG, "set_cpu_policy: {0} MSRs", p->nr_msrs, 0);
}

static long op_set_cpu_policy(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_cpu_policy *p = &op->u.cpu_policy;
    struct xen_cpuid_leaf *leaves;
    long rc;

    p->err_leaf = p->err_subleaf = p->err_msr = ~0u;
    if (d == v->domain || d->is_shut_down || d->state >= DOMAIN_DYING)
        return fail(v, -EINVAL, "set_cpu_policy: domain {0} is the caller's own, or ended", d->id, 0);
    if (p->nr_leaves > CPUID_LEAVES_MAX)
        return fail(v, -E2BIG, "set_cpu_policy: {0} leaves, at most {1}", p->nr_leaves, CPUID_LEAVES_MAX);
    rc = check_msrs(v, p);
    if (rc != 0)
        return rc;
    leaves = kalloc(CPUID_LEAVES_MAX * sizeof(*leaves));
    if (leaves == NULL)
        return fail(v, -ENOMEM, "set_cpu_policy: no memory for the leaves", 0, 0);
    if (copy_from_guest(v, leaves, p->leaves, p->nr_leaves * sizeof(*leaves)) != 0) {
        rc = fail(v, -EFAULT, "set_cpu_policy: leaves at {0} are not readable", p->leaves, 0);
    } else {
        domain_pause(d);
        rc = cpuid_policy_import(v, d, leaves, p->nr_leaves);
        domain_unpause(d);
    }
    kfree(leaves);
    return rc;
}

/* --- State beyond the register context --- */

static long op_get_ext_vcpucontext(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_ext_vcpucontext *e = &op->u.ext_vcpucontext;
    uint32_t id = e->vcpu;
    struct vcpu *t = domctl_vcpu(v, d, id);

    if (t == NULL)
        return -ESRCH;
    *e = (struct xen_domctl_ext_vcpucontext){
        .vcpu = id,
        .size = sizeof(*e),
        .syscall32_callback_eip = t->arch.pv.syscall32_callback,
        .syscall32_disables_events = t->arch.pv.syscall32_mask_events,
        .sysenter_callback_eip = t->arch.pv.sysenter_callback,
        .sysenter_disables_events = t->arch.pv.sysenter_mask_events,
    };
    return 0;
}

static long op_set_ext_vcpucontext(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    const struct xen_domctl_ext_vcpucontext *e = &op->u.ext_vcpucontext;
    struct vcpu *t;

    if (e->size < offsetof(struct xen_domctl_ext_vcpucontext, mcg_cap) ||
        !is_guest_address(e->syscall32_callback_eip) || !is_guest_address(e->sysenter_callback_eip))
        return fail(v, -EINVAL,
                    "set_ext_vcpucontext: size {0} is too small, or a callback ({1}) is no guest address",
                    e->size, e->syscall32_callback_eip);
    t = hold_vcpu(v, d, e->vcpu);
    if (t == NULL)
        return -ESRCH;
    t->arch.pv.syscall32_callback = e->syscall32_callback_eip;
    t->arch.pv.syscall32_mask_events = e->syscall32_disables_events != 0;
    t->arch.pv.sysenter_callback = e->sysenter_callback_eip;
    t->arch.pv.sysenter_mask_events = e->sysenter_disables_events != 0;
    vcpu_unpause(t);
    return 0;
}

static long op_getvcpuextstate(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_vcpuextstate *e = &op->u.vcpuextstate;
    uint64_t need = boot_cpu.xcr0 != 0 ? XSTATE_HEADER + boot_cpu.xsave_size : 0, header[2];
    struct vcpu *t = hold_vcpu(v, d, e->vcpu);
    long rc = 0;

    if (t == NULL)
        return -ESRCH;
    header[0] = header[1] = t->arch.xcr0;
    if (e->size == 0 && e->xfeature_mask == 0) {
        e->xfeature_mask = boot_cpu.xcr0;
        e->size = need;
    } else if (e->size != need || e->xfeature_mask != boot_cpu.xcr0) {
        rc = fail(v, -EINVAL, "getvcpuextstate: {0} bytes asked, the state has {1}", e->size, need);
    } else if (need != 0 &&
               (copy_to_guest(v, e->buffer, header, sizeof(header)) != 0 ||
                copy_to_guest(v, e->buffer + XSTATE_HEADER, t->arch.fpu, boot_cpu.xsave_size) != 0)) {
        rc = fail(v, -EFAULT, "getvcpuextstate: buffer at {0} is not writable", e->buffer, 0);
    }
    vcpu_unpause(t);
    return rc;
}

/* Whether the CPU would load the area without a fault. */
static bool area_valid(const uint8_t *area, uint64_t xcr0)
{
    uint64_t bv[8];
    uint32_t mxcsr;

    memcpy(bv, area + XSAVE_BV, sizeof(bv));
    memcpy(&mxcsr, area + XSAVE_MXCSR, sizeof(mxcsr));
    for (size_t i = 1; i < ARRAY_SIZE(bv); i++)
        if (bv[i] != 0)
            return false;
    return !(bv[0] & ~xcr0) && !(mxcsr & ~MXCSR_VALID);
}

static long op_setvcpuextstate(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    const struct xen_domctl_vcpuextstate *e = &op->u.vcpuextstate;
    uint64_t header[2];
    struct vcpu *t;
    uint8_t *area;
    size_t bytes;
    long rc = 0;

    if (boot_cpu.xcr0 == 0 || e->size < XSTATE_HEADER + XSAVE_END ||
        e->size > XSTATE_HEADER + boot_cpu.xsave_size)
        return fail(v, -EINVAL, "setvcpuextstate: {0} bytes are not between {1} and what the CPU has",
                    e->size, XSTATE_HEADER + XSAVE_END);
    bytes = e->size - XSTATE_HEADER;
    area = kalloc(FPU_AREA_SIZE);
    if (area == NULL)
        return fail(v, -ENOMEM, "setvcpuextstate: no memory for {0} bytes", e->size, 0);
    if (copy_from_guest(v, header, e->buffer, sizeof(header)) != 0 ||
        copy_from_guest(v, area, e->buffer + XSTATE_HEADER, bytes) != 0)
        rc = fail(v, -EFAULT, "setvcpuextstate: buffer at {0} is not readable", e->buffer, 0);
    else if (!fpu_xcr0_valid(header[0]) || (header[1] & ~boot_cpu.xcr0) || !area_valid(area, boot_cpu.xcr0))
        rc = fail(v, -EINVAL, "setvcpuextstate: XCR0 {0}, or the header of the area, is not valid", header[0],
                  0);
    t = rc == 0 ? hold_vcpu(v, d, e->vcpu) : NULL;
    if (t != NULL) {
        memcpy(t->arch.fpu, area, bytes);
        t->arch.xcr0 = header[0];
        vcpu_unpause(t);
    } else if (rc == 0) {
        rc = -ESRCH;
    }
    kfree(area);
    return rc;
}

/* PV guests own no MSR whose value would have to move. */
static long op_get_vcpu_msrs(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    if (domctl_vcpu(v, d, op->u.vcpu_msrs.vcpu) == NULL)
        return -ESRCH;
    op->u.vcpu_msrs.msr_count = 0;
    return 0;
}

static long op_set_vcpu_msrs(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    uint32_t count = op->u.vcpu_msrs.msr_count;

    op->u.vcpu_msrs.msr_count = 0; /* the index of the first one refused */
    return count == 0 ? 0 : fail(v, -EINVAL, "set_vcpu_msrs: {0} MSRs: a PV vcpu has none", count, 0);
}

/* --- Paging memory: PV domains have none --- */

static long op_shadow_op(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    struct xen_domctl_shadow_op *s = &op->u.shadow_op;

    switch (s->op) {
    case XEN_DOMCTL_SHADOW_OP_OFF:
        return 0;
    case XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION:
        s->mb = 0;
        return 0;
    case XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION:
        return s->mb == 0 ? 0
                          : fail(v, -EOPNOTSUPP, "shadow_op: {1} MiB: PV domain {0} has no paging memory",
                                 d->id, s->mb);
    default:
        return fail(v, -EOPNOTSUPP, "shadow_op: operation {0} (dirty logging, shadow modes) is not offered",
                    s->op, 0);
    }
}

static long op_get_paging_mempool(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    op->u.paging_mempool.size = 0;
    return 0;
}

static long op_set_paging_mempool(struct vcpu *v, struct domain *d, struct xen_domctl *op)
{
    uint64_t size = op->u.paging_mempool.size;

    return size == 0
               ? 0
               : fail(v, -EOPNOTSUPP,
                      "set_paging_mempool_size: {1} bytes: PV domain {0} has no paging memory", d->id, size);
}

static const struct domctl_row rows[] = {
    [XEN_DOMCTL_setvcpucontext] = {op_setvcpucontext, 0},
    [XEN_DOMCTL_getvcpucontext] = {op_getvcpucontext, 0},
    [XEN_DOMCTL_getpageframeinfo3] = {op_getpageframeinfo3, 0},
    [XEN_DOMCTL_hypercall_init] = {op_hypercall_init, 0},
    [XEN_DOMCTL_ioport_permission] = {op_ioport_permission, 0},
    [XEN_DOMCTL_set_address_size] = {op_set_address_size, 0},
    [XEN_DOMCTL_get_address_size] = {op_get_address_size, DOMCTL_COPY},
    [XEN_DOMCTL_sendtrigger] = {op_sendtrigger, 0},
    [XEN_DOMCTL_settscinfo] = {op_settscinfo, DOMCTL_OTHER},
    [XEN_DOMCTL_gettscinfo] = {op_gettscinfo, DOMCTL_COPY},
    [XEN_DOMCTL_get_cpu_policy] = {op_get_cpu_policy, DOMCTL_COPY},
    [XEN_DOMCTL_set_cpu_policy] = {op_set_cpu_policy, DOMCTL_COPY},
    [XEN_DOMCTL_get_ext_vcpucontext] = {op_get_ext_vcpucontext, DOMCTL_COPY},
    [XEN_DOMCTL_set_ext_vcpucontext] = {op_set_ext_vcpucontext, 0},
    [XEN_DOMCTL_getvcpuextstate] = {op_getvcpuextstate, DOMCTL_COPY},
    [XEN_DOMCTL_setvcpuextstate] = {op_setvcpuextstate, 0},
    [XEN_DOMCTL_get_vcpu_msrs] = {op_get_vcpu_msrs, DOMCTL_COPY},
    [XEN_DOMCTL_set_vcpu_msrs] = {op_set_vcpu_msrs, DOMCTL_COPY},
    [XEN_DOMCTL_shadow_op] = {op_shadow_op, DOMCTL_COPY},
    [XEN_DOMCTL_get_paging_mempool_size] = {op_get_paging_mempool, DOMCTL_COPY},
    [XEN_DOMCTL_set_paging_mempool_size] = {op_set_paging_mempool, 0},
};

const struct domctl_row *arch_domctl(uint32_t cmd)
{
    return cmd < ARRAY_SIZE(rows) && rows[cmd].handler != NULL ? &rows[cmd] : NULL;
}
