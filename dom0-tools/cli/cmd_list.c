/* list, vm-list, domid, domname, rename, info, uptime, dmesg, claims, debug-keys. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <yajl/yajl_tree.h>
#include "../config/doc.h"
#include "cli.h"

static const char *reason_name(unsigned int reason)
{
    static const char *const names[] = {"poweroff", "reboot", "suspend", "crash", "watchdog", "soft-reset"};

    return reason < sizeof(names) / sizeof(names[0]) ? names[reason] : "unknown";
}

/* Keeps the domains that the arguments name; all, when there are none. False after telling. */
static bool selected(struct call *call, struct named_list *list)
{
    bool *keep;
    unsigned int at = 0;

    if (!call->count)
        return true;
    keep = calloc(list->count + 1, sizeof(*keep));
    for (unsigned int i = 0; keep && i < call->count; i++) {
        unsigned int domid;

        if (!find_domain(call, call->args[i], &domid)) {
            free(keep);
            return false;
        }
        for (unsigned int j = 0; j < list->count; j++)
            keep[j] |= list->domains[j].domid == domid;
    }
    for (unsigned int i = 0; keep && i < list->count; i++) {
        if (!keep[i]) {
            free(list->names ? list->names[i] : NULL);
            continue;
        }
        list->domains[at] = list->domains[i];
        if (list->names)
            list->names[at] = list->names[i];
        at++;
    }
    list->count = at;
    free(keep);
    return true;
}

static void state_letters(const struct bh_domain *d, char out[7])
{
    snprintf(out, 7, "%c%c%c%c%c%c", d->flags & BH_RUNNING ? 'r' : '-', d->flags & BH_BLOCKED ? 'b' : '-',
             d->flags & BH_PAUSED ? 'p' : '-', d->flags & BH_SHUTDOWN ? 's' : '-',
             d->flags & BH_SHUTDOWN && d->shutdown_reason == BH_REASON_CRASH ? 'c' : '-',
             d->flags & BH_DYING ? 'd' : '-');
}

/* Puts a parsed JSON value into the output. */
static void copy_json(yajl_gen gen, yajl_val v)
{
    if (YAJL_IS_STRING(v)) {
        json_text(gen, YAJL_GET_STRING(v));
    } else if (YAJL_IS_INTEGER(v)) {
        yajl_gen_integer(gen, YAJL_GET_INTEGER(v));
    } else if (YAJL_IS_TRUE(v) || YAJL_IS_FALSE(v)) {
        yajl_gen_bool(gen, YAJL_IS_TRUE(v));
    } else if (YAJL_IS_ARRAY(v)) {
        yajl_gen_array_open(gen);
        for (size_t i = 0; i < v->u.array.len; i++)
            copy_json(gen, v->u.array.values[i]);
        yajl_gen_array_close(gen);
    } else if (YAJL_IS_OBJECT(v)) {
        yajl_gen_map_open(gen);
        for (size_t i = 0; i < v->u.object.len; i++) {
            json_name(gen, v->u.object.keys[i]);
            copy_json(gen, v->u.object.values[i]);
        }
        yajl_gen_map_close(gen);
    } else {
        yajl_gen_null(gen);
    }
}

static void gen_config(struct call *call, yajl_gen gen, const struct bh_domain *d)
{
    char *text = bh_saved_config(call->h, d->uuid);
    yajl_val tree = text ? yajl_tree_parse(text, NULL, 0) : NULL;

    json_name(gen, "config");
    if (tree)
        copy_json(gen, tree);
    else
        yajl_gen_null(gen);
    yajl_tree_free(tree);
    free(text);
}

