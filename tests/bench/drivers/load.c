/*
 * A small load for counting: so many requests or bytes and nothing else between two markers, after a run of the same
 * load that is not counted (it maps the persistent grants and opens the windows).
 *
 *     load disk DEVICE read|write seq|rand BYTES DEPTH COUNT
 *     load tcp ADDRESS UP DOWN          bytes sent to and received from `load serve`
 *     load udp ADDRESS COUNT            datagrams of 64 bytes, and one round trip behind them
 *     load echo ADDRESS COUNT           round trips of a datagram
 *     load serve                        the other side of the last three
 *
 * On success it prints "COUNTED n", where n tells how many requests, bytes, datagrams or round trips were counted.
 */
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/aio_abi.h>
#include <linux/fs.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>
#include "../marker.h"

#define PORT      5100
#define BUFFER    (256u << 10)
#define MAX_DEPTH 128u
#define START     2
#define END       3

static uint8_t buffer[BUFFER];

static void counted(uint64_t count)
{
    printf("COUNTED %llu\n", (unsigned long long)count);
}

struct disk {
    int fd;
    aio_context_t context;
    bool write, random;
    uint64_t blocks, block_bytes, next;
    uint32_t seed;
    struct iocb request[MAX_DEPTH];
    uint8_t *memory;
};

static void submit(struct disk *d, struct iocb *request, unsigned index)
{
    uint64_t block = d->next++;

    if (d->random) {
        d->seed = d->seed * 1664525u + 1013904223u;
        block = (uint64_t)d->seed * d->blocks >> 32;
    }
    *request = (struct iocb){.aio_data = index,
                             .aio_lio_opcode = d->write ? IOCB_CMD_PWRITE : IOCB_CMD_PREAD,
                             .aio_fildes = (uint32_t)d->fd,
                             .aio_buf = (uintptr_t)d->memory + index * d->block_bytes,
                             .aio_nbytes = d->block_bytes,
                             .aio_offset = (int64_t)(block % d->blocks * d->block_bytes)};
}

/* Keeps depth requests under way until count are done. */
static void run_disk(struct disk *d, unsigned depth, uint64_t count)
{
    struct iocb *list[MAX_DEPTH];
    struct io_event done[MAX_DEPTH];
    uint64_t sent = 0, finished = 0;
    long fresh = 0;

    for (; sent < depth && sent < count; sent++, fresh++) {
        submit(d, &d->request[sent], (unsigned)sent);
        list[fresh] = &d->request[sent];
    }
    while (finished < count) {
        if (fresh && syscall(SYS_io_submit, d->context, fresh, list) != fresh)
            err(1, "io_submit");
        long got = syscall(SYS_io_getevents, d->context, 1, MAX_DEPTH, done, NULL);
        if (got < 0)
            err(1, "io_getevents");
        fresh = 0;
        for (long i = 0; i < got; i++, finished++) {
            if (done[i].res != (int64_t)d->block_bytes)
                errx(1, "a request ended with %lld", (long long)done[i].res);
            if (sent == count)
                continue;
            sent++;
            submit(d, &d->request[done[i].data], (unsigned)done[i].data);
            list[fresh++] = &d->request[done[i].data];
        }
    }
}

static int disk(char **argv)
{
    static struct disk d;
    uint64_t bytes;
    unsigned depth = (unsigned)atoi(argv[4]);
    uint64_t count = strtoull(argv[5], NULL, 10);

    d.write = strcmp(argv[1], "write") == 0;
    d.random = strcmp(argv[2], "rand") == 0;
    d.block_bytes = strtoull(argv[3], NULL, 10);
    d.fd = open(argv[0], O_RDWR | O_DIRECT);
    if (d.fd < 0 || ioctl(d.fd, BLKGETSIZE64, &bytes))
        err(1, "%s", argv[0]);
    if (depth == 0 || depth > MAX_DEPTH || syscall(SYS_io_setup, MAX_DEPTH, &d.context))
        err(1, "depth %u", depth);
    d.blocks = bytes / d.block_bytes;
    d.memory = aligned_alloc(4096, depth * d.block_bytes);
    memset(d.memory, 0x5a, depth * d.block_bytes);
    run_disk(&d, depth, count);
    MARK(START);
    run_disk(&d, depth, count);
    MARK(END);
    counted(count);
    return 0;
}

static struct sockaddr_in address_of(const char *text)
{
    struct sockaddr_in a = {.sin_family = AF_INET, .sin_port = htons(PORT)};

    if (text && inet_pton(AF_INET, text, &a.sin_addr) != 1)
        errx(1, "%s is not an address", text);
    return a;
}

