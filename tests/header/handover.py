"""A consuming wrapper compiles to moves, a stored NULL and a jump to the by-value function.

usage: handover.py INCLUDE_DIR COMPILER
"""

import pathlib
import platform
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
import checks  # noqa: E402

EXPECTED = {
    "hand_over_read": ("kula_read_", True),
    "hand_over_recv": ("kula_recv_", False),
    "hand_over_writev": ("kula_writev_", True),
    "hand_over_free": ("kula_free_", True),
    "hand_over_write_ref": ("kula_write_ref_", True),
    "hand_over_send_ref": ("kula_send_ref_", False),
    "hand_over_post_ref": ("kula_post_ref_", True),
    "hand_over_drop": ("kula_drop_", True),
    "hand_over_freeze": ("kula_freeze_", True),
}


def instructions(assembly, function):
    body = re.search(rf"^{function}:(.*?)^\s*\.size\s+{function}\b", assembly, re.DOTALL | re.MULTILINE)
    found = []
    for line in body.group(1).splitlines():
        line = line.split("#")[0].strip()
        if line and not line.startswith(".") and not line.endswith(":"):
            found.append(re.sub(r"\s+", " ", line))
    return found


def is_move(instruction):
    if re.match(r"(mov[a-z]*|endbr64\b)", instruction):
        return True
    zeroed = re.fullmatch(r"xorl (%\w+), (%\w+)", instruction)  # how a register is set to 0
    return bool(zeroed) and zeroed.group(1) == zeroed.group(2)


def main():
    include, compiler = sys.argv[1:]
    checks.need(compiler)
    if platform.machine() != "x86_64":
        checks.skip(f"reads x86-64 assembly, this is {platform.machine()}")
    source = pathlib.Path(__file__).with_name("handover.c")
    assembly = checks.must(
        [compiler, "-std=c11", "-O2", f"-I{include}", "-S", "-o", "-", str(source)]
    )
    findings = checks.Findings()
    for function, (target, stores) in EXPECTED.items():
        *moves, last = instructions(assembly, function)
        listing = "\n    ".join([function, *moves, last])
        if not re.match(rf"jmp \*?{target}(@|$)", last):
            findings.add(f"does not end in a jump to {target}:\n    {listing}")
        if not all(map(is_move, moves)):
            findings.add(f"does more than move:\n    {listing}")
        emptied = [move for move in moves if re.match(r"movq \$0, 0?\(%", move)]
        if len(emptied) != (1 if stores else 0):
            findings.add(f"stores NULL {len(emptied)} times:\n    {listing}")
    findings.finish(len(EXPECTED))


main()
