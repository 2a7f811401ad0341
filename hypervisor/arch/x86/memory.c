/*
 * Copying and filling memory, with the processor's string instructions where it is more than a few words: one
 * instruction a word, and microcode that moves whole cache lines. Tested on the host under other names.
 */
#include <bh/string.h>
#include <bh/types.h>

#define STRING_MIN 64 /* bytes; below, the instructions' start-up costs more than it saves */

struct word {
    uint64_t v;
} __attribute__((__packed__, __may_alias__));

/* Volatile, so that the compiler does not make these loops calls of the functions that they stand in. */
#define WORD(p) (((volatile struct word *)(p))->v)
#define BYTE(p) (*(volatile unsigned char *)(p))

void *memcpy(void *dst, const void *src, size_t n)
{
    char *d = dst;
    const char *s = src;

    if (n >= STRING_MIN) {
        size_t words = n / 8;

        __asm__ volatile("rep movsq" : "+D"(d), "+S"(s), "+c"(words) : : "memory");
        n &= 7;
    }
    for (; n >= 8; n -= 8, d += 8, s += 8)
        WORD(d) = WORD(s);
    for (; n; n--, d++, s++)
        BYTE(d) = BYTE(s);
    return dst;
}

void *memmove(void *dst, const void *src, size_t n)
{
    char *d = dst;
    const char *s = src;

    if (d <= s || d >= s + n)
        return memcpy(dst, src, n);
    while (n--)
        BYTE(d + n) = BYTE(s + n);
    return dst;
}

void *memset(void *dst, int c, size_t n)
{
    uint64_t word = 0x0101010101010101UL * (unsigned char)c;
    char *d = dst;

    if (n >= STRING_MIN) {
        size_t words = n / 8;

        __asm__ volatile("rep stosq" : "+D"(d), "+c"(words) : "a"(word) : "memory");
        n &= 7;
    }
    for (; n >= 8; n -= 8, d += 8)
        WORD(d) = word;
    for (; n; n--, d++)
        BYTE(d) = (unsigned char)c;
    return dst;
}
