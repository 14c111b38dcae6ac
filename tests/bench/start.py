#!/usr/bin/env python3
"""Times simple_get, from start to exit, beside bare_get on the same server.

    start.py BUILD

Rounds of both alternate, so that whatever else the machine does falls on both alike; what is
compared are the medians of all runs. The server is simple_server, on a free port of loopback."""
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile

ROUNDS, RUNS = 8, 250


def hyperfine(folder, commands):
    """Seconds of each run, and CPU seconds for each command."""
    out = os.path.join(folder, "times.json")
    subprocess.run(["hyperfine", "-N", "--style=none", "--warmup", "20", "--runs", str(RUNS),
                    "--export-json", out] + commands, check=True, stdout=subprocess.DEVNULL,
                   stderr=subprocess.DEVNULL)
    with open(out, encoding="utf-8") as file:
        return [(r["times"], r["user"] + r["system"]) for r in json.load(file)["results"]]


def measure(build, port):
    url = "http://127.0.0.1:%d/" % port
    commands = ["%s/examples/simple_get %s" % (build, url),
                "%s/tests/bench/bare_get 127.0.0.1 %d /" % (build, port)]
    walls, cpus = ([], []), ([], [])
    with tempfile.TemporaryDirectory() as folder:
        for number in range(ROUNDS):
            order = [0, 1] if number % 2 == 0 else [1, 0]
            for which, (times, cpu) in zip(order, hyperfine(folder, [commands[i] for i in order])):
                walls[which].extend(times)
                cpus[which].append(cpu)
    return [(statistics.median(w), statistics.median(c)) for w, c in zip(walls, cpus)]


def main():
    build = os.path.abspath(sys.argv[1])
    server = subprocess.Popen([build + "/examples/simple_server", "--port", "0"],
                              stdout=subprocess.PIPE, text=True)
    try:
        port = int(server.stdout.readline().rsplit(":", 1)[1])
        # What it prints for each connection goes nowhere; a full pipe must not stop it.
        drain = subprocess.Popen(["cat"], stdin=server.stdout, stdout=subprocess.DEVNULL)
        ours, bare = measure(build, port)
        for name, (wall, cpu) in (("simple_get", ours), ("bare", bare)):
            print("%-10s  median %6.3f ms  CPU %6.3f ms" % (name, wall * 1e3, cpu * 1e3))
        print("ratio       %.2f in time, %.2f in CPU" % (ours[0] / bare[0], ours[1] / bare[1]))
    finally:
        server.send_signal(signal.SIGINT)
        server.wait(10)
    drain.wait(10)


if __name__ == "__main__":
    main()
