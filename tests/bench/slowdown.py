# SPDX-License-Identifier: Apache-2.0
"""What a profiler costs its target.

While one target runs, the profiler's events are switched off, on, off, on … in windows of a
tenth of a second; a window's cost is the target's CPU time per unit of its work, beside that of
the two windows around it. So the machine's drift cancels. A profiler that has no events (py-spy)
is started and ended instead, with longer windows. Interrupts are charged to the target's CPU time;
pauses are not, they show in wall time.
"""
import contextlib
import os
import random
import re
import shutil
import signal
import statistics
import subprocess
import sys
import time

import figures
import kernel
from recording import (Absent, OTHER_CPUS, Recording, StackTarget, TARGET_CPU, TESTS,
                       find_interpreter, scratch, start, stop)
from sampler_cost import PYTHON, with_native_frames

sys.path.insert(0, os.path.join(TESTS, "e2e"))

import pyspy_mark  # noqa: E402

WINDOW_SECONDS = 0.1
WINDOWS = 30
UNITS_MIN = 20
LONG_WINDOW_SECONDS = 2
LONG_WINDOWS = 2
SETTLE_SECONDS = 0.5
# So that others leave the target's CPU. Only here, for it starves kernel threads: while it is in
# force a recording takes seconds to start.
TARGET_NICE = -15
PERF = ["perf", "record", "-q", "-e", "cpu-clock"]


class Tool:
    """Nothing: the control. on() and off() may take their time."""

    window_seconds, windows = WINDOW_SECONDS, WINDOWS
    hz = None

    def __init__(self, name, hz=None):
        self.name, self.hz = name, hz

    @contextlib.contextmanager
    def beside(self, target):
        """Ready to be switched on."""
        del target
        yield

    def on(self):
        """The window begins when it returns."""

    def off(self):
        """As on()."""


class Switched(Tool):
    """A profiler, or a bare timer, whose events are switched."""

    def __init__(self, name, hz, open_events):
        super().__init__(name, hz)
        self.open_events, self.events = open_events, None

    @contextlib.contextmanager
    def beside(self, target):
        with scratch() as directory, self.open_events(target, self.hz, directory) as events:
            self.events = events
            self.off()
            try:
                yield
            finally:
                events.close()

    def on(self):
        self.events.on()

    def off(self):
        self.events.off()


@contextlib.contextmanager
def timer_events(_target, hz, _directory):
    """The interrupt alone."""
    yield kernel.bare_timer(TARGET_CPU, hz)


@contextlib.contextmanager
def mixprof_events(target, hz, directory):
    """Of a real recording."""
    with Recording(directory, hz, 3600, target.pid, capture=False) as recording:
        time.sleep(SETTLE_SECONDS)
        yield kernel.events_of(recording.process.pid)


def perf_events(*graph):
    """Of perf record."""

    @contextlib.contextmanager
    def opened(target, hz, directory):
        if not shutil.which("perf"):
            raise Absent("perf is not on this machine")
        process = start([*PERF, *graph, "-F", str(hz), "-p", str(target.pid), "-o",
                         os.path.join(directory, "perf.data")], OTHER_CPUS)
        try:
            time.sleep(2 * SETTLE_SECONDS)
            if process.poll() is not None:
                raise Absent("perf records nothing here")
            yield kernel.events_of(process.pid)
        finally:
            stop(process)

    return opened


class PySpy(Tool):
    """Attaches for each window anew."""

    window_seconds, windows = LONG_WINDOW_SECONDS, LONG_WINDOWS

    @contextlib.contextmanager
    def beside(self, target):
        with scratch() as directory:
            self.command = pyspy_command(target, self.hz, os.path.join(directory, "raw"))
            self.process = None
            try:
                yield
            finally:
                self.off()

    def on(self):
        self.process = start(self.command, OTHER_CPUS)
        time.sleep(4 * SETTLE_SECONDS)

    def off(self):
        process, self.process = self.process, None
        if not process:
            return
        ended = process.poll() is not None
        if not ended:
            process.send_signal(signal.SIGINT)
            process.wait()
        if ended:
            raise Absent("py-spy records nothing here")


def pyspy_command(target, hz, output):
    """py-spy from the package index."""
    try:
        program = pyspy_mark.provision()
    except pyspy_mark.interpreters.Unavailable as reason:
        raise Absent(str(reason)) from reason
    return [program, "record", "--native", "-r", str(hz), "-d", "600", "-f", "raw",
            "--full-filenames", "-o", output, "-p", str(target.pid)]


TOOLS = [
    Tool("nothing (control)"),
    Switched("bare timer", 99, timer_events),
    Switched("bare timer", 999, timer_events),
    Switched("mixprof record", 19, mixprof_events),
    Switched("mixprof record", 99, mixprof_events),
    Switched("mixprof record", 999, mixprof_events),
    Switched("perf record -g", 99, perf_events("-g")),
    Switched("perf record --call-graph dwarf,16384", 99, perf_events("--call-graph",
                                                                     "dwarf,16384")),
    PySpy("py-spy record --native", 99),
]


def window(target, seconds):
    """(CPU ns, wall ns) per unit of work."""
    units, cpu_ns, wall_ns = target.read()
    more = units
    # On a busy machine the target may get no CPU at all for that long.
    while more < units + UNITS_MIN:
        time.sleep(seconds)
        more, cpu_later, wall_later = target.read()
    return (cpu_later - cpu_ns) / (more - units), (wall_later - wall_ns) / (more - units)


def switched_costs(target, tool, count):
    """[(CPU, wall) slowdown] of every on window."""
    slowdowns = []
    with tool.beside(target):
        before = window(target, tool.window_seconds)
        for _ in range(count):
            tool.on()
            during = window(target, tool.window_seconds)
            tool.off()
            after = window(target, tool.window_seconds)
            slowdowns.append([2 * on / (one + two) - 1
                              for one, on, two in zip(before, during, after)])
            before = after
    return slowdowns


