# Split drivers: the back ends (user space of Dom0), the front end library and the small guest kernel on it.
PV_COMMON := $(addprefix pv-drivers/common/,log.c xenio_linux.c store_xen.c device.c stats.c sandbox.c options.c serve.c uring.c)
PV_LIBS   := -lxenstore -lseccomp -luring

BLKBACK_SOURCES := $(addprefix pv-drivers/blkback/,main.c vbd.c request.c grants.c image.c image_file.c image_nbd.c \
                   storage_daemon.c qcow2.c)
$(eval $(call program,bh-blkback,$(BLKBACK_SOURCES) $(PV_COMMON),,-lnbd $(PV_LIBS)))

NETBACK_SOURCES := $(addprefix pv-drivers/netback/,main.c vif.c packet.c steering.c spoof.c tap.c)
$(eval $(call program,bh-netback,$(NETBACK_SOURCES) $(PV_COMMON),,$(PV_LIBS)))

PROGRAMS += $(BUILD)/bin/bh-vif-setup
$(BUILD)/bin/bh-vif-setup: pv-drivers/netback/vif-setup
	@mkdir -p $(@D)
	install -m 755 $< $@

# The front end library and the guest kernel: freestanding, no floating point, no red zone.
PV_FRONTEND  := $(addprefix pv-drivers/frontend/,text.c event.c grant.c xenbus.c console.c blkfront.c netfront.c)
PV_GUEST     := $(addprefix pv-drivers/guest/,kernel.c commands.c hostile.c control.c net.c tcp.c)
PV_GUEST_CFLAGS := -std=gnu11 -O2 -g -ffreestanding -fno-pic -fno-stack-protector -mno-red-zone -mgeneral-regs-only \
                -fno-asynchronous-unwind-tables -fcf-protection=none $(WARNINGS) -Ihypervisor/include
PV_GUEST_OBJECTS := $(call objects,pv-guest,$(PV_FRONTEND) $(PV_GUEST)) $(BUILD)/obj/pv-guest/pv-drivers/guest/start.o

$(BUILD)/obj/pv-guest/%.o: %.c
	@mkdir -p $(@D)
	$(CC) $(PV_GUEST_CFLAGS) -MMD -MP -c -o $@ $<
$(BUILD)/obj/pv-guest/%.o: %.S
	@mkdir -p $(@D)
	$(CC) $(PV_GUEST_CFLAGS) -MMD -MP -c -o $@ $<
$(BUILD)/lib/libpvfront.a: $(call objects,pv-guest,$(PV_FRONTEND))
	@mkdir -p $(@D)
	$(AR) rcs $@ $^
$(BUILD)/pv-guest.elf: $(PV_GUEST_OBJECTS) pv-drivers/guest/guest.ld
	$(CC) -nostdlib -static -no-pie -Wl,--build-id=none -Wl,-z,max-page-size=4096 -T pv-drivers/guest/guest.ld -o $@ $(PV_GUEST_OBJECTS)
-include $(PV_GUEST_OBJECTS:.o=.d)
LIBRARIES += $(BUILD)/lib/libpvfront.a
PROGRAMS  += $(BUILD)/pv-guest.elf

# Host tests: the same sources, with Xen, the store and the disk in plain memory.
PV_TEST := tests/unit/pv-drivers
PV_FAKE := $(PV_TEST)/front.c
PV_VBD  := pv-drivers/blkback/vbd.c pv-drivers/blkback/request.c pv-drivers/blkback/grants.c pv-drivers/common/log.c
$(eval $(call host_test,pv-ring,$(PV_TEST)/test_ring.c,,))
$(eval $(call host_test,pv-vbd,$(PV_TEST)/test_vbd.c $(PV_FAKE) $(PV_VBD),,))
$(eval $(call host_test,pv-request,$(PV_TEST)/test_request.c pv-drivers/blkback/request.c pv-drivers/blkback/qcow2.c,,))
PV_PACKET := $(addprefix pv-drivers/netback/,packet.c steering.c spoof.c)
$(eval $(call host_test,pv-packet,$(PV_TEST)/test_packet.c $(PV_PACKET),,))
$(eval $(call host_test,pv-device,$(PV_TEST)/test_device.c $(PV_TEST)/fake_store.c pv-drivers/common/device.c \
	pv-drivers/common/log.c,,))
$(eval $(call host_test,pv-vif,$(PV_TEST)/test_vif.c $(PV_FAKE) $(PV_PACKET) pv-drivers/netback/vif.c \
	pv-drivers/common/log.c pv-drivers/common/uring.c,,-luring))
$(eval $(call host_test,pv-tcp,$(PV_TEST)/test_tcp.c pv-drivers/guest/tcp.c,,))
$(eval $(call host_test,pv-uring,$(PV_TEST)/test_uring.c pv-drivers/common/uring.c pv-drivers/common/log.c,,-luring))
$(eval $(call host_test,pv-io-abi,$(addprefix $(PV_TEST)/,test_io_abi.c abi_ours.c abi_xens.c),,))

PV_FUZZ := tests/fuzz/pv-drivers
$(eval $(call fuzz_target,pv-blk-request,$(PV_FUZZ)/blk_request.c pv-drivers/blkback/request.c,,))
$(eval $(call fuzz_target,pv-net-packet,$(PV_FUZZ)/net_packet.c $(PV_PACKET),,))
$(eval $(call fuzz_target,pv-net-control,$(PV_FUZZ)/net_control.c $(PV_PACKET),,))
$(eval $(call fuzz_target,pv-qcow2,$(PV_FUZZ)/qcow2_head.c pv-drivers/blkback/qcow2.c,,))
