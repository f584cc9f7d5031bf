#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Live processes whose native stacks are of the odd kind, each with one known chain.

A sample is judged when its stack holds the chain's leaf. Its frames from the thread's root to that
leaf must be the chain and nothing else; what the leaf itself interrupted or called (the kernel)
stands below. A truncated one must be an end of the chain: never a frame that is not there.
"""
import collections
import os
import re
import select
import shutil
import subprocess
import tempfile
import time
import unittest

import truth_judge
from test_record import MIXPROF, TARGETS, RecordTest, interpreters

SOURCES = os.path.join(TARGETS, "edges")
BAR = 0.99
JUDGED_MIN = 40
READY_SECONDS_MAX = 10
RATE = 999
CC = os.environ.get("CC", "gcc")
WARNINGS = ["-Wall", "-Wextra"]

LIBC = r"libc\.so\.6\+0x[0-9a-f]+"
LDSO = r"(?:_dl_\w+|ld-linux-x86-64\.so\.2\+0x[0-9a-f]+)"
START = ["_start", "__libc_start_main(?:_impl)?(?:@.*)?", "__libc_start_call_main|" + LIBC, "main"]
THREAD = ["__?clone3?|" + LIBC, "start_thread|" + LIBC, "thread_main", "leaf_thread"]
RESTORE = "__restore_rt|" + LIBC


class Maybe(str):
    """A frame that need not be there."""


def pattern_of(chain):
    """Matches frames, root first, each ended by a semicolon."""
    return re.compile("".join("(?:(?:%s);)%s" % (frame, "?" if isinstance(frame, Maybe) else "")
                              for frame in chain))


class Judged:
    """Counts of the samples that have a leaf."""

    def __init__(self):
        self.counts = collections.Counter()
        self.reasons = collections.Counter()
        self.examples = []

    @property
    def total(self):
        return sum(self.counts.values())

    def add(self, outcome, frames, count):
        """With a few examples of what is not exact."""
        self.counts[outcome] += count
        if outcome != "exact" and len(self.examples) < 5:
            self.examples.append("%s: %s %d" % (outcome, ";".join(frames), count))

    def __str__(self):
        return "\n".join([str(dict(self.counts)), *self.examples])


def judge(stacks, chain):
    """By the last frame of the chain."""
    judged = Judged()
    leaf = re.compile(chain[-1])
    whole = pattern_of(chain)
    for frames, count in stacks:
        at = next((i for i in range(len(frames) - 1, 0, -1) if leaf.fullmatch(frames[i])), None)
        if at is None:
            continue
        cut = re.fullmatch(r"\[truncated:(\w+)\]", frames[1])
        text = "".join(frame + ";" for frame in frames[2 if cut else 1:at + 1])
        if not cut:
            judged.add("exact" if whole.fullmatch(text) else "wrong", frames, count)
            continue
        judged.reasons[cut[1]] += count
        right = any(pattern_of(chain[first:]).fullmatch(text) for first in range(len(chain)))
        judged.add("truncated" if right else "wrong", frames, count)
    return judged


class EdgeTest(RecordTest):
    """Builds, runs and judges."""

    @classmethod
    def setUpClass(cls):
        cls.built = tempfile.mkdtemp(prefix="mixprof-edges-")
        cls.addClassCleanup(shutil.rmtree, cls.built)

    @classmethod
    def program(cls, name):
        """Where a built file is."""
        return os.path.join(cls.built, name)

    @classmethod
    def compile(cls, name, *arguments, compiler=CC):
        """A source's name stands for its path."""
        command = [compiler, "-o", cls.program(name), *WARNINGS, "-I", SOURCES]
        for argument in arguments:
            path = os.path.join(SOURCES, argument)
            command.append(path if os.path.isfile(path) else argument)
        done = subprocess.run(command, stderr=subprocess.PIPE, text=True, check=False, cwd=cls.built)
        if done.returncode:
            raise RuntimeError("%s: %s" % (" ".join(command), done.stderr))
        return cls.program(name)

    def run_ready(self, *command, **options):
        """Started, and about to spin."""
        process = self.start(command, stdout=subprocess.PIPE, **options)
        readable, _, _ = select.select([process.stdout], [], [], READY_SECONDS_MAX)
        self.assertTrue(readable, "%s is not ready" % (command,))
        self.assertEqual(process.stdout.readline(), b"ready\n")
        return process

    def record(self, pid, seconds=0.4):
        """Its stacks with every frame, and statistics that hold together."""
        done = subprocess.run(
            [MIXPROF, "record", "-p", str(pid), "-d", "%dms" % (1000 * seconds), "-F", str(RATE),
             "--frames=full", "--format", "folded", "-o", self.path("a.folded"), "--stats",
             self.path("stats.json")], stdin=subprocess.DEVNULL, stderr=subprocess.PIPE,
            timeout=60, check=False)
        self.assert_status(done, 0)
        stacks, stats = truth_judge.parse_folded(self.read("a.folded")), self.read_stats()
        total = sum(count for _, count in stacks)
        self.assertEqual(truth_judge.check_stats(stats, total), [])
        return stacks, stats

    def record_chains(self, pid, chains, seconds=0.4, least=JUDGED_MIN):
        """Until each chain has enough samples, so that a busy machine is no failure."""
        for attempt in range(4):
            stacks, stats = self.record(pid, seconds * 2 ** attempt)
            judged = [judge(stacks, chain) for chain in chains]
            if all(one.total >= least for one in judged):
                break
        for one, chain in zip(judged, chains):
            self.assertGreaterEqual(one.total, least, "%s in\n%s" % (
                chain[-1], self.read("a.folded")))
        return judged, stats

    def check(self, pid, *chains, bar=BAR, **options):
        """Each chain is exact, and no stack of the process is cut anywhere."""
        judged, stats = self.record_chains(pid, chains, **options)
        for one in judged:
            self.assertEqual(one.counts["wrong"], 0, one)
            self.assertGreaterEqual(one.counts["exact"], bar * one.total, one)
        self.assertGreaterEqual(truth_judge.root_share(stats), bar, stats["stops"])
        return stats

    def check_way(self, program, way, *chains, **options):
        """Of a program that takes one."""
        return self.check(self.run_ready(self.program(program), way).pid, *chains, **options)


