/*
 * xenstored: options, start, live update.
 *
 * Two ways to run. In a control domain it serves the Dom0 kernel's ring, domains and local clients, from
 * /run/xenstored. With --standalone DIR it needs no hypervisor: socket and state are in DIR.
 */
#include "server.h"

#include "log.h"

#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define RUN_DIR   "/run/xenstored"
#define STATE_DIR "/run/xenstored/state"

struct options {
    const char *standalone;
    const char *socket;
    const char *state_dir;
    const char *pid_file;
    const char *log_file;
    const char *trace_file;
    bool foreground;
    bool print_pid;
    bool no_domain0;
    bool live_update;
    const char *check_state;
};

enum long_only { OPT_STANDALONE = 256, OPT_SOCKET, OPT_STATE, OPT_LIVE, OPT_CHECK, OPT_LOG, OPT_LEVEL };

static const struct option long_options[] = {
    {"standalone", required_argument, NULL, OPT_STANDALONE},
    {"socket", required_argument, NULL, OPT_SOCKET},
    {"state-dir", required_argument, NULL, OPT_STATE},
    {"log-file", required_argument, NULL, OPT_LOG},
    {"log-level", required_argument, NULL, OPT_LEVEL},
    {"live-update", no_argument, NULL, OPT_LIVE},
    {"check-state", required_argument, NULL, OPT_CHECK},
    {"trace-file", required_argument, NULL, 'T'},
    {"pid-file", required_argument, NULL, 'F'},
    {"no-fork", no_argument, NULL, 'N'},
    {"output-pid", no_argument, NULL, 'P'},
    {"no-domain-init", no_argument, NULL, 'D'},
    {"entry-nb", required_argument, NULL, 'E'},
    {"entry-size", required_argument, NULL, 'S'},
    {"watch-nb", required_argument, NULL, 'W'},
    {"transaction", required_argument, NULL, 't'},
    {"perm-nb", required_argument, NULL, 'A'},
    {"path-max", required_argument, NULL, 'M'},
    {"quota", required_argument, NULL, 'Q'},
    {"quota-soft", required_argument, NULL, 'q'},
    {"timeout", required_argument, NULL, 'w'},
    {"no-recovery", no_argument, NULL, 'R'},
    {"internal-db", optional_argument, NULL, 'I'},
    {"keep-orphans", no_argument, NULL, 'K'},
    {"verbose", no_argument, NULL, 'V'},
    {"version", no_argument, NULL, 'v'},
    {"help", no_argument, NULL, 'H'},
    {NULL, 0, NULL, 0},
};

static const char usage[] =
    "usage: xenstored [options]\n"
    "  --standalone DIR      no hypervisor: listen on DIR/socket, keep the state in DIR, stay in the "
    "foreground\n"
    "  --socket PATH         listen there\n"
    "  --state-dir DIR       keep the state there (default " STATE_DIR ")\n"
    "  -F, --pid-file FILE   write the process number\n"
    "  -N, --no-fork         stay in the foreground\n"
    "  -P, --output-pid      print the process number\n"
    "  -D, --no-domain-init  do not serve the kernel of domain 0\n"
    "  -T, --trace-file FILE a line for each request\n"
    "  --log-file FILE       instead of syslog or standard error\n"
    "  --log-level LEVEL     error, warning (default), info, debug\n"
    "  -V, --verbose         the same as --log-level debug\n"
    "  -E -S -W -t -A NUMBER limits: nodes, node-size, watches, transactions, node-permissions\n"
    "  -Q, --quota NAME=N    a limit of every domain; -q, --quota-soft NAME=N: a soft one\n"
    "  --check-state DIR     can the state in DIR be read? exit 0 if so\n"
    "Accepted for Xen's sake, without effect: -M -w -R -I -K\n";

static bool set_limit(struct quotas *q, bool soft, const char *name, size_t len, const char *value)
{
    char buf[32];
    enum limit l;
    uint64_t v;

    if (len >= sizeof(buf)) {
        return false;
    }
    memcpy(buf, name, len);
    buf[len] = '\0';
    if (!limit_parse(buf, &l) || !wire_number(value, UINT32_MAX, &v)) {
        return false;
    }
    (soft ? q->soft : q->hard)[l] = (uint32_t)v;
    return true;
}

static bool limit_option(struct quotas *q, int opt, const char *arg)
{
    const char *eq = strchr(arg, '=');

    switch (opt) {
    case 'E':
        return set_limit(q, false, "nodes", 5, arg);
    case 'S':
        return set_limit(q, false, "node-size", 9, arg);
    case 'W':
        return set_limit(q, false, "watches", 7, arg);
    case 't':
        return set_limit(q, false, "transactions", 12, arg);
    case 'A':
        return set_limit(q, false, "node-permissions", 16, arg);
    default:
        return eq && set_limit(q, opt == 'q', arg, (size_t)(eq - arg), eq + 1);
    }
}

