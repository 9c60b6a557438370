"""A program that uses the C++ classes is built in one dialect and run on each backend.

usage: programs.py SOURCE COMPILER STANDARD EXCEPTIONS INCLUDE_DIR LIBKULA_SO [FLAG...]
       EXCEPTIONS is "with" or "without" (-fno-exceptions -fno-rtti); the flags are a sanitizer's
"""

import os
import pathlib
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import compilers  # noqa: E402
from compilers import checks  # noqa: E402

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wundef", "-Werror"]
BACKENDS = ("uring", "epoll", "blocking")
LIMIT_SECONDS = 120  # against hangs


def built(directory, source, compiler, standard, exceptions, include, library, flags):
    program = pathlib.Path(directory) / "program"
    left_out = ["-fno-exceptions", "-fno-rtti"] if exceptions == "without" else []
    result = checks.run(
        [
            *(compiler, f"-std={standard}", "-O2", "-pthread", *WARNINGS, *left_out, *flags),
            *(f"-I{include}", "-o", program, source),
            *(library, f"-Wl,-rpath,{pathlib.Path(library).parent}"),
        ]
    )
    if result.returncode != 0 or result.stderr:
        print(result.stderr)
        sys.exit(1)
    return program


def main():
    source, compiler, standard, exceptions, include, library, *flags = sys.argv[1:]
    compilers.insist(compiler)
    findings = checks.Findings()
    checked = 0
    with tempfile.TemporaryDirectory() as directory:
        program = built(
            directory, source, compiler, standard, exceptions, include, library, flags
        )
        for backend in BACKENDS:
            environment = dict(os.environ, KULA_BACKEND=f"strict:{backend}")
            result = checks.run([program], env=environment, timeout=LIMIT_SECONDS)
            if "kula_open: " in result.stderr and backend not in checks.expected_backends():
                print(f"{backend} is not available here: {result.stderr.strip()}")
                continue
            checked += 1
            if result.returncode != 0 or result.stdout:
                said = result.stdout + result.stderr
                findings.add(f"{backend}, exit status {result.returncode}: {said}")
    findings.finish(checked)


main()
