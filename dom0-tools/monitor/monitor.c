/*
 * bh-monitor: what happens to domains when they end, and the back ends that serve them.
 *
 * Model. A loop of waking and looking: woken by the store or by a process that ended, it looks at what that was
 * about (at everything when it starts) and does what is to be done: with a hundred guests an event costs what it
 * costs with one. It remembers nothing that is not elsewhere:
 *   - which domains there are and why they ended: the hypervisor;
 *   - what is to happen then: RUN_DIR/domains/UUID.json, the configuration kept by create;
 *   - restarts under way: RUN_DIR/restarts/UUID.json, locked by the process that works on it, there until it
 * is done;
 *   - creates that were killed: RUN_DIR/creating/UUID without a lock;
 *   - back ends: the store's directories, and RUN_DIR/backends/NAME.lock, locked by the back end itself.
 * So it can be killed at any moment and started again. In a driver domain it looks after the back ends of that
 * domain, and after nothing else.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <libgen.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include "../config/doc.h"
#include "../lib/daemon.h"
#include "../lib/internal.h"

#define BACKENDS_MAX 1024
#define SETTLE_MS    2000
#define SWEEP_MS     200

static const struct {
    const char *kind, *program;
} kinds[] = {{"qdisk", "bh-blkback"}, {"bhnet", "bh-netback"}};
#define KINDS    (sizeof(kinds) / sizeof(kinds[0]))
#define KIND_NET 1

struct backend {
    unsigned int kind, domid, devid;
    pid_t pid;
    int pidfd;
    uint64_t started;      /* ms */
    uint64_t not_before;   /* ms: waits after ending early */
    unsigned int failures; /* early ends in a row */
    bool look;             /* its directory is to be looked at */
    bool wanted;           /* its directory asks for a process */
};

static struct {
    struct bh *h;
    struct backend backends[BACKENDS_MAX];
    unsigned int count;
    char program_dir[512];
    unsigned int
        domid; /* in which this runs: 0, or a driver domain's, with nothing but back ends to look after */
    bool look_at_devices; /* at all there are, not only at the marked ones */
    bool look_at_domains;
    bool swept;
    struct pollfd fds[1 + BACKENDS_MAX]; /* the store's, then the back ends' in their order */
} m;

static uint64_t now_ms(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return t.tv_sec * 1000UL + t.tv_nsec / 1000000;
}

/* The whole chain of a failure, from what was wanted down to the check that said no. */
static void log_failure(struct bh *h, const char *what)
{
    daemon_log("%s:", what);
    for (unsigned int i = 0; bh_error_message(h, i); i++)
        daemon_log("    %s%s", i ? "because: " : "", bh_error_message(h, i));
}

/* ---- back ends ---- */

/* A node in the directory of the back end, or NULL. */
static char *backend_node(const struct backend *b, const char *node)
{
    return store_getf(m.h, "/local/domain/%u/backend/%s/%u/%u/%s", m.domid, kinds[b->kind].kind, b->domid,
                      b->devid, node);
}

static int lock_backend(const struct backend *b, bool *busy)
{
    char path[400];
    int fd;

    snprintf(path, sizeof(path), "%s/backends", bh_run_dir());
    mkdir(path, 0700);
    snprintf(path, sizeof(path), "%s/backends/%s-%u-%u.lock", bh_run_dir(), kinds[b->kind].kind, b->domid,
             b->devid);
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    *busy = fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) < 0;
    return fd;
}

/* One that an earlier life of this daemon started. */
static void adopt(struct backend *b, int lock)
{
    char text[16] = "";

    if (pread(lock, text, sizeof(text) - 1, 0) > 0)
        b->pid = atoi(text);
    if (b->pid > 0)
        b->pidfd = syscall(SYS_pidfd_open, b->pid, 0);
}

