"""browser.py SIMPLE_SERVER FOLDER LAB_SERVER - a browser shows the page of simple_server; and of the lab's
server one of two hundred images, a recording in which it jumps, and a listing.

The screenshots are left in FOLDER.
"""
import os
import re
import shutil
import struct
import sys
import tempfile
import wave

from common import Running, case, main, run, skip_all
from lab_server import LabServer

PROGRAM, FOLDER, LAB_SERVER = sys.argv[1:4]
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


def picture(name, url, width, height):
    """A screenshot that has something on it."""
    path = os.path.join(FOLDER, name)
    if os.path.exists(path):
        os.unlink(path)
    result = browse("--screenshot=" + path, f"--window-size={width},{height}", url)
    assert result.status == 0 and os.path.exists(path), result
    with open(path, "rb") as file:
        data = file.read()
    assert data.startswith(b"\x89PNG"), data[:16]
    assert struct.unpack(">II", data[16:24]) == (width, height), data[:32]
    assert len(data) > 1000, "the picture is empty"  # 640 x 120 white pixels take some 400 bytes


@case("a picture of the page")
def _():
    running, url = server()
    with running:
        picture("simple_server.png", url, 640, 120)


@case("two hundred images: all of them, on a few connections")
def _():
    with tempfile.NamedTemporaryFile() as log, LabServer(LAB_SERVER, threads=2, access_log=log.name) as lab:
        result = browse("--virtual-time-budget=10000", "--dump-dom", lab.url("/page"))
        assert result.status == 0, result
        assert b'<p id="n">200</p>' in result.out, result
        lines = log.read().decode()
        assert len(set(re.findall(r'"GET /files/(\d+)\.svg HTTP/1.1" 200', lines))) == 200, lines
        assert lab.stderr() == "", lab.stderr()


JUMP = """<!DOCTYPE html><title>jump</title><p id=n>-</p><audio id=a src="tone.wav" preload=metadata></audio>
<img id=i src="/later?ms=20000"><!-- the page is not loaded before it is over -->
<script>
const a = document.getElementById("a"), i = document.getElementById("i");
const say = text => document.getElementById("n").textContent = text;
const end = text => { say(text); i.src = "data:,"; };
a.onloadedmetadata = () => { say("duration " + Math.round(a.duration)); a.currentTime = 280; };
a.onseeked = () => end("at " + Math.round(a.currentTime) + " of " + Math.round(a.duration));
a.onerror = () => end("error " + a.error.message);
</script>
"""


def record(path, seconds):
    """Silence, but a lot of it: nobody loads all of it to jump to its end."""
    with wave.open(path, "wb") as sound:
        sound.setparams((2, 2, 48000, 0, "NONE", None))
        sound.writeframes(bytes(4 * 48000 * seconds))


@case("a recording in which it jumps: by ranges")
def _():
    with tempfile.NamedTemporaryFile() as log, LabServer(LAB_SERVER, threads=2, access_log=log.name) as lab:
        record(os.path.join(lab.folder, "tone.wav"), 300)
        with open(os.path.join(lab.folder, "jump.html"), "w") as file:
            file.write(JUMP)
        result = browse("--dump-dom", lab.url("/jump.html"))
        assert b"at 280 of 300" in result.out, result
        asked = re.findall(r'"GET /tone.wav HTTP/1.1" (\d+)', log.read().decode())
        assert asked.count("206") >= 2, asked


@case("a picture of a listing")
def _():
    with LabServer(LAB_SERVER, threads=2) as lab:
        for name in "a folder", "another & <more>":
            os.mkdir(os.path.join(lab.folder, name))
        result = browse("--dump-dom", lab.url("/listing/"))
        assert b"file.bin" in result.out and b"another &amp; &lt;more&gt;" in result.out, result
        picture("listing.png", lab.url("/listing/"), 800, 600)
        picture("listing_narrow.png", lab.url("/listing/"), 360, 640)


@case("a picture of a page that is not there")
def _():
    with LabServer(LAB_SERVER, threads=2) as lab:
        picture("missing.png", lab.url("/none"), 640, 240)


main()
