/*
 * Disks and network interfaces: their nodes in the store, and what Dom0 has to do for Linux's own back ends.
 *
 * Model. A device is three directories: the front end's (the guest owns it), the back end's, and
 * /libxl/N/device/..., which only Dom0 may write: what is removed at the end is what is named there, so that
 * a guest cannot make us remove anything else. Our own back ends serve kinds "qdisk" and "bhnet", which the
 * kernel's drivers leave alone; Linux's serve "vbd" and "vif". Processes are started by the life-cycle
 * daemon, which watches the back ends' directories.
 */
#include <ctype.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <spawn.h>
#include <time.h>
#include <unistd.h>
#include "devices.h"

#define BACKEND_WAIT_MS    10000
#define CLOSE_WAIT_MS      5000
#define UNREGISTER_WAIT_MS 2000
#define ASLEEP_WAIT_MS     300
#define SCRIPT_WAIT_MS     40000

static void nap(unsigned int ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

    nanosleep(&t, NULL);
}

static const char *const class_names[] = {[BH_VBD] = "vbd", [BH_VIF] = "vif"};

/* ---- names of disks ---- */

/* "xvd" + letters: the disk's number; *rest points behind. -1: no letters. */
static long disk_letters(const char *text, const char **rest)
{
    long number = 0;
    unsigned int digits = 0;

    for (; *text >= 'a' && *text <= 'z' && digits < 4; text++, digits++)
        number = number * 26 + (*text - 'a' + 1);
    *rest = text;
    return digits ? number - 1 : -1;
}

static bool partition_number(const char *text, long *out)
{
    char *end;

    *out = 0;
    if (!*text)
        return true;
    if (!isdigit((unsigned char)*text))
        return false;
    *out = strtol(text, &end, 10);
    return !*end && *out < 256;
}

static int make_devid(const char *kind, long disk, long part, unsigned int *devid)
{
    if (kind[0] == 'x') {
        if (disk < 16 && part < 16)
            *devid = 202U << 8 | (unsigned int)disk << 4 | (unsigned int)part;
        else if (disk < 1 << 20)
            *devid = 1U << 28 | (unsigned int)disk << 8 | (unsigned int)part;
        else
            return -EINVAL;
        return 0;
    }
    if (kind[0] == 'h' && disk < 4 && part < 64) {
        *devid = (disk < 2 ? 3U : 22U) << 8 | ((unsigned int)disk & 1) << 6 | (unsigned int)part;
        return 0;
    }
    if (kind[0] == 's' && disk < 16 && part < 16) {
        *devid = 8U << 8 | (unsigned int)disk << 4 | (unsigned int)part;
        return 0;
    }
    return -EINVAL;
}

int bh_vdev_to_devid(const char *vdev, unsigned int *devid)
{
    long disk, part;
    const char *rest;
    char *end;

    if (isdigit((unsigned char)*vdev)) {
        unsigned long number = strtoul(vdev, &end, 0);

        *devid = number;
        return *end || number >= 1UL << 29 ? -EINVAL : 0;
    }
    if (vdev[0] == 'd' && isdigit((unsigned char)vdev[1])) {
        disk = strtol(vdev + 1, &end, 10);
        if ((*end && *end != 'p') || disk >= 1 << 20 || !partition_number(*end ? end + 1 : end, &part))
            return -EINVAL;
        return make_devid("xvd", disk, part, devid);
    }
    if (strncmp(vdev, "xvd", 3) == 0)
        disk = disk_letters(vdev + 3, &rest);
    else if (strncmp(vdev, "hd", 2) == 0 || strncmp(vdev, "sd", 2) == 0)
        disk = disk_letters(vdev + 2, &rest);
    else
        return -EINVAL;
    if (disk < 0 || !partition_number(rest, &part))
        return -EINVAL;
    return make_devid(vdev, disk, part, devid);
}

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

