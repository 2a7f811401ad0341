# Runs in Dom0: a bridge, a stock guest, and then what is asked for: block, net, crash.
cd /root || exit 1
. ./shell.sh
modprobe -qa bridge tun loop xen-gntdev xen-evtchn
ip link add br0 type bridge && ip address add 10.77.0.1/24 dev br0 && ip link set br0 up

new_guest() { # new_guest NAME ADDRESS: on a disk of its own that takes only what it writes
    qemu-img create -q -f qcow2 -b $guests/root.img -F raw "$1.qcow2"
    cat >"$1.cfg" <<END
name = "$1"
kernel = "$guests/vmlinuz"
ramdisk = "$guests/initrd.img"
cmdline = "console=hvc0 root=/dev/xvda bulkhead.name=$1 bulkhead.udev=no bulkhead.ip=$2/24 xen_blkfront.max_ring_page_order=2 quiet loglevel=3"
memory = 256
maxmem = 256
vcpus = 2
disk = [ "format=qcow2, vdev=xvda, access=rw, target=/root/$1.qcow2" ]
vif = [ "mac=00:16:3e:77:00:0${2##*.}, bridge=br0" ]
END
    bh create "$1.cfg" && wait_for 300 shell_there "$1"
}

step "a stock guest" new_guest one 10.77.0.2
for part in "$@"; do
    . "./$part.sh"
done
exit $failed
