/* Helpers that need no connection. See xenstore_lib.h. */
#include "xenstore.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *xs_daemon_rundir(void)
{
    const char *dir = getenv("XENSTORED_RUNDIR");

    return dir ? dir : "/run/xenstored";
}

const char *xs_daemon_socket(void)
{
    static char path[PATH_MAX];
    const char *env = getenv("XENSTORED_PATH");

    if (env) {
        return env;
    }
    snprintf(path, sizeof(path), "%s/socket", xs_daemon_rundir());
    return path;
}

const char *xs_daemon_socket_ro(void)
{
    return xs_daemon_socket();
}

bool xs_write_all(int fd, const void *data, unsigned int len)
{
    const char *at = data;

    while (len) {
        ssize_t n = write(fd, at, len);

        if (n < 0 && errno != EINTR) {
            return false;
        }
        if (n > 0) {
            at += n;
            len -= (unsigned int)n;
        }
    }
    return true;
}

bool xs_strings_to_perms(struct xs_permissions *perms, unsigned int num, const char *strings)
{
    static const char letters[] = "nrwb";

    for (unsigned int i = 0; i < num; i++) {
        const char *letter = *strings ? strchr(letters, *strings) : NULL;
        char *end = NULL;
        unsigned long id =
            letter && strings[1] >= '0' && strings[1] <= '9' ? strtoul(strings + 1, &end, 10) : 0;

        if (!end || *end || id > UINT_MAX) {
            errno = EINVAL;
            return false;
        }
        perms[i].id = (unsigned int)id;
        perms[i].perms = (unsigned int)(letter - letters);
        strings = end + 1;
    }
    return true;
}

bool xs_path_is_subpath(const char *parent, const char *child)
{
    size_t len = strlen(parent);

    return strncmp(parent, child, len) == 0 &&
           (child[len] == '\0' || child[len] == '/' || (len && parent[len - 1] == '/'));
}
