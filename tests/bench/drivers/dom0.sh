# Runs in Dom0: two stock guests, one of them with a disk and a card behind each back end that is compared.
#
# usage: dom0.sh clock|count ROWS      prints lines "ROW back-end what value unit", or "MARKED ..." as guest.sh tells
#
# The machine has, behind Dom0's root, a disk of three partitions and two of the guests' roots. Disks of "main", each on
# a file in memory and on a partition: xvdb and xvde ours, xvdc and xvdf QEMU's qdisk, xvdd and xvdg Linux' xen-blkback.
# Cards of both guests: on br0 behind Linux' xen-netback, on br1 ours. xl makes the qdisks, the rest is made by writing
# the store's nodes.
set -u
mode=$1 rows=$2
root=/var/lib/bulkhead/guest
ram=/run/ram
cd /root

fail() {
    echo "DRIVERS failed: $1"
    tail -n 30 main.log peer.log back-ends.log /var/log/xen/qemu* 2>/dev/null
    xl dmesg 2>/dev/null | tail -n 20
    exit 1
}

# device DOMID KIND-OF-BACK-END KIND DEVID FRONT-END'S-NODES -- BACK-END'S-NODES: both directories, in one transaction,
# because Linux looks at a device as soon as its directory appears.
device() {
    local b=/local/domain/0/backend/$2/$1/$4 f=/local/domain/$1/device/$3/$4 words=() base
    base=$f
    for pair in backend=$b backend-id=0 state=1 "${@:5}"; do
        if [ "$pair" = -- ]; then base=$b; else words+=("$base/${pair%%=*}" "${pair#*=}"); fi
    done
    xenstore-write "${words[@]}" $b/frontend $f $b/frontend-id "$1" $b/online 1 $b/state 1 || fail "device $f"
    xenstore-chmod -r $b n0 "r$1"
    xenstore-chmod -r $f "n$1" r0
}

disk() { # disk DOMID DEVID NAME KIND NAME=VALUE...
    device "$1" "$4" vbd "$2" virtual-device="$2" device-type=disk -- mode=w device-type=disk dev="$3" "${@:5}"
}

card() { # card DOMID NUMBER KIND NAME=VALUE...
    local mac=00:16:3e:00:0$2:0$1
    device "$1" "$3" vif "$2" handle="$2" mac=$mac -- handle="$2" mac=$mac bridge=br"$2" "${@:4}"
}

# Ours have kinds that neither Linux' drivers nor xl serve.
our_disk() { # our_disk DOMID DEVID NAME IMAGE
    disk "$1" "$2" "$3" bhdisk params="$4"
    bh-blkback --domid "$1" --devid "$2" --path "/local/domain/0/backend/bhdisk/$1/$2" 2>>back-ends.log &
}

our_card() { # our_card DOMID
    card "$1" 1 bhnet
    bh-netback --domid "$1" --devid 1 --path "/local/domain/0/backend/bhnet/$1/1" 2>>back-ends.log &
}

linux_disk() { # linux_disk DOMID DEVID NAME BLOCK-DEVICE
    disk "$1" "$2" "$3" vbd params="$4" type=phy physical-device="$(stat -c '%t:%T' "$4")" physical-device-path="$4" \
        hotplug-status=connected
}

linux_card() { # linux_card DOMID
    local try
    card "$1" 0 vif script=/bin/true
    for ((try = 0; try < 300; try++)); do
        ip link set "vif$1.0" master br0 up 2>/dev/null && break
        sleep 0.1
    done
    [ $try -lt 300 ] || fail "no vif$1.0"
    xenstore-write "/local/domain/0/backend/vif/$1/0/hotplug-status" connected
}

guest() { # guest NAME MEMORY ROOT-DISK DISKS-OF-XL: built, paused; its number in $domid
    local order
    order=$(base64 -w 0 <<<"exec bash /root/guest.sh $1 $mode $(printf %q "$rows")")
    cat >"$1.cfg" <<END
name = "$1"
kernel = "$root/vmlinuz"
ramdisk = "$root/initrd.img"
memory = $2
vcpus = 1
cmdline = "console=hvc0 quiet root=/dev/xvda bulkhead.name=$1 bulkhead.udev=no bulkhead.run=$order"
disk = [ $4 ]
END
    xl create -p "$1.cfg" >"$1.create" 2>&1 || { cat "$1.create"; fail "xl create $1"; }
    domid=$(xl domid "$1")
    linux_disk "$domid" 51712 xvda "$3"
    linux_card "$domid"
    our_card "$domid"
    (setsid sh -c "xl console $1; echo ENDED" </dev/null >"$1.log" 2>&1 &)
}

modprobe -a xen-gntdev xen-evtchn xen-blkback xen-netback tun bridge loop || fail "modules"
mkdir -p $ram && mount -t tmpfs -o size=400M tmpfs $ram
for name in ours qdisk kernel; do
    dd if=/dev/zero of=$ram/$name bs=1M count=96 status=none || fail "no room for $name"
done
for number in 0 1; do
    ip link add br$number type bridge
    ip address add 10.9.$number.1/24 dev br$number
    ip link set br$number up
done
for disk in /dev/vdc /dev/vdd; do
    mount $disk /mnt && cp guest.sh load /mnt/root/ && umount /mnt || fail "no guest's root on $disk"
done
./load serve &
iperf3 -s -D

guest peer 192 /dev/vdc ""
xl unpause peer
[ -b /dev/vdb3 ] || fail "no disk with three partitions"
# Debian's QEMU for Xen comes without the AIO that direct-io-safe asks for, so qdisk goes through Dom0's page cache.
qdisk="backendtype=qdisk,format=raw,access=rw"
guest main 320 /dev/vdd "'$qdisk,vdev=xvdc,target=$ram/qdisk', '$qdisk,vdev=xvdf,target=/dev/vdb2'"
linux_disk "$domid" 51760 xvdd "$(losetup -f --show $ram/kernel)"
linux_disk "$domid" 51808 xvdg /dev/vdb3
our_disk "$domid" 51728 xvdb $ram/ours
our_disk "$domid" 51776 xvde /dev/vdb1

# A front end that finds a back end not ready waits for minutes.
for path in bhdisk/$domid/51728 bhdisk/$domid/51776 qdisk/$domid/51744 qdisk/$domid/51792 vbd/$domid/51712 \
    vbd/$domid/51760 vbd/$domid/51808 vif/$domid/0 bhnet/$domid/1; do
    for ((try = 0; try < 100; try++)); do
        [ "$(xenstore-read "/local/domain/0/backend/$path/state" 2>/dev/null)" = 2 ] && break
        sleep 0.1
    done
    [ $try -lt 100 ] || { xenstore-ls /local/domain/0/backend; fail "no back end for $path"; }
done
xl unpause main

# The guest says line by line what it found. Nobody looks but when there is a line: it would be counted.
mkfifo lines
tail -n +1 -f main.log >lines &
watcher=$!
grep -qE -m 1 '^(DONE|ENDED)' <lines
kill $watcher
tr -d '\r' <main.log | grep -E '^(ROW|MARKED|DONE|WRONG)'
tail -n 3 back-ends.log
grep -q '^DONE' main.log || fail "the guest did not come to its end"
