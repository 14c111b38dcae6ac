"""real.py FOLDER - get, post and upload against servers and proxies that people use.

Whatever get fetches, curl fetches too, and the bytes are the same: from Apache, from nginx, from
Python's http.server, which speaks HTTP/1.0, and by tinyproxy. What post and upload send comes back.
"""
import contextlib
import functools
import hashlib
import http.server
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading

import apache
import nginx
import tinyproxy
from common import PATIENCE, Skip, case, free_port, main, run, skip_all

import certs

GET, POST, UPLOAD = (os.path.join(sys.argv[1], name) for name in ("get", "post", "upload"))

for command, package in [("curl", "curl"), ("openssl", "openssl"), ("setpriv", "util-linux")]:
    if not shutil.which(command):
        skip_all(f"no {command} (package {package})")

# No proxy of this machine's gets in between.
CALM = {name: "" for name in
        "http_proxy https_proxy HTTPS_PROXY all_proxy ALL_PROXY no_proxy NO_PROXY".split()}
TEXT = b"".join(b"<p>line %d of a page that can be made shorter</p>\n" % i for i in range(4000))
SMALL = b"<html>a small page</html>\n"
LARGE = hashlib.sha256(b"x").digest() * ((50 << 20) // 32)  # codings would make nothing of it
MEDIUM = LARGE[:4 << 20]
FILES = {"index.html": SMALL, "empty.html": b"", "text.html": TEXT, "medium.bin": MEDIUM,
         "large.bin": LARGE}
CURL = ["curl", "-q", "-sS", "--http1.1", "--suppress-connect-headers", "--max-time", str(PATIENCE)]

AS_CURL = {"--ca-file": "--cacert"}  # the others have the same names


# ---- servers ----

MORE_APACHE = """
LoadModule deflate_module {modules}/mod_deflate.so
LoadModule brotli_module {modules}/mod_brotli.so
LoadModule ssl_module {modules}/mod_ssl.so
LoadModule cgid_module {modules}/mod_cgid.so
ScriptSock "{root}/cgid"
ScriptAlias "/echo" "{root}/htdocs/echo.sh"
Alias "/gzip" "{root}/htdocs"
Alias "/brotli" "{root}/htdocs"
<Location "/gzip">
    SetOutputFilter DEFLATE
</Location>
<Location "/brotli">
    SetOutputFilter BROTLI_COMPRESS
</Location>
Listen 127.0.0.1:{tls}
<VirtualHost 127.0.0.1:{tls}>
    SSLEngine On
    SSLCertificateFile "{certificates}/good.pem"
    SSLCertificateKeyFile "{certificates}/good.key"
</VirtualHost>
"""
ECHO = b"""#!/bin/sh
umask 077
file=$(mktemp) || exit 1
cat >"$file" # all of it: Apache reads no answer before it has sent everything
printf 'Content-Type: application/octet-stream\\r\\n\\r\\n'
cat "$file"
rm "$file"
"""


class Apache(apache.Apache):
    """With TLS, content codings and a program."""

    def __init__(self, certificates):
        super().__init__()
        self.certificates = certificates

    def write_files(self):
        os.chmod(self.root, 0o755)
        for name, data in FILES.items():
            self.write(name, data)
        self.write("part.html", TEXT)
        self.write("chunked.shtml", b'<!--#include virtual="/part.html" -->end\n')
        self.write("echo.sh", ECHO)
        os.chmod(self.path("echo.sh"), 0o755)

    def config(self):
        self.tls = free_port()
        return super().config() + MORE_APACHE.format(
            modules=apache.MODULES, root=self.root, tls=self.tls, certificates=self.certificates)

    def pad_heads(self):
        pass

    def tls_url(self, path):
        return f"https://127.0.0.1:{self.tls}{path}"


class Handler(http.server.SimpleHTTPRequestHandler):
    """HTTP/1.0, as it is by itself; a POST or a PUT gets its own bytes back."""

    def do_POST(self):
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(body)

    do_PUT = do_POST

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def python_server(folder, handler=Handler):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0),
                                             functools.partial(handler, directory=folder))
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, args=[0.05], daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


# ---- what is compared ----

def ask(*command, env=None, **more):
    return run(*command, env={**CALM, **(env or {})}, **more)


