"""serving.py FOLDER - the example programs that answer: hello, files, routes, stream, https; and
testing, which asks a handler in memory.

Asked by curl and by Python's http.client. Every option of their pages at least once. Each server
is ended by SIGTERM, has to end with 0 then, and must have printed its address, a line for each
request, and nothing else.
"""
import calendar
import contextlib
import errno
import functools
import gzip
import http.client
import json
import os
import re
import select
import shutil
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import time
import urllib.parse

from common import PATIENCE, SOURCE, Running, Skip, case, connect, main, run, skip_all

FOLDER = os.path.abspath(sys.argv[1])
SERVERS = "hello", "files", "routes", "stream", "https"
CURL = shutil.which("curl")
TEXT = "text/plain; charset=utf-8"
GREETING = b"Hello, world!\n"
SECRET_GREETING = b"Hello, and nobody hears it.\n"
LISTENS = "0A"  # the state of a socket, in /proc/net/tcp

if not CURL:
    skip_all("no curl")
CURL_AGENT = "curl/" + run(CURL, "--version").out.decode().split()[1]
CURL_COMMAND = CURL, "-q", "-sS", "--noproxy", "*", "--max-time", str(PATIENCE)


def program(name):
    return os.path.join(FOLDER, name)


# ---- certificates ----

@functools.cache
def has_tls():
    """Whether the library was built with it."""
    return b"no TLS" not in run(program("get"), "--proxy", "", "https://127.0.0.1:1/").err


@functools.cache
def certificate(name):
    """The files of a new one that signs itself, and of its key."""
    chain, key = os.path.join(HOME, name + "-cert.pem"), os.path.join(HOME, name + "-key.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                    "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", chain, "-days", "2",
                    "-subj", "/CN=" + name, "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1,"
                    "IP:127.0.0.2,IP:::1"], check=True, capture_output=True)
    return chain, key


def need_tls():
    if not shutil.which("openssl"):
        raise Skip("no openssl")
    if not has_tls():
        raise Skip("built without TLS")


def needed_options(name):
    """What the program does not start without."""
    if name != "https":
        return []
    chain, key = certificate("test")
    return ["--cert", chain, "--key", key]


def servers():
    """Those that can be started here."""
    can = has_tls() and shutil.which("openssl")
    return [name for name in SERVERS if name != "https" or can]


# ---- the servers ----

def address_text(digits):
    """"0100007F" is 127.0.0.1: words of four bytes, each in the order of this machine."""
    words = [int(digits[at:at + 8], 16) for at in range(0, len(digits), 8)]
    return socket.inet_ntop(socket.AF_INET if len(words) == 1 else socket.AF_INET6,
                            struct.pack(f"={len(words)}I", *words))


def listening(pid):
    """{(address, port)}: where a process listens, as the kernel says it."""
    own = set()
    for number in os.listdir(f"/proc/{pid}/fd"):
        with contextlib.suppress(FileNotFoundError):  # closed meanwhile
            own.add(os.readlink(f"/proc/{pid}/fd/{number}"))
    found = set()
    for table in "tcp", "tcp6":
        if not os.path.exists(f"/proc/{pid}/net/{table}"):
            continue
        with open(f"/proc/{pid}/net/{table}") as file:
            for fields in map(str.split, file.readlines()[1:]):
                if fields[3] == LISTENS and f"socket:[{fields[9]}]" in own:
                    address, port = fields[1].split(":")
                    found.add((address_text(address), int(port, 16)))
    return found


