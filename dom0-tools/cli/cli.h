/*
 * bh, the command: what its files share.
 *
 * Model. A command is one row: name, arguments, options, handler. The row is what parses the command line,
 * prints the help and makes the completion, so that none of them can say something else. A handler returns an
 * exit code: 0 done, 1 failed, 2 wrong usage; it tells a failure of the library through failed(), which also
 * keeps it for `bh why`.
 */
#ifndef BH_CLI_H
#define BH_CLI_H

#include <stdbool.h>
#include <stdint.h>
#include <yajl/yajl_gen.h>
#include "../lib/bulkhead.h"

#define OPTIONS_MAX 12

struct option_row {
    char letter;       /* how handlers ask for it; printed as -x unless it is above '~' or a digit */
    const char *name;  /* long name, may be NULL */
    const char *value; /* name of its value; NULL: a flag */
    const char *help;
};

struct call;
struct command {
    const char *name;
    const char *arguments;
    const char *summary;
    int (*run)(struct call *call);
    unsigned int min, max; /* positional arguments; max 0xff: any number */
    struct option_row options[OPTIONS_MAX];
};

struct call {
    struct bh *h;
    const struct command *command;
    const char *program; /* "bh" or "xl" */
    char **args;         /* positional arguments */
    unsigned int count;
    const char *values[256]; /* by letter; NULL: not given; "" for flags */
    bool json, verbose, force, dry_run;
};

extern const struct command commands[];
extern const unsigned int command_count;
const struct command *command_find(const char *name, unsigned int *matches);
int command_main(int argc, char **argv);

/* Prints the error chain of the handle, keeps it for `bh why`; returns 1. */
int failed(struct call *call);
/* A failure of the command itself: printed and kept the same way; returns 1. */
int failed_text(struct call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));
int wrong_usage(struct call *call, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A domain given by name or number; false after telling. */
bool find_domain(struct call *call, const char *who, unsigned int *domid);
bool parse_number(struct call *call, const char *what, const char *text, unsigned long max,
                  unsigned long *out);
/* "512", "512M", "1G", "300k" to KiB; the default unit is MiB. False after telling. */
bool parse_memory(struct call *call, const char *text, uint64_t *kib);

struct named_list {
    struct bh_domain *domains;
    char **names;
    unsigned int count;
};
int named_list_get(struct call *call, struct named_list *list);
void named_list_free(struct named_list *list);
const char *shown_name(const struct named_list *list, unsigned int index);

/* ---- JSON out ---- */
yajl_gen json_begin(void);
void json_end(yajl_gen gen);
void json_text(yajl_gen gen, const char *text);
void json_name(yajl_gen gen, const char *name);
void json_pair(yajl_gen gen, const char *name, const char *text); /* text NULL: null */
void json_number(yajl_gen gen, const char *name, long long number);
void json_flag(yajl_gen gen, const char *name, bool on);

/* ---- counters.c ---- */
struct counters {
    uint64_t tx_bytes, rx_bytes; /* as the guest sees it */
    uint64_t reads, writes, read_sectors, write_sectors;
    unsigned int vifs, vbds;
};
void counters_add_vbd(struct counters *c, unsigned int domid, unsigned int devid);
void counters_add_vif(struct counters *c, unsigned int domid, unsigned int devid);
void counters_add_domain(struct call *call, struct counters *c, unsigned int domid);
void json_net_counters(yajl_gen gen, const struct counters *c);
void json_block_counters(yajl_gen gen, const struct counters *c);

/* Starts a daemon of ours unless it runs. */
void ensure_daemon(const char *program);
/* Where the last failure is kept. */
void failure_path(char *out, size_t size);

int console_run(struct call *call, unsigned int domid);

/* handlers */
int cmd_create(struct call *call);
int cmd_prepare_kernel(struct call *call);
int cmd_config_update(struct call *call);
int cmd_config(struct call *call);
int cmd_list(struct call *call);
int cmd_vm_list(struct call *call);
int cmd_domid(struct call *call);
int cmd_domname(struct call *call);
int cmd_rename(struct call *call);
int cmd_info(struct call *call);
int cmd_uptime(struct call *call);
int cmd_dmesg(struct call *call);
int cmd_claims(struct call *call);
int cmd_debug_keys(struct call *call);
int cmd_console(struct call *call);
int cmd_pause(struct call *call);
int cmd_unpause(struct call *call);
int cmd_shutdown(struct call *call);
int cmd_reboot(struct call *call);
int cmd_destroy(struct call *call);
int cmd_sysrq(struct call *call);
int cmd_trigger(struct call *call);
int cmd_mem_set(struct call *call);
int cmd_mem_max(struct call *call);
int cmd_vcpu_list(struct call *call);
int cmd_vcpu_set(struct call *call);
int cmd_vcpu_pin(struct call *call);
int cmd_sched_credit(struct call *call);
int cmd_sched_credit2(struct call *call);
int cmd_cpupool_create(struct call *call);
int cmd_cpupool_list(struct call *call);
int cmd_cpupool_destroy(struct call *call);
int cmd_cpupool_rename(struct call *call);
int cmd_cpupool_cpu_add(struct call *call);
int cmd_cpupool_cpu_remove(struct call *call);
int cmd_cpupool_migrate(struct call *call);
int cmd_cpupool_numa_split(struct call *call);
int cmd_block_attach(struct call *call);
int cmd_block_detach(struct call *call);
int cmd_block_list(struct call *call);
int cmd_network_attach(struct call *call);
int cmd_network_detach(struct call *call);
int cmd_network_list(struct call *call);
int cmd_cd_insert(struct call *call);
int cmd_cd_eject(struct call *call);
int cmd_top(struct call *call);
int cmd_dump_core(struct call *call);
int cmd_events(struct call *call);
int cmd_why(struct call *call);
int cmd_help(struct call *call);
int cmd_completion(struct call *call);

#endif
