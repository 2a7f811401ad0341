/*
 * Operations on the store. See store.h.
 *
 * Each changing operation works on a "view": a tree (the main one, a transaction's own, or the scratch tree
 * that a commit is tried on) and whether its effects count. Only a counting view charges accounts and calls
 * the hooks, so an operation means the same everywhere.
 */
#include "store.h"

#include "log.h"

#include <errno.h>
#include <string.h>

const char *const store_special_name[SPECIAL_COUNT] = {
    [SPECIAL_INTRODUCE] = "@introduceDomain",
    [SPECIAL_RELEASE] = "@releaseDomain",
};

struct view {
    struct store *s;
    struct tree *tree;
    bool counts;        /* the main tree: charge accounts, tell the hooks */
    bool checked;       /* quotas were checked before */
    int32_t *new_nodes; /* elsewhere: what the caller's domain would be charged */
    int64_t *new_bytes;
};

static void no_change(void *ctx, enum change kind, struct path path, struct tree_node *node)
{
}

static void no_fire(void *ctx, struct path path, const struct perms *perms, struct tree_node *removed)
{
}

void store_init(struct store *s, const struct store_hooks *hooks)
{
    const struct perm root = {.domid = 0, .bits = 0};

    *s = (struct store){0};
    s->hooks = hooks ? *hooks : (struct store_hooks){.changed = no_change, .fire = no_fire};
    quota_init(&s->quotas);
    tree_init(&s->tree, &s->perms, &s->version, perms_get(&s->perms, &root, 1));
    account_get(&s->quotas, 0)->nodes = 1;
    for (unsigned i = 0; i < SPECIAL_COUNT; i++) {
        s->special[i] = perms_get(&s->perms, &root, 1);
    }
}

void store_free(struct store *s)
{
    tree_free(&s->tree);
    for (unsigned i = 0; i < SPECIAL_COUNT; i++) {
        perms_put(&s->perms, s->special[i]);
    }
    htab_free(&s->perms.sets);
    quota_free(&s->quotas);
}

static uint32_t owner(const struct tree_node *n)
{
    return n->perms->e[0].domid;
}

static void charge(struct view *v, const struct caller *who, uint32_t domid, int nodes, int64_t bytes)
{
    if (v->counts) {
        struct account *a = account_get(&v->s->quotas, domid);

        a->nodes += (uint32_t)nodes;
        a->node_bytes += (uint64_t)bytes;
    } else if (domid == who->domid) {
        *v->new_nodes += nodes;
        *v->new_bytes += bytes;
    }
}

/* May the caller's domain own `nodes` more nodes with `bytes` more in them? */
static int may_grow(struct view *v, const struct caller *who, uint32_t domid, uint32_t nodes, int64_t bytes,
                    const char *request)
{
    struct account *a;
    int64_t use;

    if (who->privileged || v->checked || bytes <= 0) {
        return 0;
    }
    a = account_get(&v->s->quotas, domid);
    use = (int64_t)a->nodes + (v->counts ? 0 : *v->new_nodes) + nodes;
    if (nodes && use > 0 && !quota_allows(&v->s->quotas, a, LIMIT_NODES, (uint64_t)use, request)) {
        return ENOSPC;
    }
    use = (int64_t)account_memory(a) + (v->counts ? 0 : *v->new_bytes) + bytes;
    return use > 0 && !quota_allows(&v->s->quotas, a, LIMIT_MEMORY, (uint64_t)use, request) ? ENOSPC : 0;
}

static int denied(const struct caller *who, struct path path, const char *what, const struct perms *p)
{
    return cause(EACCES, "domain %u may not %s %.*s (owner %u)", who->domid, what, (int)path.len, path.s,
                 p->e[0].domid);
}

static int missing(struct path path)
{
    return cause(ENOENT, "%.*s does not exist", (int)path.len, path.s);
}

/* Looks a node up for reading. What nobody may see is EACCES, not ENOENT: the parent's rights decide. */
static int look(struct tree *tree, const struct caller *who, struct path path, struct tree_node **out)
{
    struct tree_node *deepest = NULL;
    struct tree_node *n = tree_find(tree->root, path, &deepest);
    struct tree_node *judge = n ? n : deepest;

    if (!(perms_allow(judge->perms, who) & PERM_READ)) {
        return denied(who, path, "read", judge->perms);
    }
    *out = n;
    return n ? 0 : missing(path);
}

