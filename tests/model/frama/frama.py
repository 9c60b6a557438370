"""Checks the state word and the table of records with Frama-C.

usage: frama.py arrows ROOT
       frama.py handles ROOT
       frama.py planted-arrows ROOT
       frama.py planted-handles ROOT

"arrows" proves the contracts of arrows.c for the functions of common/slot.h (WP, with Z3 and CVC4),
its lemmas, and with Z3 alone the axioms that these proofs use. "handles" lets Eva follow any handle
through the table as it begins, and through any table (handles.c). "planted-..." changes the library
in one place at a time, and passes when each change is reported, as what it is: a proof that also holds
for a wrong arrow says nothing.
"""

import os
import pathlib
import re
import shutil
import sys
import tempfile
from typing import NamedTuple

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "support"))
import checks  # noqa: E402

TOOLS = ("frama-c", "why3", "z3", "cvc4", "gcc")
PROVERS = {"z3": "Z3", "cvc4": "CVC4"}  # what why3 calls them
PROVER_SECONDS = 20
# For what is not to be proved, and so takes all of it. planted_arrows() has what is right proved
# within the same limit.
PLANTED_SECONDS = 5


class Plant(NamedTuple):
    """A wrong place. `there` is in `function` of `file` exactly once, however lines are broken."""

    file: str
    function: str
    there: str
    wrong: str
    finds: str  # what is not proved, by its name in arrows.c; or a pattern for what Eva says


SLOT_H = "common/slot.h"
SLOT_C = "common/slot.c"
BUFFER_H = "common/buffer.h"
CANCEL_C = "common/cancel.c"

# The function of arrows.c that is cut out of kula__slots_retire.
RETIRE = ("kula__slots_retire", "kula__word_retire")

PLANTED_ARROWS = [
    Plant(SLOT_H, "kula__word_holder", ">> KULA__INDEX_BITS) & 3)", ">> KULA__INDEX_BITS) & 1)",
          "holder"),
    Plant(SLOT_H, "kula__word_begin", "(UINT64_C(1) << 63)", "(UINT64_C(1) << 62)",
          "no_address"),
    Plant(SLOT_H, "kula__word_allocate", "(slot) + KULA__STEP;", "(slot) + 2 * KULA__STEP;",
          "arrow"),
    Plant(SLOT_H, "kula__word_start", "+ 2 * KULA__STEP", "+ KULA__STEP", "arrow"),
    # With one thread: takes it without a change of hands, and takes what is stale.
    Plant(SLOT_H, "kula__word_hand_over",
          "return false; } atomic_store_explicit(&slot->word, handle + KULA__STEP,",
          "return false; } atomic_store_explicit(&slot->word, handle,", "arrow"),
    Plant(SLOT_H, "kula__word_hand_over", "memory_order_relaxed) != handle)",
          "memory_order_relaxed) == 0)", "nothing_changed"),
    # With several: the same, in the compare-and-swap.
    Plant(SLOT_H, "kula__word_hand_over", "(&slot->word, &handle, handle + KULA__STEP,",
          "(&slot->word, &handle, handle,", "arrow"),
    Plant(SLOT_H, "kula__word_hand_over",
          "return atomic_compare_exchange_strong_explicit(&slot->word, &handle,",
          "uint64_t word = slot->word; "
          "return atomic_compare_exchange_strong_explicit(&slot->word, &word,",
          "nothing_changed"),
    Plant(SLOT_H, "kula__word_hand_back", "handle, memory", "handle + KULA__STEP, memory",
          "as_it_was"),
    Plant(SLOT_H, "kula__word_free", "handle + 3 * KULA__STEP", "handle + 4 * KULA__STEP",
          "arrow"),
    Plant(SLOT_H, "kula__word_finish", "operation + KULA__STEP", "operation + 2 * KULA__STEP",
          "arrow"),
    Plant(SLOT_H, "kula__word_take", "operation + 3 * KULA__STEP", "operation + KULA__STEP",
          "arrow"),
    Plant(SLOT_H, "kula__word_recycle", "operation + 2 * KULA__STEP", "operation + KULA__STEP",
          "arrow"),
    Plant(SLOT_H, "kula__word_undo", "operation + 2 * KULA__STEP", "operation + 3 * KULA__STEP",
          "arrow"),
    Plant(SLOT_C, "kula__slots_retire", "word | nobodys", "word + nobodys", "holder"),
    Plant(SLOT_C, "kula__slots_retire", "(word & nobodys) != nobodys", "(word & nobodys) == 0",
          "holder"),
]  # fmt: skip

