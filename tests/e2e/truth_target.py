# SPDX-License-Identifier: Apache-2.0
"""Runs the truth workload (tests/targets/truth) under one interpreter."""
import json
import os
import re
import shutil
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCES = os.path.join(os.path.dirname(HERE), "targets", "truth")
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))

import interpreters  # noqa: E402

LEARN_SECONDS_MAX = 60


class TruthTarget:
    """A running workload whose chains are known; a context manager."""

    def __init__(self, interpreter):
        self.interpreter = interpreter
        self.outside, self.inside = interpreter.place("truth-%d" % os.getpid())
        self.process = None
        self.leaves = {}

    def __enter__(self):
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(self, *_reason):
        self.stop()

    @property
    def pid(self):
        """Of the interpreter itself: chroot becomes it."""
        return self.process.pid

    def start(self):
        """Builds, starts, and waits until the first pass has noted every chain."""
        interpreter = self.interpreter
        interpreter.build_extension(os.path.join(SOURCES, "bridge.c"), self.outside)
        for name in os.listdir(SOURCES):
            if name.endswith(".py"):
                shutil.copy(os.path.join(SOURCES, name), self.outside)
        chains = os.path.join(self.outside, "chains.json")
        command = [*interpreter.argv, "-B", self.inside + "/truth.py", self.inside + "/chains.json"]
        self.process = subprocess.Popen(command)
        deadline = time.monotonic() + LEARN_SECONDS_MAX
        while not os.path.exists(chains):
            if self.process.poll() is not None:
                raise RuntimeError("the workload ended with %d" % self.process.returncode)
            if time.monotonic() > deadline:
                raise RuntimeError("the workload did not learn its chains")
            time.sleep(0.02)
        with open(chains, encoding="utf-8") as file:
            self.leaves = json.load(file)["leaves"]
        self.check_all_learnt()

    def seconds_for(self, samples, rate):
        """How long to record for that many samples, by the share of a CPU it gets now."""
        ticks = os.sysconf("SC_CLK_TCK")
        before = self.cpu_ticks()
        time.sleep(0.5)
        share = max((self.cpu_ticks() - before) / ticks / 0.5, 0.1)
        return samples / (rate * share)

    def cpu_ticks(self):
        """User and system time so far."""
        with open("/proc/%d/stat" % self.pid, encoding="utf-8") as file:
            fields = file.read().rpartition(")")[2].split()
        return int(fields[11]) + int(fields[12])

    def check_all_learnt(self):
        """A leaf that no way reaches would be a hole in the test."""
        version = tuple(int(part) for part in self.interpreter.version.split("."))
        learnt = {name.split(".")[-1] for name in self.leaves}
        for name in ["bridge.c", "truth.py"] + (["truth_py3.py"] if version >= (3, 6) else []):
            with open(os.path.join(SOURCES, name), encoding="utf-8") as file:
                declared = set(re.findall(r"(?:def |\*|void )((?:bridge_)?leaf_\w+)\(", file.read()))
            if declared - learnt:
                raise RuntimeError("no chain is known for %s" % sorted(declared - learnt))

    def stop(self):
        """Ends the workload and removes its files."""
        if self.process:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.outside, ignore_errors=True)
