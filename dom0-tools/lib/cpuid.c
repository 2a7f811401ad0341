/*
 * CPUID policies: xl's strings, and what they do to a new domain's policy.
 *
 * A string is turned into rules, each of which clears and sets bits of one register of one leaf. The domain has
 * the hypervisor's usual policy for its kind already; the rules are applied to that, and the hypervisor says
 * whether the outcome can be had. 'x', 'k' and 's' leave a bit as the usual policy has it, which is the machine's
 * own for all that a PV guest can use.
 */
#include <ctype.h>
#include <stdlib.h>
#include "cpuid.h"

#define LEAVES_MAX 512U
#define SUB_NONE   XEN_CPUID_NO_SUBLEAF

enum { EAX, EBX, ECX, EDX };

/* Features by register, from bit 0 up; "-": no name. Names: xl.cfg(5); '-', '_' and '.' in a name are the same. */
static const struct {
    uint32_t leaf, subleaf;
    unsigned int reg;
    const char *names;
} features[] = {
    {1, SUB_NONE, ECX,
     "sse3 pclmulqdq dtes64 monitor dscpl vmx smx est tm2 ssse3 cntxid - fma cmpxchg16 xtpr pdcm - pcid dca "
     "sse4_1 "
     "sse4_2 x2apic movbe popcnt - aes xsave osxsave avx f16c rdrand hypervisor"},
    {1, SUB_NONE, EDX,
     "fpu vme de pse tsc msr pae mce cmpxchg8 apic - sysenter mtrr pge mca cmov pat pse36 psn clfsh - ds "
     "acpi mmx "
     "fxsr sse sse2 ss htt tm ia64 pbe"},
    {6, SUB_NONE, EAX, "- - arat"},
    {7, 0, EBX,
     "fsgsbase tsc_adjust - bmi1 hle avx2 - smep bmi2 erms invpcid rtm cmt - mpx - avx512f avx512dq rdseed "
     "adx smap "
     "avx512_ifma - clflushopt clwb - avx512pf avx512er avx512cd sha avx512bw avx512vl"},
    {7, 0, ECX, "- avx512_vbmi umip pku ospke"},
    {7, 0, EDX, "- - avx512_4vnniw avx512_4fmaps - - - - - - - - - - - - tsxldtrk"},
    {0x80000001, SUB_NONE, ECX,
     "lahfsahf cmplegacy svm extapic altmovcr8 abm sse4a misalignsse 3dnowprefetch osvw ibs xop skinit wdt - "
     "lwp fma4 "
     "- - nodeid - tbm topoext perfctr_core perfctr_nb"},
    {0x80000001, SUB_NONE, EDX,
     "- - - - - - - - - - - syscall - - - - - - - - nx - mmxext - - ffxsr page1gb rdtscp - lm 3dnowext "
     "3dnow"},
    {0x80000007, SUB_NONE, EDX, "- - - - - - - - invtsc"},
};

/* Numbers, as they lie in a register. Family and model have a high part elsewhere. */
static const struct {
    const char *name;
    uint32_t leaf;
    unsigned int reg, shift, width, high_shift, high_width;
} numbers[] = {
    {"maxleaf", 0, EAX, 0, 32, 0, 0},    {"family", 1, EAX, 8, 4, 20, 8},
    {"model", 1, EAX, 4, 4, 16, 4},      {"stepping", 1, EAX, 0, 4, 0, 0},
    {"brandid", 1, EBX, 0, 8, 0, 0},     {"clflush", 1, EBX, 8, 8, 0, 0},
    {"nc", 0x80000008, ECX, 0, 8, 0, 0}, {"apicidsize", 0x80000008, ECX, 12, 4, 0, 0},
};

static bool same_name(const char *a, const char *b, size_t length)
{
    for (size_t i = 0; i < length; i++) {
        char x = a[i] == '-' || a[i] == '.' ? '_' : a[i];

        if (x != (b[i] == '-' || b[i] == '.' ? '_' : b[i]))
            return false;
    }
    return true;
}

/* The place of a name in a list of them; -1: not there. */
static int place_of(const char *list, const char *name, size_t length)
{
    for (int bit = 0; *list; bit++) {
        size_t here = strcspn(list, " ");

        if (here == length && *list != '-' && same_name(list, name, length))
            return bit;
        list += here + (list[here] == ' ');
    }
    return -1;
}

/* One character's meaning for a bit. */
static bool bit_rule(char c, uint32_t bit, struct cpuid_rule *rule)
{
    rule->clear |= c == '0' || c == '1' ? bit : 0;
    rule->set |= c == '1' ? bit : 0;
    return c && strchr("01xks", c);
}

static uint32_t ones(unsigned int width)
{
    return width < 32 ? (1U << width) - 1 : ~0U;
}

static bool number_rule(unsigned int i, const char *text, struct cpuid_rule *rule)
{
    uint32_t low = ones(numbers[i].width), high = ones(numbers[i].high_width), rest = 0;
    char *end;
    unsigned long n = strtoul(text, &end, 0);

    *rule = (struct cpuid_rule){.leaf = numbers[i].leaf, .subleaf = SUB_NONE, .reg = numbers[i].reg};
    if (end == text || (*end && *end != ','))
        return false;
    /* A family's high part is added to a low part that is full; a model's is simply above. */
    if (numbers[i].high_width && strcmp(numbers[i].name, "family") == 0 && n > low) {
        rest = n - low;
        n = low;
    } else if (numbers[i].high_width) {
        rest = n >> numbers[i].width;
        n &= low;
    }
    rule->clear = low << numbers[i].shift | (numbers[i].high_width ? high << numbers[i].high_shift : 0);
    rule->set = (uint32_t)n << numbers[i].shift | (numbers[i].high_width ? rest << numbers[i].high_shift : 0);
    return n <= low && rest <= (numbers[i].high_width ? high : 0);
}

