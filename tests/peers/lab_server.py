"""The lab's server (lab_server.c) for the scripts beside this, and raw connections to it."""
import os
import re
import select
import shutil
import socket
import struct
import tempfile
import time

from common import PATIENCE, Running, case, connect, main, skip_all  # noqa: F401

FILE = bytes(i * 7 % 256 for i in range(5000))
SVG = '<svg xmlns="http://www.w3.org/2000/svg" width="20" height="20"><rect width="20" height="20" ' \
    'fill="#%06x"/></svg>'


def pattern(size):
    """What the streams of lab_routes.c have."""
    return (bytes(range(251)) * (size // 251 + 1))[:size]


def make_files(folder):
    with open(os.path.join(folder, "file.bin"), "wb") as file:
        file.write(FILE)
    for i in range(200):
        with open(os.path.join(folder, f"{i}.svg"), "w") as file:
            file.write(SVG % (i * 50000))
    os.utime(os.path.join(folder, "file.bin"), (1_600_000_000, 1_600_000_000))


class LabServer(Running):
    """with LabServer(program, stream=1, head_timeout_ms=300) as server: ... It has its files, and stays
    until it is stopped."""

    def __init__(self, program, root=None, **options):
        self.folder = root or tempfile.mkdtemp(prefix="lab-")
        if not root:
            make_files(self.folder)
        self.made = not root
        words = [word for name, value in options.items()
                 for word in ("--" + name.replace("_", "-"), str(value))]
        super().__init__(program, "--root", self.folder, *words)
        try:
            line = self.read_until(b"\n")
        except BaseException:
            self.__exit__()
            raise
        found = re.search(rb"port (\d+)", line)
        self.port = int(found.group(1)) if found else 0
        self.pid = self.process.pid

    def __exit__(self, *_):
        super().__exit__()
        if self.made:
            shutil.rmtree(self.folder, ignore_errors=True)

    def url(self, path="/"):
        return f"http://127.0.0.1:{self.port}{path}"

    def connect(self, **buffers):
        return Wire(self.port, **buffers)

    def rss(self):
        """Bytes of memory that are its own."""
        with open(f"/proc/{self.pid}/status") as file:
            return int(re.search(r"RssAnon:\s*(\d+) kB", file.read()).group(1)) << 10

    def descriptors(self):
        return len(os.listdir(f"/proc/{self.pid}/fd"))

    def ask(self, path="/"):
        """A well-behaved client of its own: (status, body), and how long it took."""
        begin = time.monotonic()
        with self.connect() as wire:
            wire.send(f"GET {path} HTTP/1.1\r\nHost: lab\r\nConnection: close\r\n\r\n".encode())
            reply = wire.reply()
        return reply.status, reply.body, time.monotonic() - begin

    def is_well(self, within=2):
        """The well-behaved are answered, whatever others do meanwhile."""
        status, body, seconds = self.ask()
        assert (status, body) == (200, b"hello\n"), (status, body)
        assert seconds < within, f"a well-behaved client has waited for {seconds:.2f} s"

    def words(self, port, patience=PATIENCE):
        """What on_error said about the connection from that port; waits until it has."""
        line = wait_for(lambda: re.search(rf"^closed: 127\.0\.0\.1:{port}: (.*)$", self.stderr(), re.M),
                        patience, lambda: f"no word about the connection: {self.stderr()!r}")
        return line.group(1)


def wait_for(what, patience=PATIENCE, about="it did not happen"):
    """What becomes true within its time. There is no event to wait for where this is used."""
    end = time.monotonic() + patience
    while not (value := what()):
        assert time.monotonic() < end, about() if callable(about) else about
        select.select([], [], [], 0.01)
    return value


class Reply:
    def __init__(self, line, fields):
        self.line, self.fields = line, fields
        self.version, self.status = line.split(" ")[0], int(line.split(" ")[1])
        self.body, self.trailers, self.framing = b"", [], ""

    def all(self, name):
        return [value for key, value in self.fields if key.lower() == name.lower()]

    def get(self, name):
        values = self.all(name)
        assert len(values) < 2, self.fields
        return values[0] if values else None

    def closes(self):
        return any("close" in value.lower() for value in self.all("Connection"))

    def __repr__(self):
        return f"<{self.line} {self.fields} {self.body[:60]!r}>"


class Cut(Exception):
    """The connection ended within a reply, or in place of it."""


class Wire:
    """A connection, and what stands on it, read strictly."""

    def __init__(self, port, receive=0, host="127.0.0.1", family=socket.AF_INET):
        self.socket = socket.socket(family)
        self.socket.settimeout(PATIENCE)
        if receive:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive)
        self.socket.connect((host, port))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.port = self.socket.getsockname()[1]
        self.pending = b""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()

    def send(self, data):
        self.socket.sendall(data)

    def finish(self):
        self.socket.shutdown(socket.SHUT_WR)

    def reset(self):
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    def patience(self, seconds):
        self.socket.settimeout(seconds)

    def more(self):
        try:
            data = self.socket.recv(1 << 18)
        except ConnectionResetError:
            raise Cut(f"reset behind {self.pending[:200]!r}") from None
        self.pending += data
        return bool(data)

    def until(self, text):
        while text not in self.pending:
            if not self.more():
                raise Cut(f"end behind {self.pending[:200]!r}")
        found, _, self.pending = self.pending.partition(text)
        return found

    def exactly(self, size):
        parts, left = [], size - len(self.pending)
        while left > 0:
            data = self.socket.recv(min(left, 1 << 20))
            if not data:
                raise Cut(f"end {left} bytes early")
            parts.append(data)
            left -= len(data)
        data = self.pending + b"".join(parts)
        self.pending = data[size:]
        return data[:size]

    def reply(self, method="GET"):
        """The next one, of any status. Raises Cut when there is none."""
        lines = self.until(b"\r\n\r\n").decode("latin-1").split("\r\n")
        fields = []
        for line in lines[1:]:
            assert re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+: [^\r\n\0]*", line), lines
            fields.append(tuple(line.split(": ", 1)))
        assert re.fullmatch(r"HTTP/1\.1 \d\d\d [^\r\n]+", lines[0]), lines[0]
        reply = Reply(lines[0], fields)
        self.read_body(reply, method)
        return reply

    def read_body(self, reply, method):
        length, coding = reply.get("Content-Length"), reply.get("Transfer-Encoding")
        assert not (length and coding), reply
        if reply.status < 200 or reply.status == 204:
            assert length is None and coding is None, reply
        elif method == "HEAD" or reply.status == 304:
            pass
        elif coding:
            assert coding == "chunked", reply
            self.read_chunks(reply)
        elif length is not None:
            reply.framing, reply.body = "length", self.exactly(int(length))
        else:
            reply.framing, reply.body = "close", self.rest()

    def read_chunks(self, reply):
        reply.framing = "chunked"
        parts = []
        while size := int(self.until(b"\r\n"), 16):
            parts.append(self.exactly(size))
            assert self.exactly(2) == b"\r\n", reply
        reply.body = b"".join(parts)
        while line := self.until(b"\r\n").decode():
            reply.trailers.append(tuple(line.split(": ", 1)))

    def rest(self):
        """Everything up to the end."""
        while self.more():
            pass
        data, self.pending = self.pending, b""
        return data

    def ended(self):
        """Nothing follows but the end. Returns how: "end" or "reset"."""
        try:
            rest = self.rest()
        except Cut:
            assert not self.pending, self.pending
            return "reset"
        assert rest == b"", rest
        return "end"
