/*
 * LZMA2: chunks, each stored or packed by LZMA, of one dictionary, which is the output itself.
 *
 * A packed chunk is a string of yes/no decisions, each with a probability that learns: the range coder's code
 * lies in the lower part of its range (0) or in the upper one (1). Nearly all time goes into decide(), so the
 * coder is a local object that the compiler keeps in registers, and what a probability learns is looked up.
 * Input is hostile: a read beyond the chunk gives 0 and is noticed at its end, when more was taken than was
 * there; output is checked before each symbol, which bounds the work too.
 */
#include <bh/string.h>
#include <bh/xz.h>

#define inline_always static inline __attribute__((always_inline))

enum {
    FIRST_BYTES = 5, /* of a packed chunk: a 0, then the first code */
    LEAST_RANGE = 1 << 24,
    AFTER_LITERAL = 7, /* below: states after a literal */
    WORD = 8,
};

enum {
    STORED_NEW_DICTIONARY = 1,
    STORED = 2,
    PACKED = 0x80,
    NEW_STATE = 0xa0,
    NEW_PROPERTIES = 0xc0,
    NEW_DICTIONARY = 0xe0
};

/* What a state becomes. It tells what the last symbols were: below AFTER_LITERAL the last was a literal. */
static const uint8_t after_literal[LZMA_STATES] = {0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 4, 5};
static const uint8_t after_match[LZMA_STATES] = {7, 7, 7, 7, 7, 7, 7, 10, 10, 10, 10, 10};
static const uint8_t after_repeat[LZMA_STATES] = {8, 8, 8, 8, 8, 8, 8, 11, 11, 11, 11, 11};
static const uint8_t after_short[LZMA_STATES] = {9, 9, 9, 9, 9, 9, 9, 11, 11, 11, 11, 11};

struct coder {
    const uint8_t *in, *end;
    uint32_t range, code;
    bool beyond; /* more was wanted than is there */
};

/* After each decision: a range that became small takes the next byte in. */
inline_always void refill(struct coder *c)
{
    if (unlikely(c->range < LEAST_RANGE)) {
        c->range <<= 8;
        c->code <<= 8;
        if (likely(c->in < c->end))
            c->code |= *c->in++;
        else
            c->beyond = true;
    }
}

inline_always bool decide(struct lzma2 *s, struct coder *c, uint16_t *probability)
{
    uint32_t p = *probability, bound = c->range / LZMA_ONE * p;

    if (c->code < bound) {
        *probability = s->after[0][p];
        c->range = bound;
        refill(c);
        return false;
    }
    *probability = s->after[1][p];
    c->range -= bound;
    c->code -= bound;
    refill(c);
    return true;
}

/*
 * Some steps down a binary tree, whose root is node 1 and where node n leads to 2n or 2n + 1. Both ways go on in
 * code of their own, where the node is a constant or a constant away from the first.
 */
inline_always size_t down_1(struct lzma2 *s, struct coder *c, uint16_t *tree, size_t node)
{
    return decide(s, c, tree + node) ? 2 * node + 1 : 2 * node;
}

inline_always size_t down_2(struct lzma2 *s, struct coder *c, uint16_t *tree, size_t node)
{
    return decide(s, c, tree + node) ? down_1(s, c, tree, 2 * node + 1) : down_1(s, c, tree, 2 * node);
}

inline_always size_t down_3(struct lzma2 *s, struct coder *c, uint16_t *tree, size_t node)
{
    return decide(s, c, tree + node) ? down_2(s, c, tree, 2 * node + 1) : down_2(s, c, tree, 2 * node);
}

inline_always size_t down_4(struct lzma2 *s, struct coder *c, uint16_t *tree, size_t node)
{
    return decide(s, c, tree + node) ? down_3(s, c, tree, 2 * node + 1) : down_3(s, c, tree, 2 * node);
}

inline_always size_t down_to(struct lzma2 *s, struct coder *c, uint16_t *tree, size_t node, size_t end)
{
    while (node < end)
        node = down_1(s, c, tree, node);
    return node;
}

inline_always uint8_t literal(struct lzma2 *s, struct coder *c, const uint8_t *out, uint32_t position)
{
    uint32_t before = position ? out[-1] : 0;
    uint32_t context = ((position << 8 | before) & s->literal_mask) >> s->literal_shift;
    uint16_t *tree = s->model.literal[context].plain;
    uint32_t state = s->state;

    s->state = after_literal[state];
    if (state < AFTER_LITERAL)
        return (uint8_t)down_4(s, c, tree, down_4(s, c, tree, 1));
    /* After a match: the byte that would have gone on with it tells much, until it first differs. */
    uint32_t guess = 0x100U | out[-(int64_t)s->last[0] - 1];
    size_t node = 0;
#pragma GCC unroll 8
    for (int shift = 7; shift >= 0; shift--) {
        node = guess >> shift;
        if (decide(s, c, s->model.literal[context].guessed + node) != (node & 1)) {
            node ^= 1;
            break;
        }
    }
    return (uint8_t)down_to(s, c, tree, node, 0x100);
}

