"""Cases with names, and the last line that tests/run counts.

    @case("what is expected")
    def _():
        assert 1 + 1 == 2

    main()

A case passes when it returns, is skipped when it raises Skip("why"), and fails otherwise.
"""
import os
import sys
import time
import traceback

SOURCE = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
CASES = []


class Skip(Exception):
    pass


def case(name):
    def add(function):
        CASES.append((name, function))
        return function

    return add


def skip_all(reason):
    """The machine cannot run this: say why, and tell meson so."""
    print("skipped:", reason)
    sys.exit(77)


def run_one(name, function):
    begin = time.monotonic()
    try:
        function()
        word, reason = "ok", ""
    except Skip as skip:
        word, reason = "skip", str(skip)
    except AssertionError as error:
        where = traceback.extract_tb(error.__traceback__)[-1]
        word, reason = "FAIL", f"line {where.lineno}: {error or where.line}"
    except Exception:  # an error in the test is a failure of the test
        word, reason = "FAIL", traceback.format_exc()
    print(f"{word:4} {name} ({time.monotonic() - begin:.2f} s)", *filter(None, [reason]), sep=": ")
    sys.stdout.flush()
    return word


def main():
    words = [run_one(name, function) for name, function in CASES]
    passed, failed, skipped = (words.count(word) for word in ("ok", "FAIL", "skip"))
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    sys.exit(1 if failed or not words else 77 if skipped and not passed else 0)
