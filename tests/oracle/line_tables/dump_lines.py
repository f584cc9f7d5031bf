# SPDX-License-Identifier: Apache-2.0
"""The lines of code objects as CPython itself gives them, for tests/tools/line_table_check.c.

    PYTHON - [--all] < dump_lines.py | line_table_check

Runs under the interpreter to verify (2.7, 3.6+): compiles its standard library and writes each
table with the line of every instruction offset, from PyCode_Addr2Line. (It is linear in the
table, so of a code object with more than 8192 instructions, that many offsets are drawn.)
Without --all: a few hundred code objects.
"""
from __future__ import print_function

import array
import ctypes
import io
import os
import random
import struct
import sys
import warnings

CODES_QUICK = 400
OFFSETS_MAX = 8192

# What the standard library may not have: gaps over 127 and 255 lines, both ways, long tables.
TRICKY = (
    "def far(a):\n" + "\n" * 300 + "    return (a +\n" + "\n" * 200 + "      1)\n"
    "def back(a):\n    for x in (\n" + "\n" * 140 + "        a):\n        a(x,\n          x)\n"
    "def many(a):\n" + "".join("    a.b%d = a\n" % i for i in range(3000)) +
    "def cells(a):\n    b = a\n    def inner():\n        return a, b\n    yield inner\n"
    "class C(object):\n    x = [a for a in (1,\n 2)]\n    def m(self):\n        try:\n"
    "            return self.x\n        finally:\n            self.y = 1\n"
)


def table_of(code):
    """The table's format number (enum python_line_format) and bytes."""
    version = sys.version_info[:2]
    if version >= (3, 11):
        return 4, code.co_linetable
    if version == (3, 10):
        return 3, code.co_linetable
    return (2 if version >= (3, 6) else 1), code.co_lnotab


def code_objects(code):
    yield code
    for constant in code.co_consts:
        if isinstance(constant, type(code)):
            for inner in code_objects(constant):
                yield inner


def sources():
    top = os.path.dirname(os.__file__)
    for folder, folders, files in os.walk(top):
        folders[:] = sorted(set(folders) - {"site-packages", "dist-packages"})
        for name in sorted(files):
            if name.endswith(".py"):
                yield os.path.join(folder, name)


def compile_file(path):
    with io.open(path, "rb") as f:
        text = f.read()
    try:
        return compile(text, path, "exec", 0, True)
    except (SyntaxError, ValueError, TypeError, RecursionError if sys.version_info[0] > 2 else
            RuntimeError):
        return None  # test data that is meant to be wrong


def all_codes(everything):
    paths = list(sources())
    if not everything:
        random.Random(1).shuffle(paths)
    count = 0
    for code in code_objects(compile(TRICKY, "tricky", "exec", 0, True)):
        yield code
    for path in paths:
        module = compile_file(path)
        if module is None:
            continue
        for code in code_objects(module):
            yield code
            count += 1
        if not everything and count >= CODES_QUICK:
            return


def offsets_of(code):
    """Byte offsets to ask for: before the code, and each instruction's."""
    offsets = range(0, len(code.co_code), 2 if sys.version_info >= (3, 6) else 1)
    if len(offsets) > OFFSETS_MAX:
        offsets = random.Random(len(offsets)).sample(offsets, OFFSETS_MAX)
    return array.array("i", [-2] + list(offsets))


def main():
    warnings.simplefilter("ignore")
    truth = ctypes.pythonapi.PyCode_Addr2Line
    truth.argtypes = [ctypes.py_object, ctypes.c_int]
    out = getattr(sys.stdout, "buffer", sys.stdout)
    for code in all_codes("--all" in sys.argv):
        form, table = table_of(code)
        addresses = offsets_of(code)
        lines = array.array("i", [truth(code, address) for address in addresses])
        label = ("%s:%s" % (code.co_filename[-100:], code.co_name[:100])).encode("ascii", "replace")
        out.write(struct.pack("=IiIII", form, code.co_firstlineno, len(table), len(addresses),
                              len(label)))
        out.write(table)
        for values in (addresses, lines):
            out.write(values.tobytes() if hasattr(values, "tobytes") else values.tostring())
        out.write(label)
    out.write(struct.pack("=IiIII", 0, 0, 0, 0, 0))


if __name__ == "__main__":
    main()
