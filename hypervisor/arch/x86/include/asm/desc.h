/* Segment descriptors, gates, the TSS, and the tables of one CPU. */
#ifndef ASM_DESC_H
#define ASM_DESC_H

#include <bh/types.h>

struct packed tss {
    uint32_t reserved0;
    uint64_t rsp[3];
    uint64_t reserved1;
    uint64_t ist[7]; /* ist[0] is IST 1 */
    uint64_t reserved2;
    uint16_t reserved3, iobitmap;
};
_Static_assert(sizeof(struct tss) == 104, "hardware layout");

enum { IST_DB = 1, IST_MCE = 2, IST_NMI = 3, IST_DF = 4 };

struct gate {
    uint64_t lo, hi;
};

struct percpu;

extern struct gate idt[256]; /* one page */

/* Fills the shared IDT. Once, on the boot CPU. */
void desc_init_idt(void);
/* Fills `p`'s descriptor page and TSS; its stack and gdt_page are there already. */
void desc_prepare(struct percpu *p);
/* Loads GDT, IDT, TSS and the system call MSRs on this CPU. */
void desc_load(struct percpu *p);
/* Points GDTR at this CPU's own table (no guest's part). */
void desc_load_own_gdt(struct percpu *p);
/* This CPU's LDT becomes `base` (hypervisor virtual address) with `entries` entries; 0: none. */
void desc_set_ldt(struct percpu *p, uint64_t base, uint32_t entries);

#endif
