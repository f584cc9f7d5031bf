#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Runs unittest modules and writes tests/lib/results.sh's lines: run_unittests.py FILE..."""
import importlib
import os
import signal
import sys
import unittest

BUILD = os.environ.get("BUILD") or "build"
RESULTS_FILE = os.environ.get("RESULTS_FILE") or os.path.join(BUILD, "results", "loose.txt")


class Lines(unittest.TextTestResult):
    """One line per test; the report of a failure goes to standard error as always."""

    def note(self, what, test, reason=""):
        """As results_pass, results_fail and results_skip do."""
        module, group, name = test.id().rsplit(".", 2)
        name = "e2e/%s/%s.%s" % (module.removeprefix("test_"), group, name.removeprefix("test_"))
        with open(RESULTS_FILE, "a", encoding="utf-8") as file:
            file.write(("%s %s %s" % (what, name, reason)).rstrip() + "\n")
        mark = {"PASS": "ok   ", "SKIP": "skip ", "FAIL": "FAIL "}[what]
        print("  %s %s%s" % (mark, name, ": " + reason if reason else ""), flush=True)

    def addSuccess(self, test):
        super().addSuccess(test)
        self.note("PASS", test)

    def addSkip(self, test, reason):
        super().addSkip(test, reason)
        self.note("SKIP", test, reason)

    def addError(self, test, err):
        super().addError(test, err)
        self.note("FAIL", test)

    def addFailure(self, test, err):
        super().addFailure(test, err)
        self.note("FAIL", test)


def main(paths):
    """Status 1 if one failed or none ran."""
    # A shell starts what it puts in the background with SIGINT ignored, and so would be its children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.makedirs(os.path.dirname(RESULTS_FILE), exist_ok=True)
    suite = unittest.TestSuite()
    for path in paths:
        sys.path.insert(0, os.path.dirname(os.path.abspath(path)))
        module = importlib.import_module(os.path.splitext(os.path.basename(path))[0])
        suite.addTests(unittest.defaultTestLoader.loadTestsFromModule(module))
    with open(os.devnull, "w", encoding="utf-8") as nowhere:
        runner = unittest.TextTestRunner(stream=nowhere, resultclass=Lines)
        result = runner.run(suite)
    for test, report in result.failures + result.errors:
        print("%s\n%s" % (test, report), file=sys.stderr)
    return 0 if result.wasSuccessful() and result.testsRun else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
