"""What the tests of the examples and of kula-info share."""

import os
import pathlib
import select
import subprocess
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
import checks  # noqa: E402

LIMIT_SECONDS = 120  # against hangs; nothing here is expected to take long


def environment(backend):
    """The environment in which a program gets this backend, or fails."""
    return dict(os.environ, KULA_BACKEND=f"strict:{backend}")


def require(info, backend):
    """Skips the test where the backend cannot be had, unless it is expected to be there."""
    result = checks.run([info, "--require", backend], env=environment(backend))
    if result.returncode == 0:
        return
    reason = f"{backend} cannot be had here: {result.stderr.strip() or 'see kula-info'}"
    if backend in checks.expected_backends():
        print(f"KULA_EXPECT names it, but {reason}")
        sys.exit(1)
    checks.skip(reason)


def run_case(cases, name):
    """Runs one case of a script and ends the test."""
    findings = checks.Findings()
    checked = cases[name](findings)
    findings.finish(checked)


class Background:
    """A program that runs while the test talks to it. Killed at the end, whatever happens."""

    def __init__(self, command, backend, **options):
        self.process = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=environment(backend),
            **options,
        )

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.process.kill()
        self.process.communicate()

    def line(self):
        """The next line of its output; fails the test rather than wait for ever."""
        readable, _, _ = select.select([self.process.stdout], [], [], LIMIT_SECONDS)
        if not readable:
            print("the program says nothing")
            sys.exit(1)
        return self.process.stdout.readline().rstrip("\n")

    def end(self, signal=None):
        """Sends a signal, waits for the end, and returns status, rest of stdout, and stderr."""
        if signal is not None:
            self.process.send_signal(signal)
        try:
            output, errors = self.process.communicate(timeout=LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            print("the program does not end")
            sys.exit(1)
        return self.process.returncode, output, errors
