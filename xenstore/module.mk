# The store: daemon, client library, tools.
XS := xenstore
XS_CFLAGS := -I$(XS)/include -I$(XS)/daemon

# What knows neither sockets nor rings, and what does.
XS_CORE := $(addprefix $(XS)/daemon/,util.c path.c wire.c perms.c tree.c txn.c quota.c watch.c store.c log.c ring.c journal.c)
XS_DAEMON := $(XS_CORE) $(addprefix $(XS)/daemon/,conn.c conn_socket.c conn_ring.c dispatch.c domain.c control.c \
             server.c state.c restore.c platform_sim.c)

$(eval $(call program,xenstored,$(XS_DAEMON) $(XS)/daemon/platform_xen.c $(XS)/daemon/main.c,$(XS_CFLAGS),))

# The client library, under the name and with the symbols of Xen's, so that programs link with either.
XS_LIB     := $(addprefix $(XS)/lib/,client.c transport.c lib.c)
XS_LIB_OBJ := $(call objects,user-libxenstore,$(XS_LIB))
LIBRARIES  += $(BUILD)/lib/libxenstore.so.4 $(BUILD)/lib/libxenstore.so $(BUILD)/lib/libxenstore.a
$(BUILD)/obj/user-libxenstore/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(USER_CFLAGS) -pthread -I$(XS)/include -MMD -MP -c -o $@ $<
$(BUILD)/lib/libxenstore.so.4: $(XS_LIB_OBJ) $(XS)/lib/libxenstore.map
	@mkdir -p $(@D)
	$(CC) -shared -pthread -Wl,-soname,libxenstore.so.4 -Wl,--version-script,$(XS)/lib/libxenstore.map -o $@ $(XS_LIB_OBJ)
$(BUILD)/lib/libxenstore.so: $(BUILD)/lib/libxenstore.so.4
	ln -sf libxenstore.so.4 $@
$(BUILD)/lib/libxenstore.a: $(XS_LIB_OBJ)
	rm -f $@
	ar rcs $@ $^
-include $(XS_LIB_OBJ:.o=.d)

# The tools: one program, many names.
XS_TOOLS := read write ls list exists rm mkdir chmod watch control
$(eval $(call program,xenstore,$(addprefix $(XS)/cli/,xenstore.c ls.c escape.c),-I$(XS)/include,$(BUILD)/lib/libxenstore.a -pthread))
PROGRAMS += $(addprefix $(BUILD)/bin/xenstore-,$(XS_TOOLS))
$(addprefix $(BUILD)/bin/xenstore-,$(XS_TOOLS)): $(BUILD)/bin/xenstore
	ln -sf xenstore $@

# Beside Xen's daemons.
XS_BENCH_DIR := tests/bench/xenstore
XS_PEER_FLAGS := -I$(XS)/include -I$(XS_BENCH_DIR) -DXS_OURS='"$(CURDIR)/$(BUILD)/bin/xenstored"' \
                 -DXS_SHIM='"$(CURDIR)/$(BUILD)/lib/xs-peer-shim.so"'
$(BUILD)/lib/xs-peer-shim.so: $(XS_BENCH_DIR)/peer_shim.c
	@mkdir -p $(@D)
	$(CC) $(USER_CFLAGS) -shared -o $@ $< -ldl
$(eval $(call program,xs-bench,$(addprefix $(XS_BENCH_DIR)/,bench.c peers.c) tests/model/xenstore/simdomain.c $(XS)/daemon/ring.c,$(XS_PEER_FLAGS) -I$(XS)/daemon -Itests/model/xenstore,))
$(BUILD)/bin/xs-bench: $(BUILD)/bin/xenstored $(BUILD)/lib/xs-peer-shim.so
BENCHES += $(BUILD)/bin/xs-bench

# Tests.
$(eval $(call host_test,xs-model-store,tests/model/xenstore/model_store.c $(XS_CORE),$(XS_CFLAGS),))

# The running daemon under simulated domains: `xs-stress kill 1000` is the long form.
XS_MODEL_DIR := tests/model/xenstore
$(eval $(call host_test,xs-stress,$(XS_MODEL_DIR)/stress.c $(XS_MODEL_DIR)/simdomain.c $(XS)/daemon/ring.c \
         $(XS_BENCH_DIR)/peers.c $(XS_LIB),$(XS_PEER_FLAGS) -I$(XS)/daemon -I$(XS)/lib -pthread,-pthread))
$(BUILD)/tests/xs-stress: $(BUILD)/bin/xenstored

# Fuzz targets: messages, rings, state files.
XS_FUZZ_DIR := tests/fuzz/xenstore
$(foreach t,wire ring state,$(eval $(call fuzz_target,xs-$(t),$(XS_FUZZ_DIR)/fuzz_$(t).c $(XS_FUZZ_DIR)/fuzz_server.c \
    $(XS_DAEMON),$(XS_CFLAGS) -I$(XS_FUZZ_DIR),)))

# The same requests to our daemon and to Xen's.
$(eval $(call host_test,xs-compare,$(XS_MODEL_DIR)/compare.c $(XS_BENCH_DIR)/peers.c,$(XS_PEER_FLAGS),))
$(BUILD)/tests/xs-compare: $(BUILD)/bin/xenstored $(BUILD)/lib/xs-peer-shim.so

# Unit tests.
XS_UNIT_DIR := tests/unit/xenstore
$(eval $(call host_test,xs-test-tree,$(XS_UNIT_DIR)/test_tree.c $(XS_CORE),$(XS_CFLAGS),))
$(eval $(call host_test,xs-test-pure,$(XS_UNIT_DIR)/test_pure.c $(XS_CORE),$(XS_CFLAGS),))
$(eval $(call host_test,xs-test-requests,$(XS_UNIT_DIR)/test_requests.c $(XS_FUZZ_DIR)/fuzz_server.c $(XS_DAEMON),$(XS_CFLAGS) -I$(XS_FUZZ_DIR),))
$(eval $(call host_test,xs-test-state,$(XS_UNIT_DIR)/test_state.c $(XS_FUZZ_DIR)/fuzz_server.c $(XS_DAEMON),$(XS_CFLAGS) -I$(XS_FUZZ_DIR),))
$(eval $(call host_test,xs-test-client,$(XS_UNIT_DIR)/test_client.c $(XS_BENCH_DIR)/peers.c $(XS_LIB),$(XS_PEER_FLAGS) -I$(XS)/lib -pthread,-pthread))
$(BUILD)/tests/xs-test-client: $(BUILD)/bin/xenstored
