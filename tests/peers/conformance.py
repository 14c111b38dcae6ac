"""conformance.py LAB_SERVER - what a server owes to its clients, from RFC 9110 and RFC 9112.

How the engine reads a message is in tests/cases; here is what comes of it: the status, whether the
connection stays, in which order replies come, and that what was refused is not read as something else.

In the tables "|" is CR LF. "200" of a reply, "200 404" of two; behind them "+" says that the
connection stays, "." that it ends, and "~" that it does as the last reply has announced. All of them
are run whole and byte by byte, where bodies are received before the handler runs and where they are
streamed.
"""
import atexit
import email.utils
import re
import sys
import tempfile
import time

from lab_server import FILE, Cut, LabServer, case, main, pattern, wait_for

PROGRAM = sys.argv[1]
LOG = tempfile.NamedTemporaryFile()
OPTIONS = {"threads": 2, "access_log": LOG.name}
SERVERS = [LabServer(PROGRAM, **OPTIONS), LabServer(PROGRAM, stream=1, **OPTIONS)]
for server in SERVERS:
    atexit.register(server.__exit__)

BEHIND = "GET /behind HTTP/1.1|Host: a||"  # of what is refused nothing may be read any more
CANARY = b"GET /?canary HTTP/1.1\r\nHost: a\r\n\r\n"


def octets(text):
    return text.replace("|", "\r\n").encode("latin-1")


def cut_in_bytes(data):
    return [data[i:i + 1] for i in range(len(data))]


def send(wire, pieces):
    """A server that has seen enough may have closed in the middle of it."""
    try:
        for piece in pieces:
            wire.send(piece)
    except (BrokenPipeError, ConnectionResetError):
        pass


def methods(text):
    """Of each request whose reply could be told by it."""
    return re.findall(r"(?:^|\|)(GET|HEAD|POST|OPTIONS|PUT|DELETE|TRACE|CONNECT) [^|]* HTTP/", text)


def final_reply(wire, method):
    while (reply := wire.reply(method)).status < 200:
        assert reply.status == 100, reply
    return reply


def is_kept(wire, last):
    assert not last.closes(), f"{last} says that it closes"
    wire.send(CANARY)
    reply = wire.reply()
    assert (reply.status, reply.body) == (200, b"hello\n"), f"another request is answered {reply}"


def is_closed(wire, last):
    assert last.closes(), f"{last} does not say that it closes"
    how = wire.ended()
    assert how == "end", how


def is_as_announced(wire, last):
    (is_closed if last.closes() else is_kept)(wire, last)


BEHAVIOURS = {"+": is_kept, ".": is_closed, "~": is_as_announced}


def converse(server, expected, text, pieces):
    """Replies to a text, which are as expected."""
    with server.connect() as wire:
        send(wire, pieces)
        replies = []
        for method in (methods(text) + ["GET"] * 9)[:len(expected[:-1].split())]:
            replies.append(final_reply(wire, method))
        found = " ".join(str(reply.status) for reply in replies)
        assert found == expected[:-1], f"{found}, {replies}"
        BEHAVIOURS[expected[-1]](wire, replies[-1])
    return replies


def each_way(expected, text, check=None):
    data = octets(text)
    for server in SERVERS:
        for pieces in ([data], cut_in_bytes(data)):
            replies = converse(server, expected, text, pieces)
            if check:
                check(replies)


def last_body(wanted):
    def check(replies):
        assert replies[-1].body == wanted, replies[-1].body[:200]
    return check


# ---- what is refused: one reply, its reason in words, the end ----

CL = "POST /echo HTTP/1.1|Host: a|Content-Length: "
TE = "POST /echo HTTP/1.1|Host: a|Transfer-Encoding: chunked||"
TE_NAMED = "POST /echo HTTP/1.1|Host: a|Transfer-Encoding: "

