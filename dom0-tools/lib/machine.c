/*
 * The machine: version, CPUs, memory, the hypervisor's log, CPU maps, scheduling and cpupools.
 */
#include <ctype.h>
#include "internal.h"

/* ---- version and physinfo ---- */

/* One XENVER_ sub-operation that fills `size` bytes at out. */
static long version_call(struct bh *h, unsigned int what, void *out, size_t size)
{
    size_t mark = bh_hbuf_mark(h);
    void *buffer = size ? bh_hbuf(h, size) : NULL;
    long rc;

    if (size && !buffer)
        return -h->error;
    rc = bh_hypercall(h, "xen_version", __HYPERVISOR_xen_version, what, (uintptr_t)buffer, 0, 0, 0);
    if (rc >= 0 && size) {
        memcpy(out, buffer, size);
        ((char *)out)[size - 1] = 0;
    }
    bh_hbuf_release(h, mark);
    return rc;
}

int bh_get_version(struct bh *h, struct bh_version *out)
{
    struct xen_compile_info compile;
    struct xen_platform_parameters platform;
    size_t mark = bh_hbuf_mark(h);
    void *buffer;
    long rc = version_call(h, XENVER_version, NULL, 0);

    memset(out, 0, sizeof(*out));
    if (rc < 0)
        return rc;
    out->major = rc >> 16;
    out->minor = rc & 0xffff;
    if (version_call(h, XENVER_extraversion, out->extra, sizeof(out->extra)) < 0)
        return -h->error;
    if (version_call(h, XENVER_compile_info, &compile, sizeof(compile)) >= 0) {
        snprintf(out->compiler, sizeof(out->compiler), "%.63s", compile.compiler);
        snprintf(out->compile_by, sizeof(out->compile_by), "%.15s", compile.compile_by);
        snprintf(out->compile_domain, sizeof(out->compile_domain), "%.31s", compile.compile_domain);
        snprintf(out->compile_date, sizeof(out->compile_date), "%.31s", compile.compile_date);
    }
    version_call(h, XENVER_capabilities, out->capabilities, sizeof(out->capabilities));
    version_call(h, XENVER_changeset, out->changeset, sizeof(out->changeset));
    version_call(h, XENVER_commandline, out->command_line, sizeof(out->command_line));
    rc = version_call(h, XENVER_pagesize, NULL, 0);
    out->page_size = rc > 0 ? (uint32_t)rc : PAGE_BYTES;
    buffer = bh_hbuf(h, sizeof(platform));
    if (buffer && bh_hypercall(h, "xen_version", __HYPERVISOR_xen_version, XENVER_platform_parameters,
                               (uintptr_t)buffer, 0, 0, 0) >= 0)
        memcpy(&out->virt_start, buffer, sizeof(out->virt_start));
    bh_hbuf_release(h, mark);
    out->is_bulkhead = strstr(out->extra, "bulkhead") != NULL;
    bh_error_clear(h);
    return 0;
}

const char *bh_scheduler_name(unsigned int sched_id)
{
    static const char *const names[] = {
        [4] = "sedf", [5] = "credit", [6] = "credit2", [7] = "arinc653", [8] = "rtds", [9] = "null"};

    return sched_id < sizeof(names) / sizeof(names[0]) && names[sched_id] ? names[sched_id] : "unknown";
}

