/*
 * Memory, growing byte buffers and hash tables for the store.
 *
 * Allocation never returns NULL: the quotas bound what clients can make us hold, and a daemon that may be
 * killed at any moment without loss handles the remaining case (the machine is out of memory) by dying with a
 * message and being started again.
 */
#ifndef BH_XS_UTIL_H
#define BH_XS_UTIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))
#define ARRAY_LEN(a)                    (sizeof(a) / sizeof((a)[0]))

void *xmalloc(size_t size);
void *xcalloc(size_t count, size_t size);
void *xrealloc(void *old, size_t size);
char *xstrndup(const char *s, size_t len);

/* A byte buffer that grows by doubling; `data` belongs to the buffer. All zero is an empty buffer. */
struct buf {
    uint8_t *data;
    uint32_t len;
    uint32_t cap;
};
void *buf_add(struct buf *b, const void *data, size_t len); /* data may be NULL: room without content */
void buf_add_u32(struct buf *b, uint32_t v);
void buf_add_u64(struct buf *b, uint64_t v);
void buf_drop_front(struct buf *b, size_t len);
void buf_free(struct buf *b);

/* 64-bit mixing hash of a byte string. Not keyed: callers mix in `seed`. */
uint64_t hash_bytes(const void *data, size_t len, uint64_t seed);

/* Intrusive hash table with chains: embed struct hlink, look up by hash, compare with the caller's own eyes.
 */
struct hlink {
    struct hlink *next;
    uint64_t hash;
};
struct htab {
    struct hlink **bucket;
    size_t nbuckets; /* a power of two, or 0 before the first insertion */
    size_t count;
};
void htab_insert(struct htab *t, struct hlink *l, uint64_t hash);
void htab_remove(struct htab *t, struct hlink *l); /* an empty table keeps no more than 16 buckets */
struct hlink *htab_first(const struct htab *t, uint64_t hash); /* first link with this very hash */
struct hlink *htab_next(const struct hlink *l);                /* next link with the same hash */
void htab_free(struct htab *t);

/* A set of 64-bit numbers. All zero is the empty set. */
struct u64set {
    uint64_t *slot; /* 0 is a free slot; the number 0 itself counts as 1 */
    size_t nslots;
    size_t count;
};
bool u64set_add(struct u64set *s, uint64_t v); /* false if it was there */
void u64set_free(struct u64set *s);

/* Doubly linked circular list. */
struct list {
    struct list *prev, *next;
};
static inline void list_init(struct list *l)
{
    l->prev = l->next = l;
}
static inline bool list_empty(const struct list *l)
{
    return l->next == l;
}
static inline void list_add_tail(struct list *head, struct list *item)
{
    item->prev = head->prev;
    item->next = head;
    head->prev->next = item;
    head->prev = item;
}
static inline void list_del(struct list *item)
{
    item->prev->next = item->next;
    item->next->prev = item->prev;
    list_init(item);
}

#endif
