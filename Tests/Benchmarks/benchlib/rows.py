"""The rows of the table: what each is compared with, its goal, and what is to be said of it.

A goal is a number that the ratio to C must not be above ("at most"), that it must not be below ("at least"), or nanoseconds
that the library may add ("more").
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    name: str
    part: str
    what: str
    against: str
    kind: str = None
    goal: float = None
    # For a goal that is missed: why, and what was tried.
    note: str = ""


ROWS = (
    Row("register", "native", "Register write and read, 32 bits, `MappedRegion`", "C `volatile`", "at most", 1.02),
    Row("doorbell", "native", "Ring descriptor and doorbell, `DMABuffer` and `MappedRegion`", "C `volatile`",
        "at most", 1.02,
        "As many memory accesses as C. What is more are the two comparisons with the ring's length, since the slot is not "
        "known before the program runs: 0.1 ns on cached memory, where a real doorbell takes some hundred."),
    Row("register-any", "native", "Register write and read, 32 bits, mapped or not (`Registers`)", "C `volatile`"),
    Row("doorbell-any", "native", "Ring descriptor and doorbell, mapped or not (`Registers`)", "C `volatile`"),
    Row("ioctl", "native", "An ioctl that is answered at once (`FIONREAD` on a pipe)", "C `ioctl`", "more", 50),
    Row("map-call", "native", "`AddressSpace.map` and `close()`, both ioctls answered at once", "C, the two `ioctl`s"),
    Row("interrupt-poll", "native", "Signal an eventfd, `InterruptVector.poll`", "C `write` and `read`"),
    Row("interrupt-wait", "native", "Signal an eventfd, `InterruptVector.wait`", "C `write` and `read`"),
)
