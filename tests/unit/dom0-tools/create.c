/*
 * Creating a domain against a hypervisor and a store in memory: what a good create leaves, and what one
 * leaves that fails, for every step that can fail in turn.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <dirent.h>
#include <sys/stat.h>
#include <unistd.h>
#include "fake.h"

static char dir[] = "/tmp/bh-create-XXXXXX", kernel_path[64], initrd_path[64];

static void put_file(const char *path, const void *data, size_t size)
{
    FILE *out = fopen(path, "w");

    assert_non_null(out);
    assert_int_equal(fwrite(data, 1, size, out), size);
    fclose(out);
}

static int set_up(void **state)
{
    uint8_t *kernel;
    size_t size;

    assert_non_null(mkdtemp(dir));
    setenv("BULKHEAD_RUN_DIR", dir, 1);
    setenv("BULKHEAD_CACHE_DIR", dir, 1);
    snprintf(kernel_path, sizeof(kernel_path), "%s/kernel", dir);
    snprintf(initrd_path, sizeof(initrd_path), "%s/initrd", dir);
    kernel = fake_kernel(&size);
    put_file(kernel_path, kernel, size);
    free(kernel);
    put_file(initrd_path, "initrd contents", 15);
    return 0;
}

static unsigned int files_in(const char *sub)
{
    char path[128];
    unsigned int n = 0;
    DIR *d;

    snprintf(path, sizeof(path), "%s/%s", dir, sub);
    d = opendir(path);
    while (d) {
        struct dirent *e = readdir(d);

        if (!e)
            break;
        n += e->d_name[0] != '.';
    }
    if (d)
        closedir(d);
    return n;
}

static int tear_down(void **state)
{
    char command[128];

    snprintf(command, sizeof(command), "rm -rf %s", dir);
    return system(command) ? 1 : 0;
}

static void fill(struct bh_config *c)
{
    bh_config_init(c);
    c->name = strdup("test");
    c->kernel = strdup(kernel_path);
    c->ramdisk = strdup(initrd_path);
    c->cmdline = strdup("console=hvc0");
    c->memory_kib = 32 << 10;
    c->max_memory_kib = 48 << 10;
    c->vcpus = 1;
    c->max_vcpus = 2;
    c->cpuid = calloc(1, sizeof(*c->cpuid));
    c->cpuid[0] = strdup("host,sse3=0,avx2=0,stepping=1,invtsc=0");
    c->cpuid_count = 1;
    c->source = strdup("{}");
}

static void test_good(void **state)
{
    struct fake *f = fake_new();
    struct bh *h = fake_open(f);
    struct bh_config c;
    const struct vcpu_guest_context *context;
    const struct start_info *si;
    unsigned int domid = 0;
    uint64_t root, *table;
    char *node;

    fill(&c);
    assert_int_equal(bh_create(h, &c, NULL, &domid), 0);
    assert_int_equal(domid, 1);
    assert_true(fake_running(f, 1));
    assert_int_equal(fake_mappings(f), 0);
    assert_int_equal(fake_open_transactions(f), 0);
    assert_int_equal(fake_policy(f, 1)[1].a, 0x661);
    assert_int_equal(fake_policy(f, 1)[1].c, 0x200);
    assert_int_equal(fake_policy(f, 1)[2].b, 0);
    assert_int_equal(files_in("creating"), 0);
    assert_int_equal(files_in("domains"), 1);
    context = fake_context(f, 1);
    assert_non_null(context);
    assert_int_equal(context->user_regs.rip, 0xffffffff81000010UL);
    /* Follow the guest's own tables to its start info. */
    root = context->ctrlreg[3] >> 12;
    assert_int_equal(fake_pinned(f, 1), root);
    table = (uint64_t *)fake_page(f, root);
    for (int shift = 39; shift >= 12; shift -= 9) {
        uint64_t entry = table[context->user_regs.rsi >> shift & 511];

        assert_true(entry & 1);
        table = (uint64_t *)fake_page(f, entry >> 12 & 0xffffff);
    }
    si = (const struct start_info *)table;
    assert_string_equal(si->magic, "xen-3.0-x86_64");
    assert_int_equal(si->nr_pages, 8192);
    assert_string_equal((const char *)si->cmd_line, "console=hvc0");
    assert_int_equal(si->mod_len, 15);
    assert_int_equal(si->mfn_list, 0x8000000000UL);
    node = fake_node(f, "/local/domain/1/name");
    assert_string_equal(node, "test");
    free(node);
    node = fake_node(f, "/local/domain/1/cpu/1/availability");
    assert_string_equal(node, "offline");
    free(node);
    assert_int_equal(bh_destroy(h, 1), 0);
    assert_int_equal(fake_domains(f), 0);
    assert_int_equal(fake_store_nodes(f), 0);
    assert_int_equal(files_in("domains"), 0);
    assert_int_equal(fake_free_pages(f), FAKE_PAGES - 1);
    bh_config_free(&c);
    bh_close(h);
    fake_free(f);
}

