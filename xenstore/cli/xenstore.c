/*
 * xenstore-read, -write, -ls, -list, -exists, -rm, -chmod, -watch, -control. See tool.h.
 *
 * What changes or reads several nodes does so in one transaction and begins anew when that conflicts.
 */
#include "tool.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int tool_fail(const char *what, const char *path)
{
    fprintf(stderr, "xenstore: %s %s: %s\n", what, path, strerror(errno));
    return 1;
}

static int do_read(struct xs_handle *h, xs_transaction_t t, const struct tool_options *o, int argc,
                   char **argv)
{
    for (int i = 0; i < argc; i++) {
        unsigned int len;
        char *value = xs_read(h, t, argv[i], &len);
        char *text;

        if (!value) {
            return tool_fail("couldn't read path", argv[i]);
        }
        if (o->prefix) {
            printf("%s: ", argv[i]);
        }
        if (o->raw) {
            fwrite(value, 1, len, stdout);
        } else {
            text = escape_value(value, len);
            printf("%s\n", text ? text : "");
            free(text);
        }
        free(value);
    }
    return 0;
}

static int do_list(struct xs_handle *h, xs_transaction_t t, const struct tool_options *o, int argc,
                   char **argv)
{
    for (int i = 0; i < argc; i++) {
        unsigned int n;
        char **names = xs_directory(h, t, argv[i], &n);

        if (!names) {
            return tool_fail("could not list path", argv[i]);
        }
        for (unsigned int k = 0; k < n; k++) {
            printf(o->prefix ? "%s/%s\n" : "%.0s%s\n", argv[i], names[k]);
        }
        free(names);
    }
    return 0;
}

static int do_write(struct xs_handle *h, xs_transaction_t t, const struct tool_options *o, int argc,
                    char **argv)
{
    if (argc % 2) {
        fprintf(stderr, "xenstore: the path %s has no value behind it\n", argv[argc - 1]);
        return 1;
    }
    for (int i = 0; i < argc; i += 2) {
        char *value = strdup(argv[i + 1]);
        unsigned int len = value ? (o->raw ? (unsigned int)strlen(value) : unescape_value(value)) : 0;
        bool ok = value && xs_write(h, t, argv[i], value, len);

        free(value);
        if (!ok) {
            return tool_fail("could not write path", argv[i]);
        }
    }
    return 0;
}

static int do_mkdir(struct xs_handle *h, xs_transaction_t t, const struct tool_options *o, int argc,
                    char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (!xs_mkdir(h, t, argv[i])) {
            return tool_fail("could not make path", argv[i]);
        }
    }
    return 0;
}

static int do_exists(struct xs_handle *h, xs_transaction_t t, const struct tool_options *o, int argc,
                     char **argv)
{
    for (int i = 0; i < argc; i++) {
        char *value = xs_read(h, t, argv[i], NULL);

        if (!value) {
            return errno == ENOENT ? 1 : tool_fail("cannot tell about", argv[i]);
        }
        free(value);
    }
    return 0;
}

/* Removes parents that have become empty and have no value, upwards. */
static void tidy_parents(struct xs_handle *h, xs_transaction_t t, char *path)
{
    char *slash;

    while ((slash = strrchr(path, '/')) && slash != path) {
        unsigned int n, len;
        char **names;
        char *value;
        bool empty;

        *slash = '\0';
        names = xs_directory(h, t, path, &n);
        value = xs_read(h, t, path, &len);
        empty = names && value && n == 0 && len == 0;
        free(names);
        free(value);
        if (!empty || !xs_rm(h, t, path)) {
            return;
        }
    }
}

static int do_rm(struct xs_handle *h, xs_transaction_t t, const struct tool_options *o, int argc, char **argv)
{
    for (int i = 0; i < argc; i++) {
        char *path;

        if (!xs_rm(h, t, argv[i])) {
            return tool_fail("could not remove path", argv[i]);
        }
        if (o->tidy && (path = strdup(argv[i]))) {
            tidy_parents(h, t, path);
            free(path);
        }
    }
    return 0;
}

static int chmod_below(struct xs_handle *h, xs_transaction_t t, char *path, struct xs_permissions *p,
                       unsigned int n)
{
    unsigned int count;
    char **names = xs_directory(h, t, path, &count);
    int rc = names ? 0 : tool_fail("could not list path", path);

    for (unsigned int i = 0; names && i < count && !rc; i++) {
        char *kid = NULL;

        if (asprintf(&kid, "%s/%s", strcmp(path, "/") == 0 ? "" : path, names[i]) < 0) {
            rc = tool_fail("out of memory for", names[i]);
            break;
        }
        rc = xs_set_permissions(h, t, kid, p, n) ? chmod_below(h, t, kid, p, n)
                                                 : tool_fail("could not change permissions of", kid);
        free(kid);
    }
    free(names);
    return rc;
}

