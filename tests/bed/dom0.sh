# For scripts that tests run in Dom0: source it. Steps with a verdict each, and guests driven through their consoles.
set -u
failed=0
asked=0

step() { # step WHAT COMMAND...
    local what=$1 status
    shift
    "$@" >/tmp/step.out 2>&1
    status=$?
    if [ $status -eq 0 ]; then
        echo "STEP $what: ok"
    else
        echo "STEP $what: NOT OK (status $status)"
        tail -n 20 /tmp/step.out | sed 's/^/    /'
        failed=1
    fi
}

refused() { # refused TEXT COMMAND...: it fails with status 1 and says TEXT (a regular expression)
    local text=$1 status
    shift
    "$@" >/tmp/refused.out 2>&1
    status=$?
    cat /tmp/refused.out
    [ $status -eq 1 ] && grep -qE -- "$text" /tmp/refused.out
}

says() { # says TEXT COMMAND...: it ends well and says TEXT (a regular expression)
    local text=$1 status
    shift
    "$@" >/tmp/says.out 2>&1
    status=$?
    cat /tmp/says.out
    [ $status -eq 0 ] && grep -qE -- "$text" /tmp/says.out
}

fails() { ! "$@"; }

wait_for() { # wait_for SECONDS COMMAND...
    local end=$((SECONDS + $1))
    shift
    until "$@" >/tmp/wait.out 2>&1; do
        [ $SECONDS -lt $end ] || { cat /tmp/wait.out; return 1; }
        sleep 0.5
    done
    cat /tmp/wait.out
}

# An initrd whose shell takes lines from the console: make_initrd FILE. `ask` talks to it.
make_initrd() {
    mkdir -p /tmp/orders/bed
    echo guest >/tmp/orders/bed/nonce
    cat >/tmp/orders/bed/command <<'END'
for word in poweroff reboot; do
    printf '#!/bin/sh\nexec /bin/%s -f\n' $word >/sbin/$word; chmod +x /sbin/$word
done
stty -echo -onlcr </dev/hvc0
echo "guest is up"
while read -r line; do eval "$line"; done </dev/hvc0
END
    (cd /tmp/orders && find . | busybox cpio -o -H newc 2>/dev/null) >/tmp/orders.cpio
    cat /var/lib/bulkhead/guest/initrd.img /tmp/orders.cpio >"$1"
}

free_now() { bh info --json | sed -n 's/.*"free_memory_kib": *\([0-9]*\).*/\1/p'; }

# What is free, in KiB, the table of Dom0's own mappings of grants counted in: it keeps the size that it needed once, until
# Dom0 ends. Bulkhead tells how large it is (in many lines while guests run); on Xen it is not known, and not counted.
free_kib() {
    local pages
    bh debug-keys g
    pages=$(bh dmesg | sed -n "s/.*Grant table of domain 0:.* (in \([0-9]*\) pages).*/\1/p" | tail -n 1)
    echo $(($(free_now) + ${pages:-0} * 4))
}

log_of() { echo "/var/log/bulkhead/console/guest-$1.log"; }

answered() { tail -c +$(($2 + 1)) "$(log_of "$1")" | tr -d '\r' | grep -qa "^END-$3-"; }

# ask GUEST SECONDS COMMAND: runs it in the guest's shell, prints what it prints and returns its status
ask() {
    local guest=$1 log from mark=$((++asked))
    log=$(log_of "$guest")
    from=$(stat -c %s "$log")
    echo "echo BEGIN-$mark; $3; status=\$?; echo; echo END-$mark-\$status" |
        socat -t 1 STDIN "UNIX-CONNECT:/run/bulkhead/console/$($tool domid "$guest").sock" >/dev/null
    wait_for "$2" answered "$guest" "$from" "$mark" || { echo "no answer within $2 s to: $3"; return 251; }
    tail -c +$((from + 1)) "$log" | tr -d '\r' | sed -n "/BEGIN-$mark/,/^END-$mark-/p" >/tmp/answer
    sed '1d;$d' /tmp/answer
    return "$(sed -n "s/^END-$mark-\([0-9]*\).*/\1/p" /tmp/answer | head -n 1)"
}
