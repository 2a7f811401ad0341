/*
 * Copying to and from guest memory at guest virtual addresses (the calling vcpu's own address space, v == current).
 * Every handler reads an argument once, into its own copy. Faults are caught: the result is the number of bytes NOT
 * copied, 0 for success. Addresses inside the hypervisor's range never pass. On the host a fake stands behind them.
 */
#ifndef BH_GUEST_H
#define BH_GUEST_H

#include <bh/types.h>

size_t must_check copy_from_guest(struct vcpu *v, void *dst, uint64_t untrusted_src, size_t bytes);
size_t must_check copy_to_guest(struct vcpu *v, uint64_t untrusted_dst, const void *src, size_t bytes);
size_t must_check clear_guest(struct vcpu *v, uint64_t untrusted_dst, size_t bytes);

#endif
