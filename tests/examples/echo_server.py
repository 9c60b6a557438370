"""02_echo_server serves real clients: socat, nc, and echo_load with many connections.

usage: echo_server.py CASE SERVER LOAD KULA_INFO BACKEND
"""

import os
import re
import resource
import signal
import socket
import subprocess
import sys

import programs
from programs import checks

CASE, SERVER, LOAD, INFO, BACKEND = sys.argv[1:]
SUMMARY = re.compile(
    r"(\d+) connections, (\d+) bytes sent back, (\d+) timed out, (\d+) failed, (\d+) pauses"
)


class Server(programs.Background):
    """The server on a port that the system chose."""

    def __init__(self, *arguments, **options):
        super().__init__([SERVER, "-p", "0", *arguments], BACKEND, **options)
        announcement = self.line()
        found = re.fullmatch(r"listening on 127\.0\.0\.1 port (\d+) \((\w+)\)", announcement)
        if not found or found[2] != BACKEND:
            print(f"{announcement!r} {self.process.stderr.read()!r}")
            sys.exit(1)
        self.port = int(found[1])

    def connect(self):
        return socket.create_connection(("127.0.0.1", self.port), programs.LIMIT_SECONDS)

    def stop(self, findings):
        """Ends it as an operator would; returns the numbers of its summary."""
        status, output, errors = self.end(signal.SIGTERM)
        found = SUMMARY.search(output)
        if status != 0 or not found:
            findings.add(f"after SIGTERM: status {status}, {output!r}, {errors!r}")
            return [-1] * 5
        return [int(number) for number in found.groups()]


def expect(findings, what, found, wanted):
    if found != wanted:
        findings.add(f"{what}: {found}, not {wanted}")


def clients(findings):
    """What socat and nc send comes back to the last byte, also after they have shut down."""
    checks.need("socat", "nc")
    data = os.urandom(1024 * 1024 + 1)
    with Server() as server:
        address = f"TCP4:127.0.0.1:{server.port}"
        for command in (
            ["socat", "-t", "60", "-", address],
            ["nc", "-N", "127.0.0.1", str(server.port)],
        ):
            answer = subprocess.run(
                command, input=data, capture_output=True, timeout=programs.LIMIT_SECONDS
            )
            if answer.stdout != data:
                findings.add(f"{command[0]}: {len(answer.stdout)} of {len(data)} bytes, or others")
        numbers = server.stop(findings)
    expect(findings, "connections and bytes", numbers[:2], [2, 2 * len(data)])
    expect(findings, "timed out, failed, pauses", numbers[2:], [0, 0, 0])
    return 4


def load(findings):
    """A thousand connections at once, and messages larger than all buffers on their way."""
    wanted = [0, 0]
    with Server() as server:
        for count, messages, size in ((1000, 20, 512), (10, 3, 3_000_000), (1, 500, 1)):
            result = checks.run(
                [LOAD, "-p", str(server.port), "-c", str(count), "-m", str(messages)]
                + ["-s", str(size), "-t", "100"],
                env=programs.environment(BACKEND),
                timeout=programs.LIMIT_SECONDS,
            )
            words = f"{count} connections, {count * messages} messages of {size} bytes verified, 0 f"
            if result.returncode != 0 or not result.stdout.startswith(words):
                findings.add(f"status {result.returncode}: {result.stdout} {result.stderr}")
            wanted[0] += count
            wanted[1] += count * messages * size
        numbers = server.stop(findings)
    expect(findings, "connections and bytes", numbers[:2], wanted)
    expect(findings, "timed out, failed", numbers[2:4], [0, 0])
    return 5