def works(result, out=None):
    assert result.status == 0 and not result.err, result
    if out is not None:
        assert result.out == out, (f"{len(result.out)} bytes of {len(out)}", result)
    return result


def fails(result, *words):
    said = result.err.decode()
    assert result.status == 1 and said.count("\n") == 1, result
    for word in words:
        assert word in said, f"{word!r} is not in {said!r}"
    return result


def for_curl(options):
    return [AS_CURL.get(option, option) for option in options]


def undated(data):
    """Two answers differ in their time, and in the connection that they came on."""
    return re.sub(rb"(Date|X-Connection|Age): .*\r\n", b"", data)


def same(url, *options, curl=(), env=None, body=None):
    """get and curl print the same; what it is, when it is known."""
    ours = works(ask(GET, *options, url, env=env))
    theirs = ask(*CURL, "--location", *for_curl(options), *curl, url, env=env)
    assert theirs.status == 0, theirs
    assert undated(ours.out) == undated(theirs.out), (
        f"{len(ours.out)} bytes, and {len(theirs.out)} of curl's\n{ours.out[:600]}\n{theirs.out[:600]}")
    if body is not None:
        assert ours.out == body, (len(ours.out), len(body))
    return ours


def head_of(url, *options):
    return works(ask(GET, "--include", *options, url)).out.partition(b"\r\n\r\n")[0].decode()


def send(data, *command):
    """What a program prints that has `data` on its standard input, a pipe."""
    done = subprocess.run(command, input=data, capture_output=True, timeout=PATIENCE,
                          env={**os.environ, **CALM})
    assert done.returncode == 0 and not done.stderr, (done.returncode, done.stderr)
    return done.stdout


POSTS = [0, 1, 1 << 20, 16 << 20]  # post keeps no more in memory
UPLOADS = [0, 1, 1 << 20, 20 << 20]


@contextlib.contextmanager
def a_file(data):
    with tempfile.NamedTemporaryFile() as file:
        file.write(data)
        file.flush()
        yield file.name


def echoes(url, *options, posts=POSTS, uploads=UPLOADS, pipes=UPLOADS):
    """There and back: from memory, from a file, from a pipe."""
    for size in posts:
        assert send(LARGE[:size], POST, *options, url) == LARGE[:size], ("post", size)
    for size in uploads:
        with a_file(LARGE[:size]) as name:
            works(ask(UPLOAD, *options, name, url), LARGE[:size])
    for size in pipes:
        assert send(LARGE[:size], UPLOAD, *options, "-", url) == LARGE[:size], ("upload -", size)


def pages(name, url, options=(), env=None):
    """What every server has."""
    def add(about):
        return case(f"{name}: {about}")

    @add("pages, an empty one, fifty megabytes")
    def _():
        same(url("/index.html"), *options, body=SMALL, env=env)
        same(url("/text.html"), *options, body=TEXT, env=env)
        same(url("/empty.html"), *options, body=b"", env=env)
        same(url("/large.bin"), *options, body=LARGE, env=env)

    @add("the head, and the head alone")
    def _():
        same(url("/text.html"), "--include", *options, env=env)
        same(url("/text.html"), "--head", *options, env=env)
        same(url("/large.bin"), "--head", *options, env=env)

    @add("404, with its page")
    def _():
        assert b"404" in same(url("/nothing.html"), *options, env=env).out
        same(url("/nothing.html"), "--head", *options, env=env)
        fails(ask(GET, "--fail", *options, url("/nothing.html"), env=env),
              "127.0.0.1: receive head: the answer was 404 Not Found")

    @add("one after the other")
    def _():
        urls = [url(path) for path in ("/index.html", "/nothing.html", "/empty.html", "/text.html")] * 3
        ours = works(ask(GET, *options, *urls, env=env)).out
        theirs = ask(*CURL, *for_curl(options), *urls, env=env)
        assert theirs.status == 0 and ours == theirs.out, theirs.status


def ranges(name, url, options=()):
    @case(f"{name}: ranges")
    def _():
        for text, body in [("0-0", TEXT[:1]), ("100-199", TEXT[100:200]), ("-7", TEXT[-7:]),
                           ("100-", TEXT[100:]), ("99999999-", None)]:
            result = same(url("/text.html"), "--header", "Range: bytes=" + text, *options, body=body)
            assert body or b"416" in result.out, result


