# Runs in Dom0. Devices are made by writing the store's nodes, as a toolstack does.
set -u
failed=0
cd /root

step() { # step NAME STATUS [FILE with the story]
    if [ "$2" -eq 0 ]; then
        echo "STEP $1: ok"
    else
        echo "STEP $1: NOT OK"
        cat "${3:-/dev/null}"
        failed=1
    fi
}

allow() { # allow DOMID DIRECTORY OWNER: the other side may read it
    xenstore-chmod -r "$2" "$3" "r$1"
}

# Linux takes every device under vbd and vif for itself once udev has loaded its modules, so ours have other kinds.
disk_kind=qdisk nic_kind=bhnet

disk() { # disk DOMID PARAMS [NODE=VALUE...]
    local b=/local/domain/0/backend/$disk_kind/$1/51712 f=/local/domain/$1/device/vbd/51712 domid=$1 pair
    xenstore-write $b/frontend $f $b/frontend-id "$1" $b/online 1 $b/params "$2" $b/mode w $b/device-type disk $b/state 1
    xenstore-write $f/backend $b $f/backend-id 0 $f/virtual-device 51712 $f/device-type disk $f/state 1
    shift 2
    for pair in "$@"; do xenstore-write "$b/${pair%%=*}" "${pair#*=}"; done
    allow "$domid" $b n0
    xenstore-chmod -r $f "n$domid" r0
}

nic() { # nic DOMID [NODE=VALUE...]
    local b=/local/domain/0/backend/$nic_kind/$1/0 f=/local/domain/$1/device/vif/0 domid=$1 pair mac=00:16:3e:00:00:01
    xenstore-write $b/frontend $f $b/frontend-id "$1" $b/online 1 $b/mac $mac $b/handle 0 $b/bridge br0 $b/state 1
    xenstore-write $f/backend $b $f/backend-id 0 $f/handle 0 $f/mac $mac $f/state 1
    shift
    for pair in "$@"; do xenstore-write "$b/${pair%%=*}" "${pair#*=}"; done
    allow "$domid" $b n0
    xenstore-chmod -r $f "n$domid" r0
}

guest() { # guest NAME COMMANDS: builds it, paused, and prints its domain id
    printf 'name = "%s"\nkernel = "/root/guest.elf"\nmemory = 32\nextra = "run=%s"\non_poweroff = "destroy"\n' \
        "$1" "$2" >"$1.cfg"
    xl create -p "$1.cfg" >/dev/null && xl domid "$1"
}

blkback() { # blkback DOMID
    exec bh-blkback --path "/local/domain/0/backend/qdisk/$1/51712"
}

netback() { # netback DOMID
    exec bh-netback --path "/local/domain/0/backend/bhnet/$1/0"
}

start() { # start NAME: lets it run, its console in NAME.log
    (setsid xl console "$1" </dev/null >"$1.log" 2>&1 &)
    xl unpause "$1"
}

wait_end() { # wait_end NAME SECONDS
    local end=$((SECONDS + $2))
    while xl domid "$1" >/dev/null 2>&1; do
        if [ $SECONDS -ge $end ]; then
            echo "time is over for $1" >>"$1.log"
            xl destroy "$1"
            return 1
        fi
        sleep 0.5
    done
}

good() { # good NAME COUNT: so many commands ended well, and none badly
    ! grep -q 'GUEST FAILED' "$1.log" && [ "$(grep -c 'GUEST ok' "$1.log")" -ge "$2" ]
}

connects() { # connects STATS: how often a back end has connected to this device's rings
    echo $(($(od -An -t u8 -j 104 -N 8 "$1" 2>/dev/null) + 0))
}

# Kills and restarts COMMAND, each time once it is connected, until that was done $ROUNDS times or the device is gone;
# leaves it running. $kills counts. The connects are counted before the start: afterwards would be too late on a busy CPU.
kill_loop() {
    local stats=$1 pid before
    shift
    while :; do
        before=$(connects "$stats")
        "$@" & pid=$!
        [ "$kills" -lt "$ROUNDS" ] || return 0
        while [ "$(connects "$stats")" = "$before" ]; do
            kill -0 $pid 2>/dev/null || return 0 # the device is gone: the guest has finished
            sleep 0.05
        done
        sleep "0.$((RANDOM % 5))$((RANDOM % 10))"
        kill -9 $pid 2>/dev/null || return 0
        wait $pid 2>/dev/null
        kills=$((kills + 1))
    done
}

