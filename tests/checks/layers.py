"""No include points up, and what is done in one place is done in no other (lib/README.md)."""
import glob
import os
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
from harness import SOURCE, case, main

# Who may include whose internal headers, and which public ones.
BELOW = {
    "base": {"base"},
    "http": {"base", "http"},
    "net": {"base", "net"},
    "loop": {"base", "net", "loop"},
    "tls": {"base", "tls"},
    "client": {"base", "http", "net", "loop", "tls", "client"},
    "server": {"base", "http", "net", "loop", "tls", "server"},
}
# The one file that sees both ends, and the one that starts the server's threads.
BOTH_ENDS = {"server/inproc.c": "client"}
STARTS_THREADS = "server/server.c"
PUBLIC = {
    "base": {"base.h", "buffer.h"},
    "net": {"base.h", "buffer.h"},
    "loop": {"base.h", "loop.h"},
    "tls": {"base.h", "buffer.h"},
    "http": {"base.h", "buffer.h", "url.h", "message.h", "h1.h"},
    "client": {"base.h", "buffer.h", "url.h", "message.h", "h1.h", "loop.h", "client.h"},
    "server": {"base.h", "buffer.h", "url.h", "message.h", "h1.h", "loop.h", "client.h", "server.h"},
}
# A public header and those that it may build on.
HEADERS = {
    "base.h": set(),
    "buffer.h": {"base.h"},
    "loop.h": {"base.h"},
    "url.h": {"base.h", "buffer.h"},
    "message.h": {"base.h", "buffer.h"},
    "h1.h": {"base.h", "buffer.h", "message.h"},
    "client.h": {"base.h", "buffer.h", "loop.h", "message.h", "h1.h"},
    "server.h": {"base.h", "buffer.h", "loop.h", "message.h", "h1.h", "client.h"},
}
# base/, http/ and tls/ are pure: these headers of the system, and no others.
PURE = {"assert.h", "errno.h", "limits.h", "stdarg.h", "stdbool.h", "stddef.h", "stdint.h",
        "stdio.h", "string.h"}
PURE_BUT = {"base/clock.c": {"time.h"}, "base/mem.c": {"stdlib.h"},
            "tls/openssl.c": {"pthread.h", "openssl/err.h", "openssl/pem.h", "openssl/ssl.h",
                              "openssl/x509v3.h"},
            "http/coding_zlib.c": {"zlib.h"}, "http/coding_brotli.c": {"brotli/decode.h"},
            "http/coding_zstd.c": {"zstd.h", "zstd_errors.h"},
            "http/scan_sse2.h": {"emmintrin.h"}, "http/scan_neon.h": {"arm_neon.h"}}
OUTSIDE = {"openssl/": "tls/openssl.c"}

ALLOCATOR = "malloc calloc realloc free reallocarray aligned_alloc posix_memalign".split()
SOCKETS = """socket bind listen accept accept4 connect recv recvfrom recvmsg send sendto sendmsg
    shutdown setsockopt getsockopt ioctl getsockname getpeername poll ppoll select epoll_create1
    epoll_ctl epoll_wait eventfd getaddrinfo pthread_create""".split()
ENVIRONMENT = "getenv secure_getenv".split()


def read(path):
    with open(path) as file:
        return file.read()


def code(text):
    """Without comments and strings."""
    text = re.sub(r"/\*.*?\*/", " ", text, flags=re.S)
    return re.sub(r'"(?:\\.|[^"\\\n])*"', '""', text)


def library():
    """(layer, "layer/file", text) of each file."""
    top = os.path.join(SOURCE, "lib")
    for path in sorted(glob.glob(top + "/*/*.[ch]")):
        name = os.path.relpath(path, top)
        yield name.split("/")[0], name, read(path)


def includes(text):
    """(system, name) of each #include."""
    for opening, name in re.findall(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', text, re.M):
        yield opening == "<", name


def calls(text, names):
    """Those of names that the code calls: not a field's, not a longer name's."""
    found = re.findall(r"(?<![\w.>])(\w+)\s*\(", code(text))
    return sorted(set(found) & set(names))


def expect_nothing(wrong):
    assert not wrong, "\n    " + "\n    ".join(wrong)


@case("each folder of lib/ is a layer")
def _():
    layers = {layer for layer, _, _ in library()}
    assert layers == set(BELOW), f"layers found: {sorted(layers)}"


@case("internal includes point down")
def _():
    expect_nothing([f"{file} includes {name}" for layer, file, text in library()
                    for system, name in includes(text)
                    if not system and name.split("/")[0] not in BELOW[layer] | {BOTH_ENDS.get(file)}])


@case("internal includes name the folder")
def _():
    expect_nothing([f"{file} includes {name}" for _, file, text in library()
                    for system, name in includes(text) if not system and "/" not in name])


@case("a layer sees the public headers of its height")
def _():
    expect_nothing([f"{file} includes <{name}>" for layer, file, text in library()
                    for system, name in includes(text)
                    if system and name.startswith("minihttp")
                    and name.removeprefix("minihttp/") not in PUBLIC[layer]])


@case("public headers build on those below")
def _():
    top = os.path.join(SOURCE, "include/minihttp")
    assert set(os.listdir(top)) == set(HEADERS), f"headers found: {sorted(os.listdir(top))}"
    expect_nothing([f"{file} includes <{name}>" for file in sorted(HEADERS)
                    for _, name in includes(read(os.path.join(top, file)))
                    if name.startswith("minihttp")
                    and name.removeprefix("minihttp/") not in HEADERS[file]])


@case("base/, http/ and tls/ know no kernel")
def _():
    expect_nothing([f"{file} includes <{name}>" for layer, file, text in library()
                    for system, name in includes(text)
                    if layer in ("base", "http", "tls") and system and not name.startswith("minihttp")
                    and name not in PURE | PURE_BUT.get(file, set())])


@case("each external library is named in one file")
def _():
    expect_nothing([f"{file} includes <{name}>" for _, file, text in library()
                    for system, name in includes(text)
                    for top, only in OUTSIDE.items() if name.startswith(top) and file != only])


@case("only base/mem.c calls the allocator")
def _():
    expect_nothing([f"{file} calls {name}()" for _, file, text in library()
                    for name in calls(text, ALLOCATOR) if file != "base/mem.c"])


@case("only net/ and loop/ call the socket API")
def _():
    expect_nothing([f"{file} calls {name}()" for layer, file, text in library()
                    for name in calls(text, SOCKETS) if layer not in ("net", "loop")
                    and (name, file) != ("pthread_create", STARTS_THREADS)])


@case("what every backend of the loop has in common knows no kernel")
def _():
    expect_nothing([f"{file} includes <{name}>" for _, file, text in library()
                    for system, name in includes(text) if system and name not in PURE
                    and file in ("loop/loop.c", "loop/timer.c", "loop/timer.h")])


@case("only client/proxy.c reads the environment")
def _():
    expect_nothing([f"{file} calls {name}()" for _, file, text in library()
                    for name in calls(text, ENVIRONMENT) if file != "client/proxy.c"])


@case("lib/meson.build names every source")
def _():
    named = set(re.findall(r"'(\w+/\w+\.c)'", read(os.path.join(SOURCE, "lib/meson.build"))))
    there = {file for _, file, _ in library() if file.endswith(".c")}
    assert named == there, f"only in one of them: {sorted(named ^ there)}"


main()
