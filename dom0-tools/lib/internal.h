/*
 * Inside libbulkhead.
 *
 * Model. struct bh owns the descriptors (opened when first needed), the buffer that hypercalls are made from,
 * the connection to the store, and the error chain. The operating system is reached through struct bh_os
 * only, so that tests put a model of the hypervisor there.
 *
 * Errors: bh_fail starts a chain, bh_because puts an outer message before it. Every step that can fail for
 * reasons outside passes bh_step() once: it names the step and is where a test makes it fail.
 */
#ifndef BH_LIB_INTERNAL_H
#define BH_LIB_INTERNAL_H

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include "bulkhead.h"
#include "abi.h"

#define PAGE_SHIFT  12
#define PAGE_BYTES  4096UL
#define ERROR_DEPTH 12
#define ERROR_TEXT  512
#define HBUF_PAGES  32
#define STORE_INPUT 8192

struct bh_os {
    /* Makes the hypercall; returns its result, negative errno on failure. */
    long (*hypercall)(struct bh *h, unsigned int op, const uint64_t arg[5]);
    /* Memory that stays resident during hypercalls. */
    void *(*alloc_pages)(struct bh *h, size_t pages);
    void (*free_pages)(struct bh *h, void *memory, size_t pages);
    /* Maps frames of domid; NULL with errno set. */
    void *(*map_foreign)(struct bh *h, unsigned int domid, int prot, const uint64_t *mfns, size_t count);
    void (*unmap_foreign)(struct bh *h, void *memory, size_t count);
    /* Maps a resource (grant table); NULL with errno set when not supported. */
    void *(*map_resource)(struct bh *h, unsigned int domid, unsigned int type, unsigned int id,
                          uint64_t frame, size_t count);
    /* Connects to the store; returns a descriptor or negative errno. *stream: a socket. */
    int (*store_connect)(struct bh *h, bool *stream);
};
extern const struct bh_os bh_os_linux;

struct store_event {
    struct store_event *next;
    char *path, *token;
};

struct store {
    int fd;
    bool stream;
    uint32_t next_id;
    struct store_event *events, **events_tail;
    size_t in_at, in_used; /* what was read and not yet taken */
    uint8_t in[STORE_INPUT];
};

struct bh {
    const struct bh_os *os;
    int privcmd, hypercall_dev;
    uint8_t *hbuf;
    size_t hbuf_used;
    struct store store;
    int error;
    unsigned int error_count;
    char error_text[ERROR_DEPTH][ERROR_TEXT]; /* innermost first */
    unsigned long inject_left;
    char injected[96];
    int is_bulkhead; /* -1 unknown */
    uint64_t cause_sequence;
    void *os_private;
};

struct bh *bh_open_with(const struct bh_os *os, void *os_private);

