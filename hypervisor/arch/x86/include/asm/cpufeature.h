/*
 * What the boot CPU's CPUID says; fixed before the first guest runs. Raw leaves for whoever makes policies
 * (pv/cpuid.c), bits for the machine's own use.
 */
#ifndef ASM_CPUFEATURE_H
#define ASM_CPUFEATURE_H

#include <bh/types.h>
#include <asm/insn.h>

/* word * 32 + bit of boot_cpu.word[] */
enum {
    CPUID_1_EDX,
    CPUID_1_ECX,
    CPUID_7_EBX,
    CPUID_7_ECX,
    CPUID_7_EDX,
    CPUID_E1_EDX, /* 0x80000001 */
    CPUID_E1_ECX,
    CPUID_E7_EDX,  /* 0x80000007 */
    CPUID_E8_EBX,  /* 0x80000008 */
    CPUID_D1_EAX,  /* 0xd subleaf 1 */
    CPUID_E21_EAX, /* 0x80000021 */
    CPUID_72_EDX,  /* 7 subleaf 2 */
    CPUID_WORDS,
};
#define FEATURE(word, bit) ((word)*32 + (bit))
#define FEAT_TSC           FEATURE(CPUID_1_EDX, 4)
#define FEAT_MCE           FEATURE(CPUID_1_EDX, 7)
#define FEAT_APIC          FEATURE(CPUID_1_EDX, 9)
#define FEAT_PGE           FEATURE(CPUID_1_EDX, 13)
#define FEAT_MCA           FEATURE(CPUID_1_EDX, 14)
#define FEAT_PAT           FEATURE(CPUID_1_EDX, 16)
#define FEAT_FXSR          FEATURE(CPUID_1_EDX, 24)
#define FEAT_SSE2          FEATURE(CPUID_1_EDX, 26)
#define FEAT_X2APIC        FEATURE(CPUID_1_ECX, 21)
#define FEAT_TSC_DEADLINE  FEATURE(CPUID_1_ECX, 24)
#define FEAT_XSAVE         FEATURE(CPUID_1_ECX, 26)
#define FEAT_HYPERVISOR    FEATURE(CPUID_1_ECX, 31)
#define FEAT_FSGSBASE      FEATURE(CPUID_7_EBX, 0)
#define FEAT_RTM           FEATURE(CPUID_7_EBX, 11)
#define FEAT_SMEP          FEATURE(CPUID_7_EBX, 7)
#define FEAT_SMAP          FEATURE(CPUID_7_EBX, 20)
#define FEAT_UMIP          FEATURE(CPUID_7_ECX, 2)
#define FEAT_MD_CLEAR      FEATURE(CPUID_7_EDX, 10)
#define FEAT_IBRS_IBPB     FEATURE(CPUID_7_EDX, 26)
#define FEAT_ARCH_CAPS     FEATURE(CPUID_7_EDX, 29)
#define FEAT_SYSCALL       FEATURE(CPUID_E1_EDX, 11)
#define FEAT_NX            FEATURE(CPUID_E1_EDX, 20)
#define FEAT_PAGE1GB       FEATURE(CPUID_E1_EDX, 26)
#define FEAT_RDTSCP        FEATURE(CPUID_E1_EDX, 27)
#define FEAT_INVARIANT_TSC FEATURE(CPUID_E7_EDX, 8)
#define FEAT_AMD_IBPB      FEATURE(CPUID_E8_EBX, 12)
#define FEAT_AMD_IBRS      FEATURE(CPUID_E8_EBX, 14)
#define FEAT_BTC_NO        FEATURE(CPUID_E8_EBX, 29)
#define FEAT_AUTO_IBRS     FEATURE(CPUID_E21_EAX, 8)
#define FEAT_SRSO_NO       FEATURE(CPUID_E21_EAX, 29)
#define FEAT_BHI_CTRL      FEATURE(CPUID_72_EDX, 4)

enum cpu_vendor { CPU_OTHER, CPU_INTEL, CPU_AMD };

struct cpu_features {
    enum cpu_vendor vendor;
    uint32_t family, model, stepping;
    uint32_t max_leaf, max_extended;
    uint32_t word[CPUID_WORDS];
    uint32_t physaddr_bits;
    uint32_t threads_per_core, cores_per_socket;
    uint64_t xcr0; /* enabled; 0: FXSAVE only */
    uint32_t xsave_size;
};
extern struct cpu_features boot_cpu;

static inline bool cpu_has(unsigned int feature)
{
    return boot_cpu.word[feature / 32] >> (feature % 32) & 1;
}

struct domain;

/* Where a CPU sits, by its APIC id: threads, then cores, then sockets, each in as many bits as their number needs. */
struct cpu_place {
    uint32_t socket, core, thread;
};
struct cpu_place cpu_place(uint32_t apic_id);
/* The vendor's name as CPUID has it: 12 bytes, no terminator. */
void cpu_vendor_name(char name[12]);

/* Reads CPUID into boot_cpu; returns NULL, or the sentence that says which needed feature is missing. */
const char *must_check cpu_identify(void);
/* Turns the entry paths' STAC and CLAC on where the CPU has SMAP. Before text becomes read-only. */
void cpu_patch_smap(void);
/* Control registers and MSRs of this CPU as the hypervisor runs (every CPU calls it once). */
void cpu_enable_features(void);
/* speculation.c. The protections that this CPU needs: decides and patches the entry paths. Boot CPU, before text becomes
 * read-only. */
void cpu_speculation_init(void);
void cpu_speculation_report(void); /* prints what is on */
void cpu_speculation_enable(void); /* this CPU's registers */
/* What more d's vcpus do on the way in: GUARD_*. */
#define GUARD_IBPB 1
#define GUARD_BHB  2
uint8_t cpu_speculation_entry_guards(const struct domain *d);
/* Indirect branch barrier between domains where needed. */
void cpu_speculation_switch(void);

#endif
