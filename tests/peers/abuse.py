"""abuse.py LAB_SERVER - clients that mean no good, or are just slow, and a server that stays well.

Each case says what becomes of the bad one, in what time, what on_error has to say about it, and that
a well-behaved client is answered meanwhile; and that nothing is left behind.
"""
import contextlib
import os
import re
import resource
import select
import socket
import sys
import time

from common import Skip
from lab_server import Cut, LabServer, case, main, pattern, wait_for

PROGRAM = sys.argv[1]
SHORT_MS = 500
SHORT = {"head_timeout_ms": SHORT_MS, "body_timeout_ms": SHORT_MS, "send_timeout_ms": SHORT_MS,
         "idle_timeout_ms": SHORT_MS}
WITHIN_S = 4  # of SHORT_MS, on a slow machine
LINGER_S = 2  # MH_SERVER_LINGER_MS
TRICKLE_S = 0.05
MANY = 10000

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
HEAD = b"POST %s HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n"


def is_sanitized():
    with open(PROGRAM, "rb") as file:
        return b"__asan_init" in file.read()


# A sanitizer keeps what was freed for a while, and surrounds what was not.
MEMORY = 100 if is_sanitized() else 1


def allow_descriptors():
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


@contextlib.contextmanager
def started(kept=0, **options):
    """A server that is well in the end, with what it had open in the beginning, and stops. kept: so many
    files may stay open."""
    with LabServer(PROGRAM, **{"threads": 2, "large": 20000000, **options}) as server:
        server.is_well()
        before = server.descriptors()
        yield server
        wait_for(lambda: server.descriptors() <= before + kept,
                 about=lambda: f"{server.descriptors()} descriptors, {before} before")
        server.is_well()
        status, said = server.stop()
        assert status == 0 and said == b"stopped\n", (status, said, server.stderr())


def both_ways(**options):
    for stream in 0, 1:
        with started(stream=stream, **options) as server:
            yield server


def get(path):
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n\r\n".encode()


def trickle(wire, byte, server, patience=WITHIN_S):
    """A byte now and then, until the server has something to say or closes. Returns the seconds."""
    begin, count = time.monotonic(), 0
    while not select.select([wire.socket], [], [], TRICKLE_S)[0]:
        assert time.monotonic() - begin < patience, "it is still waiting"
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):
            wire.send(byte)
        count += 1
        if count % 5 == 0:
            server.is_well()
    return time.monotonic() - begin


def gives_up(server, wire, seconds, words):
    """408, the end, and a word about it."""
    assert SHORT_MS / 1000 * 0.8 < seconds < WITHIN_S, seconds
    reply = wire.reply()
    assert reply.status == 408 and reply.closes(), reply
    assert wire.ended() == "end"
    assert words in server.words(wire.port), server.stderr()


# ---- slow to ask ----

@case("a head that drips: 408")
def _():
    for server in both_ways(**SHORT):
        with server.connect() as wire:
            wire.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: ")
            gives_up(server, wire, trickle(wire, b"x", server), "too long to arrive")


@case("a request-line that stops: 408")
def _():
    for server in both_ways(**SHORT):
        with server.connect() as wire:
            wire.send(b"GE")
            begin = time.monotonic()
            select.select([wire.socket], [], [], WITHIN_S)
            gives_up(server, wire, time.monotonic() - begin, "too long to arrive")


@case("a body that does not come: 408")
def _():
    for server in both_ways(**SHORT):
        for path in b"/echo", b"/upload":
            with server.connect() as wire:
                wire.send(HEAD % (path, 100) + b"x")
                begin = time.monotonic()
                select.select([wire.socket], [], [], WITHIN_S)
                gives_up(server, wire, time.monotonic() - begin, "too long to arrive")


