/* The tree: order, big directories, snapshots that stay what they were, and that nothing is copied without
 * need. */
#include "tree.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static struct perms_table perms;
static uint64_t version;
static struct tree t;

static struct path P(const char *s) {
    return (struct path){s, strlen(s)};
}

static int
setup(void **state)
{
    const struct perm e = {0, 0};

    version = 0;
    tree_init(&t, &perms, &version, perms_get(&perms, &e, 1));
    return 0;
}

static int teardown(void **state)
{
    tree_free(&t);
    assert_int_equal(perms.sets.count, 0);
    return 0;
}

static void add(const char *path, const char *value)
{
    tree_create(&t, P(path), t.root->perms, value, (uint32_t)strlen(value));
}

static void value_is(struct tree_node *root, const char *path, const char *value)
{
    struct tree_node *n = tree_find(root, P(path), NULL);

    assert_non_null(n);
    assert_int_equal(n->value_len, strlen(value));
    assert_memory_equal(node_value(n), value, strlen(value));
}

static void find_and_change(void **state)
{
    struct tree_node *deepest = NULL;

    add("/a", "1");
    add("/a/b", "2");
    value_is(t.root, "/a/b", "2");
    tree_set_value(&t, P("/a"), "longer than before", 18);
    value_is(t.root, "/a", "longer than before");
    value_is(t.root, "/a/b", "2");
    assert_null(tree_find(t.root, P("/a/c/d"), &deepest));
    assert_ptr_equal(deepest, tree_find(t.root, P("/a"), NULL));
    node_put(&perms, tree_remove(&t, P("/a")));
    assert_null(tree_find(t.root, P("/a"), NULL));
    assert_int_equal(node_kids(t.root), 0);
}

static void big_directory(void **state)
{
    enum { N = 20000 };
    char path[32], last[32] = "";
    uint32_t bytes = 0, inside;

    add("/d", "");
    for (unsigned i = 0; i < N; i++) {
        sprintf(path, "/d/%u", i * 7919u % N); /* every number once, in no order */
        add(path, path);
    }
    assert_int_equal(node_kids(tree_find(t.root, P("/d"), NULL)), N);
    for (unsigned i = 0; i < N; i++) {
        struct tree_node *kid = node_kid(tree_find(t.root, P("/d"), NULL), i);
        char name[32] = "";

        memcpy(name, kid->bytes, kid->name_len);
        assert_true(strcmp(last, name) < 0);
        assert_int_equal(node_kid_at_byte(tree_find(t.root, P("/d"), NULL), bytes, &inside), i);
        assert_int_equal(inside, 0);
        strcpy(last, name);
        bytes += kid->name_len + 1u;
    }
    assert_int_equal(bytes, node_kids_bytes(tree_find(t.root, P("/d"), NULL)));
    for (unsigned i = 0; i < N; i++) {
        sprintf(path, "/d/%u", i * 6007u % N);
        value_is(t.root, path, path);
        node_put(&perms, tree_remove(&t, P(path)));
        assert_null(tree_find(t.root, P(path), NULL));
    }
    assert_int_equal(node_kids(tree_find(t.root, P("/d"), NULL)), 0);
    assert_null(tree_find(t.root, P("/d"), NULL)->kids);
}

static void snapshot_stays(void **state)
{
    struct tree_node *snap;
    char path[32];

    for (unsigned i = 0; i < 300; i++) {
        sprintf(path, "/n%u", i);
        add(path, "old");
    }
    snap = node_ref(t.root);
    for (unsigned i = 0; i < 300; i += 2) {
        sprintf(path, "/n%u", i);
        tree_set_value(&t, P(path), "new", 3);
        sprintf(path, "/n%u/kid", i + 1);
        add(path, "");
    }
    node_put(&perms, tree_remove(&t, P("/n7")));
    for (unsigned i = 0; i < 300; i++) {
        sprintf(path, "/n%u", i);
        value_is(snap, path, "old");
        assert_null(tree_find(snap, P(path), NULL)->kids);
        if (i != 7) {
            value_is(t.root, path, i % 2 ? "old" : "new");
        }
    }
    node_put(&perms, snap);
}

static void unshared_changes_in_place(void **state)
{
    struct tree_node *root = t.root, *n;

    add("/a", "1");
    n = tree_find(t.root, P("/a"), NULL);
    tree_set_value(&t, P("/a"), "2", 1);
    assert_ptr_equal(t.root, root);
    assert_ptr_equal(tree_find(t.root, P("/a"), NULL), n);
}

static void versions_tell_changes(void **state)
{
    struct tree_node *snap;
    uint64_t root_kids, a;

    add("/a", "1");
    add("/b", "1");
    snap = node_ref(t.root);
    root_kids = snap->kids_version;
    a = tree_find(snap, P("/a"), NULL)->version;
    tree_set_value(&t, P("/b"), "2", 1);
    assert_int_equal(t.root->kids_version, root_kids);
    assert_int_equal(tree_find(t.root, P("/a"), NULL)->version, a);
    add("/a/x", "");
    assert_int_equal(tree_find(t.root, P("/a"), NULL)->version, a);
    assert_int_equal(t.root->kids_version, root_kids);
    node_put(&perms, tree_remove(&t, P("/a")));
    assert_int_not_equal(t.root->kids_version, root_kids);
    node_put(&perms, snap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(find_and_change, setup, teardown),
        cmocka_unit_test_setup_teardown(big_directory, setup, teardown),
        cmocka_unit_test_setup_teardown(snapshot_stays, setup, teardown),
        cmocka_unit_test_setup_teardown(unshared_changes_in_place, setup, teardown),
        cmocka_unit_test_setup_teardown(versions_tell_changes, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
