"""Counts the memory instructions of single accesses, in Swift and in C."""

import re
import subprocess

from . import host

# What is compared: a name, a part of the Swift function's symbol, and the C function.
PAIRS = (
    ("register", "14registerAccess", "baseline_register_access"),
    ("doorbell", "10ringAccess", "baseline_ring_access"),
    ("register-any", "17anyRegisterAccess", "baseline_register_write"),
)


def check():
    """Gives (name, memory instructions in Swift, in C, conditional branches in Swift, in C) for each pair."""
    host.require("objdump", "binutils")
    program = host.build("NativeBenchmarks")
    functions = {}
    listing = host.run(["objdump", "-d", "--no-show-raw-insn", program], stderr=subprocess.STDOUT)
    for block in listing.split("\n\n"):
        head = re.match(r"\s*[0-9a-f]+ <(\S+)>:", block)
        if head:
            functions[head.group(1)] = block.splitlines()[1:]
    counts = []
    for name, swift, baseline in PAIRS:
        symbols = [symbol for symbol in functions if swift in symbol]
        if len(symbols) != 1 or baseline not in functions:
            raise host.BenchmarkError(f"the program has no function {swift}, or more than one: {symbols}")
        ours, theirs = functions[symbols[0]], functions[baseline]
        counts.append((name, memory(ours), memory(theirs), branches(ours), branches(theirs)))
    return counts


def instructions(lines):
    """Mnemonic and operands, as far as the function goes: what follows is padding."""
    for line in lines:
        match = re.match(r"\s*[0-9a-f]+:\s+(\S+)\s*(.*)", line)
        if match and not match.group(1).startswith(("nop", "xchg", "data16", "cs")):
            yield match.groups()


def memory(lines):
    # Operands in parentheses, but for address arithmetic and the stack's own instructions.
    return sum(1 for name, operands in instructions(lines) if "(" in operands and not name.startswith("lea"))


def branches(lines):
    return sum(1 for name, _ in instructions(lines) if re.fullmatch(r"j(?!mp)\w+", name))
