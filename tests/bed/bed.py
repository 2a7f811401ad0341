"""The test bed's machine: a QEMU command line, a serial log that streams, and a verdict.

A Machine is described (hypervisor, kernel, initrd, devices) and then run once. While it runs, every line of its serial
port goes to a log file and, as asked, to standard output; it ends when
  - the verdict line of this run appears (it carries a nonce, so no other output can be mistaken for it),
  - a line says that the hypervisor or the kernel died,
  - QEMU ends by itself (power off, or reboot under -no-reboot), or
  - the time limit is reached.
Only the process started here is ever stopped, by its own id.
"""

import glob
import gzip
import os
import re
import secrets
import select
import signal
import subprocess
import sys
import time

TREE = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
BUILD = os.environ.get("BULKHEAD_BUILD", os.path.join(TREE, "build"))
IMAGE_TOOLS = os.path.join(TREE, "dom0-tools/image")
sys.path.insert(0, IMAGE_TOOLS)
import cpio  # noqa: E402

# Exit codes beside the command's own status.
TIMEOUT, CRASH, NO_VERDICT, BED_ERROR = 200, 201, 202, 203
MEANING = {
    TIMEOUT: "time limit reached",
    CRASH: "the hypervisor or the kernel died",
    NO_VERDICT: "the machine ended without a verdict",
    BED_ERROR: "the test bed could not run",
}

# What the last words of a dying hypervisor or kernel look like.
DEATH = re.compile(
    rb"Panic on CPU|Kernel panic - not syncing|Attempted to kill init|\(BH\).*\bpanic\b|"
    rb"Hardware Dom0 crashed|Hardware Dom0 halted|Domain 0 crashed|Dom0 crashed|Hardware Dom0 shutdown: rebooting machine after crash|"
    rb"\(BH\) The control domain (ended|crashed)|\(BH\) Halted|Bulkhead cannot start|Bulkhead: this CPU",
    re.I,
)
# How long a dying machine may go on talking, so that the log holds its registers and stack, in seconds.
LAST_WORDS = 3.0


class BedError(Exception):
    """The machine cannot be described or started; the text says what is missing."""


def newest_kernel():
    """The host's newest stock kernel, as its package installs it: (path, version)."""
    found = sorted(glob.glob("/boot/vmlinuz-*-amd64"), key=lambda p: [int(n) for n in re.findall(r"\d+", p)])
    found = [path for path in found if "cloud" not in path and "-rt-" not in path]
    if not found:
        raise BedError("no /boot/vmlinuz-*-amd64: the package linux-image-amd64 is not installed (make packages)")
    return found[-1], found[-1].split("vmlinuz-", 1)[1]


def xen_elf():
    """Debian's Xen 4.17, unpacked: QEMU loads only a plain ELF."""
    packed = "/boot/xen-4.17-amd64.gz"
    plain = os.path.join(BUILD, "images/xen-4.17-amd64.elf")
    if not os.path.exists(packed):
        raise BedError(f"{packed} is missing: the package xen-hypervisor-4.17-amd64 is not installed (make packages)")
    if not os.path.exists(plain) or os.path.getmtime(plain) < os.path.getmtime(packed):
        os.makedirs(os.path.dirname(plain), exist_ok=True)
        with gzip.open(packed, "rb") as stream, open(f"{plain}.{os.getpid()}", "wb") as out:
            out.write(stream.read())
        os.rename(f"{plain}.{os.getpid()}", plain)
    return plain


def hypervisor_path(name):
    """`bulkhead`, `xen`, `none` or a path; returns the ELF to load, or None for a native boot."""
    if name == "none":
        return None
    if name == "xen":
        return xen_elf()
    path = os.path.join(BUILD, "bulkhead.elf") if name == "bulkhead" else name
    if not os.path.exists(path):
        raise BedError(f"no hypervisor at {path} (`make hypervisor` builds Bulkhead)")
    return path


def small_initrd(version, modules_root="/"):
    """The initrd of busybox and modules for this kernel, built again if one of its parts is newer."""
    output = os.path.join(BUILD, f"images/initrd-{version}.cpio")
    names = ("initrd", "init", "modules.list", "modules.py", "cpio.py")
    parts = [os.path.join(IMAGE_TOOLS, name) for name in names] + ["/bin/busybox"]
    for part in parts:
        if not os.path.exists(part):
            raise BedError(f"{part} is missing (make packages)")
    if not os.path.exists(output) or any(os.path.getmtime(p) > os.path.getmtime(output) for p in parts):
        temporary = f"{output}.{os.getpid()}"
        command = [parts[0], "--kernel-version", version, "--modules-root", modules_root, "--output", temporary]
        if subprocess.call(command) != 0:
            raise BedError(f"the initrd for kernel {version} could not be built")
        os.rename(temporary, output)
    return output