static int do_chmod(struct xs_handle *h, xs_transaction_t t, const struct tool_options *o, int argc,
                    char **argv)
{
    struct xs_permissions p[64];
    unsigned int n = 0;
    char *up, *slash;
    int rc = 0;

    if (argc < 2 || argc > 65) {
        fprintf(stderr, "xenstore: chmod takes a path and 1 to 64 modes like b7\n");
        return 1;
    }
    for (int i = 1; i < argc; i++) {
        if (!xs_strings_to_perms(&p[n++], 1, argv[i])) {
            fprintf(stderr, "xenstore: \"%s\" is no mode: n, r, w or b and a domain number\n", argv[i]);
            return 1;
        }
    }
    if (!xs_set_permissions(h, t, argv[0], p, n)) {
        return tool_fail("could not change permissions of", argv[0]);
    }
    if (o->recurse) {
        rc = chmod_below(h, t, argv[0], p, n);
    }
    up = strdup(argv[0]);
    while (o->upto && up && !rc && (slash = strrchr(up, '/')) && slash != up) {
        *slash = '\0';
        rc = xs_set_permissions(h, t, up, p, n) ? 0 : tool_fail("could not change permissions of", up);
    }
    free(up);
    return rc;
}

static int do_watch(struct xs_handle *h, xs_transaction_t t, const struct tool_options *o, int argc,
                    char **argv)
{
    for (int i = 0; i < argc; i++) {
        if (!xs_watch(h, argv[i], argv[i])) {
            return tool_fail("unable to watch", argv[i]);
        }
    }
    for (int left = o->count; left; left -= left > 0) {
        unsigned int n;
        char **v = xs_read_watch(h, &n);

        if (!v) {
            return tool_fail("no more events from", "the store");
        }
        printf("%s\n", v[XS_WATCH_PATH]);
        fflush(stdout);
        free(v);
    }
    return 0;
}

/* live-update FILE [arguments], as a person says it, is a few commands of the protocol. */
static int live_update(struct xs_handle *h, int argc, char **argv)
{
    char buf[XENSTORE_PAYLOAD_MAX];
    char *answer;
    int len;

    if (argc < 1) {
        fprintf(stderr, "xenstore: live-update takes the new program and perhaps its arguments\n");
        return 1;
    }
    len = snprintf(buf, sizeof(buf), "-f%c%s", 0, argv[0]);
    answer = xs_control_command(h, "live-update", buf, (unsigned int)len + 1);
    if (answer && argc > 1) {
        free(answer);
        len = snprintf(buf, sizeof(buf), "-c%c%s", 0, argv[1]);
        answer = xs_control_command(h, "live-update", buf, (unsigned int)len + 1);
    }
    if (answer) {
        free(answer);
        answer = xs_control_command(h, "live-update", buf, (unsigned int)sprintf(buf, "-s") + 1);
    }
    if (!answer) {
        return tool_fail("live update to", argv[0]);
    }
    printf("%s\n", answer);
    free(answer);
    return 0;
}

static int do_control(struct xs_handle *h, xs_transaction_t t, const struct tool_options *o, int argc,
                      char **argv)
{
    char buf[XENSTORE_PAYLOAD_MAX];
    size_t len = 0;
    char *answer;

    if (strcmp(argv[0], "live-update") == 0 && argc > 1 && argv[1][0] != '-') {
        return live_update(h, argc - 1, argv + 1);
    }
    for (int i = 1; i < argc; i++) {
        size_t n = strlen(argv[i]) + 1;

        if (len + n > sizeof(buf)) {
            fprintf(stderr, "xenstore: the parameters of %s are too long\n", argv[0]);
            return 1;
        }
        memcpy(buf + len, argv[i], n);
        len += n;
    }
    answer = xs_control_command(h, argv[0], buf, (unsigned int)len);
    if (!answer) {
        return tool_fail("control command failed:", argv[0]);
    }
    printf("%s%s", answer, answer[0] && answer[strlen(answer) - 1] == '\n' ? "" : "\n");
    free(answer);
    return 0;
}

static const struct tool {
    const char *name;
    tool_fn *run;
    const char *options;
    int min_args;
    bool transaction;
    const char *usage;
} tools[] = {
    {"chmod", do_chmod, "hrus", 2, true, "[-u] [-r] path mode..."},
    {"control", do_control, "+h", 1, false, "command [parameter...]"},
    {"exists", do_exists, "hs", 1, false, "path..."},
    {"list", do_list, "hps", 1, true, "[-p] path..."},
    {"ls", tool_ls, "hfpwsJ", 0, false, "[-f] [-p] [-w] [--json] [path...]"},
    {"mkdir", do_mkdir, "hs", 1, true, "path..."},
    {"read", do_read, "hpRs", 1, true, "[-p] [-R] path..."},
    {"rm", do_rm, "hst", 1, true, "[-t] path..."},
    {"watch", do_watch, "hn:sw", 1, false, "[-n events] path..."},
    {"write", do_write, "hRs", 2, true, "[-R] path value..."},
};

