# Network interfaces that come and go while a stock guest runs. Sourced in Dom0; the guest "one" is up, br0 is there.
# Each kind of network is the guest's second interface, with addresses of its own: Dom0 is 10.N.0.1, the guest 10.N.0.2.
id=$(bh domid one)
mac=00:16:3e:77:01:02
modprobe -qa dummy 8021q veth

# Both of the guest's cards are on br0: each is to answer for its own addresses only.
in_guest one "for f in arp_ignore:1 arp_announce:2; do echo \${f#*:} >/proc/sys/net/ipv4/conf/all/\${f%:*}; done" >/dev/null
attach() { # attach PARAMETERS...: the second card; what a failed step left goes first
    while bh network-detach one $mac >/dev/null 2>&1; do :; done
    bh network-attach one "mac=$mac,$*"
}
plug_net() { # plug_net NUMBER PARAMETERS: attached, up, with its address
    local number=$1
    shift
    attach "$@" || return
    in_guest one "for i in \$(seq 100); do [ -e /sys/class/net/eth1 ] && break; sleep 0.1; done; ip address add 10.$number.0.2/24 dev eth1 && ip link set eth1 up"
}
reaches() { # reaches NUMBER: Dom0 and the guest, both ways
    wait_for 60 ping -c 1 -W 1 "10.$1.0.2" && in_guest one "ping -c 1 -W 5 10.$1.0.1"
}
net_traces() {
    xenstore-ls -f | grep -E "(device/vif|backend/(vif|bhnet)/$id)/1( |/)"
    pgrep -a -f "bh-netback --domid $id --devid 1 "
    find /run/bulkhead -name "vif-$id-1.*" -o -name "bhnet-$id-1.*"
    ip -o link | grep -E "vif$id\.1:|test0:"
    true
}
no_net_traces() {
    [ -z "$(net_traces)" ]
}
gone_net() {
    if ! wait_for 60 no_net_traces; then
        net_traces
        return 1
    fi
    in_guest one "for i in \$(seq 100); do [ -e /sys/class/net/eth1 ] || exit 0; sleep 0.1; done; false"
}
unplug_net() {
    bh network-detach one $mac && gone_net
}
bridge_address() { # bridge_address NUMBER: of Dom0 on br0
    ip address replace "10.$1.0.1/24" dev br0
}