def codings(name, url, path, coding, options=()):
    @case(f"{name}: {coding}")
    def _():
        for page, body in [("index.html", SMALL), ("text.html", TEXT), ("medium.bin", MEDIUM)]:
            same(url(path + page), *options, curl=["--compressed"], body=body)
        # Who asks for it by himself gets it as it is.
        own = ["--header", "Accept-Encoding: " + coding]
        coded = same(url(path + "text.html"), *own, *options).out
        assert coded != TEXT and len(coded) < len(TEXT) / 2, len(coded)
        assert "Content-Encoding: " + coding in head_of(url(path + "text.html"), *own, *options)


def closing(name, url, path, options=()):
    @case(f"{name}: connections that are closed after each answer")
    def _():
        for page, body in [("index.html", SMALL), ("empty.html", b""), ("text.html", TEXT),
                           ("medium.bin", MEDIUM)]:
            same(url(path + page), *options, body=body)
        assert "\r\nConnection: close" in head_of(url(path + "index.html"), *options)
        urls = [url(path + page) for page in ("index.html", "empty.html", "text.html")]
        works(ask(GET, *options, *urls), SMALL + TEXT)


# ---- Apache ----

def apache_cases(stack, folder, trusting):
    server = stack.enter_context(Apache(folder))
    for name, url, options in [("Apache", server.url, ()), ("Apache, https", server.tls_url, trusting)]:
        pages(name, url, options)
        ranges(name, url, options)
        codings(name, url, "/gzip/", "gzip", options)
        codings(name, url, "/brotli/", "br", options)
        closing(name, url, "/close/", options)

        @case(f"{name}: chunks")
        def _(url=url, options=options):
            same(url("/chunked.shtml"), *options, body=TEXT + b"end\n")
            assert "Transfer-Encoding: chunked" in head_of(url("/chunked.shtml"), *options)

        @case(f"{name}: HTTP/1.0, until close")
        def _(url=url, options=options):
            assert head_of(url("/old/chunked.shtml"), *options).startswith("HTTP/1.0 200 ")
            same(url("/old/chunked.shtml"), *options, body=TEXT + b"end\n")
            same(url("/old/index.html"), *options, body=SMALL)

        @case(f"{name}: a program that echoes")
        def _(url=url, options=options):
            same(url("/echo"), *options, body=b"")
            echoes(url("/echo"), *options)


# ---- nginx ----

def connection_numbers(*arguments):
    heads = works(ask(GET, "--include", *arguments)).out
    return re.findall(rb"X-Connection: (\d+)\r\n", heads)


