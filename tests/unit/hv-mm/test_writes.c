/*
 * Writes of a guest's kernel to page tables that it sees read-only: the decoder against the processor itself,
 * and page faults end to end.
 */
#include "mm_test.h"

#include <sys/mman.h>
#include <asm/pte_write.h>
#include <asm/regs.h>

/* Instructions with (%rdi) in some addressing form as destination; rsi, rax, rcx as sources. */
static const struct form {
    const char *name;
    uint8_t size; /* of the operand */
    uint8_t bytes[15];
    uint8_t length;
} forms[] = {
#define FORM(name, size, ...)                                                                                \
    {                                                                                                        \
        name, size, {__VA_ARGS__}, sizeof((uint8_t[]){__VA_ARGS__})                                          \
    }
    FORM("mov %rsi,(%rdi)", 8, 0x48, 0x89, 0x37),
    FORM("mov %esi,(%rdi)", 4, 0x89, 0x37),
    FORM("mov %si,(%rdi)", 2, 0x66, 0x89, 0x37),
    FORM("mov %sil,(%rdi)", 1, 0x40, 0x88, 0x37),
    FORM("mov %ah,(%rdi)", 1, 0x88, 0x27),
    FORM("mov %r8,(%rdi)", 8, 0x4c, 0x89, 0x07),
    FORM("mov %rsi,0(%rdi), disp8", 8, 0x48, 0x89, 0x77, 0x00),
    FORM("mov %rsi,0(%rdi), disp32", 8, 0x48, 0x89, 0xb7, 0, 0, 0, 0),
    FORM("mov %rsi,(%rdi,%riz)", 8, 0x48, 0x89, 0x34, 0x27),
    FORM("mov %rsi,0(%rdi,%riz)", 8, 0x48, 0x89, 0x74, 0x27, 0),
    FORM("movq $-2,(%rdi)", 8, 0x48, 0xc7, 0x07, 0xfe, 0xff, 0xff, 0xff),
    FORM("movl $0x12345678,(%rdi)", 4, 0xc7, 0x07, 0x78, 0x56, 0x34, 0x12),
    FORM("movw $0x1234,(%rdi)", 2, 0x66, 0xc7, 0x07, 0x34, 0x12),
    FORM("movb $0x12,(%rdi)", 1, 0xc6, 0x07, 0x12),
    FORM("xchg %rsi,(%rdi)", 8, 0x48, 0x87, 0x37),
    FORM("xchg %esi,(%rdi)", 4, 0x87, 0x37),
    FORM("xchg %si,(%rdi)", 2, 0x66, 0x87, 0x37),
    FORM("xchg %ah,(%rdi)", 1, 0x86, 0x27),
    FORM("xchg %rax,(%rdi)", 8, 0x48, 0x87, 0x07),
    FORM("lock and %rsi,(%rdi)", 8, 0xf0, 0x48, 0x21, 0x37),
    FORM("lock andb $0xfd,(%rdi)", 1, 0xf0, 0x80, 0x27, 0xfd),
    FORM("ds andb $0xfd,(%rdi)", 1, 0x3e, 0x80, 0x27, 0xfd),
    FORM("andq $-3,(%rdi)", 8, 0x48, 0x83, 0x27, 0xfd),
    FORM("andl $0x7ffffff0,(%rdi)", 4, 0x81, 0x27, 0xf0, 0xff, 0xff, 0x7f),
    FORM("orq $0x66,(%rdi)", 8, 0x48, 0x83, 0x0f, 0x66),
    FORM("or %esi,(%rdi)", 4, 0x09, 0x37),
    FORM("or %cl,(%rdi)", 1, 0x08, 0x0f),
    FORM("xorq $-1,(%rdi)", 8, 0x48, 0x83, 0x37, 0xff),
    FORM("xor %rsi,(%rdi)", 8, 0x48, 0x31, 0x37),
    FORM("add %rsi,(%rdi)", 8, 0x48, 0x01, 0x37),
    FORM("add %si,(%rdi)", 2, 0x66, 0x01, 0x37),
    FORM("addb $0x7f,(%rdi)", 1, 0x80, 0x07, 0x7f),
    FORM("sub %rsi,(%rdi)", 8, 0x48, 0x29, 0x37),
    FORM("subl $0x10,(%rdi)", 4, 0x83, 0x2f, 0x10),
    FORM("sub %cl,(%rdi)", 1, 0x28, 0x0f),
    FORM("lock cmpxchg %rsi,(%rdi)", 8, 0xf0, 0x48, 0x0f, 0xb1, 0x37),
    FORM("cmpxchg %esi,(%rdi)", 4, 0x0f, 0xb1, 0x37),
    FORM("cmpxchg %sil,(%rdi)", 1, 0x40, 0x0f, 0xb0, 0x37),
    FORM("lock btrq $1,(%rdi)", 8, 0xf0, 0x48, 0x0f, 0xba, 0x37, 0x01),
    FORM("lock btsq $63,(%rdi)", 8, 0xf0, 0x48, 0x0f, 0xba, 0x2f, 0x3f),
    FORM("btcl $6,(%rdi)", 4, 0x0f, 0xba, 0x3f, 0x06),
    FORM("bts %rcx,(%rdi)", 8, 0x48, 0x0f, 0xab, 0x0f),
    FORM("btr %rcx,(%rdi)", 8, 0x48, 0x0f, 0xb3, 0x0f),
    FORM("btc %ecx,(%rdi)", 4, 0x0f, 0xbb, 0x0f),
#undef FORM
};

