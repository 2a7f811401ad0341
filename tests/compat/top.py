"""Looks at `TOOL top` in a terminal as a person would: it has to show Domain-0, take keys and leave with q."""
import fcntl
import os
import pty
import select
import struct
import sys
import termios
import time

tool, *words = sys.argv[1:]
pid, fd = pty.fork()
if pid == 0:
    os.environ["TERM"] = "xterm"
    os.execvp(tool, [tool, "top"])
fcntl.ioctl(fd, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 170, 0, 0))
seen, keys, end = b"", [b"s", b"x", b"q"], time.monotonic() + 120
while time.monotonic() < end:
    if select.select([fd], [], [], 0.5)[0]:
        try:
            more = os.read(fd, 65536)
        except OSError:
            more = b""
        if not more:
            break
        seen += more
    if b"Domain-0" in seen and keys:
        os.write(fd, keys.pop(0))
        time.sleep(1)
else:
    os.kill(pid, 9)
    sys.exit(f"it did not leave; it showed {seen!r}")
status = os.waitpid(pid, 0)[1]
missing = [word for word in ["Domain-0", "NAME", "CPU(%)", *words] if word.encode() not in seen]
sys.exit(f"status {status}, missing {missing} in {seen!r}" if status or missing else 0)
