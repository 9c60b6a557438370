"""A consuming wrapper compiles to moves, a stored NULL and a jump to the by-value function. In C++ so
do the member functions, and an object that lives and dies in one function leaves nothing behind.

usage: handover.py INCLUDE_DIR COMPILER
"""

import pathlib
import platform
import re
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
import checks  # noqa: E402

# What a function jumps to at its end, how often it stores NULL, and what it calls before.
IN_C = {
    "hand_over_read": ("kula_read_", 1, []),
    "hand_over_recv": ("kula_recv_", 0, []),
    "hand_over_writev": ("kula_writev_", 1, []),
    "hand_over_free": ("kula_free_", 1, []),
    "hand_over_write_ref": ("kula_write_ref_", 1, []),
    "hand_over_send_ref": ("kula_send_ref_", 0, []),
    "hand_over_post_ref": ("kula_post_ref_", 1, []),
    "hand_over_drop": ("kula_drop_", 1, []),
    "hand_over_freeze": ("kula_freeze_", 1, []),
}
IN_CPP = {
    "hand_over_member": ("kula_read_", 1, []),
    "hand_over_parameter": ("kula_recv_", 1, []),
    "hand_over_ref": ("kula_send_ref_", 1, []),
    "hand_over_vec": ("kula_writev_", 1, []),
    "hand_over_new": ("kula_send_", 0, ["kula_alloc"]),
    "hand_over_taken": ("kula_send_", 0, ["kula_next", "kula_take"]),
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


def is_frame(instruction):
    """What keeps registers and the stack in order around calls."""
    return bool(re.match(r"(pushq|popq) %|(subq|addq) \$8, %rsp", instruction))


def main():
    include, compiler = sys.argv[1:]
    checks.need(compiler)
    if platform.machine() != "x86_64":
        checks.skip(f"reads x86-64 assembly, this is {platform.machine()}")
    in_cpp = compiler.endswith("++")
    name, standard = ("handover.cpp", "c++17") if in_cpp else ("handover.c", "c11")
    source = pathlib.Path(__file__).with_name(name)
    assembly = checks.must(
        [compiler, f"-std={standard}", "-O2", f"-I{include}", "-S", "-o", "-", str(source)]
    )
    findings = checks.Findings()
    expected = IN_CPP if in_cpp else IN_C
    for function, (target, stores, calls) in expected.items():
        *body, last = instructions(assembly, function)
        listing = "\n    ".join([function, *body, last])
        if not re.match(rf"jmp \*?{target}(@|$)", last):
            findings.add(f"does not end in a jump to {target}:\n    {listing}")
        called = [re.match(r"callq? \*?(\w+)", line) for line in body if line.startswith("call")]
        if [call and call.group(1) for call in called] != calls:
            findings.add(f"does not call {calls or 'nothing'} before:\n    {listing}")
        rest = [line for line in body if not line.startswith("call")]
        if not all(is_move(line) or (calls and is_frame(line)) for line in rest):
            findings.add(f"does more than move:\n    {listing}")
        emptied = [line for line in rest if re.match(r"movq \$0, 0?\(%", line)]
        if len(emptied) != stores:
            findings.add(f"stores NULL {len(emptied)} times:\n    {listing}")
    findings.finish(len(expected))


main()
