/* What the tests of PV memory management share. */
#ifndef MM_TEST_H
#define MM_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#undef fail /* ours: bh/cause.h */
#undef fail_msg
#define fail_msg(...) (print_error(__VA_ARGS__), print_error("\n"), _fail(__FILE__, __LINE__))

#include <asm/layout.h>
#include <asm/mm.h>
#include <bh/arch.h>
#include <bh/hypercall.h>
#include <bh/page_alloc.h>
#include <public/memory.h>
#include <public/xen.h>
#include "fake_mm.h"

#define P (PTE_PRESENT)
#define W (PTE_WRITE)
#define U (PTE_USER)

/* The world of a test: a privileged domain with 64 pages from frame `base` on. */
struct world {
    struct domain *d;
    struct vcpu *v;
    uint64_t base;
};
extern struct world world;

static inline uint64_t entry_of(uint64_t frame, uint64_t flags)
{
    return frame << PAGE_SHIFT | flags;
}

/* Frame number of the domain's page i. */
static inline uint64_t own(unsigned int i)
{
    return world.base + i;
}

int setup_world(void **state);
int teardown_world(void **state);

long mmuext(unsigned int cmd, uint64_t arg1, uint64_t arg2);
long mmuext_on(unsigned int cmd, uint64_t arg1, uint64_t arg2, unsigned int domid);
long update(uint64_t frame, unsigned int index, uint64_t val, unsigned int command);
static inline long pin(unsigned int level, uint64_t frame)
{
    return mmuext(MMUEXT_PIN_L1_TABLE + level - 1, frame, 0);
}
static inline long unpin(uint64_t frame)
{
    return mmuext(MMUEXT_UNPIN_TABLE, frame, 0);
}
static inline uint64_t type_of(uint64_t frame)
{
    return frame_table[frame].type & PGT_type_mask;
}
static inline uint64_t uses_of(uint64_t frame)
{
    return frame_table[frame].type & PGT_count_mask;
}
static inline uint64_t refs_of(uint64_t frame)
{
    return frame_table[frame].refs & PGC_count_mask;
}
/* Own pages 0..3 become a hierarchy: 0 is level 4, 3 level 1, which maps page 8 at virtual address 0,
 * writable. */
void build_hierarchy(void);

extern const struct CMUnitTest table_tests[], update_tests[], write_tests[], memory_op_tests[];
extern const size_t n_table_tests, n_update_tests, n_write_tests, n_memory_op_tests;
#define MM_TEST(f) cmocka_unit_test_setup_teardown(f, setup_world, teardown_world)

#endif
