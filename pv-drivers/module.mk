# Split drivers: the back ends (user space of Dom0), the front end library and the small guest kernel on it.
PV_COMMON := $(addprefix pv-drivers/common/,log.c xenio_linux.c store_xen.c device.c stats.c sandbox.c options.c)
PV_LIBS   := -lxenstore -lseccomp

BLKBACK_SOURCES := $(addprefix pv-drivers/blkback/,main.c vbd.c request.c grants.c image.c image_file.c image_nbd.c \
                   storage_daemon.c qcow2.c)
$(eval $(call program,bh-blkback,$(BLKBACK_SOURCES) $(PV_COMMON),,-luring -lnbd $(PV_LIBS)))
