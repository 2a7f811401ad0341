#include <elf.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>
#include "fake.h"

struct node {
    char *path, *value;
};

struct fake_domain {
    bool used, running, has_context;
    struct xen_cpuid_leaf leaves[FAKE_LEAVES];
    uint8_t uuid[16];
    unsigned int vcpus, ports;
    uint64_t max_kib, claimed, pages, pinned, shared_info;
    struct vcpu_guest_context context;
};

struct fake {
    struct fake_domain domains[FAKE_DOMAINS];
    uint8_t *memory; /* of all pages; touched lazily by the system */
    uint8_t owner[FAKE_PAGES];
    unsigned int mappings;
    /* The store: its thread and the tests take turns under the lock. */
    pthread_mutex_t lock;
    pthread_t thread;
    bool thread_runs;
    int server;
    struct node *nodes, *backup;
    unsigned int node_count, backup_count, transactions;
};

/* ---- the store ---- */

static void free_nodes(struct node *nodes, unsigned int count)
{
    for (unsigned int i = 0; i < count; i++) {
        free(nodes[i].path);
        free(nodes[i].value);
    }
    free(nodes);
}

static struct node *copy_nodes(const struct node *nodes, unsigned int count)
{
    struct node *copy = calloc(count + 1, sizeof(*copy));

    for (unsigned int i = 0; i < count; i++)
        copy[i] = (struct node){strdup(nodes[i].path), strdup(nodes[i].value)};
    return copy;
}

static struct node *find_node(struct fake *f, const char *path)
{
    for (unsigned int i = 0; i < f->node_count; i++)
        if (strcmp(f->nodes[i].path, path) == 0)
            return &f->nodes[i];
    return NULL;
}

static void set_node(struct fake *f, const char *path, const char *value, size_t size)
{
    struct node *n = find_node(f, path);

    if (!n) {
        f->nodes = reallocarray(f->nodes, f->node_count + 1, sizeof(*f->nodes));
        n = &f->nodes[f->node_count++];
        *n = (struct node){strdup(path), NULL};
    }
    free(n->value);
    n->value = strndup(value, size);
}

static bool below(const char *path, const char *parent)
{
    size_t length = strlen(parent);

    return strncmp(path, parent, length) == 0 && (path[length] == 0 || path[length] == '/');
}

static bool remove_node(struct fake *f, const char *path)
{
    unsigned int kept = 0, before = f->node_count;

    for (unsigned int i = 0; i < f->node_count; i++) {
        if (!below(f->nodes[i].path, path)) {
            f->nodes[kept++] = f->nodes[i];
            continue;
        }
        free(f->nodes[i].path);
        free(f->nodes[i].value);
    }
    f->node_count = kept;
    return kept != before;
}

/* Children of path as a list of strings; their size, or 0 when there is no such directory. */
static size_t list_node(struct fake *f, const char *path, char *out, bool *there)
{
    size_t used = 0, length = strlen(path);

    *there = false;
    for (unsigned int i = 0; i < f->node_count; i++) {
        const char *name = f->nodes[i].path + length + 1;
        size_t size = 0;
        bool known = false;

        if (!below(f->nodes[i].path, path))
            continue;
        *there = true;
        if (f->nodes[i].path[length] == 0)
            continue;
        size = strcspn(name, "/");
        for (size_t at = 0; at < used; at += strlen(out + at) + 1)
            known |= strlen(out + at) == size && strncmp(out + at, name, size) == 0;
        if (!known) {
            memcpy(out + used, name, size);
            out[used + size] = 0;
            used += size + 1;
        }
    }
    return used;
}

static const char *answer(struct fake *f, uint32_t type, char *payload, uint32_t size, char *out,
                          uint32_t *out_size)
{
    const char *rest = payload + strlen(payload) + 1;
    struct node *n;
    bool there;

    *out_size = 3;
    strcpy(out, "OK");
    switch (type) {
    case XS_READ:
        n = find_node(f, payload);
        if (!n)
            return "ENOENT";
        *out_size = strlen(n->value);
        memcpy(out, n->value, *out_size);
        return NULL;
    case XS_WRITE:
        set_node(f, payload, rest, payload + size - rest);
        return NULL;
    case XS_MKDIR:
        if (!find_node(f, payload))
            set_node(f, payload, "", 0);
        return NULL;
    case XS_RM:
        return remove_node(f, payload) ? NULL : "ENOENT";
    case XS_SET_PERMS:
        return find_node(f, payload) ? NULL : "ENOENT";
    case XS_DIRECTORY:
        *out_size = list_node(f, payload, out, &there);
        return there ? NULL : "ENOENT";
    case XS_TRANSACTION_START:
        f->transactions++;
        free_nodes(f->backup, f->backup_count);
        f->backup = copy_nodes(f->nodes, f->node_count);
        f->backup_count = f->node_count;
        strcpy(out, "7");
        *out_size = 2;
        return NULL;
    case XS_TRANSACTION_END:
        f->transactions--;
        if (payload[0] == 'F') {
            free_nodes(f->nodes, f->node_count);
            f->nodes = f->backup;
            f->node_count = f->backup_count;
            f->backup = NULL;
            f->backup_count = 0;
        }
        return NULL;
    case XS_INTRODUCE:
    case XS_RELEASE:
        return NULL;
    default:
        return "ENOSYS";
    }
}