static void gen_devices(struct call *call, yajl_gen gen, unsigned int domid, enum bh_device_class class,
                        const char *name)
{
    struct bh_device *list;
    unsigned int count;

    json_name(gen, name);
    yajl_gen_array_open(gen);
    if (bh_device_list(call->h, domid, class, &list, &count) == 0) {
        for (unsigned int i = 0; i < count; i++) {
            struct counters counters = {0};

            yajl_gen_map_open(gen);
            json_number(gen, "devid", list[i].devid);
            json_number(gen, "state", list[i].state);
            json_number(gen, "backend_state", list[i].backend_state);
            json_number(gen, "backend_domid", list[i].backend_domid);
            json_pair(gen, "backend", list[i].backend_path);
            if (class == BH_VIF) {
                json_pair(gen, "mac", list[i].mac);
                counters_add_vif(&counters, domid, list[i].devid);
                json_net_counters(gen, &counters);
            }
            if (class == BH_VBD) {
                json_pair(gen, "vdev", list[i].vdev);
                json_pair(gen, "params", list[i].params);
                counters_add_vbd(&counters, domid, list[i].devid);
                json_block_counters(gen, &counters);
            }
            yajl_gen_map_close(gen);
        }
        bh_device_list_free(list, count);
    }
    yajl_gen_array_close(gen);
}

static void gen_domain(struct call *call, yajl_gen gen, const struct bh_domain *d, const char *name)
{
    bool full = call->values['l'];
    struct counters counters = {0};
    char uuid[37];

    bh_uuid_print(d->uuid, uuid);
    counters_add_domain(call, &counters, d->domid);
    yajl_gen_map_open(gen);
    json_number(gen, "domid", d->domid);
    json_pair(gen, "name", name);
    json_pair(gen, "uuid", uuid);
    json_number(gen, "memory_kib", d->memory_kib);
    json_number(gen, "max_memory_kib", d->max_memory_kib);
    json_number(gen, "vcpus_online", d->online_vcpus);
    json_number(gen, "vcpus", d->vcpus);
    json_flag(gen, "running", d->flags & BH_RUNNING);
    json_flag(gen, "blocked", d->flags & BH_BLOCKED);
    json_flag(gen, "paused", d->flags & BH_PAUSED);
    json_flag(gen, "shutdown", d->flags & BH_SHUTDOWN);
    json_flag(gen, "dying", d->flags & BH_DYING);
    json_pair(gen, "shutdown_reason", d->flags & BH_SHUTDOWN ? reason_name(d->shutdown_reason) : NULL);
    json_number(gen, "cpu_time_ns", d->cpu_time_ns);
    json_number(gen, "cpupool", d->cpupool);
    json_net_counters(gen, &counters);
    json_block_counters(gen, &counters);
    if (full) {
        gen_devices(call, gen, d->domid, BH_VBD, "disks");
        gen_devices(call, gen, d->domid, BH_VIF, "interfaces");
        gen_config(call, gen, d);
    }
    yajl_gen_map_close(gen);
}

static void list_json(struct call *call, const struct named_list *list)
{
    yajl_gen gen = json_begin();

    yajl_gen_array_open(gen);
    for (unsigned int i = 0; i < list->count; i++)
        gen_domain(call, gen, &list->domains[i], shown_name(list, i));
    yajl_gen_array_close(gen);
    json_end(gen);
}

/* As xl shows it; a pool without a name in the store by its number. */
static void print_pool(const struct bh_cpupool *pools, unsigned int count, unsigned int id)
{
    char name[24];

    for (unsigned int i = 0; i < count; i++)
        if (pools[i].id == id && pools[i].name) {
            printf("%16s", pools[i].name);
            return;
        }
    snprintf(name, sizeof(name), "Pool-%u", id);
    printf("%16s", name);
}