for status, about, text in [
    # RFC 9112 section 3: request-line = method SP request-target SP HTTP-version
    (400, "a tab between method and target", "GET\t/ HTTP/1.1|Host: a||"),
    (400, "two spaces in front of the version", "GET /  HTTP/1.1|Host: a||"),
    (400, "two spaces in front of the target", "GET  / HTTP/1.1|Host: a||"),
    (400, "a space behind the version", "GET / HTTP/1.1 |Host: a||"),
    (400, "a word behind the version", "GET / HTTP/1.1 too|Host: a||"),
    (400, "a space in front of the method", " GET / HTTP/1.1|Host: a||"),
    (400, "a method that is no token", "GE(T / HTTP/1.1|Host: a||"),
    (400, "a request-line of one word", "GET|Host: a||"),
    (400, "HTTP/0.9", "GET /|Host: a||"),
    (400, "an empty target", "GET  HTTP/1.1|Host: a||"),
    (400, "a version in small letters", "GET / http/1.1|Host: a||"),
    (400, "a version of two digits", "GET / HTTP/1.10|Host: a||"),
    (400, "a version without a minor one", "GET / HTTP/1|Host: a||"),
    (505, "HTTP/2.0", "GET / HTTP/2.0|Host: a||"),
    (505, "HTTP/0.9 by name", "GET / HTTP/0.9|Host: a||"),
    (505, "the preface of HTTP/2", "PRI * HTTP/2.0||SM||"),
    (400, "what begins a TLS handshake", "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03|||"),
    (400, "another protocol", "EHLO example.com||"),
    # section 2.2: bare CR, bare LF, white space in front of the first field
    (400, "a bare LF behind the request-line", "GET / HTTP/1.1\nHost: a||"),
    (400, "a bare LF behind a field", "GET / HTTP/1.1|Host: a\nB: c||"),
    (400, "a bare LF at the end of the head", "GET / HTTP/1.1|Host: a|\n"),
    (400, "a bare CR behind the request-line", "GET / HTTP/1.1\rHost: a||"),
    (400, "a bare CR in a field", "GET / HTTP/1.1|Host: a|B: c\rd||"),
    (400, "a bare CR in front of a request", "\rGET / HTTP/1.1|Host: a||"),
    (400, "a bare CR at the end of a field", "GET / HTTP/1.1|Host: a|B: c\r||"),
    (400, "white space in front of the first field", "GET / HTTP/1.1| Host: a||"),
    (400, "a NUL in the target", "GET /\0 HTTP/1.1|Host: a||"),
    (400, "a NUL in a field", "GET / HTTP/1.1|Host: a|B: c\0||"),
    (400, "a byte of 0x7f in a field", "GET / HTTP/1.1|Host: a|B: \x7f||"),
    (400, "a control byte in a field", "GET / HTTP/1.1|Host: a|B: \x1b[1m||"),
    # section 5.1 and 5.2
    (400, "a space in front of a colon", "GET / HTTP/1.1|Host: a|B : c||"),
    (400, "a tab in front of a colon", "GET / HTTP/1.1|Host: a|B\t: c||"),
    (400, "a field without a colon", "GET / HTTP/1.1|Host: a|nothing||"),
    (400, "a field without a name", "GET / HTTP/1.1|Host: a|: c||"),
    (400, "a space in a name", "GET / HTTP/1.1|Host: a|B C: d||"),
    (400, "a name in UTF-8", "GET / HTTP/1.1|Host: a|\xc3\xbc: d||"),
    (400, "a folded field", "GET / HTTP/1.1|Host: a|B: c| d||"),
    # RFC 9112 section 3.2: Host
    (400, "an empty Host", "GET / HTTP/1.1|Host:||"),
    (400, "no Host", "GET / HTTP/1.1|B: c||"),
    (400, "two Hosts that are the same", "GET / HTTP/1.1|Host: a|Host: a||"),
    (400, "two Hosts, far from each other", "GET / HTTP/1.1|Host: a|B: c|D: e|HOST: b||"),
    (400, "two Hosts in HTTP/1.0", "GET / HTTP/1.0|Host: a|Host: b||"),
    (400, "a list of Hosts", "GET / HTTP/1.1|Host: a, b||"),
    (400, "a URL as the Host", "GET / HTTP/1.1|Host: http://a/||"),
    (400, "a path in the Host", "GET / HTTP/1.1|Host: a/b||"),
    (400, "a user in the Host", "GET / HTTP/1.1|Host: b@a||"),
    (400, "a space in the Host", "GET / HTTP/1.1|Host: a b||"),
    (400, "a port that is no number", "GET / HTTP/1.1|Host: a:b||"),
    (400, "a port that is too large", "GET / HTTP/1.1|Host: a:65536||"),
    (400, "two ports", "GET / HTTP/1.1|Host: a:1:2||"),
    (400, "an address whose bracket stays open", "GET / HTTP/1.1|Host: [::1||"),
    (400, "a Host of other than ASCII", "GET / HTTP/1.1|Host: \xfc||"),
    (400, "absolute-form without a Host", "GET http://a/ HTTP/1.1||"),
    # section 3.2: the four forms of a target
    (400, "authority-form of a GET", "GET a:80 HTTP/1.1|Host: a||"),
    (400, "an asterisk of a GET", "GET * HTTP/1.1|Host: a||"),
    (400, "an asterisk and more", "OPTIONS */ HTTP/1.1|Host: a||"),
    (400, "a path without its slash", "GET file.bin HTTP/1.1|Host: a||"),
    (400, "a fragment", "GET /#a HTTP/1.1|Host: a||"),
    (400, "a quote in the target", "GET /\" HTTP/1.1|Host: a||"),
    (400, "a target in UTF-8", "GET /\xc3\xbc HTTP/1.1|Host: a||"),
    (400, "a percent that encodes nothing", "GET /%zz HTTP/1.1|Host: a||"),
    (400, "half of a percent-encoding", "GET /%4 HTTP/1.1|Host: a||"),
    (400, "an encoded NUL in the path", "GET /a%00b HTTP/1.1|Host: a||"),
    (400, "a user in absolute-form", "GET http://b@a/ HTTP/1.1|Host: a||"),
    (400, "absolute-form without a host", "GET http:/// HTTP/1.1|Host: a||"),
    (400, "CONNECT without a port", "CONNECT a HTTP/1.1|Host: a||"),
    (400, "CONNECT of a path", "CONNECT /a HTTP/1.1|Host: a||"),
    # section 6.3: Content-Length
    (400, "a length with a sign", CL + "+1||a"),
    (400, "a negative length", CL + "-1||"),
    (400, "a length in hexadecimal digits", CL + "0x1||a"),
    (400, "a length and a half", CL + "1.5||ab"),
    (400, "two lengths in a list", CL + "1, 2||ab"),
    (400, "two lengths that are the same, in a list", CL + "1, 1||a"),
    (400, "two lengths in two fields", CL + "1|Content-Length: 2||ab"),
    (400, "two lengths that are the same, in two fields", CL + "1|Content-Length: 1||a"),
    (400, "an empty length", CL + "||"),
    (400, "white space in a length", CL + "1 2||"),
    (400, "a word for a length", CL + "one||a"),
    (400, "a length of 2 to the 64th", CL + "18446744073709551616||"),
    (400, "a length of 2 to the 64th and 5", CL + "18446744073709551621||hello"),
    (400, "a length of a hundred digits", CL + "9" * 100 + "||"),
    (413, "a length of a terabyte", CL + "1099511627776||"),
    # section 6.1: Transfer-Encoding, and what stands beside it
    (400, "a length beside chunks", TE_NAMED + "chunked|Content-Length: 5||0||"),
    (400, "chunks beside a length of 0", CL + "0|Transfer-Encoding: chunked||0||"),
    (400, "chunks in HTTP/1.0", "POST /echo HTTP/1.0|Host: a|Transfer-Encoding: chunked||0||"),
    (400, "chunked twice, in a list", TE_NAMED + "chunked, chunked||0||"),
    (400, "chunked twice, in two fields", TE_NAMED + "chunked|Transfer-Encoding: chunked||0||"),
    (400, "chunked, but not at the end", TE_NAMED + "chunked, gzip||0||"),
    (501, "a coding in front of chunked", TE_NAMED + "gzip, chunked||0||"),
    (501, "an unknown coding in front of chunked", TE_NAMED + "twisted, chunked||0||"),
    (400, "a coding that is unknown", TE_NAMED + "twisted||0||"),
    (400, "identity, which is none any more", TE_NAMED + "identity||0||"),
    (400, "a name that only begins like chunked", TE_NAMED + "chunked1||0||"),
    (400, "an empty Transfer-Encoding", TE_NAMED + "||0||"),
    (400, "a vertical tab in front of chunked", TE_NAMED + "\vchunked||0||"),
    (400, "a folded Transfer-Encoding", TE_NAMED + "| chunked||0||"),
    # section 7.1: chunks
    (400, "a chunk without a size", TE + "|a|0||"),
    (400, "a size in other than hexadecimal digits", TE + "g|a|0||"),
    (400, "a size with a sign", TE + "+1|a|0||"),
    (400, "a size with a prefix", TE + "0x1|a|0||"),
    (400, "white space in front of a size", TE + " 1|a|0||"),
    (400, "white space behind a size, and nothing more", TE + "1 |a|0||"),
    (413, "a size of 17 digits", TE + "10000000000000000|a|0||"),
    (400, "a bare LF behind a size", TE + "1\na|0||"),
    (400, "a bare CR in the line of a size", TE + "1\ra|0||"),
    (400, "a bare LF behind a chunk", TE + "1|a\n0||"),
    (400, "more data than the size says", TE + "1|ab|0||"),
    (400, "less data than the size says", TE + "3|a|0||"),
    (400, "an empty line between chunks", TE + "1|a||0||"),
    (400, "an extension without a name", TE + "1;|a|0||"),
    (400, "an extension whose quotes stay open", TE + "1;b=\"c|a|0||"),
    (400, "a control byte in an extension", TE + "1;b=\x01|a|0||"),
    (400, "a trailer without a colon", TE + "1|a|0|nothing||"),
    (400, "a space in front of a trailer's colon", TE + "1|a|0|B : c||"),
    (400, "a bare LF at the end of the trailers", TE + "1|a|0|\n"),
]:
    case(f"{status}: {about}")(lambda status=status, text=text: each_way(f"{status}.", text + BEHIND))


