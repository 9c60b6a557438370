"""The shared library exports what the headers declare and nothing else; the static library's
global names all belong to the project.

usage: symbols.py INCLUDE_DIR LIBKULA_SO LIBKULA_A
"""

import pathlib
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
import checks  # noqa: E402


def declared(include):
    names = set()
    for header in [include / "kula.h", *(include / "kula").glob("*.h")]:
        text = re.sub(r"/\*.*?\*/", "", header.read_text(encoding="utf-8"), flags=re.DOTALL)
        text = re.sub(r"^\s*#(?:.*\\\n)*.*$", "", text, flags=re.MULTILINE)
        names.update(re.findall(r"^KULA_API\b[^;(]*?(\w+)\(", text, flags=re.MULTILINE))
    return names


def defined(arguments):
    """The functions and objects that nm lists, without the version node itself (type A)."""
    lines = checks.must(["nm", "--defined-only", *arguments]).splitlines()
    found = re.findall(r"^[0-9a-f]+ ([A-Za-z]) (\S+)$", "\n".join(lines), flags=re.MULTILINE)
    return {name.split("@")[0] for kind, name in found if kind != "A"}


def main():
    include, shared, static = map(pathlib.Path, sys.argv[1:])
    checks.need("nm")
    findings = checks.Findings()
    public = declared(include)
    exported = defined(["-D", str(shared)])
    for name in sorted(exported - public):
        findings.add(f"exported, but in no header: {name}")
    for name in sorted(public - exported):
        findings.add(f"in a header, but not exported: {name}")
    inside = defined(["-g", str(static)])
    for name in sorted(inside):
        # AddressSanitizer marks each global object with a name of its own.
        if not re.match(r"(__odr_asan\.)?(kula_[a-z]|kula__[a-z])", name):
            findings.add(f"the static library's {name} is not a name of this project")
    findings.finish(len(public) if inside else 0)


main()
