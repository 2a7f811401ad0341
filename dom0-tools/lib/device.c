/*
 * Disks and network interfaces: their nodes in the store.
 *
 * Model. A device is three directories: the front end's (the guest owns it), the back end's, and
 * /libxl/N/device/..., which only Dom0 may write: what is removed at the end is what is named there, so that
 * a guest cannot make us remove anything else. Our own back ends serve kinds "qdisk" and "bhnet", which the
 * kernel's drivers leave alone; Linux's serve "vbd" and "vif". Processes are started by the life-cycle
 * daemon, which watches the back ends' directories.
 */
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>
#include "devices.h"

const char *const device_class_names[] = {[BH_VBD] = "vbd", [BH_VIF] = "vif"};

/* ---- disks ---- */

static bool is_block_device(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISBLK(st.st_mode);
}

static bool disk_is_ours(const struct bh_disk *disk)
{
    if (disk->backendtype != BH_BACKEND_AUTO)
        return disk->backendtype == BH_BACKEND_OURS;
    return true;
}

int disk_check(struct bh *h, const struct bh_disk *disk)
{
    unsigned int devid;
    struct stat st;

    if (!disk->vdev || bh_vdev_to_devid(disk->vdev, &devid))
        return bh_fail(h, EINVAL, "vdev \"%s\" is not a disk's name (xvda, hdc, sdb1, d2p1, ...)",
                       disk->vdev ? disk->vdev : "");
    if (!disk->target || !*disk->target)
        return disk->cdrom ? 0 : bh_fail(h, EINVAL, "no target is given; only a cdrom may be empty");
    if (disk->script || disk->backend)
        return 0;
    if (bh_step(h, "looking at the image %s", disk->target))
        return -h->error;
    if (stat(disk->target, &st) < 0)
        return bh_fail(h, errno, "cannot use %s: %s", disk->target, strerror(errno));
    if (!S_ISREG(st.st_mode) && !S_ISBLK(st.st_mode))
        return bh_fail(h, EINVAL, "%s is neither a file nor a block device", disk->target);
    if (access(disk->target, disk->readonly || disk->overlay ? R_OK : R_OK | W_OK) < 0)
        return bh_fail(h, errno, "cannot open %s for %s: %s", disk->target,
                       disk->readonly ? "reading" : "writing", strerror(errno));
    if (!disk_is_ours(disk) && disk->format && strcmp(disk->format, "raw") != 0)
        return bh_fail(h, EINVAL, "backendtype=phy takes only format=raw, not %s; leave backendtype out",
                       disk->format);
    return 0;
}

/* Nodes "node" of back ends hold loop devices taken for them. */
void device_abandon(struct store_batch *b)
{
    for (unsigned int i = 0; i < b->count; i++) {
        const char *name = strrchr(b->ops[i].path, '/');

        if (b->ops[i].value && name && strcmp(name, "/node") == 0)
            hotplug_unloop(b->ops[i].value);
    }
    batch_free(b);
}

int device_commit(struct bh *h, struct store_batch *b)
{
    int rc = batch_run(h, b);

    if (rc)
        device_abandon(b);
    else
        batch_free(b);
    return rc;
}

int device_backend_domid(struct bh *h, const char *backend, unsigned int *out)
{
    *out = 0;
    if (!backend || !*backend)
        return 0;
    return bh_find(h, backend, out) ? bh_because(h, "back-end domain \"%s\"", backend) : 0;
}

void device_paths(struct device_paths *p, enum bh_device_class class, const char *kind, unsigned int domid,
                  unsigned int backend, unsigned int devid)
{
    p->domid = domid;
    p->backend_domid = backend;
    snprintf(p->front, sizeof(p->front), "/local/domain/%u/device/%s/%u", domid, device_class_names[class],
             devid);
    snprintf(p->back, sizeof(p->back), "/local/domain/%u/backend/%s/%u/%u", backend, kind, domid, devid);
    snprintf(p->ours, sizeof(p->ours), "/libxl/%u/device/%s/%u", domid, device_class_names[class], devid);
}

