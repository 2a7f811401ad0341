# Runs in Dom0: bh as a command: the same words as Debian's xl, JSON, prefixes, exit codes, help, completion, colour,
# configurations in three forms and their mistakes.
source /root/dom0.sh
tool=bh
cd /root
status_is() { local want=$1; shift; "$@"; [ $? -eq "$want" ]; }
# same COMMAND...: xl and bh print the same words; times and other numbers that change are made equal
plain() {
    sed -E 's/[[:space:]]+/ /g; s/ $//; s/[0-9]+:[0-9]{2}:[0-9]{2}/TIME/; s/[0-9]+\.[0-9]/N.N/g
        s/ [rb-][b-]---- / STATE /; s/ ([0-9]+|-) [rb-][b-][p-] / CPU STATE /' "$1"
}
same() {
    xl "$@" >/tmp/xl.out 2>/tmp/xl.err; local theirs=$?
    bh "$@" >/tmp/bh.out 2>/tmp/bh.err; local ours=$?
    diff <(plain /tmp/xl.out) <(plain /tmp/bh.out) && [ $theirs -eq $ours ]
}
json() { "$@" >/tmp/json && python3 -c 'import json; json.load(open("/tmp/json"))'; }
tty() { script -qec "$*" /dev/null; }
uncoloured() { "$@" 2>&1 | cat -v >/tmp/plain.out; ! grep -F '^[[' /tmp/plain.out; }

cat >t.cfg <<'END'
name = "t"
kernel = "/root/pv-guest.elf"
memory = 32
maxmem = 48
vcpus = 2
cpus = [ "0", "1" ]
extra = "help"
on_crash = "preserve"
disk = [ "/root/t.img,raw,xvda,w" ]
END
truncate -s 1M t.img

# --- with no guest, then with one
for round in "" " with a guest"; do
    [ -n "$round" ] && step "create, JSON" json bh create --json -p t.cfg
    for words in list 'list -v' 'list -c' 'list -n' vm-list vcpu-list uptime cpupool-list 'cpupool-list -c' sched-credit \
        'sched-credit -d 0' 'sched-credit -s' 'domid Domain-0' 'domname 0' 'domid nobody' 'pause nobody' 'vcpu-list Domain-0'; do
        step "xl's own words$round: $words" same $words
    done
    for words in info list 'list -l' vm-list vcpu-list sched-credit 'sched-credit -s' cpupool-list uptime claims top; do
        step "JSON$round: $words" json bh $words --json
    done
done
for words in 'list t' 'list -l t' 'vcpu-list t' 'block-list t' 'network-list t' 'uptime t'; do
    step "JSON: $words" json bh $words --json
done
step "xl info and bh info have the same keys" diff <(xl info | sed 's/ *:.*//' | sort) <(bh info | sed 's/ *:.*//' | sort)
step "the domain's memory" says '^t +[0-9]+ +32 +1 +--p---' bh list t
step "debug-keys" bh debug-keys h
step "dmesg" says . bh dmesg
step "config-update" bh config-update t t.cfg memory=40
step "as list -l tells" says '"memory": 40' bh list -l t
step "destroy" bh destroy t

# --- a script for xl runs when xl is a link to bh
mkdir -p links && ln -sf "$(command -v bh)" links/xl
cat >script <<'END'
set -e
xl info | grep -q '^xen_version.*: 4\.17'
xl create -p /root/t.cfg
id=$(xl domid t)
[ "$(xl domname $id)" = t ]
xl list | awk '$1 == "t" {print $2}' | grep -qx "$id"
xl vcpu-pin t all 0
xl vcpu-list t | grep -q ' 0 / all$'
xl mem-max t 48
xl rename t s
xl unpause s
xl pause s
xl $SCHED -d s -w 300
xl list --long s | python3 -c 'import json, sys; json.load(sys.stdin)'
xl destroy s
! xl domid s
END
# Xen's own choice of a scheduler is credit2.
step "a script that calls xl" env PATH="/root/links:$PATH" SCHED="sched-credit$([ "$1" = xen ] && echo 2)" bash script