inline_always uint32_t length(struct lzma2 *s, struct coder *c, struct lzma_lengths *model, uint32_t position)
{
    if (!decide(s, c, &model->over_low))
        return 2 + (uint32_t)down_3(s, c, model->low[position], 1) - 8;
    if (!decide(s, c, &model->over_middle))
        return 10 + (uint32_t)down_3(s, c, model->middle[position], 1) - 8;
    return 18 + (uint32_t)down_4(s, c, model->high, down_4(s, c, model->high, 1)) - 256;
}

/* A tree of up to five steps that gives the lowest bit first, as the low bits of distances come. */
inline_always uint32_t reversed(size_t node, uint32_t bits)
{
    static const uint8_t reverse[32] = {0, 16, 8, 24, 4, 20, 12, 28, 2, 18, 10, 26, 6, 22, 14, 30,
                                        1, 17, 9, 25, 5, 21, 13, 29, 3, 19, 11, 27, 7, 23, 15, 31};

    return reverse[node & 31] >> (5 - bits);
}

/* A distance, less one: six bits say its size and first bits; the lowest four of a far one have a model again. */
inline_always uint32_t distance(struct lzma2 *s, struct coder *c, uint32_t length)
{
    uint16_t *tree = s->model.slot[MIN(length - 2, 3U)];
    uint32_t slot = (uint32_t)down_3(s, c, tree, down_3(s, c, tree, 1)) - 64;

    if (slot < 4)
        return slot;
    uint32_t bits = slot / 2 - 1, top = 2 | (slot & 1);
    if (slot < 14) {
        tree = s->model.distance_low + (top << bits) - slot;
        size_t node = down_to(s, c, tree, 1, 1U << bits);
        return (top << bits) + reversed(node ^ 1U << bits, bits);
    }
    for (bits -= 4; bits; bits--) {
        c->range >>= 1;
        c->code -= c->range;
        uint32_t lower = 0 - (c->code >> 31); /* all ones if so; half of the branches would go wrong */
        top = 2 * top + 1 + lower;
        c->code += c->range & lower;
        refill(c);
    }
    return (top << 4) + reversed(down_4(s, c, s->model.distance_aligned, 1) ^ 16, 4);
}

/* The distance of a match that repeats one of the last four, moved to their front. False: a single byte. */
inline_always bool repeated(struct lzma2 *s, struct coder *c, uint32_t position)
{
    struct lzma_model *m = &s->model;
    uint32_t *last = s->last, found;

    if (!decide(s, c, &m->not_first[s->state]))
        return decide(s, c, &m->is_long[s->state][position]);
    if (!decide(s, c, &m->not_second[s->state])) {
        found = last[1];
    } else {
        if (!decide(s, c, &m->not_third[s->state])) {
            found = last[2];
        } else {
            found = last[3];
            last[3] = last[2];
        }
        last[2] = last[1];
    }
    last[1] = last[0];
    last[0] = found;
    return true;
}

/* Copies `count` bytes from `distance` before `to`; up to a word more is written, if there is room for one. */
inline_always void copy_match(uint8_t *to, const uint8_t *limit, uint32_t distance, uint32_t count)
{
    const uint8_t *from = to - distance, *end = to + count;

    if (unlikely(limit - end < WORD)) {
        while (to < end)
            *to++ = *from++;
        return;
    }
    if (distance >= WORD) {
        for (; to < end; to += WORD, from += WORD)
            *(lzma_word_t *)to = *(const lzma_word_t *)from;
        return;
    }
    /* Its period fills a word; on by as many whole periods as a word holds. */
    static const uint64_t fill[WORD] = {0,
                                        ~0UL / 0xff,
                                        ~0UL / 0xffff,
                                        0x0001000001000001,
                                        1 | 1UL << 32,
                                        1 | 1UL << 40,
                                        1 | 1UL << 48,
                                        1 | 1UL << 56};
    static const uint8_t whole[WORD] = {0, 8, 8, 6, 8, 5, 6, 7};
    uint64_t word = (*(const lzma_word_t *)from & ((1UL << 8 * distance) - 1)) * fill[distance];
    for (uint32_t step = whole[distance]; to < end; to += step)
        *(lzma_word_t *)to = word;
}