def tool_row(tool, slowdowns, absent):
    """One line of the table."""
    hz = tool.hz or ""
    if tool.name in absent:
        return [tool.name, hz, "not measured: %s" % absent[tool.name], "", "", "", ""]
    cpu = [100 * slowdown for slowdown, _ in slowdowns]
    wall = [100 * slowdown for _, slowdown in slowdowns]
    # Of a median of n nearly normal values.
    error = 1.25 * statistics.pstdev(trimmed(cpu)) / len(cpu) ** 0.5
    each = "%.1f" % (figures.median(cpu) / 100 * 1e6 / tool.hz) if tool.hz else ""
    return [tool.name, hz, len(cpu), figures.spread(cpu, "%+.2f"), "%.2f" % error, each,
            figures.spread(wall, "%+.2f")]


def trimmed(values):
    """The inner nine tenths, of values enough to have some."""
    if len(values) < 20:
        return values
    low, high = figures.quantile(values, 0.05), figures.quantile(values, 0.95)
    return [value for value in values if low <= value <= high]


def tools(options):
    """Section 3: every profiler, by windows."""
    try:
        make = with_native_frames(find_interpreter(PYTHON), 20, 1, 20)
    except Absent as reason:
        return "Not measured: %s.\n" % reason
    slowdowns = {tool: [] for tool in TOOLS}
    absent = {}
    with make() as target:
        os.setpriority(os.PRIO_PROCESS, target.pid, TARGET_NICE)
        for _ in range(options.rounds + 2):
            for tool in random.sample(TOOLS, len(TOOLS)):
                if tool.name in absent:
                    continue
                try:
                    slowdowns[tool] += switched_costs(target, tool,
                                                      int(tool.windows * options.scale))
                except Absent as reason:
                    absent[tool.name] = reason
    return figures.table(["profiler", "Hz", "windows", "CPU time %", "± (median) %",
                          "µs per tick", "wall time %"],
                         [tool_row(tool, slowdowns[tool], absent) for tool in TOOLS])


def trampoline(options):
    """Section 3b: paired runs, for a flag is given at the start."""
    try:
        interpreter = find_interpreter(PYTHON)
    except Absent as reason:
        return "Not measured: %s.\n" % reason
    rows = []
    for work in ["loop", "calls"]:
        targets = {name: StackTarget(interpreter, 20, 1, 1, work, flags)
                   for name, flags in [("base", ()), ("control", ()), ("-X perf", ("-X", "perf"))]}
        ratios = {"control": [], "-X perf": []}
        for _ in range(3 * options.rounds):
            costs = {name: targets[name].run_for(options.scale)
                     for name in random.sample(sorted(targets), len(targets))}
            for name, values in ratios.items():
                values.append(100 * (costs[name] / costs["base"] - 1))
        rows.extend([work, name, len(values), figures.spread(values, "%+.1f")]
                    for name, values in ratios.items())
    return figures.table(["work", "flag", "pairs", "CPU time %"], rows)


def share(stacks, good):
    """In percent of the samples."""
    total = sum(count for _, count in stacks)
    return "%.1f" % (100 * sum(count for stack, count in stacks if good(stack)) / max(total, 1))


def folded(path):
    """[(line without its count, count)]."""
    with open(path, encoding="utf-8", errors="replace") as file:
        lines = [line.rpartition(" ") for line in file.read().splitlines()]
    return [(stack, int(count)) for stack, _, count in lines]


def shown_row(name, stacks):
    """How much of 60 Python frames and of the way to the root."""
    return [name, sum(count for _, count in stacks),
            share(stacks, lambda stack: stack.count("descend (") == 58 and "leaf (" in stack),
            share(stacks, lambda stack: re.search(r"\b_start\b", stack))]


def perf_stacks(data):
    """perf script's stacks as folded lines."""
    done = subprocess.run(["perf", "script", "-F", "comm,ip,sym", "-i", data],
                          stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, check=True)
    return [(";".join(block.split("\n")[1:]), 1) for block in done.stdout.split("\n\n") if block]


def completeness(options):
    """Section 5: whose stacks hold what the target's do."""
    try:
        make = with_native_frames(find_interpreter(PYTHON), 60, 2, 30)
    except Absent as reason:
        return "Not measured: %s.\n" % reason
    seconds = 5 * options.scale
    rows = []
    with make() as target, scratch() as directory:
        with Recording(directory, 99, seconds, target.pid) as recording:
            recording.finish()
            rows.append(shown_row("mixprof record", folded(recording.folded_path)))
        for graph in [["-g"], ["--call-graph", "dwarf,16384"]]:
            data = os.path.join(directory, "perf.data")
            name = " ".join(["perf record", *graph])
            if not shutil.which("perf"):
                rows.append([name, "perf is not on this machine", "", ""])
                continue
            subprocess.run([*PERF, *graph, "-F", "99", "-p", str(target.pid), "-o", data, "--",
                            "sleep", str(seconds)], stderr=subprocess.DEVNULL, check=True)
            rows.append(shown_row(name, perf_stacks(data)))
        try:
            raw = os.path.join(directory, "raw")
            command = pyspy_command(target, 99, raw)
            command[command.index("600")] = str(max(1, int(seconds)))
            subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                           check=True)
            rows.append(shown_row("py-spy record --native", folded(raw)))
        except (Absent, subprocess.CalledProcessError) as reason:
            rows.append(["py-spy record --native", "not measured: %s" % reason, "", ""])
    return figures.table(["profiler, 99 Hz", "samples", "all 60 Python frames %",
                          "_start shown %"], rows)