int bh_get_physinfo(struct bh *h, struct bh_physinfo *out)
{
    struct xen_sysctl op = {0};
    const struct xen_sysctl_physinfo *p = &op.u.physinfo;
    int rc = bh_sysctl(h, "physinfo", XEN_SYSCTL_physinfo, &op);

    memset(out, 0, sizeof(*out));
    if (rc)
        return rc;
    out->nr_cpus = p->nr_cpus;
    out->max_cpu_id = p->max_cpu_id;
    out->nr_nodes = p->nr_nodes;
    out->cores_per_socket = p->cores_per_socket;
    out->threads_per_core = p->threads_per_core;
    out->cpu_khz = p->cpu_khz;
    memcpy(out->hw_caps, p->hw_cap, sizeof(out->hw_caps));
    out->total_kib = p->total_pages << 2;
    out->free_kib = p->free_pages << 2;
    out->scrub_kib = p->scrub_pages << 2;
    out->outstanding_kib = p->outstanding_pages << 2;
    out->cap_hvm = p->capabilities & XEN_SYSCTL_PHYSCAP_hvm;
    out->cap_pv = p->capabilities & XEN_SYSCTL_PHYSCAP_pv;
    out->cap_directio = p->capabilities & XEN_SYSCTL_PHYSCAP_directio;
    out->cap_hap = p->capabilities & XEN_SYSCTL_PHYSCAP_hap;
    out->cap_shadow = p->capabilities & XEN_SYSCTL_PHYSCAP_shadow;
    out->cap_iommu_share = p->capabilities & XEN_SYSCTL_PHYSCAP_iommu_hap_pt_share;
    out->cap_vmtrace = p->capabilities & XEN_SYSCTL_PHYSCAP_vmtrace;
    out->cap_vpmu = p->capabilities & XEN_SYSCTL_PHYSCAP_vpmu;
    out->cap_grant_v1 = p->capabilities & XEN_SYSCTL_PHYSCAP_gnttab_v1;
    out->cap_grant_v2 = p->capabilities & XEN_SYSCTL_PHYSCAP_gnttab_v2;
    memset(&op, 0, sizeof(op));
    rc = bh_sysctl(h, "sched_id", XEN_SYSCTL_sched_id, &op);
    out->scheduler = op.u.sched_id.sched_id;
    return rc;
}

int bh_get_topology(struct bh *h, struct bh_cpu_topology **out, unsigned int *count)
{
    struct xen_sysctl op = {0};
    size_t mark = bh_hbuf_mark(h);
    struct xen_sysctl_cputopo *buffer;
    struct bh_cpu_topology *list = NULL;
    unsigned int n;
    int rc = bh_sysctl(h, "cputopoinfo", XEN_SYSCTL_cputopoinfo, &op);

    if (rc)
        return rc;
    n = op.u.cputopoinfo.num_cpus;
    buffer = bh_hbuf(h, n * sizeof(*buffer));
    if (buffer) {
        SET_HANDLE(op.u.cputopoinfo.cputopo, buffer);
        rc = bh_sysctl(h, "cputopoinfo", XEN_SYSCTL_cputopoinfo, &op);
        if (!rc && op.u.cputopoinfo.num_cpus < n)
            n = op.u.cputopoinfo.num_cpus;
        list = rc ? NULL : bh_alloc(h, n, sizeof(*list), "the CPU topology");
    }
    for (unsigned int i = 0; list && i < n; i++)
        list[i] = (struct bh_cpu_topology){
            .core = buffer[i].core, .socket = buffer[i].socket, .node = buffer[i].node};
    bh_hbuf_release(h, mark);
    *out = list;
    *count = n;
    return list ? 0 : -h->error;
}

int bh_get_numa(struct bh *h, struct bh_numa_node **nodes, uint32_t **distance, unsigned int *count)
{
    struct xen_sysctl op = {0};
    size_t mark = bh_hbuf_mark(h);
    struct xen_sysctl_meminfo *info;
    uint32_t *between;
    unsigned int n;
    int rc = bh_sysctl(h, "numainfo", XEN_SYSCTL_numainfo, &op);

    *nodes = NULL;
    *distance = NULL;
    if (rc)
        return rc;
    n = op.u.numainfo.num_nodes;
    info = bh_hbuf(h, n * sizeof(*info));
    between = bh_hbuf(h, (size_t)n * n * sizeof(*between));
    if (info && between) {
        SET_HANDLE(op.u.numainfo.meminfo, info);
        SET_HANDLE(op.u.numainfo.distance, between);
        rc = bh_sysctl(h, "numainfo", XEN_SYSCTL_numainfo, &op);
        *nodes = bh_alloc(h, n, sizeof(**nodes), "NUMA nodes");
        *distance = bh_alloc(h, (size_t)n * n, sizeof(**distance), "NUMA distances");
    }
    if (rc || !*nodes || !*distance) {
        free(*nodes);
        free(*distance);
        *nodes = NULL;
        *distance = NULL;
    } else {
        for (unsigned int i = 0; i < n; i++)
            (*nodes)[i] = (struct bh_numa_node){.size = info[i].memsize, .free = info[i].memfree};
        memcpy(*distance, between, (size_t)n * n * sizeof(*between));
    }
    bh_hbuf_release(h, mark);
    *count = n;
    return *nodes ? 0 : -h->error;
}

/* ---- log and debug keys ---- */

