"""hostile.py FOLDER - get, post and upload, and peers that mean no good.

Each failure is one line on stderr that names host, step and reason; the status is 1; it comes within
its time; the memory that it took has a limit; and the next fetch of the same client works.
"""
import contextlib
import gzip
import os
import re
import shutil
import socket
import ssl
import sys
import tempfile
import threading
import zlib

from common import PATIENCE, Skip, case, main, run

import certs

GET, POST, UPLOAD = (os.path.join(sys.argv[1], name) for name in ("get", "post", "upload"))
CALM = {name: "" for name in
        "http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY no_proxy NO_PROXY".split()}
TIMEOUT_S = 1
WITHIN_S = 6         # that, and time for a slow machine
LATE = f"not complete within {TIMEOUT_S}000 ms"
MEMORY = 24 << 20    # bytes over what a small transfer takes, at most
GOOD = b"all is well\n"


# ---- peers ----

class Peer:
    """Answers in a thread for each connection. /good has what is good, as often as it is asked for;
    anything else gets the script: bytes, or functions that are called with the connection. first: the
    same without waiting for a request. tls: an ssl.SSLContext."""

    def __init__(self, *script, first=False, tls=None):
        self.script, self.first, self.tls = script, first, tls
        self.asked = []
        self.over = threading.Event()
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.threads = [threading.Thread(target=self.accept, daemon=True)]

    def __enter__(self):
        self.threads[0].start()
        return self

    def __exit__(self, *_):
        self.over.set()
        self.listener.shutdown(socket.SHUT_RDWR)
        for thread in self.threads:
            thread.join(PATIENCE)
        self.listener.close()

    def accept(self):
        while True:
            try:
                connection, _ = self.listener.accept()
            except OSError:
                return
            self.threads.append(threading.Thread(target=self.serve, args=[connection], daemon=True))
            self.threads[-1].start()

    def serve(self, connection):
        with contextlib.suppress(OSError), connection:
            connection.settimeout(PATIENCE)
            if self.tls:
                connection = self.tls.wrap_socket(connection, server_side=True)
            with connection:
                while self.answer(connection):
                    pass

    def answer(self, connection):
        head = b"" if self.first else self.read_head(connection)
        if head is None:
            return False
        target = head.split(b" ")[1].decode() if head else ""
        self.asked.append(head.decode())
        if target.endswith("/good"):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(GOOD) + GOOD)
            return True
        for step in self.script:
            if callable(step):
                step(self, connection)
            else:
                connection.sendall(step)
        return False

    @staticmethod
    def read_head(connection):
        data = b""
        while not data.endswith(b"\r\n\r\n"):
            more = connection.recv(1)
            if not more:
                return None
            data += more
        return data

    def url(self, path="/"):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}{path}"


def silence(peer, connection):
    """Nothing more, until the client has gone or the test is over."""
    connection.settimeout(0.1)
    while not peer.over.is_set():
        with contextlib.suppress(TimeoutError):
            if not connection.recv(65536):
                return


def deaf(peer, _):
    """Neither sends nor reads."""
    peer.over.wait(PATIENCE)


def endless(data):
    def send(peer, connection):
        block = data * (65536 // len(data) + 1)
        while not peer.over.is_set():
            connection.sendall(block)

    return send


def drip(data):
    """A byte now and then: never silent, never done."""
    def send(peer, connection):
        while not peer.over.wait(0.1):
            connection.sendall(data)

    return send


def reset(_, connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")


def reset_later(peer, connection):
    """When the client has had time to take what was sent, which a reset would overtake."""
    connection.settimeout(0.2)
    with contextlib.suppress(TimeoutError):
        connection.recv(1)
    reset(peer, connection)


def hello(_, connection):
    """The client's first record of TLS is awaited, and no more."""
    header = connection.recv(5, socket.MSG_WAITALL)
    connection.recv(int.from_bytes(header[3:], "big"), socket.MSG_WAITALL)


@contextlib.contextmanager
def full():
    """A port where no connection comes to be: its queue is full."""
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, contextlib.ExitStack() as stack:
        for _ in range(4):
            filler = stack.enter_context(socket.socket())
            filler.setblocking(False)
            filler.connect_ex(listener.getsockname())
        yield f"127.0.0.1:{listener.getsockname()[1]}"


@contextlib.contextmanager
def refusing():
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))  # and nobody listens
        yield f"127.0.0.1:{bound.getsockname()[1]}"


# ---- what is asserted ----

