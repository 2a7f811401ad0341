/*
 * A decoder for the instructions with which kernels write page-table entries, and their effect.
 *
 * mov, xchg, add, or, and, sub, xor, cmpxchg, bts, btr, btc with a memory destination of 1, 2, 4 or 8 bytes
 * and a register or immediate source; lock, segment and address-size prefixes are of no consequence here (the
 * fault told the address; the caller's compare-and-exchange makes every write atomic). Everything else is
 * refused, and the guest hears of its fault.
 */
#include <asm/cr.h>
#include <asm/pte_write.h>
#include <asm/regs.h>

#define FLAG_PF          0x004UL
#define FLAG_AF          0x010UL
#define FLAG_ZF          0x040UL
#define FLAG_SF          0x080UL
#define FLAG_OF          0x800UL
#define FLAGS_ARITHMETIC (FLAG_CF | FLAG_PF | FLAG_AF | FLAG_ZF | FLAG_SF | FLAG_OF)

/* What follows the opcode and its ModRM byte. */
enum source { SRC_NONE, SRC_REG, SRC_IMM8, SRC_IMM };

struct opcode {
    uint8_t valid, kind, source, byte_operand;
};

#define OP(k, s, b)                                                                                          \
    {                                                                                                        \
        1, WRITE_##k, SRC_##s, b                                                                             \
    }
static const struct opcode one_byte[256] = {
    [0x00] = OP(ADD, REG, 1),  [0x01] = OP(ADD, REG, 0), [0x08] = OP(OR, REG, 1),   [0x09] = OP(OR, REG, 0),
    [0x20] = OP(AND, REG, 1),  [0x21] = OP(AND, REG, 0), [0x28] = OP(SUB, REG, 1),  [0x29] = OP(SUB, REG, 0),
    [0x30] = OP(XOR, REG, 1),  [0x31] = OP(XOR, REG, 0), [0x86] = OP(XCHG, REG, 1), [0x87] = OP(XCHG, REG, 0),
    [0x88] = OP(MOV, REG, 1),  [0x89] = OP(MOV, REG, 0), [0xc6] = OP(MOV, IMM8, 1), [0xc7] = OP(MOV, IMM, 0),
    [0x80] = OP(ADD, IMM8, 1), [0x81] = OP(ADD, IMM, 0), [0x83] = OP(ADD, IMM8, 0),
};
static const struct opcode two_byte[256] = {
    [0xb0] = OP(CMPXCHG, REG, 1), [0xb1] = OP(CMPXCHG, REG, 0), [0xab] = OP(BTS, REG, 0),
    [0xb3] = OP(BTR, REG, 0),     [0xbb] = OP(BTC, REG, 0),     [0xba] = OP(BTS, IMM8, 0),
};
#undef OP

/* Opcodes 80, 81, 83: the operation stands in ModRM.reg; -1: not one of ours. */
static const int8_t group1[8] = {WRITE_ADD, WRITE_OR, -1, -1, WRITE_AND, WRITE_SUB, WRITE_XOR, -1};
/* Opcode 0f ba. */
static const int8_t group8[8] = {-1, -1, -1, -1, -1, WRITE_BTS, WRITE_BTR, WRITE_BTC};

struct reader {
    const uint8_t *at, *end;
    bool overrun;
};

static inline uint8_t next(struct reader *r)
{
    if (unlikely(r->at >= r->end)) {
        r->overrun = true;
        return 0;
    }
    return *r->at++;
}

static int64_t next_signed(struct reader *r, unsigned int bytes)
{
    uint64_t value = 0;

    for (unsigned int i = 0; i < bytes; i++)
        value |= (uint64_t)next(r) << (8 * i);
    return (int64_t)(value << (64 - 8 * bytes)) >> (64 - 8 * bytes);
}

/* Skips what addresses memory. false: the operand is a register. */
static bool skip_memory_operand(struct reader *r, uint8_t modrm)
{
    uint8_t mod = modrm >> 6, rm = modrm & 7, displacement = 0;

    if (mod == 3)
        return false;
    if (rm == 4) {
        uint8_t sib = next(r);
        if (mod == 0 && (sib & 7) == 5)
            displacement = 4;
    } else if (mod == 0 && rm == 5) {
        displacement = 4;
    }
    if (mod)
        displacement = mod == 1 ? 1 : 4;
    while (displacement--)
        next(r);
    return true;
}

bool write_decode(const uint8_t *bytes, unsigned int n, struct write_insn *insn)
{
    struct reader r = {bytes, bytes + MIN(n, INSN_MAX), false};
    const struct opcode *op;
    const int8_t *group = NULL;
    uint8_t rex = 0, byte, modrm;
    bool size16 = false;

    for (;;) {
        byte = next(&r);
        if ((byte & 0xf0) == 0x40) {
            rex = byte;
            byte = next(&r);
            break;
        }
        if (byte == 0x66)
            size16 = true;
        else if (byte != 0xf0 && byte != 0x3e && byte != 0x2e && byte != 0x26 && byte != 0x36 &&
                 byte != 0x64 && byte != 0x65 && byte != 0x67)
            break;
    }
    if (byte == 0x0f) {
        byte = next(&r);
        op = &two_byte[byte];
        group = byte == 0xba ? group8 : NULL;
    } else {
        op = &one_byte[byte];
        group = byte == 0x80 || byte == 0x81 || byte == 0x83 ? group1 : NULL;
    }
    if (!op->valid)
        return false;
    modrm = next(&r);
    if (!skip_memory_operand(&r, modrm))
        return false;

    uint8_t field = modrm >> 3 & 7;
    int kind = group ? group[field] : op->kind;
    if (kind < 0 || (op->kind == WRITE_MOV && op->source != SRC_REG && field))
        return false;
    insn->kind = (enum write_kind)kind;
    insn->size = op->byte_operand ? 1 : rex & 8 ? 8 : size16 ? 2 : 4;
    insn->has_immediate = op->source != SRC_REG;
    insn->reg = field | (rex & 4) << 1;
    insn->high_byte = insn->size == 1 && !rex && field >= 4 && !insn->has_immediate;
    insn->immediate = 0;
    if (insn->high_byte)
        insn->reg = field - 4;
    if (op->source == SRC_IMM8)
        insn->immediate = (uint64_t)next_signed(&r, 1);
    else if (op->source == SRC_IMM)
        insn->immediate = (uint64_t)next_signed(&r, insn->size == 2 ? 2 : 4);
    insn->length = (uint8_t)(r.at - bytes);
    return !r.overrun;
}

