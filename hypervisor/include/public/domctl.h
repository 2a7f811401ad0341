/*
 * Control of domains: the ABI of domctl (Xen 4.17, interface version 0x15).
 *
 *   long domctl(struct xen_domctl *)
 * Guest addresses ("handles") are plain uint64_t here; a comment names the pointee.
 */
#ifndef PUBLIC_DOMCTL_H
#define PUBLIC_DOMCTL_H

#include "xen.h"
#include "event_channel.h"
#include "grant_table.h"

#define XEN_DOMCTL_INTERFACE_VERSION 0x00000015

#define XEN_DOMCTL_CDF_s3_integrity   (1U << 2)
#define XEN_DOMCTL_CDF_xs_domain      (1U << 4)
#define XEN_DOMCTL_GRANT_version_mask 0xf
#define XEN_DOMCTL_GRANT_version(v)   ((v)&XEN_DOMCTL_GRANT_version_mask)
struct xen_domctl_createdomain {
    uint32_t ssidref;
    xen_domain_handle_t handle;
    uint32_t flags;      /* XEN_DOMCTL_CDF_* */
    uint32_t iommu_opts; /* XEN_DOMCTL_IOMMU_* */
    uint32_t max_vcpus;
    uint32_t max_evtchn_port;
    int32_t max_grant_frames;    /* < 0: default */
    int32_t max_maptrack_frames; /* < 0: default */
    uint32_t grant_opts;         /* highest grant version, low 4 bits */
    uint32_t vmtrace_size;
    uint32_t cpupool_id;
    struct xen_arch_domainconfig arch;
};

#define XEN_DOMINF_dying         (1U << 0)
#define XEN_DOMINF_shutdown      (1U << 2)
#define XEN_DOMINF_paused        (1U << 3)
#define XEN_DOMINF_blocked       (1U << 4)
#define XEN_DOMINF_running       (1U << 5)
#define XEN_DOMINF_xs_domain     (1U << 7)
#define XEN_DOMINF_shutdownmask  255
#define XEN_DOMINF_shutdownshift 16
#define XEN_INVALID_MAX_VCPU_ID  (~0U)
struct xen_domctl_getdomaininfo {
    domid_t domain;
    uint16_t pad1;
    uint32_t flags; /* XEN_DOMINF_* */
    uint64_t tot_pages, max_pages, outstanding_pages, shr_pages, paged_pages;
    uint64_t shared_info_frame;
    uint64_t cpu_time; /* ns */
    uint32_t nr_online_vcpus;
    uint32_t max_vcpu_id;
    uint32_t ssidref;
    xen_domain_handle_t handle;
    uint32_t cpupool;
    uint8_t gpaddr_bits;
    uint8_t pad2[7];
    struct xen_arch_domainconfig arch_config;
};

#define XEN_DOMCTL_PFINFO_LTAB_SHIFT 28
#define XEN_DOMCTL_PFINFO_NOTAB      (0x0U << 28)
#define XEN_DOMCTL_PFINFO_LPINTAB    (0x1U << 31)
#define XEN_DOMCTL_PFINFO_XTAB       (0xfU << 28)
struct xen_domctl_getpageframeinfo3 {
    uint64_t num;   /* IN */
    uint64_t array; /* IN/OUT: xen_pfn_t[num]: frame in, type out */
};

#define XEN_DOMCTL_SHADOW_OP_OFF            0
#define XEN_DOMCTL_SHADOW_OP_GET_ALLOCATION 30
#define XEN_DOMCTL_SHADOW_OP_SET_ALLOCATION 31
struct xen_domctl_shadow_op_stats {
    uint32_t fault_count, dirty_count;
};
struct xen_domctl_shadow_op {
    uint32_t op;                             /* IN: XEN_DOMCTL_SHADOW_OP_* */
    uint32_t mode;                           /* IN */
    uint32_t mb;                             /* IN/OUT */
    uint64_t dirty_bitmap;                   /* IN: uint8_t * */
    uint64_t pages;                          /* IN/OUT */
    struct xen_domctl_shadow_op_stats stats; /* OUT */
};

struct xen_domctl_max_mem {
    uint64_t max_memkb;
};

struct xen_domctl_vcpucontext {
    uint32_t vcpu;
    uint64_t ctxt; /* struct vcpu_guest_context * */
};

struct xen_domctl_getvcpuinfo {
    uint32_t vcpu; /* IN */
    uint8_t online, blocked, running;
    uint64_t cpu_time; /* ns */
    uint32_t cpu;
};

