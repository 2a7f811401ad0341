/*
 * The CPU: what it has, how the hypervisor sets it up, and its protections.
 *
 * All CPUs are taken to be alike; boot_cpu describes the first. The entry paths hold places that stay NOPs
 * unless the CPU needs them (STAC/CLAC with SMAP, calls of the speculation thunks): patched once, before text
 * becomes read-only.
 */
#include <bh/cmdline.h>
#include <bh/printk.h>
#include <bh/string.h>
#include <asm/cpufeature.h>
#include <asm/cr.h>
#include <asm/insn.h>
#include <asm/msr.h>
#include <asm/percpu.h>
#include <asm/tlb.h>

#define ARCH_CAP_RDCL_NO  (1u << 0)
#define ARCH_CAP_IBRS_ALL (1u << 1)
#define ARCH_CAP_MDS_NO   (1u << 5)
#define SPEC_CTRL_IBRS    1
#define PRED_CMD_IBPB     1
#define EFER_AUTO_IBRS    (1u << 21)

struct smap_patch {
    uint64_t at, opcode;
};
struct spec_patch {
    uint64_t at, thunk;
};
extern const struct smap_patch smap_patch_start[], smap_patch_end[];
struct retpoline_patch {
    uint64_t at;
    uint8_t bytes[8]; /* four of them */
};
extern const struct spec_patch spec_patch_start[], spec_patch_end[];
extern const struct retpoline_patch retpoline_patch_start[], retpoline_patch_end[];
void spec_entry_thunk(void);
void spec_exit_thunk(void);

struct cpu_features boot_cpu;

/* What spec_entry_thunk and spec_exit_thunk do; constant after boot. */
uint8_t spec_entry_rsb, spec_entry_ibrs, spec_exit_verw;
static bool spec_ibpb, spec_auto_ibrs, spec_ibrs_always, spec_retpoline, spec_meltdown;

static void leaf_words(uint32_t leaf, uint32_t subleaf, int a, int b, int c, int d)
{
    uint32_t r[4];
    const int word[4] = {a, b, c, d};

    cpuid_count(leaf, subleaf, r);
    for (unsigned int i = 0; i < 4; i++)
        if (word[i] >= 0)
            boot_cpu.word[word[i]] = r[i];
}

static void read_identity(void)
{
    uint32_t r[4];

    cpuid_count(0, 0, r);
    boot_cpu.max_leaf = r[0];
    if (r[1] == 0x756e6547)
        boot_cpu.vendor = CPU_INTEL;
    else if (r[1] == 0x68747541 || r[1] == 0x6f677948) /* AMD, Hygon */
        boot_cpu.vendor = CPU_AMD;
    cpuid_count(0x80000000, 0, r);
    boot_cpu.max_extended = r[0];
    cpuid_count(1, 0, r);
    boot_cpu.stepping = r[0] & 0xf;
    boot_cpu.family = r[0] >> 8 & 0xf;
    boot_cpu.model = r[0] >> 4 & 0xf;
    if (boot_cpu.family == 0xf)
        boot_cpu.family += r[0] >> 20 & 0xff;
    if (boot_cpu.family >= 6)
        boot_cpu.model |= r[0] >> 12 & 0xf0;
    boot_cpu.cores_per_socket = boot_cpu.threads_per_core = 1;
    if (r[3] & (1u << 28))
        boot_cpu.cores_per_socket = MAX(r[1] >> 16 & 0xff, 1u);
}

static void read_topology(void)
{
    uint32_t r[4];

    if (boot_cpu.vendor != CPU_INTEL || boot_cpu.max_leaf < 0xb)
        return;
    cpuid_count(0xb, 0, r);
    if ((r[2] >> 8 & 0xff) == 1 && (r[1] & 0xffff))
        boot_cpu.threads_per_core = r[1] & 0xffff;
    cpuid_count(0xb, 1, r);
    if ((r[2] >> 8 & 0xff) == 2 && (r[1] & 0xffff))
        boot_cpu.cores_per_socket = MAX((r[1] & 0xffff) / boot_cpu.threads_per_core, 1u);
}

static uint32_t id_bits(uint32_t n)
{
    return n < 2 ? 0 : 32u - (uint32_t)__builtin_clz(n - 1);
}

struct cpu_place cpu_place(uint32_t apic_id)
{
    uint32_t thread_bits = id_bits(boot_cpu.threads_per_core), core_bits = id_bits(boot_cpu.cores_per_socket);

