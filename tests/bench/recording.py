# SPDX-License-Identifier: Apache-2.0
"""Runs targets and recordings, and reads what a recording says of itself."""
import collections
import contextlib
import json
import mmap
import os
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.dirname(HERE)
TARGETS = os.path.join(HERE, "targets")
sys.path.insert(0, os.path.join(TESTS, "lib"))

import interpreters  # noqa: E402
import kernel  # noqa: E402

BUILD = os.path.abspath(os.environ.get("BUILD") or os.path.join(interpreters.REPOSITORY, "build"))
MIXPROF = os.path.join(BUILD, "mixprof")
SAMPLE_ROWS = os.path.join(BUILD, "tests/tools/sample_rows")
ARM_SECONDS_MAX = 20
# The target has a CPU of its own as far as we can tell; profilers and we share the others.
TARGET_CPU = max(os.sched_getaffinity(0))
OTHER_CPUS = os.sched_getaffinity(0) - {TARGET_CPU} or {TARGET_CPU}

Row = collections.namedtuple("Row", "native python kernel run_ns root")


class Absent(Exception):
    """A peer or an interpreter is not on this machine; the message says which."""


def scratch():
    """A temporary directory of the run."""
    return tempfile.TemporaryDirectory(prefix="mixprof-bench-")


def pinned(cpus):
    """For Popen's preexec_fn."""
    return lambda: os.sched_setaffinity(0, cpus)


def start(command, cpus, **options):
    """A process on its CPUs, with no output of its own."""
    options = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL, **options}
    return subprocess.Popen(command, preexec_fn=pinned(cpus), **options)


def stop(process):
    """Ends a process that we started."""
    if process and process.poll() is None:
        process.kill()
    if process:
        process.wait()


def compile_target(name, directory):
    """A C target, as most programs are: -O2, no frame pointers."""
    program = os.path.join(directory, name)
    subprocess.run([os.environ.get("CC", "gcc"), "-std=gnu17", "-O2", "-fomit-frame-pointer",
                    "-fno-optimize-sibling-calls", os.path.join(TARGETS, name + ".c"), "-o",
                    program], check=True)
    return program


def find_interpreter(name):
    """An interpreter of tests/interpreters.list."""
    try:
        return interpreters.find_interpreter(name)
    except interpreters.Unavailable as reason:
        raise Absent("%s: %s" % (name, reason)) from reason


class StackTarget:
    """targets/stack.py, running; a context manager."""

    def __init__(self, interpreter, python, crossings=0, c_frames=1, work="loop", flags=()):
        self.outside, inside = interpreter.place("bench")
        shutil.copy(os.path.join(TARGETS, "stack.py"), self.outside)
        if crossings:
            interpreter.build_extension(os.path.join(TARGETS, "nest.c"), self.outside)
        with open(os.path.join(self.outside, "progress"), "wb") as file:
            file.write(bytes(4096))
        self.command = [*interpreter.argv, *flags, "-B", inside + "/stack.py", work,
                        str(python), str(crossings), str(c_frames), inside + "/progress"]
        self.process = None
        self.progress = None

    def __enter__(self):
        with open(os.path.join(self.outside, "progress"), "r+b") as file:
            self.progress = mmap.mmap(file.fileno(), 24)
        self.progress[:] = bytes(24)
        self.process = start([*self.command, "0"], {TARGET_CPU})
        deadline = time.monotonic() + 30
        while self.read()[0] < 20:
            if self.process.poll() is not None or time.monotonic() > deadline:
                stop(self.process)
                raise RuntimeError("the target did not start: %s" % self.command)
            time.sleep(0.01)
        return self

    def __exit__(self, *_reason):
        stop(self.process)
        self.progress.close()

    @property
    def pid(self):
        """Of the interpreter."""
        return self.process.pid

    def read(self):
        """(units, CPU ns, wall ns); the pair belongs together."""
        while True:
            units, cpu_ns, again = struct.unpack_from("QQQ", self.progress)
            if units == again:
                return units, cpu_ns, time.monotonic_ns()

    def run_for(self, cpu_seconds):
        """Runs it once to its end: CPU ns per unit."""
        process = start([*self.command, str(cpu_seconds)], {TARGET_CPU}, stdout=subprocess.PIPE)
        units, cpu_ns = map(int, process.communicate()[0].split())
        with contextlib.suppress(FileNotFoundError):
            os.unlink("/tmp/perf-%d.map" % process.pid)  # -X perf leaves it
        return cpu_ns / units


class NativeTarget:
    """A program that only runs; a context manager."""

    def __init__(self, *command):
        self.command = command
        self.process = None

    def __enter__(self):
        self.process = start(self.command, {TARGET_CPU})
        time.sleep(0.1)
        return self

    def __exit__(self, *_reason):
        stop(self.process)

    @property
    def pid(self):
        """Of the program."""
        return self.process.pid


class Recording:
    """A running `mixprof record`; a context manager."""

    def __init__(self, directory, hz, seconds, pid=None, command=(), capture=True):
        self.stats_path = os.path.join(directory, "stats.json")
        self.capture_path = os.path.join(directory, "capture")
        self.folded_path = os.path.join(directory, "folded")
        target = ["-p", str(pid)] if pid else []
        self.command = [MIXPROF, "record", *target, "-F", str(hz), "-d", "%gs" % seconds,
                        "--format", "folded", "--frames=full", "-o", self.folded_path, "--stats",
                        self.stats_path, *(["--capture", self.capture_path] if capture else []),
                        *(["--", *command] if command else [])]
        self.is_command = bool(command)
        self.process = None
        self.program = None

    def __enter__(self):
        cpus = OTHER_CPUS | {TARGET_CPU} if self.is_command else OTHER_CPUS
        self.process = start(self.command, cpus)
        deadline = time.monotonic() + ARM_SECONDS_MAX
        try:
            while not self.program and time.monotonic() < deadline:
                events = kernel.events_of(self.process.pid)
                if events.descriptors:
                    self.program = kernel.Program(self.process.pid)
                events.close()
                time.sleep(0.005)
        except ProcessLookupError:
            pass
        if not self.program:
            stop(self.process)
            raise RuntimeError("mixprof did not record: %s" % " ".join(self.command))
        return self

    def __exit__(self, *_reason):
        stop(self.process)
        self.program.close()

    def interrupt(self):
        """Ends it before its time."""
        self.process.send_signal(signal.SIGINT)

    def finish(self):
        """Waits, and returns --stats."""
        if self.process.wait() and not self.is_command:
            raise RuntimeError("status %d: %s" % (self.process.returncode, " ".join(self.command)))
        with open(self.stats_path, encoding="utf-8") as file:
            return json.load(file)

    def rows(self):
        """One Row per sample."""
        done = subprocess.run([SAMPLE_ROWS, self.capture_path], stdout=subprocess.PIPE, text=True,
                              check=True)
        return [Row(*map(int, text.split())) for text in done.stdout.splitlines()]


Cost = collections.namedtuple("Cost", "rows runs run_ns stats")


def record(pid=None, hz=999, seconds=2, command=()):
    """One recording to its end."""
    with scratch() as directory:
        with Recording(directory, hz, seconds, pid, command) as recording:
            stats = recording.finish()
            runs, run_ns = recording.program.statistics()
            return Cost(recording.rows(), runs, run_ns, stats)