static void run_backend(const struct backend *b, int lock, const char *interface)
{
    char path[600], domid[16], devid[16], own[16], store[96], note[48];
    int length = snprintf(note, sizeof(note), "%d\n%.15s\n", getpid(), interface ? interface : "");

    snprintf(path, sizeof(path), "%s/%s", m.program_dir, kinds[b->kind].program);
    snprintf(domid, sizeof(domid), "%u", b->domid);
    snprintf(devid, sizeof(devid), "%u", b->devid);
    snprintf(own, sizeof(own), "%u", m.domid);
    snprintf(store, sizeof(store), "/local/domain/%u/backend/%s/%u/%u", m.domid, kinds[b->kind].kind,
             b->domid, b->devid);
    if (ftruncate(lock, 0) < 0 || pwrite(lock, note, length, 0) != length)
        daemon_log("cannot note the pid of a back end: %s", strerror(errno));
    /* The lock stays with the process that is executed: it ends when that ends. */
    fcntl(lock, F_SETFD, 0);
    execl(path, kinds[b->kind].program, "--domid", domid, "--devid", devid, "--path", store,
          "--backend-domid", own, NULL);
    execlp(kinds[b->kind].program, kinds[b->kind].program, "--domid", domid, "--devid", devid, "--path",
           store, "--backend-domid", own, NULL);
    daemon_log("cannot run %s: %s", kinds[b->kind].program, strerror(errno));
    _exit(1);
}

/* So that whoever waits for the device learns why there is none. */
static void tell_store(const struct backend *b, const char *why)
{
    struct store_batch batch = {0};
    char *there = backend_node(b, "frontend");

    if (there) {
        batch_write(m.h, &batch, why, "/local/domain/%u/backend/%s/%u/%u/hotplug-error", m.domid,
                    kinds[b->kind].kind, b->domid, b->devid);
        batch_write(m.h, &batch, "error", "/local/domain/%u/backend/%s/%u/%u/hotplug-status", m.domid,
                    kinds[b->kind].kind, b->domid, b->devid);
        batch_commit(m.h, &batch);
    }
    free(there);
}

/* The name of a network device's interface, as its back end chooses it. */
static char *interface_of(const struct backend *b)
{
    char *name = backend_node(b, "vifname");

    if (!name && asprintf(&name, "vif%u.%u", b->domid % 100000, b->devid % 10000) < 0)
        name = NULL;
    return name;
}

static void start_backend(struct backend *b)
{
    bool busy;
    int lock = lock_backend(b, &busy);

    if (lock < 0)
        return;
    if (busy) {
        adopt(b, lock);
    } else {
        char *interface = b->kind == KIND_NET ? interface_of(b) : NULL;

        b->pid = fork();
        if (b->pid == 0)
            run_backend(b, lock, interface);
        free(interface);
        if (b->pid > 0)
            b->pidfd = syscall(SYS_pidfd_open, b->pid, 0);
    }
    b->started = now_ms();
    close(lock);
}

static void backend_ended(struct backend *b)
{
    int status = 0;
    bool ours = waitpid(b->pid, &status, WNOHANG) == b->pid;
    bool exited = ours && WIFEXITED(status);

    close(b->pidfd);
    b->pidfd = -1;
    b->pid = 0;
    b->failures = now_ms() - b->started < SETTLE_MS ? b->failures + 1 : 0;
    b->not_before = b->failures ? now_ms() + (50UL << (b->failures < 7 ? b->failures : 7)) : 0;
    if (exited && WEXITSTATUS(status) == 1) {
        char *reason = backend_node(b, "hotplug-error"), *state = backend_node(b, "state");

        /* One that was connected has had its word taken back already (a medium that was refused). */
        if (!reason && state && atoi(state) < 2)
            tell_store(b, "the back end could not be set up (see its log)");
        daemon_log("%s %u/%u could not be set up: %s", kinds[b->kind].program, b->domid, b->devid,
                   reason ? reason : "it did not say why");
        free(reason);
        free(state);
    } else if (!exited || WEXITSTATUS(status)) {
        daemon_log("%s %u/%u ended (status %#x); it is started again", kinds[b->kind].program, b->domid,
                   b->devid, ours ? status : 0);
    }
    bh_error_clear(m.h);
}

static struct backend *find_backend(unsigned int kind, unsigned int domid, unsigned int devid)
{
    for (unsigned int i = 0; i < m.count; i++) {
        struct backend *b = &m.backends[i];

        if (b->kind == kind && b->domid == domid && b->devid == devid)
            return b;
    }
    return NULL;
}