static bool read_all(int fd, void *data, size_t size)
{
    for (uint8_t *at = data; size;) {
        ssize_t got = read(fd, at, size);

        if (got <= 0)
            return false;
        at += got;
        size -= got;
    }
    return true;
}

static void *serve(void *context)
{
    struct fake *f = context;
    struct {
        uint32_t type, id, tx, size;
    } head;
    char payload[4097], out[8192];

    while (read_all(f->server, &head, sizeof(head)) && head.size <= 4096 &&
           read_all(f->server, payload, head.size)) {
        const char *error;
        bool good;

        payload[head.size] = 0;
        pthread_mutex_lock(&f->lock);
        error = answer(f, head.type, payload, head.size, out, &head.size);
        pthread_mutex_unlock(&f->lock);
        if (error) {
            head.type = XS_ERROR;
            head.size = strlen(error) + 1;
            strcpy(out, error);
        }
        good = write(f->server, &head, sizeof(head)) == sizeof(head) &&
               write(f->server, out, head.size) == (ssize_t)head.size;
        if (!good)
            break;
    }
    return NULL;
}

static int store_connect(struct bh *h, bool *stream)
{
    struct fake *f = h->os_private;
    int ends[2];

    if (f->thread_runs) {
        pthread_join(f->thread, NULL);
        close(f->server);
    }
    if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) < 0)
        return -errno;
    f->server = ends[1];
    f->thread_runs = pthread_create(&f->thread, NULL, serve, f) == 0;
    *stream = true;
    return ends[0];
}

/* ---- the hypervisor ---- */

static struct fake_domain *get_domain(struct fake *f, unsigned int domid)
{
    return domid && domid < FAKE_DOMAINS && f->domains[domid].used ? &f->domains[domid] : NULL;
}

static uint64_t free_pages_of(const struct fake *f)
{
    uint64_t n = 0;

    for (unsigned int i = 1; i < FAKE_PAGES; i++)
        n += f->owner[i] == 0;
    return n;
}

static uint64_t take_pages(struct fake *f, unsigned int domid, unsigned int order)
{
    uint64_t step = 1UL << order;

    for (uint64_t at = step; at + step <= FAKE_PAGES; at += step) {
        bool good = true;

        for (uint64_t i = 0; i < step && good; i++)
            good = f->owner[at + i] == 0;
        if (!good)
            continue;
        memset(f->owner + at, domid, step);
        return at;
    }
    return 0;
}

static void end_domain(struct fake *f, unsigned int domid)
{
    for (unsigned int i = 0; i < FAKE_PAGES; i++)
        if (f->owner[i] == domid) {
            f->owner[i] = 0;
            madvise(f->memory + i * PAGE_BYTES, PAGE_BYTES, MADV_DONTNEED);
        }
    memset(&f->domains[domid], 0, sizeof(f->domains[domid]));
}

static void *pointer(const void *field)
{
    void *p;

    memcpy(&p, field, sizeof(p));
    return p;
}

static void fill_info(const struct fake *f, unsigned int domid, struct xen_domctl_getdomaininfo *i)
{
    const struct fake_domain *d = &f->domains[domid];

    memset(i, 0, sizeof(*i));
    i->domain = domid;
    i->flags = d->running ? 0 : XEN_DOMINF_paused;
    i->tot_pages = d->pages;
    i->max_pages = d->max_kib >> 2;
    i->shared_info_frame = d->shared_info;
    i->max_vcpu_id = d->vcpus - 1;
    memcpy(i->handle, d->uuid, 16);
}

static const struct xen_cpuid_leaf usual_policy[FAKE_LEAVES] = {
    {0, XEN_CPUID_NO_SUBLEAF, 7, 0, 0, 0},
    {1, XEN_CPUID_NO_SUBLEAF, 0x663, 0, 0x201, 0x178bfbff},
    {7, 0, 0, 0x20, 0, 0},
};