class Server(Running):
    """One of the programs, once it listens at a port that the kernel has chosen."""

    def __init__(self, name, *options, folder=".", needed=None):
        self.name, self.begin = name, time.time()
        needed = needed_options(name) if needed is None else needed
        super().__init__("env", "-C", folder, program(name), "--port", "0", *needed, *options)
        try:
            if name == "hello":
                self.scheme, self.host, self.port = "http", "127.0.0.1", self.wait_for_port()
            else:
                self.read_place()
        except BaseException:
            self.__exit__()
            raise

    def read_place(self):
        place = self.read_until(b"\n").decode()
        found = re.fullmatch(r"(https?)://(.+):(\d+)/\n", place)
        assert found, place
        self.scheme, self.host, self.port = found[1], found[2].strip("[]"), int(found[3])

    def wait_for_port(self):
        """hello prints nothing, so the kernel is asked again and again."""
        end = time.monotonic() + PATIENCE
        pidfd = os.pidfd_open(self.process.pid)
        try:
            while not (places := listening(self.process.pid)):
                ended = select.select([pidfd], [], [], 0.01)[0]
                assert not ended and time.monotonic() < end, f"does not listen{self.stderr()}"
        finally:
            os.close(pidfd)
        ports = {port for _, port in places}
        assert len(ports) == 1, places
        return ports.pop()

    def url(self, path="/"):
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{self.port}{path}"

    def connection(self, **options):
        if self.scheme == "https":
            return http.client.HTTPSConnection(
                self.host, self.port, timeout=PATIENCE,
                context=ssl.create_default_context(cafile=certificate("test")[0]), **options)
        return http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE, **options)

    def ask(self, path="/", method="GET", body=None, fields=None, **options):
        """(status, fields, body), by http.client, with a connection of its own."""
        with contextlib.closing(self.connection(**options)) as connection:
            connection.request(method, path, body, fields or {})
            return answer_of(connection)

    def curl(self, path="/", *options):
        """The same by curl."""
        done = run(*CURL_COMMAND, "-i", "--path-as-is", *options, self.url(path))
        assert done.status == 0 and not done.err, done
        return split(done.out)

    def logged(self, request, status, sent, agent="-", host="127.0.0.1"):
        """The next line is about that request; hello has none. sent None: whatever it is, and
        returned."""
        if self.name == "hello":
            return None
        line = self.read_until(b"\n").decode()
        found = re.fullmatch(r'(\S+) - - \[([^]]+) \+0000\] "(.*)" (\d+|-) (\d+|-) "-" "(.*)"\n', line)
        assert found, line
        when = calendar.timegm(time.strptime(found[2], "%d/%b/%Y:%H:%M:%S"))
        # A clock that is read cheaply is a little behind.
        assert int(self.begin) - 1 <= when <= time.time(), (line, self.begin)
        assert (found[1], found[3], found[4], found[6]) == (host, request, str(status), agent), line
        assert sent is None or found[5] == str(sent), (line, sent)
        return found[5]

    def ends(self, number=signal.SIGTERM):
        status, rest = self.stop(number)
        assert status == 0 and not rest and not self.stderr(), (status, rest, self.stderr())


@contextlib.contextmanager
def serving(name, *options, **more):
    """It, and when all went well its end."""
    with Server(name, *options, **more) as server:
        yield server
        server.ends()


def answer_of(connection):
    response = connection.getresponse()
    fields = {name.lower(): value for name, value in response.getheaders()}
    return response.status, fields, response.read()


def split(response):
    """(status, fields, body) of what curl -i has printed; interim responses are passed over."""
    while True:
        head, _, rest = response.partition(b"\r\n\r\n")
        first, *lines = head.decode("latin-1").split("\r\n")
        status = int(first.split()[1])
        if status >= 200:
            return status, {name.lower(): value for name, value in
                            (line.split(": ", 1) for line in lines)}, rest
        response = rest


def expect(response, status, body=None, **fields):
    assert response[0] == status, response
    assert body is None or response[2] == body, response
    for name, value in fields.items():
        assert response[1].get(name.replace("_", "-")) == value, (name, value, response)
    return response


def fails(status, said, name, *arguments, stdout=None):
    """The program says just that, and ends with that status."""
    done = run(program(name), *arguments, stdout=stdout)
    assert done.status == status and not done.out, done
    assert done.err.decode() == said, f"{said!r} is not {done.err!r}"


def put_file(name, data):
    os.makedirs(os.path.dirname(name), exist_ok=True)
    with open(name, "wb") as file:
        file.write(data)


def first_request(server):
    """Something that each of them answers, and what it costs in the log."""
    return {"hello": ("/", 200, 14), "files": ("/none", 404, 14), "routes": ("/notes", 200, 3),
            "stream": ("/upload", 405, 23), "https": ("/", 200, 28)}[server.name]


# ---- what all of them have in common ----

@case("--help has every option of the page, and --version")
def _():
    for name in (*SERVERS, "testing"):
        with open(os.path.join(SOURCE, "examples", name + ".1")) as file:
            page = set(re.findall(r"^\.It Fl -(\S+)", file.read(), re.MULTILINE))
        done = run(program(name), "--help")
        assert done.status == 0 and not done.err, done
        assert done.out.startswith(f"usage: {name}".encode()), done
        help_text = set(re.findall(r"^  --(\S+)", done.out.decode(), re.MULTILINE))
        assert help_text == page and "help" in page, (name, help_text, page)
        done = run(program(name), "--version")
        assert (done.status, done.out, done.err) == (0, f"{name} 0.1.0\n".encode(), b""), done


@case("--help: a full disk")
def _():
    for name in (*SERVERS, "testing"):
        with open("/dev/full", "wb") as full:
            fails(1, f"{name}: standard output: No space left on device\n", name, "--help", stdout=full)


