/*
 * The front end library, and the page of services that a small kernel owes it.
 *
 * The library is freestanding: no libc, no allocation but whole pages, no interrupt. It never waits by itself
 * except in fe_wait(); a kernel without interrupts implements that with SCHEDOP_poll, another one may sleep.
 * One vcpu uses it.
 */
#ifndef FRONTEND_SERVICES_H
#define FRONTEND_SERVICES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <public/event_channel.h>
#include <public/grant_table.h>
#include <public/xen.h>

#define FE_PAGE 4096u

/* --- owed by the kernel
 * ------------------------------------------------------------------------------------------- */

/* A zeroed page, or NULL. The library keeps what it takes. */
void *fe_page_alloc(void);
/* count pages next to each other, or NULL. */
void *fe_pages_alloc(unsigned count);
/* The frame number to grant for a page of ours: the machine frame in a PV guest. */
uint64_t fe_frame_of(const void *page);
/* Maps the machine or guest frame somewhere and returns where. */
void *fe_map_frame(uint64_t frame);
long fe_event_channel_op(unsigned op, void *arg);
long fe_grant_table_op(unsigned op, void *arg, unsigned count);
struct shared_info *fe_shared_info(void);
/* System time in nanoseconds. */
uint64_t fe_now(void);
/* Returns when one of the ports is pending or the deadline (system time) has passed. */
void fe_wait(const evtchn_port_t *ports, unsigned count, uint64_t deadline);
void *memcpy(void *to, const void *from, size_t bytes);
void *memset(void *to, int value, size_t bytes);
void *memmove(void *to, const void *from, size_t bytes);
int memcmp(const void *a, const void *b, size_t bytes);
size_t strlen(const char *text);

/* --- small things the library shares
 * ------------------------------------------------------------------------------ */

#define FE_SECOND 1000000000ull
#define FE_ERROR  (-1)
#define FE_TIME   (-2) /* the other side did not answer in time */

/* Joins up to three texts and a number into out; returns out. Each may be NULL. */
char *fe_text(char *out, size_t bytes, const char *a, const char *b, const char *c);
char *fe_number(char *out, size_t bytes, uint64_t value);
bool fe_parse(const char *text, uint64_t *value);

#endif