/* Options that only set a field: of text, or to true. */
static bool set_field(struct options *o, int opt, const char *arg)
{
    const struct {
        int opt;
        const char **field;
    } texts[] = {
        {OPT_STANDALONE, &o->standalone},
        {OPT_SOCKET, &o->socket},
        {OPT_STATE, &o->state_dir},
        {OPT_LOG, &o->log_file},
        {OPT_CHECK, &o->check_state},
        {'T', &o->trace_file},
        {'F', &o->pid_file},
    };
    const struct {
        int opt;
        bool *field;
    } flags[] = {
        {OPT_LIVE, &o->live_update},
        {'N', &o->foreground},
        {'P', &o->print_pid},
        {'D', &o->no_domain0},
    };

    for (unsigned i = 0; i < ARRAY_LEN(texts); i++) {
        if (texts[i].opt == opt) {
            *texts[i].field = arg;
            return true;
        }
    }
    for (unsigned i = 0; i < ARRAY_LEN(flags); i++) {
        if (flags[i].opt == opt) {
            *flags[i].field = true;
            return true;
        }
    }
    return false;
}

static void wrong_usage(const char *arg, const char *what)
{
    fprintf(stderr, "xenstored: \"%s\" is no %s\n%s", arg, what, usage);
    exit(2);
}

static void parse_options(int argc, char **argv, struct options *o, struct quotas *q)
{
    enum log_level level;
    int opt;

    while ((opt = getopt_long(argc, argv, "F:NPDT:E:S:W:t:A:M:Q:q:w:RI::KVvH", long_options, NULL)) != -1) {
        if (set_field(o, opt, optarg)) {
            continue;
        }
        switch (opt) {
        case OPT_LEVEL:
            if (!log_level_parse(optarg, &level)) {
                wrong_usage(optarg, "log level");
            }
            log_set_level(level);
            break;
        case 'V':
            log_set_level(LOG_LEVEL_DEBUG);
            break;
        case 'E':
        case 'S':
        case 'W':
        case 't':
        case 'A':
        case 'Q':
        case 'q':
            if (!limit_option(q, opt, optarg)) {
                wrong_usage(optarg, "limit");
            }
            break;
        case 'M':
        case 'w':
        case 'R':
        case 'I':
        case 'K':
            break;
        case 'v':
            printf("xenstored (Bulkhead) %s\n", BULKHEAD_VERSION);
            exit(0);
        case 'H':
            fputs(usage, stdout);
            exit(0);
        default:
            fputs(usage, stderr);
            exit(2);
        }
    }
    o->foreground |= o->standalone != NULL;
}

static void die(const char *what, const char *object, int err)
{
    fprintf(stderr, "xenstored: %s %s: %s\n", what, object, strerror(err));
    exit(1);
}

/* Two daemons on one state would ruin it: the directory is locked while one runs. The lock lives as long as
 * the descriptor, also across the exec of a live update. */
static void lock_state(const char *dir, bool inherited)
{
    char file[512];
    int fd;

    snprintf(file, sizeof(file), "%s/lock", dir);
    fd = open(file, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) {
        die("cannot open", file, errno);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) && !inherited) {
        die("another daemon runs in", dir, errno);
    }
}

static void make_dir(const char *dir)
{
    char part[512];

    snprintf(part, sizeof(part), "%s", dir);
    for (char *p = part + 1; *p; p++) {
        if (*p == '/') {
            *p = '\0';
            mkdir(part, 0755);
            *p = '/';
        }
    }
    if (mkdir(part, 0700) && errno != EEXIST) {
        die("cannot make", dir, errno);
    }
}

static void write_pid(const struct options *o)
{
    FILE *f;

    if (o->print_pid) {
        printf("%d\n", (int)getpid());
        fflush(stdout);
    }
    if (!o->pid_file) {
        return;
    }
    f = fopen(o->pid_file, "we");
    if (!f) {
        die("cannot write", o->pid_file, errno);
    }
    fprintf(f, "%d\n", (int)getpid());
    fclose(f);
}

/* Leaves the terminal. The parent returns to its caller only when the child serves. */
static int to_background(void)
{
    int p[2], status;
    char ok;
    pid_t pid;

    if (pipe(p)) {
        die("cannot start", "a pipe", errno);
    }
    pid = fork();
    if (pid < 0) {
        die("cannot start", "a process", errno);
    }
    if (pid > 0) {
        close(p[1]);
        if (read(p[0], &ok, 1) == 1) {
            exit(0);
        }
        waitpid(pid, &status, 0);
        exit(1);
    }
    close(p[0]);
    setsid();
    fcntl(p[1], F_SETFD, FD_CLOEXEC);
    return p[1];
}

static void now_serving(int ready)
{
    int null;

    if (ready < 0) {
        return;
    }
    null = open("/dev/null", O_RDWR | O_CLOEXEC);
    if (chdir("/") || null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0 || dup2(null, 2) < 0) {
        log_msg(LOG_LEVEL_WARNING, "the terminal could not be left: %s", strerror(errno));
    }
    if (write(ready, "y", 1) != 1) {
        log_msg(LOG_LEVEL_WARNING, "nobody waited for the daemon to be ready");
    }
    close(ready);
}

static struct server server;

static void on_signal(int sig)
{
    server.stop = true;
}

