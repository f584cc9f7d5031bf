# SPDX-License-Identifier: Apache-2.0
"""Line tables against CPython itself.

    PYTHON check_lines.py LINE_TABLE_TOOL [--all]

Runs under the interpreter to verify (2.7, 3.6+): compiles its standard library
and compares the line of every instruction offset with PyCode_Addr2Line.
Without --all: a few hundred code objects. Status 1 on any mismatch.
"""
from __future__ import print_function

import array
import ctypes
import io
import os
import random
import struct
import subprocess
import sys
import warnings

NO_LINE = -2 ** 31
CODES_QUICK = 400

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
        folders.sort()
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


def main():
    arguments = [a for a in sys.argv[1:] if a != "--all"]
    if len(arguments) != 1:
        sys.exit(__doc__)
    warnings.simplefilter("ignore")
    truth = ctypes.pythonapi.PyCode_Addr2Line
    truth.argtypes = [ctypes.py_object, ctypes.c_int]
    step = 2 if sys.version_info >= (3, 6) else 1
    tool = subprocess.Popen([arguments[0]], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    codes = offsets = mismatches = without = 0
    for code in all_codes("--all" in sys.argv):
        form, table = table_of(code)
        addresses = array.array("i", [-2] + list(range(0, len(code.co_code), step)))
        tool.stdin.write(struct.pack("=IiII", form, code.co_firstlineno, len(table),
                                     len(addresses)) + table +
                         (addresses.tobytes() if hasattr(addresses, "tobytes")
                          else addresses.tostring()))
        tool.stdin.flush()
        lines = struct.unpack("=%di" % len(addresses), tool.stdout.read(4 * len(addresses)))
        for address, line in zip(addresses, lines):
            expected = truth(code, address)
            if expected == -1:
                expected = NO_LINE
                without += 1
            if line != expected:
                mismatches += 1
                if mismatches <= 10:
                    print("mismatch: %s %s offset %d: %d, CPython says %d"
                          % (code.co_filename, code.co_name, address, line, expected))
        codes += 1
        offsets += len(addresses)
    tool.stdin.close()
    if tool.wait() != 0:
        sys.exit("check_lines: the tool failed")
    print("check_lines %s: %d code objects, %d offsets (%d without a line), %d mismatches"
          % (sys.version.split()[0], codes, offsets, without, mismatches))
    sys.exit(1 if mismatches or not offsets else 0)


if __name__ == "__main__":
    main()
