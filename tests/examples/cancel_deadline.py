"""03_cancel_deadline takes the server that speaks first, and gives up in time.

usage: cancel_deadline.py CASE PROGRAM KULA_INFO BACKEND
"""

import socket
import sys

import programs
from programs import checks

CASE, PROGRAM, INFO, BACKEND = sys.argv[1:]


def listen():
    listener = socket.create_server(("127.0.0.1", 0))
    return listener, f"127.0.0.1:{listener.getsockname()[1]}"


def closed_port():
    """An address where nobody listens."""
    listener, name = listen()
    listener.close()
    return name


def expect_words(findings, output, *words):
    for word in words:
        if word not in output:
            findings.add(f"no {word!r} in {output!r}")


def first_wins(findings):
    silent, silent_name = listen()
    greeting, greeting_name = listen()
    refusing_name = closed_port()
    names = [silent_name, refusing_name, greeting_name]
    with programs.Background([PROGRAM, "-t", "60", *names], BACKEND) as program:
        held, _ = silent.accept()
        connection, _ = greeting.accept()
        connection.sendall(b"220 kula test\r\nand more\r\n")
        status, output, errors = program.end()
        # The loser's descriptor was closed: there is nothing more to come.
        if held.recv(1) != b"":
            findings.add("the loser was not hung up on")
        held.close()
        connection.close()
    if status != 0:
        findings.add(f"status {status}: {output!r} {errors!r}")
    expect_words(findings, output, f"{greeting_name} speaks first: 220 kula test\n")
    lines = {line.split()[0]: line for line in output.splitlines() if line.startswith("  ")}
    if sorted(lines) != sorted(names):
        findings.add(f"not every server has one line: {output!r}")
    expect_words(findings, lines.get(greeting_name, ""), "won")
    return 4


def nobody_speaks(findings):
    silent, silent_name = listen()
    result = checks.run(
        [PROGRAM, "-t", "0.2", silent_name, closed_port()],
        env=programs.environment(BACKEND),
        timeout=programs.LIMIT_SECONDS,
    )
    silent.close()
    if result.returncode != 1:
        findings.add(f"status {result.returncode}: {result.stderr!r}")
    expect_words(findings, result.stdout, "nobody has spoken in time", silent_name)
    return 2


def bad_arguments(findings):
    for arguments, status in ((["-t", "x", "h:1"], 2), ([], 2), (["nowhere"], 1)):
        result = checks.run([PROGRAM, *arguments], env=programs.environment(BACKEND))
        if result.returncode != status:
            findings.add(f"{arguments}: status {result.returncode}, not {status}")
    return 3


programs.require(INFO, BACKEND)
programs.run_case(
    {
        "first_wins": first_wins,
        "nobody_speaks": nobody_speaks,
        "bad_arguments": bad_arguments,
    },
    CASE,
)