static void mark_device(unsigned int kind, unsigned int domid, unsigned int devid)
{
    struct backend *b = find_backend(kind, domid, devid);

    if (!b && m.count < BACKENDS_MAX) {
        b = &m.backends[m.count++];
        *b = (struct backend){.kind = kind, .domid = domid, .devid = devid, .pidfd = -1};
    }
    if (b)
        b->look = true;
    else
        m.look_at_devices = true; /* no room now: found again when there is */
}

static void mark_known(unsigned int domid)
{
    for (unsigned int i = 0; i < m.count; i++)
        m.backends[i].look |= m.backends[i].domid == domid;
}

/* What an event of the store is about. */
static void mark_path(const char *path)
{
    unsigned int domid, devid;

    if (*path == '@') {
        m.look_at_domains = true;
        return;
    }
    for (unsigned int k = 0; k < KINDS; k++) {
        char above[64];
        int length = snprintf(above, sizeof(above), "/local/domain/%u/backend/%s/", m.domid, kinds[k].kind);
        int numbers = strncmp(path, above, length) == 0 ? sscanf(path + length, "%u/%u", &domid, &devid) : 0;

        if (numbers == 2)
            mark_device(k, domid, devid);
        else if (numbers == 1)
            mark_known(domid); /* new ones below it have events of their own */
        if (numbers > 0)
            return;
    }
    m.look_at_devices = true;
}

static void look_at_device(struct backend *b)
{
    char *front = backend_node(b, "frontend"), *state = backend_node(b, "state");
    char *status = backend_node(b, "hotplug-status");

    b->look = false;
    /* One that could not be set up is not tried again until somebody takes its word back. */
    b->wanted = front && state && atoi(state) != 6 && !(status && strcmp(status, "error") == 0);
    if (b->wanted && b->pidfd < 0 && now_ms() >= b->not_before)
        start_backend(b);
    free(front);
    free(state);
    free(status);
}

/* The interface outlives a back end that is killed, and nobody else would remove it. `lock` names it: run_backend(). */
static void remove_interface(int lock)
{
    struct ifreq request = {.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR};
    char note[48] = "";
    int fd;

    if (pread(lock, note, sizeof(note) - 1, 0) <= 0 || sscanf(note, "%*d %15s", request.ifr_name) != 1 ||
        !if_nametoindex(request.ifr_name))
        return;
    fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC);
    if (fd >= 0 && ioctl(fd, TUNSETIFF, &request) == 0)
        ioctl(fd, TUNSETPERSIST, 0);
    if (fd >= 0)
        close(fd);
}

/* Ends the storage daemon that a killed back end left, and removes the files of a device that is no more. */
static void remove_leftovers(const struct backend *b)
{
    static const char *const files[][2] = {{"vbd", "stats"},    {"vbd", "state"}, {"disk", "pid"},
                                           {"disk", "monitor"}, {"disk", "nbd"},  {"vif", "stats"},
                                           {"vif", "state"}};
    char path[400], comm[32] = "";
    FILE *in;
    int pid = 0;

    snprintf(path, sizeof(path), "%s/disk-%u-%u.pid", bh_run_dir(), b->domid, b->devid);
    in = b->kind == 0 ? fopen(path, "re") : NULL;
    if (in && fscanf(in, "%d", &pid) == 1 && pid > 0) {
        fclose(in);
        snprintf(path, sizeof(path), "/proc/%d/comm", pid);
        in = fopen(path, "re");
        if (in && fscanf(in, "%31s", comm) == 1 && strncmp(comm, "qemu-storage-", 13) == 0)
            kill(pid, SIGTERM);
    }
    if (in)
        fclose(in);
    for (unsigned int i = b->kind ? 5 : 0; i < (b->kind ? 7 : 5); i++) {
        snprintf(path, sizeof(path), "%s/%s-%u-%u.%s", bh_run_dir(), files[i][0], b->domid, b->devid,
                 files[i][1]);
        unlink(path);
    }
}

