/*
 * Any bytes as LZMA2 chunks, beside liblzma: both accept the same strings and give the same bytes.
 */
#include <lzma.h>
#include <stdlib.h>
#include <string.h>
#include <bh/xz.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define ROOM (1UL << 16)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct lzma2 work;
    static uint8_t ours[ROOM], theirs[ROOM];
    lzma_options_lzma options = {.dict_size = 1U << 20};
    const lzma_filter filters[] = {{.id = LZMA_FILTER_LZMA2, .options = &options}, {.id = LZMA_VLI_UNKNOWN}};
    size_t in = 0, out = 0;
    uint64_t total = 0;

    work.in = data;
    work.in_end = data + size;
    work.out = ours;
    work.out_end = ours + ROOM;
    bool accepted = lzma2_decode(&work);
    lzma_ret rc = lzma_raw_buffer_decode(filters, NULL, data, &in, size, theirs, &out, ROOM);
    if (accepted != (rc == LZMA_OK))
        abort();
    if (!accepted)
        return 0;
    if ((size_t)(work.out - ours) != out || memcmp(ours, theirs, out) || work.in != data + in)
        abort();
    if (lzma2_skip(data, data + size, &total) != data + in || total != out)
        abort();
    return 0;
}
