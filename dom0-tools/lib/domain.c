/*
 * Domains that exist: listing, naming, controlling, ending.
 */
#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>
#include "internal.h"

#define LIST_CHUNK       256U
#define MAXMEM_SLACK_KIB 1024

static void take_info(struct bh_domain *d, const struct xen_domctl_getdomaininfo *i)
{
    d->domid = i->domain;
    d->flags = i->flags & 0x3f;
    d->shutdown_reason = i->flags >> XEN_DOMINF_shutdownshift & XEN_DOMINF_shutdownmask;
    d->memory_kib = i->tot_pages << 2;
    d->max_memory_kib = i->max_pages << 2;
    d->outstanding_kib = i->outstanding_pages << 2;
    d->shared_kib = i->shr_pages << 2;
    d->paged_kib = i->paged_pages << 2;
    d->cpu_time_ns = i->cpu_time;
    d->online_vcpus = i->nr_online_vcpus;
    d->vcpus = i->max_vcpu_id + 1;
    d->ssid = i->ssidref;
    memcpy(d->uuid, i->handle, 16);
    d->cpupool = i->cpupool;
    d->shared_info_frame = i->shared_info_frame;
}

/* Up to LIST_CHUNK domains from `first` on, appended to *list. Returns how many came, or a negative errno. */
static long list_chunk(struct bh *h, unsigned int first, struct bh_domain **list, unsigned int count)
{
    size_t mark = bh_hbuf_mark(h);
    struct xen_domctl_getdomaininfo *buffer = bh_hbuf(h, LIST_CHUNK * sizeof(*buffer));
    struct xen_sysctl op = {0};
    struct bh_domain *more;
    long rc;

    if (!buffer)
        return -h->error;
    op.u.getdomaininfolist.first_domain = first;
    op.u.getdomaininfolist.max_domains = LIST_CHUNK;
    SET_HANDLE(op.u.getdomaininfolist.buffer, buffer);
    rc = bh_sysctl(h, "getdomaininfolist", XEN_SYSCTL_getdomaininfolist, &op);
    if (!rc) {
        rc = op.u.getdomaininfolist.num_domains;
        more = bh_step(h, "memory for a list of domains")
                   ? NULL
                   : reallocarray(*list, count + rc + 1, sizeof(**list));
        if (more) {
            *list = more;
            for (long i = 0; i < rc; i++)
                take_info(&more[count + i], &buffer[i]);
        } else {
            rc = h->error ? -h->error : bh_fail(h, ENOMEM, "no memory for a list of domains");
        }
    }
    bh_hbuf_release(h, mark);
    return rc;
}

int bh_list(struct bh *h, struct bh_domain **out, unsigned int *count)
{
    struct bh_domain *list = NULL;
    unsigned int n = 0, first = 0;
    long got;

    *out = NULL;
    *count = 0;
    h->error = 0;
    do {
        got = list_chunk(h, first, &list, n);
        if (got < 0) {
            free(list);
            return bh_because(h, "listing the domains");
        }
        n += got;
        first = n ? list[n - 1].domid + 1 : 0;
    } while (got == LIST_CHUNK);
    *out = list;
    *count = n;
    return 0;
}

int bh_domain_info(struct bh *h, unsigned int domid, struct bh_domain *out)
{
    struct xen_domctl op = {0};
    int rc = bh_domctl(h, "getdomaininfo", XEN_DOMCTL_getdomaininfo, domid, &op);

    if (!rc && op.u.getdomaininfo.domain != domid)
        rc = bh_fail(h, ESRCH, "there is no domain %u", domid);
    if (rc == -ESRCH)
        return bh_fail(h, ESRCH, "there is no domain %u", domid);
    if (!rc)
        take_info(out, &op.u.getdomaininfo);
    return rc;
}

int bh_names(struct bh *h, const struct bh_domain *list, unsigned int count, char **names)
{
    char **paths = bh_alloc(h, count, sizeof(*paths), "store paths");
    int rc = paths ? 0 : -h->error;

    memset(names, 0, count * sizeof(*names));
    for (unsigned int i = 0; i < count && !rc; i++)
        if (asprintf(&paths[i], "/local/domain/%u/name", list[i].domid) < 0) {
            paths[i] = NULL;
            rc = bh_fail(h, ENOMEM, "no memory for store paths");
        }
    if (!rc)
        rc = store_read_many(h, paths, count, names);
    for (unsigned int i = 0; paths && i < count; i++)
        free(paths[i]);
    free(paths);
    return rc;
}

int bh_domain_name(struct bh *h, unsigned int domid, char **name)
{
    char path[48];

    snprintf(path, sizeof(path), "/local/domain/%u/name", domid);
    *name = bh_store_get(h, path);
    if (*name)
        return 0;
    return h->error == ENOENT ? bh_fail(h, ESRCH, "domain %u has no name in the store", domid) : -h->error;
}

