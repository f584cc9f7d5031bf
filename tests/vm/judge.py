#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Judges the serial console of one VM (tests/vm/guest_init).

    judge.py CONSOLE    prints `pass NAME` or `fail NAME why`, one line per check
"""
import json
import re
import sys

GOOD_VERDICTS = 0.99  # exact + entering, of the samples with Python frames
SAMPLES_MIN = 100  # 5 s at 99 Hz, of one busy thread; emulated processors are slow
SPLAT = re.compile(
    r"\bBUG:|\bWARNING:|\bOops\b|Call Trace|general protection|soft lockup|self-detected stall"
    r"|rcu.*stall|possible recursive locking|invalid opcode|Kernel panic")
CHAIN = re.compile(r";main \(/workload\.py:\d+\);work \(/workload\.py:\d+\);(leaf_\w+) \(/work")


def parts_of(console):
    """{name: (status, text)} of the parts that ended."""
    parts = {}
    for found in re.finditer(r"^@begin (\w+)\n(.*?)^@end \1 (\d+)$", console, re.M | re.S):
        parts[found[1]] = int(found[3]), found[2]
    return parts


class Judge:
    """The checks, in the order in which a VM can fail them."""

    def __init__(self, console):
        self.parts = parts_of(console)
        self.console = console

    def status(self, name):
        return self.parts.get(name, (None, ""))[0]

    def text(self, name):
        return self.parts.get(name, (None, ""))[1]

    def stats(self):
        return json.loads(self.text("stats"))

    def check_boots(self):
        assert "@done" in self.console.splitlines(), "the guest did not come to its end"
        assert self.status("kernel") == 0, "no kernel version"

    def check_doctor(self):
        assert self.status("doctor") == 0, f"status {self.status('doctor')}: {self.text('doctor')}"

    def check_budget(self):
        lines = [line.split() for line in self.text("budget").split("\n") if line]
        assert any(line[0] == "pass" and "sampler" in line[1] for line in lines), f"{lines}"
        assert all(line[0] == "pass" for line in lines), f"{lines}"

    def check_record(self):
        assert self.status("workload") == 0 and "ready" in self.text("workload"), \
            f"the workload did not start: {self.text('workload')}"
        assert self.status("record") == 0, f"status {self.status('record')}: {self.text('record')}"
        assert self.status("alive") == 0, "the workload did not survive"

    def check_samples(self):
        written = self.stats()["samples"]["written"]
        assert written >= SAMPLES_MIN, f"{written} samples"

    def check_accounting(self):
        samples = self.stats()["samples"]
        lost = sum(samples["lost"].values())
        assert samples["unexplained"] == 0, f"{samples}"
        assert samples["run"] == (samples["filtered"] + samples["idle"] + samples["written"]
                                  + lost), f"{samples}"
        assert sum(self.stats()["verdicts"].values()) == samples["written"], f"{self.stats()}"
        counts = sum(int(line.rpartition(" ")[2]) for line in self.text("folded").split("\n") if line)
        assert counts == samples["written"], f"{counts} in the folded lines, {samples}"

    def check_verdicts(self):
        stats = self.stats()
        process = stats["processes"][0]
        assert process["runtime"] == "cpython", f"{process}"
        verdicts = stats["verdicts"]
        python = sum(verdicts.values()) - verdicts["native"]
        good = verdicts["exact"] + verdicts["entering"]
        assert python >= SAMPLES_MIN and good >= GOOD_VERDICTS * python, f"{verdicts}"

    def check_stacks(self):
        leaves = {found[1] for found in CHAIN.finditer(self.text("folded"))}
        assert len(leaves) >= 3, f"main, work and a leaf in a row: only {sorted(leaves)}"

    def check_replay(self):
        """Captures of another kernel and machine give what they gave there, byte for byte."""
        assert self.status("replay") == 0, f"status {self.status('replay')}: {self.text('replay')}"
        assert self.text("replay").count("same ") >= 4, f"{self.text('replay')}"

    def check_dmesg(self):
        assert self.status("dmesg") == 0, "no kernel log"
        found = SPLAT.search(self.text("dmesg"))
        assert not found, self.text("dmesg")[max(0, found.start() - 200):found.end() + 800]


def main():
    with open(sys.argv[1], encoding="utf-8", errors="replace") as file:
        judge = Judge(file.read().replace("\r", ""))
    for name in vars(Judge):
        if not name.startswith("check_"):
            continue
        try:
            getattr(judge, name)()
            print("pass", name[len("check_"):])
        except (AssertionError, ValueError, KeyError, IndexError, TypeError) as error:
            why = " ".join(str(error).split())[:600]
            print("fail", name[len("check_"):], type(error).__name__, why)


if __name__ == "__main__":
    main()
