"""What the library does by itself when it finds misuse, and with the words of KULA_DEBUG.

usage: default.py PROGRAM_DIR refuses|aborts

Without a hook misuse is a line on stderr; builds for debugging then abort, others refuse the call and
go on. KULA_DEBUG=abort makes them all abort. A word that is not known is warned of, once.
"""

import os
import pathlib
import re
import signal
import sys

import levels
from levels import checks

REPORT = (
    r"kula: misuse: kula_free \(buffer (\d+), generation (\d+), now (\d+)\): "
    r"stale copy: the buffer is with a ring"
)


def run(folder, program, debug):
    environment = {k: v for k, v in os.environ.items() if not k.startswith("KULA_")}
    environment["KULA_DEBUG"] = debug
    command = [str(pathlib.Path(folder) / f"checked_{program}"), "blocking"]
    result = checks.run(command, env=environment, timeout=levels.TIME_LIMIT_S)
    return result.returncode, result.stderr


def main():
    folder, usual = sys.argv[1:]
    findings = checks.Findings()
    usual_status = {"refuses": 0, "aborts": -signal.SIGABRT}[usual]
    for debug, wanted in (("", usual_status), ("abort", -signal.SIGABRT), ("quiet", usual_status)):
        status, output = run(folder, "freed_in_flight", debug)
        found = re.findall(REPORT, output)
        if status != wanted or len(found) != 1:
            findings.add(f"KULA_DEBUG={debug}: status {status}, not {wanted}:\n{output}")
        elif int(found[0][2]) != int(found[0][1]) + 1:
            findings.add(f"handing over is one generation further:\n{output}")
    for debug, warnings in (("canary,canarie", 1), ("canary checksum", 0), ("quiet,no-such", 0)):
        status, output = run(folder, "freed_in_flight_corrected", debug)
        if status != 0 or output.count("is not known") != warnings:
            findings.add(f"KULA_DEBUG={debug}: {warnings} warnings expected:\n{output}")
    findings.finish(6)


main()