/* What every device has in its three directories. */
static void common_nodes(struct bh *h, struct store_batch *b, const struct device_paths *p)
{
    char number[16], perms[48];

    batch_rm(h, b, "%s", p->front);
    batch_rm(h, b, "%s", p->back);
    batch_rm(h, b, "%s", p->ours);
    batch_mkdir(h, b, "%s", p->front);
    snprintf(perms, sizeof(perms), "n%u r%u", p->domid, p->backend_domid);
    batch_perms(h, b, perms, "%s", p->front);
    batch_mkdir(h, b, "%s", p->back);
    snprintf(perms, sizeof(perms), "n%u r%u", p->backend_domid, p->domid);
    batch_perms(h, b, perms, "%s", p->back);
    batch_write(h, b, p->front, "%s/frontend", p->ours);
    batch_write(h, b, p->back, "%s/backend", p->ours);
    snprintf(number, sizeof(number), "%u", p->backend_domid);
    batch_write(h, b, p->back, "%s/backend", p->front);
    batch_write(h, b, number, "%s/backend-id", p->front);
    batch_write(h, b, "1", "%s/state", p->front);
    snprintf(number, sizeof(number), "%u", p->domid);
    batch_write(h, b, p->front, "%s/frontend", p->back);
    batch_write(h, b, number, "%s/frontend-id", p->back);
    batch_write(h, b, "1", "%s/online", p->back);
}

static void limit_node(struct bh *h, struct store_batch *b, const struct device_paths *p, const char *name,
                       uint64_t value)
{
    char number[32];

    if (!value)
        return;
    snprintf(number, sizeof(number), "%lu", value);
    batch_write(h, b, number, "%s/%s", p->back, name);
}

/* What Linux's block back end wants to know: the device's number, with a loop device for a file. */
static int linux_disk_nodes(struct bh *h, struct store_batch *b, const struct bh_disk *disk,
                            const struct device_paths *p)
{
    char loop[64], number[32];
    const char *device = disk->target;
    struct stat st;
    int rc;

    if (!device || !*device || disk->script)
        return 0;
    if (!is_block_device(device)) {
        rc = hotplug_loop(h, device, disk->readonly, loop, sizeof(loop));
        if (rc)
            return rc;
        device = loop;
        batch_write(h, b, loop, "%s/node", p->back);
    }
    if (stat(device, &st) < 0)
        return bh_fail(h, errno, "cannot use %s: %s", device, strerror(errno));
    snprintf(number, sizeof(number), "%x:%x", major(st.st_rdev), minor(st.st_rdev));
    batch_write(h, b, number, "%s/physical-device", p->back);
    batch_write(h, b, device, "%s/physical-device-path", p->back);
    return 0;
}

