"""Compilers, the analyser and the library report misuse, and nothing else.

usage: misuse.py reported FILE INCLUDE_DIR LIBRARY CC [FLAG...]
       misuse.py silent FILE INCLUDE_DIR
       misuse.py lint_does_not_link FILE INCLUDE_DIR LIBRARY
       misuse.py survey INCLUDE_DIR FILE...
       misuse.py advisory INCLUDE_DIR FILE...

A file of misuse says in its head comment which stage has to report what, as regular expressions:

    gcc:           gcc -O2 -Wall -Wextra
    clang:         clang -O2 -Wall -Wextra, Debian's own and the newest
    analyze:       clang --analyze, Debian's own and the newest
    gcc-lint:      gcc with -DKULA_LINT
    analyze-lint:  clang --analyze with -DKULA_LINT
    run:           the program, linked with the library: its output
    run-guard:     the same with KULA_DEBUG=guard; "signal 11" is what it died of
    run-checksum:  with KULA_DEBUG=checksum

clang-newest, analyze-newest and analyze-lint-newest say what only the newest clang reports, or what it
says instead. Several lines of one stage have all to be found.

Each file holds the corrected program too (-DCORRECTED). It has to pass every stage in silence, so
that a diagnostic for some other reason is not taken for the right one, and to run well in checked mode. Misuse has to be reported with
the headers as a project's own (-I) and as installed ones (-isystem), where compilers say less.

"survey" shows what each stage says of a file, without a verdict. "advisory" counts what gcc's own
analyser says of correct programs.
"""

import itertools
import os
import pathlib
import re
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
import checks  # noqa: E402

LIMIT_SECONDS = 60
BACKENDS = ("uring", "epoll", "blocking")
WARNINGS = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra"]
COMPILE = ["-O2", "-c", "-o", os.devnull]
ANALYZE = ["--analyze", "--analyzer-output", "text"]
KINDS = {
    "gcc": COMPILE,
    "clang": COMPILE,
    "analyze": ANALYZE,
    "gcc-lint": [*COMPILE, "-DKULA_LINT"],
    "analyze-lint": [*ANALYZE, "-DKULA_LINT"],
}
STAGES = [*KINDS, "clang-newest", "analyze-newest", "analyze-lint-newest"]
RUNS = {"run": "", "run-guard": "guard", "run-checksum": "checksum"}  # KULA_DEBUG
CHECKED_MODES = ("guard", "ownership,canary,checksum")  # where correct programs run, too


def stages():
    """Name, command of every stage that a compiler can do here."""
    newest = checks.newest_clang()
    for kind, options in KINDS.items():
        if kind.startswith("gcc"):
            yield kind, ["gcc", *WARNINGS, *options]
        else:
            yield kind, ["clang", *WARNINGS, *options]
            if newest:
                yield f"{kind}-newest", [newest, *WARNINGS, *options]


def said(command, *arguments):
    """What a compiler says; with its English text and plain quotes."""
    result = checks.run([*command, *map(str, arguments)], env=dict(os.environ, LC_ALL="C"))
    return result.stdout + result.stderr


def expectations(path):
    comment = path.read_text(encoding="utf-8").split("*/")[0]
    found = re.findall(rf"^ \* ({'|'.join([*STAGES, *RUNS])}): +(.+)$", comment, flags=re.MULTILINE)
    return {stage: [text for name, text in found if name == stage] for stage, _ in found}


def expected_of(stage, expected):
    """The newest clang has to say what Debian's own says, unless a line of its own says otherwise."""
    return expected.get(stage) or expected.get(stage.removesuffix("-newest"), [])


def options_of(stage):
    return ["-I"] if "lint" in stage else ["-I", "-isystem"]


def silent(findings, include, path, *defines):
    """With the headers as a project's own: of installed ones nothing more is said."""
    for stage, command in stages():
        output = said(command, "-I", include, *defines, path)
        if output:
            findings.add(f"{stage} is not silent on a correct program:\n{output}")


def backends_of(path):
    """All of them, unless a line "backends:" names those where the misuse can happen."""
    named = re.search(r"^ \* backends: +([a-z ]+)", path.read_text(encoding="utf-8"), re.MULTILINE)
    return named[1].split() if named else BACKENDS


def run_on(backend, program, words):
    environment = dict(os.environ, KULA_BACKEND=f"strict:{backend}", KULA_DEBUG=words)
    result = checks.run([program], env=environment, timeout=LIMIT_SECONDS)
    if result.returncode < 0:
        result.stdout += f"signal {-result.returncode}\n"
    skipped = result.returncode == checks.SKIPPED and backend not in checks.expected_backends()
    return None if skipped else result