# ---- what is answered ----

GET = "GET / HTTP/1.1|Host: a||"
CHUNKS = "3|abc|4;x=\"y;z\"|defg|0||"

for expected, about, text, *body in [
    ("200+", "a request", GET, b"hello\n"),
    ("200+", "an empty line in front of it", "|" + GET, b"hello\n"),
    ("200+", "fields with strange names and values", "GET / HTTP/1.1|Host: a|!#$%&'*+-.^_`~1: \xff\t~||"),
    ("200+", "empty fields", "GET / HTTP/1.1|Host: a|B:|C: \t ||"),
    ("200+", "a Host with a port", "GET / HTTP/1.1|hOST: \t a:80 ||"),
    ("200+", "a Host of IPv6", "GET / HTTP/1.1|Host: [::1]:8080||"),
    ("200+", "a higher minor version", "GET / HTTP/1.3|Host: a||"),
    ("200+", "a query", "GET /?a=%ff&/?:@!$'()*+,;=-._~ HTTP/1.1|Host: a||"),
    ("200+", "dot segments", "GET /a/../b/./../chunked?bytes=3 HTTP/1.1|Host: a||", b"\0\1\2"),
    ("200+", "an encoded path", "GET /%63hunked?bytes=1 HTTP/1.1|Host: a||", b"\0"),
    ("200+", "absolute-form, whatever the Host", "GET http://b:80/chunked?bytes=2 HTTP/1.1|Host: a||", b"\0\1"),
    ("200+", "absolute-form without a path", "GET HTTP://a?b HTTP/1.1|Host: a||", b"hello\n"),
    ("200.", "absolute-form in HTTP/1.0", "GET http://a/ HTTP/1.0||", b"hello\n"),
    ("404+", "a path that leads nowhere", "GET /nowhere HTTP/1.1|Host: a||"),
    ("404+", "a path that leads out", "GET /%2e%2e/%2e%2e/etc/passwd HTTP/1.1|Host: a||"),
    # methods (RFC 9110 section 9)
    ("200+", "HEAD", "HEAD / HTTP/1.1|Host: a||"),
    ("204+", "OPTIONS", "OPTIONS /echo HTTP/1.1|Host: a||"),
    ("204+", "OPTIONS of the server", "OPTIONS * HTTP/1.1|Host: a||"),
    ("405+", "a method that is not for this path", "DELETE /echo HTTP/1.1|Host: a||"),
    ("405+", "TRACE", "TRACE / HTTP/1.1|Host: a||"),
    ("501+", "a method that is unknown", "BREW / HTTP/1.1|Host: a||"),
    ("501+", "a method in small letters", "get / HTTP/1.1|Host: a||"),
    ("501+", "CONNECT", "CONNECT a:80 HTTP/1.1|Host: a:80||"),
    # bodies
    ("200+", "a body", CL + "5||hello", b"hello"),
    ("200+", "an empty body", CL + "0||", b""),
    ("200+", "no length is an empty body", "POST /echo HTTP/1.1|Host: a||", b""),
    ("200+", "a length with zeros in front", CL + "005||hello", b"hello"),
    ("200+", "a body in chunks", TE + CHUNKS, b"abcdefg"),
    ("200+", "CHUNKED", TE_NAMED + "CHUNKED||" + CHUNKS, b"abcdefg"),
    ("200+", "no chunks but the last", TE + "0||", b""),
    ("200+", "sizes in all digits", TE + "00A|0123456789|b|0123456789a|0000||", b"01234567890123456789a"),
    ("200+", "white space around an extension", TE + "1 ; b = c|a|0;d||", b"a"),
    ("200+", "data that look like chunks", TE + "7||0|||0||", b"\r\n0\r\n\r\n"),
    ("200+", "trailers that frame and route", TE + "1|a|0|Content-Length: 9|Host: b||", b"a"),
    ("200~", "a body of a GET", "GET / HTTP/1.1|Host: a|Content-Length: 33||" + BEHIND, b"hello\n"),
    ("200~", "chunks of a GET", "GET / HTTP/1.1|Host: a|Transfer-Encoding: chunked||" + CHUNKS, b"hello\n"),
    ("200~", "a body of a HEAD", "HEAD / HTTP/1.1|Host: a|Content-Length: 33||" + BEHIND),
    ("404~", "a body that nobody wants", "GET /none HTTP/1.1|Host: a|Content-Length: 33||" + BEHIND),
    ("405~", "a body of what is not allowed", "PUT / HTTP/1.1|Host: a|Content-Length: 33||" + BEHIND),
    # the connection (RFC 9112 section 9)
    ("200.", "Connection: close", "GET / HTTP/1.1|Host: a|Connection: close||" + BEHIND),
    ("200.", "close in a list", "GET / HTTP/1.1|Host: a|Connection: b , CLOSE||" + BEHIND),
    ("200.", "close in the second field", "GET / HTTP/1.1|Host: a|Connection: b|Connection: close||" + BEHIND),
    ("200+", "a word that has close in it", "GET / HTTP/1.1|Host: a|Connection: closed||"),
    ("200+", "keep-alive, which is so anyway", "GET / HTTP/1.1|Host: a|Connection: keep-alive||"),
    ("404.", "Connection: close of what is not there", "GET /none HTTP/1.1|Host: a|Connection: close||"),
    ("200.", "HTTP/1.0", "GET / HTTP/1.0||" + BEHIND, b"hello\n"),
    ("200.", "HTTP/1.0 with a body", "POST /echo HTTP/1.0|Content-Length: 2||ab" + BEHIND, b"ab"),
    ("200.", "HTTP/1.0, both words", "GET / HTTP/1.0|Connection: keep-alive, close||" + BEHIND),
    # Upgrade (RFC 9110 section 7.8): nobody has to
    ("200+", "an upgrade", "GET / HTTP/1.1|Host: a|Connection: upgrade|Upgrade: websocket||", b"hello\n"),
    ("200+", "an upgrade to HTTP/2", "GET / HTTP/1.1|Host: a|Connection: upgrade, http2-settings|"
     "Upgrade: h2c|HTTP2-Settings: AAMAAABkAAQAAP__||", b"hello\n"),
    # pipelines (RFC 9112 section 9.3.2)
    ("200 404 200+", "three in a row", GET + "GET /none HTTP/1.1|Host: a||" + GET),
    ("200 200 200+", "bodies in a row", CL + "3||abc" + TE + CHUNKS + CL + "2||de", b"de"),
    ("200 200 200+", "HEAD in the middle", GET + "HEAD / HTTP/1.1|Host: a||" + GET, b"hello\n"),
    ("200 200+", "the first one is answered late", "GET /later?ms=30 HTTP/1.1|Host: a||" + GET, b"hello\n"),
    ("200 200+", "the first one is made on the fly",
     "GET /slow-producer?pieces=3&ms=5 HTTP/1.1|Host: a||" + GET, b"hello\n"),
    ("200 200 200.", "the third one closes", GET * 2 + "GET / HTTP/1.1|Host: a|Connection: close||" + BEHIND),
    ("200 400.", "the second one is wrong", GET + "GET / HTTP/1.1|Host: a|B : c||" + BEHIND),
    ("200 400.", "the second one's chunks are wrong", GET + TE + "x|" + BEHIND),
    ("200 200.", "the second one is HTTP/1.0", GET + "GET / HTTP/1.0||" + BEHIND),
    # handlers
    ("500+", "a handler that fails", "GET /error HTTP/1.1|Host: a||"),
    ("500+", "a handler that returns nonsense", "GET /status/999 HTTP/1.1|Host: a||"),
    ("204+", "a status without content", "GET /status/204 HTTP/1.1|Host: a||"),
    ("205+", "205", "GET /status/205 HTTP/1.1|Host: a||", b""),
    ("304+", "304", "GET /status/304 HTTP/1.1|Host: a||", b""),
]:
    case(f"{expected} {about}")(lambda expected=expected, text=text, body=body:
                                each_way(expected, text, last_body(body[0]) if body else None))


