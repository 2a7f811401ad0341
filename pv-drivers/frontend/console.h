/* The guest's console page. */
#ifndef FRONTEND_CONSOLE_H
#define FRONTEND_CONSOLE_H

#include "services.h"

void console_init(void *page, evtchn_port_t port);
evtchn_port_t console_port(void);
/* Writes text; waits for room a while, then drops the rest. */
void console_write(const char *text, size_t bytes);
/* The next byte typed, or -1. */
int console_read(void);

#endif
