/*
 * Control of the machine: the ABI of sysctl (Xen 4.17, interface version 0x15).
 *
 *   long sysctl(struct xen_sysctl *)
 */
#ifndef PUBLIC_SYSCTL_H
#define PUBLIC_SYSCTL_H

#include "xen.h"
#include "domctl.h"
#include "physdev.h"

#define XEN_SYSCTL_INTERFACE_VERSION 0x00000015

struct xen_sysctl_readconsole {
    uint8_t clear, incremental; /* IN */
    uint8_t pad0, pad1;
    uint32_t index;  /* IN/OUT */
    uint64_t buffer; /* char * */
    uint32_t count;  /* IN/OUT: bytes */
};

#define XEN_SYSCTL_PHYSCAP_hvm                (1u << 0)
#define XEN_SYSCTL_PHYSCAP_pv                 (1u << 1)
#define XEN_SYSCTL_PHYSCAP_directio           (1u << 2)
#define XEN_SYSCTL_PHYSCAP_hap                (1u << 3)
#define XEN_SYSCTL_PHYSCAP_shadow             (1u << 4)
#define XEN_SYSCTL_PHYSCAP_iommu_hap_pt_share (1u << 5)
#define XEN_SYSCTL_PHYSCAP_vmtrace            (1u << 6)
#define XEN_SYSCTL_PHYSCAP_vpmu               (1u << 7)
#define XEN_SYSCTL_PHYSCAP_gnttab_v1          (1u << 8)
#define XEN_SYSCTL_PHYSCAP_gnttab_v2          (1u << 9)
struct xen_sysctl_physinfo {
    uint32_t threads_per_core, cores_per_socket;
    uint32_t nr_cpus, max_cpu_id;
    uint32_t nr_nodes, max_node_id;
    uint32_t cpu_khz;
    uint32_t capabilities; /* XEN_SYSCTL_PHYSCAP_* */
    uint32_t arch_capabilities;
    uint32_t pad;
    uint64_t total_pages, free_pages, scrub_pages, outstanding_pages;
    uint64_t max_mfn;
    uint32_t hw_cap[8];
};

struct xen_sysctl_sched_id {
    uint32_t sched_id;
};

struct xen_sysctl_getdomaininfolist {
    domid_t first_domain;
    uint32_t max_domains;
    uint64_t buffer;      /* struct xen_domctl_getdomaininfo * */
    uint32_t num_domains; /* OUT */
};

struct xen_sysctl_debug_keys {
    uint64_t keys; /* const char * */
    uint32_t nr_keys;
};

struct xen_sysctl_cpuinfo {
    uint64_t idletime; /* ns */
};
struct xen_sysctl_getcpuinfo {
    uint32_t max_cpus;
    uint64_t info;    /* struct xen_sysctl_cpuinfo * */
    uint32_t nr_cpus; /* OUT */
};

struct xen_sysctl_availheap {
    uint32_t min_bitwidth, max_bitwidth;
    int32_t node;
    uint64_t avail_bytes; /* OUT */
};

struct xen_sysctl_get_pmstat {
    uint32_t type; /* PMSTAT_* */
    uint32_t cpuid;
    uint64_t u[7]; /* the statistics: not offered */
};

#define XEN_SYSCTL_CPU_HOTPLUG_ONLINE  0
#define XEN_SYSCTL_CPU_HOTPLUG_OFFLINE 1
struct xen_sysctl_cpu_hotplug {
    uint32_t cpu, op;
};

#define XEN_SYSCTL_pm_op_get_max_cstate           0x22
#define XEN_SYSCTL_pm_op_set_vcpu_migration_delay 0x24
#define XEN_SYSCTL_pm_op_get_vcpu_migration_delay 0x25
#define XEN_SYSCTL_CX_UNLIMITED                   0xffffffff
struct xen_sysctl_pm_op {
    uint32_t cmd, cpuid;
    union {
        uint8_t get_para[120]; /* cpufreq: not offered */
        uint64_t get_avgfreq;
        uint32_t set_sched_opt_smt;
        uint32_t get_max_cstate, set_max_cstate;
    } u;
};

struct xen_sysctl_page_offline_op {
    uint32_t cmd, start, end;
    uint64_t status; /* uint32_t * */
};

#define XEN_INVALID_CORE_ID   (~0U)
#define XEN_INVALID_SOCKET_ID (~0U)
#define XEN_INVALID_NODE_ID   (~0U)
#define XEN_INVALID_DEV       (XEN_INVALID_NODE_ID - 1)
struct xen_sysctl_cputopo {
    uint32_t core, socket, node;
};
struct xen_sysctl_cputopoinfo {
    uint32_t num_cpus; /* IN/OUT */
    uint64_t cputopo;  /* struct xen_sysctl_cputopo *; 0: only count */
};
struct xen_sysctl_meminfo {
    uint64_t memsize, memfree; /* bytes */
};
struct xen_sysctl_numainfo {
    uint32_t num_nodes; /* IN/OUT */
    uint64_t meminfo;   /* struct xen_sysctl_meminfo * */
    uint64_t distance;  /* uint32_t * */
};
struct xen_sysctl_pcitopoinfo {
    uint32_t num_devs; /* IN/OUT */
    uint64_t devs;     /* struct physdev_pci_device * */
    uint64_t nodes;    /* uint32_t * */
};

