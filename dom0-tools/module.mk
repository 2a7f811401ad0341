# The toolstack of Dom0: libbulkhead (shared and static), bh, the console daemon, the life-cycle daemon.

# xz, shared with the hypervisor.
BH_XZ_SRC := hypervisor/common/lzma2.c hypervisor/common/xz.c
BH_LIB_SRC := $(addprefix dom0-tools/lib/,core.c os_linux.c hypercall.c store.c unpack.c kernel.c kernel_cache.c blake2b.c \
              pv.c create.c \
              vdev.c device.c hotplug.c attach.c domain.c machine.c dump.c cpuid.c) $(BH_XZ_SRC)
BH_CONFIG_CORE := $(addprefix dom0-tools/config/,doc.c xlcfg.c spec.c keys.c check.c json.c)
# For tests: with XML inside. The programs load it when they need it.
BH_CONFIG_SRC := $(BH_CONFIG_CORE) dom0-tools/config/xml.c
BH_CONFIG_LOAD := $(BH_CONFIG_CORE) dom0-tools/config/xml_plugin.c
BH_CLI_SRC := $(addprefix dom0-tools/cli/,main.c commands.c cmd_create.c cmd_list.c cmd_control.c cmd_cpupool.c \
              cmd_device.c cmd_console.c cmd_watch.c cmd_top.c counters.c manual.c)
BH_LIB_LIBS := -lz -llzma -lzstd -llz4 -lbz2
BH_CONFIG_LIBS := -lxml2 -lyajl
XML2_CFLAGS := -I/usr/include/libxml2
LIBBULKHEAD_SO := $(BUILD)/lib/libbulkhead.so.1
LIBBULKHEAD_A := $(BUILD)/lib/libbulkhead.a
LIBBULKHEAD_XML := $(BUILD)/lib/libbulkhead-xml.so.1
LIBBULKHEAD_UNPACK := $(BUILD)/lib/libbulkhead-unpack.so.1
LIBRARIES += $(LIBBULKHEAD_XML) $(LIBBULKHEAD_UNPACK) $(LIBBULKHEAD_SO) $(LIBBULKHEAD_A) $(BUILD)/lib/bulkhead.pc

BH_LIB_OBJ := $(call objects,libbulkhead,$(BH_LIB_SRC))
$(BUILD)/obj/libbulkhead/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(USER_CFLAGS) -MMD -MP -c -o $@ $<
-include $(BH_LIB_OBJ:.o=.d)

$(LIBBULKHEAD_A): $(BH_LIB_OBJ)
	@mkdir -p $(@D)
	rm -f $@ && ar rcs $@ $^

$(LIBBULKHEAD_SO): $(BH_LIB_OBJ) dom0-tools/lib/libbulkhead.map
	@mkdir -p $(@D)
	$(CC) -shared -Wl,-soname,libbulkhead.so.1 -Wl,--version-script=dom0-tools/lib/libbulkhead.map -o $@ \
	    $(BH_LIB_OBJ) $(BH_LIB_LIBS)
	ln -sf libbulkhead.so.1 $(BUILD)/lib/libbulkhead.so

# Takes what it needs of the configuration code from the program that loads it.
$(BUILD)/obj/libbulkhead-xml/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(USER_CFLAGS) $(XML2_CFLAGS) -MMD -MP -c -o $@ $<
$(LIBBULKHEAD_XML): $(BUILD)/obj/libbulkhead-xml/dom0-tools/config/xml.o
	@mkdir -p $(@D)
	$(CC) -shared -Wl,-soname,libbulkhead-xml.so.1 -Wl,-Bsymbolic -o $@ $< -lxml2
-include $(BUILD)/obj/libbulkhead-xml/dom0-tools/config/xml.d

