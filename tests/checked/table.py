"""The table of levels in docs/checked-mode.md: what each finds, and what it costs.

usage: table.py --check DOCUMENT
       table.py --write DOCUMENT LEVEL=BUILD_DIR...

--check compares the marks in the document with what the planted faults say in their head comments,
which checked.py holds against what is really found. --write makes the table anew: it runs each fault
on each level, refuses to write what was not found, and measures what a read costs. `always` names
the release build, which has the levels that are switched on at run time, too:

    table.py --write docs/checked-mode.md always=build/release asan=build/asan tsan=build/tsan \\
             msan=build/msan valgrind=build/valgrind
"""

import pathlib
import platform
import re
import sys

import levels
from levels import checks

BEGIN, END = "<!-- levels: begin -->\n", "<!-- levels: end -->\n"
COST = "a read of 4 KiB, ns"
READS = {"valgrind": 2000}
READS_USUALLY = 100000
RUNS = 5


def heading():
    return [
        "| | " + " | ".join(levels.LEVELS.values()) + " |",
        "|---|" + "---|" * len(levels.LEVELS),
    ]


def row(sentence, cells):
    return f"| {sentence} | " + " | ".join(cells) + " |"


def catches(found):
    """The rows of marks; found(fault, level) says whether a level finds a fault."""
    rows = []
    for fault in levels.faults():
        cells = ["yes" if found(fault, level) else "" for level in levels.LEVELS]
        rows.append(row(fault.sentence, cells))
    return rows


def finds_it(builds):
    """What is found by running."""

    def found(fault, level):
        program = builds[level] / "tests" / "checked" / f"checked_{fault.name}"
        status, output = levels.run(level, program, "uring")
        expected = fault.expects(level)
        if bool(expected) != (status != 0 or bool(output)) or not re.search(expected or "", output):
            sys.exit(f"{program} on {level} (status {status}) wants '{expected}':\n{output}")
        return bool(expected)

    return found


def cost(builds, level):
    """The best of some runs: what disturbs a run only makes it longer."""
    program = builds[level] / "tests" / "checked" / "checked_cost"
    reads = str(READS.get(level, READS_USUALLY))
    best = None
    for _ in range(1 if level == "valgrind" else RUNS):
        status, output = levels.run(level, program, "uring", reads)
        if status != 0:
            sys.exit(f"{program} on {level} ended with {status}:\n{output}")
        best = min(best or float(output), float(output))
    return f"{best:.0f}"


def section(text):
    before, rest = text.split(BEGIN)
    table, after = rest.split(END)
    return before, table, after


def check(document):
    findings = checks.Findings()
    rows = section(document.read_text(encoding="utf-8"))[1].splitlines()
    wanted = heading() + catches(lambda fault, level: bool(fault.expects(level)))
    present = [line for line in rows if line.startswith("|") and COST not in line]
    for line in wanted:
        if line not in present:
            findings.add(f"{document.name} lacks: {line}")
    for line in present:
        if line not in wanted:
            findings.add(f"{document.name} has, and the tests do not say: {line}")
    findings.finish(len(wanted))


def write(document, arguments):
    builds = {level: pathlib.Path(path) for level, path in (a.split("=", 1) for a in arguments)}
    for level in levels.BY_ENVIRONMENT:
        builds[level] = builds["always"]
    missing = [level for level in levels.LEVELS if level not in builds]
    if missing:
        sys.exit(f"no build for: {', '.join(missing)}")
    lines = heading() + catches(finds_it(builds))
    lines.append(row(COST, [cost(builds, level) for level in levels.LEVELS]))
    processor = re.search(r"model name\s*: (.+)", pathlib.Path("/proc/cpuinfo").read_text())
    machine = f"{processor.group(1) if processor else platform.machine()}, {platform.release()}"
    lines.append(f"\nMeasured on {machine}, best of {RUNS} runs (valgrind: one).")
    before, _, after = section(document.read_text(encoding="utf-8"))
    table = "\n".join(lines) + "\n"
    document.write_text(before + BEGIN + table + END + after, encoding="utf-8")


def main():
    if len(sys.argv) < 3 or sys.argv[1] not in ("--check", "--write"):
        sys.exit(__doc__)
    document = pathlib.Path(sys.argv[2])
    if sys.argv[1] == "--check":
        check(document)
    write(document, sys.argv[3:])


main()