/* Gives a file a loop device. name: room for its path. */
static int loop_attach(struct bh *h, const char *path, bool readonly, char *name, size_t size)
{
    int control, file, number, loop, rc = -1;

    if (bh_step(h, "a loop device for %s", path))
        return -h->error;
    control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    file = open(path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    for (unsigned int tries = 0; control >= 0 && file >= 0 && rc < 0 && tries < 16; tries++) {
        struct loop_config config = {.fd = file};

        config.info.lo_flags = (readonly ? LO_FLAGS_READ_ONLY : 0) | LO_FLAGS_DIRECT_IO;
        snprintf((char *)config.info.lo_file_name, sizeof(config.info.lo_file_name), "%s", path);
        number = ioctl(control, LOOP_CTL_GET_FREE);
        if (number < 0)
            break;
        snprintf(name, size, "/dev/loop%d", number);
        loop = open(name, O_RDWR | O_CLOEXEC);
        if (loop < 0)
            break;
        rc = ioctl(loop, LOOP_CONFIGURE, &config);
        if (rc < 0 && errno == EINVAL) {
            config.info.lo_flags &= ~(unsigned int)LO_FLAGS_DIRECT_IO;
            rc = ioctl(loop, LOOP_CONFIGURE, &config);
        }
        close(loop);
        if (rc < 0 && errno != EBUSY)
            break;
    }
    if (rc < 0)
        rc =
            bh_fail(h, errno, "no loop device for %s: %s. backendtype=phy needs one for a file (module loop)",
                    path, strerror(errno));
    if (control >= 0)
        close(control);
    if (file >= 0)
        close(file);
    return rc;
}

static void loop_detach(const char *name)
{
    int loop = strncmp(name, "/dev/loop", 9) == 0 ? open(name, O_RDWR | O_CLOEXEC) : -1;

    if (loop < 0)
        return;
    ioctl(loop, LOOP_CLR_FD, 0);
    close(loop);
}

/* Nodes "node" of back ends hold loop devices taken for them. */
void device_abandon(struct store_batch *b)
{
    for (unsigned int i = 0; i < b->count; i++) {
        const char *name = strrchr(b->ops[i].path, '/');

        if (b->ops[i].value && name && strcmp(name, "/node") == 0)
            loop_detach(b->ops[i].value);
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
    snprintf(p->front, sizeof(p->front), "/local/domain/%u/device/%s/%u", domid, class_names[class], devid);
    snprintf(p->back, sizeof(p->back), "/local/domain/%u/backend/%s/%u/%u", backend, kind, domid, devid);
    snprintf(p->ours, sizeof(p->ours), "/libxl/%u/device/%s/%u", domid, class_names[class], devid);
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
        rc = loop_attach(h, device, disk->readonly, loop, sizeof(loop));
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

/* Puts Linux's interface into a bridge and brings it up. */
static int join_bridge(struct bh *h, const char *interface, const char *bridge)
{
    struct ifreq request = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc = 0;
    unsigned int index = if_nametoindex(interface);

    if (fd < 0 || !index) {
        rc = bh_fail(h, errno, "no interface %s: %s", interface, strerror(errno));
    } else if (bridge && *bridge) {
        snprintf(request.ifr_name, IFNAMSIZ, "%s", bridge);
        request.ifr_ifindex = index;
        if (ioctl(fd, SIOCBRADDIF, &request) < 0 && errno != EBUSY)
            rc =
                bh_fail(h, errno, "cannot put %s into the bridge %s: %s", interface, bridge, strerror(errno));
    }
    if (!rc) {
        memset(&request, 0, sizeof(request));
        snprintf(request.ifr_name, IFNAMSIZ, "%s", interface);
        if (ioctl(fd, SIOCGIFFLAGS, &request) == 0) {
            request.ifr_flags |= IFF_UP;
            if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
                rc = bh_fail(h, errno, "cannot bring %s up: %s", interface, strerror(errno));
        }
    }
    if (fd >= 0)
        close(fd);
    return rc;
}

/* "NAME=" and the node in the back end's directory. */
static char *env_of_node(struct bh *h, const char *name, const char *back, const char *node)
{
    char *value = store_getf(h, "%s/%s", back, node), *text = NULL;

    if (asprintf(&text, "%s=%s", name, value ? value : "") < 0)
        text = NULL;
    free(value);
    return text;
}

/* Waits for a script; one that takes longer than any should is ended. */
static int script_status(pid_t pid)
{
    int status = -1;

    for (unsigned int waited = 0; waitpid(pid, &status, WNOHANG) == 0; waited += 10) {
        if (waited == SCRIPT_WAIT_MS)
            kill(pid, SIGKILL);
        nap(10);
    }
    return status;
}

/*
 * Runs a hotplug script as xl does, or bh-vif-setup, which does the work of xl's own for our back end and is
 * told how by `mode`.
 */
static int run_script(struct bh *h, const char *script, const char *mode, const char *back,
                      const char *interface, const char *action)
{
    static const char *const nodes[][2] = {
        {"bridge", "bridge"}, {"ip", "ip"}, {"netdev", "gatewaydev"}, {"script", "script"}};
    char path[256], xenbus[160], vif[48], mode_env[32], action_copy[16], type[] = "type_if=vif";
    char search[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    char kind[] = "XENBUS_TYPE=vif", base[] = "XENBUS_BASE_PATH=backend";
    char *argv[] = {path, action_copy, type, NULL};
    char *env[11] = {search, xenbus, vif, kind, base, mode_env};
    int status = 0, rc;
    pid_t pid;

    snprintf(path, sizeof(path), "%s%s", mode || strchr(script, '/') ? "" : "/etc/xen/scripts/", script);
    snprintf(xenbus, sizeof(xenbus), "XENBUS_PATH=%s", back);
    snprintf(vif, sizeof(vif), "vif=%s", interface);
    snprintf(mode_env, sizeof(mode_env), "mode=%s", mode ? mode : "script");
    snprintf(action_copy, sizeof(action_copy), "%s", action);
    for (unsigned int i = 0; i < 4; i++)
        env[6 + i] = env_of_node(h, nodes[i][0], back, nodes[i][1]);
    rc = posix_spawnp(&pid, path, NULL, NULL, argv, env);
    for (unsigned int i = 0; i < 4; i++)
        free(env[6 + i]);
    if (rc)
        return bh_fail(h, rc, "cannot run the script %s: %s", path, strerror(rc));
    status = script_status(pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return bh_fail(h, EIO, "the script %s %s failed (status %#x)", path, action, status);
}

/* Undoes what was done for an interface outside of it: a script's "offline", our own rules and ports. */
static void unplug_vif(struct bh *h, const char *back)
{
    static const char *const ours[][2] = {
        {"vif-bridge", NULL}, {"vif-route", NULL}, {"vif-nat", "nat"}, {"vif-openvswitch", "openvswitch"}};
    bool linux_vif = strncmp(back, "/local/domain/0/backend/vif/", 28) == 0;
    char *script, *name, *status;
    const char *base;

    if (!linux_vif && strncmp(back, "/local/domain/0/backend/bhnet/", 30) != 0)
        return;
    script = store_getf(h, "%s/script", back);
    name = store_getf(h, "%s/vifname", back);
    status = store_getf(h, "%s/hotplug-status", back);
    base = script && strrchr(script, '/') ? strrchr(script, '/') + 1 : script;
    for (unsigned int i = 0; base && !linux_vif && i < sizeof(ours) / sizeof(ours[0]); i++)
        if (strcmp(base, ours[i][0]) == 0) {
            if (ours[i][1] && name)
                run_script(h, "bh-vif-setup", ours[i][1], back, name, "offline");
            base = NULL;
        }
    if (base && strcmp(base, "vif-bridge") != 0 && name && status && strcmp(status, "connected") == 0)
        run_script(h, script, NULL, back, name, "offline");
    free(script);
    free(name);
    free(status);
}

/* Linux's interface vifN.M: name, bridge or script, then the word that lets the back end connect. */
static int hotplug_linux_vif(struct bh *h, const char *back, unsigned int domid, unsigned int devid)
{
    char interface[IFNAMSIZ], path[200], *bridge, *script, *vifname;
    int rc;

    bh_error_clear(h);
    bridge = store_getf(h, "%s/bridge", back);
    script = h->error ? NULL : store_getf(h, "%s/script", back);
    vifname = h->error ? NULL : store_getf(h, "%s/vifname", back);
    rc = -h->error;
    snprintf(interface, sizeof(interface), "vif%u.%u", domid, devid);
    if (!rc && vifname && *vifname) {
        struct ifreq request = {0};
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        snprintf(request.ifr_name, IFNAMSIZ, "%s", interface);
        snprintf(request.ifr_newname, IFNAMSIZ, "%s", vifname);
        if (fd < 0 || ioctl(fd, SIOCSIFNAME, &request) < 0)
            rc = bh_fail(h, errno, "cannot name %s \"%s\": %s", interface, vifname, strerror(errno));
        else
            snprintf(interface, sizeof(interface), "%s", vifname);
        if (fd >= 0)
            close(fd);
    }
    if (!rc && script && strcmp(script, "vif-bridge") != 0)
        rc = run_script(h, script, NULL, back, interface, "online");
    else if (!rc)
        rc = join_bridge(h, interface, bridge);
    snprintf(path, sizeof(path), "%s/vifname", back);
    if (!rc)
        rc = bh_store_set(h, path, interface);
    snprintf(path, sizeof(path), "%s/hotplug-status", back);
    if (!rc)
        rc = bh_store_set(h, path, "connected");
    free(bridge);
    free(script);
    free(vifname);
    return rc;
}

/* ---- waiting ---- */

static int state_of(struct bh *h, const char *directory)
{
    char *text = store_getf(h, "%s/state", directory);
    int state = text ? atoi(text) : 0;

    free(text);
    return state;
}

/* Whether the back end has got so far: 1 yes, 0 not yet, negative: it never will. */
static int backend_reached(struct bh *h, const char *back, int at_least, int *state)
{
    char *problem;

    bh_error_clear(h);
    problem = store_getf(h, "%s/hotplug-error", back);
    if (problem && *problem)
        bh_fail(h, EIO, "its back end says: %s", problem);
    free(problem);
    if (h->error)
        return -h->error;
    *state = state_of(h, back);
    return h->error ? -h->error : *state >= at_least;
}

static int wait_state(struct bh *h, const char *back, int at_least, unsigned int limit_ms)
{
    for (unsigned int waited = 0, step = 1;; waited += step, step = step < 64 ? step * 2 : step) {
        int state = 0, rc = backend_reached(h, back, at_least, &state);

        if (rc)
            return rc < 0 ? rc : 0;
        if (waited >= limit_ms)
            return bh_fail(h, ETIMEDOUT,
                           "its back end (%s) did not come up within %u s: state %d instead of %d", back,
                           limit_ms / 1000, state, at_least);
        nap(step);
    }
}

/*
 * Lets go of one of Linux's back ends before its directory goes: told that the front end is closed it
 * unregisters. Without this it would write into the removed directory and so make it anew. One that never
 * woke up (no driver) is not waited for long.
 */
static void close_linux_backend(struct bh *h, const char *back, const char *front)
{
    struct store_batch batch = {0};

    if (!strstr(back, "/backend/vbd/") && !strstr(back, "/backend/vif/"))
        return;
    batch_write(h, &batch, "0", "%s/online", back);
    batch_write(h, &batch, "6", "%s/state", front);
    batch_commit(h, &batch);
    for (unsigned int waited = 0, step = 1;; waited += step, step = step < 64 ? step * 2 : step) {
        int state = state_of(h, back);

        if (state == 6 || state == 0 || waited >= (state == 1 ? ASLEEP_WAIT_MS : UNREGISTER_WAIT_MS))
            return;
        nap(step);
    }
}

/* Waits for the back ends of a domain's devices to be ready for the guest, and plugs in what Linux's need. */
int device_connect(struct bh *h, unsigned int domid, enum bh_device_class class, unsigned int devid)
{
    char *back;
    bool linux_vif;
    int rc;

    bh_error_clear(h);
    back = store_getf(h, "/libxl/%u/device/%s/%u/backend", domid, class_names[class], devid);
    linux_vif = back && class == BH_VIF && strstr(back, "/backend/vif/") &&
                strncmp(back, "/local/domain/0/", 16) == 0;
    if (!back && h->error)
        return bh_because(h, "connecting %s %u of domain %u", class_names[class], devid, domid);
    if (!back)
        return bh_fail(h, ENOENT, "%s %u of domain %u is not in the store", class_names[class], devid, domid);
    rc = wait_state(h, back, 2, BACKEND_WAIT_MS);
    if (!rc && linux_vif)
        rc = hotplug_linux_vif(h, back, domid, devid);
    free(back);
    return rc ? bh_because(h, "connecting %s %u of domain %u", class_names[class], devid, domid) : 0;
}

/* ---- listing ---- */

static int number_node(struct bh *h, const char *directory, const char *name, int otherwise)
{
    char *text = store_getf(h, "%s/%s", directory, name);
    int value = text && *text ? atoi(text) : otherwise;

    free(text);
    return value;
}

static void read_device(struct bh *h, struct bh_device *d)
{
    d->state = state_of(h, d->frontend_path);
    d->backend_state = state_of(h, d->backend_path);
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
    snprintf(path, sizeof(path), "/libxl/%u/device/%s", domid, class_names[class]);
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

/* ---- attaching and removing ---- */

int bh_disk_attach(struct bh *h, unsigned int domid, const struct bh_disk *disk)
{
    struct store_batch batch = {0};
    unsigned int devid;
    char *name = NULL, *there;
    int rc = disk_check(h, disk);

    if (rc)
        return rc;
    bh_vdev_to_devid(disk->vdev, &devid);
    there = store_getf(h, "/libxl/%u/device/vbd/%u/backend", domid, devid);
    if (there) {
        free(there);
        return bh_fail(h, EEXIST, "domain %u has a disk %s already", domid, disk->vdev);
    }
    rc = bh_domain_name(h, domid, &name);
    if (!rc)
        rc = disk_nodes(h, &batch, domid, name, disk);
    if (rc)
        device_abandon(&batch);
    else
        rc = device_commit(h, &batch);
    free(name);
    if (!rc)
        rc = device_connect(h, domid, BH_VBD, devid);
    if (rc && rc != -EEXIST)
        device_undo(h, domid, BH_VBD, devid);
    return rc;
}

int bh_vif_attach(struct bh *h, unsigned int domid, const struct bh_vif *vif)
{
    struct store_batch batch = {0};
    struct bh_device *list;
    unsigned int count, devid = 0;
    char *name = NULL;
    int rc = bh_device_list(h, domid, BH_VIF, &list, &count);

    if (rc)
        return rc;
    for (unsigned int i = 0; i < count; i++)
        if (list[i].devid == devid) {
            devid++;
            i = -1U;
        }
    bh_device_list_free(list, count);
    rc = bh_domain_name(h, domid, &name);
    if (!rc)
        rc = vif_nodes(h, &batch, domid, name, devid, vif);
    if (rc)
        device_abandon(&batch);
    else
        rc = device_commit(h, &batch);
    free(name);
    if (!rc)
        rc = device_connect(h, domid, BH_VIF, devid);
    if (rc)
        device_undo(h, domid, BH_VIF, devid);
    return rc;
}

/* Removes the directory that holds `path`, when nothing is left in it. */
static void remove_if_empty(struct bh *h, const char *path)
{
    char parent[128], **names;
    unsigned int count;
    const char *slash = strrchr(path, '/');

    snprintf(parent, sizeof(parent), "%.*s", (int)(slash - path), path);
    if (bh_store_list(h, parent, &names, &count)) {
        bh_error_clear(h);
        return;
    }
    for (unsigned int i = 0; i < count; i++)
        free(names[i]);
    free(names);
    if (!count)
        bh_store_remove(h, parent);
}

static void forget_device(struct bh *h, const char *back, const char *front, const char *ours)
{
    char *loop = store_getf(h, "%s/node", back);
    struct store_batch batch = {0};

    unplug_vif(h, back);
    close_linux_backend(h, back, front);
    batch_rm(h, &batch, "%s", front);
    batch_rm(h, &batch, "%s", back);
    batch_rm(h, &batch, "%s", ours);
    batch_commit(h, &batch);
    if (loop)
        loop_detach(loop);
    free(loop);
    remove_if_empty(h, back);
    remove_if_empty(h, ours);
}

/* Takes a device away without asking anybody; keeps the error chain. */
void device_undo(struct bh *h, unsigned int domid, enum bh_device_class class, unsigned int devid)
{
    struct error_copy *kept = error_save(h);
    char *back = store_getf(h, "/libxl/%u/device/%s/%u/backend", domid, class_names[class], devid);
    char front[96], ours[96];

    snprintf(front, sizeof(front), "/local/domain/%u/device/%s/%u", domid, class_names[class], devid);
    snprintf(ours, sizeof(ours), "/libxl/%u/device/%s/%u", domid, class_names[class], devid);
    if (back)
        forget_device(h, back, front, ours);
    free(back);
    error_restore(h, kept);
}

int bh_device_detach(struct bh *h, unsigned int domid, enum bh_device_class class, unsigned int devid,
                     bool force)
{
    char *back = store_getf(h, "/libxl/%u/device/%s/%u/backend", domid, class_names[class], devid);
    struct store_batch batch = {0};
    int rc = 0;

    if (!back)
        return bh_fail(h, ENOENT, "domain %u has no %s %u", domid, class_names[class], devid);
    batch_write(h, &batch, "0", "%s/online", back);
    batch_write(h, &batch, "5", "%s/state", back);
    rc = batch_commit(h, &batch);
    for (unsigned int waited = 0, step = 1; !rc && !force;
         waited += step, step = step < 64 ? step * 2 : step) {
        int state = state_of(h, back);

        if (state == 6 || state == 0)
            break;
        if (waited >= CLOSE_WAIT_MS)
            rc = bh_fail(
                h, EBUSY,
                "domain %u did not let go of %s %u within %u s (back end in state %d): removed all the "
                "same",
                domid, class_names[class], devid, CLOSE_WAIT_MS / 1000, state);
        nap(step);
    }
    free(back);
    device_undo(h, domid, class, devid);
    return rc;
}

void devices_forget(struct bh *h, unsigned int domid)
{
    for (unsigned int class = BH_VBD; class <= BH_VIF; class ++) {
        char path[64], **ids;
        unsigned int n;

        snprintf(path, sizeof(path), "/libxl/%u/device/%s", domid, class_names[class]);
        if (bh_store_list(h, path, &ids, &n)) {
            bh_error_clear(h);
            continue;
        }
        for (unsigned int i = 0; i < n; i++) {
            device_undo(h, domid, class, strtoul(ids[i], NULL, 10));
            free(ids[i]);
        }
        free(ids);
    }
}

/* Writes what the drive is to hold; the back end tells by hotplug-status when it has looked at it. */
static int write_medium(struct bh *h, const char *back, const char *target, const char *format)
{
    struct store_batch batch = {0};

    batch_write(h, &batch, target, "%s/params", back);
    batch_write(h, &batch, format, "%s/format", back);
    batch_rm(h, &batch, "%s/hotplug-error", back);
    batch_rm(h, &batch, "%s/hotplug-status", back);
    return batch_commit(h, &batch);
}

static int wait_medium(struct bh *h, const char *back)
{
    for (unsigned int waited = 0, step = 1;; waited += step, step = step < 64 ? step * 2 : step) {
        int state = 0, rc = backend_reached(h, back, 5, &state);
        char *status = rc ? NULL : store_getf(h, "%s/hotplug-status", back);
        bool there = status && strcmp(status, "connected") == 0;

        free(status);
        if (rc || there)
            return rc < 0 ? rc : 0;
        if (waited >= BACKEND_WAIT_MS)
            return bh_fail(h, ETIMEDOUT, "its back end (%s) did not look at the medium within %u s", back,
                           BACKEND_WAIT_MS / 1000);
        nap(step);
    }
}

/* A medium that cannot be used is taken back: the old one is in the drive again. */
static int change_medium(struct bh *h, const char *back, const char *target)
{
    char *old = store_getf(h, "%s/params", back), *format = store_getf(h, "%s/format", back);
    int rc = write_medium(h, back, target ? target : "", "raw");

    if (!rc)
        rc = wait_medium(h, back);
    if (rc) {
        struct error_copy *kept = error_save(h);

        write_medium(h, back, old ? old : "", format ? format : "raw");
        error_restore(h, kept);
    }
    free(old);
    free(format);
    return rc;
}

int bh_cd_change(struct bh *h, unsigned int domid, const char *vdev, const char *target)
{
    struct bh_disk disk = {.target = (char *)target, .vdev = (char *)vdev, .cdrom = true, .readonly = true};
    unsigned int devid;
    char *back, *type;
    int rc = disk_check(h, &disk);

    if (rc)
        return rc;
    bh_vdev_to_devid(vdev, &devid);
    back = store_getf(h, "/libxl/%u/device/vbd/%u/backend", domid, devid);
    type = back ? store_getf(h, "%s/device-type", back) : NULL;
    if (!type || strcmp(type, "cdrom") != 0)
        rc = bh_fail(h, back ? EINVAL : ENOENT, "domain %u has no CD-ROM drive %s", domid, vdev);
    else if (!strstr(back, "/backend/qdisk/"))
        rc = bh_fail(h, EOPNOTSUPP,
                     "%s of domain %u is served by Linux's back end, which cannot change media", vdev, domid);
    else if (change_medium(h, back, target))
        rc = bh_because(h, "putting %s into %s of domain %u", target && *target ? target : "nothing", vdev,
                        domid);
    free(back);
    free(type);
    return rc;
}
