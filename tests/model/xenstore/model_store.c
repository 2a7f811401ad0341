/*
 * The store against a naive oracle: random operations by several callers, inside and outside of transactions.
 *
 * The oracle keeps all nodes in one flat array, copies the whole array for a transaction, and decides a
 * conflict by comparing what the transaction looked at with copies. After every step replies have to agree;
 * every now and then the whole trees are compared, and with them what the accounts say.
 */
#include "store.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define NODES_MAX 512
#define TXNS_MAX  4
#define SEEN_MAX  4096
#define OPS_MAX   256
#define STEPS     60000
#define CALLERS   4

struct onode {
    char path[64];
    char value[24];
    uint32_t value_len;
    struct perm perm[4];
    uint32_t nperms;
    uint64_t version, kids_version;
};

struct omap {
    struct onode n[NODES_MAX];
    unsigned count;
};

struct oop {
    int kind; /* 0 write, 1 mkdir, 2 rm, 3 perms */
    char path[64];
    char value[24];
    struct perm perm[4];
    uint32_t nperms;
};

struct otxn {
    bool used;
    unsigned caller;
    struct omap base, map;
    struct {
        char path[64];
        unsigned flags;
    } seen[SEEN_MAX];
    unsigned nseen;
    struct oop op[OPS_MAX];
    unsigned nops;
    struct txn *real;
};

static struct omap main_map;
static struct otxn txns[TXNS_MAX];
static uint64_t clock_now;
static uint64_t rng = 88172645463325252ull;

static const struct caller callers[CALLERS] = {
    {.domid = 0, .target = DOMID_NONE, .privileged = true},
    {.domid = 1, .target = DOMID_NONE},
    {.domid = 2, .target = DOMID_NONE},
    {.domid = 3, .target = 1},
};

static unsigned rnd(unsigned n)
{
    rng ^= rng << 13;
    rng ^= rng >> 7;
    rng ^= rng << 17;
    return (unsigned)(rng % n);
}

static struct onode *ofind(struct omap *m, const char *path)
{
    for (unsigned i = 0; i < m->count; i++) {
        if (strcmp(m->n[i].path, path) == 0) {
            return &m->n[i];
        }
    }
    return NULL;
}

static void oparent(const char *path, char *out)
{
    char *slash;

    strcpy(out, path);
    slash = strrchr(out, '/');
    slash[slash == out ? 1 : 0] = '\0';
}

/* The node, or the nearest existing one above it. */
static struct onode *onear(struct omap *m, const char *path)
{
    char p[64];

    strcpy(p, path);
    while (!ofind(m, p)) {
        char up[64];

        oparent(p, up);
        strcpy(p, up);
    }
    return ofind(m, p);
}

static unsigned oallow(const struct onode *n, const struct caller *c)
{
    if (c->privileged || n->perm[0].domid == c->domid || n->perm[0].domid == c->target) {
        return 11;
    }
    for (unsigned i = 1; i < n->nperms; i++) {
        if (n->perm[i].domid == c->domid || n->perm[i].domid == c->target) {
            return n->perm[i].bits;
        }
    }
    return n->perm[0].bits;
}

static void ocreate(struct omap *m, const struct caller *c, const char *path)
{
    char up[64];
    struct onode *parent, *n;

    oparent(path, up);
    if (!ofind(m, up)) {
        ocreate(m, c, up);
    }
    parent = ofind(m, up);
    assert_true(m->count < NODES_MAX);
    n = &m->n[m->count++];
    *n = *parent;
    strcpy(n->path, path);
    n->value_len = 0;
    if (!c->privileged) {
        n->perm[0].domid = c->domid;
    }
    n->version = n->kids_version = ++clock_now;
    parent->kids_version = ++clock_now;
}

