/*
 * Privileged instructions of a PV kernel are emulated or answered with a fault in the guest, never carried
 * out: control registers, descriptor-table registers, port and MSR probing over wide ranges, halting, cache
 * control, VM instructions.
 */
#include "guest.h"

#define INSTRUCTION(name, text)                                                                              \
    static void name(void *arg)                                                                              \
    {                                                                                                        \
        char memory[64] __attribute__((aligned(64))) = {0};                                                  \
        __asm__ volatile(text ::"a"((uint64_t)arg), "c"(memory), "d"(0UL) : "memory", "rbx");                \
    }
INSTRUCTION(do_lgdt, "lgdt (%%rcx)")
INSTRUCTION(do_lidt, "lidt (%%rcx)")
INSTRUCTION(do_lldt, "lldt %%ax")
INSTRUCTION(do_ltr, "ltr %%ax")
INSTRUCTION(do_lmsw, "lmsw %%ax")
INSTRUCTION(do_hlt, "hlt")
INSTRUCTION(do_invd, "invd")
INSTRUCTION(do_write_cr3, "mov %%rax, %%cr3")
INSTRUCTION(do_write_cr0, "mov %%rax, %%cr0")
INSTRUCTION(do_write_cr4, "mov %%rax, %%cr4")
INSTRUCTION(do_write_cr8, "mov %%rax, %%cr8")
INSTRUCTION(do_swapgs, "swapgs")
INSTRUCTION(do_sysret, "sysretq")
INSTRUCTION(do_vmmcall, "vmmcall")
INSTRUCTION(do_vmrun, "vmrun")
INSTRUCTION(do_vmload, "vmload")
INSTRUCTION(do_vmsave, "vmsave")
INSTRUCTION(do_stgi, "stgi")
INSTRUCTION(do_clgi, "clgi")
INSTRUCTION(do_invlpga, "invlpga")
INSTRUCTION(do_vmcall, ".byte 0x0f, 0x01, 0xc1")
INSTRUCTION(do_monitor, "monitor")
INSTRUCTION(do_rsm, "rsm")
INSTRUCTION(do_ud2, "ud2")

static const struct {
    void (*fn)(void *);
    const char *name;
} faulting[] = {
    {do_lgdt, "lgdt faults"},       {do_lidt, "lidt faults"},     {do_lldt, "lldt faults"},
    {do_ltr, "ltr faults"},         {do_invd, "invd faults"},     {do_swapgs, "swapgs faults"},
    {do_sysret, "sysret faults"},   {do_vmrun, "vmrun faults"},   {do_vmload, "vmload faults"},
    {do_vmsave, "vmsave faults"},   {do_stgi, "stgi faults"},     {do_clgi, "clgi faults"},
    {do_invlpga, "invlpga faults"}, {do_vmcall, "vmcall faults"}, {do_vmmcall, "vmmcall faults"},
    {do_monitor, "monitor faults"}, {do_rsm, "rsm faults"},       {do_ud2, "ud2 faults"},
};

static void read_crs(void *out)
{
    uint64_t *values = out;

    __asm__ volatile("mov %%cr0, %0" : "=r"(values[0]));
    __asm__ volatile("mov %%cr3, %0" : "=r"(values[1]));
    __asm__ volatile("mov %%cr4, %0" : "=r"(values[2]));
}

struct msr {
    uint32_t index;
    uint64_t value;
};

static void read_msr(void *arg)
{
    struct msr *msr = arg;
    uint32_t low, high;

    __asm__ volatile("rdmsr" : "=a"(low), "=d"(high) : "c"(msr->index));
    msr->value = low | (uint64_t)high << 32;
}

static void write_msr(void *arg)
{
    struct msr *msr = arg;

    __asm__ volatile("wrmsr" ::"a"((uint32_t)msr->value), "d"((uint32_t)(msr->value >> 32)), "c"(msr->index));
}

