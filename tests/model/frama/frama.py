"""Checks the state word and the table of records with Frama-C.

usage: frama.py arrows ROOT
       frama.py handles ROOT
       frama.py planted ROOT

"arrows" proves the contracts of arrows.c for the functions of common/slot.h (WP, with Z3 and CVC4), and
with Z3 alone the axioms about bits that these proofs use. "handles" lets Eva follow any handle through
any table (handles.c). "planted" changes the header in one place at a time, and passes when each change
is reported: a proof that also holds for a wrong arrow says nothing.
"""

import os
import pathlib
import re
import shutil
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "support"))
import checks  # noqa: E402

PROVER_SECONDS = 20

# Function, what stands in common/slot.h, what is planted there. The last one is for Eva.
PLANTED = [
    ("kula__word_holder", ">> KULA__INDEX_BITS) & 3)", ">> KULA__INDEX_BITS) & 1)"),
    ("kula__word_allocate", "(slot) + KULA__STEP;", "(slot) + 2 * KULA__STEP;"),
    ("kula__word_hand_over", "handle + KULA__STEP,", "handle,"),
    ("kula__word_free", "handle + 3 * KULA__STEP", "handle + 4 * KULA__STEP"),
    ("kula__word_take", "operation + 3 * KULA__STEP", "operation + KULA__STEP"),
    ("kula__word_recycle", "operation + 2 * KULA__STEP", "operation + KULA__STEP"),
    ("kula__word_begin", "(UINT64_C(1) << 63)", "(UINT64_C(1) << 62)"),
    ("kula__slot_find", "kula__likely(slab) ? slab", "true ? slab"),
]


def frama_c(root, folder, file, *options):
    preprocess = "gcc -E -C %args %i | sed '/^#/!s/\\b_Atomic\\b//g' > %o"
    defines = "-DNDEBUG -Dstatic_assert=_Static_assert -U__GNUC__"
    result = checks.run(
        [
            "frama-c",
            "-machdep", "gcc_x86_64",
            "-c11",
            "-cpp-frama-c-compliant",
            "-cpp-command", preprocess,
            f"-cpp-extra-args=-include {HERE}/atomics.h -I{root}/include -I{root} {defines}",
            "-kernel-warn-key", "annot:missing-spec=inactive",
            *options,
            HERE / file,
        ],
        cwd=folder,
        env=dict(os.environ, WHY3CONFIG=str(folder / "why3.conf"), LC_ALL="C"),
    )  # fmt: skip
    if result.returncode != 0:
        print(f"frama-c failed:\n{result.stdout}{result.stderr}")
        sys.exit(1)
    return result.stdout


def contracts():
    """The functions that arrows.c has contracts for."""
    text = (HERE / "arrows.c").read_text(encoding="utf-8")
    return re.findall(r"^(?:static inline|int) .*?(\w+)\(", text, flags=re.MULTILINE)


def prove(root, folder, functions):
    """Returns how many goals there are, and the names of those that are not proved."""
    output = frama_c(
        root, folder, "arrows.c", "-wp", "-wp-rte", "-wp-fct", ",".join(functions),
        "-wp-prover", "z3,cvc4", "-wp-timeout", str(PROVER_SECONDS), "-wp-par", "2",
    )  # fmt: skip
    counted = re.search(r"Proved goals: +(\d+) / (\d+)", output)
    if not counted:
        print(f"no goals:\n{output}")
        sys.exit(1)
    proved, goals = map(int, counted.groups())
    open_goals = re.findall(r"^\[wp\] \[(?:Failed|Timeout|Unknown)\] Goal (\S+)", output, re.M)
    if proved < goals and not open_goals:
        open_goals = [f"{goals - proved} goals"]
    return goals, open_goals


def alarms(root, folder):
    output = frama_c(
        root, folder, "handles.c", "-eva", "-eva-slevel", "20",
        # Addresses are only compared for equality, which is defined for all of them.
        "-eva-warn-undefined-pointer-comparison", "none",
    )  # fmt: skip
    summary = re.search(r"(\d+) alarms? generated", output)
    if not summary or "NON TERMINATING" in output:
        print(f"Eva has not looked:\n{output[-3000:]}")
        sys.exit(1)
    return int(summary.group(1)), output


def arrows(root, folder):
    answers = checks.must(["z3", HERE / "bits.smt2"]).split()
    wanted = (HERE / "bits.smt2").read_text(encoding="utf-8").count("(check-sat)")
    if answers != ["unsat"] * wanted:
        print(f"the axioms about bits do not hold: {answers}")
        return False
    goals, unproved = prove(root, folder, contracts())
    for goal in unproved:
        print(f"not proved: {goal}")
    print(f"{goals - len(unproved)} of {goals} goals proved, {wanted} axioms checked")
    return not unproved


def handles(root, folder):
    count, output = alarms(root, folder)
    print("\n".join(re.findall(r"\[eva:alarm\].*\n.*\n.*", output)))
    print(f"{count} alarms")
    return count == 0


def planted(root, folder):
    passed = True
    for function, there, wrong in PLANTED:
        copy = folder / function
        for part in ("common", "include"):
            shutil.copytree(root / part, copy / part)
        header = copy / "common" / "slot.h"
        text = header.read_text(encoding="utf-8")
        start = text.index(f"{function}(", text.index("/* ---- The table"))
        at = text.find(there, start)
        if at < 0 or "\n}" in text[start:at]:
            print(f"{function} has no '{there}' any more: plant something else")
            passed = False
            continue
        header.write_text(text[:at] + wrong + text[at + len(there) :], encoding="utf-8")
        if function == "kula__slot_find":
            found, what = alarms(copy, folder)[0] > 0, "an alarm"
        else:
            _, goals = prove(copy, folder, [function])
            found, what = bool(goals), ", ".join(goals)
        print(f"{function} with '{wrong}': {what if found else 'NOT FOUND'}")
        passed = passed and found
    return passed


def main():
    what, root = sys.argv[1:]
    checks.need("frama-c", "why3", "z3", "cvc4", "gcc", installer="ci/deps formal")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        checks.must(["why3", "-C", folder / "why3.conf", "config", "detect"])
        check = {"arrows": arrows, "handles": handles, "planted": planted}[what]
        passed = check(pathlib.Path(root).resolve(), folder)
    sys.exit(0 if passed else 1)


main()
