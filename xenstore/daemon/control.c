/*
 * The control request: what a person or a tool may ask the running daemon. One table row each; arguments and
 * answers are text.
 */
#include "server.h"

#include "log.h"

#include <errno.h>
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static void say(struct buf *out, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void say(struct buf *out, const char *fmt, ...)
{
    char line[512];
    va_list ap;
    int n;

    va_start(ap, fmt);
    n = vsnprintf(line, sizeof(line), fmt, ap);
    va_end(ap);
    buf_add(out, line, (size_t)n < sizeof(line) ? (size_t)n : sizeof(line) - 1);
}

struct check {
    uint64_t nodes;
    uint64_t bytes;
    struct server *s;
    struct buf *out;
};

static bool check_node(void *ctx, struct path path, struct tree_node *n)
{
    struct check *c = ctx;

    c->nodes++;
    c->bytes += node_cost(n);
    if (!path_valid(path.s, path.len) || n->perms->n == 0) {
        say(c->out, "node %.200s is damaged\n", path.s);
    }
    return true;
}

static int cmd_check(struct server *s, const char **arg, unsigned n, struct buf *out)
{
    struct check c = {.s = s, .out = out};
    uint64_t counted = 0;

    node_walk(s->store.tree.root, (struct path){"/", 1}, check_node, &c);
    for (size_t i = 0; i < s->store.quotas.accounts.nbuckets; i++) {
        for (struct hlink *l = s->store.quotas.accounts.bucket[i]; l; l = l->next) {
            counted += container_of(l, struct account, link)->nodes;
        }
    }
    if (counted != c.nodes) {
        say(out, "accounts hold %llu nodes, the tree has %llu\n", (unsigned long long)counted,
            (unsigned long long)c.nodes);
        log_msg(LOG_LEVEL_ERROR, "check: accounts hold %llu nodes, the tree has %llu",
                (unsigned long long)counted, (unsigned long long)c.nodes);
    }
    if (out->len == 0) {
        say(out, "OK");
    }
    return 0;
}

static int cmd_stats(struct server *s, const char **arg, unsigned n, struct buf *out)
{
    struct check c = {.s = s, .out = out};
    struct mallinfo2 m = mallinfo2();

    node_walk(s->store.tree.root, (struct path){"/", 1}, check_node, &c);
    say(out, "nodes %llu\nnode-bytes %llu\nwatches %u\ntransactions %zu\nconnections %u\n",
        (unsigned long long)c.nodes, (unsigned long long)c.bytes, s->watches.count, s->txns.count, s->nconns);
    say(out, "requests %llu\nrefused %llu\nheap-bytes %zu\nstate-file-bytes %zu\nstate-generation %llu\n",
        (unsigned long long)s->requests, (unsigned long long)s->failures, m.uordblks + m.hblkhd,
        s->journal.used, (unsigned long long)s->journal.generation);
    return 0;
}

static int cmd_memreport(struct server *s, const char **arg, unsigned n, struct buf *out)
{
    FILE *f;

    cmd_stats(s, arg, n, out);
    if (n == 0) {
        return 0;
    }
    f = fopen(arg[0], "ae");
    if (!f) {
        return cause(errno == EACCES ? EACCES : ENOENT, "%s: %s", arg[0], strerror(errno));
    }
    fwrite(out->data, 1, out->len, f);
    fclose(f);
    out->len = 0;
    say(out, "OK");
    return 0;
}

static int cmd_log(struct server *s, const char **arg, unsigned n, struct buf *out)
{
    enum log_level level;

    if (n == 0) {
        static const char *const name[] = {"error", "warning", "info", "debug"};

        say(out, "%s", name[log_get_level()]);
        return 0;
    }
    if (strcmp(arg[0], "on") == 0) {
        level = LOG_LEVEL_DEBUG;
    } else if (strcmp(arg[0], "off") == 0) {
        level = LOG_LEVEL_WARNING;
    } else if (!log_level_parse(arg[0], &level)) {
        return cause(EINVAL, "log takes on, off, error, warning, info or debug");
    }
    log_set_level(level);
    say(out, "OK");
    return 0;
}

static int cmd_logfile(struct server *s, const char **arg, unsigned n, struct buf *out)
{
    int rc = n == 1 ? log_to_file(arg[0]) : EINVAL;

    if (rc) {
        return cause(EINVAL, "logfile %s: %s", n ? arg[0] : "", strerror(rc));
    }
    say(out, "OK");
    return 0;
}

static int cmd_trace(struct server *s, const char **arg, unsigned n, struct buf *out)
{
    int rc = n == 1 ? trace_to_file(strcmp(arg[0], "off") == 0 ? NULL : arg[0]) : EINVAL;

    if (rc) {
        return cause(EINVAL, "trace takes a file or off: %s", strerror(rc));
    }
    say(out, "OK");
    return 0;
}

static int cmd_print(struct server *s, const char **arg, unsigned n, struct buf *out)
{
    if (n != 1) {
        return cause(EINVAL, "print takes one text");
    }
    log_msg(LOG_LEVEL_ERROR, "control: %s", arg[0]);
    say(out, "OK");
    return 0;
}

static void say_account(const struct server *s, const struct account *a, struct buf *out)
{
    say(out, "domain %u\nnodes %u\nwatches %u\ntransactions %u\nmemory %llu\nrefused %llu\n", a->domid,
        a->nodes, a->watches, a->txns, (unsigned long long)account_memory(a), (unsigned long long)a->refused);
    for (unsigned i = 0; a->hard && i < LIMIT_COUNT; i++) {
        say(out, "limit %s %u\n", limit_name((enum limit)i), a->hard[i]);
    }
}

static int set_quota(struct server *s, uint32_t domid, bool soft, const char *name, const char *value)
{
    enum limit l;
    uint64_t v;

    if (!limit_parse(name, &l) || !wire_number(value, UINT32_MAX, &v)) {
        return cause(EINVAL, "\"%.30s %.20s\" is no limit and value", name, value);
    }
    if (soft) {
        s->store.quotas.soft[l] = (uint32_t)v;
    } else {
        limit_set(&s->store.quotas, domid == DOMID_NONE ? NULL : account_get(&s->store.quotas, domid), l,
                  (uint32_t)v);
    }
    journal_add(&s->journal, REC_QUOTA, (uint32_t[]){domid, l, soft, (uint32_t)v}, 16, NULL, 0, NULL, 0);
    log_msg(LOG_LEVEL_INFO, "%squota %s set to %llu", soft ? "soft " : "", name, (unsigned long long)v);
    return 0;
}

/* quota: all; quota NAME VALUE; quota DOMID: use; quota DOMID NAME VALUE */
static int cmd_quota(struct server *s, const char **arg, unsigned n, struct buf *out)
{
    uint64_t domid;
    int rc;

    if (n == 0) {
        for (unsigned i = 0; i < LIMIT_COUNT; i++) {
            say(out, "%-18s %u\n", limit_name((enum limit)i), s->store.quotas.hard[i]);
        }
        return 0;
    }
    if (n == 1) {
        struct account *a =
            wire_number(arg[0], 65535, &domid) ? account_find(&s->store.quotas, (uint32_t)domid) : NULL;

        if (!a) {
            return cause(EINVAL, "no domain %.20s holds anything here", arg[0]);
        }
        say_account(s, a, out);
        return 0;
    }
    if (n == 3 && !wire_number(arg[0], 65535, &domid)) {
        return cause(EINVAL, "\"%.20s\" is no domain number", arg[0]);
    }
    rc = n == 2   ? set_quota(s, DOMID_NONE, false, arg[0], arg[1])
         : n == 3 ? set_quota(s, (uint32_t)domid, false, arg[1], arg[2])
                  : cause(EINVAL, "quota takes [domid] [name value]");
    if (!rc) {
        say(out, "OK");
    }
    return rc;
}

static int cmd_quota_soft(struct server *s, const char **arg, unsigned n, struct buf *out)
{
    int rc;

    if (n == 0) {
        say(out, "%-18s %u\n", limit_name(LIMIT_OUTSTANDING), s->store.quotas.soft[LIMIT_OUTSTANDING]);
        say(out, "%-18s %u\n", limit_name(LIMIT_MEMORY), s->store.quotas.soft[LIMIT_MEMORY]);
        return 0;
    }
    rc = n == 2 ? set_quota(s, DOMID_NONE, true, arg[0], arg[1])
                : cause(EINVAL, "quota-soft takes [name value]");
    if (!rc) {
        say(out, "OK");
    }
    return rc;
}

static int cmd_checkpoint(struct server *s, const char **arg, unsigned n, struct buf *out)
{
    int rc = state_checkpoint(s, false);

    if (rc) {
        return cause(EIO, "no checkpoint: %s", strerror(rc));
    }
    say(out, "OK");
    return 0;
}

static int cmd_check_domains(struct server *s, const char **arg, unsigned n, struct buf *out)
{
    s->check_domains = true;
    say(out, "OK");
    return 0;
}

/* live-update -f FILE | -c ARGS | -a | -s [-t SECONDS] [-F] */
static int cmd_live_update(struct server *s, const char **arg, unsigned n, struct buf *out)
{
    const char *what = n ? arg[0] : "";

    if (strcmp(what, "-f") == 0 && n == 2) {
        if (access(arg[1], X_OK)) {
            return cause(ENOENT, "%s cannot be run: %s", arg[1], strerror(errno));
        }
        free(s->update_to);
        s->update_to = strdup(arg[1]);
    } else if (strcmp(what, "-c") == 0 && n == 2) {
        free(s->update_args);
        s->update_args = strdup(arg[1]);
    } else if (strcmp(what, "-a") == 0) {
        free(s->update_to);
        free(s->update_args);
        s->update_to = s->update_args = NULL;
    } else if (strcmp(what, "-s") == 0) {
        if (!s->update_to) {
            return cause(ENOENT, "no new program was named (live-update -f FILE)");
        }
        if (!s->journal.on) {
            return cause(EINVAL, "there is no state file, so nothing could be handed over");
        }
        s->update_now = true;
    } else {
        return cause(EINVAL, "live-update takes -f FILE, -c ARGUMENTS, -a or -s");
    }
    say(out, "OK");
    return 0;
}

static int cmd_help(struct server *s, const char **arg, unsigned n, struct buf *out);

static const struct {
    const char *name;
    int (*run)(struct server *s, const char **arg, unsigned n, struct buf *out);
    const char *help;
} commands[] = {
    {"check", cmd_check, ""},
    {"check-domains", cmd_check_domains, ""},
    {"checkpoint", cmd_checkpoint, ""},
    {"help", cmd_help, ""},
    {"live-update", cmd_live_update, "-f <file>|-c <arguments>|-a|-s"},
    {"log", cmd_log, "[on|off|error|warning|info|debug]"},
    {"logfile", cmd_logfile, "<file>"},
    {"memreport", cmd_memreport, "[<file>]"},
    {"print", cmd_print, "<text>"},
    {"quota", cmd_quota, "[<domid>] [<name> <value>]"},
    {"quota-soft", cmd_quota_soft, "[<name> <value>]"},
    {"stats", cmd_stats, ""},
    {"trace", cmd_trace, "<file>|off"},
};

static int cmd_help(struct server *s, const char **arg, unsigned n, struct buf *out)
{
    for (unsigned i = 0; i < ARRAY_LEN(commands); i++) {
        say(out, "%-15s%s\n", commands[i].name, commands[i].help);
    }
    return 0;
}

int control_run(struct server *s, const char **arg, unsigned n, struct buf *reply)
{
    for (unsigned i = 0; i < ARRAY_LEN(commands); i++) {
        if (strcmp(arg[0], commands[i].name) == 0) {
            return commands[i].run(s, arg + 1, n - 1, reply);
        }
    }
    return cause(EINVAL, "there is no command \"%.30s\" (help lists them)", arg[0]);
}
