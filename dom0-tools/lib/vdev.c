/* Names of disks (xvda, hdc, sdb1, d2p1) and the numbers that they have in the store: xen-vbd-interface(7). */
#include <ctype.h>
#include "internal.h"

/* "xvd" + letters: the disk's number; *rest points behind. -1: no letters. */
static long disk_letters(const char *text, const char **rest)
{
    long number = 0;
    unsigned int digits = 0;

    for (; *text >= 'a' && *text <= 'z' && digits < 4; text++, digits++)
        number = number * 26 + (*text - 'a' + 1);
    *rest = text;
    return digits ? number - 1 : -1;
}

static bool partition_number(const char *text, long *out)
{
    char *end;

    *out = 0;
    if (!*text)
        return true;
    if (!isdigit((unsigned char)*text))
        return false;
    *out = strtol(text, &end, 10);
    return !*end && *out < 256;
}

static int make_devid(const char *kind, long disk, long part, unsigned int *devid)
{
    if (kind[0] == 'x') {
        if (disk < 16 && part < 16)
            *devid = 202U << 8 | (unsigned int)disk << 4 | (unsigned int)part;
        else if (disk < 1 << 20)
            *devid = 1U << 28 | (unsigned int)disk << 8 | (unsigned int)part;
        else
            return -EINVAL;
        return 0;
    }
    if (kind[0] == 'h' && disk < 4 && part < 64) {
        *devid = (disk < 2 ? 3U : 22U) << 8 | ((unsigned int)disk & 1) << 6 | (unsigned int)part;
        return 0;
    }
    if (kind[0] == 's' && disk < 16 && part < 16) {
        *devid = 8U << 8 | (unsigned int)disk << 4 | (unsigned int)part;
        return 0;
    }
    return -EINVAL;
}

int bh_vdev_to_devid(const char *vdev, unsigned int *devid)
{
    long disk, part;
    const char *rest;
    char *end;

    if (isdigit((unsigned char)*vdev)) {
        unsigned long number = strtoul(vdev, &end, 0);

        *devid = number;
        return *end || number >= 1UL << 29 ? -EINVAL : 0;
    }
    if (vdev[0] == 'd' && isdigit((unsigned char)vdev[1])) {
        disk = strtol(vdev + 1, &end, 10);
        if ((*end && *end != 'p') || disk >= 1 << 20 || !partition_number(*end ? end + 1 : end, &part))
            return -EINVAL;
        return make_devid("xvd", disk, part, devid);
    }
    if (strncmp(vdev, "xvd", 3) == 0)
        disk = disk_letters(vdev + 3, &rest);
    else if (strncmp(vdev, "hd", 2) == 0 || strncmp(vdev, "sd", 2) == 0)
        disk = disk_letters(vdev + 2, &rest);
    else
        return -EINVAL;
    if (disk < 0 || !partition_number(rest, &part))
        return -EINVAL;
    return make_devid(vdev, disk, part, devid);
}
