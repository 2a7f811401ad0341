/*
 * Guest memory at guest virtual addresses, in the page tables that are loaded. The copy itself (entry.S) has
 * fix-ups: a fault that pv_hypervisor_page_fault() cannot cure ends it with the number of bytes left.
 */
#include <bh/guest.h>
#include <asm/layout.h>

#define LOWER_HALF_END 0x0000800000000000UL

size_t copy_user(void *dst, const void *src, size_t bytes);
size_t clear_user(void *dst, size_t bytes);

/* Whether all of it lies where guests may have memory: the lower half, or above the hypervisor's range. */
static inline bool guest_range(uint64_t untrusted, size_t bytes)
{
    uint64_t end = untrusted + bytes;

    return end >= untrusted && (end <= LOWER_HALF_END || untrusted >= HV_END);
}

size_t copy_from_guest(struct vcpu *v, void *dst, uint64_t untrusted_src, size_t bytes)
{
    if (unlikely(!guest_range(untrusted_src, bytes)))
        return bytes;
    return copy_user(dst, (const void *)untrusted_src, bytes);
}

size_t copy_to_guest(struct vcpu *v, uint64_t untrusted_dst, const void *src, size_t bytes)
{
    if (unlikely(!guest_range(untrusted_dst, bytes)))
        return bytes;
    return copy_user((void *)untrusted_dst, src, bytes);
}

size_t clear_guest(struct vcpu *v, uint64_t untrusted_dst, size_t bytes)
{
    if (unlikely(!guest_range(untrusted_dst, bytes)))
        return bytes;
    return clear_user((void *)untrusted_dst, bytes);
}