/* Every device that was ever served has a lock file; one without a directory and a process has gone. */
static void sweep(void)
{
    char path[600];
    struct dirent *entry;
    DIR *dir;

    m.swept = true;
    snprintf(path, sizeof(path), "%s/backends", bh_run_dir());
    dir = opendir(path);
    while (dir && (entry = readdir(dir))) {
        struct backend b = {0};
        char kind[16], *front;
        bool busy;
        int lock;

        if (sscanf(entry->d_name, "%15[a-z]-%u-%u.lock", kind, &b.domid, &b.devid) != 3)
            continue;
        while (b.kind < KINDS && strcmp(kinds[b.kind].kind, kind) != 0)
            b.kind++;
        if (find_backend(b.kind, b.domid, b.devid))
            continue;
        front = b.kind < KINDS ? backend_node(&b, "frontend") : NULL;
        lock = b.kind < KINDS && !front ? lock_backend(&b, &busy) : -1;
        if (lock >= 0 && !busy) {
            remove_leftovers(&b);
            if (b.kind == KIND_NET)
                remove_interface(lock);
            snprintf(path, sizeof(path), "%s/backends/%s", bh_run_dir(), entry->d_name);
            unlink(path);
        }
        if (lock >= 0) {
            m.swept &= !busy; /* still ending: look again */
            close(lock);
        }
        free(front);
    }
    if (dir)
        closedir(dir);
    bh_error_clear(m.h);
}

static void free_list(char **list, unsigned int count)
{
    for (unsigned int i = 0; i < count; i++)
        free(list[i]);
    free(list);
}

static void mark_devices_of(unsigned int kind, const char *domid)
{
    char path[96], **devids;
    unsigned int n;

    snprintf(path, sizeof(path), "/local/domain/%u/backend/%s/%s", m.domid, kinds[kind].kind, domid);
    if (bh_store_list(m.h, path, &devids, &n))
        return;
    for (unsigned int i = 0; i < n; i++)
        mark_device(kind, strtoul(domid, NULL, 10), strtoul(devids[i], NULL, 10));
    free_list(devids, n);
}

/* Those that are known, and those that have a directory. */
static void mark_all_devices(void)
{
    m.look_at_devices = false;
    for (unsigned int i = 0; i < m.count; i++)
        m.backends[i].look = true;
    for (unsigned int k = 0; k < KINDS; k++) {
        char path[96], **domids;
        unsigned int n;

        snprintf(path, sizeof(path), "/local/domain/%u/backend/%s", m.domid, kinds[k].kind);
        if (bh_store_list(m.h, path, &domids, &n))
            continue;
        for (unsigned int i = 0; i < n; i++)
            mark_devices_of(k, domids[i]);
        free_list(domids, n);
    }
}

static void look_at_backends(void)
{
    unsigned int kept = 0;

    if (m.look_at_devices)
        mark_all_devices();
    for (unsigned int i = 0; i < m.count; i++)
        if (m.backends[i].look || m.backends[i].pidfd < 0)
            look_at_device(&m.backends[i]);
    bh_error_clear(m.h);
    /* Without a directory there is nothing to serve; the process sees that itself and ends. */
    for (unsigned int i = 0; i < m.count; i++)
        if (m.backends[i].wanted || m.backends[i].pidfd >= 0)
            m.backends[kept++] = m.backends[i];
    m.swept &= kept == m.count;
    m.count = kept;
    if (!m.swept)
        sweep();
}

/* ---- ended domains ---- */

/* Whether the open file is the one at path: not so when its owner has finished meanwhile and removed it. */
static bool is_at(int fd, const char *path)
{
    struct stat mine, there;

    return fstat(fd, &mine) == 0 && stat(path, &there) == 0 && mine.st_ino == there.st_ino;
}

static const char *const action_names[] = {
    "destroy", "restart", "rename-restart", "preserve", "coredump-destroy", "coredump-restart", "soft-reset"};

static const char *reason_name(unsigned int reason)
{
    static const char *const names[] = {"poweroff", "reboot", "suspend", "crash", "watchdog", "soft-reset"};

    return reason < sizeof(names) / sizeof(names[0]) ? names[reason] : "unknown reason";
}

