/*
 * Extended state. With XSAVE the x87, SSE and AVX components that the CPU has are enabled for guests;
 * without, FXSAVE. A vcpu's area is one page (FPU_AREA_SIZE); states that do not fit are left out of the
 * mask.
 */
#include <bh/domain.h>
#include <bh/string.h>
#include <asm/cpufeature.h>
#include <asm/fpu.h>
#include <asm/insn.h>

#define XSTATE_X87_SSE 3UL
/* x87, SSE, AVX, AVX-512 (3 parts), PKRU */
#define XSTATE_SUPPORTED 0x2e7UL

#define FCW_DEFAULT   0x37f
#define MXCSR_DEFAULT 0x1f80
#define FXSAVE_MXCSR  24
#define XSAVE_HEADER  512 /* first word: components present */

void fpu_init(void)
{
    uint32_t r[4];

    boot_cpu.xsave_size = 512;
    if (!cpu_has(FEAT_XSAVE) || boot_cpu.max_leaf < 0xd)
        return;
    cpuid_count(0xd, 0, r);
    boot_cpu.xcr0 = (r[0] | (uint64_t)r[3] << 32) & XSTATE_SUPPORTED;
    boot_cpu.xsave_size = 512 + 64;
    for (unsigned int i = 2; i < 10; i++) {
        if (!(boot_cpu.xcr0 >> i & 1))
            continue;
        cpuid_count(0xd, i, r);
        if (r[0] + r[1] > FPU_AREA_SIZE)
            boot_cpu.xcr0 &= ~(1UL << i);
        else
            boot_cpu.xsave_size = MAX(boot_cpu.xsave_size, r[0] + r[1]);
    }
}

void fpu_reset(struct vcpu *v)
{
    uint8_t *area = v->arch.fpu;
    const uint16_t fcw = FCW_DEFAULT;
    const uint32_t mxcsr = MXCSR_DEFAULT;
    const uint64_t present = XSTATE_X87_SSE;

    memset(area, 0, FPU_AREA_SIZE);
    memcpy(area, &fcw, sizeof(fcw));
    memcpy(area + FXSAVE_MXCSR, &mxcsr, sizeof(mxcsr));
    memcpy(area + XSAVE_HEADER, &present, sizeof(present));
    v->arch.xcr0 = boot_cpu.xcr0 & XSTATE_X87_SSE;
}

static inline void xsave(void *area, uint64_t mask)
{
    __asm__ volatile("xsave64 (%0)"
                     :
                     : "r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
                     : "memory");
}

/* An area that the CPU refuses (a control operation wrote it) loads as the reset state's legacy part does. */
static inline bool xrstor(const void *area, uint64_t mask)
{
    uint8_t ok = 1;

    __asm__ volatile("1: xrstor64 (%1)\n\tjmp 3f\n\t2: xor %b0, %b0\n\t3:\n\t" EXTABLE("1b", "2b")
                     : "+q"(ok)
                     : "r"(area), "a"((uint32_t)mask), "d"((uint32_t)(mask >> 32))
                     : "memory");
    return ok;
}

static inline bool fxrstor(const void *area)
{
    uint8_t ok = 1;

    __asm__ volatile("1: fxrstor64 (%1)\n\tjmp 3f\n\t2: xor %b0, %b0\n\t3:\n\t" EXTABLE("1b", "2b")
                     : "+q"(ok)
                     : "r"(area)
                     : "memory");
    return ok;
}

void fpu_save(struct vcpu *v)
{
    if (boot_cpu.xcr0)
        xsave(v->arch.fpu, boot_cpu.xcr0); /* all of it: what the guest masked out may still be live */
    else
        __asm__ volatile("fxsave64 (%0)" : : "r"(v->arch.fpu) : "memory");
}

void fpu_load(struct vcpu *v)
{
    bool ok;

    if (boot_cpu.xcr0) {
        xsetbv(0, boot_cpu.xcr0);
        ok = xrstor(v->arch.fpu, boot_cpu.xcr0);
    } else {
        ok = fxrstor(v->arch.fpu);
    }
    if (unlikely(!ok)) {
        uint64_t xcr0 = v->arch.xcr0;

        fpu_reset(v);
        v->arch.xcr0 = xcr0;
        fpu_load(v);
        return;
    }
    if (boot_cpu.xcr0 && v->arch.xcr0 != boot_cpu.xcr0)
        xsetbv(0, v->arch.xcr0 | 1);
}

void fpu_set_xcr0(struct vcpu *v, uint64_t xcr0)
{
    v->arch.xcr0 = xcr0;
    xsetbv(0, xcr0);
}

bool fpu_xcr0_valid(uint64_t xcr0)
{
    const uint64_t avx512 = 0xe0;

    if (!(xcr0 & 1) || (xcr0 & ~boot_cpu.xcr0))
        return false;
    if ((xcr0 & 4) && !(xcr0 & 2))
        return false;
    return (xcr0 & avx512) == 0 || ((xcr0 & avx512) == avx512 && (xcr0 & 4));
}
