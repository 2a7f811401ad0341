#include "ring.h"

size_t console_peek(const struct console_page *page, char *to, size_t room, bool *broken)
{
    uint32_t untrusted_prod = __atomic_load_n(&page->out_prod, __ATOMIC_ACQUIRE);
    uint32_t cons = __atomic_load_n(&page->out_cons, __ATOMIC_RELAXED);
    uint32_t filled = untrusted_prod - cons;
    size_t taken = 0;

    *broken = filled > CONSOLE_OUT_BYTES;
    if (*broken)
        return 0;
    while (taken < filled && taken < room) {
        to[taken] = page->out[cons++ % CONSOLE_OUT_BYTES];
        taken++;
    }
    return taken;
}

void console_done(struct console_page *page, size_t size)
{
    __atomic_store_n(&page->out_cons, page->out_cons + (uint32_t)size, __ATOMIC_RELEASE);
}

size_t console_give(struct console_page *page, const char *from, size_t size, bool *broken)
{
    uint32_t untrusted_cons = __atomic_load_n(&page->in_cons, __ATOMIC_ACQUIRE);
    uint32_t prod = __atomic_load_n(&page->in_prod, __ATOMIC_RELAXED);
    uint32_t filled = prod - untrusted_cons;
    size_t given = 0;

    *broken = filled > CONSOLE_IN_BYTES;
    if (*broken)
        return 0;
    while (given < size && filled + given < CONSOLE_IN_BYTES)
        page->in[prod++ % CONSOLE_IN_BYTES] = from[given++];
    __atomic_store_n(&page->in_prod, prod, __ATOMIC_RELEASE);
    return given;
}