static int read_node(struct store *s, struct txn *t, const struct caller *who, struct path path,
                     uint32_t seen, const struct tree_node **out)
{
    struct tree_node *n = NULL;
    int rc = look(t ? &t->tree : &s->tree, who, path, &n);

    if (t) {
        txn_note(t, path, seen);
    }
    *out = n;
    return rc;
}

int store_read(struct store *s, struct txn *t, const struct caller *who, struct path path,
               const struct tree_node **out)
{
    return read_node(s, t, who, path, SEEN_NODE, out);
}

int store_list(struct store *s, struct txn *t, const struct caller *who, struct path path,
               const struct tree_node **out)
{
    return read_node(s, t, who, path, SEEN_KIDS, out);
}

int store_get_perms(struct store *s, struct txn *t, const struct caller *who, struct path path,
                    const struct perms **out)
{
    const struct tree_node *n;
    int rc = read_node(s, t, who, path, SEEN_NODE, &n);

    *out = rc ? NULL : n->perms;
    return rc;
}

/* The rights a new child of `parent` gets: the parent's, owned by the creator if that is an ordinary domain.
 */
static struct perms *inherit(struct view *v, const struct caller *who, const struct perms *parent)
{
    struct perm e[PERMS_MAX];

    if (who->privileged || parent->e[0].domid == who->domid) {
        return perms_ref((struct perms *)parent);
    }
    memcpy(e, parent->e, parent->n * sizeof(e[0]));
    e[0].domid = who->domid;
    return perms_get(&v->s->perms, e, parent->n);
}

static uint32_t missing_parts(struct path path, struct path have)
{
    uint32_t n = 0;

    while (path.len > have.len) {
        path = path_parent(path);
        n++;
    }
    return n;
}

/* Creates path and the parents that are missing, the last existing node being `deepest`. */
static int create(struct view *v, const struct caller *who, struct path path, struct tree_node *deepest,
                  const void *value, uint32_t len, const char *request)
{
    struct tree_node *n = v->tree->root;
    struct path part, upto = {path.s, 1};
    struct perms *perms;
    size_t at = 0, start;
    uint32_t owned_by, count;
    int rc;

    while (n != deepest && path_next(path, &at, &part)) {
        n = node_child(n, part);
    }
    upto.len = at ? at : 1;
    count = missing_parts(path, upto);
    perms = inherit(v, who, deepest->perms);
    owned_by = perms->e[0].domid;
    rc = may_grow(v, who, owned_by, count,
                  (int64_t)(count * (sizeof(*n) + 16) + (path.len - at) - count + len), request);
    for (start = at; !rc && path_next(path, &start, &part);) {
        bool last = start == path.len;

        upto = (struct path){path.s, start};
        n = tree_create(v->tree, upto, perms, last ? value : NULL, last ? len : 0);
        charge(v, who, owned_by, 1, node_cost(n));
        if (v->counts) {
            v->s->hooks.changed(v->s->hooks.ctx, CHANGE_CREATE, upto, n);
        }
    }
    perms_put(&v->s->perms, perms);
    if (!rc && v->counts) {
        v->s->hooks.fire(v->s->hooks.ctx, path, n->perms, NULL);
    }
    return rc;
}

static int view_write(struct view *v, const struct caller *who, struct path path, const void *value,
                      uint32_t len)
{
    struct tree_node *deepest = NULL;
    struct tree_node *n = tree_find(v->tree->root, path, &deepest);
    int64_t more;
    int rc;

    if (!(perms_allow((n ? n : deepest)->perms, who) & PERM_WRITE)) {
        return denied(who, path, "write", (n ? n : deepest)->perms);
    }
    if (!who->privileged && !v->checked &&
        !quota_allows(&v->s->quotas, account_get(&v->s->quotas, who->domid), LIMIT_NODE_SIZE, len, "write")) {
        return ENOSPC;
    }
    if (!n) {
        return create(v, who, path, deepest, value, len, "write");
    }
    more = (int64_t)len - n->value_len;
    rc = may_grow(v, who, owner(n), 0, more, "write");
    if (rc) {
        return rc;
    }
    n = tree_set_value(v->tree, path, value, len);
    charge(v, who, owner(n), 0, more);
    if (v->counts) {
        v->s->hooks.changed(v->s->hooks.ctx, CHANGE_VALUE, path, n);
        v->s->hooks.fire(v->s->hooks.ctx, path, n->perms, NULL);
    }
    return 0;
}

