/*
 * The state file: a header, then framed batches of records. A checkpoint is a file that begins with batches
 * which build the whole state; the journal goes on behind it in the same file.
 *
 * The file is mapped and shared, so a batch is in it as soon as it is copied: a process killed at any
 * instruction leaves either the whole batch or (its length still being 0) none of it. Each frame has a
 * sequence number and a checksum seeded with the file's random salt, so after a power cut, when pages may be
 * missing, damage is found and said. Numbers are in the machine's byte order; the file never leaves the
 * machine.
 */
#ifndef BH_XS_JOURNAL_H
#define BH_XS_JOURNAL_H

#include "util.h"

#define JOURNAL_VERSION 1

enum record {
    REC_END_OF_CHECKPOINT = 1, /* the state before this record is complete */
    REC_CREATE,                /* path, perms, value */
    REC_VALUE,
    REC_PERMS,
    REC_REMOVE,
    REC_SPECIAL, /* index, perms */
    REC_QUOTA,   /* domid or DOMID_NONE, limit, soft?, value */
    REC_DOMAIN,  /* introduced, or something about it changed */
    REC_RELEASE, /* no longer introduced */
    REC_DEAD,    /* rights forgotten */
    REC_WATCH,   /* conn key, path, token */
    REC_UNWATCH,
    REC_MISSED, /* an event for this watch is owed */
    REC_RESET,  /* watches and transactions of a conn dropped */
    REC_TXN,    /* conn key, id */
    REC_TXN_END,
    REC_OUT,      /* conn key, bytes queued for it */
    REC_RING,     /* where we are in a domain's rings */
    REC_SOCKET,   /* live update: a local connection */
    REC_LISTENER, /* live update: the listening socket */
    REC_COUNTERS,
};

struct journal_header {
    char magic[8];
    uint32_t version;
    uint32_t size;
    uint64_t generation;
    uint64_t salt;
    char boot_id[40]; /* of the kernel that ran when this was written */
    uint64_t check;
};

struct journal {
    int fd;
    uint8_t *map;
    size_t reserved;  /* address space */
    size_t allocated; /* file size */
    size_t used;
    size_t checkpoint; /* size of the checkpoint in front */
    uint64_t generation;
    uint64_t salt;
    uint32_t seq;
    struct buf batch;
    bool on;
    bool full; /* no room could be had; said once, checkpointing is the way out */
};

struct journal_stats {
    uint64_t generation;
    uint32_t batches;
    size_t good;   /* bytes that verified */
    bool complete; /* the checkpoint at the front is whole */
    bool damaged;  /* there is something behind the good bytes that does not verify */
    bool other_boot;
    const char *why; /* what was found wrong, or NULL */
};

/* Opens a new file for writing. Returns 0 or an errno. */
int journal_create(struct journal *j, const char *file, uint64_t generation);
void journal_close(struct journal *j);

/* Adds a record to the batch being built. Nothing happens while the journal is off. */
void journal_add(struct journal *j, enum record type, const void *a, size_t alen, const void *b, size_t blen,
                 const void *c, size_t clen);
/* Publishes the batch. False if there was no room for it (the batch is kept: a checkpoint includes its
 * effects). */
bool journal_commit(struct journal *j);

/* Walks the batches of a file's content; f gets each record. f returning false means the record makes no
 * sense. */
typedef bool journal_record_fn(void *ctx, enum record type, const uint8_t *data, size_t len);
bool journal_read(const uint8_t *data, size_t len, journal_record_fn *f, void *ctx,
                  struct journal_stats *stats);

void journal_boot_id(char out[40]);

/* Reading a record's fields: each returns false when the record is too short. */
struct reader {
    const uint8_t *at;
    size_t left;
};
bool read_bytes(struct reader *r, void *out, size_t len);
bool read_ref(struct reader *r, const void **out, size_t len);

#endif
