# Runs in Dom0: two stock guests made by bh, each with its root and two more disks (raw and qcow2), and a card.
#
# usage: inside.sh SECONDS
#
# In each guest fio writes and verifies both disks while iperf3 sends: alpha to Dom0, beta to alpha.
set -u
seconds=$1
guests=/var/lib/bulkhead/guest
consoles=/var/log/bulkhead/console
cd /root

fail() {
    echo "STEP $1: NOT OK"
    bh list
    tail -n 30 $consoles/guest-*.log
    exit 1
}

# What a guest does, in a form that fits into its command line; it stays until who sends to it has ended.
order() { # order ADDRESS-TO-SEND-TO
    base64 -w 0 <<END
iperf3 -s -D >/dev/null
for d in xvdb xvdc; do
fio --name=\$d --filename=/dev/\$d --rw=randrw --bsrange=4k-128k --iodepth=16 --direct=1 --ioengine=libaio \
--verify=crc32c --verify_backlog=64 --verify_fatal=1 --time_based --runtime=$seconds --eta=never >\$d.log 2>&1 &
eval \$d=\$!
done
until ping -c 1 -W 1 $1 >/dev/null; do :; done
sleep 5
iperf3 -t $seconds -i 0 -c $1 || echo "LONG net failed"
wait \$xvdb && wait \$xvdc || { echo "LONG disk failed"; cat xvd?.log; }
grep -E "read:|write:|err=" xvd?.log
while ss -tn|grep -q ]:5201; do sleep 1; done
echo "LONG end"
END
}

guest() { # guest NAME NUMBER ADDRESS-TO-SEND-TO
    qemu-img create -q -f qcow2 -b $guests/root.img -F raw "$1.root" && truncate -s 128M "$1.raw" &&
        qemu-img create -q -f qcow2 "$1.qcow2" 128M || fail "disks of $1"
    cat >"$1.cfg" <<END
name = "$1"
type = "pv"
kernel = "$guests/vmlinuz"
ramdisk = "$guests/initrd.img"
memory = 256
vcpus = 1
cmdline = "console=hvc0 quiet root=/dev/xvda bulkhead.name=$1 bulkhead.udev=no bulkhead.ip=10.78.0.$2/24 bulkhead.run=$(order "$3")"
disk = [ "format=qcow2, vdev=xvda, access=rw, target=/root/$1.root", "format=raw, vdev=xvdb, access=rw, target=/root/$1.raw",
         "format=qcow2, vdev=xvdc, access=rw, target=/root/$1.qcow2" ]
vif = [ "mac=00:16:3e:78:00:0$2, bridge=br0" ]
END
    bh create "$1.cfg" || fail "bh create $1"
}

modprobe -a xen-gntdev xen-evtchn tun bridge
ip link add br0 type bridge && ip address add 10.78.0.1/24 dev br0 && ip link set br0 up || fail "bridge"
iperf3 -s -D
guest alpha 2 10.78.0.1
guest beta 3 10.78.0.2
for name in alpha beta; do
    log=$consoles/guest-$name.log
    for ((waited = 0; waited < seconds * 3 + 300; waited++)); do
        grep -qa "^LONG end" $log && break
        sleep 1
    done
    tr -d '\r' <$log | grep -aE "LONG|sender|receiver|err=|read:|write:" | sed "s/^/$name: /"
    grep -qa "^LONG end" $log || fail "$name"
    ! grep -qaE "LONG (net|disk) failed|err= *[1-9]|I/O error|BUG|Call Trace" $log || fail "$name"
    echo "STEP $name: ok"
done
dmesg | grep -E "Bad page|BUG|WARNING|Call Trace" && fail "Dom0's kernel"
exit 0
