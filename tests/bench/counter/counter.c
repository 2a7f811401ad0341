/*
 * A QEMU plugin that counts executed instructions by who executes them: the hypervisor, a guest kernel, user
 * space, or whatever runs at low or physical addresses before (firmware, loaders). A marker instruction, met
 * anywhere, writes the counts to the file that the argument out= names:
 *
 *     MARK number hypervisor kernel user longest hypercalls returns grant event system-calls
 *
 * mark=ADDRESS:NUMBER (hexadecimal, decimal) makes the instruction at that address a marker too: a guest kernel's
 * first one. With check=ADDRESS, longest is the longest run of the hypervisor's instructions since the marker before
 * that was broken neither by leaving it, nor by an STI, nor by the instruction at ADDRESS, where it looks whether it
 * has to be preempted. Otherwise longest is 0.
 *
 * The marker is the long no-operation 0f 1f 80 with the displacement 0x42480000 + number, which does nothing
 * elsewhere. Hypercalls are SYSCALL instructions of a guest's kernel; those that return from a trap are told by
 * the "mov $number,%eax" before them. Hypercalls for grants and for events are counted where the hypervisor's
 * functions for them begin: the arguments grant= and event= give the addresses, in hexadecimal; without them they
 * are 0. SYSCALL in user space is a system call. The hypervisor's instructions are counted one by one, so that a
 * fault in a block's middle counts right; for the others a block at a time is near enough. One processor under
 * -icount executes at a time, so plain counters do.
 */
#include <inttypes.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "qemu_plugin.h"

#define EXPORT   __attribute__((visibility("default")))
#define HV_START 0xffff800000000000ULL
#define HV_END   0xffff880000000000ULL
#define USER_END 0x0000800000000000ULL

EXPORT int qemu_plugin_version = 1;
EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv);

#define IRET 23u

static uint64_t hypervisor, kernel, user, run_start, longest;
static uint64_t mark_address, mark_number, check_address;
static uint64_t hypercalls, returns, grant, event, system_calls, grant_entry, event_entry;
static FILE *out;

/* A run of the hypervisor's instructions ends here. */
static void run_ends(unsigned int vcpu, void *unused)
{
    (void)vcpu;
    (void)unused;
    if (hypervisor - run_start > longest)
        longest = hypervisor - run_start;
    run_start = hypervisor;
}

static void mark(unsigned int vcpu, void *number)
{
    (void)vcpu;
    fprintf(out,
            "MARK %u %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64
            " %" PRIu64 " %" PRIu64 "\n",
            (unsigned int)(uintptr_t)number, hypervisor, kernel, user, longest, hypercalls, returns, grant,
            event, system_calls);
    fflush(out);
    longest = 0;
}

static int is_hypervisor(uint64_t address)
{
    return address >= HV_START && address < HV_END;
}

static int breaks_run(const struct qemu_plugin_insn *insn)
{
    const unsigned char *bytes = qemu_plugin_insn_data(insn);

    return bytes[0] == 0xfb || qemu_plugin_insn_vaddr(insn) == check_address;
}

/* The marker's number, or -1. */
static int marker(const struct qemu_plugin_insn *insn)
{
    const unsigned char *bytes = qemu_plugin_insn_data(insn);

    if (mark_address && qemu_plugin_insn_vaddr(insn) == mark_address)
        return (int)mark_number;
    if (qemu_plugin_insn_size(insn) != 7 || memcmp(bytes, "\x0f\x1f\x80", 3) != 0 || bytes[5] != 0x48 ||
        bytes[6] != 0x42)
        return -1;
    return bytes[3] | bytes[4] << 8;
}

static void add_one(struct qemu_plugin_insn *insn, uint64_t *counter)
{
    qemu_plugin_register_vcpu_insn_exec_inline(insn, QEMU_PLUGIN_INLINE_ADD_U64, counter, 1);
}

/* Counts an instruction of the hypervisor. */
static void count_own(struct qemu_plugin_insn *insn)
{
    uint64_t address = qemu_plugin_insn_vaddr(insn);

    add_one(insn, &hypervisor);
    if (address == grant_entry)
        add_one(insn, &grant);
    else if (address == event_entry)
        add_one(insn, &event);
}

/* Counts a SYSCALL outside the hypervisor; before is the instruction in front of it in its block, or NULL. */
static void count_call(struct qemu_plugin_insn *insn, const struct qemu_plugin_insn *before, bool by_user)
{
    uint32_t number = UINT32_MAX;

    if (qemu_plugin_insn_size(insn) != 2 || memcmp(qemu_plugin_insn_data(insn), "\x0f\x05", 2) != 0)
        return;
    add_one(insn, by_user ? &system_calls : &hypercalls);
    if (by_user || !before || qemu_plugin_insn_size(before) != 5)
        return;
    memcpy(&number, (const char *)qemu_plugin_insn_data(before) + 1, sizeof(number));
    if (number == IRET)
        add_one(insn, &returns);
}

static void translated(uint64_t id, struct qemu_plugin_tb *block)
{
    uint64_t address = qemu_plugin_tb_vaddr(block);
    size_t count = qemu_plugin_tb_n_insns(block);

    (void)id;
    if (is_hypervisor(address)) {
        for (size_t i = 0; i < count; i++)
            count_own(qemu_plugin_tb_get_insn(block, i));
    } else {
        qemu_plugin_register_vcpu_tb_exec_inline(block, QEMU_PLUGIN_INLINE_ADD_U64,
                                                 address < USER_END ? &user : &kernel, count);
        if (check_address)
            qemu_plugin_register_vcpu_tb_exec_cb(block, run_ends, QEMU_PLUGIN_CB_NO_REGS, NULL);
        for (size_t i = 0; i < count; i++)
            count_call(qemu_plugin_tb_get_insn(block, i), i ? qemu_plugin_tb_get_insn(block, i - 1) : NULL,
                       address < USER_END);
    }
    for (size_t i = 0; i < count; i++) {
        struct qemu_plugin_insn *insn = qemu_plugin_tb_get_insn(block, i);
        int number = marker(insn);

        if (number >= 0)
            qemu_plugin_register_vcpu_insn_exec_cb(insn, mark, QEMU_PLUGIN_CB_NO_REGS,
                                                   (void *)(uintptr_t)number);
        if (check_address && is_hypervisor(address) && breaks_run(insn))
            qemu_plugin_register_vcpu_insn_exec_cb(insn, run_ends, QEMU_PLUGIN_CB_NO_REGS, NULL);
    }
}

EXPORT int qemu_plugin_install(uint64_t id, const void *info, int argc, char **argv)
{
    (void)info;
    for (int i = 0; i < argc; i++) {
        if (strncmp(argv[i], "out=", 4) == 0)
            out = fopen(argv[i] + 4, "w");
        sscanf(argv[i], "mark=%" SCNx64 ":%" SCNu64, &mark_address, &mark_number);
        sscanf(argv[i], "check=%" SCNx64, &check_address);
        sscanf(argv[i], "grant=%" SCNx64, &grant_entry);
        sscanf(argv[i], "event=%" SCNx64, &event_entry);
    }
    if (!out) {
        fprintf(stderr, "counter: the argument out=FILE is missing or the file cannot be written\n");
        return -1;
    }
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
