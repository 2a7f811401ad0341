"""Writing of cpio archives in the "newc" form that Linux unpacks as its initial file system.

An Archive is an ordered list of members in memory. Parent directories are added by themselves, each once.
Archives may be joined by simple concatenation (Linux unpacks one after the other), which is how the test bed adds a
command to an initrd that is built once: every archive is therefore padded to 512 bytes.
"""

import os
import stat


class Archive:
    def __init__(self):
        self._parts = []
        self._seen = set()
        self._inode = 1

    def _member(self, path, mode, data=b"", rdev=(0, 0)):
        name = path.strip("/")
        if name in self._seen:
            return
        self._parents(name)
        self._seen.add(name)
        self._raw(name.encode(), mode, data, rdev)

    def _raw(self, name, mode, data=b"", rdev=(0, 0)):
        fields = (self._inode, mode, 0, 0, 1, 0, len(data), 0, 0, rdev[0], rdev[1], len(name) + 1, 0)
        self._inode += 1
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name + b"\0"
        self._parts.append(head + bytes(-len(head) % 4) + data + bytes(-len(data) % 4))

    def _parents(self, name):
        directory = os.path.dirname(name)
        if directory and directory not in self._seen:
            self.directory(directory)

    def directory(self, path, mode=0o755):
        self._member(path, stat.S_IFDIR | mode)

    def symlink(self, path, target):
        self._member(path, stat.S_IFLNK | 0o777, target.encode())

    def node(self, path, kind, major, minor, mode=0o600):
        self._member(path, kind | mode, rdev=(major, minor))

    def text(self, path, content, mode=0o644):
        self._member(path, stat.S_IFREG | mode, content.encode())

    def file(self, path, source, mode=None):
        """Adds a host file under `path`; its permission bits are kept unless `mode` is given."""
        with open(source, "rb") as stream:
            data = stream.read()
        if mode is None:
            mode = stat.S_IMODE(os.stat(source).st_mode)
        self._member(path, stat.S_IFREG | mode, data)

    def has(self, path):
        return path.strip("/") in self._seen

    def bytes(self):
        """The finished archive; the object must not be added to afterwards."""
        self._raw(b"TRAILER!!!", 0)
        whole = b"".join(self._parts)
        return whole + bytes(-len(whole) % 512)
