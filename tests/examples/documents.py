"""The programs in README.md and docs/ do what the text around them says.

A program is a fenced block marked ```c or ```cpp that holds main(). Its first line is a comment that
names it: /* NAME.c ... */ or // NAME.cpp ...

usage: documents.py --extract FOLDER FILE...        writes them out, and prints their files' names
       documents.py NAME PROGRAM KULA_INFO BACKEND  runs one
       documents.py --tables ROOT                   compares tables and links with what is there
       documents.py --misuse ROOT                   prints the table of misuse
"""

import pathlib
import re
import sys

import programs
from programs import checks

FENCED = re.compile(r"^```(?:c|cpp)\n(.*?)^```$", re.M | re.S)
NAME = re.compile(r"(?:/\*|//) (\w+)\.(c|cpp)\b")


def extract(folder, files):
    names = []
    pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
    for file in files:
        for text in FENCED.findall(pathlib.Path(file).read_text(encoding="utf-8")):
            if not re.search(r"\bmain\(", text):
                continue
            found = NAME.match(text)
            if not found or found[1] in [pathlib.Path(name).stem for name in names]:
                sys.exit(f"{file}: a program without a name of its own:\n{text}")
            names.append(f"{found[1]}.{found[2]}")
            target = pathlib.Path(folder, names[-1])
            if not target.exists() or target.read_text(encoding="utf-8") != text:
                target.write_text(text, encoding="utf-8")
    print(";".join(names), end="")


def first(output):
    return sorted(output.splitlines()) == ["received: hand to hand", "sent: hand to hand"]


def embed(output):
    return output == "buffer 1\nbuffer 2\nbuffer 3\n"


def lent(output):
    return output == "KULA: hand to hand\n"


def two_lines(output):
    return output == "hand to hand\nhand to hand\n"


def hand_to_hand(output):
    return output == "after handing over: empty\ncame home: potato\n"


def stale_copy(output):
    refused = "kula_bytes refused: stale copy: ownership moved since this handle was issued\n"
    return output == f"{refused}bytes of the copy: none\nmisuses: 1\n"


def broadcast(output):
    return output == "sent 100 times, references left: 1\na buffer again\n"


EXPECTED = {
    "first": first,
    "embed": embed,
    "lent": lent,
    "two_lines": two_lines,
    "hand_to_hand": hand_to_hand,
    "stale_copy": stale_copy,
    "broadcast": broadcast,
}


def run(name, program, info, backend):
    if name not in EXPECTED:
        print(f"nobody has said what {name} has to print: add it to EXPECTED")
        sys.exit(1)
    programs.require(info, backend)
    result = checks.run(
        [program], env=programs.environment(backend), timeout=programs.LIMIT_SECONDS
    )
    findings = checks.Findings()
    if result.returncode != 0 or not EXPECTED[name](result.stdout):
        findings.add(f"status {result.returncode}: {result.stdout!r} {result.stderr!r}")
    findings.finish(1)


def rows(text):
    """The cells of every row of the tables, without headings."""
    found = []
    for line in text.splitlines():
        if line.startswith("|") and not re.match(r"\|[-|]+$", line):
            found.append([cell.strip() for cell in line.strip("|").split("|")])
    return found


MISUSES = 40

# The columns of the table of misuse, and the stages of tests/misuse that fill them.
MISUSE_COLUMNS = {
    "gcc": ["gcc"],
    "clang": ["clang"],
    "analyser": ["analyze"],
    "lint": ["gcc-lint", "analyze-lint"],
    "run time": ["run"],
    "checked": ["run-guard", "run-checksum"],
}


def misuse_rows(root):
    """What the files in tests/misuse expect, as rows of the table in docs/ownership.md."""
    found = {}
    for file in (root / "tests/misuse").glob("[0-9]*.c"):
        comment = file.read_text("utf-8").split("*/")[0]
        heading = re.match(r"/\* Misuse (\d+): (.*?)\.\n \*\n", comment, re.S)
        said = [re.sub(r"\s+\*\s+", " ", heading[2])]
        for stages in MISUSE_COLUMNS.values():
            if any(f"\n * {stage}: " in comment for stage in stages):
                said.append("yes")
            else:
                newest = any(f"\n * {stage}-newest: " in comment for stage in stages)
                said.append("newest" if newest else "")
        found[heading[1]] = said
    return found


