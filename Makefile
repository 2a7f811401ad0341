# Bulkhead. The two commands: `make run`, `make test`. Each folder's module.mk adds to the lists below.
include Config.mk

MAKEFLAGS += --no-builtin-rules
# A line a step; `make V=1` shows the commands.
say = $(if $(V),,@printf '  %-5s %s\n' '$(1)' '$@';)
.SUFFIXES:
.DELETE_ON_ERROR:
.DEFAULT_GOAL := all

PROGRAMS     :=
LIBRARIES    :=
HOST_TESTS   :=
FUZZ_TARGETS :=
SYSTEM_TESTS :=
BENCHES      :=
CLEAN_SOURCES :=

# $(call objects,DIR,SOURCES): the object files of SOURCES built under build/obj/DIR
objects = $(patsubst %.c,$(BUILD)/obj/$(1)/%.o,$(2))

# $(eval $(call program,NAME,SOURCES,CFLAGS,LIBS)): a user-space program build/bin/NAME
define program
PROGRAMS += $(BUILD)/bin/$(1)
$(BUILD)/bin/$(1): $(call objects,user-$(1),$(2)) $(filter %.a %.so,$(4))
	@mkdir -p $$(@D)
	$$(call say,LINK)$(CC) -o $$@ $(call objects,user-$(1),$(2)) $(4)
$(BUILD)/obj/user-$(1)/%.o: %.c
	@mkdir -p $$(@D)
	$$(call say,CC)$(CC) $(USER_CFLAGS) $(3) -MMD -MP -c -o $$@ $$<
-include $(patsubst %.o,%.d,$(call objects,user-$(1),$(2)))
endef

# $(eval $(call host_test,NAME,SOURCES,CFLAGS,LIBS)): a cmocka program under ASan and UBSan, run by `make check`
define host_test
HOST_TESTS += $(BUILD)/tests/$(1)
$(BUILD)/tests/$(1): $(call objects,test-$(1),$(2)) $(filter %.a,$(4))
	@mkdir -p $$(@D)
	$$(call say,LINK)$(CC) -fsanitize=address,undefined -o $$@ $(call objects,test-$(1),$(2)) $(4) -lcmocka
$(BUILD)/obj/test-$(1)/%.o: %.c
	@mkdir -p $$(@D)
	$$(call say,CC)$(CC) $(TEST_CFLAGS) $(3) -MMD -MP -c -o $$@ $$<
-include $(patsubst %.o,%.d,$(call objects,test-$(1),$(2)))
endef

# $(eval $(call fuzz_target,NAME,SOURCES,CFLAGS,LIBS)): a libFuzzer program; corpus in tests/fuzz/corpus/NAME
define fuzz_target
FUZZ_TARGETS += $(BUILD)/fuzz/$(1)
$(BUILD)/fuzz/$(1): $(call objects,fuzz-$(1),$(2))
	@mkdir -p $$(@D)
	$$(call say,LINK)$(CLANG) -fsanitize=fuzzer,address,undefined -o $$@ $(call objects,fuzz-$(1),$(2)) $(4)
$(BUILD)/obj/fuzz-$(1)/%.o: %.c
	@mkdir -p $$(@D)
	$$(call say,CLANG)$(CLANG) $(FUZZ_CFLAGS) $(3) -MMD -MP -c -o $$@ $$<
-include $(patsubst %.o,%.d,$(call objects,fuzz-$(1),$(2)))
endef

include $(wildcard hypervisor/module.mk xenstore/module.mk pv-drivers/module.mk dom0-tools/module.mk tests/module.mk)

.PHONY: all programs packages install clean distclean
all: hypervisor programs
programs: $(PROGRAMS) $(LIBRARIES)

# Installs what packages.list names, if anything of it is missing.
packages:
	@tests/install-packages

# Dom0's side. The hook prepares kernels for guests when Debian installs them.
INSTALL_TO := $(DESTDIR)$(PREFIX)
install: programs
	install -d $(INSTALL_TO)/bin $(DESTDIR)$(LIBDIR)/pkgconfig $(INSTALL_TO)/share/man/man5 $(INSTALL_TO)/share/man/man8 \
	    $(INSTALL_TO)/share/bash-completion/completions $(DESTDIR)$(SYSCONFDIR)/kernel/postinst.d
	cp -d $(filter $(BUILD)/bin/%,$(PROGRAMS)) $(INSTALL_TO)/bin
	cp -d $(wildcard $(BUILD)/lib/lib*.so $(BUILD)/lib/lib*.so.*) $(DESTDIR)$(LIBDIR)
	install -m 644 $(BUILD)/lib/bulkhead.pc $(DESTDIR)$(LIBDIR)/pkgconfig
	install -m 644 $(BUILD)/man/*.5 $(INSTALL_TO)/share/man/man5
	install -m 644 $(BUILD)/man/*.8 $(INSTALL_TO)/share/man/man8
	install -m 644 $(BUILD)/share/bh.bash-completion $(INSTALL_TO)/share/bash-completion/completions/bh
	install dom0-tools/kernel-postinst $(DESTDIR)$(SYSCONFDIR)/kernel/postinst.d/bulkhead

clean:
	rm -rf $(BUILD)