def nginx_cases(stack, folder, trusting):
    server = stack.enter_context(nginx.Nginx(FILES, folder))
    socket_option = ["--address", f"127.0.0.1:{server.port}=unix:{server.path('socket')}"]
    for name, url, options in [("nginx", server.url, ()), ("nginx, https", server.tls_url, trusting)]:
        pages(name, url, options)
        ranges(name, url, options)
        codings(name, url, "/gzip/", "gzip", options)
        closing(name, url, "/close/", options)

        @case(f"{name}: gzip until close")
        def _(url=url, options=options):
            same(url("/gzip-close/text.html"), *options, curl=["--compressed"], body=TEXT)
            head = head_of(url("/gzip-close/text.html"), *options)
            assert "Content-Encoding: gzip" in head and "Transfer-Encoding" not in head, head

        @case(f"{name}: redirects")
        def _(url=url, options=options):
            same(url("/moved/"), *options, body=SMALL)
            assert b"200 OK" in works(ask(GET, "--head", *options, url("/moved/"))).out
            result = works(ask(GET, "--no-redirects", *options, url("/moved/")))
            assert b"301 Moved Permanently" in result.out, result

        @case(f"{name}: 204")
        def _(url=url, options=options):
            same(url("/none/"), "--include", *options)
            works(ask(GET, *options, *[url("/none/"), url("/index.html")] * 3), SMALL * 3)

        @case(f"{name}: one connection is enough, as long as it is kept")
        def _(url=url, options=options):
            kept = [url(path) for path in ("/index.html", "/gzip/text.html", "/nothing", "/none/",
                                           "/large.bin")]
            assert len(set(connection_numbers(*options, *kept))) == 1
            assert len(set(connection_numbers(*options, *[url("/close/index.html")] * 3))) == 3

        @case(f"{name}: Basic, from the URL")
        def _(url=url, options=options):
            where = url("/private/index.html")
            login = where.replace("://", "://somebody:secret%20word@")
            same(login, *options, body=SMALL)
            assert b"401" in same(where, *options).out
            assert b"401" in same(where.replace("://", "://somebody:wrong@"), *options).out

        @case(f"{name}: PUT, with a length and in chunks, and what has become of it")
        def _(url=url, options=options):
            for size in UPLOADS:
                path = f"/put/file-{size}"
                with a_file(LARGE[:size]) as name:
                    works(ask(UPLOAD, *options, name, url(path)), b"")
                works(ask(GET, *options, url(path)), LARGE[:size])
                send(LARGE[:size], UPLOAD, *options, "-", url(path + "-piped"))
                works(ask(GET, *options, url(path + "-piped")), LARGE[:size])

    @case("nginx: a redirect to another host name, to https, and back from there")
    def _():
        same(server.url("/far/"), body=SMALL)
        same(server.url("/secured/"), *trusting, body=SMALL)
        result = fails(ask(GET, *trusting, server.tls_url("/downgraded/")),
                       "127.0.0.1: receive head: a redirect from https to http")
        assert not result.out, result

    @case("nginx, https: without its root, and without looking")
    def _():
        fails(ask(GET, server.tls_url("/index.html")), "127.0.0.1: TLS: ", "certificate")
        same(server.tls_url("/index.html"), "--insecure", body=SMALL)

    @case("nginx: --address unix:/path")
    def _():
        for path, body in [("/index.html", SMALL), ("/large.bin", LARGE), ("/gzip/text.html", TEXT)]:
            works(ask(GET, *socket_option, server.url(path)), body)
            theirs = ask(*CURL, "--unix-socket", server.path("socket"), server.url(path))
            assert theirs.status == 0 and theirs.out == body, theirs
        assert len(set(connection_numbers(*socket_option, *[server.url("/index.html")] * 3))) == 1
        name = "http://anybody.example/index.html"
        works(ask(GET, "--address", f"anybody.example:80=unix:{server.path('socket')}", name), SMALL)

    @case("nginx: --address ADDRESS:PORT, for a name that does not exist, https too")
    def _():
        works(ask(GET, "--address", f"anybody.example:80=127.0.0.1:{server.port}",
                  "http://anybody.example/index.html"), SMALL)
        name = ["--address", f"localhost:443=127.0.0.1:{server.tls}", *trusting]
        works(ask(GET, *name, "https://localhost/index.html"), SMALL)
        wrong = ["--address", f"anybody.example:443=127.0.0.1:{server.tls}", *trusting]
        fails(ask(GET, *wrong, "https://anybody.example/index.html"), "TLS: host name mismatch")
    return server


# ---- HTTP/1.0 ----

def python_cases(stack, folder):
    site = stack.enter_context(tempfile.TemporaryDirectory())
    for name, data in FILES.items():
        with open(os.path.join(site, name), "wb") as file:
            file.write(data)
    base = stack.enter_context(python_server(site))
    pages("http.server", lambda path: base + path)

    @case("http.server: HTTP/1.0")
    def _():
        assert head_of(base + "/index.html").startswith("HTTP/1.0 200 OK")

    @case("http.server: a redirect to a folder, and its listing")
    def _():
        os.mkdir(os.path.join(site, "folder"))
        assert b"Directory listing" in same(base + "/folder").out

    @case("http.server: bytes until close, echoed")
    def _():
        # It reads no chunks, and "100 Continue" is waited for in vain: so few of the large ones.
        echoes(base + "/echo", posts=[0, 1, 1 << 20], uploads=[0, 1, 20 << 20], pipes=[])


# ---- tinyproxy ----

