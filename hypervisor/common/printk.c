/*
 * Messages: formatting, thresholds, rate limits for what guests cause, and panic. Where the text goes is
 * common/console.c's business.
 */
#include <bh/printk.h>
#include <bh/console.h>
#include <bh/arch.h>
#include <bh/string.h>

enum log_level log_threshold = LOG_INFO;

#define MESSAGE_MAX 480 /* on the stack: longer messages are cut */

/* Output of the formatter: counts everything, stores what fits. */
struct out {
    char *buf;
    size_t size, len;
};

static void put(struct out *o, char c)
{
    if (o->len + 1 < o->size)
        o->buf[o->len] = c;
    o->len++;
}

struct spec {
    bool left, zero, alternate, upper;
    int width, precision; /* precision -1: none */
};

static void put_padded(struct out *o, const struct spec *s, const char *text, size_t len)
{
    for (int i = (int)len; !s->left && i < s->width; i++)
        put(o, ' ');
    for (size_t i = 0; i < len; i++)
        put(o, text[i]);
    for (int i = (int)len; s->left && i < s->width; i++)
        put(o, ' ');
}

static void put_number(struct out *o, const struct spec *s, uint64_t value, unsigned int base, bool negative)
{
    const char *digits = s->upper ? "0123456789ABCDEF" : "0123456789abcdef";
    char text[80], *end = text + sizeof(text), *p = end, *first = text + 8;
    int min = s->precision < 0 ? 1 : s->precision;

    for (uint64_t rest = value; rest; rest /= base)
        *--p = digits[rest % base];
    if (s->zero && !s->left && s->precision < 0) {
        min = s->width - negative;
        if (s->alternate && base == 16)
            min -= 2;
    }
    while (end - p < min && p > first)
        *--p = '0';
    if (s->alternate && base == 16 && value) {
        *--p = s->upper ? 'X' : 'x';
        *--p = '0';
    }
    if (negative)
        *--p = '-';
    put_padded(o, s, p, (size_t)(end - p));
}

static uint64_t integer_argument(va_list *args, int length, bool is_signed)
{
    switch (length) {
    case -2:
        return is_signed ? (uint64_t)(int8_t)va_arg(*args, int) : (uint8_t)va_arg(*args, unsigned int);
    case -1:
        return is_signed ? (uint64_t)(int16_t)va_arg(*args, int) : (uint16_t)va_arg(*args, unsigned int);
    case 0:
        return is_signed ? (uint64_t)va_arg(*args, int) : va_arg(*args, unsigned int);
    default:
        return va_arg(*args, uint64_t);
    }
}

/* Reads flags, width, precision and length after a '%'; returns where the conversion letter stands. */
static const char *parse_spec(const char *p, struct spec *s, int *length, va_list *args)
{
    *s = (struct spec){.precision = -1};
    for (;; p++) {
        if (*p == '-')
            s->left = true;
        else if (*p == '0')
            s->zero = true;
        else if (*p == '#')
            s->alternate = true;
        else
            break;
    }
    if (*p == '*') {
        s->width = va_arg(*args, int);
        p++;
    }
    for (; *p >= '0' && *p <= '9'; p++)
        s->width = s->width * 10 + (*p - '0');
    if (*p == '.') {
        s->precision = 0;
        if (*++p == '*') {
            s->precision = va_arg(*args, int);
            p++;
        }
        for (; *p >= '0' && *p <= '9'; p++)
            s->precision = s->precision * 10 + (*p - '0');
    }
    *length = 0;
    for (;; p++) {
        if (*p == 'l')
            (*length)++;
        else if (*p == 'h')
            (*length)--;
        else if (*p == 'z')
            *length = 1;
        else
            return p;
    }
}

static void put_string(struct out *o, const struct spec *s, const char *text)
{
    if (!text)
        text = "(null)";
    put_padded(o, s, text, s->precision < 0 ? strlen(text) : strnlen(text, (size_t)s->precision));
}

static void put_conversion(struct out *o, struct spec *s, char c, int length, va_list *args)
{
    uint64_t v;
    char ch;

    switch (c) {
    case 'd':
    case 'i':
        v = integer_argument(args, length, true);
        put_number(o, s, (int64_t)v < 0 ? -v : v, 10, (int64_t)v < 0);
        break;
    case 'u':
        put_number(o, s, integer_argument(args, length, false), 10, false);
        break;
    case 'X':
    case 'x':
        s->upper = c == 'X';
        put_number(o, s, integer_argument(args, length, false), 16, false);
        break;
    case 'p':
        s->precision = 16;
        put_number(o, s, (uintptr_t)va_arg(*args, void *), 16, false);
        break;
    case 'c':
        ch = (char)va_arg(*args, int);
        put_padded(o, s, &ch, 1);
        break;
    case 's':
        put_string(o, s, va_arg(*args, const char *));
        break;
    default:
        put(o, '%');
        if (c && c != '%')
            put(o, c);
        break;
    }
}

int bh_vsnprintf(char *buf, size_t size, const char *fmt, va_list args)
{
    struct out o = {buf, size, 0};
    struct spec s;
    va_list ap;
    int length;

    va_copy(ap, args);
    while (*fmt) {
        if (*fmt != '%') {
            put(&o, *fmt++);
            continue;
        }
        fmt = parse_spec(fmt + 1, &s, &length, &ap);
        put_conversion(&o, &s, *fmt, length, &ap);
        if (*fmt)
            fmt++;
    }
    va_end(ap);
    if (size)
        buf[MIN(o.len, size - 1)] = '\0';
    return (int)o.len;
}

int bh_snprintf(char *buf, size_t size, const char *fmt, ...)
{
    va_list args;
    int n;

    va_start(args, fmt);
    n = bh_vsnprintf(buf, size, fmt, args);
    va_end(args);
    return n;
}

/* Every line of the message starts with the prefix, and the message ends with a newline. */
void vprintk(enum log_level level, const char *prefix, const char *fmt, va_list args)
{
    char text[MESSAGE_MAX + 1];
    int len;

    if (level > log_threshold)
        return;
    len = bh_snprintf(text, MESSAGE_MAX, "(BH) %s", prefix);
    if (len < MESSAGE_MAX)
        len += bh_vsnprintf(text + len, (size_t)(MESSAGE_MAX - len), fmt, args);
    if (len >= MESSAGE_MAX)
        len = MESSAGE_MAX - 1;
    if (text[len - 1] != '\n')
        text[len++] = '\n';
    console_write(text, (size_t)len);
}

void printk(enum log_level level, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vprintk(level, "", fmt, args);
    va_end(args);
}

bool log_limit_pass(struct log_limit *l)
{
    uint64_t now = arch_now();

    if (now - l->window_start > LOG_LIMIT_WINDOW) {
        l->window_start = now;
        l->used = 0;
    }
    if (l->used == LOG_LIMIT_LINES)
        return false;
    l->used++;
    return true;
}

void panic(const char *fmt, ...)
{
    va_list args;

    console_force();
    va_start(args, fmt);
    vprintk(LOG_ERROR, "Panic: ", fmt, args);
    va_end(args);
    arch_fatal();
}
