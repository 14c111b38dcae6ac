"""The servers that server.py measures: how each is started, what it has spent, what it holds.

Every one is configured for this and nothing else, as somebody would who wants it to win: no access
log, connections that stay, files that are known, one thread or worker for each core it may use.
Whatever has started ends with this process, however that ends."""
import ctypes
import os
import pwd
import resource
import shutil
import signal
import socket
import ssl
import subprocess
import tempfile
import time

SMALL = b"Hello, world!"
HELD_MAX = 16000  # connections, where it has to be said
FILES = {"1k": 1 << 10, "100k": 100 << 10, "10m": 10 << 20}
PARENT_DEATH_SIGNAL = 1  # PR_SET_PDEATHSIG

# As long as ours; it stands in for it where ours is not measured.
REPLY = (b"HTTP/1.1 200 OK\r\nDate: Sun, 06 Nov 1994 08:49:37 GMT\r\nContent-Type: text/plain\r\n"
         b"Content-Length: 13\r\n%s\r\n" + SMALL)

# Without tcp_nopush its large files take half the time, and small ones less without sendfile; with
# deferred a connection for each request takes two thirds, and h2o does so by itself.
NGINX = """
worker_processes {workers}; {cores} daemon off; {master} pid {folder}/pid; error_log stderr crit;
events {{ worker_connections {held}; accept_mutex off; multi_accept on; }}
http {{
    access_log off; server_tokens off; types {{}} default_type application/octet-stream;
    sendfile on; tcp_nopush off; tcp_nodelay on;
    keepalive_requests 1000000000; keepalive_timeout 600; reset_timedout_connection off;
    open_file_cache max=1000 inactive=600; open_file_cache_valid 600; open_file_cache_errors on;
    client_body_temp_path {folder}/1; proxy_temp_path {folder}/2; fastcgi_temp_path {folder}/3;
    uwsgi_temp_path {folder}/4; scgi_temp_path {folder}/5; root {folder}/www;
    server {{
        listen 127.0.0.1:{port} {secure} backlog=4096 deferred {reuse};
        {certificate}
        location = / {{ default_type text/plain; return 200 '{small}'; }}
        location = /files/1k {{ sendfile off; }}
        location /files/ {{ }}
    }}
}}
"""
NGINX_TLS = "ssl_protocols TLSv1.3; ssl_certificate {0}; ssl_certificate_key {1};"

# With another user it would not end with this process.
H2O = """
listen: {{host: 127.0.0.1, port: {port}{secure}}}
user: {user}
num-threads: 1
max-connections: {held}
tcp-fastopen: 0
http1-request-timeout: 600
error-log: /dev/null
server-name: h2o
hosts:
  default:
    paths:
      "/":
        file.dir: {folder}/www
        file.index: [index.txt]
        file.send-gzip: OFF
        file.mime.setdefaulttype: application/octet-stream
"""
H2O_TLS = """, ssl: {{certificate-file: {0}, key-file: {1}, minimum-version: TLSv1.2, neverbleed: OFF,
  ocsp-update-interval: 0}}"""

LIGHTTPD = """
server.bind = "127.0.0.1"
server.port = {port}
server.document-root = "{folder}/www"
server.modules = ()
server.event-handler = "linux-sysepoll"
server.network-backend = "sendfile"
server.stat-cache-engine = "simple"
server.max-connections = {held}
server.max-fds = {descriptors}
server.listen-backlog = 4096
server.defer-accept = 1
server.max-keep-alive-requests = 65535
server.max-keep-alive-idle = 600
server.errorlog = "/dev/null"
server.tag = "lighttpd"
index-file.names = ( "index.txt" )
mimetype.assign = ( ".txt" => "text/plain", "" => "application/octet-stream" )
"""


class Missing(Exception):
    """It cannot be measured here, and why."""


def die_with_parent():
    ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGKILL)


def end_with_parent():
    """For one whose workers would stay behind."""
    ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, signal.SIGTERM)


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return found.getsockname()[1]


def fields(pid):
    """/proc/PID/stat from the state on: 3 is the session."""
    with open(f"/proc/{pid}/stat", encoding="ascii", errors="replace") as file:
        return file.read().rpartition(")")[2].split()


def members(session):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            if fields(pid)[3] == str(session):
                found.append(pid)
        except OSError:  # it has ended meanwhile
            continue
    return found


class Server:
    """One that runs: name, port, tls."""

    def __init__(self, name, command, cores, port=None, tls=False,
                 prepare=die_with_parent):
        self.name, self.port, self.tls, self.reply_len = name, port, tls, 0
        self.said = tempfile.TemporaryFile()
        self.process = subprocess.Popen(["taskset", "-c", cores, *command], start_new_session=True,
                                        preexec_fn=prepare, stdout=subprocess.PIPE,
                                        stderr=self.said)
        if port is None:
            self.port = int(self.process.stdout.readline() or self.fail())
        self.wait()

    def fail(self):
        self.said.seek(0)
        said = self.said.read().decode("utf-8", "replace").strip()
        self.stop()
        raise Missing(f"{self.name} does not start: {said}")

    def wait(self):
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            if self.process.poll() is not None:
                break
            time.sleep(0.05)
        self.fail()

    def state(self):
        status = self.process.poll()
        return "which runs" if status is None else f"which has ended with {status}"

    def stop(self):
        self.process.terminate()
        try:
            self.process.wait(5)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()
        self.said.close()

    def url(self, path):
        return f"{'https' if self.tls else 'http'}://127.0.0.1:{self.port}{path}"

    def spent(self):
        """Nanoseconds on a core, of all threads of all its processes."""
        total = 0
        for pid in members(self.process.pid):
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/schedstat", encoding="ascii") as file:
                    total += int(file.read().split()[0])
        return total

    def memory(self):
        """Bytes that are resident, and nobody else's."""
        total = 0
        for pid in members(self.process.pid):
            with open(f"/proc/{pid}/status", encoding="ascii", errors="replace") as file:
                total += sum(int(line.split()[1]) << 10 for line in file
                             if line.startswith("RssAnon:"))
        return total

    def request(self, path, headers=()):
        """As wrk writes it, to the byte: bare_server counts on that."""
        lines = [f"GET {path} HTTP/1.1", f"Host: 127.0.0.1:{self.port}", *headers, "", ""]
        return "\r\n".join(lines).encode()

    def connect(self):
        plain = socket.create_connection(("127.0.0.1", self.port), 10)
        if not self.tls:
            return plain
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        try:
            return context.wrap_socket(plain)
        except OSError as error:
            raise Missing(f"{self.name}: {error}") from error

    def fetch(self, path, headers=()):
        """The bytes of its reply, which has to be a 200 with the body that is wanted."""
        body_len = FILES.get(os.path.basename(path), len(SMALL))
        with self.connect() as connection:
            if self.tls and connection.version() != "TLSv1.3":
                raise Missing(f"{self.name} speaks {connection.version()}")
            connection.sendall(self.request(path, headers))
            return receive(connection, body_len, self.name)


