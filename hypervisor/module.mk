# The hypervisor: build/bulkhead.elf (what loaders load) and build/bulkhead-syms.elf (with symbols, for debuggers).
# `make hypervisor HVCC=clang` builds with clang; DEBUG=y with checks.

HVCC  ?= $(CC)
HVDIR := $(BUILD)/obj/hypervisor

HV_WARNINGS := $(WARNINGS)
HV_CFLAGS := -std=gnu11 -O2 -g -ffreestanding -fno-strict-aliasing -fno-common -fpie -fvisibility=hidden \
             -mno-red-zone -mgeneral-regs-only -fno-stack-protector -fno-asynchronous-unwind-tables -fcf-protection=none \
             -fno-omit-frame-pointer -momit-leaf-frame-pointer $(HV_WARNINGS) \
             -DBULKHEAD_VERSION='"$(VERSION)"' -I$(HVDIR)/include -Ihypervisor/include \
             -Ihypervisor/arch/x86/include
# Indirect branches by thunks (arch/x86/entry.S), which boot makes safe where the CPU needs it.
HV_CFLAGS += -fno-jump-tables $(if $(findstring clang,$(HVCC)),-mretpoline -mretpoline-external-thunk,-mindirect-branch=thunk-extern -mindirect-branch-register)
ifeq ($(DEBUG),y)
HV_CFLAGS += -DBULKHEAD_DEBUG=1
else
HV_CFLAGS += -fomit-frame-pointer
endif

HV_SOURCES := $(sort $(wildcard hypervisor/common/*.c hypervisor/arch/x86/*.c hypervisor/arch/x86/*/*.c))
HV_SOURCES := $(filter-out hypervisor/arch/x86/asm_offsets.c,$(HV_SOURCES))
HV_ASM     := $(sort $(wildcard hypervisor/arch/x86/*.S hypervisor/arch/x86/*/*.S))
HV_OBJECTS := $(patsubst %.c,$(HVDIR)/%.o,$(HV_SOURCES)) $(patsubst %.S,$(HVDIR)/%.S.o,$(HV_ASM))
HV_OFFSETS := $(HVDIR)/include/asm/offsets.h
# Decompressors for kernel images: used once at boot (common/kernel_image.c).
HV_LIBS    := $(foreach lib,zstd z lz4 bz2 gcc,$(shell $(CC) -print-file-name=lib$(lib).a))

.PHONY: hypervisor
hypervisor: $(BUILD)/bulkhead.elf

$(HVDIR)/asm_offsets.s: hypervisor/arch/x86/asm_offsets.c
	@mkdir -p $(@D)
	@$(HVCC) $(HV_CFLAGS) -fno-verbose-asm -MMD -MP -MT $@ -MF $(@:.s=.d) -S -o $@ $<
$(HV_OFFSETS): $(HVDIR)/asm_offsets.s
	@mkdir -p $(@D)
	@sed -n 's/^.*->\([A-Za-z0-9_]*\) [$$]*\(-\{0,1\}[0-9]*\).*/#define \1 \2/p' $< > $@
-include $(HVDIR)/asm_offsets.d

$(HVDIR)/%.o: %.c
	@mkdir -p $(@D)
	@echo "  CC      $<"
	@$(HVCC) $(HV_CFLAGS) -include asm/hidden.h -MMD -MP -c -o $@ $<
$(HVDIR)/%.S.o: %.S $(HV_OFFSETS)
	@mkdir -p $(@D)
	@echo "  AS      $<"
	@$(HVCC) $(HV_CFLAGS) -D__ASSEMBLER__=1 -MMD -MP -c -o $@ $<
-include $(patsubst %.o,%.d,$(HV_OBJECTS))

$(BUILD)/bulkhead-syms.elf: hypervisor/arch/x86/link.ld $(HV_OBJECTS)
	@mkdir -p $(@D)
	@echo "  LD      $@"
	@ld -nostdlib -static -no-pie -z max-page-size=4096 -z noexecstack --no-relax --no-warn-rwx-segments --build-id=sha1 \
	   -T $< -o $@ $(HV_OBJECTS) --start-group $(HV_LIBS) --end-group

# The container: the loaded bytes as one segment of a 32-bit ELF, entry at its first byte.
$(HVDIR)/image.bin: $(BUILD)/bulkhead-syms.elf
	@objcopy -O binary $< $@
$(BUILD)/bulkhead.elf: $(HVDIR)/image.bin hypervisor/arch/x86/container.ld
	@ld -m elf_i386 -r -b binary -o $(HVDIR)/image.o $<
	@ld -m elf_i386 -nostdlib -z noexecstack -z max-page-size=4096 --no-warn-rwx-segments --build-id=none \
	   --defsym=memory_size=0x$$(nm $(BUILD)/bulkhead-syms.elf | sed -n 's/ . image_memory_size$$//p') \
	   -T hypervisor/arch/x86/container.ld -o $@ $(HVDIR)/image.o

-include $(sort $(wildcard tests/unit/hv-*/module.mk))
CLEAN_SOURCES += $(HV_SOURCES)
