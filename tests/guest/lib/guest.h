/*
 * A small library for test kernels: tiny PV kernels that are booted as Dom0 and prove properties of the
 * hypervisor.
 *
 * A case is one main.c with its theory on top and a function test_main(). It states each property with
 * PROPERTY(); the library prints "PROPERTY passed|failed name: detail" lines and, when test_main() returns,
 * "VERDICT passed|failed" as the last line, then powers off. A trap that nobody awaited fails the test. No
 * property at all is an error.
 *
 * attempt() runs a function that may fault: the fault is told instead of ending the test. One attempt at a
 * time, on the first vcpu only.
 */
#ifndef GUEST_H
#define GUEST_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <xen/xen.h>
#include <xen/event_channel.h>
#include <xen/features.h>
#include <xen/grant_table.h>
#include <xen/memory.h>
#include <xen/physdev.h>
#include <xen/platform.h>
#include <xen/sched.h>
#include <xen/vcpu.h>
#include <xen/version.h>

#define PAGE_SIZE     4096UL
#define VIRT_BASE     0xffffffff80000000UL
#define M2P           ((const volatile uint64_t *)0xffff800000000000UL)
#define HV_START      0xffff800000000000UL
#define HV_END        0xffff880000000000UL
#define NON_CANONICAL 0x8000000000000000UL
#define UNMAPPED      0x0000600000000000UL

#define EPERM_  1
#define ENOENT_ 2
#define ESRCH_  3
#define EBADF_  9
#define ENOMEM_ 12
#define EACCES_ 13
#define EFAULT_ 14
#define EBUSY_  16
#define EEXIST_ 17
#define ENODEV_ 19
#define EINVAL_ 22
#define ENOSPC_ 28
#define ENOSYS_ 38

#define PTE_P       0x001UL
#define PTE_W       0x002UL
#define PTE_U       0x004UL
#define PTE_PWT     0x008UL
#define PTE_PCD     0x010UL
#define PTE_A       0x020UL
#define PTE_D       0x040UL
#define PTE_PSE     0x080UL
#define PTE_G       0x100UL
#define PTE_NX      (1UL << 63)
#define PTE_MFN     0x000ffffffffff000UL
#define PTE_TABLE   (PTE_P | PTE_W | PTE_U | PTE_A | PTE_D)
#define PTE_DATA_RO (PTE_P | PTE_U | PTE_A | PTE_D)
#define PTE_DATA_RW (PTE_DATA_RO | PTE_W)

#define ARRAY_SIZE(a) (sizeof(a) / sizeof((a)[0]))
#define barrier()     __asm__ volatile("" ::: "memory")

enum { VECTOR_EVENT = 256, VECTOR_FAILSAFE = 257, VECTOR_SYSCALL = 258 };

struct regs {
    uint64_t r15, r14, r13, r12, r11, r10, r9, r8, rbp, rdi, rsi, rdx, rcx, rbx, rax;
    uint64_t vector, error, rip, cs, rflags, rsp, ss;
};

struct fault {
    unsigned int vector;
    uint64_t error, address, rip;
};

extern start_info_t *start_info;
extern shared_info_t *shared_info;
extern char hypercall_page[], boot_stack_top[], trap_stubs[], event_entry[], failsafe_entry[],
    syscall_entry[], _end[];

/* A further vcpu's start: kernel mode at `entry` on the stack that ends at `stack_end`, our page tables and traps. */
void make_context(vcpu_guest_context_t *c, void (*entry)(void), void *stack_end);

/* The case. */
void test_main(void);

/* Printing and properties. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));
bool property(bool holds, const char *name, const char *format, ...) __attribute__((format(printf, 3, 4)));
void skipped(const char *name, const char *why);
_Noreturn void test_error(const char *why);
_Noreturn void test_end(void);
#define PROPERTY(holds, name, ...) property(holds, name, __VA_ARGS__)
/* The common property: a call's result is the wanted one. */
#define RETURNS(call, wanted, name)                                                                          \
    do {                                                                                                     \
        long returned_ = (call);                                                                             \
        property(returned_ == (wanted), name, "returned %ld, wanted %ld", returned_, (long)(wanted));        \
    } while (0)
/* Refused with any error. */
#define REFUSED(call, name)                                                                                  \
    do {                                                                                                     \
        long returned_ = (call);                                                                             \
        property(returned_<0 && returned_> - 4096, name, "returned %ld, wanted an error", returned_);        \
    } while (0)

/* The hypervisor still answers. */
#define SURVIVED(name) RETURNS(hypercall(__HYPERVISOR_xen_version, XENVER_version, 0, 0, 0, 0), 0x40011, name)

/* Hypercalls. */
long hypercall(unsigned int number, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4, uint64_t a5);
long mmu_update(uint64_t pointer, uint64_t value, domid_t foreign);
long mmuext(unsigned int cmd, uint64_t arg1, uint64_t arg2);
long update_va(void *va, uint64_t pte, uint64_t flags);
long event_op(unsigned int cmd, void *arg);
long grant_op(unsigned int cmd, void *arg, unsigned int count);
long memory_op(unsigned int cmd, void *arg);
long sched_op(unsigned int cmd, void *arg);
long vcpu_op(unsigned int cmd, unsigned int vcpu, void *arg);
long physdev_op(unsigned int cmd, void *arg);

/* Faults. attempt() is true if fn(arg) faulted; *fault (if given) tells how. */
bool attempt(void (*fn)(void *), void *arg, struct fault *fault);
bool read_faults(const volatile void *address, struct fault *fault);
bool write_faults(volatile void *address, struct fault *fault);
/* Replaces the handling of one vector (trap, VECTOR_EVENT, ...); NULL restores it. */
void on_trap(unsigned int vector, void (*handler)(struct regs *));
extern char trap_return[];
_Noreturn void guest_leave(void);
void guest_enter(struct regs *regs, unsigned long vgcf_flags);

/* Events: while(!condition) block until an event; deliveries are counted per port. */
extern volatile unsigned int event_count[4096];
extern volatile unsigned int upcalls;
void events_on(void);
void events_off(void);
void unmask(evtchn_port_t port);
bool wait_event(evtchn_port_t port, unsigned int beyond, uint64_t limit_ns);

/* Time: the PV clock of vcpu 0, in ns. */
uint64_t system_time(void);

/* Memory: pages from the kernel's own pool, frame numbers, page tables. Pages are never given back. */
void *new_page(void);
uint64_t pfn_of(const void *va);
uint64_t mfn_of(const void *va);
uint64_t maddr_of(const void *va);
void *va_of_mfn(uint64_t mfn);
/* The slot of the level's table that maps va (level 4 to 1), or NULL if a level above is missing. */
uint64_t *slot_of(const void *va, unsigned int level);
long set_slot(uint64_t *slot, uint64_t value);
/* Changes the kernel's own mapping of a page: the flags beside its frame. */
long remap(void *page, uint64_t flags);
/* Fills slots so that va is mapped with pte in the kernel's tables, with new tables where needed. 0 or an
 * error. */
long map_at(uint64_t va, uint64_t pte);

/* Odds and ends. */
void *memset(void *to, int byte, size_t count);
void *memcpy(void *to, const void *from, size_t count);
int memcmp(const void *a, const void *b, size_t count);
size_t strlen(const char *s);
uint64_t random64(void);
uint64_t rdtsc(void);
void pause_ns(uint64_t ns);

#endif
