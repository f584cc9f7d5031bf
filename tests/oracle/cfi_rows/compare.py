#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compares mixprof's unwind rows with readelf's, over every address of ELF files.

    compare.py DUMP_ROWS FILE...

Both sides become step functions over addresses; they are compared at every step
of either, so no address is left out, and once more at random addresses by
lookup. readelf's overlapping FDEs are resolved as mixprof promises: the entry
read first keeps its addresses. Exit status 1 if anything differs.

readelf's rows say "exp" for an expression and no more. What the expressions
are is compared with readelf's dump of the instructions, at the addresses where
they come into force.

Columns: rows of ours; steps compared; mismatched among them; steps where
readelf shows an expression; of the instructions that set one, those whose
operands were compared; steps for which mixprof has no form, each of which must
be one that readelf shows as not plain; addresses covered by FDEs, in KB.
"""

import bisect
import os
import random
import re
import subprocess
import sys

NONE = ("-", "-", "-", "-")
SAMPLES = 2000
SHOWN = 5  # mismatches per file

CIE_LINE = re.compile(r'^([0-9a-f]+) [0-9a-f]+ [0-9a-f]+ CIE "')
FDE_LINE = re.compile(
    r"^[0-9a-f]+ [0-9a-f]+ [0-9a-f]+ FDE cie=([0-9a-f]+) pc=([0-9a-f]+)\.\.([0-9a-f]+)"
)
REGISTER_CELL = re.compile(r"\b(r\d+) \(\w+\)")  # "r5 (rdi)": held by that register


def neutral(columns, cells):
    """(cfa, ra, rbp, rbx) of one line of readelf's."""
    row = dict(zip(columns, cells))
    if row.get("rsp", "u") not in ("u", "s"):
        row["CFA"] = "exp"  # the caller's rsp is not the CFA
    return (row["CFA"], row.get("ra", "none"), row.get("rbp", "u"), row.get("rbx", "u"))


def lines_of(path, what):
    command = ["readelf", "-W", f"--debug-dump={what}", path]
    environment = dict(os.environ, LC_ALL="C", DEBUGINFOD_URLS="")
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment
    ) as process:
        yield from process.stdout


def read_fdes(path):
    """[start, end, [(pc, row)...]] in the order of reading."""
    fdes, cies, columns, rows = [], {}, [], None
    for line in lines_of(path, "frames-interp"):
        if line.startswith("Contents of the"):
            cies, rows = {}, None
        elif line.startswith("   LOC"):
            columns = line.split()[1:]
        elif match := FDE_LINE.match(line):
            cie, start, end = (int(x, 16) for x in match.groups())
            rows = []
            fdes.append([start, end, rows, cies.get(cie, [])])
        elif match := CIE_LINE.match(line):
            rows = cies[int(match.group(1), 16)] = []
        elif rows is not None and line[:1] in "0123456789abcdef" and "ZERO term" not in line:
            cells = REGISTER_CELL.sub(r"\1", line).split()
            if len(cells) != len(columns) + 1:
                raise ValueError(f"{path}: readelf says {line!r}")
            pc, row = int(cells[0], 16), neutral(columns, cells[1:])
            if rows and rows[-1][0] == pc:
                rows.pop()
            rows.append((pc, row))
    result = []
    for start, end, rows, initial in fdes:
        if start and start < end:  # address 0: code that the linker dropped
            result.append((start, end, rows or [(start, initial[-1][1])]))
    return result


def text_of_cfa(expression):
    """Our word for a CFA expression of readelf's, None if we should have none."""
    if match := re.fullmatch(
        r"DW_OP_breg\d+ \((\w+)\): (-?\d+); DW_OP_deref(?:; DW_OP_plus_uconst: (\d+))?", expression
    ):
        name, offset, second = match.groups()
        return f"exp:*{name}{int(offset):+d}{int(second or 0):+d}"
    if match := re.fullmatch(
        r"DW_OP_breg7 \(rsp\): 8; DW_OP_breg16 \(rip\): 0; DW_OP_lit15; DW_OP_and; DW_OP_lit(\d+);"
        r" DW_OP_ge; DW_OP_lit3; DW_OP_shl; DW_OP_plus",
        expression,
    ):
        return f"exp:plt{match.group(1)}"
    return None


def read_expressions(path):
    """[(pc, column, text)] of all instructions that set an expression; column: 0 cfa, 2 rbp, 3 rbx."""
    pc, found = None, []
    for line in lines_of(path, "frames"):
        line = line.strip()
        if match := FDE_LINE.match(line):
            pc = int(match.group(2), 16)
        elif CIE_LINE.match(line):
            pc = None
        elif match := re.match(r"DW_CFA_(?:advance_loc|set_loc).* to ([0-9a-f]+)$", line):
            pc = int(match.group(1), 16)
        elif match := re.match(r"DW_CFA_def_cfa_expression \((.*)\)$", line):
            found.append((pc, 0, text_of_cfa(match.group(1))))
        elif match := re.match(r"DW_CFA_expression: r([36]) \(\w+\) \((.*)\)$", line):
            base = re.fullmatch(r"DW_OP_breg6 \(rbp\): (-?\d+)", match.group(2))
            text = f"exp:rbp{int(base.group(1)):+d}" if base else None
            found.append((pc, 2 if match.group(1) == "6" else 3, text))
    return [(pc, column, text) for pc, column, text in found if pc and text]


def check_expressions(path, ours):
    """(compared, mismatched). Where one row sets CFA twice, the last one counts."""
    expected = {(pc, column): text for pc, column, text in read_expressions(path)}
    wrong = 0
    for (pc, column), text in expected.items():
        row = ours.at(pc)
        if row[column] != text and row != NONE and "exp:*rsp+160+0" != row[0]:
            wrong += 1
            print(f"{path}: {pc:#x}: readelf {text} ours {row}", file=sys.stderr)
    return len(expected), wrong