@case("a hundred in one segment, answered in their order")
def _():
    for server in SERVERS:
        with server.connect() as wire:
            wire.send(octets("".join(f"GET /chunked?bytes={i} HTTP/1.1|Host: a||" for i in range(100))))
            for i in range(100):
                assert wire.reply().body == pattern(i), i


@case("HTTP/1.0 with keep-alive: kept, and said so; or ended")
def _():
    for server in SERVERS:
        with server.connect() as wire:
            wire.send(octets("GET / HTTP/1.0|Connection: Keep-Alive||"))
            reply = wire.reply()
            if "keep-alive" in (reply.get("Connection") or "").lower():
                is_kept(wire, reply)
            else:
                is_closed(wire, reply)


@case("an unknown length to HTTP/1.0 lasts until the end")
def _():
    for server in SERVERS:
        with server.connect() as wire:
            wire.send(octets("GET /chunked?bytes=50000 HTTP/1.0|Connection: keep-alive||"))
            reply = wire.reply()
            assert (reply.framing, reply.body) == ("close", pattern(50000)), reply
            assert reply.closes() or reply.get("Connection") is None, reply


# ---- what stands in a reply ----

@case("every reply has one Date, of now (RFC 9110 section 6.6.1)")
def _():
    for path in "/", "/none", "/error", "/file.bin", "/chunked", "/status/204", "/status/304", "/listing/":
        with SERVERS[0].connect() as wire:
            wire.send(octets(f"GET {path} HTTP/1.1|Host: a||"))
            date = wire.reply().get("Date")
        parsed = email.utils.parsedate_to_datetime(date)
        assert abs(parsed.timestamp() - time.time()) < 3, date
        assert email.utils.format_datetime(parsed, usegmt=True) == date, date


