"""pages.py BUILD - man pages and README: complete, well formed, and their code compiles.

BUILD is the build directory: the links between the pages are made there.
"""
import ast
import glob
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SOURCE, Skip, case, main

BUILD = sys.argv[1]
STRICT = ["-std=c11", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wpedantic", "-Werror",
          "-I", SOURCE + "/include"]
# What a snippet of EXAMPLES may take for granted.
WRAPPER = """#include <minihttp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
void example(void);
void example(void)
{
%s}
"""


def read(path):
    with open(path) as file:
        return file.read()


# Those of programs that are not installed are beside them.
PATHS = {os.path.basename(path): path for folder in ("man", "examples")
         for path in sorted(glob.glob(f"{SOURCE}/{folder}/*.[137]"))}
PAGES = {name: read(path) for name, path in PATHS.items()}
LINKS = {os.path.basename(path): read(path) for path in sorted(glob.glob(BUILD + "/man/*.[137]"))}
HEADER = "".join(read(path) for path in sorted(glob.glob(SOURCE + "/include/minihttp/*.h")))


def functions():
    text = re.sub(r"/\*.*?\*/", " ", HEADER, flags=re.S)
    return sorted(set(re.findall(r"^MH_API\b[^;()]*?(\w+)\(", text, re.M)))


def section(page, title):
    found = re.search(rf"^\.Sh {title}\n(.*?)(?=^\.Sh |\Z)", PAGES[page], re.M | re.S)
    return found.group(1) if found else ""


def roff(text):
    """As it is printed: the escapes that our pages use."""
    return re.sub(r"\\&", "", text).replace("\\e", "\\")


def words(line):
    """The arguments of a macro."""
    return [roff(a or b) for a, b in re.findall(r'"([^"]*)"|(\S+)', line)]


def prototypes(page):
    """SYNOPSIS as C: its headers and its declarations."""
    headers, protos, result, open_name, arguments = [], [], "", None, []
    for line in section(page, "SYNOPSIS").splitlines():
        macro, _, rest = line.partition(" ")
        if macro == ".In":
            headers.append(f"#include <{rest}>\n")
        elif macro == ".Ft":
            result = rest
        elif macro == ".Fn":
            name, *args = words(rest)
            protos.append((result, name, args))
        elif macro == ".Fo":
            open_name, arguments = rest, []
        elif macro == ".Fa":
            arguments += words(rest)
        elif macro == ".Fc":
            protos.append((result, open_name, arguments))
    return headers, protos


def examples(page):
    """The literal blocks of EXAMPLES."""
    blocks = re.findall(r"^\.Bd -literal[^\n]*\n(.*?)^\.Ed$", section(page, "EXAMPLES"), re.M | re.S)
    return [roff(block) for block in blocks]


