"""An ACPI table of the guest's firmware, changed: Linux takes newer ones from an archive in front of its first file system."""

import struct

from . import initramfs

DMAR = "/sys/firmware/acpi/tables/DMAR"


def with_reserved_memory(table, device, first, last):
    """The DMAR table with one more structure: the device of bus 0 wants the memory mapped 1:1 (RMRR)."""
    scope = struct.pack("<BBHBBBB", 1, 8, 0, 0, 0, device, 0)
    table = table + struct.pack("<HHHHQQ", 1, 24 + len(scope), 0, 0, first, last) + scope
    # The length, and a newer revision than the firmware's, without which Linux keeps that.
    revision, = struct.unpack_from("<I", table, 24)
    table = bytearray(table)
    struct.pack_into("<I", table, 4, len(table))
    struct.pack_into("<I", table, 24, revision + 1)
    table[9] = 0
    table[9] = -sum(table) & 0xff
    return bytes(table)


def archive(table):
    """The archive that Linux looks into, which has to be uncompressed and the first."""
    files = initramfs.Archive()
    files.file("kernel/firmware/acpi/dmar.aml", table)
    return files.finish()