def free_parts(claimed, start, end):
    """What of [start, end) no earlier FDE claimed; claims it. claimed: sorted, disjoint."""
    parts = []
    i = bisect.bisect_right(claimed, (start, 1 << 64))
    if i and claimed[i - 1][1] > start:
        i -= 1
    first, at = i, start
    while i < len(claimed) and claimed[i][0] < end:
        if claimed[i][0] > at:
            parts.append((at, claimed[i][0]))
        at = max(at, claimed[i][1])
        i += 1
    if at < end:
        parts.append((at, end))
    if parts:
        low = min([start] + [c[0] for c in claimed[first:i]])
        high = max([end] + [c[1] for c in claimed[first:i]])
        claimed[first:i] = [(low, high)]
    return parts


def steps_of_readelf(path):
    claimed, pieces, covered = [], [], 0
    for start, end, rows in read_fdes(path):
        for low, high in free_parts(claimed, start, end):
            covered += high - low
            pieces.append((low, high, rows))
    pieces.sort(key=lambda piece: piece[0])
    steps, last = [], None
    for low, high, rows in pieces:
        if last is not None and last < low:
            steps.append((last, NONE))
        clipped = [(max(pc, low), row) for pc, row in rows if pc < high]
        for i, (pc, row) in enumerate(clipped):
            if i + 1 == len(clipped) or clipped[i + 1][0] > pc:
                steps.append((pc, row))
        last = high
    if last is not None:
        steps.append((last, NONE))
    return steps, covered


def steps_of_ours(dump_rows, path):
    output = subprocess.run([dump_rows, path], check=True, capture_output=True, text=True).stdout
    steps = []
    for line in output.splitlines():
        cells = line.split()
        steps.append((int(cells[0], 16), tuple(cells[1:5])))
    if any(a[0] >= b[0] for a, b in zip(steps, steps[1:])):
        raise ValueError(f"{path}: our rows do not ascend")
    return steps


def is_plain_return(cell):
    return cell == "u" or cell.startswith("c")


def agree(theirs, ours):
    """"same", "expression", "unsupported" or "mismatch"."""
    if theirs == ours:
        return "expression" if "exp" in theirs else "same"
    if NONE in (theirs, ours):
        return "mismatch"
    if ours[0] == "?":
        plain = "exp" not in theirs[0] and is_plain_return(theirs[1])
        return "mismatch" if plain else "unsupported"
    if theirs[0] == "exp":
        return "expression" if ours[0] != "-" else "mismatch"
    if theirs[0] != ours[0] or theirs[1] != ours[1]:
        return "mismatch"
    for their_cell, our_cell in zip(theirs[2:], ours[2:]):
        if their_cell == our_cell or (their_cell == "s" and our_cell == "u"):
            continue
        # 'u' is undefined as well as unspecified; ours tells them apart
        hidden = their_cell in ("exp", "vexp", "u") or not their_cell.startswith("c")
        if not (hidden and our_cell in ("exp", "?")):
            return "mismatch"
    return "expression"


class Steps:
    def __init__(self, steps):
        self.pcs = [pc for pc, _ in steps]
        self.rows = [row for _, row in steps]

    def at(self, pc):
        i = bisect.bisect_right(self.pcs, pc)
        return self.rows[i - 1] if i else NONE


def compare(dump_rows, path):
    theirs, covered = steps_of_readelf(path)
    ours = steps_of_ours(dump_rows, path)
    counts = dict.fromkeys(("same", "expression", "unsupported", "mismatch"), 0)
    compared, wrong = check_expressions(path, Steps(ours))
    counts["mismatch"] += wrong
    ours = [(pc, tuple(cell.split(":")[0] for cell in row)) for pc, row in ours]
    i = j = 0
    a = b = NONE
    while i < len(theirs) or j < len(ours):
        pc = min(theirs[i][0] if i < len(theirs) else 1 << 64, ours[j][0] if j < len(ours) else 1 << 64)
        if i < len(theirs) and theirs[i][0] == pc:
            a = theirs[i][1]
            i += 1
        if j < len(ours) and ours[j][0] == pc:
            b = ours[j][1]
            j += 1
        verdict = agree(a, b)
        counts[verdict] += 1
        if verdict == "mismatch" and counts[verdict] <= SHOWN:
            print(f"{path}: {pc:#x}: readelf {a} ours {b}", file=sys.stderr)
    if theirs:
        left, right = Steps(theirs), Steps(ours)
        for _ in range(SAMPLES):
            pc = random.randrange(theirs[0][0], theirs[-1][0] + 1)
            counts["mismatch"] += agree(left.at(pc), right.at(pc)) == "mismatch"
    return len(ours), counts, compared, covered


def main(dump_rows, *paths):
    random.seed(1)
    failed = 0
    print(
        f"{'file':<28} {'rows':>9} {'compared':>9} {'mismatched':>10} {'expressions':>11}"
        f" {'operands':>8} {'no form':>7} {'KB':>8}"
    )
    for path in paths:
        rows, counts, operands, covered = compare(dump_rows, path)
        compared = sum(counts.values())
        failed += counts["mismatch"] + (compared == 0)
        print(
            f"{path.rsplit('/', 1)[-1]:<28} {rows:>9} {compared:>9} {counts['mismatch']:>10}"
            f" {counts['expression']:>11} {operands:>8} {counts['unsupported']:>7} {covered // 1024:>8}",
            flush=True,
        )
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