@case("405 and OPTIONS say what is allowed (RFC 9110 section 10.2.1)")
def _():
    for text, allowed in [("PUT / HTTP/1.1|Host: a||", {"GET", "HEAD", "OPTIONS"}),
                          ("OPTIONS / HTTP/1.1|Host: a||", {"GET", "HEAD", "OPTIONS"}),
                          ("GET /stop HTTP/1.1|Host: a||", None)]:
        with SERVERS[0].connect() as wire:
            wire.send(octets(text))
            reply = wire.reply()
            if allowed:
                assert set(reply.get("Allow").split(", ")) == allowed, reply


@case("HEAD has the fields of GET and no body (RFC 9110 section 9.3.2)")
def _():
    for server in SERVERS:
        for path in ("/", "/chunked", "/length", "/file.bin", "/none", "/later", "/listing/", "/error",
                     "/large", "/slow-producer"):
            with server.connect() as wire:
                wire.send(octets(f"GET {path} HTTP/1.1|Host: a||HEAD {path} HTTP/1.1|Host: a||"))
                get, head = wire.reply(), wire.reply("HEAD")
                fields = [[field for field in reply.fields if field[0] != "Date"] for reply in (get, head)]
                assert (get.status, fields[0]) == (head.status, fields[1]), f"{get} {head}"
                is_kept(wire, head)


