/* Runs the groups, and makes the world they share. */
#include "mm_test.h"

struct world world;

int setup_world(void **state)
{
    fake_reset();
    world.d = fake_domain(0, 64, &world.base);
    world.d->privileged = true;
    world.v = world.d->vcpu[0];
    fake_current = world.v;
    return 0;
}

/* Whatever a test did, the counts hold, and the domain can go without leaving anything behind. */
int teardown_world(void **state)
{
    fake_check();
    fake_end(world.d);
    for (unsigned int i = 0; i < 64; i++)
        assert_true(frame_table[own(i)].owner == NULL || fake_held_refs[own(i)] ||
                    fake_held_writable[own(i)]);
    fake_reset();
    return 0;
}

long mmuext_on(unsigned int cmd, uint64_t arg1, uint64_t arg2, unsigned int domid)
{
    struct mmuext_op op = {.cmd = cmd, .arg1.mfn = arg1, .arg2.src_mfn = arg2};

    return fake_call(do_mmuext_op, world.v, (unsigned long)&op, 1, 0, domid);
}

long mmuext(unsigned int cmd, uint64_t arg1, uint64_t arg2)
{
    return mmuext_on(cmd, arg1, arg2, DOMID_SELF);
}

long update(uint64_t frame, unsigned int index, uint64_t val, unsigned int command)
{
    struct mmu_update req = {.ptr = frame << PAGE_SHIFT | index * 8 | command, .val = val};

    return fake_call(do_mmu_update, world.v, (unsigned long)&req, 1, 0, DOMID_SELF);
}

void build_hierarchy(void)
{
    for (unsigned int i = 0; i < 3; i++)
        fake_table(own(i))[0] = entry_of(own(i + 1), P | W | U);
    fake_table(own(3))[0] = entry_of(own(8), P | W);
}

int main(void)
{
    static struct CMUnitTest tests[128];
    size_t n = 0;
    const struct {
        const struct CMUnitTest *tests;
        size_t n;
    } groups[] = {
        {table_tests, n_table_tests},
        {update_tests, n_update_tests},
        {write_tests, n_write_tests},
        {memory_op_tests, n_memory_op_tests},
    };

    for (size_t g = 0; g < sizeof(groups) / sizeof(groups[0]); g++)
        for (size_t i = 0; i < groups[g].n; i++)
            tests[n++] = groups[g].tests[i];
    return _cmocka_run_group_tests("hv-mm", tests, n, NULL, NULL);
}
