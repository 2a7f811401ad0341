/*
 * Machine checks: the ABI of the hypercall mca (Xen 4.17: arch-x86/xen-mca.h), for the control domain.
 *
 *   long mca(struct { uint32_t cmd, interface_version; struct xen_mc_* of the command; } *)
 *
 * Of its records only the CPUs' descriptions are here: the hypervisor keeps none of errors (arch/x86/mca.c).
 */
#ifndef PUBLIC_MCA_H
#define PUBLIC_MCA_H

#include "xen.h"

#define __HYPERVISOR_mca __HYPERVISOR_arch_0

#define XEN_MCA_INTERFACE_VERSION 0x01ecc003

#define XEN_MC_fetch       1
#define XEN_MC_physcpuinfo 3

/* Flags of a fetch: IN */
#define XEN_MC_NONURGENT 1
#define XEN_MC_URGENT    2
#define XEN_MC_ACK       4
/* OUT */
#define XEN_MC_OK     0
#define XEN_MC_NODATA 2

struct mcinfo_msr {
    uint64_t reg, value;
};

#define MC_NCAPS        7
#define MC_CAPS_STD_EDX 0
#define MC_CAPS_AMD_EDX 1
#define MC_CAPS_STD_ECX 4
#define MC_CAPS_AMD_ECX 6

struct mcinfo_logical_cpu {
    uint32_t mc_cpunr, mc_chipid;
    uint16_t mc_coreid, mc_threadid;
    uint32_t mc_apicid, mc_clusterid;
    uint32_t mc_ncores, mc_ncores_active, mc_nthreads;
    int32_t mc_cpuid_level;
    uint32_t mc_family, mc_vendor, mc_model, mc_step;
    char mc_vendorid[16];
    char mc_brandid[64];
    uint32_t mc_cpu_caps[MC_NCAPS];
    uint32_t mc_cache_size, mc_cache_alignment;
    int32_t mc_nmsrvals;
    struct mcinfo_msr mc_msrvalues[8];
};

struct xen_mc_fetch {
    uint32_t flags; /* INOUT */
    uint32_t _pad0;
    uint64_t fetch_id;
    uint64_t data; /* where a record would go */
};
struct xen_mc_physcpuinfo {
    uint32_t ncpus; /* IN: room; OUT: how many there are */
    uint32_t _pad0;
    uint64_t info; /* array of struct mcinfo_logical_cpu; 0: only the number */
};

#endif