def compiles(code, *more):
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "page.c")
        with open(path, "w") as file:
            file.write(code)
        done = subprocess.run(["cc", *STRICT, path, *(more or ["-fsyntax-only"])],
                              capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def whole(code):
    return code if "#include" in code else WRAPPER % code


def find(name):
    """The page that describes name, through its link."""
    if name in LINKS:
        return LINKS[name].strip().removeprefix(".so man3/")
    return name


def expect_nothing(wrong):
    assert not wrong, "\n    " + "\n    ".join(wrong)


def lint(name):
    done = subprocess.run(["mandoc", "-T", "lint", PATHS[name]],
                          capture_output=True, text=True)
    # What manuals this machine has is not the page's fault; our own are looked up below.
    assert not [line for line in done.stdout.splitlines() if "referenced manual not found" not in line], \
        done.stdout


for page in PAGES:
    case(f"mandoc -T lint {page}")(lambda p=page: lint(p))


@case("every function has a page or a link, and stands in its NAME")
def _():
    wrong = []
    for name in functions():
        page = find(name + ".3")
        if page not in PAGES or not re.search(rf"^\.Nm {name}\b", PAGES[page], re.M):
            wrong.append(f"{name}: {page}")
    expect_nothing(wrong)


@case("every name in NAME has a page or a link")
def _():
    expect_nothing([f"{page}: {name}" for page in PAGES if page.endswith(".3")
                    for name in re.findall(r"^\.Nm (\w+)", section(page, "NAME"), re.M)
                    if find(name + ".3") != page])


@case("cross references name pages that are there")
def _():
    expect_nothing([f"{page}: {name}({number})" for page, text in PAGES.items()
                    for name, number in re.findall(r"^\.?.*?\bXr (\w+) (\d)", text, re.M)
                    if (name.startswith(("mh_", "minihttp", "simple_", "large_")) or number == "1")
                    and find(f"{name}.{number}") not in PAGES])


@case("SYNOPSIS shows every function of the page")
def _():
    expect_nothing([f"{page}: {name}" for page in PAGES if page.endswith(".3")
                    for name in re.findall(r"^\.Nm (\w+)", section(page, "NAME"), re.M)
                    if name not in [proto[1] for proto in prototypes(page)[1]]])


def synopsis(page):
    headers, protos = prototypes(page)
    assert headers and protos, "nothing to compile"
    # An inline function cannot be declared again from outside: a pointer has to fit it instead.
    lines = [f"static inline {result} {name}({', '.join(args)});" if re.search(
                 rf"static inline [^;]*?\b{name}\(", HEADER) else
             f"{result} {name}({', '.join(args)});" for result, name, args in protos]
    compiles("".join(headers) + "\n".join(lines) + "\n")


for page in PAGES:
    if page.endswith(".3"):
        case(f"{page}: SYNOPSIS is what the header declares")(lambda p=page: synopsis(p))


def show(page):
    blocks = examples(page)
    assert blocks, "no EXAMPLES"
    for block in blocks:
        compiles(whole(block))


for page in PAGES:
    if not page.endswith(".1"):
        case(f"{page}: EXAMPLES compile")(lambda p=page: show(p))


def local_programs(page):
    """The examples that need no network, as programs."""
    programs = [whole(code).replace("void example(void)\n", "int main(void)\n")
                for code in examples(page)]
    network = r"\bmh_(get|get_once|client_\w+|listen|accept|serve|server_run)\("
    return [code for code in programs if "int main(" in code and not re.search(network, code)]


def run_example(page):
    for code in local_programs(page):
        with tempfile.TemporaryDirectory() as folder:
            program = os.path.join(folder, "page")
            compiles(code, "-o", program, "-L", BUILD + "/lib", "-lminihttp",
                     "-Wl,-rpath," + BUILD + "/lib")
            done = subprocess.run([program], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0 and done.stdout and not done.stderr, done


for page in PAGES:
    if page.endswith(".3") and local_programs(page):
        case(f"{page}: EXAMPLES that need no network run")(lambda p=page: run_example(p))


@case("every page of section 3 has its sections")
def _():
    expect_nothing([f"{page}: {title}" for page in PAGES if page.endswith(".3")
                    for title in ("NAME", "SYNOPSIS", "DESCRIPTION", "EXAMPLES", "SEE ALSO")
                    if not section(page, title)])


@case("every page of section 3 says what threads may do")
def _():
    expect_nothing([page for page in PAGES if page.endswith(".3") and "thread" not in PAGES[page]])


INSIDE = "".join(read(path) for path in sorted(glob.glob(SOURCE + "/lib/*/*.h")))
# What one file of lib/ alone knows, and somebody outside may notice.
ALONE = {"http/coding.c": ["BETWEEN_MAX"], "http/coding_zstd.c": ["WINDOW_LOG_MAX"],
         "net/socket.c": ["SEND_FILE_MAX"],
         "server/carrier.c": ["CIPHER_KEPT_MAX", "CIPHER_MAX", "PLAIN_SIZE"],
         "server/inproc.c": ["UPLOAD_PIECE"],
         "tls/openssl.c": ["KEY_UPDATES_MAX", "SESSIONS_PER_PEER_MAX"]}
LIMIT = (r"MH_\w*(?:_MAX|_MS|_MIN|_SIZE|_SLICE|_ROOM|_PIECES|_STEPS|_BUCKETS|"
         r"_BYTES|BACKLOG)")


def defined(text, names):
    """(name, value) of the macros that a pattern fits."""
    return re.findall(rf"^#define ({names}) +(\([^)]*\)|\S+)", text.replace("\\\n", ""), re.M)


def constants():
    """NAME: value, of every limit in the headers, and of those in ALONE."""
    found = defined(HEADER + INSIDE, LIMIT)
    for path, names in ALONE.items():
        found += defined(read(f"{SOURCE}/lib/{path}"), "|".join(names))
    found = {name: re.sub(r"(?<=\d)u\b", "", value) for name, value in found}
    return {name: ast_value(value, found) for name, value in found.items()}


def ast_value(text, found):
    """12, (64 << 10), OTHER, (OTHER - 4)"""
    def value(node):
        if isinstance(node, ast.Name):
            return ast_value(found[node.id], found)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.LShift):
            return value(node.left) << value(node.right)
        if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub):
            return value(node.left) - value(node.right)
        return node.value

    return value(ast.parse(text.strip(), mode="eval").body)


