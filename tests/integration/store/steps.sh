# Runs in Dom0's real root with our daemons; see the script beside it. Each step prints a STEP line.
set -u
failed=0
export domid
debian="env LD_LIBRARY_PATH=/usr/lib/x86_64-linux-gnu /usr/bin/" # Debian's tools on Debian's library
ours=/usr/local/bin/
state=/run/xenstored/state

step() { # step WHAT COMMAND...
    local what=$1 begin=$EPOCHREALTIME status
    shift
    "$@" >/tmp/step.out 2>&1
    status=$?
    if [ $status -eq 0 ]; then
        awk -v w="$what" -v a="$begin" -v b="$EPOCHREALTIME" 'BEGIN { printf "STEP %s: ok (%.1f s)\n", w, b - a }'
    else
        echo "STEP $what: NOT OK (status $status)"
        sed 's/^/    /' /tmp/step.out
        failed=1
    fi
}
wait_for() { # wait_for SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.2
    done
}

# The same answers from Debian's tools and from ours. Rights of a domain that is not there would not stay.
tools_agree() {
    local d=$debian
    ${d}xenstore-write /t/a 1 /t/b two && [ "$(${ours}xenstore-read /t/b)" = two ] &&
        [ "$(${d}xenstore-read /t/a)" = 1 ] && ${d}xenstore-exists /t/a && ! ${d}xenstore-exists /t/none &&
        [ "$(${d}xenstore-list /t)" = "$(${ours}xenstore-list /t)" ] &&
        ${d}xenstore-chmod /t/a r0 && ${d}xenstore-ls -fp /t | grep -q '^/t/a = "1" *(r0)$' &&
        [ "$(${d}xenstore-ls -fp /)" = "$(${ours}xenstore-ls -fp /)" ] &&
        ${d}xenstore-rm /t && ! ${d}xenstore-exists /t/b && ${ours}xenstore-ls --json /local | grep -q '"children"'
}

counter() { # what the guest's program last wrote through its kernel's ring
    ${ours}xenstore-read "/local/domain/$domid/data/counter" 2>/dev/null || echo 0
}
counts_on() { # three more than $1
    [ "$(counter)" -ge $(($1 + 3)) ]
}
guest_is_well() { # each value was read back as it was written, and it is the same domain
    ! ${ours}xenstore-exists "/local/domain/$domid/data/wrong" && [ "$(bh domid guest1)" = "$domid" ]
}

create_guest() {
    local root=/tmp/guest-initrd library
    mkdir -p $root/bed $root/usr/bin
    echo guest >$root/bed/nonce
    cat >$root/bed/command <<'END'
exec 2>&1
i=0
while i=$((i + 1)); do
    xenstore-write data/counter $i && v=$(xenstore-read data/counter) || v=failed
    [ "$v" = $i ] || xenstore-write data/wrong "read $v after writing $i"
done
END
    cp ${ours}xenstore $root/usr/bin/xenstore
    for library in $(ldd ${ours}xenstore | grep -o '/[^ ]*'); do
        cp --parents "$library" $root/
    done
    ln -sf xenstore $root/usr/bin/xenstore-write
    ln -sf xenstore $root/usr/bin/xenstore-read
    (cd $root && find . | busybox cpio -o -H newc 2>/dev/null) >/tmp/orders.cpio
    cat /var/lib/bulkhead/guest/initrd.img /tmp/orders.cpio >/tmp/initrd.img
    cat >/tmp/guest1.cfg <<END
name = "guest1"
kernel = "/var/lib/bulkhead/guest/vmlinuz"
ramdisk = "/tmp/initrd.img"
memory = 256
vcpus = 1
extra = "console=hvc0 quiet"
END
    bh create /tmp/guest1.cfg
}

kill_and_restart() { # kill -9 while the guest uses its ring; its ring and our programs' connections go on
    local before round
    for round in 1 2 3; do
        before=$(counter)
        kill -9 "$(cat /run/bulkhead-services/xenstored)" && rm /run/bulkhead-services/xenstored || return 1
        sleep 1
        bulkhead-services start ours || return 1
        wait_for 60 counts_on "$before" && guest_is_well || return 1
        echo "round $round: $before, then $(counter)"
    done
}

# Replaces the daemon by itself through Debian's xenstore-control; a connection of Debian's library that is open all
# the while, with a watch on it, stays and fires.
live_update() {
    local before pid watcher
    before=$(counter)
    pid=$(cat /run/bulkhead-services/xenstored)
    ${debian}xenstore-watch -n 2 /live >/tmp/watch.out 2>&1 &
    watcher=$!
    wait_for 10 grep -q /live /tmp/watch.out || return 1
    ${debian}xenstore-control live-update ${ours}xenstored || return 1
    wait_for 20 ${debian}xenstore-write /live/key 1 || return 1
    wait "$watcher" && grep -qx /live/key /tmp/watch.out || return 1
    [ "$pid" = "$(cat /run/bulkhead-services/xenstored)" ] && kill -0 "$pid" && wait_for 60 counts_on "$before" &&
        guest_is_well && echo "$before, then $(counter)"
}

limits() { # readable and settable at run time, for one domain; a refusal is logged
    ${debian}xenstore-control quota | grep -q '^watches  *4096' &&
        ${debian}xenstore-control quota "$domid" node-size 1 | grep -qx OK &&
        ${debian}xenstore-control quota "$domid" | grep -qx 'limit node-size 1' &&
        wait_for 60 refused && ${debian}xenstore-control quota "$domid" node-size 4096
}
refused() {
    grep "domain $domid: write refused: quota node-size would be [0-9]*, the limit is 1" /var/log/xenstored.log
}

gone() {
    ! bh domid guest1 && ! ${ours}xenstore-exists "/local/domain/$domid"
}

step "Debian's tools and ours" tools_agree
step "create a guest that counts in the store" create_guest
domid=$(bh domid guest1)
step "it counts" wait_for 300 counts_on 0
step "kill -9 and start again, three times" kill_and_restart
cat /tmp/step.out
step "live update" live_update
cat /tmp/step.out
step "limits at run time" limits
refused | head -n 1
step "the store is sound" [ "$(${ours}xenstore-control check)" = OK ]
step "destroy" bh destroy guest1
step "it is gone" wait_for 60 gone
exit $failed
