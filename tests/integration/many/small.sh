# What Dom0 does: COUNT guests of the small kernel, 32 MiB and a read-only disk each.
source /root/dom0.sh
exec 3>&1
dom0_kib() {
    sed -n 's/^MemAvailable: *\([0-9]*\).*/\1/p' /proc/meminfo
}
resident() { # resident PROGRAM: its processes' proportional share of memory, in KiB
    local pid
    for pid in $(pidof "$1"); do
        sed -n 's/^Pss: *\([0-9]*\).*/\1/p' "/proc/$pid/smaps_rollup"
    done | awk '{ sum += $1; n++ } END { print sum + 0, n + 0 }'
}

create_all() {
    local i
    for ((i = 1; i <= COUNT; i++)); do
        bh create -q /root/small.cfg "name=\"guest$i\"" || return 1
        [ $((i % 20)) -ne 0 ] || echo "$i guests in second $SECONDS" >&3
    done
}
all_listed() {
    [ "$(bh list | grep -c '^guest')" -eq "$COUNT" ] && [ "$(bh list | grep -cE -- ' [r-][b-]----  ')" -gt "$COUNT" ]
}
answers() { # answers NAME: its console says what "help" says
    : >/tmp/answer
    { printf 'help\r' && wait_for 60 grep -qa 'power off' /tmp/answer >/dev/null; printf '\035'; } |
        timeout 90 bh console "$1" >/tmp/answer
    grep -qa 'power off' /tmp/answer
}
all_answer() {
    local i bad=0
    for ((i = 1; i <= COUNT; i++)); do
        answers "guest$i" || { echo "guest$i does not answer" && bad=1; }
    done
    return $bad
}
disks_read() { # each guest has said that reading its disk went well
    [ "$(grep -l 'GUEST ok' /var/log/bulkhead/console/guest-guest*.log | wc -l)" -eq "$COUNT" ]
}
destroy_all() {
    local i
    for ((i = 1; i <= COUNT; i++)); do
        bh destroy "guest$i" || return 1
    done
}
nothing_left() {
    [ "$(bh list | wc -l)" -eq 2 ] && [ -z "$(pidof bh-blkback)" ]
}
all_back() {
    local now
    now=$(free_kib)
    echo "$now KiB free, $before wanted"
    [ "$now" -ge "$before" ]
}

cd /root
truncate -s 4M /root/disk.img
cat >small.cfg <<END
kernel = "/root/guest.elf"
memory = 32
disk = ["/root/disk.img,raw,xvda,r"]
extra = "run=disk,read+1"
END
# The first guest loads what stays: the daemons' code, the page cache.
bh create -q small.cfg 'name="first"' && sleep 3 && bh destroy first && sleep 3
# Dom0's table of event channels grows by a page for 128 of them and keeps its size: it is brought to it first.
python3 - $((COUNT * 8)) <<'END'
import fcntl, struct, sys
BIND_UNBOUND = 0x44502  # IOCTL_EVTCHN_BIND_UNBOUND_PORT, xen/evtchn.h
with open("/dev/xen/evtchn", "r+b", buffering=0) as events:
    for _ in range(int(sys.argv[1])):
        fcntl.ioctl(events, BIND_UNBOUND, struct.pack("I", 0))
END
step "that many event channels" [ $? -eq 0 ]
before=$(free_kib) dom0_before=$(dom0_kib)
for program in bh-monitor bh-consoled xenstored; do
    echo "FIGURE $program before: $(resident $program) (KiB, processes)"
done
step "create $COUNT guests" create_all
step "each reads its disk" wait_for 600 disks_read
step "all run" wait_for 60 all_listed
after=$(free_now) dom0_after=$(dom0_kib)
step "each answers on its console" all_answer
echo "FIGURE hypervisor memory per guest beside its 32 MiB, Dom0's mappings included: $(((before - after - COUNT * 32768) / COUNT)) KiB"
echo "FIGURE Dom0 memory per guest: $(((dom0_before - dom0_after) / COUNT)) KiB"
for program in bh-monitor bh-consoled xenstored bh-blkback; do
    echo "FIGURE $program: $(resident $program) (KiB, processes)"
done
start=$(date +%s%N)
step "list of $COUNT" eval 'bh list >/tmp/list && [ "$(wc -l </tmp/list)" -eq $((COUNT + 2)) ]'
echo "FIGURE time of the list: $((($(date +%s%N) - start) / 1000000)) ms"
step "destroy all" destroy_all
step "nothing is left" wait_for 300 nothing_left
step "every page is back" wait_for 60 all_back
echo "FIGURE free before $before KiB, at the end $(free_kib) KiB"
exit $failed
