"""What no file of the tree may hold: paths of one machine, unfinished business, odd white space."""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SOURCE, case, main

# Each in a spelling that does not match itself.
FORBIDDEN = [
    (r"(?<![\w.$}/])/(?:home|root|work|mnt)[/]\w", "a path of one machine"),
    (r"\b(?:TO[D]O|FIX[M]E|X[X]X|HAC[K])\b", "unfinished business"),
    (r"\b[Pp]hase [0-9]|\b[Ii]ssue #?[0-9]", "a plan, not a fact"),
    (r"\blorem[ ]ipsum\b|\bplace[h]older\b", "filling"),
    (r"^(?:<{7}|>{7}|={7})(?: |$)", "a conflict"),
]
TOP = {".ci/run", ".clang-format", ".editorconfig", ".gitignore"}
BINARY = ("tests/fuzz/corpus/", "tests/cases/", "tests/fuzz/seeds/")


def files():
    """Everything that is, or would be, committed."""
    done = subprocess.run(["git", "-C", SOURCE, "ls-files", "-co", "--exclude-standard"],
                          capture_output=True, text=True)
    if done.returncode == 0:
        return sorted(name for name in set(done.stdout.split("\n")) if name and
                      os.path.isfile(os.path.join(SOURCE, name)))
    return sorted(os.path.relpath(os.path.join(folder, name), SOURCE)
                  for folder, folders, names in os.walk(SOURCE)
                  if not folders.sort() and "/build" not in folder and "/.git" not in folder
                  for name in names)


def texts():
    for name in files():
        if not name.startswith(BINARY):
            with open(os.path.join(SOURCE, name), "rb") as file:
                yield name, file.read()


def expect_nothing(wrong):
    assert not wrong, "\n    " + "\n    ".join(wrong)


@case("there are files")
def _():
    assert len(files()) > 50, len(files())


@case("no forbidden words")
def _():
    expect_nothing([f"{name}:{data[:found.start()].count(10) + 1}: {why}: {found.group()}"
                    for name, data in texts() for pattern, why in FORBIDDEN
                    for found in re.finditer(pattern, data.decode("utf-8", "replace"), re.M)])


@case("text files: UTF-8, LF, a newline at the end, no trailing white space")
def _():
    wrong = []
    for name, data in texts():
        try:
            data.decode("utf-8")
        except UnicodeDecodeError:
            wrong.append(f"{name}: not UTF-8")
        if b"\r" in data:
            wrong.append(f"{name}: CR")
        if data and not data.endswith(b"\n"):
            wrong.append(f"{name}: no newline at the end")
        if re.search(rb"[ \t]\n", data):
            wrong.append(f"{name}: white space at the end of a line")
    expect_nothing(wrong)


@case("no dot files but the four")
def _():
    dots = {name for name in files() if name.startswith(".")}
    assert dots <= TOP, sorted(dots - TOP)


@case("what has a #! line is executable, and what is executable has one")
def _():
    expect_nothing([name for name, data in texts()
                    if data.startswith(b"#!") != os.access(os.path.join(SOURCE, name), os.X_OK)])


main()