def compare_misuse(findings, root):
    """docs/ownership.md: the stages of a row are those that its file in tests/misuse expects."""
    table = {}
    for number, *cells in rows((root / "docs/ownership.md").read_text("utf-8")):
        if number.isdigit():
            table[number] = [cell.replace("`", "") for cell in cells]
    tested = misuse_rows(root)
    for number in sorted(set(table) | set(tested), key=int):
        if table.get(number) != tested.get(number):
            findings.add(f"misuse {number}: {table.get(number)}, tested {tested.get(number)}")
    if sorted(map(int, tested)) != list(range(1, MISUSES + 1)):
        findings.add(f"the cases of misuse are not 1 to {MISUSES}: {' '.join(sorted(tested))}")
    for number, cells in tested.items():
        if not any(cells[1:]):
            findings.add(f"misuse {number} is not found by anything")
    return len(table)


def compare_cpp_misuse(findings, root):
    """docs/cpp.md: the cells of a row are what its file in tests/cpp/misuse expects."""
    tools = ("g++", "clang++", "consumed", "tidy", "analyze")
    tested = []
    for file in sorted((root / "tests/cpp/misuse").glob("*.cpp")):
        comment = file.read_text("utf-8").split("#include")[0]
        number, sentence = re.match(r"// Misuse ?(\d*): (.*)\.\n", comment).groups()
        said = dict(re.findall(r"^// (\S+): +(.*)$", comment, re.M))
        cells = []
        for tool in tools:
            error = said.get(tool, "").startswith("error:")
            cells.append("error" if error else "yes" if tool in said else "")
        tested.append([number.lstrip("0"), sentence, *cells])
    table = [row for row in rows((root / "docs/cpp.md").read_text("utf-8")) if len(row) == 7]
    for row in table[1:]:
        if row not in tested:
            findings.add(f"cpp.md: no test says {row}")
    for row in tested:
        if row not in table:
            findings.add(f"cpp.md does not say {row}")
    return len(tested)


def compare_differences(findings, root):
    """docs/differences.md: its rows name tests that exist, and all that ask which backend runs."""
    asking = set()
    there = set()
    for file in (root / "tests/conformance").glob("*.c"):
        text = file.read_text("utf-8")
        for test, body in re.findall(r"^static void (\w+)\(void \*\*state\)\n(.*?)^}", text, re.M | re.S):
            there.add((file.name, test))
            questions = [line for line in body.splitlines() if "harness_backend_is(" in line]
            # What a sanitizer does to one backend is no difference that a program sees.
            if any(not re.search(r"harness_(delays_signals|sanitized)", line) for line in questions):
                asking.add((file.name, test))
    named = set()
    for row in rows((root / "docs/differences.md").read_text("utf-8"))[1:]:
        tests = re.findall(r"`(\w+\.c)`: `(\w+)`", row[-1])
        named.update(tests)
        if not tests:
            findings.add(f"{row[0]}: names no test")
    for file, test in sorted(named - there):
        findings.add(f"differences.md names {test} of {file}, which does not exist")
    for file, test in sorted(asking - named):
        findings.add(f"{test} of {file} makes a difference that differences.md does not have")
    return len(named)


def compare_errors(findings, root):
    """docs/errors.md: every operation of the list has its place there."""
    header = (root / "common/operation.h").read_text("utf-8")
    operations = re.findall(r"^    X\([A-Z]+, (\w+), ", header, re.M)
    words = set(re.findall(r"\w+", (root / "docs/errors.md").read_text("utf-8")))
    for operation in operations:
        if operation not in words:
            findings.add(f"errors.md has no results of {operation}")
    return len(operations)


def compare_links(findings, root):
    """Every file that a document points to is there."""
    checked = 0
    for pattern in ("*.md", "docs/*.md", "*/README.md"):
        for document in root.glob(pattern):
            for link in re.findall(r"\]\(([^)#\s]+)", document.read_text("utf-8")):
                if "://" not in link:
                    checked += 1
                    if not (document.parent / link).exists():
                        findings.add(f"{document.relative_to(root)} points to {link}")
    return checked


if sys.argv[1] == "--extract":
    extract(sys.argv[2], sys.argv[3:])
elif sys.argv[1] == "--misuse":
    print(f"| | misuse | {' | '.join(MISUSE_COLUMNS)} |\n|---|---|{'---|' * len(MISUSE_COLUMNS)}")
    for main_number, main_cells in sorted(
        misuse_rows(pathlib.Path(sys.argv[2])).items(), key=lambda row: int(row[0])
    ):
        print(re.sub(r"\|\s+(?=\|)", "| ", f"| {main_number} | {' | '.join(main_cells)} |"))
elif sys.argv[1] == "--tables":
    main_findings = checks.Findings()
    main_root = pathlib.Path(sys.argv[2])
    counted = compare_misuse(main_findings, main_root)
    counted += compare_cpp_misuse(main_findings, main_root)
    counted += compare_differences(main_findings, main_root)
    counted += compare_errors(main_findings, main_root)
    counted += compare_links(main_findings, main_root)
    main_findings.finish(counted)
else:
    run(*sys.argv[1:])
