/*
 * libbulkhead: controls the domains of this machine from Dom0. Works on Bulkhead and on Xen 4.17.
 *
 * Model. One struct bh is one connection to the hypervisor and the store, used by one thread at a time. Every
 * function that can fail returns a negative errno and leaves in the handle a chain of messages, from what the
 * caller wanted (first) down to the check that failed (last). Nothing is printed.
 *
 * Strings given out are owned by the caller unless a comment says otherwise. Memory sizes are in KiB, times
 * in nanoseconds.
 */
#ifndef BULKHEAD_H
#define BULKHEAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct bh;

/* Opens a handle. Never returns NULL but for lack of memory; what is missing is told by the first call
 * needing it. */
struct bh *bh_open(void);
void bh_close(struct bh *h);

/* ---- errors ---- */

/* Messages of the last failure, 0 the outermost. NULL past the end. Valid until the next call on the handle.
 */
const char *bh_error_message(const struct bh *h, unsigned int index);
unsigned int bh_error_count(const struct bh *h);
/* errno of the last failure, positive; 0: no failure. */
int bh_error_code(const struct bh *h);
void bh_error_clear(struct bh *h);

/* ---- fault injection (tests): the nth step from now on fails; 0 switches it off ---- */
void bh_inject(struct bh *h, unsigned long nth);
/* The name of the step that was made to fail, or NULL: fewer than n steps were taken. */
const char *bh_injected_step(const struct bh *h);

/* ---- the machine ---- */

struct bh_version {
    unsigned int major, minor;
    char extra[16];
    char compiler[64], compile_by[16], compile_domain[32], compile_date[32];
    char capabilities[1024];
    char changeset[64];
    char command_line[1024];
    uint64_t virt_start;
    uint32_t page_size;
    bool is_bulkhead;
};

struct bh_physinfo {
    unsigned int nr_cpus, max_cpu_id, nr_nodes, cores_per_socket, threads_per_core;
    unsigned int cpu_khz;
    uint32_t hw_caps[8];
    uint64_t total_kib, free_kib, scrub_kib, outstanding_kib;
    bool cap_hvm, cap_pv, cap_directio, cap_hap, cap_shadow, cap_grant_v1, cap_grant_v2, cap_vmtrace,
        cap_vpmu, cap_iommu_share;
    unsigned int scheduler;
};

int bh_get_version(struct bh *h, struct bh_version *out);
int bh_get_physinfo(struct bh *h, struct bh_physinfo *out);
const char *bh_scheduler_name(unsigned int sched_id);

struct bh_cpu_topology {
    uint32_t core, socket, node;
};
/* *out: array of *count, freed by the caller; core UINT32_MAX: CPU not there. */
int bh_get_topology(struct bh *h, struct bh_cpu_topology **out, unsigned int *count);

struct bh_numa_node {
    uint64_t size, free;
};
/* *distance: count x count, freed by the caller like *nodes. */
int bh_get_numa(struct bh *h, struct bh_numa_node **nodes, uint32_t **distance, unsigned int *count);

/* Reads the hypervisor's log, from *index on when incremental; *index moves on. *text is freed by the caller.
 */
int bh_read_log(struct bh *h, bool clear, bool incremental, uint32_t *index, char **text, size_t *length);
int bh_debug_keys(struct bh *h, const char *keys);

/* ---- domains ---- */

#define BH_DYING    (1U << 0)
#define BH_HVM      (1U << 1)
#define BH_SHUTDOWN (1U << 2)
#define BH_PAUSED   (1U << 3)
#define BH_BLOCKED  (1U << 4)
#define BH_RUNNING  (1U << 5)

enum bh_shutdown_reason {
    BH_REASON_POWEROFF,
    BH_REASON_REBOOT,
    BH_REASON_SUSPEND,
    BH_REASON_CRASH,
    BH_REASON_WATCHDOG,
    BH_REASON_SOFT_RESET,
};

struct bh_domain {
    unsigned int domid;
    uint32_t flags;
    unsigned int shutdown_reason;
    uint64_t memory_kib, max_memory_kib, outstanding_kib, shared_kib, paged_kib;
    uint64_t cpu_time_ns;
    unsigned int online_vcpus, vcpus; /* vcpus: the largest vcpu number + 1 */
    uint32_t ssid;
    uint8_t uuid[16];
    unsigned int cpupool;
    uint64_t shared_info_frame;
};

/* Every domain, ordered by id. *out is freed by the caller. */
int bh_list(struct bh *h, struct bh_domain **out, unsigned int *count);
int bh_domain_info(struct bh *h, unsigned int domid, struct bh_domain *out);
/* Names of all domains in list, in one exchange with the store; names[i] may be NULL. Each is freed by the
 * caller. */
int bh_names(struct bh *h, const struct bh_domain *list, unsigned int count, char **names);
int bh_domain_name(struct bh *h, unsigned int domid, char **name);
/* A domain by number, name or UUID. */
int bh_find(struct bh *h, const char *who, unsigned int *domid);
int bh_rename(struct bh *h, unsigned int domid, const char *name);

