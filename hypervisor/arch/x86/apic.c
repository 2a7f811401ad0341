/* The local APIC. Registers are numbered as in xAPIC memory; in x2APIC mode register r is MSR 0x800 + r / 16.
 */
#include <bh/arch.h>
#include <bh/printk.h>
#include <asm/acpi.h>
#include <asm/apic.h>
#include <asm/cpufeature.h>
#include <asm/insn.h>
#include <asm/irq.h>
#include <asm/msr.h>
#include <asm/paging.h>

#define APIC_ID            0x020
#define APIC_TPR           0x080
#define APIC_EOI           0x0b0
#define APIC_LDR           0x0d0
#define APIC_DFR           0x0e0
#define APIC_SVR           0x0f0
#define APIC_ISR           0x100
#define APIC_IRR           0x200
#define APIC_ESR           0x280
#define APIC_ICR           0x300
#define APIC_ICR_HIGH      0x310
#define APIC_LVT_TIMER     0x320
#define APIC_LVT_PERF      0x340
#define APIC_LVT_LINT0     0x350
#define APIC_LVT_LINT1     0x360
#define APIC_LVT_ERROR     0x370
#define APIC_TIMER_INITIAL 0x380
#define APIC_TIMER_CURRENT 0x390
#define APIC_TIMER_DIVIDE  0x3e0

#define SVR_ENABLE       0x100
#define LVT_MASKED       0x10000
#define LVT_NMI          0x400
#define LVT_TSC_DEADLINE 0x40000
#define ICR_PENDING      0x1000
#define ICR_ASSERT       0x4000
#define ICR_LEVEL        0x8000
#define ICR_NMI          0x400
#define ICR_INIT         0x500
#define ICR_STARTUP      0x600
#define DIVIDE_BY_1      0xb
#define ICR_POLLS_MAX    1000000

static uint8_t *registers; /* xAPIC */
static bool x2apic;

static inline uint32_t reg_read(uint32_t reg)
{
    if (unlikely(x2apic))
        return (uint32_t)rdmsr(MSR_X2APIC + reg / 16);
    return mmio_read32(registers + reg);
}

static inline void reg_write(uint32_t reg, uint32_t v)
{
    if (unlikely(x2apic))
        wrmsr(MSR_X2APIC + reg / 16, v);
    else
        mmio_write32(registers + reg, v);
}

const char *apic_init(void)
{
    uint64_t base = rdmsr(MSR_APIC_BASE);
    paddr_t address = acpi.lapic_address ? acpi.lapic_address : base & 0xffffff000UL;

    if (!(base & APIC_BASE_ENABLE))
        return "the firmware turned the local APIC off";
    x2apic = (base & APIC_BASE_X2APIC) || (cpu_has(FEAT_X2APIC) && cpu_has(FEAT_HYPERVISOR));
    if (x2apic)
        return NULL;
    registers = iomap(address, PAGE_SIZE);
    return registers ? NULL : "there is no memory to map the local APIC";
}

void apic_enable_cpu(void)
{
    uint64_t base = rdmsr(MSR_APIC_BASE);

    if (x2apic && !(base & APIC_BASE_X2APIC))
        wrmsr(MSR_APIC_BASE, base | APIC_BASE_X2APIC);
    if (!x2apic) {
        reg_write(APIC_DFR, 0xffffffff);
        reg_write(APIC_LDR, 0);
    }
    reg_write(APIC_TPR, 0);
    reg_write(APIC_LVT_TIMER, LVT_MASKED);
    reg_write(APIC_LVT_LINT0, LVT_MASKED);
    reg_write(APIC_LVT_LINT1, arch_cpu_id() == 0 ? LVT_NMI : LVT_MASKED);
    reg_write(APIC_LVT_PERF, LVT_MASKED);
    reg_write(APIC_SVR, SVR_ENABLE | VECTOR_SPURIOUS);
    reg_write(APIC_ESR, 0);
    reg_write(APIC_LVT_ERROR, VECTOR_APIC_ERROR);
    reg_write(APIC_TIMER_DIVIDE, DIVIDE_BY_1);
    for (unsigned int i = 0; i < 256 && apic_irr_any(); i++)
        apic_eoi(); /* left over from the firmware */
}

uint32_t apic_id(void)
{
    return x2apic ? reg_read(APIC_ID) : reg_read(APIC_ID) >> 24;
}

bool apic_is_x2apic(void)
{
    return x2apic;
}

void apic_eoi(void)
{
    reg_write(APIC_EOI, 0);
}

static void send(uint32_t dest, uint32_t command)
{
    if (x2apic) {
        __asm__ volatile("mfence; lfence"
                         :
                         :
                         : "memory"); /* wrmsr to an x2APIC does not order earlier stores */
        wrmsr(MSR_X2APIC + APIC_ICR / 16, (uint64_t)dest << 32 | command);
        return;
    }
    for (unsigned int i = 0; i < ICR_POLLS_MAX && (reg_read(APIC_ICR) & ICR_PENDING); i++)
        cpu_pause();
    reg_write(APIC_ICR_HIGH, dest << 24);
    reg_write(APIC_ICR, command);
}

void apic_send_ipi(uint32_t dest, uint32_t vector)
{
    send(dest, ICR_ASSERT | vector);
}

void apic_send_init(uint32_t dest)
{
    send(dest, ICR_INIT | ICR_LEVEL | ICR_ASSERT);
    send(dest, ICR_INIT | ICR_LEVEL);
}

void apic_send_startup(uint32_t dest, uint32_t page)
{
    send(dest, ICR_STARTUP | ICR_ASSERT | page);
}

void apic_send_nmi(uint32_t dest)
{
    send(dest, ICR_NMI | ICR_ASSERT);
}

bool apic_vector_in_service(uint32_t vector)
{
    return reg_read(APIC_ISR + vector / 32 * 16) >> (vector % 32) & 1;
}

bool apic_irr_any(void)
{
    for (unsigned int word = 1; word < 8; word++)
        if (reg_read(APIC_IRR + word * 16))
            return true;
    return false;
}

void apic_timer_mode(bool tsc_deadline)
{
    reg_write(APIC_LVT_TIMER, VECTOR_TIMER | (tsc_deadline ? LVT_TSC_DEADLINE : 0));
    if (tsc_deadline)
        __asm__ volatile("mfence" : : : "memory"); /* before the first MSR write takes effect */
}

void apic_timer_arm(uint32_t ticks)
{
    reg_write(APIC_TIMER_INITIAL, ticks);
}

uint32_t apic_timer_current(void)
{
    return reg_read(APIC_TIMER_CURRENT);
}

void apic_error_interrupt(void)
{
    uint32_t status;

    reg_write(APIC_ESR, 0);
    status = reg_read(APIC_ESR);
    printk(LOG_WARNING, "CPU %u: local APIC error, status %02x", arch_cpu_id(), status);
}
