/* Memory, byte buffers, hashing. See util.h. */
#include "util.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void *must(void *p, size_t size)
{
    if (!p) {
        fprintf(stderr, "xenstored: out of memory asking for %zu bytes; stopping (the state is kept)\n",
                size);
        abort();
    }
    return p;
}

void *xmalloc(size_t size)
{
    return must(malloc(size ? size : 1), size);
}

void *xcalloc(size_t count, size_t size)
{
    return must(calloc(count ? count : 1, size ? size : 1), count * size);
}

void *xrealloc(void *old, size_t size)
{
    return must(realloc(old, size ? size : 1), size);
}

char *xstrndup(const char *s, size_t len)
{
    char *p = xmalloc(len + 1);

    memcpy(p, s, len);
    p[len] = '\0';
    return p;
}

void *buf_add(struct buf *b, const void *data, size_t len)
{
    uint8_t *at;

    if (len == 0) {
        return b->data;
    }
    if (b->len + len > b->cap) {
        size_t cap = b->cap ? b->cap : 256;

        while (cap < b->len + len) {
            cap *= 2;
        }
        if (cap > UINT32_MAX) {
            must(NULL, cap);
        }
        b->data = xrealloc(b->data, cap);
        b->cap = (uint32_t)cap;
    }
    at = b->data + b->len;
    if (data) {
        memcpy(at, data, len);
    }
    b->len += (uint32_t)len;
    return at;
}

void buf_add_u32(struct buf *b, uint32_t v)
{
    buf_add(b, &v, sizeof(v));
}

void buf_add_u64(struct buf *b, uint64_t v)
{
    buf_add(b, &v, sizeof(v));
}

void buf_drop_front(struct buf *b, size_t len)
{
    b->len -= (uint32_t)len;
    if (b->len) {
        memmove(b->data, b->data + len, b->len);
    }
}

void buf_free(struct buf *b)
{
    free(b->data);
    *b = (struct buf){0};
}

static inline uint64_t mix(uint64_t a, uint64_t b)
{
    __uint128_t m = (__uint128_t)a * b;

    return (uint64_t)m ^ (uint64_t)(m >> 64);
}

uint64_t hash_bytes(const void *data, size_t len, uint64_t seed)
{
    const uint8_t *p = data;
    uint64_t h = seed ^ 0x9e3779b97f4a7c15ull ^ ((uint64_t)len << 1);
    uint64_t w;

    while (len >= 8) {
        memcpy(&w, p, 8);
        h = mix(h ^ w, 0xd6e8feb86659fd93ull);
        p += 8;
        len -= 8;
    }
    if (len) {
        w = 0;
        memcpy(&w, p, len);
        h = mix(h ^ w, 0xa0761d6478bd642full);
    }
    return mix(h ^ 0xe7037ed1a0b428dbull, 0x8ebc6af09c88c6e3ull);
}

static void htab_grow(struct htab *t)
{
    size_t n = t->nbuckets ? t->nbuckets * 2 : 16;
    struct hlink **bucket = xcalloc(n, sizeof(struct hlink *));

    for (size_t i = 0; i < t->nbuckets; i++) {
        struct hlink *next;

        for (struct hlink *l = t->bucket[i]; l; l = next) {
            next = l->next;
            l->next = bucket[l->hash & (n - 1)];
            bucket[l->hash & (n - 1)] = l;
        }
    }
    free(t->bucket);
    t->bucket = bucket;
    t->nbuckets = n;
}

void htab_insert(struct htab *t, struct hlink *l, uint64_t hash)
{
    if (t->count >= t->nbuckets) {
        htab_grow(t);
    }
    l->hash = hash;
    l->next = t->bucket[hash & (t->nbuckets - 1)];
    t->bucket[hash & (t->nbuckets - 1)] = l;
    t->count++;
}

void htab_remove(struct htab *t, struct hlink *l)
{
    struct hlink **at = &t->bucket[l->hash & (t->nbuckets - 1)];

    while (*at != l) {
        at = &(*at)->next;
    }
    *at = l->next;
    if (--t->count == 0 && t->nbuckets > 16) {
        htab_free(t);
    }
}

static struct hlink *same_hash(struct hlink *l, uint64_t hash)
{
    while (l && l->hash != hash) {
        l = l->next;
    }
    return l;
}

struct hlink *htab_first(const struct htab *t, uint64_t hash)
{
    return t->nbuckets ? same_hash(t->bucket[hash & (t->nbuckets - 1)], hash) : NULL;
}

struct hlink *htab_next(const struct hlink *l)
{
    return same_hash(l->next, l->hash);
}

void htab_free(struct htab *t)
{
    free(t->bucket);
    *t = (struct htab){0};
}

static bool u64set_put(uint64_t *slot, size_t nslots, uint64_t v)
{
    size_t i = (size_t)(v * 0x9e3779b97f4a7c15ull >> 32) & (nslots - 1);

    for (; slot[i]; i = (i + 1) & (nslots - 1)) {
        if (slot[i] == v) {
            return false;
        }
    }
    slot[i] = v;
    return true;
}

bool u64set_add(struct u64set *s, uint64_t v)
{
    v += v == 0;
    if (s->count * 2 >= s->nslots) {
        size_t n = s->nslots ? s->nslots * 2 : 16;
        uint64_t *slot = xcalloc(n, sizeof(*slot));

        for (size_t i = 0; i < s->nslots; i++) {
            if (s->slot[i]) {
                u64set_put(slot, n, s->slot[i]);
            }
        }
        free(s->slot);
        s->slot = slot;
        s->nslots = n;
    }
    if (!u64set_put(s->slot, s->nslots, v)) {
        return false;
    }
    s->count++;
    return true;
}

void u64set_free(struct u64set *s)
{
    free(s->slot);
    *s = (struct u64set){0};
}
