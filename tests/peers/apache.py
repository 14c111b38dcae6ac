"""A private Apache: its own folder, its own port, gone at the end. Needs apache2-bin, no service."""
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile

from common import connect, free_port, receive_all

MODULES = "/usr/lib/apache2/modules"
KEEP_ALIVE_S = 25  # a client that waits for the server to close takes so long

FILE_1 = "/wireshark-labs/INTRO-wireshark-file1.html"
FILE_3 = "/wireshark-labs/HTTP-wireshark-file3.html"
PAGE_1 = b"<html>\nCongratulations!  You've downloaded the first Wireshark lab file!\n</html>\n"
# The lengths of the heads that the lab's own server sends.
HEAD_1, HEAD_3 = 301, 305

CONFIG = """
ServerRoot "{root}"
ServerName gaia.cs.umass.edu
Listen {address}
PidFile "{root}/pid"
DefaultRuntimeDir "{root}"
ErrorLog "{root}/error.log"
Mutex file:{root}
{user}
LoadModule mpm_event_module {modules}/mod_mpm_event.so
LoadModule authz_core_module {modules}/mod_authz_core.so
LoadModule mime_module {modules}/mod_mime.so
LoadModule filter_module {modules}/mod_filter.so
LoadModule headers_module {modules}/mod_headers.so
LoadModule include_module {modules}/mod_include.so
LoadModule setenvif_module {modules}/mod_setenvif.so
LoadModule alias_module {modules}/mod_alias.so
StartServers 1
ServerLimit 1
ThreadsPerChild 25
MaxRequestWorkers 25
KeepAlive On
KeepAliveTimeout {keep_alive}
EnableSendfile Off
TypesConfig /dev/null
AddType "text/html; charset=UTF-8" .html .shtml
DocumentRoot "{root}/htdocs"
<Directory "{root}/htdocs">
    AllowOverride FileInfo
    Options +Includes
    Require all granted
    FileETag MTime Size
</Directory>
AddOutputFilter INCLUDES .shtml
SetEnvIf Request_URI "^/close/" nokeepalive
SetEnvIf Request_URI "^/old/" downgrade-1.0 force-response-1.0 nokeepalive
Alias "/close" "{root}/htdocs"
Alias "/old" "{root}/htdocs"
Redirect "/moved" "/wireshark-labs/"
"""


def page_3():
    """4,500 bytes of HTML."""
    begin, end = b"<html><body>\n", b"</body></html>\n"
    line = b"<p>Congress shall make no law respecting the length of a file.</p>\n"
    middle = (line * 100)[: 4500 - len(begin) - len(end) - 1] + b"\n"
    return begin + middle + end


PAGE_3 = page_3()
assert len(PAGE_1) == 81 and len(PAGE_3) == 4500


def available():
    return shutil.which("apache2", path="/usr/sbin:/usr/bin:" + os.environ.get("PATH", ""))


class Apache:
    """with Apache() as apache: apache.url("/x"). before: a command that runs the server."""

    def __init__(self, port=0, before=()):
        self.port, self.before = port, list(before)
        self.root = tempfile.mkdtemp(prefix="apache-")
        self.process = None

    def __enter__(self):
        try:
            self.write_files()
            self.start()
            self.pad_heads()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        shutil.rmtree(self.root, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.root, "htdocs", name.lstrip("/"))

    def write(self, name, data):
        os.makedirs(os.path.dirname(self.path(name)), exist_ok=True)
        with open(self.path(name), "wb") as file:
            file.write(data)
        os.utime(self.path(name), (1700000000, 1700000000))  # ETags of one length

    def write_files(self):
        os.chmod(self.root, 0o755)
        self.write(FILE_1, PAGE_1)
        self.write(FILE_3, PAGE_3)
        self.write("/empty.html", b"")
        self.write("/large.bin", bytes(range(256)) * 20000)
        self.write("/part.html", b"<p>a part</p>\n" * 1000)
        self.write("/chunked.shtml", b'<html>\n<!--#include virtual="/part.html" -->end\n</html>\n')

    def config(self):
        user = ""
        if os.geteuid() == 0 and not self.before:
            entry = pwd.getpwnam("www-data")
            user = f"User #{entry.pw_uid}\nGroup #{entry.pw_gid}"
        return CONFIG.format(root=self.root, address=f"127.0.0.1:{self.port}", user=user,
                             modules=MODULES, keep_alive=KEEP_ALIVE_S)

    def start(self):
        """On a port of ours, or one that is free: somebody else may take that first, so try again."""
        for _ in range(1 if self.port else 5):
            if self.try_start():
                return
        raise AssertionError("Apache does not start: " + self.log())

    def try_start(self):
        fixed = self.port
        self.port = fixed or free_port()
        with open(self.root + "/httpd.conf", "w") as file:
            file.write(self.config())
        if self.before:
            subprocess.run(["chmod", "-R", "a+rwX", self.root], check=True)
        # Its parent writes the pid file when it listens; the first connection waits for the rest.
        # Whatever happens to the test, it does not outlive it.
        before = self.before or ["setpriv", "--pdeathsig", "TERM"]
        self.process = subprocess.Popen(
            [*before, available(), "-f", self.root + "/httpd.conf", "-DFOREGROUND"],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            env={"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"})
        while self.process.poll() is None:
            try:
                connect(self.port).close()
                return True
            except ConnectionRefusedError:
                try:
                    self.process.wait(0.05)
                except subprocess.TimeoutExpired:
                    pass
        self.port = fixed
        return False

    def log(self):
        said = self.process.stderr.read().decode() if self.process.poll() is not None else ""
        try:
            with open(self.root + "/error.log") as file:
                return said + file.read()
        except FileNotFoundError:
            return said

    def raw(self, path, version="1.1"):
        with connect(self.port) as connection:
            connection.sendall(f"GET {path} HTTP/{version}\r\nHost:gaia.cs.umass.edu\r\n"
                               "\r\n".encode())
            connection.shutdown(socket.SHUT_WR)
            return receive_all(connection)

    def head(self, path):
        return self.raw(path).partition(b"\r\n\r\n")[0] + b"\r\n\r\n"

    def pad_heads(self):
        """The head of file 1 becomes as long as the lab's."""
        missing = HEAD_1 - len(self.head(FILE_1)) - len("X-Pad: \r\n")
        assert missing > 0, self.head(FILE_1)
        with open(self.path("/wireshark-labs/.htaccess"), "w") as file:
            file.write(f'Header set X-Pad "{"-" * missing}"\n')
        lengths = len(self.head(FILE_1)), len(self.head(FILE_3))
        assert lengths == (HEAD_1, HEAD_3), (lengths, self.head(FILE_1), self.head(FILE_3))

    def url(self, path):
        return f"http://127.0.0.1:{self.port}{path}"
