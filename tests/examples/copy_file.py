"""01_file_copy copies whole files, and leaves nothing behind when it cannot.

usage: copy_file.py CASE PROGRAM KULA_INFO BACKEND
"""

import os
import pathlib
import pty
import subprocess
import sys
import tempfile
import threading
import time

import programs
from programs import checks

CASE, PROGRAM, INFO, BACKEND = sys.argv[1:]
MIB = 1024 * 1024
BLOCK = 256 * 1024


def copy(source, destination, **options):
    return checks.run(
        [PROGRAM, source, destination],
        env=programs.environment(BACKEND),
        timeout=programs.LIMIT_SECONDS,
        **options,
    )


def expect_success(findings, source, destination):
    result = copy(source, destination)
    if result.returncode != 0:
        findings.add(f"{source}: status {result.returncode}: {result.stderr.strip()}")
    elif checks.run(["cmp", source, destination]).returncode != 0:
        findings.add(f"{source}: the copy differs")
    elif BACKEND not in result.stdout:
        findings.add(f"{source}: says {result.stdout.strip()!r}, which is not {BACKEND}")


def expect_refusal(findings, result, words, folder, left):
    """A failure: status 1, the words in the message, and only the files that were there."""
    if result.returncode != 1:
        findings.add(f"{words}: status {result.returncode}")
    if words not in result.stderr:
        findings.add(f"says {result.stderr.strip()!r}, and nothing of {words!r}")
    found = sorted(path.name for path in pathlib.Path(folder).iterdir())
    if found != sorted(left):
        findings.add(f"{words}: left behind {found}, not {sorted(left)}")


def sizes(findings):
    lengths = [0, 1, 4095, BLOCK - 1, BLOCK, BLOCK + 1, MIB + 1, 17 * BLOCK, 64 * MIB]
    with tempfile.TemporaryDirectory() as folder:
        for length in lengths:
            source = pathlib.Path(folder, f"{length}")
            source.write_bytes(os.urandom(length))
            expect_success(findings, source, pathlib.Path(folder, f"{length}.copy"))
        if pathlib.Path("/proc/version").exists():  # its length is said to be 0, and is not
            lengths.append(0)
            expect_success(findings, "/proc/version", pathlib.Path(folder, "version"))
    return len(lengths)


def sparse(findings):
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "source")
        with source.open("wb") as file:
            file.truncate(40 * MIB)
            file.seek(20 * MIB + 5)
            file.write(b"an island")
        copied = pathlib.Path(folder, "copy")
        expect_success(findings, source, copied)
        allocated = [path.stat().st_blocks * 512 for path in (source, copied)]
        if allocated[0] < MIB < allocated[1]:
            findings.add(f"the holes were filled: {allocated[0]} bytes became {allocated[1]}")
        with source.open("wb") as file:
            file.truncate(3 * MIB)
        expect_success(findings, source, copied)
    return 3


def mode_and_name(findings):
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "source")
        source.write_bytes(os.urandom(BLOCK + 7))
        copied = pathlib.Path(folder, "copy")
        copied.write_text("an older file, replaced as a whole")
        for mode in (0o640, 0o755, 0o400):
            source.chmod(mode)
            expect_success(findings, source, copied)
            if copied.stat().st_mode & 0o777 != mode:
                findings.add(f"mode {oct(mode)} became {oct(copied.stat().st_mode)}")
    return 3


def refusals(findings):
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "source")
        source.write_text("the only copy")
        linked = pathlib.Path(folder, "linked")
        linked.hardlink_to(source)
        fifo = pathlib.Path(folder, "fifo")
        os.mkfifo(fifo)
        left = ["fifo", "linked", "source"]
        new = pathlib.Path(folder, "new")
        for one, other, words in [
            (source, source, "are the same file"),
            (source, linked, "are the same file"),
            (folder, new, "not a regular file"),
            (fifo, new, "not a regular file"),
            (source, fifo, "not a regular file"),
            (pathlib.Path(folder, "absent"), new, "No such file or directory"),
            (source, pathlib.Path(folder, "absent", "new"), "No such file or directory"),
        ]:
            expect_refusal(findings, copy(one, other), words, folder, left)
        if source.read_text() != "the only copy":
            findings.add("the source was changed")
        if checks.run([PROGRAM, source]).returncode != 2:
            findings.add("one argument is not refused as wrong usage")
    return 9


