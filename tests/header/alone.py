"""Each public header compiles alone, as a strict dialect, without a warning.

usage: alone.py INCLUDE_DIR COMPILER STANDARD
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "support"))
import checks  # noqa: E402

WARNINGS = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Wundef", "-Werror"]


def main():
    include = pathlib.Path(sys.argv[1])
    compiler, standard = sys.argv[2:]
    checks.need(compiler)
    language = "c++" if standard.startswith("c++") else "c"
    findings = checks.Findings()
    headers = [include / "kula.h", *sorted((include / "kula").glob("*.h"))]
    if language == "c++":
        headers += [include / "kula.hpp", *sorted((include / "kula").glob("*.hpp"))]
    for header in headers:
        name = header.relative_to(include)
        # Twice: the second time shows that the include guard is right.
        source = f"#include <{name}>\n#include <{name}>\nint main(void)\n{{\n    return 0;\n}}\n"
        command = [compiler, f"-std={standard}", *WARNINGS, "-O2", f"-I{include}"]
        result = checks.run(
            [*command, "-x", language, "-", "-c", "-o", "/dev/null"], input=source
        )
        if result.returncode != 0 or result.stderr:
            findings.add(f"{name} alone, {compiler} -std={standard}:\n{result.stderr}")
    findings.finish(len(headers))


main()
