# SPDX-License-Identifier: Apache-2.0
"""What one sample costs in the kernel, by depth, by rate and by the caches' temperature.

Two clocks: the kernel's own statistics of the program (run_time_ns, mean of all runs, less those
that the filter ended) and the sampler's, which every sample carries (here the median). Slopes are
least squares over the depths, each depth being the median of its rounds.
"""
import os
import random
import shutil

import figures
from recording import (Absent, NativeTarget, Recording, StackTarget, compile_target,
                       find_interpreter, record, scratch, start, stop, TARGET_CPU, TARGETS)

DEPTHS = [10, 60, 200, 1000]
NESTS = [1, 8, 25, 60]
PYTHON = "pyenv-3.12"
THRASH_MEGABYTES = "64"
SAMPLES_MIN = 20


class Filtered:
    """What a run costs that the filter ends at once, by rate: it is in the kernel's mean, too."""

    def __init__(self):
        self.known = {}

    def cost_ns(self, hz):
        """Measured with a target that sleeps, beside one that works."""
        if hz not in self.known:
            with NativeTarget("sleep", "60") as target:
                busy = start(["sh", "-c", "while :; do :; done"], {TARGET_CPU})
                try:
                    with scratch() as directory:
                        with Recording(directory, hz, 2, target.pid) as recording:
                            recording.process.wait()
                            runs, run_ns = recording.program.statistics()
                finally:
                    stop(busy)
            self.known[hz] = run_ns / max(runs, 1)
        return self.known[hz]


FILTERED = Filtered()


def kernel_mean_ns(cost, hz):
    """Of the written runs alone."""
    written = cost.stats["samples"]["written"]
    return (cost.run_ns - FILTERED.cost_ns(hz) * (cost.runs - written)) / max(written, 1)


class Depths:
    """One kind of stack at several depths and one rate, cold or hot."""

    def __init__(self, name, targets, hz, cold, seconds):
        self.name, self.targets, self.hz, self.cold = name, targets, hz, cold
        self.seconds = seconds
        self.results = {depth: [] for depth in targets}

    def measure(self, depth, neighbour):
        """One round of one depth."""
        with self.targets[depth]() as target:
            thrash = start([neighbour, THRASH_MEGABYTES], {TARGET_CPU}) if self.cold else None
            try:
                cost = record(target.pid, self.hz, self.seconds)
            finally:
                stop(thrash)
        if len(cost.rows) < SAMPLES_MIN:
            return
        self.results[depth].append({
            "samples": len(cost.rows),
            "native": figures.median(row.native for row in cost.rows),
            "python": figures.median(row.python for row in cost.rows),
            "median_ns": figures.median(row.run_ns for row in cost.rows),
            "kernel_ns": kernel_mean_ns(cost, self.hz),
            "roots": sum(row.root for row in cost.rows),
        })

    def of(self, depth, key):
        """Median over the rounds."""
        return figures.median(result[key] for result in self.results[depth])

    def rows(self):
        """Table rows of the depths."""
        for depth, results in self.results.items():
            if results:
                yield [self.name, self.hz, "cold" if self.cold else "hot",
                       "%.0f" % self.of(depth, "native"), "%.0f" % self.of(depth, "python"),
                       sum(result["samples"] for result in results),
                       figures.spread([result["median_ns"] for result in results]),
                       figures.spread([result["kernel_ns"] for result in results])]

    def slope(self, key, against):
        """ns per frame (or per pair of frames) of that kind."""
        points = [(self.of(depth, against), self.of(depth, key))
                  for depth, results in self.results.items() if results]
        return figures.line(points)[0] if len(points) > 1 else float("nan")


def series(directory, options):
    """Every Depths there is to measure."""
    recurse = compile_target("recurse", directory)
    interpreter = find_interpreter(PYTHON)
    native = {depth: lambda depth=depth: NativeTarget(recurse, str(depth)) for depth in DEPTHS}
    python = {depth: lambda depth=depth: StackTarget(interpreter, depth) for depth in DEPTHS}
    nested = {count: lambda count=count: StackTarget(interpreter, 2 * count + 10, count)
              for count in NESTS}
    scale = options.scale
    made = []
    for hz, cold, seconds in [(999, False, 2 * scale), (4000, False, scale), (99, True, 6 * scale)]:
        made.append(Depths("C recursion", native, hz, cold, seconds))
        made.append(Depths("Python recursion", python, hz, cold, seconds))
        made.append(Depths("C → Python nesting", nested, hz, cold, seconds))
    return made