static int view_mkdir(struct view *v, const struct caller *who, struct path path, bool *changed)
{
    struct tree_node *deepest = NULL;
    struct tree_node *n = tree_find(v->tree->root, path, &deepest);

    if (!(perms_allow((n ? n : deepest)->perms, who) & PERM_WRITE)) {
        return denied(who, path, "make", (n ? n : deepest)->perms);
    }
    *changed = !n;
    return n ? 0 : create(v, who, path, deepest, NULL, 0, "mkdir");
}

struct uncharge {
    struct view *v;
    const struct caller *who;
};

static bool uncharge_node(void *ctx, struct path path, struct tree_node *n)
{
    struct uncharge *u = ctx;

    charge(u->v, u->who, owner(n), -1, -(int64_t)node_cost(n));
    return true;
}

static void remove_node(struct view *v, const struct caller *who, struct path path)
{
    struct uncharge u = {v, who};
    struct tree_node *n = tree_remove(v->tree, path);

    node_walk(n, path, uncharge_node, &u);
    if (v->counts) {
        v->s->hooks.changed(v->s->hooks.ctx, CHANGE_REMOVE, path, n);
        v->s->hooks.fire(v->s->hooks.ctx, path, n->perms, n);
    }
    node_put(&v->s->perms, n);
}

static int view_rm(struct view *v, const struct caller *who, struct path path, bool *changed)
{
    struct tree_node *deepest = NULL;
    struct tree_node *n = tree_find(v->tree->root, path, &deepest);

    *changed = false;
    if (!(perms_allow((n ? n : deepest)->perms, who) & PERM_WRITE)) {
        return denied(who, path, "remove", (n ? n : deepest)->perms);
    }
    if (path.len == 1) {
        return cause(EINVAL, "the root cannot be removed");
    }
    if (!n) {
        return tree_find(v->tree->root, path_parent(path), NULL) ? 0 : missing(path_parent(path));
    }
    *changed = true;
    remove_node(v, who, path);
    return 0;
}

static int check_new_perms(struct store *s, const struct caller *who, const struct perms *old,
                           const struct perm *e, uint32_t n)
{
    struct account *a = account_get(&s->quotas, who->domid);

    if (!who->privileged && old->e[0].domid != e[0].domid) {
        return cause(EPERM, "only the control domain may change an owner (%u to %u)", old->e[0].domid,
                     e[0].domid);
    }
    if (!who->privileged && !quota_allows(&s->quotas, a, LIMIT_PERMS, n, "set-perms")) {
        return ENOSPC;
    }
    return 0;
}

static int view_set_perms(struct view *v, const struct caller *who, struct path path, const struct perm *e,
                          uint32_t n)
{
    struct tree_node *deepest = NULL;
    struct tree_node *node = tree_find(v->tree->root, path, &deepest);
    uint32_t need = PERM_WRITE | PERM_OWNER;
    struct perms *p;
    int rc;

    if (!node) {
        return perms_allow(deepest->perms, who) & PERM_WRITE ? missing(path)
                                                             : denied(who, path, "change", deepest->perms);
    }
    if ((perms_allow(node->perms, who) & need) != need) {
        return denied(who, path, "change the rights of", node->perms);
    }
    rc = check_new_perms(v->s, who, node->perms, e, n);
    if (rc) {
        return rc;
    }
    charge(v, who, owner(node), -1, -(int64_t)node_cost(node));
    p = perms_get(&v->s->perms, e, n);
    node = tree_set_perms(v->tree, path, p);
    perms_put(&v->s->perms, p);
    charge(v, who, owner(node), 1, node_cost(node));
    if (v->counts) {
        v->s->hooks.changed(v->s->hooks.ctx, CHANGE_PERMS, path, node);
        v->s->hooks.fire(v->s->hooks.ctx, path, node->perms, NULL);
    }
    return 0;
}

static struct view view_of(struct store *s, struct txn *t)
{
    if (t) {
        return (struct view){
            .s = s, .tree = &t->tree, .new_nodes = &t->new_nodes, .new_bytes = &t->new_bytes};
    }
    return (struct view){.s = s, .tree = &s->tree, .counts = true};
}

