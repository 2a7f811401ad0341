/* pause ... trigger, memory, vcpus, scheduling. */
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "cli.h"

static int simple(struct call *call, int (*action)(struct bh *h, unsigned int domid))
{
    unsigned int domid;

    if (!find_domain(call, call->args[0], &domid))
        return 1;
    return action(call->h, domid) ? failed(call) : 0;
}

int cmd_pause(struct call *call)
{
    return simple(call, bh_pause);
}

int cmd_unpause(struct call *call)
{
    return simple(call, bh_unpause);
}

/* Whoever says destroy does not want its next life either. */
int cmd_destroy(struct call *call)
{
    struct bh_domain info;
    unsigned int domid;

    if (!find_domain(call, call->args[0], &domid))
        return 1;
    if (domid && bh_domain_info(call->h, domid, &info) == 0)
        bh_cancel_restart(info.uuid);
    return bh_destroy(call->h, domid) ? failed(call) : 0;
}

/* Waits until none of the domains is there any more, or each has shut down. */
static int wait_gone(struct call *call, const unsigned int *domids, unsigned int count)
{
    char *path, *token;

    if (bh_store_watch(call->h, "@releaseDomain", "wait"))
        return failed(call);
    for (;;) {
        unsigned int left = 0;

        for (unsigned int i = 0; i < count; i++) {
            struct bh_domain info;

            left +=
                bh_domain_info(call->h, domids[i], &info) == 0 && !(info.flags & (BH_SHUTDOWN | BH_DYING));
        }
        bh_error_clear(call->h);
        if (!left)
            return 0;
        if (bh_store_next_event(call->h, &path, &token))
            return failed(call);
        free(path);
        free(token);
    }
}

static int ask_shutdown(struct call *call, const char *what)
{
    unsigned int *domids, count = 0;
    struct named_list list;
    int rc = 0;

    if (!call->count && !call->values['a'])
        return wrong_usage(call, "names no domain");
    if (named_list_get(call, &list))
        return failed(call);
    domids = calloc(list.count + 1, sizeof(*domids));
    if (call->count) {
        if (!find_domain(call, call->args[0], &domids[0]))
            rc = 1;
        count = 1;
    } else {
        for (unsigned int i = 0; i < list.count; i++)
            if (list.domains[i].domid && !(list.domains[i].flags & (BH_SHUTDOWN | BH_DYING)))
                domids[count++] = list.domains[i].domid;
    }
    for (unsigned int i = 0; i < count && !rc; i++) {
        if (domids[i] == 0)
            rc = failed_text(call, "domain 0 is this machine's control domain; shut it down from inside");
        else if (bh_request_shutdown(call->h, domids[i], what))
            rc = failed(call);
        else if (!call->json)
            printf("%s domain %u\n", strcmp(what, "reboot") == 0 ? "Rebooting" : "Shutting down", domids[i]);
    }
    fflush(stdout);
    if (!rc && call->values['w'])
        rc = wait_gone(call, domids, count);
    free(domids);
    named_list_free(&list);
    return rc;
}

int cmd_shutdown(struct call *call)
{
    return ask_shutdown(call, "poweroff");
}

int cmd_reboot(struct call *call)
{
    return ask_shutdown(call, "reboot");
}

int cmd_sysrq(struct call *call)
{
    unsigned int domid;

    if (strlen(call->args[1]) != 1)
        return wrong_usage(call, "wants one letter, not \"%s\"", call->args[1]);
    if (!find_domain(call, call->args[0], &domid))
        return 1;
    return bh_sysrq(call->h, domid, call->args[1][0]) ? failed(call) : 0;
}

int cmd_trigger(struct call *call)
{
    static const char *const names[] = {"nmi", "reset", "init", "power", "sleep"};
    unsigned long vcpu = 0;
    unsigned int domid, trigger = 0;

    while (trigger < 5 && strcmp(names[trigger], call->args[1]) != 0)
        trigger++;
    if (trigger == 5)
        return wrong_usage(call, "knows no trigger \"%s\"", call->args[1]);
    if (!find_domain(call, call->args[0], &domid) ||
        (call->count > 2 && !parse_number(call, "vcpu", call->args[2], 511, &vcpu)))
        return 1;
    return bh_trigger(call->h, domid, trigger, vcpu) ? failed(call) : 0;
}

int cmd_mem_set(struct call *call)
{
    unsigned int domid;
    uint64_t kib;

    if (!find_domain(call, call->args[0], &domid) || !parse_memory(call, call->args[1], &kib))
        return 1;
    return bh_set_memory_target(call->h, domid, kib) ? failed(call) : 0;
}