int bh_read_log(struct bh *h, bool clear, bool incremental, uint32_t *index, char **text, size_t *length)
{
    const size_t chunk = 65536;
    size_t mark = bh_hbuf_mark(h), used = 0;
    char *buffer = bh_hbuf(h, chunk), *out = NULL;
    uint32_t at = *index;
    bool more = incremental;
    int rc = buffer ? 0 : -h->error;

    while (!rc) {
        struct xen_sysctl op = {0};
        char *grown;

        op.u.readconsole.clear = clear;
        op.u.readconsole.incremental = more;
        op.u.readconsole.index = at;
        op.u.readconsole.count = chunk;
        SET_HANDLE(op.u.readconsole.buffer, buffer);
        rc = bh_sysctl(h, "readconsole", XEN_SYSCTL_readconsole, &op);
        if (rc || (op.u.readconsole.count == 0 && out))
            break;
        grown = realloc(out, used + op.u.readconsole.count + 1);
        if (!grown) {
            rc = bh_fail(h, ENOMEM, "no memory for the hypervisor's log");
            break;
        }
        out = grown;
        memcpy(out + used, buffer, op.u.readconsole.count);
        used += op.u.readconsole.count;
        out[used] = 0;
        at = op.u.readconsole.index;
        more = true;
        if (op.u.readconsole.count < chunk)
            break;
    }
    bh_hbuf_release(h, mark);
    if (rc) {
        free(out);
        return rc;
    }
    *index = at;
    *text = out;
    *length = used;
    return 0;
}

int bh_debug_keys(struct bh *h, const char *keys)
{
    size_t mark = bh_hbuf_mark(h), length = strlen(keys);
    char *buffer = bh_hbuf(h, length + 1);
    struct xen_sysctl op = {0};
    int rc;

    if (!buffer)
        return -h->error;
    memcpy(buffer, keys, length);
    SET_HANDLE(op.u.debug_keys.keys, buffer);
    op.u.debug_keys.nr_keys = length;
    rc = bh_sysctl(h, "debug_keys", XEN_SYSCTL_debug_keys, &op);
    bh_hbuf_release(h, mark);
    return rc;
}

/* ---- CPU maps ---- */

bool bh_cpumap_test(const struct bh_cpumap *map, unsigned int cpu)
{
    return cpu < BH_CPUMAP_BYTES * 8 && map->bits[cpu / 8] & 1 << cpu % 8;
}

void bh_cpumap_set(struct bh_cpumap *map, unsigned int cpu, bool on)
{
    if (cpu >= BH_CPUMAP_BYTES * 8)
        return;
    if (on)
        map->bits[cpu / 8] |= 1 << cpu % 8;
    else
        map->bits[cpu / 8] &= ~(1 << cpu % 8);
}

static int set_node(struct bh *h, unsigned long first, unsigned long last, bool on, struct bh_cpumap *map)
{
    struct bh_cpu_topology *cpus;
    unsigned int count;
    int rc = bh_get_topology(h, &cpus, &count);

    if (rc)
        return rc;
    for (unsigned int i = 0; i < count; i++)
        if (cpus[i].core != UINT32_MAX && cpus[i].node >= first && cpus[i].node <= last)
            bh_cpumap_set(map, i, on);
    free(cpus);
    return 0;
}

/* One piece between commas: [^][node:|nodes:]N[-M] or all. */
static int parse_piece(struct bh *h, const char *piece, struct bh_cpumap *map)
{
    bool on = true, node = false;
    unsigned long first, last;
    const char *at = piece;
    char *end;

    if (*at == '^') {
        on = false;
        at++;
    }
    if (strncmp(at, "nodes:", 6) == 0 || strncmp(at, "node:", 5) == 0) {
        node = true;
        at = strchr(at, ':') + 1;
    }
    if (*at == '^') {
        on = false;
        at++;
    }
    if (strcmp(at, "all") == 0) {
        memset(map->bits, on ? 0xff : 0, sizeof(map->bits));
        return 0;
    }
    if (!isdigit((unsigned char)*at))
        return bh_fail(h, EINVAL, "\"%s\" is not a CPU, a range of CPUs, node:N, all or none", piece);
    first = last = strtoul(at, &end, 10);
    if (*end == '-' && isdigit((unsigned char)end[1]))
        last = strtoul(end + 1, &end, 10);
    if (*end || last < first || last >= BH_CPUMAP_BYTES * 8)
        return bh_fail(h, EINVAL, "\"%s\" is not a range of CPUs below %u", piece, BH_CPUMAP_BYTES * 8);
    if (node)
        return set_node(h, first, last, on, map);
    for (unsigned long cpu = first; cpu <= last; cpu++)
        bh_cpumap_set(map, cpu, on);
    return 0;
}

