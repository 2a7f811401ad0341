# Runs in Dom0: everything bh can do to a running guest, seen from inside the guest (Debian's stock kernel, four vcpus).
source /root/dom0.sh
tool=bh
cd /root
hypervisor=$1 # bulkhead or xen
make_initrd initrd.img
cat >g.cfg <<'END'
name = "g"
kernel = "/var/lib/bulkhead/guest/vmlinuz"
ramdisk = "/root/initrd.img"
memory = 256
maxmem = 384
vcpus = 4
extra = "console=hvc0 quiet"
on_crash = "coredump-restart"
END
field() { bh list --json g | sed -n "s/^ *\"$1\": \"\\{0,1\\}\\([^\",]*\\).*/\\1/p"; }
cpus_in_guest() { [ "$(ask g 60 'grep -c ^processor /proc/cpuinfo' | grep -o '[0-9]*')" = "$1" ]; }
guest_kib() { ask g 60 "awk '/MemTotal/ {print \$2}' /proc/meminfo" | grep -o '[0-9]*'; }
grown() { [ "$(guest_kib)" -gt "$1" ]; }
shrunk() { [ "$(guest_kib)" -lt "$1" ]; }
memory_is() { [ "$(field memory_kib)" -ge "$1" ] && [ "$(field memory_kib)" -le "$2" ]; }
up() { wait_for 600 grep -qa "guest is up" "$(log_of g)"; }
changed() { local now; now=$(bh domid "$1") && [ "$now" != "$2" ]; }
column() { bh "${@:2}" | awk -v n="$1" 'END {print $n}'; }

(bh events --json >/tmp/events.json 2>&1 &)
(bh events >/tmp/events.txt 2>&1 &)
step "create" bh create -q g.cfg
step "four vcpus are up" up
step "the guest counts four CPUs" wait_for 60 cpus_in_guest 4
id=$(bh domid g) uuid=$(field uuid)

# --- names
step "domid and domname" [ "$(bh domname "$id")" = g ]
step "by UUID" [ "$(bh domid "$uuid")" = "$id" ]
step "rename" bh rename g h
step "the new name holds" [ "$(bh domid h)" = "$id" ]
step "the old one is gone" refused 'there is no domain "g"' bh domid g
step "a number is no name" refused 'would be taken for a domain' bh rename h 12
step "a name in use" refused 'in use by domain 0' bh rename h Domain-0
step "and back" bh rename h g

# --- vcpus
step "vcpu-list: four lines" [ "$(bh vcpu-list g | grep -c '^g ')" = 4 ]
step "vcpu-set 2" bh vcpu-set g 2
step "the guest counts two" wait_for 90 cpus_in_guest 2
step "vcpu-list: two are offline" [ "$(bh vcpu-list g | grep -c ' --p ')" = 2 ]
step "vcpu-set 4, more than the machine has" bh vcpu-set -i g 4
step "the guest brings them up" wait_for 60 ask g 60 'sleep 1; for c in 2 3; do f=/sys/devices/system/cpu/cpu$c/online; [ $(cat $f) = 1 ] || echo 1 >$f; done'
step "the guest counts four again" wait_for 90 cpus_in_guest 4
step "vcpu-set 5" refused 'can have 1 to 4 vcpus' bh vcpu-set -i g 5
step "pin vcpu 0, hard" bh vcpu-pin g 0 1
step "it is pinned" says '^g +[0-9]+ +0 .* 1 / all$' bh vcpu-list g
step "pin vcpu 1, soft only" bh vcpu-pin g 1 - 0
step "it prefers CPU 0" says '^g +[0-9]+ +1 .* all / 0$' bh vcpu-list g
step "pin all, hard and soft" bh vcpu-pin g all 0-1 1
step "all are" [ "$(bh vcpu-list g | grep -c ' all / 1$')" = 4 ]
step "unpin all" bh vcpu-pin g all all all
step "none is" [ "$(bh vcpu-list g | grep -c ' all / all$')" = 4 ]
step "pin to a CPU that is not there" refused 'affinity|CPU' bh vcpu-pin g 0 77
step "pin a vcpu that is not there" refused 'vcpu "4" is not a number from 0 to 3' bh vcpu-pin g 4 0

