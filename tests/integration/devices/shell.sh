# Guests' shells through their consoles, as a person would use them. Sourced in Dom0.
consoles=/var/log/bulkhead/console
guests=/var/lib/bulkhead/guest
marks=0
failed=0

wait_for() { # wait_for SECONDS COMMAND...: until it succeeds
    local end=$((SECONDS + $1))
    shift
    until "$@" >/dev/null 2>&1; do
        [ $SECONDS -lt $end ] || return 1
        sleep 0.3
    done
}

step() { # step WHAT COMMAND...: its output is shown if it fails
    local what=$1 began=$EPOCHREALTIME
    shift
    if "$@" >/tmp/step.out 2>&1; then
        printf 'STEP %s: ok (%.1f s)\n' "$what" "$(awk -v a="$began" -v b="$EPOCHREALTIME" 'BEGIN { print b - a }')"
    else
        echo "STEP $what: NOT OK (status $?)"
        tail -n 25 /tmp/step.out | sed 's/^/    | /'
        failed=1
    fi
}

plain() { # without carriage returns, the terminal's control sequences and the kernel's lines
    sed -E -e 's/\r*$//' -e 's/\x1b\[[0-9;?]*[a-zA-Z]//g' -e 's/\r/\n/g' | sed -E '/^\[ *[0-9]+\.[0-9]+\] /d'
}

in_guest() { # in_guest GUEST COMMAND: runs it in the guest's shell; prints its output, returns its status
    local guest=$1 log=$consoles/guest-$1.log from mark=$((++marks))-$RANDOM text
    from=$(stat -c %s "$log")
    echo " echo \"BEGIN-\"$mark; ( $2 ) </dev/null 2>&1; s=\$?; echo; echo \"END-\"$mark-\$s-" |
        socat -u STDIN "UNIX-CONNECT:/run/bulkhead/console/$(bh domid "$guest").sock" || return 250
    answered() {
        tail -c +$((from + 1)) "$log" | plain | grep -qa "^END-$mark-[0-9]*-"
    }
    wait_for "${GUEST_TIME:-40}" answered || {
        echo "no answer to: $2"
        tail -c 400 "$log" | plain
        return 251
    }
    text=$(tail -c +$((from + 1)) "$log" | plain | sed -n "/^BEGIN-$mark\$/,/^END-$mark-/p")
    sed '1d;$d' <<<"$text" | sed '${/^$/d}'
    return "$(sed -n "s/^END-$mark-\([0-9]*\)-.*/\1/p" <<<"$text")"
}

shell_there() { # shell_there GUEST: it has a prompt on its console
    grep -qa "root@$1:" "$consoles/guest-$1.log"
}

# within SECONDS COMMAND...: in so much time at most, with whatever status
within() {
    local began=$SECONDS limit=$1
    shift
    "$@"
    echo "status $?, $((SECONDS - began)) s"
    [ $((SECONDS - began)) -le "$limit" ]
}
