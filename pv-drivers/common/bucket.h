/*
 * A token bucket. It fills at `rate` units a second up to `depth`; taking may drive it below zero once, so
 * that a request larger than the depth still passes and pays afterwards. Rate 0 means no limit. Times are
 * nanoseconds, monotonic.
 */
#ifndef PV_BUCKET_H
#define PV_BUCKET_H

#include <stdbool.h>
#include <stdint.h>

struct bucket {
    uint64_t rate;
    int64_t depth;
    int64_t level;
    uint64_t filled_at;
};

#define BUCKET_SECOND 1000000000ull

static inline void bucket_set(struct bucket *b, uint64_t rate, uint64_t depth, uint64_t now)
{
    uint64_t limit = (uint64_t)INT64_MAX / 4;
    b->rate = rate;
    b->depth = (int64_t)(depth < limit ? depth : limit);
    b->level = b->depth;
    b->filled_at = now;
}

static inline void bucket_fill(struct bucket *b, uint64_t now)
{
    __extension__ typedef unsigned __int128 wide;
    uint64_t passed = now - b->filled_at;
    wide gained = (wide)b->rate * passed / BUCKET_SECOND;
    if (gained == 0)
        return; /* keep the fraction: filled_at stays */
    int64_t room = b->depth - b->level;
    b->level = gained > (wide)room ? b->depth : b->level + (int64_t)gained;
    b->filled_at = now;
}

/* True when something may be taken now. */
static inline bool bucket_open(struct bucket *b, uint64_t now)
{
    if (b->rate == 0)
        return true;
    bucket_fill(b, now);
    return b->level > 0;
}

static inline void bucket_take(struct bucket *b, uint64_t amount)
{
    if (b->rate)
        b->level -= (int64_t)amount;
}

/* When bucket_open() will be true again. */
static inline uint64_t bucket_opens_at(const struct bucket *b)
{
    if (b->rate == 0 || b->level > 0)
        return b->filled_at;
    return b->filled_at + ((uint64_t)(1 - b->level) * BUCKET_SECOND + b->rate - 1) / b->rate;
}

#endif
