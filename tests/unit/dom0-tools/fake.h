/*
 * A hypervisor and a store in memory, behind the library's struct bh_os: enough of both to create, list and
 * destroy PV domains, and to count what is left afterwards.
 */
#ifndef TESTS_DOM0_TOOLS_FAKE_H
#define TESTS_DOM0_TOOLS_FAKE_H

#include "dom0-tools/lib/internal.h"

#define FAKE_PAGES   32768U /* of the machine: 128 MiB */
#define FAKE_DOMAINS 16

struct fake;
struct fake *fake_new(void);
void fake_free(struct fake *fake);
struct bh *fake_open(struct fake *fake);

unsigned int fake_domains(const struct fake *fake);
unsigned int fake_free_pages(const struct fake *fake);
unsigned int fake_mappings(const struct fake *fake);
unsigned int fake_store_nodes(struct fake *fake);
unsigned int fake_open_transactions(struct fake *fake);
/* Contents of a machine page, NULL when it was never touched. */
uint8_t *fake_page(struct fake *fake, uint64_t mfn);
const struct vcpu_guest_context *fake_context(const struct fake *fake, unsigned int domid);
bool fake_running(const struct fake *fake, unsigned int domid);
/* The CPUID policy of a domain: leaves 0, 1 and 7. */
#define FAKE_LEAVES 3
const struct xen_cpuid_leaf *fake_policy(const struct fake *fake, unsigned int domid);
uint64_t fake_pinned(const struct fake *fake, unsigned int domid);
/* Value of a store node, NULL: not there. Freed by the caller. */
char *fake_node(struct fake *fake, const char *path);

/* A PV kernel of one segment with Xen notes, as an ELF file. malloc'ed. */
uint8_t *fake_kernel(size_t *size);

#endif
