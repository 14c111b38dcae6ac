"""clients.py SIMPLE_GET LARGE_FILE_GET - the client programs and a private Apache, by URL."""
import os
import re
import shutil
import sys
import tempfile

from apache import FILE_1, FILE_3, HEAD_1, HEAD_3, KEEP_ALIVE_S, PAGE_1, PAGE_3, Apache, available
from common import Skip, case, main, run, skip_all

SIMPLE_GET, LARGE_FILE_GET = sys.argv[1:3]
HOLDS_BACK = KEEP_ALIVE_S / 2  # seconds: less, and it was not the server that ended the wait

if not available():
    skip_all("no apache2 (package apache2-bin)")


def transcript(apache, path, label, head, body):
    return (f"Request: GET {path} HTTP/1.1\n"
            f"Host:127.0.0.1:{apache.port}\n"
            f"[RECV] - {label}: {len(head) + len(body)}\n").encode() + head + body


def undated(data):
    """Two answers may have been sent in different seconds."""
    return re.sub(rb"Date: [^\r]*", b"Date: -", data)


def fetched(result, apache, path, label, body):
    expected = transcript(apache, path, label, apache.head(path), body)
    assert result.status == 0 and not result.err, result
    assert undated(result.out) == undated(expected), f"{result}\ninstead of\n{expected!r}"
    assert result.seconds < HOLDS_BACK, f"it waited for the server to close: {result}"


with Apache() as apache:
    @case("simple_get: file 1, head and body")
    def _():
        result = run(SIMPLE_GET, apache.url(FILE_1))
        fetched(result, apache, FILE_1, "length", PAGE_1)
        assert f"length: {HEAD_1 + 81}\n".encode() in result.out, result

    @case("large_file_get: file 3, head and body")
    def _():
        result = run(LARGE_FILE_GET, apache.url(FILE_3))
        fetched(result, apache, FILE_3, "total length", PAGE_3)
        assert f"total length: {HEAD_3 + 4500}\n".encode() in result.out, result

    for about, path, body in [
        ("keep-alive", FILE_1, PAGE_1),
        ("Connection: close", "/close" + FILE_3, PAGE_3),
        ("HTTP/1.0", "/old" + FILE_3, PAGE_3),
        ("an empty body", "/empty.html", b""),
        ("chunks", "/chunked.shtml", None),
        ("HTTP/1.0 that lasts until close", "/old/chunked.shtml", None),
        ("a query", FILE_1 + "?a=%20b&c", PAGE_1),
    ]:
        def get(path=path, body=body):
            if body is None:
                body = b"<html>\n" + b"<p>a part</p>\n" * 1000 + b"end\n</html>\n"
            fetched(run(LARGE_FILE_GET, apache.url(path)), apache, path, "total length", body)

        case(f"large_file_get: {about}")(get)

    @case("the framing of these was what it should be")
    def _():
        assert b"Transfer-Encoding: chunked" in apache.head("/chunked.shtml")
        assert b"Connection: close" in apache.head("/close" + FILE_3)
        old = apache.head("/old/chunked.shtml")
        assert old.startswith(b"HTTP/1.0 200") and b"Length" not in old and b"chunked" not in old, old
        assert b"close" not in apache.head(FILE_1)

    @case("large_file_get: 404 and 302 are answers")
    def _():
        for path, status in [("/none", b"404"), ("/moved/x", b"302")]:
            result = run(LARGE_FILE_GET, apache.url(path))
            assert result.status == 0 and b"HTTP/1.1 " + status in result.out, result

    @case("large_file_get --output: five megabytes, all of them")
    def _():
        with tempfile.TemporaryDirectory() as folder:
            result = run(LARGE_FILE_GET, "--output", folder + "/x", apache.url("/large.bin"))
            assert result.status == 0 and not result.err, result
            with open(folder + "/x", "rb") as file:
                assert file.read() == bytes(range(256)) * 20000, "another file came"

    @case("large_file_get --output: an error page is no download")
    def _():
        with tempfile.TemporaryDirectory() as folder:
            result = run(LARGE_FILE_GET, "--output", folder + "/x", apache.url("/none"))
            assert result.status == 1 and b"404" in result.err and not os.listdir(folder), result

    @case("simple_get calls connect, send and recv once each")
    def _():
        if not shutil.which("strace"):
            raise Skip("no strace")
        with tempfile.TemporaryDirectory() as folder:
            trace = folder + "/trace"
            # LeakSanitizer cannot work under a tracer.
            quiet = {"ASAN_OPTIONS": os.environ.get("ASAN_OPTIONS", "") + ":detect_leaks=0"}
            result = run("strace", "-f", "-e", "trace=network,read", "-o", trace, SIMPLE_GET,
                         apache.url(FILE_3), env=quiet)
            if result.status != 0 and b"ptrace" in result.err:
                raise Skip("strace may not trace here")
            assert result.status == 0, result
            with open(trace) as file:
                lines = file.read()
        calls = re.findall(r"^(?:\d+ +)?(\w+)\((\d+),", lines, re.M)
        connects = [i for i, (name, _) in enumerate(calls) if name == "connect"]
        assert len(connects) == 1, lines
        used = [name for name, fd in calls[connects[0]:] if fd == calls[connects[0]][1]]
        assert [name for name in used if name.startswith(("recv", "read"))] == ["recvfrom"], lines
        assert len([name for name in used if name.startswith(("send", "write"))]) == 1, lines

    @case("by name: localhost")
    def _():
        result = run(LARGE_FILE_GET, f"http://localhost:{apache.port}{FILE_1}")
        assert result.status == 0 and result.out.endswith(PAGE_1), result

    main()
