# Kernel files: what the hypervisor reads of them at boot.
HV_IMAGE_SOURCES := hypervisor/common/elf.c hypervisor/common/kernel_image.c hypervisor/common/decompress.c
HV_IMAGE_LIBS    := -llzma -lzstd -lz -llz4 -lbz2

$(eval $(call host_test,hv_image,tests/unit/hv-image/test_image.c $(HV_IMAGE_SOURCES),,$(HV_IMAGE_LIBS)))
$(eval $(call fuzz_target,hv_image,tests/fuzz/hv-image/fuzz_image.c $(HV_IMAGE_SOURCES),,$(HV_IMAGE_LIBS)))
