/*
 * bh-netback: serves one virtual network interface of one guest.
 *
 * Set up as root (store, tap device, bridge or hotplug script, event channels), then a plain account with a
 * system call filter. Killing it loses nothing: the tap interface stays, with its place in the bridge, and so
 * do the rings.
 */
#include <errno.h>
#include <linux/close_range.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../common/clock.h"
#include "../common/log.h"
#include "../common/options.h"
#include "../common/sandbox.h"
#include "../common/serve.h"
#include "tap.h"
#include "vif.h"

#define SETUP_PROGRAM  "bh-vif-setup"
#define XL_SCRIPTS     "/etc/xen/scripts" /* where a script without a directory is */
#define INTERFACE_NAME 16
#define NICENESS       (-10)

struct netback {
    struct vif vif; /* first: struct device is at its start */
    struct options options;
    struct uring uring;
    char name[INTERFACE_NAME];
    char *rate;
};

static struct netback *netback_of(struct device *d)
{
    return (struct netback *)d;
}

static int put(struct device *d, const char *name, uint64_t value)
{
    return store_write_number(d->store, d->backend, name, value);
}

static uint64_t get(struct device *d, const char *name, uint64_t fallback)
{
    return store_read_number(d->store, fallback, "%s/%s", d->backend, name);
}

static uint64_t theirs(struct device *d, const char *name, uint64_t fallback)
{
    return store_read_number(d->store, fallback, "%s/%s", d->frontend, name);
}

static int publish(struct device *d)
{
    static const char *const features[] = {"feature-sg",
                                           "feature-gso-tcpv4",
                                           "feature-gso-tcpv6",
                                           "feature-ipv6-csum-offload",
                                           "feature-rx-copy",
                                           "feature-multicast-control",
                                           "feature-dynamic-multicast-control",
                                           "feature-split-event-channels",
                                           "feature-ctrl-ring",
                                           "carrier"};
    char path[512];
    int rc = put(d, "feature-rx-flip", 0);
    for (size_t i = 0; rc == 0 && i < sizeof(features) / sizeof(features[0]); i++)
        rc = put(d, features[i], 1);
    uint64_t queues = get(d, "multi-queue-max-queues", VIF_MAX_QUEUES);
    rc = rc ? rc : put(d, "multi-queue-max-queues", queues < VIF_MAX_QUEUES ? queues : VIF_MAX_QUEUES);
    snprintf(path, sizeof(path), "%s/vifname", d->backend);
    rc = rc ? rc : store_write(d->store, path, netback_of(d)->name);
    return rc;
}

static int properties(struct device *d)
{
    return 0;
}

/* A number that the front end has to have published; -1 after a line in the log. */
static int64_t needed(struct device *d, const char *directory, const char *name)
{
    uint64_t value = store_read_number(d->store, UINT64_MAX, "%s/%s", directory, name);
    if (value <= UINT32_MAX)
        return (int64_t)value;
    log_line("the front end's node %s/%s is missing or not usable", directory, name);
    return -1;
}

static int attach_queue(struct netback *n, unsigned index, const char *directory)
{
    struct device *d = &n->vif.device;
    int64_t tx_gref = needed(d, directory, "tx-ring-ref"), rx_gref = needed(d, directory, "rx-ring-ref");
    int64_t tx_port, rx_port;
    if (store_exists(d->store, "%s/event-channel-tx", directory)) {
        tx_port = needed(d, directory, "event-channel-tx");
        rx_port = needed(d, directory, "event-channel-rx");
    } else {
        tx_port = rx_port = needed(d, directory, "event-channel");
    }
    if (tx_gref < 0 || rx_gref < 0 || tx_port < 0 || rx_port < 0)
        return -EINVAL;
    return vif_attach_queue(&n->vif, index, (uint32_t)tx_gref, (uint32_t)rx_gref, (uint32_t)tx_port,
                            (uint32_t)rx_port);
}

static int attach_control(struct netback *n)
{
    struct device *d = &n->vif.device;
    if (!store_exists(d->store, "%s/ctrl-ring-ref", d->frontend))
        return 0;
    int64_t gref = needed(d, d->frontend, "ctrl-ring-ref"),
            port = needed(d, d->frontend, "event-channel-ctrl");
    return gref < 0 || port < 0 ? -EINVAL : vif_attach_control(&n->vif, (uint32_t)gref, (uint32_t)port);
}

