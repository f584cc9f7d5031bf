#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The command line as scripts see it: exit statuses, files, --stats, folded lines (shared/cli.md).

Runs build/mixprof as root on live targets. Each test that needs an interpreter other than the one
that runs it is skipped where that interpreter is absent.
"""
import json
import os
import pty
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import unittest

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "lib"))

import interpreters  # noqa: E402
import truth_judge  # noqa: E402

BUILD = os.environ.get("BUILD") or os.path.join(interpreters.REPOSITORY, "build")
MIXPROF = os.path.abspath(os.path.join(BUILD, "mixprof"))
TARGETS = os.path.join(os.path.dirname(HERE), "targets")
BURN = os.path.join(TARGETS, "burn.py")
PYTHON = "/usr/bin/python3"
TIMEOUT = 60
STATS_KEYS = {"mixprof", "kernel", "arch", "event", "hz", "seconds", "samples", "verdicts", "roots",
              "stops", "bpf_ns", "daemon", "processes"}
SAMPLES_KEYS = {"expected", "run", "undelivered", "filtered", "idle", "written", "lost",
                "unexplained"}
VERDICTS = {"exact", "entering", "resynced", "truncated", "partial", "native"}


def mixprof(*arguments, **options):
    """Runs it to its end."""
    return subprocess.run([MIXPROF, *arguments], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                          stderr=subprocess.PIPE, timeout=TIMEOUT, check=False, **options)


def cpu_seconds(pid):
    """User and system time of a process so far."""
    with open("/proc/%d/stat" % pid, encoding="utf-8") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


class RecordTest(unittest.TestCase):
    """A scratch directory, and targets that end with the test."""

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="mixprof-e2e-")
        self.addCleanup(shutil.rmtree, self.directory)

    def path(self, name):
        """A file in the scratch directory."""
        return os.path.join(self.directory, name)

    def read(self, name):
        """Its text; it must be UTF-8."""
        with open(self.path(name), encoding="utf-8") as file:
            return file.read()

    def read_stats(self, name="stats.json"):
        """Its JSON."""
        return json.loads(self.read(name))

    def start(self, command, **options):
        """A process of ours that does not outlive the test."""
        process = subprocess.Popen(command, **options)

        def end():
            if process.poll() is None:
                process.kill()
            process.wait()
            for stream in (process.stdout, process.stderr):
                if stream:
                    stream.close()

        self.addCleanup(end)
        return process

    def start_burn(self, *arguments, python=(PYTHON,), environment=None):
        """burn.py, running and burning."""
        process = self.start([*python, BURN, *map(str, arguments)], stdout=subprocess.PIPE,
                             env=dict(os.environ, **(environment or {})))
        self.assertEqual(process.stdout.readline(), b"ready\n")
        return process

    def assert_status(self, done, status):
        """With what it said, if it is another."""
        self.assertEqual(done.returncode, status, done.stderr.decode(errors="replace"))

    def assert_one_sentence(self, done):
        """Standard error has one line, and standard output none."""
        lines = done.stderr.decode().splitlines()
        self.assertEqual(len(lines), 1, lines)
        self.assertTrue(lines[0].startswith("mixprof"), lines)
        self.assertEqual(done.stdout, b"")

    def assert_only(self, *names):
        """No half results, no temporary files."""
        self.assertEqual(sorted(os.listdir(self.directory)), sorted(names))


class Usage(RecordTest):
    """Wrong usage is told before the system is touched."""

    def test_wrong_usage_is_2(self):
        for arguments in [[], ["record"], ["record", "-p"], ["record", "-p", "x"],
                          ["record", "-p", "1", "--", "true"], ["record", "-F", "0", "-p", "1"],
                          ["record", "-F", "x", "-p", "1"], ["record", "-d", "5 parsecs", "-p", "1"],
                          ["record", "--frames=some", "-p", "1"], ["record", "--no-such", "-p", "1"],
                          ["record", "-p", "1", "-o", self.path("a.jpeg")],
                          ["record", "-p", "1", "--format", "jpeg"], ["record", "true"],
                          ["recrod", "-p", "1"], ["replay"]]:
            done = mixprof(*arguments)
            self.assert_status(done, 2)
            self.assertTrue(done.stderr, arguments)
        self.assert_only()

    def test_help_and_version(self):
        for arguments in [["--help"], ["record", "--help"], ["version"]]:
            done = mixprof(*arguments)
            self.assert_status(done, 0)
            self.assertTrue(done.stdout)


class Failures(RecordTest):
    """What cannot work says so, and leaves nothing behind."""

    def test_no_such_process(self):
        gone = self.start(["true"])
        gone.wait()
        done = mixprof("record", "-p", str(gone.pid), "-d", "1s", "-o", self.path("a.folded"))
        self.assert_status(done, 1)
        self.assert_one_sentence(done)
        self.assertIn(str(gone.pid), done.stderr.decode())
        self.assert_only()

    def test_zombie(self):
        zombie = self.start(["true"])
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        done = mixprof("record", "-p", str(zombie.pid), "-d", "1s", "-o", self.path("a.folded"))
        self.assert_status(done, 1)
        self.assert_only()

    def test_nothing_recorded(self):
        sleeper = self.start(["sleep", "1000"])
        time.sleep(0.2)
        done = mixprof("record", "-p", str(sleeper.pid), "-d", "300ms", "-o", self.path("a.folded"),
                       "--stats", self.path("s.json"), "--capture", self.path("c"))
        self.assert_status(done, 4)
        self.assert_one_sentence(done)
        self.assert_only()

    def test_no_directory(self):
        burn = self.start_burn()
        done = mixprof("record", "-p", str(burn.pid), "-d", "300ms", "-o", self.path("no/a.folded"))
        self.assert_status(done, 1)
        self.assert_one_sentence(done)

    def test_replay_of_garbage(self):
        with open(self.path("garbage"), "wb") as file:
            file.write(os.urandom(4096))
        done = mixprof("replay", self.path("garbage"), "-o", self.path("a.folded"))
        self.assert_status(done, 1)
        self.assert_only("garbage")

    def test_replay_of_nothing(self):
        done = mixprof("replay", self.path("absent"), "-o", self.path("a.folded"))
        self.assert_status(done, 1)
        self.assert_only()


class Pid(RecordTest):
    """record -p."""

    def record(self, pid, *arguments, frames="mixed", seconds="1s", name="a.folded"):
        """A short recording at a high rate; returns its judged-able stacks and statistics."""
        done = mixprof("record", "-p", str(pid), "-d", seconds, "-F", "999", "--frames", frames, "-o",
                       self.path(name), "--stats", self.path("stats.json"), *arguments)
        self.assert_status(done, 0)
        return truth_judge.parse_folded(self.read(name)), self.read_stats()

    def test_stats_keys_and_sums(self):
        burn = self.start_burn()
        stacks, stats = self.record(burn.pid)
        self.assertEqual(set(stats), STATS_KEYS)
        self.assertLessEqual(SAMPLES_KEYS, set(stats["samples"]))
        self.assertEqual(set(stats["verdicts"]), VERDICTS)
        self.assertEqual(set(stats["roots"]), {"user", "reached"})
        self.assertLessEqual({"mean", "p50", "p99"}, set(stats["bpf_ns"]))
        self.assertLessEqual({"cpu_seconds", "rss_peak_bytes", "map_bytes", "first_sample_ms"},
                             set(stats["daemon"]))
        self.assertEqual(truth_judge.check_stats(stats, sum(count for _, count in stacks)), [])
        self.assertEqual(stats["hz"], 999)
        self.assertAlmostEqual(stats["seconds"], 1.0, delta=0.2)
        self.assertGreater(stats["samples"]["written"], 200)
        [process] = stats["processes"]
        self.assertEqual((process["pid"], process["runtime"]), (burn.pid, "cpython"))
        version = subprocess.run([PYTHON, "-V"], stdout=subprocess.PIPE, text=True, check=True)
        self.assertEqual("Python " + process["version"], version.stdout.strip())
        self.assertEqual(process["samples"], stats["samples"]["written"])
        self.assertEqual(process["verdicts"].get("exact", 0), stats["verdicts"]["exact"])

    def test_names_that_are_not_ascii(self):
        burn = self.start_burn()
        stacks, _ = self.record(burn.pid)
        good = sum(count for frames, count in stacks
                   if any(frame.startswith("Brûleur.燃える (%s:" % BURN) for frame in frames))
        self.assertGreater(good, 0.9 * sum(count for _, count in stacks))

    def test_lines_are_sorted_and_unique(self):
        burn = self.start_burn()
        self.record(burn.pid)
        lines = [line.rpartition(" ")[0] for line in self.read("a.folded").splitlines()]
        self.assertEqual(lines, sorted(lines, key=lambda line: line.encode()))
        self.assertEqual(len(lines), len(set(lines)))

    def test_frames(self):
        burn = self.start_burn()
        capture = self.path("c")
        by_frames = {"full": self.record(burn.pid, "--capture", capture, frames="full")[0]}
        for frames in ["mixed", "python", "native"]:
            name = frames + ".folded"
            done = mixprof("replay", capture, "--frames", frames, "-o", self.path(name))
            self.assert_status(done, 0)
            by_frames[frames] = truth_judge.parse_folded(self.read(name))

        def kinds(frames):
            found = set()
            for stack, _ in by_frames[frames]:
                for frame in stack[1:]:
                    found.add("python" if truth_judge.PYTHON_FRAME.match(frame) else
                              "eval" if "_PyEval_EvalFrameDefault" in frame else "native")
            return found

        totals = {frames: sum(count for _, count in by_frames[frames]) for frames in by_frames}
        self.assertEqual(len(set(totals.values())), 1, totals)
        self.assertEqual(kinds("full"), {"python", "eval", "native"})
        self.assertEqual(kinds("python"), {"python"})
        self.assertEqual(kinds("native"), {"eval", "native"})
        # Between two Python frames the interpreter is folded away.
        for stack, _ in by_frames["mixed"]:
            is_python = [bool(truth_judge.PYTHON_FRAME.match(frame)) for frame in stack]
            if True in is_python:
                first = is_python.index(True)
                last = len(is_python) - is_python[::-1].index(True)
                self.assertTrue(all(is_python[first:last]), stack)

    def test_no_lines(self):
        burn = self.start_burn()
        self.record(burn.pid, "--no-lines")
        text = self.read("a.folded")
        self.assertIn("burn_a_while (%s)" % BURN, text)
        self.assertIsNone(re.search(r"burn\.py:\d", text))

    def test_new_threads_are_included(self):
        burn = self.start_burn()
        stacks, _ = self.record(burn.pid)
        late = [frames for frames, _ in stacks if any(f.startswith("late_thread (") for f in frames)]
        self.assertTrue(late)

    def test_hostile_comm(self):
        burn = self.start_burn(environment={"MIXPROF_COMM": "a;b c\nd"})
        stacks, _ = self.record(burn.pid)
        main = [frames for frames, _ in stacks if any(f.startswith("main (") for f in frames)]
        self.assertEqual({frames[0] for frames in main}, {"a:b c\ufffdd"})

    def test_two_processes(self):
        burns = [self.start_burn(environment={"MIXPROF_COMM": name}) for name in ("one", "two")]
        stacks, stats = self.record(",".join(str(burn.pid) for burn in burns))
        self.assertLessEqual({"one", "two"}, {frames[0] for frames, _ in stacks})
        self.assertEqual({process["pid"] for process in stats["processes"]},
                         {burn.pid for burn in burns})

    def test_other_processes_are_not_recorded(self):
        self.start_burn(environment={"MIXPROF_COMM": "bystander"})
        burn = self.start_burn(environment={"MIXPROF_COMM": "wanted"})
        stacks, _ = self.record(burn.pid)
        self.assertNotIn("bystander", {frames[0] for frames, _ in stacks})

    def test_target_that_ends(self):
        burn = self.start_burn(1)
        began = time.monotonic()
        self.record(burn.pid, seconds="30s")
        self.assertLess(time.monotonic() - began, 10)

    def test_pipe_gets_folded_lines(self):
        burn = self.start_burn()
        for output in [[], ["-o", "-", "--format", "folded"]]:
            done = mixprof("record", "-p", str(burn.pid), "-d", "500ms", *output)
            self.assert_status(done, 0)
            stacks = truth_judge.parse_folded(done.stdout.decode())
            self.assertTrue(all(frames[0].startswith("python3") for frames, _ in stacks))
        self.assert_only()

    def test_html(self):
        burn = self.start_burn()
        done = mixprof("record", "-p", str(burn.pid), "-d", "500ms", "-o", self.path("a.html"))
        self.assert_status(done, 0)
        text = self.read("a.html")
        self.assertIn("<html", text)
        self.assertIn("burn_a_while", text)
        self.assertIsNone(re.search(r"(src|href)=[\"']?https?:", text))

    def test_stripped_interpreter(self):
        interpreter = interpreters.find_interpreter("bookworm-3.11")
        program = os.path.join(interpreter.root, interpreter.argv[-1].lstrip("/"))
        sections = subprocess.run(["readelf", "-SW", program], stdout=subprocess.PIPE, text=True,
                                  check=True)
        self.assertNotIn(".symtab", sections.stdout)
        burn = self.start_burn(python=interpreter.argv) if interpreter.root == "/" else None
        if burn is None:
            self.skipTest("bookworm's interpreter is not this machine's own")
        _, stats = self.record(burn.pid)
        self.assertGreater(truth_judge.good_verdict_share(stats), 0.99)


class Unsupported(RecordTest):
    """A CPython that we cannot read yet is shown natively, with one counted reason."""

    def check(self, name, eval_name, target):
        """No Python frame, every sample counted as py_unsupported, the stack to its root."""
        try:
            interpreter = interpreters.find_interpreter(name)
        except interpreters.Unavailable as reason:
            self.skipTest(str(reason))
        burn = self.start([*interpreter.argv, "-c", target])
        time.sleep(0.5)
        done = mixprof("record", "-p", str(burn.pid), "-d", "1s", "-F", "999", "-o",
                       self.path("a.folded"), "--stats", self.path("stats.json"))
        self.assert_status(done, 0)
        stacks, stats = truth_judge.parse_folded(self.read("a.folded")), self.read_stats()
        total = sum(count for _, count in stacks)
        self.assertFalse(any(truth_judge.project(frames) for frames, _ in stacks))
        with_eval = sum(count for frames, count in stacks if eval_name in frames)
        self.assertGreater(with_eval, 0.9 * total)
        self.assertEqual(stats["stops"].get("py_unsupported"), total, stats["stops"])
        self.assertGreater(truth_judge.root_share(stats), 0.99)
        self.assertEqual(stats["verdicts"]["exact"], 0)

    def test_3_8(self):
        self.check("pyenv-3.8", "_PyEval_EvalFrameDefault", "while True: sum(range(1000))")

    def test_2_7(self):
        self.check("pyenv-2.7", "PyEval_EvalFrameEx", "while True: sum(range(1000))")


class Interrupted(RecordTest):
    """Ctrl-C, and worse."""

    def start_record(self, *arguments, **options):
        """A recording without an end."""
        return self.start([MIXPROF, "record", *arguments], stdin=subprocess.DEVNULL,
                          stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options)

    def test_interrupt_writes_the_profile(self):
        for number in (signal.SIGINT, signal.SIGTERM):
            burn = self.start_burn()
            record = self.start_record("-p", str(burn.pid), "-o", self.path("a.folded"))
            time.sleep(1.5)
            record.send_signal(number)
            self.assertEqual(record.wait(TIMEOUT), 0, record.stderr.read())
            self.assertTrue(truth_judge.parse_folded(self.read("a.folded")))
            self.assert_only("a.folded")
            os.unlink(self.path("a.folded"))
            self.assertIsNone(burn.poll())

    def test_interrupt_of_the_group(self):
        record = self.start_record("-o", self.path("a.folded"), "--", PYTHON, BURN,
                                   start_new_session=True)
        time.sleep(1.5)
        os.killpg(record.pid, signal.SIGINT)
        self.assertEqual(record.wait(TIMEOUT), 128 + signal.SIGINT, record.stderr.read())
        self.assertTrue(truth_judge.parse_folded(self.read("a.folded")))

    def test_old_result_stands_until_the_new_one_is_whole(self):
        burn = self.start_burn()
        with open(self.path("a.folded"), "w", encoding="utf-8") as file:
            file.write("old")
        record = self.start_record("-p", str(burn.pid), "-o", self.path("a.folded"))
        time.sleep(1)
        self.assertEqual(self.read("a.folded"), "old")
        record.kill()
        record.wait()
        self.assertEqual(self.read("a.folded"), "old")
        done = mixprof("record", "-p", str(burn.pid), "-d", "500ms", "-o", self.path("a.folded"))
        self.assert_status(done, 0)
        self.assertTrue(truth_judge.parse_folded(self.read("a.folded")))

    def test_target_goes_on(self):
        burn = self.start_burn()
        record = self.start_record("-p", str(burn.pid), "-o", self.path("a.folded"))
        time.sleep(1)
        record.kill()
        record.wait()
        time.sleep(0.2)
        self.assertIsNone(burn.poll())
        with open("/proc/%d/stat" % burn.pid, encoding="utf-8") as file:
            self.assertIn(file.read().rpartition(")")[2].split()[0], "RS")


class Losses(RecordTest):
    """What the rings cannot hold is counted, exactly."""

    DEEP = "def f(n):\n  if n: return f(n - 1)\n  while True: sum(range(1000))\nf(900)"

    def stall(self, target, rate, seconds):
        """Records while mixprof itself is stopped for a time; returns the statistics, and how long
        the target was on a CPU meanwhile."""
        before = cpu_seconds(target.pid)
        record = self.start([MIXPROF, "record", "-p", str(target.pid), "-F", str(rate), "-o",
                             self.path("a.folded"), "--stats", self.path("stats.json")],
                            stderr=subprocess.PIPE)
        time.sleep(1)
        record.send_signal(signal.SIGSTOP)
        time.sleep(seconds)
        record.send_signal(signal.SIGCONT)
        time.sleep(0.5)
        used = cpu_seconds(target.pid) - before
        record.send_signal(signal.SIGINT)
        self.assertEqual(record.wait(TIMEOUT), 0, record.stderr.read())
        stacks, stats = truth_judge.parse_folded(self.read("a.folded")), self.read_stats()
        self.assertEqual(truth_judge.check_stats(stats, sum(count for _, count in stacks)), [])
        return stats, used

    def test_stalled_reader_loses_nothing(self):
        burn = self.start_burn()
        stats, used = self.stall(burn, 99, 5)
        self.assertEqual(sum(stats["samples"]["lost"].values()), 0)
        # The start of mixprof is the part that is not recorded.
        self.assertGreater(stats["samples"]["written"], 99 * (used - 1) * 0.9)

    def test_full_rings_are_counted(self):
        stats, _ = self.stall(self.start([PYTHON, "-c", self.DEEP]), 9999, 4)
        self.assertGreater(stats["samples"]["lost"]["ring_full"], 1000)
        self.assertGreater(stats["samples"]["written"], 100)


class Terminal(RecordTest):
    """For people: a progress line, a page beside it, a summary."""

    def on_terminal(self, *arguments):
        """Status and all that a terminal got."""
        ours, theirs = pty.openpty()
        process = self.start([MIXPROF, *arguments], stdin=theirs, stdout=theirs, stderr=theirs,
                             cwd=self.directory, env=dict(os.environ, TERM="xterm"))
        os.close(theirs)
        seen = b""
        try:
            while True:
                part = os.read(ours, 65536)
                if not part:
                    break
                seen += part
        except OSError:  # the other end is closed
            pass
        os.close(ours)
        return process.wait(TIMEOUT), seen.decode()

    def test_record(self):
        burn = self.start_burn()
        status, seen = self.on_terminal("record", "-p", str(burn.pid), "-d", "2s")
        self.assertEqual(status, 0, seen)
        self.assertRegex(seen, r"\r.*samples")
        self.assertIn("burn_a_while", seen)
        self.assertRegex(seen, r"exact")
        [name] = os.listdir(self.directory)
        self.assertRegex(name, r"^mixprof-python3[^/]*\.html$")

    def test_no_progress_without_a_terminal(self):
        burn = self.start_burn()
        done = mixprof("record", "-p", str(burn.pid), "-d", "2s", "-o", self.path("a.folded"))
        self.assertNotIn(b"\r", done.stderr)
        self.assertNotIn(b"\033", done.stderr)


class Command(RecordTest):
    """record -- COMMAND."""

    def record(self, *command, options=()):
        """With a profile in a.folded."""
        return mixprof("record", "-F", "999", "-o", self.path("a.folded"), *options, "--", *command)

    def test_status_is_the_commands(self):
        self.assert_status(self.record(PYTHON, BURN, "0.5", "7"), 7)
        self.assertTrue(truth_judge.parse_folded(self.read("a.folded")))
        self.assert_status(self.record(PYTHON, BURN, "0.5"), 0)

    def test_status_of_a_signal(self):
        code = "import os, signal\nsum(range(10**7))\nos.kill(os.getpid(), signal.SIGUSR1)"
        self.assert_status(self.record(PYTHON, "-c", code), 128 + signal.SIGUSR1)

    def test_missing_command(self):
        self.assert_status(self.record(self.path("absent")), 127)
        self.assert_only()

    def test_command_that_cannot_run(self):
        with open(self.path("data"), "w", encoding="utf-8") as file:
            file.write("not a program")
        self.assert_status(self.record(self.path("data")), 126)
        self.assert_only("data")

    def test_standard_streams_are_the_commands(self):
        done = self.record(PYTHON, BURN, "0.5")
        self.assertEqual(done.stdout, b"ready\n")

    def test_duration_ends_the_command(self):
        began = time.monotonic()
        self.assert_status(self.record(PYTHON, BURN, options=["-d", "1s"]), 0)
        self.assertLess(time.monotonic() - began, 20)

    def test_from_the_first_instruction(self):
        """All of the CPU time of a process is in its profile."""
        program = self.path("spin")
        subprocess.run(["gcc", "-O2", "-static", "-nostdlib", "-o", program,
                        os.path.join(TARGETS, "spin.c")], check=True)
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        subprocess.run([program], check=False)
        seconds = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before
        done = mixprof("record", "-F", "4999", "-o", self.path("a.folded"), "--stats",
                       self.path("stats.json"), "--", program)
        self.assert_status(done, 7)
        stacks = truth_judge.parse_folded(self.read("a.folded"))
        in_start = sum(count for frames, count in stacks if "_start" in frames)
        self.assertGreater(in_start, 0.8 * 4999 * seconds)

    def assert_sampled(self, pattern, command):
        """Something short is in a profile; a sample may miss it, not every time."""
        for _ in range(10):
            done = mixprof("record", "-F", "9999", "-o", self.path("a.folded"), "--frames=full", "--",
                           *command)
            self.assertNotIn(done.returncode, (1, 2, 3, 125), done.stderr)
            if done.returncode != 4 and re.search(pattern, self.read("a.folded")):
                return
        self.fail("%s is in no profile of %s" % (pattern, command))

    def test_exec_itself(self):
        """Armed before the exec: the kernel's part of it is seen."""
        self.assert_sampled(r";\w*execve\w*_\[k\]", ["true"])

    def test_dynamic_linker(self):
        """It runs before anything of the program does."""
        self.assert_sampled(r"(?m)^python3;.*(_dl_|ld-linux)", [PYTHON, "-c", "pass"])

    def test_start_of_the_interpreter(self):
        """Python frames from before the program's first line."""
        self.assert_sampled(r"<frozen (importlib|site|zipimport)", [PYTHON, "-c", "import asyncio"])


