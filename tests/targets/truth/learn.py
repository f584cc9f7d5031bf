# SPDX-License-Identifier: Apache-2.0
"""Notes, once, the only chain of calls that leads to each leaf of the truth workload.

During the first pass SPIN is an iterable that looks at the frames above the leaf, with
CPython's own line numbers, and burns nothing; afterwards it is a plain range. What Python
cannot see is declared in the source, beside the call that makes it happen:

    bridge.call(leaf_x)  # -> bridge_call      these C frames lie below the call
    def leaf_y():  # <- bridge_thread_main     these C frames lie above the thread's first frame

`NAME*N` stands for N frames. A C leaf is the last name after `->`.
"""
import dis
import json
import linecache
import os
import re
import sys
import time

import bridge

LEAF_SECONDS = 0.0015
chains = {}


def marks(arrow, filename, line):
    """The C frames declared on a source line, outermost first."""
    match = re.search("# %s (.*)$" % arrow, linecache.getline(filename, line).rstrip())
    frames = []
    for word in match.group(1).split() if match else []:
        name, _, count = word.partition("*")
        frames.extend([["c", name]] * int(count or 1))
    return frames


def code_name(code):
    """The name a profiler shows."""
    return getattr(code, "co_qualname", code.co_name)


def code_lines(code):
    """Every line that an instruction of the code can be on."""
    if hasattr(code, "co_lines"):
        lines = set(line for _, _, line in code.co_lines() if line)
    else:
        lines = set(line for _, line in dis.findlinestarts(code))
    return sorted(lines | {code.co_firstlineno})


def note_chain(leaf, chain, lines):
    """A leaf has one chain, however often it is visited."""
    if leaf in chains and chains[leaf]["chain"] != chain:
        raise AssertionError("two chains lead to %s:\n%s\n%s" % (leaf, chains[leaf], chain))
    chains[leaf] = {"chain": chain, "leaf_lines": lines}


def chain_above(frame):
    """From the thread's root down to the frame."""
    frames = []
    while frame:
        frames.append((frame.f_code, frame.f_lineno))
        frame = frame.f_back
    frames.reverse()
    root = frames[0][0]
    chain = marks("<-", root.co_filename, root.co_firstlineno)
    for code, line in frames:
        chain.append(["py", code_name(code), code.co_filename, line])
        chain.extend(marks("->", code.co_filename, line))
    return chain


class Learning(object):
    """What SPIN is while a Python leaf shall be noted."""

    def __iter__(self):
        frame = sys._getframe(1)
        chain = chain_above(frame)
        chain[-1][3] = None
        note_chain(code_name(frame.f_code), chain, code_lines(frame.f_code))
        return iter(())


def note_c_leaf():
    """The hook of a C leaf: its Python caller is the frame below this one."""
    chain = chain_above(sys._getframe(1))
    if not chain[-1][1].startswith("bridge_leaf_"):
        raise AssertionError("no C leaf is declared for %s" % chain[-1])
    note_chain(chain[-1][1], chain, [])


def make(function):
    """A generator or coroutine. Its frame exists for a moment, below this one and not below the
    function that will run it: that is true, and no beginning of its leaf's chain."""
    return function()


def seconds_of(call):
    """CPU time would need 3.3."""
    start = time.time()
    call()
    return max(time.time() - start, 1e-6)


def python_rounds():
    """How many rounds of a leaf's loop take LEAF_SECONDS: the fastest of a few tries."""

    def loop():
        for i in tried:
            i * i

    tried = range(20000)
    return int(20000 * LEAF_SECONDS / min(seconds_of(loop) for _ in range(5)))


def c_rounds():
    """The same for bridge's leaves."""
    bridge.set_rounds(1000000)
    return int(1000000 * LEAF_SECONDS / min(seconds_of(bridge.leaf_spin) for _ in range(5)))


def finish(path, interpreter):
    """Writes the chains and lets the leaves burn time from now on."""
    global SPIN
    bridge.set_hook(None)
    SPIN = range(python_rounds())
    bridge.set_rounds(c_rounds())
    with open(path + ".tmp", "w") as file:
        json.dump({"interpreter": interpreter, "pid": os.getpid(), "leaves": chains}, file)
    os.rename(path + ".tmp", path)


SPIN = Learning()
bridge.set_hook(note_c_leaf)