OUTSIDE = "out of bounds"
PLANTED_HANDLES = [
    Plant(SLOT_H, "kula__slot_find", "slab + index % KULA__SLAB_SLOTS", "slab + index", OUTSIDE),
    Plant(SLOT_H, "kula__slot_find", "&kula__slabs[index / KULA__SLAB_SLOTS]",
          "&kula__slabs[index / KULA__CHUNK_SLOTS]", OUTSIDE),
    # One place of the table is empty; the records that are nobody's have a name; so has index 0.
    Plant(SLOT_C, "table_begin", "slab = 0;", "slab = 1;", "'unreachable'"),
    Plant(SLOT_C, "table_begin", "(&nobody[0].word, UINT64_MAX)", "(&nobody[0].word, 0)",
          "'not_handed_over'"),
    Plant(SLOT_C, "slab_make", "(&slots[0].word, UINT64_MAX)", "(&slots[0].word, KULA__STEP)",
          "'no_operation'"),
    Plant(SLOT_C, "kula__slots_retire", "chunk * KULA__CHUNK_SLOTS", "chunk * KULA__SLAB_SLOTS",
          OUTSIDE),
    Plant(BUFFER_H, "kula__held_by_program", "memory_order_acquire) == word",
          "memory_order_acquire) != word", "'no_buffer'"),
    Plant(CANCEL_C, "kula__operation_done", "== op + KULA__STEP", "!= op + KULA__STEP",
          "'no_event'"),
]  # fmt: skip


# ---- The text of the library ---------------------------------------------------------------------


def fail(text):
    print(text)
    sys.exit(1)


def only(found, what):
    """The one thing that was found. Neither none nor several will do: which one would be meant?"""
    if len(found) != 1:
        fail(f"{what} is there {len(found)} times, and not once: see {__file__}")
    return found[0]


def body_of(text, function):
    """Where the body of a function is: the definition, not a prototype or a call."""
    definition = re.compile(rf"\b{function}\([^;{{}}]*\)\n\{{\n(.*?)^\}}", re.M | re.S)
    return only([found.span(1) for found in definition.finditer(text)], f"the body of {function}")


def plant(copy, planted):
    """Changes one place in a copy of the library. Returns why that cannot be done, or None."""
    path = copy / planted.file
    text = path.read_text(encoding="utf-8")
    start, end = body_of(text, planted.function)
    there = re.compile(r"\s+".join(map(re.escape, planted.there.split())))
    places = [found.span() for found in there.finditer(text, start, end)]
    if len(places) != 1:
        return f"is there {len(places)} times, and not once: plant something else"
    begin, stop = places[0]
    path.write_text(text[:begin] + planted.wrong + text[stop:], encoding="utf-8")
    return None


def cut_out_retire(root, folder):
    """Makes a function of what kula__slots_retire does to one record: a loop over the table is not
    what WP is for, and a copy in arrows.c would drift."""
    text = (root / SLOT_C).read_text(encoding="utf-8")
    loops, one = RETIRE
    start, end = body_of(text, loops)
    body = text[start:end]
    constant = only(re.findall(r"const uint64_t nobodys = [^;]*;", body), f"the mask of {loops}")
    inner = only(re.findall(r"slot\+\+\) \{\n(.*?)\n {8}\}\n", body, re.S), f"the loop of {loops}")
    (folder / "retire.h").write_text(
        f"static inline void {one}(struct kula__slot *slot)\n{{\n    {constant}\n{inner}\n}}\n",
        encoding="utf-8",
    )


# ---- Frama-C -----------------------------------------------------------------------------------


def frama_c(root, folder, file, *options):
    preprocess = "gcc -E -C %args %i | sed '/^#/!s/\\b_Atomic\\b//g' > %o"
    include = f"-include {HERE}/atomics.h -I{folder} -I{root}/include -I{root}"
    defines = "-DNDEBUG -Dstatic_assert=_Static_assert -U__GNUC__"
    result = checks.run(
        [
            "frama-c",
            "-machdep", "gcc_x86_64",
            "-c11",
            "-cpp-frama-c-compliant",
            "-cpp-command", preprocess,
            f"-cpp-extra-args={include} {defines}",
            "-kernel-warn-key", "annot:missing-spec=inactive",
            *options,
            HERE / file,
        ],
        cwd=folder,
        env=dict(os.environ, WHY3CONFIG=str(folder / "why3.conf"), LC_ALL="C"),
    )  # fmt: skip
    if result.returncode != 0:
        fail(f"frama-c failed:\n{result.stdout}{result.stderr}")
    return result.stdout