@case("a body in chunks that stops: 408")
def _():
    for server in both_ways(**SHORT):
        with server.connect() as wire:
            wire.send(b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe")
            begin = time.monotonic()
            select.select([wire.socket], [], [], WITHIN_S)
            gives_up(server, wire, time.monotonic() - begin, "too long to arrive")


@case("a body that drips, always in time, but too little: 408")
def _():
    for server in both_ways(**SHORT):
        with server.connect() as wire:
            wire.send(HEAD % (b"/echo", 100000))
            gives_up(server, wire, trickle(wire, b"x", server), "too long to arrive")


@case("a body that is slow, but not too slow: all of it")
def _():
    for server in both_ways(**SHORT):
        with server.connect() as wire:
            wire.send(HEAD % (b"/echo", 30000))
            for _ in range(30):
                wire.send(b"x" * 1000)
                select.select([], [], [], 0.05)
            assert wire.reply().body == b"x" * 30000


@case("nothing is asked: closed without a word")
def _():
    for server in both_ways(**SHORT):
        with server.connect() as silent, server.connect() as again:
            again.send(GET)
            assert again.reply().status == 200
            begin = time.monotonic()
            assert silent.ended() == again.ended() == "end"
            assert time.monotonic() - begin < WITHIN_S
            assert server.stderr() == "", server.stderr()


# ---- slow to take ----

def takes_nothing(server, path):
    with server.connect(receive=4096) as wire:
        wire.send(get(path))
        begin = time.monotonic()
        words = server.words(wire.port)
        assert SHORT_MS / 1000 * 0.8 < time.monotonic() - begin < WITHIN_S
        assert "takes nothing" in words, words
        with contextlib.suppress(Cut, ConnectionResetError):
            reply = wire.reply()
            raise AssertionError(f"{reply} looks complete")


@case("a reader who takes nothing is closed")
def _():
    for server in both_ways(**SHORT):
        for path in "/large", "/chunked?bytes=20000000", "/length?bytes=20000000":
            takes_nothing(server, path)


@case("a reader of a file who takes nothing is closed")
def _():
    with started(kept=1, **SHORT) as server:
        with open(os.path.join(server.folder, "large.bin"), "wb") as file:
            file.truncate(50000000)
        takes_nothing(server, "/large.bin")
        os.unlink(os.path.join(server.folder, "large.bin"))


@case("a reader who takes next to nothing is closed")
def _():
    with started(**SHORT, rate_min=100000) as server, server.connect(receive=4096) as wire:
        wire.send(get("/large"))
        begin, words = time.monotonic(), ""
        while not words and time.monotonic() - begin < 3 * WITHIN_S:
            select.select([], [], [], TRICKLE_S)
            with contextlib.suppress(ConnectionResetError):
                wire.socket.recv(1000)
            words = server.stderr()
        assert "takes" in words, words


@case("a reader who is slow, but not too slow, gets all of it")
def _():
    with started(**SHORT) as server, server.connect(receive=4096) as wire:
        wire.send(get("/chunked?bytes=1500000"))
        size = 0
        while size < 1500000:
            select.select([], [], [], 0.02)
            data = wire.socket.recv(40000)
            assert data, size
            size += len(data)


@case("a reader who is slow for longer than may be silent is not closed")
def _():
    """The kernel has taken megabytes for it at once, and then nothing for a long time."""
    with started(send_timeout_ms=1500) as server, server.connect(receive=4096) as wire:
        wire.send(get("/large"))
        begin, size = time.monotonic(), 0
        while time.monotonic() - begin < 4:
            select.select([], [], [], TRICKLE_S)
            size += len(wire.socket.recv(20000))
            assert server.stderr() == "", f"{size} bytes were taken, then: {server.stderr()}"


@case("requests without end whose replies are not taken: the memory has a limit")
def _():
    for server in both_ways(**SHORT):
        before = server.rss()
        with server.connect(receive=4096) as wire:
            wire.socket.settimeout(0.2)
            sent, most, requests = 0, 0, get("/chunked?bytes=100000") * 1000
            with contextlib.suppress(TimeoutError, BrokenPipeError, ConnectionResetError):
                while sent < 100 << 20:
                    sent += wire.socket.send(requests)
                    most = max(most, server.rss())
            assert sent < 100 << 20, "it goes on receiving"
            most = max(most, server.rss())
            assert most - before < MEMORY << 20, f"{most - before} bytes"
            server.is_well()
            assert "takes nothing" in server.words(wire.port)


# ---- too many ----

@case("who has been idle longest makes room")
def _():
    with started(threads=1, connections_max=20) as server, contextlib.ExitStack() as stack:
        wires = [stack.enter_context(server.connect()) for _ in range(20)]
        for wire in reversed(wires):  # the last one is idle longest then
            wire.send(GET)
            assert wire.reply().status == 200
        with server.connect() as another:
            another.send(GET)
            assert another.reply().status == 200
            assert wires[-1].ended() == "end"
            assert "made room" in server.words(wires[-1].port)
            for wire in wires[:-1]:
                wire.send(GET)
                assert wire.reply().status == 200, "somebody else was closed"


@case("who is slow to ask makes room, and who is being answered does not")
def _():
    with started(threads=1, connections_max=10) as server, contextlib.ExitStack() as stack:
        busy = [stack.enter_context(server.connect()) for _ in range(5)]
        for wire in busy:
            wire.send(get("/later?ms=1500"))
        slow = [stack.enter_context(server.connect()) for _ in range(50)]
        for wire in slow:
            wire.send(b"GET / HT")
        for _ in range(5):
            server.is_well()
        for wire in busy:
            assert wire.reply().body == b"later\n"


@case("where all are being answered, the next one waits until one of them is done")
def _():
    with started(threads=1, connections_max=10) as server, contextlib.ExitStack() as stack:
        busy = [stack.enter_context(server.connect()) for _ in range(10)]
        for wire in busy:
            wire.send(get("/later?ms=700"))
        status, body, _ = server.ask()
        assert (status, body) == (200, b"hello\n")
        for wire in busy:
            with contextlib.suppress(Cut):  # it may have made room, once it was idle
                assert wire.reply().body == b"later\n"


@case("no descriptors are left: a word, no spinning, and all is well when some are")
def _():
    with started(threads=1) as server, contextlib.ExitStack() as stack:
        _, hard = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (server.descriptors() + 20, hard))
        wires = [stack.enter_context(server.connect()) for _ in range(15)]
        for wire in wires:
            wire.send(get("/later?ms=1000"))
        waiting = [stack.enter_context(server.connect()) for _ in range(15)]
        for wire in waiting:
            wire.send(GET)
        wait_for(lambda: re.search(r"closed: -: .*\(EMFILE\)", server.stderr()), about=server.stderr)
        before = cpu_seconds(server)
        for wire in wires:
            assert wire.reply().body == b"later\n"
        assert cpu_seconds(server) - before < 0.5, "it was busy with waiting"
        stack.close()
        server.is_well(within=5)


