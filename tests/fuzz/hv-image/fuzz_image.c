/*
 * Any bytes as a kernel file: found, unpacked, parsed as the control domain's builder does. The parser may
 * refuse; it may not read outside of the file, and what it accepts must lie inside.
 */
#include <stdlib.h>
#include <bh/elf.h>
#include <bh/kernel_image.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define MAX_OUTPUT (4UL << 20)

static void parse(const uint8_t *image, uint64_t size)
{
    struct elf_kernel kernel;

    if (elf_parse(image, size, &kernel))
        return;
    for (uint32_t i = 0; i < kernel.nr_segments; i++) {
        const struct elf_segment *s = &kernel.segment[i];
        if (s->file_offset > size || s->file_size > size - s->file_offset || s->file_size > s->memory_size ||
            s->paddr < kernel.paddr_start || s->paddr + s->memory_size > kernel.paddr_end)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct kernel_payload payload;

    parse(data, size);
    if (kernel_payload(data, size, &payload))
        return 0;
    if (payload.bytes < data || payload.size > size || payload.bytes + payload.size > data + size)
        abort();
    if (!payload.unpacked_size || payload.unpacked_size > MAX_OUTPUT)
        return 0;
    uint8_t *out = malloc(payload.unpacked_size);
    if (out && !kernel_unpack(&payload, out))
        parse(out, payload.unpacked_size);
    free(out);
    return 0;
}
