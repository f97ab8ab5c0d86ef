"""Tests of the lab itself: it must never take a guest that failed for one that passed, nor lose output."""

import time
from dataclasses import dataclass
from typing import Callable

from .guest import DEVICES, Guest

# More than a megabyte, with bytes that a terminal would alter or drop, and no newline at the end.
LONG_OUTPUT = "".join(f"{number}\n" for number in range(1, 200001)).encode() + b"\r\n\0\x04\x11\x13\xff\r"
PRINT_LONG_OUTPUT = r"seq 1 200000; printf '\r\n\0\004\021\023\377\r'"

# Prints a device's driver and how many devices share its IOMMU group, for each device of the lab.
PRINT_DEVICES = """
for address in {addresses}; do
    device=/sys/bus/pci/devices/$address
    echo $address $(basename $(readlink $device/driver)) $(ls $device/iommu_group/devices | wc -l)
done
""".format(addresses=" ".join(address for address, _ in DEVICES.values()))


@dataclass(frozen=True)
class Case:
    """A shell script, and whether what came back is right."""

    name: str
    script: str
    right: Callable

    def run(self, kernel, accelerator, timeout):
        output = bytearray()
        result = Guest(kernel, accelerator).run(["/bin/sh", "-c", self.script], output.extend, timeout)
        return self.right(result, bytes(output)), result


CASES = (
    Case("a status of 0, standard output and standard error", "echo out; echo err >&2",
         lambda result, output: result.status == 0 and output == b"out\nerr\n"),
    Case("a status of 3, with no output", "exit 3",
         lambda result, output: result.status == 3 and output == b""),
    Case("a crash", "kill -SEGV $$",
         lambda result, output: result.status == 128 + 11),
    Case("all output of a megabyte, unaltered", PRINT_LONG_OUTPUT,
         lambda result, output: result.status == 0 and output == LONG_OUTPUT),
    Case("a process left behind", "sleep 100000 & echo done",
         lambda result, output: result.status == 0 and output == b"done\n"),
    Case("the host's files, which cannot be written", "test -r /etc/passwd && ! touch /etc/passwd 2>/dev/null",
         lambda result, output: result.status == 0),
    Case("each device with vfio-pci and alone in its group, but for those of a slot", PRINT_DEVICES,
         lambda result, output: output.decode().splitlines() ==
         [f"{address} vfio-pci {2 if address.startswith('0000:01:') else 1}" for address, _ in DEVICES.values()]),
    Case("a kernel panic", "echo c >/proc/sysrq-trigger; sleep 100000",
         lambda result, output: result.status is None and any("Kernel panic" in line for line in result.trouble)),
)
HANG = Case("a hang", "echo before; sleep 100000",
            lambda result, output: result.status is None and "in time" in result.failure and output == b"before\n")


def failures(kernel, accelerator):
    """Runs all cases on `kernel`, says how each went, and gives the names of those that failed."""
    failed = []

    def check(case, timeout):
        started = time.monotonic()
        right, result = case.run(kernel, accelerator, timeout)
        seconds = time.monotonic() - started
        print(f"{'passed' if right else 'FAILED'}  {kernel.name}: {case.name} ({seconds:.1f} s)", flush=True)
        if not right:
            failed.append(case.name)
            print(f"    status {result.status}; {result.explanation()}", flush=True)
        return seconds

    slowest = max([check(case, timeout=120) for case in CASES])
    # Long enough for this machine to boot, so that it is the command that is cut off.
    check(HANG, timeout=slowest + 5)
    return failed
