/* The three formats: one structure, every mistake told with its place, conversion without loss. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "dom0-tools/config/doc.h"
#include "dom0-tools/lib/cpuid.h"

static const char full_cfg[] =
    "# a guest\n"
    "name = \"web\"\n"
    "type = 'pv'\n"
    "uuid = \"6b2b1d1e-8d3c-4d1e-9a55-0a5b8e2f7c11\"\n"
    "memory = 256; maxmem = 0x200\n"
    "vcpus = 2\nmaxvcpus = 4\n"
    "kernel = \"/boot/vmlinuz\"\n"
    "ramdisk = \"/boot/initrd\"\n"
    "root = \"/dev/xvda1\"\n"
    "extra = \"console=hvc0 quoted=\\\"a b\\\" <&>\"\n"
    "cpus = [ \"0-1\", \"2,^3\" ]\n"
    "cpu_weight = 512\ncap = 50\n"
    "on_crash = \"coredump-restart\"\n"
    "nomigrate = 1\nmsr_relaxed = 1\n"
    "cpuid = [ '1:ecx=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx0', '7,0:ebx=0xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx1' ]\n"
    "disk = [ '/img/a.qcow2,qcow2,xvda,w',\n"
    "         'format=raw, vdev=xvdb, access=ro, target=/img/b,c.raw',\n"
    "         '/img/cd.iso,,hdc,cdrom', ]\n"
    "vif = [ 'mac=00:16:3e:00:00:01,bridge=br0,rate=10Mb/s@20ms', '' ]\n"
    "vnc = 1\n";

static struct doc *read_text(const char *text)
{
    struct doc *doc = doc_read_text("test", text, strlen(text));

    assert_non_null(doc);
    return doc;
}

static bool has_diag(const struct doc *doc, const char *word)
{
    for (unsigned int i = 0; i < doc->diag_count; i++)
        if (strstr(doc->diags[i].text, word))
            return true;
    for (unsigned int i = 0; i < doc->diag_count; i++)
        print_message("  %s\n", doc->diags[i].text);
    return false;
}

static void check_full(struct doc *doc)
{
    struct bh_config c;

    assert_true(doc_check(doc, &c));
    assert_string_equal(c.name, "web");
    assert_int_equal(c.memory_kib, 256 << 10);
    assert_int_equal(c.max_memory_kib, 512 << 10);
    assert_int_equal(c.vcpus, 2);
    assert_int_equal(c.max_vcpus, 4);
    assert_string_equal(c.cmdline, "root=/dev/xvda1 console=hvc0 quoted=\"a b\" <&>");
    assert_int_equal(c.cpus_count, 2);
    assert_string_equal(c.cpus[1], "2,^3");
    assert_int_equal(c.on_crash, BH_COREDUMP_RESTART);
    assert_int_equal(c.on_reboot, BH_RESTART);
    assert_true(c.nomigrate);
    assert_true(c.msr_relaxed);
    assert_int_equal(c.cpuid_count, 2);
    assert_int_equal(c.disk_count, 3);
    assert_string_equal(c.disks[0].format, "qcow2");
    assert_string_equal(c.disks[1].target, "/img/b,c.raw");
    assert_true(c.disks[1].readonly);
    assert_true(c.disks[2].cdrom);
    assert_int_equal(c.vif_count, 2);
    assert_int_equal(c.vifs[0].rate_bytes, 1250000);
    assert_int_equal(c.vifs[0].rate_interval_us, 20000);
    assert_string_equal(c.vifs[1].bridge, "xenbr0");
    bh_config_free(&c);
}

static void test_full(void **state)
{
    struct doc *doc = read_text(full_cfg);

    assert_int_equal(doc->error_count, 0);
    check_full(doc);
    assert_true(has_diag(doc, "test:23: vnc: is known, but has no effect"));
    doc_free(doc);
}

static void test_conversions(void **state)
{
    char *(*const writers[])(const struct doc *) = {write_xlcfg, write_xml, write_json};
    struct doc *first = read_text(full_cfg);
    struct bh_config c;

    /* Checking also gives every value its final type. */
    assert_true(doc_check(first, &c));
    bh_config_free(&c);
    for (unsigned int a = 0; a < 3; a++)
        for (unsigned int b = 0; b < 3; b++) {
            char *one = writers[a](first), *two, *three;
            struct doc *second = read_text(one), *third, *last;

            assert_int_equal(second->error_count, 0);
            two = writers[b](second);
            third = read_text(two);
            assert_int_equal(third->error_count, 0);
            three = writers[2](third);
            last = read_text(three);
            assert_true(doc_check(last, &c));
            bh_config_free(&c);
            assert_true(value_equal(first->root, last->root));
            check_full(last);
            doc_free(second);
            doc_free(third);
            doc_free(last);
            free(one);
            free(two);
            free(three);
        }
    doc_free(first);
}