static int list_table(struct call *call, const struct named_list *list)
{
    struct bh_cpupool *pools = NULL;
    unsigned int pool_count = 0;
    bool verbose = call->values['v'], context = call->values['Z'], pool = call->values['c'],
         numa = call->values['n'];

    if (pool && bh_cpupool_list(call->h, &pools, &pool_count))
        return failed(call);
    printf("Name                                        ID   Mem VCPUs\tState\tTime(s)");
    printf("%s%s%s%s\n", verbose ? "   UUID                            Reason-Code\tSecurity Label" : "",
           context && !verbose ? "   Security Label" : "", pool ? "         Cpupool" : "",
           numa ? " NODE Affinity" : "");
    for (unsigned int i = 0; i < list->count; i++) {
        const struct bh_domain *d = &list->domains[i];
        char state[7], uuid[37];

        state_letters(d, state);
        printf("%-40s %5u %5lu %5u     %s  %8.1f", shown_name(list, i), d->domid,
               (d->memory_kib + d->outstanding_kib) >> 10, d->online_vcpus, state,
               (double)d->cpu_time_ns / 1e9);
        if (verbose) {
            bh_uuid_print(d->uuid, uuid);
            printf(" %s", uuid);
            if (d->flags & BH_SHUTDOWN)
                printf(" %8x", d->shutdown_reason);
            else
                printf(" %8s", "-");
        }
        if (context || verbose)
            printf(" %16s", "-");
        if (pool)
            print_pool(pools, pool_count, d->cpupool);
        if (numa)
            printf(" all");
        putchar('\n');
    }
    bh_cpupool_list_free(pools, pool_count);
    return 0;
}

int cmd_list(struct call *call)
{
    struct named_list list;
    int rc = 0;

    if (named_list_get(call, &list))
        return failed(call);
    if (!selected(call, &list)) {
        named_list_free(&list);
        return 1;
    }
    if (call->json || call->values['l'])
        list_json(call, &list);
    else
        rc = list_table(call, &list);
    named_list_free(&list);
    return rc;
}

int cmd_vm_list(struct call *call)
{
    struct named_list list;
    yajl_gen gen = NULL;

    if (named_list_get(call, &list))
        return failed(call);
    if (call->json) {
        gen = json_begin();
        yajl_gen_array_open(gen);
    } else {
        puts("UUID                                  ID    name");
    }
    for (unsigned int i = 0; i < list.count; i++) {
        char uuid[37];

        bh_uuid_print(list.domains[i].uuid, uuid);
        if (gen) {
            yajl_gen_map_open(gen);
            json_pair(gen, "uuid", uuid);
            json_number(gen, "domid", list.domains[i].domid);
            json_pair(gen, "name", shown_name(&list, i));
            yajl_gen_map_close(gen);
        } else {
            printf("%s  %u    %-30s\n", uuid, list.domains[i].domid, shown_name(&list, i));
        }
    }
    if (gen) {
        yajl_gen_array_close(gen);
        json_end(gen);
    }
    named_list_free(&list);
    return 0;
}

int cmd_domid(struct call *call)
{
    unsigned int domid;

    if (!find_domain(call, call->args[0], &domid))
        return 1;
    printf("%u\n", domid);
    return 0;
}

int cmd_domname(struct call *call)
{
    unsigned int domid;
    char *name;

    if (!find_domain(call, call->args[0], &domid))
        return 1;
    if (bh_domain_name(call->h, domid, &name))
        return failed(call);
    puts(name);
    free(name);
    return 0;
}

/* So that the domain keeps its new name when it is restarted. */
static int rename_kept(struct call *call, unsigned int domid, const char *name)
{
    struct bh_domain info;
    char *text, *changed = NULL;
    struct doc *doc;
    int rc = 0;

    if (bh_domain_info(call->h, domid, &info))
        return failed(call);
    text = bh_saved_config(call->h, info.uuid);
    doc = text ? doc_read_text("kept configuration", text, strlen(text)) : NULL;
    if (doc && !doc->error_count && map_set_string(doc->root, "name", name, 0))
        changed = write_json(doc);
    if (changed && bh_save_config(call->h, info.uuid, domid, changed))
        rc = failed(call);
    free(changed);
    doc_free(doc);
    free(text);
    return rc;
}

int cmd_rename(struct call *call)
{
    unsigned int domid;

    if (!find_domain(call, call->args[0], &domid))
        return 1;
    if (bh_rename(call->h, domid, call->args[1]))
        return failed(call);
    return rename_kept(call, domid, call->args[1]);
}

