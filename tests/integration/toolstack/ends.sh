# Runs in Dom0: how domains end and what follows, by guests of a few instructions (ends.S); what failures leave; what bh
# says of them; twenty guests at once.
source /root/dom0.sh
tool=bh
cd /root
hypervisor=$1 # bulkhead or xen
log=/var/log/monitor.log

# The daemons let go of a domain's pages some moments after its end; the log of all that is freed at once is short.
# On Xen up to 16 pages may stay: Dom0's table of mappings, whose size cannot be asked there.
spare=0
[ "$hypervisor" = bulkhead ] || spare=64
free_is() {
    local now
    now=$(free_kib)
    echo "$now KiB free, $1 wanted"
    [ "$now" -le "$1" ] && [ "$now" -ge $(($1 - spare)) ]
}
nodes() { xenstore-ls | grep -vc '/local/domain/0/data'; }
guests() { bh list | awk 'NR > 2' | wc -l; }
none_left() { [ "$(guests)" = 0 ]; }
field() { bh list --json "$1" | sed -n "s/^ *\"$2\": \"\\{0,1\\}\\([^\",]*\\).*/\\1/p"; }
# ends NAME LETTER [KEY=VALUE ...]: a guest that ends so
ends() { bh create -q "name=\"$1\"" 'kernel="/root/ends.elf"' memory=16 "cmdline=\"$2\"" "${@:3}"; }
changed() { local now; now=$(bh domid "$1") && [ "$now" != "$2" ]; }
is_shut() { [ "$(field "$1" shutdown_reason)" = "$2" ]; }

step "a first guest, so that lasting directories are there" ends first b
step "destroy" bh destroy first
sleep 1
at_first=$(free_kib) nodes_at_first=$(nodes)

