"""Counts what ctest did: prints "PASSED FAILED SKIPPED", and on stderr what has not passed, and why.

usage: tally.py JUNIT_XML CTEST_STATUS
"""

import re
import sys
import xml.etree.ElementTree as ElementTree

OUTPUT_LINES = 40  # of a failed test


def reason(case):
    """The last line that a test has printed, or the last that speaks of skipping."""
    lines = [line.strip() for line in (case.findtext("system-out") or "").splitlines()]
    lines = [line for line in lines if line]
    about = [line for line in lines if re.search(r"skip", line, re.IGNORECASE)]
    return (about or lines or ["no reason given"])[-1]


def single_skips(case):
    """The reasons of single tests that a program has skipped: it prints one before each."""
    lines = [line.strip() for line in (case.findtext("system-out") or "").splitlines()]
    return [line for line in lines if line.startswith("skipped: ")]


def main():
    path, status = sys.argv[1:]
    counts = {"run": 0, "fail": 0, "notrun": 0}
    try:
        cases = ElementTree.parse(path).getroot().findall("testcase")
    except ElementTree.ParseError:
        cases = []
    skipped = {}
    singles = {}
    for case in cases:
        outcome = case.get("status")
        if case.find("skipped") is not None and outcome != "fail":
            outcome = "notrun"
            # A test that could not be started is not one that chose to skip.
            if "SKIP" not in case.find("skipped").get("message", ""):
                outcome = "fail"
        counts[outcome if outcome in counts else "fail"] += 1
        if outcome == "run":
            for why in single_skips(case):
                singles[why] = singles.get(why, 0) + 1
        if outcome == "notrun":
            skipped.setdefault(reason(case), []).append(case.get("name"))
        elif outcome != "run":
            print(f"  failed: {case.get('name')}", file=sys.stderr)
            for line in (case.findtext("system-out") or "").splitlines()[-OUTPUT_LINES:]:
                print(f"    | {line}", file=sys.stderr)
    for why, names in skipped.items():
        others = f" and {len(names) - 1} others" if len(names) > 1 else ""
        print(f"  skipped: {names[0]}{others}: {why}", file=sys.stderr)
    for why, count in singles.items():
        print(f"  single tests {why}: {count}", file=sys.stderr)
    if int(status) != 0 and counts["fail"] == 0:
        counts["fail"] += 1
        print(f"  failed: ctest itself, with status {status}", file=sys.stderr)
    print(counts["run"], counts["fail"], counts["notrun"])


main()