# --- memory
free_before=$(bh info | awk '/^free_memory/ {print $3}')
total=$(guest_kib)
step "mem-set down" bh mem-set g 192
step "the hypervisor sees it" wait_for 120 memory_is 190000 198000
step "the guest sees it" wait_for 30 shrunk $((total - 40000))
step "the machine has it" [ "$(bh info | awk '/^free_memory/ {print $3}')" -ge $((free_before + 60)) ]
step "mem-set up to maxmem" bh mem-set g 384m
step "the hypervisor sees it grow" wait_for 120 memory_is 390000 394000
step "the guest sees it grow" wait_for 30 grown $((total + 100000))
step "more than maxmem" refused 'more than the 384 MiB' bh mem-set g 385
step "mem-max" bh mem-max g 390
step "mem-max is kept" [ "$(xenstore-read /local/domain/$id/memory/static-max)" = $((390 * 1024)) ]
step "mem-max below what it has" refused 'MiB' bh mem-max g 100
step "no memory of that kind" refused 'not an amount of memory' bh mem-set g 12x

# --- scheduling
case $hypervisor in # Xen's own choice is credit2
xen) sched=sched-credit2 other=sched-credit pool='^Cpupool Pool-0: ratelimit=[0-9]+us' ;;
*) sched=sched-credit other=sched-credit2 pool='^Cpupool Pool-0: tslice=[0-9]+ms ratelimit=[0-9]+us migration-delay=' ;;
esac
step "weight and cap" bh $sched -d g -w 512 -c 50
step "they are shown" says '^g +[0-9]+ +512 +50$' bh $sched -d g
step "the list names the pool" says "$pool" bh $sched
step "weight 0" refused 'weight' bh $sched -d g -w 0
step "another scheduler's" refused 'whose scheduler is' bh $other -d g -w 100
step "no cap" bh $sched -d g -c 0

# --- running
step "pause" bh pause g
step "is paused" wait_for 10 says '"paused": true' bh list --json g
step "unpause" bh unpause g
step "it answers" ask g 60 true
step "sysrq h" bh sysrq g h
step "the kernel heard it" wait_for 30 grep -qa "HELP" "$(log_of g)"
step "sysrq of two letters" bash -c 'bh sysrq g hh; [ $? -eq 2 ]'
step "trigger nmi" bh trigger g nmi
step "no such trigger" bash -c 'bh trigger g frob; [ $? -eq 2 ]'
step "it still answers" ask g 60 true
step "uptime" says '^g +[0-9]+ +[0-9]+:[0-9][0-9]:[0-9][0-9]$' bh uptime g
step "config-update" bh config-update g g.cfg 'on_crash="preserve"'
step "the new configuration is kept" says '"on_crash": "preserve"' bh list -l g

# --- a core
step "dump-core" bh dump-core g /root/g.core
step "a tool can read it" python3 /root/core.py /root/g.core 384
step "it still runs" ask g 60 true
rm -f /root/g.core

# --- top, in a terminal
step "top in a terminal, left with q" python3 /root/top.py bh VBDS steal