int bh_pause(struct bh *h, unsigned int domid);
int bh_unpause(struct bh *h, unsigned int domid);
/* Asks the guest through control/shutdown: "poweroff", "reboot", "halt", "suspend". */
int bh_request_shutdown(struct bh *h, unsigned int domid, const char *what);
int bh_sysrq(struct bh *h, unsigned int domid, char key);
int bh_trigger(struct bh *h, unsigned int domid, unsigned int trigger, unsigned int vcpu);
/* Ends a domain and removes all that belonged to it: devices, nodes, files. Safe to repeat. */
int bh_destroy(struct bh *h, unsigned int domid);
/* A restart of the domain that is under way stops before it makes a new one. */
void bh_cancel_restart(const uint8_t uuid[16]);

int bh_set_memory_target(struct bh *h, unsigned int domid, uint64_t kib);
int bh_set_memory_max(struct bh *h, unsigned int domid, uint64_t kib);
int bh_set_vcpus(struct bh *h, unsigned int domid, unsigned int count);

struct bh_vcpu {
    bool online, blocked, running;
    uint64_t cpu_time_ns;
    uint32_t cpu;
};
int bh_vcpu_info(struct bh *h, unsigned int domid, unsigned int vcpu, struct bh_vcpu *out);

#define BH_CPUMAP_BYTES 128
struct bh_cpumap {
    uint8_t bits[BH_CPUMAP_BYTES];
};
bool bh_cpumap_test(const struct bh_cpumap *map, unsigned int cpu);
void bh_cpumap_set(struct bh_cpumap *map, unsigned int cpu, bool on);
/* "all", "none", "0-3,^2,node:0": -EINVAL and a message when it is none of that. */
int bh_cpumap_parse(struct bh *h, const char *text, struct bh_cpumap *map);
/* What xl prints: "all" when the first nr_cpus are in, "none", or ranges. Into a static-size buffer. */
void bh_cpumap_print(const struct bh_cpumap *map, unsigned int nr_cpus, char *out, size_t size);
int bh_get_affinity(struct bh *h, unsigned int domid, unsigned int vcpu, struct bh_cpumap *hard,
                    struct bh_cpumap *soft);
/* NULL: leave that one as it is. */
int bh_set_affinity(struct bh *h, unsigned int domid, unsigned int vcpu, const struct bh_cpumap *hard,
                    const struct bh_cpumap *soft, bool force);

struct bh_sched {
    unsigned int scheduler;
    unsigned int weight, cap;
};
int bh_sched_get(struct bh *h, unsigned int domid, struct bh_sched *out);
/* Fields < 0 stay. */
int bh_sched_set(struct bh *h, unsigned int domid, int weight, int cap);
struct bh_sched_pool {
    unsigned int tslice_ms, ratelimit_us, migration_delay_us;
};
int bh_sched_pool_get(struct bh *h, unsigned int pool, unsigned int sched_id, struct bh_sched_pool *out);
int bh_sched_pool_set(struct bh *h, unsigned int pool, unsigned int sched_id, const struct bh_sched_pool *in);

struct bh_cpupool {
    unsigned int id, scheduler, domains;
    struct bh_cpumap cpus;
    char *name; /* may be NULL */
};
int bh_cpupool_list(struct bh *h, struct bh_cpupool **out, unsigned int *count);
void bh_cpupool_list_free(struct bh_cpupool *list, unsigned int count);
int bh_cpupool_find(struct bh *h, const char *who, unsigned int *id);
int bh_cpupool_create(struct bh *h, const char *name, unsigned int sched_id, unsigned int *id);
int bh_cpupool_destroy(struct bh *h, unsigned int id);
int bh_cpupool_rename(struct bh *h, unsigned int id, const char *name);
int bh_cpupool_add_cpu(struct bh *h, unsigned int id, unsigned int cpu);
int bh_cpupool_remove_cpu(struct bh *h, unsigned int id, unsigned int cpu);
int bh_cpupool_free_cpus(struct bh *h, struct bh_cpumap *out);
int bh_cpupool_move(struct bh *h, unsigned int domid, unsigned int id);

/* Unpacks a kernel file and keeps the result, so that creating a PV guest with it need not. -ENOEXEC: no PV kernel. */
int bh_prepare_kernel(struct bh *h, const char *path);
/* Writes an ELF core of the domain (section layout of Xen's dump format) to path. */
int bh_dump_core(struct bh *h, unsigned int domid, const char *path);

/* ---- creating ---- */

enum bh_action {
    BH_DESTROY,
    BH_RESTART,
    BH_RENAME_RESTART,
    BH_PRESERVE,
    BH_COREDUMP_DESTROY,
    BH_COREDUMP_RESTART,
    BH_DO_SOFT_RESET,
};

enum bh_backend_type { BH_BACKEND_AUTO, BH_BACKEND_OURS, BH_BACKEND_LINUX };

