/*
 * Wrong and right pointers in every hypercall, as in hypercall-pointers, on a CPU with SMAP, SMEP and UMIP: the hypervisor
 * reaches guest memory where it means to, and says so to the CPU each time. Bed: --cpu max,-la57
 */
#include "../hypercall-pointers/main.c"
