#include "services.h"

char *fe_text(char *out, size_t bytes, const char *a, const char *b, const char *c)
{
    const char *part[3] = {a, b, c};
    size_t used = 0;
    for (int i = 0; i < 3; i++)
        for (const char *p = part[i]; p && *p && used + 1 < bytes; p++)
            out[used++] = *p;
    out[used] = '\0';
    return out;
}

char *fe_number(char *out, size_t bytes, uint64_t value)
{
    char digits[24];
    size_t n = 0, used = 0;
    do
        digits[n++] = (char)('0' + value % 10);
    while (value /= 10);
    while (n && used + 1 < bytes)
        out[used++] = digits[--n];
    out[used] = '\0';
    return out;
}

bool fe_parse(const char *text, uint64_t *value)
{
    uint64_t result = 0;
    if (*text < '0' || *text > '9')
        return false;
    for (; *text >= '0' && *text <= '9'; text++)
        result = result * 10 + (uint64_t)(*text - '0');
    *value = result;
    return *text == '\0';
}
