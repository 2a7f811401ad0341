/*
 * bh-blkback: serves one virtual disk of one guest.
 *
 * Set up as root (store, image, event channels), then a plain account with a system call filter. There is no
 * clean-up and no signal handler: being killed is the ordinary way to stop, and starting again the ordinary
 * way to go on.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <public/io/protocols.h>

#include "../common/clock.h"
#include "../common/log.h"
#include "../common/options.h"
#include "../common/sandbox.h"
#include "../common/serve.h"
#include "vbd.h"

#define DEFAULT_BURST_MS  100
#define FIRST_PATIENCE_MS 5000  /* an image in use: who makes the device is told soon */
#define PATIENCE_MS       30000 /* but requests of an earlier process may take long to end */

struct blkback {
    struct vbd vbd; /* first: struct device is at its start */
    struct options options;
    struct uring uring;
    char *params;
    char format[16];
    bool removable, cdrom;
    uint64_t bps, iops, burst_ms;
};

static struct blkback *blkback_of(struct device *d)
{
    return (struct blkback *)d;
}

static int put(struct device *d, const char *name, uint64_t value)
{
    return store_write_number(d->store, d->backend, name, value);
}

static uint64_t get(struct device *d, const char *name, uint64_t fallback)
{
    return store_read_number(d->store, fallback, "%s/%s", d->backend, name);
}

static uint64_t at_most(uint64_t value, uint64_t limit)
{
    return value < limit ? value : limit;
}

static int publish(struct device *d)
{
    struct blkback *b = blkback_of(d);
    const struct request_limits *limits = &b->vbd.limits;
    int rc = put(d, "feature-flush-cache", 1);
    rc = rc ? rc : put(d, "feature-barrier", 1);
    rc = rc ? rc : put(d, "feature-persistent", get(d, "persistent-enable", 1));
    rc = rc ? rc : put(d, "feature-max-indirect-segments", REQUEST_MAX_SEGMENTS);
    rc = rc ? rc : put(d, "feature-discard", limits->discard);
    if (limits->discard) {
        rc = rc ? rc : put(d, "discard-granularity", b->vbd.image->discard_granularity);
        rc = rc ? rc : put(d, "discard-alignment", 0);
        rc = rc ? rc : put(d, "discard-secure", limits->secure_discard);
    }
    uint64_t queues = get(d, "multi-queue-max-queues", VBD_MAX_QUEUES);
    uint64_t order = get(d, "max-ring-page-order", VBD_MAX_RING_ORDER);
    rc = rc ? rc : put(d, "multi-queue-max-queues", at_most(queues, VBD_MAX_QUEUES));
    rc = rc ? rc : put(d, "max-ring-page-order", at_most(order, VBD_MAX_RING_ORDER));
    return rc;
}

static int properties(struct device *d)
{
    struct blkback *b = blkback_of(d);
    unsigned info = (b->cdrom ? VDISK_CDROM : 0) | (b->removable ? VDISK_REMOVABLE : 0) |
                    (b->vbd.limits.read_only ? VDISK_READONLY : 0);
    uint64_t physical =
        get(d, "physical-sector-size", b->vbd.image ? b->vbd.image->physical_sector : SECTOR_BYTES);
    int rc = put(d, "sectors", b->vbd.limits.sectors);
    rc = rc ? rc : put(d, "info", info);
    rc = rc ? rc : put(d, "sector-size", SECTOR_BYTES);
    return rc ? rc : put(d, "physical-sector-size", physical);
}

static int unusable(const char *what)
{
    log_line("the front end's node %s is missing or not usable", what);
    return -EINVAL;
}

/* Reads ring references and port of one queue from directory, and attaches to them. */
static int attach_queue(struct blkback *b, unsigned index, const char *directory, unsigned order)
{
    struct device *d = &b->vbd.device;
    uint32_t grefs[1u << VBD_MAX_RING_ORDER];
    unsigned pages = 1u << order;
    for (unsigned i = 0; i < pages; i++) {
        uint64_t gref = store_read_number(d->store, UINT64_MAX, "%s/ring-ref%u", directory, i);
        if (gref == UINT64_MAX && order == 0)
            gref = store_read_number(d->store, UINT64_MAX, "%s/ring-ref", directory);
        if (gref > UINT32_MAX)
            return unusable("ring-ref");
        grefs[i] = (uint32_t)gref;
    }
    uint64_t port = store_read_number(d->store, UINT64_MAX, "%s/event-channel", directory);
    if (port > UINT32_MAX)
        return unusable("event-channel");
    return vbd_attach_queue(&b->vbd, index, d->frontend_domid, grefs, pages, (uint32_t)port);
}

static int read_protocol(struct blkback *b)
{
    struct device *d = &b->vbd.device;
    char *protocol = store_read(d->store, "%s/protocol", d->frontend);
    b->vbd.abi = REQUEST_ABI_64;
    int rc = 0;
    if (protocol && strcmp(protocol, XEN_IO_PROTO_ABI_X86_32) == 0)
        b->vbd.abi = REQUEST_ABI_32;
    else if (protocol && strcmp(protocol, XEN_IO_PROTO_ABI_X86_64) != 0)
        rc = unusable("protocol");
    free(protocol);
    return rc;
}

