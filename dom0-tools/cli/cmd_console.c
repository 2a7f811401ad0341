/*
 * console: through the console daemon's socket, where any number can watch, or through the pty that any
 * console daemon offers. Ctrl-] leaves. When the daemon is started again the connection is made anew.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <termios.h>
#include <unistd.h>
#include "cli.h"

#define ESCAPE      0x1d
#define TRIES       50
#define TRY_WAIT_MS 100

static int connect_socket(unsigned int domid)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    const char *dir = getenv("BULKHEAD_RUN_DIR");
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    snprintf(address.sun_path, sizeof(address.sun_path), "%s/console/%u.sock",
             dir && *dir ? dir : "/run/bulkhead", domid);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    if (fd >= 0)
        close(fd);
    return -1;
}

static int open_tty(struct call *call, unsigned int domid)
{
    char path[64], *tty;
    struct termios t;
    int fd = -1;

    snprintf(path, sizeof(path), "/local/domain/%u/console/tty", domid);
    tty = bh_store_get(call->h, path);
    if (tty && strncmp(tty, "/dev/", 5) == 0)
        fd = open(tty, O_RDWR | O_NOCTTY | O_CLOEXEC);
    free(tty);
    bh_error_clear(call->h);
    if (fd >= 0 && tcgetattr(fd, &t) == 0) {
        cfmakeraw(&t);
        tcsetattr(fd, TCSANOW, &t);
    }
    return fd;
}

/* Waits for the domain's console to be there; the daemon needs a moment for a new domain. */
static int attach(struct call *call, unsigned int domid)
{
    for (unsigned int i = 0; i < TRIES; i++) {
        struct bh_domain info;
        int fd = connect_socket(domid);

        if (fd < 0)
            fd = open_tty(call, domid);
        if (fd >= 0 || bh_domain_info(call->h, domid, &info))
            return fd;
        poll(NULL, 0, TRY_WAIT_MS);
    }
    return -1;
}

static bool write_all(int fd, const char *text, size_t size)
{
    while (size) {
        ssize_t put = write(fd, text, size);

        if (put < 0 && errno == EINTR)
            continue;
        if (put <= 0)
            return false;
        text += put;
        size -= put;
    }
    return true;
}

/* Returns true when the person left, false when the console did. */
static bool talk(int fd)
{
    struct pollfd p[2] = {{.fd = STDIN_FILENO, .events = POLLIN}, {.fd = fd, .events = POLLIN}};
    char text[4096];

    while (poll(p, 2, -1) >= 0 || errno == EINTR) {
        if (p[1].revents) {
            ssize_t got = read(fd, text, sizeof(text));

            if (got <= 0)
                return false;
            write_all(STDOUT_FILENO, text, got);
        }
        if (p[0].revents) {
            ssize_t got = read(STDIN_FILENO, text, sizeof(text));
            const char *escape = got > 0 ? memchr(text, ESCAPE, got) : NULL;

            if (got <= 0)
                p[0].fd = -1;
            else
                write_all(fd, text, escape ? escape - text : got);
            if (escape)
                return true;
        }
    }
    return false;
}

int console_run(struct call *call, unsigned int domid)
{
    bool terminal = isatty(STDIN_FILENO), left = false;
    struct termios before, raw;
    bool any = false;

    while (!left) {
        int fd = attach(call, domid);

        if (fd < 0)
            break;
        any = true;
        if (terminal && tcgetattr(STDIN_FILENO, &before) == 0) {
            raw = before;
            cfmakeraw(&raw);
            tcsetattr(STDIN_FILENO, TCSANOW, &raw);
        }
        left = talk(fd);
        if (terminal)
            tcsetattr(STDIN_FILENO, TCSANOW, &before);
        close(fd);
    }
    if (!any)
        return failed_text(
            call, "domain %u has no console to connect to. Does a console daemon run (bh-consoled)?", domid);
    return 0;
}

int cmd_console(struct call *call)
{
    unsigned int domid;

    if (call->values['t'] && strcmp(call->values['t'], "pv") != 0)
        return failed_text(call, "-t %s: PV guests have consoles of type pv", call->values['t']);
    if (call->values['n'] && strcmp(call->values['n'], "0") != 0)
        return failed_text(call, "-n %s: there is only console 0", call->values['n']);
    if (!find_domain(call, call->args[0], &domid))
        return 1;
    return console_run(call, domid);
}