@case("trailers come, and go where there are chunks (RFC 9110 section 6.5)")
def _():
    text = TE.replace("/echo", "/trailers") + "1|a|0|Digest: b|X: c||"
    for server in SERVERS:
        with server.connect() as wire:
            wire.send(octets(text))
            reply = wire.reply()
            assert reply.body == b"trailers:\nDigest=b\nX=c\n", reply.body
            assert reply.trailers == [("X-Count", "1")], reply.trailers
            wire.send(octets("POST /trailers HTTP/1.0|Content-Length: 0||"))
            reply = wire.reply()
            assert (reply.framing, reply.body) == ("close", b"trailers:\n"), reply


# ---- Expect (RFC 9110 section 10.1.1) ----

@case("100 Continue is sent to who waits for it")
def _():
    for server in SERVERS:
        for ask in (CL + "5|Expect: 100-continue||", CL + "5|expect: 100-CONTINUE||",
                    TE_NAMED + "chunked|Expect: 100-continue||"):
            with server.connect() as wire:
                wire.send(octets(ask))
                interim = wire.reply()
                assert interim.status == 100, interim
                wire.send(b"hello" if "Length" in ask else b"5\r\nhello\r\n0\r\n\r\n")
                reply = wire.reply()
                assert (reply.status, reply.body) == (200, b"hello"), reply
                is_kept(wire, reply)


@case("no 100 Continue in HTTP/1.0, without a body, or when the body is there")
def _():
    for server in SERVERS:
        for text in ("POST /echo HTTP/1.0|Content-Length: 1|Expect: 100-continue||a",
                     "GET / HTTP/1.1|Host: a|Expect: 100-continue||",
                     CL + "0|Expect: 100-continue||", CL + "1|Expect: 100-continue||a"):
            with server.connect() as wire:
                wire.send(octets(text))
                assert wire.reply().status == 200, text


@case("a body that is too large is not asked for: 413 in place of 100")
def _():
    for server in SERVERS:
        with server.connect() as wire:
            wire.send(octets(CL + "99999999|Expect: 100-continue||"))
            reply = wire.reply()
            assert reply.status == 413, reply
            is_closed(wire, reply)


@case("who refuses before the body asks for none: the final status in place of 100")
def _():
    with SERVERS[1].connect() as wire:
        wire.send(octets("POST /early HTTP/1.1|Host: a|Content-Length: 5|Expect: 100-continue||"))
        reply = wire.reply()
        assert (reply.status, reply.body) == (413, b"early\n"), reply
        # The client need not send the body, and who sends it is not taken for another request.
        wire.send(b"GET /")
        is_as_announced(wire, reply)


@case("another expectation: ignored, or 417")
def _():
    for server in SERVERS:
        with server.connect() as wire:
            wire.send(octets("GET / HTTP/1.1|Host: a|Expect: miracles||"))
            assert wire.reply().status in (200, 417)


# ---- early replies, ends, lingering ----

@case("a reply before the body: it can be read, and what is left of the body is no request")
def _():
    with SERVERS[1].connect() as wire:
        wire.send(octets("POST /early?status=200 HTTP/1.1|Host: a|Content-Length: 66||" + BEHIND * 2))
        reply = wire.reply()
        assert (reply.status, reply.body) == (200, b"early\n"), reply
        is_as_announced(wire, reply)


@case("413 for a megabyte that comes anyway can be read (RFC 9112 section 9.6)")
def _():
    for server in SERVERS:
        for head in CL + "2000000||", TE + "1e8480|":
            with server.connect() as wire:
                send(wire, [octets(head)] + [b"x" * 100000] * 20)
                reply = wire.reply()
                assert reply.status == 413, reply
                is_closed(wire, reply)


@case("413 for chunks that become too many")
def _():
    for server in SERVERS:
        with server.connect() as wire:
            send(wire, [octets(TE)] + [b"10000\r\n" + b"x" * 65536 + b"\r\n"] * 20)
            reply = wire.reply()
            assert reply.status == 413, reply
            is_closed(wire, reply)


