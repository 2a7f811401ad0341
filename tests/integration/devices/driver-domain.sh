# Back ends in another domain: "two" is a stock guest that runs bh-monitor, bh-blkback and bh-netback for the guest "one".
# Sourced in Dom0; br0 and "one" are there.
prepare_driver() { # a root with our back ends and their libraries in it
    local program library
    cp --sparse=always $guests/root.img /root/two.raw && mkdir -p /mnt/two && mount -o loop /root/two.raw /mnt/two || return
    for program in bh-monitor bh-blkback bh-netback bh-vif-setup; do
        cp /usr/local/bin/$program /mnt/two/usr/local/bin/
        for library in $(ldd /usr/local/bin/$program 2>/dev/null | grep -o '/[^ ]*'); do
            [ -e "/mnt/two$library" ] || cp -L --parents "$library" /mnt/two/
        done
    done
    chroot /mnt/two ldconfig # libxenstore lies in /usr/local/lib
    umount /mnt/two
    cat >two.cfg <<END
name = "two"
kernel = "$guests/vmlinuz"
ramdisk = "$guests/initrd.img"
cmdline = "console=hvc0 root=/dev/xvda bulkhead.name=two bulkhead.udev=no bulkhead.ip=10.77.0.3/24 quiet loglevel=3"
memory = 192
maxmem = 192
vcpus = 1
driver_domain = 1
disk = [ "format=raw, vdev=xvda, access=rw, target=/root/two.raw" ]
vif = [ "mac=00:16:3e:77:00:03, bridge=br0" ]
END
    bh create two.cfg && wait_for 300 shell_there two &&
        in_guest two "modprobe -a xen-gntdev xen-evtchn tun; truncate -s 32M /root/lent.img; /usr/local/bin/bh-monitor && sleep 1; pgrep -a bh-monitor"
}
step "a driver domain: a stock guest with our back ends" prepare_driver
lent_disk() {
    bh block-attach one format=raw,vdev=xvdb,access=rw,backend=two,target=/root/lent.img && bh block-list one | grep "^51728 *$(bh domid two) " &&
        in_guest one "for i in \$(seq 100); do [ -e /sys/block/xvdb ] && break; sleep 0.1; done; head -c 4M /dev/urandom >/tmp/r; dd if=/tmp/r of=/dev/xvdb bs=64k oflag=direct status=none && dd if=/dev/xvdb bs=64k count=64 iflag=direct status=none | cmp - /tmp/r && md5sum /tmp/r"
}
step "block-attach backend=two: written and read back" lent_disk
lent_killed() {
    in_guest two "pkill -9 bh-blkback" && in_guest one "dd if=/dev/xvdb bs=64k count=64 iflag=direct status=none | cmp - /tmp/r"
}
step "its bh-blkback killed: the driver domain's bh-monitor starts it again" lent_killed
lent_gone() {
    bh block-detach one xvdb && in_guest one "for i in \$(seq 100); do [ -e /sys/block/xvdb ] || exit 0; sleep 0.1; done; false" &&
        in_guest two "for i in \$(seq 50); do pgrep bh-blkback || exit 0; sleep 0.1; done; false"
}
step "block-detach" lent_gone
lent_nic() {
    bh network-attach one mac=00:16:3e:77:03:02,backend=two,script=vif-route,ip=10.120.0.2 &&
        in_guest one "sleep 1; ip address add 10.120.0.2/32 dev eth1 && ip link set eth1 up && ip route add 10.77.0.3 dev eth1" &&
        in_guest two "ip route | grep 10.120.0.2; ping -c 1 -W 5 10.120.0.2" && in_guest one "ping -c 1 -W 5 10.77.0.3" &&
        bh network-detach one 00:16:3e:77:03:02
}
step "network-attach backend=two, routed by the driver domain" lent_nic
# The guest loses the device and nothing else. It has read the partitions before: Linux does that with its lock on the disk
# held, and a request which nobody will answer any more would keep that, and whoever syncs, for ever.
driver_dies() {
    bh block-attach one format=raw,vdev=xvdb,access=rw,backend=two,target=/root/lent.img &&
        in_guest one "for i in \$(seq 100); do [ -e /sys/block/xvdb ] && break; sleep 0.1; done; dd if=/dev/xvdb of=/dev/null bs=4k count=1 iflag=direct status=none && udevadm settle && sync" &&
        bh destroy two && within 15 bh block-detach one xvdb
    xenstore-ls -f | grep 51728 | grep -v /error/ && return 1
    in_guest one "ls /sys/block; sync"
}
step "the driver domain is destroyed: the disk can still be removed" driver_dies
