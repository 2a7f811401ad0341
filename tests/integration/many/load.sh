# What Dom0 does: COUNT guests with Debian's stock kernel, let go at once, that compute and write and verify a disk of
# their own, until each has done ROUNDS rounds with all others at work. Every second one has two vcpus.
source /root/dom0.sh
tool=bh
cd /root
free_is() { local now; now=$(free_kib); echo "$now KiB free, $1 wanted"; [ "$now" -ge "$1" ]; }
all_have() { # all_have TEXT: each guest's console says it
    [ "$(grep -la -- "$1" /var/log/bulkhead/console/guest-load*.log | wc -l)" -eq "$COUNT" ]
}
rounds() { # of each guest, in their order; one process, as Dom0 is one of many here
    local i
    for i in $(seq "$COUNT"); do log_of "load$i"; done | xargs grep -hac '^ROUND .* ok'
}
create_all() {
    local i
    for i in $(seq "$COUNT"); do
        truncate -s 2M "load$i.img"
        bh create -q -p load.cfg "name=\"load$i\"" "vcpus=$((1 + i % 2))" "disk=[\"/root/load$i.img,raw,xvda,w\"]" \
            "extra=\"console=hvc0 quiet seed=$i\"" || return 1
    done
}
unpause_all() {
    local i
    for i in $(seq "$COUNT"); do bh unpause "load$i" || return 1; done
}
# Until each has done ROUNDS rounds since this began; says every 30 s how many.
all_move() { # all_move SECONDS
    local from now i behind end=$((SECONDS + $1)) shown=$SECONDS
    mapfile -t from < <(rounds)
    while :; do
        mapfile -t now < <(rounds)
        behind=$((COUNT - ${#now[@]}))
        for i in "${!now[@]}"; do [ $((now[i] - from[i])) -ge "$ROUNDS" ] || behind=$((behind + 1)); done
        if [ $SECONDS -ge $((shown + 30)) ]; then
            shown=$SECONDS
            echo "$behind behind, rounds: ${now[*]}" >/dev/console
        fi
        [ $behind -gt 0 ] || return 0
        [ $SECONDS -lt $end ] || { echo "$behind behind after $1 s, rounds: ${now[*]}" && return 1; }
        sleep 2
    done
}
none_left() { [ "$(bh list | wc -l)" -eq 2 ] && [ -z "$(pidof bh-blkback)" ]; }
# The image holds lines of the guest's own rounds.
disks_hold() {
    local i bad=0
    for i in $(seq "$COUNT"); do
        [ "$(head -c 1M "load$i.img" | sort -u | grep -c "^seed $i round ")" -ge 1 ] || { echo "load$i.img" && bad=1; }
    done
    return $bad
}

mkdir -p orders/bed
echo guest >orders/bed/nonce
cat >orders/bed/command <<'GUEST'
printf '#!/bin/sh\nexec /bin/poweroff -f\n' >/sbin/poweroff; chmod +x /sbin/poweroff
seed=$(sed 's/.*seed=\([0-9]*\).*/\1/' /proc/cmdline)
echo "guest is up, $(nproc) CPUs"
for cpu in $(seq "$(nproc)"); do # work for each vcpu beside the disk's
    (while :; do head -c 1048576 /dev/urandom | sha256sum >/dev/null; done) &
done
round=0
while :; do
    round=$((round + 1))
    yes "seed $seed round $round" | head -c 1048576 >/tmp/data
    wrote=$(sha256sum </tmp/data)
    dd if=/tmp/data of=/dev/xvda bs=64k oflag=direct 2>/dev/null || echo "ROUND $round not written"
    read=$(dd if=/dev/xvda bs=64k count=16 iflag=direct 2>/dev/null | sha256sum)
    if [ "$wrote" = "$read" ]; then echo "ROUND $round ok"; else echo "ROUND $round BAD: $wrote, read back $read"; fi
done
GUEST
(cd orders && find . | busybox cpio -o -H newc 2>/dev/null) >orders.cpio
cat /var/lib/bulkhead/guest/initrd.img orders.cpio >initrd.img
cat >load.cfg <<'END'
kernel = "/var/lib/bulkhead/guest/vmlinuz"
ramdisk = "/root/initrd.img"
memory = 160
on_crash = "preserve"
END
# The first guest loads what stays.
bh create -q load.cfg 'name="first"' -p && bh destroy first && sleep 3
before=$(free_kib)
step "create $COUNT stock guests" create_all
step "let them all go" unpause_all
step "all come up" wait_for 1200 all_have 'guest is up'
step "all are listed" [ "$(bh list | grep -c '^load')" -eq "$COUNT" ]
step "each does $ROUNDS rounds while all are at work" all_move 1800
bh vcpu-list | awk '/^load/ {n++; t += $6} END {print n " vcpus of guests, " t " s of CPU"}'
step "all shut down when asked" bh shutdown -a -w
step "they are gone" wait_for 120 none_left
step "no round went wrong" bash -c '! grep -a "^ROUND.*\(BAD\|not\)" /var/log/bulkhead/console/guest-load*.log'
step "no kernel complained" bash -c '! grep -aE "WARNING|BUG|Oops|Call Trace|I/O error" /var/log/bulkhead/console/guest-load*.log'
step "the images hold what was written" disks_hold
step "every page is back" wait_for 60 free_is "$before"
exit $failed
