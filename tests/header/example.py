"""The program in the head comment of kula.h prints a file, on the backend that is named.

usage: example.py PROGRAM BACKEND
"""

import os
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
import checks  # noqa: E402


def main():
    program, backend = sys.argv[1:]
    environment = dict(os.environ, KULA_BACKEND=f"strict:{backend}")
    with tempfile.NamedTemporaryFile() as file:
        text = "".join(f"line {number} of the file\n" for number in range(100))
        file.write(text.encode())
        file.flush()
        result = checks.run([program, file.name], env=environment, timeout=60)
        if "kula_open: " in result.stderr and backend not in checks.expected_backends():
            checks.skip(f"{backend} is not available here: {result.stderr.strip()}")
        findings = checks.Findings()
        if result.returncode != 0:
            findings.add(f"exit status {result.returncode}: {result.stderr}")
        if result.stdout != text:
            findings.add(f"printed {len(result.stdout)} of {len(text)} bytes, or other ones")
        missing = checks.run([program, file.name + ".missing"], env=environment, timeout=60)
        if missing.returncode != 0 or missing.stdout:
            findings.add(f"a descriptor of -1: status {missing.returncode}, {missing.stderr}")
    findings.finish(2)


main()