# --- endings
step "poweroff: destroy" ends off 0
step "it is gone" wait_for 60 fails bh domid off
step "poweroff: preserve" ends kept 0 'on_poweroff="preserve"'
step "it stays" wait_for 60 is_shut kept poweroff
bh destroy kept
step "watchdog: restart" ends again w 'on_watchdog="restart"'
id=$(bh domid again) uuid=$(field again uuid)
step "it comes again" wait_for 60 changed again "$id"
step "with its UUID" wait_for 10 bash -c "bh vm-list | grep -q '$uuid .*again'"
# destroyed NAME: also between two lives, or as the next is made
restarting() { ls /run/bulkhead/restarts | grep -q .; }
destroyed() {
    bh destroy "$1"
    sleep 2
    ! restarting && ! bh domid "$1"
}
step "destroy ends it" wait_for 60 destroyed again
# Lives of milliseconds: the monitor took a create or restart that had just finished for one that was cut off.
ends rapid 1
sleep 20
id=$(bh domid rapid) || id=gone
step "after many short lives it comes again still" wait_for 60 changed rapid "$id"
step "destroy ends even that" wait_for 60 destroyed rapid
step "reboot: destroy" ends once 1 'on_reboot="destroy"'
step "it is gone" wait_for 60 fails bh domid once
step "crash: preserve" ends wreck u 'on_crash="preserve"'
step "it stays as it was" wait_for 60 is_shut wreck crash
step "its line says so" says ' ---?s?c-|--p?sc- ' bh list wreck
bh destroy wreck
step "crash: rename-restart" ends twice u 'on_crash="rename-restart"'
step "the first is kept under another name" wait_for 60 is_shut twice-1 crash
step "the second crashes too" wait_for 60 is_shut twice-2 crash
step "destroy ends it" wait_for 60 destroyed twice
for name in $(bh list | awk '/^twice-/ {print $1}'); do bh destroy $name; done
step "crash: coredump-destroy, at its first instruction" bh create -q 'name="core"' 'kernel="/root/first.elf"' memory=16 'on_crash="coredump-destroy"'
step "it is gone" wait_for 60 fails bh domid core
step "why there is no core of it" grep -a "does not say where its pages are" $log
step "crash: coredump-restart" ends cored u 'on_crash="coredump-restart"'
id=$(bh domid cored)
step "it comes again" wait_for 60 changed cored "$id"
step "destroy ends it" wait_for 60 destroyed cored
step "shutdown for the watchdog: preserve" ends dog 4 'on_watchdog="preserve"'
step "it stays" wait_for 60 is_shut dog watchdog
bh destroy dog
step "a watchdog that nobody feeds: preserve" ends hungry w 'on_watchdog="preserve"'
step "it ends after a second" wait_for 60 is_shut hungry watchdog
bh destroy hungry
step "a watchdog: destroy" ends hungry w
step "it is gone" wait_for 60 fails bh domid hungry
# --- what a guest may see of the CPU
step "CPUID says what the machine has" ends sees c 'on_poweroff="preserve"' 'on_reboot="preserve"'
step "SSE3" wait_for 60 is_shut sees poweroff
bh destroy sees
step "a CPUID policy" ends blind c 'on_poweroff="preserve"' 'on_reboot="preserve"' 'cpuid="host,sse3=0"'
step "no SSE3" wait_for 60 is_shut blind reboot
bh destroy blind
# Xen takes such a policy and leaves out what it cannot give; it lets a guest without a #GP handler read any MSR as 0.
[ "$hypervisor" = xen ] || step "a feature that the machine lacks" refused 'CPUID|cpu_policy' ends proud c 'cpuid="host,avx512f=1"'
step "an MSR that is not offered" ends strict m 'on_poweroff="preserve"' 'on_crash="preserve"'
step "it faults" wait_for 60 is_shut strict "$([ "$hypervisor" = xen ] && echo poweroff || echo crash)"
bh destroy strict
step "msr_relaxed" ends relaxed m 'on_poweroff="preserve"' 'on_crash="preserve"' msr_relaxed=1
step "it reads" wait_for 60 is_shut relaxed poweroff
bh destroy relaxed
step "a limit of event channels" ends events e 'on_poweroff="preserve"' 'on_reboot="preserve"' max_event_channels=100
step "it got so many" wait_for 60 is_shut events poweroff
bh destroy events
step "a limit of grant frames" ends grants g 'on_poweroff="preserve"' 'on_reboot="preserve"' max_grant_frames=3
step "it got so many" wait_for 60 is_shut grants poweroff
bh destroy grants
step "soft reset: preserve" ends soft 5 'on_soft_reset="preserve"'
step "it stays" wait_for 60 is_shut soft soft-reset
bh destroy soft
step "all have gone" wait_for 60 none_left
step "every page came back" wait_for 20 free_is "$at_first"
step "and every node of the store" wait_for 10 bash -c "[ \$(xenstore-ls | grep -vc /local/domain/0/data) = $nodes_at_first ]"
step "no file is left" bash -c '! find /run/bulkhead/creating /run/bulkhead/domains /run/bulkhead/restarts -type f | grep .'

# --- the monitor killed while domains end
kill -9 "$(cat /run/bulkhead-services/monitor)"
step "a domain ends while no monitor runs" bash -c 'mv /usr/local/bin/bh-monitor /tmp; bh create -q '\''name="alone"'\'' '\''kernel="/root/ends.elf"'\'' memory=16 '\''cmdline="0"'\''; mv /tmp/bh-monitor /usr/local/bin'
step "it waits" wait_for 20 is_shut alone poweroff
bulkhead-services start ours
step "the next monitor sees it" wait_for 60 fails bh domid alone
bh create -q -p 'name="cut"' 'kernel="/root/ends.elf"' memory=16 && cut=$(field cut uuid)
step "a create that was killed leaves a mark" bash -c "mkdir -p /run/bulkhead/creating; touch /run/bulkhead/creating/$cut"
kill -9 "$(cat /run/bulkhead-services/monitor)"
bulkhead-services start ours
step "the monitor cleans up after it" wait_for 60 fails bh domid cut