/* In a transaction: remember a change that worked for the commit, or what a failed one learned. */
static int record(struct txn *t, int rc, bool changed, enum txn_op_kind kind, struct path path,
                  const void *data, uint32_t len)
{
    if (t && rc == 0 && changed) {
        txn_add_op(t, kind, path, data, len);
    } else if (t) {
        txn_note(t, path, rc ? SEEN_NODE : 0);
    }
    return rc;
}

int store_write(struct store *s, struct txn *t, const struct caller *who, struct path path, const void *value,
                uint32_t len)
{
    struct view v = view_of(s, t);

    return record(t, view_write(&v, who, path, value, len), true, TXN_WRITE, path, value, len);
}

int store_mkdir(struct store *s, struct txn *t, const struct caller *who, struct path path)
{
    struct view v = view_of(s, t);
    bool changed = false;
    int rc = view_mkdir(&v, who, path, &changed);

    return record(t, rc, changed, TXN_MKDIR, path, NULL, 0);
}

int store_rm(struct store *s, struct txn *t, const struct caller *who, struct path path)
{
    struct view v = view_of(s, t);
    bool changed = false;
    int rc = view_rm(&v, who, path, &changed);

    return record(t, rc, changed, TXN_RM, path, NULL, 0);
}

int store_set_perms(struct store *s, struct txn *t, const struct caller *who, struct path path,
                    const struct perm *e, uint32_t n)
{
    struct view v = view_of(s, t);

    return record(t, view_set_perms(&v, who, path, e, n), true, TXN_SET_PERMS, path, e,
                  (uint32_t)(n * sizeof(*e)));
}

int store_special_index(struct path path)
{
    for (int i = 0; i < SPECIAL_COUNT; i++) {
        if (strlen(store_special_name[i]) == path.len &&
            memcmp(store_special_name[i], path.s, path.len) == 0) {
            return i;
        }
    }
    return -1;
}

int store_set_special(struct store *s, const struct caller *who, int index, const struct perm *e, uint32_t n)
{
    if (!who->privileged) {
        return cause(EACCES, "only the control domain may change the rights of %s",
                     store_special_name[index]);
    }
    perms_put(&s->perms, s->special[index]);
    s->special[index] = perms_get(&s->perms, e, n);
    return 0;
}

struct txn *store_txn_start(struct store *s, const struct caller *who, uint32_t id)
{
    return txn_new(&s->tree, id, who->domid);
}

void store_txn_abort(struct store *s, struct txn *t)
{
    txn_free(t);
}

static int apply_ops(struct view *v, const struct txn *t, const struct caller *who)
{
    struct txn_op op;
    struct path path;
    const void *data;
    bool changed = true;
    int rc = 0;

    for (size_t at = 0; rc == 0 && txn_next_op(t, &at, &op, &path, &data);) {
        switch ((enum txn_op_kind)op.kind) {
        case TXN_WRITE:
            rc = view_write(v, who, path, data, op.data_len);
            break;
        case TXN_MKDIR:
            rc = view_mkdir(v, who, path, &changed);
            break;
        case TXN_RM:
            rc = view_rm(v, who, path, &changed);
            break;
        case TXN_SET_PERMS:
            rc = view_set_perms(v, who, path, data, (uint32_t)(op.data_len / sizeof(struct perm)));
            break;
        }
    }
    return rc;
}

/* Would the operations still work on the current tree? Tries them on a snapshot of it. */
static int try_ops(struct store *s, const struct txn *t, const struct caller *who)
{
    int32_t new_nodes = 0;
    int64_t new_bytes = 0;
    struct tree scratch = s->tree;
    struct view v = {.s = s, .tree = &scratch, .new_nodes = &new_nodes, .new_bytes = &new_bytes};
    int rc;

    node_ref(scratch.root);
    rc = apply_ops(&v, t, who);
    tree_free(&scratch);
    return rc == 0 || rc == ENOSPC ? rc : EAGAIN;
}

