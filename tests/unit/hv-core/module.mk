# The concepts of hypervisor/common on the host, on the machine of tests/unit/fake. All of them are one library, built
# once and linked by every test that runs hypervisor code: HV_HOST_LIB with HV_HOST_CFLAGS.
HV_HOST_SOURCES := $(filter-out %/string.c %/libc_shim.c %/kmain.c %/elf.c %/kernel_image.c %/decompress.c, \
                     $(sort $(wildcard hypervisor/common/*.c))) tests/unit/fake/fake.c
HV_HOST_CFLAGS  := -Itests/unit/fake/include -Itests/unit/fake -Ihypervisor/arch/x86/include -DBULKHEAD_DEBUG=1 \
                   -fno-strict-aliasing
HV_HOST_LIB     := $(BUILD)/tests/libhv_host.a

$(HV_HOST_LIB): $(call objects,test-hv-host,$(HV_HOST_SOURCES))
	@mkdir -p $(@D)
	rm -f $@
	ar rcs $@ $^
$(BUILD)/obj/test-hv-host/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(TEST_CFLAGS) $(HV_HOST_CFLAGS) -MMD -MP -c -o $@ $<
-include $(patsubst %.o,%.d,$(call objects,test-hv-host,$(HV_HOST_SOURCES)))

HV_CORE_TESTS := $(patsubst tests/unit/hv-core/test_%.c,%,$(wildcard tests/unit/hv-core/test_*.c))
$(foreach t,$(HV_CORE_TESTS),$(eval $(call host_test,hv_$(t),tests/unit/hv-core/test_$(t).c,$(HV_HOST_CFLAGS),$(HV_HOST_LIB))))

$(eval $(call fuzz_target,hv_cmdline,tests/fuzz/hv-core/fuzz_cmdline.c hypervisor/common/cmdline.c hypervisor/common/printk.c,-Ihypervisor/arch/x86/include,))

# CPUs as threads race through the real scheduler and timers; TSan judges, with accesses marked by READ_ONCE left out.
# It excludes ASan, so this is a build of its own.
HV_SCHED_THREADS := $(BUILD)/tests/hv_sched_threads
HOST_TESTS += $(HV_SCHED_THREADS)
HV_SCHED_THREADS_SOURCES := tests/unit/hv-core/threads.c $(filter-out %/xz.c,$(HV_HOST_SOURCES))
$(HV_SCHED_THREADS): $(HV_SCHED_THREADS_SOURCES) $(wildcard hypervisor/include/bh/*.h)
	@mkdir -p $(@D)
	$(CLANG) $(filter-out -fsanitize% -fno-sanitize%,$(TEST_CFLAGS)) -fsanitize=thread -mllvm -tsan-distinguish-volatile=1 \
	    $(HV_HOST_CFLAGS) -pthread -o $@ $(HV_SCHED_THREADS_SOURCES)