def per_frame(options):
    """Section 1: tables of depths and of slopes."""
    with scratch() as directory:
        thrash = compile_target("thrash", directory)
        try:
            made = series(directory, options)
        except Absent as reason:
            return "Not measured: %s.\n" % reason
        work = [(depths, depth) for depths in made for depth in depths.targets]
        for _ in range(options.rounds):
            random.shuffle(work)
            for depths, depth in work:
                depths.measure(depth, thrash)
    slopes = []
    for depths in made:
        against = "python" if depths.name.startswith("Python") else "native"
        what = {"C recursion": "native frame", "Python recursion": "Python frame"}.get(
            depths.name, "native frame, Python frames beside it included")
        slopes.append([what, depths.hz, "cold" if depths.cold else "hot",
                       "%.1f" % depths.slope("median_ns", against),
                       "%.1f" % depths.slope("kernel_ns", against)])
    return (figures.table(["ns per", "Hz", "caches", "from the samples' medians",
                           "from the kernel's means"], slopes) + "\n" +
            figures.table(["stack", "Hz", "caches", "native frames", "Python frames", "samples",
                           "sampler's median ns", "kernel's mean ns"],
                          [row for depths in made for row in depths.rows()]))


def large_library(options):
    """Section 1b: a compiler, whose library's table has hundreds of thousands of rows."""
    compiler = shutil.which("clang++") or shutil.which("clang++-14")
    if not compiler:
        return "Not measured: clang++ is not on this machine.\n"
    source = os.path.join(TARGETS, "templates.cc")
    rows = []
    for hz in [99, 999]:
        costs = []
        for _ in range(options.rounds):
            cost = record(hz=hz, seconds=60, command=[
                compiler, "-O2", "-std=c++17", "-c", source, "-o", "/dev/null"])
            if len(cost.rows) >= SAMPLES_MIN:
                costs.append(cost)
        if not costs:
            return "Not measured: %s compiles nothing here.\n" % compiler
        everything = [row for cost in costs for row in cost.rows if row.native]
        samples = [row for row in everything if row.root]
        slopes = [figures.line([(row.native, row.run_ns) for row in trimmed(cost.rows)])[0]
                  for cost in costs]
        frames = sum(row.native for row in samples)
        rows.append([hz, len(samples), "%.1f" % (frames / len(samples)),
                     figures.spread([row.run_ns for row in samples]),
                     "%.0f" % (sum(row.run_ns for row in samples) / frames),
                     figures.spread(slopes),
                     "%.1f" % (100 * len(samples) / len(everything)),
                     "%.0f" % max(cost.stats["daemon"]["rss_peak_bytes"] / 2 ** 20
                                  for cost in costs)])
    return figures.table(["Hz", "samples", "native frames (mean)", "ns per sample",
                          "ns per native frame, everything on it", "slope per native frame",
                          "root reached %", "mixprof's peak RSS MB"], rows) + (
        "\nOf samples that reached the root. The others are those of the time until mixprof has "
        "read the\nlibrary's tables: the program is started by `record -- clang++ …` and new.\n")


def trimmed(rows):
    """Without the slowest hundredth: runs that something interrupted for longer."""
    limit = figures.quantile([row.run_ns for row in rows], 0.99)
    return [row for row in rows if row.run_ns <= limit and row.root]


def with_native_frames(interpreter, python, crossings, native):
    """A StackTarget with exactly that many native frames, found by trying."""
    c_frames = 1
    for _ in range(4):
        target = StackTarget(interpreter, python, crossings, c_frames)
        with target:
            cost = record(target.pid, 999, 1)
        got = int(figures.median(row.native for row in cost.rows))
        if got == native:
            return lambda: StackTarget(interpreter, python, crossings, c_frames)
        c_frames = max(1, c_frames + native - got)
    raise RuntimeError("%d native frames: cannot be had, the last try had %d" % (native, got))


def per_rate(options):
    """Section 2: 60 Python and 30 native frames at four rates."""
    try:
        make = with_native_frames(find_interpreter(PYTHON), 60, 2, 30)
    except Absent as reason:
        return "Not measured: %s.\n" % reason
    results = {99: [], 499: [], 999: [], 4000: []}
    with make() as target:
        for _ in range(options.rounds):
            for hz in random.sample(sorted(results), len(results)):
                seconds = options.scale * (6 if hz == 99 else 2)
                results[hz].append(record(target.pid, hz, seconds))
    rows = []
    for hz, costs in results.items():
        samples = [row for cost in costs for row in cost.rows]
        times = [row.run_ns for row in samples]
        rows.append([hz, len(samples),
                     "%.0f + %.0f" % (figures.median(row.python for row in samples),
                                      figures.median(row.native for row in samples)),
                     *("%.0f" % figures.quantile(times, share) for share in (0.25, 0.5, 0.9, 0.99)),
                     figures.spread([kernel_mean_ns(cost, hz) for cost in costs]),
                     "%.0f" % FILTERED.cost_ns(hz)])
    return figures.table(["Hz", "samples", "Python + native frames", "p25 ns", "p50 ns", "p90 ns",
                          "p99 ns", "kernel's mean ns", "a filtered run, ns"], rows)