/* ---- info ---- */

struct info {
    struct utsname host;
    struct bh_version version;
    struct bh_physinfo machine;
    struct bh_cpumap free_cpus;
    unsigned int free_count;
    char hw_caps[80], virt_caps[160];
};

static void fill_caps(struct info *i)
{
    const struct {
        bool on;
        const char *name;
    } caps[] = {{i->machine.cap_pv, "pv"},
                {i->machine.cap_hvm, "hvm"},
                {i->machine.cap_hvm && i->machine.cap_directio, "hvm_directio"},
                {i->machine.cap_pv && i->machine.cap_directio, "pv_directio"},
                {i->machine.cap_hap, "hap"},
                {i->machine.cap_shadow, "shadow"},
                {i->machine.cap_iommu_share, "iommu_hap_pt_share"},
                {i->machine.cap_vmtrace, "vmtrace"},
                {i->machine.cap_vpmu, "vpmu"},
                {i->machine.cap_grant_v1, "gnttab-v1"},
                {i->machine.cap_grant_v2, "gnttab-v2"}};
    const uint32_t *c = i->machine.hw_caps;
    size_t used = 0;

    snprintf(i->hw_caps, sizeof(i->hw_caps), "%08x:%08x:%08x:%08x:%08x:%08x:%08x:%08x", c[0], c[1], c[2],
             c[3], c[4], c[5], c[6], c[7]);
    for (unsigned int n = 0; n < sizeof(caps) / sizeof(caps[0]); n++)
        if (caps[n].on)
            used += snprintf(i->virt_caps + used, sizeof(i->virt_caps) - used, "%s%s", used ? " " : "",
                             caps[n].name);
}

static void info_json(const struct info *i)
{
    yajl_gen gen = json_begin();
    char version[64];

    snprintf(version, sizeof(version), "%u.%u%s", i->version.major, i->version.minor, i->version.extra);
    yajl_gen_map_open(gen);
    json_pair(gen, "host", i->host.nodename);
    json_pair(gen, "release", i->host.release);
    json_pair(gen, "version", i->host.version);
    json_pair(gen, "machine", i->host.machine);
    json_number(gen, "nr_cpus", i->machine.nr_cpus);
    json_number(gen, "max_cpu_id", i->machine.max_cpu_id);
    json_number(gen, "nr_nodes", i->machine.nr_nodes);
    json_number(gen, "cores_per_socket", i->machine.cores_per_socket);
    json_number(gen, "threads_per_core", i->machine.threads_per_core);
    json_number(gen, "cpu_khz", i->machine.cpu_khz);
    json_pair(gen, "hw_caps", i->hw_caps);
    json_pair(gen, "virt_caps", i->virt_caps);
    json_number(gen, "total_memory_kib", i->machine.total_kib);
    json_number(gen, "free_memory_kib", i->machine.free_kib);
    json_number(gen, "outstanding_claims_kib", i->machine.outstanding_kib);
    json_number(gen, "free_cpus", i->free_count);
    json_pair(gen, "xen_version", version);
    json_flag(gen, "bulkhead", i->version.is_bulkhead);
    json_pair(gen, "xen_caps", i->version.capabilities);
    json_pair(gen, "xen_scheduler", bh_scheduler_name(i->machine.scheduler));
    json_number(gen, "xen_pagesize", i->version.page_size);
    json_pair(gen, "xen_changeset", i->version.changeset);
    json_pair(gen, "xen_commandline", i->version.command_line);
    json_pair(gen, "cc_compiler", i->version.compiler);
    json_pair(gen, "cc_compile_date", i->version.compile_date);
    yajl_gen_map_close(gen);
    json_end(gen);
}

