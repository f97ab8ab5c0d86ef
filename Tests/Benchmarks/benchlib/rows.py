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
    "The library allocates the IOVAs, takes a lock, and rejects a BAR's memory; the C side does none of that. This "
    "costs 1650 instructions, spread evenly over the code, compared with system calls of 10 to 25 µs; both sides make "
    "the same two system calls. The corresponding rows without a device are those with the ioctls that are answered "
    "at once. Measures that helped: no error descriptions on the success path, no unspecialised generic code, no "
    "allocation for type1's request, a cheaper search among the BARs, and IOVAs that allow huge pages in the IOMMU "
    "(before, 2 MiB and 1 GiB took 1.4 times as long as in C).")
WAKE_NOTE = (
    "With emulated processors the time is dominated by the guest's scheduler, with a spread of about half. The "
    "library reads the eventfd, waits with `poll(2)`, and reads it again, so that a wait can have a timeout: one "
    "system call more than a blocking read after the thread wakes up.")

QUEUE_NOTE = (
    "No allocation and no reference counting, and the loads and stores of the rings are the same as in C, without "
    "bounds checks. The additional work is the comparison with the mapped part of the BAR at each doorbell, and "
    "fields of the queue that are reloaded after each store to memory that a device can see: clang knows from the C "
    "types that such a store does not change them.")
FORWARD_NOTE = (
    "No allocation and no reference counting. A packet's buffer number is checked against the pool before its memory "
    "is accessed, which C does not do. Each burst also reloads its fields and checks its doorbell against the BAR; "
    "with batches of 1 that cost falls on a single packet. Measures that helped: one function for a whole burst, each "
    "check only once, errors created out of line, and descriptors that stay 32-bit numbers (before, a batch of 1 took "
    "1.6 times C's instructions).")

OPEN_NOTE = (
    "An emulated processor is slow for code and memory that are not in a cache: an instruction takes about 20 ns "
    "here, so the library's strings and tables matter. Measured separately in the guest, finding the device's node in "
    "sysfs takes 0.18 ms more than in C with the same system calls, querying and mapping the region 0.1 ms, and "
    "adding the device to the address space 0.07 ms. The first of these is about 8000 instructions. The library also "
    "queries the IOVA ranges, and with type1 whether the kernel supports type1v2. Measures that helped: with type1, "
    "sysfs is read only to explain a failure, and there are no error descriptions on the success path (before, it "
    "took 1.30 times as long as in C with iommufd, and 1.35 with type1). Larger initial buffers, which save a "
    "request, made no difference.")
DISK_NOTE = (
    "With one read in flight a read takes 80 µs. The driver's part of that is about 190 instructions, a few µs on an "
    "emulated processor. The rest is probably QEMU's main loop and its thread for the disk, which share two "
    "processors with a polling guest; this was not traced. With a thread for each of QEMU's emulated processors (not "
    "used by the lab, because QEMU 7.2 then panics occasionally) the ratios at 512 bytes were 1.9 and 6.2. libvfn was "
    "not measured again on this machine.")

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
        "The B-tree has a cost for its node width while everything is in the cache; from some thousand ranges on it "
        "is faster, at a million by far. Both grow as log n. The ratio was 1.32 with nodes of 32 items instead of 16, "
        "and while a node was searched for its widest gap after every change. A binary search in the node was slower, "
        "because its branches are unpredictable."),
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
