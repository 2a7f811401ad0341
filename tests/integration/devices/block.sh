# Disks that come and go while a stock guest runs. Sourced in Dom0 after shell.sh; the guest "one" is up.
id=$(bh domid one)
image=/root/data.img

attach() { # attach [FURTHER PARAMETERS]: $image as xvdb
    bh block-attach one "format=raw,vdev=xvdb,access=rw,${1:+$1,}target=$image" && bh block-list one | grep -q "^51728 "
}

sees() { # sees VDEV BLOCKS: the guest has a disk of so many KiB
    in_guest one "for i in \$(seq 100); do grep -E ' $2 $1\$' /proc/partitions && break; sleep 0.1; done"
}

sees_no() { # the guest has no such disk
    in_guest one "for i in \$(seq 100); do grep -q ' $1\$' /proc/partitions || exit 0; sleep 0.1; done; false"
}

serving() { # the processes that serve xvdb
    pgrep -f "bh-blkback.*--devid 51728|qemu-storage-daemon.*-51728\."
}

nothing_left() { # of the disk xvdb: no node, no process, no file
    wait_for 60 no_traces || {
        traces
        return 1
    }
}
traces() {
    xenstore-ls -f | grep -E "/(vbd|qdisk)/($id/)?51728" | grep -v "^/local/domain/$id/error"
    serving
    ls /run/bulkhead /run/bulkhead/backends | grep 51728
    losetup -a | grep data.img
    true
}
no_traces() {
    [ -z "$(traces)" ]
}

truncate -s 64M $image

plug() {
    attach && sees xvdb $(($(stat -c %s $image) / 1024))
}
step "block-attach: the guest sees the disk" plug

contents() {
    in_guest one "mkfs.ext4 -q -F /dev/xvdb && mount /dev/xvdb /mnt && head -c 24M /dev/urandom >/mnt/f && sync && md5sum /mnt/f"
}
step "a file system on it" contents
# What the disk's counter WORD says (docs/pv-drivers.md, Counters).
counter() {
    echo $(($(od -An -t u8 -j $(($1 * 8)) -N 8 "/run/bulkhead/vbd-$id-51728.stats")))
}
rings() { # 8 MiB in requests of 128 KiB, which direct requests of eleven pages could not be
    local before
    xenstore-ls "/local/domain/$id/device/vbd/51728"
    before=$(counter 2)
    in_guest one "dd if=/dev/xvdb of=/dev/null bs=1M count=8 iflag=direct" || return
    echo "$(($(counter 2) - before)) reads"
    [ $(($(counter 2) - before)) -le 100 ] &&
        [ "$(xenstore-read "/local/domain/$id/device/vbd/51728/ring-page-order")" = 2 ] &&
        [ "$(xenstore-read "/local/domain/$id/device/vbd/51728/multi-queue-num-queues")" = 2 ] &&
        [ "$(xenstore-read "/local/domain/$id/device/vbd/51728/feature-persistent")" = 1 ]
}
step "two queues with rings of four pages, indirect descriptors, persistent grants" rings
statistics() {
    bh list --json -l one >/root/list.json && bh top -b -i 1 --json >/root/top.json || return
    grep -E '"block_|"net_' /root/list.json /root/top.json
    [ "$(counter 7)" -gt 0 ] && grep -q "\"block_write_sectors\": $(counter 7)\$" <(tr -d , </root/list.json) &&
        grep -qE '"net_tx_bytes": [1-9]' /root/list.json && grep -qE '"block_reads": [1-9]' /root/top.json
}
step "statistics in bh list --json and bh top" statistics
trim() {
    local before after
    before=$(du -k $image | cut -f1)
    in_guest one "rm /mnt/f; sync; fstrim -v /mnt" && in_guest one "umount /mnt" && after=$(du -k $image | cut -f1)
    echo "before $before KiB, after $after KiB"
    [ $((before - after)) -ge 20000 ]
}
step "fstrim in the guest gives the file's blocks back" trim