def contracts():
    """The functions that arrows.c has contracts for."""
    text = (HERE / "arrows.c").read_text(encoding="utf-8")
    return re.findall(r"^(?:static inline|int) .*?(\w+)\(", text, flags=re.MULTILINE)


def named(word, file="arrows.c"):
    """The names of what is an axiom, or a lemma."""
    text = (HERE / file).read_text(encoding="utf-8")
    return re.findall(rf"\b{word} (\w+):", text)


def prove(root, folder, seconds, *which):
    """Returns the names of all goals, and of those that are not proved."""
    cut_out_retire(root, folder)
    output = frama_c(
        root, folder, "arrows.c", "-wp", *which,
        "-wp-prover", "z3,cvc4", "-wp-timeout", str(seconds), "-wp-par", "2",
    )  # fmt: skip
    answers = dict(re.findall(r"^\[wp\] \[[^\]]*\] Goal (\S+)(.*)", output, re.M))
    unproved = [goal for goal, answer in answers.items() if ": Valid" not in answer]
    counted = re.search(r"Proved goals: +(\d+) / (\d+)", output)
    if not counted or (len(answers) - len(unproved), len(answers)) != tuple(
        map(int, counted.groups())
    ):
        fail(f"goals are missing:\n{output}")
    return list(answers), unproved


def goals_of(function, goals):
    return [goal for goal in goals if goal.startswith(f"typed_{function.replace('__', '_')}_")]


def prove_functions(root, folder, functions):
    """Every one has to have goals: a contract without a function has none, and says nothing."""
    goals, unproved = prove(
        root, folder, PROVER_SECONDS, "-wp-rte", "-wp-fct", ",".join(functions)
    )
    for function in functions:
        if not goals_of(function, goals):
            fail(f"{function} has no goals: is it still there?")
    return goals, unproved


def eva(root, folder):
    """Returns what Eva could not prove, and all that it says."""
    output = frama_c(
        root, folder, "handles.c", "-eva", "-eva-msg-key=-initial-state,-final-states",
        # The table's beginning is followed place by place, what may be anything is not. A look-up of
        # any index is one of all 4096 records.
        "-eva-slevel", "8", "-eva-slevel-function", "table_begin:5000,kula__slots_retire:0",
        "-eva-auto-loop-unroll", "256", "-eva-plevel", "5000", "-eva-split-return", "auto",
        # Addresses are only compared for equality, which is defined for all of them.
        "-eva-warn-undefined-pointer-comparison", "none",
    )  # fmt: skip
    # An alarm is a line, and the indented ones after it.
    found = re.findall(r"^\[eva:alarm\] .*(?:\n .*)*", output, re.M)
    if not re.search(r"\d+ alarms? generated", output):
        fail(f"Eva has not looked:\n{output[-3000:]}")
    return found, output


def eva_went_everywhere(output):
    """Whether what has to be looked at was: a way that Eva does not go raises no alarm."""
    text = (HERE / "handles.c").read_text(encoding="utf-8")
    shown = set(re.findall(r"Frama_C_show_each_(\w+)", output))
    missing = [way for way in re.findall(r"Frama_C_show_each_(\w+)", text) if way not in shown]
    for way in missing:
        print(f"Eva has not come to '{way}'")
    asserted = len(re.findall(r"@ assert ", text))
    counts = {
        what: tuple(map(int, numbers))
        for what, *numbers in re.findall(
            r"(Assertions|Preconditions) +(\d+) valid +(\d+) unknown +(\d+) invalid", output
        )
    }
    proved = counts.get("Assertions") == (asserted, 0, 0)
    if not proved or counts.get("Preconditions", (0, 0, 0))[1:] != (0, 0):
        print(f"of {asserted} assertions, and preconditions (valid, unknown, invalid): {counts}")
        return False
    return not missing and "NON TERMINATING" not in output


# ---- The tests ----------------------------------------------------------------------------------


def axioms():
    """Has Z3 prove the axioms of arrows.c. Returns how many there are."""
    names = named("axiom")
    text = (HERE / "bits.smt2").read_text(encoding="utf-8")
    for name in names:
        if not re.search(rf"^; {name}\b", text, re.M):
            fail(f"the axiom {name} is not in bits.smt2")
    answers = checks.must(["z3", HERE / "bits.smt2"]).split()
    if answers != ["unsat"] * text.count("(check-sat)") or len(answers) < len(names):
        fail(f"the axioms about bits do not hold: {answers}")
    return len(names)


