/*
 * The virtual address space. Slots (512 GiB each) 256 to 271 of every page table are the hypervisor's by the ABI
 * (public/arch-x86_64.h: HYPERVISOR_VIRT_START to _END); the rest is the guest's.
 *
 *   slot 256  0xffff800000000000  machine-to-physical table, read-only for guests, 2 MiB pages (at most 256 GiB)
 *   slot 257  0xffff808000000000  I/O memory that the hypervisor maps (APICs, HPET, MSI-X tables, MMCONFIG)
 *   slot 258  0xffff810000000000  frame table
 *   slot 259  0xffff818000000000  machine-to-physical table, the hypervisor's writable view
 *   slot 260  0xffff820000000000  per-domain: each vcpu's GDT and LDT (see PERDOMAIN_*)
 *   slot 261  0xffff828000000000  the hypervisor's text and data (linked at HYPERVISOR_TEXT), the CPUs' stacks
 *   slots 262-271 0xffff830000000000  direct map of all RAM, read-write (the hypervisor's text and constants: read-only)
 */
#ifndef ASM_LAYOUT_H
#define ASM_LAYOUT_H

#define HV_FIRST_SLOT    256
#define HV_LAST_SLOT     271
#define HV_START         0xffff800000000000UL
#define HV_END           0xffff880000000000UL
#define M2P_START        0xffff800000000000UL
#define IOMAP_START      0xffff808000000000UL
#define IOMAP_END        0xffff810000000000UL
#define FRAMETABLE_START 0xffff810000000000UL
#define M2P_RW_START     0xffff818000000000UL
#define PERDOMAIN_START  0xffff820000000000UL
#define PERDOMAIN_SLOT   260
#define HYPERVISOR_TEXT  0xffff82d040000000UL
#define STACKS_START     0xffff82d080000000UL
#define DIRECTMAP_START  0xffff830000000000UL
#define DIRECTMAP_END    0xffff880000000000UL

/* Per-domain area: vcpu n has GDT pages at n * 128 KiB: 16 pages of GDT, then 16 of LDT. */
#define PERDOMAIN_VCPU_SHIFT   17
#define PERDOMAIN_GDT(vcpu_id) (PERDOMAIN_START + ((unsigned long)(vcpu_id) << PERDOMAIN_VCPU_SHIFT))
#define PERDOMAIN_LDT(vcpu_id) (PERDOMAIN_GDT(vcpu_id) + 16 * 4096UL)

/*
 * Selectors. The guest's flat selectors are fixed by the ABI (public/arch-x86_64.h FLAT_*: 0xe023 ring 3 32-bit code,
 * 0xe02b data, 0xe033 64-bit code); GDT pages 0..13 are the guest's, page 14 (from entry 7168, selector 0xe000) the
 * hypervisor's, one such page per CPU.
 */
#define GDT_HV_PAGE    14
#define SEL_HV_CS      0xe008
#define SEL_HV_DS      0xe010
#define SEL_GUEST_CS32 0xe023
#define SEL_GUEST_DS   0xe02b
#define SEL_GUEST_CS64 0xe033
#define SEL_TSS        0xe040
#define SEL_LDT        0xe050

#endif
