# Running and testing: `make run`, `make test` and their parts.
include dom0-tools/image/image.mk

# What `make run` boots: the hypervisor (bulkhead, xen, none, or an ELF), processors, memory, more for its command line.
HYPERVISOR ?= bulkhead
RUN_SMP    ?= 2
RUN_MEM    ?= 2G
RUN_ARGS   ?=
CMD        ?=
JOBS       ?= $(shell nproc)

GUEST_CASES   := $(notdir $(patsubst %/main.c,%,$(wildcard tests/guest/cases/*/main.c)))
GUEST_KERNELS := $(patsubst %,$(BUILD)/guest/%.elf,$(GUEST_CASES))
# Tests of whole systems that take too long for each change; docs/testing.md says what each of them shows, and its state.
LONG_TESTS    := $(patsubst %,tests/integration/%/run,stress split-drivers io-long create-faults toolstack devices many iso)
INTEGRATION    = $(SYSTEM_TESTS) $(filter-out $(LONG_TESTS),$(wildcard tests/integration/*/run tests/compat/*/run))
LINTS         := tests/lint-format tests/lint-cppcheck tests/lint-tidy

HOST_SPECS    = $(addprefix lint:,$(LINTS)) $(addprefix host:,$(HOST_TESTS)) $(addprefix fuzz:,$(FUZZ_TARGETS))
GUEST_SPECS   = $(addprefix guest:,$(GUEST_KERNELS))
SYSTEM_SPECS  = $(addprefix system:,$(INTEGRATION))
LONG_SPECS    = $(addprefix system:,$(LONG_TESTS))
RUN_TESTS     = tests/runner --jobs $(JOBS) --fuzz-seconds $(FUZZ_SECONDS)

.PHONY: run test check check-guest check-system check-long guest-kernels test-parts

# The first step may install the packages that the next ones are chosen by, so these are two runs of make.
run: packages
	@mkdir -p $(BUILD)
	@$(MAKE) --no-print-directory -j$(JOBS) hypervisor image >$(BUILD)/run-build.log 2>&1 || \
	    { cat $(BUILD)/run-build.log; exit 1; }
	@tests/run-dom0 --hypervisor $(HYPERVISOR) --smp $(RUN_SMP) --mem $(RUN_MEM) $(RUN_ARGS) -- $(if $(CMD),'$(subst ','\'',$(CMD))')

test: packages
	@mkdir -p $(BUILD)
	@$(MAKE) --no-print-directory -j$(JOBS) test-parts >$(BUILD)/test-build.log 2>&1 || \
	    { tail -n 50 $(BUILD)/test-build.log; exit 1; }
	@$(MAKE) --no-print-directory run-tests

test-parts: all image guest-kernels $(HOST_TESTS) $(FUZZ_TARGETS)
run-tests:
	@$(RUN_TESTS) $(HOST_SPECS) $(GUEST_SPECS) $(SYSTEM_SPECS)

check: $(HOST_TESTS) $(FUZZ_TARGETS)
	@$(RUN_TESTS) $(HOST_SPECS)

check-guest: hypervisor guest-kernels
	@$(RUN_TESTS) --verbose $(GUEST_SPECS)

check-system: all image
	@$(RUN_TESTS) $(SYSTEM_SPECS)

check-long: all image
	@STRESS_SECONDS=$${STRESS_SECONDS:-600} ROUNDS=$${ROUNDS:-200} $(RUN_TESTS) --jobs 1 $(LONG_SPECS)

# Puts every C source into the project's format.
format:
	@git ls-files '*.c' '*.h' | xargs clang-format -i
.PHONY: format run-tests

# The tiny PV kernels, built against the ABI headers of libxen-dev: a judge that is not ours.
GUEST_CFLAGS  := -std=gnu11 -O2 -g -ffreestanding -fno-pic -no-pie -mcmodel=kernel -mno-red-zone -mgeneral-regs-only \
                 -fno-stack-protector -fcf-protection=none -fno-asynchronous-unwind-tables -fno-strict-aliasing \
                 $(filter-out -Wundef -Wvla,$(WARNINGS)) -D__XEN_INTERFACE_VERSION__=0x00040e00 -Itests/guest/lib
GUEST_LIB_SRC := $(wildcard tests/guest/lib/*.c tests/guest/lib/*.S)
GUEST_LIB_OBJ := $(patsubst %,$(BUILD)/obj/%.o,$(basename $(GUEST_LIB_SRC)))
guest-kernels: $(GUEST_KERNELS)
$(BUILD)/obj/tests/guest/%.o: tests/guest/%.c
	@mkdir -p $(@D)
	$(CC) $(GUEST_CFLAGS) -MMD -MP -c -o $@ $<
$(BUILD)/obj/tests/guest/%.o: tests/guest/%.S
	@mkdir -p $(@D)
	$(CC) $(GUEST_CFLAGS) -MMD -MP -c -o $@ $<
$(BUILD)/guest/%.elf: $(BUILD)/obj/tests/guest/cases/%/main.o $(GUEST_LIB_OBJ) tests/guest/lib/kernel.lds
	@mkdir -p $(@D)
	ld -m elf_x86_64 -static -z noexecstack --no-warn-rwx-segments -z max-page-size=4096 -T tests/guest/lib/kernel.lds -o $@ $(filter %.o,$^)
-include $(patsubst %.o,%.d,$(GUEST_LIB_OBJ) $(patsubst %,$(BUILD)/obj/tests/guest/cases/%/main.o,$(GUEST_CASES)))
.SECONDARY: $(GUEST_LIB_OBJ) $(patsubst %,$(BUILD)/obj/tests/guest/cases/%/main.o,$(GUEST_CASES))

# Counting instructions beside Xen 4.17: tests/bench. Other benches (BENCHES) are programs that print their own table.
BENCH_DIR := $(BUILD)/bench
$(BENCH_DIR)/counter.so: tests/bench/counter/counter.c tests/bench/counter/qemu_plugin.h
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 $(WARNINGS) -shared -fPIC -fvisibility=hidden -o $@ $<
$(BENCH_DIR)/bench: tests/bench/dom0/bench.c tests/bench/marker.h
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -D_GNU_SOURCE $(WARNINGS) -static -o $@ $<
$(BENCH_DIR)/timed: tests/bench/toolstack/timed.c tests/bench/marker.h
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -D_GNU_SOURCE $(WARNINGS) -static -o $@ $<
$(BENCH_DIR)/load: tests/bench/drivers/load.c tests/bench/marker.h
	@mkdir -p $(@D)
	$(CC) -std=gnu11 -O2 -D_GNU_SOURCE $(WARNINGS) -static -o $@ $<
$(BENCH_DIR)/bare.elf: tests/bench/kernel/main.c tests/bench/marker.h $(GUEST_LIB_OBJ) tests/guest/lib/kernel.lds
	@mkdir -p $(@D)
	$(CC) $(GUEST_CFLAGS) -c -o $(BENCH_DIR)/bare.o $<
	ld -m elf_x86_64 -static -z noexecstack --no-warn-rwx-segments -z max-page-size=4096 -T tests/guest/lib/kernel.lds \
	    -o $@ $(BENCH_DIR)/bare.o $(GUEST_LIB_OBJ)
$(BENCH_DIR)/vmlinux-%: /boot/vmlinuz-% tests/bench/unpack-kernel
	@mkdir -p $(@D)
	tests/bench/unpack-kernel $< $@

.PHONY: bench bench-parts
bench: packages
	@$(MAKE) --no-print-directory -j$(JOBS) bench-parts
	@status=0; for bench in tests/bench/run tests/bench/toolstack/run $(BENCHES); do echo; $$bench || status=1; done; exit $$status
BENCHES += tests/bench/drivers/run
bench-parts: hypervisor image $(BUILD)/guest/pin.elf \
    $(addprefix $(BENCH_DIR)/,counter.so bench timed load bare.elf vmlinux-$(KERNEL_VERSION)) $(BENCHES)
