/*
 * What Dom0 has to do itself for a device, outside of the store: loop devices for Linux's block back end, the interface,
 * bridge and scripts of its network back end, and the rules and ports of ours when a card goes.
 */
#include <fcntl.h>
#include <linux/loop.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <signal.h>
#include <spawn.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>
#include "devices.h"

int hotplug_loop(struct bh *h, const char *path, bool readonly, char *name, size_t size)
{
    int control, file, number, loop, rc = -1;

    if (bh_step(h, "a loop device for %s", path))
        return -h->error;
    control = open("/dev/loop-control", O_RDWR | O_CLOEXEC);
    file = open(path, (readonly ? O_RDONLY : O_RDWR) | O_CLOEXEC);
    for (unsigned int tries = 0; control >= 0 && file >= 0 && rc < 0 && tries < 16; tries++) {
        struct loop_config config = {.fd = file};

        config.info.lo_flags = (readonly ? LO_FLAGS_READ_ONLY : 0) | LO_FLAGS_DIRECT_IO;
        snprintf((char *)config.info.lo_file_name, sizeof(config.info.lo_file_name), "%s", path);
        number = ioctl(control, LOOP_CTL_GET_FREE);
        if (number < 0)
            break;
        snprintf(name, size, "/dev/loop%d", number);
        loop = open(name, O_RDWR | O_CLOEXEC);
        if (loop < 0)
            break;
        rc = ioctl(loop, LOOP_CONFIGURE, &config);
        if (rc < 0 && errno == EINVAL) {
            config.info.lo_flags &= ~(unsigned int)LO_FLAGS_DIRECT_IO;
            rc = ioctl(loop, LOOP_CONFIGURE, &config);
        }
        close(loop);
        if (rc < 0 && errno != EBUSY)
            break;
    }
    if (rc < 0)
        rc =
            bh_fail(h, errno, "no loop device for %s: %s. backendtype=phy needs one for a file (module loop)",
                    path, strerror(errno));
    if (control >= 0)
        close(control);
    if (file >= 0)
        close(file);
    return rc;
}

void hotplug_unloop(const char *name)
{
    int loop = strncmp(name, "/dev/loop", 9) == 0 ? open(name, O_RDWR | O_CLOEXEC) : -1;

    if (loop < 0)
        return;
    ioctl(loop, LOOP_CLR_FD, 0);
    close(loop);
}

/* Puts Linux's interface into a bridge and brings it up. */
static int join_bridge(struct bh *h, const char *interface, const char *bridge)
{
    struct ifreq request = {0};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), rc = 0;
    unsigned int index = if_nametoindex(interface);

    if (fd < 0 || !index) {
        rc = bh_fail(h, errno, "no interface %s: %s", interface, strerror(errno));
    } else if (bridge && *bridge) {
        snprintf(request.ifr_name, IFNAMSIZ, "%s", bridge);
        request.ifr_ifindex = index;
        if (ioctl(fd, SIOCBRADDIF, &request) < 0 && errno != EBUSY)
            rc =
                bh_fail(h, errno, "cannot put %s into the bridge %s: %s", interface, bridge, strerror(errno));
    }
    if (!rc) {
        memset(&request, 0, sizeof(request));
        snprintf(request.ifr_name, IFNAMSIZ, "%s", interface);
        if (ioctl(fd, SIOCGIFFLAGS, &request) == 0) {
            request.ifr_flags |= IFF_UP;
            if (ioctl(fd, SIOCSIFFLAGS, &request) < 0)
                rc = bh_fail(h, errno, "cannot bring %s up: %s", interface, strerror(errno));
        }
    }
    if (fd >= 0)
        close(fd);
    return rc;
}

/* "NAME=" and the node in the back end's directory. */
static char *env_of_node(struct bh *h, const char *name, const char *back, const char *node)
{
    char *value = store_getf(h, "%s/%s", back, node), *text = NULL;

    if (asprintf(&text, "%s=%s", name, value ? value : "") < 0)
        text = NULL;
    free(value);
    return text;
}

/* Waits for a script; one that takes longer than any should is ended. */
static int script_status(pid_t pid)
{
    int status = -1;

    for (unsigned int waited = 0; waitpid(pid, &status, WNOHANG) == 0; waited += 10) {
        if (waited == SCRIPT_WAIT_MS)
            kill(pid, SIGKILL);
        device_nap(10);
    }
    return status;
}

/*
 * Runs a hotplug script as xl does, or bh-vif-setup, which does the work of xl's own for our back end and is
 * told how by `mode`.
 */
