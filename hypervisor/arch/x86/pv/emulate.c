/*
 * The privileged instructions that PV kernels still execute: port I/O, control and debug registers, MSRs, a
 * few others.
 *
 * A guest in ring 3 faults on them; the instruction is fetched once into our own buffer, decoded, checked,
 * performed on the guest's state. No general emulator: an instruction that is not listed here is the guest's
 * to hear of as #GP. String I/O runs a bounded number of elements a time and lets the guest repeat the
 * instruction.
 */
#include <asm/cr.h>
#include <asm/fpu.h>
#include <asm/guest_access.h>
#include <asm/insn.h>
#include <asm/mm.h>
#include <asm/pte_write.h>
#include <asm/pv.h>
#include <bh/domain.h>
#include <bh/guest.h>
#include <bh/hypercall.h>

#define STRING_IO_MAX    64
#define ACCESS_LONG_CODE (1U << 21)

struct insn {
    uint8_t bytes[INSN_MAX];
    unsigned int have, at;
    bool operand16, address32, rep;
    uint8_t rex;
    int segment_fs_gs; /* 0: none, 1: FS, 2: GS */
};

static bool fetch(struct vcpu *v, const struct cpu_regs *regs, struct insn *insn)
{
    size_t missing = copy_from_guest(v, insn->bytes, regs->rip, INSN_MAX);

    insn->have = (unsigned int)(INSN_MAX - missing);
    insn->at = 0;
    return insn->have > 0;
}

static int next_byte(struct insn *insn)
{
    return insn->at < insn->have ? insn->bytes[insn->at++] : -1;
}

/* Reads prefixes; returns the first opcode byte, or -1. */
static int decode_prefixes(struct insn *insn)
{
    for (;;) {
        int byte = next_byte(insn);
        switch (byte) {
        case 0x66:
            insn->operand16 = true;
            break;
        case 0x67:
            insn->address32 = true;
            break;
        case 0xf2:
        case 0xf3:
            insn->rep = true;
            break;
        case 0x26:
        case 0x2e:
        case 0x36:
        case 0x3e:
            break;
        case 0x64:
            insn->segment_fs_gs = 1;
            break;
        case 0x65:
            insn->segment_fs_gs = 2;
            break;
        case 0x40 ... 0x4f:
            insn->rex = (uint8_t)byte;
            return next_byte(insn);
        default:
            return byte;
        }
    }
}

/*
 * Whether the running code may use these ports: kernel mode needs its virtual I/O privilege level; user mode
 * needs level 3 or the bits of the map that its kernel registered.
 */
static bool ports_allowed(struct vcpu *v, uint16_t port, unsigned int bytes)
{
    const struct pv_vcpu *pv = &v->arch.pv;
    uint8_t bits[2] = {0xff, 0xff};

    if (pv->iopl >= (pv->kernel_mode ? 1 : 3))
        return true;
    if (port + bytes > pv->iobmp_limit)
        return false;
    /* The map lies in the kernel's memory, which user mode's page tables do not show. */
    if (!pv->kernel_mode)
        write_cr3(mfn_to_paddr(pv->guest_table));
    size_t missing = copy_from_guest(v, bits, pv->iobmp + port / 8, (port % 8 + bytes > 8) ? 2 : 1);
    if (!pv->kernel_mode)
        write_cr3(v->arch.cr3);
    if (missing)
        return false;
    uint32_t mask = ((1U << bytes) - 1) << (port % 8);
    return !((bits[0] | bits[1] << 8) & mask);
}

static bool port_io(struct vcpu *v, struct cpu_regs *regs, uint16_t port, unsigned int bytes, bool in)
{
    if (!ports_allowed(v, port, bytes))
        return false;
    if (in)
        set_register(&regs->rax, bytes, guest_port_read(v->domain, port, bytes));
    else
        guest_port_write(v->domain, port, bytes, (uint32_t)regs->rax);
    return true;
}

