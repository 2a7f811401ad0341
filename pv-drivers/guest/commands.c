/* The commands of the small kernel: one row each. */
#include "kernel.h"

#include <public/sched.h>

#define DISK      51712u
#define MAX_WORDS 8
#define RUN_TIME  (60 * FE_SECOND)
#define CHUNK     BLKFRONT_SECTORS

static struct blkfront disk;
static struct netfront net;
static bool disk_open, net_open;

static uint64_t argument(char **word, int words, int i, uint64_t fallback)
{
    uint64_t value;
    return i < words && fe_parse(word[i], &value) ? value : fallback;
}

static int need_disk(unsigned number)
{
    if (disk_open)
        return 0;
    int rc = blkfront_open(&disk, number);
    if (rc)
        print("disk %u: no connection (%d)\n", number, rc);
    disk_open = rc == 0;
    return rc;
}

static int need_net(void)
{
    if (net_open)
        return 0;
    int rc = netfront_open(&net, 0);
    if (rc)
        print("network 0: no connection (%d)\n", rc);
    net_open = rc == 0;
    return rc;
}

/* What word number w of sector s holds in a disk filled with seed. */
static uint64_t pattern(uint64_t seed, uint64_t s, unsigned w)
{
    return (s << 6 | w) * 0x9e3779b97f4a7c15ull + seed;
}

static void fill(uint64_t *data, uint64_t seed, uint64_t sector, unsigned sectors)
{
    for (unsigned s = 0; s < sectors; s++)
        for (unsigned w = 0; w < 64; w++)
            *data++ = pattern(seed, sector + s, w);
}

static bool check(const uint64_t *data, uint64_t seed, uint64_t sector, unsigned sectors)
{
    for (unsigned s = 0; s < sectors; s++) {
        for (unsigned w = 0; w < 64; w++, data++) {
            if (*data == pattern(seed, sector + s, w))
                continue;
            print("sector %lu word %u is %lx, not %lx\n", sector + s, w, *data, pattern(seed, sector + s, w));
            return false;
        }
    }
    return true;
}

static void report(const char *what, uint64_t sectors, uint64_t started)
{
    uint64_t us = (fe_now() - started) / 1000 + 1;
    print("%s %lu KiB in %lu us, %lu KiB/s\n", what, sectors / 2, us, sectors * 500000 / us);
}

/* Request n of a run over the disk: where it starts, and how many sectors it has. */
static unsigned chunk(uint64_t n, uint64_t sectors)
{
    uint64_t left = sectors - n * CHUNK;
    return left < CHUNK ? (unsigned)left : CHUNK;
}

/* Runs over the first sectors of the disk (0: all) with all buffers busy; request n uses buffer n %
 * BLKFRONT_BUFFERS. */
static int sweep(uint8_t operation, uint64_t seed, uint64_t sectors, bool verify)
{
    uint64_t sent = 0, done = 0, started = fe_now();
    if (sectors == 0 || sectors > disk.sectors)
        sectors = disk.sectors;
    while (done * CHUNK < sectors) {
        for (; sent * CHUNK < sectors && sent - done < BLKFRONT_BUFFERS; sent++) {
            unsigned i = (unsigned)(sent % BLKFRONT_BUFFERS);
            if (operation == BLKIF_OP_WRITE)
                fill(disk.buffer[i].page, seed, sent * CHUNK, chunk(sent, sectors));
            if (blkfront_start(&disk, i, operation, sent * CHUNK, chunk(sent, sectors)))
                return -1;
        }
        unsigned i = (unsigned)(done % BLKFRONT_BUFFERS);
        int status = blkfront_finish(&disk, i, RUN_TIME);
        if (status != BLKIF_RSP_OKAY) {
            print("request on sector %lu: status %d\n", done * CHUNK, status);
            return -1;
        }
        if (verify && !check(disk.buffer[i].page, seed, done * CHUNK, chunk(done, sectors)))
            return -1;
        done++;
    }
    report(operation == BLKIF_OP_WRITE ? "wrote" : "read", sectors, started);
    return 0;
}

static int one(uint8_t operation, uint64_t sector, unsigned sectors)
{
    if (blkfront_start(&disk, 0, operation, sector, sectors))
        return -1;
    int status = blkfront_finish(&disk, 0, RUN_TIME);
    if (status)
        print("operation %u: status %d\n", operation, status);
    return status ? -1 : 0;
}

static int do_disk(char **word, int words)
{
    if (need_disk((unsigned)argument(word, words, 1, DISK)))
        return -1;
    print("disk: %lu sectors%s%s%s%s\n", disk.sectors, disk.info & VDISK_READONLY ? ", read-only" : "",
          disk.flush ? ", flush" : "", disk.discard ? ", discard" : "",
          disk.persistent ? ", persistent grants" : "");
    return 0;
}

static int do_write(char **word, int words)
{
    if (need_disk((unsigned)argument(word, words, 3, DISK)))
        return -1;
    int rc = sweep(BLKIF_OP_WRITE, argument(word, words, 1, 1), argument(word, words, 2, 0) * 2048, false);
    return rc || !disk.flush ? rc : one(BLKIF_OP_FLUSH_DISKCACHE, 0, 0);
}

static int do_verify(char **word, int words)
{
    return need_disk((unsigned)argument(word, words, 3, DISK))
               ? -1
               : sweep(BLKIF_OP_READ, argument(word, words, 1, 1), argument(word, words, 2, 0) * 2048, true);
}

static int do_read(char **word, int words)
{
    return need_disk(DISK) ? -1 : sweep(BLKIF_OP_READ, 0, argument(word, words, 1, 0) * 2048, false);
}