#define FLAGS 0x8d5UL /* CF PF AF ZF SF OF */

struct state {
    uint64_t rax, rsi, rcx, r8, flags, memory;
};

/* Runs the instruction on this machine. */
static void run_natively(uint8_t *code, const struct form *f, struct state *s)
{
    memcpy(code, f->bytes, f->length);
    code[f->length] = 0xc3;
    register uint64_t r8 __asm__("r8") = s->r8;
    __asm__ volatile("push %[flags]\n\tpopf\n\tcall *%[code]\n\tpushf\n\tpop %[flags]"
                     : "+a"(s->rax), "+S"(s->rsi), "+c"(s->rcx), [flags] "+r"(s->flags), "+r"(r8),
                       "+m"(s->memory)
                     : [code] "r"(code), "D"(&s->memory)
                     : "cc", "memory");
    s->r8 = r8;
}

static uint64_t pattern(unsigned int i)
{
    static const uint64_t patterns[] = {
        0,          1,           ~0UL,      0x8000000000000000, 0x7fffffffffffffff,
        0x80000000, 0x80,        0x7f,      0x123456789abcdef0, 0xffffffff,
        0x67,       0xffffff067, 0x8000ffff};
    return patterns[i % ARRAY_SIZE(patterns)];
}

static void decoder_agrees_with_the_processor(void **state)
{
    /* `call` pushes below the stack pointer: nothing of ours lives there. */
    uint8_t *code =
        mmap(NULL, PAGE_SIZE, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    assert_ptr_not_equal(code, MAP_FAILED);
    for (size_t i = 0; i < ARRAY_SIZE(forms); i++) {
        const struct form *f = &forms[i];
        struct write_insn insn;
        uint8_t longer[20];

        memset(longer, 0x90, sizeof(longer));
        memcpy(longer, f->bytes, f->length);
        if (!write_decode(longer, sizeof(longer), &insn))
            fail_msg("%s: not decoded", f->name);
        if (insn.length != f->length || insn.size != f->size)
            fail_msg("%s: length %u, size %u", f->name, insn.length, insn.size);
        for (unsigned int n = 0; n < f->length; n++)
            assert_false(write_decode(longer, n, &insn));
        assert_true(write_decode(longer, sizeof(longer), &insn));

        for (unsigned int n = 0; n < 13 * 13; n++) {
            struct state s = {.rax = pattern(n),
                              .rsi = pattern(n / 13),
                              .rcx = n % 32,
                              .r8 = pattern(n + 5),
                              .flags = 0x202,
                              .memory = pattern(n * 7 / 3)};
            struct cpu_regs regs = {
                .rax = s.rax, .rsi = s.rsi, .rcx = s.rcx, .r8 = s.r8, .rflags = 0x202, .rip = 100};
            uint64_t mask = f->size == 8 ? ~0UL : (1UL << f->size * 8) - 1, old = s.memory;
            uint64_t new = (old & ~mask) | write_result(&insn, &regs, old);

            write_finish(&insn, &regs, old, write_result(&insn, &regs, old));
            run_natively(code, f, &s);
            if (new != s.memory || regs.rax != s.rax || regs.rsi != s.rsi || regs.rcx != s.rcx)
                fail_msg("%s on %lx: %lx, processor %lx; rax %lx %lx, rsi %lx %lx", f->name, old, new,
                         s.memory, regs.rax, s.rax, regs.rsi, s.rsi);
            /* AF after logic is undefined; bit tests leave all but CF undefined. */
            uint64_t flags = insn.kind >= WRITE_BTS ? 1
                             : insn.kind == WRITE_OR || insn.kind == WRITE_AND || insn.kind == WRITE_XOR
                                 ? FLAGS & ~0x10UL
                                 : FLAGS;
            if ((regs.rflags ^ s.flags) & flags)
                fail_msg("%s on %lx: flags %lx, processor %lx", f->name, old, regs.rflags & FLAGS,
                         s.flags & FLAGS);
            assert_int_equal(regs.rip, 100 + f->length);
        }
    }
    munmap(code, PAGE_SIZE);
}

static void what_is_no_simple_write(void **state)
{
    static const struct {
        uint8_t bytes[15];
    } refused[] = {
        {{0x48, 0x89, 0xf7}},             /* mov %rsi,%rdi: a register */
        {{0x48, 0x8b, 0x37}},             /* a load */
        {{0x48, 0x83, 0x17, 0x01}},       /* adc */
        {{0x48, 0x83, 0x3f, 0x01}},       /* cmp */
        {{0xf3, 0x48, 0xab}},             /* rep stos */
        {{0x48, 0xc7, 0x0f, 0, 0, 0, 0}}, /* c7 /1 */
        {{0x0f, 0xc7, 0x0f}},             /* cmpxchg8b */
        {{0x0f, 0x2b, 0x07}},             /* movntps */
        {{0x0f, 0xba, 0x27, 0x01}},       /* bt: no write */
        {{0x0f, 0x05}},                   /* syscall */
        {{0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66}},
    };
    struct write_insn insn;

    for (size_t i = 0; i < ARRAY_SIZE(refused); i++)
        if (write_decode(refused[i].bytes, 15, &insn))
            fail_msg("refused form %zu is decoded", i);
}

#define TABLE_VA 0x7000UL /* where the guest sees its level-1 table own(3), read-only */

static void map_own_tables(void)
{
    build_hierarchy();
    fake_table(own(3))[TABLE_VA / PAGE_SIZE] = entry_of(own(3), P);
    fake_table(own(3))[8] = entry_of(own(2), P);
    fake_table(own(3))[9] = entry_of(own(20), P);
    assert_int_equal(mmuext(MMUEXT_NEW_BASEPTR, own(0), 0), 0);
}

/* The guest's kernel writes rsi to the 8 bytes at va. */
static struct cpu_regs fault(const uint8_t *code, uint64_t va, uint64_t rsi, uint32_t error_code)
{
    struct cpu_regs regs = {
        .rip = (uint64_t)code, .rsi = rsi, .cs = 0xe033, .error_code = error_code, .rflags = 0x202};

    pv_page_fault(&regs, va);
    return regs;
}

static void writes_to_tables_are_emulated(void **state)
{
    static const uint8_t mov[16] = {0x48, 0x89, 0x37}, xchg[16] = {0x48, 0x87, 0x37},
                         and_byte[16] = {0xf0, 0x80, 0x27, 0xfd}, mov32[16] = {0x89, 0x37};
    uint64_t *t = fake_table(own(3));
    struct cpu_regs regs;

    map_own_tables();
    regs = fault(mov, TABLE_VA + 5 * 8, entry_of(own(9), P | W), 7);
    assert_int_equal(fake_injected, 0);
    assert_int_equal(regs.rip, mov + 3);
    assert_int_equal(t[5], entry_of(own(9), P | W | U | PTE_GUEST_KERNEL));
    fake_check();
    regs = fault(and_byte, TABLE_VA + 5 * 8, 0, 7); /* write-protect, as fork does */
    assert_int_equal(t[5], entry_of(own(9), P | U | PTE_GUEST_KERNEL));
    assert_int_equal(uses_of(own(9)), 0);
    regs = fault(mov32, TABLE_VA + 5 * 8 + 4, 0x80000000, 7); /* the upper half alone */
    assert_int_equal(t[5], entry_of(own(9), P | U) | PTE_NX);
    regs = fault(xchg, TABLE_VA + 5 * 8, 0, 7);
    assert_int_equal(regs.rsi, entry_of(own(9), P | U) | PTE_NX);
    assert_int_equal(t[5], 0);
    assert_int_equal(refs_of(own(9)), 1);
    assert_int_equal(fake_injected, 0);
    fake_check();
}

static void other_faults_are_the_guests(void **state)
{
    static const uint8_t mov[16] = {0x48, 0x89, 0x37}, load[16] = {0x48, 0x8b, 0x37};
    const struct {
        const char *name;
        const uint8_t *code;
        uint64_t va, value;
        uint32_t error_code;
    } cases[] = {
        {"not present", mov, 0x20000, 0, 6},
        {"no table", mov, 1UL << 45, 0, 7},
        {"level 2", mov, 0x8000, 0, 7},
        {"plain page", mov, 0x9000, 0, 7},
        {"a read", mov, TABLE_VA, 0, 5},
        {"fetch", mov, TABLE_VA, 0, 0x17},
        {"reserved bits", mov, TABLE_VA, 0, 0xf},
        {"hypervisor's range", mov, HV_START, 0, 7},
        {"not a write", load, TABLE_VA, 0, 7},
        {"bad entry", mov, TABLE_VA, entry_of(own(3), P | W), 7},
        {"two entries", mov, TABLE_VA + 4, 0, 7},
        {"code is not readable", (const uint8_t *)0x10, TABLE_VA, 0, 7},
    };

    map_own_tables();
    for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
        fake_injected = 0;
        struct cpu_regs regs = fault(cases[i].code, cases[i].va, cases[i].value, cases[i].error_code);
        if (fake_injected != 1 || fake_injected_cr2 != cases[i].va ||
            fake_injected_code != cases[i].error_code || regs.rip != (uint64_t)cases[i].code)
            fail_msg("%s: injected %u", cases[i].name, fake_injected);
        fake_check();
    }
    /* User mode, and a guest that did not ask for the assist. */
    fake_injected = 0;
    world.v->arch.pv.kernel_mode = false;
    fault(mov, TABLE_VA, 0, 7);
    assert_int_equal(fake_injected, 1);
    world.v->arch.pv.kernel_mode = true;
    world.d->vm_assist = 0;
    fault(mov, TABLE_VA, 0, 7);
    assert_int_equal(fake_injected, 2);
    /* Descriptor windows: the one that is found is mapped. */
    fault(mov, PERDOMAIN_LDT(0), 0, 0);
    assert_int_equal(fake_injected, 2);
    fault(mov, PERDOMAIN_GDT(0), 0, 0);
    assert_int_equal(fake_injected, 3);
    fault(mov, PERDOMAIN_LDT(0), 0, 4); /* the guest itself may not look there */
    assert_int_equal(fake_injected, 4);
}

