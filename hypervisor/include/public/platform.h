/*
 * The platform: the ABI of platform_op (Xen 4.17), for the control domain.
 *
 *   long platform_op(struct { uint32_t cmd, interface_version; struct xenpf_* of the command; } *)
 */
#ifndef PUBLIC_PLATFORM_H
#define PUBLIC_PLATFORM_H

#include "xen.h"

#define XENPF_INTERFACE_VERSION 0x03000001

#define XENPF_settime32        17
#define XENPF_read_memtype     33
#define XENPF_get_cpu_version  48
#define XENPF_firmware_info    50
#define XENPF_enter_acpi_sleep 51
#define XENPF_getidletime      53
#define XENPF_get_cpuinfo      55
#define XENPF_cpu_online       56
#define XENPF_cpu_offline      57
#define XENPF_core_parking     60
#define XENPF_resource_op      61
#define XENPF_settime64        62

struct xenpf_settime32 {
    uint32_t secs, nsecs;
    uint64_t system_time;
};
struct xenpf_settime64 {
    uint64_t secs;
    uint32_t nsecs, mbz;
    uint64_t system_time; /* the clock shows secs, nsecs when system time is this */
};
struct xenpf_read_memtype {
    uint32_t reg; /* IN: variable MTRR */
    xen_pfn_t mfn;
    uint64_t nr_mfns;
    uint32_t type;
};

#define XEN_FW_DISK_INFO          1
#define XEN_FW_DISK_MBR_SIGNATURE 2
#define XEN_FW_VBEDDC_INFO        3
#define XEN_FW_EFI_INFO           4
#define XEN_FW_EFI_VERSION        0
#define XEN_FW_EFI_CONFIG_TABLE   1
#define XEN_FW_EFI_VENDOR         2
#define XEN_FW_EFI_RT_VERSION     4
#define XEN_FW_KBD_SHIFT_FLAGS    5
union xenpf_efi_info {
    uint32_t version;
    struct {
        uint64_t addr;
        uint32_t nent;
    } cfg;
    struct {
        uint32_t revision;
        uint32_t bufsz; /* IN: bytes */
        uint64_t name;  /* IN: UTF-16 buffer */
    } vendor;
    struct {
        uint64_t addr; /* IN/OUT */
        uint64_t size, attr;
        uint32_t type;
    } mem;
};
struct xenpf_firmware_info {
    uint32_t type, index; /* IN */
    union {
        union xenpf_efi_info efi_info;
        uint8_t kbd_shift_flags;
    } u;
};

#define XENPF_ACPI_SLEEP_EXTENDED 0x00000001
struct xenpf_enter_acpi_sleep {
    uint16_t val_a, val_b; /* PM1a and PM1b control values */
    uint32_t sleep_state;
    uint32_t flags;
};

struct xenpf_getidletime {
    uint64_t cpumap_bitmap; /* IN/OUT: uint8_t * */
    uint32_t cpumap_nr_cpus;
    uint64_t idletime; /* uint64_t * by CPU: ns */
    uint64_t now;      /* OUT */
};

#define XEN_PCPU_FLAGS_ONLINE  1
#define XEN_PCPU_FLAGS_INVALID 2
struct xenpf_pcpuinfo {
    uint32_t xen_cpuid;   /* IN */
    uint32_t max_present; /* OUT: highest CPU that is there */
    uint32_t flags;
    uint32_t apic_id, acpi_id;
};
struct xenpf_pcpu_version {
    uint32_t xen_cpuid; /* IN */
    uint32_t max_present;
    char vendor_id[12];
    uint32_t family, model, stepping;
};
struct xenpf_cpu_ol {
    uint32_t cpuid;
};

#define XEN_CORE_PARKING_SET 1
#define XEN_CORE_PARKING_GET 2
struct xenpf_core_parking {
    uint32_t type, idle_nums;
};

#define XEN_RESOURCE_OP_MSR_READ 0
struct xenpf_resource_entry {
    union {
        uint32_t cmd; /* IN */
        int32_t ret;  /* OUT, when it failed */
    } u;
    uint32_t rsvd;
    uint64_t idx, val;
};
struct xenpf_resource_op {
    uint32_t nr_entries, cpu;
    uint64_t entries; /* struct xenpf_resource_entry * */
};

#endif