int bh_cpumap_parse(struct bh *h, const char *text, struct bh_cpumap *map)
{
    char *copy = strdup(text), *rest = copy, *piece;
    int rc = 0;

    memset(map, 0, sizeof(*map));
    if (!copy)
        return bh_fail(h, ENOMEM, "no memory for a CPU list");
    if (strcmp(copy, "none") != 0)
        while (!rc && (piece = strsep(&rest, ",")))
            rc = parse_piece(h, piece, map);
    free(copy);
    return rc;
}

void bh_cpumap_print(const struct bh_cpumap *map, unsigned int nr_cpus, char *out, size_t size)
{
    size_t used = 0;
    unsigned int set = 0;

    for (unsigned int i = 0; i < nr_cpus; i++)
        set += bh_cpumap_test(map, i);
    snprintf(out, size, "%s", set == nr_cpus ? "all" : "none");
    if (set == nr_cpus || set == 0)
        return;
    for (unsigned int i = 0; i < nr_cpus && used < size; i++) {
        unsigned int last = i;

        if (!bh_cpumap_test(map, i))
            continue;
        while (last + 1 < nr_cpus && bh_cpumap_test(map, last + 1))
            last++;
        used += snprintf(out + used, size - used, last > i ? "%s%u-%u" : "%s%u", used ? "," : "", i, last);
        i = last;
    }
}

/* ---- affinity ---- */

static int affinity_call(struct bh *h, unsigned int cmd, const char *name, unsigned int domid,
                         unsigned int vcpu, unsigned int flags, struct bh_cpumap *hard,
                         struct bh_cpumap *soft)
{
    size_t mark = bh_hbuf_mark(h);
    uint8_t *hard_bits = bh_hbuf(h, BH_CPUMAP_BYTES), *soft_bits = bh_hbuf(h, BH_CPUMAP_BYTES);
    struct xen_domctl op = {0};
    int rc;

    if (!hard_bits || !soft_bits)
        return -h->error;
    memcpy(hard_bits, hard->bits, BH_CPUMAP_BYTES);
    memcpy(soft_bits, soft->bits, BH_CPUMAP_BYTES);
    op.u.vcpuaffinity.vcpu = vcpu;
    op.u.vcpuaffinity.flags = flags;
    SET_HANDLE(op.u.vcpuaffinity.cpumap_hard.bitmap, hard_bits);
    SET_HANDLE(op.u.vcpuaffinity.cpumap_soft.bitmap, soft_bits);
    op.u.vcpuaffinity.cpumap_hard.nr_bits = op.u.vcpuaffinity.cpumap_soft.nr_bits = BH_CPUMAP_BYTES * 8;
    rc = bh_domctl(h, name, cmd, domid, &op);
    memcpy(hard->bits, hard_bits, BH_CPUMAP_BYTES);
    memcpy(soft->bits, soft_bits, BH_CPUMAP_BYTES);
    bh_hbuf_release(h, mark);
    return rc;
}

int bh_get_affinity(struct bh *h, unsigned int domid, unsigned int vcpu, struct bh_cpumap *hard,
                    struct bh_cpumap *soft)
{
    memset(hard, 0, sizeof(*hard));
    memset(soft, 0, sizeof(*soft));
    return affinity_call(h, XEN_DOMCTL_getvcpuaffinity, "getvcpuaffinity", domid, vcpu,
                         XEN_VCPUAFFINITY_HARD | XEN_VCPUAFFINITY_SOFT, hard, soft);
}

int bh_set_affinity(struct bh *h, unsigned int domid, unsigned int vcpu, const struct bh_cpumap *hard,
                    const struct bh_cpumap *soft, bool force)
{
    struct bh_cpumap hard_copy = {{0}}, soft_copy = {{0}};
    unsigned int flags = (hard ? XEN_VCPUAFFINITY_HARD : 0) | (soft ? XEN_VCPUAFFINITY_SOFT : 0) |
                         (force ? XEN_VCPUAFFINITY_FORCE : 0);

    if (hard)
        hard_copy = *hard;
    if (soft)
        soft_copy = *soft;
    return affinity_call(h, XEN_DOMCTL_setvcpuaffinity, "setvcpuaffinity", domid, vcpu, flags, &hard_copy,
                         &soft_copy);
}

