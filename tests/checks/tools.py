"""tools.py TOOL BUILD - the static gates: format, tidy, cppcheck, analyzer, m32."""
import concurrent.futures
import glob
import os
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SOURCE, case, main, skip_all

TOOL, BUILD = sys.argv[1:3]
FLAGS = ["-std=c11", "-D_GNU_SOURCE", "-I" + SOURCE + "/include", "-I" + SOURCE + "/lib"]
STRICT = ["-Wall", "-Wextra", "-Wpedantic", "-Wconversion", "-Wsign-conversion", "-Wshadow",
          "-Wstrict-prototypes", "-Wmissing-prototypes", "-Wvla", "-Wundef", "-Wformat=2", "-Werror"]
# With all content codings.
CODINGS = ["-DMH__ZLIB", "-DMH__BROTLI", "-DMH__ZSTD"]
# The libraries of these are rarely there in 32 bits, and then they are left out.
FOREIGN = ["coding_zlib.c", "coding_brotli.c", "coding_zstd.c", "openssl.c"]


def sources(*patterns):
    return sorted(path for pattern in patterns
                  for path in glob.glob(os.path.join(SOURCE, pattern), recursive=True))


def run(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


def need(program):
    if not shutil.which(program):
        skip_all(f"no {program}")


def each(paths, check):
    """The same check of each file: they run side by side, and are then told one by one."""
    assert paths
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        jobs = [(path, pool.submit(check, path)) for path in paths]
    for path, job in jobs:
        case(f"{TOOL}: {os.path.relpath(path, SOURCE)}")(job.result)


def clang_format():
    need("clang-format")
    version = subprocess.run(["clang-format", "--version"], capture_output=True, text=True).stdout
    if "version 14." not in version:
        skip_all(f"the format is that of clang-format 14, and this is {version.strip()}")
    each(sources("include/**/*.h", "lib/**/*.[ch]", "examples/*.[ch]", "tests/**/*.[ch]"),
         lambda path: run("clang-format", "--dry-run", "-Werror", path))


def tidy():
    need("clang-tidy")
    config = os.path.join(SOURCE, "tests/checks/tidy.yaml")
    each(sources("lib/*/*.c", "examples/*.c"),
         lambda path: run("clang-tidy", "--quiet", "--config-file=" + config, path, "--", *FLAGS,
                          *CODINGS))


def cppcheck():
    need("cppcheck")
    each(sources("lib/*/*.c", "examples/*.c"),
         lambda path: run("cppcheck", "--quiet", "--std=c11", "--error-exitcode=1",
                          "--enable=warning,performance,portability", "--inline-suppr",
                          "--library=posix", "--library=gnu", "-D_GNU_SOURCE", *FLAGS[2:], *CODINGS,
                          path))


def analyzer():
    need("gcc")
    # Debian's gcc does not turn this on by itself, a distribution that packages us may.
    each(sources("lib/*/*.c", "examples/*.c"),
         lambda path: run("gcc", *FLAGS, *CODINGS, *STRICT, "-O2", "-fanalyzer", "-c", "-o", os.devnull,
                          path))


def m32():
    """Where size_t has 32 bits, lengths overflow that do not elsewhere."""
    need("gcc")
    folder = tempfile.mkdtemp()
    try:
        with open(folder + "/empty.c", "w") as file:
            file.write("#include <stdlib.h>\nint main(void) { return EXIT_SUCCESS; }\n")
        if subprocess.run(["gcc", "-m32", "-o", folder + "/empty", folder + "/empty.c"],
                          capture_output=True).returncode:
            skip_all("gcc -m32 does not work here (gcc-multilib)")
        program = folder + "/cases"

        @case("everything compiles and links with -m32, without a warning")
        def _():
            run("gcc", "-m32", "-g", "-fsanitize=undefined", "-fno-sanitize-recover", *FLAGS, *STRICT,
                "-pthread", "-I" + SOURCE + "/tests", "-o", program,
                *[path for path in sources("lib/*/*.c") if os.path.basename(path) not in FOREIGN],
                *sources("tests/h1_cases.c", "tests/h1_runner.c", "tests/h1_suite.c", "tests/memory.c"))

        @case("the cases of the engine with -m32")
        def _():
            run(program, os.path.join(SOURCE, "tests/cases"))

        main()
    finally:
        shutil.rmtree(folder)


{"format": clang_format, "tidy": tidy, "cppcheck": cppcheck, "analyzer": analyzer, "m32": m32}[TOOL]()
main()
