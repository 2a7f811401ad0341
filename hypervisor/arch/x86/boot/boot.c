/*
 * From the first C function to kmain(). On the boot stack and boot page tables: early console, the loader's
 * information, the CPU's features, the final page tables. Then, on the CPU's own stack: descriptors, CPU
 * features, kmain.
 */
#include <bh/arch.h>
#include <bh/cmdline.h>
#include <bh/string.h>
#include <asm/boot_info.h>
#include <asm/cpufeature.h>
#include <asm/fpu.h>
#include <asm/paging.h>
#include <asm/percpu.h>
#include <asm/setup.h>
#include <asm/smp.h>

#define MB1_BOOT_MAGIC 0x2badb002
#define MB2_BOOT_MAGIC 0x36d76289
#define BOOT_MAP_LIMIT (4UL << 30) /* what boot/head.S maps */

struct boot_info boot_info;

void noreturn_fn boot_main(uint32_t magic, uint32_t info_pa);
void noreturn_fn boot_on_own_stack(void);
void noreturn_fn boot_switch_stack(struct cpu_info *top, void (*fn)(void)); /* context.S */

static void say(const char *s)
{
    arch_console_write(s, strlen(s));
}

void boot_die(const char *sentence)
{
    say("Bulkhead cannot start: ");
    say(sentence);
    say(".\n");
    arch_fatal();
}

void boot_main(uint32_t magic, uint32_t info_pa)
{
    const uint8_t *memory = pa_to_va(0);
    const char *error;

    if (magic == MB1_BOOT_MAGIC)
        error = multiboot1_parse(memory, BOOT_MAP_LIMIT, info_pa, &boot_info);
    else if (magic == MB2_BOOT_MAGIC)
        error = multiboot2_parse(memory, BOOT_MAP_LIMIT, info_pa, &boot_info);
    else
        error = "the boot loader speaks neither Multiboot 1 nor Multiboot 2";
    cmdline_parse(boot_info.cmdline);
    serial_init();
    if (error)
        boot_die(error);
    error = cpu_identify();
    if (error)
        boot_die(error);
    fpu_init();
    cpu_patch_smap();
    cpu_speculation_init();
    error = paging_init(&boot_info);
    if (error)
        boot_die(error);
    smp_boot_cpu_init();
    boot_switch_stack(percpu_of(0)->info, boot_on_own_stack);
}

void boot_on_own_stack(void)
{
    desc_init_idt();
    desc_load(percpu_of(0));
    cpu_enable_features();
    kmain(&boot_info);
}
