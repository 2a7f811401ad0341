/*
 * Guards against speculation: which of them this CPU needs, and turning them on.
 *
 * Decided once, on the boot CPU. The entry paths hold places of five bytes that are no-operations, or the plain form of what
 * stands there, until a guard is needed (SPEC_PATCH and SPEC_REPLACE, asm/entry.h); indirect branches have theirs
 * (RETPOLINE_PATCH). Patched before text becomes read-only.
 */
#include <bh/cmdline.h>
#include <bh/domain.h>
#include <bh/printk.h>
#include <bh/string.h>
#include <asm/cpufeature.h>
#include <asm/insn.h>
#include <asm/isolation.h>
#include <asm/mm.h>
#include <asm/msr.h>

#define ARCH_CAP_RDCL_NO    (1u << 0)
#define ARCH_CAP_IBRS_ALL   (1u << 1)
#define ARCH_CAP_MDS_NO     (1u << 5)
#define ARCH_CAP_TAA_NO     (1u << 8)
#define ARCH_CAP_BHI_NO     (1u << 20)
#define ARCH_CAP_RFDS_NO    (1u << 27)
#define ARCH_CAP_RFDS_CLEAR (1u << 28)
#define SPEC_CTRL_IBRS      1
#define SPEC_CTRL_BHI_DIS_S (1u << 10)
#define FAMILY_ZEN3         0x19
#define PRED_CMD_IBPB       1
#define EFER_AUTO_IBRS      (1u << 21)

struct spec_patch {
    uint64_t at, to;
    uint64_t opcode; /* of a call or jump */
};
struct retpoline_patch {
    uint64_t at;
    uint8_t bytes[8]; /* four of them */
};
extern const struct spec_patch spec_patch_start[], spec_patch_end[];
extern const struct retpoline_patch retpoline_patch_start[], retpoline_patch_end[];

/* What the patches lead to. entry.S, entry_pv.S; isolation_page_fault() is C. */
void spec_entry_thunk(void);
void spec_exit_thunk(void);
void pv_syscall_guarded(void);
void spec_handler_entry(void);
void spec_handler_exit(void);

/* What spec_entry_thunk and spec_exit_thunk do; constant after boot. */
uint8_t spec_entry_rsb, spec_entry_ibrs, spec_exit_verw;
static bool spec_ibpb, spec_auto_ibrs, spec_ibrs_always, spec_retpoline, spec_bhi_dis_s;
static uint8_t entry_guards_dom0, entry_guards_domu; /* GUARD_* */

static void patch(uint64_t to)
{
    for (const struct spec_patch *p = spec_patch_start; p < spec_patch_end; p++) {
        uint8_t *at = (uint8_t *)p->at;
        int32_t distance = (int32_t)(p->to - (p->at + 5));

        if (p->to != to)
            continue;
        at[0] = (uint8_t)p->opcode;
        memcpy(at + 1, &distance, sizeof(distance));
    }
}

/* QEMU's translator runs us: nothing is speculated. It says so in the first leaf for hypervisors. */
static bool emulated(void)
{
    uint32_t r[4];

    if (!cpu_has(FEAT_HYPERVISOR))
        return false;
    cpuid_count(0x40000000, 0, r);
    return memcmp(&r[1], "TCGTCGTCGTCG", 12) == 0;
}

/* Buffers keep what the hypervisor read or wrote: MDS, TAA (with TSX), RFDS; VERW empties them. */
static bool buffers_leak(uint64_t caps)
{
    if ((caps & ARCH_CAP_RFDS_CLEAR) && !(caps & ARCH_CAP_RFDS_NO))
        return true;
    return cpu_has(FEAT_MD_CLEAR) &&
           (!(caps & ARCH_CAP_MDS_NO) || (cpu_has(FEAT_RTM) && !(caps & ARCH_CAP_TAA_NO)));
}

/*
 * Returns go where a guest wants: branch type confusion (Retbleed) up to Zen 2, return stack overflow (SRSO) from Zen 3 on.
 * IBPB forgets both; on Zen 3 and 4 with the microcode that AMD made for it.
 */
static bool returns_mistrained(void)
{
    if (boot_cpu.vendor != CPU_AMD)
        return false;
    return boot_cpu.family < FAMILY_ZEN3 ? !cpu_has(FEAT_BTC_NO) : !cpu_has(FEAT_SRSO_NO);
}

/* With IBRS always on, a guest's branches still choose among our own targets by the history they leave (BHI). */
static bool history_mistrained(uint64_t caps)
{
    return boot_cpu.vendor == CPU_INTEL && (caps & ARCH_CAP_IBRS_ALL) && !(caps & ARCH_CAP_BHI_NO);
}

/* A guard that costs much at each entry: for guests where needed, for the control domain, which is trusted, when asked for. */
static void entry_guard(uint8_t guard, uint8_t choice, bool needed)
{
    if (choice == CHOICE_ON)
        entry_guards_dom0 |= guard;
    if (choice == CHOICE_ON || (choice == CHOICE_DEFAULT && needed))
        entry_guards_domu |= guard;
}

