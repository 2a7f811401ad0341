/* What the small kernel offers to its commands, besides the front end library. */
#ifndef GUEST_KERNEL_H
#define GUEST_KERNEL_H

#include "../frontend/blkfront.h"
#include "../frontend/netfront.h"

long hypercall(unsigned long number, uint64_t a1, uint64_t a2, uint64_t a3, uint64_t a4);

extern struct start_info *start_info;

/* Ends the domain with SHUTDOWN_poweroff, _reboot or _crash. */
void kernel_shutdown(unsigned reason) __attribute__((noreturn));

/* Formats: %s, %u (unsigned), %d (int), %x, %lu (uint64_t), %lx, %c, %%. */
void print(const char *format, ...) __attribute__((format(printf, 1, 2)));

/* Runs one command line. Returns 0, or -1 after saying why not. */
int command_run(char *line);

/* Commands that live in files of their own. */
int hostile_disk(unsigned number);
int hostile_net(unsigned number);
int control_requests(struct netfront *n, uint32_t address, unsigned seconds);

/* The network: address in network order; serves ping, echo (7), discard (9) and chargen (19) until seconds
 * have passed or a key is pressed. watch, if not NULL, sees every frame first. */
typedef void frame_watch(const struct netfront *n, const uint8_t *frame, unsigned bytes);
int net_serve(struct netfront *n, uint32_t address, unsigned seconds, frame_watch *watch);
/* Connects to a discard server and sends megabytes. */
int net_send(struct netfront *n, uint32_t address, uint32_t to, unsigned port, unsigned megabytes);

#endif
