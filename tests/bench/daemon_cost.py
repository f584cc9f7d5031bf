# SPDX-License-Identifier: Apache-2.0
"""What mixprof needs for itself: time to start, memory, CPU. From outside, by the kernel's word."""
import contextlib
import time

import figures
import kernel
from recording import Absent, Recording, StackTarget, find_interpreter, scratch

PYTHONS = ["bookworm-3.11", "pyenv-3.12"]
STARTS = 20
HZ = 99
POLL_SECONDS = 0.05


def start_up(options):
    """Section 4a: from the pipeline's first instruction to the first sample, and from exec."""
    rows = []
    for name in PYTHONS:
        try:
            interpreter = find_interpreter(name)
        except Absent as reason:
            rows.append([name, "not measured: %s" % reason, "", ""])
            continue
        first, armed = [], []
        with StackTarget(interpreter, 20) as target:
            for _ in range(max(3, int(STARTS * options.scale))):
                with scratch() as directory:
                    began = time.monotonic()
                    with Recording(directory, HZ, 0.5, target.pid, capture=False) as recording:
                        armed.append(1000 * (time.monotonic() - began))
                        first.append(recording.finish()["daemon"]["first_sample_ms"])
        rows.append([name, len(first), figures.spread(first),
                     "%.0f..%.0f" % (min(first), max(first)), figures.spread(armed)])
    return figures.table(["interpreter", "recordings", "first_sample_ms", "least..most",
                          "exec until the sampler is loaded, ms"], rows)


class Watch:
    """The most that mixprof's processes held, and the CPU time they used."""

    def __init__(self, pid):
        self.pid = pid
        self.peak = {"main": {}, "worker": {}}
        self.cpu = {"main": 0.0, "worker": 0.0}

    def look(self):
        """Once."""
        with contextlib.suppress(OSError):
            self.look_at("main", self.pid)
            for child in kernel.children(self.pid):
                self.look_at("worker", child)

    def look_at(self, who, pid):
        """One process; it may have gone."""
        for kind, kilobytes in kernel.memory_kb(pid).items():
            self.peak[who][kind] = max(kilobytes, self.peak[who].get(kind, 0))
        self.cpu[who] = max(self.cpu[who], kernel.cpu_seconds(pid))

    def total_cpu(self):
        """Both."""
        return sum(self.cpu.values())


def own_cost(options):
    """Section 4b: one busy process, 60 s, 99 Hz."""
    seconds, settle = 60 * options.scale, 5
    rows = []
    for name in PYTHONS:
        try:
            interpreter = find_interpreter(name)
        except Absent as reason:
            rows.append([name, "not measured: %s" % reason] + [""] * 6)
            continue
        with StackTarget(interpreter, 20) as target, scratch() as directory:
            with Recording(directory, HZ, seconds, target.pid, capture=False) as recording:
                watch = Watch(recording.process.pid)
                began, early = time.monotonic(), None
                while recording.process.poll() is None:
                    watch.look()
                    if early is None and time.monotonic() - began > settle:
                        early = watch.total_cpu(), time.monotonic()
                        watching = watch
                    time.sleep(POLL_SECONDS if early is None else 0.5)
                late = watching.total_cpu(), time.monotonic()
                stats = recording.finish()
        steady = 100 * (late[0] - early[0]) / (late[1] - early[1])
        peak = {who: {kind: "%.1f" % (kilobytes / 1024) for kind, kilobytes in peaks.items()}
                for who, peaks in watch.peak.items()}
        rows.append([name, stats["samples"]["written"],
                     *(peak[who].get(kind, "-") for who in ["main", "worker"]
                       for kind in ["rss", "private"]),
                     "%.1f" % (stats["daemon"]["map_bytes"] / 2 ** 20),
                     "%.2f + %.2f" % (watch.cpu["main"], watch.cpu["worker"]), "%.2f" % steady])
    return figures.table(["interpreter", "samples", "main: RSS MB", "private MB",
                          "worker: RSS MB", "private MB", "BPF maps MB",
                          "CPU s in %g s, main + worker" % seconds,
                          "after the first %d s, %% of a core" % settle], rows)