def proxy_cases(stack, folder, trusting, server):
    proxy = stack.enter_context(tinyproxy.Tinyproxy())
    guarded = stack.enter_context(tinyproxy.Tinyproxy("somebody secret"))
    by = ["--proxy", proxy.url()]
    pages("tinyproxy", server.url, by)
    pages("tinyproxy, https behind it", server.tls_url, [*by, *trusting])
    direct = server.url("/index.html"), server.tls_url("/index.html")

    def went(which, before):
        return which.log()[len(before):].count("Request")

    @case("tinyproxy: codings, ranges, redirects, one tunnel for all")
    def _():
        for url in server.url, server.tls_url:
            same(url("/gzip/text.html"), *by, *trusting, curl=["--compressed"], body=TEXT)
            same(url("/text.html"), "--header", "Range: bytes=5-9", *by, *trusting, body=TEXT[5:10])
            same(url("/moved/"), *by, *trusting, body=SMALL)
        tunnel = connection_numbers(*by, *trusting, *[server.tls_url("/index.html")] * 3)
        assert len(set(tunnel)) == 1, tunnel

    @case("tinyproxy: PUT through it")
    def _():
        with a_file(LARGE[:20 << 20]) as name:
            for url in server.url, server.tls_url:
                works(ask(UPLOAD, *by, *trusting, name, url("/put/by-proxy")), b"")
                works(ask(GET, *trusting, url("/put/by-proxy")), LARGE[:20 << 20])

    @case("tinyproxy: from the environment; no_proxy")
    def _():
        for url in direct:
            scheme = url.partition(":")[0]
            for env, count in [({scheme + "_proxy": proxy.url()}, 1), ({"all_proxy": proxy.url()}, 1),
                               ({"all_proxy": proxy.url(), "no_proxy": "example.com"}, 1),
                               ({"all_proxy": proxy.url(), "no_proxy": "127.0.0.1"}, 0),
                               ({"all_proxy": proxy.url(), "no_proxy": "127.0.0.0/8"}, 0),
                               ({"all_proxy": proxy.url(), "no_proxy": "*"}, 0)]:
                before = proxy.log()
                works(ask(GET, *trusting, url, env=env), SMALL)
                assert went(proxy, before) == count, (env, proxy.log()[len(before):])
            before = proxy.log()
            works(ask(GET, "--proxy", "", *trusting, url, env={"all_proxy": proxy.url()}), SMALL)
            assert went(proxy, before) == 0
        same(direct[0], env={"http_proxy": proxy.url()}, body=SMALL)

    @case("tinyproxy: Basic, right and wrong")
    def _():
        for url in direct:
            same(url, "--proxy", guarded.url("somebody:secret"), *trusting, body=SMALL)
        for login in "", "somebody:wrong", "nobody:secret":
            result = works(ask(GET, "--include", "--proxy", guarded.url(login), direct[0]))
            assert b" 407 " in result.out or b" 401 " in result.out, result
            status = 407 if b" 407 " in result.out else 401
            fails(ask(GET, "--fail", "--proxy", guarded.url(login), direct[0]),
                  "127.0.0.1: receive head: the answer was", str(status))
            result = fails(ask(GET, "--proxy", guarded.url(login), *trusting, direct[1]),
                           "127.0.0.1: proxy: the proxy answered", str(status))
            assert not result.out, result

    @case("tinyproxy: behind it nobody listens")
    def _():
        closed = free_port()
        result = works(ask(GET, "--include", *by, f"http://127.0.0.1:{closed}/"))
        assert result.out.startswith((b"HTTP/1.0 5", b"HTTP/1.1 5")), result
        fails(ask(GET, *by, *trusting, f"https://127.0.0.1:{closed}/"),
              "127.0.0.1: proxy: the proxy answered 5")


def build(stack):
    """Where a server is missing, one case says so in place of its own."""
    folder = certs.make(stack.enter_context(tempfile.TemporaryDirectory()))
    os.chmod(folder, 0o755)
    trusting = ["--ca-file", os.path.join(folder, "root.pem")]
    served = None
    python_cases(stack, folder)
    if apache.available():
        apache_cases(stack, folder, trusting)
    else:
        missing("Apache", "no apache2 (package apache2-bin)")
    if nginx.available():
        served = nginx_cases(stack, folder, trusting)
    else:
        missing("nginx", "no nginx (package nginx)")
    if served and tinyproxy.available():
        proxy_cases(stack, folder, trusting, served)
    else:
        missing("tinyproxy", "no tinyproxy (package tinyproxy-bin), or no nginx behind it")


def missing(name, reason):
    @case(name)
    def _():
        raise Skip(reason)


with contextlib.ExitStack() as servers:
    build(servers)
    main()