    return (struct cpu_place){
        .thread = apic_id & ((1u << thread_bits) - 1),
        .core = apic_id >> thread_bits & ((1u << core_bits) - 1),
        .socket = apic_id >> (thread_bits + core_bits),
    };
}

void cpu_vendor_name(char name[12])
{
    uint32_t r[4];

    cpuid_count(0, 0, r);
    memcpy(name, &r[1], 4);
    memcpy(name + 4, &r[3], 4);
    memcpy(name + 8, &r[2], 4);
}

const char *cpu_identify(void)
{
    static const struct {
        unsigned int feature;
        const char *sentence;
    } needed[] = {
        {FEAT_PGE, "this CPU lacks global pages (CPUID 1 EDX bit 13)"},
        {FEAT_PAT, "this CPU lacks the page attribute table (CPUID 1 EDX bit 16)"},
        {FEAT_FXSR, "this CPU lacks FXSAVE (CPUID 1 EDX bit 24)"},
        {FEAT_SSE2, "this CPU lacks SSE2 (CPUID 1 EDX bit 26)"},
        {FEAT_APIC, "this CPU has no local APIC (CPUID 1 EDX bit 9), or the firmware turned it off"},
        {FEAT_TSC, "this CPU has no time stamp counter (CPUID 1 EDX bit 4)"},
        {FEAT_SYSCALL, "this CPU lacks SYSCALL (CPUID 0x80000001 EDX bit 11)"},
        {FEAT_NX, "this CPU lacks the NX bit (CPUID 0x80000001 EDX bit 20), or the firmware turned it off"},
    };
    uint32_t r[4];

    read_identity();
    leaf_words(1, 0, -1, -1, CPUID_1_ECX, CPUID_1_EDX);
    if (boot_cpu.max_leaf >= 7)
        leaf_words(7, 0, -1, CPUID_7_EBX, CPUID_7_ECX, CPUID_7_EDX);
    if (boot_cpu.max_leaf >= 0xd)
        leaf_words(0xd, 1, CPUID_D1_EAX, -1, -1, -1);
    leaf_words(0x80000001, 0, -1, -1, CPUID_E1_ECX, CPUID_E1_EDX);
    if (boot_cpu.max_extended >= 0x80000007)
        leaf_words(0x80000007, 0, -1, -1, -1, CPUID_E7_EDX);
    boot_cpu.physaddr_bits = 36;
    if (boot_cpu.max_extended >= 0x80000008) {
        cpuid_count(0x80000008, 0, r);
        boot_cpu.word[CPUID_E8_EBX] = r[1];
        boot_cpu.physaddr_bits = MIN(r[0] & 0xff, 52u);
    }
    if (boot_cpu.max_extended >= 0x80000021)
        leaf_words(0x80000021, 0, CPUID_E21_EAX, -1, -1, -1);
    read_topology();
    for (unsigned int i = 0; i < ARRAY_SIZE(needed); i++)
        if (!cpu_has(needed[i].feature))
            return needed[i].sentence;
    return NULL;
}

/* ---- patching ---- */

void cpu_patch_smap(void)
{
    if (!cpu_has(FEAT_SMAP) || !options.smap)
        return;
    for (const struct smap_patch *p = smap_patch_start; p < smap_patch_end; p++) {
        uint8_t *at = (uint8_t *)p->at;

        at[0] = 0x0f;
        at[1] = 0x01;
        at[2] = (uint8_t)p->opcode;
    }
}

