/*
 * Grant tables: what a domain lets others use of its memory (its table and the pins on it), and what it uses
 * of others' (its maptrack handles).
 *
 * Owner side: the shared frames hold entries that the guest writes; active[ref] counts in `pins` how often
 * the entry is in use and how. While pins != 0 the frame, the user and the kind of the entry are those of
 * active[ref], whatever the guest writes. Invariant (grant.c, publish_pins): GTF_writing is set while a
 * writing pin exists, GTF_reading while any exists.
 *
 * User side: a maptrack entry says which (domain, ref) a handle maps and how; it holds one pin per kind of
 * mapping and a reference to the owner's domain.
 *
 * Locks: table->lock covers a table's frames, version, active entries; table->maptrack_lock its handles. One
 * at a time, never two tables' locks together.
 */
#ifndef BH_GRANT_H
#define BH_GRANT_H

#include <bh/types.h>
#include <bh/page.h>
#include <public/grant_table.h>

struct grant_table;

#define GRANT_DEFAULT_FRAMES   64
#define GRANT_DEFAULT_MAPTRACK 1024
#define GRANT_MAX_FRAMES       1024
#define GRANT_MAX_MAPTRACK     32768

/*
 * Makes d's empty table: one frame at once, at most max_frames of entries and max_maptrack frames of handles
 * (256 to a frame; 0 frames: the domain cannot map; < 0: default), highest version allowed. Sets d->grant.
 * Returns 0, -EINVAL, -ENOMEM; destroy accepts what failed.
 */
int must_check grant_table_init(struct domain *d, int32_t max_frames, int32_t max_maptrack,
                                uint32_t max_version);
/*
 * The domain goes: gives up every mapping that it made of others' grants, then its own frames. What others
 * still map of it stays accounted until they unmap it. 0: done, -EAGAIN: preempted, call again.
 */
int must_check grant_table_release(struct domain *d);
/* Frees the rest, when the last reference to d is gone. Idempotent. */
void grant_table_destroy(struct domain *d);

/*
 * The frame with entries (or, status, with version 2's status words) at `index`, growing the table as needed:
 * for XENMEM_add_to_physmap and XENMEM_acquire_resource. Returns 0, -EINVAL, -ENOMEM; v: for the cause.
 */
int must_check grant_table_frame(struct vcpu *v, struct domain *d, uint32_t index, bool status, mfn_t *mfn);

/* How many frames of that kind d may have at most. */
uint32_t grant_table_max_frames(const struct domain *d, bool status);

/* Prints the table and the grants in use to the console (debug key g). */
void grant_dump(struct domain *d);

#endif