@case("command lines that are wrong")
def _():
    wrong = [(name, arguments, about) for name in SERVERS for arguments, about in [
        (["--port", "65536"], "65536: not a port"), (["--port", "-1"], "-1: not a port"),
        (["--port", "80x"], "80x: not a port"), (["--port", ""], ": not a port"),
        (["--address", ""], "--address: empty"),
        (["--address", "x" * 300], "--address: too long"),
        (["--nonsense"], "unrecognized option '--nonsense'"),
        (["--port"], "option '--port' requires an argument"),
        (["x", "y"], "y: unexpected argument" if name == "files" else "x: unexpected argument")]]
    wrong += [("files", ["--max-age", number], f"{number}: not a number of seconds up to a year")
              for number in ("31536001", "-1", "soon")]
    wrong += [("testing", ["--nonsense"], "unrecognized option '--nonsense'"),
              ("testing", ["x"], "x: unexpected argument")]
    for name, arguments, about in wrong:
        needed = ["--cert", "/none"] if name == "https" else []
        fails(2, f"{name}: {about}\nTry '{name} --help'.\n", name, *needed, *arguments)
    fails(2, "https: --cert: is needed\nTry 'https --help'.\n", "https")
    fails(2, "https: --cert: is needed\nTry 'https --help'.\n", "https", "--key", "/none")


@case("a port that is taken, and a name that nobody has")
def _():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for name in servers():
            more = needed_options(name)
            fails(1, f"{name}: 127.0.0.1:{port}: {os.strerror(errno.EADDRINUSE)}\n", name, "--port",
                  str(port), *more)
            fails(1, f"{name}: nowhere.invalid:0: host name did not resolve\n", name, "--port", "0",
                  "--address", "nowhere.invalid", *more)


@case("--address: there and nowhere else, and who asked is in the line")
def _():
    for name in servers():
        with serving(name, "--address", "127.0.0.2") as server:
            server.host = "127.0.0.2"
            assert listening(server.process.pid) == {("127.0.0.2", server.port)}
            path, status, sent = first_request(server)
            expect(server.ask(path, source_address=("127.0.0.3", 0)), status)
            server.logged(f"GET {path} HTTP/1.1", status, sent, host="127.0.0.3")


@case("--address: IPv6, without brackets")
def _():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        raise Skip("no IPv6") from None
    for name in servers():
        with serving(name, "--address", "::1") as server:
            assert name == "hello" or server.host == "::1", server.host
            server.host = "::1"
            assert listening(server.process.pid) == {("::1", server.port)}
            path, status, sent = first_request(server)
            expect(server.ask(path), status)
            server.logged(f"GET {path} HTTP/1.1", status, sent, host="::1")


@case("--address: the first one of a name")
def _():
    first = socket.getaddrinfo("localhost", 0, type=socket.SOCK_STREAM)[0][4][0]
    for name in servers():
        with serving(name, "--address", "localhost") as server:
            assert name == "hello" or server.host == "localhost", server.host
            server.host = "localhost"
            assert listening(server.process.pid) == {(first, server.port)}
            path, status, sent = first_request(server)
            expect(server.ask(path), status)
            server.logged(f"GET {path} HTTP/1.1", status, sent, host=first)


@case("without --address it is 127.0.0.1; Control-C ends it too")
def _():
    for name in servers():
        with Server(name) as server:
            assert server.host == "127.0.0.1", server.host
            assert listening(server.process.pid) == {("127.0.0.1", server.port)}
            path, status, sent = first_request(server)
            expect(server.ask(path), status)
            server.logged(f"GET {path} HTTP/1.1", status, sent)
            server.ends(signal.SIGINT)


# ---- hello ----

@case("hello: /, HEAD, and whatever else is asked")
def _():
    with serving("hello") as server:
        get = expect(server.curl(), 200, GREETING, content_type=TEXT, content_length="14")
        head = expect(server.ask(method="HEAD"), 200, b"")
        for response in get, head:
            assert response[1].pop("date"), response
        assert head[1] == get[1], (head, get)
        expect(server.curl("/any/thing?x=y"), 200, GREETING)
        expect(server.curl("/", "-d", "a=1"), 200, GREETING)
        expect(server.curl("/", "-X", "DELETE"), 200, GREETING)


@case("hello: several requests on one connection")
def _():
    with serving("hello") as server, contextlib.closing(server.connection()) as connection:
        connection.request("GET", "/")
        expect(answer_of(connection), 200, GREETING)
        kept = connection.sock
        for _ in range(3):
            connection.request("GET", "/")
            expect(answer_of(connection), 200, GREETING)
            assert kept and connection.sock is kept  # http.client would have made another one


