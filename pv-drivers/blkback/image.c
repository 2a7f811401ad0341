#include "image.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

int image_open(const struct image_config *c, struct image **out, char *why, size_t why_bytes)
{
    if (strcmp(c->format, "raw") && strcmp(c->format, "qcow2")) {
        snprintf(why, why_bytes, "image format \"%s\" is not known; raw and qcow2 are", c->format);
        return -EINVAL;
    }
    if (strcmp(c->format, "raw") == 0 && !c->overlay)
        return image_file_open(c, out, why, why_bytes);
    return image_nbd_open(c, out, why, why_bytes);
}
