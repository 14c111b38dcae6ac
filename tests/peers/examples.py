"""examples.py FOLDER - the example programs that are not installed, and large_file_get --trace.

Each against a real server: a private Apache, simple_server, and peers with a script where somebody
has to be slow. Every option at least once.
"""
import contextlib
import os
import pty
import re
import select
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time

from apache import FILE_1, FILE_3, PAGE_1, PAGE_3, Apache, available
from common import PATIENCE, Result, Running, Skip, case, main, run, skip_all

FOLDER = sys.argv[1]
GET, POST, UPLOAD, MANY, POLL, LIBUV, LARGE_FILE_GET, SIMPLE_SERVER = (
    os.path.join(FOLDER, name) for name in
    ("get", "post", "upload", "many", "poll", "libuv", "large_file_get", "simple_server"))
SERVER_PAGE = b"<html>Congratulations! You've downloaded the first Wireshark lab file!</html>"
PAGE_PARTS = b"<html>\n" + b"<p>a part</p>\n" * 1000 + b"end\n</html>\n"
AGENT = "minihttp/0.1.0"
# No proxy of this machine's gets in between.
NO_PROXY = {name: "" for name in
            "http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY no_proxy NO_PROXY".split()}

if not available():
    skip_all("no apache2 (package apache2-bin)")


def ask(*command, env=None, **more):
    return run(*command, env={**NO_PROXY, **(env or {})}, **more)


def ask_with(data, *command):
    """The same with something on the standard input."""
    done = subprocess.run(command, input=data, capture_output=True, timeout=PATIENCE,
                          env={**os.environ, **NO_PROXY})
    return Result(done.returncode, done.stdout, done.stderr, 0, 0)


def works(result, out=None):
    assert result.status == 0 and not result.err, result
    assert out is None or result.out == out, result
    return result


def fails(result, *words, status=1, lines=1):
    said = result.err.decode()
    assert result.status == status and said.count("\n") == lines, result
    for word in words:
        assert word in said, f"{word!r} is not in {said!r}"
    return result


class Peer:
    """Answers each connection in a thread: handler(peer, connection, head) -> bytes. What it was
    sent is in asked."""

    def __init__(self, handler, tls=None):
        self.handler, self.tls, self.asked = handler, tls, []
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self.accept)]
        self.over = threading.Event()

    def __enter__(self):
        self.threads[0].start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join()
        self.listener.close()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.threads.append(threading.Thread(target=self.serve, args=[connection]))
            self.threads[-1].start()

    def serve(self, connection):
        connection.settimeout(PATIENCE)
        with contextlib.ExitStack() as stack:
            stack.enter_context(connection)
            try:
                if self.tls:
                    connection = self.tls.wrap_socket(connection, server_side=True)
                    stack.enter_context(connection)
                head = self.read_head(connection)
                self.asked.append(head.decode())
                connection.sendall(self.handler(self, connection, head))
            except OSError:
                pass

    @staticmethod
    def read_head(connection):
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            more = connection.recv(1)
            if not more:
                raise ConnectionError
            data += more
        return data

    def url(self, path="/"):
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}{path}"


OK = b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok\n"


def answer(data):
    return Peer(lambda peer, connection, head: data)


class Server(Running):
    def __init__(self):
        super().__init__(SIMPLE_SERVER, "--port", "0")
        self.port = int(re.search(rb":(\d+)\n", self.read_until(b"\n")).group(1))

    def url(self, path="/"):
        return f"http://127.0.0.1:{self.port}{path}"

    def received(self):
        """The request that came next, as it is printed: escaped."""
        return self.read_until(b"<<<<<<<<\n").decode()


def on_terminal(*command):
    """(status, stdout, what went to a terminal that was the standard error output)"""
    ours, theirs = pty.openpty()
    try:
        with tempfile.TemporaryFile() as out:
            process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=theirs,
                                       env={**os.environ, **NO_PROXY})
            os.close(theirs)
            shown = b""
            while True:
                try:
                    shown += os.read(ours, 65536)
                except OSError:  # the other end has closed
                    break
            process.wait(PATIENCE)
            out.seek(0)
            return process.returncode, out.read(), shown
    finally:
        os.close(ours)


def undated(text):
    return re.sub(r"Date: .*", "Date: -", text)


def lines(direction, head):
    """A head as --trace shows it."""
    return "".join(f"{direction} {line}\n" for line in head.split("\r\n")[:-1])


