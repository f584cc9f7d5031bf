#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Judges a replay by what the workload itself noted, so that no wrong golden can be blessed.

    judge.py TRUTH.json FULL.folded MIXED.folded STATS.json     complaints; status 1 if any
    judge.py --rejects TRUTH.json FULL.folded MIXED.folded STATS.json
                             status 1 if the judge likes stacks that were tampered with
"""
import collections
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))

import truth_judge  # noqa: E402

SAMPLES_MIN = 200
LEAF_SHARE_MIN = 0.8


def chains_of(stacks):
    """How often each chain of known frames occurs."""
    chains = collections.Counter()
    for frames, count in stacks:
        chains[tuple(truth_judge.project(frames))] += count
    return chains


def judge_stacks(name, stacks, leaves, stats):
    """The complaints about one view."""
    judgement = truth_judge.judge(stacks, leaves)
    found = truth_judge.check_stats(stats, judgement.total)
    if judgement.in_leaves < max(SAMPLES_MIN, LEAF_SHARE_MIN * judgement.total):
        found.append("%d of %d samples in leaves" % (judgement.in_leaves, judgement.total))
    if judgement.outcomes["exact"] != judgement.in_leaves or judgement.strays:
        found.append("%s, %d stray" % (dict(judgement.outcomes), judgement.strays))
        found.extend(judgement.examples)
    return ["%s: %s" % (name, complaint) for complaint in found]


def judge_replay(leaves, full, mixed, stats):
    """All complaints about one replay."""
    found = judge_stacks("full", full, leaves, stats) + judge_stacks("mixed", mixed, leaves, stats)
    if chains_of(full) != chains_of(mixed):
        found.append("full and mixed do not show the same chains")
    if not any(frame.endswith("_[k]") for frames, _ in full for frame in frames):
        found.append("no sample has a kernel frame")
    roots = stats["roots"]
    if not roots["user"] or roots["reached"] != roots["user"]:
        found.append("roots: %s" % roots)
    return found


def tamperings(full):
    """Full stacks with one thing wrong in one line each: a frame less, two swapped, a line off."""
    at = max(range(len(full)), key=lambda i: len(truth_judge.project(full[i][0])))
    frames, count = full[at]
    places = [i for i, frame in enumerate(frames) if truth_judge.PYTHON_FRAME.match(frame)]
    inner = places[0]
    swapped = frames[:]
    swapped[places[0]], swapped[places[-1]] = frames[places[-1]], frames[places[0]]
    other_line = frames[:]
    other_line[inner] = frames[inner][:-1] + "9)"
    for changed in [frames[:inner] + frames[inner + 1:], swapped, other_line]:
        yield full[:at] + [(changed, count)] + full[at + 1:]


def read_stacks(path):
    """A folded file."""
    with open(path, encoding="utf-8") as file:
        return truth_judge.parse_folded(file.read())


def read_json(path):
    """A JSON file."""
    with open(path, encoding="utf-8") as file:
        return json.load(file)


def main(arguments):
    """The command line."""
    rejects = arguments[:1] == ["--rejects"]
    truth, full, mixed, stats = arguments[1:] if rejects else arguments
    leaves, stats = read_json(truth)["leaves"], read_json(stats)
    full, mixed = read_stacks(full), read_stacks(mixed)
    if rejects:
        liked = [not judge_stacks("full", stacks, leaves, stats) for stacks in tamperings(full)]
        return 1 if any(liked) or len(liked) != 3 else 0
    complaints = judge_replay(leaves, full, mixed, stats)
    print("\n".join(complaints), end="\n" if complaints else "")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