int disk_nodes(struct bh *h, struct store_batch *b, unsigned int domid, const char *name,
               const struct bh_disk *disk)
{
    bool ours = disk_is_ours(disk);
    unsigned int devid, backend;
    struct device_paths p;
    char number[16];
    int rc = device_backend_domid(h, disk->backend, &backend);

    if (!rc && bh_vdev_to_devid(disk->vdev, &devid))
        rc = bh_fail(h, EINVAL, "vdev \"%s\" is not a disk's name", disk->vdev);
    if (rc)
        return rc;
    device_paths(&p, BH_VBD, ours ? "qdisk" : "vbd", domid, backend, devid);
    common_nodes(h, b, &p);
    snprintf(number, sizeof(number), "%u", devid);
    batch_write(h, b, number, "%s/virtual-device", p.front);
    batch_write(h, b, disk->cdrom ? "cdrom" : "disk", "%s/device-type", p.front);
    batch_write(h, b, disk->cdrom ? "cdrom" : "disk", "%s/device-type", p.back);
    batch_write(h, b, disk->target, "%s/params", p.back);
    batch_write(h, b, disk->format ? disk->format : "raw", "%s/format", p.back);
    batch_write(h, b, disk->readonly || disk->cdrom ? "r" : "w", "%s/mode", p.back);
    batch_write(h, b, disk->removable || disk->cdrom ? "1" : "0", "%s/removable", p.back);
    batch_write(h, b, "1", "%s/bootable", p.back);
    batch_write(h, b, disk->vdev, "%s/dev", p.back);
    batch_write(h, b, ours ? "qdisk" : "phy", "%s/type", p.back);
    batch_write(h, b, name, "%s/domain", p.back);
    batch_write(h, b, disk->no_discard || disk->readonly ? "0" : "1", "%s/discard-enable", p.back);
    if (disk->direct_io_safe)
        batch_write(h, b, "1", "%s/direct-io-safe", p.back);
    if (disk->overlay)
        batch_write(h, b, disk->overlay, "%s/overlay", p.back);
    if (disk->script)
        batch_write(h, b, disk->script, "%s/script", p.back);
    limit_node(h, b, &p, "limit-bps", disk->bandwidth);
    limit_node(h, b, &p, "limit-iops", disk->iops);
    limit_node(h, b, &p, "limit-burst-ms", disk->burst_ms);
    limit_node(h, b, &p, "secure-erase", disk->secure_erase);
    if (!ours && backend == 0)
        rc = linux_disk_nodes(h, b, disk, &p);
    /* The state comes last: who watches it finds everything else there. */
    batch_write(h, b, "1", "%s/state", p.back);
    return rc;
}

/* ---- network interfaces ---- */

int vif_nodes(struct bh *h, struct store_batch *b, unsigned int domid, const char *name, unsigned int devid,
              const struct bh_vif *vif)
{
    unsigned int backend;
    struct device_paths p;
    uint8_t mac[6];
    char text[64];
    const char *script = vif->script ? vif->script : "vif-bridge";
    int rc = device_backend_domid(h, vif->backend, &backend);

    if (rc)
        return rc;
    memcpy(mac, vif->mac, 6);
    if (!vif->has_mac) {
        if (getrandom(mac, 6, 0) != 6)
            return bh_fail(h, errno, "no random numbers for a MAC address");
        mac[0] = 0x00;
        mac[1] = 0x16;
        mac[2] = 0x3e;
    }
    device_paths(&p, BH_VIF, vif->ours ? "bhnet" : "vif", domid, backend, devid);
    common_nodes(h, b, &p);
    snprintf(text, sizeof(text), "%u", devid);
    batch_write(h, b, text, "%s/handle", p.front);
    batch_write(h, b, text, "%s/handle", p.back);
    snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2], mac[3], mac[4],
             mac[5]);
    batch_write(h, b, text, "%s/mac", p.front);
    batch_write(h, b, text, "%s/mac", p.back);
    batch_write(h, b, vif->trusted ? "1" : "0", "%s/trusted", p.front);
    batch_write(h, b, script, "%s/script", p.back);
    if (vif->bridge)
        batch_write(h, b, vif->bridge, "%s/bridge", p.back);
    if (vif->ip)
        batch_write(h, b, vif->ip, "%s/ip", p.back);
    if (vif->vifname)
        batch_write(h, b, vif->vifname, "%s/vifname", p.back);
    if (vif->gateway)
        batch_write(h, b, vif->gateway, "%s/gatewaydev", p.back);
    batch_write(h, b, "vif", "%s/type", p.back);
    batch_write(h, b, name, "%s/domain", p.back);
    limit_node(h, b, &p, "mtu", vif->mtu);
    if (vif->mtu) {
        snprintf(text, sizeof(text), "%u", vif->mtu);
        batch_write(h, b, text, "%s/mtu", p.front);
    }
    limit_node(h, b, &p, "vlan", vif->vlan);
    limit_node(h, b, &p, "multi-queue-max-queues", vif->queues);
    limit_node(h, b, &p, "antispoof", vif->antispoof);
    if (vif->rate_bytes) {
        uint32_t interval = vif->rate_interval_us ? vif->rate_interval_us : 50000;

        snprintf(text, sizeof(text), "%lu,%u", vif->rate_bytes * interval / 1000000, interval);
        batch_write(h, b, text, "%s/rate", p.back);
    }
    batch_write(h, b, "1", "%s/state", p.back);
    return 0;
}

