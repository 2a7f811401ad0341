/*
 * Causes: why the last hypercall of a vcpu failed.
 *
 * Every check that refuses a request returns through fail(), which notes the check's text and two values in
 * the calling vcpu and hands the error back. Nothing is formatted until someone asks (public/bulkhead.h). The
 * text is a constant whose {0} and {1} stand for the values: name the object, the check, and the limit.
 */
#ifndef BH_CAUSE_H
#define BH_CAUSE_H

#include <bh/types.h>

struct cause {
    uint64_t sequence; /* 0: none yet; else grows with every record of the machine */
    uint64_t time_ns;
    uint64_t value[2];
    const char *check;
    uint32_t hypercall, subop; /* subop: first argument of the hypercall where it has one */
    int32_t error;
    bool unknown_number; /* newer than the rest: a number that no hypercall has; cause_settle() makes it the
                            record */
};

/* Notes the failing check in `v` (NULL: nobody to tell) and returns `error`, which is negative. */
int fail(struct vcpu *v, int error, const char *check, uint64_t a, uint64_t b);

/*
 * A guest that probes numbers must cost next to nothing, so hypercall_unknown() only sets unknown_number.
 * This turns it into a record, with BULKHEAD_CAUSE_ANY for the number, which nobody noted.
 */
void cause_settle(struct cause *c);
/* The record's text with its values in place; NUL-terminated, cut to size (at least 1). */
void cause_format(const struct cause *c, char *out, size_t size);

#endif