int bh_find(struct bh *h, const char *who, unsigned int *domid)
{
    struct bh_domain *list;
    unsigned int count;
    uint8_t uuid[16];
    bool by_uuid = bh_uuid_parse(who, uuid);
    char **names, *end;
    unsigned long number = strtoul(who, &end, 10);
    int rc;

    if (*who >= '0' && *who <= '9' && !*end && number < 0x7ff0) {
        struct bh_domain info;

        *domid = number;
        return bh_domain_info(h, number, &info);
    }
    rc = bh_list(h, &list, &count);
    if (rc)
        return rc;
    names = bh_alloc(h, count, sizeof(*names), "names of domains");
    rc = names ? bh_names(h, list, count, names) : -h->error;
    if (!rc)
        rc = -ESRCH;
    for (unsigned int i = 0; names && i < count; i++) {
        if (rc == -ESRCH &&
            ((names[i] && strcmp(names[i], who) == 0) || (by_uuid && memcmp(list[i].uuid, uuid, 16) == 0))) {
            *domid = list[i].domid;
            rc = 0;
        }
        free(names[i]);
    }
    free(names);
    free(list);
    if (rc == -ESRCH)
        return bh_fail(h, ESRCH, "there is no domain \"%s\" (bh list shows those there are)", who);
    return rc;
}

int bh_rename(struct bh *h, unsigned int domid, const char *name)
{
    struct store_batch batch = {0};
    struct bh_domain info;
    char uuid[37];
    unsigned int other;
    int rc = bh_domain_info(h, domid, &info);

    if (rc)
        return rc;
    if (!*name || strlen(name) > 255 || strchr(name, '/'))
        return bh_fail(h, EINVAL, "\"%s\" is not a name: 1 to 255 characters without '/'", name);
    if (name[strspn(name, "0123456789")] == 0)
        return bh_fail(h, EINVAL, "\"%s\" is not a name: it would be taken for a domain's number", name);
    if (bh_find(h, name, &other) == 0 && other != domid)
        return bh_fail(h, EEXIST, "the name \"%s\" is in use by domain %u", name, other);
    bh_error_clear(h);
    bh_uuid_print(info.uuid, uuid);
    batch_write(h, &batch, name, "/local/domain/%u/name", domid);
    if (domid)
        batch_write(h, &batch, name, "/vm/%s/name", uuid);
    return batch_commit(h, &batch);
}

int bh_pause(struct bh *h, unsigned int domid)
{
    struct xen_domctl op = {0};

    return bh_domctl(h, "pausedomain", XEN_DOMCTL_pausedomain, domid, &op);
}

int bh_unpause(struct bh *h, unsigned int domid)
{
    struct xen_domctl op = {0};

    return bh_domctl(h, "unpausedomain", XEN_DOMCTL_unpausedomain, domid, &op);
}

int bh_request_shutdown(struct bh *h, unsigned int domid, const char *what)
{
    char path[64];

    snprintf(path, sizeof(path), "/local/domain/%u/control/shutdown", domid);
    return bh_store_set(h, path, what);
}

int bh_sysrq(struct bh *h, unsigned int domid, char key)
{
    char path[64], value[2] = {key, 0};

    snprintf(path, sizeof(path), "/local/domain/%u/control/sysrq", domid);
    return bh_store_set(h, path, value);
}

int bh_trigger(struct bh *h, unsigned int domid, unsigned int trigger, unsigned int vcpu)
{
    struct xen_domctl op = {0};

    op.u.sendtrigger.trigger = trigger;
    op.u.sendtrigger.vcpu = vcpu;
    return bh_domctl(h, "sendtrigger", XEN_DOMCTL_sendtrigger, domid, &op);
}

static void remove_files(const char *uuid)
{
    char path[512];

    snprintf(path, sizeof(path), "%s/domains/%s.json", bh_run_dir(), uuid);
    unlink(path);
}

void bh_cancel_restart(const uint8_t uuid[16])
{
    char path[512], text[37];

    bh_uuid_print(uuid, text);
    snprintf(path, sizeof(path), "%s/restarts/%s.json", bh_run_dir(), text);
    unlink(path);
}

int bh_destroy(struct bh *h, unsigned int domid)
{
    struct store_batch batch = {0};
    struct xen_domctl op = {0};
    struct bh_domain info;
    char uuid[37];
    int rc, end;

    if (domid == 0)
        return bh_fail(h, EPERM, "domain 0 runs this program; it cannot be destroyed from here");
    rc = bh_domain_info(h, domid, &info);
    if (rc)
        return rc;
    bh_pause(h, domid);
    devices_forget(h, domid);
    bh_uuid_print(info.uuid, uuid);
    batch_rm(h, &batch, "/local/domain/%u", domid);
    batch_rm(h, &batch, "/libxl/%u", domid);
    batch_rm(h, &batch, "/vm/%s", uuid);
    rc = batch_commit(h, &batch);
    remove_files(uuid);
    do {
        end = bh_domctl(h, "destroydomain", XEN_DOMCTL_destroydomain, domid, &op);
    } while (end == -EAGAIN || end == -EINTR);
    /* Last, so that whoever the store tells about it finds the domain dying and lets go of its pages. */
    if (store_release(h, domid) && !end)
        bh_error_clear(h);
    return end ? end : rc;
}