static inline uint64_t size_mask(unsigned int size)
{
    return ~0UL >> (64 - 8 * size);
}

static inline uint64_t source_value(const struct write_insn *insn, const struct cpu_regs *regs)
{
    uint64_t value = insn->has_immediate ? insn->immediate : *register_of(regs, insn->reg);

    return (insn->high_byte ? value >> 8 : value) & size_mask(insn->size);
}

static inline uint64_t bit_of(const struct write_insn *insn, const struct cpu_regs *regs)
{
    uint64_t number = insn->has_immediate ? insn->immediate : *register_of(regs, insn->reg);

    return 1UL << (number & (insn->size * 8U - 1));
}

uint64_t write_result(const struct write_insn *insn, const struct cpu_regs *regs, uint64_t old)
{
    if (likely(insn->kind <= WRITE_XCHG && insn->size == 8 && !insn->has_immediate))
        return *register_of(regs, insn->reg);

    uint64_t src = source_value(insn, regs), mask = size_mask(insn->size);

    old &= mask;
    switch (insn->kind) {
    case WRITE_MOV:
    case WRITE_XCHG:
        return src;
    case WRITE_ADD:
        return (old + src) & mask;
    case WRITE_SUB:
        return (old - src) & mask;
    case WRITE_OR:
        return old | src;
    case WRITE_AND:
        return old & src;
    case WRITE_XOR:
        return old ^ src;
    case WRITE_CMPXCHG:
        return old == (regs->rax & mask) ? src : old;
    case WRITE_BTS:
        return old | bit_of(insn, regs);
    case WRITE_BTR:
        return old & ~bit_of(insn, regs);
    case WRITE_BTC:
        return old ^ bit_of(insn, regs);
    }
    return old;
}

static uint64_t flags_of_value(uint64_t value, unsigned int size)
{
    return (__builtin_parity((unsigned int)(value & 0xff)) ? 0 : FLAG_PF) | (value ? 0 : FLAG_ZF) |
           (value >> (size * 8 - 1) & 1 ? FLAG_SF : 0);
}

/* Flags of result = a + b, or, with carry and overflow the other way round, of result = a - b. */
static uint64_t flags_of_sum(uint64_t a, uint64_t b, uint64_t result, unsigned int size, bool subtract)
{
    uint64_t flags = flags_of_value(result, size), top = 1UL << (size * 8 - 1);
    uint64_t overflow = subtract ? (a ^ b) & (a ^ result) : ~(a ^ b) & (a ^ result);

    if (subtract ? a < b : result < a)
        flags |= FLAG_CF;
    if (overflow & top)
        flags |= FLAG_OF;
    if ((a ^ b ^ result) & 0x10)
        flags |= FLAG_AF;
    return flags;
}

static void set_flags(struct cpu_regs *regs, uint64_t flags)
{
    regs->rflags = (regs->rflags & ~FLAGS_ARITHMETIC) | flags;
}

static void finish_arithmetic(const struct write_insn *insn, struct cpu_regs *regs, uint64_t old,
                              uint64_t result)
{
    uint64_t mask = size_mask(insn->size), accumulator = regs->rax & mask;

    old &= mask;
    switch (insn->kind) {
    case WRITE_ADD:
        set_flags(regs, flags_of_sum(old, source_value(insn, regs), result, insn->size, false));
        break;
    case WRITE_SUB:
        set_flags(regs, flags_of_sum(old, source_value(insn, regs), result, insn->size, true));
        break;
    case WRITE_OR:
    case WRITE_AND:
    case WRITE_XOR:
        set_flags(regs, flags_of_value(result, insn->size));
        break;
    case WRITE_CMPXCHG:
        set_flags(regs, flags_of_sum(accumulator, old, (accumulator - old) & mask, insn->size, true));
        if (accumulator != old)
            set_register(&regs->rax, insn->size, old);
        break;
    case WRITE_BTS:
    case WRITE_BTR:
    case WRITE_BTC:
        regs->rflags = (regs->rflags & ~FLAG_CF) | (old & bit_of(insn, regs) ? FLAG_CF : 0);
        break;
    default:
        break;
    }
}

static void exchange_register(const struct write_insn *insn, struct cpu_regs *regs, uint64_t old)
{
    uint64_t *reg = register_of(regs, insn->reg);

    if (insn->high_byte)
        *reg = (*reg & ~0xff00UL) | (old & 0xff) << 8;
    else
        set_register(reg, insn->size, old);
}

void write_finish(const struct write_insn *insn, struct cpu_regs *regs, uint64_t old, uint64_t result)
{
    if (insn->kind == WRITE_XCHG)
        exchange_register(insn, regs, old);
    else if (insn->kind != WRITE_MOV)
        finish_arithmetic(insn, regs, old, result);
    regs->rip += insn->length;
    regs->rflags &= ~FLAG_RF;
}
