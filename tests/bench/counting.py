"""What the benches share: a boot under the counter plugin, and how its figures are read and printed."""

import collections
import os
import subprocess
import sys

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
sys.path.insert(0, os.path.join(TREE, "tests/bed"))
import bed  # noqa: E402

BENCH = os.path.join(bed.BUILD, "bench")
# The first counts of a line of the plugin's (tests/bench/counter): instructions so far, by who executed them.
Mark = collections.namedtuple("Mark", "number hypervisor kernel user longest")


def boot(hypervisor, name, arguments, command, timeout=900, plugin=""):
    """One counted run; returns (marks, serial text, the finished process)."""
    marks = os.path.join(BENCH, f"{hypervisor}-{name}.marks")
    log = os.path.join(BENCH, f"{hypervisor}-{name}.log")
    argv = [os.path.join(TREE, "tests/bed/boot"), "--hypervisor", hypervisor, "--smp", "1", "--icount", "--quiet",
            "--timeout", str(timeout), "--keep-log", log, "--qemu", f"-plugin {BENCH}/counter.so,out={marks}{plugin}"]
    for old in (marks, log):
        if os.path.exists(old):
            os.unlink(old)
    result = subprocess.run(argv + arguments + (["--", command] if command else []), stdin=subprocess.DEVNULL,
                            capture_output=True, text=True, check=False)
    if result.returncode == bed.BED_ERROR:
        raise bed.BedError(f"{hypervisor}, {name}: {result.stderr.strip()}")
    with open(log, errors="replace") as stream:
        text = stream.read()
    found = []
    if os.path.exists(marks):
        with open(marks) as stream:
            found = [Mark(*(int(word) for word in line.split()[1:len(Mark._fields) + 1])) for line in stream]
    return found, text, result


def number(value):
    return "-" if value is None else f"{value / 1e6:,.0f} M" if value >= 1e7 else f"{value:,.0f}"