# kill_rounds KIND: guests one after the other, until the back end of KIND was killed $ROUNDS times in all
kill_rounds() {
    local before
    kills=0
    while [ "$kills" -lt "$ROUNDS" ]; do
        before=$kills
        "$1" || return 1
        echo "$1: $kills of $ROUNDS"
        [ "$kills" -gt "$before" ] || return 1
    done
}

kill_disk() {
    d=$(guest killdisk "loop+$((ROUNDS * 4))+8,off")
    disk "$d" /root/disk.img
    start killdisk
    kill_loop "/run/bulkhead/vbd-$d-51712.stats" blkback "$d"
    wait_end killdisk 600 && good killdisk 1
}

kill_net() {
    local bytes=$((ROUNDS * 4 * 1048576)) letters
    letters=$(awk 'BEGIN { for (i = 33; i < 127; i++) printf "%c", i }') # what the guest sends, over and over
    (yes "$letters" | tr -d '\n' | head -c $bytes | md5sum >sent.sum)
    socat -u TCP-LISTEN:5001,reuseaddr STDOUT | md5sum >received.sum &
    d=$(guest killnet "send+10.9.0.2+10.9.0.1+5001+$((ROUNDS * 4)),off")
    nic "$d"
    start killnet
    kill_loop "/run/bulkhead/vif-$d-0.stats" netback "$d"
    wait_end killnet 1800 && good killnet 1 && cmp sent.sum received.sum
}

modprobe -a xen-gntdev xen-evtchn tun bridge loop 2>/dev/null
ip link add br0 type bridge && ip addr add 10.9.0.1/24 dev br0 && ip link set br0 up
truncate -s 32M disk.img

d=$(guest plain 'disk,write+7,verify+7,discard+0+64,flush,serve+10.9.0.2+10,off')
disk "$d" /root/disk.img
nic "$d"
blkback "$d" &
netback "$d" &
start plain
pinged=1
for _ in $(seq 1 60); do
    ping -c 1 -W 1 10.9.0.2 >/dev/null && pinged=0 && break
done
wait_end plain 120 && good plain 6 && [ $pinged -eq 0 ]
step "disk and network" $? plain.log

d=$(guest hostile1 'hostile-disk,off')
disk "$d" /root/disk.img
blkback "$d" 2>hostile.err &
start hostile1
wait_end hostile1 180 && good hostile1 1
step "hostile disk" $? hostile1.log

d=$(guest hostile2 'hostile-net,off')
nic "$d"
netback "$d" 2>>hostile.err &
start hostile2
wait_end hostile2 120 && good hostile2 1
step "hostile network" $? hostile2.log

d=$(guest control 'control+10.9.0.2+20,off')
nic "$d"
netback "$d" &
start control
for _ in $(seq 1 60); do
    ping -c 1 -W 1 10.9.0.2 >/dev/null && break
done
head -c 200k /dev/zero | timeout 60 socat -t 5 STDIO TCP:10.9.0.2:7 | wc -c
wait_end control 120 && good control 1
step "control ring" $? control.log

kill_rounds kill_disk
step "killed block back end" $? killdisk.log

kill_rounds kill_net
step "killed network back end" $? killnet.log

# A process killed with a granted page pinned left mappings that Linux could not take away.
! dmesg | grep -E 'Bad page map|WARNING:' >warnings
step "no kernel warning" $? warnings

# Linux' own back ends.
disk_kind=vbd nic_kind=vif
modprobe xen-blkback && modprobe xen-netback
truncate -s 16M linux.img
loop=$(losetup -f --show linux.img)
numbers=$(stat -c '%t:%T' "$loop")
d=$(guest linux 'disk,write+7,verify+7,flush,send+10.9.0.2+10.9.0.1+5002+8,off')
disk "$d" "$loop" dev=xvda "physical-device=$numbers" type=phy "physical-device-path=$loop"
nic "$d" script=/bin/true
socat -u TCP-LISTEN:5002,reuseaddr OPEN:/dev/null &
for _ in $(seq 1 100); do
    ip link set "vif$d.0" master br0 up 2>/dev/null && break
    sleep 0.1
done
xenstore-write "/local/domain/0/backend/vbd/$d/51712/hotplug-status" connected \
    "/local/domain/0/backend/vif/$d/0/hotplug-status" connected
start linux
wait_end linux 120 && good linux 5
step "Linux back ends" $? linux.log
exit $failed
