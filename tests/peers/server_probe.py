"""server_probe.py LAB_SERVER - the lab's server against a list of requests that was written elsewhere.

The list is server_probe.py with server_vectors.py, which are no part of this project: they are looked
for where MINIHTTP_SERVER_PROBE says, or else beside the checkout. Without them there is nothing to do.
"""
import importlib.util
import json
import os
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SOURCE, skip_all

from lab_server import LabServer

PROBE = os.environ.get("MINIHTTP_SERVER_PROBE") or os.path.join(
    os.path.dirname(SOURCE), "shared", "probe", "server_probe.py")
# What it waits for with --caps timeouts.
SHORT = {"head_timeout_ms": 2500, "body_timeout_ms": 2500, "idle_timeout_ms": 2500}


def load(name):
    spec = importlib.util.spec_from_file_location(name, os.path.join(os.path.dirname(PROBE), name + ".py"))
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def repair(vectors):
    """A list may have been published without some of its vectors, whose data then stand at the one
    before them: so these three ask for one thing and expect another."""
    def file_with(*fields):
        return vectors.F(*fields)

    def weak(env):
        return file_with("If-None-Match: W/" + env.file.get("etag"))(env)

    def dates(env):
        return {form: vectors.FD("If-Modified-Since", 0, form)(env) for form in ("850", "asctime")}

    intended = {"FI-IFRANGE-OK": file_with("Range: bytes=0-9", "If-Range: @ETAG@"), "FI-INM-WEAK": weak,
                "FI-IMS-FORMATS": dates}
    for vector in vectors.VECTORS:
        vector.data = intended.get(vector.id, vector.data)


def probe_once(probe, program, **options):
    """The verdicts: [(name, verdict, what came)]."""
    with LabServer(program, **SHORT, **options) as server, tempfile.NamedTemporaryFile() as output:
        sys.argv = [PROBE, f"127.0.0.1:{server.port}", "--caps", "auto,timeouts", "--pid", str(server.pid),
                    "--output", output.name]
        probe.main()
        status, said = server.stop()
        assert status == 0 and said == b"stopped\n", (status, said, server.stderr())
        return [(result["id"], result["verdict"], result["got"]) for result in json.load(output)["results"]]


def main(program):
    if not os.path.exists(PROBE):
        skip_all(f"no {PROBE}, which is no part of this project")
    sys.dont_write_bytecode = True  # it is somebody else's folder
    probe = load("server_probe")
    repair(load("server_vectors"))
    results = probe_once(probe, program) + probe_once(probe, program, stream=1)
    wrong = [result for result in results if result[1] != "pass"]
    print(f"{len(results) - len(wrong)} passed, {len(wrong)} failed", *wrong, sep="\n    ")
    sys.exit(1 if wrong or not results else 0)


main(sys.argv[1])