def cpu_seconds(server):
    with open(f"/proc/{server.pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@case("ten thousand who are idle, a thousand who are slow, and one who is well-behaved")
def _():
    if allow_descriptors() < MANY + 2000:
        raise Skip(f"no more than {allow_descriptors()} descriptors are allowed here")
    with started(connections_max=3 * MANY, head_timeout_ms=60000) as server, contextlib.ExitStack() as stack:
        before = server.rss()
        idle = []
        for i in range(MANY):
            wire = stack.enter_context(server.connect())
            wire.send(GET)
            idle.append(wire)
            if i % 100 == 99:
                for each in idle[-100:]:
                    assert each.reply().status == 200
        wait_for(lambda: server.descriptors() > MANY)
        each_takes = (server.rss() - before) / MANY
        assert each_takes < 2048 * MEMORY, f"{each_takes} bytes for each"
        slow = [stack.enter_context(server.connect()) for _ in range(1000)]
        for _ in range(20):
            for wire in slow:
                wire.send(b"G" if _ == 0 else b"E")
            server.is_well(within=1)
        for wire in idle[::500]:
            wire.send(GET)
            assert wire.reply().status == 200
        most = server.rss()
        stack.close()
        wait_for(lambda: server.descriptors() < 100)
        assert most - before < MEMORY * (MANY + 1000) * 4096, f"{most - before} bytes"


@case("five hundred heads that are as long as they may be, and never end: the memory has a limit")
def _():
    with started() as server, contextlib.ExitStack() as stack:
        before = server.rss()
        for _ in range(500):
            stack.enter_context(server.connect()).send(
                b"GET / HTTP/1.1\r\nHost: a\r\nX: " + b"x" * 16000)
        server.is_well()
        taken = (server.rss() - before) / 500
        assert taken < MEMORY * 50000, f"{taken} bytes for each"


# ---- those who leave ----

CHUNKED = b"POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"

for about, request, waits in [
    ("at once", b"", False),
    ("in the request-line", b"GET / HT", False),
    ("in the head", b"GET / HTTP/1.1\r\nHost: a\r\nX", False),
    ("in the body", HEAD % (b"/echo", 1000) + b"x" * 500, False),
    ("in a chunk", CHUNKED + b"5\r\nhe", False),
    ("in a size", CHUNKED + b"5", False),
    ("in an upload that pauses", HEAD % (b"/upload?pause=20", 1000) + b"x" * 500, False),
    ("in a body that nobody wants", HEAD % (b"/none", 1000) + b"x" * 500, False),
    ("with the request", GET, False),
    ("in the first of many", GET * 500, False),
    ("in a large reply", get("/large"), True),
    ("in a reply in chunks", get("/chunked?bytes=20000000"), True),
    ("in a file", get("/file.bin") * 200, True),
    ("in a reply that is slow", get("/slow-producer?pieces=1000&ms=5"), True),
    ("before a reply that comes later", get("/later?ms=30"), False),
    ("between later replies", get("/later?ms=10") * 20, True),
    ("behind a reply", GET, True),
    ("behind a refusal", b"nonsense\r\n\r\n" + b"x" * 1000, True),
]:
    def leaves(request=request, waits=waits):
        for server in both_ways(kept=2):
            for by_reset in (True, False) * 8:
                with server.connect(receive=16384) as wire:
                    wire.send(request)
                    if waits:
                        assert wire.socket.recv(100), "it was not answered"
                    if by_reset:
                        wire.reset()
            server.is_well()

    case(f"clients that leave {about}, politely or not")(leaves)


@case("a reset in the middle of a request is a word of on_error, and one between requests is none")
def _():
    with started() as server:
        with server.connect() as wire:
            wire.send(HEAD % (b"/echo", 10) + b"x")
            server.is_well()
            wire.reset()
        assert "reset" in server.words(wire.port).lower(), server.stderr()
        with server.connect() as wire:
            wire.send(GET)
            assert wire.reply().status == 200
            wire.finish()
            assert wire.ended() == "end"
        assert server.stderr().count("closed:") == 1, server.stderr()


@case("connections that are half open do not last")
def _():
    """As of peers that went away without a word: the kernel of the server knows nothing of it."""
    for server in both_ways(**SHORT):
        with contextlib.ExitStack() as stack:
            wires = [stack.enter_context(server.connect()) for _ in range(100)]
            for i, wire in enumerate(wires):
                wire.send((b"", b"GET / HT", HEAD % (b"/echo", 9) + b"x", GET)[i % 4])
            server.is_well()
            wait_for(lambda: server.descriptors() < 50, patience=WITHIN_S + LINGER_S)


# ---- nonsense ----

@case("nonsense behind a request: that is answered, then 400, then the end, and both can be read")
def _():
    for server in both_ways():
        with server.connect() as wire:
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                wire.send(GET + b"\x00\xff nonsense\r\n" * 20000)
            assert wire.reply().status == 200
            assert wire.reply().status == 400
            wire.ended()
            assert server.words(wire.port)


def push(wire, data, end):
    """Sends data again and again. Returns how many bytes went before the server had closed."""
    sent = 0
    wire.socket.settimeout(0.2)
    while time.monotonic() < end:
        try:
            sent += wire.socket.send(data)
        except TimeoutError:
            continue
        except (BrokenPipeError, ConnectionResetError):
            return sent
    raise AssertionError(f"it still takes what is sent, after {sent} bytes")


@case("an upload after an early reply: it can be read, and the upload is not waited for")
def _():
    with started(stream=1) as server:
        for length in 1000000, 10**15:  # one that is read to its end, one that is not
            with server.connect() as wire:
                wire.send(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % length)
                reply = wire.reply()
                assert reply.status == 413, reply
                if reply.closes():
                    push(wire, b"x" * 10000, time.monotonic() + LINGER_S + WITHIN_S)
                server.is_well()


@case("an upload that is too large: 413 can be read, and the upload is not waited for")
def _():
    for server in both_ways(body_max=100000):
        with server.connect() as wire:
            wire.send(CHUNKED)
            chunk = b"2710\r\n" + b"x" * 10000 + b"\r\n"
            while not select.select([wire.socket], [], [], 0)[0]:
                wire.send(chunk)
            reply = wire.reply()
            assert reply.status == 413 and reply.closes(), reply
            push(wire, chunk, time.monotonic() + LINGER_S + WITHIN_S)
            server.is_well()


@case("an upload to a handler that has paused comes to a halt")
def _():
    with started(stream=1, body_max=1 << 30) as server, server.connect() as wire:
        before = server.rss()
        wire.send(HEAD % (b"/upload?pause=3000", 1 << 30))
        wire.socket.settimeout(1)
        sent = 0
        with contextlib.suppress(TimeoutError):
            while sent < 1 << 30:
                sent += wire.socket.send(b"x" * 65536)
        assert sent < 64 << 20, f"{sent} bytes went"
        assert server.rss() - before < MEMORY << 20, server.rss() - before
        server.is_well()
        wire.reset()  # which is noticed when the handler goes on


@case("an upload of a hundred megabytes takes no memory")
def _():
    with started(stream=1, body_max=1 << 30) as server, server.connect() as wire:
        before = server.rss()
        wire.send(HEAD % (b"/upload", 100 << 20))
        for _ in range(100):
            wire.send(bytes(1 << 20))
        assert wire.reply().body == b"%d bytes\n" % (100 << 20)
        assert server.rss() - before < MEMORY << 20, server.rss() - before


@case("bodies of a megabyte, each from another client: what was taken is given back")
def _():
    with started(body_max=2 << 20) as server:
        server.is_well()
        before = server.rss()
        for _ in range(50):
            with server.connect() as wire:
                wire.send(HEAD % (b"/echo", 1 << 20) + b"x" * (1 << 20))
                assert len(wire.reply().body) == 1 << 20
        assert server.ask("/trim")[0] == 200
        assert server.rss() - before < MEMORY * (4 << 20), server.rss() - before


@case("replies that are made later, to many who have left: none is left over")
def _():
    for server in both_ways():
        wires = []
        for i in range(300):
            wire = server.connect()
            wire.send(get(f"/later?ms={i % 50}"))
            wires.append(wire)
        for wire in wires[::2]:
            wire.reset()
        for wire in wires[1::2]:
            assert wire.reply().body == b"later\n"
            wire.socket.close()


@case("where nobody asks, nothing is done")
def _():
    with started() as server, server.connect() as wire:
        wire.send(GET)
        assert wire.reply().status == 200
        before = cpu_seconds(server)
        select.select([], [], [], 1)
        assert cpu_seconds(server) - before < 0.05


allow_descriptors()
main()