/* Starts an error chain; returns -code. */
int bh_fail(struct bh *h, int code, const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Adds an outer message to the chain there is; returns -bh_error_code. */
int bh_because(struct bh *h, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Keeps the chain over calls that clean up; restoring frees the copy (NULL: the chain is lost, its code is
 * not). */
struct error_copy;
struct error_copy *error_save(const struct bh *h);
void error_restore(struct bh *h, struct error_copy *copy);
/* True: a test wants this step to fail. The error is set, naming the step. */
bool bh_step(struct bh *h, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Zeroed memory, freed with free(). NULL: error set. */
void *bh_alloc(struct bh *h, size_t count, size_t size, const char *what);
char *bh_strdup(struct bh *h, const char *text, const char *what);
char *bh_sprintf(struct bh *h, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Hypercall memory: take, use, release to the mark. Never more than HBUF_PAGES in all. */
size_t bh_hbuf_mark(const struct bh *h);
void *bh_hbuf(struct bh *h, size_t bytes);
void bh_hbuf_release(struct bh *h, size_t mark);

/* Puts a pointer in a guest handle field, whatever type that has. */
static inline void set_handle(void *field, size_t size, const void *pointer)
{
    memset(field, 0, size);
    memcpy(field, &pointer, sizeof(pointer));
}
#define SET_HANDLE(field, pointer) set_handle(&(field), sizeof(field), pointer)

long bh_hypercall(struct bh *h, const char *name, unsigned int op, uint64_t a0, uint64_t a1, uint64_t a2,
                  uint64_t a3, uint64_t a4);
/* These copy the struct into hypercall memory, call, copy it back. cmd and version are filled in. */
int bh_domctl(struct bh *h, const char *name, unsigned int cmd, unsigned int domid, struct xen_domctl *op);
int bh_sysctl(struct bh *h, const char *name, unsigned int cmd, struct xen_sysctl *op);
/* A memory_op whose argument holds no handle, or only handles to hypercall memory. */
long bh_memory_op(struct bh *h, const char *name, unsigned int cmd, void *arg, size_t size);
int bh_evtchn_alloc_unbound(struct bh *h, unsigned int domid, unsigned int remote, uint32_t *port);
int bh_claim(struct bh *h, unsigned int domid, uint64_t pages);
/* Populates gpfn .. gpfn + count - 1; fills mfns. Uses the largest extents that fit. */
int bh_populate(struct bh *h, unsigned int domid, uint64_t gpfn, uint64_t count, uint64_t *mfns);
void *bh_map(struct bh *h, unsigned int domid, const char *what, const uint64_t *mfns, size_t count,
             bool writable);
void bh_unmap(struct bh *h, void *memory, size_t count);

/* ---- store: requests that go out together ---- */

struct store_op {
    uint32_t type;
    char *path;  /* first string of the payload */
    char *value; /* second part, without NUL; may be NULL */
};
struct store_batch {
    struct store_op *ops;
    unsigned int count, room;
    bool broken; /* an allocation failed: commit says so */
};
void batch_write(struct bh *h, struct store_batch *b, const char *value, const char *path_format, ...)
    __attribute__((format(printf, 4, 5)));
void batch_mkdir(struct bh *h, struct store_batch *b, const char *path_format, ...)
    __attribute__((format(printf, 3, 4)));
void batch_rm(struct bh *h, struct store_batch *b, const char *path_format, ...)
    __attribute__((format(printf, 3, 4)));
/* perms: e.g. "n0 r5" with the entries separated by blanks. */
void batch_perms(struct bh *h, struct store_batch *b, const char *perms, const char *path_format, ...)
    __attribute__((format(printf, 4, 5)));
/* One transaction; repeated while the store asks for it. Frees the batch in every case. */
int batch_commit(struct bh *h, struct store_batch *b);
/* The same without freeing it. */
int batch_run(struct bh *h, const struct store_batch *b);
void batch_free(struct store_batch *b);
/* Many reads in one exchange. values[i] NULL: not there. */
int store_read_many(struct bh *h, char *const *paths, unsigned int count, char **values);
int store_introduce(struct bh *h, unsigned int domid, uint64_t mfn, uint32_t port);
int store_release(struct bh *h, unsigned int domid);
void store_close(struct bh *h);
/* Like bh_store_get with a formatted path; absent: NULL and no error. */
char *store_getf(struct bh *h, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- kernels ---- */

struct image {
    uint8_t *data; /* whole ELF file */
    size_t size;
    void *mapping; /* when data is a mapped file */
    size_t mapping_size;
    int fd; /* of that file; meaningful with mapping only */

    uint8_t *source; /* what data was unpacked from, until image_keep; NULL: nothing was unpacked */
    size_t source_size;
    struct stat source_file;
};
#define KERNEL_LIMIT (1UL << 30)
/* Reads a kernel file, taking the ELF file out of a bzImage, from the cache if it is there. */
int image_load(struct bh *h, const char *path, struct image *out);
/* Keeps in the cache what image_load had to unpack; for when nobody waits any more. */
int image_keep(struct bh *h, struct image *image);
void image_free(struct image *image);

/* ---- unpacked kernels that are kept: kernel_cache.c ---- */

#define CACHE_NAME 82 /* a digest and a size as text */
void blake2b_256(const uint8_t *data, size_t size, uint8_t out[32]);
/* What the unpacked kernel of a packed file is called. */
void cache_name(const uint8_t *data, size_t size, char name[CACHE_NAME]);
/* The same of a file that was seen before, without reading it. False: it was not. */
bool cache_recall(const struct stat *st, char name[CACHE_NAME]);
void cache_remember(const struct stat *st, const char *name);
/* False: there is none of a packed file of this size. */
bool cache_may_have(size_t size);
/* False: there is none that is whole. */
bool cache_get(const char *name, struct image *out);
int cache_put(struct bh *h, const char *name, const uint8_t *data, size_t size);
/* Finds and unpacks the payload of a bzImage held in memory. *out is malloc'ed. -ENOEXEC: not a bzImage. */
int bzimage_unpack(struct bh *h, const uint8_t *data, size_t size, uint8_t **out, size_t *out_size);
int unpack_any(struct bh *h, const uint8_t *data, size_t size, size_t limit, uint8_t **out, size_t *out_size);

#define PV_SEGMENTS_MAX 16
struct pv_segment {
    uint64_t pfn, offset_in_page; /* where in the guest */
    uint64_t file_offset, file_size, memory_size;
};
struct pv_kernel {
    uint64_t virt_base, entry, hypercall_page, init_p2m;
    bool has_hypercall_page, has_init_p2m, mod_start_pfn;
    struct pv_segment segments[PV_SEGMENTS_MAX];
    unsigned int segment_count;
    uint64_t end_pfn; /* first page after the kernel */
};
/* Bytes from virt to the end of its half of the address space; 0: virt is not a PV guest's to use. */
uint64_t pv_space_from(uint64_t virt);
/* Checks an ELF file for a PV kernel of 64 bits. Trusts nothing in it. */
int pv_kernel_parse(struct bh *h, const uint8_t *data, size_t size, struct pv_kernel *out);

/* Where everything lies in a new PV guest, in page frame numbers. */
struct pv_layout {
    uint64_t nr_pages, virt_base;
    uint64_t initrd_pfn, initrd_pages;
    bool initrd_by_pfn;
    uint64_t p2m_pfn, p2m_pages, p2m_virt;
    uint64_t start_info_pfn, store_pfn, console_pfn, stack_pfn;
    uint64_t tables_pfn, tables_count;
    uint64_t mapped_pages; /* the first mapping covers page 0 to here */
};
int pv_layout(struct bh *h, const struct pv_kernel *kernel, uint64_t nr_pages, uint64_t initrd_size,
              struct pv_layout *out);
/* Fills tables_count pages of page tables at memory, the L4 first. */
void pv_page_tables(const struct pv_layout *layout, const uint64_t *mfns, uint64_t *memory);

/* ---- devices ---- */
/* Adds the nodes of one device to b. */
int disk_nodes(struct bh *h, struct store_batch *b, unsigned int domid, const char *name,
               const struct bh_disk *disk);
int vif_nodes(struct bh *h, struct store_batch *b, unsigned int domid, const char *name, unsigned int devid,
              const struct bh_vif *vif);
int disk_check(struct bh *h, const struct bh_disk *disk);
/* Frees loop devices and interfaces that a domain's back ends were given; never fails. */
void devices_forget(struct bh *h, unsigned int domid);

/* Where state lives. */
const char *bh_run_dir(void);
const char *bh_cache_dir(void);

#endif
