/* Granting pages of ours to another domain; version 1 of the table, a free list through our own array. */
#ifndef FRONTEND_GRANT_H
#define FRONTEND_GRANT_H

#include "services.h"

#define GRANT_FRAMES 4u
#define GRANT_NONE   0u /* never a reference of ours: the first ones are reserved */

/* Maps the grant table. Returns 0 or FE_ERROR. */
int grant_init(void);
/* Lets domid use the page. Returns the reference, GRANT_NONE when the table is full. */
grant_ref_t grant_give(domid_t domid, const void *page, bool read_only);
/* Takes the page back; false when the other side still has it mapped. */
bool grant_end(grant_ref_t ref);

#endif
