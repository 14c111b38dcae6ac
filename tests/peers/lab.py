"""lab.py SIMPLE_GET LARGE_FILE_GET - the two programs as they are used in the lab.

Without an argument they go to gaia.cs.umass.edu, port 80. So this runs in a network of its own with
nothing but loopback, where that name is a private Apache; nothing leaves the machine.
"""
import fcntl
import os
import re
import shutil
import socket
import struct
import subprocess
import sys

from apache import FILE_1, FILE_3, KEEP_ALIVE_S, PAGE_1, PAGE_3, Apache, available
from common import case, main, run, skip_all

HOST = "gaia.cs.umass.edu"
SIMPLE_GET, LARGE_FILE_GET = sys.argv[1:3]


def enter():
    """This program again, in a network and a mount table of its own; as root, or as a user who is
    root in there."""
    if not available():
        skip_all("no apache2 (package apache2-bin)")
    if not shutil.which("unshare"):
        skip_all("no unshare (package util-linux)")
    command = ["unshare", "-n", "-m"] if os.geteuid() == 0 else ["unshare", "-U", "-r", "-n", "-m"]
    if subprocess.run([*command, "true"], capture_output=True).returncode:
        skip_all("no namespaces: " + " ".join(command) + " is not permitted here")
    inside = "--inside-root" if os.geteuid() == 0 else "--inside-user"
    sys.exit(subprocess.run([*command, sys.executable, *sys.argv, inside]).returncode)


def loopback_up():
    SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP = 0x8913, 0x8914, 1
    with socket.socket() as any_socket:
        request = struct.pack("16sh14x", b"lo", 0)
        flags = struct.unpack("16sh14x", fcntl.ioctl(any_socket, SIOCGIFFLAGS, request))[1]
        fcntl.ioctl(any_socket, SIOCSIFFLAGS, struct.pack("16sh14x", b"lo", flags | IFF_UP))


def name_is_here(folder):
    for path, text in [("/etc/hosts", f"127.0.0.1 localhost {HOST}\n"),
                       ("/etc/nsswitch.conf", "hosts: files\n")]:
        if os.path.exists(path):
            ours = os.path.join(folder, os.path.basename(path))
            with open(ours, "w") as file:
                file.write(text)
            subprocess.run(["mount", "--bind", ours, path], check=True)


def lab_apache():
    if sys.argv[3] == "--inside-root":
        return Apache(port=80)
    # Apache gives up root, and here there is nobody else to be: it never gets it, and needs no more.
    with open("/proc/sys/net/ipv4/ip_unprivileged_port_start", "w") as file:
        file.write("0")
    return Apache(port=80, before=["unshare", "-U", "--map-user=1000", "--map-group=1000"])


def shown(result, first_lines, body):
    """The transcript, exactly, but for the date."""
    assert result.status == 0 and not result.err, result
    lines, blank, rest = result.out.partition(b"\r\n\r\n")
    transcript, head = lines.split(b"HTTP/1.1 200 OK\r\n")
    assert transcript.decode() == first_lines, result
    assert blank and rest == body, result
    assert re.search(rb"^Content-Length: %d\r$" % len(body), head + b"\r", re.M), result
    assert result.seconds < KEEP_ALIVE_S / 2, result


if len(sys.argv) < 4:
    enter()

loopback_up()
with lab_apache() as apache:
    name_is_here(apache.root)

    @case("simple_get")
    def _():
        shown(run(SIMPLE_GET), f"Request: GET {FILE_1} HTTP/1.1\n"
                               f"Host:{HOST}\n"
                               "[RECV] - length: 382\n", PAGE_1)

    @case("large_file_get")
    def _():
        shown(run(LARGE_FILE_GET), f"Request: GET {FILE_3} HTTP/1.1\n"
                                   f"Host:{HOST}\n"
                                   "[RECV] - total length: 4805\n", PAGE_3)

    @case("a name that is not there")
    def _():
        for program in SIMPLE_GET, LARGE_FILE_GET:
            result = run(program, "http://nowhere.invalid/")
            assert result.status == 1 and result.err.count(b"\n") == 1, result
            assert b"nowhere.invalid" in result.err and b"resolve" in result.err, result

    main()
