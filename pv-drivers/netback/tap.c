#include "tap.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BUSY_TRIES 500 /* of 10 ms: an earlier process still letting go */

static void set_name(struct ifreq *r, const char *name)
{
    memset(r, 0, sizeof(*r));
    snprintf(r->ifr_name, sizeof(r->ifr_name), "%s", name);
}

int tap_open(const char *name, char *why, size_t why_bytes)
{
    struct ifreq request;
    int fd = open("/dev/net/tun", O_RDWR | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        snprintf(why, why_bytes, "/dev/net/tun: %s; is the module tun loaded?", strerror(errno));
        return -errno;
    }
    set_name(&request, name);
    request.ifr_flags = IFF_TAP | IFF_NO_PI | IFF_VNET_HDR;
    int rc = ioctl(fd, TUNSETIFF, &request);
    for (int i = 0; rc && errno == EBUSY && i < BUSY_TRIES; i++) {
        struct timespec pause = {.tv_nsec = 10000000};
        nanosleep(&pause, NULL);
        rc = ioctl(fd, TUNSETIFF, &request);
    }
    if (rc || ioctl(fd, TUNSETPERSIST, 1)) {
        rc = -errno;
        snprintf(why, why_bytes, "creating interface %s: %s", name, strerror(errno));
        close(fd);
        return rc;
    }
    return fd;
}

int tap_offload(int fd, bool checksum, bool tso4, bool tso6)
{
    unsigned flags = checksum ? TUN_F_CSUM | (tso4 ? TUN_F_TSO4 : 0) | (tso6 ? TUN_F_TSO6 : 0) : 0;
    return ioctl(fd, TUNSETOFFLOAD, flags) ? -errno : 0;
}

int tap_carrier(int fd, bool on)
{
    int value = on;
    return ioctl(fd, TUNSETCARRIER, &value) ? -errno : 0;
}

static int configure(int s, const char *name, unsigned mtu)
{
    static const unsigned char address[6] = {0xfe, 0xff, 0xff, 0xff, 0xff, 0xff};
    struct ifreq r;
    set_name(&r, name);
    r.ifr_hwaddr.sa_family = ARPHRD_ETHER;
    memcpy(r.ifr_hwaddr.sa_data, address, sizeof(address));
    ioctl(s, SIOCSIFHWADDR, &r); /* refused while it is up: then it was set before */
    set_name(&r, name);
    r.ifr_mtu = (int)mtu;
    if (mtu && ioctl(s, SIOCSIFMTU, &r))
        return -errno;
    set_name(&r, name);
    if (ioctl(s, SIOCGIFFLAGS, &r))
        return -errno;
    r.ifr_flags |= IFF_UP;
    return ioctl(s, SIOCSIFFLAGS, &r) ? -errno : 0;
}

static void no_ipv6(const char *name)
{
    char path[128];
    snprintf(path, sizeof(path), "/proc/sys/net/ipv6/conf/%s/disable_ipv6", name);
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0)
        return; /* a kernel without IPv6 */
    if (write(fd, "1", 1) != 1)
        errno = 0;
    close(fd);
}

int tap_configure(const char *name, unsigned mtu, char *why, size_t why_bytes)
{
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s < 0)
        return -errno;
    no_ipv6(name);
    int rc = configure(s, name, mtu);
    close(s);
    if (rc)
        snprintf(why, why_bytes, "setting up interface %s (MTU %u): %s", name, mtu, strerror(-rc));
    return rc;
}

int tap_join_bridge(const char *name, const char *bridge, char *why, size_t why_bytes)
{
    struct ifreq r;
    int s = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (s < 0)
        return -errno;
    set_name(&r, bridge);
    r.ifr_ifindex = (int)if_nametoindex(name);
    int rc = ioctl(s, SIOCBRADDIF, &r) ? -errno : 0;
    close(s);
    if (rc == -EBUSY)
        return 0; /* a member already: we were started again */
    if (rc)
        snprintf(why, why_bytes, "adding %s to bridge %s: %s", name, bridge,
                 rc == -ENODEV ? "there is no such bridge" : strerror(-rc));
    return rc;
}

void tap_release(int fd)
{
    ioctl(fd, TUNSETPERSIST, 0);
}