static void info_text(const struct info *i)
{
    printf("host                   : %s\n", i->host.nodename);
    printf("release                : %s\n", i->host.release);
    printf("version                : %s\n", i->host.version);
    printf("machine                : %s\n", i->host.machine);
    printf("nr_cpus                : %u\n", i->machine.nr_cpus);
    printf("max_cpu_id             : %u\n", i->machine.max_cpu_id);
    printf("nr_nodes               : %u\n", i->machine.nr_nodes);
    printf("cores_per_socket       : %u\n", i->machine.cores_per_socket);
    printf("threads_per_core       : %u\n", i->machine.threads_per_core);
    printf("cpu_mhz                : %u.%03u\n", i->machine.cpu_khz / 1000, i->machine.cpu_khz % 1000);
    printf("hw_caps                : %s\n", i->hw_caps);
    printf("virt_caps              : %s\n", i->virt_caps);
    printf("total_memory           : %lu\n", i->machine.total_kib >> 10);
    printf("free_memory            : %lu\n", (i->machine.free_kib - i->machine.outstanding_kib) >> 10);
    printf("sharing_freed_memory   : 0\n");
    printf("sharing_used_memory    : 0\n");
    printf("outstanding_claims     : %lu\n", i->machine.outstanding_kib >> 10);
    printf("free_cpus              : %u\n", i->free_count);
}

static void info_hypervisor(const struct info *i)
{
    printf("xen_major              : %u\n", i->version.major);
    printf("xen_minor              : %u\n", i->version.minor);
    printf("xen_extra              : %s\n", i->version.extra);
    printf("xen_version            : %u.%u%s\n", i->version.major, i->version.minor, i->version.extra);
    printf("xen_caps               : %s\n", i->version.capabilities);
    printf("xen_scheduler          : %s\n", bh_scheduler_name(i->machine.scheduler));
    printf("xen_pagesize           : %u\n", i->version.page_size);
    printf("platform_params        : virt_start=%#lx\n", i->version.virt_start);
    printf("xen_changeset          : %s\n", i->version.changeset);
    printf("xen_commandline        : %s\n", i->version.command_line);
    printf("cc_compiler            : %s\n", i->version.compiler);
    printf("cc_compile_by          : %s\n", i->version.compile_by);
    printf("cc_compile_domain      : %s\n", i->version.compile_domain);
    printf("cc_compile_date        : %s\n", i->version.compile_date);
    printf("build_id               : %s\n", "");
    printf("xend_config_format     : 4\n");
}

static void info_numa(struct call *call)
{
    struct bh_cpu_topology *cpus;
    struct bh_numa_node *nodes;
    uint32_t *distance;
    unsigned int count;

    if (bh_get_topology(call->h, &cpus, &count) == 0) {
        printf("cpu_topology           :\ncpu:    core    socket     node\n");
        for (unsigned int i = 0; i < count; i++)
            if (cpus[i].core != UINT32_MAX)
                printf("%3u:    %4u     %4u     %4u\n", i, cpus[i].core, cpus[i].socket, cpus[i].node);
        free(cpus);
    }
    if (bh_get_numa(call->h, &nodes, &distance, &count) == 0) {
        printf("numa_info              :\nnode:    memsize    memfree    distances\n");
        for (unsigned int i = 0; i < count; i++) {
            printf("%4u:    %6lu     %6lu      %u", i, nodes[i].size >> 20, nodes[i].free >> 20,
                   distance[i * count]);
            for (unsigned int j = 1; j < count; j++)
                printf(",%u", distance[i * count + j]);
            putchar('\n');
        }
        free(nodes);
        free(distance);
    }
}

int cmd_info(struct call *call)
{
    struct info i = {0};

    uname(&i.host);
    if (bh_get_version(call->h, &i.version) || bh_get_physinfo(call->h, &i.machine))
        return failed(call);
    if (bh_cpupool_free_cpus(call->h, &i.free_cpus) == 0)
        for (unsigned int cpu = 0; cpu <= i.machine.max_cpu_id; cpu++)
            i.free_count += bh_cpumap_test(&i.free_cpus, cpu);
    bh_error_clear(call->h);
    fill_caps(&i);
    if (call->json) {
        info_json(&i);
        return 0;
    }
    info_text(&i);
    if (call->values['n'])
        info_numa(call);
    info_hypervisor(&i);
    return 0;
}

