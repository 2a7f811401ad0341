# What the machine layer reads from firmware and boot loader, on the host.
HV_BOOT_SOURCES := hypervisor/arch/x86/boot/e820.c hypervisor/arch/x86/boot/multiboot.c hypervisor/arch/x86/acpi.c
HV_BOOT_CFLAGS  := -Ihypervisor/arch/x86/include

$(foreach t,e820 multiboot acpi,$(eval $(call host_test,hv_$(t),tests/unit/hv-machine/test_$(t).c $(HV_BOOT_SOURCES),$(HV_BOOT_CFLAGS),)))
$(eval $(call fuzz_target,hv_boot_info,tests/fuzz/hv-machine/fuzz_boot_info.c $(HV_BOOT_SOURCES),$(HV_BOOT_CFLAGS),))