def receive(connection, body_len, name):
    data = bytearray()
    while True:
        end = data.find(b"\r\n\r\n")
        if end >= 0 and len(data) >= end + 4 + body_len:
            break
        try:
            got = connection.recv(1 << 20)
        except TimeoutError:
            got = b""
        if not got:
            break
        data += got
    if not data.startswith(b"HTTP/1.1 200") or len(data) != end + 4 + body_len:
        raise Missing(f"{name} answers with {len(data)} bytes: {bytes(data[:400])}")
    return bytes(data)


class Lab:
    """A folder with the files that are served, a certificate, the programs."""

    def __init__(self, build, folder):
        self.programs, self.folder = os.path.join(build, "tests", "bench"), folder
        self.cert, self.key = folder + "/cert.pem", folder + "/key.pem"
        self.replies = {}  # of ours, by whether it closes
        os.chmod(folder, 0o755)
        os.makedirs(folder + "/www/files")
        self.write("www/index.txt", SMALL)
        for name, size in FILES.items():
            self.write("www/files/" + name, os.urandom(size))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt",
                        "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2", "-subj",
                        "/CN=localhost", "-out", self.cert, "-keyout", self.key],
                       check=True, capture_output=True)

    def write(self, name, data):
        path = os.path.join(self.folder, name)
        with open(path, "wb") as file:
            file.write(data)
        return path

    def program(self, name):
        path = os.path.join(self.programs, name)
        if not os.path.exists(path):
            raise Missing(f"{name} is not built")
        return path


def command_of(name, variable):
    """Where an unpacked one is, or an installed one."""
    found = os.environ.get(variable) or shutil.which(
        name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/bin")
    if not found:
        raise Missing(f"there is no {name}")
    return found


def ours(lab, cores, tls):
    threads = len(cores.split(","))
    certificate = [lab.cert, lab.key] if tls else []
    return Server("ours", [lab.program("bench_server"), str(threads), lab.folder + "/www/files",
                           *certificate], cores, tls=tls)


def bare(lab, cores, closing=False):
    fields_of_close = b"Connection: close\r\n" if closing else b""
    reply = lab.write("reply", lab.replies.get(closing) or REPLY % fields_of_close)
    return Server("bare", [lab.program("bare_server"), reply, *(["close"] if closing else [])],
                  cores)


def bare_close(lab, cores, tls):
    del tls
    return bare(lab, cores, True)


def bare_keep(lab, cores, tls):
    del tls
    return bare(lab, cores)


def nginx(lab, cores, tls):
    port, workers = free_port(), len(cores.split(","))
    config = lab.write("nginx.conf", NGINX.format(
        folder=lab.folder, port=port, workers=workers, held=HELD_MAX, small=SMALL.decode(),
        cores="worker_cpu_affinity auto;" if workers > 1 else "",
        master="" if workers > 1 else "master_process off;",
        reuse="reuseport" if workers > 1 else "", secure="ssl" if tls else "",
        certificate=NGINX_TLS.format(lab.cert, lab.key) if tls else "").encode())
    return Server("nginx", [command_of("nginx", "MINIHTTP_NGINX"), "-c", config], cores, port, tls,
                  end_with_parent)


def h2o(lab, cores, tls):
    port = free_port()
    config = lab.write("h2o.conf", H2O.format(
        folder=lab.folder, port=port, held=HELD_MAX, user=pwd.getpwuid(os.getuid()).pw_name,
        secure=H2O_TLS.format(lab.cert, lab.key) if tls else "").encode())
    return Server("h2o", [command_of("h2o", "MINIHTTP_H2O"), "-c", config], cores, port, tls)


def lighttpd(lab, cores, tls):
    del tls
    port, command = free_port(), command_of("lighttpd", "MINIHTTP_LIGHTTPD")
    descriptors = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    config = lab.write("lighttpd.conf", LIGHTTPD.format(
        folder=lab.folder, port=port, held=HELD_MAX, descriptors=descriptors).encode())
    modules = os.path.join(os.path.dirname(os.path.dirname(command)), "lib", "lighttpd")
    return Server("lighttpd", [command, "-D", "-m", modules, "-f", config], cores, port)


def microhttpd(lab, cores, tls):
    del tls
    return Server("microhttpd", [lab.program("bench_microhttpd")], cores)


def event(lab, cores, tls):
    del tls
    return Server("libevent", [lab.program("bench_event")], cores)
