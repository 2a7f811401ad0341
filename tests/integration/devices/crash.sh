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
in_background() { # in_background NAME COMMAND: in the guest; ends with NAME.status
    in_guest one "rm -f /tmp/$1.status; ( ( $2 ) >/tmp/$1.out 2>&1; echo \$? >/tmp/$1.status ) & true"
}
outcome() { # outcome NAME: waits for its end; its last lines and status
    in_guest one "for i in \$(seq 600); do [ -s /tmp/$1.status ] && break; sleep 0.5; done; tail -n 8 /tmp/$1.out; exit \$(cat /tmp/$1.status)"
}

disk_kills() {
    truncate -s 32M /root/crash.img
    bh block-attach one format=raw,vdev=xvdb,access=rw,target=/root/crash.img || return
    in_background fio "fio --name=k --filename=/dev/xvdb --rw=randwrite --bsrange=4k-64k --size=32M --io_size=$((ROUNDS * 8 + 24))M --ioengine=libaio --iodepth=16 --direct=1 --verify=crc32c --verify_fatal=1 --verify_backlog=64 --randrepeat=0 --fsync=50" || return
    kill_rounds "bh-blkback.*--domid $id --devid 51728" || return
    GUEST_TIME=600 outcome fio && in_guest one "! dmesg | grep -iE 'i/o error|blk_update'" && bh block-detach one xvdb
}
step "bh-blkback killed $ROUNDS times under fio with verification" disk_kills
root_kills() {
    in_background tree "for i in \$(seq $((ROUNDS * 2))); do head -c 2M /dev/urandom >/root/t.\$i; md5sum /root/t.\$i >>/root/t.sums; sync; done; echo 3 >/proc/sys/vm/drop_caches; md5sum -c /root/t.sums" &&
        kill_rounds "bh-blkback.*--domid $id --devid 51712" && GUEST_TIME=600 outcome tree && in_guest one "rm /root/t.*; ! dmesg | grep -iE 'i/o error|blk_update|EXT4-fs error'"
}
step "bh-blkback killed $ROUNDS times under the guest's root (qcow2)" root_kills
net_kills() {
    local bytes=$((ROUNDS * 8)) got
    (timeout 600 socat -u TCP-LISTEN:5200,reuseaddr STDOUT | md5sum >/root/got) &
    sleep 0.5
    in_background send "head -c ${bytes}M /dev/urandom | tee >(md5sum >/tmp/sent) | socat -u STDIN TCP:10.77.0.1:5200" || return
    kill_rounds "bh-netback.*--domid $id --devid 0 " || return
    GUEST_TIME=600 outcome send || return
    wait_for 60 [ -s /root/got ]
    got=$(in_guest one "cat /tmp/sent")
    echo "sent $got, received $(cat /root/got)"
    [ -n "$got" ] && [ "$got" = "$(cat /root/got)" ]
}
step "bh-netback killed $ROUNDS times under one TCP connection" net_kills
