/* Kernel files from hostile hands: bzImage, packed payloads, ELF headers, notes, the layout that follows. */
#include <stdlib.h>
#include "dom0-tools/lib/internal.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void parse(struct bh *h, const uint8_t *data, size_t size)
{
    const uint64_t nr_pages = 4096;
    struct pv_kernel kernel;
    struct pv_layout layout;
    uint64_t *mfns, *memory;

    if (pv_kernel_parse(h, data, size, &kernel) || pv_layout(h, &kernel, nr_pages, 5000, &layout))
        return;
    for (unsigned int i = 0; i < kernel.segment_count; i++) {
        const struct pv_segment *s = &kernel.segments[i];
        uint64_t end = s->pfn + ((s->offset_in_page + s->memory_size + PAGE_BYTES - 1) >> PAGE_SHIFT);

        if (end > nr_pages || s->file_offset + s->file_size > size || s->file_size > s->memory_size)
            abort();
    }
    mfns = calloc(nr_pages, sizeof(*mfns));
    memory = calloc(layout.tables_count, PAGE_BYTES);
    for (uint64_t i = 0; i < nr_pages; i++)
        mfns[i] = i + 1;
    pv_page_tables(&layout, mfns, memory);
    free(memory);
    free(mfns);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct bh *h = bh_open();
    uint8_t *out = NULL;
    size_t out_size;

    parse(h, data, size);
    if (bzimage_unpack(h, data, size, &out, &out_size) == 0)
        parse(h, out, out_size);
    free(out);
    out = NULL;
    unpack_any(h, data, size, 1 << 20, &out, &out_size);
    free(out);
    bh_close(h);
    return 0;
}
