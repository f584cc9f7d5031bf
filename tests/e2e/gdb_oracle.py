#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""A second witness: gdb and the host-compiled walker walk the same stopped threads.

    gdb_oracle.py [--stops N] INTERPRETER...

build/tests/tools/host_walk PID TID prints, leaf first, `native PC SP CFA` (hexadecimal; SP and
CFA 0 except in eval frames) and at last `stop NATIVE PYTHON`, `none` meaning the root. Every pc
must be gdb's, frame by frame, up to the root; SP and CFA, where given, too. gdb uses its own CFI
reader over the same files. Exit status 0 all agree, 1 some do not, 77 no interpreter is here.
"""
import argparse
import json
import os
import subprocess
import sys
import tempfile

from truth_target import TruthTarget, interpreters

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.environ.get("BUILD") or os.path.join(interpreters.REPOSITORY, "build")
HOST_WALK = os.path.abspath(os.path.join(BUILD, "tests", "tools", "host_walk"))
# gdb itself now and then loses a stack; more than this and it is us.
AGREE_MIN = 0.995
EXAMPLES_MAX = 5


def read_host(lines):
    """([(pc, sp, cfa)], native stop)."""
    frames, stop = [], None
    for line in lines:
        words = line.split()
        if words[0] == "native":
            frames.append(tuple(int(word, 16) for word in words[1:4]))
        elif words[0] == "stop":
            stop = words[1]
    return frames, stop


def compare(by_gdb, host):
    """None when the two agree, else what differs first."""
    frames, stop = read_host(host["lines"])
    # A thread that has not returned from its clone yet: gdb takes the 0 below it for a caller.
    if by_gdb and by_gdb[-1][0] == 0:
        by_gdb = by_gdb[:-1]
    if host["status"] or stop is None:
        return "host_walk failed: %s" % (host["error"] or "status %d" % host["status"])
    if not by_gdb:
        return "gdb saw no frame"
    for depth, (pc, sp, cfa) in enumerate(frames):
        if depth >= len(by_gdb):
            return "frame %d: %#x is not in gdb's stack of %d" % (depth, pc, len(by_gdb))
        gdb_pc, gdb_sp = by_gdb[depth]
        if pc != gdb_pc:
            return "frame %d: pc %#x, gdb has %#x" % (depth, pc, gdb_pc)
        if sp and sp != gdb_sp:
            return "frame %d: sp %#x, gdb has %#x" % (depth, sp, gdb_sp)
        if cfa and depth + 1 < len(by_gdb) and cfa != by_gdb[depth + 1][1]:
            return "frame %d: cfa %#x, gdb has %#x" % (depth, cfa, by_gdb[depth + 1][1])
    if len(frames) < len(by_gdb):
        return "ends after %d of %d frames at %#x (%s), gdb goes on to %#x" % (
            len(frames), len(by_gdb), frames[-1][0] if frames else 0, stop,
            by_gdb[len(frames)][0])
    return None if stop == "none" else "the root is not recognised: %s" % stop


def run_gdb(target, stops):
    """One gdb over all stops; returns its records."""
    with tempfile.NamedTemporaryFile(mode="r", encoding="utf-8", suffix=".json") as output:
        wanted = {"pid": target.pid, "tool": HOST_WALK, "stops": stops, "seed": 1,
                  "output": output.name}
        # gdb does not see the chroot: link-map names are the target's, the program's is ours.
        command = ["gdb", "-nx", "-batch", "-iex", "set sysroot " + target.interpreter.root,
                   "-iex", "set debuginfod enabled off", "-iex", "set auto-load off",
                   "-x", os.path.join(HERE, "gdb_walk.py"),
                   os.path.realpath("/proc/%d/exe" % target.pid)]
        environment = dict(os.environ, GDB_WALK=json.dumps(wanted))
        done = subprocess.run(command, env=environment, stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, text=True, check=False)
        records = [json.loads(line) for line in output]
    if done.returncode or not records or "Error" in done.stdout:
        print("\n".join("  gdb: " + line for line in done.stdout.splitlines()[-8:]))
    return records


def check(name, stops):
    """True when the walks agree."""
    with TruthTarget(interpreters.find_interpreter(name)) as target:
        records = run_gdb(target, stops)
    differences = [compare(record["gdb"], record["host"]) for record in records]
    bad = [difference for difference in differences if difference]
    frames = sum(len(record["gdb"]) for record in records)
    agree = 1 - len(bad) / len(records) if records else 0
    print("%-14s %6d stacks %8d frames %6d differ  agree %.3f %%" % (
        name, len(records), frames, len(bad), 100 * agree))
    for difference in bad[:EXAMPLES_MAX]:
        print("  %s" % difference)
    sys.stdout.flush()
    return len(records) >= stops and agree >= AGREE_MIN


def main():
    """The command line."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--stops", type=int, default=200)
    parser.add_argument("names", nargs="+")
    options = parser.parse_args()
    ran = disagreed = 0
    for name in options.names:
        try:
            disagreed += not check(name, options.stops)
            ran += 1
        except interpreters.Unavailable as reason:
            print("%-14s skip: %s" % (name, reason))
    if not ran:
        return interpreters.SKIP_STATUS
    return 1 if disagreed else 0


if __name__ == "__main__":
    sys.exit(main())
