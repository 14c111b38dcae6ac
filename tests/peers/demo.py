"""The demonstration runs, shows what it promises, and leaves nothing behind."""
import os
import re
import tempfile

from apache import PAGE_1
from common import SOURCE, case, main, run

PROGRAM = SOURCE + "/examples/demo"


@case("examples/demo")
def _():
    with tempfile.TemporaryDirectory(prefix="demo-") as folder:
        os.chmod(folder, 0o755)
        # Built as a user builds it; what the gate wants of sanitizers does not matter there.
        result = run(PROGRAM, env={"TMPDIR": folder}, patience=200)
        left = os.listdir(folder)
    assert result.status == 0, result
    assert not left, left
    lengths = re.findall(rb"^\[RECV\] - (?:total )?length: (\d+)\n(.*?\r\n\r\n)", result.out, re.M | re.S)
    bodies = [int(length) - len(head) for length, head in lengths]
    assert bodies == [81, 4500, 77], bodies
    assert PAGE_1 in result.out and b"\nShutting down server...\n" in result.out, result
    assert result.out.endswith(b"\n== Done ==\n"), result


@case("nothing of it runs on")
def _():
    ours = f"{SOURCE}/build-demo/".encode()
    running = []
    for name in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{name}/cmdline", "rb") as file:
                words = file.read()
        except OSError:
            continue
        if words.startswith((ours, b"build-demo/")):
            running.append(words)
    assert not running, running


main()
