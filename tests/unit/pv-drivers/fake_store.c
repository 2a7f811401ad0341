#include "front.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "../../../pv-drivers/common/store.h"

#define NODES 256

static struct {
    char path[256], value[256];
} node[NODES];
static unsigned nodes;

void fake_store_clear(void)
{
    nodes = 0;
}

static int find(const char *path)
{
    for (unsigned i = 0; i < nodes; i++)
        if (strcmp(node[i].path, path) == 0)
            return (int)i;
    return -1;
}

void fake_store_set(const char *path, const char *value)
{
    int i = find(path);
    if (i < 0) {
        assert_true(nodes < NODES);
        i = (int)nodes++;
    }
    snprintf(node[i].path, sizeof(node[i].path), "%s", path);
    snprintf(node[i].value, sizeof(node[i].value), "%s", value);
}

const char *fake_store_get(const char *path)
{
    int i = find(path);
    return i < 0 ? NULL : node[i].value;
}

void fake_store_remove(const char *path)
{
    size_t length = strlen(path);
    for (unsigned i = 0; i < nodes;) {
        if (strncmp(node[i].path, path, length) == 0)
            node[i] = node[--nodes];
        else
            i++;
    }
}

static const char *lookup(const char *format, va_list args)
{
    char path[512];
    vsnprintf(path, sizeof(path), format, args);
    const char *value = fake_store_get(path);
    errno = value ? 0 : ENOENT;
    return value;
}

char *store_read(struct store *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *value = lookup(format, args);
    va_end(args);
    return value ? strdup(value) : NULL;
}

uint64_t store_read_number(struct store *s, uint64_t fallback, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *value = lookup(format, args);
    va_end(args);
    return value ? strtoull(value, NULL, 10) : fallback;
}

bool store_exists(struct store *s, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    const char *value = lookup(format, args);
    va_end(args);
    return value != NULL;
}

int store_write(struct store *s, const char *path, const char *value)
{
    fake_store_set(path, value);
    return 0;
}

int store_write_number(struct store *s, const char *directory, const char *name, uint64_t value)
{
    char path[512], text[32];
    snprintf(path, sizeof(path), "%s/%s", directory, name);
    snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
    return store_write(s, path, text);
}

int store_remove(struct store *s, const char *path)
{
    fake_store_remove(path);
    return 0;
}

int store_begin(struct store *s)
{
    return 0;
}

int store_end(struct store *s, bool abort)
{
    return 0;
}

int store_watch(struct store *s, const char *path)
{
    return 0;
}
