/*
 * From the first instruction to test_main(): shared info, trap table, callbacks; then traps, events and time.
 *
 * A trap goes, in this order, to the handler a case put there, to the attempt() in progress, or ends the
 * test. Every trap gate has DPL 3 and leaves the event mask alone.
 */
#include "guest.h"

start_info_t *start_info;
shared_info_t *shared_info;
volatile unsigned int event_count[4096];
volatile unsigned int upcalls;

static void (*handlers[259])(struct regs *);
static struct fault *volatile awaited;
static void *landing[5];
static char shared_info_page[PAGE_SIZE] __attribute__((aligned(4096)));

void on_trap(unsigned int vector, void (*handler)(struct regs *))
{
    handlers[vector] = handler;
}

bool attempt(void (*fn)(void *), void *arg, struct fault *fault)
{
    static struct fault ignored;

    awaited = fault ? fault : &ignored;
    if (__builtin_setjmp(landing)) {
        awaited = NULL;
        return true;
    }
    fn(arg);
    awaited = NULL;
    return false;
}

static void read_byte(void *address)
{
    (void)*(const volatile char *)address;
}

static void write_byte(void *address)
{
    *(volatile char *)address = *(volatile char *)address;
}

bool read_faults(const volatile void *address, struct fault *fault)
{
    return attempt(read_byte, (void *)address, fault);
}

bool write_faults(volatile void *address, struct fault *fault)
{
    return attempt(write_byte, (void *)address, fault);
}

static void upcall(void)
{
    vcpu_info_t *info = &shared_info->vcpu_info[0];
    unsigned long words;

    upcalls++;
    info->evtchn_upcall_pending = 0;
    words = __atomic_exchange_n(&info->evtchn_pending_sel, 0, __ATOMIC_SEQ_CST);
    for (unsigned int w = 0; w < 64; w++) {
        unsigned long bits;

        if (!(words & (1UL << w)))
            continue;
        bits = shared_info->evtchn_pending[w] & ~shared_info->evtchn_mask[w];
        for (unsigned int b = 0; b < 64; b++) {
            if (!(bits & (1UL << b)))
                continue;
            __atomic_and_fetch(&shared_info->evtchn_pending[w], ~(1UL << b), __ATOMIC_SEQ_CST);
            event_count[w * 64 + b]++;
        }
    }
}

void guest_trap(struct regs *regs);
void guest_trap(struct regs *regs)
{
    uint64_t address = shared_info->vcpu_info[0].arch.cr2;

    if (handlers[regs->vector]) {
        handlers[regs->vector](regs);
        return;
    }
    if (regs->vector == VECTOR_EVENT) {
        upcall();
        return;
    }
    if (awaited) {
        *awaited = (struct fault){(unsigned int)regs->vector, regs->error, address, regs->rip};
        __builtin_longjmp(landing, 1);
    }
    print("trap %lu error %lx rip %lx cs %lx rflags %lx rsp %lx cr2 %lx rax %lx\n", regs->vector, regs->error,
          regs->rip, regs->cs, regs->rflags, regs->rsp, address, regs->rax);
    property(false, "no unexpected trap", "vector %lu at %lx", regs->vector, regs->rip);
    test_end();
}

void events_on(void)
{
    vcpu_info_t *info = &shared_info->vcpu_info[0];

    info->evtchn_upcall_mask = 0;
    barrier();
    if (info->evtchn_upcall_pending)
        hypercall(__HYPERVISOR_xen_version, XENVER_version, 0, 0, 0, 0);
}

void events_off(void)
{
    shared_info->vcpu_info[0].evtchn_upcall_mask = 1;
    barrier();
}

void unmask(evtchn_port_t port)
{
    evtchn_unmask_t op = {.port = port};

    event_op(EVTCHNOP_unmask, &op);
}

bool wait_event(evtchn_port_t port, unsigned int beyond, uint64_t limit_ns)
{
    uint64_t end = system_time() + limit_ns;

    while (event_count[port] <= beyond && system_time() < end)
        sched_op(SCHEDOP_yield, NULL);
    return event_count[port] > beyond;
}

uint64_t rdtsc(void)
{
    uint32_t low, high;

    __asm__ volatile("rdtsc" : "=a"(low), "=d"(high));
    return low | (uint64_t)high << 32;
}

uint64_t system_time(void)
{
    const volatile vcpu_time_info_t *t = &shared_info->vcpu_info[0].time;
    uint32_t version;
    uint64_t ns;

    do {
        uint64_t delta;

        version = t->version;
        barrier();
        delta = rdtsc() - t->tsc_timestamp;
        delta = t->tsc_shift < 0 ? delta >> -t->tsc_shift : delta << t->tsc_shift;
        ns = t->system_time + (uint64_t)(((unsigned __int128)delta * t->tsc_to_system_mul) >> 32);
        barrier();
    } while ((version & 1) || version != t->version);
    return ns;
}

void pause_ns(uint64_t ns)
{
    uint64_t end = system_time() + ns;

    while (system_time() < end)
        __asm__ volatile("pause");
}

uint64_t random64(void)
{
    static uint64_t state = 0x9e3779b97f4a7c15UL;

    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void set_traps(void)
{
    static trap_info_t table[257];

    for (unsigned int v = 0; v < 256; v++)
        table[v] = (trap_info_t){.vector = (uint8_t)v,
                                 .flags = 3,
                                 .cs = FLAT_KERNEL_CS,
                                 .address = (uint64_t)trap_stubs + v * 16UL};
    if (hypercall(__HYPERVISOR_set_trap_table, (uint64_t)table, 0, 0, 0, 0) != 0)
        test_error("set_trap_table was refused");
    if (hypercall(__HYPERVISOR_set_callbacks, (uint64_t)event_entry, (uint64_t)failsafe_entry,
                  (uint64_t)syscall_entry, 0, 0) != 0)
        test_error("set_callbacks was refused");
}

void guest_start(start_info_t *info);
void guest_start(start_info_t *info)
{
    start_info = info;
    shared_info = (shared_info_t *)shared_info_page;
    if (update_va(shared_info_page, info->shared_info | PTE_DATA_RW, UVMF_INVLPG) != 0)
        test_error("the shared info page could not be mapped");
    set_traps();
    test_main();
    test_end();
}

void make_context(vcpu_guest_context_t *c, void (*entry)(void), void *stack_end)
{
    memset(c, 0, sizeof(*c));
    c->flags = VGCF_in_kernel;
    c->user_regs.rip = (uint64_t)entry;
    c->user_regs.rsp = (uint64_t)stack_end - 8;
    c->user_regs.rflags = 0x202;
    c->user_regs.cs = FLAT_KERNEL_CS;
    c->user_regs.ss = FLAT_KERNEL_SS;
    c->kernel_ss = FLAT_KERNEL_SS;
    c->kernel_sp = (uint64_t)stack_end - 8;
    c->ctrlreg[0] = 0x80000001;
    c->ctrlreg[3] = maddr_of((void *)start_info->pt_base);
    c->event_callback_eip = (uint64_t)event_entry;
    c->failsafe_callback_eip = (uint64_t)failsafe_entry;
    c->syscall_callback_eip = (uint64_t)syscall_entry;
    for (unsigned int v = 0; v < 256; v++)
        c->trap_ctxt[v] = (trap_info_t){.vector = (uint8_t)v,
                                        .flags = 3,
                                        .cs = FLAT_KERNEL_CS,
                                        .address = (uint64_t)trap_stubs + v * 16UL};
}
