"""The lab's command line."""

import argparse
import os
import signal
import sys
from pathlib import Path

from .errors import LabError
from .guest import Guest
from .host import CHECKOUT, cache_folder, note
from .kernels import DEFAULT_KERNEL, KERNELS, cached, require_cached, set_up

# The exit status for "the lab failed", which no test runner and no tool of ours uses for itself.
LAB_FAILED = 125


def main(arguments):
    """Runs one command of the lab and gives the exit status."""
    # A run that is told to stop must end its QEMU and remove its folder, as at an interrupt.
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, lambda number, _: sys.exit(128 + number))
    options = parser().parse_args(arguments)
    try:
        return options.action(options)
    except LabError as error:
        note(error)
        return LAB_FAILED
    except KeyboardInterrupt:
        return 128 + signal.SIGINT


def parser():
    top = argparse.ArgumentParser(prog="lab", description="Real Linux kernels in QEMU, with devices for vfio-pci.")
    commands = top.add_subparsers(required=True, metavar="COMMAND")

    def add(name, action, text):
        command = commands.add_parser(name, help=text, description=text)
        command.set_defaults(action=action)
        return command

    def add_guest_options(command):
        command.add_argument("--accel", choices=("tcg", "kvm"), default="tcg", help="how QEMU runs the guest (tcg)")

    command = add("setup", setup, "Install what is missing on this machine and prepare kernels.")
    command.add_argument("--kernel", choices=[*KERNELS, "all"], default="all")
    command.add_argument("--refresh", action="store_true", help="look for a newer version than the cached one")

    command = add("run", run, "Run a command on a kernel; its exit status is this one's.")
    command.add_argument("--kernel", choices=KERNELS, default=DEFAULT_KERNEL)
    command.add_argument("--timeout", type=float, default=600, metavar="SECONDS", help="for boot and command (600)")
    command.add_argument("--keep-log", type=Path, metavar="FILE", help="write the whole kernel log to FILE")
    command.add_argument("--show-faults", action=argparse.BooleanOptionalAction, default=True,
                         help="print the IOMMU's fault reports after the run (yes)")
    add_guest_options(command)
    command.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND [ARGUMENT ...]")

    command = add("shell", shell, "Open a shell on a kernel.")
    command.add_argument("--kernel", choices=KERNELS, default=DEFAULT_KERNEL)
    add_guest_options(command)

    add("list", list_kernels, "List the kernels, their versions, and whether they are cached.")
    return top


def setup(options):
    names = KERNELS if options.kernel == "all" else [options.kernel]
    for name in names:
        kernel = set_up(KERNELS[name], cache_folder(), options.refresh)
        note(f"{name}: {kernel.version} is ready")
    return 0


def run(options):
    words = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not words:
        raise LabError("no command to run; write: lab run -- COMMAND [ARGUMENT ...]")
    guest = Guest(require_cached(options.kernel, cache_folder()), options.accel)
    result = guest.run([product(words[0]), *words[1:]], write_output, options.timeout)
    return report(result, options.show_faults, options.keep_log)


def shell(options):
    note("leave the shell with `exit`")
    return report(Guest(require_cached(options.kernel, cache_folder()), options.accel).shell(), show_faults=False)


def list_kernels(_):
    for kernel in KERNELS.values():
        found = cached(kernel, cache_folder())
        print(f"{kernel.name:8}  {found.version if found else 'not set up':22}  {kernel.summary}")
    return 0


def product(word):
    """A product of the checkout by its name, if there is one built; otherwise the word as it is."""
    if "/" not in word:
        for build in ("debug", "release"):
            candidate = CHECKOUT / ".build" / build / word
            if os.access(candidate, os.X_OK) and candidate.is_file():
                return str(candidate)
    return word


def write_output(data):
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def report(result, show_faults, keep_log=None):
    """Says on standard error what the kernel reported in a run, and gives the exit status for it."""
    if keep_log:
        keep_log.write_text(result.kernel_log)
    for line in (result.faults if show_faults else []) + result.trouble:
        print(f"kernel: {line}", file=sys.stderr)
    if result.status is None:
        note(result.explanation())
        return LAB_FAILED
    return result.status
