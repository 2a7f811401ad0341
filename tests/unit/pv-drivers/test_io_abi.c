/* Our split-driver headers say the same as those of Xen 4.17. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>

#include "abi_list.h"

#include <cmocka.h>

static void every_fact_is_the_same(void **state)
{
    for (size_t i = 0; i < abi_ours_count; i++)
        if (abi_ours[i].value != abi_xens[i].value)
            fail_msg("%s: ours %llu, Xen's %llu", abi_ours[i].name, abi_ours[i].value, abi_xens[i].value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(every_fact_is_the_same)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
