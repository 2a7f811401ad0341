/* cpupool-*. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "../config/doc.h"
#include "cli.h"

static bool find_pool(struct call *call, const char *who, unsigned int *id)
{
    if (bh_cpupool_find(call->h, who, id) == 0)
        return true;
    failed(call);
    return false;
}

/* "0,1,3", as xl lists the CPUs of a pool. */
static void cpu_numbers(const struct bh_cpumap *map, unsigned int last, char *out, size_t size)
{
    size_t used = 0;

    *out = 0;
    for (unsigned int cpu = 0; cpu <= last && used < size; cpu++)
        if (bh_cpumap_test(map, cpu))
            used += snprintf(out + used, size - used, "%s%u", used ? "," : "", cpu);
}

int cmd_cpupool_list(struct call *call)
{
    struct bh_cpupool *list;
    struct bh_physinfo info;
    unsigned int count, only = 0;
    yajl_gen gen = call->json ? json_begin() : NULL;

    if ((call->count && !find_pool(call, call->args[0], &only)))
        return 1;
    if (bh_cpupool_list(call->h, &list, &count) || bh_get_physinfo(call->h, &info))
        return failed(call);
    if (gen)
        yajl_gen_array_open(gen);
    else if (call->values['c'])
        printf("%-19s %s\n", "Name", "CPU list");
    else
        printf("%-19s%5s%10s%9s%15s\n", "Name", "CPUs", "Sched", "Active", "Domain count");
    for (unsigned int i = 0; i < count; i++) {
        char cpus[BH_CPUMAP_BYTES * 8 * 5];
        const char *name = list[i].name ? list[i].name : "(null)";
        unsigned int n = 0;

        if (call->count && list[i].id != only)
            continue;
        for (unsigned int cpu = 0; cpu <= info.max_cpu_id; cpu++)
            n += bh_cpumap_test(&list[i].cpus, cpu);
        cpu_numbers(&list[i].cpus, info.max_cpu_id, cpus, sizeof(cpus));
        if (gen) {
            yajl_gen_map_open(gen);
            json_pair(gen, "name", name);
            json_number(gen, "id", list[i].id);
            json_pair(gen, "scheduler", bh_scheduler_name(list[i].scheduler));
            json_number(gen, "domains", list[i].domains);
            json_number(gen, "cpu_count", n);
            json_pair(gen, "cpus", cpus);
            yajl_gen_map_close(gen);
        } else if (call->values['c']) {
            printf("%-19s %s\n", name, cpus);
        } else {
            printf("%-16s     %3u %9s       y       %4u\n", name, n, bh_scheduler_name(list[i].scheduler),
                   list[i].domains);
        }
    }
    if (gen) {
        yajl_gen_array_close(gen);
        json_end(gen);
    }
    bh_cpupool_list_free(list, count);
    return 0;
}

static bool scheduler_by_name(const char *name, unsigned int *id)
{
    for (unsigned int i = 4; i <= 9; i++)
        if (strcmp(bh_scheduler_name(i), name) == 0) {
            *id = i;
            return true;
        }
    return false;
}