const struct xen_cpuid_leaf *fake_policy(const struct fake *f, unsigned int domid)
{
    return f->domains[domid].leaves;
}

static long create_domain(struct fake *f, struct xen_domctl *op)
{
    for (unsigned int id = 1; id < FAKE_DOMAINS; id++) {
        struct fake_domain *d = &f->domains[id];

        if (d->used)
            continue;
        d->used = true;
        memcpy(d->uuid, op->u.createdomain.handle, 16);
        memcpy(d->leaves, usual_policy, sizeof(d->leaves));
        d->shared_info = take_pages(f, id, 0);
        op->domain = id;
        return 0;
    }
    return -ENOMEM;
}

static long do_domctl(struct fake *f, struct xen_domctl *op)
{
    struct fake_domain *d = get_domain(f, op->domain);

    if (op->interface_version != XEN_DOMCTL_INTERFACE_VERSION)
        return -EACCES;
    if (op->cmd == XEN_DOMCTL_createdomain)
        return create_domain(f, op);
    if (!d)
        return -ESRCH;
    switch (op->cmd) {
    case XEN_DOMCTL_destroydomain:
        end_domain(f, op->domain);
        return 0;
    case XEN_DOMCTL_pausedomain:
    case XEN_DOMCTL_unpausedomain:
        d->running = op->cmd == XEN_DOMCTL_unpausedomain;
        return 0;
    case XEN_DOMCTL_getdomaininfo:
        fill_info(f, op->domain, &op->u.getdomaininfo);
        return 0;
    case XEN_DOMCTL_max_vcpus:
        d->vcpus = op->u.max_vcpus.max;
        return 0;
    case XEN_DOMCTL_max_mem:
        d->max_kib = op->u.max_mem.max_memkb;
        return 0;
    case XEN_DOMCTL_setvcpucontext:
        memcpy(&d->context, pointer(&op->u.vcpucontext.ctxt), sizeof(d->context));
        d->has_context = true;
        return 0;
    case XEN_DOMCTL_get_cpu_policy:
        memcpy(pointer(&op->u.cpu_policy.leaves), d->leaves, sizeof(d->leaves));
        op->u.cpu_policy.nr_leaves = FAKE_LEAVES;
        return 0;
    case XEN_DOMCTL_set_cpu_policy:
        memcpy(d->leaves, pointer(&op->u.cpu_policy.leaves), sizeof(d->leaves));
        return op->u.cpu_policy.nr_leaves == FAKE_LEAVES ? 0 : -E2BIG;
    case XEN_DOMCTL_hypercall_init:
        return op->u.hypercall_init.gmfn < FAKE_PAGES && f->owner[op->u.hypercall_init.gmfn] == op->domain
                   ? 0
                   : -EPERM;
    default:
        return -ENOSYS;
    }
}

static long do_sysctl(struct fake *f, struct xen_sysctl *op)
{
    unsigned int n = 0;

    switch (op->cmd) {
    case XEN_SYSCTL_getdomaininfolist:
        for (unsigned int id = op->u.getdomaininfolist.first_domain;
             id < FAKE_DOMAINS && n < op->u.getdomaininfolist.max_domains; id++)
            if (f->domains[id].used)
                fill_info(f, id,
                          (struct xen_domctl_getdomaininfo *)pointer(&op->u.getdomaininfolist.buffer) + n++);
        op->u.getdomaininfolist.num_domains = n;
        return 0;
    case XEN_SYSCTL_physinfo:
        op->u.physinfo.total_pages = FAKE_PAGES;
        op->u.physinfo.free_pages = free_pages_of(f);
        op->u.physinfo.nr_cpus = 1;
        return 0;
    case XEN_SYSCTL_sched_id:
        op->u.sched_id.sched_id = XEN_SCHEDULER_CREDIT2;
        return 0;
    default:
        return -ENOSYS;
    }
}

static long do_memory(struct fake *f, unsigned int cmd, void *arg)
{
    struct xen_memory_reservation *r = arg;
    struct fake_domain *d = get_domain(f, r->domid);
    uint64_t *list, done = 0;

    if (cmd == XENMEM_set_memory_map)
        return get_domain(f, ((struct xen_foreign_memory_map *)arg)->domid) ? 0 : -ESRCH;
    if (!d)
        return -ESRCH;
    if (cmd == XENMEM_claim_pages) {
        d->claimed = r->nr_extents;
        return r->nr_extents <= free_pages_of(f) ? 0 : -ENOMEM;
    }
    if (cmd != XENMEM_populate_physmap)
        return -ENOSYS;
    list = pointer(&r->extent_start);
    for (; done < r->nr_extents; done++) {
        uint64_t mfn = r->extent_order <= 9 ? take_pages(f, r->domid, r->extent_order) : 0;

        if (!mfn)
            break;
        list[done] = mfn;
        d->pages += 1UL << r->extent_order;
    }
    return done;
}

