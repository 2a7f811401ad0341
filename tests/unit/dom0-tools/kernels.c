/* Unpacked kernels that are kept: whatever becomes of an entry, the kernel that is loaded is the file's own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <lzma.h>
#include <sys/stat.h>
#include <unistd.h>
#include "fake.h"

static char dir[] = "/tmp/bh-kernels-XXXXXX", path[64], entries[64];
static uint8_t *kernel;
static size_t kernel_size;

/* A bzImage of the kernel, with `mark` as a byte of it. */
static void install(uint8_t mark)
{
    uint8_t file[0x6000] = {0};
    size_t length = 0;
    FILE *out = fopen(path, "w");

    kernel[0x2000] = mark;
    assert_int_equal(lzma_easy_buffer_encode(0, LZMA_CHECK_CRC32, NULL, kernel, kernel_size, file + 0xa00,
                                             &length, sizeof(file) - 0xa00),
                     LZMA_OK);
    memcpy(file + 0x202, "HdrS\x0f\x02", 6);
    memcpy(file + 0x24c, &length, 4);
    assert_non_null(out);
    assert_int_equal(fwrite(file, 1, sizeof(file), out), sizeof(file)); /* always as long */
    fclose(out);
}

/* Loads it and checks every byte; true: it came out of the cache. */
static bool loads(void)
{
    struct bh *h = bh_open();
    struct image image;

    assert_int_equal(image_load(h, path, &image), 0);
    assert_int_equal(image.size, kernel_size);
    assert_memory_equal(image.data, kernel, kernel_size);
    bool mapped = image.mapping;
    image_keep(h, &image);
    assert_null(image.source);
    image_free(&image);
    bh_close(h);
    return mapped;
}

static unsigned int count_entries(char name[400])
{
    unsigned int n = 0;
    DIR *list = opendir(entries);
    struct dirent *e;

    while (list && (e = readdir(list)))
        if (e->d_type == DT_REG) {
            n++;
            snprintf(name, 400, "%s/%s", entries, e->d_name);
        }
    if (list)
        closedir(list);
    return n;
}

static int set_up(void **state)
{
    assert_non_null(mkdtemp(dir));
    setenv("BULKHEAD_RUN_DIR", dir, 1);
    setenv("BULKHEAD_CACHE_DIR", dir, 1);
    snprintf(path, sizeof(path), "%s/vmlinuz", dir);
    snprintf(entries, sizeof(entries), "%s/kernels", dir);
    kernel = fake_kernel(&kernel_size);
    memset(kernel + 0x1000, 0, 0x1000); /* a page of zeros: a hole */
    install(1);
    return 0;
}

static int tear_down(void **state)
{
    char command[80];

    snprintf(command, sizeof(command), "rm -r %s", dir);
    free(kernel);
    return system(command);
}

static void the_digest_is_blake2b(void **state)
{
    static const struct {
        size_t size;
        const char *digest;
    } known[] = {{0, "0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8"},
                 {128, "14696d2a98d9f8a280da8b132b1045b345e1033759c6b02fcc4ee885c8ae7c37"},
                 {129, "3934215260b1039be9d9d2b073b059bcd50120c327a22af93eb4d98cf821c14c"},
                 {1000, "6ac4bea923678eb024090384d6e767b5870f849057dc19b172d8d9f2df30bf8e"}};
    uint8_t data[1000];
    char name[CACHE_NAME];

    for (unsigned int i = 0; i < sizeof(data); i++)
        data[i] = (uint8_t)(7 * i);
    for (unsigned int i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        cache_name(data, known[i].size, name);
        assert_memory_equal(name, known[i].digest, 64); /* b2sum -l 256 */
        assert_int_equal(strtoul(name + 65, NULL, 16), known[i].size);
    }
}

/* A digest is made only where there is an entry for a file of this size. */
static void entries_are_told_by_the_packed_size(void **state)
{
    struct stat st;

    loads();
    assert_int_equal(stat(path, &st), 0);
    assert_true(cache_may_have(st.st_size));
    assert_false(cache_may_have(st.st_size + 1));
    assert_false(cache_may_have(st.st_size / 16));
}

static void a_kernel_is_unpacked_once(void **state)
{
    char name[400];

    assert_false(loads());
    assert_true(loads());
    assert_int_equal(count_entries(name), 1);
    struct bh *h = bh_open();
    assert_int_equal(bh_prepare_kernel(h, path), 0);
    bh_close(h);
    assert_int_equal(count_entries(name), 1);
}

/* As long as the one before, and written in the same moment. */
static void another_kernel_under_the_same_name_is_the_one_that_loads(void **state)
{
    for (uint8_t mark = 2; mark < 12; mark++) {
        install(mark);
        assert_false(loads());
        assert_true(loads());
    }
}

