"""Kernels that must be refused, made from a good one: bad-kernels.py GOOD FOLDER."""
import struct
import sys

good = open(sys.argv[1], "rb").read()


def put(name, data):
    with open(f"{sys.argv[2]}/bad-{name}.elf", "wb") as out:
        out.write(data)


def patched(offset, form, *values):
    data = bytearray(good)
    struct.pack_into(form, data, offset, *values)
    return bytes(data)


headers, = struct.unpack_from("<Q", good, 32)
count, = struct.unpack_from("<H", good, 56)
notes = next(headers + 56 * i for i in range(count) if struct.unpack_from("<I", good, headers + 56 * i)[0] == 4)
note_at, = struct.unpack_from("<Q", good, notes + 8)
put("empty", b"")
put("text", b"this is no kernel\n" * 100)
put("cut", good[:80])
put("half", good[:len(good) // 8])
put("arm64", patched(18, "<H", 183))
put("32bit", patched(4, "<B", 1))
put("headers-outside", patched(32, "<Q", 1 << 62))
put("many-headers", patched(56, "<H", 0xffff))
put("segment-outside", patched(headers + 8, "<Q", 1 << 60))
put("segment-huge", patched(headers + 40, "<Q", 1 << 63))
put("segment-high", patched(headers + 24, "<Q", 1 << 40))
put("segment-wraps", patched(headers + 24, "<QQQQ", -4096 & (1 << 64) - 1, 0x100, 0x100, 1 << 62))
put("note-huge", patched(note_at + 4, "<I", 0xfffffff0))
without = bytearray(patched(notes, "<I", 0))
struct.pack_into("<Q", without, 40, 0)
struct.pack_into("<H", without, 60, 0)
put("no-notes", bytes(without))
put("bzimage", b"\0" * 0x1f1 + b"\x20" + b"\0" * 12 + b"\x55\xaaHdrS\x0c\x02" + b"\xff" * 4000)
put("gzip", b"\x1f\x8b\x08\0" + b"\xff" * 4000)