grow() {
    truncate -s 96M $image && xenstore-write "/local/domain/0/backend/qdisk/$id/51728/resize" 1 && sees xvdb 98304 &&
        in_guest one "blockdev --getsize64 /dev/xvdb; blockdev --flushbufs /dev/xvdb; head -c 1M /dev/urandom | dd of=/dev/xvdb bs=1M seek=95 oflag=direct"
}
step "grown while in use, written at its new end" grow

unplug() {
    bh block-detach one xvdb && sees_no xvdb && nothing_left
}
step "block-detach: it is gone, and nothing of it is left" unplug

paused() {
    attach && sees xvdb 98304 && bh pause one || return
    within 15 bh block-detach one xvdb || return
    bh unpause one && nothing_left && sees_no xvdb
}
step "detached from a paused guest" paused
stopped() {
    attach && sees xvdb 98304 || return
    kill -STOP "$(serving)"
    within 15 bh block-detach one xvdb || return
    kill -CONT "$(serving)"
    nothing_left && sees_no xvdb
}
step "detached with a back end that does not answer" stopped
dead() {
    attach && sees xvdb 98304 || return
    kill -STOP "$(pgrep -x bh-monitor)"
    kill -9 "$(serving)"
    within 15 bh block-detach one xvdb || return
    kill -CONT "$(pgrep -x bh-monitor)"
    nothing_left && sees_no xvdb
}
step "detached with a back end that is dead" dead
dead_qcow2() {
    qemu-img create -q -f qcow2 /root/data.qcow2 64M
    bh block-attach one format=qcow2,vdev=xvdb,access=rw,target=/root/data.qcow2 && sees xvdb 65536 || return
    kill -STOP "$(pgrep -x bh-monitor)"
    pkill -9 -f "bh-blkback.*--devid 51728"
    within 15 bh block-detach -f one xvdb || return
    kill -CONT "$(pgrep -x bh-monitor)"
    nothing_left && sees_no xvdb
}
step "detached by force, qcow2, back end dead: its storage daemon ends too" dead_qcow2
hasty() { # the guest may still be connecting when the end comes
    local round
    for round in 1 2 3; do
        attach && within 15 bh block-detach one xvdb && nothing_left && sees_no xvdb || return
    done
}
step "attached and detached at once, three times" hasty
again() {
    plug && unplug
}
step "and it still works" again

twice() {
    local text
    plug || return
    text=$(bh block-attach one "format=raw,vdev=xvdc,access=rw,target=$image" 2>&1) && return 1
    echo "$text"
    grep -q "in use by someone else" <<<"$text" && bh block-list one | grep -qv "^51744 "
}
step "an image in use is refused a second time, and it is said why" twice
untold() {
    local text
    text=$(bh block-attach one "format=raw,vdev=xvdb,access=rw,target=$image" 2>&1) && return 1
    grep -q "has a disk xvdb already" <<<"$text" && in_guest one "dd if=/dev/xvdb of=/dev/null bs=1M count=1"
}
step "a vdev in use is refused" untold
step "gone" unplug

readonly_disk() {
    bh block-attach one "format=raw,vdev=xvdb,access=ro,target=$image" && sees xvdb 98304 &&
        in_guest one "[ \$(cat /sys/block/xvdb/ro) = 1 ] && dd if=/dev/xvdb of=/dev/null bs=1M count=1 && ! dd if=/dev/zero of=/dev/xvdb bs=4k count=1 oflag=direct"
}
step "read-only" readonly_disk
shared() {
    bh block-attach one "format=raw,vdev=xvdc,access=ro,target=$image" && sees xvdc 98304 &&
        in_guest one "cmp -n 1000000 /dev/xvdb /dev/xvdc" && bh block-detach one xvdc
}
step "a second reader of the same image" shared
step "gone" unplug

