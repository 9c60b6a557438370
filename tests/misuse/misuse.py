"""Compilers and the analyser report misuse, and nothing else.

usage: misuse.py reported FILE INCLUDE_DIR
       misuse.py silent FILE INCLUDE_DIR

A file of misuse says in its head comment which stage has to report what:

    gcc:     gcc -O2, a regular expression for the text of a diagnostic
    clang:   clang -O2
    analyze: clang --analyze

Each file holds the corrected program too (-DCORRECTED). It has to pass every stage in silence, so
that a diagnostic for some other reason is not taken for the right one. Every stage is run with the
headers as a project's own (-I) and as installed ones (-isystem), where compilers say less.
"""

import os
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
import checks  # noqa: E402

COMMON = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra"]
STAGES = {
    "gcc": ["gcc", *COMMON, "-O2", "-c", "-o", os.devnull],
    "clang": ["clang", *COMMON, "-O2", "-c", "-o", os.devnull],
    "analyze": ["clang", *COMMON, "--analyze", "--analyzer-output", "text"],
}


def diagnostics(stage, include_option, include, path, *defines):
    command = [*STAGES[stage], include_option, include, *defines, path]
    # Messages are compared with their English text and plain quotes.
    result = checks.run(command, env=dict(os.environ, LC_ALL="C"))
    return result.stdout + result.stderr


def expectations(path):
    comment = path.read_text(encoding="utf-8").split("*/")[0]
    return re.findall(rf"^ \* ({'|'.join(STAGES)}): +(.+)$", comment, flags=re.MULTILINE)


def silent(findings, include, path, *defines):
    for stage in STAGES:
        for option in ("-I", "-isystem"):
            output = diagnostics(stage, option, include, path, *defines)
            if output:
                findings.add(f"{stage} ({option}) is not silent on a correct program:\n{output}")


def reported(findings, include, path):
    expected = expectations(path)
    for stage, text in expected:
        for option in ("-I", "-isystem"):
            output = diagnostics(stage, option, include, path)
            if not re.search(text, output):
                findings.add(f"{stage} ({option}) does not say '{text}':\n{output}")
    silent(findings, include, path, "-DCORRECTED")
    return len(expected)


def main():
    what, path, include = sys.argv[1:]
    checks.need("gcc", "clang")
    findings = checks.Findings()
    if what == "reported":
        findings.finish(reported(findings, include, pathlib.Path(path)))
    silent(findings, include, path)
    findings.finish(len(STAGES))


main()
