"""The lab's command line."""

import argparse
import os
import signal
import sys
from pathlib import Path

from . import selftest, swifttests
from .errors import LabError
from .guest import ACCELERATORS, MACHINES, STANDARD, Guest
from .host import CHECKOUT, cache_folder, note
from .kernels import DEFAULT_KERNEL, KERNELS, cached, require_ready, set_up

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
    except BrokenPipeError:
        # The reader of our output has left. Python would write what is left, and complain, at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 128 + signal.SIGPIPE
    except (LabError, OSError) as error:
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
        command.add_argument("--accel", choices=ACCELERATORS, default="tcg", help="how QEMU runs the guest (tcg)")
        command.add_argument("--machine", choices=MACHINES, default=STANDARD, help="what is in the guest: "
                             + "; ".join(f"{name}, {text}" for name, text in MACHINES.items()))

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

    command = add("test", test, "Build the tests and run the contract tests on kernels.")
    command.add_argument("--kernel", choices=[*KERNELS, "all"], default="all")
    command.add_argument("--filter", default="ContractTests", metavar="REGEX", help="which tests (ContractTests)")
    command.add_argument("--timeout", type=float, default=600, metavar="SECONDS", help="for each kernel (600)")
    command.add_argument("--skip-build", action="store_true", help="run the tests as they were last built")
    command.add_argument("--show-faults", action=argparse.BooleanOptionalAction, default=False,
                         help="print the IOMMU's fault reports too, which tests provoke on purpose (no)")
    add_guest_options(command)

    command = add("shell", shell, "Open a shell on a kernel.")
    command.add_argument("--kernel", choices=KERNELS, default=DEFAULT_KERNEL)
    add_guest_options(command)

    command = add("selftest", self_test, "Check that the lab itself tells success, failure, panic and hang apart.")
    command.add_argument("--kernel", choices=[*KERNELS, "all"], default=DEFAULT_KERNEL)
    add_guest_options(command)

    add("list", list_kernels, "List the kernels, their versions, and whether they are cached.")
    return top


def setup(options):
    for name in chosen(options):
        kernel = set_up(KERNELS[name], cache_folder(), options.refresh)
        note(f"{name}: {kernel.version} is ready")
    return 0


def run(options):
    words = options.command[1:] if options.command[:1] == ["--"] else options.command
    if not words:
        raise LabError("no command to run; write: lab run -- COMMAND [ARGUMENT ...]")
    guest = Guest(require_ready(options.kernel, cache_folder()), options.accel, options.machine)
    result = guest.run([product(words[0]), *words[1:]], write_output, options.timeout)
    return report(result, options.show_faults, options.keep_log)


def shell(options):
    note("leave the shell with `exit`")
    return report(Guest(require_ready(options.kernel, cache_folder()), options.accel, options.machine).shell(), show_faults=False)


def test(options):
    guests = [Guest(kernel, options.accel, options.machine) for kernel in chosen_ready(options)]
    bundle = swifttests.bundle(build=not options.skip_build)
    reports = []
    for guest in guests:
        print(f"== {guest.kernel.name} ({guest.kernel.version})", flush=True)
        tests, result = swifttests.run(guest, bundle, options.filter, write_output, options.timeout)
        report(result, options.show_faults)
        reports.append((guest.kernel, tests))
    print("\n== Summary")
    for kernel, tests in reports:
        print(f"{kernel.name}: {tests.verdict}")
        for reason, names in sorted(tests.skipped_by_reason().items()):
            print(f"    skipped: {reason} ({len(names)}: {', '.join(sorted(names))})")
    print()
    for kernel, tests in reports:
        print(f"{'passed' if tests.passed else 'FAILED'}  {kernel.name:8}  {kernel.version:22}  "
              f"{tests.ran:4} run  {len(tests.skipped):4} skipped  {tests.seconds:6.1f} s with boot")
    return 0 if all(tests.passed for _, tests in reports) else 1


def self_test(options):
    failures = [failure for kernel in chosen_ready(options) for failure in selftest.failures(kernel, options.accel)]
    print(f"{len(failures)} failed" if failures else "all passed")
    return 1 if failures else 0


def list_kernels(_):
    for kernel in KERNELS.values():
        found = cached(kernel, cache_folder())
        print(f"{kernel.name:8}  {found.version if found else 'not set up':22}  {kernel.summary}")
    return 0


def chosen(options):
    return list(KERNELS) if options.kernel == "all" else [options.kernel]


def chosen_ready(options):
    """The kernels to run on. A missing one is an error, also among "all": a test must not pass by not running."""
    return [require_ready(name, cache_folder()) for name in chosen(options)]


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
