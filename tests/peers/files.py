"""files.py FOLDER - the example files, asked by curl and by hand.

Every option at least once, and what a file server is asked by those who mean no good.
"""
import gzip
import hashlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

from common import Running, case, connect, main, receive_all, run, skip_all

PROGRAM = os.path.join(sys.argv[1], "files")
CURL = shutil.which("curl")
MEBIBYTE = 1 << 20

if not CURL:
    skip_all("no curl")


class Server(Running):
    """The program in front of a folder that is gone afterwards."""

    def __init__(self, *options):
        self.home = tempfile.mkdtemp(prefix="files-")
        self.root = os.path.join(self.home, "root")
        os.mkdir(self.root)
        self.write("../secret.txt", b"secret")
        super().__init__(PROGRAM, "--port", "0", *options, self.root)
        self.port = int(re.search(rb":(\d+)/\n", self.read_until(b"\n")).group(1))

    def __exit__(self, *arguments):
        super().__exit__(*arguments)
        shutil.rmtree(self.home)

    def path(self, name):
        return os.path.join(self.root, name)

    def write(self, name, data):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "wb") as file:
            file.write(data)

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"

    def curl(self, path, *options):
        """(status, fields, body)"""
        done = run(CURL, "-sS", "-i", "--noproxy", "*", "--path-as-is", *options, self.url(path))
        assert done.status == 0 and not done.err, done
        return split(done.out)

    def raw(self, target):
        """The target as it is, which no client would send."""
        with connect(self.port) as connection:
            connection.sendall(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return split(receive_all(connection))


def split(response):
    head, _, body = response.partition(b"\r\n\r\n")
    first, *lines = head.decode("latin-1").split("\r\n")
    return int(first.split()[1]), dict(line.lower().split(": ", 1) for line in lines), body


def expect(response, status, body=None, **fields):
    assert response[0] == status, response
    assert body is None or response[2] == body, response
    for name, value in fields.items():
        assert response[1].get(name.replace("_", "-")) == value, (name, response)
    return response


@case("files, small and large")
def _():
    with Server("--max-age", "60") as server:
        for size in 0, 1, 16384, 16385, 100_000, 10 * MEBIBYTE:
            data = os.urandom(size)
            server.write("data.bin", data)
            response = expect(server.curl("/data.bin"), 200, content_length=str(size),
                              cache_control="max-age=60", accept_ranges="bytes")
            assert hashlib.sha256(response[2]).digest() == hashlib.sha256(data).digest(), size
            expect(server.curl("/data.bin", "--head"), 200, b"", content_length=str(size))


@case("a file that is larger than 4 GiB")
def _():
    with Server() as server:
        size = (5 << 30) + 7
        with open(server.path("sparse.bin"), "wb") as file:
            file.truncate(size)
            file.seek(size - 5)
            file.write(b"<end>")
        expect(server.curl("/sparse.bin", "--head"), 200, content_length=str(size))
        expect(server.curl("/sparse.bin", "-r", "-5"), 206, b"<end>",
               content_range=f"bytes {size - 5}-{size - 1}/{size}")
        expect(server.curl("/sparse.bin", "-r", f"{size}-"), 416, content_range=f"bytes */{size}")


@case("a download goes on where it was cut off")
def _():
    with Server() as server:
        data = os.urandom(3 * MEBIBYTE)
        server.write("data.bin", data)
        out = os.path.join(server.home, "out")
        with open(out, "wb") as file:
            file.write(data[:MEBIBYTE + 1])
        done = run(CURL, "-sS", "--noproxy", "*", "-C", "-", "-o", out, server.url("/data.bin"))
        assert done.status == 0, done
        with open(out, "rb") as file:
            assert file.read() == data


@case("several ranges")
def _():
    with Server() as server:
        data = os.urandom(100_000)
        server.write("data.bin", data)
        _, fields, body = expect(server.curl("/data.bin", "-r", "0-99,50000-50009,-3"), 206)
        boundary = fields["content-type"].removeprefix("multipart/byteranges; boundary=").encode()
        parts = body.split(b"\r\n--" + boundary)
        assert parts[0] == b"" and parts[-1] == b"--\r\n" and len(parts) == 5, parts
        found = [part.partition(b"\r\n\r\n")[2] for part in parts[1:-1]]
        assert found == [data[:100], data[50000:50010], data[-3:]], found
        # Whatever is asked for, never more than there is.
        everything = ",".join(["0-"] * 30)
        expect(server.curl("/data.bin", "-H", "Range: bytes=" + everything), 206, data)
        expect(server.curl("/data.bin", "-H", "Range: bytes=" + ",".join(["0-"] * 2000)), 200, data)


@case("conditions")
def _():
    with Server() as server:
        server.write("a.txt", b"hello")
        os.utime(server.path("a.txt"), (784111777, 784111777))
        _, fields, _ = expect(server.curl("/a.txt"), 200, b"hello")
        date, etag = "Sun, 06 Nov 1994 08:49:37 GMT", fields["etag"]
        assert fields["last-modified"] == date.lower(), fields
        expect(server.curl("/a.txt", "-H", f"If-None-Match: {etag}"), 304, b"", etag=etag)
        expect(server.curl("/a.txt", "-z", date), 304, b"")
        expect(server.curl("/a.txt", "-H", 'If-Match: "x"'), 412)
        expect(server.curl("/a.txt", "-r", "0-1", "-H", f"If-Range: {etag}"), 206, b"he")
        expect(server.curl("/a.txt", "-r", "0-1", "-H", 'If-Range: "x"'), 200, b"hello")
        expect(server.curl("/a.txt", "-r", "0-1", "-H", f"If-Range: {date}"), 206, b"he")


@case("curl's own tags: --etag-save and --etag-compare")
def _():
    with Server() as server:
        server.write("a.txt", b"hello")
        tags = os.path.join(server.home, "tags")
        expect(server.curl("/a.txt", "--etag-save", tags), 200, b"hello")
        expect(server.curl("/a.txt", "--etag-compare", tags), 304, b"")
        server.write("a.txt", b"HELLO")
        expect(server.curl("/a.txt", "--etag-compare", tags), 200, b"HELLO")


@case("a change is seen at once, however it is made")
def _():
    with Server() as server:
        for size in 10, 50_000:
            server.write("a", b"0" * size)
            time.sleep(2.2)  # until it counts as settled, and is kept
            for i in range(1, 6):
                expect(server.curl("/a"), 200, str(i - 1).encode() * size)
                if i % 2:
                    server.write("a", str(i).encode() * size)
                else:
                    server.write("next", str(i).encode() * size)
                    os.rename(server.path("next"), server.path("a"))
            expect(server.curl("/a"), 200, b"5" * size)
            os.unlink(server.path("a"))
            expect(server.curl("/a"), 404)


@case("a link to another version of everything")
def _():
    with Server() as server:
        for version in "old", "new":
            server.write(f"../{version}/a.txt", version.encode())
        os.rmdir(server.root)
        os.symlink("old", server.root)
        expect(server.curl("/a.txt"), 200, b"old")
        os.symlink("new", os.path.join(server.home, "link"))
        os.rename(os.path.join(server.home, "link"), server.root)
        expect(server.curl("/a.txt"), 200, b"new")


OUTSIDE = [b"/../secret.txt", b"/%2e%2e/secret.txt", b"/..%2fsecret.txt", b"/%2e%2e%2fsecret.txt",
           b"/sub/../../secret.txt", b"/sub/%2e%2e/%2e%2e/secret.txt", b"/..\\secret.txt",
           b"/..%5csecret.txt", b"/....//secret.txt", b"/.%2e/secret.txt", b"/%252e%252e/secret.txt",
           b"/..%c0%afsecret.txt", b"/..%u2215secret.txt", b"/..;/secret.txt", b"//secret.txt",
           b"/a.txt%00.html", b"/a.txt%00", b"http://a/../secret.txt", b"/link", b"/up/secret.txt",
           b"/absolute", b"/.git/config", b"/%2egit/config", b"/sub/.htaccess", b"/fifo",
           b"/sub%2fb.txt", b"/a.txt/", b"/a.txt/b", b"/" + b"a/" * 3000, b"/" + b"a" * 5000,
           b"/proc/self/environ", b"/etc/passwd", b"///etc/passwd", b"//a/..//../etc/passwd"]


@case("nothing else is ever opened")
def _():
    with Server("--listing") as server:
        for name in "a.txt", "sub/b.txt", ".git/config", "sub/.htaccess":
            server.write(name, b"fine")
        os.symlink("../secret.txt", server.path("link"))
        os.symlink("..", server.path("up"))
        os.symlink("/etc/passwd", server.path("absolute"))
        os.mkfifo(server.path("fifo"))
        for target in OUTSIDE:
            status, _, body = server.raw(target)
            assert status in (400, 404), (target, status, body)
            assert b"secret" not in body and b"root:" not in body and b"fine" not in body, (target, body)
        expect(server.raw(b"/a.txt"), 200, b"fine")
        expect(server.raw(b"http://a/sub/b.txt?x"), 200, b"fine")


@case("a redirect leads nowhere else")
def _():
    with Server() as server:
        server.write("evil.example/index.html", b"fine")
        for target in b"/evil.example", b"//evil.example", b"///evil.example", b"/%2e/evil.example":
            _, fields, _ = expect(server.raw(target), 301)
            assert fields["location"] == "./evil.example/", fields
        done = run(CURL, "-sS", "-L", "--noproxy", "*", server.url("//evil.example?a=b"))
        assert done.out == b"fine", done


@case("other methods")
def _():
    with Server() as server:
        server.write("a.txt", b"hello")
        for method in "POST", "PUT", "DELETE":
            expect(server.curl("/a.txt", "-X", method), 405, allow="get, head, options")
        expect(server.curl("/a.txt", "-X", "OPTIONS"), 204, allow="get, head, options")
        expect(server.curl("/a.txt"), 200, b"hello")


@case("--listing")
def _():
    with Server("--listing") as server:
        for name in "b.txt", "10.txt", "9.txt", "gr\u00fc\u00dfe & <b>.txt", "dir/c.txt":
            server.write(name, b"hello")
        _, fields, body = expect(server.curl("/"), 200)
        assert "default-src 'none'" in fields["content-security-policy"], fields
        links = re.findall(r'<li><a href="([^"]*)"', body.decode())
        assert links == ["dir/", "9.txt", "10.txt", "b.txt",
                         "gr%C3%BC%C3%9Fe%20%26%20%3Cb%3E.txt"], links
        for link in links[1:]:
            expect(server.curl("/" + link), 200, b"hello")
        assert b"gr\xc3\xbc\xc3\x9fe &amp; &lt;b&gt;.txt" in body, body
        expect(server.curl("/dir/../dir/c.txt"), 200, b"hello")
    with Server() as server:
        expect(server.curl("/"), 404)


@case("--precompressed")
def _():
    with Server("--precompressed") as server:
        text = b"hello " * 1000
        server.write("a.txt", text)
        server.write("a.txt.gz", gzip.compress(text))
        _, fields, body = expect(server.curl("/a.txt", "-H", "Accept-Encoding: gzip"), 200,
                                 content_encoding="gzip", vary="accept-encoding",
                                 content_type="text/plain; charset=utf-8")
        assert gzip.decompress(body) == text
        plain = expect(server.curl("/a.txt"), 200, text, vary="accept-encoding")
        assert plain[1]["etag"] != fields["etag"]
        expect(server.curl("/a.txt", "-H", "Accept-Encoding: gzip;q=0"), 200, text)
        done = run(CURL, "-sS", "--compressed", "--noproxy", "*", server.url("/a.txt"))
        assert done.out == text, done


@case("a client that goes away in the middle, again and again")
def _():
    with Server() as server:
        server.write("data.bin", os.urandom(20 * MEBIBYTE))
        descriptors = f"/proc/{server.process.pid}/fd"
        expect(server.curl("/data.bin", "-r", "0-0"), 206)
        before = len(os.listdir(descriptors))
        for i in range(50):
            with connect(server.port) as connection:
                ranges = b"Range: bytes=0-9999999,15000000-\r\n" if i % 2 else b""
                connection.sendall(b"GET /data.bin HTTP/1.1\r\nHost: a\r\n" + ranges + b"\r\n")
                connection.recv(1000)
                if i % 3:
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        end = time.monotonic() + 20
        while len(os.listdir(descriptors)) > before + 2 and time.monotonic() < end:
            time.sleep(0.1)
        assert len(os.listdir(descriptors)) <= before + 2, os.listdir(descriptors)


@case("a file that becomes shorter while it is sent ends the connection")
def _():
    with Server() as server:
        size = 50 * MEBIBYTE
        server.write("data.bin", b"x" * size)
        with connect(server.port) as connection:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            connection.sendall(b"GET /data.bin HTTP/1.1\r\nHost: a\r\n\r\n")
            received = len(connection.recv(1000))
            os.truncate(server.path("data.bin"), 1000)
            try:
                while more := connection.recv(MEBIBYTE):
                    received += len(more)
            except ConnectionResetError:
                pass
            assert received < size, received
        expect(server.curl("/data.bin"), 200, b"x" * 1000)


@case("the command line")
def _():
    help_text = run(PROGRAM, "--help")
    assert help_text.status == 0 and b"--precompressed" in help_text.out, help_text
    for wrong in ["--max-age", "x"], ["--max-age", "-1"], ["--port", "70000"], ["a", "b"], ["--what"]:
        result = run(PROGRAM, *wrong)
        assert result.status == 2 and b"files: " in result.err, result
    with Server() as server:
        expect(server.curl("/none"), 404)  # it runs
        assert server.stop(signal.SIGTERM)[0] == 0


main()
