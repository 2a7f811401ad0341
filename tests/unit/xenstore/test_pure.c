/* What is pure arithmetic and text: paths, wire messages, permissions, rings. */
#include "path.h"
#include "perms.h"
#include "ring.h"
#include "wire.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void paths(void **state)
{
    static const char *const good[] = {"/", "/a", "/a/b-c_d@e/F9"};
    static const char *const bad[] = {"", "a", "//", "/a/", "/a//b", "/a b", "/a.b", "/\x80"};
    char buf[XENSTORE_ABS_PATH_MAX + 1], longest[XENSTORE_ABS_PATH_MAX + 1];
    struct path p, part;
    const char *why;
    size_t at = 0;

    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        assert_true(path_valid(good[i], strlen(good[i])));
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(path_valid(bad[i], strlen(bad[i])));
    }
    memset(longest, 'a', sizeof(longest));
    longest[0] = '/';
    assert_true(path_valid(longest, XENSTORE_ABS_PATH_MAX - 1));
    assert_false(path_valid(longest, XENSTORE_ABS_PATH_MAX));
    assert_true(path_from_client("x/y", 3, 7, buf, &p, &why));
    assert_int_equal(p.len, 19);
    assert_memory_equal(p.s, "/local/domain/7/x/y", 19);
    assert_false(path_from_client("@x", 2, 7, buf, &p, &why));
    assert_false(path_from_client("", 0, 7, buf, &p, &why));
    p = (struct path){"/a/bc", 5};
    assert_true(path_next(p, &at, &part) && part.len == 1 && part.s[0] == 'a');
    assert_true(path_next(p, &at, &part) && part.len == 2 && memcmp(part.s, "bc", 2) == 0);
    assert_false(path_next(p, &at, &part));
    assert_int_equal(path_parent(p).len, 2);
    assert_int_equal(path_parent(path_parent(p)).len, 1);
}

static void frames(void **state)
{
    struct xsd_sockmsg hdr = {.type = XS_READ, .len = 3}, got;
    char msg[64] = {0};

    memcpy(msg, &hdr, sizeof(hdr));
    for (size_t n = 0; n < sizeof(hdr) + 3; n++) {
        assert_int_equal(wire_frame(msg, n, &got), 0);
    }
    assert_int_equal(wire_frame(msg, sizeof(msg), &got), sizeof(hdr) + 3);
    hdr.len = XENSTORE_PAYLOAD_MAX + 1;
    memcpy(msg, &hdr, sizeof(hdr));
    assert_int_equal(wire_frame(msg, sizeof(hdr), &got), -1);
    hdr.len = UINT32_MAX;
    memcpy(msg, &hdr, sizeof(hdr));
    assert_int_equal(wire_frame(msg, sizeof(hdr), &got), -1);
}

static void strings_and_numbers(void **state)
{
    const char *v[2];
    uint64_t n;

    assert_non_null(wire_one("abc", 4));
    assert_null(wire_one("abc", 3));
    assert_null(wire_one("a\0b", 4));
    assert_null(wire_one("", 0));
    assert_int_equal(wire_strings("a\0bc\0d", 6, v, 2), 2);
    assert_string_equal(v[1], "bc");
    assert_int_equal(wire_strings("a\0b\0c", 6, v, 2), 3);
    assert_true(wire_number("65535", 65535, &n) && n == 65535);
    assert_false(wire_number("65536", 65535, &n));
    assert_false(wire_number("", 10, &n));
    assert_false(wire_number("-1", 10, &n));
    assert_false(wire_number("99999999999999999999999", UINT64_MAX, &n));
    assert_string_equal(wire_error_name(ENOENT), "ENOENT");
    assert_string_equal(wire_error_name(12345), "EINVAL");
}

static void permission_texts(void **state)
{
    static const char *const bad[] = {"", "r", "x1", "r-1", "r1x", "b65536", "r99999999999"};
    struct perm p;
    char text[16];

    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_false(perm_parse(bad[i], &p));
    }
    assert_true(perm_parse("b65535", &p));
    assert_int_equal(p.bits, PERM_READ | PERM_WRITE);
    assert_int_equal(perm_format(&p, text), 6);
    assert_string_equal(text, "b65535");
}

static void permission_rules(void **state)
{
    const struct perm e[] = {{3, PERM_READ}, {5, 0}, {6, PERM_WRITE}};
    const struct caller dom0 = {0, DOMID_NONE, true}, owner = {3, DOMID_NONE, false},
                        none = {5, DOMID_NONE, false}, writer = {6, DOMID_NONE, false},
                        other = {9, DOMID_NONE, false}, stub = {9, 3, false}, stub_of_writer = {9, 6, false};
    struct perms_table t = {{0}};
    struct perms *p = perms_get(&t, e, 3), *again = perms_get(&t, e, 3);

    assert_ptr_equal(p, again);
    assert_true(perms_allow(p, &dom0) & PERM_OWNER);
    assert_true(perms_allow(p, &owner) & PERM_OWNER);
    assert_int_equal(perms_allow(p, &none), 0);
    assert_int_equal(perms_allow(p, &writer), PERM_WRITE);
    assert_int_equal(perms_allow(p, &other), PERM_READ);
    assert_true(perms_allow(p, &stub) & PERM_OWNER);
    assert_int_equal(perms_allow(p, &stub_of_writer), PERM_WRITE);
    /* A dead domain's rights are gone from every holder at once. */
    perms_forget_domain(&t, 6);
    assert_int_equal(p->n, 2);
    assert_int_equal(perms_allow(p, &writer), PERM_READ);
    perms_put(&t, p);
    perms_put(&t, again);
    assert_int_equal(t.sets.count, 0);
    htab_free(&t.sets);
}

static void rings(void **state)
{
    char ring[XENSTORE_RING_SIZE], in[XENSTORE_RING_SIZE], out[XENSTORE_RING_SIZE];

    for (unsigned i = 0; i < sizeof(in); i++) {
        in[i] = (char)(i * 31 + 7);
    }
    assert_true(ring_sane(10, 10) && ring_sane(1034, 10) && !ring_sane(1035, 10) && !ring_sane(9, 10));
    assert_true(ring_sane(5, 0xfffffff0u));
    assert_int_equal(ring_room(5, 0xfffffff0u), XENSTORE_RING_SIZE - 21);
    /* Every start, so that every way of wrapping around occurs; the index itself wraps too. */
    for (uint32_t at = 0xfffffc00u - 1; at != 0x401; at++) {
        uint32_t len = at % XENSTORE_RING_SIZE + 1;

        ring_put(ring, at, in, len);
        memset(out, 0, sizeof(out));
        ring_get(ring, at, out, len);
        assert_memory_equal(in, out, len);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths),
        cmocka_unit_test(frames),
        cmocka_unit_test(strings_and_numbers),
        cmocka_unit_test(permission_texts),
        cmocka_unit_test(permission_rules),
        cmocka_unit_test(rings),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
