/*
 * What must hold whatever a guest does. BUG_ON is always compiled; ASSERT only in a hostile build (make
 * DEBUG=y). Never on guest input.
 */
#ifndef BH_ASSERT_H
#define BH_ASSERT_H

#include <bh/printk.h>

#ifndef BULKHEAD_DEBUG
#define BULKHEAD_DEBUG 0
#endif

#define BUG() panic("BUG at %s:%d", __FILE__, __LINE__)
#define BUG_ON(cond)                                                                                         \
    do {                                                                                                     \
        if (unlikely(cond))                                                                                  \
            panic("BUG at %s:%d: %s", __FILE__, __LINE__, #cond);                                            \
    } while (0)
/* The condition is compiled always, and evaluated in a debug build only. */
#define ASSERT(cond)                                                                                         \
    do {                                                                                                     \
        if (BULKHEAD_DEBUG && unlikely(!(cond)))                                                             \
            panic("assertion at %s:%d: %s", __FILE__, __LINE__, #cond);                                      \
    } while (0)

#endif
