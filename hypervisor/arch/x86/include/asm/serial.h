/* Consoles of the machine: the serial port (com1, com2) and VGA text; both polled for output. */
#ifndef ASM_SERIAL_H
#define ASM_SERIAL_H

#include <bh/types.h>

/* Opens what `options` (bh/cmdline.h) names as console. Before everything else. */
void serial_init(void);
/* Interrupts are there: asks the port to interrupt on reception; characters go to console_rx(). */
void serial_init_irq(void);
/* The final page tables are loaded: moves the screen there. */
void vga_map_final(void);

#endif
