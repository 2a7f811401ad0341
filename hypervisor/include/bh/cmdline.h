/*
 * The hypervisor's command line: one table (common/cmdline.c) of options, named as Xen names them. Unknown
 * and malformed options are collected and reported by cmdline_report(); an option that is given twice takes
 * the last.
 */
#ifndef BH_CMDLINE_H
#define BH_CMDLINE_H

#include <bh/types.h>

#define CMDLINE_MAX 1024

struct serial_option {
    bool given;
    uint32_t baud; /* 0: as the firmware set it */
    uint8_t data_bits, stop_bits;
    char parity;      /* n o e m s */
    uint16_t io_base; /* 0: the usual port of com1, com2 */
    uint16_t irq;
};

enum console_kind { CONSOLE_NONE = 0, CONSOLE_COM1 = 1, CONSOLE_COM2 = 2, CONSOLE_VGA = 4 };

/* Off, on, or whatever the CPU wants; some have a value for the control domain and one for all others. */
enum { CHOICE_OFF, CHOICE_ON, CHOICE_DEFAULT };
struct per_domain_choice {
    uint8_t dom0, domu;
};

struct memory_amount {
    uint64_t bytes; /* 0: not given */
    bool less;      /* all but that much */
};

/* Sizes in bytes. Defaults hold until cmdline_parse() ran. */
struct options {
    uint32_t console; /* enum console_kind, or'ed */
    struct serial_option com[2];
    struct memory_amount dom0_mem, dom0_mem_min, dom0_mem_max;
    uint32_t dom0_max_vcpus_min, dom0_max_vcpus; /* 0: as many as CPUs */
    bool dom0_vcpus_pin;
    uint32_t maxcpus; /* 0: all */
    bool noreboot;
    uint64_t conring_size;
    uint32_t sched_credit_tslice_ms;
    uint32_t sched_ratelimit_us;
    bool smep, smap, umip; /* use them where the CPU has them */
    /* Guards against speculation (arch/x86/speculation.c) */
    uint8_t spec_ctrl; /* any of them, but for those asked for by name */
    uint8_t ibpb_entry, bhb_entry, bhi_dis_s;
    struct per_domain_choice xpti;    /* page-table isolation */
    struct per_domain_choice pv_l1tf; /* not-present entries are looked at */
};
extern struct options options;

extern char saved_cmdline[CMDLINE_MAX]; /* as given, for XENVER_commandline */

/* Parses once; later calls do nothing. `text` NULL: none. Prints nothing: it may run before the console. */
void cmdline_parse(const char *text);
void cmdline_apply(const char *text); /* reads one more text; cmdline_parse() does it for the loader's */
void cmdline_report(void);            /* prints the complaints */

#endif
