/* Consoles of the machine: the serial port (com1, com2) and VGA text; both polled for output. */
#ifndef ASM_SERIAL_H
#define ASM_SERIAL_H

#include <bh/types.h>

/* Reads console=, com1= and com2= of the command line; opens the ports. Before everything else. */
void serial_init(const char *cmdline);
/* Interrupts are there: asks the port to interrupt on reception; characters go to console_rx(). */
void serial_init_irq(void);
/* The control domain drives the screen now. */
void vga_disable(void);

#endif
