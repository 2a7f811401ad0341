# What Dom0 does for the toolstack's rows: $tool is xl or bh. `timed` sets the markers and prints a ROW line for each;
# the numbers belong together in this order.
guests=/var/lib/bulkhead/guest
cat >/root/stock.cfg <<END
name = "stock"
kernel = "$guests/vmlinuz"
ramdisk = "/root/bench-initrd"
memory = 256
extra = "console=hvc0"
END
echo 'kernel = "/root/small.elf"' >/root/small.cfg
echo 'memory = 8' >>/root/small.cfg

for row in create-prepared create-cold create-again; do
    if [ $row = create-cold ]; then
        rm -rf /var/cache/bulkhead/kernels /run/bulkhead/kernels
        sync
        echo 3 >/proc/sys/vm/drop_caches
    fi
    timed $row $tool create /root/stock.cfg >/root/out 2>&1
    sleep 20
    tail -n 1 /root/out
    $tool destroy stock
    sleep 1
done
sed -i 's/^memory.*/memory = 1024/' /root/stock.cfg
$tool create /root/stock.cfg >/root/out 2>&1
sleep 20
timed destroy $tool destroy stock 2>&1
timed destroy-rest sleep 5

for ((i = 1; i <= 100; i++)); do
    $tool create -p /root/small.cfg "name=\"guest$i\"" >/root/out 2>&1 || cat /root/out
done
for row in list-first list-again; do
    timed $row $tool list >/root/out 2>/root/row
    cat /root/row
    wc -l </root/out
done