def accepted():
    """What this build asks for as Accept-Encoding, or "": Apache's does not say."""
    with answer(OK) as peer:
        ask(GET, peer.url())
    found = re.search(r"Accept-Encoding: .*\r\n", peer.asked[0])
    return found.group(0) if found else ""


CODINGS = accepted()


def request(port, path, method="GET", before="", after="", codings=CODINGS):
    return (f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n{before}"
            f"User-Agent: {AGENT}\r\n{codings}{after}\r\n")


with Apache() as apache:
    # ---- get ----

    @case("get: one page, and three with one connection")
    def _():
        works(ask(GET, apache.url(FILE_1)), PAGE_1)
        works(ask(GET, apache.url(FILE_1), apache.url(FILE_3), apache.url("/chunked.shtml")),
              PAGE_1 + PAGE_3 + PAGE_PARTS)

    @case("get: five megabytes take no memory")
    def _():
        small = works(ask(GET, apache.url(FILE_1))).rss
        result = works(ask(GET, apache.url("/large.bin")), bytes(range(256)) * 20000)
        assert result.rss < small + (4 << 20), (small, result.rss)

    @case("get: redirects, and --no-redirects")
    def _():
        url = apache.url("/moved/INTRO-wireshark-file1.html")
        works(ask(GET, url), PAGE_1)
        assert b"302 Found" in works(ask(GET, "--no-redirects", url)).out

    @case("get --head, --include")
    def _():
        assert undated(works(ask(GET, "--head", apache.url(FILE_1))).out.decode()) == \
            undated(apache.head(FILE_1).decode())
        result = works(ask(GET, "--include", apache.url(FILE_1)))
        assert undated(result.out.decode()) == undated((apache.head(FILE_1) + PAGE_1).decode())

    @case("get: a 404 is an answer; with --fail a failure")
    def _():
        assert b"404 Not Found" in works(ask(GET, apache.url("/none"))).out
        result = fails(ask(GET, "--fail", apache.url("/none"), apache.url(FILE_1)),
                       "get: 127.0.0.1: receive head: the answer was 404 Not Found\n")
        assert result.out == PAGE_1, result

    @case("get --header")
    def _():
        with answer(OK) as peer:
            works(ask(GET, "--header", "X-A: 1", "--header", "Host: example.com", peer.url("/a")),
                  b"ok\n")
        assert peer.asked[0] == ("GET /a HTTP/1.1\r\nHost: example.com\r\nX-A: 1\r\n"
                                 f"User-Agent: {AGENT}\r\n{CODINGS}\r\n"), peer.asked

    @case("get --address")
    def _():
        with answer(OK) as peer:
            works(ask(GET, "--address", f"example.com:80=127.0.0.1:{peer.port}",
                      "http://example.com/"), b"ok\n")
        assert "Host: example.com\r\n" in peer.asked[0], peer.asked
        fails(ask(GET, "--address", "nonsense", apache.url("/")), "get: --address: Invalid argument")

    @case("get --proxy, and the proxy of the environment")
    def _():
        with answer(OK) as peer:
            works(ask(GET, "--proxy", peer.url(), "http://example.com/a"), b"ok\n")
            works(ask(GET, "http://example.com/b", env={"http_proxy": peer.url()}), b"ok\n")
            works(ask(GET, "--proxy", "", peer.url("/c"), env={"http_proxy": "http://127.0.0.1:1"}),
                  b"ok\n")
        assert [head.split(" ")[1] for head in peer.asked] == \
            ["http://example.com/a", "http://example.com/b", "/c"], peer.asked
        fails(ask(GET, "--proxy", "http://", apache.url("/")), "get: http://: malformed URL")
        fails(ask(GET, apache.url("/"), env={"http_proxy": "http://"}),
              "get: the proxy of the environment: malformed URL")

    @case("get --trace: the transcript of an exchange with Apache")
    def _():
        result = ask(GET, "--trace", apache.url(FILE_1))
        assert result.status == 0 and result.out == PAGE_1, result
        assert undated(result.err.decode()) == undated(
            lines(">", request(apache.port, FILE_1)) + lines("<", apache.head(FILE_1).decode()) +
            "".join(f"< {line}\n" for line in PAGE_1.decode().splitlines())), result

    @case("get --trace: a redirect, chunks, a line that has no end, bytes above 0x7f")
    def _():
        moved = "HTTP/1.1 301 -\r\nLocation: /b\r\nConnection: close\r\nContent-Length: 4\r\n\r\n"
        chunks = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

        def redirect(peer, connection, head):
            if b" /a " in head:
                return moved.encode() + b"gone"
            return chunks.encode() + b"3\r\no\xe9\n\r\n0\r\nX-End: 1\r\n\r\n"

        with Peer(redirect) as peer:
            result = ask(GET, "--trace", peer.url("/a"))
        assert result.status == 0 and result.out == b"o\xe9\n", result
        assert result.err.decode() == (
            lines(">", request(peer.port, "/a")) + lines("<", moved) + "< gone\n" +
            lines(">", request(peer.port, "/b")) + lines("<", chunks) +
            "< 3\n< o\\xe9\n< \n< 0\n< X-End: 1\n< \n"), result

    @case("get --trace: bytes that are no text are counted")
    def _():
        result = ask(GET, "--trace", apache.url("/large.bin"))
        assert result.status == 0 and result.err.endswith(b"\n< \n< (5120000 bytes)\n"), result

    @case("get --trace hides credentials, --trace-secrets does not")
    def _():
        with answer(b"HTTP/1.1 200 OK\r\nSet-Cookie: a=b\r\nContent-Length: 0\r\n\r\n") as peer:
            url = peer.url().replace("//", "//user:secret@")
            hidden = ask(GET, "--trace", "--header", "Cookie: c=d", url).err.decode()
            shown = ask(GET, "--trace-secrets", "--header", "Cookie: c=d", url).err.decode()
        for line in ("> Authorization: Basic ****************\n", "> Cookie: ***\n",
                     "< Set-Cookie: ***\n"):
            assert line in hidden, hidden
        for line in ("> Authorization: Basic dXNlcjpzZWNyZXQ=\n", "> Cookie: c=d\n",
                     "< Set-Cookie: a=b\n"):
            assert line in shown, shown

    @case("get: errors in words, and what follows is fetched")
    def _():
        result = fails(ask(GET, "http://127.0.0.1:1/", apache.url(FILE_1)),
                       "get: 127.0.0.1: connect: Connection refused\n")
        assert result.out == PAGE_1, result
        fails(ask(GET, "http://nowhere.invalid/"), "get: nowhere.invalid: resolve: ")
        fails(ask(GET, "nonsense"), "get: nonsense: start: malformed URL")
        fails(ask(GET, "--header", "nonsense", apache.url("/")), "127.0.0.1: start: a header")
        with answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok\n") as peer:
            fails(ask(GET, peer.url()), "127.0.0.1: receive body: closed after 3 of 5 bytes")

    @case("get: https, --ca-file, --insecure")
    def _():
        if not shutil.which("openssl"):
            raise Skip("no openssl")
        if b"no TLS" in ask(GET, "https://127.0.0.1:1/").err:
            raise Skip("built without TLS")
        with tempfile.TemporaryDirectory() as folder:
            chain, key = folder + "/chain.pem", folder + "/key.pem"
            subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                            "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", chain,
                            "-days", "2", "-subj", "/CN=test", "-addext",
                            "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(chain, key)
            with Peer(lambda *_: OK, context) as peer:
                fails(ask(GET, peer.url()), "get: 127.0.0.1: TLS: ")
                works(ask(GET, "--ca-file", chain, peer.url()), b"ok\n")
                works(ask(GET, "--insecure", peer.url()), b"ok\n")
                trace = ask(GET, "--insecure", "--trace", peer.url())
                assert trace.err.startswith(b"> GET / HTTP/1.1\n"), trace
                other = peer.url().replace("127.0.0.1", "localhost")
                fails(ask(GET, "--ca-file", chain, other), "get: localhost: TLS: ")
        fails(ask(GET, "--ca-file", "/none", apache.url("/")), "get: /none: No such file or directory")

    @case("get --timeout")
    def _():
        def never(peer, *_):
            peer.over.wait(PATIENCE)
            return b""

        with Peer(never) as peer:
            result = fails(ask(GET, "--timeout", "1", peer.url()), "receive head: not complete within")
        assert result.seconds < 10, result

    @case("get: a full disk")
    def _():
        with open("/dev/full", "wb") as full:
            for path in FILE_1, "/large.bin":
                fails(ask(GET, apache.url(path), apache.url(path), stdout=full),
                      "get: standard output: No space left on device")

    @case("command lines that are wrong")
    def _():
        for command, word in [([GET], "URL"), ([GET, "--nonsense", "x"], "nonsense"),
                              ([GET, "--timeout", "0", "x"], "seconds"), ([POST], "URL"),
                              ([POST, "--data", "a", "--data-file", "b", "x"], "--data-file"),
                              ([POST, "--type", "x" * 300, "x"], "--type"),
                              ([POST, "x", "y"], "URL"), ([UPLOAD, "x"], "FILE URL"),
                              ([MANY, "--parallel", "0"], "0"), ([POLL, "x"], "x"),
                              ([GET, *["--header", "a: b"] * 65, "x"], "too many"),
                              ([GET, *["--address", "a"] * 33, "x"], "too many")]:
            fails(ask(*command), word, f"Try '{os.path.basename(command[0])} --help'.", status=2, lines=2)

    @case("--help and --version")
    def _():
        for program in GET, POST, UPLOAD, MANY, POLL, LIBUV:
            if not os.path.exists(program):
                continue
            name = os.path.basename(program)
            assert works(ask(program, "--help")).out.startswith(f"usage: {name} ".encode())
            works(ask(program, "--version"), f"{name} 0.1.0\n".encode())

    # ---- post ----

    @case("post: --data, --data-file, the standard input, --type")
    def _():
        with Server() as server, tempfile.NamedTemporaryFile() as file:
            file.write(b"from a file\n")
            file.flush()
            works(ask(POST, "--data", "a=1", "--type", "text/plain", server.url("/x")), SERVER_PAGE)
            said = server.received()
            assert r"POST /x HTTP/1.1\r\n" in said and r"Content-Type: text/plain\r\n" in said, said
            assert r"Content-Length: 3\r\n" in said and r"\r\n\r\na=1'" in said, said
            works(ask(POST, "--data-file", file.name, server.url()), SERVER_PAGE)
            said = server.received()
            assert r"application/octet-stream\r\n" in said and r"\r\n\r\nfrom a file\n'" in said, said
            works(ask_with(b"from a pipe", POST, server.url()), SERVER_PAGE)
            assert r"\r\n\r\nfrom a pipe'" in server.received()
            works(ask_with(b"again", POST, "--data-file", "-", server.url()), SERVER_PAGE)
            assert r"\r\n\r\nagain'" in server.received()
            works(ask_with(b"", POST, server.url()), SERVER_PAGE)
            assert r"Content-Length: 0\r\n" in server.received()

    @case("post --trace")
    def _():
        with answer(OK) as peer:
            result = ask(POST, "--trace", "--data", "a=1", peer.url())
        head = request(peer.port, "/", "POST", "Content-Type: application/octet-stream\r\n",
                       "Content-Length: 3\r\n")
        assert result.out == b"ok\n" and result.err.decode() == \
            lines(">", head) + "> a=1\n< HTTP/1.1 200 OK\n< Content-Length: 3\n< \n< ok\n", result

    @case("post: what is too large, or not there, or refused")
    def _():
        with tempfile.NamedTemporaryFile() as file:
            file.truncate((16 << 20) + 1)
            fails(ask(POST, "--data-file", file.name, apache.url("/")), "a limit was reached")
        fails(ask(POST, "--data-file", "/none", apache.url("/")),
              "post: /none: No such file or directory")
        fails(ask(POST, "--fail", "--data", "x", apache.url("/none")), "the answer was 404")

    # ---- upload ----

    @case("upload: a file with its length, a pipe in chunks, an empty file")
    def _():
        with Server() as server, tempfile.NamedTemporaryFile() as file:
            file.write(b"from a file\n")
            file.flush()
            works(ask(UPLOAD, file.name, server.url("/x")), SERVER_PAGE)
            said = server.received()
            assert r"PUT /x HTTP/1.1\r\n" in said and r"Content-Length: 12\r\n" in said, said
            assert r"\r\n\r\nfrom a file\n'" in said, said
            works(ask_with(b"from a pipe", UPLOAD, "-", server.url()), SERVER_PAGE)
            said = server.received()
            assert r"Transfer-Encoding: chunked\r\n" in said and "from a pipe'" in said, said
            works(ask(UPLOAD, os.devnull, server.url()), SERVER_PAGE)
            file.truncate(0)
            works(ask(UPLOAD, file.name, server.url()), SERVER_PAGE)
            server.received()
            assert r"Content-Length: 0\r\n" in server.received()

    @case("upload: large, byte for byte, and without much memory")
    def _():
        data = bytes(range(256)) * 80000
        came = []

        def take(peer, connection, head):
            length = int(re.search(rb"Content-Length: (\d+)", head).group(1))
            if b"100-continue" in head:
                connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")
            body = b""
            while len(body) < length:
                body += connection.recv(1 << 20)
            came.append(body)
            return OK

        with Peer(take) as peer, tempfile.NamedTemporaryFile() as file:
            file.write(data)
            file.flush()
            result = works(ask(UPLOAD, file.name, peer.url()), b"ok\n")
            status, out, shown = on_terminal(UPLOAD, file.name, peer.url())
        assert came == [data, data] and (status, out) == (0, b"ok\n"), (status, out)
        assert result.rss < works(ask(GET, apache.url(FILE_1))).rss + (8 << 20), result
        assert shown.count(b"\r") > 10 and shown.endswith(b"\r20480000 bytes, 100 %\r\n"), shown

    @case("upload: what is not there, and who does not want it")
    def _():
        fails(ask(UPLOAD, "/none", apache.url("/")), "upload: /none: No such file or directory")
        fails(ask(UPLOAD, "/", apache.url("/")), "upload: /: Is a directory")
        fails(ask(UPLOAD, "--fail", __file__, apache.url("/none")), "the answer was 40")
        with answer(b"HTTP/1.1 307 -\r\nLocation: /x\r\nContent-Length: 0\r\n\r\n") as peer:
            fails(ask(UPLOAD, __file__, peer.url()), "127.0.0.1: ", "cannot be sent again")

    # ---- many ----

    SUMMARY = rb"(\d+) fetched, (\d+) failed, (\d+) bytes, \d+\.\d\d s\n"

    def summary(result, fetched, failed, count):
        found = re.fullmatch(SUMMARY, result.out)
        assert found and [int(part) for part in found.groups()] == [fetched, failed, count], result
        assert result.status == (1 if failed else 0), result

    @case("many: 200 URLs from a file, on a few connections")
    def _():
        with tempfile.TemporaryDirectory() as folder:
            with open(folder + "/list", "w") as file:
                file.write("".join(apache.url(f"{FILE_1}?{i}\n") for i in range(200)))
            os.mkdir(folder + "/out")
            result = ask(MANY, "--from", folder + "/list", "--parallel", "8", "--output-dir",
                         folder + "/out")
            summary(result, 200, 0, 200 * len(PAGE_1))
            names = sorted(os.listdir(folder + "/out"), key=int)
            assert names == [str(i) for i in range(1, 201)], names
            for name in names:
                with open(f"{folder}/out/{name}", "rb") as file:
                    assert file.read() == PAGE_1, name

    @case("many: so many at the same time, and no more")
    def _():
        lock, now, most = threading.Lock(), [0], [0]
        together = threading.Barrier(4)

        def count(peer, connection, head):
            with lock:
                now[0] += 1
                most[0] = max(most[0], now[0])
            together.wait(PATIENCE)
            with lock:
                now[0] -= 1
            return OK

        with Peer(count) as peer:
            summary(ask(MANY, "--parallel", "4", *[peer.url(f"/{i}") for i in range(20)]), 20, 0, 60)
        assert most[0] == 4, most

    @case("many: the standard input, empty lines, CR LF, and what fails")
    def _():
        url = apache.url(FILE_1).encode()
        result = ask_with(b"\n" + url + b"\r\n\n" + url, MANY)
        summary(result, 2, 0, 2 * len(PAGE_1))
        assert not result.err, result
        result = ask_with(b"nonsense\nhttp://127.0.0.1:1/\n", MANY, "--from", "-", apache.url(FILE_1))
        summary(result, 1, 2, len(PAGE_1))
        assert sorted(result.err.splitlines()) == [
            b"many: 127.0.0.1: connect: Connection refused",
            b"many: nonsense: start: malformed URL, not http://host:port/path?query"], result
        summary(ask_with(b"", MANY), 0, 0, 0)

    @case("many --fail, and bodies that are not whole are not kept")
    def _():
        with tempfile.TemporaryDirectory() as folder, \
                answer(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok\n") as peer:
            result = ask(MANY, "--fail", "--output-dir", folder, apache.url("/none"), peer.url())
            assert result.err.count(b"\n") == 2 and b"404" in result.err, result
            summary(result, 0, 2, 0)
            assert not os.listdir(folder)
            fails(ask(MANY, "--output-dir", folder + "/none", apache.url(FILE_1)),
                  f"many: {folder}/none/1: No such file or directory\n")
        fails(ask(MANY, "--from", "/none"), "many: /none: No such file or directory")

    @case("many: a bar on a terminal")
    def _():
        status, out, shown = on_terminal(MANY, *[apache.url(FILE_1)] * 20)
        assert status == 0 and re.fullmatch(SUMMARY, out), out
        assert shown.startswith(b"\r[" + b" " * 40 + b"] 0 of 20\r"), shown
        assert b"\r[" + b"#" * 20 + b" " * 20 + b"] 10 of 20\r" in shown, shown
        assert shown.endswith(b"\r[" + b"#" * 40 + b"] 20 of 20\r\x1b[K"), shown

    # ---- inside other loops ----

    @case("poll: what is typed is fetched while another one waits")
    def _():
        go = threading.Event()

        def slow(peer, *_):
            go.wait(PATIENCE)
            return OK

        with Peer(slow) as peer:
            program = subprocess.Popen([POLL], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                       env={**os.environ, **NO_PROXY})
            with program:
                def type_in(text):
                    program.stdin.write(text.encode())
                    program.stdin.flush()

                def expect(line):
                    assert select.select([program.stdout], [], [], PATIENCE)[0], line
                    assert program.stdout.readline().decode() == line

                type_in(peer.url() + "\n")
                for _ in range(3):
                    type_in(apache.url(FILE_1)[:-5])
                    type_in(apache.url(FILE_1)[-5:] + "\n")
                    expect(apache.url(FILE_1) + ": 200, 81 bytes\n")
                type_in("http://127.0.0.1:1/\n")
                expect("http://127.0.0.1:1/: connect: Connection refused\n")
                type_in("nonsense")
                program.stdin.close()
                expect("nonsense: start: malformed URL, not http://host:port/path?query\n")
                go.set()
                expect(peer.url() + ": 200, 3 bytes\n")
                assert program.wait(PATIENCE) == 0

    @case("poll: no input at all, and a line without an end")
    def _():
        works(ask(POLL), b"")
        fails(ask_with(b"x" * 100000, POLL), "poll: standard input: a limit was reached")

    @case("libuv: its own timer goes on meanwhile")
    def _():
        if not os.path.exists(LIBUV):
            raise Skip("built without libuv")

        def slow(peer, *_):
            time.sleep(0.3)  # what it measures against, not what it waits for
            return OK

        with Peer(slow) as peer:
            result = works(ask(LIBUV, peer.url(), apache.url(FILE_1), peer.url("/x")))
        out = result.out.decode().splitlines()
        assert out[0] == apache.url(FILE_1) + ": 200, 81 bytes", result
        assert sorted(out[1:3]) == [peer.url() + ": 200, 3 bytes", peer.url("/x") + ": 200, 3 bytes"]
        ticks = int(re.fullmatch(r"(\d+) ticks of 10 ms meanwhile", out[3]).group(1))
        assert 2 <= ticks <= 100 * result.seconds + 1, result
        fails(ask(LIBUV, "http://127.0.0.1:1/"), "libuv: 127.0.0.1: connect: Connection refused")
        fails(ask(LIBUV, "nonsense"), "libuv: nonsense: start: malformed URL")

    # ---- large_file_get ----

    @case("large_file_get --trace: what goes over the wire, and nothing else changes")
    def _():
        plain = works(ask(LARGE_FILE_GET, apache.url(FILE_1))).out
        result = ask(LARGE_FILE_GET, "--trace", apache.url(FILE_1))
        assert result.status == 0 and undated(result.out.decode()) == undated(plain.decode()), result
        head = request(apache.port, FILE_1, before="Accept-Encoding: identity\r\n", codings="")
        assert undated(result.err.decode()) == undated(
            lines(">", head) + lines("<", apache.head(FILE_1).decode()) +
            "".join(f"< {line}\n" for line in PAGE_1.decode().splitlines())), result

    @case("large_file_get: no proxy, whatever the environment says")
    def _():
        works(ask(LARGE_FILE_GET, apache.url(FILE_1), env={"http_proxy": "http://127.0.0.1:1/"}))

    main()
