#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Rules of the tree that no off-the-shelf linter knows.

    tests/lint/tree.py CHECK    prints one line per violation; status 1 if there is one

Looks at tracked files only (all files outside of build/ where there is no git).
"""
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]

# Lowest first; a file may include its own stage and any lower one, never a sibling.
STAGES = [
    ["base"],
    ["collect", "object"],
    ["process"],
    ["unwind", "symbol", "python"],
    ["worker"],
    ["follow"],
    ["merge"],
    ["profile"],
    ["resolve"],
    ["output"],
    ["pipeline"],
    ["cli"],
    ["main"],
]
LEVEL = {name: level for level, names in enumerate(STAGES) for name in names}
HOST_WALK = "src/unwind/host_walk.c"  # the one file of src/ that compiles the walker of bpf/

FILE_LINES_MAX = 800
TEST_LINES_MAX = 1000  # a unit test is as long as its module has cases
FUNCTION_LINES_MAX = 100
SUBJECT_MAX = 72
CODE = (".c", ".h", ".def")
INCLUDE = re.compile(r'^\s*#\s*include\s+"([^"]+)"', re.M)


def tracked():
    git = subprocess.run(["git", "-C", ROOT, "ls-files", "-z"], capture_output=True)
    if git.returncode == 0:
        names = git.stdout.decode().split("\0")
    else:
        names = [str(p.relative_to(ROOT)) for p in ROOT.rglob("*")]
    return sorted(n for n in names if n and not n.startswith("build/") and (ROOT / n).is_file())


FILES = tracked()


def text(name):
    return (ROOT / name).read_text(encoding="utf-8", errors="replace")


def code_files(*tops):
    return [n for n in FILES if n.endswith(CODE) and n.startswith(tops)]


def stage_of(path):
    """The stage of a path below src/, None if there is none."""
    first = path.split("/")[0]
    if first.startswith("pipeline") and "/" not in path:
        return "pipeline"
    if first == "main.c":
        return "main"
    return first if first in LEVEL else None


def check_includes():
    for name in code_files("src/"):
        stage = stage_of(name[len("src/"):])
        if stage is None:
            yield f"{name}: belongs to no stage"
            continue
        for included in INCLUDE.findall(text(name)):
            if included.startswith(("abi/",)) or included.endswith(".skel.h"):
                continue
            if included.startswith("walk/"):
                if name != HOST_WALK:
                    yield f"{name}: only {HOST_WALK} may include {included}"
                continue
            other = stage_of(included)
            if other is None:
                yield f"{name}: {included} belongs to no stage"
            elif other != stage and LEVEL[other] >= LEVEL[stage]:
                yield f"{name}: {stage} must not include {other} ({included})"
    for name in code_files("bpf/"):
        for included in INCLUDE.findall(text(name)):
            if not included.startswith(("abi/", "walk/")) and not (ROOT / "bpf" / included).is_file():
                yield f"{name}: {included} is not of bpf/ or include/abi/"
    for name in code_files("include/"):
        for included in INCLUDE.findall(text(name)):
            if not included.startswith("abi/"):
                yield f"{name}: {included} is not of include/"


def check_names():
    bad = re.compile(r"(^|[_-])(utils?|common|helpers?|misc|managers?|logic)([_.-]|$)")
    for name in FILES:
        if any(bad.search(part) for part in name.split("/")):
            yield f"{name}: a name that says nothing"


def check_spdx():
    kinds = (".c", ".h", ".def", ".py", ".sh", ".js", ".mk", ".yml", ".yaml")
    for name in FILES:
        head = text(name)[:400]
        wanted = name.endswith(kinds) or name == "Makefile" or head.startswith("#!")
        if wanted and not any("SPDX-License-Identifier: " in l for l in head.splitlines()[:3]):
            yield f"{name}: no SPDX line"


def guard_pattern(name):
    """src/ and include/: the path as it is included; elsewhere the file's name ends the guard."""
    for top in ("src/", "include/"):
        if name.startswith(top):
            path = name[len(top):]
            break
    else:
        path = name.split("/")[-1]
    end = re.sub(r"[^A-Z0-9]", "_", path.upper().replace(".BPF.H", ".H"))
    return f"MIXPROF_{end}" if name.startswith(("src/", "include/")) else f"MIXPROF_(\\w+_)?{end}"


def check_guards():
    for name in FILES:
        if not name.endswith(".h"):
            continue
        found = re.search(r"^#ifndef (\w+)\n#define (\w+)\n", text(name), re.M)
        if not found or found[1] != found[2] or not re.fullmatch(guard_pattern(name), found[1]):
            yield f"{name}: the guard should be {guard_pattern(name)}"


def check_sizes():
    for name in code_files("src/", "bpf/", "include/", "tests/"):
        lines = text(name).count("\n")
        if lines > (TEST_LINES_MAX if name.startswith("tests/") else FILE_LINES_MAX):
            yield f"{name}: {lines} lines"
    for name in FILES:
        if name == "Makefile" and text(name).count("\n") >= 250:
            yield f"{name}: {text(name).count(chr(10))} lines"


