#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The oracle's comparison must be able to disagree."""
import os
import sys
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))

import gdb_oracle  # noqa: E402

GDB = [(0x1000, 0x7f00), (0x2000, 0x7f20), (0x3000, 0x7f80)]
LINES = ["native 1000 0 0", "native 2000 7f20 7f80", "python 5 6", "end 7f70", "native 3000 0 0",
         "stop none none"]


def compare(lines, by_gdb=None, status=0):
    """With what the tool printed."""
    host = {"status": status, "lines": lines, "error": ""}
    return gdb_oracle.compare(GDB if by_gdb is None else by_gdb, host)


class Compare(unittest.TestCase):
    """Agreement is None."""

    def test_agreement(self):
        self.assertIsNone(compare(LINES))

    def test_fresh_thread(self):
        self.assertIsNone(compare(["native 1000 0 0", "stop none none"], [(0x1000, 0x7f00), (0, 0)]))

    def test_each_difference(self):
        for i, line in [(0, "native 1001 0 0"), (1, "native 2000 7f28 7f80"),
                        (1, "native 2000 7f20 7f88"), (4, "native 3001 0 0"),
                        (5, "stop unwind_no_row none")]:
            lines = list(LINES)
            lines[i] = line
            self.assertIsNotNone(compare(lines), line)

    def test_missing_and_extra(self):
        for i in (0, 1, 4, 5):
            self.assertIsNotNone(compare(LINES[:i] + LINES[i + 1:]), LINES[i])
        self.assertIsNotNone(compare(LINES[:5] + ["native 4000 0 0"] + LINES[5:]))
        self.assertIsNotNone(compare([]))

    def test_failure(self):
        self.assertIsNotNone(compare(LINES, status=1))
        self.assertIsNotNone(compare(LINES, by_gdb=[]))


if __name__ == "__main__":
    unittest.main()