/* What the guest can receive, and with that what the kernel may leave unfinished. */
static int read_features(struct netback *n)
{
    struct vif *v = &n->vif;
    struct device *d = &v->device;
    v->sg = theirs(d, "feature-sg", 0);
    v->csum4 = !theirs(d, "feature-no-csum-offload", 0);
    v->csum6 = theirs(d, "feature-ipv6-csum-offload", 0);
    v->gso4 = v->sg && v->csum4 && theirs(d, "feature-gso-tcpv4", 0);
    v->gso6 = v->sg && v->csum6 && theirs(d, "feature-gso-tcpv6", 0);
    v->filter_multicast = theirs(d, "request-multicast-control", 0);
    if (!theirs(d, "request-rx-copy", 0)) {
        log_line("the front end does not ask for rx-copy; page flipping ended with Xen 3");
        return -EOPNOTSUPP;
    }
    return tap_offload(v->tap, v->csum4 || v->csum6, v->gso4, v->gso6);
}

static int attach(struct device *d)
{
    struct netback *n = netback_of(d);
    uint64_t queues = theirs(d, "multi-queue-num-queues", 1);
    int rc = read_features(n);
    if (rc == 0 && (queues == 0 || queues > VIF_MAX_QUEUES || queues > get(d, "multi-queue-max-queues", 1))) {
        log_line("the front end asks for %llu queues", (unsigned long long)queues);
        rc = -EINVAL;
    }
    for (unsigned i = 0; rc == 0 && i < queues; i++) {
        char directory[512];
        if (queues == 1)
            snprintf(directory, sizeof(directory), "%s", d->frontend);
        else
            snprintf(directory, sizeof(directory), "%s/queue-%u", d->frontend, i);
        rc = attach_queue(n, i, directory);
    }
    if (!d->resumed)
        memset(n->vif.steering, 0, sizeof(*n->vif.steering));
    rc = rc ? rc : attach_control(n);
    if (rc)
        return rc;
    n->vif.stats->value[VIF_CONNECTS]++;
    tap_carrier(n->vif.tap, true);
    log_line("connected: %s, %u queue%s%s%s%s", n->name, (unsigned)queues, queues == 1 ? "" : "s",
             n->vif.sg ? ", sg" : "", n->vif.gso4 ? ", tso4" : "", n->vif.gso6 ? ", tso6" : "");
    return 0;
}

static void detach(struct device *d)
{
    tap_carrier(netback_of(d)->vif.tap, false);
    vif_detach(&netback_of(d)->vif);
}

/* "BYTES,MICROSECONDS" */
static void set_rate(struct netback *n)
{
    struct device *d = &n->vif.device;
    char *text = store_read(d->store, "%s/rate", d->backend);
    bool same = text && n->rate ? strcmp(text, n->rate) == 0 : text == n->rate;
    unsigned long long bytes = 0, interval = 0;
    if (same) {
        free(text);
        return;
    }
    free(n->rate);
    n->rate = text;
    if (text && (sscanf(text, "%llu,%llu", &bytes, &interval) != 2 || interval == 0 || bytes > UINT32_MAX)) {
        log_line("rate \"%s\" is not BYTES,MICROSECONDS; no limit is set", text);
        bytes = 0;
    }
    bucket_set(&n->vif.rate, bytes && interval ? bytes * 1000000 / interval : 0, bytes, clock_now());
}

/* A node in our directory, or in the front end's, may have changed. */
static int changed(struct device *d)
{
    struct netback *n = netback_of(d);
    set_rate(n);
    n->vif.filter_multicast = theirs(d, "request-multicast-control", 0);
    return 0;
}

static const struct device_ops operations = {
    .publish = publish, .attach = attach, .properties = properties, .detach = detach};

static char *node(struct netback *n, const char *name, const char *fallback)
{
    char *text = store_read(n->vif.device.store, "%s/%s", n->vif.device.backend, name);
    return text ? text : strdup(fallback);
}

