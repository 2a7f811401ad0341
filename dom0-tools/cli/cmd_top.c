/* top: what each domain used since the last look. A screen with ncurses, or lines (-b), or JSON. */
#include <errno.h>
#include <ncurses.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include "cli.h"

struct look {
    struct named_list list;
    struct counters *counters;
    uint64_t time_ns;
    uint64_t steal_ticks, all_ticks; /* Dom0's own */
};

static void read_steal(struct look *look)
{
    unsigned long v[8] = {0};
    FILE *in = fopen("/proc/stat", "re");

    if (in && fscanf(in, "cpu %lu %lu %lu %lu %lu %lu %lu %lu", v, v + 1, v + 2, v + 3, v + 4, v + 5, v + 6,
                     v + 7) == 8)
        look->steal_ticks = v[7];
    for (unsigned int i = 0; i < 8; i++)
        look->all_ticks += v[i];
    if (in)
        fclose(in);
}

static int take_look(struct call *call, struct look *look)
{
    struct timespec t;

    memset(look, 0, sizeof(*look));
    if (named_list_get(call, &look->list))
        return -1;
    clock_gettime(CLOCK_MONOTONIC, &t);
    look->time_ns = t.tv_sec * 1000000000UL + t.tv_nsec;
    look->counters = calloc(look->list.count + 1, sizeof(*look->counters));
    for (unsigned int i = 0; look->counters && i < look->list.count; i++)
        counters_add_domain(call, &look->counters[i], look->list.domains[i].domid);
    read_steal(look);
    return look->counters ? 0 : -1;
}

static void free_look(struct look *look)
{
    named_list_free(&look->list);
    free(look->counters);
    memset(look, 0, sizeof(*look));
}

struct row {
    const char *name;
    const struct bh_domain *d;
    double cpu_percent, memory_percent, seconds;
    struct counters rate; /* since the last look */
    struct counters total;
    char state[7];
};

static void make_row(const struct look *now, const struct look *before, unsigned int i, uint64_t total_kib,
                     struct row *r)
{
    const struct bh_domain *d = &now->list.domains[i];
    double elapsed = before->time_ns ? (double)(now->time_ns - before->time_ns) : 0;

    memset(r, 0, sizeof(*r));
    r->name = shown_name(&now->list, i);
    r->d = d;
    r->seconds = (double)d->cpu_time_ns / 1e9;
    r->memory_percent = total_kib ? (double)d->memory_kib * 100 / (double)total_kib : 0;
    r->total = now->counters[i];
    snprintf(r->state, sizeof(r->state), "%c%c%c%c%c%c", d->flags & BH_DYING ? 'd' : '-',
             d->flags & BH_SHUTDOWN ? 's' : '-', d->flags & BH_BLOCKED ? 'b' : '-',
             d->flags & BH_SHUTDOWN && d->shutdown_reason == BH_REASON_CRASH ? 'c' : '-',
             d->flags & BH_PAUSED ? 'p' : '-', d->flags & BH_RUNNING ? 'r' : '-');
    for (unsigned int j = 0; elapsed > 0 && j < before->list.count; j++) {
        const struct counters *was = &before->counters[j], *is = &now->counters[i];

        if (before->list.domains[j].domid != d->domid)
            continue;
        r->cpu_percent = (double)(d->cpu_time_ns - before->list.domains[j].cpu_time_ns) * 100 / elapsed;
        r->rate.tx_bytes = (double)(is->tx_bytes - was->tx_bytes) * 1e9 / elapsed;
        r->rate.rx_bytes = (double)(is->rx_bytes - was->rx_bytes) * 1e9 / elapsed;
        r->rate.reads = (double)(is->reads - was->reads) * 1e9 / elapsed;
        r->rate.writes = (double)(is->writes - was->writes) * 1e9 / elapsed;
    }
}

#define HEAD "%-20s %6s %10s %6s %10s %6s %10s %5s %4s %9s %9s %4s %9s %9s %9s %9s"
#define ROW  "%-20.20s %6s %10.0f %6.1f %10lu %6.1f %10s %5u %4u %9lu %9lu %4u %9lu %9lu %9lu %9lu"

static void format_head(char *out, size_t size)
{
    snprintf(out, size, HEAD, "NAME", "STATE", "CPU(sec)", "CPU(%)", "MEM(k)", "MEM(%)", "MAXMEM(k)", "VCPUS",
             "NETS", "TX(B/s)", "RX(B/s)", "VBDS", "RD/s", "WR/s", "RSECT", "WSECT");
}

static void format_row(const struct row *r, char *out, size_t size)
{
    char limit[24] = "no limit";

    if (r->d->max_memory_kib < 1UL << 42)
        snprintf(limit, sizeof(limit), "%lu", r->d->max_memory_kib);
    snprintf(out, size, ROW, r->name, r->state, r->seconds, r->cpu_percent, r->d->memory_kib,
             r->memory_percent, limit, r->d->online_vcpus, r->total.vifs, r->rate.tx_bytes, r->rate.rx_bytes,
             r->total.vbds, r->rate.reads, r->rate.writes, r->total.read_sectors, r->total.write_sectors);
}

