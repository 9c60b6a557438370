"""A level of checked mode finds the planted faults that it says it finds, and nothing else.

usage: checked.py LEVEL PROGRAM_DIR [BACKEND...]

Each program is run twice: with its fault, which has to be reported with the text in its head comment
if the level is named there and must go unnoticed if not; and corrected, which has to be silent. A
column of the table in docs/checked-mode.md is what this finds for one level.
"""

import pathlib
import re
import sys

import levels
from levels import checks


def check(findings, level, program, backend, expected):
    status, output = levels.run(level, program, backend)
    if status == checks.SKIPPED:
        return False
    what = f"{program.name} on {backend} with {level}"
    if expected is None:
        if status != 0 or output:
            findings.add(f"{what} is not silent (status {status}):\n{output}")
    elif not re.search(expected, output):
        findings.add(f"{what} does not say '{expected}' (status {status}):\n{output}")
    return True


def main():
    level, folder, *backends = sys.argv[1:]
    if level == "valgrind":
        checks.need("valgrind")
    findings = checks.Findings()
    checked = 0
    for backend in backends or levels.BACKENDS:
        here = 0
        for fault in levels.faults():
            program = pathlib.Path(folder) / f"checked_{fault.name}"
            here += check(findings, level, program, backend, fault.expects(level))
            corrected = program.with_name(f"{program.name}_corrected")
            here += check(findings, level, corrected, backend, None)
        if here == 0:
            print(f"{backend} is not available here")
            if backend in checks.expected_backends():
                findings.add(f"{backend} was expected")
        checked += here
    findings.finish(checked)


main()