static const char libvirt[] =
    "<?xml version='1.0'?>\n"
    "<domain type='xen'>\n"
    "  <name>old</name>\n"
    "  <uuid>6b2b1d1e8d3c4d1e9a550a5b8e2f7c11</uuid>\n"
    "  <memory unit='KiB'>524288</memory>\n"
    "  <currentMemory>262144</currentMemory>\n"
    "  <vcpu placement='static' current='1'>2</vcpu>\n"
    "  <os><type arch='x86_64' machine='xenpv'>linux</type><kernel>/boot/vmlinuz</kernel>\n"
    "  <initrd>/boot/initrd</initrd><cmdline>console=hvc0</cmdline></os>\n"
    "  <clock offset='utc'/>\n"
    "  <on_poweroff>destroy</on_poweroff><on_reboot>restart</on_reboot><on_crash>preserve</on_crash>\n"
    "  <devices>\n"
    "    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='/img/a.qcow2'/>\n"
    "      <target dev='xvda' bus='xen'/></disk>\n"
    "    <interface type='bridge'><mac address='00:16:3e:11:22:33'/><source bridge='br0'/></interface>\n"
    "    <console type='pty'/>\n"
    "    <graphics type='vnc'/>\n"
    "  </devices>\n"
    "</domain>\n";

static void test_libvirt(void **state)
{
    struct doc *doc = read_text(libvirt);
    struct bh_config c;

    assert_true(doc_check(doc, &c));
    assert_int_equal(c.memory_kib, 262144);
    assert_int_equal(c.max_memory_kib, 524288);
    assert_int_equal(c.max_vcpus, 2);
    assert_int_equal(c.vcpus, 1);
    assert_int_equal(c.on_crash, BH_PRESERVE);
    assert_string_equal(c.disks[0].target, "/img/a.qcow2");
    assert_string_equal(c.vifs[0].bridge, "br0");
    assert_true(has_diag(doc, "test:10: clock: is not used"));
    assert_true(has_diag(doc, "test:17: graphics: in <devices> is not used"));
    bh_config_free(&c);
    doc_free(doc);
}

static void test_all_mistakes(void **state)
{
    static const struct {
        const char *text, *want;
    } cases[] = {
        {"name = web\n", "test:1: name: web must be written in quotes"},
        {"memory = \"lots\"\n", "test:1: memory: \"lots\" is not a number; allowed: 4 to"},
        {"memory = 2\n", "test:1: memory: 2 is out of range; allowed: 4 to"},
        {"\n\nmemroy = 256\n", "test:3: memroy: there is no such key; \"memory\" is meant?"},
        {"on_crash = \"explode\"\n", "\"explode\" is not allowed; allowed: destroy|restart"},
        {"disk = [ 'a,b' ]\n", "format=b: allowed are raw|qcow"},
        {"disk = [ '/x,raw,sdz9,w' ]\n", "vdev=sdz9 is not a disk's name"},
        {"disk = [ '/x,raw,xvda,w,bogus=1' ]\n", "\"bogus\" is not a parameter of a disk"},
        {"disk = [ '/x,raw,xvda,w', '/y,raw,xvda,w' ]\n", "vdev=xvda is given to two disks"},
        {"vif = [ 'mac=01:16:3e:00:00:01' ]\n", "is not the address of one card"},
        {"vif = [ 'rate=fast' ]\n", "rate=fast: wanted is"},
        {"cpus = \"all but one\"\n", "names no CPUs; allowed"},
        {"name = \"x\n", "the string is not closed on its line"},
        {"disk = [ 'a'\n", "the list is not closed"},
        {"vcpus = 4\nmaxvcpus = 2\n", "4 is more than maxvcpus = 2"},
        {"uuid = \"123\"\n", "is not a UUID"},
        {"cpuid = 'host,sse9=0'\n", "\"sse9=0\" is not understood"},
        {"pci = [ '00:01.0' ]\n", "are not supported yet; leave the key out"},
        {"type = \"hvm\"\n", "\"hvm\" guests cannot be built yet"},
        {"name = \"123\"\n", "not digits alone"},
        {"nomigrate = 7\n", "a truth value is wanted: 0 or 1"},
        {"\"memory\" = 3\n", "a setting starts with its key"},
        {"{ \"memory\": 1.5 }", "numbers with fractions"},
        {"{ \"memory\": 256,\n \"memory\": 257 }", "test:2: memory: is given twice"},
        {"{ \"memory\": }", "not JSON"},
        {"<domain type='kvm'><name>x</name></domain>", "only type=\"xen\" can be built"},
        {"<domain type='xen'><name>x</domain>", "not XML"},
        {"<network/>", "<domain> is wanted"},
    };

    for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct doc *doc = read_text(cases[i].text);
        struct bh_config c;

        assert_false(doc_check(doc, &c));
        if (!has_diag(doc, cases[i].want))
            fail_msg("missing: %s", cases[i].want);
        bh_config_free(&c);
        doc_free(doc);
    }
}