def arrows(root, folder):
    checked = axioms()
    lemmas, unproved = prove(root, folder, PROVER_SECONDS, "-wp-prop", "@lemma")
    if len(lemmas) != len(named("lemma")):
        fail(f"{len(named('lemma'))} lemmas, and these were looked at: {', '.join(lemmas)}")
    goals, more = prove_functions(root, folder, contracts())
    unproved += more
    for goal in unproved:
        print(f"not proved: {goal}")
    print(
        f"{len(lemmas) + len(goals) - len(unproved)} of {len(lemmas) + len(goals)} goals proved, "
        f"{len(lemmas)} of them lemmas; {checked} axioms checked"
    )
    return not unproved


def handles(root, folder):
    found, output = eva(root, folder)
    for alarm in found:
        print(alarm)
    print(f"{len(found)} alarms")
    return eva_went_everywhere(output) and not found


def proved_of(planted):
    """The function whose contract a planted error is to break."""
    return RETIRE[1] if planted.function == RETIRE[0] else planted.function


def find_unproved(copy, planted):
    _, unproved = prove(
        copy, copy, PLANTED_SECONDS, "-wp-fct", proved_of(planted), "-wp-prop", planted.finds
    )
    return unproved


def find_alarms(copy, planted):
    found, _ = eva(copy, copy)
    lines = [" ".join(re.sub(r"^\S+ (\S+/)?", "", alarm).split()) for alarm in found]
    return [line for line in lines if re.search(planted.finds, line)]


def planted_errors(root, folder, plants, find):
    passed = True
    for number, planted in enumerate(plants):
        copy = folder / str(number)
        for part in ("common", "include"):
            shutil.copytree(root / part, copy / part)
        shutil.copy(folder / "why3.conf", copy)
        name = f"{planted.function}: '{planted.there}'"
        wrong = plant(copy, planted)
        if wrong:
            print(f"{name} {wrong}")
            passed = False
            continue
        found = "; ".join(find(copy, planted))
        print(f"{name} -> '{planted.wrong}': {found or 'NOT FOUND'}", flush=True)
        passed = passed and bool(found)
    return passed


def planted_arrows(root, folder):
    # What is to be found unproved has to be proved where nothing is planted.
    goals, unproved = prove(
        root, folder, PLANTED_SECONDS, "-wp-fct", ",".join({proved_of(p) for p in PLANTED_ARROWS}),
        "-wp-prop", ",".join({p.finds for p in PLANTED_ARROWS}),
    )  # fmt: skip
    for planted in PLANTED_ARROWS:
        if not any(planted.finds in goal for goal in goals_of(proved_of(planted), goals)):
            fail(f"{proved_of(planted)} has no goal '{planted.finds}'")
    if unproved:
        fail(f"not proved, with nothing planted: {', '.join(unproved)}")
    return planted_errors(root, folder, PLANTED_ARROWS, find_unproved)


def planted_handles(root, folder):
    return planted_errors(root, folder, PLANTED_HANDLES, find_alarms)


CHECKS = {
    "arrows": arrows,
    "handles": handles,
    "planted-arrows": planted_arrows,
    "planted-handles": planted_handles,
}


def refuse_without(missing):
    """Skips; with frama-c, or one of the missing, in KULA_EXPECT_TOOLS it is a failure."""
    if not missing:
        return
    what = f"not installed, or not known to why3: {', '.join(missing)} (ci/deps formal installs it)"
    expected = checks.expected_tools()
    if any(tool in expected for tool in ("frama-c", *missing)):
        fail(f"Frama-C and its provers are expected. {what}")
    checks.skip(f"NOTHING WAS PROVED. {what}")


def main():
    what, root = sys.argv[1:]
    refuse_without([tool for tool in TOOLS if not shutil.which(tool)])
    with tempfile.TemporaryDirectory() as made:
        folder = pathlib.Path(made)
        why3 = ["why3", "-C", folder / "why3.conf", "config"]
        checks.must([*why3, "detect"])
        provers = checks.must([*why3, "list-provers"])
        known = set(re.findall(r"^(\S+) \d", provers, re.M))  # with a version that it can use
        refuse_without([tool for tool, name in PROVERS.items() if name not in known])
        passed = CHECKS[what](pathlib.Path(root).resolve(), folder)
    sys.exit(0 if passed else 1)


main()
