"""browser.py SIMPLE_SERVER FOLDER - a browser shows the page of simple_server.

The screenshot is left in FOLDER.
"""
import os
import re
import shutil
import struct
import sys
import tempfile

from common import Running, case, main, run, skip_all

PROGRAM, FOLDER = sys.argv[1:3]
PAGE = "Congratulations! You've downloaded the first Wireshark lab file!"
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
QUIET = """--headless --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --disable-default-apps --disable-extensions
    --no-default-browser-check --hide-scrollbars""".split()
# What the gate has set for our programs is not for the browser.
PLAIN = {name: "" for name in ("ASAN_OPTIONS", "UBSAN_OPTIONS", "TSAN_OPTIONS")}


def has_sandbox():
    """Chromium makes none for root, and needs user namespaces, which a chroot does not give. Our own
    page from loopback is all that it opens."""
    return os.geteuid() != 0 and os.system("unshare -U true 2>/dev/null") == 0


def browse(*arguments):
    """Chromium with an empty profile of its own."""
    with tempfile.TemporaryDirectory(prefix="browser-", ignore_cleanup_errors=True) as home:
        sandbox = [] if has_sandbox() else ["--no-sandbox"]
        return run(CHROMIUM, *QUIET, *sandbox, "--user-data-dir=" + home + "/profile", *arguments,
                   env={**PLAIN, "HOME": home, "XDG_CONFIG_HOME": home, "XDG_CACHE_HOME": home},
                   patience=90)


if not CHROMIUM:
    skip_all("no chromium")


def server():
    running = Running(PROGRAM, "--port", "0")
    port = re.search(rb":(\d+)\n", running.read_until(b"\n")).group(1).decode()
    return running, f"http://127.0.0.1:{port}/"


@case("the text of the page")
def _():
    running, url = server()
    with running:
        result = browse("--dump-dom", url)
        assert result.status == 0, result
        text = re.sub(r"<[^>]*>", "", result.out.decode()).strip()
        assert text == PAGE, result
        assert "Received: b'GET / HTTP/1.1" in running.read_until(b"<<<<<<<<\n").decode()


@case("a picture of the page")
def _():
    running, url = server()
    with running:
        path = os.path.join(FOLDER, "simple_server.png")
        if os.path.exists(path):
            os.unlink(path)
        result = browse("--screenshot=" + path, "--window-size=640,120", url)
        assert result.status == 0 and os.path.exists(path), result
        with open(path, "rb") as file:
            data = file.read()
        assert data.startswith(b"\x89PNG"), data[:16]
        assert struct.unpack(">II", data[16:24]) == (640, 120), data[:32]
        assert len(data) > 1000, "the picture is empty"  # 640 x 120 white pixels take some 400 bytes


main()