# --- failures say why, down to the check
why() { says "$1" bh why; }
step "too little memory" refused 'memory: 9000 MiB wanted' bh create -q 'name="big"' 'kernel="/root/ends.elf"' memory=9000
step "why" why 'because: memory: 9000 MiB wanted, [0-9]+ MiB free'
step "no such pool" refused 'there is no cpupool "nowhere"' bh create -q 'name="x"' 'kernel="/root/ends.elf"' memory=16 'pool="nowhere"'
step "more grant frames than there can be" refused '4000 grant frames are not 1 to|createdomain' bh create -q 'name="x"' 'kernel="/root/ends.elf"' memory=16 max_grant_frames=4000 max_maptrack_frames=1000000
step "too few ports" refused 'evtchn_alloc_unbound' bh create -q 'name="x"' 'kernel="/root/ends.elf"' memory=16 max_event_channels=1
step "why" why 'evtchn_alloc_unbound'
if [ "$hypervisor" = bulkhead ]; then
    step "the hypervisor's own check" why 'because: the hypervisor: .*[0-9]'
    step "for programs" python3 -c '
import json, subprocess
why = json.loads(subprocess.check_output(["bh", "why", "--json"]))
assert why["command"] == "create" and why["errno"] and "the hypervisor: " in why["causes"][-1], why'
else
    step "the hypervisor keeps no record" why 'keeps no record'
fi
step "a pool that is busy" refused 'cpu|CPU' bh cpupool-cpu-add Pool-0 1
step "a domain that is not there" refused 'there is no domain "nobody"' bh pause nobody
step "domain 0 stays" refused 'cannot be destroyed' bh destroy 0
step "a name in use" bash -c 'bh create -q -p '\''name="one"'\'' '\''kernel="/root/ends.elf"'\'' memory=16'
step "is refused" refused 'name "one" is in use by domain' ends one b
bh destroy one
step "nothing is left of any" none_left
step "no page" wait_for 20 free_is "$at_first"

# --- hostile kernels
for kernel in /root/bad-*.elf; do
    step "refused: ${kernel##*/}" refused 'kernel|ELF|segment|note|not a file of' bh create -q 'name="bad"' "kernel=\"$kernel\"" memory=16
done
step "nothing is left of them" none_left
step "no page" wait_for 20 free_is "$at_first"

# --- twenty guests at once, and each answers
for i in $(seq 20); do
    bh create -q "name=\"n$i\"" 'kernel="/root/pv-guest.elf"' memory=24 || failed=1
done
step "twenty guests" [ "$(guests)" = 20 ]
for i in $(seq 20); do
    echo "help" | socat -t 1 STDIN "UNIX-CONNECT:/run/bulkhead/console/$(bh domid n$i).sock" >/dev/null
done
for i in $(seq 20); do
    step "guest $i answers on its console" wait_for 60 grep -qa 'verify the disk\|this list' "$(log_of n$i)"
done
for i in $(seq 20); do bh destroy n$i; done
step "they are gone" none_left
step "every page came back" wait_for 30 free_is "$at_first"

# --- a guest that ends while its back end has its pages mapped
tell() { echo "$2" | socat -t 1 STDIN "UNIX-CONNECT:/run/bulkhead/console/$(bh domid "$1").sock" >/dev/null; }
truncate -s 4M d.img
step "a guest with a disk" bh create -q 'name="d"' 'kernel="/root/pv-guest.elf"' memory=24 'disk=["/root/d.img,raw,xvda,w"]'
tell d "loop 10000 2"
step "its disk is at work" wait_for 60 bash -c '[ "$(od -An -N8 -tx8 /root/d.img | tr -d " ")" != 0000000000000000 ]'
step "destroy in the midst of it" bh destroy d
step "every page came back" wait_for 60 free_is "$at_first"

# --- large: superpages
step "a guest of 1 GiB" ends large b memory=1024
step "its memory" [ "$(field large memory_kib)" -ge 1048576 ]
step "destroy" bh destroy large
step "every page came back" wait_for 60 free_is "$at_first"
exit $failed
