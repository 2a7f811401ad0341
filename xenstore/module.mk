# The store: daemon, client library, tools.
XS := xenstore
XS_CFLAGS := -I$(XS)/include -I$(XS)/daemon

# What knows neither sockets nor rings, and what does.
XS_CORE := $(addprefix $(XS)/daemon/,util.c path.c wire.c perms.c tree.c txn.c quota.c watch.c store.c log.c ring.c journal.c)
XS_DAEMON := $(XS_CORE) $(addprefix $(XS)/daemon/,conn.c conn_socket.c conn_ring.c dispatch.c domain.c control.c \
             server.c state.c restore.c platform_sim.c)

$(eval $(call program,xenstored,$(XS_DAEMON) $(XS)/daemon/platform_xen.c $(XS)/daemon/main.c,$(XS_CFLAGS),))