/* INS and OUTS. `*again`: the guest repeats the instruction for the rest. */
static bool string_io(struct vcpu *v, struct cpu_regs *regs, const struct insn *insn, unsigned int bytes,
                      bool in, bool *again)
{
    uint16_t port = (uint16_t)regs->rdx;
    uint64_t mask = insn->address32 ? 0xffffffffUL : ~0UL;
    uint64_t count = insn->rep ? regs->rcx & mask : 1;
    int64_t step = regs->rflags & FLAG_DF ? -(int64_t)bytes : (int64_t)bytes;
    uint64_t *index = in ? &regs->rdi : &regs->rsi;

    if (!ports_allowed(v, port, bytes) || insn->segment_fs_gs)
        return false;
    for (unsigned int done = 0; count; done++) {
        uint32_t value = 0;
        uint64_t at = *index & mask;
        if (done == STRING_IO_MAX) {
            *again = true;
            return true;
        }
        if (in)
            value = guest_port_read(v->domain, port, bytes);
        size_t missing = in ? copy_to_guest(v, at, &value, bytes) : copy_from_guest(v, &value, at, bytes);
        if (missing) {
            pv_inject_page_fault(v, in ? 2 : 0, at + bytes - missing);
            *again = true;
            return true;
        }
        if (!in)
            guest_port_write(v->domain, port, bytes, value);
        *index = (*index + (uint64_t)step) & mask;
        count--;
        if (insn->rep)
            regs->rcx = count;
    }
    return true;
}

static bool read_cr(struct vcpu *v, unsigned int cr, uint64_t *value)
{
    const struct pv_vcpu *pv = &v->arch.pv;

    switch (cr) {
    case 0:
        *value = (pv->ctrlreg[0] & 8) | (read_cr0() & ~8UL);
        return true;
    case 2:
        *value = pv->ctrlreg[2];
        return true;
    case 3:
        *value = mfn_to_paddr(pv->guest_table);
        return true;
    case 4:
        *value = pv->ctrlreg[4] | (read_cr4() & (CR4_OSFXSR | CR4_OSXMMEXCPT | CR4_OSXSAVE | CR4_PAE));
        return true;
    default:
        return false;
    }
}

static bool write_cr(struct vcpu *v, unsigned int cr, uint64_t value)
{
    switch (cr) {
    case 0:
        return !do_fpu_taskswitch(v, value & 8, 0, 0, 0, 0);
    case 2:
        v->arch.pv.ctrlreg[2] = value;
        v->info->arch.cr2 = value;
        return true;
    case 3:
        return !pv_new_kernel_base(v, paddr_to_mfn(value));
    case 4:
        /* The machine's CR4 is the hypervisor's; the guest sees back what it may believe in. */
        v->arch.pv.ctrlreg[4] = value & (CR4_TSD | CR4_DE | CR4_OSXSAVE | CR4_FSGSBASE | CR4_MCE);
        return true;
    default:
        return false;
    }
}

static bool register_move(struct vcpu *v, struct cpu_regs *regs, struct insn *insn, uint8_t opcode)
{
    int modrm = next_byte(insn);

    if (modrm < 0)
        return false;
    uint64_t *general = register_of(regs, (modrm & 7) | (insn->rex & 1) << 3);
    unsigned int special = (modrm >> 3 & 7) | (insn->rex & 4) << 1;
    switch (opcode) {
    case 0x20:
        return read_cr(v, special, general);
    case 0x21:
        if (special > 7)
            return false;
        *general = pv_get_debugreg(v, special);
        return true;
    case 0x22:
        return write_cr(v, special, *general);
    default:
        return special <= 7 && !pv_set_debugreg(v, special, *general);
    }
}

static bool emulate_msr(struct vcpu *v, struct cpu_regs *regs, bool write)
{
    uint64_t value = (uint32_t)regs->rax | regs->rdx << 32;

    if (write)
        return pv_write_msr(v, (uint32_t)regs->rcx, value);
    if (!pv_read_msr(v, (uint32_t)regs->rcx, &value))
        return false;
    regs->rax = (uint32_t)value;
    regs->rdx = value >> 32;
    return true;
}

static void emulate_cpuid(struct vcpu *v, struct cpu_regs *regs)
{
    struct cpuid_regs out;

    pv_cpuid(v, (uint32_t)regs->rax, (uint32_t)regs->rcx, &out);
    regs->rax = out.a;
    regs->rbx = out.b;
    regs->rcx = out.c;
    regs->rdx = out.d;
}

static bool emulate_xsetbv(struct vcpu *v, struct cpu_regs *regs)
{
    uint64_t value = (uint32_t)regs->rax | regs->rdx << 32;

    if ((uint32_t)regs->rcx || !fpu_xcr0_valid(value))
        return false;
    fpu_set_xcr0(v, value);
    return true;
}

