/* The command line: every kind of value, and that what is wrong is said and has no effect. */
#include "test.h"
#include <bh/cmdline.h>
#include <bh/printk.h>

static struct options defaults;

static int setup(void **state)
{
    options = defaults;
    cmdline_report();
    fake_console_clear();
    return 0;
}

static bool refused(const char *word)
{
    struct options before = options;
    bool said;

    fake_console_clear();
    cmdline_apply(word);
    cmdline_report();
    said = strstr(fake_console, "is ignored") != NULL;
    if (said)
        assert_memory_equal(&before, &options, sizeof(options));
    return said;
}

static void test_console(void **state)
{
    assert_false(refused("console=com2,vga"));
    assert_int_equal(options.console, CONSOLE_COM2 | CONSOLE_VGA);
    assert_false(refused("console=none"));
    assert_int_equal(options.console, CONSOLE_NONE);
    assert_true(refused("console"));
    assert_true(refused("console=com3"));
    assert_true(refused("console=com1,"));
    assert_true(refused("console=com1x"));
}

static void test_serial(void **state)
{
    assert_false(refused("com1=38400,7e2,0x2e8,11"));
    assert_true(options.com[0].given);
    assert_int_equal(options.com[0].baud, 38400);
    assert_int_equal(options.com[0].data_bits, 7);
    assert_int_equal(options.com[0].parity, 'e');
    assert_int_equal(options.com[0].stop_bits, 2);
    assert_int_equal(options.com[0].io_base, 0x2e8);
    assert_int_equal(options.com[0].irq, 11);
    assert_false(refused("com2=auto"));
    assert_int_equal(options.com[1].baud, 0);
    assert_false(refused("com1=115200,8n1"));
    assert_int_equal(options.com[0].io_base, 0);
    assert_true(refused("com1=0"));
    assert_true(refused("com1=7"));
    assert_true(refused("com1=115200,9n1"));
    assert_true(refused("com1=115200,8x1"));
    assert_true(refused("com1=115200,8n"));
    assert_true(refused("com1=115200,8n1,0x3f8,4,5"));
}

static void test_dom0_mem(void **state)
{
    assert_false(refused("dom0_mem=512M"));
    assert_int_equal(options.dom0_mem.bytes, 512UL << 20);
    assert_false(refused("dom0_mem=4096"));
    assert_int_equal(options.dom0_mem.bytes, 4096UL << 10);
    assert_false(refused("dom0_mem=min:256M,max:2G,-1g"));
    assert_int_equal(options.dom0_mem_min.bytes, 256UL << 20);
    assert_int_equal(options.dom0_mem_max.bytes, 2UL << 30);
    assert_int_equal(options.dom0_mem.bytes, 1UL << 30);
    assert_true(options.dom0_mem.less);
    assert_false(options.dom0_mem_max.less);
    assert_true(refused("dom0_mem=min:"));
    assert_true(refused("dom0_mem=1Q"));
    assert_true(refused("dom0_mem=99999999999999999999"));
    assert_true(refused("dom0_mem=9999999999T"));
}

static void test_numbers(void **state)
{
    assert_false(refused("maxcpus=3"));
    assert_int_equal(options.maxcpus, 3);
    assert_true(refused("maxcpus=0"));
    assert_true(refused("maxcpus=65"));
    assert_true(refused("maxcpus=3x"));
    assert_true(refused("maxcpus"));
    assert_true(refused("maxcpus="));
    assert_false(refused("dom0_max_vcpus=2-4"));
    assert_int_equal(options.dom0_max_vcpus_min, 2);
    assert_int_equal(options.dom0_max_vcpus, 4);
    assert_true(refused("dom0_max_vcpus=4-2"));
    assert_true(refused("dom0_max_vcpus=0"));
    assert_false(refused("conring_size=256k"));
    assert_int_equal(options.conring_size, 256 << 10);
    assert_false(refused("sched_credit_tslice_ms=0x10"));
    assert_int_equal(options.sched_credit_tslice_ms, 16);
    assert_true(refused("sched_credit_tslice_ms=0"));
}