struct xen_domctl_nodeaffinity {
    struct xenctl_bitmap nodemap;
};

#define XEN_VCPUAFFINITY_HARD  (1U << 0)
#define XEN_VCPUAFFINITY_SOFT  (1U << 1)
#define XEN_VCPUAFFINITY_FORCE (1U << 2)
struct xen_domctl_vcpuaffinity {
    uint32_t vcpu;
    uint32_t flags;                                /* XEN_VCPUAFFINITY_* */
    struct xenctl_bitmap cpumap_hard, cpumap_soft; /* set: IN, OUT what is in effect; get: OUT */
};

struct xen_domctl_max_vcpus {
    uint32_t max;
};

#define XEN_SCHEDULER_CREDIT       5
#define XEN_SCHEDULER_CREDIT2      6
#define XEN_DOMCTL_SCHEDOP_putinfo 0
#define XEN_DOMCTL_SCHEDOP_getinfo 1
struct xen_domctl_sched_credit {
    uint16_t weight;
    uint16_t cap; /* percent of a CPU; 0: none */
};
struct xen_domctl_sched_credit2 {
    uint16_t weight, cap;
};
struct xen_domctl_scheduler_op {
    uint32_t sched_id; /* XEN_SCHEDULER_* */
    uint32_t cmd;      /* XEN_DOMCTL_SCHEDOP_* */
    union {
        struct xen_domctl_sched_credit credit;
        struct xen_domctl_sched_credit2 credit2;
        struct {
            uint64_t vcpus;
            uint32_t nr_vcpus, padding;
        } v;
    } u;
};

struct xen_domctl_setdomainhandle {
    xen_domain_handle_t handle;
};
struct xen_domctl_setdebugging {
    uint8_t enable;
};
struct xen_domctl_irq_permission {
    uint32_t pirq;
    uint8_t allow_access;
    uint8_t pad[3];
};
struct xen_domctl_iomem_permission {
    uint64_t first_mfn, nr_mfns;
    uint8_t allow_access;
};
struct xen_domctl_ioport_permission {
    uint32_t first_port, nr_ports;
    uint8_t allow_access;
};
struct xen_domctl_hypercall_init {
    uint64_t gmfn;
};
struct xen_domctl_settimeoffset {
    int64_t time_offset_seconds;
};
struct xen_domctl_address_size {
    uint32_t size; /* bits */
};

#define XEN_DOMCTL_SENDTRIGGER_NMI 0
struct xen_domctl_sendtrigger {
    uint32_t trigger, vcpu;
};

struct xen_domctl_memory_mapping {
    uint64_t first_gfn, first_mfn, nr_mfns;
    uint32_t add_mapping;
    uint32_t padding;
};

struct xen_domctl_ext_vcpucontext {
    uint32_t vcpu;
    uint32_t size; /* set: IN; get: OUT */
    uint64_t syscall32_callback_eip, sysenter_callback_eip;
    uint16_t syscall32_callback_cs, sysenter_callback_cs;
    uint8_t syscall32_disables_events, sysenter_disables_events;
    union {
        uint64_t mcg_cap;
        struct {
            uint64_t caps, mci_ctl2_bank0, mci_ctl2_bank1, mcg_ext_ctl;
        } vmce;
    };
};

struct xen_domctl_set_target {
    domid_t target;
};

struct xen_domctl_cpu_policy {
    uint32_t nr_leaves, nr_msrs; /* IN/OUT */
    uint64_t leaves;             /* struct xen_cpuid_leaf * */
    uint64_t msrs;               /* struct xen_msr_entry * */
    uint32_t err_leaf, err_subleaf, err_msr;
};

struct xen_domctl_subscribe {
    uint32_t port;
};
struct xen_domctl_tsc_info {
    uint32_t tsc_mode, gtsc_khz, incarnation, pad;
    uint64_t elapsed_nsec;
};
struct xen_domctl_set_virq_handler {
    uint32_t virq;
};
struct xen_domctl_vcpuextstate {
    uint32_t vcpu;
    uint64_t xfeature_mask; /* get: IN/OUT */
    uint64_t size;          /* bytes; get: IN/OUT */
    uint64_t buffer;
};
struct xen_domctl_paging_mempool {
    uint64_t size; /* bytes */
};
struct xen_domctl_vcpu_msrs {
    uint32_t vcpu;
    uint32_t msr_count; /* IN/OUT */
    uint64_t msrs;      /* struct xen_domctl_vcpu_msr *; 0: only count */
};

