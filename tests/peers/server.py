"""server.py SIMPLE_SERVER - the server program against curl and raw sockets."""
import re
import select
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time

from common import Result, Running, Skip, case, connect, main, receive_all, run  # noqa: F401

PROGRAM = sys.argv[1]
PAGE = b"<html>Congratulations! You've downloaded the first Wireshark lab file!</html>"
HEAD_TIMEOUT_S = 10  # MH_SERVER_HEAD_TIMEOUT_MS


class Server(Running):
    """simple_server on a free port."""

    def __init__(self, *options):
        super().__init__(PROGRAM, "--port", "0", *options)
        try:
            line = self.read_until(b"\n")
            found = re.fullmatch(rb"HTTP Server listening on (\S+):(\d+)\n", line)
            assert found, line
        except BaseException:
            self.__exit__()
            raise
        self.port = int(found.group(2))

    def url(self, path="/"):
        return f"http://127.0.0.1:{self.port}{path}"

    def ask(self, request, *, close=False):
        """Raw bytes there and back, to the end of the connection."""
        with connect(self.port) as connection:
            connection.sendall(request)
            if close:
                connection.shutdown(socket.SHUT_WR)
            return receive_all(connection)


def parts(reply):
    """(status, {name: value}, body)"""
    head, blank, body = reply.partition(b"\r\n\r\n")
    assert blank, reply
    lines = head.decode("latin-1").split("\r\n")
    fields = dict(line.split(": ", 1) for line in lines[1:])
    version, status, *_ = lines[0].split(" ")
    assert version == "HTTP/1.1", lines[0]
    return int(status), fields, body


def is_page(reply):
    status, fields, body = parts(reply)
    assert status == 200 and body == PAGE, reply
    assert fields["Content-Length"] == str(len(PAGE)), fields
    assert fields["Content-Type"] == "text/html; charset=UTF-8", fields
    assert re.fullmatch(r"\w{3}, \d\d \w{3} \d{4} \d\d:\d\d:\d\d GMT", fields["Date"]), fields


GET = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


def curl(*arguments):
    if not shutil.which("curl"):
        raise Skip("no curl")
    result = run("curl", "-sS", "--noproxy", "*", "--max-time", "20", *arguments)
    assert result.status == 0, result
    return result.out


@case("curl: GET")
def _():
    with Server() as server:
        is_page(curl("-i", server.url()))


@case("curl: HEAD has the head of GET and no body")
def _():
    with Server() as server:
        status, fields, body = parts(curl("-I", server.url()))
        assert (status, fields["Content-Length"], body) == (200, str(len(PAGE)), b"")


@case("curl: POST, with a length and in chunks")
def _():
    with Server() as server:
        is_page(curl("-i", "--data-binary", "a=1&b=2", server.url("/form")))
        is_page(curl("-i", "-H", "Transfer-Encoding: chunked", "--data-binary", "a=1", server.url()))
        said = server.read_until(b"<<<<<<<<\n").decode()
        assert r"\r\n\r\na=1&b=2'" in said, said


@case("curl: a body that waits for 100 Continue")
def _():
    with Server() as server:
        reply = curl("-i", "-H", "Expect: 100-continue", "--expect100-timeout", "15", "--data-binary",
                     "x" * 5000, server.url())
        interim, _, final = reply.partition(b"\r\n\r\n")
        assert interim.startswith(b"HTTP/1.1 100"), reply
        is_page(final)


@case("curl: HTTP/1.0")
def _():
    with Server() as server:
        is_page(curl("-i", "--http1.0", server.url()))