/* One chunk of `size` packed bytes, which become the bytes up to `limit`. */
static bool decode_chunk(struct lzma2 *s, uint32_t size, uint8_t *limit)
{
    struct coder c = {.in = s->in + 1, .end = s->in + size, .range = UINT32_MAX};
    uint8_t *out = s->out;

    while (c.in < s->in + FIRST_BYTES)
        c.code = c.code << 8 | *c.in++;
    while (out < limit) {
        uint32_t position = (uint32_t)(out - s->dictionary), aligned = position & s->position_mask, count = 1;

        if (!decide(s, &c, &s->model.is_match[s->state][aligned])) {
            if (s->state >= AFTER_LITERAL && s->last[0] >= position)
                return false;
            *out = literal(s, &c, out, position);
            out++;
            continue;
        }
        if (!decide(s, &c, &s->model.is_repeat[s->state])) {
            count = length(s, &c, &s->model.match, aligned);
            s->last[3] = s->last[2];
            s->last[2] = s->last[1];
            s->last[1] = s->last[0];
            s->last[0] = distance(s, &c, count);
            s->state = after_match[s->state];
        } else if (repeated(s, &c, aligned)) {
            count = length(s, &c, &s->model.repeat, aligned);
            s->state = after_repeat[s->state];
        } else {
            s->state = after_short[s->state];
        }
        if (s->last[0] >= position || count > limit - out)
            return false;
        copy_match(out, limit, s->last[0] + 1, count);
        out += count;
    }
    s->in += size;
    s->out = out;
    return c.in == c.end && !c.beyond && !c.code;
}

static bool set_properties(struct lzma2 *s, uint32_t value)
{
    uint32_t context = value % 9, literal_bits = value / 9 % 5, position_bits = value / 45;

    s->literal_shift = 8 - context;
    s->literal_mask = (0x100U << literal_bits) - (0x100U >> context);
    s->position_mask = (1U << position_bits) - 1;
    return position_bits < 5 && context + literal_bits <= LZMA_LITERAL_BITS;
}

static void reset_state(struct lzma2 *s)
{
    uint16_t *probability = (uint16_t *)&s->model;

    for (size_t i = 0; i < sizeof(s->model) / sizeof(*probability); i++)
        probability[i] = LZMA_ONE / 2;
    memset(s->last, 0, sizeof(s->last));
    s->state = 0;
}

static bool packed_chunk(struct lzma2 *s, uint8_t control)
{
    if (control < s->least_control || s->in_end - s->in < 5)
        return false;
    uint32_t unpacked = (((control & 0x1fU) << 16) | s->in[0] << 8 | s->in[1]) + 1;
    uint32_t packed_size = (uint32_t)(s->in[2] << 8 | s->in[3]) + 1;
    s->in += 4;
    if (control >= NEW_DICTIONARY)
        s->dictionary = s->out;
    if (control >= NEW_PROPERTIES && !set_properties(s, *s->in++))
        return false;
    if (control >= NEW_STATE)
        reset_state(s);
    s->least_control = PACKED;
    return packed_size >= FIRST_BYTES && packed_size <= s->in_end - s->in && !s->in[0] &&
           unpacked <= s->out_end - s->out && decode_chunk(s, packed_size, s->out + unpacked);
}

static bool stored_chunk(struct lzma2 *s, uint8_t control)
{
    if (control > STORED || (control == STORED && s->least_control == NEW_DICTIONARY) ||
        s->in_end - s->in < 2)
        return false;
    uint32_t size = (uint32_t)(s->in[0] << 8 | s->in[1]) + 1;
    s->in += 2;
    if (control == STORED_NEW_DICTIONARY) {
        s->dictionary = s->out;
        s->least_control = NEW_PROPERTIES;
    }
    if (size > s->in_end - s->in || size > s->out_end - s->out)
        return false;
    memcpy(s->out, s->in, size);
    s->in += size;
    s->out += size;
    return true;
}

bool lzma2_decode(struct lzma2 *s)
{
    for (uint32_t p = 0; p < LZMA_ONE; p++) {
        s->after[0][p] = (uint16_t)(p + (LZMA_ONE - p) / 32);
        s->after[1][p] = (uint16_t)(p - p / 32);
    }
    s->least_control = NEW_DICTIONARY;
    while (s->in < s->in_end) {
        uint8_t control = *s->in++;
        if (!control)
            return true;
        if (!(control < PACKED ? stored_chunk(s, control) : packed_chunk(s, control)))
            return false;
    }
    return false;
}

const uint8_t *lzma2_skip(const uint8_t *in, const uint8_t *end, uint64_t *total)
{
    while (in < end) {
        uint8_t control = *in++;
        if (!control)
            return in;
        uint32_t head = control < PACKED ? 2 : 4 + (control >= NEW_PROPERTIES);
        if (end - in < head)
            return NULL;
        uint32_t first = (uint32_t)(in[0] << 8 | in[1]) + 1;
        uint32_t packed_size = control < PACKED ? first : (uint32_t)(in[2] << 8 | in[3]) + 1;
        *total += control < PACKED ? first : first + ((control & 0x1fU) << 16);
        in += head;
        if (packed_size > end - in)
            return NULL;
        in += packed_size;
    }
    return NULL;
}