# --- cpupools
step "cpupool-cpu-remove" bh cpupool-cpu-remove Pool-0 1
step "cpupool-create" says '^number of cpus: 1$' bh cpupool-create 'name="second"' 'cpus="1"' 'sched="credit"'
step "cpupool-list" says '^second +1 +credit +y +0$' bh cpupool-list
step "cpupool-list -c" says '^second +1$' bh cpupool-list -c
step "cpupool-migrate" bh cpupool-migrate g second
step "list -c tells" says ' second$' bh list -c g
step "it runs there" ask g 60 true
step "all its vcpus are on CPU 1" [ "$(bh vcpu-list g | awk '/^g / && $4 != "-" && $4 != 1' | wc -l)" = 0 ]
step "a pool with a domain stays" refused '1 domain' bh cpupool-destroy second
step "its last CPU stays" refused 'CPU|cpu' bh cpupool-cpu-remove second 1
step "cpupool-rename" bh cpupool-rename second zweiter
step "and back to Pool-0" bh cpupool-migrate g Pool-0
step "cpupool-destroy" bh cpupool-destroy zweiter
step "cpupool-cpu-add" bh cpupool-cpu-add Pool-0 1
step "one pool with two CPUs" says '^Pool-0 +2 ' bh cpupool-list
step "it answers still" ask g 60 true

# --- the console: viewers, a flood, the daemon killed in the midst of it; nothing is lost
sock() { echo "/run/bulkhead/console/$(bh domid g).sock"; }
for viewer in 1 2 3; do
    (timeout 30 socat -u "UNIX-CONNECT:$(sock)" CREATE:/tmp/viewer$viewer &)
done
sleep 1
step "what all viewers see" ask g 60 'echo seen-by-$((1 + 1))-and-more'
for viewer in 1 2 3; do
    step "viewer $viewer" wait_for 10 grep -qa 'seen-by-2-and-more' /tmp/viewer$viewer
done
lines=800000
echo "seq 1 $lines; echo flood-is-over" | socat -t 1 STDIN "UNIX-CONNECT:$(sock)" >/dev/null
sleep 4
kill -9 "$(cat /run/bulkhead-services/consoled)"
bulkhead-services start ours
step "a flood ends, though the daemon was killed" wait_for 300 grep -qa '^flood-is-over' "$(log_of g)"
step "the log was cut" bash -c '[ "$(stat -c %s /var/log/bulkhead/console/guest-g.log.1)" -le 4194304 ]'
step "every line is there" [ "$(cat "$(log_of g).1" "$(log_of g)" | tr -d '\r' | awk '$1 == n + 1 {n++} END {print n}')" = $lines ]

# --- daemons are killed
kill -9 "$(cat /run/bulkhead-services/consoled)" "$(cat /run/bulkhead-services/monitor)"
bulkhead-services start ours
step "it answers through the next console daemon" wait_for 60 ask g 30 'echo after'
id=$(bh domid g)
bh rename g later
step "reboot" bh reboot later
step "the next monitor restarts it, by the name it was given" wait_for 300 changed later "$id"
bh rename later g
step "with the same UUID" [ "$(field uuid)" = "$uuid" ]
step "its console's log has the name that it was started with" wait_for 600 grep -qa "guest is up" "$(log_of later)"

# --- a kernel's crash: the core, then the next life
bh config-update g g.cfg
id=$(bh domid g)
step "crash" bash -c "echo 'echo c >/proc/sysrq-trigger' | socat -t 1 STDIN UNIX-CONNECT:$(sock)"
step "it is restarted" wait_for 300 changed g "$id"
step "there is a core of it" python3 /root/core.py /var/lib/bulkhead/dump/g-*.core 256
rm -f /var/lib/bulkhead/dump/g-*.core
step "it is up again" wait_for 600 bash -c '[ "$(cat /var/log/bulkhead/console/guest-g.log* | grep -ac "guest is up")" -ge 2 ]'
step "shutdown" bh shutdown -w g
step "it is gone" wait_for 120 fails bh domid g
step "events as JSON" python3 -c '
import json
seen = [json.loads(line) for line in open("/tmp/events.json")]
for what in ("created", "paused", "unpaused", "shutdown", "destroyed"):
    assert [e for e in seen if e["event"] == what and e["name"] == "g"], what
assert {e.get("detail") for e in seen} >= {"reboot", "crash", "poweroff"}, seen'
step "events as lines" grep -E ' shutdown +[0-9]+  g  crash$' /tmp/events.txt
exit $failed
