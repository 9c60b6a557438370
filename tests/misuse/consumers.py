"""Compilers know of each single call that takes a handle what it does with it.

usage: consumers.py INCLUDE_DIR [--show]

For each call of CONSUMERS there are functions with one fault each, and one without any:

    used      an alias is used after the call
    twice     an alias is handed over to the same call again
    lost      on the path without the call the handle is lost
    empty     the handle is empty
    correct   the call ends the handle

gcc -O2 has to report the uses of aliases (KULA_ENDS_) and the empty handles (KULA_NONNULL_); the
analyser, Debian's own and the newest, the uses of aliases and the losses (KULA_TAKES_). Neither may
say a word about what is correct. A call that the headers mark and that is not in CONSUMERS is an
error: it would not be tested. --show prints what the tools say.
"""

import collections
import os
import pathlib
import re
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
import checks  # noqa: E402

# The kind of handle, and how a program makes the call; it may return where the call took nothing.
CONSUMERS = {
    "kula_free_": ("buf", "kula_free(&{0});"),
    "kula_vec_add_": ("buf", "kula_vec_add(list, &{0}, 8);"),
    "kula_read_": ("buf", "kula_read(ring, fd, &{0}, 8, 0, NULL);"),
    "kula_write_": ("buf", "kula_write(ring, fd, &{0}, 8, 0, NULL);"),
    "kula_recv_": ("buf", "kula_recv(ring, fd, &{0}, 8, 0, NULL);"),
    "kula_send_": ("buf", "kula_send(ring, fd, &{0}, 8, 0, NULL);"),
    "kula_post_": ("buf", "kula_post(ring, &{0}, 1, NULL);"),
    "kula_freeze_": ("buf", "kula_ref frozen = kula_freeze(&{0}); kula_drop(&frozen);"),
    "kula_join_": ("buf", "if (kula_join(first, &{0}) < 0) {{ kula_free(&{0}); return; }}"),
    "kula_drop_": ("ref", "kula_drop(&{0});"),
    "kula_vec_add_ref_": ("ref", "kula_vec_add(list, &{0}, 8);"),
    "kula_write_ref_": ("ref", "kula_write(ring, fd, &{0}, 8, 0, NULL);"),
    "kula_send_ref_": ("ref", "kula_send(ring, fd, &{0}, 8, 0, NULL);"),
    "kula_post_ref_": ("ref", "kula_post(ring, &{0}, 1, NULL);"),
    "kula_thaw_": (
        "ref",
        "kula_buf thawed = kula_thaw(&{0}); if (!thawed) {{ kula_drop(&{0}); return; }}"
        " kula_free(&thawed);",
    ),
    "kula_vec_free_": ("vec", "kula_vec_free(&{0});"),
    "kula_readv_": ("vec", "kula_readv(ring, fd, &{0}, 0, NULL);"),
    "kula_writev_": ("vec", "kula_writev(ring, fd, &{0}, 0, NULL);"),
}
EMPTY_IS_FINE = {"kula_free_", "kula_drop_", "kula_vec_free_"}
NO_CONSUMERS = {"kula_lint_fill_"}  # marked as one for another reason: see kula/compiler.h

PRODUCERS = {"buf": "kula_alloc(ring, 64)", "ref": "kula_clone(page)", "vec": "kula_vec_new(ring)"}
PREFIX = "#include <kula.h>\n\nvoid look(const void *handle);\n"
PARAMETERS = "struct kula_ring *ring, int fd, kula_buf first, kula_ref page, kula_vec list, int now"
UNUSED = "(void)ring; (void)fd; (void)first; (void)page; (void)list; (void)now;"
BODIES = {
    "used": "{obtain} {type} alias = handle; {{ {call} }} look(alias);",
    "twice": "{obtain} {type} alias = handle; {{ {call} }} {{ {again} }}",
    "lost": "{obtain} if (now) {{ {call} }}",
    "empty": "{type} handle = NULL; {{ {call} }}",
    "correct": "{obtain} {{ {call} }}",
}
GCC = {
    "used": "used after '{name}'",
    "twice": "used after '{name}'",
    "empty": "in a call to function '{name}' declared 'nonnull'",
}
ANALYZER = {
    "used": "Use of memory after it is (freed|released)",
    "twice": "(Use of memory after it is|Attempt to) (freed?|released?)",
    "lost": "Potential leak of memory pointed to by 'handle'",
}


