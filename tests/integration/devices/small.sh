# The small guest kernel on our front ends, with our back ends and with Linux' own: disk, ping, TCP echo, discard and chargen;
# and a hostile one. Sourced in Dom0.
small_log=$consoles/guest-small.log

small() { # small COMMANDS [DISK PARAMETERS] [VIF PARAMETERS]: starts it; how long its boot took is printed
    : >"$small_log"
    cat >small.cfg <<END
name = "small"
kernel = "/root/guest.elf"
memory = 32
extra = "run=$1"
disk = [ "format=raw,vdev=xvda,access=rw,${2:+$2,}target=/root/small.img" ]
vif = [ "mac=00:16:3e:77:02:02,bridge=br0${3:+,$3}" ]
END
    truncate -s 32M /root/small.img
    bh create -p small.cfg && bh unpause small || return
    local began=$EPOCHREALTIME
    until grep -qa "GUEST up" "$small_log"; do
        [ $((${EPOCHREALTIME%.*} - ${began%.*})) -lt 60 ] || return 1
    done
    awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { printf "SMALL up %.0f ms after bh unpause had returned\n", (b - a) * 1000 }'
}
ended_well() { # ended_well COUNT: so many commands ended well and none badly, and it went
    wait_for 300 small_gone
    plain <"$small_log" | tail -n 30
    ! grep -qa "GUEST FAILED" "$small_log" && [ "$(grep -ca "GUEST ok" "$small_log")" -ge "$1" ] && small_gone
}
small_gone() {
    ! bh domid small
}
services() { # ping, and what was sent to TCP echo comes back the same; then the guest is told to end
    wait_for 60 ping -c 1 -W 1 10.77.0.9 || return
    head -c 4M /dev/urandom >/root/sent
    timeout 500 socat -t 60 TCP:10.77.0.9:7 STDIO </root/sent >/root/back
    cmp /root/sent /root/back && echo "echo: 4 MiB came back" &&
        timeout 200 socat -u /root/sent TCP:10.77.0.9:9 && timeout 200 socat -u TCP:10.77.0.9:19 STDOUT | head -c 2M | wc -c | grep -x 2097152
    local status=$?
    echo | socat -u STDIN "UNIX-CONNECT:/run/bulkhead/console/$(bh domid small).sock"
    return $status
}
ours() {
    small "disk,write+7,verify+7,discard+0+64,flush,serve+10.77.0.9+900,off" && services && ended_well 6
}
step "small kernel on our back ends" ours
grep -a SMALL /tmp/step.out
linux() {
    modprobe -a xen-blkback xen-netback
    small "disk,write+7,verify+7,flush,serve+10.77.0.9+900,off" backendtype=phy backendtype=linux && services && ended_well 5
}
step "small kernel on Linux' back ends" linux
hostile() {
    small "hostile-disk,hostile-net,off" && ended_well 2
}
step "hostile disk and network" hostile
