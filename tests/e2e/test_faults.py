#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""What the system may do to a recording: full disks, closed streams, few descriptors, a symbol
worker that is killed or stopped. What can be recorded still is; what cannot says so in a sentence.

Runs build/mixprof as root on live targets, as test_record.py does.
"""
import os
import signal
import subprocess
import threading
import time
import unittest

import test_record
from test_record import MIXPROF, PYTHON, TIMEOUT, mixprof, truth_judge

# Calls ever more of libc and of the interpreter: there is always something new to name.
RESTLESS = """
import importlib, itertools, sys
names = [name for name in sorted(sys.stdlib_module_names)
         if name not in ("antigravity", "this", "idlelib", "test") and not name.startswith("_")]
def restless():
    for name in itertools.cycle(names):
        try:
            importlib.import_module(name)
        except Exception:
            pass
        for _ in range(20):
            sorted(str(i * 7919) for i in range(1000))
        sys.modules.pop(name, None) if name in ("json", "email", "csv", "decimal") else None
print("ready", flush=True)
restless()
"""


class FaultTest(test_record.RecordTest):
    """Recordings of which something goes wrong."""

    def record_to_the_end(self, record):
        """Its statistics and stacks; it must have ended well."""
        output = record.communicate(timeout=TIMEOUT)[1]
        self.assertEqual(record.returncode, 0, output)
        stacks, stats = truth_judge.parse_folded(self.read("a.folded")), self.read_stats()
        self.assertEqual(truth_judge.check_stats(stats, sum(count for _, count in stacks)), [])
        return stacks, stats

    def start_restless(self):
        """A target that is running."""
        target = self.start([PYTHON, "-c", RESTLESS], stdout=subprocess.PIPE)
        self.assertEqual(target.stdout.readline(), b"ready\n")
        return target

    def start_recording(self, target, seconds):
        """Of all frames, with statistics."""
        return self.start([MIXPROF, "record", "-p", str(target.pid), "-F", "499", "-d", seconds,
                           "--frames=full", "-o", self.path("a.folded"), "--stats",
                           self.path("stats.json")], stderr=subprocess.PIPE)

    def worker_of(self, record):
        """The PID of the recording's symbol worker; None: none runs now."""
        path = "/proc/%d/task/%d/children" % (record.pid, record.pid)
        try:
            with open(path, encoding="utf-8") as file:
                children = file.read().split()
            for child in children:
                with open("/proc/%s/cmdline" % child, "rb") as file:
                    if b"symbol-worker" in file.read():
                        return int(child)
        except OSError:
            pass
        return None


class Worker(FaultTest):
    """The symbol worker is somebody's to kill; the recording does not depend on it."""

    def test_killed_again_and_again(self):
        record = self.start_recording(self.start_restless(), "4s")
        killed, ended = set(), threading.Event()

        def kill():
            while not ended.wait(0.05):
                worker = self.worker_of(record)
                if worker:
                    try:
                        os.kill(worker, signal.SIGKILL)
                        killed.add(worker)
                    except ProcessLookupError:
                        pass

        killer = threading.Thread(target=kill)
        time.sleep(1)  # let it start: a file whose table was never read has no rows
        killer.start()
        try:
            stacks, stats = self.record_to_the_end(record)
        finally:
            ended.set()
            killer.join()
        self.assertGreater(len(killed), 2)
        self.assertEqual(sum(stats["samples"]["lost"].values()), 0)
        self.assertEqual(stats["samples"]["unexplained"], 0)
        self.assertGreater(stats["samples"]["written"], 300)
        named = [frame for frames, _ in stacks for frame in frames[1:]]
        self.assertTrue(any(frame.startswith("restless (") for frame in named))
        for frame in named:  # a name, or the file and the place in it; never nothing, never a guess
            self.assertNotEqual(frame, "")
            if frame.startswith("0x"):
                self.fail(frame)

    def test_stopped_for_5_s(self):
        target = self.start_restless()
        record = self.start_recording(target, "8s")
        time.sleep(1.5)
        worker = self.worker_of(record)
        self.assertIsNotNone(worker)
        os.kill(worker, signal.SIGSTOP)
        time.sleep(5)
        try:
            os.kill(worker, signal.SIGCONT)
        except ProcessLookupError:  # mixprof gave up on it: as good
            pass
        used = test_record.cpu_seconds(target.pid)
        _, stats = self.record_to_the_end(record)
        self.assertEqual(sum(stats["samples"]["lost"].values()), 0, stats["samples"])
        self.assertEqual(stats["samples"]["unexplained"], 0)
        self.assertGreater(stats["samples"]["written"], 499 * min(used - 2, 5) * 0.8)
        self.assertGreater(stats["seconds"], 7.5)


