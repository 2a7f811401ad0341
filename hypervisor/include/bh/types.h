/*
 * Basic types of the hypervisor.
 *
 * Frame numbers are typed so that the compiler keeps them apart:
 *   mfn  machine frame number: a 4 KiB frame of the machine
 *   pfn  pseudo-physical frame number: a PV guest's own contiguous numbering; to us just a number it tells
 * Addresses: paddr_t is a machine-physical byte address; guest virtual addresses are plain uint64_t and
 * their names start with untrusted_ until checked.
 */
#ifndef BH_TYPES_H
#define BH_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdatomic.h>

#define PAGE_SHIFT 12
#define PAGE_SIZE  (1UL << PAGE_SHIFT)
#define PAGE_MASK  (~(PAGE_SIZE - 1))

typedef uint64_t paddr_t;
typedef uint16_t domid_t;

typedef struct {
    uint64_t n;
} mfn_t;

#define INVALID_FRAME (~0UL)
#define MFN(x)        ((mfn_t){(x)})
#define INVALID_MFN   MFN(INVALID_FRAME)

static inline bool mfn_eq(mfn_t a, mfn_t b)
{
    return a.n == b.n;
}

static inline paddr_t mfn_to_paddr(mfn_t mfn)
{
    return mfn.n << PAGE_SHIFT;
}

static inline mfn_t paddr_to_mfn(paddr_t pa)
{
    return MFN(pa >> PAGE_SHIFT);
}

/* What everybody names. */
struct domain;
struct vcpu;
struct page_info;
struct cpu_regs;

#define NR_CPUS   64 /* CPU masks are one word */
#define NSEC(sec) ((sec)*1000000000UL)
typedef uint64_t cpumask_t;
#define CPUMASK(cpu) (1UL << (cpu))

#define ARRAY_SIZE(a)                   (sizeof(a) / sizeof((a)[0]))
#define DIV_ROUND_UP(n, d)              (((n) + (d)-1) / (d))
#define ROUND_UP(n, a)                  (((n) + (a)-1) & ~((a)-1UL))
#define MIN(a, b)                       ((a) < (b) ? (a) : (b))
#define MAX(a, b)                       ((a) > (b) ? (a) : (b))
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

#define likely(x)              __builtin_expect(!!(x), 1)
#define unlikely(x)            __builtin_expect(!!(x), 0)
#define must_check             __attribute__((warn_unused_result))
#define packed                 __attribute__((packed))
#define aligned(n)             __attribute__((aligned(n)))
#define noreturn_fn            __attribute__((noreturn))
#define printf_like(fmt, args) __attribute__((format(printf, fmt, args)))
/* One access, not torn, not repeated by the compiler: for memory that a guest or another CPU writes. */
#define READ_ONCE(x)     (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, v) (*(volatile __typeof__(x) *)&(x) = (v))

#endif
