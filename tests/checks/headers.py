"""Each public header compiles alone, as C11 and as C++17."""
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SOURCE, Skip, case, main

STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wshadow", "-Werror", "-fsyntax-only"]
COMPILERS = [("gcc", "c11"), ("clang", "c11"), ("g++", "c++17"), ("clang++", "c++17")]
HEADERS = ["minihttp.h"] + ["minihttp/" + name
                            for name in sorted(os.listdir(SOURCE + "/include/minihttp"))]


def compile_alone(compiler, standard, header):
    if not shutil.which(compiler):
        raise Skip(f"no {compiler}")
    suffix = ".cc" if "++" in standard else ".c"
    with tempfile.NamedTemporaryFile("w", suffix=suffix) as file:
        file.write(f"#include <{header}>\n#include <{header}>\nint main(void) {{ return 0; }}\n")
        file.flush()
        done = subprocess.run([compiler, "-std=" + standard, *STRICT, "-I", SOURCE + "/include",
                               file.name], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


for compiler, standard in COMPILERS:
    for header in HEADERS:
        case(f"{header} with {compiler} -std={standard}")(
            lambda c=compiler, s=standard, h=header: compile_alone(c, s, h))

main()
