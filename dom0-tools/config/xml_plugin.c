/*
 * Domain XML when it is needed: xml.c and libxml2 (which brings much with it) live in a library of their own,
 * so that the programs start without them. This file stands in for xml.c where that is done.
 */
#include <dlfcn.h>
#include <libgen.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include "doc.h"

#define LIBRARY "libbulkhead-xml.so.1"

static void *library(void)
{
    static void *handle;
    char self[512], path[600];
    ssize_t length;

    if (handle)
        return handle;
    length = readlink("/proc/self/exe", self, sizeof(self) - 1);
    if (length > 0) {
        self[length] = 0;
        snprintf(path, sizeof(path), "%s/../lib/" LIBRARY, dirname(self));
        handle = dlopen(path, RTLD_NOW);
    }
    if (!handle)
        handle = dlopen(LIBRARY, RTLD_NOW);
    return handle;
}

void read_xml(struct doc *doc, const char *text, size_t size)
{
    void *handle = library();
    void (*read)(struct doc *, const char *, size_t) = handle ? dlsym(handle, "read_xml") : NULL;

    if (read)
        read(doc, text, size);
    else
        doc_say(doc, DIAG_ERROR, 0, NULL, "domain XML needs " LIBRARY ": %s", dlerror());
}

char *write_xml(const struct doc *doc)
{
    void *handle = library();
    char *(*write)(const struct doc *) = handle ? dlsym(handle, "write_xml") : NULL;

    return write ? write(doc) : NULL;
}