def unmount(disk):
    """The kernel takes a ring apart after its process has ended, and holds its files until then."""
    end = time.monotonic() + 60
    while checks.run(["umount", disk]).returncode != 0 and time.monotonic() < end:
        time.sleep(0.01)
    if os.path.ismount(disk):
        checks.must(["umount", disk])


def full_disk(findings):
    """A tmpfs of 1 MiB: the message names the cause, and an older destination stays."""
    if os.geteuid() != 0:
        checks.skip("mounting a small tmpfs needs root")
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "source")
        source.write_bytes(os.urandom(3 * MIB))
        disk = pathlib.Path(folder, "disk")
        disk.mkdir()
        mount = ["mount", "-t", "tmpfs", "-o", "size=1m", "kula-test", disk]
        mounted = checks.run(mount)
        if mounted.returncode != 0:
            checks.skip(f"cannot mount a tmpfs: {mounted.stderr.strip()}")
        try:
            expect_refusal(
                findings, copy(source, disk / "copy"), "No space left on device", disk, []
            )
            (disk / "copy").write_text("older")
            expect_refusal(
                findings, copy(source, disk / "copy"), "No space left on device", disk, ["copy"]
            )
            if (disk / "copy").read_text() != "older":
                findings.add("the older destination is gone")
        finally:
            unmount(disk)
    return 3


def changing_source(findings):
    """While a file is being written to, its copy is either refused or whole."""
    refused = 0
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "source")
        source.write_bytes(b"\0" * (32 * MIB))
        copied = pathlib.Path(folder, "copy")
        over = threading.Event()

        def write():
            with source.open("r+b") as file:
                while not over.is_set():
                    file.seek(0, os.SEEK_END)
                    file.write(b"more")
                    file.flush()
                    time.sleep(0.001)

        writer = threading.Thread(target=write)
        writer.start()
        try:
            for _ in range(5):
                result = copy(source, copied)
                if result.returncode == 0:
                    continue
                refused += 1
                expect_refusal(
                    findings, result, "changed while it was being copied", folder, ["source"]
                )
        finally:
            over.set()
            writer.join()
        if refused == 0:
            findings.add("the file grew all the time, and no copy noticed")
        expect_success(findings, source, copied)
    return 2


def progress(findings):
    """On a terminal there is progress, and an error stands on a line of its own."""
    with tempfile.TemporaryDirectory() as folder:
        source = pathlib.Path(folder, "source")
        source.write_bytes(os.urandom(8 * MIB))
        for arguments, wanted in [([], True), (["-q"], False)]:
            try:
                master, terminal = pty.openpty()
            except OSError as error:
                checks.skip(f"no terminal can be had here: {error}")
            with subprocess.Popen(
                [PROGRAM, *arguments, source, pathlib.Path(folder, "copy")],
                env=programs.environment(BACKEND),
                stdout=subprocess.DEVNULL,
                stderr=terminal,
            ) as process:
                os.close(terminal)
                seen = b""
                while True:
                    try:
                        part = os.read(master, 4096)
                    except OSError:  # the terminal's other end is closed
                        break
                    if not part:
                        break
                    seen += part
            os.close(master)
            if process.returncode != 0:
                findings.add(f"status {process.returncode}: {seen!r}")
            if (b"%" in seen) != wanted:
                findings.add(f"{arguments}: the terminal shows {seen!r}")
        if copy(source, pathlib.Path(folder, "copy")).stderr:
            findings.add("there is progress although stderr is no terminal")
    return 3


programs.require(INFO, BACKEND)
programs.run_case(
    {
        "sizes": sizes,
        "sparse": sparse,
        "mode_and_name": mode_and_name,
        "refusals": refusals,
        "full_disk": full_disk,
        "changing_source": changing_source,
        "progress": progress,
    },
    CASE,
)
