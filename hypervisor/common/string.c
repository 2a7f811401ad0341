/*
 * String functions for the hypervisor, and comparing memory; copying and filling are the machine's
 * (arch/x86/memory.c). The host build uses the C library's and tests these under other names.
 */
#include <bh/string.h>
#include <bh/types.h>

/* Volatile, so that the compiler does not make these loops calls of the functions that they stand in. */
#define BYTE(p, i) (((volatile const unsigned char *)(p))[i])

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

int strncmp(const char *a, const char *b, size_t n)
{
    while (n && *a && *a == *b)
        a++, b++, n--;
    return n ? (int)(unsigned char)*a - (int)(unsigned char)*b : 0;
}
