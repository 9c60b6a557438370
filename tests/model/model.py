"""Checks a model with spin.

usage: model.py holds FILE [-DNAME=VALUE...]
       model.py ends FILE [-DNAME=VALUE...]
       model.py holds-not FILE PLANTED [-DNAME=VALUE...]
       model.py ends-not FILE PLANTED [-DNAME=VALUE...]
       model.py show FILE PLANTED [-DNAME=VALUE...]

"holds" searches every state of the correct model: no assertion fails, no run gets stuck, and there is
no line that no run reaches. "ends" looks for runs that go on for ever. The next two plant an error
and pass when that search reports it. "show" prints a shortest run to a planted error, or to one in
the model as it is (PLANTED = none).
"""

import pathlib
import re
import resource
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
import checks  # noqa: E402

MEMORY_BYTES = 4 << 30
SECONDS = 240
DEPTH = 100000

SAFETY = ["-DSAFETY"]
SHORTEST = ["-DSAFETY", "-DBFS"]
ENDS = ["-DNP", "-DNOFAIR"]
WHOLE = "-O1"  # -O2 takes longer to compile than it saves
FIRST = "-O0"  # a planted error is found soon


def generate(folder, path, defines):
    """Writes the verifier's source."""
    result = checks.run(["spin", "-a", *defines, path], cwd=folder)
    if result.returncode != 0 or not (folder / "pan.c").exists():
        print(f"spin does not accept {path.name}:\n{result.stdout}{result.stderr}")
        sys.exit(1)


def verify(folder, path, defines, options, optimise):
    """Compiles and runs a verifier; returns all that it says."""
    generate(folder, path, defines)
    checks.must(["gcc", optimise, "-w", *options, "-o", "pan", "pan.c"], cwd=folder)
    arguments = [f"-m{DEPTH}"] + (["-l"] if options == ENDS else [])
    limit = lambda: resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))  # noqa: E731
    try:
        result = checks.run(
            ["./pan", *arguments], cwd=folder, timeout=SECONDS, preexec_fn=limit
        )
    except subprocess.TimeoutExpired:
        print(f"not finished after {SECONDS} s")
        sys.exit(1)
    return result.stdout + result.stderr


def errors(output):
    """How many errors a whole search has found; the test ends if it was not whole."""
    count = re.search(r"errors: (\d+)", output)
    broken = re.search(r"max search depth too small|out of memory|Search not completed", output)
    if not count or (count.group(1) == "0" and broken):
        print(f"the search was not whole:\n{output}")
        sys.exit(1)
    return int(count.group(1))


def states(output):
    return int(re.search(r"(\d+) states, stored", output).group(1))


def what_failed(output):
    return re.search(r"^pan:1: (.+?) \(at depth", output, flags=re.MULTILINE).group(1)


def lines_never_reached(folder, output):
    """The lines of which no copy is reached: an inline has one for each place that uses it."""
    listing = checks.run(["./pan", "-d", "-d"], cwd=folder).stdout
    lines, process = {}, None
    for line in listing.splitlines():
        heading = re.match(r"(?:STEP \d+ |proctype )(\w+)", line)
        if heading:
            process = heading.group(1)
        state = re.match(r"\tstate +(\d+) -.*\] (\S+:\d+) => ", line)
        if state:
            lines[process, int(state.group(1))] = state.group(2)
    unreached, process = set(), None
    for line in output.splitlines():
        heading = re.match(r"unreached in proctype (\w+)", line)
        if heading:
            process = heading.group(1)
        state = re.search(r", state (\d+), ", line)
        if state and process:
            unreached.add((process, int(state.group(1))))
    reached = {where for state, where in lines.items() if state not in unreached}
    return sorted({lines[state] for state in unreached if state in lines} - reached)


def holds(folder, path, defines):
    output = verify(folder, path, defines, SAFETY, WHOLE)
    if errors(output):
        print(f"{what_failed(output)}\nsee model.py show {path.name} none")
        return False
    never = lines_never_reached(folder, output)
    if never:
        print("no run reaches " + ", ".join(pathlib.Path(where).name for where in never))
        return False
    print(f"holds in all {states(output)} states")
    return True


def ends(folder, path, defines):
    output = verify(folder, path, [*defines, "-DENDS"], ENDS, WHOLE)
    if errors(output):
        print(f"{what_failed(output)}\nsee model.py show {path.name} none")
        return False
    print(f"every run ends; {states(output)} states")
    return True


def fails(folder, path, planted, defines, options):
    if not re.search(rf"^#ifn?def {planted}$", path.read_text(encoding="utf-8"), re.MULTILINE):
        print(f"{path.name} has no {planted}")
        return False
    output = verify(folder, path, [*defines, f"-D{planted}"], options, FIRST)
    if not errors(output):
        print(f"not found: {planted}")
        return False
    print(f"found after {states(output)} states: {what_failed(output)}")
    return True


def holds_not(folder, path, planted, defines):
    return fails(folder, path, planted, defines, SAFETY)


def ends_not(folder, path, planted, defines):
    return fails(folder, path, planted, [*defines, "-DENDS"], ENDS)


def show(folder, path, planted, defines):
    if planted != "none":
        defines = [*defines, f"-D{planted}"]
    print(verify(folder, path, defines, SHORTEST, WHOLE))
    trail = f"{path.name}.trail"
    if not (folder / trail).exists():
        return False
    trace = checks.must(["spin", "-t", "-p", "-g", "-k", trail, *defines, path], cwd=folder)
    print(trace)
    return True


WITHOUT_PLANTED = {"holds": holds, "ends": ends}
WITH_PLANTED = {"holds-not": holds_not, "ends-not": ends_not, "show": show}


def main():
    what, name, *rest = sys.argv[1:]
    checks.need("spin", "gcc")
    path = pathlib.Path(name).resolve()
    with tempfile.TemporaryDirectory() as folder:
        place = pathlib.Path(folder)
        if what in WITHOUT_PLANTED:
            passed = WITHOUT_PLANTED[what](place, path, rest)
        else:
            passed = WITH_PLANTED[what](place, path, rest[0], rest[1:])
    sys.exit(0 if passed else 1)


main()
