# The life of a PV guest, by one tool ($tool is xl or bh), for tests/compat and tests/integration. Runs in Dom0's real root,
# where the image builder put a stock kernel, an initrd and a root for guests in /var/lib/bulkhead/guest. $kernel may
# name another kernel.
source /root/dom0.sh
console_says() { # the guest's console, collected in the background, has this text
    grep -qa "$1" /tmp/console
}
gone() {
    ! $tool domid guest1
}
listed() { # its line; a guest that waits for a CPU has no state letter at all
    $tool list guest1 | grep -E "^guest1 "
}
is_paused() {
    listed | grep -qE " [rb-]{2}p[sdc-]{3} "
}

cd /root
mkdir -p guest-initrd && (cd guest-initrd && mkdir -p bed && echo guest >bed/nonce && cat >bed/command && \
    find . | busybox cpio -o -H newc 2>/dev/null) >orders.cpio <<'END'
echo "guest is up"; echo "guest kernel: $(uname -r)"; cat /sys/hypervisor/type; nproc; trap 'exit 0' TERM
printf '#!/bin/sh\nexec /bin/poweroff -f\n' >/sbin/poweroff; chmod +x /sbin/poweroff
while :; do sleep 1; done
END
cat /var/lib/bulkhead/guest/initrd.img orders.cpio >initrd.img
cat >guest1.cfg <<END
name = "guest1"
kernel = "${kernel:-/var/lib/bulkhead/guest/vmlinuz}"
ramdisk = "/root/initrd.img"
memory = 256
maxmem = 300
vcpus = 2
extra = "console=hvc0 quiet"
on_crash = "destroy"
END
step "create" $tool create guest1.cfg
(setsid $tool console guest1 </dev/null >/tmp/console 2>&1 &)
step "list" listed
step "its init speaks on the console" wait_for 900 console_says "guest is up"
step "its kernel" wait_for 900 console_says "guest kernel: "
grep -ao "guest kernel: [^[:cntrl:]]*" /tmp/console
step "vcpu-list" $tool vcpu-list guest1
step "vcpu-pin" $tool vcpu-pin guest1 0 1
step "pause" $tool pause guest1
step "is paused" is_paused
step "unpause" $tool unpause guest1
step "mem-set" $tool mem-set guest1 200
step "dmesg" says '\((BH|XEN)\) ' $tool dmesg
step "info" says '^xen_version *: 4\.17' $tool info
step "top" python3 /root/top.py $tool
step "sysrq" $tool sysrq guest1 h
step "shutdown" $tool shutdown -w guest1
step "it has gone" wait_for 300 gone
step "create, paused" $tool create -p guest1.cfg
step "destroy" $tool destroy guest1
step "it is gone" wait_for 300 gone
exit $failed