struct xen_domctl {
    uint32_t cmd;
#define XEN_DOMCTL_createdomain            1
#define XEN_DOMCTL_destroydomain           2
#define XEN_DOMCTL_pausedomain             3
#define XEN_DOMCTL_unpausedomain           4
#define XEN_DOMCTL_getdomaininfo           5
#define XEN_DOMCTL_setvcpuaffinity         9
#define XEN_DOMCTL_shadow_op               10
#define XEN_DOMCTL_max_mem                 11
#define XEN_DOMCTL_setvcpucontext          12
#define XEN_DOMCTL_getvcpucontext          13
#define XEN_DOMCTL_getvcpuinfo             14
#define XEN_DOMCTL_max_vcpus               15
#define XEN_DOMCTL_scheduler_op            16
#define XEN_DOMCTL_setdomainhandle         17
#define XEN_DOMCTL_setdebugging            18
#define XEN_DOMCTL_irq_permission          19
#define XEN_DOMCTL_iomem_permission        20
#define XEN_DOMCTL_ioport_permission       21
#define XEN_DOMCTL_hypercall_init          22
#define XEN_DOMCTL_settimeoffset           24
#define XEN_DOMCTL_getvcpuaffinity         25
#define XEN_DOMCTL_resumedomain            27
#define XEN_DOMCTL_sendtrigger             28
#define XEN_DOMCTL_subscribe               29
#define XEN_DOMCTL_set_address_size        35
#define XEN_DOMCTL_get_address_size        36
#define XEN_DOMCTL_memory_mapping          39
#define XEN_DOMCTL_set_ext_vcpucontext     42
#define XEN_DOMCTL_get_ext_vcpucontext     43
#define XEN_DOMCTL_set_target              46
#define XEN_DOMCTL_gettscinfo              59
#define XEN_DOMCTL_settscinfo              60
#define XEN_DOMCTL_getpageframeinfo3       61
#define XEN_DOMCTL_setvcpuextstate         62
#define XEN_DOMCTL_getvcpuextstate         63
#define XEN_DOMCTL_set_virq_handler        66
#define XEN_DOMCTL_setnodeaffinity         68
#define XEN_DOMCTL_getnodeaffinity         69
#define XEN_DOMCTL_get_vcpu_msrs           72
#define XEN_DOMCTL_set_vcpu_msrs           73
#define XEN_DOMCTL_soft_reset              79
#define XEN_DOMCTL_get_cpu_policy          82
#define XEN_DOMCTL_set_cpu_policy          83
#define XEN_DOMCTL_get_paging_mempool_size 85
#define XEN_DOMCTL_set_paging_mempool_size 86
    uint32_t interface_version; /* XEN_DOMCTL_INTERFACE_VERSION */
    domid_t domain;
    uint16_t _pad[3];
    union {
        struct xen_domctl_createdomain createdomain;
        struct xen_domctl_getdomaininfo getdomaininfo;
        struct xen_domctl_getpageframeinfo3 getpageframeinfo3;
        struct xen_domctl_nodeaffinity nodeaffinity;
        struct xen_domctl_vcpuaffinity vcpuaffinity;
        struct xen_domctl_shadow_op shadow_op;
        struct xen_domctl_max_mem max_mem;
        struct xen_domctl_vcpucontext vcpucontext;
        struct xen_domctl_getvcpuinfo getvcpuinfo;
        struct xen_domctl_max_vcpus max_vcpus;
        struct xen_domctl_scheduler_op scheduler_op;
        struct xen_domctl_setdomainhandle setdomainhandle;
        struct xen_domctl_setdebugging setdebugging;
        struct xen_domctl_irq_permission irq_permission;
        struct xen_domctl_iomem_permission iomem_permission;
        struct xen_domctl_ioport_permission ioport_permission;
        struct xen_domctl_hypercall_init hypercall_init;
        struct xen_domctl_settimeoffset settimeoffset;
        struct xen_domctl_tsc_info tsc_info;
        struct xen_domctl_address_size address_size;
        struct xen_domctl_sendtrigger sendtrigger;
        struct xen_domctl_memory_mapping memory_mapping;
        struct xen_domctl_ext_vcpucontext ext_vcpucontext;
        struct xen_domctl_set_target set_target;
        struct xen_domctl_subscribe subscribe;
        struct xen_domctl_cpu_policy cpu_policy;
        struct xen_domctl_vcpuextstate vcpuextstate;
        struct xen_domctl_vcpu_msrs vcpu_msrs;
        struct xen_domctl_set_virq_handler set_virq_handler;
        struct xen_domctl_paging_mempool paging_mempool;
        uint8_t pad[128];
    } u;
};

#endif