static long hypercall(struct bh *h, unsigned int op, const uint64_t arg[5])
{
    struct fake *f = h->os_private;
    struct evtchn_alloc_unbound *port;
    struct fake_domain *d;

    switch (op) {
    case __HYPERVISOR_domctl:
        return do_domctl(f, (void *)(uintptr_t)arg[0]);
    case __HYPERVISOR_sysctl:
        return do_sysctl(f, (void *)(uintptr_t)arg[0]);
    case __HYPERVISOR_memory_op:
        return do_memory(f, arg[0], (void *)(uintptr_t)arg[1]);
    case __HYPERVISOR_event_channel_op:
        port = (void *)(uintptr_t)arg[1];
        d = get_domain(f, port->dom);
        if (!d)
            return -ESRCH;
        port->port = ++d->ports;
        return 0;
    case __HYPERVISOR_mmuext_op:
        d = get_domain(f, arg[3]);
        if (!d)
            return -ESRCH;
        d->pinned = ((struct mmuext_op *)(uintptr_t)arg[0])->arg1.mfn;
        return 0;
    default:
        return -ENOSYS;
    }
}

static void *alloc_pages(struct bh *h, size_t pages)
{
    return aligned_alloc(PAGE_BYTES, pages * PAGE_BYTES);
}

static void free_pages(struct bh *h, void *memory, size_t pages)
{
    free(memory);
}

/* A mapping is a copy that goes back when it ends: frames need not lie side by side. */
struct mapping {
    struct mapping *next;
    uint8_t *copy;
    uint64_t *frames;
    size_t count;
};
static struct mapping *all_mappings;

static void *map_foreign(struct bh *h, unsigned int domid, int prot, const uint64_t *mfns, size_t count)
{
    struct fake *f = h->os_private;
    struct mapping *m;

    for (size_t i = 0; i < count; i++)
        if (mfns[i] >= FAKE_PAGES || f->owner[mfns[i]] != domid) {
            errno = EFAULT;
            return NULL;
        }
    m = calloc(1, sizeof(*m));
    m->copy = aligned_alloc(PAGE_BYTES, count * PAGE_BYTES);
    m->frames = calloc(count, sizeof(*m->frames));
    m->count = count;
    for (size_t i = 0; i < count; i++) {
        m->frames[i] = mfns[i];
        memcpy(m->copy + i * PAGE_BYTES, f->memory + mfns[i] * PAGE_BYTES, PAGE_BYTES);
    }
    m->next = all_mappings;
    all_mappings = m;
    f->mappings++;
    return m->copy;
}

static void unmap_foreign(struct bh *h, void *memory, size_t count)
{
    struct fake *f = h->os_private;

    for (struct mapping **at = &all_mappings; *at; at = &(*at)->next) {
        struct mapping *m = *at;

        if (m->copy != memory)
            continue;
        for (size_t i = 0; i < m->count; i++)
            memcpy(f->memory + m->frames[i] * PAGE_BYTES, m->copy + i * PAGE_BYTES, PAGE_BYTES);
        *at = m->next;
        free(m->copy);
        free(m->frames);
        free(m);
        f->mappings--;
        return;
    }
    abort();
}

static void *map_resource(struct bh *h, unsigned int domid, unsigned int type, unsigned int id,
                          uint64_t frame, size_t count)
{
    struct fake *f = h->os_private;

    /* The shared info page stands in for the grant table: only that it is mapped and unmapped matters here.
     */
    return map_foreign(h, domid, 0, &f->domains[domid].shared_info, 1);
}

static const struct bh_os fake_os = {
    .hypercall = hypercall,
    .alloc_pages = alloc_pages,
    .free_pages = free_pages,
    .map_foreign = map_foreign,
    .unmap_foreign = unmap_foreign,
    .map_resource = map_resource,
    .store_connect = store_connect,
};

/* ---- for tests ---- */

struct fake *fake_new(void)
{
    struct fake *f = calloc(1, sizeof(*f));

