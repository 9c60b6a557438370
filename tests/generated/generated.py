"""Compilers and the analyser find the faults of random programs, and none where there is none.

usage: generated.py INCLUDE_DIR [--seed N|today] [--count N] [--jobs N] [--keep FOLDER]

Half of the programs are correct: any word about one of them is a false alarm, and a failure. The
others have one kind of fault: a transfer fault, a leak, or a payload pointer that is used too late.
What is true of a program is found by following it through all its states (truth.py).

The analyser has to find 99 % of the transfer faults and of the leaks, in its newest version and in
the system's own; everything else a little less than docs/ownership.md says that it finds, so that
it shows when that is not so any more. Of few programs, other than the default ones, as many more may
be missed as chance has it: then the default ones decide.

--seed today is another one every day, or KULA_SEED.
"""

import argparse
import collections
import concurrent.futures
import math
import os
import pathlib
import random
import re
import sys
import tempfile
import time

from generate import PREFIX, Generator

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
import checks  # noqa: E402

REQUIRED_PERCENT = 99
FIXED = (1, 300)  # seed and count: what is missed of these is known
MANY = 200  # programs with one kind of fault: from here on chance makes little difference
BATCH = 20
# Random code keeps values that nobody reads. The analyser's word on that is not about ownership.
COMMON = ["-std=c11", "-Wall", "-Wno-unused"]
COMPILE = [*COMMON, "-O2", "-S", "-o", "-"]
ANALYZE = [
    *[*COMMON, "--analyze", "--analyzer-output", "text"],
    *["-Xclang", "-analyzer-disable-checker=deadcode"],
]
OF_PROGRAM = r"(?:program|pass_on|maybe_pass_on|obtain|peek)_(\d+)"


class Tool:
    """`batched`: it tells of all programs in a file. The analyser reports one cause in a header
    once, however many programs have it. `floors`: the percentage that it has to find."""

    def __init__(self, name, command, kinds, batched, floors):
        self.name = name
        self.command = command
        self.kinds = kinds
        self.batched = batched
        self.floors = floors

    def run(self, include, path):
        environment = dict(os.environ, LC_ALL="C")
        return checks.run([*self.command, "-I", include, str(path)], env=environment)

    def found(self, result):
        """The numbers of the programs that it says something about."""
        if not self.batched:
            return set(re.findall(OF_PROGRAM, result.stderr + result.stdout))
        if "clang" not in self.name:
            return set(re.findall(rf"(?:In function|inlined from) '{OF_PROGRAM}'", result.stderr))
        # clang does not say where a call that survived is; the code does.
        numbers, current = set(), None
        for line in result.stdout.splitlines():
            label = re.match(rf"{OF_PROGRAM}:", line)
            current = label[1] if label else current
            if re.search(r"\bkula_static_(moved|length)_", line):
                numbers.add(current)
        return numbers


def tools():
    newest = checks.newest_clang()
    plain, payload = ("transfer", "leak"), ("payload",)
    required = dict.fromkeys(plain, REQUIRED_PERCENT)
    lint = ["gcc", *COMPILE, "-DKULA_LINT"]
    yield Tool("gcc -O2 -Wall", ["gcc", *COMPILE], plain, True, {"transfer": 65})
    yield Tool("gcc -O2 -Wall -DKULA_LINT", lint, payload, True, {"payload": 40})
    for clang in filter(None, ("clang", newest)):
        lint = [clang, *ANALYZE, "-DKULA_LINT"]
        yield Tool(f"{clang} -O2", [clang, *COMPILE], plain, True, {"transfer": 60})
        yield Tool(f"{clang} --analyze", [clang, *ANALYZE], plain, False, required)
        yield Tool(f"{clang} --analyze -DKULA_LINT", lint, payload, False, {"payload": 95})


def write(folder, name, programs):
    path = pathlib.Path(folder, f"{name}.c")
    path.write_text(PREFIX + "\n".join(program.text() for program in programs), encoding="utf-8")
    return path


def batches(programs):
    return [programs[start : start + BATCH] for start in range(0, len(programs), BATCH)]