/*
 * Guests' training of indirect branches is kept from ours by the CPU where it can do so by itself; by IBRS at each entry on
 * Intel's older CPUs; by returns in place of indirect branches on all others. `open`: the CPU speculates, and may be guarded.
 */
static void speculation_decide(uint64_t caps, bool open)
{
    bool has_ibrs = open && (cpu_has(FEAT_IBRS_IBPB) || cpu_has(FEAT_AMD_IBRS));
    bool has_ibpb = cpu_has(FEAT_IBRS_IBPB) || cpu_has(FEAT_AMD_IBPB);
    bool bhi = open && history_mistrained(caps);

    spec_entry_rsb = open;
    spec_ibpb = open && has_ibpb;
    spec_auto_ibrs = open && cpu_has(FEAT_AUTO_IBRS);
    spec_ibrs_always = has_ibrs && !spec_auto_ibrs && (caps & ARCH_CAP_IBRS_ALL);
    spec_entry_ibrs = has_ibrs && boot_cpu.vendor == CPU_INTEL && !spec_ibrs_always;
    spec_retpoline = open && !spec_auto_ibrs && !spec_ibrs_always && !spec_entry_ibrs;
    spec_exit_verw = open && boot_cpu.vendor == CPU_INTEL && buffers_leak(caps);
    spec_bhi_dis_s = spec_ibrs_always && cpu_has(FEAT_BHI_CTRL) &&
                     (options.bhi_dis_s == CHOICE_DEFAULT ? bhi : options.bhi_dis_s);
    entry_guard(GUARD_BHB, options.bhb_entry, bhi && !spec_bhi_dis_s);
    if (has_ibpb)
        entry_guard(GUARD_IBPB, options.ibpb_entry, open && returns_mistrained());
    isolation_init(open && boot_cpu.vendor != CPU_AMD && !(caps & ARCH_CAP_RDCL_NO));
    l1tf_init(open && boot_cpu.vendor == CPU_INTEL && !(caps & ARCH_CAP_RDCL_NO));
}

void cpu_speculation_init(void)
{
    uint64_t caps = 0;
    bool on_entry, on_exit;

    if (cpu_has(FEAT_ARCH_CAPS) && !rdmsr_safe(MSR_ARCH_CAPABILITIES, &caps))
        caps = 0;
    speculation_decide(caps, options.spec_ctrl && !emulated());
    on_entry = spec_entry_rsb || spec_entry_ibrs || entry_guards_domu || isolation_on;
    on_exit = spec_exit_verw || spec_entry_ibrs || isolation_on;
    if (on_entry)
        patch((uint64_t)spec_entry_thunk);
    if (on_exit)
        patch((uint64_t)spec_exit_thunk);
    if (on_entry || on_exit) {
        patch((uint64_t)pv_syscall_guarded);
        patch((uint64_t)spec_handler_entry);
        patch((uint64_t)spec_handler_exit);
    }
    if (isolation_on)
        patch((uint64_t)isolation_page_fault);
    for (const struct retpoline_patch *p = retpoline_patch_start; spec_retpoline && p < retpoline_patch_end;
         p++)
        memcpy((void *)p->at, p->bytes, 4);
}

uint8_t cpu_speculation_entry_guards(const struct domain *d)
{
    return d == control_domain ? entry_guards_dom0 : entry_guards_domu;
}

static const char *for_whom(uint8_t guard)
{
    return entry_guards_dom0 & guard ? "on" : entry_guards_domu & guard ? "guests only" : "off";
}

void cpu_speculation_report(void)
{
    printk(
        LOG_INFO,
        "Speculation: indirect branches %s, return stack refill %s, IBRS %s, IBPB between domains %s, buffer "
        "clearing %s, page-table isolation %s",
        spec_retpoline ? "by return" : "plain", spec_entry_rsb ? "on" : "off",
        spec_auto_ibrs     ? "automatic"
        : spec_ibrs_always ? "always"
        : spec_entry_ibrs  ? "on entry"
                           : "off",
        spec_ibpb ? "on" : "off", spec_exit_verw ? "on" : "off", isolation_summary());
    printk(LOG_INFO,
           "Speculation: IBPB on entry %s, branch history kept apart by the CPU %s, cleared on entry %s, "
           "not-present entries checked %s",
           for_whom(GUARD_IBPB), spec_bhi_dis_s ? "on" : "off", for_whom(GUARD_BHB), l1tf_summary());
}

void cpu_speculation_switch(void)
{
    if (unlikely(spec_ibpb))
        wrmsr(MSR_PRED_CMD, PRED_CMD_IBPB);
}

void cpu_speculation_enable(void)
{
    if (spec_auto_ibrs)
        wrmsr(MSR_EFER, rdmsr(MSR_EFER) | EFER_AUTO_IBRS);
    if (spec_ibrs_always)
        wrmsr(MSR_SPEC_CTRL, SPEC_CTRL_IBRS | (spec_bhi_dis_s ? SPEC_CTRL_BHI_DIS_S : 0));
}