static void msrs(void)
{
    static const uint32_t starts[] = {0,          0x1a0,      0x200,      0x400,      0x800,      0x40000000,
                                      0xc0000080, 0xc0000100, 0xc0010000, 0xc0010100, 0xc0011000, 0xffffff00};
    struct msr efer = {.index = 0xc0000080}, star = {.index = 0xc0000081}, lstar = {.index = 0xc0000082},
               after;

    for (unsigned int i = 0; i < ARRAY_SIZE(starts); i++) {
        for (uint32_t offset = 0; offset < 256; offset++) {
            struct msr msr = {.index = starts[i] + offset};

            attempt(read_msr, &msr, NULL);
        }
    }
    SURVIVED("reading 3072 MSRs");
    PROPERTY(!attempt(read_msr, &efer, NULL), "EFER can be read", "it faults");
    attempt(read_msr, &lstar, NULL);
    lstar.value = 0xdead000;
    attempt(write_msr, &lstar, NULL);
    star.value = 0;
    attempt(write_msr, &star, NULL);
    SURVIVED("writing LSTAR and STAR changes nothing");
    after = efer;
    after.value = 0;
    attempt(write_msr, &after, NULL);
    attempt(read_msr, &after, NULL);
    PROPERTY(after.value == efer.value, "writing EFER changes nothing", "%lx became %lx", efer.value,
             after.value);
    for (unsigned int i = 0; i < ARRAY_SIZE(starts); i++) {
        for (uint32_t offset = 0; offset < 256; offset++) {
            struct msr msr = {.index = starts[i] + offset, .value = random64()};

            /* The segment bases are the guest's own, and changing them is not what is tested here. */
            if (msr.index < 0xc0000100 || msr.index > 0xc0000102)
                attempt(write_msr, &msr, NULL);
        }
    }
    SURVIVED("writing 3072 MSRs");
}

static void read_port(void *arg)
{
    uint8_t value;

    __asm__ volatile("inb %%dx, %%al" : "=a"(value) : "d"((uint16_t)(uint64_t)arg));
}

/* Reading has effects on some ports, on the machine's own bus; those of the hypervisor's console must be
 * closed. */
static void ports(void)
{
    unsigned int faults = 0;

    for (unsigned int port = 0; port < 0x10000; port++) {
        if (port >= 0x1f0 && port <= 0x1f7)
            continue;
        faults += attempt(read_port, (void *)(uint64_t)port, NULL);
    }
    PROPERTY(faults > 0, "reading every port", "not one is closed");
    PROPERTY(attempt(read_port, (void *)0x20, NULL), "the interrupt controller is not the guest's",
             "it can be read");
    attempt(read_port, (void *)0x40, NULL);
    SURVIVED("reading the interval timer");
}

void test_main(void)
{
    uint64_t values[3];
    struct fault fault;

    for (unsigned int i = 0; i < ARRAY_SIZE(faulting); i++)
        PROPERTY(attempt(faulting[i].fn, NULL, &fault) && (fault.vector == 13 || fault.vector == 6),
                 faulting[i].name, "vector %u", fault.vector);
    PROPERTY(!attempt(read_crs, values, NULL), "control registers can be read", "they fault");
    PROPERTY(values[0] & 0x80000001, "cr0 shows protected mode with paging", "%lx", values[0]);
    PROPERTY(values[2] & 0x20, "cr4 shows PAE", "%lx", values[2]);
    attempt(do_write_cr0, NULL, NULL);
    attempt(do_write_cr4, NULL, NULL);
    attempt(do_write_cr8, NULL, NULL);
    attempt(do_lmsw, NULL, NULL);
    SURVIVED("writing cr0, cr4, cr8 does no harm");
    PROPERTY(attempt(do_write_cr3, (void *)0x1000, NULL), "a wrong cr3 faults", "it was taken");
    attempt(do_hlt, NULL, NULL);
    SURVIVED("hlt does no harm");
    msrs();
    ports();
}
