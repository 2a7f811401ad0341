/* A server without sockets, rings or files, for fuzzing. */
#ifndef BH_XS_FUZZ_SERVER_H
#define BH_XS_FUZZ_SERVER_H

#include "log.h"
#include "server.h"

#include <unistd.h>

extern struct platform fuzz_platform;

void fuzz_server_begin(struct server *s);
void fuzz_server_end(struct server *s);
/* A connection that nobody reads: a local one for domain 0, else one of that domain. */
struct conn *fuzz_conn(struct server *s, uint32_t domid);

#endif