class Replay(RecordTest):
    """A capture gives the same result again."""

    def test_byte_equal(self):
        burn = self.start_burn()
        for extension, options in [("folded", ["--frames=full"]), ("folded", ["--frames=mixed"]),
                                   ("folded", ["--frames=python", "--no-lines"]), ("html", [])]:
            first, second = self.path("1." + extension), self.path("2." + extension)
            done = mixprof("record", "-p", str(burn.pid), "-d", "500ms", "-F", "999", *options,
                           "--capture", self.path("c"), "-o", first, "--stats", self.path("1.json"))
            self.assert_status(done, 0)
            done = mixprof("replay", self.path("c"), *options, "-o", second, "--stats",
                           self.path("2.json"))
            self.assert_status(done, 0)
            with open(first, "rb") as one, open(second, "rb") as two:
                self.assertEqual(one.read(), two.read(), options)
            stats = [self.read_stats("1.json"), self.read_stats("2.json")]
            for key in ["samples", "verdicts", "roots", "stops", "processes", "hz"]:
                self.assertEqual(stats[0][key], stats[1][key], key)

    def test_after_the_target_is_gone(self):
        done = mixprof("record", "-F", "999", "--capture", self.path("c"), "-o",
                       self.path("1.folded"), "--", PYTHON, BURN, "0.5")
        self.assert_status(done, 0)
        done = mixprof("replay", self.path("c"), "-o", self.path("2.folded"))
        self.assert_status(done, 0)
        self.assertEqual(self.read("1.folded"), self.read("2.folded"))

    def test_cut_capture(self):
        """A torn tail is an error or a shorter profile; never a crash, never half a file."""
        burn = self.start_burn()
        done = mixprof("record", "-p", str(burn.pid), "-d", "300ms", "-F", "999", "--capture",
                       self.path("c"), "-o", self.path("1.folded"))
        self.assert_status(done, 0)
        with open(self.path("c"), "rb") as file:
            whole = file.read()
        for share in (0.1, 0.5, 0.99):
            with open(self.path("cut"), "wb") as file:
                file.write(whole[:int(len(whole) * share)])
            done = mixprof("replay", self.path("cut"), "-o", self.path("2.folded"))
            self.assertIn(done.returncode, (0, 1, 4), done.stderr)
            if done.returncode:
                self.assertFalse(os.path.exists(self.path("2.folded")))
            else:
                self.assertTrue(truth_judge.parse_folded(self.read("2.folded")))


