/*
 * Reading and naming wire messages: framing, argument strings, numbers, error names. Pure functions on bytes.
 */
#ifndef BH_XS_WIRE_H
#define BH_XS_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <xen/io/xs_wire.h>

#define WIRE_MESSAGE_MAX (sizeof(struct xsd_sockmsg) + XENSTORE_PAYLOAD_MAX)

/*
 * Looks at the start of a byte stream. Returns the size of the first message when it is there in full, 0 when
 * more bytes are needed, -1 when its header asks for more than XENSTORE_PAYLOAD_MAX. *hdr is valid whenever
 * 16 bytes are.
 */
int wire_frame(const void *data, size_t len, struct xsd_sockmsg *hdr);

/* The single argument of a request: the payload must be one string with its nul at the very end. NULL if not.
 */
const char *wire_one(const char *payload, size_t len);

/* Fills v with the strings of the payload, at most max. Returns how many complete (nul-terminated) ones there
 * are. */
unsigned wire_strings(const char *payload, size_t len, const char **v, unsigned max);

/* Decimal number up to max, nothing else in the string. */
bool wire_number(const char *s, uint64_t max, uint64_t *out);

const char *wire_error_name(int err);
const char *wire_type_name(uint32_t type);

#endif
