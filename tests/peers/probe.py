"""probe.py FOLDER - get and post against a list of hostile answers that was written elsewhere.

The list is client_probe.py, which is no part of this project: it is looked for where
MINIHTTP_CLIENT_PROBE says, or else beside the checkout. Without it there is nothing to do.
"""
import importlib.util
import json
import os
import shlex
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SOURCE, skip_all

PROBE = os.environ.get("MINIHTTP_CLIENT_PROBE") or os.path.join(
    os.path.dirname(SOURCE), "shared", "probe", "client_probe.py")


def load():
    sys.dont_write_bytecode = True  # it is somebody else's folder
    spec = importlib.util.spec_from_file_location("client_probe", PROBE)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def add_plain_transfers(probe):
    """It compares how much memory is taken with what these take; a list may have been published
    without them."""
    there = {vector.id for vector in probe.VECTORS}
    head = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n"
    both = {"paths": {"/": [probe.OK], "/second": [probe.resp(200, b"world")]}}
    for name, about, script, body, profile in [
            ("CL", "a length, left open", [probe.OK, probe.HOLD], "hello", "get"),
            ("HE-CL", "HEAD: a length and no body", [head, probe.HOLD], "", "head"),
            ("RQ-POST", "a POST", {"paths": {"*": [probe.OK]}}, "hello", "post"),
            ("RE-KEEP", "two GETs, one connection", both, "helloworld", "two")]:
        if name not in there:
            probe.V(name, "plain", "9112 6", "MUST", about, script, "ok", body, prof=profile)


def commands(folder):
    get, post = (shlex.quote(os.path.join(folder, name)) for name in ("get", "post"))
    posting = f"{post} --data-file {{file}} {{url}}"
    return {"get": f"{get} {{url}}", "follow": f"{get} {{url}}", "gzip": f"{get} {{url}}",
            "head": f"{get} --head {{url}}", "two": f"{get} {{url}} {{url2}}", "post": posting,
            "postfollow": posting}


def main(folder):
    if not os.path.exists(PROBE):
        skip_all(f"no {PROBE}, which is no part of this project")
    probe = load()
    add_plain_transfers(probe)
    with tempfile.NamedTemporaryFile() as output:
        sys.argv = [PROBE, "--output", output.name]  # where its main() looks
        for name, command in commands(folder).items():
            sys.argv += ["--" + name, command]
        probe.main()
        results = json.load(output)["results"]
    verdicts = [result["verdict"] for result in results]
    passed, failed, skipped = (verdicts.count(word) for word in ("pass", "fail", "skip"))
    print(f"{passed} passed, {failed + skipped} failed")  # a command for each was given
    sys.exit(1 if failed + skipped or not passed else 0)


main(sys.argv[1])