static void single_steps_go_on(void **state)
{
    static const uint8_t mov[16] = {0x48, 0x89, 0x37};

    map_own_tables();
    struct cpu_regs regs = {.rip = (uint64_t)mov, .error_code = 7, .rflags = 0x10302};
    pv_page_fault(&regs, TABLE_VA + 48);
    assert_int_equal(regs.rip, mov + 3);
    assert_int_equal(regs.rflags, 0x302);
    assert_int_equal(fake_injected, 1);
    assert_int_equal(world.v->arch.debugreg[6], 0x4000);
}

static void writes_to_read_only_io_are_dropped(void **state)
{
    static const uint8_t mov[16] = {0x89, 0x37};

    mmio_readonly = rangeset_create();
    assert_int_equal(rangeset_add(world.d->iomem_caps, FAKE_IO_FIRST, FAKE_IO_FIRST), 0);
    assert_int_equal(rangeset_add(mmio_readonly, FAKE_IO_FIRST, FAKE_IO_FIRST), 0);
    map_own_tables();
    assert_int_equal(update(own(3), 20, entry_of(FAKE_IO_FIRST, P | W), 0), 0);
    struct cpu_regs regs = fault(mov, 20 * PAGE_SIZE + 12, 1, 7);
    assert_int_equal(regs.rip, mov + 2);
    assert_int_equal(fake_injected, 0);
    world.d->privileged = false;
    fault(mov, 20 * PAGE_SIZE + 12, 1, 7);
    assert_int_equal(fake_injected, 1);
    rangeset_destroy(mmio_readonly);
    mmio_readonly = NULL;
}

