#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Layouts, names and lines read from a live process against what the process itself says.

    live_check.py LAYOUT_TOOL INTERPRETER [ARGUMENT...]

INTERPRETER is the command that runs a CPython 3.11-3.14 ("chroot ROOT python3.14" will do). It
runs a program whose functions and files have ASCII, Latin-1, UCS-2 and UCS-4 names; each of its
threads prints its own stack by sys._getframe and stays on that line, once without the GIL and
once holding it. LAYOUT_TOOL then reads every thread's stack from outside. A third run works on
under tracing, monitoring and code inspection while the tool checks that no code object it knows
ever passes for another. Last, the interpreter is started again and again, and asked for its
runtime all the while: it must answer "later" until it answers right. Needs the right to ptrace. Status 1 on any difference.
"""
import json
import os
import subprocess
import sys
import time

NAME_BYTES_MAX = 1024

TARGET = r'''
import contextlib, functools, itertools, json, os, sys, threading, time

def stack(frame):
    rows = []
    while frame:
        code = frame.f_code
        rows.append([frame.f_lineno, code.co_qualname, code.co_filename])
        frame = frame.f_back
    return rows

quiet = True
lock = threading.Lock()

def report(frame):
    if not quiet:
        with lock:
            sys.stdout.write(json.dumps([threading.get_native_id(), stack(frame)]) + "\n")
            sys.stdout.flush()

def sleep():
    if not quiet:
        time.sleep(1000)

def spin():
    if not quiet:
        any(itertools.repeat(0))

wait = sleep

def hold():
    report(sys._getframe()); wait()

def call_through(function):
    return sorted([1], key=lambda item: function())

def define(name, path, line):
    """A function of that name which calls its argument, at that line of that file."""
    source = "\n" * (line - 2) + "def %s(callee):\n    return callee()\n" % name
    scope = {}
    exec(compile(source, path, "exec"), scope)
    return next(v for k, v in scope.items() if callable(v))

LINKS = [define("ascii", "/srv/app/ascii.py", 2), define("\u00e9t\u00e9", "/srv/\u00e9t\u00e9.py", 300),
         define("\u0444\u0443\u043d\u043a\u0446\u0438\u044f", "/srv/\u043a\u043e\u0434.py", 70000),
         define("\u95a2\u6570", "/srv/\u95a2\u6570.py", 5), define("\U00010300\U00010301", "/srv/\U0001d4b3.py", 7),
         define("long_" + "x" * 2000, "/srv/" + "\u00e9" * 600 + ".py", 9),
         define("surrogate", "/srv/\udcff.py", 11)]

class Класс:
    def __init__(self, function):
        function()

    def été(self=None, function=None):
        return (
            function
            ()
        )

def generator(function):
    x = [1,
         function()]
    yield x

def delegate(function):
    yield from generator(function)

async def coroutine(function):
    function()

async def awaits(function):
    await coroutine(function)

def run_coroutine(function):
    with contextlib.suppress(StopIteration):
        awaits(function).send(None)

def cells(a, function):
    def inner():
        return a, function()
    return inner()

def lambdas(function):
    return (lambda: [function() for _ in (1,)])()

def raises(function):
    try:
        raise KeyError
    except KeyError:
        function()
    finally:
        pass

def recurse(depth, function):
    return recurse(depth - 1, function) if depth else function()

def nested(function):
    for link in LINKS:
        function = functools.partial(link, function)
    function()

def chain(function):
    """All of the above, one inside the other."""
    for outer in (nested, lambda f: Класс(f), lambda f: Класс.été(function=f),
                  lambda f: list(delegate(f)), run_coroutine, lambda f: cells(1, f), lambdas,
                  raises, call_through, lambda f: recurse(60, f)):
        function = functools.partial(outer, function)
    function()

def start(function):
    threading.Thread(target=chain, args=(function,), daemon=True).start()

for _ in range(64):
    chain(lambda: None)  # specialise: then 3.12+ inlines the call of __init__ behind a frame of its own

if sys.argv[1] == "work":
    import dis, sys, weakref
    sys.stdout.write("[]\n"); sys.stdout.flush()
    import json.decoder, re
    kept = []
    def everything():
        chain(lambda: re.sub("a+", lambda m: m.group(0), "xaay" * 20))
        json.dumps({"a": [1, 2, {"b": None}]}, indent=1)
        json.loads('{"a": [1, 2.5, "\u00e9"]}')
    threading.Thread(target=lambda: [everything() for _ in iter(int, 1)], daemon=True).start()
    def trace(frame, event, argument):
        return trace
    while True:
        sys.settrace(trace); everything(); sys.settrace(None)
        sys.setprofile(lambda *a: None); everything(); sys.setprofile(None)
        for f in (chain, hold, generator, coroutine, recurse, *LINKS):
            f.__code__.co_code, f.__code__.co_varnames, f.__code__.co_cellvars, list(dis.get_instructions(f))
            kept = kept[-100:] + [weakref.ref(f.__code__)]
        if hasattr(sys, "monitoring"):
            m = sys.monitoring
            m.use_tool_id(3, "t"); m.set_events(3, m.events.LINE | m.events.PY_START | m.events.INSTRUCTION)
            m.register_callback(3, m.events.LINE, lambda *a: None)
            everything(); m.set_events(3, 0); m.free_tool_id(3)

quiet = False
if sys.argv[1] == "sleep":
    for _ in range(3):
        start(hold)
        time.sleep(0.1)
else:
    start(hold)
    time.sleep(0.2)
    wait = spin
chain(hold)
'''


def shown(name):
    """A name as mixprof shows it: surrogates replaced, cut at 1024 bytes with three dots."""
    data = "".join("\ufffd" if 0xd800 <= ord(c) < 0xe000 else c for c in name).encode()
    if len(data) <= NAME_BYTES_MAX:
        return data.decode()
    return data[:NAME_BYTES_MAX - 3].decode(errors="ignore") + "..."


def start(interpreter, mode):
    environment = dict(os.environ, PYTHONDONTWRITEBYTECODE="1", LC_ALL="C.UTF-8")
    return subprocess.Popen(interpreter + ["-c", TARGET, mode], stdout=subprocess.PIPE,
                            env=environment)


def read_stacks(tool, pid, *arguments):
    """What the tool prints: (first line, {tid: [[line, name, file], ...]}, other lines)."""
    done = subprocess.run([tool, str(pid), *arguments], stdout=subprocess.PIPE, timeout=120,
                          check=False)
    lines = done.stdout.decode().splitlines()
    stacks, others = {}, []
    rows = None
    for line in lines[1:]:
        if line.startswith("thread "):
            rows = stacks.setdefault(int(line.split()[1]), [])
        elif line.startswith("frame "):
            number, name, path = line[6:].split("\t")
            rows.append([None if number == "none" else int(number), name, path])
        else:
            others.append(line)
    return lines[0] if lines else "nothing", stacks, others


def compare(tool, interpreter, mode, threads):
    """Differences between the stacks that the process printed and those read from outside."""
    process = start(interpreter, mode)
    try:
        expected = {}
        for _ in range(threads):
            tid, rows = json.loads(process.stdout.readline())
            expected[tid] = [[line, shown(name), shown(path)] for line, name, path in rows]
        time.sleep(0.2)  # from the report to the wait
        first, found, others = read_stacks(tool, process.pid)
        problems = ["%s: %s" % (mode, line) for line in others]
        frames = 0
        for tid, rows in expected.items():
            got = found.get(tid, [])
            if got and got[0][1] in ("sleep", "spin"):
                got = got[1:]  # the function that waits, called after the report on its line
            frames += len(rows)
            if got != rows:
                problems.append("%s thread %d: %d frames, %d expected" % (mode, tid, len(got),
                                                                           len(rows)))
                problems += ["  got %s\n  not %s" % pair for pair in zip(got, rows)
                             if pair[0] != pair[1]][:5]
        print("live_check %s: %s; %d threads, %d frames, %d problems"
              % (mode, first, len(expected), frames, len(problems)))
        return problems
    finally:
        process.kill()
        process.wait()


def watch(tool, interpreter):
    process = start(interpreter, "work")
    try:
        process.stdout.readline()
        first, _, others = read_stacks(tool, process.pid, "300")
        print("live_check work: %s; %s" % (first, "; ".join(others)))
        words = others[-1].split() if others else []
        if process.poll() is not None:
            return ["work: the workload ended"]
        if len(words) != 10 or len(others) > 1 or int(words[1]) < 1000 or int(words[5]):
            return ["work: " + line for line in others] or ["work: nothing watched"]
        walks, strays = int(words[7]), int(words[9])
        # 3.11 and 3.12: for some instructions a new _PyCFrame holds what was on the C stack
        allowed = walks // 50 if " 3.11" in first or " 3.12" in first else 0
        return ["work: %d of %d walks strayed" % (strays, walks)] if strays > allowed else []
    finally:
        process.kill()
        process.wait()


def watch_starts(tool, interpreter):
    """Discovery during start-up."""
    done = subprocess.run([tool, "start", *interpreter, "-c", "import time; time.sleep(20)"],
                          stdout=subprocess.PIPE, check=False, timeout=300)
    text = done.stdout.decode().strip()
    print("live_check start: " + text)
    return ["start: " + text] if done.returncode else []


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    tool, interpreter = sys.argv[1], sys.argv[2:]
    problems = compare(tool, interpreter, "sleep", 4)
    problems += compare(tool, interpreter, "spin", 2)
    problems += watch(tool, interpreter)
    problems += watch_starts(tool, interpreter)
    print("\n".join(problems))
    sys.exit(1 if problems else 0)


if __name__ == "__main__":
    main()
