/*
 * The console ring, as the back end sees it. The page is shared with the guest: indexes are read once and
 * checked, what they say is never trusted twice.
 */
#ifndef BH_CONSOLED_RING_H
#define BH_CONSOLED_RING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CONSOLE_IN_BYTES  1024
#define CONSOLE_OUT_BYTES 2048

struct console_page {
    char in[CONSOLE_IN_BYTES];
    char out[CONSOLE_OUT_BYTES];
    uint32_t in_cons, in_prod, out_cons, out_prod;
};

/* Copies what the guest wrote, at most room bytes. *broken: the guest's indexes make no sense. */
size_t console_peek(const struct console_page *page, char *to, size_t room, bool *broken);
/* Gives the guest the room of `size` bytes back: called once they are in the log, so that a daemon that is killed in
 * between repeats them rather than losing them. */
void console_done(struct console_page *page, size_t size);
/* Gives the guest input; returns how much fitted. */
size_t console_give(struct console_page *page, const char *from, size_t size, bool *broken);

#endif
