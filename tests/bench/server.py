#!/usr/bin/env python3
"""What a request costs the server, beside other servers and a bare loop.

    server.py BUILD [--rounds N] [--seconds N] [CASE...]

wrk asks from one core, who is measured answers on the other one, all of them in turns. Of each the
best round is kept, because whatever else the machine does only ever adds. The figure is time on a
core, of all threads and processes of the server, by request. rivals.py says who they are."""
import argparse
import collections
import os
import resource
import signal
import socket
import subprocess
import sys
import tempfile

import rivals

CLIENT_CORE, SERVER_CORE, BOTH_CORES = "0", "1", "0,1"
HELD = 10000
LOAD = os.path.join(os.path.dirname(os.path.abspath(__file__)), "load.lua")

Case = collections.namedtuple(
    "Case", "name title servers beside limit connections path pipelined closing tls",
    defaults=(64, "/", 1, False, False))
Load = collections.namedtuple("Load", "requests errors seconds p50 p99 p999")

SMALL = (rivals.ours, rivals.bare_keep, rivals.nginx, rivals.h2o, rivals.lighttpd,
         rivals.microhttpd, rivals.event)
FILES = (rivals.ours, rivals.nginx, rivals.h2o, rivals.lighttpd)
TLS = (rivals.ours, rivals.nginx, rivals.h2o)
BEST = ("nginx", "h2o")

# beside: a ratio is to the best of these.
CASES = [
    Case("kept", "13 bytes, 64 kept connections", SMALL, ("bare",), 1.05),
    Case("pipelined", "the same, 16 requests at once", SMALL, ("bare",), 1.20, pipelined=16),
    Case("closed", "13 bytes, a connection for each",
         (rivals.ours, rivals.bare_close, *SMALL[2:]), BEST, 0.95, closing=True),
    Case("1k", "a file of 1 KB", FILES, (*BEST, "lighttpd"), 0.95, path="/files/1k"),
    Case("100k", "a file of 100 KB", FILES, (*BEST, "lighttpd"), 0.95, 16, "/files/100k"),
    Case("10m", "a file of 10 MB", FILES, (*BEST, "lighttpd"), 0.95, 4, "/files/10m"),
    Case("tls", "13 bytes, TLS 1.3", TLS, BEST, 1.0, tls=True),
    Case("tls-10m", "a file of 10 MB, TLS 1.3", TLS, BEST, 1.0, 4, "/files/10m", tls=True),
    Case("memory", f"{HELD} idle connections", SMALL, (), 400),
    Case("cores", "13 bytes, two cores shared with wrk", (rivals.ours, rivals.nginx),
         ("nginx",), 1.0),
]


def headers_of(case):
    return ["Connection: close"] if case.closing else []


class Started:
    """with Started(case, lab, cores) as servers: those that can be had."""

    def __init__(self, case, lab, cores=SERVER_CORE):
        self.case, self.lab, self.cores, self.servers = case, lab, cores, []

    def __enter__(self):
        try:
            for start in self.case.servers:
                self.add(start)
        except BaseException:
            self.__exit__()
            raise
        return self.servers

    def add(self, start):
        case = self.case
        try:
            server = start(self.lab, self.cores, case.tls)
        except rivals.Missing as why:
            print(f"  left out: {why}")
            return
        try:
            reply = server.fetch(case.path, headers_of(case))
            server.reply_len = len(reply)
            self.servers.append(server)
            if server.name == "ours" and case.path == "/":
                self.lab.replies[case.closing] = reply
        except rivals.Missing as why:
            server.stop()
            print(f"  left out: {why}")

    def __exit__(self, *_):
        for server in self.servers:
            server.stop()


def wrk(server, case, seconds, cores=CLIENT_CORE):
    threads = len(cores.split(","))
    options = [option for line in headers_of(case) for option in ("-H", line)]
    done = subprocess.run(
        ["taskset", "-c", cores, "wrk", f"-t{threads}", f"-c{case.connections}", f"-d{seconds}s",
         "--timeout", "10s", "--latency", "-s", LOAD, *options, server.url(case.path), "--",
         str(case.pipelined)], capture_output=True, text=True)
    if done.returncode:
        raise rivals.Missing(f"{server.name}: {done.stderr.strip()}, {server.state()}")
    taken, errors, *rest = done.stdout.rstrip().rpartition("\n")[2].split()
    load = Load(int(taken) / server.reply_len, int(errors), *map(float, rest))
    if load.errors or not load.requests:
        print(f"  {server.name}: {load.errors} errors, {load.requests:.0f} requests")
    return load


