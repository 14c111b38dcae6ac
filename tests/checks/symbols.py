"""symbols.py SHARED CORE - what the library shows, and what it wants from outside."""
import glob
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SOURCE, case, main

SHARED, CORE = sys.argv[1:3]
SHARED_MAX = 160 << 10  # bytes, stripped, with everything built in: small is a promise of the README


def read(path):
    with open(os.path.join(SOURCE, path)) as file:
        return file.read()


def nm(*arguments):
    """(type, name) of each symbol."""
    out = subprocess.run(["nm", *arguments], check=True, capture_output=True, text=True).stdout
    return re.findall(r"^(?:[0-9a-f]+)?\s+([A-Za-z]) (\S+)$", out, re.M)


def declared():
    text = "".join(read(path) for path in glob.glob(SOURCE + "/include/minihttp/*.h"))
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    return set(re.findall(r"^MH_API\b[^;()]*?(\w+)\(", text, re.M))


def mapped():
    text = read("lib/libminihttp.map")
    return set(re.findall(r"^\s+(\w+);$", text.split("global:")[1].split("local:")[0], re.M))


def exported():
    return {name.split("@")[0] for kind, name in nm("-D", "--defined-only", SHARED) if kind != "A"}


def allowed():
    lines = (line.split("#")[0].strip() for line in read("tests/checks/outside-symbols.txt").splitlines())
    return {line for line in lines if line}


def wanted():
    symbols = nm(CORE)
    ours = {name for kind, name in symbols if kind not in "Uw"}
    outside = {name for kind, name in symbols if kind in "Uw"} - ours
    return {re.sub(r"^__(\w+)_chk$", r"\1", name) for name in outside} - {"_GLOBAL_OFFSET_TABLE_"}


@case("the map lists what the headers declare")
def _():
    assert declared() == mapped(), f"only in one of them: {sorted(declared() ^ mapped())}"


@case("the shared library exports what the map lists")
def _():
    assert exported() == mapped(), f"only in one of them: {sorted(exported() ^ mapped())}"


@case("every exported symbol has its version")
def _():
    names = [name for kind, name in nm("-D", "--defined-only", SHARED) if kind != "A"]
    assert names and all("@@LIBMINIHTTP_0.1" in name for name in names), names


@case("outside symbols are those in outside-symbols.txt")
def _():
    assert wanted() <= allowed(), f"new: {sorted(wanted() - allowed())}"
    # The other way round depends on what a compiler does itself, memcpy() for one.
    print("     not wanted by this build:", *sorted(allowed() - wanted()))


@case("the library has no variables")
def _():
    out = subprocess.run(["size", "-A", CORE], check=True, capture_output=True, text=True).stdout
    sizes = re.findall(r"^\.(data|bss|tdata|tbss)\s+(\d+)", out, re.M)
    assert sizes, "size(1) named no section"
    assert sum(int(size) for _, size in sizes) == 0, "there is something in .data or .bss"


@case(f"the stripped shared library is smaller than {SHARED_MAX} bytes")
def _():
    out = os.path.join(os.path.dirname(SHARED), "stripped-" + os.path.basename(SHARED))
    subprocess.run(["strip", "-o", out, os.path.realpath(SHARED)], check=True)
    size = os.path.getsize(out)
    os.unlink(out)
    print(f"     {size} bytes")
    assert size < SHARED_MAX, f"{size} bytes"


main()
