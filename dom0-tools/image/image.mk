# The images: Dom0's and the guests' roots. Each stage is kept and made again only when what it is made of changes.
# The package stages take about half a minute each, the disk stages two seconds.
IMAGES  := $(BUILD)/images
IMAGE   := dom0-tools/image
KERNEL_VERSION ?= $(shell ls -v /boot/vmlinuz-*-amd64 2>/dev/null | grep -v -e cloud -e -rt- | sed -n 's,.*vmlinuz-,,;$$p')
KERNEL  := /boot/vmlinuz-$(KERNEL_VERSION)

IMAGE_PROGRAMS = $(PROGRAMS) $(LIBRARIES)
overlay_files = $(shell find $(IMAGE)/overlay-common $(IMAGE)/overlay-$(1) -type f)

$(IMAGES)/%-base.stamp: $(IMAGE)/%.packages $(IMAGE)/root
	@mkdir -p $(@D)
	$(IMAGE)/root $< $(IMAGES)/$*-base $(BUILD)/debs
	@touch $@

$(IMAGES)/initrd-%.cpio: $(addprefix $(IMAGE)/,initrd init modules.list modules.py cpio.py)
	$(IMAGE)/initrd --kernel-version $* --output $@

$(IMAGES)/guest.ext4: $(IMAGES)/guest-base.stamp $(IMAGE)/disk $(IMAGE)/modules.list $(call overlay_files,guest)
	$(IMAGE)/disk --base $(IMAGES)/guest-base --label guest --free 96 --output $@ --overlay $(IMAGE)/overlay-common \
	    --overlay $(IMAGE)/overlay-guest --kernel-version $(KERNEL_VERSION) --modules guest

# The guests' kernel is prepared (bh prepare-kernel), as it is on a machine where it was installed.
$(IMAGES)/prepared.stamp: $(KERNEL) $(BUILD)/bin/bh $(LIBBULKHEAD_UNPACK)
	rm -rf $(IMAGES)/prepared
	BULKHEAD_RUN_DIR=$(IMAGES)/prepared-run BULKHEAD_CACHE_DIR=$(IMAGES)/prepared/var/cache/bulkhead \
	    sh -c 'mkdir -p $$BULKHEAD_CACHE_DIR && $(BUILD)/bin/bh prepare-kernel $<'
	@touch $@

# Our programs lie in /usr/local, the guests' kernel, initrd and root in /var/lib/bulkhead/guest.
DOM0_DISK = $(IMAGE)/disk --base $(IMAGES)/dom0-base --label dom0 --free 512 --overlay $(IMAGE)/overlay-common \
    --overlay $(IMAGE)/overlay-dom0 \
    --overlay $(IMAGES)/prepared --kernel-version $(KERNEL_VERSION) --modules dom0 \
    $(foreach program,$(filter $(BUILD)/bin/%,$(IMAGE_PROGRAMS)),--file $(program):usr/local/bin/$(notdir $(program))) \
    $(foreach library,$(filter $(BUILD)/lib/lib%.so $(BUILD)/lib/lib%.so.1 $(BUILD)/lib/lib%.so.4,$(IMAGE_PROGRAMS)),--file $(library):usr/local/lib/$(notdir $(library))) \
    --file /bin/busybox:usr/bin/busybox \
    --file $(KERNEL):var/lib/bulkhead/guest/vmlinuz \
    --file $(IMAGES)/initrd-$(KERNEL_VERSION).cpio:var/lib/bulkhead/guest/initrd.img \
    --file $(IMAGES)/guest.ext4:var/lib/bulkhead/guest/root.img
$(IMAGES)/dom0.ext4: $(IMAGES)/dom0-base.stamp $(IMAGES)/guest.ext4 $(IMAGES)/initrd-$(KERNEL_VERSION).cpio \
    $(IMAGE)/disk $(IMAGE)/modules.list $(call overlay_files,dom0) $(IMAGE_PROGRAMS) \
    $(IMAGES)/prepared.stamp
	$(DOM0_DISK) --output $@

.PHONY: image
image: $(IMAGES)/dom0.ext4

# The ISO: GRUB for BIOS and UEFI, the hypervisor, and the same Dom0 root as a compressed file.
$(IMAGES)/dom0.squashfs: $(IMAGES)/dom0.ext4
	$(DOM0_DISK) --squashfs --output $@
$(BUILD)/bulkhead.iso: $(BUILD)/bulkhead.elf $(IMAGES)/dom0.squashfs $(IMAGE)/iso
	ISO_TIMEOUT=3 $(IMAGE)/iso $@ $(BUILD)/bulkhead.elf "console=com1,vga com1=115200,8n1" $(KERNEL) \
	    "console=tty0 console=hvc0 root=iso" $(IMAGES)/initrd-$(KERNEL_VERSION).cpio $(IMAGES)/dom0.squashfs
.PHONY: iso
iso: packages
	@$(MAKE) --no-print-directory hypervisor $(BUILD)/bulkhead.iso
