"""What checked.py and table.py share: the faults, the levels, and running one on the other."""

import os
import pathlib
import re
import sys

HERE = pathlib.Path(__file__).parent
sys.path.insert(0, str(HERE.parent / "support"))
import checks  # noqa: E402

# The level, and what its column is called. "always": nothing is switched on.
LEVELS = {
    "always": "always on",
    "ownership": "`ownership`",
    "canary": "`canary`",
    "checksum": "`checksum`",
    "guard": "`guard`",
    "asan": "ASan",
    "tsan": "TSan",
    "msan": "MSan",
    "valgrind": "valgrind",
}
BY_ENVIRONMENT = ("ownership", "canary", "checksum", "guard")
BACKENDS = ("uring", "epoll", "blocking")
TIME_LIMIT_S = 120


class Fault:
    """One program with a planted fault: what its head comment says."""

    def __init__(self, path):
        head = path.read_text(encoding="utf-8").split("*/")[0]
        self.name = path.stem
        self.sentence = re.search(r"^/\* Fault: (.+)$", head, flags=re.MULTILINE).group(1)
        pattern = rf"^ \* ({'|'.join(LEVELS)}): +(.+)$"
        self.expected = dict(re.findall(pattern, head, flags=re.MULTILINE))

    def expects(self, level):
        """The text that this level has to give, or None. What is found always is found on every
        level."""
        return self.expected.get(level) or self.expected.get("always")


def faults():
    """All of them, in the order of their sentences."""
    found = [Fault(path) for path in HERE.glob("*.c") if path.stem not in ("planted", "cost")]
    return sorted(found, key=lambda fault: (list(fault.expected) != ["always"], fault.sentence))


def command_and_environment(level, program, *arguments):
    """How a program is run on a level."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("KULA_")}
    # By default a program sleeps for a second at its end, for threads that may still race.
    environment["TSAN_OPTIONS"] = "atexit_sleep_ms=0"
    command = [str(program), *arguments]
    if level in BY_ENVIRONMENT:
        environment["KULA_DEBUG"] = level
    if level == "valgrind":
        command = ["valgrind", "-q", "--error-exitcode=99", *command]
    return command, environment


def run(level, program, *arguments):
    """The exit status, and everything that was written."""
    command, environment = command_and_environment(level, program, *arguments)
    result = checks.run(command, env=environment, timeout=TIME_LIMIT_S)
    return result.returncode, result.stdout + result.stderr
