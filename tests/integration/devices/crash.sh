# Back ends killed with SIGKILL, $ROUNDS times each, while fio writes and verifies and a TCP stream with a checksum runs;
# bh-monitor starts them again. Sourced in Dom0; the guest "one" is up.
ROUNDS=${ROUNDS:-5}
id=$(bh domid one)

kill_rounds() { # kill_rounds PATTERN: waits each time for the new process to have connected
    local round old new
    for ((round = 0; round < ROUNDS; round++)); do
        sleep "0.$((RANDOM % 10))"
        old=$(pgrep -f "$1") || return
        kill -9 "$old"
        wait_for 20 restarted "$1" "$old" || {
            echo "not started again in round $round"
            return 1
        }
    done
}
restarted() {
    local new
    new=$(pgrep -f "$1") && [ "$new" != "$2" ]
}
in_background() { # in_background NAME COMMAND: in the guest, over and over until /tmp/stop is there; ends with NAME.status
    in_guest one "rm -f /tmp/$1.status /tmp/stop; ( ( until [ -e /tmp/stop ]; do $2 || exit 1; done ) >/tmp/$1.out 2>&1; echo \$? >/tmp/$1.status ) & true"
}
outcome() { # outcome NAME: has it stop, waits for its end; its last lines and status
    in_guest one "touch /tmp/stop; for i in \$(seq 1600); do [ -s /tmp/$1.status ] && break; sleep 0.5; done; tail -n 8 /tmp/$1.out; exit \$(cat /tmp/$1.status)"
}

disk_kills() { # disk_kills FORMAT: the image is whole afterwards
    rm -f /root/crash.img && qemu-img create -q -f "$1" /root/crash.img 32M || return
    bh block-attach one "format=$1,vdev=xvdb,access=rw,target=/root/crash.img" || return
    in_background fio "fio --name=k --filename=/dev/xvdb --rw=randwrite --bsrange=4k-64k --size=32M --ioengine=libaio --iodepth=16 --direct=1 --verify=crc32c --verify_fatal=1 --verify_backlog=64 --randrepeat=0 --fsync=50" || return
    kill_rounds "bh-blkback.*--domid $id --devid 51728" || return
    GUEST_TIME=900 outcome fio && in_guest one "! dmesg | grep -iE 'i/o error|blk_update'" && bh block-detach one xvdb || return
    [ "$1" = raw ] || qemu-img check /root/crash.img
}
step "bh-blkback killed $ROUNDS times under fio with verification, raw" disk_kills raw
step "bh-blkback killed $ROUNDS times under fio with verification, qcow2" disk_kills qcow2
root_kills() {
    in_background tree "rm -f /root/t.*; for i in 1 2 3 4 5; do head -c 2M /dev/urandom >/root/t.\$i; md5sum /root/t.\$i >>/root/t.sums; sync; done; echo 3 >/proc/sys/vm/drop_caches; md5sum -c /root/t.sums" &&
        kill_rounds "bh-blkback.*--domid $id --devid 51712" && GUEST_TIME=900 outcome tree && in_guest one "rm /root/t.*; ! dmesg | grep -iE 'i/o error|blk_update|EXT4-fs error'"
}
step "bh-blkback killed $ROUNDS times under the guest's root (qcow2)" root_kills
net_kills() {
    local got
    (timeout 3600 socat -u TCP-LISTEN:5200,reuseaddr STDOUT | md5sum >/root/got) &
    sleep 0.5
    in_background send "(until [ -e /tmp/stop ]; do head -c 256k /dev/urandom; done) | tee >(md5sum >/tmp/sent) | socat -u STDIN TCP:10.77.0.1:5200" || return
    kill_rounds "bh-netback.*--domid $id --devid 0 " || return
    GUEST_TIME=900 outcome send || return
    wait_for 60 [ -s /root/got ]
    got=$(in_guest one "cat /tmp/sent")
    echo "sent $got, received $(cat /root/got)"
    [ -n "$got" ] && [ "$got" = "$(cat /root/got)" ]
}
step "bh-netback killed $ROUNDS times under one TCP connection" net_kills
