"""Writes docs/benchmarks.md and docs/benchmarks.svg from what is saved."""

from . import callgrind, disassembly, host, measure, plot, rows

DOCS = host.CHECKOUT / "docs"

METHOD = """\
## Method

- The C side is in the same package (`Tests/Benchmarks/Sources/CBaseline`), compiled by the same clang with SwiftPM's release
  settings (`-O2`), and does the same work, error checks included.
- Both sides run in one process, in turn: a short batch of the one, a short batch of the other, the order changing each
  time, up to 2000 rounds. **The ratio is that of the fastest batches of both sides**: what interrupts a batch only ever
  makes it slower. The spread says where the middle half of the ratios of paired batches lies. Each ratio is from one run.
- The packet rows are times too: 0.98 of C's throughput is 1.02 of its time. The C forwarder once took twice as long with
  clang as with gcc: clang loads two neighbouring counters of 16 bits at once, right after one was stored, and the processor waits
  for the store. Its counters, and the library's, have 32 bits now.
- The NVMe rows of the lab are reads of a disk by the library's driver, polling, and by the kernel's driver with fio (`io_uring`,
  `O_DIRECT`), five times in turn in one boot; medians, and the ratios of all rounds as spread. libvfn, in C, reached 3.8 times the
  kernel's IOPS at depth 1 and 5.3 times at depth 32 in such a guest.
- The rows of the lab run in a QEMU guest with emulated processors, devices and IOMMU (`Tests/Lab`, kernel `iommufd`). Its
  nanoseconds say nothing of a real machine; the ratios are within one boot.
- Instructions, memory accesses, allocations and reference counting are counted by valgrind's callgrind, as the difference of two
  runs of different length, so that starting the program has no part in it. CI compares them with
  `Tests/Benchmarks/instructions.json`.

Made by `Tests/Benchmarks/run`; how to run it, and how to read it, is in `Tests/Benchmarks/README.md`.
"""


def write():
    """Writes both files. Gives the rows whose goal was missed."""
    saved = {part: measure.load(part) for part in ("native", "lab")}
    entries = []
    for row in rows.ROWS:
        result = saved[row.part]["rows"].get(row.name)
        if result:
            entries.append((row, result))
    if not entries:
        raise host.BenchmarkError("nothing has been measured yet: `run native`, `run lab`")
    DOCS.mkdir(exist_ok=True)
    (DOCS / "benchmarks.md").write_text(text(entries, saved))
    (DOCS / "benchmarks.svg").write_text(plot.draw(entries))
    return [row for row, result in entries if not met(row, result)]


def met(row, result):
    """Whether the goal was met; a row without one has nothing to miss."""
    if row.kind == "at most":
        # As exact as the table shows it.
        return round(result["ratio"], 2) <= row.goal
    if row.kind == "at least":
        return round(result["ratio"], 2) >= row.goal
    if row.kind == "more":
        return result["library"] - result["baseline"] <= row.goal
    return True


def text(entries, saved):
    lines = [
        "# Benchmarks", "",
        "What the library costs, next to the same work in C. A ratio of 1 is C's own speed.", "",
        "![The ratio of each row to C](benchmarks.svg)", "",
    ]
    for part, title in (("native", "On the machine itself"), ("lab", "In the lab: a real kernel, emulated devices")):
        of_part = [(row, result) for row, result in entries if row.part == part]
        if not of_part:
            continue
        machine = saved[part]["machine"]
        dates = sorted({result["date"] for _, result in of_part})
        load = f" The load average of the machine was {machine['load']}." if "load" in machine else ""
        lines += [
            f"## {title}", "",
            f"Measured {dates[0] if len(dates) == 1 else dates[0] + ' to ' + dates[-1]}, on {machine['cpu']}, "
            f"{machine['kernel']}; Swift {machine['swift']}, clang {machine['clang']}.{load}", "",
            "| what | against | Swift | other | ratio | spread | goal | |",
            "|---|---|--:|--:|--:|--:|--:|---|",
        ]
        lines += [line(row, result) for row, result in of_part]
        lines.append("")
        missed = [row for row, result in of_part if not met(row, result)]
        if missed:
            lines += ["Goals that are missed:", ""]
            for note in dict.fromkeys(row.note for row in missed):
                names = ", ".join(row.what for row in missed if row.note == note)
                lines.append(f"- **{names}**: {note or 'not looked into yet.'}")
            lines.append("")
    lines += counted()
    return "\n".join(lines) + "\n" + METHOD


def line(row, result):
    unit = result.get("unit", "ns")
    goal = {"at most": f"≤ {row.goal}", "at least": f"≥ {row.goal}", "more": f"≤ {row.goal} ns more", None: ""}[row.kind]
    verdict = "" if row.kind is None else ("met" if met(row, result) else "**missed**")
    return (f"| {row.what} | {row.against} | {number(result['library'], unit)} | {number(result['baseline'], unit)} "
            f"| {result['ratio']:.2f} | {result['low']:.2f} to {result['high']:.2f} | {goal} | {verdict} |")


def number(value, unit):
    if unit != "ns":
        return f"{value:,.0f} {unit}"
    for limit, divisor, name in ((1e3, 1, "ns"), (1e6, 1e3, "µs"), (1e9, 1e6, "ms")):
        if value < limit:
            return f"{value / divisor:.3g} {name}"
    return f"{value / 1e9:.3g} s"


def counted():
    """The counts of callgrind and of the disassembly."""
    lines = [
        "## Counted, not timed", "",
        "For each operation: Swift, then C. Exact, and the same in each run on a machine of this kind.", "",
        "| | instructions | loads | stores | heap allocations | retains and releases |",
        "|---|--:|--:|--:|--:|--:|",
    ]
    for name, sides in callgrind.count().items():
        ours, theirs = sides["library"], sides["baseline"]
        pair = lambda key: f"{ours[key]:.4g} / {theirs[key]:.4g}"
        row = next((row.what for row in rows.ROWS if row.name == name), name)
        lines.append(f"| {row} | {pair('instructions')} | {pair('reads')} | {pair('writes')} | {ours['allocations']:g} "
                     f"| {ours['references']:g} |")
    lines += ["", "In the disassembly of a single access through `DeviceMemory`, and of one through `Registers`, whose goal is one memory",
              "instruction, and one branch more than C:", "",
              "| | memory instructions | conditional branches |", "|---|--:|--:|"]
    for name, ours, theirs, our_branches, their_branches in disassembly.check():
        what = {"register": "Register write and read", "doorbell": "Ring descriptor and doorbell",
                "register-any": "Register write, mapped or not"}[name]
        lines.append(f"| {what} | {ours} / {theirs} | {our_branches} / {their_branches} |")
    return lines + [""]
