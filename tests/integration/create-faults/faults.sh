# Runs in Dom0: see run.
cd /root
truncate -s 4M disk.img
cat >faults.cfg <<'END'
name = "faults"
memory = 192
kernel = "/var/lib/bulkhead/guest/vmlinuz"
ramdisk = "/var/lib/bulkhead/guest/initrd.img"
cmdline = "console=hvc0"
disk = [ "/root/disk.img,raw,xvda,w,backendtype=phy" ]
END
modprobe loop 2>/dev/null
modprobe xen-blkback 2>/dev/null

# What there is in the machine, in one line: store nodes, free pages, domains, event channels of Dom0, files, loop
# devices, processes of ours.
state() {
    echo "nodes $(xenstore-ls | wc -l), free $(bh info --json | grep free_memory), domains $(bh list | wc -l)," \
        "ports $(/usr/lib/xen-4.17/bin/lsevtchn 0 | wc -l)," \
        "files $(find /run/bulkhead -type f ! -name last-failure.json | wc -l)," \
        "loops $(losetup -a | wc -l), processes $(pgrep -c 'bh-|xenstored')"
}

bh create --dry-run faults.cfg || exit 1
# Directories that stay for good (/vm, /libxl, .../backend) come with the first domain.
bh create -q -p faults.cfg && bh destroy faults || exit 1
before=$(state)
n=0 named=0 clean=0
while :; do
    n=$((n + 1))
    bh create -q --inject $n -p faults.cfg >out 2>err
    status=$?
    step=$(sed -n 's/^injected: //p' out)
    [ "$step" = nothing ] && break
    if [ -z "$step" ]; then
        echo "the create failed by itself at step $n:"
        cat err
        break
    fi
    if [ $status -eq 1 ] && grep -qF -- "$step" err; then
        named=$((named + 1))
    else
        echo "step $n, $step: not named"
        cat err
    fi
    # Daemons let go some moments after the end.
    for try in 1 2 3 4 5; do
        after=$(state)
        [ "$after" = "$before" ] && break
        sleep 1
    done
    if [ "$after" = "$before" ]; then
        clean=$((clean + 1))
    else
        echo "step $n, $step: left something: $after (before: $before)"
    fi
done
bh destroy faults
echo "SCORE injected=$((n - 1)) named=$named clean=$clean"
[ "$step" = nothing ] && [ $named -eq $((n - 1)) ] && [ $clean -eq $((n - 1)) ]
