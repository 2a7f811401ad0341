/*
 * Memory and string functions for the hypervisor. The host build uses the C library's and tests these under
 * other names.
 *
 * Words are accessed through a volatile packed type: any alignment is fine on this machine, and the compiler
 * cannot turn the loops back into calls of the functions that they implement.
 */
#include <bh/string.h>
#include <bh/types.h>

struct word {
    uint64_t v;
} __attribute__((__packed__, __may_alias__));

#define WORD(p, i) (((volatile struct word *)(p))[i].v)
#define BYTE(p, i) (((volatile unsigned char *)(p))[i])

void *memcpy(void *dst, const void *src, size_t n)
{
    char *d = dst;
    const char *s = src;

    for (; n >= 64; n -= 64, d += 64, s += 64) {
        WORD(d, 0) = WORD(s, 0);
        WORD(d, 1) = WORD(s, 1);
        WORD(d, 2) = WORD(s, 2);
        WORD(d, 3) = WORD(s, 3);
        WORD(d, 4) = WORD(s, 4);
        WORD(d, 5) = WORD(s, 5);
        WORD(d, 6) = WORD(s, 6);
        WORD(d, 7) = WORD(s, 7);
    }
    for (; n >= 8; n -= 8, d += 8, s += 8)
        WORD(d, 0) = WORD(s, 0);
    for (; n; n--, d++, s++)
        BYTE(d, 0) = BYTE(s, 0);
    return dst;
}

void *memmove(void *dst, const void *src, size_t n)
{
    char *d = dst;
    const char *s = src;

    if (d <= s || d >= s + n)
        return memcpy(dst, src, n);
    while (n--)
        BYTE(d, n) = BYTE(s, n);
    return dst;
}

void *memset(void *dst, int c, size_t n)
{
    uint64_t word = 0x0101010101010101UL * (unsigned char)c;
    char *d = dst;

    for (; n >= 64; n -= 64, d += 64) {
        WORD(d, 0) = word;
        WORD(d, 1) = word;
        WORD(d, 2) = word;
        WORD(d, 3) = word;
        WORD(d, 4) = word;
        WORD(d, 5) = word;
        WORD(d, 6) = word;
        WORD(d, 7) = word;
    }
    for (; n >= 8; n -= 8, d += 8)
        WORD(d, 0) = word;
    for (; n; n--, d++)
        BYTE(d, 0) = (unsigned char)c;
    return dst;
}

int memcmp(const void *a, const void *b, size_t n)
{
    const unsigned char *x = a, *y = b;

    for (size_t i = 0; i < n; i++)
        if (x[i] != y[i])
            return x[i] < y[i] ? -1 : 1;
    return 0;
}

void *memchr(const void *s, int c, size_t n)
{
    const unsigned char *p = s;

    for (; n; n--, p++)
        if (*p == (unsigned char)c)
            return (void *)p;
    return NULL;
}

size_t strlen(const char *s)
{
    size_t n = 0;

    while (BYTE(s, n))
        n++;
    return n;
}

size_t strnlen(const char *s, size_t max)
{
    size_t n = 0;

    while (n < max && BYTE(s, n))
        n++;
    return n;
}

int strcmp(const char *a, const char *b)
{
    while (*a && *a == *b)
        a++, b++;
    return (int)(unsigned char)*a - (int)(unsigned char)*b;
}

int strncmp(const char *a, const char *b, size_t n)
{
    while (n && *a && *a == *b)
        a++, b++, n--;
    return n ? (int)(unsigned char)*a - (int)(unsigned char)*b : 0;
}

char *strchr(const char *s, int c)
{
    for (; *s != (char)c; s++)
        if (!*s)
            return NULL;
    return (char *)s;
}

char *strstr(const char *haystack, const char *needle)
{
    size_t n = strlen(needle);

    for (; *haystack || !n; haystack++)
        if (!strncmp(haystack, needle, n))
            return (char *)haystack;
    return NULL;
}