static const struct option long_options[] = {
    {"help", no_argument, NULL, 'h'},
    {"flat", no_argument, NULL, 'f'},
    {"prefix", no_argument, NULL, 'p'},
    {"raw", no_argument, NULL, 'R'},
    {"tidy", no_argument, NULL, 't'},
    {"recurse", no_argument, NULL, 'r'},
    {"upto", no_argument, NULL, 'u'},
    {"wide", no_argument, NULL, 'w'},
    {"json", no_argument, NULL, 'J'},
    {"socket", optional_argument, NULL, 's'},
    {NULL, 0, NULL, 0},
};

__attribute__((noreturn)) static void usage(const struct tool *tool, int code)
{
    FILE *out = code ? stderr : stdout;

    if (tool) {
        fprintf(out, "usage: xenstore-%s %s\n", tool->name, tool->usage);
        exit(code);
    }
    fprintf(out, "usage: xenstore COMMAND [options], or xenstore-COMMAND [options]\n");
    for (size_t i = 0; i < sizeof(tools) / sizeof(tools[0]); i++) {
        fprintf(out, "  %-8s %s\n", tools[i].name, tools[i].usage);
    }
    exit(code);
}

static const struct tool *find_tool(const char *name)
{
    for (size_t i = 0; i < sizeof(tools) / sizeof(tools[0]); i++) {
        if (strcmp(name, tools[i].name) == 0) {
            return &tools[i];
        }
    }
    return NULL;
}

static void parse_options(const struct tool *tool, int argc, char **argv, struct tool_options *o)
{
    int opt;

    while ((opt = getopt_long(argc, argv, tool->options, long_options, NULL)) != -1) {
        /* A long option of another tool is as wrong as an unknown one. */
        if (opt != '?' && opt != 'h' && !strchr(tool->options, opt)) {
            usage(tool, 1);
        }
        o->prefix |= opt == 'p';
        o->full |= opt == 'f';
        o->raw |= opt == 'R';
        o->tidy |= opt == 't';
        o->recurse |= opt == 'r';
        o->upto |= opt == 'u';
        o->wide |= opt == 'w';
        o->json |= opt == 'J';
        if (opt == 'n') {
            o->count = atoi(optarg);
        } else if (opt == 's' && optarg) {
            setenv("XENSTORED_PATH", optarg, 1);
        } else if (opt == 'h' || opt == '?') {
            usage(tool, opt == 'h' ? 0 : 1);
        }
    }
}

static int run(struct xs_handle *h, const struct tool *tool, const struct tool_options *o, int argc,
               char **argv)
{
    xs_transaction_t t;
    bool txn = tool->transaction && argc > tool->min_args;
    int rc;

    txn |= o->recurse || o->upto || o->tidy;
    if (!txn) {
        return tool->run(h, XBT_NULL, o, argc, argv);
    }
    for (;;) {
        t = xs_transaction_start(h);
        if (t == XBT_NULL) {
            return tool_fail("couldn't start", "a transaction");
        }
        rc = tool->run(h, t, o, argc, argv);
        if (xs_transaction_end(h, t, rc != 0) || rc) {
            return rc;
        }
        if (errno != EAGAIN) {
            return tool_fail("couldn't end", "the transaction");
        }
        if (tool->run == do_read || tool->run == do_list) {
            return 0; /* already printed, and each value was true when it was read */
        }
    }
}

int main(int argc, char **argv)
{
    const char *base = strrchr(argv[0], '/');
    const struct tool *tool;
    struct tool_options o = {.count = -1};
    struct xs_handle *h;
    int rc;

    base = base ? base + 1 : argv[0];
    tool = strncmp(base, "xenstore-", 9) == 0 ? find_tool(base + 9) : NULL;
    if (!tool) {
        tool = argc > 1 ? find_tool(argv[1]) : NULL;
        if (!tool) {
            usage(NULL, argc > 1 && strcmp(argv[1], "--help") == 0 ? 0 : 1);
        }
        argc--;
        argv++;
    }
    parse_options(tool, argc, argv, &o);
    argc -= optind;
    argv += optind;
    if (argc < tool->min_args) {
        usage(tool, 1);
    }
    h = xs_open(0);
    if (!h) {
        return tool_fail("cannot connect to the store at", xs_daemon_socket());
    }
    rc = run(h, tool, &o, argc, argv);
    xs_close(h);
    return rc;
}
