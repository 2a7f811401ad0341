# Split drivers: the back ends (user space of Dom0), the front end library and the small guest kernel on it.
PV_COMMON := $(addprefix pv-drivers/common/,log.c xenio_linux.c store_xen.c device.c stats.c sandbox.c options.c)
PV_LIBS   := -lxenstore -lseccomp

BLKBACK_SOURCES := $(addprefix pv-drivers/blkback/,main.c vbd.c request.c grants.c image.c image_file.c image_nbd.c \
                   storage_daemon.c qcow2.c)
$(eval $(call program,bh-blkback,$(BLKBACK_SOURCES) $(PV_COMMON),,-luring -lnbd $(PV_LIBS)))

NETBACK_SOURCES := $(addprefix pv-drivers/netback/,main.c vif.c packet.c steering.c spoof.c tap.c)
$(eval $(call program,bh-netback,$(NETBACK_SOURCES) $(PV_COMMON),,$(PV_LIBS)))

PROGRAMS += $(BUILD)/bin/bh-vif-setup
$(BUILD)/bin/bh-vif-setup: pv-drivers/netback/vif-setup
	@mkdir -p $(@D)
	install -m 755 $< $@