# ---- files ----

DIGITS = b"0123456789" * 20


@contextlib.contextmanager
def files(*options):
    """The program in front of a folder that has something of everything, and a secret beside it."""
    with tempfile.TemporaryDirectory() as home:
        root = os.path.join(home, "root")
        put_file(home + "/secret.txt", b"secret")
        put_file(root + "/digits.txt", DIGITS)
        put_file(root + "/folder/inner <1>.css", b"a {}\n")
        put_file(root + "/page/index.html", b"<p>page\n")
        os.symlink("../secret.txt", root + "/link.txt")
        with serving("files", *options, root) as server:
            yield server


@case("files: a file, HEAD, and what the line says")
def _():
    with files() as server:
        get = expect(server.curl("/digits.txt"), 200, DIGITS, content_type=TEXT, content_length="200",
                     cache_control=None, content_encoding=None)
        server.logged("GET /digits.txt HTTP/1.1", 200, 200, CURL_AGENT)
        assert re.fullmatch(r'"[^"]+"', get[1]["etag"]), get
        expect(server.ask("/digits.txt", "HEAD"), 200, b"", content_length="200", etag=get[1]["etag"])
        server.logged("HEAD /digits.txt HTTP/1.1", 200, "-")
        expect(server.curl("/page/"), 200, b"<p>page\n", content_type="text/html; charset=utf-8")
        server.logged("GET /page/ HTTP/1.1", 200, 8, CURL_AGENT)
        expect(server.ask("/digits.txt", "DELETE"), 405, allow="GET, HEAD, OPTIONS")
        server.logged("DELETE /digits.txt HTTP/1.1", 405, 23)


@case("files: ranges")
def _():
    with files() as server:
        expect(server.curl("/digits.txt", "-r", "12-15"), 206, b"2345",
               content_range="bytes 12-15/200", content_length="4")
        server.logged("GET /digits.txt HTTP/1.1", 206, 4, CURL_AGENT)
        expect(server.curl("/digits.txt", "-r", "-3"), 206, b"789", content_range="bytes 197-199/200")
        server.logged("GET /digits.txt HTTP/1.1", 206, 3, CURL_AGENT)
        expect(server.ask("/digits.txt", fields={"Range": "bytes=200-"}), 416,
               content_range="bytes */200")
        server.logged("GET /digits.txt HTTP/1.1", 416, None)


@case("files: 304 for an ETag that is the same, 200 for another one")
def _():
    with files() as server:
        etag = server.ask("/digits.txt")[1]["etag"]
        server.logged("GET /digits.txt HTTP/1.1", 200, 200)
        expect(server.ask("/digits.txt", fields={"If-None-Match": etag}), 304, b"", etag=etag)
        server.logged("GET /digits.txt HTTP/1.1", 304, "-")
        expect(server.curl("/digits.txt", "-H", 'If-None-Match: "other"'), 200, DIGITS)
        server.logged("GET /digits.txt HTTP/1.1", 200, 200, CURL_AGENT)


@case("files --listing: a folder; without it there is none")
def _():
    with files("--listing") as server:
        _, fields, body = expect(server.curl("/folder/"), 200)
        server.logged("GET /folder/ HTTP/1.1", 200, len(body), CURL_AGENT)
        assert fields["content-type"] == "text/html; charset=utf-8", fields
        assert b"inner &lt;1&gt;.css" in body and b"<1>" not in body, body
        link = re.search(rb'href="([^"]*inner[^"]*)"', body)[1].decode()
        inner = urllib.parse.urljoin("/folder/", link)
        expect(server.ask(inner), 200, b"a {}\n", content_type="text/css; charset=utf-8")
        server.logged(f"GET {inner} HTTP/1.1", 200, 5)
        expect(server.ask("/page/"), 200, b"<p>page\n")  # it has an index
        server.logged("GET /page/ HTTP/1.1", 200, 8)
        at_top = server.ask("/")
        assert b"digits.txt" in at_top[2] and b"secret" not in at_top[2], at_top
        server.logged("GET / HTTP/1.1", 200, len(at_top[2]))
        location = expect(server.ask("/folder?x=y"), 301)[1]["location"]
        assert urllib.parse.urljoin(server.url("/folder?x=y"), location) == \
            server.url("/folder/?x=y"), location
        server.logged("GET /folder?x=y HTTP/1.1", 301, None)
    with files() as server:
        expect(server.ask("/folder/"), 404)
        server.logged("GET /folder/ HTTP/1.1", 404, 14)