/* "NAME=VALUE" */
static bool word_rule(const char *word, struct cpuid_rule *rule)
{
    size_t length = strcspn(word, "=,");
    const char *value = word + length + 1;

    if (word[length] != '=')
        return false;
    for (unsigned int i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (strlen(numbers[i].name) == length && strncmp(numbers[i].name, word, length) == 0)
            return number_rule(i, value, rule);
    for (unsigned int i = 0; i < sizeof(features) / sizeof(features[0]); i++) {
        int bit = place_of(features[i].names, word, length);

        if (bit < 0)
            continue;
        *rule = (struct cpuid_rule){features[i].leaf, features[i].subleaf, features[i].reg, 0, 0};
        return bit_rule(*value, 1U << bit, rule) && (!value[1] || value[1] == ',');
    }
    return false;
}

/* "eax=" and 32 characters, the highest bit first */
static bool register_rule(const char *word, struct cpuid_rule *rule)
{
    bool good = word[0] == 'e' && word[1] >= 'a' && word[1] <= 'd' && word[2] == 'x' && word[3] == '=' &&
                strcspn(word + 4, ",") == 32;

    if (good)
        rule->reg = word[1] - 'a';
    for (unsigned int bit = 0; bit < 32 && good; bit++)
        good = bit_rule(word[4 + bit], 1U << (31 - bit), rule);
    return good;
}

/* "LEAF:" or "LEAF,SUBLEAF:" in front of registers. Returns what follows, or NULL. */
static const char *leaf_prefix(const char *spec, struct cpuid_rule *rule)
{
    char *end;

    rule->leaf = strtoul(spec, &end, 0);
    rule->subleaf = SUB_NONE;
    if (end != spec && *end == ',')
        rule->subleaf = strtoul(end + 1, &end, 0);
    return isdigit((unsigned char)*spec) && *end == ':' ? end + 1 : NULL;
}

int bh_cpuid_parse(const char *spec, struct cpuid_rule *rules, unsigned int max, const char **wrong)
{
    struct cpuid_rule leaf = {0};
    const char *registers = leaf_prefix(spec, &leaf);
    unsigned int count = 0;

    *wrong = spec;
    if (registers ? !*registers : strcspn(spec, ",") != 4 || strncmp(spec, "host", 4) != 0)
        return -EINVAL;
    for (*wrong = registers ? registers : spec + strcspn(spec, ","); **wrong; count++) {
        if (**wrong == ',')
            (*wrong)++;
        if (count == max)
            return -E2BIG;
        rules[count] = leaf;
        if (!(registers ? register_rule(*wrong, &rules[count]) : word_rule(*wrong, &rules[count])))
            return -EINVAL;
        *wrong += strcspn(*wrong, ",");
    }
    return count;
}

static int apply_rule(struct bh *h, struct xen_cpuid_leaf *leaves, uint32_t count, const struct cpuid_rule *r)
{
    for (uint32_t i = 0; i < count; i++) {
        uint32_t *registers[] = {&leaves[i].a, &leaves[i].b, &leaves[i].c, &leaves[i].d};

        if (leaves[i].leaf != r->leaf || leaves[i].subleaf != r->subleaf)
            continue;
        *registers[r->reg] = (*registers[r->reg] & ~r->clear) | r->set;
        return 0;
    }
    return r->set ? bh_fail(h, EINVAL, "cpuid: leaf %#x is not offered, so that no bit of it can be set",
                            r->leaf)
                  : 0;
}

static int change_policy(struct bh *h, struct xen_cpuid_leaf *leaves, uint32_t count, char *const *specs,
                         unsigned int spec_count)
{
    struct cpuid_rule rules[CPUID_RULES_MAX];
    const char *wrong;

    for (unsigned int i = 0; i < spec_count; i++) {
        int n = bh_cpuid_parse(specs[i], rules, CPUID_RULES_MAX, &wrong), rc = 0;

        if (n < 0)
            return bh_fail(h, EINVAL, "cpuid: \"%s\" is not understood", wrong);
        for (int j = 0; j < n && !rc; j++)
            rc = apply_rule(h, leaves, count, &rules[j]);
        if (rc)
            return rc;
    }
    return 0;
}

int cpuid_set(struct bh *h, unsigned int domid, char *const *specs, unsigned int count)
{
    size_t mark = bh_hbuf_mark(h);
    struct xen_cpuid_leaf *leaves = bh_hbuf(h, LEAVES_MAX * sizeof(*leaves));
    struct xen_domctl op = {0};
    int rc = leaves ? 0 : -h->error;

    op.u.cpu_policy.nr_leaves = LEAVES_MAX;
    SET_HANDLE(op.u.cpu_policy.leaves, leaves);
    if (!rc)
        rc = bh_domctl(h, "get_cpu_policy", XEN_DOMCTL_get_cpu_policy, domid, &op);
    if (!rc)
        rc = change_policy(h, leaves, op.u.cpu_policy.nr_leaves, specs, count);
    op.u.cpu_policy.nr_msrs = 0;
    if (!rc)
        rc = bh_domctl(h, "set_cpu_policy", XEN_DOMCTL_set_cpu_policy, domid, &op);
    bh_hbuf_release(h, mark);
    return rc;
}
