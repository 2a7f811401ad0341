/*
 * Static ACPI tables: RSDP, RSDT or XSDT, MADT, FADT, HPET, MCFG. Firmware is not trusted to be right: every
 * length is checked, and a broken optional table counts as absent. Built on the host too
 * (tests/unit/hv-machine).
 */
#include <asm/acpi.h>

#include <bh/string.h>

#define HEADER_SIZE      36
#define TABLE_SIZE_MAX   (1u << 20)
#define TABLES_MAX       256
#define BDA_EBDA_POINTER 0x40eUL
#define EBDA_SEARCH      1024
#define BIOS_START       0xe0000UL
#define BIOS_SIZE        0x20000UL

struct acpi_facts acpi;

static uint16_t get16(const uint8_t *p)
{
    return p[0] | p[1] << 8;
}

static uint32_t get32(const uint8_t *p)
{
    return get16(p) | (uint32_t)get16(p + 2) << 16;
}

static uint64_t get64(const uint8_t *p)
{
    return get32(p) | (uint64_t)get32(p + 4) << 32;
}

static bool checksum_ok(const uint8_t *p, uint32_t size)
{
    uint8_t sum = 0;

    while (size--)
        sum += *p++;
    return sum == 0;
}

/* ---- RSDP ---- */

static bool is_rsdp(const uint8_t *p)
{
    return memcmp(p, "RSD PTR ", 8) == 0 && checksum_ok(p, 20);
}

static paddr_t search_area(acpi_map_fn map, paddr_t start, uint64_t size)
{
    const uint8_t *p = map(start, size);

    for (uint64_t at = 0; p && at + 36 <= size; at += 16)
        if (is_rsdp(p + at))
            return start + at;
    return 0;
}

static paddr_t search_rsdp(acpi_map_fn map)
{
    const uint8_t *pointer = map(BDA_EBDA_POINTER, 2);
    paddr_t ebda = pointer ? (paddr_t)get16(pointer) << 4 : 0, found = 0;

    if (ebda >= 0x400 && ebda <= 0xa0000 - EBDA_SEARCH)
        found = search_area(map, ebda, EBDA_SEARCH);
    return found ? found : search_area(map, BIOS_START, BIOS_SIZE);
}

/* ---- tables ---- */

/* The table at pa, whole; NULL: broken. *size gets its length. */
static const uint8_t *get_table(acpi_map_fn map, paddr_t pa, uint32_t *size)
{
    const uint8_t *header = map(pa, HEADER_SIZE), *table;

    if (!header)
        return NULL;
    *size = get32(header + 4);
    if (*size < HEADER_SIZE || *size > TABLE_SIZE_MAX)
        return NULL;
    table = map(pa, *size);
    return table && checksum_ok(table, *size) ? table : NULL;
}

static void madt_lapic(struct acpi_facts *f, uint32_t apic_id, uint32_t acpi_id, uint32_t flags)
{
    if ((flags & 1) && f->nr_cpus < NR_CPUS)
        f->cpu[f->nr_cpus++] = (struct acpi_cpu){apic_id, acpi_id};
}

static void madt_override(struct acpi_facts *f, const uint8_t *e)
{
    uint16_t flags = get16(e + 8);

    if (f->nr_overrides < ACPI_MAX_OVERRIDES)
        f->override[f->nr_overrides++] =
            (struct acpi_override){e[3], get32(e + 4), (flags >> 2 & 3) == 3, (flags & 3) == 3};
}

static void parse_madt(struct acpi_facts *f, const uint8_t *t, uint32_t size)
{
    f->lapic_address = get32(t + 36);
    for (uint32_t at = 44; at + 2 <= size;) {
        const uint8_t *e = t + at;
        uint8_t type = e[0], length = e[1];

        if (length < 2 || at + length > size)
            return;
        if (type == 0 && length >= 8 && e[3] != 0xff)
            madt_lapic(f, e[3], e[2], get32(e + 4));
        else if (type == 1 && length >= 12 && f->nr_ioapics < ACPI_MAX_IOAPICS)
            f->ioapic[f->nr_ioapics++] = (struct acpi_ioapic){e[2], get32(e + 8), get32(e + 4)};
        else if (type == 2 && length >= 10)
            madt_override(f, e);
        else if (type == 5 && length >= 12)
            f->lapic_address = get64(e + 4);
        else if (type == 9 && length >= 16)
            madt_lapic(f, get32(e + 4), get32(e + 12), get32(e + 8));
        at += length;
    }
}

