/* Sets of ranges: a sorted array under a lock. Ranges neither overlap nor touch. */
#include <bh/rangeset.h>
#include <bh/errno.h>
#include <bh/lock.h>
#include <bh/page_alloc.h>
#include <bh/string.h>

struct range {
    uint64_t first, last;
};

struct rangeset {
    struct spinlock lock;
    uint32_t nr, room;
    uint32_t last_hit;   /* index of the range that contained what was asked last: likely again */
    struct range *range; /* [room], the first nr in use */
};

struct rangeset *rangeset_create(void)
{
    return kalloc(sizeof(struct rangeset));
}

void rangeset_destroy(struct rangeset *r)
{
    if (!r)
        return;
    kfree(r->range);
    kfree(r);
}

/* Index of the first range that ends at or after `value`; nr: none. */
static uint32_t find(const struct rangeset *r, uint64_t value)
{
    uint32_t low = 0, high = r->nr;

    while (low < high) {
        uint32_t mid = (low + high) / 2;

        if (r->range[mid].last < value)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

/* Makes room for one more range. */
static int make_room(struct rangeset *r)
{
    uint32_t room = r->room ? r->room * 2 : 4;
    struct range *bigger;

    if (r->nr < r->room)
        return 0;
    if (r->nr >= RANGESET_MAX)
        return -ENOSPC;
    bigger = kalloc(room * sizeof(*bigger));
    if (!bigger)
        return -ENOMEM;
    if (r->nr)
        memcpy(bigger, r->range, r->nr * sizeof(*bigger));
    kfree(r->range);
    r->range = bigger;
    r->room = room;
    return 0;
}

/* Replaces ranges [at, at + count) by `with` ones from `by`. There is room. */
static void splice(struct rangeset *r, uint32_t at, uint32_t count, const struct range *by, uint32_t with)
{
    if (r->nr > at + count)
        memmove(&r->range[at + with], &r->range[at + count], (r->nr - at - count) * sizeof(*by));
    if (with)
        memcpy(&r->range[at], by, with * sizeof(*by));
    r->nr = r->nr - count + with;
}

int rangeset_add(struct rangeset *r, uint64_t first, uint64_t last)
{
    struct range merged = {first, last};
    uint32_t at, end;
    int ret;

    if (first > last)
        return -EINVAL;
    spin_lock(&r->lock);
    ret = make_room(r);
    if (!ret) {
        at = find(r, first ? first - 1 : 0);
        for (end = at; end < r->nr && (last == UINT64_MAX || r->range[end].first <= last + 1); end++) {
            merged.first = MIN(merged.first, r->range[end].first);
            merged.last = MAX(merged.last, r->range[end].last);
        }
        splice(r, at, end - at, &merged, 1);
    }
    spin_unlock(&r->lock);
    return ret;
}

int rangeset_remove(struct rangeset *r, uint64_t first, uint64_t last)
{
    struct range rest[2];
    uint32_t at, end, left = 0;
    int ret;

    if (first > last)
        return -EINVAL;
    spin_lock(&r->lock);
    ret = make_room(r);
    if (!ret) {
        at = find(r, first);
        for (end = at; end < r->nr && r->range[end].first <= last; end++) {
            if (r->range[end].first < first)
                rest[left++] = (struct range){r->range[end].first, first - 1};
            if (r->range[end].last > last)
                rest[left++] = (struct range){last + 1, r->range[end].last};
        }
        splice(r, at, end - at, rest, left);
    }
    spin_unlock(&r->lock);
    return ret;
}

bool rangeset_contains(struct rangeset *r, uint64_t first, uint64_t last)
{
    uint32_t at;
    bool in;

    if (!r || first > last)
        return false;
    spin_lock(&r->lock);
    at = r->last_hit;
    in = at < r->nr && r->range[at].first <= first && last <= r->range[at].last;
    if (unlikely(!in)) {
        at = find(r, first);
        in = at < r->nr && r->range[at].first <= first && last <= r->range[at].last;
        r->last_hit = at;
    }
    spin_unlock(&r->lock);
    return in;
}

bool rangeset_is_empty(struct rangeset *r)
{
    return !r || !READ_ONCE(r->nr);
}