@case("files: 404, and ways out of the folder that are not followed")
def _():
    with files() as server:
        for path in ("/none.txt", "/../secret.txt", "/folder/../../secret.txt", "/%2e%2e/secret.txt",
                     "/..%2fsecret.txt", "/link.txt", "/digits.txt/"):
            response = expect(server.curl(path), 404)
            assert response[2] != b"secret", response
            server.logged(f"GET {path} HTTP/1.1", 404, 14, CURL_AGENT)
        expect(server.curl("/folder/../digits.txt"), 200, DIGITS)  # this one stays inside
        server.logged("GET /folder/../digits.txt HTTP/1.1", 200, 200, CURL_AGENT)


@case("files --max-age")
def _():
    for seconds, cache_control in (("60", "max-age=60"), ("31536000", "max-age=31536000"), ("0", None)):
        with files("--max-age", seconds) as server:
            expect(server.ask("/digits.txt"), 200, DIGITS, cache_control=cache_control)
            server.logged("GET /digits.txt HTTP/1.1", 200, 200)


@case("files --precompressed")
def _():
    packed = gzip.compress(DIGITS)
    with tempfile.TemporaryDirectory() as root:
        for name, data in ("a.txt", DIGITS), ("a.txt.gz", packed), ("a.txt.br", b"as if it were br"):
            put_file(os.path.join(root, name), data)
        with serving("files", "--precompressed", root) as server:
            expect(server.ask("/a.txt", fields={"Accept-Encoding": "gzip"}), 200, packed,
                   content_encoding="gzip", content_type=TEXT, vary="Accept-Encoding")
            server.logged("GET /a.txt HTTP/1.1", 200, len(packed))
            expect(server.ask("/a.txt", fields={"Accept-Encoding": "gzip, br"}), 200,
                   b"as if it were br", content_encoding="br", content_type=TEXT)
            server.logged("GET /a.txt HTTP/1.1", 200, 16)
            expect(server.curl("/a.txt"), 200, DIGITS, content_encoding=None, vary="Accept-Encoding")
            server.logged("GET /a.txt HTTP/1.1", 200, 200, CURL_AGENT)
            done = run(*CURL_COMMAND, "-H", "Accept-Encoding: gzip", "--compressed",
                       server.url("/a.txt"))
            assert done.out == DIGITS, done
            server.logged("GET /a.txt HTTP/1.1", 200, len(packed), CURL_AGENT)
        with serving("files", root) as server:
            expect(server.ask("/a.txt", fields={"Accept-Encoding": "gzip"}), 200, DIGITS,
                   content_encoding=None)
            server.logged("GET /a.txt HTTP/1.1", 200, 200)


@case("files: the current folder unless one is given")
def _():
    with tempfile.TemporaryDirectory() as root:
        put_file(root + "/here.txt", b"here\n")
        with serving("files", folder=root) as server:
            expect(server.ask("/here.txt"), 200, b"here\n")
            server.logged("GET /here.txt HTTP/1.1", 200, 5)


# ---- routes ----

class Notes:
    """The API of routes, by curl or by http.client; each request has its line."""

    def __init__(self, server):
        self.server = server

    def curl(self, method, path, status, *options):
        response = expect(self.server.curl(path, "-X", method, *options), status)
        self.server.logged(f"{method} {path} HTTP/1.1", status, len(response[2]) or "-", CURL_AGENT)
        return response

    def add(self, text, status=201, **fields):
        """By a form; what was answered."""
        body = urllib.parse.urlencode({"title": "none", "text": text})
        fields = {"Content-Type": "application/x-www-form-urlencoded", **fields}
        response = expect(self.server.ask("/notes", "POST", body, fields), status)
        self.server.logged("POST /notes HTTP/1.1", status, len(response[2]))
        return response

    def find(self, word=None):
        """What is found, as {id: text}"""
        path = "/notes" + ("" if word is None else "?" + urllib.parse.urlencode({"find": word}))
        _, fields, body = expect(self.server.ask(path), 200)
        assert fields["content-type"] == "application/json", fields
        self.server.logged(f"GET {path} HTTP/1.1", 200, len(body))
        return {note["id"]: note["text"] for note in json.loads(body)}


@contextlib.contextmanager
def notes():
    with serving("routes") as server:
        yield Notes(server)


@case("routes: what the page shows")
def _():
    with notes() as api:
        response = api.curl("POST", "/notes", 201, "-d", "text=milk")
        expect(response, 201, b'{"id": 0, "text": "milk"}\n', location="/notes/0",
               content_type="application/json")
        expect(api.curl("GET", "/notes?find=mi", 200), 200, b'[{"id": 0, "text": "milk"}]\n')
        expect(api.curl("GET", "/notes/0", 200), 200, b'{"id": 0, "text": "milk"}\n')
        expect(api.curl("DELETE", "/notes/0", 204), 204, b"")
        expect(api.curl("GET", "/notes", 200), 200, b"[]\n")