drive() {
    truncate -s 8M /root/cd1.iso && truncate -s 12M /root/cd2.iso && echo first >/root/cd1.txt && echo second >/root/cd2.txt
    dd if=/root/cd1.txt of=/root/cd1.iso conv=notrunc status=none
    dd if=/root/cd2.txt of=/root/cd2.iso conv=notrunc status=none
    bh block-attach one "format=raw,vdev=xvdb,access=ro,devtype=cdrom,target=/root/cd1.iso" && sees xvdb 8192 &&
        in_guest one "[ \"\$(head -n 1 /dev/xvdb)\" = first ]"
}
step "CD-ROM drive" drive
eject() {
    bh cd-eject one xvdb && in_guest one "for i in \$(seq 100); do [ \$(cat /sys/block/xvdb/size) = 0 ] && exit; sleep 0.1; done; false"
}
step "cd-eject: the drive is empty" eject
insert() {
    bh cd-insert one xvdb /root/cd2.iso && sees xvdb 12288 && in_guest one "blockdev --flushbufs /dev/xvdb; [ \"\$(head -n 1 /dev/xvdb)\" = second ]"
}
step "cd-insert: another medium, its size and contents" insert
bad_medium() {
    local text
    : >/root/empty.iso
    text=$(bh cd-insert one xvdb /root/empty.iso 2>&1) && return 1
    echo "$text"
    grep -q "less than one sector" <<<"$text" && sees xvdb 12288 && in_guest one "blockdev --flushbufs /dev/xvdb; [ \"\$(head -n 1 /dev/xvdb)\" = second ]"
}
step "a medium that cannot be used: refused, the old one stays" bad_medium
step "gone" unplug

disposable() {
    local before
    before=$(md5sum <$image)
    bh block-attach one "format=raw,vdev=xvdb,access=rw,overlay=/root/data.over,target=$image" && sees xvdb 98304 &&
        in_guest one "head -c 1M /dev/urandom | dd of=/dev/xvdb bs=1M oflag=direct status=none; dd if=/dev/xvdb bs=1M count=1 iflag=direct status=none | md5sum" &&
        unplug && [ "$before" = "$(md5sum <$image)" ] && [ "$(stat -c %s /root/data.over)" -gt 1000000 ]
}
step "a disposable overlay takes the writes" disposable
dropped() { # kept while its file is there, gone with it
    local base first second
    base=$(head -c 1M $image | md5sum)
    bh block-attach one "format=raw,vdev=xvdb,access=rw,overlay=/root/data.over,target=$image" && sees xvdb 98304 &&
        first=$(in_guest one "dd if=/dev/xvdb bs=1M count=1 iflag=direct status=none | md5sum") && unplug && rm /root/data.over &&
        bh block-attach one "format=raw,vdev=xvdb,access=rw,overlay=/root/data.over,target=$image" && sees xvdb 98304 &&
        second=$(in_guest one "dd if=/dev/xvdb bs=1M count=1 iflag=direct status=none | md5sum") && unplug && rm /root/data.over
    echo "image $base, kept $first, dropped $second"
    [ -n "$first" ] && [ "$first" != "$base" ] && [ "$second" = "$base" ]
}
step "the overlay is kept, and dropped with its file" dropped
chain() {
    qemu-img create -q -f qcow2 -b $image -F raw /root/mid.qcow2 && qemu-img create -q -f qcow2 -b /root/mid.qcow2 -F qcow2 /root/top.qcow2 &&
        qemu-img snapshot -c before /root/top.qcow2 &&
        bh block-attach one format=qcow2,vdev=xvdb,access=rw,target=/root/top.qcow2 && sees xvdb 98304 &&
        in_guest one "head -c 1M /dev/urandom | dd of=/dev/xvdb bs=1M oflag=direct status=none" && unplug &&
        ! qemu-img compare -q -f qcow2 /root/top.qcow2 -F raw $image && qemu-img snapshot -a before /root/top.qcow2 &&
        qemu-img compare -q -f qcow2 /root/top.qcow2 -F raw $image && qemu-img check -q /root/top.qcow2 &&
        bh block-attach one format=qcow2,vdev=xvdb,access=rw,target=/root/top.qcow2 && sees xvdb 98304 && unplug
}
step "qcow2: two backing files, an internal snapshot taken before and applied after" chain
loop() {
    local text
    qemu-img create -q -f qcow2 /root/a.qcow2 1M && qemu-img rebase -q -u -f qcow2 -b /root/a.qcow2 -F qcow2 /root/a.qcow2
    text=$(bh block-attach one format=qcow2,vdev=xvdb,access=rw,target=/root/a.qcow2 2>&1) && return 1
    echo "$text"
    grep -qi "loop\|deeper" <<<"$text" && nothing_left
}
step "qcow2: a loop of backing files is refused" loop