for status, about, start in [
    (414, "a target without an end", b"GET /" + b"a" * 65536),
    (431, "a field without an end", b"GET / HTTP/1.1\r\nHost: a\r\nB: " + b"c" * 65536),
    (431, "a name without an end", b"GET / HTTP/1.1\r\nHost: a\r\n" + b"b" * 65536),
    (431, "fields without an end", b"GET / HTTP/1.1\r\nHost: a\r\n" + b"B: c\r\n" * 8192),
]:
    def refuses(status=status, start=start):
        for server in SERVERS:
            with server.connect() as wire:
                send(wire, [start])
                reply = wire.reply()
                assert reply.status == status, reply
                is_closed(wire, reply)

    case(f"{status}: {about}")(refuses)


for about, start in [("a method", b"A" * 65536), ("empty lines", b"\r\n" * 65536),
                     ("an extension", octets(TE) + b"1;" + b"a" * 65536),
                     ("the zeros of a size", octets(TE) + b"0" * 65536),
                     ("trailers", octets(TE) + b"0\r\n" + b"A: b\r\n" * 8192)]:
    def ends(start=start):
        for server in SERVERS:
            with server.connect() as wire:
                send(wire, [start])
                reply = wire.reply()
                assert 400 <= reply.status < 500, reply
                is_closed(wire, reply)

    case(f"4xx: {about} without an end")(ends)


@case("who closes its sending side gets its replies (RFC 9112 section 9.6)")
def _():
    for server in SERVERS:
        for text in (GET * 3, "GET /later?ms=50 HTTP/1.1|Host: a||" + GET * 2,
                     CL + "2||ab" + TE + CHUNKS + GET):
            with server.connect() as wire:
                wire.send(octets(text))
                wire.finish()
                assert [wire.reply().status for _ in range(3)] == [200] * 3, text
                assert wire.ended() == "end"


@case("who closes in the middle of a request gets a 400 or nothing")
def _():
    for server in SERVERS:
        for text in ("GET / HT", "GET / HTTP/1.1|Host: a", "GET / HTTP/1.1|Host: a|", CL + "5||hell",
                     TE + "5|hel", TE + "5|hello|", TE + "5|hello|0|", TE + "5|hello|0|A: b|"):
            with server.connect() as wire:
                wire.send(octets(text))
                wire.finish()
                try:
                    assert wire.reply().status == 400, text
                    assert wire.ended() == "end"
                except Cut:
                    assert not wire.pending, wire.pending


@case("a body that turns out shorter or fails is cut: never taken for whole")
def _():
    for server in SERVERS:
        for path in "/short", "/broken":
            with server.connect() as wire:
                wire.send(octets(f"GET {path} HTTP/1.1|Host: a||"))
                try:
                    reply = wire.reply()
                except Cut:
                    continue
                raise AssertionError(f"{path}: {reply} looks complete")


@case("borrowed, produced and filed bodies arrive whole")
def _():
    for server in SERVERS:
        for path, body in [("/large", pattern(50000000)), ("/chunked?bytes=3000000", pattern(3000000)),
                           ("/length?bytes=3000000", pattern(3000000)), ("/file.bin", FILE)]:
            assert server.ask(path)[1] == body, path


# ---- conditions and ranges (RFC 9110 sections 13 and 14) ----

def validators(server):
    with server.connect() as wire:
        wire.send(octets("GET /file.bin HTTP/1.1|Host: a||"))
        reply = wire.reply()
    return {"ETAG": reply.get("ETag"), "DATE": reply.get("Last-Modified")}


def date(seconds, form="%a, %d %b %Y %H:%M:%S GMT"):
    return time.strftime(form, time.gmtime(1_600_000_000 + seconds))


WHOLE = slice(0, len(FILE))
SIZE = len(FILE)