struct bh_disk {
    char *target, *vdev, *format, *backend, *script, *overlay;
    enum bh_backend_type backendtype;
    bool readonly, cdrom, removable, direct_io_safe, no_discard, secure_erase;
    uint64_t iops, bandwidth; /* limits a second; 0: none */
    uint64_t burst_ms;        /* of unused allowance that may be saved up; 0: the back end's default */
};

struct bh_vif {
    uint8_t mac[6];
    bool has_mac, trusted, ours;
    bool antispoof; /* only `mac` and the addresses in `ip` as source */
    char *bridge, *ip, *script, *vifname, *model, *gateway, *backend;
    unsigned int mtu, vlan, queues;
    uint64_t rate_bytes; /* a second; 0: none */
    uint32_t rate_interval_us;
};

struct bh_config {
    char *name;
    uint8_t uuid[16];
    bool has_uuid;
    uint64_t memory_kib, max_memory_kib;
    unsigned int vcpus, max_vcpus;
    char *kernel, *ramdisk, *cmdline;
    char *pool;
    char **cpus, **cpus_soft; /* one spec for all, or one a vcpu */
    unsigned int cpus_count, cpus_soft_count;
    unsigned int weight;
    int cap;
    unsigned int max_event_channels;
    int max_grant_frames, max_maptrack_frames; /* < 0: the hypervisor's */
    int max_grant_version;
    enum bh_action on_poweroff, on_reboot, on_crash, on_watchdog, on_soft_reset;
    bool nomigrate, driver_domain, msr_relaxed;
    char **cpuid; /* xl's strings, applied one after the other */
    unsigned int cpuid_count;
    char *backend_user;
    struct bh_disk *disks;
    unsigned int disk_count;
    struct bh_vif *vifs;
    unsigned int vif_count;
    char *source; /* JSON of the whole config: kept for restart and `bh list -l`; may be NULL */
};

void bh_config_init(struct bh_config *config);
void bh_config_free(struct bh_config *config);
void bh_disk_free(struct bh_disk *disk);
void bh_vif_free(struct bh_vif *vif);

struct bh_create_options {
    bool paused;
    void (*progress)(void *context, const char *step);
    void *context;
};

/* Builds and starts a domain, or leaves nothing behind. */
int bh_create(struct bh *h, const struct bh_config *config, const struct bh_create_options *options,
              unsigned int *domid);
/* All that bh_create would check, changing nothing. Stops at the first thing that cannot work. */
int bh_create_check(struct bh *h, const struct bh_config *config);

/* ---- devices ---- */

enum bh_device_class { BH_VBD, BH_VIF };
struct bh_device {
    unsigned int devid, backend_domid;
    int state, backend_state;
    int evtchn, ring_ref;
    char *backend_path, *frontend_path;
    char *mac, *bridge, *params, *vdev, *type;
};
int bh_vdev_to_devid(const char *vdev, unsigned int *devid);
int bh_device_list(struct bh *h, unsigned int domid, enum bh_device_class class, struct bh_device **out,
                   unsigned int *count);
void bh_device_list_free(struct bh_device *list, unsigned int count);
int bh_disk_attach(struct bh *h, unsigned int domid, const struct bh_disk *disk);
int bh_vif_attach(struct bh *h, unsigned int domid, const struct bh_vif *vif);
/* Ends in bounded time whatever the guest does; without force the guest is asked first. */
int bh_device_detach(struct bh *h, unsigned int domid, enum bh_device_class class, unsigned int devid,
                     bool force);
/* target NULL or "": eject. */
int bh_cd_change(struct bh *h, unsigned int domid, const char *vdev, const char *target);

/* ---- store ---- */

/* NULL and -ENOENT in the handle when there is none. */
char *bh_store_get(struct bh *h, const char *path);
int bh_store_set(struct bh *h, const char *path, const char *value);
int bh_store_remove(struct bh *h, const char *path);
/* Children of path, each freed by the caller with the array. */
int bh_store_list(struct bh *h, const char *path, char ***out, unsigned int *count);
/* Events of this watch are given by bh_store_next_event. */
int bh_store_watch(struct bh *h, const char *path, const char *token);
/* Events that are queued already are still given. -ENOENT: there is no such watch. */
int bh_store_unwatch(struct bh *h, const char *path, const char *token);
/* Descriptor to poll; events may also be pending without it being readable: ask bh_store_event_pending. */
int bh_store_fd(struct bh *h);
bool bh_store_event_pending(const struct bh *h);
/* Waits for one event; 0 and both strings (freed by the caller), or a negative errno. */
int bh_store_next_event(struct bh *h, char **path, char **token);

/* ---- files that belong to a domain ---- */

/* The config JSON kept for a running domain; NULL when there is none. */
char *bh_saved_config(struct bh *h, const uint8_t uuid[16]);
int bh_save_config(struct bh *h, const uint8_t uuid[16], unsigned int domid, const char *json);

void bh_uuid_print(const uint8_t uuid[16], char out[37]);
bool bh_uuid_parse(const char *text, uint8_t uuid[16]);

#endif