def libraries_of(program):
    """The shared libraries (and the loader) that a dynamically linked program needs, as the host resolves them."""
    result = subprocess.run(["ldd", program], capture_output=True, text=True, check=False)
    return re.findall(r"(/\S+)\s+\(0x", result.stdout) if result.returncode == 0 else []


def orders(words, files, libraries):
    """The archive /bed that init reads: words (file name to content) and files (host path, path inside), the latter
    with the shared libraries they need if the root has none of its own."""
    archive = cpio.Archive()
    for name, content in words.items():
        archive.text(f"bed/{name}", content + "\n")
    for source, target in files:
        if not os.path.exists(source):
            raise BedError(f"{source}, wanted inside the machine, does not exist")
        archive.file("bed/files/" + target.lstrip("/"), source)
        for library in libraries_of(source) if libraries else []:
            if not archive.has("bed/files" + library):
                archive.file("bed/files" + library, library)
    return archive.bytes()


def dom0_image():
    path = os.path.join(BUILD, "images/dom0.ext4")
    if not os.path.exists(path):
        raise BedError(f"no Dom0 image at {path} (`make image` builds it)")
    return path


def module_argument(path, arguments):
    """One Multiboot module as QEMU's -initrd takes it: commas are doubled."""
    return (path + (" " + arguments if arguments else "")).replace(",", ",,")


class Machine:
    def __init__(self, options):
        self.options = options
        self.nonce = secrets.token_hex(4)
        self.temporary = []

    def _scratch(self, data, suffix):
        folder = os.path.join(BUILD, "run")
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, f"{os.getpid()}-{self.nonce}{suffix}")
        with open(path, "wb") as stream:
            stream.write(data)
        self.temporary.append(path)
        return path

    def close(self):
        for path in self.temporary:
            if os.path.exists(path):
                os.unlink(path)
        self.temporary = []

    def _initrd(self, version):
        o = self.options
        with open(o.initrd or small_initrd(version, o.modules_root), "rb") as stream:
            data = stream.read()
        data += bytes(-len(data) % 512)
        files = [tuple(pair.split(":", 1)) if ":" in pair else (pair, "usr/bin/" + os.path.basename(pair))
                 for pair in o.file]
        root = "dom0" if o.dom0 else o.root
        words = {"nonce": self.nonce, "command": o.command or None, "root": root,
                 "modules": "none" if o.no_modules else None, "services": o.services,
                 "stay": "yes" if o.interactive else None}
        words = {name: word for name, word in words.items() if word}
        return self._scratch(data + orders(words, files, root is None), ".cpio")

    def _devices(self):
        o = self.options
        argv = []
        disks = ([dom0_image()] if o.dom0 else []) + o.disk
        for disk in disks:
            argv += ["-drive", f"file={disk},format=raw,if=virtio,snapshot=on,cache=unsafe"]
        if o.net:
            argv += ["-nic", "user,model=virtio-net-pci"]
        return argv

    def _firmware(self):
        """SeaBIOS is QEMU's own; OVMF needs its two flash chips, the variables' in a copy of its own."""
        if self.options.firmware != "uefi":
            return []
        code, variables = "/usr/share/OVMF/OVMF_CODE_4M.fd", "/usr/share/OVMF/OVMF_VARS_4M.fd"
        if not os.path.exists(code):
            raise BedError(f"{code} is missing: the package ovmf is not installed (make packages)")
        with open(variables, "rb") as stream:
            copy = self._scratch(stream.read(), ".vars")
        return ["-drive", f"if=pflash,format=raw,readonly=on,file={code}",
                "-drive", f"if=pflash,format=raw,file={copy}"]

    def _iso(self, hypervisor, kernel, initrd, line):
        """An ISO with GRUB, made for this run."""
        o = self.options
        path = self._scratch(b"", ".iso")
        native = hypervisor is None
        dom0 = f"console={'ttyS0' if native else 'hvc0'} panic=-1 {o.append}".strip()
        command = [os.path.join(IMAGE_TOOLS, "iso"), path, hypervisor or "none", line, kernel, dom0, initrd]
        if subprocess.call(command) != 0:
            raise BedError("the ISO could not be made")
        return path

    def arguments(self):
        """QEMU's argument vector."""
        o = self.options
        argv = ["qemu-system-x86_64", "-accel", "tcg", "-machine", o.machine, "-cpu", o.cpu, "-smp", str(o.smp),
                "-m", o.mem, "-no-reboot", "-nodefaults", "-vga", "std", "-display", "none"]
        argv += ["-serial", "mon:stdio"] if o.interactive else ["-serial", "stdio", "-monitor", "none"]
        if o.icount:
            argv += ["-icount", "shift=0,sleep=off", "-rtc", "base=2024-01-01,clock=vm"]
        argv += self._devices()
        hypervisor = hypervisor_path(o.hypervisor)
        if o.cdrom:
            return argv + self._firmware() + ["-cdrom", o.cdrom, "-boot", "d"] + o.qemu
        line = " ".join(filter(None, ["console=com1 com1=115200,8n1 noreboot", o.hv_append]))
        if o.kernel == "none":
            return argv + ["-kernel", hypervisor, "-append", line] + o.qemu
        kernel, version = (o.kernel, o.kernel_version) if o.kernel else newest_kernel()
        if not os.path.exists(kernel):
            raise BedError(f"no kernel at {kernel}")
        modules = [] if o.bare else [self._initrd(version or kernel.split("vmlinuz-")[-1])]
        modules += o.module
        if o.firmware:
            iso = self._iso(hypervisor, kernel, modules[0], line)
            return argv + self._firmware() + ["-cdrom", iso, "-boot", "d"] + o.qemu
        if hypervisor is None:
            words = f"console=ttyS0 panic=-1 {o.append}".strip()
            return argv + ["-kernel", kernel, "-initrd", modules[0], "-append", words] + o.qemu
        dom0 = o.append if o.bare else f"console=hvc0 panic=-1 {o.append}".strip()
        initrd = ",".join([module_argument(kernel, dom0)] + [module_argument(m, "") for m in modules])
        return argv + ["-kernel", hypervisor, "-append", line, "-initrd", initrd] + o.qemu

    def run_interactive(self):
        try:
            return subprocess.call(self.arguments())
        finally:
            self.close()

    def run(self, log, show, watch=None):
        """Runs to the end; `show(line, inside)` gets each line, `inside` telling whether it is the command's output.
        `watch` may replace the class that reads the lines. Returns (exit code, reason or None)."""
        watch = (watch or Watch)(log, show, self.nonce)
        try:
            argv = self.arguments()
            log.write(("# " + " ".join(argv) + "\n").encode())
            process = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                                       stderr=subprocess.STDOUT)
            try:
                return watch.follow(process, self.options.timeout, self.options.wait)
            finally:
                stop(process)
        finally:
            self.close()


