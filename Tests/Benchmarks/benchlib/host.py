"""The machine the benchmarks run on: its folders, its programs, and what it is."""

import os
import platform
import re
import shutil
import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent
CHECKOUT = FOLDER.parent.parent
# Inside of the checkout's own build folder, so that nothing that looks at Tests finds the packages of others there, and so
# that the lab's guest sees the programs.
SCRATCH = CHECKOUT / ".build" / "benchmarks"
RESULTS = SCRATCH / "results"


class BenchmarkError(Exception):
    """What keeps the benchmarks from being run, told to people without a trace."""


def note(message):
    print(f"benchmarks: {message}", file=sys.stderr, flush=True)


def run(command, **options):
    """Runs a command, and gives its standard output."""
    words = [str(word) for word in command]
    result = subprocess.run(words, stdout=subprocess.PIPE, text=True, **options)
    if result.returncode != 0:
        raise BenchmarkError(f"`{' '.join(words)}` failed with status {result.returncode}\n{result.stdout[-4000:]}")
    return result.stdout


def build(product):
    """Builds a program in release and gives its path."""
    note(f"building {product}")
    run(["swift", "build", "-c", "release", "--package-path", FOLDER, "--scratch-path", SCRATCH, "--product", product],
        stderr=subprocess.STDOUT)
    return SCRATCH / "release" / product


def require(program, package):
    """Installs the Debian package of a program that is missing."""
    if shutil.which(program):
        return
    if os.geteuid() != 0:
        raise BenchmarkError(f"{program} is missing; as root run: apt-get install {package}")
    note(f"installing {package}")
    environment = dict(os.environ, DEBIAN_FRONTEND="noninteractive")
    run(["apt-get", "update"], env=environment)
    run(["apt-get", "install", "--yes", "--no-install-recommends", package], env=environment)


def machine():
    """What the numbers depend on."""
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    swift = run(["swift", "--version"], stderr=subprocess.DEVNULL)
    clang = run([swift_clang(), "--version"])
    return {
        "cpu": f"{model.group(1) if model else platform.machine()}, {os.cpu_count()} cores",
        "load": f"{os.getloadavg()[0]:.1f}",
        "kernel": f"{platform.system()} {platform.release()}",
        "swift": re.search(r"Swift version ([\w.]+)", swift).group(1),
        "clang": re.search(r"clang version ([\w.]+)", clang).group(1),
    }


def swift_clang():
    """The C compiler that SwiftPM uses: the one beside swift."""
    beside = Path(os.path.realpath(shutil.which("swift"))).parent / "clang"
    return beside if beside.exists() else "clang"
