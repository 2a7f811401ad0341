/*
 * Port I/O on behalf of guests (arch/x86/pv/port.c): every port passes the domain's ioport_caps; the PCI
 * configuration ports 0xcf8/0xcfc are the hypervisor's, with an address latch per domain. A refused read
 * gives all ones, a refused write is dropped, as on a machine where nothing answers.
 */
#ifndef ASM_PORT_H
#define ASM_PORT_H

#include <bh/types.h>

uint32_t guest_port_read(struct domain *d, uint16_t port, unsigned int bytes);
void guest_port_write(struct domain *d, uint16_t port, unsigned int bytes, uint32_t value);

#endif
