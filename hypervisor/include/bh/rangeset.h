/*
 * Sets of 64-bit numbers kept as sorted, disjoint, non-adjacent ranges: what a domain may reach (I/O memory
 * frames, pirqs, ports). A NULL set is empty. Each set has its own lock; bounded at RANGESET_MAX ranges so
 * that a guest's requests cannot grow it without limit.
 */
#ifndef BH_RANGESET_H
#define BH_RANGESET_H

#include <bh/types.h>

#define RANGESET_MAX 4096

struct rangeset;

struct rangeset *must_check rangeset_create(void); /* NULL: no memory */
void rangeset_destroy(struct rangeset *r);         /* NULL: nothing */
/* Both ends belong to the range. 0, -EINVAL (first > last), -ENOMEM, -ENOSPC. */
int must_check rangeset_add(struct rangeset *r, uint64_t first, uint64_t last);
int must_check rangeset_remove(struct rangeset *r, uint64_t first, uint64_t last);
bool rangeset_contains(struct rangeset *r, uint64_t first, uint64_t last);
bool rangeset_is_empty(struct rangeset *r);

#endif
