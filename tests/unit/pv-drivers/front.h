/*
 * A front end, a store and a disk in plain memory, for tests of the back ends. The guest's memory is a memory
 * file, so that what the back end maps really is shared with the test.
 */
#ifndef TEST_PV_FRONT_H
#define TEST_PV_FRONT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "../../../pv-drivers/blkback/image.h"
#include "../../../pv-drivers/common/xenio.h"

#define FRONT_PAGES 2048u
#define FRONT_OWN   9 /* the domain of the back end */

/* Grant reference n is page n; references from FRONT_PAGES on are bad. */
extern struct xenio *front_xen;
void front_open(void);
void front_close(void);
void *front_page(uint32_t gref);
/* Notifications that the back end sent since the last call. */
unsigned front_notified(void);
/* Makes a reference bad, or good again. */
void front_revoke(uint32_t gref, bool revoked);
/* Pages mapped and not unmapped. */
int front_mapped(void);

/* A disk whose requests end when the test says so, in an order of the test's choice. */
struct fake_image {
    struct image image;
    uint8_t *data;
    struct image_io *waiting[4096];
    unsigned count;
    struct image_io *ended[4096];
    int error[4096];
    unsigned ended_count;
    bool hold; /* requests wait for fake_image_end() */
    unsigned flushes;
    int fail_with; /* 0, or -errno for every request */
};

void fake_image_open(struct fake_image *f, uint64_t bytes);
void fake_image_close(struct fake_image *f);
/* Carries out the i-th waiting request; its done() comes with the next reap. */
void fake_image_end(struct fake_image *f, unsigned i);

/* The store: nodes by path. */
void fake_store_clear(void);
void fake_store_set(const char *path, const char *value);
const char *fake_store_get(const char *path);
void fake_store_remove(const char *path);

#endif