@unittest.skipUnless(os.geteuid() == 0, "dropping rights needs root rights")
class Rights(RecordTest):
    """Where the system does not permit, record and doctor say the same: 3."""

    def setUp(self):
        super().setUp()
        os.chmod(self.directory, 0o777)
        # The build directory need not be open to others.
        self.program = self.path("mixprof")
        shutil.copy(MIXPROF, self.program)
        os.chmod(self.program, 0o755)
        self.sleeper = self.start(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups",
                                   "sleep", "1000"])

    def check(self, drop):
        """As somebody who may not."""
        for arguments in [["doctor"], ["record", "-p", str(self.sleeper.pid), "-d", "300ms", "-o",
                                       self.path("a.folded")]]:
            done = subprocess.run([*drop, self.program, *arguments], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, cwd="/", timeout=TIMEOUT, check=False)
            self.assert_status(done, 3)
        self.assert_only("mixprof")

    def test_doctor_as_root(self):
        self.assert_status(mixprof("doctor"), 0)

    def test_nobody(self):
        self.check(["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"])

    def test_root_without_capabilities(self):
        self.check(["setpriv", "--bounding-set=-all", "--inh-caps=-all"])

    def test_root_without_bpf(self):
        drop = "-bpf,-sys_admin"
        self.check(["setpriv", "--bounding-set=" + drop, "--inh-caps=" + drop])

    def test_root_without_perfmon(self):
        drop = "-perfmon,-sys_admin"
        self.check(["setpriv", "--bounding-set=" + drop, "--inh-caps=" + drop])


if __name__ == "__main__":
    unittest.main()
