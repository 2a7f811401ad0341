/* The layout of a PV guest and its first page tables: every page is where the layout says, and mapped once.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <elf.h>
#include "fake.h"

static struct bh *open_handle(struct fake **f)
{
    *f = fake_new();
    return fake_open(*f);
}

static void check(uint64_t nr_pages, uint64_t initrd, bool by_pfn, bool own_p2m)
{
    struct fake *f;
    struct bh *h = open_handle(&f);
    struct pv_kernel k = {.virt_base = 0xffffffff80000000UL,
                          .end_pfn = 0x1800,
                          .mod_start_pfn = by_pfn,
                          .has_init_p2m = own_p2m,
                          .init_p2m = 0x8000000000UL};
    struct pv_layout l;
    uint64_t *mfns = calloc(nr_pages, sizeof(*mfns)), *memory;

    assert_int_equal(pv_layout(h, &k, nr_pages, initrd, &l), 0);
    assert_true(l.mapped_pages <= nr_pages);
    assert_true(l.start_info_pfn >= k.end_pfn);
    assert_int_equal(l.store_pfn, l.start_info_pfn + 1);
    assert_int_equal(l.console_pfn, l.start_info_pfn + 2);
    assert_true(l.mapped_pages - l.stack_pfn > 128);
    if (by_pfn && initrd)
        assert_true(l.initrd_pfn >= l.mapped_pages && l.initrd_pfn + l.initrd_pages <= nr_pages);
    for (uint64_t i = 0; i < nr_pages; i++)
        mfns[i] = 0x100000 + (i * 7919) % nr_pages;
    memory = aligned_alloc(PAGE_BYTES, l.tables_count * PAGE_BYTES);
    pv_page_tables(&l, mfns, memory);
    for (uint64_t pfn = 0; pfn < l.mapped_pages; pfn++) {
        uint64_t virt = l.virt_base + (pfn << 12), *table = memory, entry = 0;

        for (int shift = 39; shift >= 12; shift -= 9) {
            entry = table[virt >> shift & 511];
            assert_true(entry & 1);
            for (uint64_t t = 0; shift > 12 && t < l.tables_count; t++)
                if (mfns[l.tables_pfn + t] == (entry >> 12 & 0xffffffffffUL))
                    table = memory + t * 512;
        }
        assert_int_equal(entry >> 12, mfns[pfn]);
        /* The guest may not write its own tables directly. */
        assert_int_equal((entry & 2) != 0, !(pfn >= l.tables_pfn && pfn < l.tables_pfn + l.tables_count));
    }
    free(memory);
    free(mfns);
    bh_close(h);
    fake_free(f);
}

static void test_layouts(void **state)
{
    check(65536, 0, true, true);
    check(65536, 5 << 20, true, true);
    check(65536, 5 << 20, false, true);
    check(65536, 5 << 20, true, false);
    check(65536, 5 << 20, false, false);
    check(8192, 4097, true, true);
    check(300000, 100 << 20, true, true);
}

static void test_too_small(void **state)
{
    struct fake *f;
    struct bh *h = open_handle(&f);
    struct pv_kernel k = {.virt_base = 0xffffffff80000000UL, .end_pfn = 0x1800};
    struct pv_layout l;

    assert_int_equal(pv_layout(h, &k, 0x1800, 0, &l), -ENOMEM);
    assert_int_equal(pv_layout(h, &k, 0x4000, 1UL << 30, &l), -ENOMEM);
    k.end_pfn = 1UL << 36;
    assert_true(pv_layout(h, &k, 0x4000, 0, &l) < 0);
    bh_close(h);
    fake_free(f);
}

static void test_kernel(void **state)
{
    struct fake *f;
    struct bh *h = open_handle(&f);
    struct pv_kernel k;
    size_t size;
    uint8_t *file = fake_kernel(&size);
    Elf64_Phdr *load = (Elf64_Phdr *)(file + sizeof(Elf64_Ehdr));

    assert_int_equal(pv_kernel_parse(h, file, size, &k), 0);
    assert_int_equal(k.entry, 0xffffffff81000010UL);
    assert_int_equal(k.segment_count, 1);
    assert_int_equal(k.segments[0].pfn, 0x1000);
    assert_int_equal(k.end_pfn, 0x1006);
    assert_true(k.has_init_p2m && k.mod_start_pfn && k.has_hypercall_page);
    load->p_filesz = size;
    assert_int_equal(pv_kernel_parse(h, file, size, &k), -EINVAL);
    load->p_filesz = 0x3000;
    load->p_paddr = 0xffffffffffff0000UL;
    assert_int_equal(pv_kernel_parse(h, file, size, &k), -EINVAL);
    load->p_paddr = 0x1000000;
    /* Unikernels run where they lie, from address 0 on. */
    assert_int_equal(pv_space_from(0), 1UL << 47);
    assert_int_equal(pv_space_from(1UL << 47), 0);
    assert_int_equal(pv_space_from(0xffff87ffffc00000UL), 0);
    assert_int_equal(pv_space_from(0xffffffff80000000UL), 1UL << 31);
    file[EI_CLASS] = ELFCLASS32;
    assert_int_equal(pv_kernel_parse(h, file, size, &k), -ENOEXEC);
    file[EI_CLASS] = ELFCLASS64;
    ((Elf64_Ehdr *)file)->e_machine = EM_AARCH64;
    assert_int_equal(pv_kernel_parse(h, file, size, &k), -ENOEXEC);
    assert_non_null(strstr(bh_error_message(h, 0), "another machine"));
    for (size_t cut = 0; cut < size; cut += 13)
        pv_kernel_parse(h, file, cut, &k);
    free(file);
    bh_close(h);
    fake_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_layouts),
        cmocka_unit_test(test_too_small),
        cmocka_unit_test(test_kernel),
    };

    return cmocka_run_group_tests_name("dom0-tools/pv", tests, NULL, NULL);
}
