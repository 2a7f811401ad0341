/* xl's CPUID strings as rules; what create.c asks of cpuid.c. */
#ifndef BH_LIB_CPUID_H
#define BH_LIB_CPUID_H

#include "internal.h"

#define CPUID_RULES_MAX 128

struct cpuid_rule {
    uint32_t leaf, subleaf;
    unsigned int reg; /* eax, ebx, ecx, edx: 0 to 3 */
    uint32_t clear, set;
};
/* Returns how many rules; -EINVAL or -E2BIG with *wrong at the word in question. */
int bh_cpuid_parse(const char *spec, struct cpuid_rule *rules, unsigned int max, const char **wrong);
/* Changes the policy of a domain that has not run. */
int cpuid_set(struct bh *h, unsigned int domid, char *const *specs, unsigned int count);

#endif
