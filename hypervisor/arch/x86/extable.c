/* The table that EXTABLE() entries make: pairs of addresses, in no order. Looked at only when a fault
 * happened. */
#include <asm/trap.h>

struct extable_entry {
    uint64_t from, to;
};
extern const struct extable_entry extable_start[], extable_end[];

uint64_t extable_lookup(uint64_t rip)
{
    for (const struct extable_entry *e = extable_start; e < extable_end; e++)
        if (e->from == rip)
            return e->to;
    return 0;
}
