/* Any slot and any indirect page: what is accepted lies on the device and within its pages. */
#include <stdlib.h>
#include <string.h>

#include "../../../pv-drivers/blkback/request.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const struct request *r, const struct request_limits *limits)
{
    uint64_t sum = 0;
    if (r->segments > REQUEST_MAX_SEGMENTS)
        abort();
    for (unsigned i = 0; i < r->segments; i++) {
        if (r->segment[i].first_sect > r->segment[i].last_sect || r->segment[i].last_sect >= SECTORS_PER_PAGE)
            abort();
        sum += r->segment[i].last_sect - r->segment[i].first_sect + 1u;
    }
    if (r->segments && sum != r->sectors)
        abort();
    if (r->sector > limits->sectors || r->sectors > limits->sectors - r->sector)
        abort();
    if (limits->read_only &&
        (r->kind == REQUEST_WRITE || r->kind == REQUEST_BARRIER || r->kind >= REQUEST_DISCARD))
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct request r;
    uint8_t slot[REQUEST_SLOT_BYTES_64] = {0};
    struct blkif_request_segment list[REQUEST_MAX_SEGMENTS] = {{0}};
    const char *why;
    if (size < 2)
        return 0;
    struct request_limits limits = {.sectors = data[0] & 1 ? 1u << (data[0] >> 3) : ~0ull >> (data[0] >> 3),
                                    .read_only = data[0] & 2,
                                    .discard = data[0] & 4,
                                    .secure_discard = data[1] & 2};
    enum request_abi abi = data[1] & 1 ? REQUEST_ABI_32 : REQUEST_ABI_64;
    data += 2;
    size -= 2;
    size_t head = size < sizeof(slot) ? size : sizeof(slot);
    memcpy(slot, data, head);
    size_t rest = size - head < sizeof(list) ? size - head : sizeof(list);
    memcpy(list, data + head, rest);
    int status = request_decode(slot, abi, &limits, &r, &why);
    if (status == 0 && r.indirect)
        status = request_decode_indirect(&r, list, &limits, &why);
    if (status == 0)
        check(&r, &limits);
    return 0;
}