@case("routes: add, list, find, forget; the number of one that is gone is free")
def _():
    with notes() as api:
        for number, text in enumerate(["milk", "bread & butter", "more milk"]):
            expect(api.add(text), 201, location=f"/notes/{number}")
        assert api.find() == {0: "milk", 1: "bread & butter", 2: "more milk"}
        assert api.find("") == api.find()
        assert api.find("milk") == {0: "milk", 2: "more milk"}
        assert api.find("d & b") == {1: "bread & butter"}
        assert api.find("Milk") == {}
        api.curl("DELETE", "/notes/1", 204)
        for method in "GET", "DELETE":
            api.curl(method, "/notes/1", 404)
        assert api.find() == {0: "milk", 2: "more milk"}
        expect(api.add("eggs"), 201, location="/notes/1")
        assert api.find() == {0: "milk", 1: "eggs", 2: "more milk"}


@case("routes: texts that JSON has to escape, an empty one, one of 4096 bytes, a larger one")
def _():
    with notes() as api:
        texts = ['"quoted" \\ back', "two\r\nlines\tand \x00\x1f", "\u00e4\u20ac\U0001f600", "",
                 "x" * 4096]
        for number, text in enumerate(texts):
            assert json.loads(api.add(text)[2]) == {"id": number, "text": text}
        api.add("x" * 4097, 413)
        assert api.find() == dict(enumerate(texts))
        head = expect(api.server.ask("/notes/0", "HEAD"), 200, b"")
        api.server.logged("HEAD /notes/0 HTTP/1.1", 200, "-")
        body = api.curl("GET", "/notes/0", 200)[2]
        assert head[1]["content-length"] == str(len(body)), head


@case("routes: 400 for what is no form with a text")
def _():
    with notes() as api:
        api.curl("POST", "/notes", 400, "-d", "note=milk")
        api.curl("POST", "/notes", 400, "-d", "text=%zz")
        api.curl("POST", "/notes", 400, "-H", "Content-Type: text/plain", "-d", "text=milk")
        api.curl("POST", "/notes", 400)
        expect(api.add("with a charset", **{
            "Content-Type": "application/x-www-form-urlencoded; charset=utf-8"}), 201)
        assert api.find() == {0: "with a charset"}


@case("routes: 404, 405 with Allow, OPTIONS")
def _():
    with notes() as api:
        api.add("milk")
        for path in ("/", "/note", "/notes/", "/notes/1", "/notes/1000", "/notes/-0", "/notes/x",
                     "/notes/0/x", "/notes/99999999999999999999"):
            api.curl("GET", path, 404)
        for path, allowed in ("/notes", "GET, HEAD, POST, OPTIONS"), \
                             ("/notes/0", "GET, HEAD, DELETE, OPTIONS"):
            expect(api.curl("PUT", path, 405, "-d", "text=x"), 405, allow=allowed)
            expect(api.curl("OPTIONS", path, 204), 204, b"", allow=allowed)
        expect(api.curl("DELETE", "/notes", 405), 405, allow="GET, HEAD, POST, OPTIONS")
        expect(api.curl("POST", "/notes/0", 405, "-d", "text=x"), 405,
               allow="GET, HEAD, DELETE, OPTIONS")
        assert api.find() == {0: "milk"}


@case("routes: 1000 notes, and no more")
def _():
    with notes() as api, contextlib.closing(api.server.connection()) as connection:
        form = {"Content-Type": "application/x-www-form-urlencoded"}

        def add(status):
            connection.request("POST", "/notes", "text=note", form)
            response = expect(answer_of(connection), status)
            api.server.logged("POST /notes HTTP/1.1", status, len(response[2]))
            return response

        for number in range(1000):
            expect(add(201), 201, location=f"/notes/{number}")
        add(507)
        assert api.find() == {number: "note" for number in range(1000)}
        api.curl("GET", "/notes/999", 200)
        api.curl("DELETE", "/notes/500", 204)
        expect(add(201), 201, location="/notes/500")


# ---- stream ----

