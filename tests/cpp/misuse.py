"""Compilers and analysers report misuse of the C++ classes, and nothing else.

usage: misuse.py reported FILE INCLUDE_DIR
       misuse.py silent FILE INCLUDE_DIR

A file of misuse says in its head comment which tool has to report what, as a regular expression:

    g++:      g++ -O2; a text that begins with "error:" says that it does not compile
    clang++:  clang++ -O2
    consumed: clang++ -Wconsumed
    tidy:     clang-tidy's bugprone-use-after-move
    analyze:  clang++ --analyze

Each file holds the corrected program too (-DCORRECTED). The same tools have to pass it in silence, so
that a diagnostic for some other reason is not taken for the right one. Where a newer clang is
installed besides the system's, it has to say the same. Misuse is looked for with the headers as
installed ones (-isystem), where compilers say less; silence is asked for with the headers as the
project's own (-I).
"""

import os
import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import compilers  # noqa: E402
from compilers import checks  # noqa: E402

WARNINGS = ["-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow"]
OPTIMISED = ["-O2", "-c", "-o", os.devnull]
TOOLS = ("g++", "clang++", "consumed", "tidy", "analyze")

# clang 14 -Wconsumed says of every variable that lives across a loop and is handed over after it
# that it changes in the loop; clang 19 does not. So what goes round in loops is left to newer ones.
LOOPS_FOLLOWED = 19
TOOLS_FOR_LOOPS = ("g++", "clang++", "consumed_loops", "tidy", "analyze")


def commands(tool, flags, path):
    """The commands of a tool, one for each version of it."""
    if tool == "g++":
        yield ["g++", *flags, *OPTIMISED, path]
        return
    for clang in compilers.clangs():
        if tool == "consumed_loops" and compilers.version(clang) < LOOPS_FOLLOWED:
            continue
        if tool == "clang++":
            yield [clang, *flags, *OPTIMISED, path]
        elif tool.startswith("consumed"):
            yield [clang, *flags, "-Wconsumed", "-fsyntax-only", path]
        elif tool == "analyze":
            yield [clang, *flags, "--analyze", "--analyzer-output", "text", path]
        else:
            tidy = clang.replace("clang++", "clang-tidy")
            if compilers.is_there(tidy):
                checked = ["--quiet", "--checks=-*,bugprone-use-after-move", path]
                yield [tidy, *checked, "--", *flags]


def diagnostics(command):
    # Messages are compared with their English text and plain quotes.
    result = checks.run(command, env=dict(os.environ, LC_ALL="C"))
    # clang-tidy counts on stderr what it suppressed in the system's headers.
    return result.stdout if "tidy" in command[0] else result.stdout + result.stderr


def expectations(path):
    comment = pathlib.Path(path).read_text(encoding="utf-8").split("#include")[0]
    tools = "|".join(map(re.escape, TOOLS))
    return re.findall(rf"^// ({tools}): +(.+)$", comment, flags=re.MULTILINE)


def silent(findings, tools, flags, path):
    checked = 0
    for tool in tools:
        for command in commands(tool, flags, path):
            checked += 1
            output = diagnostics(command)
            if output:
                text = " ".join(command)
                findings.add(f"{text} is not silent on a correct program:\n{output}")
    return checked


def reported(findings, include, path):
    expected = expectations(path)
    flags = ["-std=c++17", *WARNINGS]
    checked = 0
    for tool, text in expected:
        for command in commands(tool, [*flags, "-isystem", include], path):
            checked += 1
            output = diagnostics(command)
            if not re.search(text, output):
                findings.add(f"{' '.join(command)} does not say '{text}':\n{output}")
    tools = [tool for tool, _ in expected]
    silent(findings, tools, [*flags, "-I", include, "-DCORRECTED"], path)
    return checked


def main():
    what, path, include = sys.argv[1:]
    compilers.insist("g++", "clang++", "clang-tidy")
    findings = checks.Findings()
    if what == "reported":
        findings.finish(reported(findings, include, path))
    flags = ["-std=c++17", *WARNINGS, "-I", include]
    findings.finish(silent(findings, TOOLS_FOR_LOOPS, flags, path))


main()
