"""served.py LAB_SERVER - the lab's server and the clients of others: curl, wget, ab, wrk, Python, node,
openssl; nginx and HAProxy in front of it; and what becomes of them when it stops."""
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time

import fronts
import nginx
from common import PATIENCE, Skip, run
from lab_server import FILE, Cut, LabServer, case, main, pattern, wait_for

import certs

PROGRAM = sys.argv[1]
# What the gate has set for our programs is not for those of others.
PLAIN = {name: "" for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS")}


def need(command):
    path = shutil.which(command, path="/usr/sbin:/usr/bin:" + os.environ.get("PATH", ""))
    if not path:
        raise Skip(f"no {command}")
    return path


def tool(command, *arguments, status=0):
    result = run(need(command), *map(str, arguments), env=PLAIN)
    assert result.status == status, result
    return result


def curl(*arguments, status=0):
    return tool("curl", "-sS", "--noproxy", "*", "--max-time", "20", *arguments, status=status).out


@contextlib.contextmanager
def each_server(**options):
    """Both of them, one after the other, in one with block: a list."""
    with LabServer(PROGRAM, threads=2, **options) as first, \
            LabServer(PROGRAM, threads=2, stream=1, **options) as second:
        yield [first, second]
        for server in first, second:
            status, said = server.stop()
            assert (status, said) == (0, b"stopped\n"), (status, said, server.stderr())


@contextlib.contextmanager
def temporary_file(data):
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        yield file.name


# ---- curl and wget ----

@case("curl: GET, HEAD, POST, chunks, Expect, HTTP/1.0")
def _():
    body = os.urandom(300000)
    with each_server() as servers, temporary_file(body) as name:
        for server in servers:
            assert curl(server.url()) == b"hello\n"
            assert curl("-I", server.url("/file.bin")).startswith(b"HTTP/1.1 200 OK\r\n")
            assert curl("--data-binary", "@" + name, server.url("/echo")) == body
            assert curl("-T", name, "-X", "POST", server.url("/echo")) == body
            assert curl("-H", "Transfer-Encoding: chunked", "--data-binary", "@" + name,
                        server.url("/echo")) == body
            reply = curl("-i", "-H", "Expect: 100-continue", "--expect100-timeout", "15", "--data-binary",
                         "@" + name, server.url("/echo"))
            assert reply.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200"), reply[:200]
            assert curl("--http1.0", server.url("/chunked?bytes=50000")) == pattern(50000)
            assert curl("--http2", server.url()) == b"hello\n"  # it asks for an upgrade
            refused = curl("-H", "Expect: 100-continue", "-d", "x", server.url("/none"))
            assert refused == b"405 Method Not Allowed\n", refused


@case("curl: ranges, a download that goes on, conditions")
def _():
    with each_server() as servers, tempfile.TemporaryDirectory() as folder:
        for server in servers:
            assert curl("-r", "100-199", server.url("/file.bin")) == FILE[100:200]
            assert curl("-r", "-10", server.url("/file.bin")) == FILE[-10:]
            path = folder + "/part"
            with open(path, "wb") as file:
                file.write(FILE[:1234])
            curl("-C", "-", "-o", path, server.url("/file.bin"))
            with open(path, "rb") as file:
                assert file.read() == FILE
            curl("--etag-save", folder + "/tag", "-o", path, server.url("/file.bin"))
            code = ["-o", os.devnull, "-w", "%{http_code}"]
            assert curl("--etag-compare", folder + "/tag", *code, server.url("/file.bin")) == b"304"
            assert curl("-z", "Sun, 13 Sep 2020 12:26:40 GMT", *code, server.url("/file.bin")) == b"304"
            assert curl("-z", "Sun, 13 Sep 2020 12:26:39 GMT", *code, server.url("/file.bin")) == b"200"


@case("curl: a hundred URLs on one connection, and on many at once")
def _():
    with each_server() as servers:
        for server in servers:
            said = curl("-w", "\n%{num_connects}\n", server.url("/[1-50].svg"), server.url("/length?bytes=[1-50]"),
                        *["-o", os.devnull] * 2)
            assert [int(word) for word in said.split()] == [1] + [0] * 99, said
            said = curl("-Z", "--parallel-max", "20", "-w", "%{http_code}\n", "-o", "/dev/null",
                        server.url("/chunked?bytes=[1-100]"))
            assert said.split() == [b"200"] * 100, said


@case("curl: a unix socket")
def _():
    with tempfile.TemporaryDirectory() as folder:
        path = folder + "/socket"
        with LabServer(PROGRAM, unix=path) as server:
            assert curl("--unix-socket", path, "http://a/") == b"hello\n"
            assert curl("--unix-socket", path, "-d", "x", "http://a/echo") == b"x"
            status, said = server.stop()
            assert (status, said) == (0, b"stopped\n"), server.stderr()


@case("wget: a file, the rest of a file, a folder by its listing")
def _():
    with each_server() as servers:
        for server in servers:
            with tempfile.TemporaryDirectory() as folder:
                os.mkdir(server.folder + "/deeper")
                with open(server.folder + "/deeper/a file & more.txt", "w") as file:
                    file.write("x")
                with open(folder + "/file.bin", "wb") as file:
                    file.write(FILE[:100])
                tool("wget", "-q", "--no-proxy", "-c", "-P", folder, server.url("/file.bin"))
                with open(folder + "/file.bin", "rb") as file:
                    assert file.read() == FILE
                tool("wget", "-q", "--no-proxy", "-r", "-np", "-nH", "-e", "robots=off", "-P", folder,
                     server.url("/listing/"))
                found = os.listdir(folder + "/listing")
                assert set(f"{i}.svg" for i in range(200)) <= set(found), found
                with open(folder + "/listing/deeper/a file & more.txt") as file:
                    assert file.read() == "x"


# ---- many at once ----

@case("ab: with and without keep-alive, none fails")
def _():
    with each_server() as servers, temporary_file(b"x" * 2000) as name:
        for server in servers:
            for options in (["-k"], [], ["-k", "-p", name, "-T", "x/y"]):
                path = "/echo" if "-p" in options else "/"
                said = tool("ab", "-q", "-n", 4000, "-c", 40, *options, server.url(path)).out.decode()
                assert re.search(r"Complete requests: +4000\n", said), said
                assert re.search(r"Failed requests: +0\n", said), said
                assert "Non-2xx" not in said, said
                if "-k" in options:
                    assert re.search(r"Keep-Alive requests: +4000\n", said), said


@case("wrk: none fails")
def _():
    with each_server() as servers:
        for server in servers:
            for path in "/", "/file.bin", "/chunked?bytes=20000", "/later", "/none":
                said = tool("wrk", "-t2", "-c40", "-d1s", server.url(path)).out.decode()
                assert "Socket errors" not in said, said
                assert ("Non-2xx" in said) == (path == "/none"), said
                assert int(re.search(r"(\d+) requests in", said).group(1)) > 100, said
            assert server.stderr() == "", server.stderr()[:2000]


# ---- libraries ----

@case("Python's http.client: one connection, bodies both ways")
def _():
    with each_server() as servers:
        for server in servers:
            connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
            connection.connect()
            first = connection.sock
            for method, path, body, wanted in [
                    ("GET", "/", None, b"hello\n"), ("HEAD", "/", None, b""),
                    ("POST", "/echo", b"abc", b"abc"), ("GET", "/file.bin", None, FILE),
                    ("POST", "/echo", iter([b"a" * 10000, b"b"]), b"a" * 10000 + b"b"),
                    ("GET", "/chunked?bytes=70000", None, pattern(70000)),
                    ("GET", "/none", None, b"404 Not Found\n"), ("GET", "/", None, b"hello\n")]:
                connection.request(method, path, body, encode_chunked=hasattr(body, "__next__"))
                assert connection.getresponse().read() == wanted, path
            assert connection.sock is first, "it has connected anew"
            connection.close()


NODE = r"""
const http = require('http'), port = Number(process.argv[2]);
const agent = new http.Agent({keepAlive: true, maxSockets: 1});
function ask(options, pieces, waits) {
    return new Promise((done, fail) => {
        const req = http.request({agent, port, host: '127.0.0.1', ...options}, res => {
            let body = '';
            res.on('data', data => body += data);
            res.on('end', () => done({status: res.statusCode, body, reused: req.reusedSocket,
                                      trailers: res.trailers, continued}));
        });
        let continued = false;
        const send = () => { for (const piece of pieces) req.write(piece); req.end(); };
        req.on('error', fail);
        req.on('continue', () => { continued = true; send(); });
        if (!waits) send();
    });
}
(async () => {
    const said = [];
    said.push(await ask({path: '/'}, []));
    said.push(await ask({path: '/echo', method: 'POST'}, ['abc', 'def']));
    said.push(await ask({path: '/echo', method: 'POST', headers: {'Content-Length': 3}}, ['abc']));
    said.push(await ask({path: '/echo', method: 'POST', headers: {Expect: '100-continue'}}, ['waited'], true));
    said.push(await ask({path: '/trailers', method: 'POST'}, ['x']));
    said.push(await ask({path: '/slow-producer?pieces=3&ms=5'}, []));
    console.log(JSON.stringify(said));
    agent.destroy();
})();
"""


@case("node: one connection, chunks, Expect, trailers")
def _():
    with each_server() as servers, temporary_file(NODE.encode()) as name:
        for server in servers:
            said = json.loads(tool("node", name, server.port).out)
            assert [reply["status"] for reply in said] == [200] * 6, said
            assert [reply["body"] for reply in said] == [
                "hello\n", "abcdef", "abc", "waited", "trailers:\n", "line\n" * 3], said
            assert [reply["reused"] for reply in said] == [False] + [True] * 5, said
            assert said[3]["continued"] and said[4]["trailers"] == {"x-count": "1"}, said


# ---- reverse proxies in front ----

def in_front(kind, check):
    def checks():
        if not {"nginx": nginx.available, "haproxy": fronts.haproxy}[kind]():
            raise Skip(f"no {kind}")
        with each_server(body_max=1 << 26) as servers:
            for server in servers:
                with fronts.Front(kind, server.port) as front:
                    check(server, front)
    return checks


def stays_connected(_, front):
    peers = {curl(front.url("/whoami")) for _ in range(10)}
    assert len(peers) == 1, peers


def passes_bodies(_, front):
    body = os.urandom(3000000)
    with temporary_file(body) as name:
        assert curl("--data-binary", "@" + name, front.url("/echo")) == body
        assert curl("-H", "Transfer-Encoding: chunked", "--data-binary", "@" + name, front.url("/echo")) == body
        assert curl("-H", "Expect: 100-continue", "--data-binary", "@" + name, front.url("/upload")) \
            == b"3000000 bytes\n"
    assert curl(front.url("/chunked?bytes=3000000")) == pattern(3000000)
    assert curl(front.url("/length?bytes=3000000")) == pattern(3000000)
    assert curl("-r", "7-9", front.url("/file.bin")) == FILE[7:10]
    assert curl("-I", front.url("/chunked")).startswith(b"HTTP/1.1 200")
    assert curl(front.url("/slow-producer?pieces=5&ms=10")) == b"line\n" * 5
    assert curl(front.url("/none")) == b"404 Not Found\n"


def passes_many(server, front):
    said = curl("-Z", "--parallel-max", "30", "-w", "%{http_code}\n", "-o", "/dev/null",
                front.url("/later?ms=[1-100]"))
    assert said.split() == [b"200"] * 100, said
    assert server.stderr() == "", server.stderr()


def shows_what_is_cut(_, front):
    result = run(need("curl"), "-sS", "--noproxy", "*", "--max-time", "20", front.url("/broken?bytes=50000"),
                 env=PLAIN)
    assert result.status != 0, "it looks complete"


for kind in "nginx", "haproxy":
    for about, check in [("keeps its connection to us", stays_connected),
                         ("bodies both ways, with a length and in chunks", passes_bodies),
                         ("many at once", passes_many), ("a reply that is cut", shows_what_is_cut)]:
        case(f"{kind} in front: {about}")(in_front(kind, check))


@case("nginx in front, by HTTP/1.0 and by a unix socket")
def _():
    if not nginx.available():
        raise Skip("no nginx")
    with tempfile.TemporaryDirectory() as folder:
        path = folder + "/socket"
        with LabServer(PROGRAM, unix=path), fronts.Front("nginx", unix=path) as front:
            for prefix in "", "/old":
                assert curl(front.url(prefix + "/chunked?bytes=100000")) == pattern(100000)
                assert curl("-d", "abc", front.url(prefix + "/echo")) == b"abc"


@case("a proxy in front finds its connection closed, and nobody notices")
def _():
    for kind, there in ("nginx", nginx.available), ("haproxy", fronts.haproxy):
        if not there():
            continue
        with LabServer(PROGRAM, threads=2, idle_timeout_ms=100) as server, \
                fronts.Front(kind, server.port) as front:
            before = server.descriptors()
            for _ in range(3):
                assert curl(front.url()) == b"hello\n"
                wait_for(lambda before=before, server=server: server.descriptors() < before)


# ---- TLS ----

LARGE = 70000000  # more than a buffer may hold

def each_secured(check, **options):
    need("openssl")
    with tempfile.TemporaryDirectory() as folder:
        certs.make(folder)
        for stream in 0, 1:
            with LabServer(PROGRAM, threads=2, stream=stream, cert=folder + "/good.pem",
                           key=folder + "/good.key", **options) as server:
                check(server, folder)
                status, said = server.stop()
                assert (status, said) == (0, b"stopped\n"), (status, said, server.stderr())


@case("TLS: curl, of both versions, bodies both ways, many requests on one connection")
def _():
    body = os.urandom(900000)

    def check(server, folder):
        url = f"https://localhost:{server.port}"
        with temporary_file(body) as name:
            for version in ["--tlsv1.3"], ["--tlsv1.2", "--tls-max", "1.2"]:
                trust = ["--cacert", folder + "/root.pem", *version]
                assert curl(*trust, url + "/whoami").endswith(b" tls\n")
                assert curl(*trust, "--data-binary", "@" + name, url + "/echo") == body
                assert curl(*trust, "-H", "Transfer-Encoding: chunked", "--data-binary", "@" + name,
                            url + "/echo") == body
                assert curl(*trust, url + "/large") == pattern(LARGE)
                assert curl(*trust, url + "/chunked?bytes=500000") == pattern(500000)
                assert curl(*trust, url + "/file.bin") == FILE
                said = curl(*trust, "-w", "%{num_connects}", "-o", os.devnull, url + "/[1-20].svg")
                assert said == b"1" + b"0" * 19, said
        curl("--cacert", folder + "/stranger.pem", url, status=60)  # whom it does not trust

    each_secured(check, large=LARGE)


@case("TLS: openssl s_client: a whole chain, HTTP/1.1 by ALPN, close_notify, a session again")
def _():
    def check(server, folder):
        command = [need("openssl"), "s_client", "-connect", f"127.0.0.1:{server.port}", "-servername",
                   "localhost", "-CAfile", folder + "/root.pem", "-verify_return_error", "-ign_eof"]
        session = folder + "/session"
        for more in ["-alpn", "h2,http/1.1", "-sess_out", session], ["-sess_in", session], ["-tls1_2"]:
            result = subprocess.run([*command, *more], capture_output=True, timeout=PATIENCE, check=False,
                                    env={**os.environ, **PLAIN},
                                    input=b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert result.returncode == 0 and b"\r\n\r\nhello\n" in result.stdout, result
            assert b"Verify return code: 0 (ok)" in result.stdout or b"Reused" in result.stdout, result
            assert b"unexpected eof" not in result.stderr, result.stderr  # close_notify has come
            if "-alpn" in more:
                assert b"ALPN protocol: http/1.1" in result.stdout, result.stdout

    each_secured(check)


@case("TLS: who speaks it not, or too slowly, is closed, with a word")
def _():
    def check(server, _):
        with server.connect() as wire:
            wire.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            with contextlib.suppress(Cut):
                wire.rest()
            assert "TLS" in server.words(wire.port)
        with server.connect() as wire:
            wire.send(b"\x16\x03\x01\x02\x00\x01")
            begin = time.monotonic()
            assert "TLS handshake" in server.words(wire.port)
            assert 0.3 < time.monotonic() - begin < 3
        with server.connect() as wire:
            wire.send(b"\x16\x03\x01")
            wire.reset()
            assert "TLS" in server.words(wire.port)

    each_secured(check, tls_timeout_ms=400)


@case("TLS: wrk, none fails")
def _():
    def check(server, _):
        for path in "/", "/file.bin", "/chunked?bytes=20000", "/later":
            said = tool("wrk", "-t2", "-c20", "-d1s", f"https://127.0.0.1:{server.port}{path}").out.decode()
            assert "Socket errors" not in said and "Non-2xx" not in said, said

    each_secured(check)


# ---- the end ----

@case("a stop: what was begun is finished, what is idle is closed, nobody is let in")
def _():
    for stream in 0, 1:
        with LabServer(PROGRAM, threads=2, stream=stream) as server, contextlib.ExitStack() as stack:
            wires = [stack.enter_context(server.connect()) for _ in range(6)]
            later, slow, upload, large, idle, half = wires
            large.send(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
            later.send(b"GET /later?ms=700 HTTP/1.1\r\nHost: a\r\n\r\n")
            slow.send(b"GET /slow-producer?pieces=10&ms=70 HTTP/1.1\r\nHost: a\r\n\r\n")
            upload.send(b"POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234")
            half.send(b"GET / HT")
            idle.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            assert idle.reply().body == b"hello\n"
            assert slow.socket.recv(4)  # it has begun
            server.process.send_signal(signal.SIGTERM)
            assert idle.ended() == "end"
            wait_for(lambda server=server: not accepts(server), patience=3, about="it lets somebody in")
            upload.send(b"56789")
            half.send(b"TP/1.1\r\nHost: a\r\n\r\n")
            assert upload.reply().body == b"10 bytes\n"
            assert half.reply().body == b"hello\n"
            assert later.reply().body == b"later\n"
            slow.pending = b"HTTP"
            assert slow.reply().body == b"line\n" * 10
            assert large.reply().body == pattern(50000000)
            assert server.process.wait(PATIENCE) == 0, server.stderr()


@case("a stop that takes too long ends all the same, and at once the second time")
def _():
    for twice in False, True:  # on whichever of the threads the request is
        with LabServer(PROGRAM, threads=8, stop_timeout_ms=60000 if twice else 500) as server, \
                server.connect() as wire:
            wire.send(b"GET /later?ms=30000 HTTP/1.1\r\nHost: a\r\n\r\n")
            server.is_well()
            begin = time.monotonic()
            server.process.send_signal(signal.SIGTERM)
            if twice:
                wait_for(lambda server=server: not accepts(server), patience=3, about="it lets somebody in")
                server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(PATIENCE) == 0, server.stderr()
            assert time.monotonic() - begin < 10


def accepts(server):
    try:
        server.connect().socket.close()
    except OSError:
        return False
    return True


@case("POST /stop: a handler stops its own server, and the reply arrives")
def _():
    for options in {"threads": 2}, {"attach": 1}:
        with LabServer(PROGRAM, **options) as server:
            assert curl("-X", "POST", server.url("/stop")) == b"stopping\n"
            assert server.process.wait(PATIENCE) == 0, server.stderr()


class Load:
    """Clients that ask again and again, until they are cut off. What came whole is counted."""

    PATHS = "/", "/file.bin", "/chunked?bytes=30000", "/later?ms=2", "/length?bytes=200000"

    def __init__(self, server, clients):
        self.server, self.whole, self.partial, self.asking = server, 0, [], threading.Lock()
        self.threads = [threading.Thread(target=self.ask, args=(i,), daemon=True) for i in range(clients)]
        for thread in self.threads:
            thread.start()

    def ask(self, number):
        path = self.PATHS[number % len(self.PATHS)]
        request = f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()
        try:
            with self.server.connect() as wire:
                while True:
                    self.once(wire, request)
        except ConnectionRefusedError:
            pass
        except (Cut, BrokenPipeError, ConnectionResetError) as error:
            if wire.pending or "early" in str(error):
                self.partial.append((path, str(error), wire.pending[:100]))

    def once(self, wire, request):
        wire.send(request)
        reply = wire.reply()
        assert reply.status == 200
        with self.asking:
            self.whole += 1

    def join(self):
        for thread in self.threads:
            thread.join(PATIENCE)


@case("a stop under full load: what the server has answered has arrived, and nothing in parts")
def _():
    for options in {"threads": 2}, {"threads": 2, "stream": 1}, {"attach": 1}:
        with tempfile.NamedTemporaryFile() as log, \
                LabServer(PROGRAM, access_log=log.name, **options) as server:
            load = Load(server, 40)
            wait_for(lambda load=load: load.whole > 500)
            if "attach" in options:
                curl("-X", "POST", server.url("/stop"))
                load.whole += 1
            else:
                server.process.send_signal(signal.SIGTERM)
            assert server.process.wait(PATIENCE) == 0, server.stderr()
            load.join()
            assert not load.partial, load.partial[:5]
            lines = log.read().decode().splitlines()
            answered = sum('" 200 ' in line for line in lines)
            assert answered == load.whole, f"{answered} were answered, {load.whole} have arrived"


main()
