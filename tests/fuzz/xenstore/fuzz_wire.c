/*
 * Messages from a domain and from a local client, byte for byte as the fuzzer likes, into the dispatcher with
 * all the store behind it. After each input everything is torn down and the accounts must be back where they
 * were.
 */
#include "fuzz_server.h"

#include <string.h>

/* A control command that opens a file by name is not for random names. */
static bool opens_file(const struct xsd_sockmsg *hdr, const char *payload)
{
    static const char *const command[] = {"logfile", "trace", "memreport"};

    for (unsigned i = 0; i < ARRAY_LEN(command) && hdr->type == XS_CONTROL; i++) {
        if (hdr->len > strlen(command[i]) && strcmp(payload, command[i]) == 0) {
            return true;
        }
    }
    return false;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct server s;
    struct conn *c[2];
    struct xsd_sockmsg hdr;
    struct account *a;

    fuzz_server_begin(&s);
    c[0] = fuzz_conn(&s, 0);
    c[1] = fuzz_conn(&s, 5);
    while (len > 3) {
        /* Compact headers: type, which client and transaction, length. */
        uint32_t type = data[0] % (XS_TYPE_COUNT + 1);
        struct conn *who = c[data[1] & 1];
        size_t n = data[2] * (data[1] & 2 ? 16 : 1);

        hdr = (struct xsd_sockmsg){.type = type, .req_id = 1, .tx_id = (data[1] >> 4) & 3};
        data += 3;
        len -= 3;
        n = n < len ? n : len;
        n = n < XENSTORE_PAYLOAD_MAX ? n : XENSTORE_PAYLOAD_MAX;
        hdr.len = (uint32_t)n;
        if (!opens_file(&hdr, (const char *)data)) {
            dispatch(&s, who, &hdr, (const char *)data);
        }
        data += n;
        len -= n;
    }
    conn_free(&s, c[1]);
    a = account_find(&s.store.quotas, 5);
    if (a && (a->watches || a->txns || a->other_bytes)) {
        __builtin_trap();
    }
    fuzz_server_end(&s);
    return 0;
}
