"""bad.py SIMPLE_GET LARGE_FILE_GET - the client programs and everything that can go wrong.

Each failure is one line on stderr that names host, step and reason; the status is 1; it comes
within its time; and the memory that it took has a limit.
"""
import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

from common import PATIENCE, Skip, case, main, run

SIMPLE_GET, LARGE_FILE_GET = sys.argv[1:3]
BOTH = SIMPLE_GET, LARGE_FILE_GET
TIMEOUT_S = 1       # what the programs are given where the peer is silent
WITHIN_S = 4        # that, and time for a slow machine
LATE = f"not complete within {TIMEOUT_S}000 ms"
MEMORY = 48 << 20   # bytes over what a small transfer takes, at most
BODY_MAX = 64 << 20  # MH_BUF_MAX: what a body that is kept in memory may have


class Peer:
    """A server that answers every request with the same script: bytes, or a function that is
    called with the connection."""

    def __init__(self, *script):
        self.script = script
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.over = threading.Event()
        self.thread = threading.Thread(target=self.serve)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.listener.close()

    def serve(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            with connection, contextlib.suppress(OSError):
                connection.settimeout(20)
                self.read_head(connection)
                for step in self.script:
                    if callable(step):
                        step(self, connection)
                    else:
                        connection.sendall(step)

    @staticmethod
    def read_head(connection):
        data = b""
        while b"\r\n\r\n" not in data:
            more = connection.recv(65536)
            if not more:
                return
            data += more

    def url(self):
        return f"http://127.0.0.1:{self.port}/"


def silence(peer, connection):
    """Nothing more, until the client has gone or the test is over."""
    connection.settimeout(0.1)
    while not peer.over.is_set():
        with contextlib.suppress(TimeoutError):
            if not connection.recv(4096):
                return


def endless(data):
    def send(peer, connection):
        block = data * (65536 // len(data) + 1)
        while not peer.over.is_set():
            connection.sendall(block)

    return send


def drip(peer, connection):
    """A byte now and then: never silent, never done."""
    while not peer.over.wait(0.1):
        connection.sendall(b"x")


def reset(_, connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def small():
    """What a small transfer takes in memory."""
    with Peer(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") as peer:
        result = run(LARGE_FILE_GET, peer.url())
    assert result.status == 0, result
    return result.rss


def fails(result, *words, within=WITHIN_S):
    line = result.err.decode()
    assert result.status == 1, result
    assert line.count("\n") == 1 and line.endswith("\n"), result
    assert line.count(": ") >= 2, f"program, host, step, reason: {line}"
    for word in words:
        assert word in line, f"{word!r} is not in {line!r}"
    assert result.seconds < within, result
    assert not result.out, result


@case("the name does not resolve")
def _():
    for program in BOTH:
        fails(run(program, "http://nowhere.invalid/"), "nowhere.invalid", "resolve", within=15)


@case("the port refuses")
def _():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # bound, and nobody listens
        for program in BOTH:
            fails(run(program, f"http://127.0.0.1:{bound.getsockname()[1]}/"), "127.0.0.1", "connect",
                  "Connection refused")


@case("nobody takes the connection")
def _():
    with socket.create_server(("127.0.0.1", 0), backlog=0) as full, contextlib.ExitStack() as stack:
        for _ in range(4):  # what fits is in the queue; the next one has to wait
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(full.getsockname())
        for program in BOTH:
            fails(run(program, "--timeout", str(TIMEOUT_S), f"http://127.0.0.1:{full.getsockname()[1]}/"),
                  "127.0.0.1", "connect", LATE)


@case("silence")
def _():
    with Peer(silence) as peer:
        for program in BOTH:
            fails(run(program, "--timeout", str(TIMEOUT_S), peer.url()), "127.0.0.1", "head", LATE)


@case("closed at once")
def _():
    with Peer() as peer:
        for program in BOTH:
            fails(run(program, peer.url()), "127.0.0.1", "head", "closed")


@case("reset at once")
def _():
    with Peer(reset) as peer:
        for program in BOTH:
            fails(run(program, peer.url()), "127.0.0.1", "reset")


HEAD = b"HTTP/1.1 200 OK\r\n"
ENDLESS_BODY, ENDLESS_CHUNKS = endless(b"x"), endless(b"1\r\nx\r\n")
KEEPS = ENDLESS_BODY, ENDLESS_CHUNKS
for about, script, words in [
    ("closed in the head", [HEAD], ["head", "closed"]),
    ("closed in the body", [HEAD + b"Content-Length: 10\r\n\r\nhalf"], ["body", "closed"]),
    ("closed in a chunk", [HEAD + b"Transfer-Encoding: chunked\r\n\r\n5\r\nhal"], ["body", "closed"]),
    ("closed before the last chunk", [HEAD + b"Transfer-Encoding: chunked\r\n\r\n1\r\nx\r\n"],
     ["body", "closed"]),
    ("silence in the body", [HEAD + b"Content-Length: 10\r\n\r\nhalf", silence], ["body", LATE]),
    ("a body that drips", [HEAD + b"\r\n", drip], ["body", LATE]),
    ("a head that drips", [HEAD + b"X: ", drip], ["head", LATE]),
    ("not HTTP: a greeting", [b"220 mail.example ESMTP\r\n"], ["head", "byte"]),
    ("not HTTP: TLS", [b"\x15\x03\x03\x00\x02\x02\x28"], ["head", "byte 0x15 at offset 0"]),
    ("not HTTP: HTML", [b"<html>hello</html>"], ["head", "byte"]),
    ("HTTP/2.0", [b"HTTP/2.0 200 OK\r\n\r\n"], ["head"]),
    ("a status of four digits", [b"HTTP/1.1 2000 OK\r\n\r\n"], ["head", "byte"]),
    ("a NUL in a field", [HEAD + b"X: a\0b\r\n\r\n"], ["head", "byte 0x00"]),
    ("a bare CR in a field", [HEAD + b"X: a\rb\r\n\r\n"], ["head", "byte"]),
    ("two lengths", [HEAD + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab"], ["head"]),
    ("a length of 2^64 + 5", [HEAD + b"Content-Length: 18446744073709551621\r\n\r\nhello"], ["head"]),
    ("a negative length", [HEAD + b"Content-Length: -1\r\n\r\n"], ["head"]),
    ("length and chunks", [HEAD + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"],
     ["head"]),
    ("an unknown coding", [HEAD + b"Transfer-Encoding: gzip\r\n\r\nxxx"], ["head"]),
    ("a broken chunk", [HEAD + b"Transfer-Encoding: chunked\r\n\r\nxyz\r\n"], ["body", "byte"]),
    ("a chunk of 2^64", [HEAD + b"Transfer-Encoding: chunked\r\n\r\n10000000000000000\r\nx"], ["body"]),
    ("101 that nobody asked for", [b"HTTP/1.1 101 Switching Protocols\r\n\r\n"], ["head"]),
    ("an endless field", [HEAD + b"X: ", endless(b"x")], ["head", "too long"]),
    ("endless fields", [HEAD, endless(b"X: y\r\n")], ["head", "too many fields"]),
    ("endless interim responses", [endless(b"HTTP/1.1 100 Continue\r\n\r\n")], ["head", "too many interim"]),
    ("an endless body", [HEAD + b"\r\n", ENDLESS_BODY], ["body", str(BODY_MAX)]),
    ("a body larger than the limit", [HEAD + b"Content-Length: 99999999999\r\n\r\n", endless(b"x")],
     ["99999999999", str(BODY_MAX)]),
    ("endless chunk extensions", [HEAD + b"Transfer-Encoding: chunked\r\n\r\n1;", endless(b"x")],
     ["body", "chunk extension"]),
    ("endless chunks of one byte", [HEAD + b"Transfer-Encoding: chunked\r\n\r\n", ENDLESS_CHUNKS],
     ["body"]),
    ("endless trailers", [HEAD + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", endless(b"X: y\r\n")], ["body"]),
]:
    def large(script=script, words=words):
        with Peer(*script) as peer:
            # One byte after the other takes long where sanitizers look at each: this one may end
            # because of its time, too.
            seconds = TIMEOUT_S if LATE in words else 8 if script[-1] is ENDLESS_CHUNKS else 20
            result = run(LARGE_FILE_GET, "--timeout", str(seconds), peer.url())
        fails(result, "127.0.0.1", *words, within=seconds + WITHIN_S)
        limit = small() + MEMORY
        if script[-1] in KEEPS:
            limit += 3 * BODY_MAX  # the body, and its copy while it grows
        assert result.rss < limit, f"{result.rss >> 20} MiB"

    case(f"large_file_get: {about}")(large)


@case("simple_get prints whatever came first, and no more")
def _():
    for data in [b"220 not HTTP\r\n", b"\0\1\2", b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"]:
        with Peer(data, silence) as peer:
            result = run(SIMPLE_GET, peer.url())
        assert result.status == 0 and not result.err, result
        assert result.out.endswith(f"[RECV] - length: {len(data)}\n".encode() + data), result
    with Peer(endless(b"x")) as peer:
        result = run(SIMPLE_GET, peer.url())
    assert result.status == 0 and len(result.out) < 70000, result


@case("large_file_get: interim responses are passed over")
def _():
    with Peer(b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" * 3 + HEAD + b"Content-Length: 2\r\n\r\nok") as peer:
        result = run(LARGE_FILE_GET, peer.url())
    assert result.status == 0 and result.out.endswith(HEAD + b"Content-Length: 2\r\n\r\nok"), result


@case("large_file_get returns when the response is complete, not when the peer closes")
def _():
    for script in [HEAD + b"Content-Length: 2\r\n\r\nok", b"HTTP/1.1 204 No Content\r\n\r\n",
                   HEAD + b"Transfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"]:
        with Peer(script, silence) as peer:
            result = run(LARGE_FILE_GET, peer.url())
        assert result.status == 0 and result.seconds < WITHIN_S, result


@case("a standard output that is full")
def _():
    with Peer(HEAD + b"Content-Length: 2\r\n\r\nok") as peer, open("/dev/full", "wb") as full:
        for program in BOTH:
            fails(run(program, peer.url(), stdout=full), "standard output", "No space left on device")
            result = run(program, "--help", stdout=full)
            assert result.status == 1 and b"No space left" in result.err, result


@case("large_file_get --output: a file that cannot be written")
def _():
    with Peer(HEAD + b"Content-Length: 2\r\n\r\nok") as peer:
        fails(run(LARGE_FILE_GET, "--output", "/dev/full", peer.url()), "/dev/full", "No space left")
        fails(run(LARGE_FILE_GET, "--output", "/nowhere/x", peer.url()), "/nowhere/x", "No such file")


HALF = HEAD + b"Content-Length: 10\r\n\r\nhalf"


@contextlib.contextmanager
def older_file():
    """A file that is there already; it is as it was in the end, and alone."""
    with tempfile.TemporaryDirectory() as folder:
        write(folder + "/x", b"older")
        yield folder + "/x"
        assert os.listdir(folder) == ["x"] and read(folder + "/x") == b"older", os.listdir(folder)


def write(path, data):
    with open(path, "wb") as file:
        file.write(data)


def read(path):
    with open(path, "rb") as file:
        return file.read()


@case("large_file_get --output: what came only in part is removed")
def _():
    with tempfile.TemporaryDirectory() as folder, Peer(HALF) as peer:
        fails(run(LARGE_FILE_GET, "--output", folder + "/x", peer.url()), "127.0.0.1", "body", "closed")
        assert not os.listdir(folder)


@case("large_file_get --output: an older file stays until all of the new one is there")
def _():
    with older_file() as path, Peer(HALF) as peer:
        fails(run(LARGE_FILE_GET, "--output", path, peer.url()), "127.0.0.1", "body", "closed")


@case("large_file_get --output: an older file stays when the answer is another one")
def _():
    with older_file() as path, Peer(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n") as peer:
        fails(run(LARGE_FILE_GET, "--output", path, peer.url()),
              "127.0.0.1: receive head: the answer was 404 Not Found")


@case("large_file_get --output: a signal leaves an older file, and nothing else")
def _():
    for number in signal.SIGINT, signal.SIGTERM, signal.SIGHUP:
        with older_file() as path, Peer(HALF, silence) as peer:
            program = subprocess.Popen([LARGE_FILE_GET, "--output", path, peer.url()],
                                       preexec_fn=lambda: signal.signal(number, signal.SIG_DFL))
            begin = time.monotonic()
            while not os.path.exists(f"{path}.part{program.pid}"):
                assert program.poll() is None and time.monotonic() < begin + PATIENCE
                time.sleep(0.01)
            program.send_signal(number)
            assert program.wait(PATIENCE) == -number


@case("large_file_get --output: a failure removes neither a link nor what it points to")
def _():
    with tempfile.TemporaryDirectory() as folder, Peer(HALF) as peer:
        write(folder + "/x", b"older")
        os.mkfifo(folder + "/pipe")
        pipe = os.open(folder + "/pipe", os.O_RDWR)  # there is somebody who reads
        for name, target in ("file", "x"), ("null", "/dev/null"), ("to-pipe", "pipe"), ("broken", "y"):
            os.symlink(target, folder + "/" + name)
        for name in "file", "null", "pipe", "to-pipe", "broken":
            fails(run(LARGE_FILE_GET, "--output", folder + "/" + name, peer.url()), "127.0.0.1", "closed")
        os.close(pipe)
        for name in "file", "null", "to-pipe", "broken":
            assert os.path.islink(folder + "/" + name), name
        assert read(folder + "/x") == b"older" and os.path.exists(folder + "/pipe")
        assert not [name for name in os.listdir(folder) if "part" in name]


@case("large_file_get --output: to the standard output, by its name")
def _():
    with Peer(HEAD + b"Content-Length: 2\r\n\r\nok") as peer:
        program = subprocess.run([LARGE_FILE_GET, "--output", "/dev/stdout", peer.url()],
                                 stdout=subprocess.PIPE, timeout=PATIENCE, check=True)
        assert program.stdout == b"ok" and os.path.exists("/dev/stdout")


@case("large_file_get --output: a file as any other program would make it, behind a link or not")
def _():
    with tempfile.TemporaryDirectory() as folder, Peer(HEAD + b"Content-Length: 2\r\n\r\nok") as peer:
        write(folder + "/x", b"older")
        os.symlink("x", folder + "/link")
        before = os.umask(0o027)
        try:
            for name in "new", "link":
                result = run(LARGE_FILE_GET, "--output", folder + "/" + name, peer.url())
                assert result.status == 0, result
        finally:
            os.umask(before)
        assert os.path.islink(folder + "/link") and sorted(os.listdir(folder)) == ["link", "new", "x"]
        for name in "new", "x":
            assert read(folder + "/" + name) == b"ok", name
            assert os.stat(folder + "/" + name).st_mode & 0o777 == 0o640, name


@case("large_file_get --output: a file that may not be written is not replaced")
def _():
    if os.geteuid() == 0:
        raise Skip("root may write to everything")
    with older_file() as path, Peer(HEAD + b"Content-Length: 2\r\n\r\nok") as peer:
        os.chmod(path, 0o444)
        fails(run(LARGE_FILE_GET, "--output", path, peer.url()), path, "Permission denied")


@case("large_file_get --output: a large body takes little memory")
def _():
    size = 200 << 20
    def much(_, connection):
        block = b"x" * (1 << 20)
        for _ in range(size >> 20):
            connection.sendall(block)

    with Peer(HEAD + b"Content-Length: %d\r\n\r\n" % size, much) as peer:
        result = run(LARGE_FILE_GET, "--output", "/dev/null", peer.url())
    assert result.status == 0 and result.rss < small() + MEMORY, f"{result.rss >> 20} MiB: {result}"


@case("simple_get speaks no https")
def _():
    fails(run(SIMPLE_GET, "https://127.0.0.1:1/"), "127.0.0.1: start: https: there is no TLS here")


@case("URLs that are none: status 1, one line")
def _():
    for url, word in [("", "URL"), ("x", "URL"), ("http://", "URL"), ("http://a b/", "URL"),
                      ("http://a/\r\nX: y", "URL"), ("http://a/%zz", "URL"), ("http://a:99999/", "URL"),
                      ("ftp://a/", "scheme"),
                      ("http://a/b c", "malformed URL: byte 0x20 at offset 10"),
                      ("http://127.0.0.1:1/" + "x" * 70000, "127.0.0.1: start: the URL")]:
        for program in BOTH:
            result = run(program, url)
            assert result.status == 1 and word in result.err.decode(), f"{url[:80]!r}: {result}"
            assert result.err.count(b"\n") == 1 or "\n" in url, f"{url[:80]!r}: {result}"


@case("--help and --version: status 0; a wrong command line: status 2")
def _():
    for options, status in [(["--help"], 0), (["--version"], 0), (["--nonsense"], 2), (["a", "b"], 2),
                            (["--timeout"], 2), (["--timeout", "0"], 2), (["--timeout", "-1"], 2),
                            (["--timeout", "1x"], 2), (["--timeout", ""], 2),
                            (["--timeout", "99999999999999999999"], 2)]:
        for program in BOTH:
            result = run(program, *options)
            assert result.status == status, f"{options}: {result}"
            assert bool(result.out) == (status == 0) and bool(result.err) == (status == 2), result
            name = os.path.basename(program).encode() + b": "
            assert status == 0 or result.err.startswith(name), result


main()
