"""leak.py PROGRAM - the gate sees a leak in a Criterion case, which Criterion itself does not."""
import os
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SOURCE, case, main

GATE = os.path.join(SOURCE, "tests/gate")


def run(*command):
    return subprocess.run(command, capture_output=True, text=True)


@case("the case itself passes")
def _():
    quiet = {**os.environ, "ASAN_OPTIONS": "detect_leaks=0"}
    done = subprocess.run([sys.argv[1]], capture_output=True, text=True, env=quiet)
    assert done.returncode == 0, done.stderr


@case("the gate fails it, and shows the leak")
def _():
    done = run(GATE, sys.argv[1])
    assert done.returncode != 0, "the gate let a leak through"
    assert "LeakSanitizer" in done.stderr and "4711 byte" in done.stderr, done.stderr


@case("the gate passes on what is well, and what is not")
def _():
    assert [run(GATE, "sh", "-c", f"exit {status}").returncode for status in (0, 1, 77)] == [0, 1, 77]


@case("the gate passes on death by a signal")
def _():
    assert run(GATE, "sh", "-c", "kill -KILL $$").returncode == 128 + 9


main()
