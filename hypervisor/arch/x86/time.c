/*
 * System time from the TSC. The TSC's rate (and the local APIC timer's, in the same window) is measured once,
 * against the best counter the machine has. Every CPU has a base (tsc_base, ns_base) in percpu; without a
 * measurable offset between TSCs all bases are equal. Guests get base and scale through vcpu_time_info, so
 * they and we compute the same.
 */
#include <bh/arch.h>
#include <bh/domain.h>
#include <bh/printk.h>
#include <bh/timer.h>
#include <asm/acpi.h>
#include <asm/apic.h>
#include <asm/cpufeature.h>
#include <asm/insn.h>
#include <asm/msr.h>
#include <asm/paging.h>
#include <asm/percpu.h>
#include <asm/setup.h>
#include <asm/time.h>

#define PM_TIMER_HZ 3579545UL
#define PIT_HZ      1193182UL
#define FEMTO       1000000000000000UL

#define HPET_PERIOD  0x004
#define HPET_CONFIG  0x010
#define HPET_COUNTER 0x0f0

#define PIT_CONTROL  0x43
#define PIT_CHANNEL2 0x42
#define PIT_GATE     0x61
#define PIT_MODE0    0xb0

#define APIC_TICKS_MAX  0xffffffffUL
#define DELTA_MIN_TICKS 1

struct time_scale tsc_scale;
uint64_t tsc_khz;
uint64_t time_version = 1;

static unsigned int tsc_shift_right; /* ns = ticks * tsc_scale.mul >> tsc_shift_right */
static uint64_t apic_ticks_per_ns;   /* 32.32 fixed point: of whatever the timer counts */
static bool use_deadline;
static const char *source_name;
static uint8_t *hpet;

/* Wall clock: ns since 1970 at system time 0. */
static _Atomic uint64_t wall_ns;

/* ---- rates ---- */

/* The scale that turns `hz` ticks a second into ns. */
static struct time_scale time_scale_of(uint64_t hz)
{
    struct time_scale s = {0, 0};
    uint64_t rate = hz;

    /* ticks << shift at a rate of 1 to 2 GHz, so that mul fills 32 bits. */
    while (rate > 2000000000UL) {
        rate >>= 1;
        s.shift--;
    }
    while (rate <= 1000000000UL) {
        rate <<= 1;
        s.shift++;
    }
    /* rate lost low bits when it was shifted right: compute from hz itself. */
    if (s.shift >= 0)
        s.mul = (uint32_t)((((unsigned __int128)1000000000UL << 32) / ((unsigned __int128)hz << s.shift)));
    else
        s.mul = (uint32_t)((((unsigned __int128)1000000000UL << (32 - s.shift)) / hz));
    return s;
}

static uint32_t hpet_read(void)
{
    return mmio_read32(hpet + HPET_COUNTER);
}

static uint32_t pm_timer_read(void)
{
    return inl((uint16_t)acpi.pm_timer_port) & 0xffffff;
}

/* One reading of all three: the reference counter, the TSC, and the APIC timer (which counts down). */
struct reading {
    uint32_t counter;
    uint64_t tsc, apic;
};

/* A window of time by one counter: how many of its ticks, TSC ticks and APIC timer ticks passed. */
struct window {
    uint64_t ticks, tsc, apic;
};

#define READING_TRIES 16

/*
 * Something may hold this CPU up between two reads (firmware, a host that runs others), so the tightest of
 * some tries counts.
 */
static struct reading take_reading(uint32_t (*read)(void))
{
    struct reading best = {0};
    uint64_t tightest = ~0UL;

    for (unsigned int i = 0; i < READING_TRIES; i++) {
        uint64_t before = rdtsc();
        uint32_t counter = read();
        uint64_t apic = apic_timer_current();
        uint64_t width = rdtsc() - before;
        if (width < tightest) {
            tightest = width;
            best = (struct reading){counter, before + width / 2, apic};
        }
    }
    return best;
}

static struct window measure(uint32_t (*read)(void), uint32_t mask, uint32_t ticks)
{
    struct reading start, end;

    apic_timer_arm(APIC_TICKS_MAX);
    start = take_reading(read);
    while (((read() - start.counter) & mask) < ticks)
        ;
    end = take_reading(read);
    apic_timer_arm(0);
    return (struct window){(end.counter - start.counter) & mask, end.tsc - start.tsc, start.apic - end.apic};
}

static uint32_t pit_countdown(void)
{
    outb(PIT_CONTROL, 0x80); /* latch channel 2 */
    return 0xffff - (inb(PIT_CHANNEL2) | (uint32_t)inb(PIT_CHANNEL2) << 8);
}