/* ---- scheduling ---- */

/* The scheduler of the pool that the domain is in. */
static int domain_scheduler(struct bh *h, unsigned int domid, unsigned int *sched_id)
{
    struct xen_sysctl op = {0};
    struct bh_domain info;
    size_t mark = bh_hbuf_mark(h);
    uint8_t *bits = bh_hbuf(h, BH_CPUMAP_BYTES);
    int rc = bits ? bh_domain_info(h, domid, &info) : -h->error;

    if (!rc) {
        op.u.cpupool_op.op = XEN_SYSCTL_CPUPOOL_OP_INFO;
        op.u.cpupool_op.cpupool_id = info.cpupool;
        SET_HANDLE(op.u.cpupool_op.cpumap.bitmap, bits);
        op.u.cpupool_op.cpumap.nr_bits = BH_CPUMAP_BYTES * 8;
        rc = bh_sysctl(h, "cpupool_op info", XEN_SYSCTL_cpupool_op, &op);
        *sched_id = op.u.cpupool_op.sched_id;
    }
    bh_hbuf_release(h, mark);
    return rc;
}

int bh_sched_get(struct bh *h, unsigned int domid, struct bh_sched *out)
{
    struct xen_domctl op = {0};
    int rc = domain_scheduler(h, domid, &out->scheduler);

    if (rc)
        return rc;
    op.u.scheduler_op.sched_id = out->scheduler;
    op.u.scheduler_op.cmd = XEN_DOMCTL_SCHEDOP_getinfo;
    rc = bh_domctl(h, "scheduler_op getinfo", XEN_DOMCTL_scheduler_op, domid, &op);
    if (out->scheduler == XEN_SCHEDULER_CREDIT) {
        out->weight = op.u.scheduler_op.u.credit.weight;
        out->cap = op.u.scheduler_op.u.credit.cap;
    } else {
        out->weight = op.u.scheduler_op.u.credit2.weight;
        out->cap = op.u.scheduler_op.u.credit2.cap;
    }
    return rc;
}

int bh_sched_set(struct bh *h, unsigned int domid, int weight, int cap)
{
    struct xen_domctl op = {0};
    struct bh_sched now;
    int rc = bh_sched_get(h, domid, &now);

    if (rc)
        return rc;
    if (weight >= 0)
        now.weight = weight;
    if (cap >= 0)
        now.cap = cap;
    if (now.weight < 1 || now.weight > 65535)
        return bh_fail(h, EINVAL, "weight %u is not between 1 and 65535", now.weight);
    op.u.scheduler_op.sched_id = now.scheduler;
    op.u.scheduler_op.cmd = XEN_DOMCTL_SCHEDOP_putinfo;
    if (now.scheduler == XEN_SCHEDULER_CREDIT) {
        op.u.scheduler_op.u.credit.weight = now.weight;
        op.u.scheduler_op.u.credit.cap = now.cap;
    } else if (now.scheduler == XEN_SCHEDULER_CREDIT2) {
        op.u.scheduler_op.u.credit2.weight = now.weight;
        op.u.scheduler_op.u.credit2.cap = now.cap;
    } else {
        return bh_fail(h, EOPNOTSUPP, "the scheduler %s has no weight and cap",
                       bh_scheduler_name(now.scheduler));
    }
    return bh_domctl(h, "scheduler_op putinfo", XEN_DOMCTL_scheduler_op, domid, &op);
}

static int sched_pool(struct bh *h, unsigned int pool, unsigned int sched_id, unsigned int cmd,
                      struct bh_sched_pool *params)
{
    struct xen_sysctl op = {0};
    int rc;