static void test_many_at_once(void **state)
{
    struct doc *doc = read_text("memory = 1\nvcpus = 0\nfoo = 1\non_crash = \"no\"\n");
    struct bh_config c;

    assert_false(doc_check(doc, &c));
    /* Four of their own, and name and kernel missing. */
    assert_int_equal(doc->error_count, 6);
    bh_config_free(&c);
    doc_free(doc);
}

static void test_overrides(void **state)
{
    struct doc *doc =
        read_text("name = \"a\"\nmemory = 64\nkernel = \"/k\"\nextra = \"x\"\nextra += \" y\"\n");
    struct bh_config c;

    doc_override(doc, "memory=128");
    doc_override(doc, "name=\"b\"");
    assert_true(doc_check(doc, &c));
    assert_int_equal(c.memory_kib, 128 << 10);
    assert_string_equal(c.name, "b");
    assert_string_equal(c.cmdline, "x y");
    bh_config_free(&c);
    doc_free(doc);
}

static void test_devids(void **state)
{
    static const struct {
        const char *name;
        unsigned int devid;
    } cases[] = {{"xvda", 51712},
                 {"xvdb", 51728},
                 {"xvda1", 51713},
                 {"hda", 768},
                 {"hdc", 5632},
                 {"sda", 2048},
                 {"xvdq", (1 << 28) | (16 << 8)},
                 {"d2p1", 51745},
                 {"51712", 51712},
                 {"0xca00", 51712}};
    unsigned int devid;

    for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(bh_vdev_to_devid(cases[i].name, &devid), 0);
        assert_int_equal(devid, cases[i].devid);
    }
    assert_true(bh_vdev_to_devid("xvd", &devid) < 0);
    assert_true(bh_vdev_to_devid("hde", &devid) < 0);
    assert_true(bh_vdev_to_devid("", &devid) < 0);
    assert_true(bh_vdev_to_devid("xvda1x", &devid) < 0);
}

/* xl-disk-configuration(5), "Deprecated syntax": a prefix stands for the format, which is then not in the middle. */
static void old_disk_prefixes_leave_out_the_format(void **state)
{
    static const struct {
        const char *spec, *target, *vdev;
    } cases[] = {{"phy:/dev/vg/guest,xvda,w", "/dev/vg/guest", "xvda"},
                 {"file:/img/a,xvdb,r", "/img/a", "xvdb"},
                 {"tap:aio:/img/a,hda,w", "/img/a", "hda"},
                 {"tap:qcow2:/img/a,xvda", "/img/a", "xvda"},
                 {"raw:/img/a,sda,w", "/img/a", "sda"},
                 {"phy:/dev/sr0,hdc:cdrom,r", "/dev/sr0", "hdc"}};
    struct doc *doc = read_text("");

    for (unsigned int i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct value *disk = disk_spec_parse(doc, "disk", 1, cases[i].spec);
        char buffer[24];

        assert_non_null(disk);
        assert_string_equal(value_text(map_get(disk, "target"), buffer), cases[i].target);
        assert_string_equal(value_text(map_get(disk, "vdev"), buffer), cases[i].vdev);
        value_free(disk);
    }
    doc_free(doc);
}