static void a_damaged_entry_costs_the_unpacking(void **state)
{
    char name[400];
    struct stat st;

    unsigned int before = count_entries(name);
    for (unsigned int how = 0; how < 600; how++) {
        loads();
        assert_int_equal(count_entries(name), before);
        char link[CACHE_NAME];
        uint8_t packed[0x6000], byte;
        int fd = open(path, O_RDONLY);
        assert_int_equal(read(fd, packed, sizeof(packed)), sizeof(packed));
        close(fd);
        cache_name(packed, sizeof(packed), link);
        snprintf(name, sizeof(name), "%s/%s", entries, link);
        assert_int_equal(stat(name, &st), 0);
        assert_int_equal(st.st_size, kernel_size + 8);
        fd = open(name, O_RDWR);
        off_t at = (off_t)how * 7919 % st.st_size;
        if (how % 3 == 0) { /* a bit */
            assert_int_equal(pread(fd, &byte, 1, at), 1);
            byte ^= (uint8_t)(1 << how % 8);
            assert_int_equal(pwrite(fd, &byte, 1, at), 1);
        } else if (how % 3 == 1) { /* shorter, down to nothing; longer */
            assert_int_equal(ftruncate(fd, how == 1 ? 0 : how == 4 ? st.st_size + 1 : at), 0);
        } else if (how == 2) {
            assert_int_equal(fchmod(fd, 0666), 0);
        } else if (how == 5) {
            assert_int_equal(unlink(name), 0);
        } else if (how == 8) {
            assert_int_equal(unlink(name), 0);
            assert_int_equal(symlink(path, name), 0);
        } else { /* two words change places */
            uint64_t words[2];
            assert_int_equal(pread(fd, words, 16, 0x200), 16);
            uint64_t turned[2] = {words[1], words[0]};
            assert_int_equal(pwrite(fd, turned, 16, 0x200), 16);
        }
        close(fd);
        assert_false(loads());
        assert_true(loads());
    }
}

static void a_directory_that_others_can_write_is_not_believed(void **state)
{
    assert_int_equal(chmod(entries, 0777), 0);
    assert_false(loads());
    struct bh *h = bh_open();
    assert_int_equal(bh_prepare_kernel(h, path), -EPERM);
    assert_non_null(strstr(bh_error_message(h, 1), "others can write it"));
    bh_close(h);
    assert_int_equal(chmod(entries, 0700), 0);
    assert_true(loads());
}

/* What a link says of a file is the name of an entry, and nothing else will do. */
static void links_name_entries(void **state)
{
    struct stat st;
    char name[CACHE_NAME], link[256];

    assert_int_equal(stat(path, &st), 0);
    snprintf(link, sizeof(link), "%s/%lx-%lx-%lx-%lx.%lx-%lx.%lx", entries, st.st_dev, st.st_ino, st.st_size,
             st.st_mtim.tv_sec, st.st_mtim.tv_nsec, st.st_ctim.tv_sec, st.st_ctim.tv_nsec);
    unlink(link); /* none, or made by the loads before */
    assert_false(cache_recall(&st, name));
    assert_int_equal(symlink("../../../etc/passwd", link), 0);
    assert_false(cache_recall(&st, name));
    loads();
    unlink(link);
    static const struct {
        const char *to;
        bool good;
    } links[] = {
        {"0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8-6000", true}, /* no such entry */
        {"0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8-", false},
        {"0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a8-6/00", false},
        {"0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3a86000-6000", false},
        {"0e5751c026e543b2e8ab2eb06099daa1d1e5df47778f7787faab45cdf12fe3-6000", false}};
    for (size_t i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
        assert_int_equal(symlink(links[i].to, link), 0);
        assert_int_equal(cache_recall(&st, name), links[i].good);
        assert_true(loads());
        unlink(link);
    }
}

static void the_oldest_entries_go(void **state)
{
    char name[400], big[300];

    for (unsigned int i = 0; i < 5; i++) {
        snprintf(big, sizeof(big), "%s/big%u", entries, i);
        int fd = open(big, O_CREAT | O_WRONLY, 0600);
        struct timespec times[2] = {{.tv_sec = 1000 + i}, {.tv_sec = 1000 + i}};
        if (posix_fallocate(fd, 0, 60 << 20)) { /* no room for this test */
            close(fd);
            skip();
        }
        assert_int_equal(futimens(fd, times), 0);
        close(fd);
    }
    install(100);
    assert_false(loads());
    assert_true(loads());
    snprintf(big, sizeof(big), "%s/big0", entries);
    assert_int_equal(access(big, F_OK), -1);
    snprintf(big, sizeof(big), "%s/big1", entries);
    assert_int_equal(access(big, F_OK), 0);
    assert_in_range(count_entries(name), 5, 20);
}

static void a_cache_that_cannot_be_written_is_told_only_to_who_asked(void **state)
{
    setenv("BULKHEAD_CACHE_DIR", path, 1); /* a file */
    assert_false(loads());
    assert_false(loads());
    struct bh *h = bh_open();
    assert_int_equal(bh_prepare_kernel(h, path), -ENOTDIR);
    bh_close(h);
    setenv("BULKHEAD_CACHE_DIR", dir, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_digest_is_blake2b),
        cmocka_unit_test(a_kernel_is_unpacked_once),
        cmocka_unit_test(entries_are_told_by_the_packed_size),
        cmocka_unit_test(another_kernel_under_the_same_name_is_the_one_that_loads),
        cmocka_unit_test(a_damaged_entry_costs_the_unpacking),
        cmocka_unit_test(a_directory_that_others_can_write_is_not_believed),
        cmocka_unit_test(links_name_entries),
        cmocka_unit_test(the_oldest_entries_go),
        cmocka_unit_test(a_cache_that_cannot_be_written_is_told_only_to_who_asked),
    };

    return cmocka_run_group_tests_name("dom0-tools/kernels", tests, set_up, tear_down);
}
