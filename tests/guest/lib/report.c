/*
 * Printing through console_io, properties and the verdict. A line is gathered whole before it is written, so
 * that the hypervisor's own lines cannot fall into its middle.
 */
#include "guest.h"

static unsigned int held, broken, skipped_count;

static void put(char **at, char *end, char c)
{
    if (*at < end)
        *(*at)++ = c;
}

static void put_number(char **at, char *end, uint64_t value, unsigned int base, int width, char pad)
{
    char digits[24];
    int n = 0;

    do
        digits[n++] = "0123456789abcdef"[value % base];
    while ((value /= base) != 0);
    for (; width > n; width--)
        put(at, end, pad);
    while (n > 0)
        put(at, end, digits[--n]);
}

/* Enough of printf: %s %c %d %u %x %p with l, zero padding and width. */
static char *format_text(char *at, char *end, const char *format, va_list args)
{
    for (; *format; format++) {
        bool is_long = false;
        char pad = ' ';
        int width = 0;

        if (*format != '%') {
            put(&at, end, *format);
            continue;
        }
        if (*++format == '0')
            pad = '0';
        for (; *format >= '0' && *format <= '9'; format++)
            width = width * 10 + *format - '0';
        for (; *format == 'l' || *format == 'z'; format++)
            is_long = true;
        if (*format == 's') {
            for (const char *s = va_arg(args, const char *); *s; s++)
                put(&at, end, *s);
        } else if (*format == 'c') {
            put(&at, end, (char)va_arg(args, int));
        } else if (*format == 'd') {
            int64_t value = is_long ? va_arg(args, long) : va_arg(args, int);
            if (value < 0)
                put(&at, end, '-');
            put_number(&at, end, value < 0 ? -(uint64_t)value : (uint64_t)value, 10, width, pad);
        } else if (*format == 'u' || *format == 'x') {
            uint64_t value = is_long ? va_arg(args, unsigned long) : va_arg(args, unsigned int);
            put_number(&at, end, value, *format == 'u' ? 10 : 16, width, pad);
        } else if (*format == 'p') {
            put_number(&at, end, (uint64_t)va_arg(args, void *), 16, 16, '0');
        } else {
            put(&at, end, *format);
        }
    }
    return at;
}

static void write_console(const char *text, size_t length)
{
    hypercall(__HYPERVISOR_console_io, CONSOLEIO_write, length, (uint64_t)text, 0, 0);
}

void print(const char *format, ...)
{
    char line[512];
    va_list args;

    va_start(args, format);
    write_console(line, (size_t)(format_text(line, line + sizeof(line), format, args) - line));
    va_end(args);
}

bool property(bool holds, const char *name, const char *format, ...)
{
    char line[512], *at = line, *end = line + sizeof(line) - 1;
    const char *start = holds ? "PROPERTY passed " : "PROPERTY failed ";
    va_list args;

    *(holds ? &held : &broken) += 1;
    while (*start)
        put(&at, end, *start++);
    while (*name)
        put(&at, end, *name++);
    if (!holds) {
        put(&at, end, ':');
        put(&at, end, ' ');
        va_start(args, format);
        at = format_text(at, end, format, args);
        va_end(args);
    }
    *at++ = '\n';
    write_console(line, (size_t)(at - line));
    return holds;
}

void skipped(const char *name, const char *why)
{
    skipped_count++;
    print("PROPERTY skipped %s: %s\n", name, why);
}

static _Noreturn void end_with(const char *word)
{
    sched_shutdown_t shutdown = {.reason = SHUTDOWN_poweroff};

    print("VERDICT %s\n", word);
    sched_op(SCHEDOP_shutdown, &shutdown);
    for (;;)
        sched_op(SCHEDOP_block, NULL);
}

void test_error(const char *why)
{
    print("PROPERTY error %s\n", why);
    end_with("error");
}

void test_end(void)
{
    print("%u held, %u did not, %u skipped\n", held, broken, skipped_count);
    end_with(broken ? "failed" : held ? "passed" : skipped_count ? "skipped" : "error");
}