def stop(process):
    """Ends the machine politely, then firmly; harmless if it has ended."""
    if process.poll() is None:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(10)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


class Watch:
    """Follows one machine's serial lines to their end."""

    def __init__(self, log, show, nonce):
        self.log, self.show = log, show
        self.verdict = re.compile(rb"BED-VERDICT " + nonce.encode() + rb" (\d+)")
        self.begin = re.compile(rb"BED-BEGIN " + nonce.encode())
        self.inside = False
        self.status = None
        self.death = None
        self.rest = b""

    def line(self, line):
        self.log.write(line)
        self.log.flush()
        found = self.verdict.search(line)
        if found:
            self.status = int(found.group(1))
            self.inside = False
        elif self.begin.search(line):
            self.inside = True
        else:
            if DEATH.search(line) and self.death is None:
                self.death = line.strip().decode(errors="replace")
            self.show(line, self.inside)

    def feed(self, data):
        *lines, self.rest = (self.rest + data).split(b"\n")
        for line in lines:
            self.line(line.rstrip(b"\r") + b"\n")

    def follow(self, process, timeout, wait):
        end = time.monotonic() + timeout
        dying = False
        while True:
            left = end - time.monotonic()
            if left <= 0:
                if self.status is not None and not dying:
                    return BED_ERROR, "the machine gave its verdict but did not power off"
                return (CRASH, self.death) if dying else (TIMEOUT, f"{MEANING[TIMEOUT]} ({timeout} s)")
            ready, _, _ = select.select([process.stdout], [], [], left)
            if ready:
                data = os.read(process.stdout.fileno(), 65536)
                if not data:
                    break
                self.feed(data)
            if self.status is not None and not wait:
                return self.status, None
            if self.death and not dying and self.status is None:
                dying = True
                end = min(end, time.monotonic() + LAST_WORDS)
        if self.rest:
            self.line(self.rest + b"\n")
        if self.status is not None:
            return self.status, None
        if self.death:
            return CRASH, self.death
        return NO_VERDICT, f"{MEANING[NO_VERDICT]} (QEMU exit code {process.wait()})"
