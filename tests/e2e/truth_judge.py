# SPDX-License-Identifier: Apache-2.0
"""Judges folded stacks of the truth workload against its known chains. Pure; no process, no file.

A sample is in a leaf when a leaf's name stands anywhere in its stack. It is exact when its Python
frames and bridge_* frames, in order, are the leaf's chain and nothing else, with the call's line
in every frame above a Python leaf and one of the leaf's own lines in the leaf. All other samples
must be a beginning of some chain as far as their frames are known: there a lost or swapped frame
is a *stray*.
"""
import collections
import re

PYTHON_FRAME = re.compile(r"^(?P<name>.+) \((?P<file>.+):(?P<line>\d+)\)$")
BRIDGE_FRAME = re.compile(r"^bridge_\w+$")
OUTCOMES = ["exact", "truncated", "wrong_chain", "wrong_line"]
EXAMPLES_MAX = 5


def parse_folded(text):
    """[(frames with comm first, count)]; a line that is not folded is an error."""
    stacks = []
    for line in text.splitlines():
        stack, space, count = line.rpartition(" ")
        if not space or not count.isdigit() or int(count) == 0:
            raise ValueError("not a folded line: %r" % line)
        stacks.append((stack.split(";"), int(count)))
    return stacks


def shown(text):
    """A name as folded lines show it."""
    return "".join("\ufffd" if ord(c) < 32 or ord(c) == 127 else c for c in text.replace(";", ":"))


def project(frames):
    """The Python and bridge frames of a stack, as the chains spell them."""
    chain = []
    for frame in frames[1:]:
        python = PYTHON_FRAME.match(frame)
        if python:
            chain.append(("py", python["name"], python["file"], int(python["line"])))
        elif BRIDGE_FRAME.match(frame):
            chain.append(("c", frame))
    return chain


def is_leaf(frame):
    """A leaf's name says so."""
    if frame[0] == "c":
        return frame[1].startswith("bridge_leaf_")
    return frame[1].split(".")[-1].startswith("leaf_")


def expected_chains(leaves):
    """The chains of learn.py as project() would show them."""
    chains = {}
    for leaf, known in leaves.items():
        chain = []
        for frame in known["chain"]:
            if frame[0] == "py":
                frame = ["py", shown(frame[1]), shown(frame[2]), frame[3]]
            chain.append(tuple(frame))
        chains[shown(leaf)] = (chain, set(known["leaf_lines"]))
    return chains


def without_line(frame):
    """What frame it is, wherever it stands."""
    return frame[:3]


class Judgement:
    """Counts of one recording."""

    def __init__(self):
        self.total = 0
        self.outcomes = collections.Counter()
        self.leaves = collections.Counter()
        self.unseen = []
        self.strays = 0
        self.examples = []

    @property
    def in_leaves(self):
        """Samples that have a leaf in their stack."""
        return sum(self.outcomes.values())

    def share(self, outcome):
        """Of the samples in leaves."""
        return self.outcomes[outcome] / self.in_leaves if self.in_leaves else 0.0

    def show(self, what, frames, expected):
        """Keeps a few examples of what went wrong."""
        if len(self.examples) < EXAMPLES_MAX:
            self.examples.append("%s\n    stack    %s\n    expected %s" % (
                what, ";".join(frames), " > ".join(":".join(map(str, f[1:])) for f in expected)))


def judge_leaf(chain, truncated, expected, leaf_lines):
    """The outcome of one stack that has a leaf."""
    if truncated:
        return "truncated"
    if [without_line(frame) for frame in chain] != [without_line(frame) for frame in expected]:
        return "wrong_chain"
    for frame, known in zip(chain, expected):
        if frame[0] == "py" and known[3] is not None and frame[3] != known[3]:
            return "wrong_line"
    # Only a Python leaf has lines of its own; it is the chain's last frame.
    if leaf_lines and chain[-1][3] not in leaf_lines:
        return "wrong_line"
    return "exact"


class Edges:
    """Which frame may stand below which, over all chains."""

    def __init__(self, chains):
        self.known, self.roots, self.pairs = set(), set(), set()
        for chain, _ in chains.values():
            frames = [without_line(frame) for frame in chain]
            self.known.update(frames)
            self.roots.add(frames[0])
            self.pairs.update(zip(frames, frames[1:]))

    def is_stray(self, chain):
        """A frame that the chains know stands where none of them has it."""
        frames = [without_line(frame) for frame in chain]
        if frames and frames[0] in self.known and frames[0] not in self.roots:
            return True
        return any(upper in self.known and lower in self.known and (upper, lower) not in self.pairs
                   for upper, lower in zip(frames, frames[1:]))


def judge(stacks, leaves):
    """Judges parse_folded()'s stacks by learn.py's chains."""
    judgement = Judgement()
    chains = expected_chains(leaves)
    edges = Edges(chains)
    for frames, count in stacks:
        judgement.total += count
        chain = project(frames)
        truncated = any(frame.startswith("[truncated:") for frame in frames)
        leaf = next((frame for frame in chain if is_leaf(frame)), None)
        if not leaf:
            if not truncated and edges.is_stray(chain):
                judgement.strays += count
                judgement.show("stray", frames, [])
            continue
        expected, leaf_lines = chains.get(leaf[1], ([], set()))
        outcome = judge_leaf(chain, truncated, expected, leaf_lines)
        judgement.outcomes[outcome] += count
        judgement.leaves[leaf[1]] += count
        if outcome != "exact":
            judgement.show(outcome, frames, expected)
    judgement.unseen = sorted(set(chains) - set(judgement.leaves))
    return judgement


def check_stats(stats, folded_total):
    """What --stats must say, whatever was sampled; returns the complaints."""
    complaints = []
    samples, verdicts = stats["samples"], stats["verdicts"]

    def must(true, complaint):
        if not true:
            complaints.append(complaint)

    lost = sum(samples["lost"].values())
    outcomes = samples["filtered"] + samples["idle"] + samples["written"] + lost
    must(samples["unexplained"] == 0, "unexplained is %d" % samples["unexplained"])
    must(samples["run"] == outcomes, "run is %d, outcomes are %d" % (samples["run"], outcomes))
    must(sum(verdicts.values()) == samples["written"],
         "verdicts sum to %d, written is %d" % (sum(verdicts.values()), samples["written"]))
    must(samples.get("decoded", samples["written"]) == samples["written"],
         "decoded is %s, written is %d" % (samples.get("decoded"), samples["written"]))
    must(folded_total == samples["written"],
         "folded counts sum to %d, written is %d" % (folded_total, samples["written"]))
    if samples["expected"] is not None:
        undelivered = samples["expected"] - samples["run"]
        must(samples["undelivered"] == undelivered,
             "undelivered is %d, expected - run is %d" % (samples["undelivered"], undelivered))
    return complaints


def good_verdict_share(stats):
    """exact and entering, of the samples that have a Python thread state."""
    verdicts = stats["verdicts"]
    python = sum(verdicts.values()) - verdicts["native"]
    return (verdicts["exact"] + verdicts["entering"]) / python if python else 0.0


def root_share(stats):
    """Native stacks that reached the thread's root."""
    roots = stats["roots"]
    return roots["reached"] / roots["user"] if roots["user"] else 0.0