/* ---- listing ---- */

static int number_node(struct bh *h, const char *directory, const char *name, int otherwise)
{
    char *text = store_getf(h, "%s/%s", directory, name);
    int value = text && *text ? atoi(text) : otherwise;

    free(text);
    return value;
}

int device_state(struct bh *h, const char *directory)
{
    char *text = store_getf(h, "%s/state", directory);
    int state = text ? atoi(text) : 0;

    free(text);
    return state;
}

static void read_device(struct bh *h, struct bh_device *d)
{
    d->state = device_state(h, d->frontend_path);
    d->backend_state = device_state(h, d->backend_path);
    d->evtchn = number_node(h, d->frontend_path, "event-channel", -1);
    if (d->evtchn < 0)
        d->evtchn = number_node(h, d->frontend_path, "event-channel-tx", -1);
    d->ring_ref = number_node(h, d->frontend_path, "ring-ref", -1);
    if (d->ring_ref < 0)
        d->ring_ref = number_node(h, d->frontend_path, "tx-ring-ref", -1);
    d->mac = store_getf(h, "%s/mac", d->backend_path);
    d->bridge = store_getf(h, "%s/bridge", d->backend_path);
    d->params = store_getf(h, "%s/params", d->backend_path);
    d->vdev = store_getf(h, "%s/dev", d->backend_path);
    d->type = store_getf(h, "%s/type", d->backend_path);
    sscanf(d->backend_path, "/local/domain/%u/", &d->backend_domid);
}

int bh_device_list(struct bh *h, unsigned int domid, enum bh_device_class class, struct bh_device **out,
                   unsigned int *count)
{
    char path[64], **ids;
    unsigned int n, at = 0;
    struct bh_device *list;
    int rc;

    *out = NULL;
    *count = 0;
    snprintf(path, sizeof(path), "/libxl/%u/device/%s", domid, device_class_names[class]);
    rc = bh_store_list(h, path, &ids, &n);
    if (rc == -ENOENT) {
        bh_error_clear(h);
        return 0;
    }
    if (rc)
        return rc;
    list = bh_alloc(h, n, sizeof(*list), "a list of devices");
    for (unsigned int i = 0; i < n; i++) {
        struct bh_device *d = list ? &list[at] : NULL;

        if (d) {
            d->devid = strtoul(ids[i], NULL, 10);
            d->backend_path = store_getf(h, "%s/%s/backend", path, ids[i]);
            d->frontend_path = store_getf(h, "%s/%s/frontend", path, ids[i]);
        }
        if (d && d->backend_path && d->frontend_path) {
            read_device(h, d);
            at++;
        } else if (d) {
            free(d->backend_path);
            free(d->frontend_path);
            memset(d, 0, sizeof(*d));
        }
        free(ids[i]);
    }
    free(ids);
    if (!list)
        return -h->error;
    *out = list;
    *count = at;
    return 0;
}

void bh_device_list_free(struct bh_device *list, unsigned int count)
{
    for (unsigned int i = 0; i < count; i++) {
        free(list[i].backend_path);
        free(list[i].frontend_path);
        free(list[i].mac);
        free(list[i].bridge);
        free(list[i].params);
        free(list[i].vdev);
        free(list[i].type);
    }
    free(list);
}