int cmd_mem_max(struct call *call)
{
    struct bh_domain info;
    unsigned int domid;
    uint64_t kib;
    char path[64], text[32];

    if (!find_domain(call, call->args[0], &domid) || !parse_memory(call, call->args[1], &kib))
        return 1;
    if (bh_domain_info(call->h, domid, &info))
        return failed(call);
    if (kib < info.memory_kib)
        return failed_text(call, "domain %u has %lu MiB now, more than %lu MiB; mem-set it lower first",
                           domid, info.memory_kib >> 10, kib >> 10);
    snprintf(path, sizeof(path), "/local/domain/%u/memory/static-max", domid);
    snprintf(text, sizeof(text), "%lu", kib);
    if (bh_set_memory_max(call->h, domid, kib) || bh_store_set(call->h, path, text))
        return failed(call);
    return 0;
}

/* ---- vcpus ---- */

static void vcpu_row(struct call *call, yajl_gen gen, const char *name, unsigned int domid, unsigned int vcpu,
                     unsigned int cpus)
{
    struct bh_cpumap hard, soft;
    char hard_text[256], soft_text[256], cpu[16] = "-", state[4];
    struct bh_vcpu v;

    if (bh_vcpu_info(call->h, domid, vcpu, &v) || bh_get_affinity(call->h, domid, vcpu, &hard, &soft)) {
        bh_error_clear(call->h);
        return;
    }
    bh_cpumap_print(&hard, cpus, hard_text, sizeof(hard_text));
    bh_cpumap_print(&soft, cpus, soft_text, sizeof(soft_text));
    if (gen) {
        yajl_gen_map_open(gen);
        json_pair(gen, "name", name);
        json_number(gen, "domid", domid);
        json_number(gen, "vcpu", vcpu);
        json_flag(gen, "online", v.online);
        json_flag(gen, "running", v.running);
        json_flag(gen, "blocked", v.blocked);
        json_number(gen, "cpu", v.cpu);
        json_number(gen, "time_ns", v.cpu_time_ns);
        json_pair(gen, "hard_affinity", hard_text);
        json_pair(gen, "soft_affinity", soft_text);
        yajl_gen_map_close(gen);
        return;
    }
    if (v.online)
        snprintf(cpu, sizeof(cpu), "%u", v.cpu);
    snprintf(state, sizeof(state), v.online ? "%c%c-" : "--p", v.running ? 'r' : '-', v.blocked ? 'b' : '-');
    printf("%-32s %5u %5u %5s   %s  %9.1f  %s / %s\n", name, domid, vcpu, cpu, state,
           (double)v.cpu_time_ns / 1e9, hard_text, soft_text);
}

int cmd_vcpu_list(struct call *call)
{
    struct named_list list;
    struct bh_physinfo info;
    yajl_gen gen = NULL;
    unsigned int wanted[64], n = 0;

    if (named_list_get(call, &list) || bh_get_physinfo(call->h, &info))
        return failed(call);
    for (; n < call->count && n < 64; n++)
        if (!find_domain(call, call->args[n], &wanted[n]))
            return 1;
    if (call->json) {
        gen = json_begin();
        yajl_gen_array_open(gen);
    } else {
        printf("%-32s %5s %5s %5s %5s %9s %s\n", "Name", "ID", "VCPU", "CPU", "State", "Time(s)",
               "Affinity (Hard / Soft)");
    }
    for (unsigned int i = 0; i < list.count; i++) {
        bool show = n == 0;

        for (unsigned int j = 0; j < n; j++)
            show |= wanted[j] == list.domains[i].domid;
        for (unsigned int v = 0; show && v < list.domains[i].vcpus; v++)
            vcpu_row(call, gen, shown_name(&list, i), list.domains[i].domid, v, info.max_cpu_id + 1);
    }
    if (gen) {
        yajl_gen_array_close(gen);
        json_end(gen);
    }
    named_list_free(&list);
    return 0;
}

int cmd_vcpu_set(struct call *call)
{
    struct bh_physinfo info;
    unsigned int domid;
    unsigned long count;

    if (!find_domain(call, call->args[0], &domid) ||
        !parse_number(call, "vcpu count", call->args[1], 512, &count))
        return 1;
    if (!call->values['i'] && bh_get_physinfo(call->h, &info) == 0 && count > info.nr_cpus)
        return failed_text(call, "%lu vcpus are more than the machine's %u CPUs; --ignore-host allows that",
                           count, info.nr_cpus);
    return bh_set_vcpus(call->h, domid, count) ? failed(call) : 0;
}