    f->memory =
        mmap(NULL, FAKE_PAGES * PAGE_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    pthread_mutex_init(&f->lock, NULL);
    f->server = -1;
    return f;
}

void fake_free(struct fake *f)
{
    if (f->thread_runs) {
        pthread_join(f->thread, NULL);
        close(f->server);
    }
    free_nodes(f->nodes, f->node_count);
    free_nodes(f->backup, f->backup_count);
    munmap(f->memory, FAKE_PAGES * PAGE_BYTES);
    free(f);
}

struct bh *fake_open(struct fake *f)
{
    return bh_open_with(&fake_os, f);
}

unsigned int fake_domains(const struct fake *f)
{
    unsigned int n = 0;

    for (unsigned int i = 0; i < FAKE_DOMAINS; i++)
        n += f->domains[i].used;
    return n;
}

unsigned int fake_free_pages(const struct fake *f)
{
    return free_pages_of(f);
}

unsigned int fake_mappings(const struct fake *f)
{
    return f->mappings;
}

unsigned int fake_store_nodes(struct fake *f)
{
    unsigned int n;

    pthread_mutex_lock(&f->lock);
    n = f->node_count;
    pthread_mutex_unlock(&f->lock);
    return n;
}

unsigned int fake_open_transactions(struct fake *f)
{
    unsigned int n;

    pthread_mutex_lock(&f->lock);
    n = f->transactions;
    pthread_mutex_unlock(&f->lock);
    return n;
}

uint8_t *fake_page(struct fake *f, uint64_t mfn)
{
    return mfn < FAKE_PAGES ? f->memory + mfn * PAGE_BYTES : NULL;
}

const struct vcpu_guest_context *fake_context(const struct fake *f, unsigned int domid)
{
    return f->domains[domid].has_context ? &f->domains[domid].context : NULL;
}

bool fake_running(const struct fake *f, unsigned int domid)
{
    return f->domains[domid].running;
}

uint64_t fake_pinned(const struct fake *f, unsigned int domid)
{
    return f->domains[domid].pinned;
}

char *fake_node(struct fake *f, const char *path)
{
    struct node *n;
    char *value;

    pthread_mutex_lock(&f->lock);
    n = find_node(f, path);
    value = n ? strdup(n->value) : NULL;
    pthread_mutex_unlock(&f->lock);
    return value;
}

/* ---- a kernel ---- */

static uint8_t *put_note(uint8_t *at, uint32_t type, const void *data, uint32_t size)
{
    uint32_t head[3] = {4, size, type};

    memcpy(at, head, sizeof(head));
    memcpy(at + 12, "Xen", 4);
    memcpy(at + 16, data, size);
    return at + 16 + ((size + 3) & ~3U);
}

uint8_t *fake_kernel(size_t *size)
{
    const uint64_t base = 0xffffffff80000000UL, entry = base + 0x1000010, page = base + 0x1001000, zero = 0,
                   p2m = 0x8000000000UL, one = 1;
    uint8_t *file = calloc(1, 0x4000), *notes = file + 0x200, *end;
    Elf64_Ehdr head = {.e_type = ET_EXEC,
                       .e_machine = EM_X86_64,
                       .e_version = 1,
                       .e_entry = 0x1000000,
                       .e_phoff = sizeof(head),
                       .e_ehsize = sizeof(head),
                       .e_phentsize = sizeof(Elf64_Phdr),
                       .e_phnum = 2};
    Elf64_Phdr load = {.p_type = PT_LOAD,
                       .p_offset = 0x1000,
                       .p_paddr = 0x1000000,
                       .p_vaddr = base + 0x1000000,
                       .p_filesz = 0x3000,
                       .p_memsz = 0x5800};
    Elf64_Phdr note = {.p_type = PT_NOTE, .p_offset = 0x200};

    memcpy(head.e_ident, ELFMAG, SELFMAG);
    head.e_ident[EI_CLASS] = ELFCLASS64;
    head.e_ident[EI_DATA] = ELFDATA2LSB;
    end = put_note(notes, XEN_ELFNOTE_VIRT_BASE, &base, 8);
    end = put_note(end, XEN_ELFNOTE_PADDR_OFFSET, &zero, 8);
    end = put_note(end, XEN_ELFNOTE_ENTRY, &entry, 8);
    end = put_note(end, XEN_ELFNOTE_HYPERCALL_PAGE, &page, 8);
    end = put_note(end, XEN_ELFNOTE_INIT_P2M, &p2m, 8);
    end = put_note(end, XEN_ELFNOTE_MOD_START_PFN, &one, 8);
    end = put_note(end, XEN_ELFNOTE_GUEST_OS, "test", 5);
    note.p_filesz = note.p_memsz = end - notes;
    memcpy(file, &head, sizeof(head));
    memcpy(file + sizeof(head), &load, sizeof(load));
    memcpy(file + sizeof(head) + sizeof(load), &note, sizeof(note));
    memset(file + 0x1000, 0xab, 0x3000);
    *size = 0x4000;
    return file;
}