/* The directory of this program, where the setup script lies too. */
static void own_directory(char *out, size_t bytes)
{
    ssize_t length = readlink("/proc/self/exe", out, bytes - 1);
    out[length > 0 ? length : 0] = '\0';
    char *slash = strrchr(out, '/');
    if (slash)
        *slash = '\0';
}

/* Runs "PROGRAM online" as xl's hotplug scripts are run. */
static int run_script(struct netback *n, const char *program, const char *mode, char *why, size_t why_bytes)
{
    char *bridge = node(n, "bridge", ""), *ip = node(n, "ip", ""), *gateway = node(n, "gatewaydev", "");
    char path[512];
    snprintf(path, sizeof(path), "%s%s", strchr(program, '/') ? "" : XL_SCRIPTS "/", program);
    pid_t child = fork();
    if (child == 0) {
        close_range(3, ~0u, CLOSE_RANGE_CLOEXEC); /* a lock that we were started with ends with us */
        setenv("vif", n->name, 1);
        setenv("dev", n->name, 1);
        setenv("XENBUS_TYPE", "vif", 1);
        setenv("XENBUS_BASE_PATH", "backend", 1);
        setenv("XENBUS_PATH", n->vif.device.backend, 1);
        setenv("script", path, 1);
        setenv("mode", mode, 1);
        setenv("bridge", bridge, 1);
        setenv("ip", ip, 1);
        setenv("netdev", gateway, 1);
        execl(path, path, "online", "type_if=vif", (char *)NULL);
        _exit(127);
    }
    free(bridge);
    free(ip);
    free(gateway);
    int status = -1;
    while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    if (child > 0 && WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    snprintf(why, why_bytes, "%.300s online (mode %s) failed for %s, status %d", path, mode, n->name,
             WIFEXITED(status) ? WEXITSTATUS(status) : -1);
    return -EIO;
}

/* The way of connecting that a script's name stands for; NULL when only the script itself knows. */
static const char *mode_of_script(const char *script)
{
    static const char *const known[][2] = {{"", "bridge"},
                                           {"vif-bridge", "bridge"},
                                           {"vif-route", "routed"},
                                           {"vif-nat", "nat"},
                                           {"vif-openvswitch", "openvswitch"}};
    const char *slash = strrchr(script, '/');
    const char *base = slash ? slash + 1 : script;
    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strcmp(base, known[i][0]) == 0)
            return known[i][1];
    return NULL;
}

static int join_network(struct netback *n, char *why, size_t why_bytes)
{
    char *script = node(n, "script", ""), *bridge = node(n, "bridge", "");
    const char *implied = mode_of_script(script);
    char *mode = node(n, "mode", implied ? implied : "script");
    char setup[512];
    int rc = 0;
    if (!implied) {
        rc = run_script(n, script, mode, why, why_bytes);
    } else if (strcmp(mode, "bridge") == 0) {
        if (bridge[0])
            rc = tap_join_bridge(n->name, bridge, why, why_bytes);
    } else {
        own_directory(setup, sizeof(setup) - sizeof(SETUP_PROGRAM) - 1);
        strcat(setup, "/" SETUP_PROGRAM);
        rc = run_script(n, setup, mode, why, why_bytes);
    }
    free(script);
    free(bridge);
    free(mode);
    return rc;
}

static int set_rules(struct netback *n, char *why, size_t why_bytes)
{
    struct device *d = &n->vif.device;
    uint64_t vlan = get(d, "vlan", 0);
    if (vlan > 4094) {
        snprintf(why, why_bytes, "vlan %llu is not between 1 and 4094", (unsigned long long)vlan);
        return -EINVAL;
    }
    n->vif.vlan = (uint16_t)vlan;
    if (!get(d, "antispoof", 0))
        return 0;
    char *mac = node(n, "mac", ""), *ip = node(n, "ip", "");
    const char *wrong = spoof_set(&n->vif.spoof, mac, ip);
    if (wrong)
        snprintf(why, why_bytes, "antispoof with mac \"%s\" and ip \"%s\": %s", mac, ip, wrong);
    free(mac);
    free(ip);
    return wrong ? -EINVAL : 0;
}

