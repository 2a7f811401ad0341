/* What a domain's devices have moved: the counter files of our back ends, sysfs of Linux's. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include "cli.h"

static uint64_t number_in(const char *path)
{
    FILE *in = fopen(path, "re");
    unsigned long value = 0;

    if (in && fscanf(in, "%lu", &value) != 1)
        value = 0;
    if (in)
        fclose(in);
    return value;
}

static bool our_counters(const char *kind, unsigned int domid, unsigned int devid, uint64_t words[16])
{
    const char *dir = getenv("BULKHEAD_RUN_DIR");
    char path[300];
    bool good;
    int fd;

    snprintf(path, sizeof(path), "%s/%s-%u-%u.stats", dir && *dir ? dir : "/run/bulkhead", kind, domid,
             devid);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return false;
    memset(words, 0, 16 * sizeof(*words));
    good = read(fd, words, 16 * sizeof(*words)) >= (ssize_t)(8 * sizeof(*words)) &&
           memcmp(words, "BHPVST01", 8) == 0;
    close(fd);
    return good;
}

void counters_add_vbd(struct counters *c, unsigned int domid, unsigned int devid)
{
    static const char *const names[] = {"rd_req", "wr_req", "rd_sect", "wr_sect"};
    uint64_t *to[] = {&c->reads, &c->writes, &c->read_sectors, &c->write_sectors}, words[16];
    char path[160];

    c->vbds++;
    if (our_counters("vbd", domid, devid, words)) {
        c->reads += words[2];
        c->writes += words[3];
        c->read_sectors += words[6];
        c->write_sectors += words[7];
        return;
    }
    for (unsigned int i = 0; i < 4; i++) {
        snprintf(path, sizeof(path), "/sys/bus/xen-backend/devices/vbd-%u-%u/statistics/%s", domid, devid,
                 names[i]);
        *to[i] += number_in(path);
    }
}

void counters_add_vif(struct counters *c, unsigned int domid, unsigned int devid)
{
    uint64_t words[16];
    char path[160];

    c->vifs++;
    if (our_counters("vif", domid, devid, words)) {
        c->tx_bytes += words[3];
        c->rx_bytes += words[5];
        return;
    }
    snprintf(path, sizeof(path), "/sys/class/net/vif%u.%u/statistics/rx_bytes", domid, devid);
    c->tx_bytes += number_in(path);
    snprintf(path, sizeof(path), "/sys/class/net/vif%u.%u/statistics/tx_bytes", domid, devid);
    c->rx_bytes += number_in(path);
}

void counters_add_domain(struct call *call, struct counters *c, unsigned int domid)
{
    static const char *const names[] = {"vbd", "vif"};

    for (unsigned int class = 0; class < 2; class ++) {
        char path[64], **ids;
        unsigned int n;

        snprintf(path, sizeof(path), "/libxl/%u/device/%s", domid, names[class]);
        if (bh_store_list(call->h, path, &ids, &n))
            continue;
        for (unsigned int i = 0; i < n; i++) {
            unsigned int devid = strtoul(ids[i], NULL, 10);

            if (class == 0)
                counters_add_vbd(c, domid, devid);
            else
                counters_add_vif(c, domid, devid);
            free(ids[i]);
        }
        free(ids);
    }
    bh_error_clear(call->h);
}

void json_net_counters(yajl_gen gen, const struct counters *c)
{
    json_number(gen, "net_tx_bytes", (long long)c->tx_bytes);
    json_number(gen, "net_rx_bytes", (long long)c->rx_bytes);
}

void json_block_counters(yajl_gen gen, const struct counters *c)
{
    json_number(gen, "block_reads", (long long)c->reads);
    json_number(gen, "block_writes", (long long)c->writes);
    json_number(gen, "block_read_sectors", (long long)c->read_sectors);
    json_number(gen, "block_write_sectors", (long long)c->write_sectors);
}