bridged() {
    bridge_address 101 && plug_net 101 bridge=br0,vifname=test0,mtu=1400 && reaches 101 && ip -o link show test0 | grep "mtu 1400" &&
        ip -o link show master br0 | grep test0 && bh network-list one | grep -q "^1 .*$mac" && unplug_net
}
step "network-attach: bridge, name, MTU; network-list; network-detach" bridged
queues() {
    bridge_address 102 && plug_net 102 bridge=br0,queues=2 && reaches 102 &&
        [ "$(xenstore-read "/local/domain/$id/device/vif/1/multi-queue-num-queues")" = 2 ] && unplug_net
}
step "two queues" queues
# What the interface's counters say (docs/pv-drivers.md, Counters): packets and bytes of the guest, to it, notifications, events.
net_counters() {
    od -An -v -t u8 -w80 -j 16 -N 80 "/run/bulkhead/vif-$id-1.stats" | awk '{ print $1, $2, $3, $4, $8, $9 }'
}
# larger FIELD BEFORE AFTER: the packets counted in FIELD were larger on average than any without offload could be
larger() {
    awk -v f="$1" -v b="$2" -v a="$3" 'BEGIN { split(b, o); split(a, n); p = n[f] - o[f]; x = p ? (n[f + 1] - o[f + 1]) / p : 0; print p, "packets of", x; exit !(x > 2000) }'
}
offload() {
    local a b c
    bridge_address 112 && plug_net 112 bridge=br0 && reaches 112 && in_guest one "ethtool -k eth1 | grep -E 'scatter-gather|tcp-segmentation|checksum'" || return
    (timeout 120 socat -u TCP-LISTEN:5112,reuseaddr OPEN:/dev/null &)
    a=$(net_counters)
    in_guest one "head -c 8M /dev/zero | socat -u STDIN TCP:10.112.0.1:5112" || return
    b=$(net_counters)
    larger 1 "$a" "$b" || return
    in_guest one "(socat -u TCP-LISTEN:5113,reuseaddr STDOUT | wc -c >/tmp/came) & sleep 1" || return
    head -c 8M /dev/zero | timeout 120 socat -u STDIN TCP:10.112.0.2:5113 && c=$(net_counters) && larger 3 "$b" "$c" || return
    in_guest one "for i in \$(seq 100); do [ -s /tmp/came ] && break; sleep 0.1; done; grep -x 8388608 /tmp/came" || return
    echo "packets and bytes of the guest, to it, notifications, events: $a / $c"
    awk -v a="$a" -v c="$c" 'BEGIN { split(a, o); split(c, n); p = n[1] + n[3] - o[1] - o[3]; exit !(n[5] - o[5] < p && n[6] - o[6] < p) }' && unplug_net
}
step "checksums and segmentation left to the other side, both ways; fewer events than packets" offload
routed() {
    ip link add out0 type dummy && ip address add 10.90.0.1/32 dev out0 && ip link set out0 up
    attach "script=vif-route,ip=10.103.0.2,gatewaydev=out0" &&
        in_guest one "sleep 1; ip address add 10.103.0.2/32 dev eth1 && ip link set eth1 up && ip route add 10.90.0.1 dev eth1 && ping -c 1 -W 5 10.90.0.1" &&
        ip route | grep "10.103.0.2 dev vif$id.1" && ping -c 1 -W 5 10.103.0.2 && unplug_net
}
step "routed (vif-route)" routed
nat() {
    ip netns add far && ip link add far0 type veth peer name far1 netns far && ip address add 10.91.0.1/24 dev far0 && ip link set far0 up &&
        ip -n far address add 10.91.0.2/24 dev far1 && ip -n far link set far1 up || return
    attach "script=vif-nat,ip=10.104.0.2,gatewaydev=out0" &&
        in_guest one "sleep 1; ip address add 10.104.0.2/32 dev eth1 && ip link set eth1 up && ip route add 10.91.0.2 dev eth1 && ping -c 1 -W 5 10.91.0.2" &&
        nft list chain ip bulkhead out | grep -q 10.104.0.2 && unplug_net && ! nft list chain ip bulkhead out | grep 10.104.0.2
}
step "behind NAT (vif-nat); its rule goes with it" nat
vlan() {
    ip link add link br0 name br0.7 type vlan id 7 && ip address add 10.105.0.1/24 dev br0.7 && ip link set br0.7 up
    plug_net 105 bridge=br0,vlan=7 && reaches 105 && unplug_net
}
step "VLAN tag" vlan
rate() {
    bridge_address 106 && plug_net 106 bridge=br0,rate=1MB/s || return
    (timeout 60 socat -u TCP-LISTEN:5106,reuseaddr OPEN:/dev/null &)
    in_guest one "s=\$EPOCHREALTIME; head -c 4M /dev/zero | socat -u STDIN TCP:10.106.0.1:5106; awk -v a=\$s -v b=\$EPOCHREALTIME 'BEGIN { print b - a; exit !(b - a > 3) }'" &&
        unplug_net
}
step "rate: 4 MiB at 1 MB/s take more than three seconds" rate
spoof() {
    bridge_address 107 && plug_net 107 bridge=br0,antispoof=1,ip=10.107.0.2 && reaches 107 &&
        in_guest one "ip address replace 10.107.0.3/24 dev eth1; ! ping -c 2 -W 1 -I 10.107.0.3 10.107.0.1" &&
        in_guest one "ip link set eth1 down; ip link set eth1 address 00:16:3e:66:66:66 && ip link set eth1 up && ! ping -c 2 -W 1 -I 10.107.0.2 10.107.0.1" && unplug_net
}
step "another source address, another MAC: dropped" spoof
script() {
    cat >/root/vif-custom <<'END'
#!/bin/sh
echo "$* vif=$vif type=$XENBUS_TYPE path=$XENBUS_PATH base=$XENBUS_BASE_PATH" >>/root/vif-custom.log
case $1 in
online) ip link set "$vif" master br0 && ip link set "$vif" up ;;
esac
END
    chmod 755 /root/vif-custom
    bridge_address 108 && plug_net 108 script=/root/vif-custom && reaches 108 &&
        pkill -9 -f "bh-netback --domid $id --devid 1 " && sleep 1 && reaches 108 && unplug_net && cat /root/vif-custom.log &&
        [ "$(cat /root/vif-custom.log)" = "online type_if=vif vif=vif$id.1 type=vif path=/local/domain/0/backend/bhnet/$id/1 base=backend
offline type_if=vif vif=vif$id.1 type=vif path=/local/domain/0/backend/bhnet/$id/1 base=backend" ]
}
step "a script of the user's: online once, offline once, what xl gives it" script
xl_script() {
    cp /etc/xen/scripts/vif-bridge /etc/xen/scripts/vif-copy
    bridge_address 109 && plug_net 109 script=vif-copy,bridge=br0 && reaches 109 && unplug_net
}
step "Debian's own vif-bridge as a script" xl_script
switch() {
    mkdir -p /var/run/openvswitch && modprobe openvswitch && /usr/share/openvswitch/scripts/ovs-ctl --system-id=random start &&
        ovs-vsctl add-br ovs0 && ip address add 10.110.0.1/24 dev ovs0 && ip link set ovs0 up || return
    plug_net 110 script=vif-openvswitch,bridge=ovs0 && reaches 110 && ovs-vsctl list-ports ovs0 | grep -q "vif$id.1" && unplug_net &&
        ! ovs-vsctl list-ports ovs0 | grep "vif$id.1"
}
step "Open vSwitch" switch
refused() {
    local text
    text=$(bh network-attach one "mac=$mac,bridge=nobridge" 2>&1) && return 1
    echo "$text"
    grep -q "there is no such bridge" <<<"$text" && gone_net
}
step "a bridge that is not there: refused, and it is said why" refused
kernel_net() {
    modprobe xen-netback
    bridge_address 111 && plug_net 111 bridge=br0,backendtype=linux && reaches 111 && unplug_net
}
step "Linux' own back end (backendtype=linux)" kernel_net

paused_net() {
    plug_net 101 bridge=br0 && bh pause one || return
    within 15 bh network-detach one $mac || return
    bh unpause one && gone_net
}
step "detached from a paused guest" paused_net
dead_net() {
    plug_net 101 bridge=br0 || return
    kill -STOP "$(pgrep -x bh-monitor)"
    pkill -9 -f "bh-netback --domid $id --devid 1 "
    within 15 bh network-detach one $mac || return
    kill -CONT "$(pgrep -x bh-monitor)"
    gone_net
}
step "detached with a back end that is dead" dead_net
