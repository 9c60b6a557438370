"""kula-info tells the truth, in words and in JSON, also where io_uring is refused.

usage: kula_info.py CASE KULA_INFO [SECCOMP_RUN]
"""

import ctypes
import json
import os
import platform
import pathlib
import re
import shutil
import signal
import struct
import sys
import tempfile

import programs
from programs import checks

CASE, INFO = sys.argv[1:3]
SECCOMP_RUN = sys.argv[3] if len(sys.argv) > 3 else None


def clean_environment(**variables):
    kept = {name: value for name, value in os.environ.items() if not name.startswith("KULA_")}
    return dict(kept, **variables)


def info(*arguments, prefix=(), variables=None, **options):
    return checks.run(
        [*prefix, INFO, *arguments],
        env=clean_environment(**(variables or {})),
        timeout=programs.LIMIT_SECONDS,
        **options,
    )


def ask(*arguments, **options):
    """What kula-info says as JSON."""
    result = info("--json", *arguments, **options)
    try:
        return json.loads(result.stdout)
    except json.JSONDecodeError:
        print(f"no JSON, status {result.returncode}: {result.stdout!r} {result.stderr!r}")
        sys.exit(1)


def verdicts(told):
    return {backend["name"]: backend["verdict"] for backend in told["backends"]}


def expect(findings, what, found, wanted):
    if found != wanted:
        findings.add(f"{what}: {found!r}, not {wanted!r}")


def need_uring(*arguments):
    if verdicts(ask(*arguments)).get("uring") != "available":
        if "uring" in checks.expected_backends():
            print("KULA_EXPECT names uring, but it cannot be had")
            sys.exit(1)
        checks.skip("uring cannot be had here: see kula-info")


def json_agrees(findings):
    """The same in JSON and in words, for every backend that can be asked for."""
    checked = 0
    for backend in ["auto", *verdicts(ask())]:
        told = ask("--backend", backend)
        text = info("--backend", backend).stdout
        chosen = told["chosen"] or "none"
        if not re.search(rf"^A program gets: {chosen}\b", text, re.M):
            findings.add(f"{backend}: JSON says {chosen}, the text {text[:200]!r}")
        for name, verdict in verdicts(told).items():
            if not re.search(rf"^  {name} +{verdict}$", text, re.M):
                findings.add(f"{backend}: the text does not say that {name} is {verdict}")
        words = text.split()
        for feature in told["features"]:
            if feature not in words:
                findings.add(f"{backend}: the text misses feature {feature}")
        routes = {}
        for operation, route in told["operations"].items():
            routes.setdefault(route, []).append(operation)
        told_text = re.sub(r"\n {24} ?", " ", text[text.find("Operations") :])
        for route, operations in routes.items():
            line = re.search(rf"^  {route} +(.*)$", told_text, re.M)
            found = line[1].split() if line else []
            if told["chosen"]:
                expect(findings, f"{backend}: {route}", found, operations)
        if told["chosen"] and told["environment"]["kernel"] != platform.release():
            findings.add(f"kernel {told['environment']['kernel']}")
        checked += len(told["backends"]) + len(told["operations"])
    return checked


def choices(findings):
    """What is asked for is what comes, from the option or from the environment."""
    available = [name for name, verdict in verdicts(ask()).items() if verdict == "available"]
    expect(findings, "the best one that can be had", ask()["chosen"], available[0])
    for name in available:
        expect(findings, f"--backend {name}", ask("--backend", name)["chosen"], name)
        told = ask("--backend", "auto", variables={"KULA_BACKEND": f"strict:{name}"})
        expect(findings, f"KULA_BACKEND=strict:{name}", told["chosen"], name)
        if f"strict:{name}" not in told["environment"]["variables"]:
            findings.add(f"nothing about the variable: {told['environment']['variables']!r}")
    expect(findings, "--backend stub", ask("--backend", "stub")["chosen"], "blocking")
    return 2 + 2 * len(available)


def require(findings):
    """The exit status is the verdict."""
    checked = 0
    for name, verdict in verdicts(ask()).items():
        result = info("--require", name)
        expect(findings, name, result.returncode, 0 if verdict == "available" else 1)
        expect(findings, f"{name}: output", result.stdout, "")
        checked += 1
    expect(findings, "stub", info("--require", "stub").returncode, 0)
    strict = {"KULA_BACKEND": "strict:blocking"}
    result = info("--require", "epoll", variables=strict)
    expect(findings, "epoll where only blocking may be had", result.returncode, 1)
    expect(findings, "blocking", info("--require", "blocking", variables=strict).returncode, 0)
    return checked + 3


def usage(findings):
    for arguments, status, words in [
        (["--require", "kqueue"], 2, "no backend"),
        (["--backend", "kqueue"], 2, "does not have: \"kqueue\""),
        (["--mask", "nonsense:1"], 2, "\"nonsense:1\" is not known"),
        (["--nonsense"], 2, "usage:"),
        (["word"], 2, "usage:"),
        (["--help"], 0, "usage:"),
        (["--version"], 0, "kula-info 0."),
    ]:
        result = info(*arguments)
        expect(findings, arguments, result.returncode, status)
        if words not in result.stdout + result.stderr:
            findings.add(f"{arguments}: {result.stdout!r} {result.stderr!r}")
    return 7


