"""Reads a core as a tool for Xen's dump format (version 1) would: core.py FILE MIB checks that every page is there."""
import struct
import sys

data = open(sys.argv[1], "rb").read()
pages = int(sys.argv[2]) * 256
assert data[:7] == b"\x7fELF\x02\x01\x01", "not a 64-bit ELF file"
kind, machine = struct.unpack_from("<HH", data, 16)
offset, = struct.unpack_from("<Q", data, 40)
size, count, names = struct.unpack_from("<HHH", data, 58)
assert kind == 4 and machine == 62, "not a core for x86-64"
raw = [struct.unpack_from("<IIQQQQIIQQ", data, offset + i * size) for i in range(count)]
strings = data[raw[names][4]:raw[names][4] + raw[names][5]]
sections = {strings[r[0]:strings.index(b"\0", r[0])].decode(): r for r in raw}
for name in (".note.Xen", ".xen_prstatus", ".xen_shared_info", ".xen_p2m", ".xen_pages"):
    assert name in sections, f"no {name}"
p2m, content = sections[".xen_p2m"], sections[".xen_pages"]
assert p2m[5] == 16 * (content[5] // 4096), "p2m and pages differ in number"
assert content[5] >= pages * 4096 * 9 // 10, f"{content[5]} bytes of pages, {pages} pages in the domain"
assert content[4] % 4096 == 0 and content[4] + content[5] <= len(data), "pages lie outside of the file"
pfns = [struct.unpack_from("<QQ", data, p2m[4] + 16 * i)[0] for i in range(p2m[5] // 16)]
assert pfns == sorted(set(pfns)), "page numbers are not in order"
rip, = struct.unpack_from("<Q", data, sections[".xen_prstatus"][4] + 512 + 8 + 128)
print(f"{len(pfns)} pages, rip {rip:#x}")