def in_turns(servers, rounds, job):
    """(name, what the job says of it), round by round. What has ended meanwhile takes no part."""
    for _ in range(rounds):
        for server in list(servers):
            try:
                yield server.name, job(server)
            except rivals.Missing as why:
                print(f"  GONE: {why}")
                servers.remove(server)
                server.stop()


def cost(server, case, seconds):
    """Microseconds on a core for each request."""
    before = server.spent()
    load = wrk(server, case, seconds)
    return (server.spent() - before) / 1e3 / max(load.requests, 1)


def ratios(case, best):
    beside = [best[name] for name in case.beside if name in best]
    return {name: value / min(beside) for name, value in best.items()} if beside else {}


def show(case, unit, best):
    found = ratios(case, best)
    for name, value in best.items():
        ratio = f"   {found[name]:5.2f}" if found else ""
        print(f"  {name:12} {value:10.3f} {unit}{ratio}")
    sys.stdout.flush()


def run_costs(case, lab, options):
    best = {}
    with Started(case, lab) as servers:
        for name, spent in in_turns(servers, options.rounds,
                                    lambda server: cost(server, case, options.seconds)):
            best[name] = min(best.get(name, float("inf")), spent)
    show(case, "us", best)
    return [(case, best, ratios(case, best))]


def held(server, count):
    """Bytes for each of count connections that have been answered once and are idle. The first one
    is not counted: what all of them share comes with it."""
    connections = []

    def add():
        connection = server.connect()
        connections.append(connection)
        connection.sendall(server.request("/"))
        rivals.receive(connection, len(rivals.SMALL), server.name)

    add()
    before = server.memory()
    for _ in range(count):
        add()
    grown = server.memory() - before
    for connection in connections:
        connection.close()
    return grown / count


def run_memory(case, lab, options):
    del options
    # lighttpd takes half as many connections as it may have descriptors.
    count = min(HELD, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2 - 100)
    with Started(case, lab) as servers:
        best = dict(in_turns(servers, 1, lambda server: held(server, count)))
    show(case, "bytes", best)
    return [(case, best, best)]


def run_cores(case, lab, options):
    """Best of each again: the most requests, the shortest times."""
    best = {}
    with Started(case, lab, BOTH_CORES) as servers:
        for name, load in in_turns(servers, options.rounds,
                                   lambda server: wrk(server, case, options.seconds, BOTH_CORES)):
            found = {"time for each": load.seconds * 1e6 / max(load.requests, 1),
                     "p50": load.p50, "p99": load.p99, "p99.9": load.p999}
            for title, value in found.items():
                values = best.setdefault(title, {})
                values[name] = min(values.get(name, float("inf")), value)
    rows = []
    for title, values in best.items():
        print(f" {title}")
        show(case, "us", values)
        rows.append((case._replace(name=f"{case.name} {title}"), values, ratios(case, values)))
    return rows


def table(rows):
    """Ratios, of the memory bytes."""
    names = ("ours", "bare", "nginx", "h2o", "lighttpd", "microhttpd", "libevent")
    print(f"\n{'':20} {'wanted':>7} " + " ".join(f"{name:>10}" for name in names))
    for case, _, found in rows:
        form = "{:10.0f}" if not case.beside else "{:10.2f}"
        cells = [form.format(found[name]) if name in found else " " * 10 for name in names]
        print(f"{case.name:20} {case.limit:7g} " + " ".join(cells))


def run_case(case, lab, options):
    wanted = f"{case.limit} times the best of {', '.join(case.beside)}" if case.beside else \
        f"{case.limit} bytes"
    print(f"== {case.name}: {case.title} (wanted: at most {wanted})")
    run = {"memory": run_memory, "cores": run_cores}.get(case.name, run_costs)
    return run(case, lab, options)


def options_of():
    parser = argparse.ArgumentParser(description="What a request costs the server.")
    parser.add_argument("build", help="the build directory")
    parser.add_argument("cases", nargs="*", metavar="CASE",
                        help="; ".join(f"{case.name}: {case.title}" for case in CASES))
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=int, default=1, help="that a round of each takes")
    options = parser.parse_intermixed_args()
    unknown = set(options.cases) - {case.name for case in CASES}
    if unknown:
        parser.error(f"there is no case {', '.join(sorted(unknown))}")
    return options


def main():
    options = options_of()
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        lab = rivals.Lab(os.path.abspath(options.build), folder)
        for case in CASES:
            if not options.cases or case.name in options.cases:
                rows += run_case(case, lab, options)
    table(rows)


if __name__ == "__main__":
    main()
