# SPDX-License-Identifier: Apache-2.0
"""The truth workload: truth.py CHAINS.json

Visits every way to call, for ever. Each way ends in a leaf that burns about 1.5 ms and that only
this way reaches; the first pass notes the chains (learn.py), and CHAINS.json appears when they
are known. A function named via_* is one way. Runs on CPython 2.7 and 3.6 to 3.15.
"""
from __future__ import print_function

import ctypes
import functools
import gc
import linecache
import os
import re
import sys
import threading

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)

import bridge  # noqa: E402
import learn  # noqa: E402

WAYS = []
VISIT = ctypes.CFUNCTYPE(None)
COMPARE = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
LIBBRIDGE = ctypes.CDLL(bridge.__file__)
LIBC = ctypes.CDLL(None)


def way(function):
    """Registers one way."""
    WAYS.append(function)
    return function


# C leaves and C callers.


@way
def via_leaf_spin():
    bridge.leaf_spin()  # -> bridge_leaf_spin


@way
def via_leaf_nogil():
    bridge.leaf_nogil()  # -> bridge_leaf_nogil


@way
def via_release():
    bridge.release()  # -> bridge_release bridge_leaf_nogil_deep


@way
def via_leaf_libc():
    bridge.leaf_libc()  # -> bridge_leaf_libc


@way
def via_leaf_kernel():
    bridge.leaf_kernel()  # -> bridge_leaf_kernel


@way
def via_signal():
    bridge.raise_signal()  # -> bridge_raise bridge_leaf_signal


def leaf_call():
    for i in learn.SPIN:
        i * i


@way
def via_call():
    bridge.call(leaf_call)  # -> bridge_call


def leaf_call2():
    for i in learn.SPIN:
        i * i


@way
def via_call2():
    bridge.call2(leaf_call2)  # -> bridge_call2_outer bridge_call2_inner


def leaf_deep():
    for i in learn.SPIN:
        i * i


@way
def via_deep():
    bridge.call_deep(leaf_deep)  # -> bridge_deep*300


def leaf_alloca():
    for i in learn.SPIN:
        i * i


@way
def via_alloca():
    bridge.call_alloca(leaf_alloca)  # -> bridge_call_alloca


def leaf_aligned():
    for i in learn.SPIN:
        i * i


@way
def via_aligned():
    bridge.call_aligned(leaf_aligned)  # -> bridge_call_aligned


# Python and C in turns.


def leaf_turns():
    for i in learn.SPIN:
        i * i


def turn_c():
    return bridge.call2(leaf_turns)  # -> bridge_call2_outer bridge_call2_inner


def turn_b():
    return bridge.call(turn_c)  # -> bridge_call


def turn_a():
    return bridge.call_alloca(turn_b)  # -> bridge_call_alloca


@way
def via_turns():
    turn_a()


def leaf_nested():
    for i in learn.SPIN:
        i * i


def nest(depth):
    if depth == 0:
        return leaf_nested()
    again = lambda: nest(depth - 1)  # noqa: E731
    return bridge.call(again)  # -> bridge_call


@way
def via_nested():
    nest(99)


def leaf_segments():
    for i in learn.SPIN:
        i * i


class Segments(object):
    """Itself the callable, so that each of the 200 segments is one frame of its own."""

    def __init__(self, depth):
        self.depth = depth

    def __call__(self):
        self.depth -= 1
        if self.depth == 0:
            return leaf_segments()
        return bridge.call(self)  # -> bridge_call


@way
def via_segments():
    bridge.call(Segments(199))  # -> bridge_call


def leaf_recursion():
    for i in learn.SPIN:
        i * i


def recurse(depth):
    if depth:
        return recurse(depth - 1)
    return leaf_recursion()


@way
def via_recursion():
    recurse(1000)


# Callbacks from C that is not ours.


def leaf_ctypes():
    for i in learn.SPIN:
        i * i


CTYPES_VISIT = VISIT(leaf_ctypes)


@way
def via_ctypes():
    LIBBRIDGE.bridge_each(CTYPES_VISIT)  # -> bridge_each


def leaf_qsort(_left, _right):
    for i in learn.SPIN:
        i * i
    return 0


QSORT_COMPARE = COMPARE(leaf_qsort)
QSORT_ARRAY = (ctypes.c_int * 2)(1, 2)


@way
def via_qsort():
    LIBC.qsort(QSORT_ARRAY, ctypes.c_size_t(2), ctypes.c_size_t(4), QSORT_COMPARE)


