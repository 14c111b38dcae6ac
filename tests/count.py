"""count.py TESTLOG.json... - what meson's logs say, and the line that tests/run ends with.

A test that says how many cases it had counts as so many: Criterion with its synthesis, our scripts
with their last line. A build that left no log has failed.
"""
import json
import os
import re
import sys

CRITERION = re.compile(r"Tested: .*?(\d+).*?Passing: .*?(\d+).*?Failing: .*?(\d+).*?Crashing: .*?(\d+)")
SCRIPT = re.compile(r"^(\d+) passed, (\d+) failed(?:, (\d+) skipped)?$", re.M)
COLOURS = re.compile(r"\x1b\[[0-9;]*m")


def cases(test):
    """(passed, failed, skipped) of one test, by its own account."""
    text = COLOURS.sub("", test.get("stderr", "") + test.get("stdout", ""))
    if found := CRITERION.search(text):
        _, passing, failing, crashing = map(int, found.groups())
        return passing, failing + crashing, 0
    if found := SCRIPT.findall(text):
        return tuple(int(number or 0) for number in found[-1])
    return (1, 0, 0) if test["result"] == "OK" else (0, 0, 0)


def judge(test):
    passed, failed, skipped = cases(test)
    if test["result"] == "SKIP":
        return 0, failed, skipped or 1
    if test["result"] == "OK" and passed:
        return passed, failed, skipped
    return passed, failed or 1, skipped  # no case at all is no success either


def reasons(build, test):
    for line in test.get("stdout", "").splitlines():
        if line.startswith(("skip ", "skipped:")):
            yield f"{build}: {test['name']}: {line}"


def read(path):
    if not os.path.exists(path):
        return None
    with open(path) as file:
        return [json.loads(line) for line in file]


def main():
    total = [0, 0, 0]
    for path in sys.argv[1:]:
        build = path.split("/")[0].removeprefix("build-test-")
        tests = read(path)
        if not tests:
            print(f"{build}: not built, or no tests")
            total[1] += 1
        for test in tests or []:
            total = [a + b for a, b in zip(total, judge(test))]
            if test["result"] not in ("OK", "SKIP"):
                print(f"{build}: {test['name']}: {test['result']}")
            for reason in reasons(build, test):
                print(reason)
    passed, failed, skipped = total
    print(f"{passed} passed, {failed} failed" + (f", {skipped} skipped" if skipped else ""))
    sys.exit(1 if failed or not passed else 0)


main()
