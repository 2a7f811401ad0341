/*
 * What the decompression libraries (common/decompress.c) ask of a C library: memory from the page allocator,
 * and stdio that nothing calls, since only the buffer-to-buffer entry points are used. An allocation is a
 * block of pages whose first 16 bytes tell its order. Used at boot only, from one CPU.
 */
#include <bh/arch.h>
#include <bh/page_alloc.h>
#include <bh/printk.h>
#include <bh/string.h>

#define HEADER  16
#define LARGEST (256UL << 20)

void *malloc(size_t bytes);
void *calloc(size_t n, size_t bytes);
void free(void *p);
void __stack_chk_fail(void);
void libc_unreachable(void);

void *malloc(size_t bytes)
{
    unsigned int order = page_order(bytes + HEADER);

    if (bytes > LARGEST)
        return NULL;
    struct page_info *pg = page_alloc(order, 0);
    if (!pg)
        return NULL;
    uint8_t *block = arch_map(page_to_mfn(pg));
    *(uint64_t *)block = order;
    return block + HEADER;
}

void *calloc(size_t n, size_t bytes)
{
    size_t total;

    if (__builtin_mul_overflow(n, bytes, &total))
        return NULL;
    void *p = malloc(total);
    return p ? memset(p, 0, total) : NULL;
}

void free(void *p)
{
    if (!p)
        return;
    uint8_t *block = (uint8_t *)p - HEADER;
    page_free(mfn_to_page(arch_unmap(block)), (unsigned int)*(uint64_t *)block);
}

void __stack_chk_fail(void)
{
    panic("a decompression library overran its stack");
}

void libc_unreachable(void)
{
    panic("a decompression library called a function of the C library that is not there");
}

#define UNREACHABLE(name) void name(void) __attribute__((alias("libc_unreachable")));
UNREACHABLE(__ctype_b_loc)
UNREACHABLE(__fprintf_chk)
UNREACHABLE(exit)
UNREACHABLE(fclose)
UNREACHABLE(fdopen)
UNREACHABLE(ferror)
UNREACHABLE(fflush)
UNREACHABLE(fgetc)
UNREACHABLE(fopen64)
UNREACHABLE(fputc)
UNREACHABLE(fread)
UNREACHABLE(fwrite)
UNREACHABLE(ungetc)

/* Named by code that is never reached. */
void *stdin, *stdout, *stderr;

/* libzstd's weak hooks for tracing: nobody traces. */
unsigned long ZSTD_trace_decompress_begin(const void *context);
void ZSTD_trace_decompress_end(unsigned long trace, const void *summary);

unsigned long ZSTD_trace_decompress_begin(const void *context)
{
    return 0;
}

void ZSTD_trace_decompress_end(unsigned long trace, const void *summary)
{
}