class Listener(Running):
    """curl that listens to the ticks; raw: with the frames of the chunks."""

    def __init__(self, server, *options):
        super().__init__(CURL, "-q", "-sSN", "--noproxy", "*", "-i", *options, server.url("/ticks"))
        self.received = 0
        try:
            self.head = self.read_until(b"\r\n\r\n").decode()
        except BaseException:
            self.__exit__()
            raise

    def next(self):
        """The number of the next tick."""
        event = self.read_until(b"\n\n").decode()
        found = re.fullmatch(r"data: tick (\d+)\n\n", event)
        assert found, event
        self.received += len(event)
        return int(found[1])

    def next_chunk(self):
        """The same of one that is framed."""
        size = self.read_until(b"\r\n")[:-2]
        data = self.read_until(b"\n\n")
        assert int(size, 16) == len(data) and self.read_until(b"\r\n") == b"\r\n", (size, data)
        self.received += len(data)
        return int(re.fullmatch(rb"data: tick (\d+)\n\n", data)[1])

    def leave(self, server, version="1.1"):
        """It is gone; the server finds out at one of the next ticks, and says what it has sent."""
        self.stop(signal.SIGKILL)
        sent = int(server.logged(f"GET /ticks HTTP/{version}", 200, None, CURL_AGENT))
        assert sent >= self.received, (sent, self.received)


@case("stream: ticks, one by one, each in a chunk")
def _():
    with serving("stream") as server, Listener(server, "--raw") as listener:
        assert listener.head.startswith("HTTP/1.1 200 OK\r\n"), listener.head
        assert "\r\nTransfer-Encoding: chunked\r\n" in listener.head, listener.head
        assert "\r\nContent-Type: text/event-stream\r\n" in listener.head, listener.head
        first = listener.next_chunk()
        assert first >= 1 and listener.next_chunk() > first
        listener.leave(server)


@case("stream: ticks to everybody who listens, to HTTP/1.0 without chunks")
def _():
    with serving("stream") as server, Listener(server) as one, Listener(server, "-0") as other:
        assert "chunked" not in other.head and "Connection: close" in other.head, other.head
        before = one.next()
        other.next()
        assert one.next() > before
        one.leave(server)
        other.next()  # nobody else has left
        other.next()
        other.leave(server, "1.0")
        expect(server.ask("/ticks", "HEAD"), 200, b"", content_type="text/event-stream")
        server.logged("HEAD /ticks HTTP/1.1", 200, "-")


@case("stream: SIGTERM cuts the ticks, and is not waited for")
def _():
    with Server("stream") as server, contextlib.closing(server.connection()) as connection:
        connection.request("GET", "/ticks")
        response = connection.getresponse()
        assert re.fullmatch(rb"data: tick \d+\n", response.readline())
        begin = time.monotonic()
        status, rest = server.stop(signal.SIGTERM)
        assert time.monotonic() - begin < 9, "that is no second, but the time of the library"
        assert status == 0 and not server.stderr(), (status, server.stderr())
        assert rest.count(b"\n") == 1 and b'"GET /ticks HTTP/1.1" 200 ' in rest, rest
        try:
            response.read()
            raise AssertionError("the body looks complete")
        except (http.client.IncompleteRead, ConnectionResetError):
            pass


def peak_memory(server):
    """In bytes, since it was started."""
    with open(f"/proc/{server.process.pid}/status") as file:
        return int(re.search(r"VmHWM:\s+(\d+) kB", file.read())[1]) << 10


@case("stream: a large upload in chunks, and with a length, takes no memory")
def _():
    size = 128 << 20
    answer = f"{size} bytes\n".encode()
    with serving("stream") as server, tempfile.NamedTemporaryFile() as file:
        file.truncate(size)
        expect(server.curl("/upload", "-d", "abc"), 200, b"3 bytes\n", content_type="text/plain")
        server.logged("POST /upload HTTP/1.1", 200, 8, CURL_AGENT)
        before = peak_memory(server)
        for options in [], ["-H", "Transfer-Encoding: chunked"]:
            expect(server.curl("/upload", "-X", "POST", "-T", file.name, *options), 200, answer)
            server.logged("POST /upload HTTP/1.1", 200, len(answer), CURL_AGENT)
        grown = peak_memory(server) - before
        assert grown < size // 4, grown


@case("stream: pieces of an upload, and none")
def _():
    with serving("stream") as server:
        pieces = [b"a", b"bc" * 100, b"d" * 70000]
        expect(server.ask("/upload", "POST", iter(pieces)), 200, b"70201 bytes\n")
        server.logged("POST /upload HTTP/1.1", 200, 12)
        expect(server.ask("/upload", "POST"), 200, b"0 bytes\n")
        server.logged("POST /upload HTTP/1.1", 200, 8)


