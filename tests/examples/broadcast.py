"""05_broadcast sends one file to many clients out of one copy.

usage: broadcast.py CASE PROGRAM KULA_INFO BACKEND
"""

import os
import pathlib
import re
import socket
import sys
import tempfile

import programs
from programs import checks

CASE, PROGRAM, INFO, BACKEND = sys.argv[1:]
SUMMARY = re.compile(r"(\d+) clients, (\d+) got all of it, (\d+) bytes out of (\d+) in memory")


class Server(programs.Background):
    """The program on a port that the system chose, with a file of random bytes."""

    def __init__(self, folder, size, *arguments):
        self.page = os.urandom(size)
        path = pathlib.Path(folder, "page")
        path.write_bytes(self.page)
        super().__init__([PROGRAM, "-p", "0", *arguments, str(path)], BACKEND)
        announcement = self.line()
        found = re.fullmatch(r"listening on 127\.0\.0\.1 port (\d+) \((\w+)\)", announcement)
        if not found or found[2] != BACKEND:
            print(f"{announcement!r} {self.process.stderr.read()!r}")
            sys.exit(1)
        self.port = int(found[1])

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), programs.LIMIT_SECONDS)

    def stop(self, findings, wanted):
        """Waits for its end; its summary has to be the wanted one."""
        status, output, errors = self.end()
        found = SUMMARY.search(output)
        numbers = [int(number) for number in found.groups()] if found else None
        if status != 0 or errors or not numbers or numbers[: len(wanted)] != wanted:
            findings.add(f"status {status}, {numbers}, not {wanted}, {errors!r}")
        return numbers


def read_all(connection):
    parts = []
    try:
        while part := connection.recv(1 << 20):
            parts.append(part)
    except ConnectionResetError:
        pass  # hung up on with bytes under way
    return b"".join(parts)


def everybody(findings):
    """Two hundred clients that are connected at the same time get every byte."""
    count, size = 200, 300_001
    with tempfile.TemporaryDirectory() as folder, Server(folder, size, "-c", str(count)) as server:
        clients = [server.connect() for _ in range(count)]
        wrong = sum(read_all(client) != server.page for client in reversed(clients))
        for client in clients:
            client.close()
        if wrong:
            findings.add(f"{wrong} of {count} clients got something else")
        server.stop(findings, [count, count, count * size, size])
    return 2


def slow(findings):
    """One that does not read is hung up on, and one that goes away does no harm to the others."""
    size = 20_000_000  # more than sockets take in
    with tempfile.TemporaryDirectory() as folder, Server(
        folder, size, "-c", "4", "-t", "5"
    ) as server:
        deaf = server.connect()
        gone = server.connect()
        gone.recv(1)
        gone.close()
        for _ in range(2):
            with server.connect() as client:
                if read_all(client) != server.page:
                    findings.add("a client that reads got something else")
        numbers = server.stop(findings, [4, 2])
        if not numbers or not 2 * size <= numbers[2] < 4 * size:
            findings.add(f"bytes: {numbers}")
        if len(read_all(deaf)) >= size:
            findings.add("the deaf client got all of it")
        deaf.close()
    return 4


def refusals(findings):
    """What is no file with something in it is refused, and so are wrong options."""
    with tempfile.TemporaryDirectory() as folder:
        empty = pathlib.Path(folder, "empty")
        empty.touch()
        cases = [([path], 1) for path in (str(empty), folder, "/absent")]
        cases += [([], 2), (["-c", "x", str(empty)], 2), (["-p", "65536", str(empty)], 2)]
        for arguments, wanted in cases:
            result = checks.run([PROGRAM, *arguments], env=programs.environment(BACKEND))
            if result.returncode != wanted or not result.stderr:
                findings.add(f"{arguments}: status {result.returncode}, {result.stderr!r}")
    return len(cases)


programs.require(INFO, BACKEND)
programs.run_case({"everybody": everybody, "slow": slow, "refusals": refusals}, CASE)