static struct window measure_pit(uint32_t ticks)
{
    outb(PIT_GATE, (inb(PIT_GATE) & ~3) | 1);
    outb(PIT_CONTROL, PIT_MODE0);
    outb(PIT_CHANNEL2, 0xff);
    outb(PIT_CHANNEL2, 0xff);
    return measure(pit_countdown, 0xffff, ticks);
}

/* Rates from CPUID, where a CPU or a host hypervisor tells: 0 when not. */
static uint64_t tsc_hz_from_cpuid(void)
{
    uint32_t r[4];

    if (boot_cpu.vendor == CPU_INTEL && boot_cpu.max_leaf >= 0x15) {
        cpuid_count(0x15, 0, r);
        if (r[0] && r[1] && r[2])
            return (uint64_t)r[2] * r[1] / r[0];
    }
    return 0;
}

static void calibrate(void)
{
    uint64_t hz = PIT_HZ, apic_hz, tsc_hz = tsc_hz_from_cpuid();
    struct window w;
    uint32_t period = 0;

    if (acpi.hpet_address)
        hpet = iomap(acpi.hpet_address, 1024);
    if (hpet)
        period = mmio_read32(hpet + HPET_PERIOD);
    if (period && period <= 100000000) {
        mmio_write32(hpet + HPET_CONFIG, mmio_read32(hpet + HPET_CONFIG) | 1);
        hz = FEMTO / period;
        source_name = "HPET";
        w = measure(hpet_read, ~0u, (uint32_t)(hz / 500));
    } else if (acpi.pm_timer_port) {
        hz = PM_TIMER_HZ;
        source_name = "ACPI PM timer";
        w = measure(pm_timer_read, 0xffffff, (uint32_t)(hz / 200));
    } else {
        source_name = "PIT";
        w = measure_pit((uint32_t)(hz / 100));
    }
    if (tsc_hz == 0)
        tsc_hz = w.tsc * hz / w.ticks;
    apic_hz = w.apic * hz / w.ticks;
    if (tsc_hz < 1000000 || apic_hz < 1000000)
        boot_die("the clocks of this machine cannot be measured (TSC or local APIC timer stands still)");
    tsc_scale = time_scale_of(tsc_hz);
    tsc_shift_right = 32 - tsc_scale.shift;
    tsc_khz = (tsc_hz + 500) / 1000;
    use_deadline = cpu_has(FEAT_TSC_DEADLINE);
    apic_ticks_per_ns =
        (uint64_t)(((unsigned __int128)(use_deadline ? tsc_hz : apic_hz) << 32) / 1000000000UL);
    printk(LOG_INFO, "Time: TSC %lu.%03lu MHz and local timer %lu.%03lu MHz, measured by %s%s",
           tsc_khz / 1000, tsc_khz % 1000, apic_hz / 1000000, apic_hz / 1000 % 1000, source_name,
           use_deadline ? ", deadline mode" : "");
}

/* ---- the present ---- */

uint64_t arch_now(void)
{
    const struct percpu *p = this_percpu();

    return p->ns_base +
           (uint64_t)(((unsigned __int128)(rdtsc() - p->tsc_base) * tsc_scale.mul) >> tsc_shift_right);
}

void udelay(unsigned int us)
{
    uint64_t ticks =
        tsc_khz ? us * tsc_khz / 1000 : us * 2000UL; /* before it is known: too long rather than short */
    uint64_t start = rdtsc();

    while (rdtsc() - start < ticks)
        cpu_pause();
}

void arch_timer_set(uint64_t deadline)
{
    struct percpu *p = this_percpu();
    uint64_t now, delta, ticks;

    if (p->timer_deadline == deadline)
        return;
    p->timer_deadline = deadline;
    if (deadline == 0) {
        if (use_deadline)
            wrmsr(MSR_TSC_DEADLINE, 0);
        else
            apic_timer_arm(0);
        return;
    }
    now = arch_now();
    delta = deadline > now ? deadline - now : 0;
    ticks = (uint64_t)(((unsigned __int128)delta * apic_ticks_per_ns) >> 32) + DELTA_MIN_TICKS;
    if (use_deadline)
        wrmsr(MSR_TSC_DEADLINE, rdtsc() + ticks);
    else
        apic_timer_arm((uint32_t)MIN(ticks, APIC_TICKS_MAX));
}

/* The shot is spent: whatever is set next must be armed even if it is the same moment. */
void time_interrupt(void)
{
    this_percpu()->timer_deadline = 0;
    timer_interrupt();
}

