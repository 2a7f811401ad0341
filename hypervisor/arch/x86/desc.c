/*
 * Segment descriptors, the IDT and the TSS.
 *
 * Each CPU has one page of descriptors, which stands as page GDT_HV_PAGE in whatever GDT is loaded: behind
 * the guest's frames in a vcpu's per-domain area, or alone (lower pages then hold no descriptors, and nothing
 * loads them).
 */
#include <asm/desc.h>
#include <asm/insn.h>
#include <asm/irq.h>
#include <asm/layout.h>
#include <asm/msr.h>
#include <asm/cr.h>
#include <asm/percpu.h>
#include <asm/trap.h>

#define GDT_LIMIT ((GDT_HV_PAGE + 1) * PAGE_SIZE - 1)

#define GATE_INTERRUPT 0x8eUL

#define DESC_TSS 0x89UL
#define DESC_LDT 0x82UL

/* index of a selector within the CPU's own page */
#define OWN(sel)            (((sel) & ~7u) / 8 % PT_ENTRIES_PER_PAGE)
#define PT_ENTRIES_PER_PAGE 512

extern const uint64_t exception_entries[32];
extern const uint8_t interrupt_stubs[224][16];
extern const uint8_t syscall_stubs[NR_CPUS][32], syscall32_stubs[NR_CPUS][32];
void int80_entry(void);

struct gate idt[256] aligned(PAGE_SIZE);
static const uint64_t
    zero_page_for_fs[8]; /* %fs:0x28 is readable during boot: libraries look there for a canary */

static void set_gate(unsigned int vector, uint64_t handler, unsigned int ist, unsigned int dpl)
{
    idt[vector].lo = (handler & 0xffff) | (uint64_t)SEL_HV_CS << 16 | (uint64_t)ist << 32 |
                     (GATE_INTERRUPT | (uint64_t)dpl << 5) << 40 | (handler >> 16 & 0xffff) << 48;
    idt[vector].hi = handler >> 32;
}

void desc_init_idt(void)
{
    for (unsigned int v = 0; v < 32; v++)
        if (exception_entries[v])
            set_gate(v, exception_entries[v], 0, v == TRAP_BP || v == TRAP_OF ? 3 : 0);
    set_gate(TRAP_DB, exception_entries[TRAP_DB], IST_DB, 0);
    set_gate(TRAP_NMI, exception_entries[TRAP_NMI], IST_NMI, 0);
    set_gate(TRAP_DF, exception_entries[TRAP_DF], IST_DF, 0);
    set_gate(TRAP_MC, exception_entries[TRAP_MC], IST_MCE, 0);
    for (unsigned int v = 32; v < 256; v++)
        set_gate(v, (uint64_t)interrupt_stubs[v - 32], 0, 0);
    set_gate(VECTOR_INT80, (uint64_t)int80_entry, 0, 3);
}

static void set_system_descriptor(uint64_t *page, uint16_t sel, uint64_t base, uint32_t limit, uint64_t type)
{
    page[OWN(sel)] = (limit & 0xffff) | (base & 0xffffff) << 16 | type << 40 |
                     (uint64_t)(limit >> 16 & 0xf) << 48 | (base >> 24 & 0xff) << 56;
    page[OWN(sel) + 1] = base >> 32;
}

void desc_prepare(struct percpu *p)
{
    uint64_t block = (uint64_t)p->info & ~(STACK_SIZE - 1);
    uint64_t *page = p->gdt_page;
    struct tss *tss = &p->info->tss;

    page[OWN(SEL_HV_CS)] = 0x00af9b000000ffffUL;
    page[OWN(SEL_HV_DS)] = 0x00cf93000000ffffUL;
    page[OWN(SEL_GUEST_CS32)] = 0x00cffb000000ffffUL;
    page[OWN(SEL_GUEST_DS)] = 0x00cff3000000ffffUL;
    page[OWN(SEL_GUEST_CS64)] = 0x00affb000000ffffUL;
    set_system_descriptor(page, SEL_TSS, (uint64_t)tss, sizeof(*tss) - 1, DESC_TSS);
    tss->rsp[0] = (uint64_t)&p->info->guest.es;
    for (unsigned int ist = IST_DB; ist <= IST_DF; ist++)
        tss->ist[ist - 1] = block + ist * PAGE_SIZE;
    tss->iobitmap = sizeof(*tss);
}

void desc_load_own_gdt(struct percpu *p)
{
    struct descriptor_pointer gdt = {GDT_LIMIT, (uint64_t)p->gdt_page - GDT_HV_PAGE * PAGE_SIZE};

    lgdt(&gdt);
}

static void load_code_segment(void)
{
    __asm__ volatile("push %0\n\tlea 1f(%%rip), %%rax\n\tpush %%rax\n\tlretq\n1:"
                     :
                     : "i"(SEL_HV_CS)
                     : "rax", "memory");
}

void desc_load(struct percpu *p)
{
    const struct descriptor_pointer idt_pointer = {sizeof(idt) - 1, (uint64_t)idt};

    desc_load_own_gdt(p);
    load_code_segment();
    __asm__ volatile("mov %w0, %%ss" : : "r"(0));
    load_ds(0);
    load_es(0);
    load_fs(0);
    load_gs(0);
    lldt(0);
    p->gdt_page[OWN(SEL_TSS)] &= ~(2UL << 40); /* not busy */
    ltr(SEL_TSS);
    lidt(&idt_pointer);
    wrmsr(MSR_FS_BASE, (uint64_t)zero_page_for_fs);
    wrmsr(MSR_STAR, (uint64_t)SEL_GUEST_CS32 << 48 | (uint64_t)SEL_HV_CS << 32);
    wrmsr(MSR_LSTAR, (uint64_t)syscall_stubs[p->cpu]);
    wrmsr(MSR_CSTAR, (uint64_t)syscall32_stubs[p->cpu]);
    wrmsr(MSR_SYSCALL_MASK, FLAG_TF | FLAG_IF | FLAG_DF | FLAG_IOPL | FLAG_NT | FLAG_RF | FLAG_VM | FLAG_AC);
    wrmsr(MSR_SYSENTER_CS, 0); /* SYSENTER faults; the fault goes to the guest */
}

void desc_set_ldt(struct percpu *p, uint64_t base, uint32_t entries)
{
    if (entries == 0) {
        if (p->ldt_loaded)
            lldt(0);
        p->ldt_loaded = false;
        return;
    }
    set_system_descriptor(p->gdt_page, SEL_LDT, base, entries * 8 - 1, DESC_LDT);
    lldt(SEL_LDT);
    p->ldt_loaded = true;
}