static void parse_fadt(struct acpi_facts *f, const uint8_t *t, uint32_t size)
{
    uint32_t flags;

    if (size < 116)
        return;
    flags = get32(t + 112);
    f->pm1a_evt = get32(t + 56);
    f->pm1b_evt = get32(t + 60);
    f->pm1a_cnt = get32(t + 64);
    f->pm1b_cnt = get32(t + 68);
    f->pm_timer_port = get32(t + 76);
    f->no_rtc = size >= 132 && (get16(t + 109) & 0x20);
    f->hw_reduced = flags & (1u << 20);
    if ((flags & (1u << 10)) && size >= 129) {
        f->reset_reg = (struct acpi_gas){t[116], t[117], t[118], t[119], get64(t + 120)};
        f->reset_value = t[128];
    }
}

static void parse_hpet(struct acpi_facts *f, const uint8_t *t, uint32_t size)
{
    if (size >= 52 && t[40] == 0)
        f->hpet_address = get64(t + 44);
}

static void parse_mcfg(struct acpi_facts *f, const uint8_t *t, uint32_t size)
{
    for (uint32_t at = 44; at + 16 <= size && f->nr_mcfg < ACPI_MAX_MCFG; at += 16)
        f->mcfg[f->nr_mcfg++] = (struct acpi_mcfg){get64(t + at), get16(t + at + 8), t[at + 10], t[at + 11]};
}

static const struct table_kind {
    char signature[5];
    uint32_t min_size;
    void (*parse)(struct acpi_facts *f, const uint8_t *t, uint32_t size);
} kinds[] = {
    {"APIC", 44, parse_madt},
    {"FACP", 116, parse_fadt},
    {"HPET", 52, parse_hpet},
    {"MCFG", 44, parse_mcfg},
};

static unsigned int parse_table(struct acpi_facts *f, acpi_map_fn map, paddr_t pa)
{
    const uint8_t *header = map(pa, HEADER_SIZE);

    for (unsigned int k = 0; header && k < ARRAY_SIZE(kinds); k++) {
        const uint8_t *t;
        uint32_t size;

        if (memcmp(header, kinds[k].signature, 4) != 0)
            continue;
        t = get_table(map, pa, &size);
        if (!t || size < kinds[k].min_size)
            return 0;
        kinds[k].parse(f, t, size);
        return 1u << k;
    }
    return 0;
}

const char *acpi_parse(paddr_t rsdp, acpi_map_fn map, struct acpi_facts *f)
{
    const uint8_t *p, *root;
    unsigned int seen = 0, width;
    uint32_t size;

    memset(f, 0, sizeof(*f));
    if (rsdp == 0)
        rsdp = search_rsdp(map);
    p = rsdp ? map(rsdp, 36) : NULL;
    if (!p || !is_rsdp(p))
        return "there is no ACPI (no RSDP was found)";
    f->rsdp = rsdp;
    width = p[15] >= 2 && get64(p + 24) ? 8 : 4;
    root = get_table(map, width == 8 ? get64(p + 24) : get32(p + 16), &size);
    if (!root)
        return "ACPI's root table is broken";
    for (uint32_t i = 0; i < TABLES_MAX && HEADER_SIZE + (i + 1) * width <= size; i++) {
        const uint8_t *entry = root + HEADER_SIZE + i * width;

        seen |= parse_table(f, map, width == 8 ? get64(entry) : get32(entry));
    }
    if (!(seen & 1) || f->nr_cpus == 0)
        return "ACPI has no usable table of interrupt controllers (MADT)";
    if (f->nr_ioapics == 0)
        return "the machine has no IO-APIC (none is in ACPI's MADT)";
    if (!(seen & 2))
        return "ACPI has no usable FADT";
    return NULL;
}