    op.u.scheduler_op.cpupool_id = pool;
    op.u.scheduler_op.sched_id = sched_id;
    op.u.scheduler_op.cmd = cmd;
    if (sched_id == XEN_SCHEDULER_CREDIT) {
        op.u.scheduler_op.u.sched_credit.tslice_ms = params->tslice_ms;
        op.u.scheduler_op.u.sched_credit.ratelimit_us = params->ratelimit_us;
        op.u.scheduler_op.u.sched_credit.vcpu_migr_delay_us = params->migration_delay_us;
    } else {
        op.u.scheduler_op.u.sched_credit2.ratelimit_us = params->ratelimit_us;
    }
    rc = bh_sysctl(h, "scheduler_op", XEN_SYSCTL_scheduler_op, &op);
    if (sched_id == XEN_SCHEDULER_CREDIT) {
        params->tslice_ms = op.u.scheduler_op.u.sched_credit.tslice_ms;
        params->ratelimit_us = op.u.scheduler_op.u.sched_credit.ratelimit_us;
        params->migration_delay_us = op.u.scheduler_op.u.sched_credit.vcpu_migr_delay_us;
    } else {
        params->ratelimit_us = op.u.scheduler_op.u.sched_credit2.ratelimit_us;
    }
    return rc;
}

int bh_sched_pool_get(struct bh *h, unsigned int pool, unsigned int sched_id, struct bh_sched_pool *out)
{
    memset(out, 0, sizeof(*out));
    return sched_pool(h, pool, sched_id, XEN_SYSCTL_SCHEDOP_getinfo, out);
}

int bh_sched_pool_set(struct bh *h, unsigned int pool, unsigned int sched_id, const struct bh_sched_pool *in)
{
    struct bh_sched_pool copy = *in;

    return sched_pool(h, pool, sched_id, XEN_SYSCTL_SCHEDOP_putinfo, &copy);
}

/* ---- cpupools ---- */

static int cpupool_call(struct bh *h, const char *name, struct xen_sysctl *op, struct bh_cpumap *cpus)
{
    size_t mark = bh_hbuf_mark(h);
    uint8_t *bits = bh_hbuf(h, BH_CPUMAP_BYTES);
    int rc;

    if (!bits)
        return -h->error;
    SET_HANDLE(op->u.cpupool_op.cpumap.bitmap, bits);
    op->u.cpupool_op.cpumap.nr_bits = BH_CPUMAP_BYTES * 8;
    rc = bh_sysctl(h, name, XEN_SYSCTL_cpupool_op, op);
    if (cpus)
        memcpy(cpus->bits, bits, BH_CPUMAP_BYTES);
    bh_hbuf_release(h, mark);
    return rc;
}

int bh_cpupool_list(struct bh *h, struct bh_cpupool **out, unsigned int *count)
{
    struct bh_cpupool *list = NULL;
    unsigned int n = 0, next = 0;
    int rc;

    do {
        struct xen_sysctl op = {0};
        struct bh_cpupool *more = reallocarray(list, n + 1, sizeof(*list));

        if (!more) {
            rc = bh_fail(h, ENOMEM, "no memory for cpupools");
            break;
        }
        list = more;
        op.u.cpupool_op.op = XEN_SYSCTL_CPUPOOL_OP_INFO;
        op.u.cpupool_op.cpupool_id = next;
        rc = cpupool_call(h, "cpupool_op info", &op, &list[n].cpus);
        if (rc || op.u.cpupool_op.cpupool_id < next)
            break;
        list[n].id = op.u.cpupool_op.cpupool_id;
        list[n].scheduler = op.u.cpupool_op.sched_id;
        list[n].domains = op.u.cpupool_op.n_dom;
        list[n].name = store_getf(h, "/local/pool/%u/name", list[n].id);
        if (!list[n].name && list[n].id == 0)
            list[n].name = strdup("Pool-0");
        next = list[n].id + 1;
        n++;
    } while (true);
    *out = list;
    *count = n;
    if (rc && n == 0) {
        free(list);
        *out = NULL;
        return rc;
    }
    bh_error_clear(h);
    return 0;
}

void bh_cpupool_list_free(struct bh_cpupool *list, unsigned int count)
{
    for (unsigned int i = 0; i < count; i++)
        free(list[i].name);
    free(list);
}

int bh_cpupool_find(struct bh *h, const char *who, unsigned int *id)
{
    struct bh_cpupool *list;
    unsigned int count;
    char *end;
    unsigned long number = strtoul(who, &end, 10);
    bool by_number = isdigit((unsigned char)*who) && !*end, found = false;
    int rc = bh_cpupool_list(h, &list, &count);

    if (rc)
        return rc;
    for (unsigned int i = 0; i < count && !found; i++) {
        found = by_number ? list[i].id == number : list[i].name && strcmp(list[i].name, who) == 0;
        if (found)
            *id = list[i].id;
    }
    bh_cpupool_list_free(list, count);
    return found ? 0 : bh_fail(h, ESRCH, "there is no cpupool \"%s\"", who);
}