static int connected(const char *text, int type)
{
    struct sockaddr_in a = address_of(text);
    int fd = socket(AF_INET, type, 0);

    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)))
        err(1, "%s", text);
    return fd;
}

static void send_bytes(int fd, uint64_t bytes)
{
    while (bytes) {
        ssize_t n = write(fd, buffer, bytes < BUFFER ? bytes : BUFFER);
        if (n < 0)
            err(1, "write");
        bytes -= (uint64_t)n;
    }
}

/* Returns false when the stream ends before them. */
static bool receive_bytes(int fd, uint64_t bytes)
{
    while (bytes) {
        ssize_t n = read(fd, buffer, bytes < BUFFER ? bytes : BUFFER);
        if (n <= 0)
            return false;
        bytes -= (uint64_t)n;
    }
    return true;
}

/* One exchange: how much goes each way, the bytes up, the bytes down, and a byte that says all arrived. */
static void exchange(int fd, uint64_t up, uint64_t down)
{
    uint64_t sizes[2] = {up, down};

    if (write(fd, sizes, sizeof(sizes)) != sizeof(sizes))
        err(1, "write");
    send_bytes(fd, up);
    if (!receive_bytes(fd, down + 1))
        errx(1, "the stream ended early");
}

static int tcp(char **argv)
{
    uint64_t up = strtoull(argv[1], NULL, 10), down = strtoull(argv[2], NULL, 10);
    int fd = connected(argv[0], SOCK_STREAM);

    exchange(fd, up / 2, down / 2);
    MARK(START);
    exchange(fd, up, down);
    MARK(END);
    counted(up + down);
    return 0;
}

static void round_trip(int fd)
{
    struct pollfd p = {.fd = fd, .events = POLLIN};

    do {
        if (write(fd, "echo", 4) != 4)
            err(1, "write");
    } while (poll(&p, 1, 3000) == 0); /* the datagram was lost */
    if (read(fd, buffer, BUFFER) < 0)
        err(1, "read");
}

static int datagrams(char **argv, bool wait)
{
    int fd = connected(argv[0], SOCK_DGRAM);
    uint64_t count = strtoull(argv[1], NULL, 10);

    for (int i = 0; i < 20; i++)
        round_trip(fd);
    MARK(START);
    for (uint64_t i = 0; i < count; i++)
        if (wait)
            round_trip(fd);
        else if (write(fd, buffer, 64) != 64)
            err(1, "write");
    if (!wait)
        round_trip(fd);
    MARK(END);
    counted(count);
    return 0;
}

static void serve_stream(int fd)
{
    uint64_t sizes[2];

    while (read(fd, sizes, sizeof(sizes)) == sizeof(sizes) && receive_bytes(fd, sizes[0]))
        send_bytes(fd, sizes[1] + 1);
    close(fd);
}

/* Datagrams of four bytes come back, others vanish; streams are served one at a time. */
static int serve(void)
{
    struct sockaddr_in a = address_of(NULL), from;
    int udp = socket(AF_INET, SOCK_DGRAM, 0), stream = socket(AF_INET, SOCK_STREAM, 0), on = 1;

    setsockopt(stream, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    if (bind(udp, (struct sockaddr *)&a, sizeof(a)) || bind(stream, (struct sockaddr *)&a, sizeof(a)) ||
        listen(stream, 4))
        err(1, "port %d", PORT);
    for (;;) {
        struct pollfd p[2] = {{.fd = udp, .events = POLLIN}, {.fd = stream, .events = POLLIN}};
        socklen_t length = sizeof(from);
        poll(p, 2, -1);
        if (p[0].revents && recvfrom(udp, buffer, BUFFER, 0, (struct sockaddr *)&from, &length) == 4)
            sendto(udp, buffer, 4, 0, (struct sockaddr *)&from, length);
        if (p[1].revents)
            serve_stream(accept(stream, NULL, NULL));
    }
}

int main(int argc, char **argv)
{
    if (argc == 8 && strcmp(argv[1], "disk") == 0)
        return disk(argv + 2);
    if (argc == 5 && strcmp(argv[1], "tcp") == 0)
        return tcp(argv + 2);
    if (argc == 4 && (strcmp(argv[1], "udp") == 0 || strcmp(argv[1], "echo") == 0))
        return datagrams(argv + 2, argv[1][0] == 'e');
    if (argc == 2 && strcmp(argv[1], "serve") == 0)
        return serve();
    errx(2, "usage: load disk DEVICE read|write seq|rand BYTES DEPTH COUNT | tcp ADDRESS UP DOWN | "
            "udp|echo ADDRESS COUNT | serve");
}
