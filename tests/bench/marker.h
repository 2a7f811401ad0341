/* The instruction that makes the counter plugin write its counts; a no-operation everywhere else. */
#ifndef BENCH_MARKER_H
#define BENCH_MARKER_H

#define MARK(number)                                                                                         \
    __asm__ volatile(".byte 0x0f, 0x1f, 0x80\n .long 0x42480000 + %c0" ::"i"(number) : "memory")

#endif
