#!/usr/bin/env python3
"""What a request costs the client, beside libcurl, wrk and a bare loop.

    client.py BUILD

nginx answers, on one core; who is measured runs on the other one, all of them in turns. Of each the
best round is kept, because whatever else the machine does only ever adds. CPU time is user + system
of the client's process."""
import json
import os
import re
import resource
import signal
import socket
import statistics
import subprocess
import sys
import tempfile
import time

ROUNDS, COUNT, LARGE, HELD = 9, 30000, 1 << 30, 10000
CLIENT_CORE, SERVER_CORE = "0", "1"
NGINX = os.environ.get("MINIHTTP_NGINX") or "nginx"
SMALL = "Hello, world!"

CONFIG = """
worker_processes 1; daemon off; master_process off; pid {folder}/pid; error_log {folder}/error;
events {{ worker_connections 16000; }}
http {{
    access_log off; sendfile on; keepalive_requests 100000000; keepalive_timeout 600;
    client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
    uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5; root {folder}; types {{}}
    server {{
        listen 127.0.0.1:{port};
        location = /small {{ return 200 '{small}'; }}
    }}
}}
"""


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def wait_for(port):
    for _ in range(200):
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.05)
    sys.exit("nginx does not start")


def start_nginx(folder, port):
    os.truncate(os.open(folder + "/large", os.O_CREAT | os.O_WRONLY), LARGE)
    with open(folder + "/conf", "w", encoding="ascii") as file:
        file.write(CONFIG.format(folder=folder, port=port, small=SMALL))
    server = subprocess.Popen(["taskset", "-c", SERVER_CORE, NGINX, "-c", folder + "/conf"])
    wait_for(port)
    return server


def bench(build, what, url, count):
    out = subprocess.run(["taskset", "-c", CLIENT_CORE, build + "/tests/bench/bench_client", what,
                          url, str(count)], check=True, capture_output=True, text=True).stdout
    spent, taken = out.split()
    expected = LARGE if what.endswith("large") else COUNT * len(SMALL)
    if int(taken) != expected:
        sys.exit(f"{what}: {taken} bytes of bodies, not {expected}")
    return float(spent)


def wrk(url):
    """Microseconds of CPU time for each request."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    out = subprocess.run(["taskset", "-c", CLIENT_CORE, "wrk", "-t1", "-c64", "-d2s", url],
                         check=True, capture_output=True, text=True).stdout
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return spent * 1e6 / int(re.search(r"(\d+) requests in", out).group(1))


def in_turns(jobs):
    """{name: best} of a list of (name, function)."""
    best = {}
    for _ in range(ROUNDS):
        for name, job in jobs:
            best[name] = min(best.get(name, float("inf")), job())
    return best


def ratio(best, a, b, limit):
    print(f"    {a} / {b}: {best[a] / best[b]:.2f}   (wanted: {limit})")


def show(title, unit, best, ratios):
    print(f"== {title}")
    for name, value in best.items():
        print(f"  {name:12} {value:8.3f} {unit}")
    for pair in ratios:
        ratio(best, *pair)


def requests(build, base):
    small, large = base + "/small", base + "/large"

    def job(what, url, count):
        return what, lambda: bench(build, what, url, count)

    show("one kept connection, one request after another", "us of CPU time for each",
         in_turns([job(what, small, COUNT) for what in ("bare", "mini", "curl")]),
         [("mini", "bare", "<= 1.10"), ("mini", "curl", "<= 0.65")])
    show("64 at once on one thread", "us of CPU time for each",
         in_turns([job(what, small, COUNT) for what in ("mini-64", "curl-64")] +
                  [("wrk", lambda: wrk(small))]),
         [("mini-64", "curl-64", "<= 0.45"), ("mini-64", "wrk", "<= 1.15")])
    show("1 GiB to a callback", "s of CPU time",
         in_turns([job(what, large, LARGE) for what in ("bare-large", "mini-large", "curl-large")]),
         [("mini-large", "bare-large", "<= 1.10"), ("curl-large", "mini-large", ">= 2.0")])


def start_to_exit(build, base):
    commands = {"simple_get": f"{build}/examples/simple_get {base}/small",
                "curl": f"curl -s -o /dev/null {base}/small",
                "wget": f"wget -q -O /dev/null {base}/small"}
    rounds = []
    with tempfile.TemporaryDirectory() as folder:
        out = folder + "/times.json"
        for _ in range(ROUNDS):
            subprocess.run(["hyperfine", "-N", "--style=none", "--warmup", "5", "--runs", "40",
                            "--export-json", out, *commands.values()], check=True,
                           stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            with open(out, encoding="utf-8") as file:
                rounds.append([r["median"] * 1e3 for r in json.load(file)["results"]])
    best = {name: min(r[i] for r in rounds) for i, name in enumerate(commands)}
    show("start to exit, in the build directory", "ms", best, [])
    for i, name, limit in ((1, "curl", "<= 0.4"), (2, "wget", "<= 0.8")):
        middle = statistics.median(r[0] / r[i] for r in rounds)
        print(f"    simple_get / {name}: {middle:.2f}   (wanted: {limit})")


def held(build):
    """Memory of transfers that wait for their answer."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    count = min(HELD, hard - 100)
    listener = socket.create_server(("127.0.0.1", 0), backlog=4096)
    url = "http://127.0.0.1:%d/" % listener.getsockname()[1]
    client = subprocess.Popen([build + "/tests/bench/bench_client", "mini-held", url, str(count)],
                              stdout=subprocess.PIPE, text=True)
    listener.settimeout(30)
    peers = [listener.accept()[0] for _ in range(count)]
    print(f"== {count} transfers in flight on one thread\n  {client.communicate(timeout=60)[0].strip()}")
    for peer in peers:
        peer.close()
    listener.close()


def main():
    build = os.path.abspath(sys.argv[1])
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o755)
        port = free_port()
        server = start_nginx(folder, port)
        try:
            base = "http://127.0.0.1:%d" % port
            requests(build, base)
            start_to_exit(build, base)
        finally:
            server.send_signal(signal.SIGTERM)
            server.wait(10)
    held(build)


if __name__ == "__main__":
    main()