int store_txn_commit(struct store *s, struct txn *t, const struct caller *who)
{
    struct view v = {.s = s, .tree = &s->tree, .counts = true, .checked = true};
    struct path where;
    int rc = 0;

    if (t->lost) {
        rc = cause(EAGAIN, "the transaction was open when the store was restarted");
    } else if (txn_conflict(t, s->tree.root, &where)) {
        rc = cause(EAGAIN, "%.*s was changed by others since the transaction began", (int)where.len, where.s);
    } else if (t->nops && s->tree.root != t->base) {
        rc = try_ops(s, t, who);
    }
    if (!rc && t->nops) {
        /* The snapshots go first, so that the changes need not copy what only they still hold. */
        txn_drop_snapshots(t);
        apply_ops(&v, t, who);
    }
    txn_free(t);
    return rc;
}

struct owned {
    uint32_t domid;
    uint32_t left;    /* nodes still to be found */
    struct buf paths; /* each with its nul */
};

static bool find_owned(void *ctx, struct path path, struct tree_node *n)
{
    struct owned *o = ctx;

    if (owner(n) == o->domid && path.len > 1) {
        buf_add(&o->paths, path.s, path.len);
        buf_add(&o->paths, "", 1);
        o->left--;
    }
    return o->left > 0;
}

/* Removes the nodes of a dead domain below `start`. The walk ends early: the account says how many there are.
 */
static void remove_owned(struct store *s, uint32_t domid, struct path start)
{
    static const struct caller control = {.domid = 0, .target = DOMID_NONE, .privileged = true};
    struct view v = {.s = s, .tree = &s->tree, .counts = true, .checked = true};
    struct account *a = account_find(&s->quotas, domid);
    struct owned o = {.domid = domid, .left = a ? a->nodes : 0};
    struct tree_node *n = tree_find(s->tree.root, start, NULL);

    if (n && o.left) {
        node_walk(n, start, find_owned, &o);
    }
    for (size_t at = 0; at < o.paths.len;) {
        struct path path = {(const char *)o.paths.data + at, strlen((const char *)o.paths.data + at)};

        at += path.len + 1;
        if (tree_find(s->tree.root, path, NULL)) {
            remove_node(&v, &control, path);
        }
    }
    buf_free(&o.paths);
}

void store_domain_dead(struct store *s, uint32_t domid)
{
    char home[40];
    struct path path;
    const char *why;

    if (domid == 0) {
        return;
    }
    path_from_client("device", 6, domid, home, &path, &why);
    remove_owned(s, domid, path_parent(path));
    remove_owned(s, domid, (struct path){"/", 1});
    perms_forget_domain(&s->perms, domid);
}

bool store_replay_create(struct store *s, struct path path, const struct perm *e, uint32_t n,
                         const void *value, uint32_t len)
{
    struct account *a;
    struct perms *p;
    struct tree_node *node;

    if (path.len == 1 || tree_find(s->tree.root, path, NULL) ||
        !tree_find(s->tree.root, path_parent(path), NULL)) {
        return false;
    }
    p = perms_get(&s->perms, e, n);
    node = tree_create(&s->tree, path, p, value, len);
    perms_put(&s->perms, p);
    a = account_get(&s->quotas, owner(node));
    a->nodes++;
    a->node_bytes += node_cost(node);
    return true;
}

bool store_replay_value(struct store *s, struct path path, const void *value, uint32_t len)
{
    struct tree_node *n = tree_find(s->tree.root, path, NULL);

    if (!n) {
        return false;
    }
    account_get(&s->quotas, owner(n))->node_bytes += (uint64_t)len - n->value_len;
    tree_set_value(&s->tree, path, value, len);
    return true;
}

bool store_replay_perms(struct store *s, struct path path, const struct perm *e, uint32_t n)
{
    static const struct caller control = {.domid = 0, .target = DOMID_NONE, .privileged = true};
    struct view v = {.s = s, .tree = &s->tree, .counts = true, .checked = true};
    struct store_hooks hooks = s->hooks;
    int rc;

    s->hooks.changed = no_change;
    s->hooks.fire = no_fire;
    rc = view_set_perms(&v, &control, path, e, n);
    s->hooks = hooks;
    return rc == 0;
}

bool store_replay_remove(struct store *s, struct path path)
{
    static const struct caller control = {.domid = 0, .target = DOMID_NONE, .privileged = true};
    struct view v = {.s = s, .tree = &s->tree, .counts = true, .checked = true};
    struct store_hooks hooks = s->hooks;
    bool changed = false;

    s->hooks.changed = no_change;
    s->hooks.fire = no_fire;
    view_rm(&v, &control, path, &changed);
    s->hooks = hooks;
    return changed;
}
