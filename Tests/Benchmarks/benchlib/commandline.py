"""The command line."""

import argparse

from . import callgrind, disassembly, host, measure, table


def main(arguments):
    parser = argparse.ArgumentParser(prog="run", description=__doc__)
    commands = parser.add_subparsers(dest="command")
    native = commands.add_parser("native", help="measure what needs no device")
    native.add_argument("rows", nargs="*", help="only these; all of them without one")
    lab = commands.add_parser("lab", help="measure what needs VFIO and devices, in the lab")
    lab.add_argument("rows", nargs="*", help="only these parts: map, interrupt, open, disk")
    commands.add_parser("disassembly", help="count the memory instructions of single accesses")
    commands.add_parser("table", help="write docs/benchmarks.md and docs/benchmarks.svg from what was measured")
    counts = commands.add_parser("instructions", help="count instructions, allocations and reference counting")
    which = counts.add_mutually_exclusive_group()
    which.add_argument("--check", action="store_true", help="fail when one is more than in the repository")
    which.add_argument("--update", action="store_true", help="write them into the repository")
    counts.add_argument("rows", nargs="*")
    options = parser.parse_args(arguments)
    try:
        return perform(options)
    except host.BenchmarkError as error:
        host.note(str(error))
        return 2


def perform(options):
    if options.command == "native":
        show(measure.native(options.rows))
        return 0
    if options.command == "lab":
        show(measure.lab(options.rows))
        return 0
    if options.command == "disassembly":
        return show_disassembly()
    if options.command == "instructions":
        if options.check:
            return callgrind.check()
        if options.update:
            return callgrind.update()
        callgrind.show(callgrind.count(options.rows))
        return 0
    if options.command is None:
        show(measure.native([]))
        show(measure.lab([]))
    missed = table.write()
    for row in missed:
        print(f"goal missed: {row.what}")
    return 0


def show(rows):
    for name, row in rows.items():
        unit = row.get("unit", "ns")
        print(f"{name:24}{row['library']:12.2f} {unit}, C {row['baseline']:12.2f} {unit}, ratio {row['ratio']:.3f} "
              f"(middle half of {row['rounds']} pairs: {row['low']:.3f} to {row['high']:.3f})")


def show_disassembly():
    differs = False
    for name, ours, theirs, our_branches, their_branches in disassembly.check():
        print(f"{name}: {ours} memory instructions, C {theirs}; {our_branches} conditional branches, C {their_branches}")
        differs = differs or ours != theirs
    return 1 if differs else 0
