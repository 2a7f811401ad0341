/*
 * Counters of one device in a small file that anyone may map: they cost a plain addition, are always up to
 * date, and survive the process. Words are 64 bits, little endian: 0 the magic, 1 the number of counters,
 * then the counters.
 */
#ifndef PV_STATS_H
#define PV_STATS_H

#include <stddef.h>
#include <stdint.h>

#define STATS_MAGIC    "BHPVST01"
#define STATS_COUNTERS 13

enum stats_vbd {
    VBD_READS,
    VBD_WRITES,
    VBD_FLUSHES,
    VBD_DISCARDS,
    VBD_SECTORS_READ,
    VBD_SECTORS_WRITTEN,
    VBD_ERRORS,
    VBD_NOTIFICATIONS,
    VBD_EVENTS,
    VBD_GRANT_CALLS,
    VBD_GRANTS,
    VBD_CONNECTS,
    VBD_REPLAYED,
};

enum stats_vif {
    VIF_TX_PACKETS,
    VIF_TX_BYTES,
    VIF_RX_PACKETS,
    VIF_RX_BYTES,
    VIF_TX_DROPPED,
    VIF_RX_DROPPED,
    VIF_ERRORS,
    VIF_NOTIFICATIONS,
    VIF_EVENTS,
    VIF_GRANT_CALLS,
    VIF_GRANTS,
    VIF_CONNECTS,
    VIF_REPLAYED,
};

struct stats {
    char magic[8];
    uint64_t counters;
    uint64_t value[STATS_COUNTERS];
};

/* Opens or creates directory/kind-domid-devid.stats. Never fails: without the file the counters are private.
 */
struct stats *stats_open(const char *directory, const char *kind, unsigned domid, unsigned devid);
/*
 * Maps directory/kind-domid-devid.state, bytes long and zero at first: what a restarted process has to know
 * and the guest does not. Never fails: without the file it is private memory, and a restart may then repeat
 * an answer.
 */
void *state_open(const char *directory, const char *kind, unsigned domid, unsigned devid, size_t bytes);
#endif
