#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""clang-tidy's warnings, less those that its clang cannot know to be wrong.

A variable under _cleanup_ is freed at the end of its scope by an attribute that the analyzer of
clang 14 does not model: what it calls a leak of such a variable is none. Only these reports go,
and only where the declaration stands above in the same function, or that of the variable from
which this one was set. Code that bpftool generated is not ours. Reads standard input; status 1
if something is left.
"""
import re
import sys

WARNING = re.compile(r"^(?P<file>[^:]+):(?P<line>\d+):\d+: (?:warning|error): (?P<text>.*)$")
LEAK = re.compile(r"Potential leak of memory pointed to by '(\w+)[^']*'")


def function_above(lines, number):
    """The text from the beginning of the function that holds the line, counted from 1, to it."""
    start = min(number, len(lines)) - 1
    while start > 0 and not lines[start].startswith("{"):
        start -= 1
    return "\n".join(lines[start:number])


def cleaned_up(text):
    """Variables under _cleanup_, and those set from one of them."""
    names, before = set(), None
    while names != before:
        before = set(names)
        for statement in text.split(";"):
            declared = re.search(r"_cleanup_\w*(?:\([\w ]+\))?([^=]*)", statement)
            left, is_set, right = statement.partition("=")
            if declared:
                names.update(re.findall(r"(\w+)(?= *(?:,|$))", declared.group(1)))
            if is_set and names & set(re.findall(r"\w+", right)):
                names.update(re.findall(r"(\w+)(?:(?:\.|->)\w+)* *$", left))
    return names


def is_cleaned_up(path, number, text):
    """Is this a leak of a _cleanup_ variable?"""
    leak = LEAK.search(text)
    if not leak:
        return False
    with open(path, encoding="utf-8") as file:
        above = function_above(file.read().split("\n"), number)
    return leak.group(1) in cleaned_up(above)


def main():
    """Prints what is left, once each."""
    seen, left = set(), 0
    for line in sys.stdin:
        found = WARNING.match(line.rstrip("\n"))
        if not found or "/gen/" in found["file"] or line in seen:
            continue
        seen.add(line)
        if not is_cleaned_up(found["file"], int(found["line"]), found["text"]):
            print(line, end="")
            left = 1
    return left


if __name__ == "__main__":
    sys.exit(main())