/* name = "...", sched = "...", cpus = [ "0", "1" ] or "0-1" */
int cmd_cpupool_create(struct call *call)
{
    unsigned int first = 0, id, sched = 0, cpu_count = 0;
    const char *file = call->values['f'];
    struct bh_physinfo info;
    struct bh_cpumap cpus = {{0}};
    const struct value *name, *scheduler, *list;
    struct doc *doc;
    int rc = 0;

    if (!file && call->count && !strchr(call->args[0], '='))
        file = call->args[first++];
    doc = file ? doc_read_file(file) : doc_new("command line");
    if (!doc)
        return failed_text(call, "cannot read %s: %s", file ? file : "", strerror(errno));
    for (unsigned int i = first; i < call->count; i++)
        doc_override(doc, call->args[i]);
    name = map_get(doc->root, "name");
    scheduler = map_get(doc->root, "sched");
    list = map_get(doc->root, "cpus");
    if (bh_get_physinfo(call->h, &info))
        rc = failed(call);
    else if (doc->error_count)
        rc = failed_text(call, "%s", doc->diags[0].text);
    else if (!name || name->type != VALUE_STRING)
        rc = failed_text(call, "%s: name = \"...\" is missing", doc->file);
    else if (scheduler && (scheduler->type != VALUE_STRING || !scheduler_by_name(scheduler->text, &sched)))
        rc = failed_text(call, "sched: allowed are credit, credit2, null, rtds and arinc653");
    for (unsigned int i = 0; !rc && list && i < (list->type == VALUE_LIST ? list->count : 1); i++) {
        char buffer[24];
        const char *text = value_text(list->type == VALUE_LIST ? list->items[i] : list, buffer);
        struct bh_cpumap some;

        if (!text || bh_cpumap_parse(call->h, text, &some))
            rc = text ? failed(call) : failed_text(call, "cpus: a list of CPU numbers is wanted");
        for (unsigned int cpu = 0; !rc && cpu <= info.max_cpu_id; cpu++)
            if (bh_cpumap_test(&some, cpu))
                bh_cpumap_set(&cpus, cpu, true);
    }
    for (unsigned int cpu = 0; !rc && cpu <= info.max_cpu_id; cpu++)
        cpu_count += bh_cpumap_test(&cpus, cpu);
    if (!rc && !call->values['n'] &&
        bh_cpupool_create(call->h, name->text, sched ? sched : info.scheduler, &id))
        rc = failed(call);
    for (unsigned int cpu = 0; !rc && !call->values['n'] && cpu <= info.max_cpu_id; cpu++)
        if (bh_cpumap_test(&cpus, cpu) && bh_cpupool_add_cpu(call->h, id, cpu)) {
            rc = failed(call);
            bh_cpupool_destroy(call->h, id);
        }
    if (!rc && !call->json)
        printf("cpupool name:   %s\nscheduler:      %s\nnumber of cpus: %u\n", name->text,
               bh_scheduler_name(sched ? sched : info.scheduler), cpu_count);
    doc_free(doc);
    return rc;
}

int cmd_cpupool_destroy(struct call *call)
{
    unsigned int id;

    if (!find_pool(call, call->args[0], &id))
        return 1;
    return bh_cpupool_destroy(call->h, id) ? failed(call) : 0;
}

int cmd_cpupool_rename(struct call *call)
{
    unsigned int id;

    if (!find_pool(call, call->args[0], &id))
        return 1;
    return bh_cpupool_rename(call->h, id, call->args[1]) ? failed(call) : 0;
}

static int each_cpu(struct call *call, int (*action)(struct bh *h, unsigned int id, unsigned int cpu))
{
    struct bh_physinfo info;
    struct bh_cpumap cpus;
    unsigned int id;

    if (!find_pool(call, call->args[0], &id))
        return 1;
    if (bh_get_physinfo(call->h, &info) || bh_cpumap_parse(call->h, call->args[1], &cpus))
        return failed(call);
    for (unsigned int cpu = 0; cpu <= info.max_cpu_id; cpu++)
        if (bh_cpumap_test(&cpus, cpu) && action(call->h, id, cpu))
            return failed(call);
    return 0;
}

int cmd_cpupool_cpu_add(struct call *call)
{
    return each_cpu(call, bh_cpupool_add_cpu);
}

int cmd_cpupool_cpu_remove(struct call *call)
{
    return each_cpu(call, bh_cpupool_remove_cpu);
}

int cmd_cpupool_migrate(struct call *call)
{
    unsigned int domid, id;

    if (!find_domain(call, call->args[0], &domid) || !find_pool(call, call->args[1], &id))
        return 1;
    return bh_cpupool_move(call->h, domid, id) ? failed(call) : 0;
}

int cmd_cpupool_numa_split(struct call *call)
{
    struct bh_cpu_topology *cpus;
    struct bh_physinfo info;
    unsigned int count;
    int rc = 0;

    if (bh_get_physinfo(call->h, &info) || bh_get_topology(call->h, &cpus, &count))
        return failed(call);
    /* Node 0 keeps the pool that is there. */
    if (bh_cpupool_rename(call->h, 0, "Pool-node0"))
        rc = failed(call);
    for (unsigned int node = 1; !rc && node < info.nr_nodes; node++) {
        char name[24];
        unsigned int id;

        snprintf(name, sizeof(name), "Pool-node%u", node);
        if (bh_cpupool_create(call->h, name, info.scheduler, &id))
            rc = failed(call);
        for (unsigned int cpu = 0; !rc && cpu < count; cpu++)
            if (cpus[cpu].core != UINT32_MAX && cpus[cpu].node == node &&
                (bh_cpupool_remove_cpu(call->h, 0, cpu) || bh_cpupool_add_cpu(call->h, id, cpu)))
                rc = failed(call);
    }
    free(cpus);
    return rc;
}