static int attach(struct device *d)
{
    struct blkback *b = blkback_of(d);
    int rc = read_protocol(b);
    uint64_t order = store_read_number(d->store, 0, "%s/ring-page-order", d->frontend);
    uint64_t queues = store_read_number(d->store, 1, "%s/multi-queue-num-queues", d->frontend);
    b->vbd.persistent = store_read_number(d->store, 0, "%s/feature-persistent", d->frontend) &&
                        get(d, "feature-persistent", 1);
    if (rc)
        return rc;
    if (order > get(d, "max-ring-page-order", 0))
        return unusable("ring-page-order");
    if (queues == 0 || queues > get(d, "multi-queue-max-queues", 1))
        return unusable("multi-queue-num-queues");
    if (order > VBD_MAX_RING_ORDER || queues > VBD_MAX_QUEUES)
        return unusable("ring-page-order or multi-queue-num-queues");
    for (unsigned i = 0; i < queues && rc == 0; i++) {
        char directory[512];
        if (queues == 1)
            snprintf(directory, sizeof(directory), "%s", d->frontend);
        else
            snprintf(directory, sizeof(directory), "%s/queue-%u", d->frontend, i);
        rc = attach_queue(b, i, directory, (unsigned)order);
    }
    if (rc == 0) {
        b->vbd.stats->value[VBD_CONNECTS]++;
        log_line("connected: %u queue%s of %u page%s%s, %llu sectors%s", (unsigned)queues,
                 queues == 1 ? "" : "s", 1u << order, order ? "s" : "",
                 b->vbd.persistent ? ", persistent grants" : "", (unsigned long long)b->vbd.limits.sectors,
                 b->vbd.limits.read_only ? ", read-only" : "");
    }
    return rc;
}

static void detach(struct device *d)
{
    vbd_detach(&blkback_of(d)->vbd);
}

static void set_limits(struct blkback *b)
{
    struct device *d = &b->vbd.device;
    uint64_t bps = get(d, "limit-bps", 0), iops = get(d, "limit-iops", 0);
    uint64_t burst = get(d, "limit-burst-ms", DEFAULT_BURST_MS);
    if (bps == b->bps && iops == b->iops && burst == b->burst_ms)
        return;
    uint64_t now = clock_now(), limit = UINT64_MAX / 3600000;
    b->bps = bps;
    b->iops = iops;
    b->burst_ms = burst;
    bucket_set(&b->vbd.bytes, bps, at_most(bps, limit) * at_most(burst, 3600000) / 1000 + 1, now);
    bucket_set(&b->vbd.operations, iops, at_most(iops, limit) * at_most(burst, 3600000) / 1000 + 1, now);
}

static void set_size(struct blkback *b)
{
    b->vbd.limits.sectors = b->vbd.image ? b->vbd.image->bytes / SECTOR_BYTES : 0;
}

static void resize(struct blkback *b)
{
    struct device *d = &b->vbd.device;
    char path[512];
    snprintf(path, sizeof(path), "%s/resize", d->backend);
    store_remove(d->store, path);
    if (!b->vbd.image || b->vbd.image->ops->resize(b->vbd.image))
        return;
    set_size(b);
    log_line("now %llu sectors", (unsigned long long)b->vbd.limits.sectors);
    put(d, "sectors", b->vbd.limits.sectors);
    if (d->attached)
        device_set_state(d, XenbusStateConnected);
}

/* A node in our directory may have changed. Returns 0, or the exit status to end with. */
static int changed(struct device *d)
{
    struct blkback *b = blkback_of(d);
    char *params = store_read(d->store, "%s/params", d->backend);
    bool same = params && strcmp(params, b->params) == 0;
    bool there = params != NULL;
    free(params);
    if (there && !same) {
        log_line("the medium was changed");
        return EXIT_AGAIN;
    }
    set_limits(b);
    if (store_exists(d->store, "%s/resize", d->backend))
        resize(b);
    return 0;
}

static const struct device_ops operations = {
    .publish = publish, .attach = attach, .properties = properties, .detach = detach};

/* "FORMAT:PATH" or "PATH"; an explicit format node wins. Returns the path within params. */
static const char *image_path(struct blkback *b)
{
    static const struct {
        const char *prefix, *format;
    } prefixes[] = {{"aio:", "raw"}, {"raw:", "raw"}, {"qcow2:", "qcow2"}, {"file:", "raw"}, {"phy:", "raw"}};
    struct device *d = &b->vbd.device;
    const char *path = b->params;
    snprintf(b->format, sizeof(b->format), "raw");
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++) {
        size_t length = strlen(prefixes[i].prefix);
        if (strncmp(path, prefixes[i].prefix, length) == 0) {
            snprintf(b->format, sizeof(b->format), "%s", prefixes[i].format);
            path += length;
            break;
        }
    }
    char *format = store_read(d->store, "%s/format", d->backend);
    if (format)
        snprintf(b->format, sizeof(b->format), "%s", format);
    free(format);
    return path;
}

