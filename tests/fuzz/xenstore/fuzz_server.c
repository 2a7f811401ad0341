/* A server for fuzzing. See fuzz_server.h. */
#include "fuzz_server.h"

#include <stdlib.h>
#include <string.h>

static struct xenstore_domain_interface page;

static int fuzz_connect(struct platform *p, struct server *s, struct domain *d)
{
    memset(&page, 0, sizeof(page));
    d->ring = (struct link){&page, NULL};
    return 0;
}

static void fuzz_disconnect(struct platform *p, struct server *s, struct domain *d)
{
    d->ring = (struct link){0};
}

static void fuzz_notify(struct platform *p, struct domain *d)
{
}

static enum domain_state fuzz_state(struct platform *p, uint32_t domid, uint64_t *identity)
{
    return domid > 100 ? DOMAIN_GONE : DOMAIN_UNKNOWN;
}

struct platform fuzz_platform = {.name = "fuzz",
                                 .connect = fuzz_connect,
                                 .disconnect = fuzz_disconnect,
                                 .notify = fuzz_notify,
                                 .state = fuzz_state};

void fuzz_server_begin(struct server *s)
{
    log_to_file("/dev/null");
    server_init(s, &fuzz_platform, NULL);
    s->dir = "/nonexistent";
}

void fuzz_server_end(struct server *s)
{
    server_free(s);
    log_to_file(NULL);
}

struct conn *fuzz_conn(struct server *s, uint32_t domid)
{
    const struct caller who = {.domid = domid, .target = DOMID_NONE, .privileged = domid == 0};

    return conn_new(s, CONN_SOCKET, SOCKET_KEY + domid, &who);
}