static int run_script(struct bh *h, const char *script, const char *mode, const char *back,
                      const char *interface, const char *action)
{
    static const char *const nodes[][2] = {
        {"bridge", "bridge"}, {"ip", "ip"}, {"netdev", "gatewaydev"}, {"script", "script"}};
    char path[256], xenbus[160], vif[48], mode_env[32], action_copy[16], type[] = "type_if=vif";
    char search[] = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    char kind[] = "XENBUS_TYPE=vif", base[] = "XENBUS_BASE_PATH=backend";
    char *argv[] = {path, action_copy, type, NULL};
    char *env[11] = {search, xenbus, vif, kind, base, mode_env};
    int status = 0, rc;
    pid_t pid;

    snprintf(path, sizeof(path), "%s%s", mode || strchr(script, '/') ? "" : "/etc/xen/scripts/", script);
    snprintf(xenbus, sizeof(xenbus), "XENBUS_PATH=%s", back);
    snprintf(vif, sizeof(vif), "vif=%s", interface);
    snprintf(mode_env, sizeof(mode_env), "mode=%s", mode ? mode : "script");
    snprintf(action_copy, sizeof(action_copy), "%s", action);
    for (unsigned int i = 0; i < 4; i++)
        env[6 + i] = env_of_node(h, nodes[i][0], back, nodes[i][1]);
    rc = posix_spawnp(&pid, path, NULL, NULL, argv, env);
    for (unsigned int i = 0; i < 4; i++)
        free(env[6 + i]);
    if (rc)
        return bh_fail(h, rc, "cannot run the script %s: %s", path, strerror(rc));
    status = script_status(pid);
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
        return 0;
    return bh_fail(h, EIO, "the script %s %s failed (status %#x)", path, action, status);
}

void hotplug_unplug_vif(struct bh *h, const char *back)
{
    static const char *const ours[][2] = {
        {"vif-bridge", NULL}, {"vif-route", NULL}, {"vif-nat", "nat"}, {"vif-openvswitch", "openvswitch"}};
    bool linux_vif = strncmp(back, "/local/domain/0/backend/vif/", 28) == 0;
    char *script, *name, *status;
    const char *base;

    if (!linux_vif && strncmp(back, "/local/domain/0/backend/bhnet/", 30) != 0)
        return;
    script = store_getf(h, "%s/script", back);
    name = store_getf(h, "%s/vifname", back);
    status = store_getf(h, "%s/hotplug-status", back);
    base = script && strrchr(script, '/') ? strrchr(script, '/') + 1 : script;
    for (unsigned int i = 0; base && !linux_vif && i < sizeof(ours) / sizeof(ours[0]); i++)
        if (strcmp(base, ours[i][0]) == 0) {
            if (ours[i][1] && name)
                run_script(h, "bh-vif-setup", ours[i][1], back, name, "offline");
            base = NULL;
        }
    if (base && strcmp(base, "vif-bridge") != 0 && name && status && strcmp(status, "connected") == 0)
        run_script(h, script, NULL, back, name, "offline");
    free(script);
    free(name);
    free(status);
}

int hotplug_linux_vif(struct bh *h, const char *back, unsigned int domid, unsigned int devid)
{
    char interface[IFNAMSIZ], path[200], *bridge, *script, *vifname;
    int rc;

    bh_error_clear(h);
    bridge = store_getf(h, "%s/bridge", back);
    script = h->error ? NULL : store_getf(h, "%s/script", back);
    vifname = h->error ? NULL : store_getf(h, "%s/vifname", back);
    rc = -h->error;
    snprintf(interface, sizeof(interface), "vif%u.%u", domid, devid);
    if (!rc && vifname && *vifname) {
        struct ifreq request = {0};
        int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

        snprintf(request.ifr_name, IFNAMSIZ, "%s", interface);
        snprintf(request.ifr_newname, IFNAMSIZ, "%s", vifname);
        if (fd < 0 || ioctl(fd, SIOCSIFNAME, &request) < 0)
            rc = bh_fail(h, errno, "cannot name %s \"%s\": %s", interface, vifname, strerror(errno));
        else
            snprintf(interface, sizeof(interface), "%s", vifname);
        if (fd >= 0)
            close(fd);
    }
    if (!rc && script && strcmp(script, "vif-bridge") != 0)
        rc = run_script(h, script, NULL, back, interface, "online");
    else if (!rc)
        rc = join_bridge(h, interface, bridge);
    snprintf(path, sizeof(path), "%s/vifname", back);
    if (!rc)
        rc = bh_store_set(h, path, interface);
    snprintf(path, sizeof(path), "%s/hotplug-status", back);
    if (!rc)
        rc = bh_store_set(h, path, "connected");
    free(bridge);
    free(script);
    free(vifname);
    return rc;
}