static enum bh_action action_of(const struct bh_config *c, unsigned int reason)
{
    switch (reason) {
    case BH_REASON_POWEROFF:
        return c->on_poweroff;
    case BH_REASON_REBOOT:
        return c->on_reboot;
    case BH_REASON_WATCHDOG:
        return c->on_watchdog;
    case BH_REASON_SOFT_RESET:
        return c->on_soft_reset;
    case BH_REASON_SUSPEND:
        return BH_PRESERVE;
    default:
        return c->on_crash;
    }
}

static void dump_domain(struct bh *h, unsigned int domid, const char *name)
{
    char path[400];

    snprintf(path, sizeof(path), "/var/lib/bulkhead");
    mkdir(path, 0700);
    snprintf(path, sizeof(path), "/var/lib/bulkhead/dump");
    mkdir(path, 0700);
    snprintf(path, sizeof(path), "/var/lib/bulkhead/dump/%s-%lu.core", name, (unsigned long)time(NULL));
    if (bh_dump_core(h, domid, path))
        log_failure(h, "no core was written");
    else
        daemon_log("core of domain %u in %s", domid, path);
}

/* A free name for what is kept of a domain: NAME-1, NAME-2, ... */
static void rename_away(struct bh *h, unsigned int domid, const char *name)
{
    char other[300];

    for (unsigned int i = 1; i < 100; i++) {
        snprintf(other, sizeof(other), "%s-%u", name, i);
        if (bh_rename(h, domid, other) == 0)
            return;
    }
}

static void restart_path(char *out, size_t size, const char *uuid)
{
    snprintf(out, size, "%s/restarts", bh_run_dir());
    mkdir(out, 0700);
    snprintf(out, size, "%s/restarts/%s.json", bh_run_dir(), uuid);
}

/* Runs in a child: whatever is left of the domain goes, then it is created again. */
static int work_on_restart(const char *path, const uint8_t uuid[16])
{
    int lock = open(path, O_RDONLY | O_CLOEXEC), rc = 1;
    struct doc *doc;
    struct bh_config config;
    struct bh_domain *list;
    unsigned int count, domid;
    struct bh *h = bh_open();
    bool rename_it;

    if (lock < 0 || !h || flock(lock, LOCK_EX | LOCK_NB) < 0 || !is_at(lock, path))
        return 0;
    doc = doc_read_file(path);
    if (!doc || !doc_check(doc, &config)) {
        daemon_log("the configuration in %s cannot be used: %s", path,
                   doc && doc->diag_count ? doc->diags[0].text : "");
        unlink(path);
        return 1;
    }
    rename_it = access(path, X_OK) == 0;
    if (bh_list(h, &list, &count) == 0)
        for (unsigned int i = 0; i < count; i++)
            if (memcmp(list[i].uuid, uuid, 16) == 0 && list[i].domid) {
                if (list[i].cpu_time_ns < 500000000)
                    sleep(1);
                if (rename_it)
                    rename_away(h, list[i].domid, config.name);
                else if (bh_destroy(h, list[i].domid))
                    log_failure(h, "the ended domain could not be removed");
            }
    if (!is_at(lock, path)) {
        daemon_log("\"%s\" was destroyed while it was being restarted", config.name);
        return 0;
    }
    /* The kept one keeps its UUID too. */
    memcpy(config.uuid, uuid, 16);
    config.has_uuid = !rename_it;
    rc = bh_create(h, &config, NULL, &domid);
    if (rc)
        log_failure(h, "a domain could not be restarted");
    else
        daemon_log("\"%s\" was restarted as domain %u", config.name, domid);
    unlink(path);
    return rc ? 1 : 0;
}

static void spawn_restart(const char *path, const uint8_t uuid[16])
{
    pid_t pid = fork();

    if (pid == 0) {
        daemon_child();
        _exit(work_on_restart(path, uuid));
    }
    if (pid < 0)
        daemon_log("cannot start a process for a restart: %s", strerror(errno));
}

