/*
 * The CPU: what it has, how the hypervisor sets it up, and its protections.
 *
 * All CPUs are taken to be alike; boot_cpu describes the first. The entry paths hold places that stay NOPs unless the CPU has
 * SMAP (STAC/CLAC): patched once, before text becomes read-only.
 */
#include <bh/cmdline.h>
#include <bh/printk.h>
#include <bh/string.h>
#include <asm/cpufeature.h>
#include <asm/cr.h>
#include <asm/insn.h>
#include <asm/isolation.h>
#include <asm/msr.h>
#include <asm/percpu.h>
#include <asm/tlb.h>

struct smap_patch {
    uint64_t at, opcode;
};
extern const struct smap_patch smap_patch_start[], smap_patch_end[];

struct cpu_features boot_cpu;

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
    if (boot_cpu.max_leaf >= 7) {
        leaf_words(7, 0, -1, CPUID_7_EBX, CPUID_7_ECX, CPUID_7_EDX);
        leaf_words(7, 2, -1, -1, -1, CPUID_72_EDX); /* zeroes where there is no such subleaf */
    }
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

/* ---- this CPU's registers ---- */

void cpu_enable_features(void)
{
    uint64_t cr4 = CR4_PAE | CR4_DE | CR4_OSFXSR | CR4_OSXMMEXCPT;
    uint64_t efer = rdmsr(MSR_EFER) | EFER_SCE | EFER_NXE;

    if (!isolation_on) /* or what a guest's root does not map would stay in the TLB */
        cr4 |= CR4_PGE;
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
    this_percpu()->cr0_ts = false;
    wrmsr(MSR_PAT, PAT_VALUE);
    if (cpu_has(FEAT_XSAVE))
        xsetbv(0, boot_cpu.xcr0);
    wrmsr(MSR_EFER, efer);
    cpu_speculation_enable();
    tlb_flush_all_local();
}