def alarms(pool, include, folder, programs):
    """What the tools say of correct programs."""
    files = [write(folder, f"correct_{i}", part) for i, part in enumerate(batches(programs))]
    jobs = [(tool, path) for tool in tools() for path in files]
    found = []
    for (tool, path), result in zip(jobs, pool.map(lambda job: job[0].run(include, job[1]), jobs)):
        if result.stderr or result.returncode != 0:
            programs = " ".join(sorted(set(re.findall(OF_PROGRAM, result.stderr)), key=int))
            lines = [line for line in result.stderr.splitlines() if re.search("(warning|error):", line)]
            found.append("\n    ".join([f"{tool.name}, false alarm, {path}: {programs}", *lines]))
    return found


def rates(pool, include, folder, programs):
    """The numbers of the programs that each tool finds: {(tool, kind): {number, ...}}."""
    jobs = []
    for kind, members in programs.items():
        alone = [write(folder, program.name, [program]) for program in members]
        together = [write(folder, f"{kind}_{i}", part) for i, part in enumerate(batches(members))]
        for tool in tools():
            if kind in tool.kinds:
                jobs += [(tool, kind, path) for path in (together if tool.batched else alone)]
    found = collections.defaultdict(set)
    results = pool.map(lambda job: job[0].run(include, job[2]), jobs)
    for (tool, kind, _), result in zip(jobs, results):
        found[tool.name, kind] |= tool.found(result)
    return found


def may_be_missed(count, percent):
    """Chance lets more than that be missed once in a thousand times where `percent` are found."""
    missed, share = -1, 1 - percent / 100
    more = 1.0  # the probability that more are missed
    while more >= 1e-3:
        missed += 1
        more -= math.comb(count, missed) * share**missed * (1 - share) ** (count - missed)
    return missed


def report(findings, programs, found, fixed):
    checked = 0
    for tool in tools():
        for kind in tool.kinds:
            everything = {str(program.number) for program in programs[kind]}
            missed = everything - found[tool.name, kind]
            percent = 100 * (len(everything) - len(missed)) / len(everything)
            print(f"{tool.name}: {len(everything) - len(missed)} of {len(everything)}", end=" ")
            print(f"programs with a {kind} fault ({percent:.1f} %)")
            checked += len(everything)
            floor = tool.floors.get(kind, 0)
            if floor >= REQUIRED_PERCENT and missed:
                print(f"    missed: {' '.join(sorted(missed, key=int))}")
            exact = fixed or len(everything) >= MANY
            if percent < floor and (exact or len(missed) > may_be_missed(len(everything), floor)):
                findings.add(f"{tool.name} finds fewer than {floor} %: {kind}")
    return checked


def seed_of(text):
    """`today` is the date, so that what has failed fails again, if it is repeated soon enough."""
    if text == "today":
        text = os.environ.get("KULA_SEED") or time.strftime("%Y%m%d")
    return int(text)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("include")
    parser.add_argument("--seed", type=seed_of, default=FIXED[0])
    parser.add_argument("--count", type=int, default=FIXED[1], help="how many programs, about")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--keep", help="a folder for the programs")
    options = parser.parse_args()
    checks.need("gcc", "clang")
    checks.need_newest_clang()
    print(f"seed {options.seed}: --seed {options.seed} --count {options.count} makes these again")
    start = time.monotonic()
    generator = Generator(random.Random(options.seed))
    correct = [generator.correct() for _ in range(options.count // 2)]
    parts = {"transfer": 4, "leak": 8, "payload": 8}  # of all programs
    wrong = {
        kind: [generator.wrong(kind) for _ in range(options.count // part)]
        for kind, part in parts.items()
    }
    print(f"{options.count} programs in {time.monotonic() - start:.0f} s")
    findings = checks.Findings()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or scratch
        pathlib.Path(folder).mkdir(parents=True, exist_ok=True)
        with concurrent.futures.ThreadPoolExecutor(options.jobs) as pool:
            false_alarms = alarms(pool, options.include, folder, correct)
            found = rates(pool, options.include, folder, wrong)
    for alarm in false_alarms:
        findings.add(alarm)
    print(f"{len(correct)} correct programs, {len(false_alarms)} false alarms")
    checked = report(findings, wrong, found, (options.seed, options.count) == FIXED)
    print(f"{time.monotonic() - start:.0f} s")
    findings.finish(checked)


main()
