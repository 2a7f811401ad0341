/* Kernel files: made here field by field, whole and damaged in each way that a sentence exists for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>
#include <bzlib.h>
#include <lz4.h>
#include <lzma.h>
#include <zlib.h>
#include <zstd.h>
#include <bh/elf.h>
#include <bh/kernel_image.h>
#include <public/elfnote.h>

#define IMAGE_SIZE 4096
#define NOTES_AT   512
#define CODE_AT    1024
#define CODE_BYTES 2000
#define FILE_SIZE  16384
#define PAYLOAD_AT 1024 /* one set-up sector follows the boot sector */

static void put(uint8_t *at, uint64_t value, unsigned int bytes)
{
    for (unsigned int i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static size_t note(uint8_t *at, uint32_t type, const void *desc, uint32_t size)
{
    put(at, 4, 4);
    put(at + 4, size, 4);
    put(at + 8, type, 4);
    memcpy(at + 12, "Xen", 4);
    memcpy(at + 16, desc, size);
    return 16 + ROUND_UP(size, 4);
}

static void program_header(uint8_t *at, uint32_t type, uint64_t offset, uint64_t paddr, uint64_t file,
                           uint64_t memory)
{
    put(at, type, 4);
    put(at + 8, offset, 8);
    put(at + 16, paddr + 0xffffffff80000000UL, 8);
    put(at + 24, paddr, 8);
    put(at + 32, file, 8);
    put(at + 40, memory, 8);
}

/* A kernel with one segment to load and the notes of a stock Linux. */
static void make_elf(uint8_t *e)
{
    const uint64_t base = 0xffffffff80000000UL, entry = base + 0x1000000, page = base + 0x1001000,
                   p2m = 0x8000000000UL;
    size_t n = 0;

    memset(e, 0, IMAGE_SIZE);
    memcpy(e, "\177ELF\2\1\1", 7);
    put(e + 16, 2, 2);
    put(e + 18, 62, 2);
    put(e + 24, 0x1000000, 8);
    put(e + 32, 64, 8);
    put(e + 54, 56, 2);
    put(e + 56, 2, 2);
    n += note(e + NOTES_AT + n, XEN_ELFNOTE_ENTRY, &entry, 8);
    n += note(e + NOTES_AT + n, XEN_ELFNOTE_HYPERCALL_PAGE, &page, 8);
    n += note(e + NOTES_AT + n, XEN_ELFNOTE_VIRT_BASE, &base, 8);
    n += note(e + NOTES_AT + n, XEN_ELFNOTE_INIT_P2M, &p2m, 8);
    n += note(e + NOTES_AT + n, XEN_ELFNOTE_GUEST_OS, "linux", 6);
    n += note(e + NOTES_AT + n, XEN_ELFNOTE_SUPPORTED_FEATURES, &(uint32_t){1U << 11}, 4);
    program_header(e + 64, 1, CODE_AT, 0x1000000, CODE_BYTES, 0x200000);
    program_header(e + 64 + 56, 4, NOTES_AT, 0, n, n);
    for (unsigned int i = 0; i < CODE_BYTES; i++)
        e[CODE_AT + i] = (uint8_t)(i * 7);
}

static void stock_kernel_is_read(void **state)
{
    uint8_t e[IMAGE_SIZE];
    struct elf_kernel k;

    make_elf(e);
    assert_null(elf_parse(e, sizeof(e), &k));
    assert_int_equal(k.nr_segments, 1);
    assert_int_equal(k.paddr_start, 0x1000000);
    assert_int_equal(k.paddr_end, 0x1200000);
    assert_true(k.has_notes && k.has_virt_base && k.has_hypercall_page && k.has_init_p2m);
    assert_false(k.needs_unsupported);
    assert_int_equal(k.virt_entry, 0xffffffff81000000UL);
    assert_string_equal(k.guest_os, "linux");
}

static void foreign_files_are_named(void **state)
{
    uint8_t e[IMAGE_SIZE];
    struct elf_kernel k;

    make_elf(e);
    assert_non_null(strstr(elf_parse((const uint8_t *)"MZ", 2, &k), "neither"));
    e[4] = 1;
    assert_non_null(strstr(elf_parse(e, sizeof(e), &k), "not for 64-bit x86"));
    make_elf(e);
    put(e + 18, 183, 2); /* AArch64 */
    assert_non_null(strstr(elf_parse(e, sizeof(e), &k), "not for 64-bit x86"));
}

static void damaged_headers_are_refused(void **state)
{
    uint8_t e[IMAGE_SIZE];
    struct elf_kernel k;

    make_elf(e);
    assert_non_null(strstr(elf_parse(e, CODE_AT + 100, &k), "truncated"));
    put(e + 32, ~0UL - 8, 8);
    assert_non_null(strstr(elf_parse(e, sizeof(e), &k), "program headers"));
    make_elf(e);
    put(e + 64 + 40, 10, 8);
    assert_non_null(strstr(elf_parse(e, sizeof(e), &k), "more bytes in the file"));
    make_elf(e);
    put(e + 64 + 24, ~0UL - 4096, 8);
    assert_non_null(strstr(elf_parse(e, sizeof(e), &k), "wrap"));
    make_elf(e);
    put(e + 64, 7, 4);
    assert_non_null(strstr(elf_parse(e, sizeof(e), &k), "no segment"));
}

static void required_feature_is_noticed(void **state)
{
    uint8_t e[IMAGE_SIZE];
    struct elf_kernel k;
    static const char required[] = "pae_pgdir_above_4gb|!auto_translated_physmap";

    make_elf(e);
    size_t n = note(e + NOTES_AT, XEN_ELFNOTE_FEATURES, required, sizeof(required));
    program_header(e + 64 + 56, 4, NOTES_AT, 0, n, n);
    assert_null(elf_parse(e, sizeof(e), &k));
    assert_true(k.needs_unsupported);
}

static void note_that_lies_about_its_size_ends_the_list(void **state)
{
    uint8_t e[IMAGE_SIZE];
    struct elf_kernel k;

    make_elf(e);
    put(e + NOTES_AT + 4, 0xfffffff0, 4);
    assert_null(elf_parse(e, sizeof(e), &k));
    assert_false(k.has_notes);
}

static size_t pack_gzip(const uint8_t *from, uint8_t *to)
{
    z_stream z = {
        .next_in = (Bytef *)(uintptr_t)from, .avail_in = IMAGE_SIZE, .next_out = to, .avail_out = FILE_SIZE};

    assert_int_equal(deflateInit2(&z, 9, Z_DEFLATED, 31, 8, Z_DEFAULT_STRATEGY), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    size_t n = z.total_out;
    deflateEnd(&z);
    return n;
}

static size_t pack_xz(const uint8_t *from, uint8_t *to)
{
    size_t n = 0;

    assert_int_equal(lzma_easy_buffer_encode(6, LZMA_CHECK_CRC32, NULL, from, IMAGE_SIZE, to, &n, FILE_SIZE),
                     LZMA_OK);
    put(to + n, IMAGE_SIZE, 4);
    return n + 4;
}

static size_t pack_zstd(const uint8_t *from, uint8_t *to)
{
    size_t n = ZSTD_compress(to, FILE_SIZE, from, IMAGE_SIZE, 3);

    put(to + n, IMAGE_SIZE, 4);
    return n + 4;
}

static size_t pack_lz4(const uint8_t *from, uint8_t *to)
{
    int n = LZ4_compress_default((const char *)from, (char *)to + 8, IMAGE_SIZE, FILE_SIZE - 16);

    put(to, 0x184c2102, 4);
    put(to + 4, (uint64_t)n, 4);
    put(to + 8 + n, IMAGE_SIZE, 4);
    return (size_t)n + 12;
}

static size_t pack_bzip2(const uint8_t *from, uint8_t *to)
{
    unsigned int n = FILE_SIZE;

    assert_int_equal(BZ2_bzBuffToBuffCompress((char *)to, &n, (char *)(uintptr_t)from, IMAGE_SIZE, 9, 0, 0),
                     BZ_OK);
    put(to + n, IMAGE_SIZE, 4);
    return n + 4;
}

static size_t make_bzimage(uint8_t *file, size_t (*pack)(const uint8_t *from, uint8_t *to))
{
    uint8_t e[IMAGE_SIZE];

    make_elf(e);
    memset(file, 0, PAYLOAD_AT);
    file[0x1f1] = 1;
    put(file + 0x1fe, 0xaa55, 2);
    memcpy(file + 0x202, "HdrS", 4);
    put(file + 0x206, 0x20f, 2);
    size_t length = pack(e, file + PAYLOAD_AT);
    put(file + 0x24c, length, 4);
    return PAYLOAD_AT + length;
}

static void every_compression_unpacks(void **state)
{
    size_t (*const packers[])(const uint8_t *, uint8_t *) = {pack_gzip, pack_xz, pack_zstd, pack_lz4,
                                                             pack_bzip2};
    uint8_t *file = malloc(PAYLOAD_AT + FILE_SIZE), out[IMAGE_SIZE], whole[IMAGE_SIZE];
    struct kernel_payload p;

    make_elf(whole);
    for (size_t i = 0; i < ARRAY_SIZE(packers); i++) {
        size_t size = make_bzimage(file, packers[i]);
        assert_null(kernel_payload(file, size, &p));
        assert_int_equal(p.unpacked_size, IMAGE_SIZE);
        assert_null(kernel_unpack(&p, out));
        assert_memory_equal(out, whole, IMAGE_SIZE);
        /* A byte in the middle that changed, and a payload cut short: a sentence, and nothing written beyond.
         */
        file[PAYLOAD_AT + p.size / 2] ^= 0x55;
        assert_true(kernel_unpack(&p, out) || memcmp(out, whole, IMAGE_SIZE));
        assert_non_null(kernel_payload(file, PAYLOAD_AT + p.size - 1, &p));
    }
    free(file);
}

static void unknown_compression_is_named(void **state)
{
    uint8_t *file = malloc(PAYLOAD_AT + FILE_SIZE), out[IMAGE_SIZE];
    struct kernel_payload p;
    size_t size = make_bzimage(file, pack_xz);

    memcpy(file + PAYLOAD_AT, "\x89LZO\0\r", 6);
    assert_null(kernel_payload(file, size, &p));
    assert_non_null(strstr(kernel_unpack(&p, out), "format other than"));
    put(file + PAYLOAD_AT + p.size - 4, 0xffffffff, 4);
    assert_non_null(strstr(kernel_payload(file, size, &p), "512 MiB"));
    free(file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(stock_kernel_is_read),
        cmocka_unit_test(foreign_files_are_named),
        cmocka_unit_test(damaged_headers_are_refused),
        cmocka_unit_test(required_feature_is_noticed),
        cmocka_unit_test(note_that_lies_about_its_size_ends_the_list),
        cmocka_unit_test(every_compression_unpacks),
        cmocka_unit_test(unknown_compression_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
