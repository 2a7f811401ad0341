/*
 * The hypercall page: 128 stubs of 32 bytes, one per hypercall number, that a PV guest calls
 * (public/xen.h: __HYPERVISOR_*; ABI: number in rax, arguments in rdi, rsi, rdx, r10, r8, r9; rcx and r11 are
 * lost).
 *
 * Every stub is `mov $number, %eax; syscall; ret` with rcx and r11 kept for the caller, but for iret: that
 * one never returns and leaves rcx, r11 and rax on the stack as the head of its iret context.
 */
#include <asm/pv.h>
#include <bh/string.h>
#include <public/xen.h>

#define STUB_SIZE 32

static uint8_t *emit(uint8_t *at, const void *code, size_t bytes)
{
    memcpy(at, code, bytes);
    return at + bytes;
}

void pv_hypercall_page(void *page)
{
    static const uint8_t push_rcx_r11[] = {0x51, 0x41, 0x53}, pop_r11_rcx_ret[] = {0x41, 0x5b, 0x59, 0xc3},
                         push_rax[] = {0x50}, syscall[] = {0x0f, 0x05};
    memset(page, 0xcc, PAGE_SIZE);
    for (uint32_t nr = 0; nr < PAGE_SIZE / STUB_SIZE; nr++) {
        uint8_t *at = (uint8_t *)page + nr * STUB_SIZE;
        const uint8_t mov_eax[] = {0xb8, (uint8_t)nr, 0, 0, 0};
        at = emit(at, push_rcx_r11, sizeof(push_rcx_r11));
        if (nr == __HYPERVISOR_iret)
            at = emit(at, push_rax, sizeof(push_rax));
        at = emit(at, mov_eax, sizeof(mov_eax));
        at = emit(at, syscall, sizeof(syscall));
        if (nr != __HYPERVISOR_iret)
            emit(at, pop_r11_rcx_ret, sizeof(pop_r11_rcx_ret));
    }
}