/* The hypervisor's own accesses: a write that an old TLB entry refused may be tried again. */
static void hypervisor_faults(void **state)
{
    map_own_tables();
    assert_true(pv_hypervisor_page_fault(world.v, 3, 0)); /* own(8), writable */
    assert_false(pv_hypervisor_page_fault(world.v, 3, TABLE_VA));
    assert_false(pv_hypervisor_page_fault(world.v, 3, 0x30000));
    assert_false(pv_hypervisor_page_fault(world.v, 1, 0));
    assert_false(pv_hypervisor_page_fault(world.v, 0xb, 0));
    assert_false(pv_hypervisor_page_fault(world.v, 3, HV_START));
    assert_true(pv_hypervisor_page_fault(world.v, 0, PERDOMAIN_LDT(0)));
    assert_false(pv_hypervisor_page_fault(world.v, 0, PERDOMAIN_GDT(0)));
}

const struct CMUnitTest write_tests[] = {
    MM_TEST(decoder_agrees_with_the_processor),
    MM_TEST(what_is_no_simple_write),
    MM_TEST(writes_to_tables_are_emulated),
    MM_TEST(other_faults_are_the_guests),
    MM_TEST(single_steps_go_on),
    MM_TEST(writes_to_read_only_io_are_dropped),
    MM_TEST(hypervisor_faults),
};
const size_t n_write_tests = ARRAY_SIZE(write_tests);