static void test_booleans(void **state)
{
    static const char *const on[] = {"noreboot", "noreboot=1", "noreboot=yes", "noreboot=on",
                                     "noreboot=true"};
    static const char *const off[] = {"no-noreboot", "noreboot=0", "noreboot=no", "noreboot=off",
                                      "noreboot=false"};

    for (size_t i = 0; i < ARRAY_SIZE(on); i++) {
        options.noreboot = false;
        assert_false(refused(on[i]));
        assert_true(options.noreboot);
        assert_false(refused(off[i]));
        assert_false(options.noreboot);
    }
    assert_true(refused("noreboot=maybe"));
    assert_true(refused("no-console"));
}

static void test_choices(void **state)
{
    static const struct {
        const char *word;
        uint8_t dom0, domu;
    } good[] = {
        {"xpti", 1, 1},
        {"no-xpti", 0, 0},
        {"xpti=default", 2, 2},
        {"xpti=dom0", 1, 2},
        {"xpti=dom0=false", 0, 2},
        {"xpti=true,domu=0", 1, 0},
        {"xpti=domu=default", 1, 2},
        {"xpti=off", 0, 0},
        {"xpti=default,domu=yes", 2, 1},
    };
    static const char *const bad[] = {"xpti=,",
                                      "xpti=on,",
                                      "xpti=maybe",
                                      "xpti=dom1",
                                      "xpti=dom0:1",
                                      "xpti=dom0=2",
                                      "xpti=on,domu=x",
                                      "spec-ctrl=ibpb",
                                      "spec-ctrl=bhb-entry,ibrs",
                                      "spec-ctrl=0,bhi-dis-s=7"};

    options.xpti.dom0 = options.xpti.domu = 2;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        if (strchr(good[i].word, ','))
            options.xpti.dom0 = options.xpti.domu = 2;
        assert_false(refused(good[i].word));
        assert_int_equal(options.xpti.dom0, good[i].dom0);
        assert_int_equal(options.xpti.domu, good[i].domu);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_true(refused(bad[i]));
    assert_false(refused("spec-ctrl=no,bhb-entry,bhi-dis-s=off"));
    assert_int_equal(options.spec_ctrl, CHOICE_OFF);
    assert_int_equal(options.ibpb_entry, CHOICE_DEFAULT);
    assert_int_equal(options.bhb_entry, CHOICE_ON);
    assert_int_equal(options.bhi_dis_s, CHOICE_OFF);
    assert_false(refused("spec-ctrl"));
    assert_int_equal(options.spec_ctrl, CHOICE_ON);
}

static void test_levels(void **state)
{
    assert_false(refused("loglvl=debug"));
    assert_int_equal(log_threshold, LOG_DEBUG);
    assert_false(refused("loglvl=error/all"));
    assert_int_equal(log_threshold, LOG_ERROR);
    assert_false(refused("loglvl=info"));
    assert_true(refused("loglvl=loud"));
    assert_true(refused("loglvl=info/"));
    assert_false(refused("sched=credit"));
    assert_true(refused("sched=credit2"));
}

static void test_unknown_words_are_named(void **state)
{
    fake_console_clear();
    cmdline_apply("  maxcpus=2 frobnicate=7\tnoreboot -- x");
    cmdline_report();
    assert_int_equal(options.maxcpus, 2);
    assert_true(options.noreboot);
    assert_non_null(strstr(fake_console, "unknown option \"frobnicate=7\" is ignored"));
    assert_non_null(strstr(fake_console, "unknown option \"--\" is ignored"));
}

static void test_parse_happens_once(void **state)
{
    cmdline_parse("maxcpus=5");
    cmdline_parse("maxcpus=6");
    assert_int_equal(options.maxcpus, 5);
    assert_string_equal(saved_cmdline, "maxcpus=5");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(test_console, setup),
        cmocka_unit_test_setup(test_serial, setup),
        cmocka_unit_test_setup(test_dom0_mem, setup),
        cmocka_unit_test_setup(test_numbers, setup),
        cmocka_unit_test_setup(test_booleans, setup),
        cmocka_unit_test_setup(test_choices, setup),
        cmocka_unit_test_setup(test_levels, setup),
        cmocka_unit_test_setup(test_unknown_words_are_named, setup),
        cmocka_unit_test_setup(test_parse_happens_once, setup),
    };

    defaults = options;
    fake_boot(1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