$(LIBBULKHEAD_UNPACK): $(call objects,libbulkhead,dom0-tools/lib/unpack.c $(BH_XZ_SRC))
	@mkdir -p $(@D)
	$(CC) -shared -Wl,-soname,libbulkhead-unpack.so.1 -Wl,-Bsymbolic -o $@ $^ $(BH_LIB_LIBS)

$(BUILD)/lib/bulkhead.pc: dom0-tools/lib/bulkhead.pc.in Config.mk
	@mkdir -p $(@D)
	sed 's|@PREFIX@|$(PREFIX)|; s|@LIBDIR@|$(LIBDIR)|; s|@VERSION@|$(VERSION)|' $< > $@

$(eval $(call program,bh,$(BH_CLI_SRC) $(BH_CONFIG_LOAD) dom0-tools/lib/unpack_plugin.c,,$(LIBBULKHEAD_A) -rdynamic \
    -lyajl -lncursesw))
$(eval $(call program,bh-monitor,$(addprefix dom0-tools/monitor/,monitor.c) dom0-tools/lib/daemon.c $(BH_CONFIG_LOAD) \
    dom0-tools/lib/unpack_plugin.c,,$(LIBBULKHEAD_A) -rdynamic -lyajl))
$(eval $(call program,bh-consoled,$(addprefix dom0-tools/consoled/,consoled.c ring.c log.c) dom0-tools/lib/daemon.c \
    dom0-tools/lib/xenio.c dom0-tools/lib/unpack_plugin.c,,$(LIBBULKHEAD_A) -rdynamic -lutil))

# Manual pages, completion and schema come out of the program's own tables.
BH_PAGES := $(BUILD)/man/bh.8 $(BUILD)/man/bh.cfg.5 $(BUILD)/share/bh.bash-completion $(BUILD)/share/domain.schema.json
LIBRARIES += $(BH_PAGES)
$(BUILD)/man/%: $(BUILD)/bin/bh
	@mkdir -p $(@D)
	$< help --man $* > $@
$(BUILD)/share/bh.bash-completion: $(BUILD)/bin/bh
	@mkdir -p $(@D)
	$< completion > $@
$(BUILD)/share/domain.schema.json: $(BUILD)/bin/bh
	@mkdir -p $(@D)
	$< config schema > $@

# Tests: the library against a hypervisor and store in memory; configurations; consoles.
BH_TEST_LIBS := $(BH_LIB_LIBS) $(BH_CONFIG_LIBS) -lpthread
BH_UNIT := tests/unit/dom0-tools
$(eval $(call host_test,dom0-tools-create,$(BH_UNIT)/create.c $(BH_UNIT)/fake.c $(BH_LIB_SRC),-I.,$(BH_TEST_LIBS)))
$(eval $(call host_test,dom0-tools-pv,$(BH_UNIT)/pv.c $(BH_UNIT)/fake.c $(BH_LIB_SRC),-I.,$(BH_TEST_LIBS)))
$(eval $(call host_test,dom0-tools-kernels,$(BH_UNIT)/kernels.c $(BH_UNIT)/fake.c $(BH_LIB_SRC),-I.,$(BH_TEST_LIBS)))
$(eval $(call host_test,dom0-tools-config,$(BH_UNIT)/config.c $(BH_CONFIG_SRC) $(BH_LIB_SRC),-I. $(XML2_CFLAGS), \
    $(BH_TEST_LIBS)))
$(eval $(call host_test,dom0-tools-console,$(BH_UNIT)/console.c dom0-tools/consoled/ring.c dom0-tools/consoled/log.c, \
    -I.,))
$(eval $(call fuzz_target,dom0-tools-config,tests/fuzz/dom0-tools/config.c $(BH_CONFIG_SRC) $(BH_LIB_SRC), \
    -I. $(XML2_CFLAGS),$(BH_TEST_LIBS)))
$(eval $(call fuzz_target,dom0-tools-kernel,tests/fuzz/dom0-tools/kernel.c $(BH_LIB_SRC),-I.,$(BH_TEST_LIBS)))