def marked(include):
    """The functions that the headers call takers, or enders, of a handle."""
    found = set()
    for path in sorted(pathlib.Path(include).rglob("*.h")):
        text = re.sub(r"/\*.*?\*/", " ", path.read_text(encoding="utf-8"), flags=re.DOTALL)
        text = text.replace("\\\n", " ")
        found |= set(re.findall(r"\bKULA_ENDS_\((kula_\w+), \d+\)", text))
        declarations = re.sub(r"^ *#.*$", " ", text, flags=re.MULTILINE)
        for declaration in re.split(r"[;{}]", declarations):
            if "KULA_TAKES_(" in declaration:
                found.add(re.search(r"\b(\w+)\s*\(", declaration)[1])
    return found - NO_CONSUMERS


def source():
    """The functions, a line each, and which line is whose: {line: (fault, name)}."""
    lines = PREFIX.splitlines()
    places = {}
    for name, (kind, call) in CONSUMERS.items():
        for fault, body in BODIES.items():
            if fault == "empty" and name in EMPTY_IS_FINE:
                continue
            text = body.format(
                type=f"kula_{kind}",
                obtain=f"kula_{kind} handle = {PRODUCERS[kind]}; if (!handle) {{ return; }}",
                call=call.format("handle"),
                again=call.format("alias"),
            )
            function = f"void {fault}_{name}({PARAMETERS})"
            lines += [f"{function};", f"{function} {{ {UNUSED} {text} }}"]
            places[len(lines)] = (fault, name)
    return "\n".join(lines) + "\n", places


def said_by_gcc(include, path):
    """What it says about each function: {(fault, name): [text, ...]}."""
    command = ["gcc", "-std=c11", "-O2", "-Wall", "-Wextra", "-c", "-o", os.devnull, "-I", include]
    output = checks.run([*command, path], env=dict(os.environ, LC_ALL="C")).stderr
    found, function = collections.defaultdict(list), None
    for line in output.splitlines():
        named = re.search(r"(?:In function|inlined from) '([a-z]+)_(kula_\w+_)'", line)
        function = named.groups() if named else function
        if re.search(r"\b(warning|error|note): ", line):
            found[function].append(line)
    return found


def said_by_analyzer(clang, include, path, places):
    """The same. Where it is said may be in a header; the steps to it begin in the function."""
    command = [clang, "-std=c11", "-Wall", "-Wextra", "--analyze", "--analyzer-output", "text"]
    output = checks.run([*command, "-I", include, path], env=dict(os.environ, LC_ALL="C")).stderr
    found, message = collections.defaultdict(list), None
    for line in output.splitlines():
        if re.search(r"\b(warning|error): ", line):
            message = line
        place = re.match(rf"{re.escape(path)}:(\d+):", line)
        if message and place:
            found[places.get(int(place[1]))].append(message)
            message = None
    if message:
        found[None].append(message)
    return found


def compare(findings, tool, said, expected, places, show):
    checked = 0
    for fault, name in places.values():
        texts = said.pop((fault, name), [])
        if show:
            print(f"{tool}, {fault} {name}: {texts}")
        if fault in expected:
            checked += 1
            wanted = expected[fault].format(name=name)
            if not any(re.search(wanted, text) for text in texts):
                findings.add(f"{tool}, {fault}, {name}: does not say '{wanted}', but {texts}")
        elif fault == "correct":
            checked += 1
            if texts:
                findings.add(f"{tool}, {name}: correct, and yet {texts}")
    for texts in said.values():
        findings.add(f"{tool}: of no function of these: {texts}")
    return checked


def main():
    include, *options = sys.argv[1:]
    checks.need("gcc", "clang")
    checks.need_newest_clang()
    findings = checks.Findings()
    for name in sorted(marked(include) ^ set(CONSUMERS)):
        findings.add(f"{name}: in the headers and not in CONSUMERS, or the other way round")
    checked = len(CONSUMERS)
    with tempfile.TemporaryDirectory() as folder:
        path = str(pathlib.Path(folder, "consumers.c"))
        text, places = source()
        pathlib.Path(path).write_text(text, encoding="utf-8")
        said = said_by_gcc(include, path)
        checked += compare(findings, "gcc", said, GCC, places, options)
        for clang in filter(None, ("clang", checks.newest_clang())):
            said = said_by_analyzer(clang, include, path, places)
            checked += compare(findings, f"{clang} --analyze", said, ANALYZER, places, options)
    findings.finish(checked)


main()
