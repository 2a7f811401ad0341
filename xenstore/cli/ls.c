/* xenstore-ls: the tree as indented lines, as full paths, or as JSON. */
#include "tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define PERMS_COLUMN 60

struct ls {
    struct xs_handle *h;
    xs_transaction_t t;
    const struct tool_options *o;
    int width;     /* cut lines here, 0: do not */
    bool terminal; /* a person reads it: rights in a column */
};

static void print_perms(struct ls *l, const char *path, int column)
{
    unsigned int n;
    struct xs_permissions *p = xs_get_permissions(l->h, l->t, path, &n);

    if (!p) {
        printf("  (%s)", strerror(errno));
        return;
    }
    for (; l->terminal && column < PERMS_COLUMN; column++) {
        putchar(column & 1 ? '.' : ' ');
    }
    printf("  (");
    for (unsigned int i = 0; i < n; i++) {
        printf("%s%c%u", i ? "," : "", "nrwb"[p[i].perms & 3], p[i].id);
    }
    putchar(')');
    free(p);
}

static void print_line(struct ls *l, const char *path, const char *name, int depth)
{
    unsigned int len = 0;
    char *value = xs_read(l->h, l->t, path, &len);
    char *text = value ? escape_value(value, len) : NULL;
    int column = depth + (int)strlen(name);
    int room = l->width ? l->width - column - 6 : 0;

    printf("%*s%s", depth, "", name);
    if (!text) {
        column += printf(": %s", strerror(errno));
    } else if (l->width && (int)strlen(text) > room) {
        column += printf(" = \"%.*s...\"", room > 3 ? room - 3 : 0, text);
    } else {
        column += printf(" = \"%s\"", text);
    }
    if (l->o->prefix) {
        putchar(' ');
        print_perms(l, path, column + 1);
    }
    putchar('\n');
    free(text);
    free(value);
}

/* Joins without doubling the slash of the root. */
static char *join(const char *path, const char *name)
{
    char *out = NULL;

    if (asprintf(&out, "%s%s%s", path, path[0] && path[strlen(path) - 1] == '/' ? "" : "/", name) < 0) {
        return NULL;
    }
    return out;
}

static int list(struct ls *l, const char *path, int depth)
{
    unsigned int n;
    char **names = xs_directory(l->h, l->t, path, &n);
    int rc = 0;

    if (!names) {
        /* A node that vanished while we list is no failure below the first level. */
        return errno == ENOENT && depth ? 0 : tool_fail("cannot list", path);
    }
    for (unsigned int i = 0; i < n && !rc; i++) {
        char *kid = join(path, names[i]);

        if (!kid) {
            rc = tool_fail("out of memory for", names[i]);
            break;
        }
        print_line(l, kid, l->o->full ? kid : names[i], l->o->full ? 0 : depth);
        rc = list(l, kid, depth + 1);
        free(kid);
    }
    free(names);
    return rc;
}

static void json_string(const char *s, unsigned int len)
{
    putchar('"');
    for (unsigned int i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];

        if (c == '"' || c == '\\') {
            printf("\\%c", c);
        } else if (c >= ' ' && c <= '~') {
            putchar(c);
        } else {
            printf("\\u%04x", c);
        }
    }
    putchar('"');
}

/* A node as {"value": ..., "perms": [...], "children": {name: node, ...}}; bytes that are no ASCII as \u00XX.
 */
static int json_node(struct ls *l, const char *path, int depth)
{
    unsigned int len = 0, n = 0, nperms = 0;
    char *value = xs_read(l->h, l->t, path, &len);
    char **names = value ? xs_directory(l->h, l->t, path, &n) : NULL;
    struct xs_permissions *p = names ? xs_get_permissions(l->h, l->t, path, &nperms) : NULL;
    int rc = 0;

    if (!p) {
        rc = tool_fail("cannot read", path);
        free(value);
        free(names);
        return rc;
    }
    printf("{\"value\": ");
    json_string(value, len);
    printf(", \"perms\": [");
    for (unsigned int i = 0; i < nperms; i++) {
        printf("%s\"%c%u\"", i ? ", " : "", "nrwb"[p[i].perms & 3], p[i].id);
    }
    printf("]%s", n ? ", \"children\": {" : "");
    for (unsigned int i = 0; i < n && !rc; i++) {
        char *kid = join(path, names[i]);

        printf("%s\n%*s", i ? "," : "", depth * 2 + 2, "");
        json_string(names[i], (unsigned int)strlen(names[i]));
        printf(": ");
        rc = kid ? json_node(l, kid, depth + 1) : tool_fail("out of memory for", names[i]);
        free(kid);
    }
    printf(n ? "}}" : "}");
    free(p);
    free(names);
    free(value);
    return rc;
}

int tool_ls(struct xs_handle *h, xs_transaction_t t, const struct tool_options *o, int argc, char **argv)
{
    static char root[] = "/";
    char *def[] = {root};
    struct ls l = {.h = h, .t = t, .o = o, .terminal = isatty(1)};
    struct winsize ws;
    int rc = 0;

    if (!o->wide && !o->full && l.terminal && ioctl(1, TIOCGWINSZ, &ws) == 0 && ws.ws_col > 20) {
        l.width = ws.ws_col;
    }
    if (argc == 0) {
        argv = def;
        argc = 1;
    }
    for (int i = 0; i < argc && !rc; i++) {
        if (argc > 1 && !o->json) {
            printf("%s:\n", argv[i]);
        }
        rc = o->json ? json_node(&l, argv[i], 0) : list(&l, argv[i], 0);
        if (o->json) {
            putchar('\n');
        }
    }
    return rc;
}
