/*
 * The console: ring of everything printed (`xl dmesg`), input from the serial line, and who gets it.
 * Input goes to the control domain (console_io read, VIRQ_CONSOLE); Ctrl-A three times switches to the
 * hypervisor's debug keys and back.
 */
#ifndef BH_CONSOLE_H
#define BH_CONSOLE_H

#include <bh/types.h>

/* From here on the ring has the size that the command line asks for (page_alloc works). */
void console_init_ring(void);
/* Text into the ring and onto the machine's console, as it is. */
void console_write(const char *text, size_t len);
/* A character came in from the serial line (interrupt handler or poll). */
void console_receive(char c);
/* From a panic on: no locks, no domain gets anything any more. */
void console_force(void);

/*
 * XEN_SYSCTL_readconsole: copies what the ring holds from *index on (or from the oldest, unless
 * `incremental`) to the guest buffer, at most *count bytes; sets *count to the bytes copied and *index to
 * where to go on; `clear` empties the ring afterwards. 0 or -EFAULT.
 */
int must_check console_ring_read(struct vcpu *v, uint64_t untrusted_buffer, uint32_t *count, uint32_t *index,
                                 bool clear, bool incremental);

/* Debug keys (xl debug-keys, or typed on the hypervisor's console). */
void keyhandler_run(char key);

#endif
