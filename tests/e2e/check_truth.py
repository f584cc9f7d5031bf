#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Records the truth workload with mixprof and judges every sample.

    check_truth.py [--samples N] [--rate HZ] [--keep] INTERPRETER...

Exit status 0 when every bar of shared/cli.md and issue 3 holds for every interpreter, 1 when one
does not, 77 when none of the interpreters is on this machine. One table row per recording.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile

import truth_judge
from truth_target import TruthTarget, interpreters

MIXPROF = os.path.join(os.environ.get("BUILD") or os.path.join(interpreters.REPOSITORY, "build"),
                       "mixprof")
BAR = 0.999
SAMPLES_MIN = 3000
# Below this the leaves' samples are lost somewhere, or the workload is not what we think.
LEAF_SHARE_MIN = 0.8
HEADER = ("%-14s %-7s %8s %8s %8s %7s %7s %7s %7s %9s %9s %9s" % (
    "interpreter", "frames", "samples", "in leaf", "exact", "trunc.", "chain", "line", "stray",
    "exact %", "verdict %", "root %"))


def row(name, frames, judgement, stats):
    """One line of the table."""
    outcomes = judgement.outcomes
    return "%-14s %-7s %8d %8d %8d %7d %7d %7d %7d %9.3f %9.3f %9.3f" % (
        name, frames, judgement.total, judgement.in_leaves, outcomes["exact"],
        outcomes["truncated"], outcomes["wrong_chain"], outcomes["wrong_line"], judgement.strays,
        100 * judgement.share("exact"), 100 * truth_judge.good_verdict_share(stats),
        100 * truth_judge.root_share(stats))


def complaints_of(judgement, stats):
    """Every bar that was missed."""
    found = truth_judge.check_stats(stats, judgement.total)
    wrong = judgement.outcomes["wrong_chain"] + judgement.outcomes["wrong_line"]
    if judgement.in_leaves < SAMPLES_MIN:
        found.append("only %d samples in leaves" % judgement.in_leaves)
    if judgement.in_leaves < LEAF_SHARE_MIN * judgement.total:
        found.append("only %d of %d samples are in leaves" % (judgement.in_leaves, judgement.total))
    if judgement.share("exact") < BAR:
        found.append("exact: %.3f %%" % (100 * judgement.share("exact")))
    if wrong or judgement.strays:
        found.append("%d wrong, %d stray" % (wrong, judgement.strays))
    if truth_judge.good_verdict_share(stats) < BAR:
        found.append("verdicts: %s" % stats["verdicts"])
    if truth_judge.root_share(stats) < BAR:
        found.append("roots: %s, stops: %s" % (stats["roots"], stats["stops"]))
    if judgement.unseen:
        found.append("leaves never seen: %s" % ", ".join(judgement.unseen))
    # The thread that C made is the only one without Python state.
    native, bare = stats["verdicts"]["native"], judgement.leaves["bridge_leaf_native"]
    if native < bare or native > bare + 0.01 * judgement.total:
        found.append("verdict native: %d, samples of the native thread: %d" % (native, bare))
    return found


def run_mixprof(*arguments):
    """Any status but 0 is an error here."""
    done = subprocess.run([MIXPROF, *arguments], stderr=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise RuntimeError("mixprof %s: status %d: %s" % (
            " ".join(arguments), done.returncode, done.stderr.strip()))


def record(target, options, directory):
    """One recording that is long enough; [(frames, folded, stats)]."""
    for attempt in range(1, 4):
        # What share of a CPU the target will get can only be guessed.
        seconds = attempt * target.seconds_for(options.samples, options.rate)
        results = record_for(target, seconds, options.rate, directory)
        if results[0][2]["samples"]["written"] > 0.7 * options.samples:
            break
    return results


def record_for(target, seconds, rate, directory):
    """One recording as full and, from its capture, as mixed."""
    results = []
    capture = os.path.join(directory, "capture")
    for frames in ["full", "mixed"]:
        folded = os.path.join(directory, frames + ".folded")
        stats = os.path.join(directory, frames + ".json")
        if frames == "full":
            source = ["record", "-p", str(target.pid), "-d", "%dms" % (1000 * seconds),
                      "-F", str(rate), "--capture", capture]
        else:
            source = ["replay", capture]
        run_mixprof(*source, "--format", "folded", "--frames=" + frames, "--stats", stats,
                    "-o", folded)
        with open(folded, encoding="utf-8") as file:
            text = file.read()
        with open(stats, encoding="utf-8") as file:
            results.append((frames, text, json.load(file)))
    return results


def check(name, options):
    """Records and judges one interpreter; returns the number of complaints."""
    interpreter = interpreters.find_interpreter(name)
    directory = tempfile.mkdtemp(prefix="mixprof-truth-")
    count = 0
    with TruthTarget(interpreter) as target:
        results = record(target, options, directory)
        leaves = target.leaves
        with open(os.path.join(directory, "chains.json"), "w", encoding="utf-8") as file:
            json.dump({"leaves": leaves}, file)
    for frames, text, stats in results:
        judgement = truth_judge.judge(truth_judge.parse_folded(text), leaves)
        print(row(name, frames, judgement, stats))
        complaints = complaints_of(judgement, stats)
        for complaint in complaints:
            print("  MISSED %s" % complaint)
        for example in judgement.examples if complaints else []:
            print("  %s" % example)
        count += len(complaints)
    if options.keep or count:
        print("  kept in %s" % directory)
    else:
        shutil.rmtree(directory)
    return count


def main():
    """The command line."""
    parser = argparse.ArgumentParser(usage=__doc__)
    parser.add_argument("--samples", type=int, default=6000)
    parser.add_argument("--rate", type=int, default=999)
    parser.add_argument("--keep", action="store_true")
    parser.add_argument("names", nargs="+")
    options = parser.parse_args()
    ran = missed = 0
    print(HEADER)
    for name in options.names:
        try:
            missed += check(name, options)
            ran += 1
        except interpreters.Unavailable as reason:
            print("%-14s skip: %s" % (name, reason))
        sys.stdout.flush()
    if not ran:
        return interpreters.SKIP_STATUS
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
