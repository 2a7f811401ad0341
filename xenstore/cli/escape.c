/* Values as text: printable characters as they are, the rest as \t \n \r \\ or \ooo. Reading also takes \xHH.
 */
#include "tool.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

char *escape_value(const char *value, unsigned int len)
{
    static const char from[] = "\t\n\r\\", to[] = "tnr\\";
    char *out = malloc(len * 4 + 1), *at = out;

    for (unsigned int i = 0; out && i < len; i++) {
        const char *special = value[i] ? strchr(from, value[i]) : NULL;

        if (special) {
            *at++ = '\\';
            *at++ = to[special - from];
        } else if (value[i] >= ' ' && value[i] <= '~') {
            *at++ = value[i];
        } else {
            at += sprintf(at, "\\%03o", (unsigned char)value[i]);
        }
    }
    if (out) {
        *at = '\0';
    }
    return out;
}

static unsigned int digits(const char **in, unsigned base, unsigned max)
{
    unsigned int v = 0;

    for (unsigned i = 0; i < max; i++, (*in)++) {
        char c = **in;
        unsigned d = c >= '0' && c <= '9'   ? (unsigned)(c - '0')
                     : c >= 'a' && c <= 'f' ? (unsigned)(c - 'a') + 10
                     : c >= 'A' && c <= 'F' ? (unsigned)(c - 'A') + 10
                                            : 99;

        if (d >= base) {
            break;
        }
        v = v * base + d;
    }
    return v;
}

unsigned int unescape_value(char *value)
{
    const char *in = value;
    char *out = value;

    while (*in) {
        if (*in != '\\' || !in[1]) {
            *out++ = *in++;
            continue;
        }
        in++;
        switch (*in) {
        case 't':
            *out++ = '\t';
            in++;
            break;
        case 'n':
            *out++ = '\n';
            in++;
            break;
        case 'r':
            *out++ = '\r';
            in++;
            break;
        case 'x':
            in++;
            *out++ = (char)digits(&in, 16, 2);
            break;
        case '0' ... '7':
            *out++ = (char)digits(&in, 8, 3);
            break;
        default:
            *out++ = *in++;
        }
    }
    *out = '\0';
    return (unsigned int)(out - value);
}
