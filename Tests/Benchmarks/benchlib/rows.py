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


MAP_NOTE = (
    "The library finds the addresses, holds them against other threads, and refuses a BAR's memory, which the C side does not. "
    "That is 1650 instructions, spread evenly over all of it, against system calls of 10 to 25 µs; the system calls are the same two. On the "
    "machine itself it is the row with the ioctls that are answered at once. What was tried and helped: no descriptions of errors "
    "on the way of success, no generic code that is not specialised, no allocation for type1's request, a cheaper search "
    "among the BARs, and addresses where the IOMMU has huge pages (before, 2 MiB and 1 GiB took 1.4 times as long as in C).")
WAKE_NOTE = (
    "With emulated processors the time is that of the guest's scheduler, and spreads by half. The library asks for the count, "
    "waits with `poll(2)`, and asks again, so that a wait can have a timeout: one system call more than a read that "
    "blocks after the thread wakes up.")

QUEUE_NOTE = (
    "No allocation and no reference counting, and the loads and stores of the rings are C's, without comparisons. What is more are "
    "the comparison with the mapped part of the BAR at each doorbell, and fields of the queue that are loaded again after each store "
    "that a device could see: clang knows from the types in C that such a store does not change them.")
FORWARD_NOTE = (
    "No allocation and no reference counting. A packet's buffer is compared with the pool before its memory is touched, which C does "
    "not do, and each burst has what it needs loaded again, and its doorbell compared with the BAR, which falls on one packet in a "
    "batch of 1. What was tried and helped: all of a burst in one function, each comparison once, errors made out of line, and "
    "descriptors that stay numbers of 32 bits (before, a batch of 1 took 1.6 times C's instructions).")

OPEN_NOTE = (
    "An emulated processor, which is slow at code and memory that it has not just used, takes some 20 ns for each instruction here, "
    "so that the strings and tables of the library count: seen part by part in the guest, finding the device's node in sysfs takes "
    "0.18 ms more than in C by the same system calls, asking for the region and mapping it 0.1 ms, and entering the device among "
    "those of the address space 0.07 ms. Some 8000 instructions make up the first of these. The library also asks which addresses "
    "can be mapped, and with type1 whether the kernel offers type1v2. What was tried and helped: type1 looks into sysfs only for the "
    "reason of a failure, and no words for errors on the way of success (before, it took 1.30 times as long as in C with iommufd, and "
    "1.35 with type1). More room for an answer at once, which spares a request, made no difference.")
DISK_NOTE = (
    "With one read in flight a read takes 80 µs. The driver's part of that is some 190 instructions, a few µs on an emulated "
    "processor; the rest is thought to be QEMU's main loop and its thread for the disk, which share two processors with a guest that "
    "polls, but was not traced. With QEMU's emulated processors in a thread each (the lab does not, since QEMU 7.2 panics now and "
    "then like that) the "
    "ratios at 512 bytes were 1.9 and 6.2. libvfn was not measured again on this machine.")

ROWS = (
    Row("register", "native", "Register write and read, `MappedRegion`", "C `volatile`", "at most", 1.02),
    Row("doorbell", "native", "Ring descriptor and doorbell, `MappedRegion`", "C `volatile`", "at most", 1.02),
    Row("register-any", "native", "Register write and read, `RegisterBank`", "C `volatile`"),
    Row("doorbell-any", "native", "Ring descriptor and doorbell, `RegisterBank`", "C `volatile`"),
    Row("ioctl", "native", "An ioctl that is answered at once (`FIONREAD`)", "C `ioctl`", "more", 50),
    Row("map-call", "native", "Map and unmap, ioctls answered at once, iommufd", "C, both `ioctl`s"),
    Row("map-call-type1", "native", "Map and unmap, ioctls answered at once, type1", "C, both `ioctl`s"),
    Row("interrupt-poll", "native", "Signal an eventfd, `InterruptVector.poll`", "C `write`, `read`"),
    Row("interrupt-wait", "native", "Signal an eventfd, `InterruptVector.wait`", "C `write`, `read`"),
    Row("iova-1k", "native", "IOVA release and allocate, 1000 ranges taken", "C red-black tree", "at most", 1.1,
        "The B-tree pays for its width where everything is in the cache; from some thousand ranges on it is ahead, at a million "
        "by far. Both grow as log n. It took 1.32 before nodes of 16 items instead of 32, and before a node was looked through for "
        "its widest gap only when that one had changed. A binary search in the node made it slower: its branches cannot "
        "be foretold."),
    Row("iova-10k", "native", "IOVA release and allocate, 10 000 ranges taken", "C red-black tree", "at most", 1.1),
    Row("iova-100k", "native", "IOVA release and allocate, 100 000 ranges taken", "C red-black tree", "at most", 1.1),
    Row("iova-1m", "native", "IOVA release and allocate, 1 000 000 ranges taken", "C red-black tree", "at most", 1.1),
    *(Row(f"nvme-{depth}", "native", f"NVMe read submitted and completed, {depth} in flight", "C, the same loop", "at most",
          1.05, QUEUE_NOTE) for depth in (1, 32)),
    *(Row(f"forward-{batch}", "native", f"64-byte packet forwarded, batches of {batch}", "C, the same loop", "at most", 1.02,
          FORWARD_NOTE) for batch in (1, 32, 256)),
    *(Row(f"map-{size}-{interface}", "lab", f"Map and unmap {words}, {interface}", "C, both `ioctl`s", "at most", 1.02,
          MAP_NOTE)
      for interface in ("iommufd", "type1") for size, words in (("4k", "4 KiB"), ("2m", "2 MiB"), ("1g", "1 GiB"))),
    Row("interrupt-poll-msi", "lab", "MSI to `InterruptVector.poll`", "C `read`", "at most", 1.05, WAKE_NOTE),
    Row("interrupt-wait-msi", "lab", "MSI to `InterruptVector.wait`, thread asleep", "C `read` that blocks", "at most", 1.05,
        WAKE_NOTE),
    Row("interrupt-events-msi", "lab", "MSI to `for await` over `InterruptVector.events`", "C `read` that blocks"),
    Row("open-1-iommufd", "lab", "Open a device, read a register, iommufd", "C", "at most", 1.05, OPEN_NOTE),
    Row("open-1-type1", "lab", "Open a device, read a register, type1", "C", "at most", 1.05, OPEN_NOTE),
    Row("open-7-iommufd", "lab", "Open 7 devices in parallel, read a register of each", "C", "at most", 1.05, OPEN_NOTE),
    *(Row(f"disk-{size}-{depth}", "lab", f"NVMe random read, {size} bytes, {depth} in flight: IOPS", "kernel's driver, `fio`, "
          "`O_DIRECT`", *(("at least", goal) if size == 512 else (None, None)), DISK_NOTE)
      for size in (512, 4096) for depth, goal in ((1, 4), (32, 5.5))),
)