/* Fills and compares again and again, with another pattern each time. */
static int do_loop(char **word, int words)
{
    uint64_t sectors = argument(word, words, 2, 8) * 2048;
    if (need_disk(DISK))
        return -1;
    for (uint64_t seed = 1; seed <= argument(word, words, 1, 10); seed++) {
        if (sweep(BLKIF_OP_WRITE, seed, sectors, false) || sweep(BLKIF_OP_READ, seed, sectors, true))
            return -1;
    }
    return disk.flush ? one(BLKIF_OP_FLUSH_DISKCACHE, 0, 0) : 0;
}

static int do_flush(char **word, int words)
{
    return need_disk(DISK) ? -1 : one(BLKIF_OP_FLUSH_DISKCACHE, 0, 0);
}

static int do_discard(char **word, int words)
{
    if (need_disk(DISK))
        return -1;
    return one(BLKIF_OP_DISCARD, argument(word, words, 1, 0), (unsigned)argument(word, words, 2, 8));
}

static int do_close(char **word, int words)
{
    if (disk_open)
        blkfront_close(&disk);
    disk_open = false;
    return 0;
}

/* "10.0.0.2" in network order; 0 when it is none. */
static uint32_t parse_address(const char *text)
{
    uint32_t value = 0, part = 0;
    int shift = 0;
    for (;; text++) {
        if (*text >= '0' && *text <= '9') {
            part = part * 10 + (uint32_t)(*text - '0');
            continue;
        }
        value |= (part & 0xff) << shift;
        if (*text != '.' || shift == 24)
            return shift == 24 && !*text ? value : 0;
        shift += 8;
        part = 0;
    }
}

static int do_serve(char **word, int words)
{
    uint32_t address = words > 1 ? parse_address(word[1]) : 0;
    if (!address || need_net())
        return -1;
    return net_serve(&net, address, (unsigned)argument(word, words, 2, 60), NULL);
}

static int do_control(char **word, int words)
{
    uint32_t address = words > 1 ? parse_address(word[1]) : 0;
    if (!address || need_net())
        return -1;
    return control_requests(&net, address, (unsigned)argument(word, words, 2, 10));
}

static int do_send(char **word, int words)
{
    uint32_t own = words > 1 ? parse_address(word[1]) : 0, to = words > 2 ? parse_address(word[2]) : 0;
    if (!own || !to || need_net())
        return -1;
    return net_send(&net, own, to, (unsigned)argument(word, words, 3, 9),
                    (unsigned)argument(word, words, 4, 16));
}

static int do_sleep(char **word, int words)
{
    uint64_t end = fe_now() + argument(word, words, 1, 1) * FE_SECOND;
    while (fe_now() < end)
        fe_wait(NULL, 0, end);
    return 0;
}

static int do_hostile_disk(char **word, int words)
{
    return hostile_disk((unsigned)argument(word, words, 1, DISK));
}

static int do_hostile_net(char **word, int words)
{
    return hostile_net((unsigned)argument(word, words, 1, 0));
}

static int do_off(char **word, int words)
{
    kernel_shutdown(SHUTDOWN_poweroff);
}

static int do_reboot(char **word, int words)
{
    kernel_shutdown(SHUTDOWN_reboot);
}

static int do_crash(char **word, int words)
{
    kernel_shutdown(SHUTDOWN_crash);
}

static int do_help(char **word, int words);

static const struct command {
    const char *name;
    int (*run)(char **word, int words);
    const char *help;
} commands[] = {
    {"help", do_help, "this list"},
    {"disk", do_disk, "[NUMBER]: connect to a disk and describe it (51712 is xvda)"},
    {"write", do_write, "[SEED [MIB [NUMBER]]]: fill the disk with a pattern, then flush"},
    {"verify", do_verify, "[SEED [MIB [NUMBER]]]: read the disk and compare with the pattern"},
    {"read", do_read, "[MIB]: read the disk"},
    {"loop", do_loop, "[ROUNDS [MIB]]: write and verify over and over, with another pattern each time"},
    {"flush", do_flush, ": flush the disk"},
    {"discard", do_discard, "SECTOR COUNT: discard sectors"},
    {"close", do_close, ": disconnect from the disk"},
    {"serve", do_serve,
     "ADDRESS [SECONDS]: answer ping; TCP echo on 7, discard on 9, chargen on 19; a key ends it"},
    {"send", do_send, "OWN-ADDRESS TO-ADDRESS [PORT [MIB]]: TCP throughput to a discard server"},
    {"control", do_control,
     "ADDRESS [SECONDS]: the control ring's requests, then serve and check the hashes"},
    {"hostile-disk", do_hostile_disk, "[NUMBER]: break every rule of the block protocol"},
    {"hostile-net", do_hostile_net, "[NUMBER]: break every rule of the network protocol"},
    {"sleep", do_sleep, "SECONDS"},
    {"off", do_off, ": power off"},
    {"reboot", do_reboot, ": reboot"},
    {"crash", do_crash, ": crash"},
};

static int do_help(char **word, int words)
{
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        print("%s %s\n", commands[i].name, commands[i].help);
    return 0;
}

int command_run(char *line)
{
    char *word[MAX_WORDS];
    int words = 0;
    while (*line && words < MAX_WORDS) {
        while (*line == ' ')
            *line++ = '\0';
        if (!*line)
            break;
        word[words++] = line;
        while (*line && *line != ' ')
            line++;
    }
    if (words == 0)
        return 0;
    if (*line)
        *line = '\0';
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strlen(commands[i].name) == strlen(word[0]) &&
            memcmp(commands[i].name, word[0], strlen(word[0])) == 0)
            return commands[i].run(word, words);
    print("%s: no such command; help lists them\n", word[0]);
    return -1;
}