@case("stream: an upload of 1 TiB may begin, of a byte more not")
def _():
    def begin(length):
        connection.sendall(b"POST /upload HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\n"
                           b"Content-Length: %d\r\n\r\n" % length)
        return connection.recv(65536)

    with serving("stream") as server:
        with connect(server.port) as connection:
            assert begin(1 << 40) == b"HTTP/1.1 100 Continue\r\n\r\n"
            # No end of the body, and no end of the connection that could be taken for one.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        server.logged("POST /upload HTTP/1.1", "-", "-")
        with connect(server.port) as connection:
            assert begin((1 << 40) + 1).startswith(b"HTTP/1.1 413 "), server
        server.logged("POST /upload HTTP/1.1", 413, None)


@case("stream: 404 and 405")
def _():
    with serving("stream") as server:
        for method, path, status, allowed in (
                ("POST", "/ticks", 405, "GET, HEAD, OPTIONS"), ("GET", "/upload", 405, "POST, OPTIONS"),
                ("GET", "/", 404, None)):
            response = expect(server.curl(path, "-X", method), status, allow=allowed)
            server.logged(f"{method} {path} HTTP/1.1", status, len(response[2]), CURL_AGENT)


# ---- https ----

@case("https: curl --cacert, and http.client")
def _():
    need_tls()
    chain, _ = certificate("test")
    with serving("https") as server:
        assert server.scheme == "https", server.scheme
        expect(server.curl("/", "--cacert", chain), 200, SECRET_GREETING, content_type=TEXT)
        server.logged("GET / HTTP/1.1", 200, 28, CURL_AGENT)
        with contextlib.closing(server.connection()) as connection:
            for method, body in ("GET", SECRET_GREETING), ("HEAD", b""):
                connection.request(method, "/x")
                expect(answer_of(connection), 200, body, content_length="28")
                server.logged(f"{method} /x HTTP/1.1", 200, len(body) or "-")
            with open(chain) as file:
                assert connection.sock.getpeercert(True) == ssl.PEM_cert_to_DER_cert(file.read())


@case("https: clients that do not trust it, or speak no TLS, and it goes on")
def _():
    need_tls()
    with serving("https") as server:
        done = run(*CURL_COMMAND, server.url())
        assert done.status == 60 and not done.out, done  # CURLE_PEER_FAILED_VERIFICATION
        done = run(*CURL_COMMAND, server.url().replace("https:", "http:"))
        assert done.status != 0 and not done.out, done
        expect(server.ask(), 200, SECRET_GREETING)
        server.logged("GET / HTTP/1.1", 200, 28)


@case("https: --cert alone, with the key in the same file")
def _():
    need_tls()
    both = os.path.join(HOME, "both.pem")
    with open(both, "wb") as out:
        for name in certificate("test"):
            with open(name, "rb") as file:
                out.write(file.read())
    with serving("https", needed=["--cert", both]) as server:
        expect(server.curl("/", "--cacert", certificate("test")[0]), 200, SECRET_GREETING)
        server.logged("GET / HTTP/1.1", 200, 28, CURL_AGENT)


@case("https: certificates that are no good")
def _():
    need_tls()
    chain, key = certificate("test")
    no_good = "TLS handshake or certificate check failed"
    for cert, options, why in ((chain, ["--key", certificate("other")[1]], no_good),
                               (chain, [], no_good), (key, [], no_good),
                               (HOME + "/none", [], os.strerror(errno.ENOENT))):
        fails(1, f"https: {cert}: {why}\n", "https", "--port", "0", "--cert", cert, *options)
    done = run(program("https"), "--port", "0", "--cert", chain, "--key", HOME + "/none")
    assert done.status == 1 and not done.out, done
    assert done.err == f"https: {HOME}/none: No such file or directory\n".encode(), done


@case("https: a build without TLS says so")
def _():
    if has_tls():
        raise Skip("built with TLS")
    done = run(program("https"), "--port", "0", "--cert", "/none")
    assert done.status == 1 and not done.out, done
    assert done.err.startswith(b"https: /none: ") and done.err.count(b"\n") == 1, done


# ---- testing ----

@case("testing: all of it is ok")
def _():
    done = run(program("testing"))
    assert done.status == 0 and not done.err, done
    assert done.out.decode() == ("ok - a name is greeted\n"
                                 "ok - it is decoded first\n"
                                 "ok - HEAD has the head alone\n"
                                 "ok - nobody is not greeted\n"
                                 "ok - greetings cannot be deleted\n"), done


@case("testing: a full disk")
def _():
    with open("/dev/full", "wb") as full:
        fails(1, "testing: standard output: No space left on device\n", "testing", stdout=full)


with tempfile.TemporaryDirectory(prefix="serving-") as HOME:
    main()
