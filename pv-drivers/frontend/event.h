/* Event channels without interrupts: every port stays masked, its pending bit is looked at. */
#ifndef FRONTEND_EVENT_H
#define FRONTEND_EVENT_H

#include "services.h"

/* Offers a port to a domain. Negative on failure. */
int event_offer(domid_t to);
void event_send(evtchn_port_t port);
void event_close(evtchn_port_t port);
/* True once for each time the port fired. */
bool event_take(evtchn_port_t port);
bool event_pending(evtchn_port_t port);

#endif