int bh_set_memory_max(struct bh *h, unsigned int domid, uint64_t kib)
{
    struct xen_domctl op = {0};

    op.u.max_mem.max_memkb = kib + MAXMEM_SLACK_KIB;
    return bh_domctl(h, "max_mem", XEN_DOMCTL_max_mem, domid, &op);
}

int bh_set_memory_target(struct bh *h, unsigned int domid, uint64_t kib)
{
    char path[64], value[32], *limit;
    uint64_t most;
    int rc;

    limit = store_getf(h, "/local/domain/%u/memory/static-max", domid);
    most = limit ? strtoull(limit, NULL, 10) : 0;
    free(limit);
    if (most && kib > most)
        return bh_fail(h, EINVAL, "%lu MiB is more than the %lu MiB that domain %u was made for (maxmem)",
                       kib >> 10, most >> 10, domid);
    if (kib < 4096)
        return bh_fail(h, EINVAL, "%lu KiB is too little for a domain", kib);
    if (domid) {
        rc = bh_set_memory_max(h, domid, kib);
        if (rc)
            return rc;
    }
    snprintf(path, sizeof(path), "/local/domain/%u/memory/target", domid);
    snprintf(value, sizeof(value), "%lu", kib);
    return bh_store_set(h, path, value);
}

int bh_set_vcpus(struct bh *h, unsigned int domid, unsigned int count)
{
    struct store_batch batch = {0};
    struct bh_domain info;
    int rc = bh_domain_info(h, domid, &info);

    if (rc)
        return rc;
    if (count < 1 || count > info.vcpus)
        return bh_fail(h, EINVAL, "domain %u can have 1 to %u vcpus (maxvcpus), not %u", domid, info.vcpus,
                       count);
    for (unsigned int v = 0; v < info.vcpus; v++)
        batch_write(h, &batch, v < count ? "online" : "offline", "/local/domain/%u/cpu/%u/availability",
                    domid, v);
    return batch_commit(h, &batch);
}

int bh_vcpu_info(struct bh *h, unsigned int domid, unsigned int vcpu, struct bh_vcpu *out)
{
    struct xen_domctl op = {0};
    int rc;

    op.u.getvcpuinfo.vcpu = vcpu;
    rc = bh_domctl(h, "getvcpuinfo", XEN_DOMCTL_getvcpuinfo, domid, &op);
    if (rc)
        return rc;
    out->online = op.u.getvcpuinfo.online;
    out->blocked = op.u.getvcpuinfo.blocked;
    out->running = op.u.getvcpuinfo.running;
    out->cpu_time_ns = op.u.getvcpuinfo.cpu_time;
    out->cpu = op.u.getvcpuinfo.cpu;
    return 0;
}

/* ---- files ---- */

char *bh_saved_config(struct bh *h, const uint8_t uuid[16])
{
    char path[512], text[37], *data = NULL;
    struct stat st;
    int fd;

    bh_uuid_print(uuid, text);
    snprintf(path, sizeof(path), "%s/domains/%s.json", bh_run_dir(), text);
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return NULL;
    if (fstat(fd, &st) == 0 && st.st_size < 1 << 20)
        data = calloc(1, st.st_size + 1);
    if (data && read(fd, data, st.st_size) != st.st_size) {
        free(data);
        data = NULL;
    }
    close(fd);
    return data;
}

int bh_save_config(struct bh *h, const uint8_t uuid[16], unsigned int domid, const char *json)
{
    char path[512], temporary[540], text[37];
    size_t size = strlen(json);
    int fd;

    bh_uuid_print(uuid, text);
    mkdir(bh_run_dir(), 0755);
    snprintf(path, sizeof(path), "%s/domains", bh_run_dir());
    mkdir(path, 0700);
    snprintf(path, sizeof(path), "%s/domains/%s.json", bh_run_dir(), text);
    snprintf(temporary, sizeof(temporary), "%s.new", path);
    if (bh_step(h, "writing %s", path))
        return -h->error;
    fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0 || write(fd, json, size) != (ssize_t)size || rename(temporary, path) < 0) {
        int error = errno;

        if (fd >= 0)
            close(fd);
        unlink(temporary);
        return bh_fail(h, error, "cannot keep the configuration of domain %u in %s: %s", domid, path,
                       strerror(error));
    }
    close(fd);
    return 0;
}