def ask(*command):
    """What is printed may be much: its beginning and its end are kept. A program inherits what was
    the most memory of the one that started it, so this one has to stay small."""
    with tempfile.TemporaryFile() as out:
        result = run(*command, env=CALM, stdout=out)
        size = out.seek(0, os.SEEK_END)
        out.seek(0)
        result.out = out.read(4096)
        if size > 4096:
            out.seek(max(4096, size - 4096))
            result.out += out.read()
    return result


def works(result, out=None):
    assert result.status == 0 and not result.err, result
    assert out is None or result.out == out, result
    return result


def small():
    """What a small transfer takes in memory."""
    with Peer() as peer:
        return works(ask(GET, peer.url("/good")), GOOD).rss


def fails(result, *words, within=WITHIN_S):
    """words: how the line begins, and what else is in it."""
    line = result.err.decode()
    assert line.startswith(words[0]), f"{words[0]!r} does not begin {line!r}"
    assert result.status == 1, result
    assert line.count("\n") == 1 and line.endswith("\n"), result
    for word in words:
        assert word in line, f"{word!r} is not in {line!r}"
    assert result.seconds < within, result
    assert result.rss < SMALL + MEMORY, f"{result.rss >> 20} MiB, and {SMALL >> 20} for little"
    return result


SMALL = small()


def bad_then_good(bad, good, *words, options=(), got=b""):
    """got: what is printed of the bad one, or None where it is not known how much."""
    result = fails(ask(GET, "--timeout", str(TIMEOUT_S), *options, bad, good), *words)
    assert result.out.endswith(GOOD), result
    assert got is None or result.out == got + GOOD, result
    return result


def bad(about, words, *script, got=b"", timeout=TIMEOUT_S, says="", **more):
    @case(about)
    def _():
        with Peer(*script, **more) as peer, Peer() as other:
            good = (other if more else peer).url("/good")
            bad_then_good(peer.url(), good, "get: 127.0.0.1: " + words, says, got=got,
                          options=["--timeout", str(timeout)])


# ---- how a connection ends ----

HEAD = b"HTTP/1.1 200 OK\r\n"
LONG = HEAD + b"Content-Length: 10\r\n\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
GZIP = HEAD + b"Content-Encoding: gzip\r\n\r\n"


@case("the connection is refused")
def _():
    with refusing() as place, Peer() as peer:
        bad_then_good(f"http://{place}/", peer.url("/good"), "get: 127.0.0.1: connect: Connection refused")


@case("nobody takes the connection")
def _():
    with full() as place, Peer() as peer:
        bad_then_good(f"http://{place}/", peer.url("/good"), "get: 127.0.0.1: connect: " + LATE)


@case("the name does not resolve")
def _():
    with Peer() as peer:
        result = ask(GET, "http://nowhere.invalid/", peer.url("/good"))
        fails(result, "get: nowhere.invalid: resolve: ", within=15)
        assert result.out == GOOD, result


bad("silence instead of a head", "receive head: " + LATE, silence)
bad("silence in the head", "receive head: " + LATE, HEAD, silence)
bad("silence in the body", "receive body: " + LATE, LONG + b"half", silence, got=b"half")
bad("silence in a chunk", "receive body: " + LATE, CHUNKED + b"5\r\nhal", silence, got=b"hal")
bad("a head that drips", "receive head: " + LATE, HEAD + b"X: ", drip(b"x"))
bad("a body that drips", "receive body: " + LATE, HEAD + b"\r\n", drip(b"x"), got=None)
bad("chunks that drip", "receive body: " + LATE, CHUNKED, drip(b"1\r\nx\r\n"), got=None)
bad("a chunk extension that drips", "receive body: " + LATE, CHUNKED + b"1;", drip(b"x"))
bad("interim responses that drip", "receive head: " + LATE, drip(b"HTTP/1.1 102 Processing\r\n\r\n"))

bad("closed at once", "receive head: closed before a byte of the response came")
bad("closed in the status line", "receive head: closed in the middle of the head", b"HTTP/1.1 2")
bad("closed in the head", "receive head: closed in the middle of the head", HEAD + b"X: y\r\n")
bad("closed behind an interim response", "receive head: closed before the final response",
    b"HTTP/1.1 100 Continue\r\n\r\n")
bad("closed in the body", "receive body: closed after 4 of 10 bytes of the body", LONG + b"half",
    got=b"half")
