"""What bench/run and bench/gate share: building the measured programs, running them, counting."""

import os
import re
import shutil
import subprocess
import tempfile
from pathlib import Path

SOURCE = Path(__file__).resolve().parent.parent
DEFAULT_BUILD = SOURCE / "build" / "bench"

EXIT_SKIPPED = 77
BLOCK_BYTES = 4096  # as in subject.h
FILE_BLOCKS = 256

# One process runs for a few seconds at most; valgrind makes it fifty times slower.
WORKER_LIMIT_SECONDS = 60


class Unavailable(Exception):
    """This machine does not offer what a measurement needs; the text says what and why."""


class Failed(Exception):
    """A measured program went wrong."""


def build(directory):
    """Configures and builds a release build in a directory of its own."""
    directory = Path(directory)
    configure = ["cmake", "-S", str(SOURCE), "-B", str(directory), "-DCMAKE_BUILD_TYPE=Release"]
    configure += [f"-DKULA_BUILD_{part}=OFF" for part in ("TESTS", "EXAMPLES", "TOOLS")]
    configure += ["-DKULA_BUILD_BENCH=ON"]
    if shutil.which("ninja") and not (directory / "CMakeCache.txt").exists():
        configure += ["-G", "Ninja"]
    jobs = str(len(os.sched_getaffinity(0)))
    for command in (configure, ["cmake", "--build", str(directory), "--parallel", jobs]):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise Failed(f"{' '.join(command)}\n{done.stdout}{done.stderr}")
    return Programs(directory)


class Programs:
    """The measured programs, and the file that they read."""

    def __init__(self, build_directory):
        self.directory = Path(build_directory) / "bench"
        self.data = self.directory / "blocks"
        self.data.write_bytes(os.urandom(BLOCK_BYTES * FILE_BLOCKS))

    def command(self, subject, workload, width, count):
        """`subject` is a name of worker.c; with "-static" appended, the static library's, with
        "-unchecked" that of the library without the run-time check."""
        name, _, form = subject.rpartition("-")
        if form not in ("static", "unchecked"):
            name, form = subject, "shared"
        worker = self.directory / f"bench-worker-{form}"
        arguments = [str(worker), workload, name, str(width), str(count)]
        return arguments + [str(self.data)] if workload.startswith("read") else arguments

    def subjects(self, workload):
        """The subjects that were built for a workload, in the order of worker.c."""
        listing = run_checked([str(self.directory / "bench-worker-shared"), "list"])
        pairs = [line.split() for line in listing.stdout.splitlines()]
        return [subject for of, subject in pairs if of == workload]

    def measure(self, subject, workload, width, count, cpu=None):
        """One run: operations, wall_ns and cpu_ns."""
        done = run_checked(self.command(subject, workload, width, count), cpu)
        return {key: int(value) for key, value in re.findall(r"(\w+)=(\d+)", done.stdout)}

    def instructions(self, subject, workload, width):
        """User-space instructions for each operation: the difference of two run lengths, so that
        start and end cancel out."""
        short, long = (300, 600) if width > 8 else (2000, 4000)
        counts = [self._collected(subject, workload, width, batches) for batches in (short, long)]
        return (counts[1] - counts[0]) / ((long - short) * width)

    def _collected(self, subject, workload, width, batches):
        valgrind = ["valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null"]
        done = run_checked(valgrind + self.command(subject, workload, width, batches))
        found = re.search(r"Collected : (\d+)", done.stderr)
        if not found:
            raise Failed(f"callgrind did not say what it collected:\n{done.stderr}")
        return int(found.group(1))

    def system_calls(self, subject, workload, width, short, long):
        """System calls for each batch, by name."""
        first = self._traced(subject, workload, width, short)
        second = self._traced(subject, workload, width, long)
        extra = {name: second[name] - first.get(name, 0) for name in second}
        return {name: count / (long - short) for name, count in extra.items() if count != 0}

    def _traced(self, subject, workload, width, batches):
        with tempfile.NamedTemporaryFile("r", suffix=".strace") as log:
            strace = ["strace", "-f", "-qq", "-c", "-U", "name,calls", "-o", log.name]
            run_checked(strace + self.command(subject, workload, width, batches))
            lines = [line.split() for line in log]
        rows = [line for line in lines if len(line) == 2 and line[1].isdigit()]
        return {name: int(calls) for name, calls in rows if name != "total"}


def run_checked(command, cpu=None):
    """Runs a program to its end, on one CPU if told so."""
    pin = (lambda: os.sched_setaffinity(0, {cpu})) if cpu is not None else None
    try:
        done = subprocess.run(
            command,
            capture_output=True,
            text=True,
            check=False,
            timeout=WORKER_LIMIT_SECONDS,
            preexec_fn=pin,
        )
    except FileNotFoundError as error:
        raise Unavailable(f"{command[0]} is not installed") from error
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{' '.join(command)}: not done after {WORKER_LIMIT_SECONDS} s") from error
    if done.returncode == EXIT_SKIPPED:
        raise Unavailable(done.stderr.strip().splitlines()[-1])
    if done.returncode != 0:
        raise Failed(f"{' '.join(command)}: exit status {done.returncode}\n{done.stderr}")
    return done


def require_strace():
    """Containers often have strace but not the right to trace."""
    try:
        run_checked(["strace", "-qq", "-o", "/dev/null", "true"])
    except Failed as error:
        raise Unavailable(f"strace cannot trace here: {error}") from error


def print_table(title, header, rows):
    """Columns as wide as their widest cell: the first to the left, the others to the right."""
    widths = [max(len(row[i]) for row in [header, *rows]) for i in range(len(header))]
    print(f"\n{title}")
    for row in [header, *rows]:
        cells = [row[0].ljust(widths[0])]
        cells += [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        print("  " + "  ".join(cells).rstrip())