UNITS = {"": 1, "ms": 1, "s": 1000, "KiB": 1024, "MiB": 1 << 20}


@case("minihttp.7 lists every limit with its value")
def _():
    rows = re.findall(r"^\.It Dv ([A-Z]\w+) Ta (\d+) ?(\w*) Ta", PAGES["minihttp.7"], re.M)
    shown = {name: int(number) * UNITS[unit] for name, number, unit in rows}
    assert shown == constants(), sorted(shown.items() ^ constants().items())


@case("mh_strerror.3 lists every error")
def _():
    there = re.findall(r"X\((\w+), (-\d+), \"([^\"]*)\"\)", HEADER)
    shown = re.findall(r"^\.It Dv MH_ERR_(\w+) Ta (-\d+) Ta (.*)$", PAGES["mh_strerror.3"], re.M)
    assert there and shown == there, sorted(set(shown) ^ set(there))


def members(type_name):
    text = re.sub(r"/\*.*?\*/", " ", HEADER, flags=re.S)
    body = re.search(rf"struct {type_name} {{(.*?)^}}", text, re.M | re.S).group(1)
    names = re.findall(r"\(\*(\w+)\)|(\w+)(?:\[\w*\])?\s*(?=[,;])(?![^()]*\))", body)
    return {a or b for a, b in names}


@case("pages of structs list every member")
def _():
    wrong = []
    for type_name, page in {"mh_buf": "mh_buf.3", "mh_url": "mh_url.3", "mh_fetch": "mh_client_fetch.3",
                            "mh_client_options": "mh_client.3",
                            "mh_response": "mh_response.3", "mh_timings": "mh_response.3",
                            "mh_request": "mh_request.3", "mh_route": "mh_serve_routes.3",
                            "mh_files": "mh_serve_files.3",
                            "mh_server_options": "mh_server.3",
                            "mh_h1_head": "mh_h1.3", "mh_h1_view": "mh_h1.3",
                            "mh_h1_fault": "mh_h1.3"}.items():
        text = "\n".join(re.findall(r"^\.It (.*)$", PAGES[page], re.M))
        wrong += [f"{page}: {name}" for name in sorted(members(type_name))
                  if not re.search(rf"\b{name}\b", text)]
    expect_nothing(wrong)


def program_options(name):
    program = os.path.join(BUILD, "examples", name)
    if not os.path.exists(program):
        raise Skip("the examples are not built")
    done = subprocess.run([program, "--help"], capture_output=True, text=True)
    return set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", done.stdout)), done.returncode


def same_options(page):
    options, status = program_options(page[:-2])
    shown = {"--" + name for name in re.findall(r"\bFl -([a-z][a-z-]*)", PAGES[page])}
    assert status == 0 and options | {"--help", "--version"} == shown, sorted(options ^ shown)


for page in PAGES:
    if page.endswith(".1"):
        case(f"{page} lists the options of --help")(lambda p=page: same_options(p))


def readme_blocks():
    return re.findall(r"^```c\n(.*?)^```$", read(SOURCE + "/README.md"), re.M | re.S)


@case("README.md: the programs compile and link")
def _():
    blocks = readme_blocks()
    assert len(blocks) >= 2, "a client and a server were expected"
    for block in blocks:
        compiles(whole(block), "-o", os.devnull, "-L", BUILD + "/lib", "-lminihttp")


@case("README.md and lib/README.md name files that are there")
def _():
    wrong = []
    for path in glob.glob(SOURCE + "/README.md") + glob.glob(SOURCE + "/*/README.md"):
        folder = os.path.dirname(path)
        text = re.sub(r"^```.*?^```$", "", read(path), flags=re.M | re.S)
        for name in re.findall(r"`([\w./-]+)`", text) + re.findall(r"\]\(([\w./-]+)\)", text):
            if "x/y" in name or name.startswith("build"):
                continue  # a pattern, or what is only there after a build
            if re.search(r"\.(c|h|md|py|sh|txt|map|build|7|3|1)$|/$", name) and not any(
                    os.path.exists(os.path.join(base, name)) for base in (folder, SOURCE)):
                wrong.append(f"{os.path.relpath(path, SOURCE)}: {name}")
    expect_nothing(wrong)


main()
