"""The guest's first file system: a cpio archive with busybox, the kernel's modules, `init` and what to run.

It is written here, not by cpio(1): the format is small, a device node needs no root rights this way, and the archive
is made anew for each run, so that a change of `guest/init` never meets a stale image.
"""

import stat
from pathlib import Path

from .host import LAB_FOLDER

BUSYBOX = Path("/bin/busybox")
INIT = LAB_FOLDER / "guest" / "init"


class Archive:
    """A cpio archive in the "newc" format, which is what the kernel unpacks."""

    def __init__(self):
        self._data = bytearray()
        self._entries = 0

    def folder(self, name):
        self._add(name, stat.S_IFDIR | 0o755, b"")

    def file(self, name, content, mode=0o644):
        self._add(name, stat.S_IFREG | mode, content)

    def character_device(self, name, major, minor):
        self._add(name, stat.S_IFCHR | 0o600, b"", (major, minor))

    def finish(self):
        self._add("TRAILER!!!", 0, b"")
        return bytes(self._data)

    def _add(self, name, mode, content, device=(0, 0)):
        self._entries += 1
        encoded = name.encode() + b"\0"
        numbers = (self._entries, mode, 0, 0, 1, 0, len(content), 0, 0, *device, len(encoded), 0)
        self._data += b"070701" + b"".join(b"%08x" % number for number in numbers) + encoded
        self._pad()
        self._data += content
        self._pad()

    def _pad(self):
        self._data += bytes(-len(self._data) % 4)


def build(modules, settings, command):
    """The archive for one run.

    modules: the kernel's module files, in the order to load them.
    settings: shell assignments for `init` (it sources them).
    command: the shell script that runs in the chroot.
    """
    archive = Archive()
    for name in ("bin", "dev", "proc", "sys", "host", "share", "modules", "lab"):
        archive.folder(name)
    # The kernel opens it for init's standard files, before anything is mounted on /dev.
    archive.character_device("dev/console", 5, 1)
    archive.file("bin/busybox", BUSYBOX.read_bytes(), 0o755)
    archive.file("init", INIT.read_bytes(), 0o755)
    for module in modules:
        archive.file(f"modules/{module.name}", module.read_bytes())
    archive.file("lab/settings", settings.encode())
    archive.file("lab/command", command.encode())
    return archive.finish()