static bool emulate_two_byte(struct vcpu *v, struct cpu_regs *regs, struct insn *insn)
{
    int opcode = next_byte(insn);

    /* CPUID faults in user mode too, where the CPU can be told so; everything else is the kernel's alone. */
    if (opcode == 0xa2) {
        emulate_cpuid(v, regs);
        return true;
    }
    if (!v->arch.pv.kernel_mode)
        return false;
    switch (opcode) {
    case 0x01:
        return next_byte(insn) == 0xd1 && emulate_xsetbv(v, regs); /* alone of its group */
    case 0x06:
        return !do_fpu_taskswitch(v, 0, 0, 0, 0, 0);
    case 0x09:
        if (v->domain->privileged)
            wbinvd();
        return true; /* what others cache is not theirs to drop */
    case 0x20 ... 0x23:
        return register_move(v, regs, insn, (uint8_t)opcode);
    case 0x30:
        return emulate_msr(v, regs, true);
    case 0x32:
        return emulate_msr(v, regs, false);
    case 0x33: /* RDPMC: no counters are offered; they read as zero */
        regs->rax = regs->rdx = 0;
        return true;
    default:
        return false;
    }
}

/* IN and OUT; the even opcodes are the byte forms. */
static bool emulate_port(struct vcpu *v, struct cpu_regs *regs, struct insn *insn, int opcode, bool *again)
{
    unsigned int bytes = !(opcode & 1) ? 1 : insn->operand16 ? 2 : 4;

    switch (opcode) {
    case 0x6c ... 0x6f:
        return string_io(v, regs, insn, bytes, opcode < 0x6e, again);
    case 0xe4 ... 0xe7: {
        int port = next_byte(insn);
        return port >= 0 && port_io(v, regs, (uint16_t)port, bytes, opcode < 0xe6);
    }
    default: /* ec to ef */
        return port_io(v, regs, (uint16_t)regs->rdx, bytes, opcode < 0xee);
    }
}

/* 32-bit user programs have no business with these instructions, and encode them otherwise. */
static bool in_64bit_code(const struct cpu_regs *regs)
{
    return regs->cs == FLAT_KERNEL_CS || (load_access_rights(regs->cs) & ACCESS_LONG_CODE);
}

/*
 * IN and OUT, alone or with an operand-size prefix: nearly all that is emulated. The instruction is in the
 * word at rip, if that can be read. `*done`: the answer; false: it is another instruction.
 */
static bool emulate_plain_port(struct vcpu *v, struct cpu_regs *regs, bool *done)
{
    uint64_t word;
    unsigned int length = 1;
    bool operand16 = false;

    if (copy_words_from_guest(&word, regs->rip, 1))
        return false;
    if ((uint8_t)word == 0x66) {
        operand16 = true;
        length = 2;
        word >>= 8;
    }
    uint8_t opcode = (uint8_t)word;
    if ((opcode & 0xf4) != 0xe4) /* e4 to e7: immediate port; ec to ef: dx */
        return false;
    bool by_dx = opcode & 8;
    uint16_t port = by_dx ? (uint16_t)regs->rdx : (uint8_t)(word >> 8);
    *done = port_io(v, regs, port, !(opcode & 1) ? 1 : operand16 ? 2 : 4, !(opcode & 2));
    if (*done)
        regs->rip += length + !by_dx;
    return true;
}

bool pv_emulate_privileged(struct vcpu *v, struct cpu_regs *regs)
{
    struct insn insn;
    bool again = false, done;
    int opcode;

    if (regs->error_code)
        return false;
    if (emulate_plain_port(v, regs, &done))
        return done;
    insn = (struct insn){0};
    if (!in_64bit_code(regs) || !fetch(v, regs, &insn))
        return false;
    opcode = decode_prefixes(&insn);
    switch (opcode) {
    case 0x6c ... 0x6f:
    case 0xe4 ... 0xe7:
    case 0xec ... 0xef:
        done = emulate_port(v, regs, &insn, opcode, &again);
        break;
    case 0xfa: /* CLI, STI: events are masked in shared memory; these do nothing to a PV kernel */
    case 0xfb:
        done = v->arch.pv.kernel_mode;
        break;
    case 0x0f:
        done = emulate_two_byte(v, regs, &insn);
        break;
    default:
        return false;
    }
    if (done && !again)
        regs->rip += insn.at;
    return done;
}

/* The ABI's forced prefix: UD2A, "xen", then CPUID. */
bool pv_emulate_forced(struct vcpu *v, struct cpu_regs *regs)
{
    static const uint8_t forced[] = {0x0f, 0x0b, 'x', 'e', 'n', 0x0f, 0xa2};
    uint8_t insn[sizeof(forced)];

    if (copy_from_guest(v, insn, regs->rip, sizeof(insn)))
        return false;
    for (unsigned int i = 0; i < sizeof(forced); i++)
        if (insn[i] != forced[i])
            return false;
    emulate_cpuid(v, regs);
    regs->rip += sizeof(forced);
    return true;
}