def leaf_sorted(item):
    for i in learn.SPIN:
        i * i
    return item


@way
def via_sorted():
    sorted((2, 1), key=leaf_sorted)


def leaf_map(_item):
    for i in learn.SPIN:
        i * i


@way
def via_map():
    list(map(leaf_map, (1,)))


def leaf_filter(_item):
    for i in learn.SPIN:
        i * i


@way
def via_filter():
    list(filter(leaf_filter, (1,)))


def leaf_reduce(_left, _right):
    for i in learn.SPIN:
        i * i


@way
def via_reduce():
    functools.reduce(leaf_reduce, (1, 2))


def leaf_re_sub(_match):
    for i in learn.SPIN:
        i * i
    return ""


@way
def via_re_sub():
    re.sub("x", leaf_re_sub, "x")


# Generators. Each is run to its end: one that is dropped while it waits is entered once more, by
# its destructor and thus by another chain.


def leaf_generator():
    for i in learn.SPIN:
        i * i


def generator():
    leaf_generator()
    yield 1


@way
def via_iteration():
    list(generator())


def leaf_c_next():
    for i in learn.SPIN:
        i * i


def generator_for_c():
    leaf_c_next()
    yield 1


@way
def via_c_next():
    made = learn.make(generator_for_c)
    bridge.next(made)  # -> bridge_next
    bridge.next(made)  # -> bridge_next


def leaf_throw():
    for i in learn.SPIN:
        i * i


def generator_thrown_into():
    try:
        yield 1
    except ValueError:
        leaf_throw()


@way
def via_throw():
    thrown = generator_thrown_into()
    next(thrown)
    try:
        thrown.throw(ValueError())
    except StopIteration:
        pass


def leaf_close():
    for i in learn.SPIN:
        i * i


def generator_closed():
    try:
        yield 1
    finally:
        leaf_close()


@way
def via_close():
    closed = generator_closed()
    next(closed)
    closed.close()


def leaf_expression():
    for i in learn.SPIN:
        i * i


@way
def via_expression():
    all(leaf_expression() for _ in (1,))


# Exceptions.


def fail():
    raise ValueError


def leaf_except():
    for i in learn.SPIN:
        i * i


@way
def via_except():
    try:
        fail()
    except ValueError:
        leaf_except()


def leaf_finally():
    for i in learn.SPIN:
        i * i


def finally_inner():
    try:
        fail()
    finally:
        leaf_finally()


@way
def via_finally():
    try:
        finally_inner()
    except ValueError:
        pass


def leaf_reraised():
    for i in learn.SPIN:
        i * i


def reraise():
    try:
        fail()
    except ValueError:
        raise


@way
def via_reraise():
    try:
        reraise()
    except ValueError:
        leaf_reraised()


class Manager(object):
    """A context manager whose exit burns."""

    def __enter__(self):
        return self

    def __exit__(self, *_reason):
        self.leaf_exit()
        return True

    @staticmethod
    def leaf_exit():
        for i in learn.SPIN:
            i * i


@way
def via_with():
    with Manager():
        fail()


# Functions of every make.


def leaf_decorated():
    for i in learn.SPIN:
        i * i


def decorate(function):
    @functools.wraps(function)
    def wrapper(*arguments):
        return function(*arguments)

    return wrapper


@decorate
def decorated(_argument):
    leaf_decorated()


@way
def via_decorated():
    functools.partial(decorated, 1)()


def leaf_comprehension():
    for i in learn.SPIN:
        i * i


@way
def via_comprehension():
    [leaf_comprehension() for _ in (1,)]


def leaf_lambda():
    for i in learn.SPIN:
        i * i


@way
def via_lambda():
    (lambda: leaf_lambda())()


def leaf_cell(_seen):
    for i in learn.SPIN:
        i * i


def closure(seen):
    def inner():
        leaf_cell(seen)

    return inner


@way
def via_closure():
    closure(1)()


def leaf_multiline(_first, _second):
    for i in learn.SPIN:
        i * i


@way
def via_multiline():
    leaf_multiline(
        1,
        2,
    )


def leaf_keywords(**_keywords):
    for i in learn.SPIN:
        i * i


@way
def via_keywords():
    leaf_keywords(**{"a": 1})


# Classes.


