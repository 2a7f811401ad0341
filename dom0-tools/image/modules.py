"""Which kernel modules an image takes: modules.list, closed over modules.dep."""

import os
import shutil

LIST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "modules.list")


class MissingModules(Exception):
    """No modules for that kernel; the text says where they were looked for."""


def wanted(*places):
    """The names listed for the given places, with underscores as modules.dep spells most of them."""
    names = []
    with open(LIST) as stream:
        for line in stream:
            place, _, rest = line.split("#")[0].partition(":")
            if place.strip() in places:
                names += [name.replace("-", "_") for name in rest.split()]
    return names


def name_of(path):
    return os.path.basename(path).split(".ko")[0].replace("-", "_")


class Modules:
    """The modules of one kernel under modules_root/lib/modules/version, cut down to the wanted names."""

    def __init__(self, modules_root, version, names):
        self.base = os.path.join(modules_root, "lib/modules", version)
        if not os.path.exists(os.path.join(self.base, "modules.dep")):
            raise MissingModules(f"{self.base}/modules.dep is missing: no modules for kernel {version} (depmod makes it)")
        needs, by_name = {}, {}
        with open(os.path.join(self.base, "modules.dep")) as stream:
            for line in stream:
                path, rest = line.rstrip("\n").split(":", 1)
                needs[path] = rest.split()
                by_name[name_of(path)] = path
        self.needs = {}
        for name in names:
            if name in by_name:
                for path in [by_name[name]] + needs[by_name[name]]:
                    self.needs[path] = needs[path]

    def dep(self):
        return "".join(f"{path}: {' '.join(rest)}\n" for path, rest in self.needs.items())

    def alias(self):
        """Lines of modules.alias that name one of our modules."""
        names = {name_of(path) for path in self.needs}
        with open(os.path.join(self.base, "modules.alias")) as stream:
            return "".join(line for line in stream if line.split()[-1].replace("-", "_") in names)

    def install(self, root):
        """Copies the files under root (an image's staging directory), without the index files depmod makes."""
        target = os.path.join(root, "lib/modules", os.path.basename(self.base))
        for path in self.needs:
            os.makedirs(os.path.dirname(os.path.join(target, path)), exist_ok=True)
            shutil.copyfile(os.path.join(self.base, path), os.path.join(target, path))
        for index in ("modules.order", "modules.builtin", "modules.builtin.modinfo"):
            if os.path.exists(os.path.join(self.base, index)):
                shutil.copyfile(os.path.join(self.base, index), os.path.join(target, index))
