/* Model-specific registers that the hypervisor touches. */
#ifndef ASM_MSR_H
#define ASM_MSR_H

#define MSR_TSC               0x10
#define MSR_APIC_BASE         0x1b
#define MSR_SPEC_CTRL         0x48
#define MSR_PRED_CMD          0x49
#define MSR_ARCH_CAPABILITIES 0x10a
#define MSR_SYSENTER_CS       0x174
#define MSR_MCG_CAP           0x179
#define MSR_MCG_STATUS        0x17a
#define MSR_MISC_ENABLE       0x1a0
#define MSR_PAT               0x277
#define MSR_MC0_STATUS        0x401
#define MSR_TSC_DEADLINE      0x6e0
#define MSR_X2APIC            0x800
#define MSR_EFER              0xc0000080
#define MSR_STAR              0xc0000081
#define MSR_LSTAR             0xc0000082
#define MSR_CSTAR             0xc0000083
#define MSR_SYSCALL_MASK      0xc0000084
#define MSR_FS_BASE           0xc0000100
#define MSR_GS_BASE           0xc0000101
#define MSR_SHADOW_GS_BASE    0xc0000102
#define MSR_TSC_AUX           0xc0000103

#define EFER_SCE (1u << 0)
#define EFER_NXE (1u << 11)

#define APIC_BASE_X2APIC (1u << 10)
#define APIC_BASE_ENABLE (1u << 11)

/* PAT as the ABI tells guests: WB, WT, UC-, UC, WC, WP, reserved, reserved. */
#define PAT_VALUE 0x050100070406UL

#endif
