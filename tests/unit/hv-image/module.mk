# Kernel files: what the hypervisor reads of them at boot.
HV_IMAGE_SOURCES := $(addprefix hypervisor/common/,elf.c kernel_image.c decompress.c lzma2.c xz.c)
HV_IMAGE_LIBS    := -llzma -lzstd -lz -llz4 -lbz2

$(eval $(call host_test,hv_image,tests/unit/hv-image/test_image.c $(HV_IMAGE_SOURCES),,$(HV_IMAGE_LIBS)))
$(eval $(call fuzz_target,hv_image,tests/fuzz/hv-image/fuzz_image.c $(HV_IMAGE_SOURCES),,$(HV_IMAGE_LIBS)))

XZ_SOURCES := hypervisor/common/lzma2.c hypervisor/common/xz.c
$(eval $(call host_test,hv_xz,tests/unit/hv-image/test_xz.c $(XZ_SOURCES),,-llzma -lz))
$(eval $(call fuzz_target,hv_lzma2,tests/fuzz/hv-image/fuzz_lzma2.c $(XZ_SOURCES),,-llzma -lz))
