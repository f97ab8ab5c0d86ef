"""Building a Linux kernel from a source tree and a configuration fragment."""

import os

from .errors import LabError
from .host import note, run


def unpack(tarball, folder):
    """Unpacks the source and gives the folder of its top level."""
    folder.mkdir()
    run(["tar", "--extract", "--file", tarball, "--directory", folder])
    (tree,) = folder.iterdir()
    return tree


def configure(tree, fragment):
    """Makes `.config` from the smallest configuration and the fragment, and fails unless every line of it took effect.

    Kconfig drops an option whose dependency is missing, or that a newer kernel renamed, without a word.
    """
    run(["make", "tinyconfig"], cwd=tree)
    run(["scripts/kconfig/merge_config.sh", "-m", ".config", fragment], cwd=tree)
    run(["make", "olddefconfig"], cwd=tree)
    wanted = [line for line in fragment.read_text().splitlines() if line.startswith("CONFIG_")]
    config = set((tree / ".config").read_text().splitlines())
    lost = [line for line in wanted if line not in config]
    if lost:
        raise LabError(f"the kernel in {tree.name} does not take these lines of {fragment.name}: {', '.join(lost)}")


def build(tree, log):
    """Builds the image and the modules, at low priority: it takes minutes and others may be using the machine."""
    note(f"building {tree.name}, which takes some minutes; its output is in {log}")
    run(["nice", "make", f"-j{os.cpu_count()}", "bzImage", "modules"], cwd=tree, log=log)
