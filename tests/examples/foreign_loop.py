"""04_foreign_loop answers commands as they end, from inside a poll(2) loop.

usage: foreign_loop.py CASE PROGRAM KULA_INFO BACKEND
"""

import pathlib
import sys
import tempfile

import programs

CASE, PROGRAM, INFO, BACKEND = sys.argv[1:]


def order(findings):
    """Short commands overtake a long one; quitting ends the long one."""
    with tempfile.TemporaryDirectory() as folder, programs.Background(
        [PROGRAM], BACKEND
    ) as program:
        file = pathlib.Path(folder, "file")
        file.write_text("the first line\nthe second\n")
        feed = program.process.stdin
        feed.write(f"wait 3600000\nread {file}\n")
        feed.flush()
        if program.line() != f"read {file}: the first line":
            findings.add("the file was not read while the timer waits")
        for count in range(50):
            feed.write(f"wait {count % 3}\n")
            feed.flush()
            if program.line() != f"wait {count % 3}: done":
                findings.add(f"round {count}: the timer was not heard of")
        feed.write("quit\n")
        feed.flush()
        status, output, errors = program.end()
        if status != 0 or not output.startswith("wait 3600000: "):
            findings.add(f"after quit: status {status}, {output!r}, {errors!r}")
        if "done" in output:
            findings.add("an hour has not passed")
    return 53


def end_of_input(findings):
    """At the end of its input it waits for what is under way."""
    with programs.Background([PROGRAM], BACKEND) as program:
        commands = [f"wait {number}" for number in range(100)] + ["read /absent", "nonsense"]
        output, errors = program.process.communicate(
            "\n".join(commands) + "\n", timeout=programs.LIMIT_SECONDS
        )
    lines = output.splitlines()
    if sum(line.endswith(": done") for line in lines) != 100:
        findings.add(f"not every timer ended: {lines}")
    if not any(line.startswith("read /absent: ") for line in lines):
        findings.add(f"nothing about the file that is not there: {lines}")
    if program.process.returncode != 1 or "nonsense" not in errors:
        findings.add(f"nonsense: status {program.process.returncode}, {errors!r}")
    return 102


programs.require(INFO, BACKEND)
programs.run_case({"order": order, "end_of_input": end_of_input}, CASE)