int cmd_vcpu_pin(struct call *call)
{
    struct bh_cpumap hard, soft;
    bool has_hard = strcmp(call->args[2], "-") != 0,
         has_soft = call->count > 3 && strcmp(call->args[3], "-") != 0;
    unsigned long first = 0, last = 0;
    struct bh_domain info;
    unsigned int domid;

    if (!find_domain(call, call->args[0], &domid))
        return 1;
    if (bh_domain_info(call->h, domid, &info) ||
        (has_hard && bh_cpumap_parse(call->h, call->args[2], &hard)) ||
        (has_soft && bh_cpumap_parse(call->h, call->args[3], &soft)))
        return failed(call);
    if (strcmp(call->args[1], "all") == 0)
        last = info.vcpus - 1;
    else if (!parse_number(call, "vcpu", call->args[1], info.vcpus - 1, &first))
        return 1;
    else
        last = first;
    for (unsigned long v = first; v <= last; v++)
        if (bh_set_affinity(call->h, domid, v, has_hard ? &hard : NULL, has_soft ? &soft : NULL,
                            call->values['f']))
            return failed(call);
    return 0;
}

/* ---- scheduling ---- */

static void pool_name(const struct bh_cpupool *pool, char *out, size_t size)
{
    if (pool->name)
        snprintf(out, size, "%s", pool->name);
    else
        snprintf(out, size, "Pool-%u", pool->id);
}

/* The scheduler's own parameters in one pool, as xl prints them. */
static void pool_as_json(const char *name, unsigned int scheduler, const struct bh_sched_pool *p)
{
    yajl_gen gen = json_begin();

    yajl_gen_map_open(gen);
    json_pair(gen, "name", name);
    json_pair(gen, "scheduler", bh_scheduler_name(scheduler));
    if (scheduler == 5)
        json_number(gen, "tslice_ms", p->tslice_ms);
    json_number(gen, "ratelimit_us", p->ratelimit_us);
    if (scheduler == 5)
        json_number(gen, "migration_delay_us", p->migration_delay_us);
    yajl_gen_map_close(gen);
    json_end(gen);
}

static int print_pool(struct call *call, const struct bh_cpupool *pool)
{
    struct bh_sched_pool p;
    char name[256];

    if (bh_sched_pool_get(call->h, pool->id, pool->scheduler, &p))
        return failed(call);
    pool_name(pool, name, sizeof(name));
    if (call->json)
        pool_as_json(name, pool->scheduler, &p);
    else if (pool->scheduler == 5)
        printf("Cpupool %s: tslice=%ums ratelimit=%uus migration-delay=%uus\n", name, p.tslice_ms,
               p.ratelimit_us, p.migration_delay_us);
    else
        printf("Cpupool %s: ratelimit=%uus\n", name, p.ratelimit_us);
    return 0;
}

static void print_params(yajl_gen gen, const char *name, unsigned int domid, const struct bh_sched *s)
{
    if (gen) {
        yajl_gen_map_open(gen);
        json_pair(gen, "name", name);
        json_number(gen, "domid", domid);
        json_number(gen, "weight", s->weight);
        json_number(gen, "cap", s->cap);
        yajl_gen_map_close(gen);
    } else {
        printf("%-33s %4u %6u %4u\n", name, domid, s->weight, s->cap);
    }
}

/* The domains of one pool, or only one of them. */
static int print_domains(struct call *call, yajl_gen gen, unsigned int pool, int only)
{
    struct named_list list;

    if (named_list_get(call, &list))
        return failed(call);
    for (unsigned int i = 0; i < list.count; i++) {
        const struct bh_domain *d = &list.domains[i];
        struct bh_sched s;

        if (d->cpupool != pool || (only >= 0 && d->domid != (unsigned int)only))
            continue;
        /* One that ended meanwhile is not listed. */
        if (bh_sched_get(call->h, d->domid, &s) == 0)
            print_params(gen, shown_name(&list, i), d->domid, &s);
    }
    bh_error_clear(call->h);
    named_list_free(&list);
    return 0;
}

static void print_heading(void)
{
    printf("%-33s %4s %6s %4s\n", "Name", "ID", "Weight", "Cap");
}

/* Pools with this scheduler, and their domains; `pool` and `only` (< 0: all) narrow it down. */
static int sched_list(struct call *call, unsigned int sched_id, int pool, int only)
{
    struct bh_cpupool *list;
    unsigned int count;
    yajl_gen gen;
    int rc = 0;

    if (bh_cpupool_list(call->h, &list, &count))
        return failed(call);
    gen = call->json ? json_begin() : NULL;
    if (gen)
        yajl_gen_array_open(gen);
    else if (only >= 0)
        print_heading(); /* also when another scheduler has it: xl's words */
    for (unsigned int i = 0; i < count && !rc; i++) {
        if (list[i].scheduler != sched_id || (pool >= 0 && list[i].id != (unsigned int)pool))
            continue;
        if (!gen && only < 0)
            rc = print_pool(call, &list[i]);
        if (!gen && only < 0 && !rc)
            print_heading();
        if (!rc)
            rc = print_domains(call, gen, list[i].id, only);
    }
    if (gen) {
        yajl_gen_array_close(gen);
        json_end(gen);
    }
    bh_cpupool_list_free(list, count);
    return rc;
}

