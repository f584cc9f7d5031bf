#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The mark to meet: py-spy --native on the same workload, by the same judge (check-full only).

    pyspy_mark.py [--samples N] [--rate HZ] INTERPRETER...

py-spy pauses its target for every sample; we do not. The bar is that we are at least as exact on
every interpreter. To be fair to it, names are compared by their last part, and the thread without
Python state, which it does not show, is left out. Exit status 77 where py-spy cannot be had.
"""
import argparse
import math
import os
import re
import subprocess
import sys
import tempfile

import check_truth
import truth_judge
from truth_target import TruthTarget, interpreters

PYSPY = "py-spy==0.4.3"
NATIVE_FRAME = re.compile(r"^(bridge_\w+) \(.*\)$")


def provision():
    """py-spy's program, from the package index that pip is configured for."""
    directory = os.path.join(interpreters.cache_directory(), "venv-pyspy")
    program = os.path.join(directory, "bin", "py-spy")
    if not os.path.exists(program):
        for command in [[sys.executable, "-m", "venv", directory],
                        [os.path.join(directory, "bin", "pip"), "install", "-q", PYSPY]]:
            done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                                  check=False)
            if done.returncode:
                raise interpreters.Unavailable("%s cannot be installed from a package index" % PYSPY)
    return program


def last_part(name):
    """What every version of py-spy prints of a qualified name."""
    return name.split(".")[-1]


def as_folded(text):
    """py-spy's raw lines as ours would be: comm first, a native frame without its module."""
    lines = []
    for line in text.splitlines():
        stack, _, count = line.rpartition(" ")
        frames = ["py-spy"]
        for frame in stack.split(";"):
            native, python = NATIVE_FRAME.match(frame), truth_judge.PYTHON_FRAME.match(frame)
            if native:
                frame = native[1]
            elif python and python["file"].endswith(".py"):
                frame = "%s (%s:%s)" % (last_part(python["name"]), python["file"], python["line"])
            elif python:
                frame = python["name"]  # C, with debug information
            frames.append(frame)
        lines.append("%s %s" % (";".join(frames), count))
    return "\n".join(lines)


def simplified(leaves):
    """The chains with last parts of names, without the thread that py-spy does not show."""
    simple = {}
    for leaf, known in leaves.items():
        chain = [["py", last_part(frame[1]), *frame[2:]] if frame[0] == "py" else frame
                 for frame in known["chain"]]
        if chain[0] != ["c", "bridge_native_main"]:
            simple[last_part(leaf)] = {"chain": chain, "leaf_lines": known["leaf_lines"]}
    return simple


def run_pyspy(program, target, options):
    """One recording; its judgement, or None when it would not record."""
    with tempfile.TemporaryDirectory(prefix="mixprof-pyspy-") as directory:
        output = os.path.join(directory, "raw")
        seconds = target.seconds_for(options.samples, options.rate)
        command = [program, "record", "--native", "-r", str(options.rate), "-d",
                   str(math.ceil(seconds)), "-f", "raw", "--full-filenames", "-o", output,
                   "-p", str(target.pid)]
        done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                              check=False)
        if done.returncode or not os.path.exists(output):
            print("  py-spy: %s" % (done.stdout.strip().splitlines() or ["no message"])[-1])
            return None
        with open(output, encoding="utf-8") as file:
            stacks = truth_judge.parse_folded(as_folded(file.read()))
        return truth_judge.judge(stacks, simplified(target.leaves))


def check(program, name, options):
    """True when we are at least as exact."""
    with TruthTarget(interpreters.find_interpreter(name)) as target:
        theirs = run_pyspy(program, target, options)
        with tempfile.TemporaryDirectory(prefix="mixprof-truth-") as directory:
            _, text, _ = check_truth.record(target, options, directory)[0]
        ours = truth_judge.judge(truth_judge.parse_folded(text), target.leaves)
    for who, judgement in [("py-spy", theirs), ("mixprof", ours)]:
        if judgement:
            outcomes = judgement.outcomes
            print("%-14s %-8s %8d in leaves  exact %8.3f %%  chain %6d  line %6d  truncated %6d" % (
                name, who, judgement.in_leaves, 100 * judgement.share("exact"),
                outcomes["wrong_chain"], outcomes["wrong_line"], outcomes["truncated"]))
    sys.stdout.flush()
    return not theirs or ours.share("exact") >= theirs.share("exact")


def main():
    """The command line."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--samples", type=int, default=6000)
    parser.add_argument("--rate", type=int, default=999)
    parser.add_argument("names", nargs="+")
    options = parser.parse_args()
    behind = ran = 0
    try:
        program = provision()
    except interpreters.Unavailable as reason:
        print("py-spy skip: %s" % reason)
        return interpreters.SKIP_STATUS
    for name in options.names:
        try:
            behind += not check(program, name, options)
            ran += 1
        except interpreters.Unavailable as reason:
            print("%-14s skip: %s" % (name, reason))
    if not ran:
        return interpreters.SKIP_STATUS
    return 1 if behind else 0


if __name__ == "__main__":
    sys.exit(main())
