"""What the tests that drive compilers and other tools share."""

import os
import re
import shutil
import subprocess
import sys

SKIPPED = 77  # ctest: SKIP_RETURN_CODE


def skip(reason):
    """Ends the test as skipped; the reason is printed, so that a skip is never silent."""
    print(f"skipped: {reason}")
    sys.exit(SKIPPED)


def expected_tools():
    """The programs whose absence is a failure: KULA_EXPECT_TOOLS=spin,gcc,clang,newest-clang."""
    return os.environ.get("KULA_EXPECT_TOOLS", "").split(",")


def need(*tools, installer="ci/deps"):
    """Skips the test when one of the programs is not installed, unless it is expected."""
    for tool in tools:
        if not shutil.which(tool):
            if tool in expected_tools():
                print(f"{tool} is expected, and is not installed ({installer} installs it)")
                sys.exit(1)
            skip(f"{tool} is not installed ({installer} installs it)")


PLAIN_CLANG_MIN = 16  # from here on the system's own clang is new enough to be the newest


def plain_clang():
    """The version of the clang without a number in its name."""
    found = re.search(r"version (\d+)", run(["clang", "--version"]).stdout)
    return int(found[1]) if found else 0


def newest_clang():
    """The newest clang with a number in its name that is newer than the plain one, or None."""
    versions = range(99, plain_clang(), -1)
    return next((f"clang-{number}" for number in versions if shutil.which(f"clang-{number}")), None)


def need_newest_clang():
    """Its tests go on without it, unless it is expected."""
    expected = "newest-clang" in expected_tools()
    if expected and plain_clang() < PLAIN_CLANG_MIN and not newest_clang():
        print("a clang newer than the system's own is expected (ci/deps installs it)")
        sys.exit(1)


def run(command, **options):
    """Runs a command and returns its result with both outputs as text."""
    return subprocess.run(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, check=False, **options
    )


def must(command, **options):
    """Runs a command that has to succeed and returns what it wrote to stdout."""
    result = run(command, **options)
    if result.returncode != 0:
        print(f"failed ({result.returncode}): {' '.join(map(str, command))}")
        print(result.stdout + result.stderr)
        sys.exit(1)
    return result.stdout


class Findings:
    """Collects what is wrong, so that one run reports all of it."""

    def __init__(self):
        self.count = 0

    def add(self, text):
        self.count += 1
        print(text)

    def finish(self, checked):
        """Ends the test. A test that has checked nothing has failed."""
        if checked == 0:
            self.add("nothing was checked")
        print(f"{checked} checked, {self.count} wrong")
        sys.exit(1 if self.count else 0)


def expected_backends():
    """The backends that must not be skipped: KULA_EXPECT=uring,epoll,blocking."""
    return [name for name in os.environ.get("KULA_EXPECT", "").split(",") if name]