class Places(FaultTest):
    """Where the result is to go, and cannot."""

    def setUp(self):
        super().setUp()
        self.burn = self.start_burn()

    def mount(self, options):
        """A tmpfs for this test alone."""
        place = self.path("mounted")
        os.mkdir(place)
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", place], check=True)
        self.addCleanup(subprocess.run, ["umount", "-l", place], check=True)
        return place

    def record(self, *arguments, **options):
        """For a short time, often."""
        return mixprof("record", "-p", str(self.burn.pid), "-d", "700ms", "-F", "4999",
                       "--frames=full", *arguments, **options)

    def assert_fails(self, done, reason):
        """In one sentence."""
        self.assert_status(done, 1)
        self.assert_one_sentence(done)
        self.assertIn(reason, done.stderr.decode())

    def test_full_device(self):
        done = self.record("--format", "folded", "-o", "/dev/full")
        self.assert_fails(done, "No space left on device")
        self.assertTrue(os.path.exists("/dev/full"))

    def test_full_disk(self):
        place = self.mount("size=4k")
        done = self.record("-o", os.path.join(place, "a.html"))
        self.assert_fails(done, "No space left on device")
        self.assertEqual(os.listdir(place), [])

    def test_full_disk_of_the_capture(self):
        place = self.mount("size=16k")
        done = self.record("-o", self.path("a.folded"), "--capture", os.path.join(place, "c"))
        self.assert_fails(done, "No space left on device")
        self.assertEqual(os.listdir(place), [])
        self.assert_only("mounted")

    def test_read_only_directory(self):
        place = self.mount("ro")
        done = self.record("-o", os.path.join(place, "a.folded"))
        self.assert_fails(done, "Read-only file system")

    def test_reader_that_goes(self):
        command = '"$0" record -p "$1" -d 700ms -F 4999 --frames=full --no-lines | head -c 10'
        done = subprocess.run(["bash", "-c", command + '; echo " ${PIPESTATUS[0]}"', MIXPROF,
                               str(self.burn.pid)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              timeout=TIMEOUT, check=False)
        # 0: all of it fitted in the pipe; else the signal, or the error where it is ignored
        self.assertRegex(done.stdout, rb"^.{10} (0|1|141)\n$", done.stderr)


class Limits(FaultTest):
    """What is missing from the start."""

    def shell(self, prelude, suffix=""):
        """mixprof record under what a shell sets up."""
        burn = self.start_burn()
        command = '%s "$0" record -p "$1" -d 500ms -F 999 -o "$2" %s' % (prelude, suffix)
        return subprocess.run(["bash", "-c", command, MIXPROF, str(burn.pid),
                               self.path("a.folded")], stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, timeout=TIMEOUT, check=False)

    def test_closed_streams(self):
        """What is opened in their place gets no message."""
        for closed in ("<&-", ">&-", "2>&-", "<&- >&- 2>&-"):
            done = self.shell("", closed)
            self.assert_status(done, 0)
            self.assertTrue(truth_judge.parse_folded(self.read("a.folded")), closed)
            self.assertNotIn("mixprof:", self.read("a.folded"), closed)

    def test_closed_standard_output(self):
        burn = self.start_burn()
        done = subprocess.run(["bash", "-c", '"$0" record -p "$1" -d 300ms -o - >&-', MIXPROF,
                               str(burn.pid)], stderr=subprocess.PIPE, timeout=TIMEOUT, check=False)
        self.assertEqual(done.returncode, 1)
        self.assertIn(b"standard output", done.stderr)

    def test_few_descriptors(self):
        done = self.shell("ulimit -n 20;")
        self.assert_status(done, 1)
        self.assert_one_sentence(done)
        self.assertIn(b"open files", done.stderr)
        self.assert_only()

    def test_few_descriptors_that_can_be_raised(self):
        self.assert_status(self.shell("ulimit -Sn 20;"), 0)
        self.assertTrue(truth_judge.parse_folded(self.read("a.folded")))

    def test_little_memory(self):
        done = self.shell("ulimit -v 30000;")
        if b"AddressSanitizer" in done.stderr or b"ReserveShadow" in done.stderr:
            self.skipTest("AddressSanitizer needs more address space")
        self.assert_status(done, 1)
        self.assert_one_sentence(done)
        self.assert_only()


if __name__ == "__main__":
    unittest.main()