/* Whether a domain is under this scheduler; an error if not. */
static int check_scheduler(struct call *call, const struct bh_domain *domain, unsigned int sched_id)
{
    struct bh_cpupool *list;
    unsigned int count, found = sched_id;

    if (bh_cpupool_list(call->h, &list, &count))
        return failed(call);
    for (unsigned int i = 0; i < count; i++)
        if (list[i].id == domain->cpupool)
            found = list[i].scheduler;
    bh_cpupool_list_free(list, count);
    if (found == sched_id)
        return 0;
    return failed_text(call, "domain %u is in a CPU pool whose scheduler is %s, not %s", domain->domid,
                       bh_scheduler_name(found), bh_scheduler_name(sched_id));
}

static bool sched_number(struct call *call, char letter, const char *what, unsigned int max,
                         unsigned int *out)
{
    unsigned long value;

    if (!call->values[(int)letter])
        return true;
    if (!parse_number(call, what, call->values[(int)letter], max, &value))
        return false;
    *out = value;
    return true;
}

/* A pool that has another scheduler. */
static int no_parameters(struct call *call, const struct bh_cpupool *pool)
{
    char name[256];

    pool_name(pool, name, sizeof(name));
    if (call->json) {
        yajl_gen gen = json_begin();

        yajl_gen_map_open(gen);
        json_pair(gen, "name", name);
        json_pair(gen, "scheduler", bh_scheduler_name(pool->scheduler));
        yajl_gen_map_close(gen);
        json_end(gen);
        return 0;
    }
    printf("Cpupool %s: [sched params unavailable]\n", name);
    return 0;
}

static int sched_pool(struct call *call, unsigned int sched_id, unsigned int pool)
{
    struct bh_cpupool *list;
    struct bh_sched_pool p;
    unsigned int count;
    int rc = 0;

    if (call->values['t'] || call->values['r'] || call->values['m']) {
        if (bh_sched_pool_get(call->h, pool, sched_id, &p))
            return failed(call);
        if (!sched_number(call, 't', "tslice", 1000, &p.tslice_ms) ||
            !sched_number(call, 'r', "ratelimit", 500000, &p.ratelimit_us) ||
            !sched_number(call, 'm', "migration delay", 100000, &p.migration_delay_us))
            return 1;
        return bh_sched_pool_set(call->h, pool, sched_id, &p) ? failed(call) : 0;
    }
    if (bh_cpupool_list(call->h, &list, &count))
        return failed(call);
    for (unsigned int i = 0; i < count && !rc; i++)
        if (list[i].id == pool)
            rc = list[i].scheduler == sched_id ? print_pool(call, &list[i]) : no_parameters(call, &list[i]);
    bh_cpupool_list_free(list, count);
    return rc;
}

static int sched_command(struct call *call, unsigned int sched_id)
{
    unsigned int domid, pool = 0, weight = -1U, cap = -1U;
    struct bh_domain info;

    if (call->values['p'] && bh_cpupool_find(call->h, call->values['p'], &pool))
        return failed(call);
    if (call->values['s'])
        return sched_pool(call, sched_id, pool);
    if (!call->values['d']) {
        if (call->values['w'] || call->values['c'])
            return wrong_usage(call, "wants a domain (-d) for a weight or cap");
        return sched_list(call, sched_id, call->values['p'] ? (int)pool : -1, -1);
    }
    if (!find_domain(call, call->values['d'], &domid))
        return 1;
    if (bh_domain_info(call->h, domid, &info))
        return failed(call);
    bool show = !call->values['w'] && !call->values['c'];
    if ((show && sched_list(call, sched_id, info.cpupool, domid)) || check_scheduler(call, &info, sched_id))
        return 1;
    if (show)
        return 0;
    if (!sched_number(call, 'w', "weight", 65535, &weight) || !sched_number(call, 'c', "cap", 51200, &cap))
        return 1;
    return bh_sched_set(call->h, domid, weight, cap) ? failed(call) : 0;
}

int cmd_sched_credit(struct call *call)
{
    return sched_command(call, 5);
}

int cmd_sched_credit2(struct call *call)
{
    return sched_command(call, 6);
}
