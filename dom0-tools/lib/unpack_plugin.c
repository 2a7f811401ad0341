/*
 * Unpacking when it is needed: the five compression libraries come in through libbulkhead-unpack.so.1, so
 * that commands which read no kernel start without them. Programs link this in place of unpack.c.
 */
#include <dlfcn.h>
#include <libgen.h>
#include <unistd.h>
#include "internal.h"

#define LIBRARY "libbulkhead-unpack.so.1"

int unpack_any(struct bh *h, const uint8_t *data, size_t size, size_t limit, uint8_t **out, size_t *out_size)
{
    int (*unpack)(struct bh *, const uint8_t *, size_t, size_t, uint8_t **, size_t *) = NULL;
    char self[512], path[600];
    ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    void *library = NULL;

    if (length > 0) {
        self[length] = 0;
        snprintf(path, sizeof(path), "%s/../lib/" LIBRARY, dirname(self));
        library = dlopen(path, RTLD_NOW);
    }
    if (!library)
        library = dlopen(LIBRARY, RTLD_NOW);
    if (library)
        unpack = dlsym(library, "unpack_any");
    if (!unpack)
        return bh_fail(h, ENOENT, "unpacking needs " LIBRARY ": %s", dlerror());
    return unpack(h, data, size, limit, out, out_size);
}
