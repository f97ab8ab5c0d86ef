"""The Swift tests on a guest: building them on the host, running them there, and judging what they print."""

import re
import subprocess
import sys
import time
from dataclasses import dataclass, field

from .errors import LabError
from .host import CHECKOUT, note

COLOUR = re.compile(r"\x1b\[[0-9;]*m")
SUMMARY = re.compile(r"Test run with (\d+) tests?(?: in \d+ suites?)? (passed|failed) after")
SKIPPED = re.compile(r'^\S+ Test (?!case )(.+?) (?:skipped|was cancelled)(?: after [\d.]+ seconds)?(?:: "(.*)"|\.)$')


@dataclass
class TestRun:
    """What a run of Swift Testing came to. It passed only if it says so itself and at least one test ran."""

    status: int
    output: str
    seconds: float
    skipped: dict = field(init=False)
    ran: int = field(init=False, default=0)
    passed: bool = field(init=False, default=False)
    verdict: str = field(init=False)

    def __post_init__(self):
        lines = [COLOUR.sub("", line) for line in self.output.splitlines()]
        skips = filter(None, map(SKIPPED.match, lines))
        self.skipped = {skip.group(1): skip.group(2) or "no reason given" for skip in skips}
        summary = next(filter(None, map(SUMMARY.search, reversed(lines))), None)
        if summary:
            # Swift Testing counts skipped tests among those of the run.
            self.ran = int(summary.group(1)) - len(self.skipped)
        if self.status is None:
            self.verdict = "the guest failed"
        elif not summary:
            self.verdict = f"the tests ended with status {self.status} and no summary"
        elif summary.group(2) == "failed" or self.status != 0:
            self.verdict = f"tests failed (status {self.status})"
        elif self.ran == 0:
            self.verdict = "no test ran"
        else:
            self.passed = True
            self.verdict = f"{self.ran} {'test' if self.ran == 1 else 'tests'} passed, {len(self.skipped)} skipped"

    def skipped_by_reason(self):
        reasons = {}
        for name, reason in self.skipped.items():
            reasons.setdefault(reason, []).append(name)
        return reasons


def bundle(build):
    """The checkout's test program, after building it if `build` is true."""
    if build:
        note("building the tests")
        if subprocess.run(["swift", "build", "--build-tests"], cwd=CHECKOUT, stdout=sys.stderr).returncode != 0:
            raise LabError("`swift build --build-tests` failed; the tests were not run")
    bundles = list((CHECKOUT / ".build" / "debug").glob("*PackageTests.xctest"))
    if len(bundles) != 1:
        raise LabError(f"{len(bundles)} test programs in {CHECKOUT / '.build' / 'debug'}, expected one; "
                       "run `swift build --build-tests` there")
    return bundles[0]


def run(guest, program, pattern, write, timeout):
    """Runs the tests whose names match `pattern`. Gives the TestRun and the guest's Result."""
    output = bytearray()

    def collect(data):
        output.extend(data)
        write(data)

    started = time.monotonic()
    command = [str(program), "--testing-library", "swift-testing", "--filter", pattern]
    result = guest.run(command, collect, timeout)
    return TestRun(result.status, output.decode(errors="replace"), time.monotonic() - started), result
