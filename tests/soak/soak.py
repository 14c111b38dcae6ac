"""soak.py LAB_SERVER [SECONDS] - the lab's server under full load and bad weather, for as long as one
likes: on demand, not part of a test run.

Some clients ask and check every byte of the reply, in several processes; others are cut off, reset,
are slow, send nonsense, or say nothing. In the end everybody has left, and the server has the memory
and the descriptors that it began with.
"""
import contextlib
import os
import random
import re
import select
import subprocess
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "peers"))
from lab_server import FILE, Cut, LabServer, case, main, pattern, wait_for

PROGRAM = sys.argv[1]
SECONDS = float(sys.argv[2]) if len(sys.argv) > 2 else 60
CLIENTS = 8         # processes
WARM_UP_S = 5       # caches and pools fill
GROWTH = 1 << 19    # bytes that may be more in the end: what the pools of four threads had not met yet
SHORT = {"head_timeout_ms": 1000, "body_timeout_ms": 1000, "send_timeout_ms": 1000,
         "idle_timeout_ms": 2000, "connections_max": 400}


def get(path, more=""):
    return f"GET {path} HTTP/1.1\r\nHost: a\r\n{more}\r\n".encode()


def post(path, body, more=""):
    return f"POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: {len(body)}\r\n{more}\r\n".encode() + body


# ---- those who behave: (what is sent, what is answered) ----

def exchanges(chance):
    size = chance.choice([0, 1, 100, 5000, 70000, 300000])
    body = bytes([chance.randrange(256)]) * size
    return chance.choice([
        (get("/"), b"hello\n"), (get("/file.bin"), FILE), (get("/none"), b"404 Not Found\n"),
        (get("/file.bin", "Range: bytes=10-99\r\n"), FILE[10:100]),
        (get(f"/chunked?bytes={size}"), pattern(size)), (get(f"/length?bytes={size}"), pattern(size)),
        (post("/echo", body), body), (post("/upload?pause=1", body[:5000]), b"%d bytes\n" % min(size, 5000)),
        (get(f"/later?ms={chance.randrange(20)}"), b"later\n"),
        (get("/slow-producer?pieces=3&ms=2"), b"line\n" * 3)])


def behave(server, chance):
    with server.connect() as wire:
        for _ in range(chance.randrange(1, 30)):
            asked = [exchanges(chance) for _ in range(chance.choice([1, 1, 1, 5]))]
            if sum(len(request) for request, _ in asked) > 100000:
                asked = asked[:1]  # who sends much at once has to read meanwhile
            wire.send(b"".join(request for request, _ in asked))
            for request, body in asked:
                reply = wire.reply()
                assert reply.body == body, f"{request[:60]!r} was answered {reply}"
                assert not reply.closes(), reply


# ---- those who do not ----

def leave_in_the_middle(server, chance):
    request, _ = exchanges(chance)
    with server.connect(receive=chance.choice([0, 4096])) as wire:
        wire.send(request[:chance.randrange(len(request) + 1)])
        if chance.random() < 0.3:
            select.select([wire.socket], [], [], 0.02)
        if chance.random() < 0.5:
            wire.reset()


def leave_in_a_reply(server, chance):
    with server.connect(receive=4096) as wire:
        wire.send(get(chance.choice(["/large", "/chunked?bytes=9000000", "/slow-producer?ms=1&pieces=9999"])))
        wire.socket.recv(chance.randrange(1, 100000))
        if chance.random() < 0.5:
            wire.reset()


def take_nothing(server, chance):
    with server.connect(receive=4096) as wire:
        wire.send(get("/large") * 3)
        select.select([], [], [], chance.random() * 2)


def say_nothing(server, chance):
    with server.connect() as wire:
        wire.send(chance.choice([b"", b"GET", get("/")[:-2], post("/echo", b"x" * 9)[:-3]]))
        wire.rest()


def talk_nonsense(server, chance):
    with server.connect() as wire:
        wire.send(get("/") + chance.randbytes(chance.randrange(1, 20000)))
        wire.rest()


def send_what_is_not_wanted(server, chance):
    with server.connect() as wire:
        wire.send(b"POST /early HTTP/1.1\r\nHost: a\r\nContent-Length: 900000\r\n\r\n" + b"x" * 700000)
        wire.reply()


MISDEEDS = [leave_in_the_middle] * 8 + [leave_in_a_reply] * 4 + [take_nothing, say_nothing, talk_nonsense,
                                                                send_what_is_not_wanted]


def misbehave(server, chance):
    with contextlib.suppress(Cut, ConnectionError, TimeoutError):
        chance.choice(MISDEEDS)(server, chance)


# ---- a client is this program again ----

class Remote:
    """The server, as it is seen from another process."""
    connect = LabServer.connect

    def __init__(self, port):
        self.port = port


def be_a_client(port, seed, seconds):
    server, chance, end, count = Remote(port), random.Random(seed), time.monotonic() + seconds, 0
    while time.monotonic() < end:
        if seed % 2:
            misbehave(server, chance)
        else:
            with contextlib.suppress(Cut, ConnectionError):  # it has had to make room for others
                behave(server, chance)
        count += 1
    print(count)


def load(server, seconds, seed):
    clients = [subprocess.Popen([sys.executable, os.path.abspath(__file__), "client", str(server.port),
                                 str(seed * CLIENTS + i), str(seconds)], stdout=subprocess.PIPE)
               for i in range(CLIENTS)]
    counts = []
    for client in clients:
        said, _ = client.communicate()
        assert client.returncode == 0, "a client was not content"
        counts.append(int(said))
    return counts


def settled(server, descriptors):
    """Bytes that are allocated, once everybody has left. A sanitizer has an allocator of its own, and
    finds by itself what is lost."""
    wait_for(lambda: server.descriptors() <= descriptors, patience=60,
             about=lambda: f"{server.descriptors()} descriptors, {descriptors} in the beginning")
    status, allocated, _ = server.ask("/trim")
    assert status == 200
    return int(allocated)


def soak(**options):
    with LabServer(PROGRAM, threads=4, **SHORT, **options) as server:
        server.ask("/file.bin")
        descriptors = server.descriptors() + 4  # a thread may keep the file open
        load(server, min(WARM_UP_S, SECONDS), 1)
        before = settled(server, descriptors)
        counts = load(server, SECONDS, 2)
        after = settled(server, descriptors)
        words = re.findall(r"closed: \S+ (.*)", server.stderr())
        common = {word: words.count(word) for word in sorted(set(words))}
        print(f"{sum(counts[::2])} good and {sum(counts[1::2])} bad clients, {before} bytes allocated "
              f"before, {after} after; closed:", *sorted(common.items(), key=lambda item: -item[1])[:8], sep="\n    ")
        assert after - before < GROWTH, f"{after - before} bytes have been lost"
        server.is_well()
        status, said = server.stop()
        assert (status, said) == (0, b"stopped\n"), (status, said)


if PROGRAM == "client":
    be_a_client(int(sys.argv[2]), int(sys.argv[3]), float(sys.argv[4]))
else:
    case("bodies received before the handler")(lambda: soak())
    case("bodies streamed")(lambda: soak(stream=1))
    main()
