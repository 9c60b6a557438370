"""The compilers that the tests of the C++ classes use."""

import os
import pathlib
import re
import shutil
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
import checks  # noqa: E402


def is_there(tool):
    return shutil.which(tool) is not None


def insist(*tools):
    """Skips the test when a tool is not installed; where KULA_EXPECT says what has to be there, as in
    ci/test, its absence is a failure."""
    if checks.expected_backends():
        for tool in tools:
            if not is_there(tool):
                print(f"{tool} is not installed (ci/deps installs it)")
                sys.exit(1)
    checks.need(*tools)


def newest_clang():
    """The highest clang++-N of the search path, or None."""
    versions = set()
    for folder in os.get_exec_path():
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            found = re.fullmatch(r"clang\+\+-(\d+)", name)
            if found:
                versions.add(int(found[1]))
    return f"clang++-{max(versions)}" if versions else None


def clangs():
    """The system's clang++, and the newest one if that is another."""
    newest = newest_clang()
    same = newest and os.path.realpath(shutil.which(newest)) == os.path.realpath(
        shutil.which("clang++")
    )
    return ["clang++"] if same or not newest else ["clang++", newest]


def version(clang):
    return int(checks.must([clang, "-dumpversion"]).split(".")[0])
