"""Runs a checker over each source file of the library, the tools and the examples, with the flags
that it is built with. Whatever the checker prints is a failure.

usage: each_source.py BUILD_DIR JOBS tidy|analyze
"""

import concurrent.futures
import json
import pathlib
import shlex
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
FOLDERS = ["common", "backends", "tools", "examples"]


def sources(build):
    """The compile commands, once for each file: the library is built a second time for tests."""
    found = {}
    for entry in json.loads((build / "compile_commands.json").read_text(encoding="utf-8")):
        path = pathlib.Path(entry["file"]).resolve()
        inside = path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in FOLDERS
        if inside and "kula_testing.dir" not in entry["command"]:
            found[path] = entry
    return [found[path] for path in sorted(found)]


def checker(kind, entry):
    command = shlex.split(entry["command"])
    output = command.index("-o")
    flags = command[1:output] + command[output + 2 :]
    flags.remove("-c")
    if kind == "tidy":
        flags.remove(entry["file"])
        return ["clang-tidy", "--quiet", entry["file"], "--", *flags]
    return ["clang", "--analyze", "--analyzer-output", "text", *flags]


def check(kind, entry):
    result = subprocess.run(
        checker(kind, entry), cwd=entry["directory"], capture_output=True, text=True, check=False
    )
    # clang-tidy counts on stderr what it suppressed in the system's headers.
    said = result.stdout if kind == "tidy" else result.stdout + result.stderr
    if result.returncode != 0 and not said:
        said = result.stderr or f"status {result.returncode}"
    return said


def main():
    build, jobs, kind = sys.argv[1:]
    entries = sources(pathlib.Path(build))
    wrong = 0
    with concurrent.futures.ThreadPoolExecutor(int(jobs)) as pool:
        for said in pool.map(lambda entry: check(kind, entry), entries):
            if said:
                wrong += 1
                print(said)
    print(f"{kind}: {len(entries)} files, {wrong} with findings")
    sys.exit(1 if wrong or not entries else 0)


main()
