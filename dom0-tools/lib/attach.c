/*
 * Attaching devices to running domains, removing them, and changing media.
 *
 * Model. Each wait has a limit, and each removal ends with the device's three directories gone (device.c), whatever the
 * other side does: it is asked first, then not any more. A failed attach leaves nothing.
 */
#include <time.h>
#include "devices.h"

#define BACKEND_WAIT_MS    10000
#define CLOSE_WAIT_MS      5000
#define UNREGISTER_WAIT_MS 2000
#define ASLEEP_WAIT_MS     300

void device_nap(unsigned int ms)
{
    struct timespec t = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000L};

    nanosleep(&t, NULL);
}

/* ---- waiting ---- */

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
    *state = device_state(h, back);
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
        device_nap(step);
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
        int state = device_state(h, back);

        if (state == 6 || state == 0 || waited >= (state == 1 ? ASLEEP_WAIT_MS : UNREGISTER_WAIT_MS))
            return;
        device_nap(step);
    }
}

/* Waits for the back ends of a domain's devices to be ready for the guest, and plugs in what Linux's need. */
int device_connect(struct bh *h, unsigned int domid, enum bh_device_class class, unsigned int devid)
{
    char *back;
    bool linux_vif;
    int rc;

    bh_error_clear(h);
    back = store_getf(h, "/libxl/%u/device/%s/%u/backend", domid, device_class_names[class], devid);
    linux_vif = back && class == BH_VIF && strstr(back, "/backend/vif/") &&
                strncmp(back, "/local/domain/0/", 16) == 0;
    if (!back && h->error)
        return bh_because(h, "connecting %s %u of domain %u", device_class_names[class], devid, domid);
    if (!back)
        return bh_fail(h, ENOENT, "%s %u of domain %u is not in the store", device_class_names[class], devid,
                       domid);
    rc = wait_state(h, back, 2, BACKEND_WAIT_MS + (class == BH_VIF ? SCRIPT_WAIT_MS : 0));
    if (!rc && linux_vif)
        rc = hotplug_linux_vif(h, back, domid, devid);
    free(back);
    return rc ? bh_because(h, "connecting %s %u of domain %u", device_class_names[class], devid, domid) : 0;
}

/* ---- attaching and removing ---- */

/* Ends an attach whose nodes were described with result rc; what fails leaves nothing. */
static int plug_in(struct bh *h, struct store_batch *batch, int rc, unsigned int domid,
                   enum bh_device_class class, unsigned int devid)
{
    if (rc)
        device_abandon(batch);
    else
        rc = device_commit(h, batch);
    if (!rc)
        rc = device_connect(h, domid, class, devid);
    if (rc)
        device_undo(h, domid, class, devid);
    return rc;
}

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
    free(name);
    return plug_in(h, &batch, rc, domid, BH_VBD, devid);
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
    free(name);
    return plug_in(h, &batch, rc, domid, BH_VIF, devid);
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

    hotplug_unplug_vif(h, back);
    close_linux_backend(h, back, front);
    batch_rm(h, &batch, "%s", front);
    batch_rm(h, &batch, "%s", back);
    batch_rm(h, &batch, "%s", ours);
    batch_commit(h, &batch);
    if (loop)
        hotplug_unloop(loop);
    free(loop);
    remove_if_empty(h, back);
    remove_if_empty(h, ours);
}

/* Takes a device away without asking anybody; keeps the error chain. */
void device_undo(struct bh *h, unsigned int domid, enum bh_device_class class, unsigned int devid)
{
    struct error_copy *kept = error_save(h);
    char *back = store_getf(h, "/libxl/%u/device/%s/%u/backend", domid, device_class_names[class], devid);
    char front[96], ours[96];

    snprintf(front, sizeof(front), "/local/domain/%u/device/%s/%u", domid, device_class_names[class], devid);
    snprintf(ours, sizeof(ours), "/libxl/%u/device/%s/%u", domid, device_class_names[class], devid);
    if (back)
        forget_device(h, back, front, ours);
    free(back);
    error_restore(h, kept);
}

int bh_device_detach(struct bh *h, unsigned int domid, enum bh_device_class class, unsigned int devid,
                     bool force)
{
    char *back = store_getf(h, "/libxl/%u/device/%s/%u/backend", domid, device_class_names[class], devid);
    struct store_batch batch = {0};
    int rc = 0;

    if (!back)
        return bh_fail(h, ENOENT, "domain %u has no %s %u", domid, device_class_names[class], devid);
    batch_write(h, &batch, "0", "%s/online", back);
    batch_write(h, &batch, "5", "%s/state", back);
    rc = batch_commit(h, &batch);
    for (unsigned int waited = 0, step = 1; !rc && !force;
         waited += step, step = step < 64 ? step * 2 : step) {
        int state = device_state(h, back);

        if (state == 6 || state == 0)
            break;
        if (waited >= CLOSE_WAIT_MS)
            rc = bh_fail(
                h, EBUSY,
                "domain %u did not let go of %s %u within %u s (back end in state %d): removed all the "
                "same",
                domid, device_class_names[class], devid, CLOSE_WAIT_MS / 1000, state);
        device_nap(step);
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

        snprintf(path, sizeof(path), "/libxl/%u/device/%s", domid, device_class_names[class]);
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
        device_nap(step);
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