/* ---- guests' clocks ---- */

void arch_update_vcpu_time(struct vcpu *v)
{
    const struct percpu *p = this_percpu();
    struct vcpu_time_info *t = &v->info->time;

    if (likely(v->arch.time_version == time_version && v->arch.last_cpu == (int)p->cpu))
        return;
    v->arch.time_version = time_version;
    v->arch.last_cpu = (int)p->cpu;
    WRITE_ONCE(t->version, (t->version | 1));
    atomic_thread_fence(memory_order_release);
    t->tsc_timestamp = p->tsc_base;
    t->system_time = p->ns_base;
    t->tsc_to_system_mul = tsc_scale.mul;
    t->tsc_shift = tsc_scale.shift;
    t->flags = cpu_has(FEAT_INVARIANT_TSC) ? XEN_PVCLOCK_TSC_STABLE_BIT : 0;
    atomic_thread_fence(memory_order_release);
    WRITE_ONCE(t->version, t->version + 1);
}

uint64_t arch_wallclock(uint32_t *nsec)
{
    uint64_t ns = wall_ns;

    *nsec = (uint32_t)(ns % 1000000000UL);
    return ns / 1000000000UL;
}

void arch_set_wallclock(uint64_t sec, uint32_t nsec, uint64_t system_time)
{
    wall_ns = NSEC(sec) + nsec - system_time;
}

void arch_update_wallclock(struct domain *d)
{
    struct shared_info *s = d->shared_info;
    uint64_t ns = wall_ns + (uint64_t)d->time_offset_s * 1000000000UL;
    uint64_t sec = ns / 1000000000UL;

    if (!s)
        return;
    WRITE_ONCE(s->wc_version, s->wc_version + 1);
    atomic_thread_fence(memory_order_release);
    s->wc_sec = (uint32_t)sec;
    s->wc_sec_hi = (uint32_t)(sec >> 32);
    s->wc_nsec = (uint32_t)(ns % 1000000000UL);
    atomic_thread_fence(memory_order_release);
    WRITE_ONCE(s->wc_version, s->wc_version + 1);
}

/* ---- CMOS clock ---- */

#define CMOS_INDEX   0x70
#define CMOS_DATA    0x71
#define RTC_A        0x0a
#define RTC_UPDATING 0x80
#define RTC_B        0x0b
#define RTC_BINARY   0x04
#define RTC_24H      0x02
#define RTC_POLLS    100000

static uint8_t cmos(uint8_t reg)
{
    outb(CMOS_INDEX, reg);
    return inb(CMOS_DATA);
}

static uint64_t days_since_1970(unsigned int y, unsigned int m, unsigned int d)
{
    /* Years that begin in March make the leap day the last one. */
    unsigned int era_year = m <= 2 ? y - 1 : y, shifted = (m + 9) % 12;

    return 365UL * era_year + era_year / 4 - era_year / 100 + era_year / 400 + (153 * shifted + 2) / 5 + d -
           1 - 719468;
}

static uint64_t cmos_read_seconds(void)
{
    static const uint8_t regs[6] = {0, 2, 4, 7, 8, 9}; /* second, minute, hour, day, month, year */
    unsigned int t[6];
    bool pm;
    uint8_t b;

    for (unsigned int i = 0; i < RTC_POLLS && (cmos(RTC_A) & RTC_UPDATING); i++)
        cpu_pause();
    for (unsigned int i = 0; i < 6; i++)
        t[i] = cmos(regs[i]);
    b = cmos(RTC_B);
    pm = !(b & RTC_24H) && (t[2] & 0x80);
    t[2] &= 0x7f;
    for (unsigned int i = 0; !(b & RTC_BINARY) && i < 6; i++)
        t[i] = (t[i] >> 4) * 10 + (t[i] & 15);
    if (!(b & RTC_24H))
        t[2] = t[2] % 12 + (pm ? 12 : 0);
    t[5] += t[5] < 70 ? 2000 : 1900;
    return days_since_1970(t[5], t[4], t[3]) * 86400 + t[2] * 3600 + t[1] * 60 + t[0];
}

/* ---- start ---- */

void time_init(void)
{
    struct percpu *p = this_percpu();

    calibrate();
    p->tsc_base = rdtsc();
    p->ns_base = 0;
    time_init_cpu();
    wall_ns = NSEC(acpi.no_rtc ? 0 : cmos_read_seconds());
}

void time_init_cpu(void)
{
    apic_timer_mode(use_deadline);
}