static void gen_row(yajl_gen gen, const struct row *r)
{
    yajl_gen_map_open(gen);
    json_pair(gen, "name", r->name);
    json_number(gen, "domid", r->d->domid);
    json_number(gen, "cpu_time_ns", r->d->cpu_time_ns);
    json_name(gen, "cpu_percent");
    yajl_gen_double(gen, r->cpu_percent);
    json_number(gen, "memory_kib", r->d->memory_kib);
    json_number(gen, "max_memory_kib", r->d->max_memory_kib);
    json_number(gen, "vcpus", r->d->online_vcpus);
    json_net_counters(gen, &r->total);
    json_number(gen, "net_tx_bytes_per_s", r->rate.tx_bytes);
    json_number(gen, "net_rx_bytes_per_s", r->rate.rx_bytes);
    json_block_counters(gen, &r->total);
    json_number(gen, "block_reads_per_s", r->rate.reads);
    json_number(gen, "block_writes_per_s", r->rate.writes);
    yajl_gen_map_close(gen);
}

static double steal_percent(const struct look *now, const struct look *before)
{
    uint64_t all = now->all_ticks - before->all_ticks;

    return all && before->all_ticks ? (double)(now->steal_ticks - before->steal_ticks) * 100 / (double)all
                                    : 0;
}

static void summary(const struct look *now, const struct look *before, const struct bh_physinfo *info,
                    char *out, size_t size)
{
    unsigned int running = 0, blocked = 0, paused = 0;

    for (unsigned int i = 0; i < now->list.count; i++) {
        running += (now->list.domains[i].flags & BH_RUNNING) != 0;
        blocked += (now->list.domains[i].flags & BH_BLOCKED) != 0;
        paused += (now->list.domains[i].flags & BH_PAUSED) != 0;
    }
    snprintf(
        out, size,
        "%u domains: %u running, %u blocked, %u paused   Mem: %luk total, %luk free   CPUs: %u @ %uMHz   "
        "Dom0 steal %.1f%%",
        now->list.count, running, blocked, paused, info->total_kib, info->free_kib, info->nr_cpus,
        info->cpu_khz / 1000, steal_percent(now, before));
}

static void print_lines(const struct call *call, const struct look *now, const struct look *before,
                        const struct bh_physinfo *info)
{
    yajl_gen gen = call->json ? json_begin() : NULL;
    char line[400];
    struct row r;

    if (gen) {
        yajl_gen_array_open(gen);
    } else {
        summary(now, before, info, line, sizeof(line));
        puts(line);
        format_head(line, sizeof(line));
        puts(line);
    }
    for (unsigned int i = 0; i < now->list.count; i++) {
        make_row(now, before, i, info->total_kib, &r);
        if (gen) {
            gen_row(gen, &r);
        } else {
            format_row(&r, line, sizeof(line));
            puts(line);
        }
    }
    if (gen) {
        yajl_gen_array_close(gen);
        json_end(gen);
    }
    fflush(stdout);
}

static int by_cpu(const void *a, const void *b)
{
    const struct row *x = a, *y = b;

    return (x->cpu_percent < y->cpu_percent) - (x->cpu_percent > y->cpu_percent);
}

static void draw(const struct look *now, const struct look *before, const struct bh_physinfo *info)
{
    struct row *rows = calloc(now->list.count + 1, sizeof(*rows));
    char line[400];

    erase();
    summary(now, before, info, line, sizeof(line));
    mvaddnstr(0, 0, line, COLS);
    format_head(line, sizeof(line));
    attron(A_REVERSE);
    mvaddnstr(2, 0, line, COLS);
    attroff(A_REVERSE);
    for (unsigned int i = 0; rows && i < now->list.count; i++)
        make_row(now, before, i, info->total_kib, &rows[i]);
    if (rows)
        qsort(rows, now->list.count, sizeof(*rows), by_cpu);
    for (unsigned int i = 0; rows && i < now->list.count && (int)i + 4 < LINES; i++) {
        format_row(&rows[i], line, sizeof(line));
        mvaddnstr(i + 3, 0, line, COLS);
    }
    mvaddnstr(LINES - 1, 0, "q: leave", COLS);
    refresh();
    free(rows);
}

int cmd_top(struct call *call)
{
    unsigned long delay = 3, count = 0;
    bool lines = call->values['b'] || call->json || !isatty(STDOUT_FILENO);
    struct look now = {0}, before = {0};
    struct bh_physinfo info;
    int rc = 0;

    if ((call->values['d'] && !parse_number(call, "delay", call->values['d'], 3600, &delay)) ||
        (call->values['i'] && !parse_number(call, "count", call->values['i'], 1UL << 30, &count)))
        return 1;
    if (lines && !count)
        count = call->values['b'] ? 0 : 1;
    if (!lines) {
        initscr();
        noecho();
        cbreak();
        curs_set(0);
    }
    for (unsigned long i = 0; !count || i < count; i++) {
        if (take_look(call, &now) || bh_get_physinfo(call->h, &info)) {
            rc = 1;
            break;
        }
        if (lines)
            print_lines(call, &now, &before, &info);
        else
            draw(&now, &before, &info);
        free_look(&before);
        before = now;
        memset(&now, 0, sizeof(now));
        if (count && i + 1 == count)
            break;
        if (lines) {
            sleep(delay);
        } else {
            timeout(delay * 1000);
            if (getch() == 'q')
                break;
        }
    }
    if (!lines)
        endwin();
    free_look(&before);
    free_look(&now);
    return rc ? failed(call) : 0;
}
