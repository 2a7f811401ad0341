/* Command lines of any bytes: no access out of bounds, and values stay in the ranges that the table promises.
 */
#include <stdlib.h>
#include <string.h>
#include <bh/cmdline.h>
#include <bh/console.h>
#include <bh/printk.h>
#include <bh/arch.h>
#include <bh/domain.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What printk.c needs of the rest. */
void console_write(const char *text, size_t len)
{
    if (!len || text[len - 1] != '\n')
        abort();
}

void console_force(void)
{
}

uint64_t arch_now(void)
{
    return 0;
}

void arch_fatal(void)
{
    abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct options defaults;
    static bool saved;
    char *text = malloc(size + 1);

    if (!saved) {
        defaults = options;
        saved = true;
    }
    options = defaults;
    memcpy(text, data, size);
    text[size] = '\0';
    cmdline_apply(text);
    cmdline_report();
    free(text);
    if (options.maxcpus > NR_CPUS || options.dom0_max_vcpus_min > options.dom0_max_vcpus ||
        options.dom0_max_vcpus > 128 || !options.sched_credit_tslice_ms ||
        options.sched_credit_tslice_ms > 1000 || options.xpti.dom0 > CHOICE_DEFAULT ||
        options.pv_l1tf.domu > CHOICE_DEFAULT || options.bhb_entry > CHOICE_DEFAULT)
        abort();
    for (int i = 0; i < 2; i++)
        if (options.com[i].data_bits < 5 || options.com[i].data_bits > 8 || options.com[i].baud > 115200)
            abort();
    return 0;
}
