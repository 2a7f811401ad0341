/* Starting our daemon and Xen's two beside it, for comparison. */
#ifndef BH_XS_PEERS_H
#define BH_XS_PEERS_H

#include <stdbool.h>
#include <sys/types.h>

/* PEER_NOTHING answers every request with the same few bytes and keeps nothing: what any daemon behind a socket costs at
 * least. It is not one of the PEER_COUNT that are compared. */
enum peer_kind { PEER_OURS, PEER_XENSTORED, PEER_OXENSTORED, PEER_COUNT, PEER_NOTHING = PEER_COUNT };

struct peer {
    enum peer_kind kind;
    const char *name;
    char dir[200];
    char socket[260];
    pid_t pid;
};

/* Is that daemon installed? */
bool peer_present(enum peer_kind kind);
const char *peer_name(enum peer_kind kind);
/* Starts it in a fresh directory, under callgrind (writing to `counts`) if that is given. Dies on failure. */
void peer_start(struct peer *p, enum peer_kind kind, const char *base, const char *counts);
/* Starts our daemon again on the state that it left. */
void peer_restart(struct peer *p);
void peer_stop(struct peer *p);
/* Tells callgrind, under which it runs, to begin counting anew, or to write what was counted since. */
void peer_callgrind(const struct peer *p, const char *option);
/* CPU time used so far, in ns. */
unsigned long long peer_cpu_ns(const struct peer *p);
/* Resident memory that is its own, in bytes. */
unsigned long long peer_memory(const struct peer *p);

#endif
