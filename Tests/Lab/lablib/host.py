"""The machine the lab runs on: its folders, its installed packages, and locks between labs that run at once."""

import contextlib
import fcntl
import os
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

from .errors import LabError

LAB_FOLDER = Path(__file__).resolve().parent.parent
CHECKOUT = LAB_FOLDER.parent.parent

PACKAGES_TO_RUN = ("qemu-system-x86", "busybox-static", "kmod", "xz-utils")
PACKAGES_TO_BUILD = ("gcc", "make", "flex", "bison", "bc", "libelf-dev", "libssl-dev")


def note(message):
    """Tells people what is going on, on standard error: standard output belongs to the guest's command."""
    print(f"lab: {message}", file=sys.stderr, flush=True)


def cache_folder():
    """The folder for kernels: outside the checkout, so that `git clean` and new clones do not cost a kernel build."""
    chosen = os.environ.get("SWIFT_VFIO_LAB_CACHE")
    if chosen:
        return Path(chosen).absolute()
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "swift-vfio-lab"


@contextlib.contextmanager
def exclusive(lock_file):
    """Holds an advisory lock for the body, so that two set-ups at once do not build the same kernel twice."""
    lock_file.parent.mkdir(parents=True, exist_ok=True)
    with open(lock_file, "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            note(f"another set-up holds {lock_file}; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(command, *, log=None, **options):
    """Runs a command of the host; if it fails, the error holds the command line and the end of what it printed.

    With `log`, the output goes to that file, for commands that print for minutes. Returns standard output otherwise.
    """
    words = [str(word) for word in command]
    if log is None:
        result = subprocess.run(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, **options)
        printed = result.stdout + result.stderr
    else:
        with open(log, "a") as file:
            result = subprocess.run(words, stdout=file, stderr=subprocess.STDOUT, **options)
        printed = log.read_text(errors="replace")
    if result.returncode != 0:
        place = f" (all of its output is in {log})" if log else ""
        tail = "\n".join("    " + line for line in printed.splitlines()[-30:])
        raise LabError(f"`{shlex.join(words)}` failed with status {result.returncode}{place}:\n{tail}")
    return result.stdout


def require_platform():
    """The kernels are Debian's for amd64, and the guest runs the host's own programs, so the host must be amd64 too."""
    if platform.machine() != "x86_64":
        raise LabError(f"the lab's kernels and devices are x86_64, this machine is {platform.machine()}")
    if not shutil.which("dpkg-query"):
        raise LabError("the lab takes QEMU and kernels from Debian packages, and this machine has no dpkg")


def missing_packages(packages):
    """Those of `packages` that are not installed, by dpkg's own account."""
    query = subprocess.run(
        ["dpkg-query", "--show", "--showformat", "${Package} ${db:Status-Status}\n", *packages],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    installed = {line.split()[0] for line in query.stdout.splitlines() if line.endswith(" installed")}
    return [package for package in packages if package not in installed]


def require_packages(packages):
    """Installs what is missing of `packages`, or says how to when this user may not."""
    missing = missing_packages(packages)
    if not missing:
        return
    install = ["apt-get", "install", "--yes", "--no-install-recommends", *missing]
    if os.geteuid() != 0:
        raise LabError(f"packages are missing; as root run: apt-get update && {shlex.join(install)}")
    note(f"installing {', '.join(missing)}")
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    run(["apt-get", "update"], env=environment)
    run(install, env=environment)
