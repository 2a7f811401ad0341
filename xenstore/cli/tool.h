/*
 * The command line tools: one program under many names (xenstore-read, or `xenstore read`), one table row
 * each.
 */
#ifndef BH_XS_TOOL_H
#define BH_XS_TOOL_H

#include <xenstore.h>

struct tool_options {
    bool prefix;  /* -p: paths with values, rights with nodes */
    bool full;    /* -f: whole paths */
    bool raw;     /* -R: values as they are */
    bool tidy;    /* -t: remove parents that become empty */
    bool recurse; /* -r */
    bool upto;    /* -u */
    bool wide;    /* -w: do not cut lines at the terminal's width */
    bool json;
    int count; /* -n: events to wait for */
};

/* Runs in a transaction (id, or XBT_NULL); 0, or 1 after having said what failed. */
typedef int tool_fn(struct xs_handle *h, xs_transaction_t t, const struct tool_options *o, int argc,
                    char **argv);

tool_fn tool_ls;
int tool_fail(const char *what, const char *path);
/* A value as printable text, in fresh memory. */
char *escape_value(const char *value, unsigned int len);
/* The reverse, in place; returns the length. */
unsigned int unescape_value(char *value);

#endif