class Burner(object):
    """Every method that C calls by itself."""

    def __init__(self, burn=False):
        if burn:
            self.leaf_init()

    def leaf_init(self):
        for i in learn.SPIN:
            i * i

    @property
    def size(self):
        return self.leaf_property()

    def leaf_property(self):
        for i in learn.SPIN:
            i * i

    def __getattr__(self, name):
        if name == "absent":
            return self.leaf_getattr()
        raise AttributeError(name)

    def leaf_getattr(self):
        for i in learn.SPIN:
            i * i

    def __getitem__(self, _key):
        return self.leaf_getitem()

    def leaf_getitem(self):
        for i in learn.SPIN:
            i * i

    def __eq__(self, _other):
        self.leaf_eq()
        return True

    def leaf_eq(self):
        for i in learn.SPIN:
            i * i

    def __hash__(self):
        return 1

    def __len__(self):
        self.leaf_len()
        return 1

    def leaf_len(self):
        for i in learn.SPIN:
            i * i


@way
def via_init():
    Burner(True)


# Made once: a constructor that burns nothing is no part of any chain.
BURNER = Burner()
BURNERS = {Burner(): 1}


@way
def via_property():
    BURNER.size


@way
def via_getattr():
    BURNER.absent


@way
def via_getitem():
    BURNER[0]


@way
def via_dictionary():
    BURNERS.get(BURNER)


@way
def via_len():
    len(BURNER)


def leaf_class_body():
    for i in learn.SPIN:
        i * i


@way
def via_class_body():
    class Body(object):
        leaf_class_body()

    return Body


class Dies(object):
    """Burns in its destructor."""

    def __del__(self):
        self.leaf_del()

    def leaf_del(self):
        for i in learn.SPIN:
            i * i


@way
def via_del():
    bridge.hold(Dies())
    bridge.drop()  # -> bridge_drop


# Code that no file holds.

EXEC_FILE = os.path.join("<exec>", "code.py")
EXEC_SOURCE = """
def leaf_exec():
    for i in learn.SPIN:
        i * i
leaf_exec()
"""
LONG_FILE = os.path.join("<exec>", "long.py")
LONG_SOURCE = """
def leaf_long():
    for i in learn.SPIN:
        i * i
def long_function(a):
    if a:
        a = 1
%s
    leaf_long()
%s
long_function(0)
""" % ("\n\n".join(["        a = (a,\n  a)"] * 3000), "\n".join(["    a = 2"] * 2000))


def compile_source(source, filename):
    """Compiles text; linecache finds its lines."""
    linecache.cache[filename] = (len(source), None, source.splitlines(True), filename)
    return compile(source, filename, "exec")


EXEC_CODE = compile_source(EXEC_SOURCE, EXEC_FILE)
LONG_CODE = compile_source(LONG_SOURCE, LONG_FILE)


@way
def via_exec():
    exec(EXEC_CODE, {"learn": learn})


@way
def via_long():
    exec(LONG_CODE, {"learn": learn})


# Threads.


def leaf_foreign():  # <- bridge_thread_main
    for i in learn.SPIN:
        i * i


@way
def via_foreign():
    bridge.foreign_thread(leaf_foreign)


def leaf_foreign_turns():
    for i in learn.SPIN:
        i * i


def foreign_outer():  # <- bridge_thread_main
    bridge.call(leaf_foreign_turns)  # -> bridge_call


@way
def via_foreign_turns():
    bridge.foreign_thread(foreign_outer)


@way
def via_native():
    bridge.native_thread()


def leaf_thread():
    for i in learn.SPIN:
        i * i


def leaf_thread_call():
    for i in learn.SPIN:
        i * i


def thread_call():
    bridge.call(leaf_thread_call)  # -> bridge_call


@way
def via_threads():
    threads = [threading.Thread(target=leaf_thread), threading.Thread(target=thread_call)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def declare_native_leaf():
    """No Python frame sees a thread that Python does not know."""
    chain = [["c", "bridge_native_main"], ["c", "bridge_leaf_native"]]
    learn.note_chain("bridge_leaf_native", chain, [])


def main(path):
    sys.setrecursionlimit(5000)
    declare_native_leaf()
    if sys.version_info >= (3, 6):
        import truth_py3

        WAYS.extend(truth_py3.WAYS)
    # A finalizer that the collector starts would add frames on top of any leaf.
    gc.disable()
    passes = 0
    while True:
        for visit in WAYS:
            visit()
        if passes == 0:
            learn.finish(path, sys.version.split()[0])
        passes += 1
        if passes % 16 == 0:
            gc.collect()


if __name__ == "__main__":
    main(sys.argv[1])