static void handle_end(const struct bh_domain *dom)
{
    char *json = bh_saved_config(m.h, dom->uuid), uuid[37], from[400], to[400];
    struct doc *doc = json ? doc_read_text("kept configuration", json, strlen(json)) : NULL;
    struct bh_config config;
    enum bh_action action;
    bool restarting;

    bh_uuid_print(dom->uuid, uuid);
    restart_path(to, sizeof(to), uuid);
    /* The restart that made this life may be not quite done: its process, when it ends, makes us look again. */
    restarting = access(to, F_OK) == 0;
    m.look_at_domains |= restarting;
    if (restarting || !doc || !doc_check(doc, &config)) {
        doc_free(doc);
        free(json);
        return;
    }
    action = action_of(&config, dom->shutdown_reason);
    if (action != BH_PRESERVE)
        daemon_log("domain %u (\"%s\") ended, %s: %s", dom->domid, config.name,
                   reason_name(dom->shutdown_reason), action_names[action]);
    if (action == BH_COREDUMP_DESTROY || action == BH_COREDUMP_RESTART)
        dump_domain(m.h, dom->domid, config.name);
    snprintf(from, sizeof(from), "%s/domains/%s.json", bh_run_dir(), uuid);
    if (action == BH_DESTROY || action == BH_COREDUMP_DESTROY) {
        if (bh_destroy(m.h, dom->domid)) {
            log_failure(m.h, "the ended domain could not be removed");
            m.look_at_domains = true;
        }
    } else if (action != BH_PRESERVE) {
        /* The mode says what is to happen to the old domain; the rename makes it this daemon's duty. */
        chmod(from, action == BH_RENAME_RESTART ? 0700 : 0600);
        if (rename(from, to) == 0)
            spawn_restart(to, dom->uuid);
    }
    bh_config_free(&config);
    doc_free(doc);
    free(json);
}

static void look_at_domains(void)
{
    struct bh_domain *list;
    unsigned int count;

    if (bh_list(m.h, &list, &count)) {
        log_failure(m.h, "the domains could not be looked at");
        return;
    }
    m.look_at_domains = false;
    for (unsigned int i = 0; i < count; i++)
        if (list[i].domid && list[i].flags & BH_SHUTDOWN && !(list[i].flags & BH_DYING))
            handle_end(&list[i]);
    free(list);
    bh_error_clear(m.h);
}

/* ---- what killed processes left ---- */

static void undo_create(const uint8_t uuid[16], const char *path)
{
    struct bh_domain *list;
    unsigned int count;

    if (bh_list(m.h, &list, &count))
        return;
    for (unsigned int i = 0; i < count; i++)
        if (list[i].domid && memcmp(list[i].uuid, uuid, 16) == 0) {
            daemon_log("domain %u: its creation was cut off; what there is of it is removed", list[i].domid);
            bh_destroy(m.h, list[i].domid);
        }
    free(list);
    unlink(path);
}

/* Calls `act` for every file of RUN_DIR/dir that nobody has locked. */
static void each_unlocked(const char *dir, void (*act)(const char *path, const uint8_t uuid[16]))
{
    char path[600];
    struct dirent *entry;
    DIR *open_dir;

    snprintf(path, sizeof(path), "%s/%s", bh_run_dir(), dir);
    open_dir = opendir(path);
    while (open_dir && (entry = readdir(open_dir))) {
        char name[37];
        uint8_t uuid[16];
        int fd;

        snprintf(name, sizeof(name), "%.36s", entry->d_name);
        if (!bh_uuid_parse(name, uuid))
            continue;
        snprintf(path, sizeof(path), "%s/%s/%s", bh_run_dir(), dir, entry->d_name);
        fd = open(path, O_RDONLY | O_CLOEXEC);
        if (fd >= 0 && flock(fd, LOCK_EX | LOCK_NB) == 0 && is_at(fd, path)) {
            flock(fd, LOCK_UN);
            act(path, uuid);
        }
        if (fd >= 0)
            close(fd);
    }
    if (open_dir)
        closedir(open_dir);
}

static void act_on_marker(const char *path, const uint8_t uuid[16])
{
    undo_create(uuid, path);
}

/* ---- the loop ---- */

static void on_child(int signal)
{
}