static int oapply(struct omap *m, const struct caller *c, const struct oop *op, bool *changed)
{
    struct onode *n = ofind(m, op->path);
    struct onode *near = onear(m, op->path);
    char up[64];

    *changed = true;
    if (op->kind == 3) {
        if (!n) {
            return oallow(near, c) & PERM_WRITE ? ENOENT : EACCES;
        }
        if ((oallow(n, c) & 10) != 10) {
            return EACCES;
        }
        if (!c->privileged && op->perm[0].domid != n->perm[0].domid) {
            return EPERM;
        }
        memcpy(n->perm, op->perm, sizeof(n->perm));
        n->nperms = op->nperms;
        n->version = ++clock_now;
        return 0;
    }
    if (!(oallow(near, c) & PERM_WRITE)) {
        return EACCES;
    }
    if (op->kind == 2) {
        if (strcmp(op->path, "/") == 0) {
            return EINVAL;
        }
        oparent(op->path, up);
        if (!n) {
            *changed = false;
            return ofind(m, up) ? 0 : ENOENT;
        }
        for (unsigned i = 0; i < m->count;) {
            size_t len = strlen(op->path);

            if (strncmp(m->n[i].path, op->path, len) == 0 &&
                (m->n[i].path[len] == '/' || !m->n[i].path[len])) {
                m->n[i] = m->n[--m->count];
            } else {
                i++;
            }
        }
        ofind(m, up)->kids_version = ++clock_now;
        return 0;
    }
    if (!n) {
        ocreate(m, c, op->path);
        n = ofind(m, op->path);
    } else if (op->kind == 1) {
        *changed = false;
        return 0;
    }
    if (op->kind == 0) {
        strcpy(n->value, op->value);
        n->value_len = (uint32_t)strlen(op->value);
        n->version = ++clock_now;
    }
    return 0;
}

static void oseen(struct otxn *t, const char *path, unsigned flags)
{
    assert_true(t->nseen < SEEN_MAX);
    strcpy(t->seen[t->nseen].path, path);
    t->seen[t->nseen++].flags = flags;
}

static int ocommit(struct otxn *t)
{
    static struct omap scratch;
    bool changed;

    for (unsigned i = 0; i < t->nseen; i++) {
        struct onode *a = ofind(&t->base, t->seen[i].path), *b = ofind(&main_map, t->seen[i].path);

        if (!a != !b || (a && (t->seen[i].flags & 1) && a->version != b->version) ||
            (a && (t->seen[i].flags & 2) && a->kids_version != b->kids_version)) {
            return EAGAIN;
        }
    }
    scratch = main_map;
    for (unsigned i = 0; i < t->nops; i++) {
        if (oapply(&scratch, &callers[t->caller], &t->op[i], &changed)) {
            return EAGAIN;
        }
    }
    main_map = scratch;
    return 0;
}

/* Few names, so that callers meet. */
static void random_path(char *out)
{
    static const char *const top[] = {"/d1", "/d2", "/shared", "/x"};
    unsigned depth = rnd(3);

    strcpy(out, top[rnd(4)]);
    while (depth--) {
        sprintf(out + strlen(out), "/%c", 'a' + rnd(5));
    }
    if (rnd(100) == 0) {
        strcpy(out, "/");
    }
}

static struct path as_path(const char *s)
{
    return (struct path){s, strlen(s)};
}

static void check_same(struct store *s, const struct caller *all)
{
    unsigned total = 0;

    for (unsigned i = 0; i < main_map.count; i++) {
        struct onode *o = &main_map.n[i];
        const struct tree_node *n;

        assert_int_equal(store_read(s, NULL, all, as_path(o->path), &n), 0);
        assert_int_equal(n->value_len, o->value_len);
        assert_memory_equal(node_value(n), o->value, o->value_len);
        assert_int_equal(n->perms->n, o->nperms);
        assert_memory_equal(n->perms->e, o->perm, o->nperms * sizeof(struct perm));
    }
    for (unsigned d = 0; d < 8; d++) {
        struct account *a = account_find(&s->quotas, d);
        unsigned owned = 0;

        for (unsigned i = 0; i < main_map.count; i++) {
            owned += main_map.n[i].perm[0].domid == d;
        }
        total += a ? a->nodes : 0;
        assert_int_equal(a ? a->nodes : 0, owned);
    }
    assert_int_equal(total, main_map.count);
}

static void step_read(struct store *s, const struct caller *c, struct otxn *t, struct omap *m,
                      const char *path, bool list)
{
    struct onode *n = ofind(m, path);
    int want = oallow(onear(m, path), c) & PERM_READ ? (n ? 0 : ENOENT) : EACCES;
    const struct tree_node *node = NULL;
    int got = list ? store_list(s, t ? t->real : NULL, c, as_path(path), &node)
                   : store_read(s, t ? t->real : NULL, c, as_path(path), &node);

    assert_int_equal(got, want);
    if (t) {
        oseen(t, path, list ? 2 : 1);
    }
    if (!got && !list) {
        assert_int_equal(node->value_len, n->value_len);
        assert_memory_equal(node_value(node), n->value, n->value_len);
    } else if (!got) {
        unsigned kids = 0;

        for (unsigned i = 0; i < m->count; i++) {
            char up[64];

            oparent(m->n[i].path, up);
            kids += strcmp(up, path) == 0 && strcmp(m->n[i].path, "/") != 0;
        }
        assert_int_equal(node_kids(node), kids);
        for (unsigned i = 0; i + 1 < kids; i++) {
            struct tree_node *a = node_kid(node, i), *b = node_kid(node, i + 1);
            char x[64] = "", y[64] = "";

            memcpy(x, a->bytes, a->name_len);
            memcpy(y, b->bytes, b->name_len);
            assert_true(strcmp(x, y) < 0);
        }
    }
}