def check_functions():
    names = [n for n in code_files("src/", "bpf/", "tests/") if not n.endswith(".def")]
    ctags = ["ctags", "--fields=+ne", "--kinds-C=f", "--langmap=C:.c.h", "-I",
             "SEC+,WALK_STEP,WALK_INLINE,__always_inline,__noinline,_cleanup_+,_cleanup_free_",
             "-f", "-", "-L", "-"]
    run = subprocess.run(ctags, input="\n".join(names), text=True, capture_output=True, cwd=ROOT,
                         check=True)
    seen = 0
    for line in run.stdout.splitlines():
        fields = dict(f.split(":", 1) for f in line.split("\t")[3:] if ":" in f)
        if "end" not in fields:
            continue
        seen += 1
        function, name = line.split("\t")[:2]
        first, last = int(fields["line"]), int(fields["end"])
        if last - first + 1 <= FUNCTION_LINES_MAX:
            continue
        before = text(name).splitlines()[max(0, first - 12):first + 3]
        if not any("/* long: " in l for l in before):
            yield f"{name}:{first}: {function}() has {last - first + 1} lines"
    if names and not seen:
        yield "ctags found no function at all"


def check_places():
    """No path of one machine and no host of one registry in what others will read."""
    # bracketed, so that this file does not contain what it looks for
    places = re.compile(
        r"(?<![\w.])/wor[k]/|(?<![\w.])/roo[t]/"
        r"|deb\.debia[n]\.org|archive\.ubunt[u]\.com|security\.ubunt[u]\.com|ports\.ubunt[u]\.com"
        r"|pypi\.or[g]|pythonhosted\.or[g]|npmjs\.or[g]|proxy\.golan[g]\.org|crates\.i[o]"
        r"|snapshot\.debia[n]|nodesource\.co[m]")
    for name in FILES:
        for number, line in enumerate(text(name).splitlines(), 1):
            found = places.search(line)
            if found:
                yield f"{name}:{number}: {found[0]}"


def check_stops():
    """The table of mixprof-record(1) and stop_reasons.def say the same."""
    page = "packaging/man/mixprof-record.1"
    stops = re.findall(r'^STOP\((\d+), (\w+), "(\w+)",\s*"([^"]+)"\)',
                       text("include/abi/stop_reasons.def"), re.M)
    if len(stops) < 10:
        yield "stop_reasons.def: not understood"
    ids = [int(s[0]) for s in stops]
    if ids != sorted(set(ids)):
        yield "stop_reasons.def: ids do not ascend"
    for _, upper, lower, _ in stops:
        if upper.lower() != lower:
            yield f"stop_reasons.def: {upper} is named {lower}"
    if page not in FILES:
        yield f"{page}: missing"
        return
    plain = re.sub(r"^\.[A-Z][a-z]\b|\\&|\\", " ", text(page), flags=re.M)
    plain = " ".join(plain.split())
    known = set()
    for _, _, lower, sentence in stops:
        known.add(lower)
        if "(obsolete)" in sentence or lower == "none":
            continue
        if not re.search(rf"\b{lower}\b", plain):
            yield f"{page}: {lower} is missing"
        elif " ".join(sentence.split()) not in plain:
            yield f"{page}: the sentence of {lower} differs"
    for word in sorted(set(re.findall(r"\b(?:unwind|py|name)_[a-z_]+\b", plain)) - known):
        yield f"{page}: {word} is not in stop_reasons.def"


def check_readmes():
    readme = "tests/README.md"
    if readme not in FILES:
        yield f"{readme}: missing"
        return
    for top in sorted({n.split("/")[1] for n in FILES if n.startswith("tests/") and n.count("/") > 1}):
        if f"{top}/" not in text(readme):
            yield f"{readme}: does not mention {top}/"


def check_commits():
    git = subprocess.run(["git", "-C", ROOT, "log", "--no-merges", "--format=%h %s"],
                         capture_output=True, text=True)
    if git.returncode != 0:
        yield "no history to read"
        return
    not_imperative = re.compile(r"^(add|fix|remov|chang|updat|mak|us|improv|implement|mov)(e?s|ed|ing)$")
    for line in git.stdout.splitlines():
        commit, _, subject = line.partition(" ")
        form = re.match(r"^[a-z.][a-z0-9_/.-]*(?:, [a-z.][a-z0-9_/.-]*)*: (\S+)", subject)
        if not form:
            yield f"{commit}: not `subsystem: summary`: {subject}"
        elif len(subject) > SUBJECT_MAX:
            yield f"{commit}: {len(subject)} columns: {subject}"
        elif not_imperative.match(form[1]):
            yield f"{commit}: not imperative: {subject}"
        elif subject.endswith("."):
            yield f"{commit}: ends with a full stop: {subject}"


def main():
    checks = {k[len("check_"):]: v for k, v in globals().items() if k.startswith("check_")}
    if len(sys.argv) != 2 or sys.argv[1] not in checks:
        print("usage: tree.py", "|".join(checks), file=sys.stderr)
        return 2
    violations = list(checks[sys.argv[1]]())
    for violation in violations:
        print(violation)
    return 1 if violations else 0


if __name__ == "__main__":
    sys.exit(main())