bad("closed before the body", "receive body: closed after 0 of 10 bytes of the body", LONG)
bad("closed in a chunk", "receive body: closed after 3 bytes of the body, before its last chunk",
    CHUNKED + b"5\r\nhal", got=b"hal")
bad("closed between chunks", "receive body: closed after 1 bytes of the body, before its last chunk",
    CHUNKED + b"1\r\nx\r\n", got=b"x")
bad("closed in the trailers",
    "receive body: closed after 1 bytes of the body, before its last chunk",
    CHUNKED + b"1\r\nx\r\n0\r\nX: y\r\n", got=b"x")
bad("closed in what is coded", "receive body: the gzip data ends early", GZIP + gzip.compress(GOOD * 50)[:-9], got=None)

bad("reset at once", "receive head: Connection reset by peer", reset)
bad("reset in the head", "receive head: Connection reset by peer", HEAD + b"X: ", reset_later)
bad("reset in the body", "receive body: Connection reset by peer", LONG + b"half", reset_later, got=b"half")
bad("reset in a chunk", "receive body: Connection reset by peer", CHUNKED + b"5\r\nhal", reset_later,
    got=b"hal")


@case("a kept connection that ends badly is not the end: the request goes out again, once")
def _():
    def twice(peer, connection):
        Peer.read_head(connection)
        reset(peer, connection)

    with Peer(LONG + b"0123456789", twice) as peer:
        result = works(ask(GET, peer.url("/first"), peer.url("/second")))
        assert result.out == b"0123456789" * 2, result
        assert len(peer.asked) == 2, peer.asked


@case("a kept connection that has ended meanwhile is replaced")
def _():
    def part(peer, connection):
        """Wait for the client to be done with it: it is, when it asks somewhere else."""
        connection.shutdown(socket.SHUT_WR)
        silence(peer, connection)

    with Peer(LONG + b"0123456789", part) as peer, Peer() as other:
        urls = [peer.url("/first"), other.url("/good"), peer.url("/second")]
        assert works(ask(GET, *urls)).out == b"0123456789" + GOOD + b"0123456789"
        assert len(peer.asked) == 2, peer.asked


# ---- what is no HTTP ----

