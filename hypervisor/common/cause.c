/*
 * Cause records (bh/cause.h) and their text. A record costs a few stores at the failing check; everything
 * else happens when somebody asks (common/bulkhead_op.c).
 */
#include <bh/cause.h>
#include <bh/arch.h>
#include <bh/domain.h>
#include <bh/errno.h>
#include <bh/printk.h>
#include <public/bulkhead.h>

static _Atomic uint64_t last_sequence;

int fail(struct vcpu *v, int error, const char *check, uint64_t a, uint64_t b)
{
    struct cause *c;

    if (unlikely(!v))
        return error;
    c = &v->cause;
    c->check = check;
    c->value[0] = a;
    c->value[1] = b;
    c->error = error;
    c->unknown_number = false;
    c->time_ns = arch_now();
    arch_hypercall_args(v, &c->hypercall, &c->subop);
    c->sequence = atomic_fetch_add_explicit(&last_sequence, 1, memory_order_relaxed) + 1;
    return error;
}

void cause_settle(struct cause *c)
{
    if (!c->unknown_number)
        return;
    c->unknown_number = false;
    c->check = "hypercall: this number is not implemented";
    c->error = -ENOSYS;
    c->hypercall = BULKHEAD_CAUSE_ANY;
    c->subop = 0;
    c->time_ns = arch_now();
    c->sequence = atomic_fetch_add_explicit(&last_sequence, 1, memory_order_relaxed) + 1;
}

/* Small numbers are counts and ids, large ones addresses and frames. */
static int put_value(char *out, size_t size, uint64_t value)
{
    if (value < 10000)
        return bh_snprintf(out, size, "%lu", value);
    if (-value < 10000)
        return bh_snprintf(out, size, "-%lu", -value);
    return bh_snprintf(out, size, "%#lx", value);
}

void cause_format(const struct cause *c, char *out, size_t size)
{
    const char *p = c->check ? c->check : "";
    size_t at = 0;

    while (*p && at + 1 < size) {
        if (p[0] == '{' && (p[1] == '0' || p[1] == '1') && p[2] == '}') {
            at += (size_t)put_value(out + at, size - at, c->value[p[1] - '0']);
            p += 3;
        } else {
            out[at++] = *p++;
        }
    }
    out[MIN(at, size - 1)] = '\0';
}
