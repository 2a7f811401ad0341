/* Starting daemons. See peers.h. */
#include "peers.h"

#include "rawclient.h"

#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>

static const struct {
    const char *name;
    const char *program;
} peers[PEER_COUNT + 1] = {
    [PEER_OURS] = {"bulkhead", XS_OURS},
    [PEER_XENSTORED] = {"xenstored", "/usr/lib/xen-4.17/bin/xenstored"},
    [PEER_OXENSTORED] = {"oxenstored", "/usr/lib/xen-4.17/bin/oxenstored"},
    [PEER_NOTHING] = {"nothing", NULL},
};

bool peer_present(enum peer_kind kind)
{
    return access(peers[kind].program, X_OK) == 0;
}

const char *peer_name(enum peer_kind kind)
{
    return peers[kind].name;
}

static void must(bool ok, const char *what)
{
    if (!ok) {
        fprintf(stderr, "peers: %s: %s\n", what, strerror(errno));
        exit(1);
    }
}

/* oxenstored knows one place for its socket only: give it a private view of that directory. */
static void private_run_dir(void)
{
    mkdir("/run/xenstored", 0755);
    must(unshare(CLONE_NEWNS) == 0 && mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
             mount("tmpfs", "/run/xenstored", "tmpfs", 0, NULL) == 0,
         "cannot give oxenstored a directory of its own");
}

/* One client at a time, one request at a time. */
static void serve_nothing(const struct peer *p)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int listener = socket(AF_UNIX, SOCK_STREAM, 0), poll = epoll_create1(0);
    static char message[XENSTORE_PAYLOAD_MAX + sizeof(struct xsd_sockmsg)];
    struct xsd_sockmsg *hdr = (struct xsd_sockmsg *)message;

    memcpy(sa.sun_path, p->socket, strnlen(p->socket, sizeof(sa.sun_path) - 1));
    must(bind(listener, (struct sockaddr *)&sa, sizeof(sa)) == 0 && listen(listener, 4) == 0, p->socket);
    for (;;) {
        int fd = accept(listener, NULL, NULL);
        struct epoll_event ev = {.events = EPOLLIN};

        must(fd >= 0 && epoll_ctl(poll, EPOLL_CTL_ADD, fd, &ev) == 0, "accept");
        while (epoll_wait(poll, &ev, 1, -1) == 1 && recv(fd, message, sizeof(message), MSG_DONTWAIT) > 0) {
            hdr->len = 2;
            memcpy(hdr + 1, "7", 2);
            must(send(fd, message, sizeof(*hdr) + 2, MSG_NOSIGNAL) > 0, "send");
        }
        close(fd);
    }
}

static void run_peer(const struct peer *p, const char *counts)
{
    char out[240], config[240], log[240];
    const char *argv[32];
    unsigned n = 0;
    FILE *f;
    int fd;

    snprintf(log, sizeof(log), "%s/log", p->dir);
    fd = open(log, O_WRONLY | O_CREAT | O_APPEND, 0600);
    must(fd >= 0 && dup2(fd, 1) >= 0 && dup2(fd, 2) >= 0, log);
    if (p->kind == PEER_NOTHING) {
        serve_nothing(p);
    }
    if (counts) {
        snprintf(out, sizeof(out), "--callgrind-out-file=%s", counts);
        argv[n++] = "valgrind";
        argv[n++] = "--tool=callgrind";
        argv[n++] = out;
    }
    argv[n++] = peers[p->kind].program;
    if (p->kind == PEER_OURS) {
        argv[n++] = "--standalone";
        argv[n++] = p->dir;
    } else {
        setenv("XENSTORED_PATH", p->socket, 1);
        setenv("XENSTORED_RUNDIR", p->dir, 1);
        setenv("XENSTORED_ROOTDIR", p->dir, 1);
        setenv("LD_PRELOAD", XS_SHIM, 1);
    }
    if (p->kind == PEER_XENSTORED) {
        argv[n++] = "-N";
    }
    if (p->kind == PEER_OXENSTORED) {
        snprintf(config, sizeof(config), "%s/conf", p->dir);
        f = fopen(config, "w");
        must(f, config);
        fprintf(f, "pid-file = %s/pid\nxenstored-log-file = %s/xlog\npersistent = false\n", p->dir, p->dir);
        fclose(f);
        private_run_dir();
        argv[n++] = "--no-fork";
        argv[n++] = "--no-domain-init";
        argv[n++] = "--config-file";
        argv[n++] = config;
    }
    argv[n] = NULL;
    execvp(argv[0], (char **)(uintptr_t)argv);
    _exit(127);
}

static void launch(struct peer *p, const char *counts)
{
    struct raw c;
    int status;

    p->pid = fork();
    must(p->pid >= 0, "fork");
    if (p->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL); /* no daemon outlives its test */
        run_peer(p, counts);
    }
    if (p->kind == PEER_OXENSTORED) {
        snprintf(p->socket, sizeof(p->socket), "/proc/%d/root/run/xenstored/socket", (int)p->pid);
    }
    for (unsigned i = 0; i < 6000; i++) {
        if (raw_open(&c, p->socket)) {
            close(c.fd);
            return;
        }
        if (waitpid(p->pid, &status, WNOHANG) == p->pid) {
            break;
        }
        nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    }
    fprintf(stderr, "peers: %s does not serve; see %s/log\n", p->name, p->dir);
    exit(1);
}

void peer_start(struct peer *p, enum peer_kind kind, const char *base, const char *counts)
{
    char command[500];

    *p = (struct peer){.kind = kind, .name = peers[kind].name};
    snprintf(p->dir, sizeof(p->dir), "%s/%s", base, p->name);
    snprintf(p->socket, sizeof(p->socket), "%s/socket", p->dir);
    snprintf(command, sizeof(command), "rm -rf '%s' && mkdir -p '%s'", p->dir, p->dir);
    must(system(command) == 0, command);
    launch(p, counts);
}

void peer_restart(struct peer *p)
{
    launch(p, NULL);
}

void peer_stop(struct peer *p)
{
    int status;

    kill(p->pid, SIGTERM);
    waitpid(p->pid, &status, 0);
}

void peer_callgrind(const struct peer *p, const char *option)
{
    char command[80];

    snprintf(command, sizeof(command), "callgrind_control %s %d >/dev/null 2>&1", option, (int)p->pid);
    must(system(command) == 0, command);
}

unsigned long long peer_cpu_ns(const struct peer *p)
{
    char file[64];
    unsigned long long ns = 0;
    FILE *f;

    snprintf(file, sizeof(file), "/proc/%d/schedstat", (int)p->pid);
    f = fopen(file, "r");
    must(f && fscanf(f, "%llu", &ns) == 1, file);
    fclose(f);
    return ns;
}

unsigned long long peer_memory(const struct peer *p)
{
    char file[64], line[128];
    unsigned long long kib, sum = 0;
    FILE *f;

    snprintf(file, sizeof(file), "/proc/%d/status", (int)p->pid);
    f = fopen(file, "r");
    must(f, file);
    while (fgets(line, sizeof(line), f)) {
        if (sscanf(line, "RssAnon: %llu", &kib) == 1) {
            sum += kib;
        }
    }
    fclose(f);
    return sum * 1024;
}
