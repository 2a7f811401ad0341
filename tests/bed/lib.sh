# For the scripts of tests/integration and tests/compat: source it, then use boot, check and finish.
#
# The hypervisor under test is $HYPERVISOR (bulkhead; `xen` runs the same test on Debian's Xen 4.17). Each boot's serial
# log is kept beside the test's own log. A check says what it found; the script ends with `finish`.
tree=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
BULKHEAD_BUILD=${BULKHEAD_BUILD:-$tree/build}
export BULKHEAD_BUILD
HYPERVISOR=${HYPERVISOR:-bulkhead}
test_name=$(basename "$(dirname "$(realpath "$0")")")
logs=$BULKHEAD_BUILD/logs/system
scratch=$(mktemp -d "${TMPDIR:-/tmp}/bulkhead-$test_name.XXXXXX")
trap 'rm -rf "$scratch"' EXIT
mkdir -p "$logs"
failures=0 checks=0 boots=0
# For `boot`: tests/compat/guest.sh, to be sourced in Dom0, and what it needs.
guest_files=(--file "$tree/tests/bed/dom0.sh:root/dom0.sh" --file "$tree/tests/compat/guest.sh:root/guest.sh"
    --file "$tree/tests/compat/top.py:root/top.py")

# boot WHAT OPTIONS... -- COMMAND: boots, keeps the output in $output and the whole log in $serial. A machine that could
# not be had at all is an error, not a failure.
boot() {
    local what=$1 status
    shift
    boots=$((boots + 1))
    serial=$logs/$test_name-$boots.serial
    echo "--- boot: $what"
    output=$("$tree/tests/bed/boot" --hypervisor "$HYPERVISOR" --quiet --keep-log "$serial" \
        --timeout "${BOOT_TIMEOUT:-1500}" "$@" 2>&1 </dev/null)
    status=$?
    echo "$output"
    if [ $status -eq 203 ]; then
        echo "the machine could not be had: $(tail -n 1 <<<"$output")"
        exit 99
    fi
    return $status
}

# check WHAT COMMAND...: the command has to succeed
check() {
    local what=$1
    shift
    checks=$((checks + 1))
    if "$@"; then
        echo "ok: $what"
    else
        failures=$((failures + 1))
        echo "NOT OK: $what"
    fi
}

says() { # says TEXT: the command's output has this line or part of one (a regular expression)
    grep -qE -- "$1" <<<"$output"
}

log_says() {
    grep -qaE -- "$1" "$serial"
}

log_never_says() {
    ! grep -aE -- "$1" "$serial"
}

finish() {
    echo "$checks checks, $failures failed"
    [ $failures -eq 0 ] && [ $checks -gt 0 ]
    exit
}
