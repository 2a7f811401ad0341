# Event channels and grants on the host: unit tests, models with random operations, and a thread test under TSan.
HV_EVENTS_TESTS := $(patsubst tests/unit/hv-events/test_%.c,%,$(wildcard tests/unit/hv-events/test_*.c))
$(foreach t,$(HV_EVENTS_TESTS),$(eval $(call host_test,hv_$(t),tests/unit/hv-events/test_$(t).c,$(HV_HOST_CFLAGS),$(HV_HOST_LIB))))
$(foreach t,events grants,$(eval $(call host_test,hv_model_$(t),tests/model/$(t).c,$(HV_HOST_CFLAGS),$(HV_HOST_LIB))))

# Threads race through the real event channel code; TSan judges. It excludes ASan, so this is a build of its own.
HV_THREADS := $(BUILD)/tests/hv_evtchn_threads
HOST_TESTS += $(HV_THREADS)
HV_THREADS_SOURCES := tests/unit/hv-events/threads.c $(wildcard hypervisor/common/evtchn*.c) \
                      $(addprefix hypervisor/common/,subop.c virq.c)
$(HV_THREADS): $(HV_THREADS_SOURCES) hypervisor/common/evtchn_internal.h hypervisor/include/bh/evtchn.h
	@mkdir -p $(@D)
	$(CLANG) $(filter-out -fsanitize% -fno-sanitize%,$(TEST_CFLAGS)) -fsanitize=thread $(HV_HOST_CFLAGS) -pthread -o $@ \
	    $(HV_THREADS_SOURCES)