def load_notices(findings):
    """The load client is no good if it does not notice a wrong byte, or a server that hangs up."""
    listener = socket.create_server(("127.0.0.1", 0))
    port = str(listener.getsockname()[1])
    for spoil, words in ((lambda data: data[:-1] + bytes([data[-1] ^ 1]), "differs"), (None, "hung")):
        with programs.Background([LOAD, "-p", port, "-c", "1", "-m", "1"], BACKEND) as client:
            connection, _ = listener.accept()
            data = connection.recv(64, socket.MSG_WAITALL)
            if spoil:
                connection.sendall(spoil(data))
            else:
                connection.shutdown(socket.SHUT_WR)
            status, _, errors = client.end()
            connection.close()
        if status != 1 or words not in errors:
            findings.add(f"{words}: status {status}, {errors!r}")
    return 2


def stops(findings):
    """SIGTERM closes idle connections and lets the answer of a slow reader through."""
    data = os.urandom(200_000)
    with Server() as server:
        idle = [server.connect() for _ in range(20)]
        for connection in idle:
            connection.sendall(b"x")
            expect(findings, "echo", connection.recv(1), b"x")
        server.process.send_signal(signal.SIGTERM)
        for connection in idle:
            expect(findings, "an idle connection", connection.recv(1), b"")
            connection.close()
        status, output, _ = server.end()
        expect(findings, "status", status, 0)
        expect(findings, "summary", SUMMARY.search(output)[1], "20")
    with Server() as server:
        slow = server.connect()
        slow.sendall(data)  # more than the server takes in before it is read
        expect(findings, "first bytes", slow.recv(1000, socket.MSG_WAITALL), data[:1000])
        server.process.send_signal(signal.SIGTERM)
        rest = b""
        while True:
            try:
                part = slow.recv(65536)
            except ConnectionResetError:  # bytes that the server had not taken in are given up
                break
            if not part:
                break
            rest += part
        expect(findings, "what came after SIGTERM", rest, data[1000 : 1000 + len(rest)])
        expect(findings, "status", server.end()[0], 0)
    return 25


def second_signal(findings):
    """With a reader that never reads, the first signal waits for it, the second does not."""
    with Server() as server:
        stuck = server.connect()
        stuck.setblocking(False)
        try:
            while True:
                stuck.send(b"y" * 65536)
        except BlockingIOError:
            pass
        server.process.send_signal(signal.SIGTERM)
        status, _, errors = server.end(signal.SIGINT)
        expect(findings, f"status ({errors})", status, 0)
        stuck.close()
    return 1


def idle_limit(findings):
    """A silent connection is ended, a busy one goes on."""
    with Server("-i", "3") as server:  # longer than this machine may pause us
        silent = server.connect()
        expect(findings, "the silent connection", silent.recv(1), b"")
        with server.connect() as busy:
            for _ in range(5):
                busy.sendall(b"still here")
                expect(findings, "echo", busy.recv(10, socket.MSG_WAITALL), b"still here")
        silent.close()
        numbers = server.stop(findings)
    expect(findings, "connections, bytes, timed out", numbers[:3], [2, 50, 1])
    return 7


def few_descriptors(findings):
    """Out of descriptors the server pauses, and serves the rest when some have gone."""

    def limit():
        resource.setrlimit(resource.RLIMIT_NOFILE, (40, 40))

    with Server("-q", preexec_fn=limit) as server:
        waiting = [server.connect() for _ in range(80)]
        for number, connection in enumerate(waiting):
            connection.sendall(b"%d" % number)
        for number, connection in enumerate(waiting):
            expect(findings, "echo", connection.recv(10), b"%d" % number)
            connection.close()
        numbers = server.stop(findings)
    expect(findings, "connections", numbers[0], 80)
    if numbers[4] < 1:
        findings.add("80 connections with 40 descriptors, and there was no pause")
    return 82


programs.require(INFO, BACKEND)
programs.run_case(
    {
        "clients": clients,
        "load": load,
        "load_notices": load_notices,
        "stops": stops,
        "second_signal": second_signal,
        "idle_limit": idle_limit,
        "few_descriptors": few_descriptors,
    },
    CASE,
)
