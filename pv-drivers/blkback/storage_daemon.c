#include "storage_daemon.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "../common/log.h"
#include "qcow2.h"

#define PROGRAM       "qemu-storage-daemon"
#define ANSWER_MS     30000
#define LOCK_PAUSE_MS 100
#define LOCK_FIRST    100 /* 100..103 permissions in use, 200..203 permissions denied to others */
#define LOCK_BYTES    104
#define OPTION_BYTES  2048

static void socket_name(char *out, size_t bytes, const struct image_config *c, const char *kind)
{
    snprintf(out, bytes, "%s/disk-%u-%u.%s", c->run_dir, c->domid, c->devid, kind);
}

static int connect_monitor(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    int error = errno;
    if (fd >= 0)
        close(fd);
    return -error;
}

/* The next line of the monitor into line; false when none came in time or the daemon has gone. */
static bool read_line(struct storage_daemon *d, char *line, size_t bytes)
{
    for (;;) {
        char *end = memchr(d->buffer, '\n', d->buffered);
        if (end) {
            size_t length = (size_t)(end - d->buffer) + 1;
            snprintf(line, bytes, "%.*s", (int)length - 1, d->buffer);
            d->buffered -= length;
            memmove(d->buffer, d->buffer + length, d->buffered);
            return true;
        }
        struct pollfd p = {.fd = d->monitor, .events = POLLIN};
        if (d->buffered == sizeof(d->buffer) || poll(&p, 1, ANSWER_MS) <= 0)
            return false;
        ssize_t got = read(d->monitor, d->buffer + d->buffered, sizeof(d->buffer) - d->buffered);
        if (got <= 0)
            return false;
        d->buffered += (size_t)got;
    }
}

/* Sends a command and reads up to its answer. event: true once that event was seen, before or after. */
static bool command(struct storage_daemon *d, const char *text, const char *event, char *answer, size_t bytes)
{
    bool answered = false, seen = event == NULL;
    size_t length = strlen(text);
    if (write(d->monitor, text, length) != (ssize_t)length)
        return false;
    while (!answered || !seen) {
        char line[sizeof(d->buffer)];
        if (!read_line(d, line, sizeof(line)))
            return false;
        if (strstr(line, "\"event\"")) {
            seen = seen || strstr(line, event) != NULL;
            continue;
        }
        snprintf(answer, bytes, "%.*s", (int)bytes - 1, line);
        answered = true;
        if (strstr(line, "\"error\""))
            return false;
    }
    return true;
}

static int greet(struct storage_daemon *d, const char *path)
{
    char answer[1024];
    d->buffered = 0;
    d->monitor = connect_monitor(path);
    if (d->monitor < 0)
        return d->monitor;
    if (read_line(d, answer, sizeof(answer)) &&
        command(d, "{\"execute\":\"qmp_capabilities\"}\n", NULL, answer, sizeof(answer)))
        return 0;
    close(d->monitor);
    d->monitor = -1;
    return -EIO;
}

/* Commas separate options in the daemon's syntax; doubled they are part of a value. */
static void append_value(char *out, size_t bytes, const char *value)
{
    size_t used = strlen(out);
    for (; *value && used + 2 < bytes; value++) {
        if (*value == ',')
            out[used++] = ',';
        out[used++] = *value;
    }
    out[used] = '\0';
}

static void append(char *out, size_t bytes, const char *text)
{
    size_t used = strlen(out);
    snprintf(out + used, bytes - used, "%s", text);
}

static void describe_file(char *out, const char *prefix, const char *path, const char *cache)
{
    append(out, OPTION_BYTES, prefix);
    append(out, OPTION_BYTES, "driver=file,");
    append(out, OPTION_BYTES, prefix);
    append(out, OPTION_BYTES, cache);
    append(out, OPTION_BYTES, prefix);
    append(out, OPTION_BYTES, "discard=unmap,");
    append(out, OPTION_BYTES, prefix);
    append(out, OPTION_BYTES, "filename=");
    append_value(out, OPTION_BYTES, path);
}

/* Not every file system has direct I/O (tmpfs has not). */
static bool direct_works(const char *path)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_DIRECT);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

/* The --blockdev of the image: FORMAT over file, or an overlay over FORMAT over file. */
static void describe(const struct image_config *c, char *out)
{
    const char *cache = c->direct && direct_works(c->path) ? "cache.direct=on," : "cache.direct=off,";
    out[0] = '\0';
    append(out, OPTION_BYTES, "node-name=disk,discard=unmap,");
    if (!c->overlay) {
        append(out, OPTION_BYTES, "driver=qcow2,");
        append(out, OPTION_BYTES, c->read_only ? "read-only=on," : "");
        describe_file(out, "file.", c->path, cache);
        return;
    }
    append(out, OPTION_BYTES, "driver=qcow2,");
    describe_file(out, "file.", c->overlay, cache);
    append(out, OPTION_BYTES, ",backing.read-only=on,backing.driver=");
    append(out, OPTION_BYTES, c->format);
    append(out, OPTION_BYTES, ",");
    describe_file(out, "backing.file.", c->path, cache);
}

static int run(char *const argv[])
{
    pid_t child = fork();
    if (child < 0)
        return -errno;
    if (child == 0) {
        /* whoever started us may have left us a lock: it ends with us, not with the daemon */
        close_range(3, ~0u, CLOSE_RANGE_CLOEXEC);
        execvp(argv[0], argv);
        _exit(127);
    }
    int status;
    while (waitpid(child, &status, 0) < 0 && errno == EINTR)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? 0 : -EIO;
}

