"""An installed tree, moved to another place, builds and runs a program of somebody else.

usage: installed.py BUILD_DIR SOURCE_DIR COMPILER TOOL KIND [FLAGS...]
       TOOL is pkg-config or cmake, KIND is shared or static; a compiler that ends in ++ builds the
       program in C++
"""

import os
import pathlib
import re
import shutil
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
import checks  # noqa: E402


def is_cpp(compiler):
    return compiler.endswith("++")


def with_pkg_config(prefix, work, source, compiler, kind, flags):
    packages = next(prefix.rglob("kula.pc")).parent
    environment = dict(os.environ, PKG_CONFIG_PATH=str(packages))
    if kind == "static":  # what is not there cannot be taken instead
        for library in prefix.rglob("libkula.so*"):
            library.unlink()
    static = ["--static"] if kind == "static" else []
    found = checks.must(["pkg-config", "--cflags", "--libs", *static, "kula"], env=environment)
    program = work / "consumer"
    text = source / ("consumer.cpp" if is_cpp(compiler) else "consumer.c")
    if is_cpp(compiler):
        flags = ["-std=c++17", *flags]  # clang 14 begins with C++14
    checks.must([compiler, *flags, "-o", program, text, *found.split()])
    return program


def with_cmake(prefix, work, source, compiler, kind, flags):
    build = work / "build"
    language = "CXX" if is_cpp(compiler) else "C"
    checks.must(
        [
            *("cmake", "-S", source, "-B", build, f"-DLANGUAGE={language}"),
            *(f"-DCMAKE_PREFIX_PATH={prefix}", f"-DKIND={kind}"),
            f"-DCMAKE_{language}_COMPILER={compiler}",
            f"-DCMAKE_{language}_FLAGS={' '.join(flags)}",
        ]
    )
    checks.must(["cmake", "--build", build])
    return build / "consumer"


def main():
    build, source, compiler, tool, kind, *flags = sys.argv[1:]
    checks.need("cmake", tool, "ldd")
    source = pathlib.Path(source) / "tests" / "header" / "consumer"
    findings = checks.Findings()
    with tempfile.TemporaryDirectory() as directory:
        work = pathlib.Path(directory)
        checks.must(["cmake", "--install", build, "--prefix", work / "first"])
        prefix = work / "moved"
        shutil.move(work / "first", prefix)
        make = with_cmake if tool == "cmake" else with_pkg_config
        program = make(prefix, work, source, compiler, kind, flags)
        libraries = next(prefix.rglob("libkula.a")).parent
        environment = dict(os.environ, LD_LIBRARY_PATH=str(libraries))
        loads = re.search(r"libkula\.so\.0 => (\S+)", checks.must(["ldd", program], env=environment))
        if (loads is not None) != (kind == "shared"):
            findings.add(f"asked for the {kind} library, and it loads {loads}")
        if loads and pathlib.Path(loads.group(1)).parent != libraries:
            findings.add(f"loads {loads.group(1)}")
        output = checks.must([program], env=environment, timeout=60)
        if output != "100 of 100\n":
            findings.add(f"printed {output!r}")
        info = prefix / "bin" / "kula-info"
        if info.exists():
            checks.must([info], env=environment, timeout=60)
    findings.finish(2)


main()