#define XEN_SYSCTL_CPUPOOL_OP_CREATE     1
#define XEN_SYSCTL_CPUPOOL_OP_DESTROY    2
#define XEN_SYSCTL_CPUPOOL_OP_INFO       3
#define XEN_SYSCTL_CPUPOOL_OP_ADDCPU     4
#define XEN_SYSCTL_CPUPOOL_OP_RMCPU      5
#define XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN 6
#define XEN_SYSCTL_CPUPOOL_OP_FREEINFO   7
#define XEN_SYSCTL_CPUPOOL_PAR_ANY       0xFFFFFFFF
struct xen_sysctl_cpupool_op {
    uint32_t op;
    uint32_t cpupool_id;         /* IN; OUT for CREATE and INFO */
    uint32_t sched_id;           /* IN for CREATE, OUT for INFO */
    uint32_t domid, cpu;         /* IN */
    uint32_t n_dom;              /* OUT */
    struct xenctl_bitmap cpumap; /* OUT */
};

#define XEN_SYSCTL_SCHEDOP_putinfo 0
#define XEN_SYSCTL_SCHEDOP_getinfo 1
struct xen_sysctl_credit_schedule {
    uint32_t tslice_ms, ratelimit_us, vcpu_migr_delay_us;
};
struct xen_sysctl_credit2_schedule {
    uint32_t ratelimit_us;
};
struct xen_sysctl_scheduler_op {
    uint32_t cpupool_id, sched_id, cmd;
    union {
        struct {
            uint64_t schedule;
        } sched_arinc653;
        struct xen_sysctl_credit_schedule sched_credit;
        struct xen_sysctl_credit2_schedule sched_credit2;
    } u;
};

struct xen_sysctl_cpu_levelling_caps {
    uint32_t caps;
};

#define XEN_SYSCTL_cpu_featureset_hvm     3
#define XEN_SYSCTL_cpu_featureset_hvm_max 5
struct xen_sysctl_cpu_featureset {
    uint32_t index;
    uint32_t nr_features; /* IN/OUT */
    uint64_t features;    /* uint32_t *; 0: only count */
};

#define XEN_SYSCTL_cpu_policy_hvm_max     3
#define XEN_SYSCTL_cpu_policy_hvm_default 5
struct xen_sysctl_cpu_policy {
    uint32_t index;
    uint32_t nr_leaves, nr_msrs; /* IN/OUT */
    uint32_t _rsvd;
    uint64_t leaves; /* struct xen_cpuid_leaf *; 0: only count */
    uint64_t msrs;   /* struct xen_msr_entry *; 0: only count */
};

struct xen_sysctl {
    uint32_t cmd;
#define XEN_SYSCTL_readconsole            1
#define XEN_SYSCTL_physinfo               3
#define XEN_SYSCTL_sched_id               4
#define XEN_SYSCTL_getdomaininfolist      6
#define XEN_SYSCTL_debug_keys             7
#define XEN_SYSCTL_getcpuinfo             8
#define XEN_SYSCTL_availheap              9
#define XEN_SYSCTL_get_pmstat             10
#define XEN_SYSCTL_cpu_hotplug            11
#define XEN_SYSCTL_pm_op                  12
#define XEN_SYSCTL_page_offline_op        14
#define XEN_SYSCTL_cputopoinfo            16
#define XEN_SYSCTL_numainfo               17
#define XEN_SYSCTL_cpupool_op             18
#define XEN_SYSCTL_scheduler_op           19
#define XEN_SYSCTL_pcitopoinfo            22
#define XEN_SYSCTL_get_cpu_levelling_caps 25
#define XEN_SYSCTL_get_cpu_featureset     26
#define XEN_SYSCTL_get_cpu_policy         29
    uint32_t interface_version; /* XEN_SYSCTL_INTERFACE_VERSION */
    union {
        struct xen_sysctl_readconsole readconsole;
        struct xen_sysctl_physinfo physinfo;
        struct xen_sysctl_cputopoinfo cputopoinfo;
        struct xen_sysctl_pcitopoinfo pcitopoinfo;
        struct xen_sysctl_numainfo numainfo;
        struct xen_sysctl_sched_id sched_id;
        struct xen_sysctl_getdomaininfolist getdomaininfolist;
        struct xen_sysctl_debug_keys debug_keys;
        struct xen_sysctl_getcpuinfo getcpuinfo;
        struct xen_sysctl_availheap availheap;
        struct xen_sysctl_get_pmstat get_pmstat;
        struct xen_sysctl_cpu_hotplug cpu_hotplug;
        struct xen_sysctl_pm_op pm_op;
        struct xen_sysctl_page_offline_op page_offline;
        struct xen_sysctl_cpupool_op cpupool_op;
        struct xen_sysctl_scheduler_op scheduler_op;
        struct xen_sysctl_cpu_levelling_caps cpu_levelling_caps;
        struct xen_sysctl_cpu_featureset cpu_featureset;
        struct xen_sysctl_cpu_policy cpu_policy;
        uint8_t pad[128];
    } u;
};

#endif
