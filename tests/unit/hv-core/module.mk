# The concepts of hypervisor/common on the host. HV_HOST: all of them that run there, on the machine of
# tests/unit/fake; the other hv-* folders use it too.
HV_HOST_COMMON := $(filter-out %/string.c %/libc_shim.c %/kmain.c %/elf.c %/kernel_image.c %/decompress.c, \
                    $(sort $(wildcard hypervisor/common/*.c)))
HV_HOST        := $(HV_HOST_COMMON) $(sort $(wildcard tests/unit/fake/*.c))
HV_HOST_CFLAGS := -Itests/unit/fake/include -Itests/unit/fake -Ihypervisor/arch/x86/include -DBULKHEAD_DEBUG=1 \
                  -fno-strict-aliasing

$(foreach t,timer,$(eval $(call host_test,hv_$(t),tests/unit/hv-core/test_$(t).c $(HV_HOST),$(HV_HOST_CFLAGS))))