for about, data, words in [
    ("a greeting", b"220 mail.example ESMTP\r\n", "byte 0x32 at offset 0: malformed HTTP version"),
    ("HTTP/0.9", b"<html>hello</html>\n", "byte 0x3c at offset 0"),
    ("TLS", b"\x15\x03\x03\x00\x02\x02\x28", "byte 0x15 at offset 0"),
    ("zeros", bytes(5000), "byte 0x00 at offset 0"),
    ("HTTP/2", b"\0\0\x12\x04\0\0\0\0\0", "byte 0x00 at offset 0"),
    ("HTTP/2.0 in letters", b"HTTP/2.0 200 OK\r\n\r\n",
     "byte 0x32 at offset 5: HTTP version not supported"),
    ("ICY", b"ICY 200 OK\r\n\r\n", "byte 0x49 at offset 0: malformed HTTP version"),
    ("a status of four digits", b"HTTP/1.1 2000 OK\r\n\r\n", "byte 0x30 at offset 12: malformed status"),
    ("a NUL in a field", HEAD + b"X: a\0b\r\n\r\n",
     "byte 0x00 at offset 21: control byte in a field value"),
    ("a bare CR in a field", HEAD + b"X: a\rb\r\n\r\n", "byte 0x62 at offset 22: CR without LF"),
    ("bare LF", b"HTTP/1.1 200 OK\nContent-Length: 0\n\n", "byte 0x0a at offset 15: LF without CR"),
    ("white space before a colon", HEAD + b"Content-Length : 5\r\n\r\nhello",
     "byte 0x20 at offset 31: white space before the colon"),
    ("another one's request", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", "byte 0x47 at offset 0"),
    ("101 that nobody asked for",
     b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", "101 that no request asked for"),
]:
    bad("no HTTP: " + about, "receive head: " + words, data, silence)

NOT_CHUNKED = "Transfer-Encoding does not end in one chunked"
for about, fields, words in [
    ("two lengths", b"Content-Length: 1\r\nContent-Length: 2", "more than one Content-Length field"),
    ("two lengths in one", b"Content-Length: 1, 2", "invalid Content-Length"),
    ("a length of 2^64 + 5", b"Content-Length: 18446744073709551621", "invalid Content-Length"),
    ("a negative length", b"Content-Length: -1", "invalid Content-Length"),
    ("a length with a sign", b"Content-Length: +5", "invalid Content-Length"),
    ("an empty length", b"Content-Length:", "invalid Content-Length"),
    ("length and chunks", b"Content-Length: 5\r\nTransfer-Encoding: chunked",
     "Transfer-Encoding beside Content-Length"),
    ("chunked twice", b"Transfer-Encoding: chunked, chunked", NOT_CHUNKED),
    ("chunked, and not last", b"Transfer-Encoding: chunked, gzip", NOT_CHUNKED),
    ("an unknown transfer coding", b"Transfer-Encoding: cabbage", NOT_CHUNKED),
]:
    bad("framing: " + about, "receive head: byte ", HEAD + fields + b"\r\n\r\nhello", silence, says=words)

for about, data, words in [
    ("no number", b"xyz\r\n", "0x78 at offset 47: a chunk size begins with a hexadecimal digit"),
    ("nothing", b"\r\n", "0x0d at offset 47: a chunk size begins with a hexadecimal digit"),
    ("negative", b"-1\r\n", "0x2d at offset 47: a chunk size begins with a hexadecimal digit"),
    ("0x5", b"0x5\r\nhello\r\n", "0x78 at offset 48: byte that no chunk size may hold"),
    ("2^64", b"10000000000000000\r\nx", "0x30 at offset 63: chunk size too large"),
    ("2^64 + 5", b"10000000000000005\r\nhello\r\n0\r\n\r\n", "0x35 at offset 63: chunk size too large"),
    ("a LF alone behind it", b"5\nhello\r\n", "0x0a at offset 48: LF without CR in a chunk line"),
]:
    bad("a chunk's size: " + about, "receive body: byte " + words, CHUNKED + data, silence)
bad("a chunk that is longer than its size",
    "receive body: byte 0x58 at offset 55: a chunk longer than its size",
    CHUNKED + b"5\r\nhelloXX\r\n0\r\n\r\n", silence, got=b"hello")

# ---- what has no end, or is too large ----

TOO_LONG = "receive head: the head is too long (65536 bytes in)"
bad("an endless status line", TOO_LONG, b"HTTP/1.1 200 ", endless(b"x"), timeout=20)
bad("an endless field", TOO_LONG, HEAD + b"X: ", endless(b"x"), timeout=20)
bad("an endless field name", TOO_LONG, HEAD, endless(b"x"), timeout=20)
bad("an endless folded field", TOO_LONG, HEAD + b"X: y\r\n", endless(b" yyyyyyy\r\n"), timeout=20)
bad("endless fields", "receive head: ", HEAD, endless(b"X: y\r\n"), timeout=20, says="too many fields")
bad("endless empty lines", "receive head: byte 0x0d at offset 0: ", endless(b"\r\n"), timeout=20)
bad("endless interim responses", "receive head: too many interim responses",
    endless(b"HTTP/1.1 100 Continue\r\n\r\n"), timeout=20)
bad("endless zeros as a chunk's size", "receive body: ", CHUNKED, endless(b"0"), timeout=20,
    says="endless chunk size")
bad("an endless chunk extension", "receive body: ", CHUNKED + b"1;", endless(b"x"), timeout=20,
    says="endless chunk extension")
bad("chunk extensions without end", "receive body: ", CHUNKED,
    endless(b"1;" + b"x" * 200 + b"\r\nx\r\n"), timeout=20, got=None, says="endless chunk extension")
bad("endless trailers", "receive body: ", CHUNKED + b"0\r\n", endless(b"X: y\r\n"), timeout=20,
    says="too many fields")
bad("an endless body", "receive body: " + LATE, HEAD + b"\r\n", endless(b"x"), got=None)
bad("a length of 2^63, and no end before", "receive body: " + LATE,
    HEAD + b"Content-Length: 9223372036854775807\r\n\r\n", endless(b"x"), got=None)


def bomb(name, levels=1):
    """Zeros that need a thousandth of their size, and have no end."""
    def send(peer, connection):
        packers = [zlib.compressobj(9, zlib.DEFLATED, 31) for _ in range(levels)]
        connection.sendall(HEAD + b"Content-Encoding: " + name + b"\r\n\r\n")
        while not peer.over.is_set():
            data = bytes(1 << 20)
            for packer in packers:
                data = packer.compress(data)
            if data:
                connection.sendall(data)

    return send


bad("a gzip bomb", "receive body: " + LATE, bomb(b"gzip"), got=None)
bad("a gzip bomb in a gzip bomb", "receive body: " + LATE, bomb(b"gzip, gzip", 2), got=None)
bad("more codings than anybody needs", "receive head: more than 2 content codings",
    HEAD + b"Content-Encoding: gzip, gzip, gzip\r\n\r\n", silence)
bad("a coding that nobody knows", "receive head: a content coding that is not known",
    HEAD + b"Content-Encoding: cabbage\r\n\r\nhello", silence)
bad("no gzip", "receive body: not gzip data", GZIP + b"hello, this is none", silence)
bad("gzip with a wrong sum", "receive body: the checksum of the gzip data is wrong",
    HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(gzip.compress(GOOD)) +
    gzip.compress(GOOD)[:-8] + b"\1\2\3\4" + gzip.compress(GOOD)[-4:], silence, got=None)

# ---- redirects ----

def location(value, status=302):
    return b"HTTP/1.1 %d -\r\nContent-Length: 0\r\nLocation: " % status + value + b"\r\n\r\n"


@case("endless redirects")
def _():
    for place in b"/again", b"?x", b"again", b"/":
        with Peer(location(place)) as peer:
            bad_then_good(peer.url(), peer.url("/good"),
                          "get: 127.0.0.1: receive head: more than 10 redirects")
            assert len(peer.asked) == 12, peer.asked


bad("a redirect to another scheme", "receive head: the redirect leads to neither http nor https",
    location(b"ftp://127.0.0.1/"))
bad("a redirect to a file", "receive head: the redirect leads to neither http nor https",
    location(b"file:///etc/passwd"))
bad("a redirect to a port that there cannot be",
    "receive head: the Location of the redirect is malformed", location(b"http://127.0.0.1:99999/"))
bad("a redirect with a space", "receive head: the Location of the redirect is malformed",
    location(b"/a b HTTP/1.1"))
bad("a redirect with a bare CR", "receive head: byte 0x58 at offset 48: CR without LF",
    location(b"/a\rX-Evil: y"))
bad("a redirect with a NUL", "receive head: byte 0x00 at offset 47: control byte", location(b"/a\0b"))
bad("a redirect that is folded", "receive head: the Location of the redirect is malformed",
    location(b"/a\r\n X-Evil: y"))
bad("a redirect longer than a request may be",
    "receive head: the redirect leads to a URL that is too long", location(b"/" + b"x" * 40000))
bad("a redirect that is cut off", "receive head: closed in the middle of the head",
    b"HTTP/1.1 302 -\r\nLocation: /x")


@case("a redirect to where nobody listens names it")
def _():
    with refusing() as place, Peer(location(f"http://{place}/".encode())) as peer:
        bad_then_good(peer.url(), peer.url("/good"), "get: 127.0.0.1: connect: Connection refused")
    with Peer(location(b"http://nowhere.invalid/")) as peer:
        result = ask(GET, peer.url(), peer.url("/good"))
        fails(result, "get: nowhere.invalid: resolve: ", within=15)
        assert result.out == GOOD, result


@case("CR and LF in a Location stay percent-encoded, and add no field")
def _():
    def follow(peer, connection):
        connection.sendall(location(b"/%0d%0aX-Evil:%20y/good"))
        peer.asked.append(Peer.read_head(connection).decode())
        connection.sendall(LONG + b"0123456789")

    with Peer(follow) as peer:
        works(ask(GET, peer.url("/")), b"0123456789")
        assert peer.asked[1].startswith("GET /%0d%0aX-Evil:%20y/good HTTP/1.1\r\n"), peer.asked
        assert not re.search(r"(?mi)^x-evil", peer.asked[1]), peer.asked


@case("a redirect with an endless body is followed all the same")
def _():
    with Peer() as good, Peer(b"HTTP/1.1 302 -\r\nLocation: " + good.url("/good").encode() + b"\r\n\r\n",
                              endless(b"x")) as peer:
        result = works(ask(GET, peer.url(), good.url("/good")), GOOD * 2)
        assert result.seconds < WITHIN_S and result.rss < SMALL + MEMORY, result


@case("credentials do not follow to another origin")
def _():
    with Peer() as good, Peer(location(good.url("/good").encode())) as peer:
        works(ask(GET, "--header", "Authorization: Bearer x", "--header", "Cookie: y",
                  peer.url()), GOOD)
        works(ask(GET, peer.url().replace("://", "://user:word@")), GOOD)
        assert "Authorization: Bearer x" in peer.asked[0] and "Basic" in peer.asked[1], peer.asked
        for head in good.asked:
            assert not re.search("(?mi)^(authorization|cookie):", head), head


# ---- requests that are not taken ----

def sending(about, words, *script, says="", size=4 << 20, programs=(POST, UPLOAD), out=b"", **more):
    @case("sending: " + about)
    def _():
        with tempfile.NamedTemporaryFile() as file, Peer(*script, **more) as peer:
            file.truncate(size)
            for program in programs:
                what = ["--data-file", file.name] if program == POST else [file.name]
                result = ask(program, "--timeout", str(TIMEOUT_S), *what, peer.url())
                name = os.path.basename(program)
                assert result.status == 1 and result.err.count(b"\n") == 1, result
                assert result.err.decode().startswith(f"{name}: 127.0.0.1: {words}"), result
                assert says in result.err.decode(), result
                assert result.seconds < WITHIN_S and result.out == out, result


GO = b"HTTP/1.1 100 Continue\r\n\r\n"
sending("nobody reads", "send request: " + LATE, GO, deaf)
sending("nobody reads, nor says to go on", "", deaf)
sending("reset in the middle", "send request: Connection reset by peer", GO, lambda _, c: c.recv(1 << 16), reset)
sending("closed in the middle", "send request: ", GO, lambda _, c: c.recv(1 << 16))
sending("reset before anything", "", reset, first=True, says="Connection reset by peer")
sending("an answer that is none", "receive head: byte 0x77 at offset 0: malformed HTTP version", GO, b"what?", silence)
sending("an early answer that is cut off", "receive body: closed after 4 of 10 bytes",
        b"HTTP/1.1 413 Too Large\r\nContent-Length: 10\r\n\r\nhalf", out=b"half")


@case("sending: an answer may take longer than \"100 Continue\" is waited for")
def _():
    size = 2 << 20

    def think(peer, connection):
        left = size
        while left > 0:
            left -= len(connection.recv(min(left, 1 << 16)))
        peer.over.wait(1.5)

    with tempfile.NamedTemporaryFile() as file, Peer(GO, think, LONG + b"0123456789") as peer:
        file.truncate(size)
        for command in [POST, "--data-file", file.name], [UPLOAD, file.name]:
            works(ask(*command, peer.url()), b"0123456789")


@case("sending: an early answer, and a reset behind it, is an answer")
def _():
    answer = b"HTTP/1.1 413 Too Large\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbig\n"
    with tempfile.NamedTemporaryFile() as file, Peer(answer, silence) as peer:
        file.truncate(4 << 20)
        for command in [POST, "--data-file", file.name], [UPLOAD, file.name]:
            works(ask(*command, peer.url()), b"big\n")
            result = ask(command[0], "--fail", *command[1:], peer.url())
            assert result.status == 1 and b"the answer was 413" in result.err, result


# ---- TLS ----

def context(folder, name):
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.load_cert_chain(os.path.join(folder, name + ".pem"), os.path.join(folder, name + ".key"))
    return made


def cut(_, connection):
    """The connection ends without a word of TLS."""
    connection.shutdown(socket.SHUT_RDWR)


def tls_bad(folder, about, words, *script, **more):
    trusting = ["--ca-file", os.path.join(folder, "root.pem")]

    @case("TLS: " + about)
    def _():
        with Peer(*script, **more) as peer, Peer(tls=context(folder, "good")) as other:
            result = bad_then_good(peer.url().replace("http:", "https:"), other.url("/good"),
                                   "get: 127.0.0.1: " + words, options=trusting, got=None)
            assert "tls" in more or result.out == GOOD, result


CERTIFICATES = [  # and what OpenSSL says, of one version or the other
    ("expired", "certificate has expired"), ("early", "certificate is not yet valid"),
    ("host", "host name mismatch: the certificate is for example.com, not 127.0.0.1"),
    ("nameless", "host name mismatch"), ("self-signed", "self-signed certificate|self signed certificate"),
    ("unknown", "unable to get local issuer certificate|self-signed certificate in certificate chain"),
    ("not-a-ca", "invalid CA certificate|invalid ca certificate"),
    ("purpose", "unsuitable certificate purpose|unsupported certificate purpose")]


def certificate_cases(folder):
    trusting = ["--ca-file", os.path.join(folder, "root.pem")]
    for name, words in CERTIFICATES:
        @case("TLS: a certificate that is wrong: " + name)
        def _(name=name, words=words):
            with Peer(tls=context(folder, name)) as peer, Peer(tls=context(folder, "good")) as other:
                result = bad_then_good(peer.url(), other.url("/good"), "get: 127.0.0.1: TLS: ",
                                       options=trusting)
                assert re.search(words, result.err.decode()), result
                assert not peer.asked, "nothing is said to whom is not trusted"
                result = ask(GET, *trusting, "--insecure", peer.url("/good"))
                works(result, GOOD)


def handshake_cases(folder):
    def bad_handshake(about, words, *script):
        tls_bad(folder, about, words, *script, first=True)

    alert = b"\x15\x03\x03\x00\x02"
    bad_handshake("silence instead of a handshake", "TLS: " + LATE, silence)
    bad_handshake("silence in it", "TLS: " + LATE, hello, b"\x16\x03\x03\x00\x40\x02", silence)
    bad_handshake("a handshake that drips", "TLS: " + LATE, hello,
                  b"\x16\x03\x03\x40\x00\x02\x00\x3f\x00", drip(b"x"))
    closed = "TLS: closed in the middle of the TLS handshake"
    bad_handshake("closed behind the first word", closed, hello)
    bad_handshake("closed in it", closed, hello, b"\x16\x03\x03")
    bad_handshake("reset in it", "TLS: Connection reset by peer", hello, reset_later)
    bad_handshake("HTTP instead", "TLS: peer speaks no TLS", hello, b"HTTP/1.1 400 Bad Request\r\n\r\n")
    bad_handshake("garbage", "TLS: peer speaks no TLS", hello, b"\x99" * 500, silence)
    bad_handshake("endless garbage", "TLS: peer speaks no TLS", hello, endless(b"\x99"))
    bad_handshake("endless empty records", "TLS: ", hello, endless(b"\x16\x03\x03\x00\x00"))
    bad_handshake("endless warnings", "TLS: ", hello, endless(alert + b"\x01\x5a"))
    bad_handshake("a message of 16 MiB", "TLS: ", hello, b"\x16\x03\x03\x40\x00\x0b\xff\xff\xff",
                  endless(b"\x00"))
    bad_handshake("an alert", "TLS: alert from the peer: ", hello, alert + b"\x02\x28")
    bad_handshake("a close_notify", "TLS: the peer ended the connection during the handshake", hello,
                  alert + b"\x01\x00", silence)

    def bad_behind(about, words, *script):
        tls_bad(folder, about, words, *script, tls=context(folder, "good"))

    bad_behind("silence behind it", "receive head: " + LATE, silence)
    bad_behind("closed at once behind it", "receive head: closed before a byte of the response came")
    bad_behind("closed in the body", "receive body: closed after 4 of 10 bytes", LONG + b"half")
    bad_behind("a body until close, and no close_notify",
               "receive body: closed without close_notify: the body may have been cut",
               HEAD + b"\r\nhello", cut)
    bad_behind("garbage in between", "receive body: ", LONG + b"half", raw(b"\x99" * 100), silence)
    bad_behind("plain text in between", "receive head: ", raw(b"HTTP/1.1 200 OK\r\n\r\nhello"), silence)
    bad_behind("a record that was changed", "receive head: decryption failed",
               raw(b"\x17\x03\x03\x00\x20" + b"x" * 32), silence)
    bad_behind("an endless field", "receive head: the head is too long", HEAD + b"X: ", endless(b"x"))

    @case("TLS: a redirect from https to http")
    def _():
        with Peer() as plain, Peer(location(plain.url("/good").encode()),
                                   tls=context(folder, "good")) as peer:
            bad_then_good(peer.url(), peer.url("/good"),
                          "get: 127.0.0.1: receive head: a redirect from https to http",
                          options=["--ca-file", os.path.join(folder, "root.pem")])
            assert not plain.asked


def raw(data):
    """Past TLS, straight into the connection."""
    def send(_, connection):
        os.write(connection.fileno(), data)

    return send


# ---- proxies ----

def proxy_bad(folder, about, words, *script, **more):
    trusting = ["--ca-file", os.path.join(folder, "root.pem")]

    @case("a proxy: " + about)
    def _():
        with Peer(*script, **more) as proxy:
            bad_then_good("https://far.example/", "http://far.example/good", "get: far.example: " + words,
                          options=["--proxy", proxy.url(), *trusting])
            assert proxy.asked[0].startswith("CONNECT far.example:443 HTTP/1.1\r\n"), proxy.asked
            assert "GET http://far.example/good HTTP/1.1\r\n" in proxy.asked[-1], proxy.asked


YES = b"HTTP/1.1 200 Connection established\r\n\r\n"


def proxy_cases(folder):
    trusting = ["--ca-file", os.path.join(folder, "root.pem")]

    def add(about, words, *script):
        proxy_bad(folder, about, words, *script)

    add("407", "proxy: the proxy answered 407 Proxy Authentication Required",
        b'HTTP/1.1 407 -\r\nProxy-Authenticate: Basic realm="x"\r\nContent-Length: 2\r\n\r\nno')
    add("302", "proxy: the proxy answered 302 Found", location(b"https://127.0.0.1/evil"))
    add("502, with an endless body", "proxy: the proxy answered 502 Bad Gateway",
        b"HTTP/1.1 502 -\r\n\r\n", endless(b"x"))
    add("101", "proxy: 101 that no request asked for", b"HTTP/1.1 101 -\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", silence)
    add("it closes", "proxy: the proxy closed before it had answered")
    add("it closes in its head", "proxy: the proxy closed before it had answered", b"HTTP/1.1 200 ")
    add("it resets", "proxy: Connection reset by peer", reset_later)
    add("it is silent", "proxy: " + LATE, silence)
    add("it drips", "proxy: " + LATE, b"HTTP/1.1 200 ", drip(b"x"))
    add("it speaks no HTTP", "proxy: byte 0x77 at offset 0: malformed HTTP version", b"what?\r\n", silence)
    add("an endless head", "proxy: the head is too long", b"HTTP/1.1 200 ", endless(b"x"))
    add("endless interim responses", "proxy: too many interim responses",
        endless(b"HTTP/1.1 102 -\r\n\r\n"))
    add("200, and then garbage", "TLS: peer speaks no TLS", YES, hello, b"what is this?\r\n", silence)
    add("200, and then a page", "TLS: peer speaks no TLS", YES, hello, HEAD + b"\r\nhello")
    add("200, and more before TLS", "proxy: the proxy sent more than its answer to CONNECT",
        YES + b"hello", silence)
    add("200, and then it closes", "TLS: closed in the middle of the TLS handshake", YES, hello)
    add("200, and then it resets", "TLS: Connection reset by peer", YES, hello, reset_later)
    add("200, and then silence", "TLS: " + LATE, YES, silence)

    @case("a proxy: nobody listens there; nobody takes the connection")
    def _():
        for place, words in [(refusing, "proxy {}: Connection refused"), (full, LATE)]:
            with place() as where:
                for url in "http://far.example/", "https://far.example/":
                    fails(ask(GET, "--timeout", str(TIMEOUT_S), "--proxy", "http://" + where, url),
                          "get: far.example: connect: " + words.format(where))

    @case("a proxy: somebody else's certificate behind it")
    def _():
        def tunnel(_, connection):
            with context(folder, "host").wrap_socket(connection, server_side=True):
                pass

        with Peer(YES, tunnel) as proxy:
            bad_then_good("https://far.example/", "http://far.example/good",
                          "get: far.example: TLS: host name mismatch: the certificate is for example.com",
                          options=["--proxy", proxy.url(), *trusting])

    @case("a proxy: its password is neither shown nor sent to whom is behind it")
    def _():
        with Peer(b"HTTP/1.1 407 -\r\nContent-Length: 0\r\n\r\n") as proxy:
            url = proxy.url().replace("://", "://user:geheim@")
            result = ask(GET, "--proxy", url, "--trace", "https://far.example/")
            assert result.status == 1, result
            assert "Proxy-Authorization: Basic dXNlcjpnZWhlaW0=" in proxy.asked[0], proxy.asked
            assert b"geheim" not in result.err and b"dXNlcjpnZWhlaW0=" not in result.err, result

    @case("a proxy: a wrong address for one")
    def _():
        for proxy in "http://a b/", "ftp://127.0.0.1:1/", "http://127.0.0.1:1/path":
            result = ask(GET, "--proxy", proxy, "http://127.0.0.1:1/")
            assert result.status == 1 and result.err.count(b"\n") == 1, result


if shutil.which("openssl"):
    with tempfile.TemporaryDirectory() as world:
        certs.make(world)
        certificate_cases(world)
        handshake_cases(world)
        proxy_cases(world)
        main()
else:
    @case("TLS and proxies")
    def _():
        raise Skip("no openssl (package openssl)")

    main()
