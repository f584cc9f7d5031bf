# SPDX-License-Identifier: Apache-2.0
"""A CPU-bound Python below a stack of a known shape.

    stack.py WORK PYTHON CROSSINGS C_FRAMES PROGRESS SECONDS

PYTHON frames in all; CROSSINGS of them are called from C, the innermost of these through C_FRAMES
more C frames. The leaf counts its work in the file PROGRESS: units, its CPU time in ns, and units
once more, so that a reader sees a torn pair. With SECONDS of CPU time it ends and prints the units.
"""
import mmap
import os
import struct
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)


def add(left, right):
    return left ^ right


def leaf(progress, cpu_ns):
    units = total = 0
    start = time.thread_time_ns()
    while True:
        if CALLS:
            for i in range(500):
                total = add(i, 5)
        else:
            for i in range(2000):
                total = i ^ 5
        units += 1
        now = time.thread_time_ns() - start
        struct.pack_into("QQQ", progress, 0, units, now, units)
        if cpu_ns and now >= cpu_ns:
            return units, now, total


def descend(level):
    if level == LAST:
        return leaf(PROGRESS, CPU_NS)
    if level in CROSSINGS:
        return nest.call(descend, level + 1, C_FRAMES if level == INNERMOST else 1)
    return descend(level + 1)


CALLS = sys.argv[1] == "calls"
PYTHON, COUNT, C_FRAMES = (int(argument) for argument in sys.argv[2:5])
with open(sys.argv[5], "r+b") as file:
    PROGRESS = mmap.mmap(file.fileno(), 24)
CPU_NS = int(float(sys.argv[6]) * 1e9)
# <module>, descend once per level from 1 to LAST, leaf
LAST = PYTHON - 2
CROSSINGS = {LAST * (i + 1) // (COUNT + 1) for i in range(COUNT)}
if COUNT:
    import nest

    INNERMOST = max(CROSSINGS)
    if len(CROSSINGS) != COUNT or 0 in CROSSINGS:
        sys.exit("more crossings than frames")
sys.setrecursionlimit(10000)
UNITS, NOW, _ = descend(1)
print(UNITS, NOW)