for status, about, fields, part in [
    (304, "the same tag", "If-None-Match: ETAG", None),
    (304, "the same tag, weak", "If-None-Match: W/ETAG", None),
    (304, "the same tag among others", 'If-None-Match: "a", "b,c" ,ETAG', None),
    (304, "any tag", "If-None-Match: *", None),
    (304, "the same date", "If-Modified-Since: DATE", None),
    (304, "a later date", "If-Modified-Since: " + date(1), None),
    (304, "the same date, as once written", "If-Modified-Since: " + date(0, "%A, %d-%b-%y %H:%M:%S GMT"), None),
    (304, "the same date, as C writes it", "If-Modified-Since: " + date(0, "%a %b %e %H:%M:%S %Y"), None),
    (304, "the same tag counts more than a date", "If-None-Match: ETAG|If-Modified-Since: " + date(-9), None),
    (200, "another tag", 'If-None-Match: "other"', WHOLE),
    (200, "another tag counts more than a date", 'If-None-Match: "other"|If-Modified-Since: DATE', WHOLE),
    (200, "an earlier date", "If-Modified-Since: " + date(-1), WHOLE),
    (200, "what is no date", "If-Modified-Since: yesterday", WHOLE),
    (200, "a match", "If-Match: ETAG", WHOLE),
    (200, "a match of any", "If-Match: *", WHOLE),
    (200, "not modified since later", "If-Unmodified-Since: " + date(1), WHOLE),
    (412, "no match", 'If-Match: "other"', None),
    (412, "a match that is weak", "If-Match: W/ETAG", None),
    (412, "modified since earlier", "If-Unmodified-Since: " + date(-1), None),
    (206, "the first ten", "Range: bytes=0-9", slice(0, 10)),
    (206, "one byte", "Range: bytes=77-77", slice(77, 78)),
    (206, "from the middle on", "Range: bytes=4000-", slice(4000, SIZE)),
    (206, "the last ten", "Range: bytes=-10", slice(SIZE - 10, SIZE)),
    (206, "more than there is", "Range: bytes=4990-999999", slice(4990, SIZE)),
    (206, "more than a number holds", "Range: bytes=4990-99999999999999999999999", slice(4990, SIZE)),
    (206, "more of the last than there is", "Range: bytes=-99999", WHOLE),
    (206, "a range if it is the same", "Range: bytes=0-9|If-Range: ETAG", slice(0, 10)),
    (206, "a range if the date is the same", "Range: bytes=0-9|If-Range: DATE", slice(0, 10)),
    (200, "a range if it is another", 'Range: bytes=0-9|If-Range: "other"', WHOLE),
    (200, "a range if it is weakly the same", "Range: bytes=0-9|If-Range: W/ETAG", WHOLE),
    (200, "a range if the date is later", "Range: bytes=0-9|If-Range: " + date(9), WHOLE),
    (200, "a range of other units", "Range: lines=0-9", WHOLE),
    (200, "a range that runs backwards", "Range: bytes=9-0", WHOLE),
    (200, "a range that is none", "Range: bytes=a-b", WHOLE),
    (416, "behind the end", f"Range: bytes={SIZE}-", None),
    (416, "the last none", "Range: bytes=-0", None),
    (304, "a range of what is there already", "Range: bytes=0-9|If-None-Match: ETAG", None),
    (412, "a range of what is another", 'Range: bytes=0-9|If-Match: "other"', None),
]:
    def conditional(status=status, fields=fields, part=part):
        for server in SERVERS:
            text = f"GET /file.bin HTTP/1.1|Host: a|{fields}||"
            for name, value in validators(server).items():
                text = text.replace(name, value)
            with server.connect() as wire:
                wire.send(octets(text))
                reply = wire.reply()
                assert reply.status == status, reply
                assert part is None or reply.body == FILE[part], reply
                if status == 206:
                    expected = f"bytes {part.start}-{part.stop - 1}/{SIZE}"
                    assert reply.get("Content-Range") == expected, reply
                if status == 416:
                    assert reply.get("Content-Range") == f"bytes */{SIZE}", reply
                if status in (200, 206, 304):
                    assert reply.get("ETag") == validators(server)["ETAG"], reply
                is_kept(wire, reply)

    case(f"{status} for a file: {about}")(conditional)


@case("several ranges: each of them in its part, or the whole file")
def _():
    with SERVERS[0].connect() as wire:
        wire.send(octets("GET /file.bin HTTP/1.1|Host: a|Range: bytes=0-9, 100-109||"))
        reply = wire.reply()
    if reply.status == 200:
        assert reply.body == FILE
        return
    boundary = re.fullmatch(r"multipart/byteranges; ?boundary=(\S+)", reply.get("Content-Type")).group(1)
    parts = reply.body.split(b"--" + boundary.encode())
    for part, first in zip(parts[1:3], (0, 100)):
        head, _, body = part.partition(b"\r\n\r\n")
        assert f"Content-Range: bytes {first}-{first + 9}/{SIZE}".encode() in head, head
        assert body == FILE[first:first + 10] + b"\r\n", body
    assert parts[3].startswith(b"--"), parts[3]


@case("a thousand ranges do not make a file longer")
def _():
    with SERVERS[0].connect() as wire:
        wire.send(octets("GET /file.bin HTTP/1.1|Host: a|Range: bytes=" + ",".join(["0-"] * 1000) + "||"))
        assert len(wire.reply().body) < 2 * SIZE


# ---- nothing was read as something else ----

@case("none of what stood behind was taken for a request")
def _():
    for server in SERVERS:
        assert server.ask()[0] == 200
    wait_for(lambda: open(LOG.name).read().count("GET / "))
    with open(LOG.name) as log:
        assert "/behind" not in log.read()


@case("both servers stop when they are told to")
def _():
    for server in SERVERS:
        status, said = server.stop()
        assert status == 0 and said == b"stopped\n", (status, said)


main()