static void step_change(struct store *s, const struct caller *c, struct otxn *t, struct omap *m,
                        const char *path)
{
    struct oop op = {.kind = (int)rnd(8)};
    struct txn *real = t ? t->real : NULL;
    bool changed = false;
    int want, got;

    op.kind = op.kind < 4 ? 0 : op.kind - 4;
    strcpy(op.path, path);
    sprintf(op.value, "%u", rnd(1000));
    op.nperms = 1 + rnd(3);
    for (unsigned i = 0; i < op.nperms; i++) {
        op.perm[i] = (struct perm){.domid = rnd(4), .bits = rnd(4)};
    }
    want = oapply(m, c, &op, &changed);
    switch (op.kind) {
    case 0:
        got = store_write(s, real, c, as_path(path), op.value, (uint32_t)strlen(op.value));
        break;
    case 1:
        got = store_mkdir(s, real, c, as_path(path));
        break;
    case 2:
        got = store_rm(s, real, c, as_path(path));
        break;
    default:
        got = store_set_perms(s, real, c, as_path(path), op.perm, op.nperms);
    }
    assert_int_equal(got, want);
    if (t && !want && changed && op.kind >= 0) {
        assert_true(t->nops < OPS_MAX);
        t->op[t->nops++] = op;
    } else if (t) {
        oseen(t, path, want ? 1 : 0);
    }
}

static void finish(struct store *s, struct otxn *t, unsigned *commits, unsigned *conflicts)
{
    if (rnd(4) == 0) {
        store_txn_abort(s, t->real);
    } else {
        int want = ocommit(t);
        int got = store_txn_commit(s, t->real, &callers[t->caller]);

        assert_int_equal(got, want);
        *(want ? conflicts : commits) += 1;
    }
    t->used = false;
}

static void random_operations(void **state)
{
    struct store s;
    unsigned commits = 0, conflicts = 0;

    store_init(&s, NULL);
    main_map.count = 1;
    strcpy(main_map.n[0].path, "/");
    main_map.n[0].perm[0] = (struct perm){0, 0};
    main_map.n[0].nperms = 1;
    if (getenv("SEED")) {
        rng = strtoull(getenv("SEED"), NULL, 10) * 2654435761u + 1;
    }
    for (unsigned step = 0; step < STEPS; step++) {
        struct otxn *t = rnd(2) ? &txns[rnd(TXNS_MAX)] : NULL;
        const struct caller *c = &callers[rnd(CALLERS)];
        char path[64];

        random_path(path);
        if (t && !t->used) {
            t->used = true;
            t->caller = (unsigned)(c - callers);
            t->base = t->map = main_map;
            t->nseen = t->nops = 0;
            t->real = store_txn_start(&s, c, step);
            continue;
        }
        if (t && (rnd(6) == 0 || t->nops > OPS_MAX - 2 || t->nseen > SEEN_MAX - 2)) {
            finish(&s, t, &commits, &conflicts);
            continue;
        }
        c = t ? &callers[t->caller] : c;
        if (rnd(2)) {
            step_read(&s, c, t, t ? &t->map : &main_map, path, rnd(3) == 0);
        } else {
            step_change(&s, c, t, t ? &t->map : &main_map, path);
        }
        if (step % 500 == 0) {
            check_same(&s, &callers[0]);
        }
    }
    /* A test in which nothing ever conflicts, or everything does, would show little. */
    assert_true(commits > 100 && conflicts > 100);
    for (unsigned i = 0; i < TXNS_MAX; i++) {
        if (txns[i].used) {
            store_txn_abort(&s, txns[i].real);
        }
    }
    check_same(&s, &callers[0]);
    store_free(&s);
    printf("%u commits, %u conflicts, %u nodes at the end\n", commits, conflicts, main_map.count);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(random_operations)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
