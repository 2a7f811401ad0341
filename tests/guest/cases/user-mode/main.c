/*
 * User mode: entered by iret with tables of its own; its system calls reach the kernel's entry and not the
 * hypervisor, kernel memory is out of its reach, and its faults come with the error code's user bit.
 */
#include "guest.h"

#define USER (0x400000UL)

static uint64_t *user_l4;
static volatile struct regs seen;

static void leave(struct regs *regs)
{
    memcpy((void *)&seen, regs, sizeof(seen));
    guest_leave();
}

/* Code and stack in one page each at USER, in tables that hold nothing else of the guest. */
static void build(const unsigned char *code, size_t length)
{
    uint64_t *l3 = new_page(), *l2 = new_page(), *l1 = new_page();
    unsigned char *text = new_page();
    void *stack = new_page();

    user_l4 = new_page();
    memset(user_l4, 0, PAGE_SIZE);
    memset(l3, 0, PAGE_SIZE);
    memset(l2, 0, PAGE_SIZE);
    memset(l1, 0, PAGE_SIZE);
    memset(text, 0xcc, PAGE_SIZE);
    memcpy(text, code, length);
    l1[0] = maddr_of(text) | PTE_DATA_RO;
    l1[1] = maddr_of(stack) | PTE_DATA_RW;
    l2[USER >> 21] = maddr_of(l1) | PTE_TABLE;
    l3[0] = maddr_of(l2) | PTE_TABLE;
    user_l4[0] = maddr_of(l3) | PTE_TABLE;
    if (remap(l1, PTE_DATA_RO) || remap(l2, PTE_DATA_RO) || remap(l3, PTE_DATA_RO) ||
        remap(user_l4, PTE_DATA_RO))
        test_error("the user's tables could not be made read-only");
    RETURNS(mmuext(MMUEXT_PIN_L4_TABLE, mfn_of(user_l4), 0), 0, "tables for user mode are pinned");
    RETURNS(mmuext(MMUEXT_NEW_USER_BASEPTR, mfn_of(user_l4), 0), 0, "and made the user's");
}

static void enter(uint64_t rax)
{
    static struct regs frame;

    memset(&frame, 0, sizeof(frame));
    frame.rax = rax;
    frame.rip = USER;
    frame.cs = FLAT_USER_CS;
    frame.ss = FLAT_USER_SS;
    frame.rflags = 0x202;
    frame.rsp = USER + 2 * PAGE_SIZE - 16;
    hypercall(__HYPERVISOR_stack_switch, FLAT_KERNEL_SS, (uint64_t)boot_stack_top - 32768, 0, 0, 0);
    /* The frame is popped off a stack: it needs room above. */
    guest_enter(&frame, 0);
}

void test_main(void)
{
    static const unsigned char code[] = {
        0x83, 0xf8, 0x01,                                           /* cmp $1, %eax */
        0x74, 0x07,                                                 /* je read */
        0x83, 0xf8, 0x02,                                           /* cmp $2, %eax */
        0x74, 0x0d,                                                 /* je privileged */
        0x0f, 0x05,                                                 /* syscall */
        0x48, 0xa1, 0,    0, 0, 0x80, 0xff, 0xff, 0xff, 0xff, 0x90, /* read: mov 0xffffffff80000000, %rax */
        0xfa,                                                       /* privileged: cli */
    };
    static const unsigned int vectors[] = {VECTOR_SYSCALL, 13, 14};

    for (unsigned int i = 0; i < ARRAY_SIZE(vectors); i++)
        on_trap(vectors[i], leave);
    build(code, sizeof(code));
    enter(39);
    PROPERTY(seen.vector == VECTOR_SYSCALL, "a system call of user mode reaches the kernel", "vector %lu",
             seen.vector);
    PROPERTY(seen.rax == 39, "with its number", "%lu", seen.rax);
    PROPERTY((seen.cs & 3) == 3 && seen.rip == USER + 12, "and its place", "cs %lx rip %lx", seen.cs,
             seen.rip);
    enter(__HYPERVISOR_sched_op);
    PROPERTY(seen.vector == VECTOR_SYSCALL, "a number that is a hypercall's reaches the kernel too",
             "vector %lu", seen.vector);
    enter(1);
    PROPERTY(seen.vector == 14 && (seen.error & 4), "kernel memory is out of its reach",
             "vector %lu error %lx", seen.vector, seen.error);
    enter(2);
    PROPERTY(seen.vector == 13, "cli faults", "vector %lu", seen.vector);
}
