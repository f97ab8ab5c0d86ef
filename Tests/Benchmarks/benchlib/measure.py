"""Runs the programs and keeps what they measured, by row."""

import datetime
import json
import statistics

from . import host

LAB = host.CHECKOUT / "Tests" / "Lab" / "lab"


def parse(output):
    """From lines of `row` and `time` to a summary of each row.

    The ratio is that of the fastest batches of both sides, or of the medians where the program asks for it; the spread is
    where the middle half of the ratios of paired batches lies.
    """
    rounds, medians = {}, set()
    for line in output.splitlines():
        words = line.split("\t")
        if words[0] == "row" and "median" in words[3:]:
            medians.add(words[1])
        elif words[0] == "time":
            rounds.setdefault(words[1], []).append(tuple(int(word) for word in words[2:5]))
    rows = {}
    for name, batches in rounds.items():
        chosen = statistics.median if name in medians else min
        library = chosen([taken / count for count, taken, _ in batches])
        baseline = chosen([taken / count for count, _, taken in batches])
        ratios = [ours / theirs for _, ours, theirs in batches]
        low, median, high = statistics.quantiles(ratios, n=4)
        rows[name] = {
            "library": library, "baseline": baseline,
            "ratio": library / baseline, "median": median, "low": low, "high": high, "rounds": len(batches),
        }
    return rows


def parse_rates(output):
    """From lines of `rate`: medians of what both sides do in a second, and the least and the largest ratio of a round."""
    rounds = {}
    for line in output.splitlines():
        words = line.split("\t")
        if words[0] == "rate":
            rounds.setdefault(words[1], []).append((int(words[2]), int(words[3])))
    rows = {}
    for name, pairs in rounds.items():
        library, baseline = (statistics.median(side) for side in zip(*pairs))
        ratios = [ours / theirs for ours, theirs in pairs]
        rows[name] = {
            "library": library, "baseline": baseline, "ratio": library / baseline, "unit": "IOPS",
            "low": min(ratios), "high": max(ratios), "rounds": len(pairs),
        }
    return rows


def save(part, rows):
    """Adds rows to what is saved of a part; a row that was measured again replaces its older self."""
    host.RESULTS.mkdir(parents=True, exist_ok=True)
    path = host.RESULTS / f"{part}.json"
    known = load(part)
    now = datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    known["machine"] = host.machine()
    for name, row in rows.items():
        known["rows"][name] = dict(row, date=now)
    path.write_text(json.dumps(known, indent=2) + "\n")


def load(part):
    path = host.RESULTS / f"{part}.json"
    return json.loads(path.read_text()) if path.exists() else {"rows": {}}


def native(names):
    """Measures what needs no device."""
    program = host.build("NativeBenchmarks")
    host.note("measuring natively")
    rows = parse(host.run([program, "time", *names]))
    save("native", rows)
    return rows


def lab(names):
    """Measures what needs a kernel with VFIO, in a guest of the lab."""
    program = host.build("LabBenchmarks")
    host.note("measuring in the lab")
    lab_run = [LAB, "run", "--kernel", "iommufd", "--timeout", "1500", "--"]
    rows = {}
    programs = [name for name in names if name != "disk"]
    if programs or not names:
        rows |= parse(host.run([*lab_run, program, *programs]))
    if "disk" in names or not names:
        host.require("fio", "fio")
        rows |= parse_rates(host.run([*lab_run, host.FOLDER / "guest" / "disks", program]))
    if not rows:
        raise host.BenchmarkError("the guest measured nothing")
    save("lab", rows)
    return rows