def masks(findings):
    """A mask takes a feature or an operation away, and auto goes on without uring if it must."""
    need_uring()
    told = ask("--mask", "op:statx")
    expect(findings, "chosen without statx", told["chosen"], "uring")
    expect(findings, "statx without the ring", told["operations"]["statx"], "pool")
    expect(findings, "statx with the ring", ask()["operations"]["statx"], "ring")
    expect(findings, "the mask", told["environment"]["mask"], "op:statx")
    for mask in ("feat:ext_arg", "feat:nodrop"):
        told = ask(variables={"KULA_MASK": mask})
        expect(findings, f"chosen with {mask}", told["chosen"], "epoll")
        uring = told["backends"][0]
        if uring["verdict"] == "available" or not uring["cause"] or not uring["remedy"]:
            findings.add(f"{mask}: {uring}")
        expect(findings, mask, info("--require", "uring", "--mask", mask).returncode, 1)
        told = ask("--backend", "strict:uring", "--mask", mask)
        if told["chosen"] == "uring" and mask[5:] in told["features"]:
            findings.add(f"{mask}: the feature is still there")
    return 12


def refused(findings):
    """Each of the three calls refused, with each errno: epoll is taken and the cause is named."""
    need_uring()
    checked = 0
    for call, error in [
        ("io_uring_setup", "ENOSYS"),
        ("io_uring_setup", "EPERM"),
        ("io_uring_enter", "EPERM"),
        ("io_uring_register", "EPERM"),
    ]:
        prefix = [SECCOMP_RUN, "-d", f"{call}={error}", "--"]
        told = ask(prefix=prefix)
        what = f"{call}={error}"
        uring = told["backends"][0]
        expect(findings, f"{what}: chosen", told["chosen"], "epoll")
        expect(findings, f"{what}: verdict", uring["verdict"], "unavailable")
        if call not in uring["cause"] or not uring["remedy"]:
            findings.add(f"{what}: cause {uring['cause']!r}, remedy {uring['remedy']!r}")
        expect(findings, what, info("--require", "uring", prefix=prefix).returncode, 1)
        expect(findings, what, info("--require", "epoll", prefix=prefix).returncode, 0)
        strict = info("--backend", "strict:uring", prefix=prefix)
        expect(findings, f"{what}: strict", strict.returncode, 1)
        checked += 6
    return checked


NOBODY = 65534


def privileged(findings):
    """A set-user-ID program does not take its backend from whoever started it (AT_SECURE)."""
    if os.geteuid() != 0:
        checks.skip("making a set-user-ID program of another user needs root")
    zero = ctypes.c_ulong(0)
    if ctypes.CDLL(None).prctl(39, zero, zero, zero, zero) == 1:  # PR_GET_NO_NEW_PRIVS
        checks.skip("this process may get no new privileges (a seccomp filter, a container)")
    with tempfile.TemporaryDirectory() as folder:
        if os.statvfs(folder).f_flag & os.ST_NOSUID:
            checks.skip(f"{folder} is mounted nosuid")
        os.chmod(folder, 0o755)
        program = pathlib.Path(folder, "kula-info")
        shutil.copy(INFO, program)
        chosen = {}
        for mode in 0o755, 0o4755:
            program.chmod(mode)
            result = checks.run(
                [program, "--json"],
                env=clean_environment(KULA_BACKEND="strict:blocking"),
                timeout=programs.LIMIT_SECONDS,
                user=NOBODY,
                group=NOBODY,
                extra_groups=[],
            )
            chosen[mode] = json.loads(result.stdout)["chosen"]
        expect(findings, "chosen as anybody", chosen[0o755], "blocking")
        if chosen[0o4755] == "blocking":
            findings.add("a set-user-ID kula-info has heeded KULA_BACKEND")
    return 2


def kill_io_uring_setup():
    """A seccomp filter that kills the process that calls io_uring_setup (425 everywhere)."""
    code = struct.pack("=HBBI", 0x20, 0, 0, 0)  # load the number of the call
    code += struct.pack("=HBBI", 0x15, 0, 1, 425)  # is it io_uring_setup?
    code += struct.pack("=HBBI", 0x06, 0, 0, 0x80000000)  # SECCOMP_RET_KILL_PROCESS
    code += struct.pack("=HBBI", 0x06, 0, 0, 0x7FFF0000)  # SECCOMP_RET_ALLOW
    kept = ctypes.create_string_buffer(code)
    program = struct.pack("@HP", 4, ctypes.addressof(kept))
    libc = ctypes.CDLL(None, use_errno=True)
    zero = ctypes.c_ulong(0)
    if libc.prctl(38, ctypes.c_ulong(1), zero, zero, zero) != 0:  # PR_SET_NO_NEW_PRIVS
        raise OSError(ctypes.get_errno(), "prctl")
    if libc.prctl(22, ctypes.c_ulong(2), ctypes.c_char_p(program), zero, zero) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def killed(findings):
    """A filter that kills does not kill kula-info, and its report says what happened."""
    need_uring()
    told = ask(preexec_fn=kill_io_uring_setup)
    uring = told["backends"][0]
    expect(findings, "chosen", told["chosen"], "epoll")
    expect(findings, "verdict", uring["verdict"], "unavailable")
    if str(int(signal.SIGSYS)) not in uring["cause"] or not uring["remedy"]:
        findings.add(f"cause {uring['cause']!r}, remedy {uring['remedy']!r}")
    status = info("--require", "uring", preexec_fn=kill_io_uring_setup).returncode
    expect(findings, "--require uring", status, 1)
    return 4


programs.run_case(
    {
        "json_agrees": json_agrees,
        "choices": choices,
        "require": require,
        "usage": usage,
        "masks": masks,
        "refused": refused,
        "killed": killed,
        "privileged": privileged,
    },
    CASE,
)