class Signals(EdgeTest):
    """The interrupted function follows on the handler, whatever stack the handler is on."""

    RAISE = ["gsignal|raise", Maybe("pthread_kill|__pthread_kill\\w*|" + LIBC), RESTORE]
    TIMER = ["call_interrupted", Maybe("interrupted"), RESTORE, "leaf_handler"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.compile("signals", "-O2", "signals.c")

    def check_signal(self, way, *chain, program="signals"):
        """The way is a function, too."""
        self.check_way(program, way, [*START, way, *chain])

    def test_timer(self):
        self.check_signal("timer", *self.TIMER)

    def test_timer_on_another_stack(self):
        self.check_signal("timer_other_stack", *self.TIMER)

    def test_raise(self):
        self.check_signal("raised", "call_raise", *self.RAISE, "leaf_handler")

    def test_raise_on_another_stack(self):
        self.check_signal("raised_other_stack", "call_raise", *self.RAISE, "leaf_handler")

    def test_fault_at_the_first_instruction(self):
        self.check_signal("fault", "call_faulting", "faulting", RESTORE, "leaf_fault_handler")

    def test_handler_in_a_handler(self):
        self.check_signal("nested", "call_raise", *self.RAISE, "outer_handler", *self.RAISE,
                          "leaf_handler")

    def test_name_of_the_trampoline(self):
        """It begins where a handler returns to: the byte before is another function's."""
        self.compile("static", "-O2", "-static", "signals.c")
        self.check_signal("fault", "call_faulting", "faulting", "__restore_rt",
                          "leaf_fault_handler", program="static")


class Calls(EdgeTest):
    """What stands between caller and callee."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.compile("libcalls.so", "-O2", "-shared", "-fPIC", "calls_library.c")
        library = ["-O2", "calls.c", "-L.", "-lcalls", "-Wl,-rpath,$ORIGIN"]
        cls.compile("lazy", *library, "-Wl,-z,lazy")
        cls.compile("now", *library, "-Wl,-z,now", "-DBOUND_AT_START")
        cls.compile("ibt", *library, "-Wl,-z,lazy", "-fcf-protection", "-Wl,-z,ibtplt")

    def test_vdso(self):
        inside = "(?:__vdso_)?clock_gettime"
        self.check_way("now", "vdso", [*START, "call_vdso", Maybe(inside), inside])
        stacks = truth_judge.parse_folded(self.read("a.folded"))
        in_vdso = sum(count for frames, count in stacks
                      if sum(bool(re.fullmatch(inside, frame)) for frame in frames) == 2)
        self.assertGreater(in_vdso, 0.5 * sum(count for _, count in stacks))

    def test_plt(self):
        for program in ["lazy", "now", "ibt"]:
            with self.subTest(program):
                self.check_way(program, "plt", [*START, "call_plt", "tiny@plt"],
                               [*START, "call_plt", "tiny"])

    def test_plt_got(self):
        self.check_way("now", "plt_got", [*START, "call_plt_got", "taken@plt"],
                       [*START, "call_plt_got", "taken"])

    def test_bound_at_the_first_call(self):
        for program in ["lazy", "ibt"]:
            with self.subTest(program):
                self.check_way(program, "late", [*START, "call_late", LDSO, LDSO, Maybe(LDSO),
                                                 "resolver|chosen_late", "leaf_late"])


class Frames(EdgeTest):
    """Realigned, of unknown size, by hand: under every optimisation, with rbp and without."""

    def check_compiler(self, compiler, objects):
        """One program with all variants."""
        variants = []
        for level in ["0", "1", "2", "3"]:
            for frame_pointer in ["omit", "no_omit"]:
                variant = "O%s_%s" % (level, frame_pointer)
                option = "-f%s-frame-pointer" % frame_pointer.replace("_", "-")
                self.compile(variant + ".o", "-c", "-O" + level, option, "-mavx",
                             "-DVARIANT=" + variant, "frames.c", compiler=compiler)
                variants.append(variant)
        self.compile("frames", "-O2", "-DVARIANTS=" + " ".join("X(%s)" % v for v in variants),
                     "frames_main.c", "frames_odd.S", *(v + ".o" for v in variants))
        chains = []
        for leaf in objects:
            for variant in variants:
                names = ["start", "odd_order", "in_order", "wide_alloca", "with_wide", "odd_base",
                         "in_base", "with_alloca", "odd_slots", "call_leaves", leaf]
                chains.append(START + [name if name.startswith("odd_") else name + "_" + variant
                                       for name in names])
        self.check(self.run_ready(self.program("frames")).pid, *chains, seconds=4,
                   least=JUDGED_MIN // 4)

    @unittest.skipUnless("avx" in open("/proc/cpuinfo", encoding="utf-8").read(),
                         "the processor has no AVX")
    def test_gcc(self):
        self.check_compiler("gcc", ["leaf_spin", "leaf_short", "leaf_aligned"])

    @unittest.skipUnless(shutil.which("clang"), "clang is not installed")
    def test_clang(self):
        self.check_compiler("clang", ["leaf_spin", "leaf_short", "leaf_aligned"])


class NoCfi(EdgeTest):
    """Code that does not say how to leave it."""

    BARE = ["-fno-asynchronous-unwind-tables", "-fno-unwind-tables", "-fno-exceptions"]

    def build(self, frame_pointer):
        """Only bare.o is without CFI."""
        self.compile("bare.o", "-c", "-O2", "-f%s-frame-pointer" % frame_pointer, *self.BARE, "bare.c")
        return self.compile("bare", "-O2", "bare_main.c", "bare.o", "bare_registers.S")

    def test_frame_pointers(self):
        self.build("no-omit")
        self.check_way("bare", "bare", [*START, "call_bare", "bare_outer", "bare_inner",
                                        "leaf_bare"])

    def test_program_without_any_cfi(self):
        """main too; its caller has CFI again."""
        self.compile("none", "-O2", "-fno-omit-frame-pointer", *self.BARE, "plain.c")
        self.check_way("none", "plain", [*START, "plain_outer", "plain_inner", "leaf_plain"])

    def check_lost(self, way, chain):
        """Cut with a reason, and nothing that is not there."""
        self.build("omit")
        process = self.run_ready(self.program("bare"), way)
        [judged], stats = self.record_chains(process.pid, [chain])
        self.assertEqual(judged.counts["wrong"], 0, judged)
        self.assertEqual(judged.counts["truncated"], judged.total, judged)
        self.assertEqual(sum(judged.reasons.values()), sum(stats["stops"].values()), stats["stops"])

    def test_lost(self):
        self.check_lost("number", [*START, "call_number", "leaf_rbp_number"])
        self.check_lost("data", [*START, "call_data", "leaf_rbp_data"])

    def test_the_callers_frame_pointer(self):
        """It leads past the caller."""
        self.check_lost("of_caller", [*START, "call_of_caller", "caller_with_frame",
                                      "leaf_rbp_of_caller"])


class Resync(EdgeTest):
    """An extension without CFI: the walk goes on at the Python frame that called it."""

    def check_interpreter(self, name):
        """Everything rootward of the eval is as in the samples beside it."""
        try:
            interpreter = interpreters.find_interpreter(name)
        except interpreters.Unavailable as reason:
            self.skipTest(str(reason))
        self.compile("bare_extension.so", "-O2", "-fomit-frame-pointer", "-shared", "-fPIC",
                     "-Wno-missing-field-initializers", *NoCfi.BARE, *interpreter.include_flags,
                     "bare_extension.c")
        shutil.copy(os.path.join(SOURCES, "bare.py"), self.built)
        process = self.run_ready(*interpreter.argv, self.program("bare.py"))
        for attempt in range(4):
            stacks, stats = self.record(process.pid, 1.5 * 2 ** attempt)
            lost = [(frames, count) for frames, count in stacks if "leaf_lost" in frames]
            if sum(count for _, count in lost) >= JUDGED_MIN:
                break
        self.judge_lost(stacks, lost, stats)

    def judge_lost(self, stacks, lost, stats):
        """By the ordinary samples of the same recording."""
        def python_of(frames):
            found = [truth_judge.PYTHON_FRAME.match(frame) for frame in frames]
            return [match["name"] for match in found if match]

        def until(frames, name):
            ends = [i for i, frame in enumerate(frames) if frame.startswith(name + " (")]
            return [re.sub(r":\d+\)$", ")", frame) for frame in frames[1:ends[-1] + 1]]

        text = self.read("a.folded")
        chains = {("<module>", "main", "middle", "call_spin"),
                  ("<module>", "main", "middle", "call_nested", "call_spin")}
        ordinary = next(until(frames, "middle") for frames, _ in stacks
                        if python_of(frames)[-1:] == ["leaf_ordinary"] and frames[1] == "_start")
        total = sum(count for _, count in lost)
        good = 0
        for frames, count in lost:
            cut = frames[1].startswith("[truncated:")
            if not cut:
                self.assertIn(tuple(python_of(frames)), chains, text)
                self.assertEqual(until(frames, "middle"), ordinary, text)
                good += count
        self.assertGreaterEqual(total, JUDGED_MIN, text)
        # Until the resync point is learned, they are cut.
        self.assertGreater(good, 0.6 * total, text)
        self.assertGreaterEqual(stats["verdicts"]["resynced"], good, stats)

    def test_3_11(self):
        self.check_interpreter("bookworm-3.11")

    def test_3_12(self):
        self.check_interpreter("pyenv-3.12")

    def test_3_13(self):
        self.check_interpreter("pyenv-3.13")


class Threads(EdgeTest):
    """Their root is not main's."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.compile("threads", "-O2", "-pthread", "threads.c")

    def test_one(self):
        self.check_way("threads", "one", THREAD)

    def test_storm(self):
        stats = self.check_way("threads", "storm", THREAD, seconds=1.5, bar=0.999)
        self.assertEqual(stats["stops"], {})


class Languages(EdgeTest):
    """Other compilers than C's."""

    def test_exceptions(self):
        self.compile("cxx", "-O2", "exceptions.cc", compiler="g++")
        process = self.run_ready(self.program("cxx"), "throw")
        thrower = [r"edges::thrower<std::runtime_error, %d>::leaf_throw\(unsigned long&\)" % n
                   for n in (3, 2, 1, 0)]
        # While the unwinder installs the handler's registers, it has overwritten the return address
        # of its own frame: about 1.5 % of this loop, in which no CFI tells the truth.
        self.check(process.pid, [*START, "call_throw", *thrower, "__cxa_throw"], bar=0.96)
        unwinding = sum(count for frames, count in truth_judge.parse_folded(self.read("a.folded"))
                        if "__cxa_throw;_Unwind_RaiseException;libgcc_s" in ";".join(frames))
        self.assertGreaterEqual(unwinding, JUDGED_MIN)

    def test_templates(self):
        self.compile("cxx", "-O2", "exceptions.cc", compiler="g++")
        self.check_way("cxx", "templates", [
            *START, "call_templates",
            r"void edges::holder<std::pair<int, unsigned long> ?>::each<spinner>\(spinner\)",
            Maybe(r"spinner::operator\(\)\(std::pair<int, unsigned long>&\)"), "leaf_cxx"])

    @unittest.skipUnless(shutil.which("rustc"), "rustc is not installed")
    def test_rust(self):
        subprocess.run(["rustc", "-O", "-C", "force-unwind-tables=yes", "-o", self.program("rust"),
                        os.path.join(SOURCES, "plain.rs")], check=True)
        self.check(self.run_ready(self.program("rust")).pid, [
            *START, r"std::rt::lang_start(_internal)?(::.*)?", Maybe("std::.*"), Maybe("std::.*"),
            Maybe("std::.*|core::.*"), Maybe("std::.*|core::.*"), "plain::main",
            r"plain::apply(::.*)?", r"<plain::Spinner<u32> as plain::Work>::work",
            "plain::leaf_rust"])


class Links(EdgeTest):
    """How a program is linked moves its tables, not its frames."""

    CHAIN = [*START, "plain_outer", "plain_inner", "leaf_plain"]

    def check_link(self, *options, compiler=CC):
        """One way to link plain.c."""
        self.compile("plain", "-O2", "plain.c", *options, compiler=compiler)
        self.check_way("plain", "plain", self.CHAIN, seconds=0.3)

    def test_static(self):
        self.check_link("-static", "-no-pie")

    def test_static_pie(self):
        self.check_link("-static-pie")

    def test_no_pie(self):
        self.check_link("-no-pie", "-fno-pie")

    def test_separate_code(self):
        self.check_link("-Wl,-z,separate-code")

    def test_no_separate_code(self):
        self.check_link("-Wl,-z,noseparate-code")

    @unittest.skipUnless(shutil.which("ld.gold"), "ld.gold is not installed")
    def test_gold(self):
        self.check_link("-fuse-ld=gold")

    @unittest.skipUnless(shutil.which("ld.lld"), "ld.lld is not installed")
    def test_lld(self):
        self.check_link("-fuse-ld=lld")

    @unittest.skipUnless(shutil.which("ld.lld"), "ld.lld is not installed")
    def test_lld_without_rosegment(self):
        self.check_link("-fuse-ld=lld", "-Wl,--no-rosegment", "-no-pie", "-fno-pie")

    def test_stripped(self):
        """Of its own functions only addresses are left; the frames stay as many."""
        self.compile("plain", "-O2", "-s", "plain.c")
        own = r"plain\+0x[0-9a-f]+"
        process = self.run_ready(self.program("plain"), "plain")
        stacks, stats = self.record(process.pid)
        chain = pattern_of([own, *START[1:3], own, own, own, Maybe(own)])
        for frames, _ in stacks:
            self.assertTrue(chain.match(";".join(frames[1:]) + ";"), frames)
        self.assertGreaterEqual(truth_judge.root_share(stats), BAR)


class Contexts(EdgeTest):
    """Stacks left and entered sideways."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.compile("contexts", "-O1", "-Wno-infinite-recursion", "contexts.c")

    def test_longjmp(self):
        self.check_way("contexts", "jump",
                       [*START, "call_jump", *["jump_deep"] * 4, "leaf_before_jump"],
                       [*START, "call_jump", "leaf_after_jump"])

    def test_contexts(self):
        """Not every libc says that a context's first frame is its root: cut there, or right."""
        process = self.run_ready(self.program("contexts"), "contexts")
        (inside, outside), stats = self.record_chains(process.pid, [
            ["__start_context|" + LIBC, "context_main", "leaf_in_context"],
            [*START, "call_contexts", "leaf_out_of_context"]])
        self.assertEqual(inside.counts["wrong"], 0, inside)
        self.assertEqual(outside.counts["exact"], outside.total, outside)
        self.assertGreaterEqual(sum(stats["stops"].values()), inside.counts["truncated"])


class Deep(EdgeTest):
    """What the walk keeps, and what it does with more."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.compile("deep", "-O1", "-Wno-infinite-recursion", "deep.c")

    def test_1500(self):
        self.check_way("deep", "1500", [*START, "call_1500", *["recurse"] * 1500, "leaf_deep"])

    def test_5000(self):
        process = self.run_ready(self.program("deep"), "5000")
        time.sleep(0.1)
        stacks, stats = self.record(process.pid)
        deep = [(frames, count) for frames, count in stacks if "leaf_deep" in frames]
        self.assertGreaterEqual(sum(count for _, count in deep), JUDGED_MIN)
        for frames, _ in deep:
            own = frames[1:frames.index("leaf_deep") + 1]
            self.assertEqual(own, ["[truncated:unwind_depth]", *["recurse"] * 2047, "leaf_deep"])
        self.assertEqual(stats["roots"]["reached"], 0)
        self.assertEqual(set(stats["stops"]), {"unwind_depth"})


if __name__ == "__main__":
    unittest.main()