def run(findings, path, expected, include, library, compiler, *flags):
    """The misuse is refused on every backend; the corrected program ends well."""
    with tempfile.TemporaryDirectory() as folder:
        programs = {}
        for name, define in (("misuse", "-DMISUSE"), ("corrected", "-DCORRECTED")):
            programs[name] = str(pathlib.Path(folder, name))
            command = [compiler, *WARNINGS, "-w", "-O2", "-DRUN", define, *flags, f"-I{include}"]
            command += [str(path), "-o", programs[name], "-pthread", library]
            checks.must([*command, f"-Wl,-rpath,{pathlib.Path(library).parent}"])
        ran = 0
        for stage, backend in itertools.product(expected, backends_of(path)):
            misused = run_on(backend, programs["misuse"], RUNS[stage])
            corrected = run_on(backend, programs["corrected"], RUNS[stage])
            if not misused or not corrected:
                continue
            ran += 1
            for text in expected[stage]:
                if not re.search(text, misused.stdout):
                    findings.add(f"{stage}, {backend}: does not say '{text}':\n{misused.stdout}")
            wrong = corrected.returncode != 0 or "misuse: " in corrected.stdout
            if wrong or all(re.search(text, corrected.stdout) for text in expected[stage]):
                findings.add(f"{stage}, {backend}: correct, and yet:\n{corrected.stdout}")
        for words, backend in itertools.product(CHECKED_MODES, backends_of(path)):
            corrected = run_on(backend, programs["corrected"], words)
            if corrected and (corrected.returncode != 0 or "misuse: " in corrected.stdout):
                findings.add(f"{words}, {backend}: correct, and yet:\n{corrected.stdout}")
        print(f"run {ran} times")


def reported(findings, path, include, *build):
    expected = expectations(path)
    for stage, command in stages():
        for option in options_of(stage):
            wanted = expected_of(stage, expected)
            output = said(command, option, include, path) if wanted else ""
            for text in wanted:
                if not re.search(text, output):
                    findings.add(f"{stage} ({option}) does not say '{text}':\n{output}")
    silent(findings, include, path, "-DCORRECTED")
    at_run_time = {stage: expected[stage] for stage in RUNS if stage in expected}
    if at_run_time:
        run(findings, path, at_run_time, include, *build)
    return sum(map(len, expected.values()))


def lint_does_not_link(findings, path, include, library):
    with tempfile.TemporaryDirectory() as folder:
        program = str(pathlib.Path(folder, "program"))
        for compiler in ("gcc", "clang"):
            command = [compiler, *WARNINGS, "-O2", "-DKULA_LINT", "-I", include]
            result = checks.run([*command, path, library, "-o", program])
            if result.returncode == 0 or "for_analysis_only" not in result.stderr:
                findings.add(f"{compiler}: a lint build links:\n{result.stderr}")
    return 2


def survey(include, *paths):
    for path in paths:
        print(f"== {path}")
        for stage, command in stages():
            for line in said(command, "-I", include, path).splitlines():
                if re.search(r"\b(warning|error):", line):
                    print(f"{stage}: {line}")
        print("corrected:", end=" ")
        findings = checks.Findings()
        silent(findings, include, path, "-DCORRECTED")
        print("silent" if findings.count == 0 else "")


def advisory(include, *paths):
    alarms = {}
    for path in paths:
        output = said(["gcc", *WARNINGS, "-fanalyzer", *COMPILE], "-I", include, path)
        alarms[path] = len(re.findall(r"\bwarning:", output))
    wrong = sum(count > 0 for count in alarms.values())
    print(f"{sum(alarms.values())} alarms about {wrong} of {len(paths)} correct programs")


def main():
    what, *arguments = sys.argv[1:]
    checks.need("gcc", "clang")
    checks.need_newest_clang()
    if what in ("survey", "advisory"):
        (survey if what == "survey" else advisory)(*arguments)
        return
    findings = checks.Findings()
    path, *rest = arguments
    if what == "silent":
        silent(findings, rest[0], path)
        for compiler in ("gcc", "clang", checks.newest_clang() or "clang"):
            output = said([compiler, *WARNINGS, "-O3", *COMPILE[1:]], "-I", rest[0], path)
            if output:
                findings.add(f"{compiler} -O3 is not silent on a correct program:\n{output}")
        findings.finish(len(list(stages())))
    if what == "lint_does_not_link":
        findings.finish(lint_does_not_link(findings, path, *rest))
    findings.finish(reported(findings, pathlib.Path(path), *rest))


main()