/* xl's CPUID strings: which bits of which register they clear and set. */
static void test_cpuid(void **state)
{
    static const struct {
        const char *spec;
        int count;
        struct cpuid_rule last;
    } good[] = {
        {"host", 0, {0}},
        {"host,sse3=0", 1, {1, XEN_CPUID_NO_SUBLEAF, 2, 1, 0}},
        {"host,tm=0,sse4.2=1", 2, {1, XEN_CPUID_NO_SUBLEAF, 2, 1 << 20, 1 << 20}},
        {"host,avx512-ifma=k", 1, {7, 0, 1, 0, 0}},
        {"host,nx=0", 1, {0x80000001, XEN_CPUID_NO_SUBLEAF, 3, 1 << 20, 0}},
        {"host,maxleaf=0x4", 1, {0, XEN_CPUID_NO_SUBLEAF, 0, ~0U, 4}},
        {"host,family=0x17", 1, {1, XEN_CPUID_NO_SUBLEAF, 0, 0x0ff00f00, 0x00800f00}},
        {"host,model=0x3c", 1, {1, XEN_CPUID_NO_SUBLEAF, 0, 0x000f00f0, 0x000300c0}},
        {"host,stepping=15", 1, {1, XEN_CPUID_NO_SUBLEAF, 0, 15, 15}},
        {"1:edx=1xxxxxxxxxxxxxxxxxxxxxxxxxxxxxx0", 1, {1, XEN_CPUID_NO_SUBLEAF, 3, 0x80000001, 0x80000000}},
        {"0x7,0x0:ecx=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx,ebx=0kskxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
         2,
         {7, 0, 1, 1U << 31, 0}},
    };
    static const char *const bad[] = {
        "",
        "hos",
        "hosts",
        "guest,sse3=0",
        "host,",
        "host,sse3",
        "host,sse3=",
        "host,sse3=2",
        "host,sse3=00",
        "host,-=0",
        "host,=0",
        "host,stepping=16",
        "host,family=0x10f",
        "host,model=",
        "host,sse3=0,,tm=0",
        "1",
        "1:",
        "1:eax=x",
        "1,:eax",
        "x:eax=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "1:efx=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
        "1:eax=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxy",
        "1:eax=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx",
    };
    struct cpuid_rule rules[4];
    const char *wrong;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_int_equal(bh_cpuid_parse(good[i].spec, rules, 4, &wrong), good[i].count);
        if (good[i].count)
            assert_memory_equal(&rules[good[i].count - 1], &good[i].last, sizeof(rules[0]));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_int_equal(bh_cpuid_parse(bad[i], rules, 4, &wrong), -EINVAL);
    assert_int_equal(bh_cpuid_parse("host,tm=0,tm=0,tm=0,tm=0,tm=0", rules, 4, &wrong), -E2BIG);
}

/* A word without a value that is not known as a flag would be taken for the target. */
static void flags_of_a_disk_are_read_as_they_are_printed(void **state)
{
    static const char spec[] = "format=raw,vdev=xvda,access=rw,direct-io-safe,no-discard,removable,iops=20,"
                               "bandwidth=1000,burst=500,secure-erase,target=/img/a";
    struct doc *doc = read_text("");
    struct value *disk = disk_spec_parse(doc, "disk", 1, spec);
    char *printed = disk ? disk_spec_print(disk) : NULL;
    struct bh_disk out = {0};

    assert_non_null(printed);
    assert_string_equal(printed, spec);
    assert_true(disk_from_map(doc, disk, &out));
    assert_true(out.secure_erase && out.no_discard && out.removable && out.direct_io_safe);
    assert_int_equal(out.burst_ms, 500);
    bh_disk_free(&out);
    free(printed);
    value_free(disk);
    doc_free(doc);
}

static void test_schema(void **state)
{
    char *schema = config_schema();
    struct doc *doc = doc_read_text("schema", schema, strlen(schema));

    assert_int_equal(doc->error_count, 0);
    assert_non_null(map_get(map_get(doc->root, "properties"), "memory"));
    doc_free(doc);
    free(schema);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_full),
        cmocka_unit_test(test_conversions),
        cmocka_unit_test(test_libvirt),
        cmocka_unit_test(test_all_mistakes),
        cmocka_unit_test(test_many_at_once),
        cmocka_unit_test(test_overrides),
        cmocka_unit_test(test_devids),
        cmocka_unit_test(test_cpuid),
        cmocka_unit_test(test_schema),
        cmocka_unit_test(old_disk_prefixes_leave_out_the_format),
        cmocka_unit_test(flags_of_a_disk_are_read_as_they_are_printed),
    };

    return cmocka_run_group_tests_name("dom0-tools/config", tests, NULL, NULL);
}
