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

# What there is in the machine, in one line.
state() {
    echo "nodes $(xenstore-ls | wc -l), $(bh info | grep free_memory | tr -s ' '), domains $(bh list | wc -l)," \
        "files $(find /run/bulkhead/creating /run/bulkhead/domains -type f 2>/dev/null | wc -l)," \
        "loops $(losetup -a | wc -l)"
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
    after=$(state)
    if [ "$after" = "$before" ]; then
        clean=$((clean + 1))
    else
        echo "step $n, $step: left something: $after (before: $before)"
    fi
done
bh destroy faults
echo "SCORE injected=$((n - 1)) named=$named clean=$clean"
[ "$step" = nothing ] && [ $named -eq $((n - 1)) ] && [ $clean -eq $((n - 1)) ]