@case("curl: fifty at once")
def _():
    with Server() as server:
        replies = []
        threads = [threading.Thread(target=lambda: replies.append(curl("-i", server.url())))
                   for _ in range(50)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(replies) == 50, len(replies)
        for reply in replies:
            is_page(reply)


@case("the transcript of a connection")
def _():
    with Server() as server:
        with connect(server.port) as connection:
            port = connection.getsockname()[1]
            connection.sendall(b"GET /a HTTP/1.1\r\nHost: localhost\r\nX: '\\\t\xff\r\n\r\n")
            is_page(receive_all(connection))
        said = server.read_until(b"<<<<<<<<\n").decode()
        escaped = r"GET /a HTTP/1.1\r\nHost: localhost\r\nX: \'\\\t\xff\r\n\r\n"
        expected = (f"Connection from ('127.0.0.1', {port})\n"
                    f"Connected by ('127.0.0.1', {port})\n"
                    f"Received: b'{escaped}'\n"
                    "Sending>>>>>>>\n"
                    "HTTP/1.1 200 OK\n"
                    "Content-Type: text/html; charset=UTF-8\n"
                    f"{PAGE.decode()}\n"
                    "<<<<<<<<\n")
        assert said == expected, f"\n{said}\ninstead of\n{expected}"


@case("a request that comes byte by byte")
def _():
    with Server() as server, connect(server.port) as connection:
        for byte in GET:
            connection.sendall(bytes([byte]))
        is_page(receive_all(connection))


@case("a request that never ends is given up, and holds up nobody")
def _():
    with Server() as server, connect(server.port) as slow:
        begin = time.monotonic()
        slow.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX: ")
        dripped = 0
        while not select.select([slow], [], [], 0.25)[0]:
            slow.sendall(b"x")
            dripped += 1
            if dripped % 8 == 0:
                asked = time.monotonic()
                is_page(server.ask(GET))
                assert time.monotonic() - asked < 2
            assert time.monotonic() - begin < HEAD_TIMEOUT_S + 3, "it is still waiting"
        assert time.monotonic() - begin > HEAD_TIMEOUT_S - 1, "it gave up early"
        reply = receive_all(slow)
        assert parts(reply)[0] == 408, reply


@case("a connection that says nothing is given up")
def _():
    with Server() as server, connect(server.port) as silent:
        begin = time.monotonic()
        silent.settimeout(HEAD_TIMEOUT_S + 3)
        reply = receive_all(silent)
        assert not reply or parts(reply)[0] == 408, reply
        assert time.monotonic() - begin > HEAD_TIMEOUT_S - 1, "it gave up early"
        is_page(server.ask(GET))


for about, request, expected in [
    ("garbage", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n", 400),
    ("no Host", b"GET / HTTP/1.1\r\n\r\n", 400),
    ("two Hosts", b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400),
    ("white space before a colon", b"GET / HTTP/1.1\r\nHost : a\r\n\r\n", 400),
    ("length and chunks", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n"
     b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
    ("an unknown transfer coding", b"POST / HTTP/1.1\r\nHost: a\r\n"
     b"Transfer-Encoding: gzip, chunked\r\n\r\n", 501),
    ("HTTP/2.0 in the old form", b"GET / HTTP/2.0\r\nHost: a\r\n\r\n", 505),
    ("a target that is too long", b"GET /" + b"x" * 20000 + b" HTTP/1.1\r\nHost: a\r\n\r\n", 414),
    ("a head that is too large", b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 20000 + b"\r\n\r\n", 431),
    ("a body that is too large", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 999999999\r\n\r\n", 413),
    ("CONNECT", b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n", 501),
]:
    def refused(request=request, expected=expected):
        with Server() as server:
            reply = server.ask(request)
            assert parts(reply)[0] == expected, reply
            assert reply.count(b"HTTP/1.1 ") == 1, "one answer was expected"
            is_page(server.ask(GET))

    case(f"{expected} for {about}")(refused)


@case("peers that leave: at once, in the middle, with a reset, without reading")
def _():
    with Server() as server:
        for request, linger in [(b"", False), (b"GET / HT", False), (b"GET /", True), (GET, True)]:
            connection = connect(server.port)
            connection.sendall(request)
            if linger:  # close with a reset
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
            connection.close()
        is_page(server.ask(GET))
        assert server.process.poll() is None


@case("a client that closes its sending side is answered")
def _():
    with Server() as server:
        is_page(server.ask(GET, close=True))


def goodbye(status, said):
    assert status == 0, f"status {status}"
    assert said.endswith(b"Shutting down server...\n"), said
    assert said.count(b"Shutting down") == 1, said


for name, number in [("Control-C", signal.SIGINT), ("SIGTERM", signal.SIGTERM)]:
    def idle(number=number):
        with Server() as server:
            goodbye(*server.stop(number, patience=5))

    def busy(number=number):
        with Server() as server, connect(server.port) as connection:
            connection.sendall(b"GET / HTTP/1.1\r\nHost: local")
            server.read_until(b"Connection from")
            goodbye(*server.stop(number, patience=5))

    case(f"{name} while it is idle")(idle)
    case(f"{name} in the middle of a request")(busy)


@case("Control-C after a thousand requests, and nothing is left open")
def _():
    with Server() as server:
        def descriptors():
            return int(subprocess.run(["sh", "-c", f"ls /proc/{server.process.pid}/fd | wc -l"],
                                      check=True, capture_output=True).stdout)

        def drain():
            server.read_until(b"<<<<<<<<\n")

        is_page(server.ask(GET))
        drain()
        before = descriptors()
        for _ in range(1000):
            is_page(server.ask(GET))
            drain()
        end = time.monotonic() + 5
        while descriptors() > before and time.monotonic() < end:
            select.select([], [], [], 0.05)
        assert descriptors() <= before, f"{before} before, {descriptors()} after"
        goodbye(*server.stop())


@case("an address that is in use: one line, status 1")
def _():
    with Server() as server:
        result = run(PROGRAM, "--port", str(server.port))
        assert result.status == 1 and result.err.count(b"\n") == 1, result
        assert b"Address already in use" in result.err and str(server.port).encode() in result.err, result


@case("--address")
def _():
    with Server("--address", "::1") as server:
        with socket.create_connection(("::1", server.port)) as connection:
            connection.sendall(GET)
            is_page(receive_all(connection))


@case("--help and --version: status 0; a wrong command line: status 2")
def _():
    for options, status in [(["--help"], 0), (["--version"], 0), (["--nonsense"], 2), (["word"], 2),
                            (["--port"], 2), (["--port", "65536"], 2), (["--port", "x"], 2),
                            (["--port", ""], 2), (["--port", "-1"], 2)]:
        result = run(PROGRAM, *options)
        assert result.status == status, f"{options}: {result}"
        assert bool(result.out) == (status == 0) and bool(result.err) == (status == 2), result


main()
