/* Reading and naming wire messages. See wire.h. */
#include <errno.h>
#include "wire.h"

#include <string.h>

int wire_frame(const void *data, size_t len, struct xsd_sockmsg *hdr)
{
    if (len < sizeof(*hdr)) {
        return 0;
    }
    memcpy(hdr, data, sizeof(*hdr));
    if (hdr->len > XENSTORE_PAYLOAD_MAX) {
        return -1;
    }
    return len - sizeof(*hdr) >= hdr->len ? (int)(sizeof(*hdr) + hdr->len) : 0;
}

const char *wire_one(const char *payload, size_t len)
{
    if (len == 0 || memchr(payload, '\0', len) != payload + len - 1) {
        return NULL;
    }
    return payload;
}

unsigned wire_strings(const char *payload, size_t len, const char **v, unsigned max)
{
    const char *end = payload + len;
    unsigned n = 0;

    while (payload < end) {
        const char *nul = memchr(payload, '\0', (size_t)(end - payload));

        if (!nul) {
            break;
        }
        if (n < max) {
            v[n] = payload;
        }
        n++;
        payload = nul + 1;
    }
    return n;
}

bool wire_number(const char *s, uint64_t max, uint64_t *out)
{
    uint64_t v = 0;

    if (*s == '\0') {
        return false;
    }
    for (; *s; s++) {
        if (*s < '0' || *s > '9' || v > (UINT64_MAX - 9) / 10) {
            return false;
        }
        v = v * 10 + (uint64_t)(*s - '0');
        if (v > max) {
            return false;
        }
    }
    *out = v;
    return true;
}

const char *wire_error_name(int err)
{
    for (size_t i = 0; i < sizeof(xsd_errors) / sizeof(xsd_errors[0]); i++) {
        if (xsd_errors[i].errnum == err) {
            return xsd_errors[i].errstring;
        }
    }
    return "EINVAL";
}

const char *wire_type_name(uint32_t type)
{
    static const char *const name[XS_TYPE_COUNT] = {
        [XS_CONTROL] = "control",
        [XS_DIRECTORY] = "directory",
        [XS_READ] = "read",
        [XS_GET_PERMS] = "get-perms",
        [XS_WATCH] = "watch",
        [XS_UNWATCH] = "unwatch",
        [XS_TRANSACTION_START] = "transaction-start",
        [XS_TRANSACTION_END] = "transaction-end",
        [XS_INTRODUCE] = "introduce",
        [XS_RELEASE] = "release",
        [XS_GET_DOMAIN_PATH] = "get-domain-path",
        [XS_WRITE] = "write",
        [XS_MKDIR] = "mkdir",
        [XS_RM] = "rm",
        [XS_SET_PERMS] = "set-perms",
        [XS_WATCH_EVENT] = "watch-event",
        [XS_ERROR] = "error",
        [XS_IS_DOMAIN_INTRODUCED] = "is-domain-introduced",
        [XS_RESUME] = "resume",
        [XS_SET_TARGET] = "set-target",
        [XS_RESET_WATCHES] = "reset-watches",
        [XS_DIRECTORY_PART] = "directory-part",
    };

    return type < XS_TYPE_COUNT && name[type] ? name[type] : "unknown";
}