static void reap(void)
{
    for (unsigned int i = 0; i < m.count; i++)
        if (m.fds[1 + i].revents)
            backend_ended(&m.backends[i]);
    /* Restarts; back ends were waited for above. */
    for (siginfo_t info = {0}; waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid;
         info.si_pid = 0) {
        bool backend = false;

        for (unsigned int i = 0; i < m.count; i++)
            backend |= m.backends[i].pid == info.si_pid && m.backends[i].pidfd >= 0;
        if (backend)
            break;
        waitpid(info.si_pid, NULL, WNOHANG);
        m.look_at_domains = true;
    }
}

static void drain_store(void)
{
    struct pollfd p = {.fd = bh_store_fd(m.h), .events = POLLIN};
    char *path, *token;

    while (bh_store_event_pending(m.h) || poll(&p, 1, 0) > 0) {
        if (bh_store_next_event(m.h, &path, &token)) {
            /* The store went away: start afresh when it is back. */
            daemon_log("%s", bh_error_message(m.h, 0));
            exit(1);
        }
        mark_path(path);
        free(path);
        free(token);
    }
}

static int next_timeout(void)
{
    uint64_t now = now_ms();
    int timeout = m.swept ? -1 : SWEEP_MS;

    for (unsigned int i = 0; i < m.count; i++) {
        const struct backend *b = &m.backends[i];

        if (b->pidfd < 0) {
            int left = b->not_before > now ? (int)(b->not_before - now) : 20;

            if (timeout < 0 || left < timeout)
                timeout = left;
        }
    }
    return bh_store_event_pending(m.h) ? 0 : timeout;
}

static void loop(void)
{
    sigset_t blocked, during;

    sigemptyset(&blocked);
    sigaddset(&blocked, SIGCHLD);
    sigprocmask(SIG_BLOCK, &blocked, &during);
    m.look_at_devices = m.look_at_domains = true;
    for (;;) {
        struct timespec wait;
        int timeout;

        reap();
        drain_store();
        if (m.domid == 0) {
            each_unlocked("creating", act_on_marker);
            each_unlocked("restarts", spawn_restart);
            if (m.look_at_domains)
                look_at_domains();
        }
        look_at_backends();
        m.fds[0] = (struct pollfd){.fd = bh_store_fd(m.h), .events = POLLIN};
        for (unsigned int i = 0; i < m.count; i++)
            m.fds[1 + i] = (struct pollfd){.fd = m.backends[i].pidfd, .events = POLLIN};
        timeout = next_timeout();
        wait = (struct timespec){.tv_sec = timeout / 1000, .tv_nsec = timeout % 1000 * 1000000L};
        ppoll(m.fds, 1 + m.count, timeout < 0 ? NULL : &wait, &during);
    }
}

static void find_programs(void)
{
    char self[500];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

    self[length > 0 ? length : 0] = 0;
    snprintf(m.program_dir, sizeof(m.program_dir), "%s", length > 0 ? dirname(self) : "/usr/sbin");
}

static int set_watches(void)
{
    char path[64], *domid = store_getf(m.h, "domid");
    int rc = 0;

    m.domid = domid ? strtoul(domid, NULL, 10) : 0;
    free(domid);
    bh_error_clear(m.h);
    if (m.domid == 0) {
        rc = bh_store_watch(m.h, "@introduceDomain", "look");
        rc = rc ? rc : bh_store_watch(m.h, "@releaseDomain", "look");
    }
    for (unsigned int k = 0; !rc && k < KINDS; k++) {
        snprintf(path, sizeof(path), "/local/domain/%u/backend/%s", m.domid, kinds[k].kind);
        rc = bh_store_watch(m.h, path, "look");
    }
    return rc;
}

int main(int argc, char **argv)
{
    struct sigaction action = {.sa_handler = on_child};
    bool foreground = false;
    int c;

    while ((c = getopt(argc, argv, "F")) >= 0) {
        if (c != 'F') {
            fprintf(stderr, "Usage: bh-monitor [-F]\n");
            return 2;
        }
        foreground = true;
    }
    find_programs();
    daemon_start("bh-monitor", foreground);
    sigaction(SIGCHLD, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    m.h = bh_open();
    if (!m.h)
        return 1;
    if (set_watches()) {
        daemon_log("cannot start: %s", bh_error_message(m.h, 0));
        return 1;
    }
    daemon_ready();
    loop();
}