static int open_interface(struct netback *n, int *tap)
{
    char why[512] = "";
    char *name = node(n, "vifname", "");
    if (name[0] && strlen(name) < INTERFACE_NAME)
        snprintf(n->name, sizeof(n->name), "%s", name);
    else
        snprintf(n->name, sizeof(n->name), "vif%u.%u", n->options.domid % 100000, n->options.devid % 10000);
    free(name);
    /* Started again, with the interface still where the first start put it: scripts run once, as xl's do. */
    char *status = node(n, "hotplug-status", "");
    bool joined = strcmp(status, "connected") == 0 && if_nametoindex(n->name);
    free(status);
    int rc = set_rules(n, why, sizeof(why));
    if (rc == 0) {
        *tap = tap_open(n->name, why, sizeof(why));
        rc = *tap < 0 ? *tap : 0;
    }
    if (rc == 0)
        rc = tap_configure(n->name, (unsigned)get(&n->vif.device, "mtu", 0), why, sizeof(why));
    if (rc == 0 && !joined)
        rc = join_network(n, why, sizeof(why));
    if (rc) {
        if (*tap >= 0)
            tap_release(*tap); /* or a refused interface would stay, and the next one not get its name */
        log_line("%s", why);
        device_hotplug_error(&n->vif.device, why);
    }
    return rc;
}

/*
 * Each packet that is put into the tap device wakes its receiver, which would take the CPU at once and give it back for
 * the next packet. Our niceness keeps it waiting until the batch is through. The other way round, SCHED_BATCH
 * keeps us from taking the CPU from a sender at each of its packets. What does not come off costs speed only.
 */
static void handle_packets_in_runs(void)
{
    const struct sched_param none = {0};
    if (setpriority(PRIO_PROCESS, 0, NICENESS) || sched_setscheduler(0, SCHED_BATCH, &none))
        log_line("setting the scheduling class: %s; packets will cost more process switches",
                 strerror(errno));
}

static int set_up(struct netback *n)
{
    struct store *store;
    struct xenio *io;
    int tap = -1;
    int rc = store_open(&store);
    if (rc) {
        log_line("cannot reach the xenstore: %s; is its daemon running?", strerror(-rc));
        return -ENOTCONN;
    }
    rc = device_open(&n->vif.device, &operations, store, n->options.path);
    rc = rc ? rc : open_interface(n, &tap);
    rc = rc ? rc : uring_open(&n->uring, NULL);
    rc = rc ? rc : xenio_open(&io);
    if (rc)
        return rc;
    struct stats *stats = stats_open(n->options.run_dir, "vif", n->options.domid, n->options.devid);
    struct vif_state *state =
        state_open(n->options.run_dir, "vif", n->options.domid, n->options.devid, sizeof(*state));
    rc = state ? vif_init(&n->vif, io, &n->uring, (uint16_t)n->options.backend_domid, tap, stats, state)
               : -ENOMEM;
    set_rate(n);
    handle_packets_in_runs();
    if (rc == 0 && n->options.sandbox)
        rc = sandbox_enter(n->options.user);
    return rc;
}

static bool run(struct device *d)
{
    return vif_run(&netback_of(d)->vif);
}

static void gone(struct device *d)
{
    tap_release(netback_of(d)->vif.tap);
}

int main(int argc, char **argv)
{
    static struct netback n;
    char name[64];
    if (!options_parse(&n.options, argc, argv, "vif"))
        return EXIT_BROKEN;
    snprintf(name, sizeof(name), "%u/%u", n.options.domid, n.options.devid);
    log_open("bh-netback", name);
    int rc = set_up(&n);
    if (rc)
        return rc == -ENOTCONN ? EXIT_AGAIN : EXIT_BROKEN;
    const struct service service = {.device = &n.vif.device,
                                    .io = n.vif.io,
                                    .uring = &n.uring,
                                    .events = &n.vif.stats->value[VIF_EVENTS],
                                    .wake_at = &n.vif.wake_at,
                                    .broken = &n.vif.broken,
                                    .run = run,
                                    .changed = changed,
                                    .gone = gone};
    return serve(&service);
}
