/*
 * A domain that may write its whole page at any time: the input is a list of writes into the page (indexes,
 * flags, bytes of the request ring), with a turn of the server after each. Nothing may crash, the other
 * domain must stay untouched, and memory must not grow beyond the domain's limits.
 */
#include "fuzz_server.h"
#include "ring.h"

#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct server s;
    struct domain *d;
    struct xenstore_domain_interface *page;

    fuzz_server_begin(&s);
    if (domain_introduce(&s, 5, 1, 1, true, &d)) {
        __builtin_trap();
    }
    page = d->ring.page;
    while (len > 4) {
        uint32_t v = (uint32_t)data[1] | (uint32_t)data[2] << 8;
        uint32_t n = data[3] < len - 4 ? data[3] : (uint32_t)(len - 4);

        switch (data[0] % 8) {
        case 0: /* an honest message */
        case 1:
            ring_put(page->req, page->req_prod, data + 4, n);
            page->req_prod += n;
            break;
        case 2:
            page->rsp_cons = page->rsp_prod;
            break;
        case 3:
            page->req_prod += v;
            break;
        case 4:
            page->rsp_cons += v;
            break;
        case 5:
            page->req_cons = v;
            page->rsp_prod = v;
            break;
        case 6:
            page->connection = v & 3;
            break;
        default:
            ring_put(page->req, v, data + 4, n);
        }
        data += 4 + n;
        len -= 4 + n;
        if (domain_find(&s, 5) != d) {
            break;
        }
        ring_turn(&s, d->conn);
        ring_flush(&s, d->conn);
        if (account_memory(d->conn->account) > (9u << 20) || d->conn->in.len > WIRE_MESSAGE_MAX) {
            __builtin_trap();
        }
    }
    fuzz_server_end(&s);
    return 0;
}
