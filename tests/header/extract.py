"""Takes the whole program out of the comment at the top of a header.

usage: extract.py HEADER OUTPUT
"""

import pathlib
import sys

INDENT = " *     "


def main():
    lines = pathlib.Path(sys.argv[1]).read_text(encoding="utf-8").splitlines()
    start = next(number for number, line in enumerate(lines) if line.startswith(" * A whole program"))
    program = []
    for line in lines[start + 2 :]:
        if line != " *" and not line.startswith(INDENT):
            break
        program.append(line[len(INDENT) :])
    if "int main" not in "\n".join(program):
        sys.exit(f"the head comment of {sys.argv[1]} holds no program")
    pathlib.Path(sys.argv[2]).write_text("\n".join(program).rstrip() + "\n", encoding="utf-8")


main()
