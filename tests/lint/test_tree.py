#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Proves that each rule of tree.py fails on what it is there for, and passes without it.

Each case is a small repository in a temporary directory: a clean tree, and one file that breaks
one rule.
"""
import pathlib
import shutil
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
SPDX = "/* SPDX-License-Identifier: Apache-2.0 */\n"
STOPS = "".join(f'STOP({n}, UNWIND_{w}, "unwind_{w.lower()}", "the {w.lower()} stop")\n'
                for n, w in enumerate("A B C D E F G H I J".split()))
MAN = "".join(f".It Cm unwind_{w}\nthe {w} stop\n" for w in "abcdefghij")


def header(guard, body=""):
    return f"{SPDX}#ifndef {guard}\n#define {guard}\n{body}#endif\n"


CLEAN = {
    "src/base/cursor.h": header("MIXPROF_BASE_CURSOR_H"),
    "src/merge/plait.c": SPDX + '#include "base/cursor.h"\n\nint f(void)\n{\n\treturn 0;\n}\n',
    "src/unwind/host_walk.c": SPDX + '#include "walk/step.h"\n',
    "bpf/walk/step.h": header("MIXPROF_WALK_STEP_H"),
    "include/abi/stop_reasons.def": SPDX + STOPS,
    "packaging/man/mixprof-record.1": MAN,
    "tests/README.md": "unit/ proves units\n",
    "tests/unit/test_x.c": SPDX,
}
LONG = "int g(void)\n{\n" + "\t;\n" * 120 + "\treturn 0;\n}\n"

# rule, file, its text, what the violation must name (None: it is allowed)
CASES = [
    ("includes", "src/base/up.c", SPDX + '#include "merge/plait.h"\n', "base must not include merge"),
    ("includes", "src/symbol/side.c", SPDX + '#include "python/x.h"\n', "must not include python"),
    ("includes", "src/unwind/other.c", SPDX + '#include "walk/step.h"\n', "only src/unwind/host_walk"),
    ("includes", "src/nowhere/x.c", SPDX, "belongs to no stage"),
    ("includes", "src/merge/x.c", SPDX + '#include "strange.h"\n', "belongs to no stage"),
    ("includes", "bpf/x.bpf.c", SPDX + '#include "base/cursor.h"\n', "not of bpf/"),
    ("includes", "include/abi/x.h", SPDX + '#include "base/cursor.h"\n', "not of include/"),
    ("includes", "src/pipeline.c", SPDX + '#include "merge/plait.h"\n', None),
    ("names", "src/base/string_utils.c", SPDX, "string_utils"),
    ("names", "src/common/x.c", SPDX, "src/common"),
    ("spdx", "src/base/x.c", "int x;\n", "no SPDX"),
    ("spdx", "tests/unit/run", "#!/bin/sh\n", "no SPDX"),
    ("guards", "src/base/y.h", header("MIXPROF_Y_H"), "MIXPROF_BASE_Y_H"),
    ("guards", "tests/unit/y.h", header("MIXPROF_UNIT_Y_H"), None),
    ("sizes", "src/base/long.c", SPDX + "\n" * 800, "801 lines"),
    ("functions", "src/base/x.c", SPDX + LONG, "g() has 124 lines"),
    ("functions", "src/base/x.c", SPDX + "/* long: a table of one */\n" + LONG, None),
    ("places", "README.md", "see /wor" + "k/shared\n", "/wor" + "k/"),
    ("places", "x.sh", "# SPDX\ncurl pypi.o" + "rg\n", "x.sh:2"),
    ("places", "x.md", "https://example.org/network/x\n", None),
    ("stops", "packaging/man/mixprof-record.1", MAN.replace("unwind_c", "unwind_z"), "unwind_c is missing"),
    ("stops", "packaging/man/mixprof-record.1", MAN + "unwind_new\n", "unwind_new is not in"),
    ("stops", "packaging/man/mixprof-record.1", MAN.replace("the d stop", "the D"), "unwind_d differs"),
    ("readmes", "tests/fuzz/run", "#!/bin/sh\n", "mention fuzz/"),
]
SUBJECTS = [
    ("base: add a cursor", None),
    ("follow, resolve: keep names", None),
    ("Add a cursor", "not `subsystem: summary`"),
    ("base: added a cursor", "not imperative"),
    ("base: add " + "x" * 70, "columns"),
    ("base: add a cursor.", "full stop"),
]


def violations(rule, files, subject="base: add a tree"):
    with tempfile.TemporaryDirectory() as root:
        for name, content in files.items():
            path = pathlib.Path(root, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(content, encoding="utf-8")
        script = pathlib.Path(root, "tests/lint/tree.py")
        git = ["git", "-C", root, "-c", "user.name=t", "-c", "user.email=t@localhost"]
        subprocess.run([*git, "init", "-q"], check=True)
        subprocess.run([*git, "add", "-A"], check=True)
        subprocess.run([*git, "commit", "-q", "--no-verify", "-m", subject], check=True)
        script.parent.mkdir(parents=True)
        shutil.copy(HERE / "tree.py", script)
        run = subprocess.run([sys.executable, script, rule], capture_output=True, text=True)
        assert run.returncode == (1 if run.stdout else 0), run.stderr
        return run.stdout


def main():
    wrong = 0
    runs = [(rule, violations(rule, CLEAN), None) for rule in sorted({c[0] for c in CASES})]
    runs += [(rule, violations(rule, {**CLEAN, name: content}), expected)
             for rule, name, content, expected in CASES]
    runs += [("commits", violations("commits", CLEAN, subject), expected)
             for subject, expected in SUBJECTS]
    for rule, output, expected in runs:
        if (output if expected is None else expected not in output):
            print(f"{rule}: expected {expected!r}, got {output!r}")
            wrong += 1
    print(f"{len(runs)} cases, {wrong} wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
