/*
 * Files in the .xz format, as kernels are packed: any number of blocks, each LZMA2 with or without the x86
 * filter, unpacked in one go into memory that is there. Freestanding: used by the hypervisor at boot and by
 * the toolstack. Sources: tukaani.org, "The .xz File Format" 1.1.0; the LZMA SDK's lzma-specification.txt.
 */
#ifndef BH_XZ_H
#define BH_XZ_H

#include <bh/types.h>

enum {
    LZMA_STATES = 12,
    LZMA_POSITIONS = 16,
    LZMA_LITERAL_BITS = 4, /* LZMA2's limit of literal context and position bits together */
    LZMA_ONE = 2048,       /* a probability of one */
};

struct lzma_lengths {
    uint16_t over_low, over_middle, low[LZMA_POSITIONS][8], middle[LZMA_POSITIONS][8], high[256];
};

/* The probabilities, of LZMA_ONE, that the next bit of its kind is 0. */
struct lzma_model {
    uint16_t is_match[LZMA_STATES][LZMA_POSITIONS], is_repeat[LZMA_STATES], not_first[LZMA_STATES],
        not_second[LZMA_STATES], not_third[LZMA_STATES], is_long[LZMA_STATES][LZMA_POSITIONS];
    uint16_t slot[4][64], distance_low[128], distance_aligned[16];
    struct lzma_lengths match, repeat;
    struct {
        uint16_t plain[0x100], guessed[0x200];
    } literal[1 << LZMA_LITERAL_BITS];
};

/* Words anywhere in memory. */
typedef uint64_t aligned(1) __attribute__((may_alias)) lzma_word_t;
typedef uint32_t aligned(1) __attribute__((may_alias)) lzma_word32_t;

/* What a decoder works in. The caller sets the four fields marked so before each block. */
struct lzma2 {
    const uint8_t *in, *in_end; /* set: the packed bytes; in moves to what follows them */
    uint8_t *out, *out_end;     /* set: room; out moves to the end of what was written */
    uint8_t *dictionary;        /* its first byte */
    uint32_t position_mask, literal_mask, literal_shift;
    uint32_t state, last[4];     /* the last four distances, each less one */
    uint8_t least_control;       /* of the next packed chunk: it has to reset what is not known yet */
    uint16_t after[2][LZMA_ONE]; /* what a probability becomes after a 0, after a 1 */
    struct lzma_model model;
};

/* Decodes one string of chunks up to and with its end mark. False: it is damaged, or ends early. */
bool must_check lzma2_decode(struct lzma2 *s);

/* Where one string of chunks ends, its unpacked bytes added to *total; NULL: it is damaged, or ends early. */
const uint8_t *must_check lzma2_skip(const uint8_t *in, const uint8_t *end, uint64_t *total);

/* Bytes that a file unpacks to; 0: it is damaged. Cheap: of the packed data only the chunks' heads are read. */
uint64_t xz_unpacked_size(const uint8_t *file, uint64_t size);

/*
 * Unpacks a file into `to`, which it has to fill exactly; what follows its last block is left alone. Returns
 * NULL or a sentence that says what is wrong. Nothing to release: `work` is the caller's.
 */
const char *must_check xz_unpack(struct lzma2 *work, const uint8_t *file, uint64_t size, uint8_t *to,
                                 uint64_t room);

#endif
