"""Rules of the house that a compiler does not know, as a check.

usage: rules.py
"""

import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
LINES_MAX = 650  # "about 600"
HEADERS_OF = {"liburing.h": "backends/uring/", "sys/epoll.h": "backends/epoll/"}
BACKENDS = ["uring", "epoll", "blocking"]

findings = []


def find(path, number, text):
    findings.append(f"{path}:{number}: {text}")


def without_comments(text):
    blank = lambda match: re.sub(r"[^\n]", " ", match.group(0))  # noqa: E731
    return re.sub(r"/\*.*?\*/|//[^\n]*", blank, text, flags=re.DOTALL)


def check_includes(path, lines):
    library = path.startswith(("common/", "backends/", "include/"))
    for number, line in enumerate(lines, 1):
        match = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
        if not match:
            continue
        name = match.group(1)
        home = HEADERS_OF.get(name)
        if library and home and not path.startswith(home):
            find(path, number, f"only {home} includes <{name}>")
        if path.startswith("common/") and "backends/" in name:
            find(path, number, "common/ does not include a backend")
        if path.startswith("include/") and not re.fullmatch(
            r"(\.\./)?(kula/)?\w+\.(h|hpp)|sys/\w+\.h|[a-z_]+", name
        ):
            find(path, number, "include/ needs nothing of the library's inside")
        for backend in BACKENDS:
            other = path.startswith("backends/") and not path.startswith(f"backends/{backend}/")
            if other and f"{backend}/" in name:
                find(path, number, "a backend does not include another one")


def check_own_header_first(path, lines):
    header = pathlib.Path(path).with_suffix(".h")
    if not (ROOT / header).exists():
        return
    for number, line in enumerate(lines, 1):
        match = re.match(r'\s*#\s*include\s*[<"]([^>"]+)[>"]', line)
        if match:
            if pathlib.Path(match.group(1)).name != header.name:
                find(path, number, f"includes {match.group(1)} before its own {header.name}")
            return


def check_names(path, code):
    if path.startswith("common/"):
        for number, line in enumerate(code, 1):
            named = re.search(r"kula__backend_(?:uring|epoll|blocking)\b|\bKULA_HAVE_\w+", line)
            if named:
                find(path, number, f"common/ does not name a backend: {named.group(0)}")


def check_file(path):
    text = (ROOT / path).read_text(encoding="utf-8")
    lines = text.splitlines()
    for number, line in enumerate(lines, 1):
        if re.search(r"\b(?:TO" r"DO|FIX" r"ME|X" r"XX)\b", line):
            find(path, number, "says that something is left to do")
        if line != line.rstrip():
            find(path, number, "ends in a blank")
    if path.endswith((".c", ".h", ".cpp", ".hpp")):
        code = without_comments(text).splitlines()
        check_includes(path, code)
        check_names(path, code)
        if len(lines) > LINES_MAX:
            find(path, len(lines), f"longer than {LINES_MAX} lines")
    if path.endswith(".c") and path.startswith(("common/", "backends/")):
        check_own_header_first(path, lines)


def main():
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.splitlines()
    checked = [path for path in listed if not path.endswith((".png", ".svg"))]
    for path in checked:
        if (ROOT / path).exists():
            check_file(path)
    print("\n".join(findings))
    print(f"rules: {len(checked)} files, {len(findings)} findings")
    sys.exit(1 if findings or not checked else 0)


main()