int bh_cpupool_create(struct bh *h, const char *name, unsigned int sched_id, unsigned int *id)
{
    struct xen_sysctl op = {0};
    char path[64];
    unsigned int other;
    int rc;

    if (bh_cpupool_find(h, name, &other) == 0)
        return bh_fail(h, EEXIST, "there is a cpupool \"%s\" already", name);
    bh_error_clear(h);
    op.u.cpupool_op.op = XEN_SYSCTL_CPUPOOL_OP_CREATE;
    op.u.cpupool_op.cpupool_id = XEN_SYSCTL_CPUPOOL_PAR_ANY;
    op.u.cpupool_op.sched_id = sched_id;
    rc = cpupool_call(h, "cpupool_op create", &op, NULL);
    if (rc)
        return rc;
    *id = op.u.cpupool_op.cpupool_id;
    snprintf(path, sizeof(path), "/local/pool/%u/name", *id);
    rc = bh_store_set(h, path, name);
    if (rc) {
        op.u.cpupool_op.op = XEN_SYSCTL_CPUPOOL_OP_DESTROY;
        cpupool_call(h, "cpupool_op destroy", &op, NULL);
    }
    return rc;
}

static int cpupool_simple(struct bh *h, const char *name, unsigned int what, unsigned int id,
                          unsigned int domid, unsigned int cpu)
{
    struct xen_sysctl op = {0};

    op.u.cpupool_op.op = what;
    op.u.cpupool_op.cpupool_id = id;
    op.u.cpupool_op.domid = domid;
    op.u.cpupool_op.cpu = cpu;
    return cpupool_call(h, name, &op, NULL);
}

int bh_cpupool_destroy(struct bh *h, unsigned int id)
{
    struct bh_cpupool *list;
    unsigned int count;
    char path[64];
    int rc = bh_cpupool_list(h, &list, &count);

    for (unsigned int i = 0; !rc && i < count; i++) {
        if (list[i].id != id)
            continue;
        if (list[i].domains)
            rc = bh_fail(h, EBUSY, "cpupool %u has %u domains; move them out first", id, list[i].domains);
        for (unsigned int cpu = 0; !rc && cpu < BH_CPUMAP_BYTES * 8; cpu++)
            if (bh_cpumap_test(&list[i].cpus, cpu))
                rc = bh_cpupool_remove_cpu(h, id, cpu);
    }
    bh_cpupool_list_free(list, count);
    if (!rc)
        rc = cpupool_simple(h, "cpupool_op destroy", XEN_SYSCTL_CPUPOOL_OP_DESTROY, id, 0, 0);
    snprintf(path, sizeof(path), "/local/pool/%u", id);
    return rc ? rc : bh_store_remove(h, path);
}

int bh_cpupool_rename(struct bh *h, unsigned int id, const char *name)
{
    char path[64];

    snprintf(path, sizeof(path), "/local/pool/%u/name", id);
    return bh_store_set(h, path, name);
}

int bh_cpupool_add_cpu(struct bh *h, unsigned int id, unsigned int cpu)
{
    return cpupool_simple(h, "cpupool_op addcpu", XEN_SYSCTL_CPUPOOL_OP_ADDCPU, id, 0, cpu);
}

int bh_cpupool_remove_cpu(struct bh *h, unsigned int id, unsigned int cpu)
{
    return cpupool_simple(h, "cpupool_op rmcpu", XEN_SYSCTL_CPUPOOL_OP_RMCPU, id, 0, cpu);
}

int bh_cpupool_free_cpus(struct bh *h, struct bh_cpumap *out)
{
    struct xen_sysctl op = {0};

    op.u.cpupool_op.op = XEN_SYSCTL_CPUPOOL_OP_FREEINFO;
    return cpupool_call(h, "cpupool_op freeinfo", &op, out);
}

int bh_cpupool_move(struct bh *h, unsigned int domid, unsigned int id)
{
    return cpupool_simple(h, "cpupool_op movedomain", XEN_SYSCTL_CPUPOOL_OP_MOVEDOMAIN, id, domid, 0);
}
