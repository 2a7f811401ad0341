/* Privileged and other special instructions, one inline function each. Used nowhere else as inline assembly. */
#ifndef ASM_INSN_H
#define ASM_INSN_H

#include <bh/types.h>

#define DEFINE_PORT(suffix, type)                                                                            \
    static inline type in##suffix(uint16_t port)                                                             \
    {                                                                                                        \
        type v;                                                                                              \
        __asm__ volatile("in" #suffix " %w1, %0" : "=a"(v) : "Nd"(port));                                    \
        return v;                                                                                            \
    }                                                                                                        \
    static inline void out##suffix(uint16_t port, type v)                                                    \
    {                                                                                                        \
        __asm__ volatile("out" #suffix " %0, %w1" : : "a"(v), "Nd"(port));                                   \
    }
DEFINE_PORT(b, uint8_t)
DEFINE_PORT(w, uint16_t)
DEFINE_PORT(l, uint32_t)
#undef DEFINE_PORT

/* By width: 1, 2 or 4 bytes. */
static inline uint32_t port_in(uint16_t port, unsigned int bytes)
{
    return bytes == 1 ? inb(port) : bytes == 2 ? inw(port) : inl(port);
}

static inline void port_out(uint16_t port, unsigned int bytes, uint32_t v)
{
    if (bytes == 1)
        outb(port, (uint8_t)v);
    else if (bytes == 2)
        outw(port, (uint16_t)v);
    else
        outl(port, v);
}

static inline uint32_t mmio_read32(const volatile void *addr)
{
    return *(const volatile uint32_t *)addr;
}

static inline void mmio_write32(volatile void *addr, uint32_t v)
{
    *(volatile uint32_t *)addr = v;
}

static inline uint64_t rdmsr(uint32_t msr)
{
    uint32_t lo, hi;

    __asm__ volatile("rdmsr" : "=a"(lo), "=d"(hi) : "c"(msr));
    return lo | (uint64_t)hi << 32;
}

static inline void wrmsr(uint32_t msr, uint64_t v)
{
    __asm__ volatile("wrmsr" : : "c"(msr), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)) : "memory");
}

/* An entry of the exception table: a fault of the instruction at label `from` continues at label `to`. */
#define EXTABLE(from, to)                                                                                    \
    ".pushsection .extable, \"a\"\n\t"                                                                       \
    ".balign 8\n\t"                                                                                          \
    ".quad " from ", " to "\n\t"                                                                             \
    ".popsection\n\t"

/* false: the machine has no such MSR (or refuses it); *v is 0 then. */
static inline bool must_check rdmsr_safe(uint32_t msr, uint64_t *v)
{
    uint32_t lo = 0, hi = 0;
    uint8_t ok = 1;

    __asm__ volatile("1: rdmsr\n\tjmp 3f\n\t2: xor %b2, %b2\n\t3:\n\t" EXTABLE("1b", "2b")
                     : "+a"(lo), "+d"(hi), "+q"(ok)
                     : "c"(msr));
    *v = lo | (uint64_t)hi << 32;
    return ok;
}

static inline void cpuid_count(uint32_t leaf, uint32_t subleaf, uint32_t r[4])
{
    __asm__ volatile("cpuid" : "=a"(r[0]), "=b"(r[1]), "=c"(r[2]), "=d"(r[3]) : "0"(leaf), "2"(subleaf));
}

static inline uint64_t rdtsc(void)
{
    uint32_t lo, hi;

    __asm__ volatile("rdtsc" : "=a"(lo), "=d"(hi));
    return lo | (uint64_t)hi << 32;
}

#define DEFINE_CR(n)                                                                                         \
    static inline uint64_t read_cr##n(void)                                                                  \
    {                                                                                                        \
        uint64_t v;                                                                                          \
        __asm__ volatile("mov %%cr" #n ", %0" : "=r"(v));                                                    \
        return v;                                                                                            \
    }                                                                                                        \
    static inline void write_cr##n(uint64_t v)                                                               \
    {                                                                                                        \
        __asm__ volatile("mov %0, %%cr" #n : : "r"(v) : "memory");                                           \
    }
DEFINE_CR(0)
DEFINE_CR(2)
DEFINE_CR(3)
DEFINE_CR(4)
#undef DEFINE_CR

#define DEFINE_DR(n)                                                                                         \
    static inline uint64_t read_dr##n(void)                                                                  \
    {                                                                                                        \
        uint64_t v;                                                                                          \
        __asm__ volatile("mov %%dr" #n ", %0" : "=r"(v));                                                    \
        return v;                                                                                            \
    }                                                                                                        \
    static inline void write_dr##n(uint64_t v)                                                               \
    {                                                                                                        \
        __asm__ volatile("mov %0, %%dr" #n : : "r"(v));                                                      \
    }
DEFINE_DR(0)
DEFINE_DR(1)
DEFINE_DR(2)
DEFINE_DR(3)
DEFINE_DR(6)
DEFINE_DR(7)
#undef DEFINE_DR

static inline void clts(void)
{
    __asm__ volatile("clts");
}

static inline void invlpg(uint64_t va)
{
    __asm__ volatile("invlpg (%0)" : : "r"(va) : "memory");
}

static inline void wbinvd(void)
{
    __asm__ volatile("wbinvd" : : : "memory");
}

static inline void cpu_pause(void)
{
    __asm__ volatile("pause" : : : "memory");
}

static inline void xsetbv(uint32_t index, uint64_t v)
{
    __asm__ volatile("xsetbv" : : "c"(index), "a"((uint32_t)v), "d"((uint32_t)(v >> 32)));
}

struct packed descriptor_pointer {
    uint16_t limit;
    uint64_t base;
};

static inline void lgdt(const struct descriptor_pointer *p)
{
    __asm__ volatile("lgdt %0" : : "m"(*p));
}

static inline void lidt(const struct descriptor_pointer *p)
{
    __asm__ volatile("lidt %0" : : "m"(*p));
}

static inline void lldt(uint16_t sel)
{
    __asm__ volatile("lldt %w0" : : "r"(sel));
}

static inline void ltr(uint16_t sel)
{
    __asm__ volatile("ltr %w0" : : "r"(sel));
}

static inline void swapgs(void)
{
    __asm__ volatile("swapgs" : : : "memory");
}

/* Reads, and loads with 0 in place of a selector that faults. */
#define DEFINE_SELECTOR(name)                                                                                \
    static inline uint16_t read_##name(void)                                                                 \
    {                                                                                                        \
        uint16_t v;                                                                                          \
        __asm__ volatile("mov %%" #name ", %w0" : "=r"(v));                                                  \
        return v;                                                                                            \
    }                                                                                                        \
    static inline void load_##name(uint16_t sel)                                                             \
    {                                                                                                        \
        uint32_t v = sel;                                                                                    \
        __asm__ volatile("1: mov %0, %%" #name "\n\tjmp 3f\n\t2: xor %0, %0\n\tmov %0, %%" #name             \
                         "\n\t3:\n\t" EXTABLE("1b", "2b")                                                    \
                         : "+r"(v));                                                                         \
    }
DEFINE_SELECTOR(ds)
DEFINE_SELECTOR(es)
DEFINE_SELECTOR(fs)
DEFINE_SELECTOR(gs)
#undef DEFINE_SELECTOR

/* Access rights of a selector's descriptor, in place (APM vol. 3, LAR); 0: there is none. */
static inline uint32_t load_access_rights(uint16_t sel)
{
    uint32_t rights = 0;

    __asm__("lar %1, %0" : "+r"(rights) : "r"((uint32_t)sel) : "cc");
    return rights;
}

#endif