static int spawn(const struct image_config *c, const char *monitor, const char *nbd)
{
    char blockdev[OPTION_BYTES], chardev[256], server[256], pidfile[128];
    describe(c, blockdev);
    socket_name(pidfile, sizeof(pidfile), c, "pid");
    snprintf(chardev, sizeof(chardev), "socket,id=monitor,server=on,wait=off,path=%s", monitor);
    snprintf(server, sizeof(server), "addr.type=unix,addr.path=%s", nbd);
    unlink(monitor);
    unlink(nbd);
    char *argv[] = {(char *)PROGRAM,
                    (char *)"--daemonize",
                    (char *)"--pidfile",
                    pidfile,
                    (char *)"--chardev",
                    chardev,
                    (char *)"--monitor",
                    (char *)"chardev=monitor",
                    (char *)"--blockdev",
                    blockdev,
                    (char *)"--nbd-server",
                    server,
                    NULL};
    return run(argv);
}

static int create_overlay(const struct image_config *c, char *why, size_t why_bytes)
{
    if (access(c->overlay, F_OK) == 0)
        return 0;
    char *argv[] = {(char *)"qemu-img",
                    (char *)"create",
                    (char *)"-q",
                    (char *)"-f",
                    (char *)"qcow2",
                    (char *)"-b",
                    (char *)c->path,
                    (char *)"-F",
                    (char *)c->format,
                    (char *)c->overlay,
                    NULL};
    if (run(argv) == 0)
        return 0;
    snprintf(why, why_bytes, "cannot create overlay %s over %s (see the line of qemu-img above)", c->overlay,
             c->path);
    return -EIO;
}

/* Waits until nobody holds QEMU's locks on the file: a daemon that was killed may still be dying. */
static bool wait_unlocked(const char *path, unsigned patience_ms)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);
    bool free_now = fd < 0; /* then the daemon will say what is wrong with it */
    for (unsigned waited = 0; waited <= patience_ms && !free_now; waited += LOCK_PAUSE_MS) {
        struct flock lock = {
            .l_type = F_WRLCK, .l_whence = SEEK_SET, .l_start = LOCK_FIRST, .l_len = LOCK_BYTES};
        struct timespec pause = {.tv_nsec = LOCK_PAUSE_MS * 1000000L};
        free_now = fcntl(fd, F_OFD_GETLK, &lock) == 0 && lock.l_type == F_UNLCK;
        if (!free_now)
            nanosleep(&pause, NULL);
    }
    if (fd >= 0)
        close(fd);
    return free_now;
}

static int start(struct storage_daemon *d, const struct image_config *c, const char *monitor, char *why,
                 size_t why_bytes)
{
    int rc = strcmp(c->format, "qcow2") ? 0 : qcow2_check_chain(c->path, why, why_bytes);
    if (rc == 0 && c->overlay)
        rc = create_overlay(c, why, why_bytes);
    if (rc)
        return rc;
    const char *file = c->overlay ? c->overlay : c->path;
    if (!wait_unlocked(file, c->patience_ms)) {
        snprintf(
            why, why_bytes,
            "%s is in use by someone else (its lock was not free within %u ms); shut the other user down",
            file, c->patience_ms);
        return -EAGAIN;
    }
    rc = spawn(c, monitor, d->nbd_socket);
    rc = rc ? rc : greet(d, monitor);
    if (rc)
        snprintf(why, why_bytes, "%s could not open %s (its own line above says why)", PROGRAM, file);
    return rc;
}

static int renew_export(struct storage_daemon *d, const struct image_config *c, bool found, char *why,
                        size_t why_bytes)
{
    char text[512], answer[1024] = "";
    if (found)
        command(d, "{\"execute\":\"block-export-del\",\"arguments\":{\"id\":\"disk\",\"mode\":\"hard\"}}\n",
                "BLOCK_EXPORT_DELETED", answer, sizeof(answer));
    snprintf(text, sizeof(text),
             "{\"execute\":\"block-export-add\",\"arguments\":{\"type\":\"nbd\",\"id\":\"disk\",\"node-"
             "name\":\"disk\","
             "\"name\":\"disk\",\"writable\":%s}}\n",
             c->read_only ? "false" : "true");
    if (command(d, text, NULL, answer, sizeof(answer)))
        return 0;
    snprintf(why, why_bytes, "%s does not export %s: %s", PROGRAM, c->path, answer);
    return -EIO;
}

int storage_daemon_open(struct storage_daemon *d, const struct image_config *c, char *why, size_t why_bytes)
{
    char monitor[108];
    mkdir(c->run_dir, 0755);
    socket_name(monitor, sizeof(monitor), c, "monitor");
    socket_name(d->nbd_socket, sizeof(d->nbd_socket), c, "nbd");
    signal(SIGPIPE, SIG_IGN);
    int rc = greet(d, monitor);
    bool found = rc == 0;
    if (!found)
        rc = start(d, c, monitor, why, why_bytes);
    if (rc == 0)
        rc = renew_export(d, c, found, why, why_bytes);
    return rc;
}

void storage_daemon_quit(struct storage_daemon *d)
{
    char answer[256];
    command(d, "{\"execute\":\"quit\"}\n", NULL, answer, sizeof(answer));
    close(d->monitor);
    d->monitor = -1;
}
