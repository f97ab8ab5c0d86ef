"""Counts instructions, memory accesses, allocations and reference counting for each operation, with callgrind.

The program runs each side of a row three times: warm-up, N operations, 2 N. Callgrind writes its counts down at each mark in
between, so the difference of the last two, divided by N, is what one operation costs, and starting the program has no part
in it. The numbers repeat exactly, and do not depend on how busy the machine is.
"""

import json
import re
import subprocess
import tempfile
from pathlib import Path

from . import host

NUMBERS = host.FOLDER / "instructions.json"
# What may be more before it is a regression.
TOLERANCE = 0.03

ALLOCATIONS = {"malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc", "memalign"}
REFERENCES = re.compile(
    r"swift_(nonatomic_)?(retain|release|bridgeObjectRetain|bridgeObjectRelease|unknownObjectRetain|unknownObjectRelease)(_n)?")


def count(names=()):
    """Gives {row: {side: {instructions, reads, writes, allocations, references}}}, each for one operation."""
    host.require("valgrind", "valgrind")
    host.require("strip", "binutils")
    program = host.build("NativeBenchmarks")
    host.note("counting instructions")
    with tempfile.TemporaryDirectory(prefix="swift-vfio-benchmarks-") as folder:
        # valgrind reads debug information, and gives up at what newer compilers write.
        stripped = f"{folder}/program"
        host.run(["strip", "--strip-debug", "-o", stripped, program])
        output = host.run([
            "valgrind", "--tool=callgrind", "--cache-sim=yes", "--compress-strings=no", "--compress-pos=no",
            "--dump-before=bench_mark", f"--callgrind-out-file={folder}/out", stripped, "count", *names,
        ], stderr=subprocess.STDOUT)
        runs = [line.split("\t")[1:] for line in output.splitlines() if line.startswith("count\t")]
        counts = {}
        for index in range(0, len(runs), 3):
            row, side, times = runs[index]
            # The marks come in pairs, around each run; the count of a run is in the dump at the second one.
            once, twice = (read(Path(f"{folder}/out.{2 * (index + which) + 2}")) for which in (1, 2))
            counts.setdefault(row, {})[side] = {
                key: round((twice[key] - once[key]) / int(times), 3) for key in once}
    return counts


def read(path):
    """The totals of one dump."""
    totals = {"allocations": 0, "references": 0}
    calls = None
    for line in path.read_text().splitlines():
        if line.startswith("cfn="):
            calls = line[4:].split("'")[0]
        elif line.startswith("calls=") and calls:
            number = int(line[6:].split()[0])
            name = calls.split("@")[0]
            if name in ALLOCATIONS:
                totals["allocations"] += number
            elif REFERENCES.fullmatch(name):
                totals["references"] += number
            calls = None
        elif line.startswith("summary:"):
            numbers = [int(word) for word in line.split()[1:]]
            totals["instructions"], totals["reads"], totals["writes"] = (numbers + [0, 0])[:3]
    return totals


def text(counts):
    """As JSON, with a line for each side of a benchmark."""
    names = []
    for name, sides in sorted(counts.items()):
        lines = [f"    {json.dumps(side)}: {json.dumps(sides[side], sort_keys=True)}" for side in sorted(sides)]
        names.append(f"  {json.dumps(name)}: {{\n" + ",\n".join(lines) + "\n  }")
    return "{\n" + ",\n".join(names) + "\n}\n"


def update():
    counts = count()
    NUMBERS.write_text(text(counts))
    show(counts)
    print(f"written to {NUMBERS.relative_to(host.CHECKOUT)}")
    return 0


def check():
    """Compares with the numbers in the repository. Status 1 when an operation costs more than it did."""
    known = json.loads(NUMBERS.read_text())
    counts = count()
    show(counts)
    worse, better = [], []
    for row in sorted(known.keys() | counts.keys()):
        if row not in known or row not in counts:
            worse.append(f"{row}: {'not in the repository' if row in counts else 'is gone'}; run `instructions --update`")
            continue
        for key in ("instructions", "allocations", "references"):
            before, now = known[row]["library"][key], counts[row]["library"][key]
            room = before * TOLERANCE if key == "instructions" else 0.01
            text = f"{row}: {key} for each operation {before:g} -> {now:g}"
            if now > before + room:
                worse.append(text)
            elif now < before - room:
                better.append(text)
    for text in better:
        print(f"better: {text} (run `Tests/Benchmarks/run instructions --update`)")
    for text in worse:
        print(f"WORSE: {text}")
    print(f"{len(worse)} worse, {len(better)} better, of {len(counts)} rows")
    return 1 if worse else 0


def show(counts):
    print(f"{'for each operation':24}{'instructions':>22}{'reads':>16}{'writes':>16}{'allocations':>14}{'references':>12}")
    for row, sides in counts.items():
        ours, theirs = sides["library"], sides["baseline"]
        pair = lambda key: f"{ours[key]:g} / {theirs[key]:g}"
        print(f"{row:24}{pair('instructions'):>22}{pair('reads'):>16}{pair('writes'):>16}"
              f"{ours['allocations']:>14g}{ours['references']:>12g}")