# --- the command line
step "a beginning will do" says '^Name ' bh li
step "unless it is ambiguous" status_is 2 bh vcpu
step "which are told" says 'vcpu-list vcpu-set vcpu-pin' bash -c 'bh vcpu 2>&1; true'
step "no such command: 2" status_is 2 bh frobnicate
step "no command: 2" status_is 2 bh
step "no such option: 2" status_is 2 bh list --frob
step "too few arguments: 2" status_is 2 bh pause
step "too many arguments: 2" status_is 2 bh pause a b
step "a failure: 1" status_is 1 bh pause nobody
step "output that cannot be written: not 0" bash -c '! bh list >/dev/full'
step "--version" says '^bh ' bh --version
step "help of each command" bash -c 'for c in $(bh help | awk "/^  [a-z]/ {print \$1}"); do bh $c --help | grep -q "^Usage: bh $c" || { echo $c; exit 1; }; done'
step "bh.8 has each command" bash -c 'bh help --man bh.8 >man; for c in $(bh help | awk "/^  [a-z]/ {print \$1}"); do grep -q -- "${c//-/.*-}" man || { echo $c; exit 1; }; done'
step "bh.cfg.5" says 'on_watchdog' bh help --man bh.cfg.5
step "completion of commands" bash -c 'source <(bh completion); COMP_WORDS=(bh vcpu); COMP_CWORD=1; _bh; [ "${COMPREPLY[*]}" = "vcpu-list vcpu-set vcpu-pin" ]'
step "completion of domains" bash -c 'source <(bh completion); COMP_WORDS=(bh pause Dom); COMP_CWORD=2; _bh; [ "${COMPREPLY[*]}" = Domain-0 ]'
step "completion of options" bash -c 'source <(bh completion); COMP_WORDS=(bh create --def); COMP_CWORD=2; _bh; [ "${COMPREPLY[*]}" = --defconfig ]'
step "colour on a terminal" bash -c "script -qec 'bh pause nobody' /dev/null | cat -v | grep -F '^[['"
step "none elsewhere" uncoloured bh pause nobody
step "progress on a terminal" bash -c "script -qec 'bh create -p /root/t.cfg' /dev/null | grep 'loading kernel'"
bh destroy t
step "none elsewhere" bash -c '[ -z "$(bh create -q -p /root/t.cfg 2>&1)" ]'
bh destroy t

# --- configurations
domains=$(bh list | wc -l) nodes=$(xenstore-ls | wc -l) files=$(find /run/bulkhead | wc -l)
step "dry run" says 'Nothing was changed' bh create --dry-run t.cfg
step "of what cannot be" refused 'memory: 9000 MiB wanted' bh create --dry-run t.cfg memory=9000 maxmem=9000
step "of a kernel that is not there" refused '/nowhere' bh create -n t.cfg 'kernel="/nowhere"'
step "of a disk that is not there" refused '/nodisk' bh create -n t.cfg 'disk=["/nodisk,raw,xvda,w"]'
step "of a name in use" refused 'in use' bh create -n t.cfg 'name="Domain-0"'
step "nothing was changed" [ "$domains $nodes $files" = "$(bh list | wc -l) $(xenstore-ls | wc -l) $(find /run/bulkhead | wc -l)" ]
step "to JSON" bash -c 'bh config convert --to=json t.cfg >t.json'
step "to XML" bash -c 'bh config convert --to=xml t.json >t.xml'
step "and back" bash -c 'bh config convert --to=cfg t.xml >u.cfg && bh config convert --to=json u.cfg >u.json'
step "nothing was lost" python3 -c 'import json; assert json.load(open("t.json")) == json.load(open("u.json"))'
step "XML is refused or taken like cfg" bh create --dry-run t.xml
step "JSON too" bh create --dry-run t.json
step "a guest of XML" bh create -q -p t.xml
bh destroy t
step "the schema" json bh config schema
printf 'name = "t"\nmemory = "many"\nvcpus = 0\non_crash = "explode"\nframbuffer = 1\nkernel = "/root/pv-guest.elf"\n' >bad.cfg
step "every mistake at once" status_is 1 bash -c 'bh config check bad.cfg >mistakes 2>&1'
step "as JSON" python3 -c '
import json, subprocess
said = json.loads(subprocess.run(["bh", "config", "check", "--json", "bad.cfg"], stdout=subprocess.PIPE).stdout)
assert {d["line"] for d in said if d["severity"] == "error"} >= {2, 3, 4, 5}, said'
for text in 'bad.cfg:2.*memory' 'bad.cfg:3.*vcpus' 'bad.cfg:4.*on_crash.*destroy' 'bad.cfg:5.*frambuffer'; do
    step "with file, line, key: $text" grep -E "$text" mistakes
done
step "not a configuration" refused 'cannot read' bh create -q /nowhere.cfg
step "an unfinished string" refused ':1' bash -c 'echo "name = \"t" >x.cfg; bh create -q x.cfg'
step "unfinished JSON" refused . bash -c 'echo "{\"name\": " >x.json; bh create -q x.json'
step "unfinished XML" refused . bash -c 'echo "<domain type=\"xen\"><name>" >x.xml; bh create -q x.xml'
exit $failed