/* SIGTERM and SIGINT end the loop. They stay blocked except while the loop waits. */
static void catch_signals(void)
{
    struct sigaction stop = {.sa_handler = on_signal};
    sigset_t set;

    signal(SIGPIPE, SIG_IGN);
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
}

static void raise_descriptors(void)
{
    struct rlimit r;

    if (getrlimit(RLIMIT_NOFILE, &r) == 0) {
        r.rlim_cur = r.rlim_max;
        setrlimit(RLIMIT_NOFILE, &r);
    }
}

/* Asks the new program whether it can read our state, before giving it everything. */
static bool can_take_over(struct server *s)
{
    pid_t pid = fork();
    int status;

    if (pid == 0) {
        execl(s->update_to, s->update_to, "--check-state", s->dir, (char *)NULL);
        _exit(127);
    }
    return pid > 0 && waitpid(pid, &status, 0) == pid && WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

/* Becomes the program named for it. Returns only if that failed; then everything goes on as before. */
static void live_update(struct server *s)
{
    static char flag[] = "--live-update";
    char *argv[64];
    unsigned n = 0;

    s->update_now = false;
    for (unsigned i = 0; s->argv[i] && n < 40; i++) {
        if (strcmp(s->argv[i], flag) != 0) {
            argv[n++] = s->argv[i];
        }
    }
    argv[0] = s->update_to;
    for (char *arg = s->update_args ? strtok(s->update_args, " ") : NULL; arg && n < 60;
         arg = strtok(NULL, " ")) {
        argv[n++] = arg;
    }
    argv[n++] = flag;
    argv[n] = NULL;
    if (state_checkpoint(s, true) || !can_take_over(s)) {
        log_msg(LOG_LEVEL_ERROR, "live update: %s cannot read this state; this program goes on",
                s->update_to);
        return;
    }
    log_msg(LOG_LEVEL_INFO, "live update: becoming %s", s->update_to);
    execv(s->update_to, argv);
    log_msg(LOG_LEVEL_ERROR, "live update: %s does not start: %s; this program goes on", s->update_to,
            strerror(errno));
}

static void start_domain0(struct server *s)
{
    struct domain *d;
    int rc;

    if (domain_find(s, 0)) {
        return;
    }
    rc = domain_introduce(s, 0, 0, 0, true, &d);
    if (rc) {
        die("cannot connect to", "the kernel of domain 0", rc);
    }
    journal_commit(&s->journal);
}

/* Where state and socket are; the directories are made. */
static void set_places(struct options *o)
{
    static char path[512];

    if (o->standalone) {
        o->state_dir = o->standalone;
    } else {
        make_dir(RUN_DIR);
        o->state_dir = o->state_dir ? o->state_dir : STATE_DIR;
    }
    make_dir(o->state_dir);
    snprintf(path, sizeof(path), "%s/socket", o->standalone ? o->standalone : RUN_DIR);
    o->socket = o->socket ? o->socket : path;
}

static void open_logs(const struct options *o)
{
    if (!o->foreground) {
        log_to_syslog();
    }
    if ((o->log_file && log_to_file(o->log_file)) || (o->trace_file && trace_to_file(o->trace_file))) {
        die("cannot write", "the log or trace file", errno);
    }
}

/* Takes over what the state directory holds, or begins anew, and listens. */
static void start(struct server *s, const struct options *o)
{
    int rc;

    s->dir = o->state_dir;
    s->live_update = o->live_update;
    rc = state_restore(s);
    if (rc) {
        log_msg(LOG_LEVEL_ERROR, "no state file in %s (%s): a restart of this daemon will lose the store",
                o->state_dir, strerror(rc));
    }
    s->live_update = false;
    if (s->platform->has_domain0 && !o->no_domain0) {
        start_domain0(s);
    }
    rc = server_listen(s, o->socket);
    if (rc) {
        die("cannot listen on", o->socket, rc);
    }
}

int main(int argc, char **argv)
{
    struct options o = {0};
    struct quotas defaults;
    struct platform *p;
    int ready = -1;

    umask(077);
    quota_init(&defaults);
    parse_options(argc, argv, &o, &defaults);
    if (o.check_state) {
        return state_readable(o.check_state) ? 0 : 1;
    }
    raise_descriptors();
    catch_signals();
    set_places(&o);
    if (!o.foreground && !o.live_update) {
        ready = to_background();
    }
    open_logs(&o);
    lock_state(o.state_dir, o.live_update);
    p = o.standalone ? platform_sim(o.standalone) : platform_xen();
    if (!p) {
        die("this is no control domain (--standalone DIR runs without one):", "/dev/xen", errno);
    }
    server_init(&server, p, &defaults);
    sigdelset(&server.wait_mask, SIGTERM);
    sigdelset(&server.wait_mask, SIGINT);
    server.argv = argv;
    start(&server, &o);
    write_pid(&o);
    now_serving(ready);
    while (!server.stop) {
        server_loop(&server);
        if (server.update_now) {
            live_update(&server);
        }
    }
    server_free(&server);
    return 0;
}