/* ---- uptime ---- */

static long seconds_up(struct call *call, const struct bh_domain *d)
{
    char path[80], uuid[37], *text;
    long up = 0;

    if (d->domid == 0) {
        FILE *in = fopen("/proc/uptime", "re");
        double host = 0;

        if (in && fscanf(in, "%lf", &host) == 1)
            up = host;
        if (in)
            fclose(in);
        return up;
    }
    bh_uuid_print(d->uuid, uuid);
    snprintf(path, sizeof(path), "/vm/%s/start_time", uuid);
    text = bh_store_get(call->h, path);
    if (text)
        up = time(NULL) - strtol(text, NULL, 10);
    free(text);
    return up;
}

int cmd_uptime(struct call *call)
{
    struct named_list list;
    yajl_gen gen = NULL;

    if (named_list_get(call, &list))
        return failed(call);
    if (!selected(call, &list)) {
        named_list_free(&list);
        return 1;
    }
    if (call->json) {
        gen = json_begin();
        yajl_gen_array_open(gen);
    } else if (!call->values['s']) {
        printf("%-33s %4s %s\n", "Name", "ID", "Uptime");
    }
    for (unsigned int i = 0; i < list.count; i++) {
        long up = seconds_up(call, &list.domains[i]), days = up / 86400;
        char text[64];

        snprintf(text, sizeof(text), "%ld day%s, %2ld:%02ld:%02ld", days, days == 1 ? "" : "s",
                 up / 3600 % 24, up / 60 % 60, up % 60);
        if (gen) {
            yajl_gen_map_open(gen);
            json_pair(gen, "name", shown_name(&list, i));
            json_number(gen, "domid", list.domains[i].domid);
            json_number(gen, "uptime_s", up);
            yajl_gen_map_close(gen);
        } else {
            printf("%-33s %4u %s\n", shown_name(&list, i), list.domains[i].domid,
                   days ? text : strchr(text, ',') + 2);
        }
    }
    if (gen) {
        yajl_gen_array_close(gen);
        json_end(gen);
    }
    named_list_free(&list);
    return 0;
}

int cmd_dmesg(struct call *call)
{
    uint32_t index = 0;
    char *text;
    size_t length;

    if (bh_read_log(call->h, call->values['c'], false, &index, &text, &length))
        return failed(call);
    fwrite(text, 1, length, stdout);
    free(text);
    return 0;
}

int cmd_claims(struct call *call)
{
    struct named_list list;
    struct bh_physinfo info;
    yajl_gen gen = NULL;

    if (named_list_get(call, &list) || bh_get_physinfo(call->h, &info))
        return failed(call);
    if (call->json) {
        gen = json_begin();
        yajl_gen_array_open(gen);
    } else {
        printf("Name                                        ID   Mem VCPUs\tState\tTime(s)  Claimed\n");
    }
    for (unsigned int i = 0; i < list.count; i++) {
        const struct bh_domain *d = &list.domains[i];
        char state[7];

        state_letters(d, state);
        if (gen) {
            yajl_gen_map_open(gen);
            json_pair(gen, "name", shown_name(&list, i));
            json_number(gen, "domid", d->domid);
            json_number(gen, "memory_kib", d->memory_kib);
            json_number(gen, "claimed_kib", d->outstanding_kib);
            yajl_gen_map_close(gen);
        } else {
            printf("%-40s %5u %5lu %5u     %s  %8.1f %5lu\n", shown_name(&list, i), d->domid,
                   (d->memory_kib + d->outstanding_kib) >> 10, d->online_vcpus, state,
                   (double)d->cpu_time_ns / 1e9, d->outstanding_kib >> 10);
        }
    }
    if (gen) {
        yajl_gen_array_close(gen);
        json_end(gen);
    }
    named_list_free(&list);
    return 0;
}

int cmd_debug_keys(struct call *call)
{
    return bh_debug_keys(call->h, call->args[0]) ? failed(call) : 0;
}
