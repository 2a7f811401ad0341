# Runs in a guest: usage: guest.sh main|peer clock|count ROWS
#
# "clock": fio, iperf3 and ping, and a line "ROW back-end what value unit" for each.
# "count": tests/bench/drivers/load between markers, and a line "MARKED back-end what units" for each, in order.
exec 2>&1
cd /root
role=$1 mode=$2 rows=$3
address=$([ "$role" = main ] && echo 3 || echo 2) # in 10.9.0.0/24 behind Linux' netback, 10.9.1.0/24 behind ours
modprobe -q xen-netfront
for ((try = 0; try < 300; try++)); do
    [ "$(ls /sys/class/net | grep -c eth)" = 2 ] && break
    sleep 0.1
done
for card in /sys/class/net/eth*; do
    net=$(cut -d: -f5 "$card/address") # the device's number
    ip address add "10.9.$((10#$net)).$address/24" dev "${card##*/}"
    ip link set "${card##*/}" up
done

if [ "$role" = peer ]; then
    iperf3 -s -D
    exec ./load serve
fi

chosen() { # chosen BACK-END WHAT
    [[ "$1 $2" =~ $rows ]]
}

wrong() {
    echo "WRONG $*"
}

row() { # row BACK-END WHAT VALUE UNIT
    if [ -n "$3" ]; then echo "ROW $1 $2 $3 $4"; else wrong "$1 $2"; fi
}

job() { # job BACK-END DEVICE PLACE READ-OR-WRITE NAME SECONDS FIO-ARGUMENTS...: MB/s of sequential jobs, else per second
    local who=$1 device=$2 name=$3-$5 field=7 unit=MB/s
    chosen "$who" "$name" || return 0
    [[ $4 == *write ]] && field=48
    [[ $4 == rand* ]] && field=$((field + 1)) unit=/s
    row "$who" "$name" "$(fio --name=x --filename="/dev/$device" --rw="$4" --direct=1 --ioengine=libaio --time_based \
        --runtime="$6" --ramp_time=0.3 --minimal "${@:7}" | cut -d ';' -f $field |
        awk -v kib=$((field == 7 || field == 48)) '{ printf "%.0f", kib ? $1 * 1024 / 1e6 : $1 }')" $unit
}

disk_clock() { # disk_clock BACK-END DEVICE PLACE
    job "$1" "$2" "$3" read read-128k-8 1 --bs=128k --iodepth=8
    job "$1" "$2" "$3" read read-1m-8 1 --bs=1m --iodepth=8
    job "$1" "$2" "$3" write write-128k-8 1 --bs=128k --iodepth=8
    job "$1" "$2" "$3" randread read-4k-1 1 --bs=4k --iodepth=1
    job "$1" "$2" "$3" randread read-4k-32 1 --bs=4k --iodepth=32
    job "$1" "$2" "$3" randwrite write-4k-1 1 --bs=4k --iodepth=1
    job "$1" "$2" "$3" randwrite write-4k-32 1 --bs=4k --iodepth=32
}

received() { # Mbit/s from iperf3's JSON
    sed -n '/"sum_received"/,/}/s/.*"bits_per_second":[^0-9]*\([0-9.e+]*\).*/\1/p' | awk '{ printf "%.0f", $1 / 1e6 }'
}

packets() { # received datagrams a second
    sed -n '/"sum":/,/}/p' | tr -d ' \t",' | awk -F: '$1 == "seconds" { s = $2 } $1 == "packets" { p = $2 }
        $1 == "lost_packets" { l = $2 } END { if (s) printf "%.0f", (p - l) / s }'
}

net_clock() { # net_clock BACK-END NET
    local dom0=10.9.$2.1 peer=10.9.$2.2
    ping -c 1 -W 5 $peer >/dev/null
    chosen "$1" tcp-to-dom0 && row "$1" tcp-to-dom0 "$(iperf3 -J -t 2 -c $dom0 | received)" Mbit/s
    chosen "$1" tcp-from-dom0 && row "$1" tcp-from-dom0 "$(iperf3 -J -t 2 -R -c $dom0 | received)" Mbit/s
    chosen "$1" tcp-to-guest && row "$1" tcp-to-guest "$(iperf3 -J -t 2 -c $peer | received)" Mbit/s
    chosen "$1" udp-to-dom0 && row "$1" udp-to-dom0 "$(iperf3 -J -u -b 0 -l 64 -t 1 -c $dom0 | packets)" /s
    chosen "$1" udp-from-dom0 && row "$1" udp-from-dom0 "$(iperf3 -J -u -b 0 -l 64 -t 1 -R -c $dom0 | packets)" /s
    chosen "$1" ping-dom0 && row "$1" ping-dom0 "$(ping -q -c 100 -i 0.01 $dom0 | sed -n 's,^rtt.* = [^/]*/\([^/]*\)/.*,\1,p')" ms
    chosen "$1" ping-guest && row "$1" ping-guest "$(ping -q -c 100 -i 0.01 $peer | sed -n 's,^rtt.* = [^/]*/\([^/]*\)/.*,\1,p')" ms
}

counted() { # counted BACK-END WHAT UNIT LOAD-ARGUMENTS...: UNIT is what one of the units to divide by has of load's count
    local who=$1 what=$2 unit=$3 got
    chosen "$who" "$what" || return 0
    shift 3
    got=$(./load "$@") || { wrong "$who $what: $got"; return; }
    echo "MARKED $who $what $((${got#COUNTED } / unit))"
}

disk_count() { # disk_count BACK-END DEVICE PLACE
    counted "$1" "$3-read-4k-1" 1 disk "/dev/$2" read rand 4096 1 200
    counted "$1" "$3-read-4k-32" 1 disk "/dev/$2" read rand 4096 32 800
    counted "$1" "$3-write-4k-1" 1 disk "/dev/$2" write rand 4096 1 200
    counted "$1" "$3-write-4k-32" 1 disk "/dev/$2" write rand 4096 32 800
    counted "$1" "$3-read-128k-8" 1 disk "/dev/$2" read seq 131072 8 160
    counted "$1" "$3-write-128k-8" 1 disk "/dev/$2" write seq 131072 8 160
}

net_count() { # net_count BACK-END NET: TCP for each MiB
    local dom0=10.9.$2.1 peer=10.9.$2.2
    counted "$1" tcp-to-dom0 1048576 tcp $dom0 16777216 0
    counted "$1" tcp-from-dom0 1048576 tcp $dom0 0 16777216
    counted "$1" tcp-to-guest 1048576 tcp $peer 16777216 0
    counted "$1" udp-to-dom0 1 udp $dom0 1000
    counted "$1" echo-dom0 1 echo $dom0 200
    counted "$1" echo-guest 1 echo $peer 200
}

for triple in "ours xvdb ram" "qdisk xvdc ram" "kernel xvdd ram" "ours xvde disk" "qdisk xvdf disk" "kernel xvdg disk"; do
    read -r who device place <<<"$triple"
    for ((try = 0; try < 100; try++)); do
        [ -b "/dev/$device" ] && break
        sleep 0.1
    done
    if [ -b "/dev/$device" ]; then "disk_$mode" "$who" "$device" "$place"; else wrong "$who: no /dev/$device"; fi
done
net_$mode kernel 0
net_$mode ours 1
echo DONE
