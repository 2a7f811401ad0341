/*
 * BLAKE2b with a digest of 32 bytes and no key (RFC 7693), what `b2sum -l 256` prints: names a kernel file by its
 * bytes. A third of the instructions of SHA-256.
 */
#include <stdint.h>
#include <string.h>
#include "internal.h"

#define BLOCK 128

static const uint64_t start[8] = {0x6a09e667f3bcc908, 0xbb67ae8584caa73b, 0x3c6ef372fe94f82b,
                                  0xa54ff53a5f1d36f1, 0x510e527fade682d1, 0x9b05688c2b3e6c1f,
                                  0x1f83d9abfb41bd6b, 0x5be0cd19137e2179};

/* Which words of the block a round takes. */
static const uint8_t order[10][16] = {
    {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
    {14, 10, 4, 8, 9, 15, 13, 6, 1, 12, 0, 2, 11, 7, 5, 3},
    {11, 8, 12, 0, 5, 2, 15, 13, 10, 14, 3, 6, 7, 1, 9, 4},
    {7, 9, 3, 1, 13, 12, 11, 14, 2, 6, 5, 10, 4, 0, 15, 8},
    {9, 0, 5, 7, 2, 4, 10, 15, 14, 1, 11, 12, 6, 8, 3, 13},
    {2, 12, 6, 10, 0, 11, 8, 3, 4, 13, 7, 5, 15, 14, 1, 9},
    {12, 5, 1, 15, 14, 13, 4, 10, 0, 7, 6, 3, 9, 2, 8, 11},
    {13, 11, 7, 14, 12, 1, 3, 9, 5, 0, 15, 4, 8, 6, 2, 10},
    {6, 15, 14, 9, 11, 3, 0, 8, 12, 2, 13, 7, 1, 4, 10, 5},
    {10, 2, 8, 4, 7, 6, 1, 5, 15, 11, 9, 14, 3, 12, 13, 0},
};

static inline uint64_t turned(uint64_t x, unsigned int bits)
{
    return x >> bits | x << (64 - bits);
}

static inline void mix(uint64_t *a, uint64_t *b, uint64_t *c, uint64_t *d, uint64_t x, uint64_t y)
{
    *a += *b + x;
    *d = turned(*d ^ *a, 32);
    *c += *d;
    *b = turned(*b ^ *c, 24);
    *a += *b + y;
    *d = turned(*d ^ *a, 16);
    *c += *d;
    *b = turned(*b ^ *c, 63);
}

static void add_block(uint64_t h[8], const uint8_t *block, uint64_t length, bool last)
{
    uint64_t m[16], v[16];

    memcpy(m, block, sizeof(m));
    memcpy(v, h, sizeof(start));
    memcpy(v + 8, start, sizeof(start));
    v[12] ^= length;
    v[14] ^= last ? ~0UL : 0;
#pragma GCC unroll 12
    for (unsigned int round = 0; round < 12; round++) {
        const uint8_t *o = order[round % 10];

        mix(&v[0], &v[4], &v[8], &v[12], m[o[0]], m[o[1]]);
        mix(&v[1], &v[5], &v[9], &v[13], m[o[2]], m[o[3]]);
        mix(&v[2], &v[6], &v[10], &v[14], m[o[4]], m[o[5]]);
        mix(&v[3], &v[7], &v[11], &v[15], m[o[6]], m[o[7]]);
        mix(&v[0], &v[5], &v[10], &v[15], m[o[8]], m[o[9]]);
        mix(&v[1], &v[6], &v[11], &v[12], m[o[10]], m[o[11]]);
        mix(&v[2], &v[7], &v[8], &v[13], m[o[12]], m[o[13]]);
        mix(&v[3], &v[4], &v[9], &v[14], m[o[14]], m[o[15]]);
    }
    for (unsigned int i = 0; i < 8; i++)
        h[i] ^= v[i] ^ v[i + 8];
}

void blake2b_256(const uint8_t *data, size_t size, uint8_t out[32])
{
    uint64_t h[8];
    uint8_t rest[BLOCK] = {0};
    size_t done = 0;

    memcpy(h, start, sizeof(h));
    h[0] ^= 0x01010000 | 32;
    for (; size - done > BLOCK; done += BLOCK)
        add_block(h, data + done, done + BLOCK, false);
    memcpy(rest, data + done, size - done);
    add_block(h, rest, size, true);
    memcpy(out, h, 32);
}
