#include "grants.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define MAP_TOGETHER 256u

int grants_open(struct grants *g, struct xenio *io, uint16_t domid, unsigned limit)
{
    *g = (struct grants){.io = io, .domid = domid, .limit = limit, .buckets = 1};
    while (g->buckets < 2 * limit)
        g->buckets *= 2;
    g->page = calloc(g->buckets, sizeof(*g->page));
    g->run = calloc(limit, sizeof(*g->run));
    if (!g->page || !g->run) {
        grants_close(g);
        return -ENOMEM;
    }
    return 0;
}

void grants_close(struct grants *g)
{
    for (unsigned i = 0; i < g->runs; i++)
        xenio_unmap(g->io, g->run[i].address, g->run[i].count);
    free(g->page);
    free(g->run);
    *g = (struct grants){0};
}

static unsigned bucket_of(const struct grants *g, uint32_t gref)
{
    unsigned i = gref * 2654435761u & (g->buckets - 1);
    while (g->page[i].address && g->page[i].gref != gref)
        i = (i + 1) & (g->buckets - 1);
    return i;
}

void *grants_find(const struct grants *g, uint32_t gref)
{
    return g->page ? g->page[bucket_of(g, gref)].address : NULL;
}

static unsigned pick_new(const struct grants *g, const uint32_t *grefs, unsigned count, uint32_t *fresh)
{
    unsigned n = 0;
    for (unsigned i = 0; i < count && n < MAP_TOGETHER && g->used + n < g->limit; i++) {
        bool seen = grants_find(g, grefs[i]) != NULL;
        for (unsigned k = 0; k < n && !seen; k++)
            seen = fresh[k] == grefs[i];
        if (!seen)
            fresh[n++] = grefs[i];
    }
    return n;
}

int grants_map(struct grants *g, const uint32_t *grefs, unsigned count)
{
    uint32_t fresh[MAP_TOGETHER];
    unsigned n = g->page ? pick_new(g, grefs, count, fresh) : 0;
    if (n == 0)
        return 0;
    uint8_t *address = xenio_map(g->io, g->domid, fresh, n, true);
    if (!address)
        return errno ? -errno : -EINVAL;
    for (unsigned i = 0; i < n; i++)
        g->page[bucket_of(g, fresh[i])] = (struct grant_page){fresh[i], address + (size_t)i * XENIO_PAGE};
    g->run[g->runs++] = (struct grant_run){address, n};
    g->used += n;
    return (int)n;
}