limited() {
    attach iops=20 && sees xvdb 98304 &&
        in_guest one "s=\$EPOCHREALTIME; dd if=/dev/xvdb of=/dev/null bs=4k count=60 iflag=direct status=none; awk -v a=\$s -v b=\$EPOCHREALTIME 'BEGIN { print b - a; exit !(b - a > 2 && b - a < 20) }'" && unplug &&
        attach bandwidth=2000000 && sees xvdb 98304 &&
        in_guest one "s=\$EPOCHREALTIME; dd if=/dev/xvdb of=/dev/null bs=512k count=12 iflag=direct status=none; awk -v a=\$s -v b=\$EPOCHREALTIME 'BEGIN { print b - a; exit !(b - a > 2 && b - a < 20) }'" && unplug
}
step "limits of operations and of bytes a second" limited
burst() { # five seconds of allowance saved up: ninety requests as fast as it goes, the next ninety at twenty a second
    attach iops=20,burst=5000 && sees xvdb 98304 &&
        in_guest one "sleep 2; s=\$EPOCHREALTIME; dd if=/dev/xvdb of=/dev/null bs=4k count=90 iflag=direct status=none; m=\$EPOCHREALTIME; dd if=/dev/xvdb of=/dev/null bs=4k count=90 iflag=direct status=none; awk -v a=\$s -v b=\$m -v c=\$EPOCHREALTIME 'BEGIN { print b - a, c - b; exit !(c - a > 3.9 && b - a < 0.7 * (c - b)) }'"
    local status=$?
    unplug && return $status
}
step "a limit's burst" burst

secure() { # what was there cannot be read afterwards; without the key the guest is not offered it
    attach && sees xvdb 98304 && ! in_guest one "blkdiscard -s -o 1M -l 1M /dev/xvdb" && unplug || return
    attach secure-erase && sees xvdb 98304 &&
        in_guest one "head -c 4M /dev/urandom | dd of=/dev/xvdb bs=1M iflag=fullblock oflag=direct status=none && blkdiscard -s -o 1M -l 1M /dev/xvdb && dd if=/dev/xvdb bs=1M skip=1 count=1 iflag=direct status=none | tr -d '\\0' | wc -c | grep -x 0 && dd if=/dev/xvdb bs=1M count=1 iflag=direct status=none | tr -d '\\0' | wc -c | grep -v '^[0-9]\{1,5\}\$'" &&
        unplug
}
step "secure erase" secure

big_sectors() {
    local device
    device=$(losetup -b 4096 -f --show $image) && bh block-attach one "format=raw,vdev=xvdb,access=rw,target=$device" && sees xvdb 98304 &&
        in_guest one "head -v /sys/block/xvdb/queue/*_block_size; [ \$(cat /sys/block/xvdb/queue/physical_block_size) = 4096 ] && head -c 64k /dev/urandom >/tmp/r && dd if=/tmp/r of=/dev/xvdb bs=4k oflag=direct status=none && dd if=/tmp/r of=/dev/xvdb bs=512 seek=8195 oflag=direct status=none && dd if=/dev/xvdb bs=512 skip=8195 count=128 iflag=direct status=none | cmp - /tmp/r"
    local status=$?
    bh block-detach one xvdb
    losetup -d "$device"
    nothing_left && return $status
}
step "a device with sectors of 4096 bytes" big_sectors

kernel_disk() {
    modprobe xen-blkback
    bh block-attach one "format=raw,vdev=xvdb,access=rw,backendtype=phy,target=$image" && sees xvdb 98304 &&
        in_guest one "head -c 1M /dev/urandom >/tmp/r && dd if=/tmp/r of=/dev/xvdb bs=64k oflag=direct status=none && dd if=/dev/xvdb bs=64k count=16 iflag=direct status=none | cmp - /tmp/r" &&
        xenstore-ls -f | grep -q "/backend/vbd/$id/51728/state = \"4\"" && unplug
}
step "Linux' own back end (backendtype=phy)" kernel_disk
