#!/usr/bin/env python3
"""Times simple_get, from start to exit, beside bare_get on the same server.

    start.py BUILD SIMPLE_GET

Rounds of both alternate, and each round has a ratio of its own, of the medians of its runs; what
counts is the median of these ratios, so that other load on the machine spoils some rounds and not
the result. The server is simple_server, on a free port of loopback."""
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile

ROUNDS, RUNS = 20, 100


def hyperfine(folder, commands):
    """Seconds of each run, and CPU seconds for each command."""
    out = os.path.join(folder, "times.json")
    subprocess.run(["hyperfine", "-N", "--style=none", "--warmup", "20", "--runs", str(RUNS),
                    "--export-json", out] + commands, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    with open(out, encoding="utf-8") as file:
        return [(r["times"], r["user"] + r["system"]) for r in json.load(file)["results"]]


def measure(build, program, port):
    url = "http://127.0.0.1:%d/" % port
    commands = ["%s %s" % (program, url),
                "%s/tests/bench/bare_get 127.0.0.1 %d /" % (build, port)]
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        for number in range(ROUNDS):
            order = [0, 1] if number % 2 == 0 else [1, 0]
            found = dict(zip(order, hyperfine(folder, [commands[i] for i in order])))
            rounds.append([(statistics.median(found[i][0]), found[i][1]) for i in (0, 1)])
    return rounds


def middle(values):
    return statistics.median(list(values))


def main():
    build = os.path.abspath(sys.argv[1])
    server = subprocess.Popen([build + "/examples/simple_server", "--port", "0"],
                              stdout=subprocess.PIPE, text=True)
    try:
        port = int(server.stdout.readline().rsplit(":", 1)[1])
        # What it prints for each connection goes nowhere; a full pipe must not stop it.
        drain = subprocess.Popen(["cat"], stdin=server.stdout, stdout=subprocess.DEVNULL)
        rounds = measure(build, os.path.abspath(sys.argv[2]), port)
        for which, name in enumerate(("simple_get", "bare")):
            print("%-10s  median %6.3f ms  CPU %6.3f ms" % (
                name, middle(r[which][0] for r in rounds) * 1e3,
                middle(r[which][1] for r in rounds) * 1e3))
        print("ratio       %.2f in time, %.2f in CPU" % (
            middle(r[0][0] / r[1][0] for r in rounds), middle(r[0][1] / r[1][1] for r in rounds)))
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(10)
    drain.wait(10)


if __name__ == "__main__":
    main()