static bool node_is(struct device *d, const char *name, const char *value)
{
    char *text = store_read(d->store, "%s/%s", d->backend, name);
    bool same = text && strcmp(text, value) == 0;
    free(text);
    return same;
}

static int open_image(struct blkback *b, struct image **image)
{
    struct device *d = &b->vbd.device;
    char why[512] = "out of memory";
    b->params = store_read(d->store, "%s/params", d->backend);
    if (!b->params)
        b->params = strdup("");
    const char *path = image_path(b);
    b->cdrom = node_is(d, "device-type", "cdrom");
    b->removable = b->cdrom || get(d, "removable", 0);
    b->vbd.limits.read_only = b->cdrom || !node_is(d, "mode", "w");
    *image = NULL;
    if (!path[0] && b->removable)
        return 0;
    char *overlay = store_read(d->store, "%s/overlay", d->backend);
    struct image_config config = {
        .path = path,
        .format = b->format,
        .overlay = overlay && overlay[0] ? overlay : NULL,
        .run_dir = b->options.run_dir,
        .uring = &b->uring,
        .read_only = b->vbd.limits.read_only,
        .direct = !node_is(d, "cache", "writeback"),
        .block_discard = get(d, "discard-enable", 1) != 0,
        .domid = b->options.domid,
        .devid = b->options.devid,
        .patience_ms = get(d, "state", 0) < XenbusStateInitWait ? FIRST_PATIENCE_MS : PATIENCE_MS,
    };
    int rc = image_open(&config, image, why, sizeof(why));
    free(overlay);
    if (rc) {
        log_line("%s", why);
        device_hotplug_error(d, why);
    }
    return rc;
}

/* Direct I/O gains from pinned memory; other transfers do not. */
static int open_ring(struct blkback *b)
{
    struct iovec fixed = {b->vbd.pool, (size_t)VBD_FIXED_PAGES * XENIO_PAGE};
    return uring_open(&b->uring, b->vbd.image && b->vbd.image->pins_memory ? &fixed : NULL);
}

static int set_up(struct blkback *b)
{
    struct store *store;
    struct image *image;
    struct xenio *io;
    int rc = store_open(&store);
    if (rc) {
        log_line("cannot reach the xenstore: %s; is its daemon running?", strerror(-rc));
        return -ENOTCONN;
    }
    rc = device_open(&b->vbd.device, &operations, store, b->options.path);
    rc = rc ? rc : open_image(b, &image);
    rc = rc ? rc : xenio_open(&io);
    if (rc)
        return rc;
    struct stats *stats = stats_open(b->options.run_dir, "vbd", b->options.domid, b->options.devid);
    struct ring_journal *journal = state_open(b->options.run_dir, "vbd", b->options.domid, b->options.devid,
                                              VBD_MAX_QUEUES * sizeof(*journal));
    rc = journal ? vbd_init(&b->vbd, io, image, stats, journal) : -ENOMEM;
    rc = rc ? rc : open_ring(b);
    set_size(b);
    set_limits(b);
    b->vbd.limits.discard = image && image->discard_granularity && !b->vbd.limits.read_only;
    b->vbd.limits.secure_discard = b->vbd.limits.discard && get(&b->vbd.device, "secure-erase", 0);
    if (rc == 0 && b->options.sandbox)
        rc = sandbox_enter(b->options.user);
    return rc;
}

static bool run(struct device *d)
{
    return vbd_run(&blkback_of(d)->vbd);
}

static int descriptor(struct device *d, short *events)
{
    struct image *image = blkback_of(d)->vbd.image;
    return image && image->ops->fd ? image->ops->fd(image, events) : -1;
}

static void gone(struct device *d)
{
    struct image *image = blkback_of(d)->vbd.image;
    if (image)
        image->ops->finish(image);
}

int main(int argc, char **argv)
{
    static struct blkback b;
    char name[64];
    if (!options_parse(&b.options, argc, argv, "vbd"))
        return EXIT_BROKEN;
    snprintf(name, sizeof(name), "%u/%u", b.options.domid, b.options.devid);
    log_open("bh-blkback", name);
    int rc = set_up(&b);
    if (rc)
        return rc == -ENOTCONN ? EXIT_AGAIN : EXIT_BROKEN;
    const struct service service = {.device = &b.vbd.device,
                                    .io = b.vbd.io,
                                    .uring = &b.uring,
                                    .events = &b.vbd.stats->value[VBD_EVENTS],
                                    .wake_at = &b.vbd.wake_at,
                                    .broken = &b.vbd.broken,
                                    .run = run,
                                    .descriptor = descriptor,
                                    .changed = changed,
                                    .gone = gone};
    return serve(&service);
}