static void patch_calls(uint64_t thunk)
{
    for (const struct spec_patch *p = spec_patch_start; p < spec_patch_end; p++) {
        uint8_t *at = (uint8_t *)p->at;
        int32_t distance = (int32_t)(p->thunk - (p->at + 5));

        if (p->thunk != thunk)
            continue;
        at[0] = 0xe8;
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

/*
 * Which attacks this CPU is open to. Guests' training of indirect branches is kept from ours by the CPU where it can do so
 * by itself; by IBRS at each entry on Intel's older CPUs; by returns in place of indirect branches on all others.
 */
static void speculation_decide(void)
{
    uint64_t caps = 0;
    bool has_ibrs = cpu_has(FEAT_IBRS_IBPB) || cpu_has(FEAT_AMD_IBRS);

    if (cpu_has(FEAT_ARCH_CAPS) && !rdmsr_safe(MSR_ARCH_CAPABILITIES, &caps))
        caps = 0;
    if (emulated())
        return;
    spec_entry_rsb = 1;
    spec_ibpb = cpu_has(FEAT_IBRS_IBPB) || cpu_has(FEAT_AMD_IBPB);
    spec_auto_ibrs = cpu_has(FEAT_AUTO_IBRS);
    spec_ibrs_always = has_ibrs && !spec_auto_ibrs && (caps & ARCH_CAP_IBRS_ALL);
    spec_entry_ibrs = has_ibrs && boot_cpu.vendor == CPU_INTEL && !spec_ibrs_always;
    spec_retpoline = !spec_auto_ibrs && !spec_ibrs_always && !spec_entry_ibrs;
    if (boot_cpu.vendor != CPU_INTEL)
        return;
    spec_exit_verw = cpu_has(FEAT_MD_CLEAR) && !(caps & ARCH_CAP_MDS_NO);
    spec_meltdown = !(caps & ARCH_CAP_RDCL_NO);
}

void cpu_speculation_init(void)
{
    if (options.spec_ctrl)
        speculation_decide();
    if (spec_entry_rsb || spec_entry_ibrs)
        patch_calls((uint64_t)spec_entry_thunk);
    if (spec_exit_verw || spec_entry_ibrs)
        patch_calls((uint64_t)spec_exit_thunk);
    for (const struct retpoline_patch *p = retpoline_patch_start; spec_retpoline && p < retpoline_patch_end;
         p++)
        memcpy((void *)p->at, p->bytes, 4);
}

bool cpu_speculation_guards_entry(void)
{
    return spec_entry_rsb || spec_entry_ibrs || spec_exit_verw;
}

void cpu_speculation_report(void)
{
    printk(
        LOG_INFO,
        "Speculation: indirect branches %s, return stack refill %s, IBRS %s, IBPB between domains %s, buffer "
        "clearing %s",
        spec_retpoline ? "by return" : "plain", spec_entry_rsb ? "on" : "off",
        spec_auto_ibrs     ? "automatic"
        : spec_ibrs_always ? "always"
        : spec_entry_ibrs  ? "on entry"
                           : "off",
        spec_ibpb ? "on" : "off", spec_exit_verw ? "on" : "off");
    if (spec_meltdown)
        printk(LOG_WARNING, "This CPU lets every program in a PV guest read all memory by speculation "
                            "(Meltdown: Intel without "
                            "RDCL_NO), and there is no protection: run only guests that you trust");
}

void cpu_speculation_switch(void)
{
    if (unlikely(spec_ibpb))
        wrmsr(MSR_PRED_CMD, PRED_CMD_IBPB);
}

/* ---- this CPU's registers ---- */

void cpu_enable_features(void)
{
    uint64_t cr4 = CR4_PAE | CR4_PGE | CR4_DE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    uint64_t efer = rdmsr(MSR_EFER) | EFER_SCE | EFER_NXE;

    if (cpu_has(FEAT_MCE))
        cr4 |= CR4_MCE;
    if (cpu_has(FEAT_FSGSBASE))
        cr4 |= CR4_FSGSBASE;
    if (cpu_has(FEAT_XSAVE))
        cr4 |= CR4_OSXSAVE;
    if (cpu_has(FEAT_SMEP) && options.smep)
        cr4 |= CR4_SMEP;
    if (cpu_has(FEAT_SMAP) && options.smap)
        cr4 |= CR4_SMAP;
    if (cpu_has(FEAT_UMIP) && options.umip)
        cr4 |= CR4_UMIP;
    write_cr0((read_cr0() | CR0_WP | CR0_NE | CR0_MP | CR0_AM) & ~(CR0_EM | CR0_TS));
    write_cr4(cr4);
    this_percpu()->cr4 = cr4;
    this_percpu()->cr0_ts = false;
    wrmsr(MSR_PAT, PAT_VALUE);
    if (cpu_has(FEAT_XSAVE))
        xsetbv(0, boot_cpu.xcr0);
    if (spec_auto_ibrs)
        efer |= EFER_AUTO_IBRS;
    if (spec_ibrs_always)
        wrmsr(MSR_SPEC_CTRL, SPEC_CTRL_IBRS);
    wrmsr(MSR_EFER, efer);
    tlb_flush_all_local();
}