/* Whether any message of the chain names the step. */
static bool named(const struct bh *h, const char *step)
{
    for (unsigned int i = 0; bh_error_message(h, i); i++)
        if (strstr(bh_error_message(h, i), step))
            return true;
    return false;
}

static void test_every_step_fails(void **state)
{
    unsigned long steps = 0, told = 0;

    for (unsigned long n = 1;; n++) {
        struct fake *f = fake_new();
        struct bh *h = fake_open(f);
        struct bh_config c;
        unsigned int domid;
        const char *step;
        bool done;
        int rc;

        fill(&c);
        bh_inject(h, n);
        rc = bh_create(h, &c, NULL, &domid);
        step = bh_injected_step(h);
        done = !step;
        if (done) {
            assert_int_equal(rc, 0);
            bh_inject(h, 0);
            assert_int_equal(bh_destroy(h, domid), 0);
        } else {
            steps++;
            told += named(h, step);
            if (rc == 0 || !named(h, step) || fake_domains(f))
                print_message("step %lu \"%s\": rc %d\n", n, step, rc);
            assert_true(rc < 0);
            assert_true(named(h, step));
        }
        assert_int_equal(fake_domains(f), 0);
        assert_int_equal(fake_free_pages(f), FAKE_PAGES - 1);
        assert_int_equal(fake_mappings(f), 0);
        assert_int_equal(fake_store_nodes(f), 0);
        assert_int_equal(fake_open_transactions(f), 0);
        assert_int_equal(h->hbuf_used, 0);
        assert_int_equal(files_in("creating"), 0);
        assert_int_equal(files_in("domains"), 0);
        bh_config_free(&c);
        bh_close(h);
        fake_free(f);
        if (done)
            break;
    }
    print_message("%lu steps made to fail, %lu named in the message\n", steps, told);
    assert_true(steps > 100);
}

static void expect_failure(struct bh_config *c, int code, const char *word)
{
    struct fake *f = fake_new();
    struct bh *h = fake_open(f);
    unsigned int domid;

    assert_int_equal(bh_create(h, c, NULL, &domid), -code);
    assert_true(named(h, word));
    assert_int_equal(fake_domains(f), 0);
    assert_int_equal(fake_store_nodes(f), 0);
    bh_close(h);
    fake_free(f);
    bh_config_free(c);
}

static void test_reasons(void **state)
{
    struct bh_config c;

    fill(&c);
    c.memory_kib = c.max_memory_kib = 1 << 20;
    expect_failure(&c, ENOMEM, "1024 MiB wanted");
    fill(&c);
    free(c.kernel);
    c.kernel = strdup("/nonexistent");
    expect_failure(&c, ENOENT, "/nonexistent");
    fill(&c);
    free(c.kernel);
    c.kernel = strdup(initrd_path);
    expect_failure(&c, ENOEXEC, "neither an ELF file nor a bzImage");
    fill(&c);
    c.memory_kib = c.max_memory_kib = 8 << 10;
    expect_failure(&c, ENOMEM, "too small");
}

static void test_same_name(void **state)
{
    struct fake *f = fake_new();
    struct bh *h = fake_open(f);
    struct bh_config c;
    unsigned int domid, nodes;

    fill(&c);
    assert_int_equal(bh_create(h, &c, NULL, &domid), 0);
    nodes = fake_store_nodes(f);
    assert_int_equal(bh_create(h, &c, NULL, &domid), -EEXIST);
    assert_true(named(h, "in use by domain 1"));
    assert_int_equal(fake_store_nodes(f), nodes);
    assert_int_equal(fake_domains(f), 1);
    bh_destroy(h, 1);
    bh_config_free(&c);
    bh_close(h);
    fake_free(f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_every_step_fails),
        cmocka_unit_test(test_reasons),
        cmocka_unit_test(test_same_name),
    };

    return cmocka_run_group_tests_name("dom0-tools/create", tests, set_up, tear_down);
}
